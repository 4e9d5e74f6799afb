"""What a design could find: power and minimum detectable effect."""

import numpy as np
import pandas as pd
from scipy import stats

from relocation_analysis.data.codebook import Outcome
from relocation_analysis.estimation.effects import MAIN_ESTIMATORS, Effects
from relocation_analysis.estimation.inference import LEVEL

POWER = 0.80


def design_power(effects: Effects, codebook: dict[str, Outcome]) -> pd.DataFrame:
    """Power of each headline against the benchmark effect of its outcome, and the effect found with 80% power.

    Both follow from the design's standard error s and the benchmark d, never from the estimate (Bloom 1995, Evaluation
    Review 19(5)): power = P(|T + d / s| > q) and MDE = (q + t_.80) s, with q the 97.5% quantile of the errors' distribution.

    Returns one row per outcome: outcome, benchmark, std_error, power, mde.
    """
    headlines = effects.select(aggregation="headline", subgroup="all", estimator=MAIN_ESTIMATORS)
    rows = []
    for row in headlines.table.itertuples():
        benchmark = codebook[row.outcome].benchmark_effect
        few = row.se_type != "cluster_influence"
        df = max(np.count_nonzero(headlines.influence[:, row.Index]) - 1, 1) if few else np.inf
        quantile = stats.t.ppf((1 + LEVEL) / 2, df)
        shift = np.nan if benchmark is None else benchmark / row.std_error
        power = stats.t.sf(quantile - shift, df) + stats.t.cdf(-quantile - shift, df)
        mde = (quantile + stats.t.ppf(POWER, df)) * row.std_error
        rows.append((row.outcome, np.nan if benchmark is None else benchmark, row.std_error, power, mde))
    return pd.DataFrame(rows, columns=["outcome", "benchmark", "std_error", "power", "mde"])


