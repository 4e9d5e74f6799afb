"""Effects of an offer of relocation: on everybody who was offered, by arm, and on those whom it moved.

The frame has one row per unit, with `offered` (0/1), and where known `relocated` (take-up, 0/1), `arm` (text) and
`weight`. Every regression runs on its own complete cases.
"""

from dataclasses import replace

import numpy as np
import pandas as pd

from relocation_analysis.data.codebook import Outcome
from relocation_analysis.estimation.clustered import (
    Partialled,
    identified,
    jackknife_influence,
    least_squares,
    leave_one_out,
)
from relocation_analysis.estimation.effects import EFFECT_COLUMNS, SUPPORT_COLUMNS, Effects, join_effects
from relocation_analysis.estimation.inference import FEWEST_CLUSTERS, MANY_CLUSTERS, pointwise_interval
from relocation_analysis.estimation.instruments import Late, hull, two_stage
from relocation_analysis.estimation.offer_design import Offer, complete_cases, regression, require_offer, weights_of
from relocation_analysis.estimation.support import count_fewest

ITT, LATE, ROBUST = "ols_strata", "tsls", "anderson_rubin"
TAKE_UP = Outcome(name="relocated", domain="other", unit="share", minimum=0, maximum=1, label_en="Relocated")


def estimate_offer(frame: pd.DataFrame, outcome: Outcome, offer: Offer, subgroup: str = "all") -> Effects:
    """Effects of an offer on one outcome.

    - `itt`, by `ols_strata`: the coefficient of the offer with strata dummies (Imbens & Rubin 2015, section 9.6);
      and, with arms, of a dummy for every arm but the base in one regression.
    - `first_stage`: the same on take-up, on the rows where both are known.
    - `late`, by `tsls`, on those rows (Imbens & Angrist 1994); and as `anderson_rubin` with the smallest interval that holds
      the 95% Anderson-Rubin set, which may be unbounded: then an end is infinite. Left out where take-up does not vary.

    Errors are CR1 by cluster with the dummies counted (`cluster_cr1`) and t on G - 1 degrees of freedom; with fewer than 50
    clusters on a side the jackknife CV3 (`cluster_jackknife`) unless the offer says "ignore"; below 5, none.

    Parameters
    ----------
    frame : one row per unit; not changed.
    outcome : its column and what it is.
    offer : from the study.
    subgroup : label of the rows that the frame holds.

    Returns
    -------
    One row per effect; none where the rows with a known outcome do not identify the effect. `aggregation` is `headline` for
    the intention to treat of the whole offer and blank for the rest.

    Raises
    ------
    InputError : see `require_offer`.
    """
    require_offer(frame, offer)
    parts = _coefficients(frame, outcome.name, offer, "itt", pooled="headline")
    late = late_of(frame, outcome.name, offer)
    if late is not None:
        parts += _late_rows(frame, outcome.name, offer, late)
    return _labelled(parts, outcome, subgroup)


def estimate_take_up(frame: pd.DataFrame, offer: Offer, subgroup: str = "all") -> Effects:
    """First stage on every row where take-up is known: the offer, and each arm against the base. Outcome `relocated`."""
    require_offer(frame, offer)
    return _labelled(_coefficients(frame, "relocated", offer, "first_stage"), TAKE_UP, subgroup)


def take_up_by_arm(frame: pd.DataFrame) -> pd.DataFrame:
    """Units, units whose take-up is known, those of them who took it up, and their weighted share, by arm and offer: arm, offered,
    n_units, n_known, n_took, share."""
    frame = frame.assign(arm=frame.get("arm", ""), weight=weights_of(frame))
    rows = []
    for (arm, offered), group in frame.groupby(["arm", "offered"], observed=True):
        known = group[group["relocated"].notna()]
        share = np.average(known["relocated"], weights=known["weight"]) if len(known) else np.nan
        rows.append((arm, int(offered), len(group), len(known), int(known["relocated"].sum()), share))
    return pd.DataFrame(rows, columns=["arm", "offered", "n_units", "n_known", "n_took", "share"])


def late_of(frame: pd.DataFrame, name: str, offer: Offer) -> Late | None:
    """The effect on those whom the offer moved; None where take-up is not known or does not vary."""
    system = late_system(frame, name, offer)
    if system is None:
        return None
    fit = least_squares(system)
    return two_stage(*fit.coefficient[0], *fit.influence[:, 0].T, df=len(system.labels) - 1)


def late_system(frame: pd.DataFrame, name: str, offer: Offer) -> Partialled | None:
    if "relocated" not in frame:
        return None
    rows = complete_cases(frame, offer, name, "relocated")
    if len(rows) == 0:
        return None
    system = regression(rows, rows[["offered"]].to_numpy(dtype=float), (name, "relocated"), offer)
    moved = system.regressors[:, 0] @ system.outcomes[:, 1]
    return system if identified(system).all() and moved != 0 else None


def _coefficients(frame, name: str, offer: Offer, estimand: str, pooled: str = "") -> list[Effects]:
    """The offer, and each arm against the base."""
    rows = complete_cases(frame, offer, name)
    found = _fit_rows(rows, name, offer, {"": rows["offered"] == 1}, rows["offered"] == 0, estimand, pooled)
    if offer.base_arm and "arm" in frame:
        rows = rows[rows["arm"].notna()]
        arms = {arm: rows["arm"] == arm for arm in sorted(frame["arm"].dropna().unique()) if arm != offer.base_arm}
        found += _fit_rows(rows, name, offer, arms, rows["arm"] == offer.base_arm, estimand, "")
    return found


def _fit_rows(rows, name: str, offer: Offer, sides: dict, base, estimand: str, aggregation: str) -> list[Effects]:
    """One regression on a dummy for each side. Of an outcome of 0 and 1, take-up too, those stand behind it who have it, or have it
    not: with its error the effect gives both shares, where every unit is a cluster."""
    if len(rows) == 0:
        return []
    dummies = np.column_stack([side.to_numpy(dtype=float) for side in sides.values()])
    system = regression(rows, dummies, (name,), offer)
    kept = identified(system)
    if not kept.any():
        return []
    system = regression(rows, dummies[:, kept], (name,), offer)
    fit = least_squares(system)
    sides = {arm: side for (arm, side), keep in zip(sides.items(), kept, strict=True) if keep}
    treated = [rows.loc[side.to_numpy(), offer.cluster].nunique() for side in sides.values()]
    comparison = rows.loc[base.to_numpy(), offer.cluster].nunique()
    left = (
        leave_one_out(system)[:, :, 0]
        if few_clusters(offer, min(*treated, comparison))
        else np.full(fit.influence.shape[:2], np.nan)
    )
    units = [_units_behind(rows, name, offer, side, base) for side in sides.values()]
    return [
        _row(fit.coefficient[m, 0], fit.influence[:, m, 0], left[:, m], system.labels, offer, units[m], estimator=ITT, estimand=estimand,
             arm=arm, aggregation=aggregation, n_units=len(rows), n_clusters_treated=treated[m], n_clusters_comparison=comparison)
        for m, arm in enumerate(sides)
    ]  # fmt: skip


def _units_behind(rows: pd.DataFrame, name: str, offer: Offer, *sides: pd.Series) -> tuple[int, ...]:
    def behind(side: pd.Series) -> int:
        closed = name == "relocated" and offer.closed and not rows.loc[side, "offered"].any()
        return int(side.sum()) if closed else count_fewest(rows.loc[side, name], rows[name])

    return tuple(map(behind, sides))


def _late_rows(frame, name: str, offer: Offer, late: Late) -> list[Effects]:
    rows = complete_cases(frame, offer, name, "relocated")
    first = _fit_rows(rows, "relocated", offer, {"": rows["offered"] == 1}, rows["offered"] == 0, "first_stage", "")
    system = late_system(frame, name, offer)
    sides = {column: first[0].table[column].iloc[0] for column in ("n_units", "n_clusters_treated", "n_clusters_comparison")}
    few = few_clusters(offer, min(sides["n_clusters_treated"], sides["n_clusters_comparison"]))
    left = late_without_each(system) if few else np.full(len(system.labels), np.nan)
    units = _units_behind(rows, name, offer, rows["offered"] == 1, rows["offered"] == 0)
    units = tuple(np.minimum(units, first[0].support.iloc[0, :2].astype(int)))
    main = _row(late.estimate, late.influence, left, system.labels, offer, units, estimator=LATE, estimand="late", **sides)
    low, high = hull(late.robust_set)
    blank = dict.fromkeys(("std_error", "statistic", "p_value"), np.nan)
    robust = main.table.assign(estimator=ROBUST, se_type="", conf_low=low, conf_high=high, **blank)
    return [*first, main, replace(main, table=robust, influence=np.zeros_like(main.influence))]


def late_without_each(system: Partialled) -> np.ndarray:
    """(G,) the effect on those whom the offer moved without each cluster."""
    left = leave_one_out(system)[:, 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        return left[:, 0] / left[:, 1]


def few_clusters(offer: Offer, smaller: int) -> bool:
    """Whether the jackknife error takes the place of CR1, with so many clusters on the smaller side."""
    return offer.few_clusters == "jackknife" and smaller < MANY_CLUSTERS


def _row(estimate, influence, left_out, labels, offer: Offer, units: tuple, n_clusters_treated, n_clusters_comparison, **entries) -> Effects:
    """One effect with the error that its number of clusters calls for; `units` on either side."""
    smaller, se_type = min(n_clusters_treated, n_clusters_comparison), "cluster_cr1"
    if few_clusters(offer, smaller):
        influence, se_type = jackknife_influence(estimate, left_out), "cluster_jackknife"
    enough = smaller >= FEWEST_CLUSTERS or offer.few_clusters == "ignore"
    error = np.sqrt((influence**2).sum())
    if not (enough and np.isfinite(error) and error > 1e-10 * abs(estimate)):
        influence, error, se_type = np.zeros(len(labels)), np.nan, ""
    statistic, p_value, low, high = pointwise_interval(estimate, error, len(labels) - 1)
    row = dict.fromkeys(EFFECT_COLUMNS, np.nan) | {"arm": "", "aggregation": ""} | entries | {
        "estimate": estimate, "std_error": error, "se_type": se_type, "statistic": statistic, "p_value": p_value,
        "conf_low": low, "conf_high": high,
        "n_clusters_treated": n_clusters_treated, "n_clusters_comparison": n_clusters_comparison}  # fmt: skip
    support = pd.DataFrame([(*units, None)], columns=list(SUPPORT_COLUMNS))
    return Effects(pd.DataFrame([row])[list(EFFECT_COLUMNS)], influence[:, None], labels, support)


def _labelled(parts: list[Effects], outcome: Outcome, subgroup: str) -> Effects:
    if not parts:
        return Effects(pd.DataFrame(columns=list(EFFECT_COLUMNS)), np.zeros((0, 0)), np.array([]))
    joined = join_effects(parts)
    return replace(joined, table=joined.table.assign(outcome=outcome.name, domain=outcome.domain, subgroup=subgroup))
