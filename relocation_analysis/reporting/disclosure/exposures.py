"""The record by which one province can be compared with another: `exposures.csv`."""

import numpy as np
import pandas as pd

from relocation_analysis.estimation.effects import Effects
from relocation_analysis.reporting.disclosure.rule import kept

EXPOSURE_COLUMNS = (
    "outcome", "estimator", "estimand", "through", "mean_exposure", "estimate", "std_error", "se_type", "conf_low", "conf_high",
    "n_units", "n_clusters_treated", "n_clusters_comparison", "benchmark", "power", "mde", "withheld",
)  # fmt: skip
COUNTS = ["n_units", "n_clusters_treated", "n_clusters_comparison"]
DERIVED = ["mean_exposure", "power", "mde"]


def release_exposures(exposures: Effects) -> pd.DataFrame:
    """The means over exposures 0 to k as they may leave, one row each, with the columns `EXPOSURE_COLUMNS`.

    Parameters
    ----------
    exposures : from `estimate_exposures`.

    Returns
    -------
    DataFrame. Withheld rows keep their names, their `benchmark` and the reason. What a restricted study derives from its counts
    and errors has no more digits than it needs: mean exposure one decimal, power two, the detectable effect two significant ones.
    """
    from relocation_analysis.reporting.disclosure.release import release_effects

    table = release_effects(exposures).table.rename(columns={"event_time": "through"})
    if kept().public:
        return table[list(EXPOSURE_COLUMNS)]
    fine = {"mean_exposure": table["mean_exposure"].round(1), "power": table["power"].round(2)}
    table = table.assign(**fine, mde=[_significant(x) for x in table["mde"]])
    table.loc[table["withheld"].ne(""), DERIVED] = np.nan
    return table[list(EXPOSURE_COLUMNS)].astype(dict.fromkeys(COUNTS, "Int64"))


def _significant(value: float, digits: int = 2) -> float:
    return float(f"{value:.{digits}g}") if np.isfinite(value) else value
