"""The record by which one province can be compared with another: `exposures.csv`."""

import numpy as np
import pandas as pd

from relocation_analysis.estimation.effects import MAIN_ESTIMATORS, Effects
from relocation_analysis.reporting.disclosure import kept, release_effects

EXPOSURE_COLUMNS = (
    "outcome", "estimator", "estimand", "through", "mean_exposure", "estimate", "std_error", "se_type", "conf_low", "conf_high",
    "n_units", "n_clusters_treated", "n_clusters_comparison", "benchmark", "power", "mde", "withheld",
)  # fmt: skip
DERIVED = ["mean_exposure", "power", "mde"]
NUMBERS = [*DERIVED, "estimate", "std_error", "conf_low", "conf_high", "n_units", "n_clusters_treated", "n_clusters_comparison"]


def release_exposures(exposures: Effects, effects: Effects | None = None) -> pd.DataFrame:
    """The means over exposures 0 to k as they may leave, one row each, with the columns `EXPOSURE_COLUMNS`.

    Parameters
    ----------
    exposures : from `estimate_exposures`.
    effects : the effects of the same design, if they leave too. The mean over 0 to k less that over 0 to k - 1 is the
        effect at exposure k: where that one is withheld, the means on either side of it are, but for the longest, which
        is the headline.

    Returns
    -------
    DataFrame. Withheld rows keep their names, their `benchmark` and the reason. What a restricted study derives from its
    counts and errors has no more digits than it needs: power two decimals, the detectable effect two significant ones.
    """
    table = release_effects(exposures).table.reset_index(drop=True).rename(columns={"event_time": "through"})
    nested = table["withheld"].eq("") & _reveals(table, effects)
    table.loc[nested, "withheld"] = "complement"
    table.loc[table["withheld"].ne(""), NUMBERS] = np.nan
    if not kept().public:
        table = table.assign(power=table["power"].round(2), mean_exposure=table["mean_exposure"].round(1),
                             mde=[_significant(x) for x in table["mde"]])  # fmt: skip
    return table[list(EXPOSURE_COLUMNS)]


def _significant(value: float, digits: int = 2) -> float:
    return float(f"{value:.{digits}g}") if np.isfinite(value) else value


def _reveals(table: pd.DataFrame, effects: Effects | None) -> np.ndarray:
    """True where a mean, with its neighbours, would give away the effect at an exposure that is withheld."""
    if effects is None or not table["through"].notna().any():
        return np.zeros(len(table), dtype=bool)
    rows = release_effects(effects.select(aggregation="event_time", subgroup="all", estimator=MAIN_ESTIMATORS)).table
    hidden = set(rows.loc[rows["withheld"].ne(""), ["outcome", "event_time"]].itertuples(index=False, name=None))
    longest = table.groupby("outcome")["through"].transform("max")
    beside = [(o, k) in hidden or (o, k + 1) in hidden for o, k in zip(table["outcome"], table["through"], strict=True)]
    return np.array(beside) & table["through"].lt(longest).to_numpy()
