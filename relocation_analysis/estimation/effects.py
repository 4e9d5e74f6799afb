"""The result every estimator returns: a tidy table of effects and their influence values."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

EFFECT_COLUMNS = (
    "outcome", "domain", "subgroup", "estimator", "estimand", "aggregation", "arm", "cohort", "time", "event_time",
    "estimate", "std_error", "se_type", "statistic", "p_value", "p_adjusted", "conf_low", "conf_high",
    "band_low", "band_high", "n_units", "n_clusters_treated", "n_clusters_comparison",
)  # fmt: skip
MAIN_ESTIMATORS = ("callaway_santanna", "ols_strata", "aipw_differences", "aipw_levels")  # one a kind of design
SUPPORT_COLUMNS = ("n_treated", "n_comparison", "thin")
TEXT_COLUMNS = ("outcome", "domain", "subgroup", "estimator", "estimand", "aggregation", "arm", "se_type")


@dataclass(frozen=True)
class Effects:
    """Effects of relocation, one row each.

    Attributes
    ----------
    table : `EFFECT_COLUMNS`, in the units of the codebook. `conf_*` is pointwise, `band_*` simultaneous.
    influence : clusters x rows of `table`. Column j sums to about zero and the square root of its sum of squares is
        `std_error[j]`. None where an estimator has none, then there is no band either.
    clusters : the labels of the rows of `influence`.
    support : `SUPPORT_COLUMNS`, one row a row of `table`: the units on either side of the effect, and why too few stand behind
        it for it to be shown where data are not public (from `support.mark_thin`; blank where enough do, missing where nobody
        decided). None where it is not known.
    """

    table: pd.DataFrame
    influence: np.ndarray | None
    clusters: np.ndarray | None
    support: pd.DataFrame | None = None

    def select(self, **equal) -> "Effects":
        """The rows whose columns equal the given values; influence values follow."""
        keep = np.ones(len(self.table), dtype=bool)
        for column, value in equal.items():
            values = value if isinstance(value, (list, tuple, set)) else [value]
            keep &= self.table[column].isin(values).to_numpy()
        influence = None if self.influence is None else self.influence[:, keep]
        support = None if self.support is None else self.support[keep].reset_index(drop=True)
        return Effects(self.table[keep].reset_index(drop=True), influence, self.clusters, support)


@dataclass(frozen=True)
class EffectRows:
    """The A effects of one fit as arrays: `columns` of the table by name, `sides` (2, A) units of the treated and of the
    comparison, `influence` (K, A) and the labels (K,) of its rows. Tables are slow to make; many rows become one."""

    columns: dict[str, np.ndarray]
    sides: np.ndarray
    influence: np.ndarray
    clusters: np.ndarray


def tabulate_effects(parts: list[EffectRows]) -> Effects:
    """Effects from the rows of several fits."""
    columns = {name: np.concatenate([p.columns[name] for p in parts]) for name in EFFECT_COLUMNS}
    table = pd.DataFrame({n: pd.array(x, dtype="str") if n in TEXT_COLUMNS else x for n, x in columns.items()})
    treated, comparison = np.concatenate([p.sides for p in parts], axis=1)
    support = pd.DataFrame({"n_treated": treated, "n_comparison": comparison, "thin": np.full(len(table), None, dtype=object)})
    return Effects(table, *_stack_influence(parts), support)


def join_effects(parts: list[Effects]) -> Effects:
    """Stack effects; a cluster that a part does not have has influence zero there."""
    table = pd.concat([p.table for p in parts], ignore_index=True)
    support = pd.concat([support_of(p) for p in parts], ignore_index=True)
    if any(p.influence is None for p in parts):
        return Effects(table, None, None, support)
    return Effects(table, *_stack_influence(parts), support)


def _stack_influence(parts: list) -> tuple[np.ndarray, np.ndarray]:
    clusters = np.unique(np.concatenate([p.clusters for p in parts]))
    influence = np.zeros((len(clusters), sum(p.influence.shape[1] for p in parts)))
    start = 0
    for p in parts:
        stop = start + p.influence.shape[1]
        influence[np.searchsorted(clusters, p.clusters), start:stop] = p.influence
        start = stop
    return influence, clusters


def support_of(effects: Effects) -> pd.DataFrame:
    """The support of effects; where it is not known, every unit of an effect counts on both sides and nothing is decided."""
    if effects.support is not None:
        return effects.support.set_axis(effects.table.index)
    units = effects.table["n_units"].astype(float)
    return pd.DataFrame({"n_treated": units, "n_comparison": units, "thin": None}).astype({"thin": object})
