"""What stands behind each effect, and which effects too few stand behind to be shown where data are not public.

An effect is thin by itself where few units or clusters stand on a side of it, or where it has no error though there are
clusters enough: then all are alike, or a single cluster carries it. Others become thin with it, because the rows of a table of
effects are averages of one another: whoever knows all but one knows that one. Which these are is decided here, once, where
all effects of an outcome are at hand, so that a selection of rows made later cannot change it.

The decision follows the suppression of cells in official tables (Hundepool et al. 2012, Statistical Disclosure Control,
sections 4.3 and 4.4): every row is a linear combination of cohort-time effects, and no thin row may be one of rows that are
shown.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from relocation_analysis.estimation.aggregate import HEADLINE_EXPOSURES
from relocation_analysis.estimation.checks import Check
from relocation_analysis.estimation.effects import MAIN_ESTIMATORS, Effects, support_of
from relocation_analysis.estimation.inference import FEWEST_CLUSTERS

CLUSTERS = 3  # the fewest clusters on a side behind an effect that is shown
FEW_UNITS, FEW_CLUSTERS, NO_ERROR, COMPLEMENT = "few_units", "few_clusters", "no_error", "complement"
UNIVERSAL = "callaway_santanna_universal"
FAMILY = ("callaway_santanna", UNIVERSAL)  # estimators whose rows are averages of the same cohort-time effects
KEYS = ["subgroup", "aggregation", "arm", "cohort", "time", "event_time"]
RANK = ("cohort_time", "cohort", "calendar", "overall_cohort", "overall_dynamic", "overall_simple", "event_time", "headline")
TOLERANCE = 1e-9


def mark_thin(effects: Effects, threshold: int, clusters: int = CLUSTERS, estimated: bool = True) -> Effects:
    """Write into the support of effects which of them are thin, and why; blank where enough stand behind them.

    Parameters
    ----------
    effects : every effect of their outcomes.
    threshold : fewest units on a side. clusters : fewest clusters on a side.
    estimated : the effects are as an estimator left them, so that a missing error says something.
    """
    if effects.table.empty:
        return effects
    support = support_of(effects).assign(thin=thin_by_itself(effects, threshold, clusters, estimated))
    rows = _rows_of(replace(effects, support=support))
    for _, group in rows.groupby("outcome", sort=False):
        _protect(rows, group.index, threshold, clusters)
    return replace(effects, support=support.assign(thin=rows["thin"]))


def _rows_of(effects: Effects) -> pd.DataFrame:
    """Effects with their support; `cell` numbers what they are the effects of, whatever the estimator."""
    table = effects.table[["outcome", "estimator", "estimand", *KEYS, "n_clusters_treated"]]
    cell = table.groupby(["outcome", *KEYS], dropna=False).ngroup()
    return pd.concat([table.assign(cell=cell), support_of(effects)], axis=1)


def thin_by_itself(effects: Effects, threshold: int, clusters: int = CLUSTERS, estimated: bool = True) -> pd.Series:
    """Why each effect is thin whatever else is shown, or blank. A base period is zero by construction and never thin. A missing
    error counts where the effects are as `estimated`."""
    table, support = effects.table, support_of(effects)
    sides = table[["n_clusters_treated", "n_clusters_comparison"]].astype(float)
    few = table["n_units"].lt(threshold) | support[["n_treated", "n_comparison"]].astype(float).lt(threshold).any(axis=1)
    alone = table["std_error"].isna() & table["estimate"].notna() & sides.min(axis=1).ge(FEWEST_CLUSTERS)
    alone &= table["estimator"].ne("anderson_rubin")  # an interval, no error
    reasons = np.select([few, sides.lt(clusters).any(axis=1), alone & estimated], [FEW_UNITS, FEW_CLUSTERS, NO_ERROR], "")
    return pd.Series(np.where(is_base(table), "", reasons), index=table.index, dtype=object)


def is_base(table: pd.DataFrame) -> pd.Series:
    """Rows of a universal base period: before the event, zero by construction and so without an error or anybody behind it."""
    return table["estimate"].eq(0) & table["std_error"].isna() & table["event_time"].lt(0)


def _protect(rows: pd.DataFrame, index: pd.Index, threshold: int, clusters: int) -> None:
    """Make thin what would reveal a thin row of one outcome."""
    if rows.loc[index, "thin"].eq("").all():
        return
    _hide_ratios(rows, index)
    for pool in _pools(rows.loc[index]):
        _fill_pool(rows, pool, threshold, clusters)
    if rows.loc[index, "estimator"].isin(FAMILY).any():
        _hide_solutions(rows, index)


def _hide(rows: pd.DataFrame, index: pd.Index) -> None:
    """Make rows thin, and with them the rows of the same cells by the other of the two estimators."""
    same = rows["cell"].isin(rows.loc[index, "cell"]) & rows["estimator"].isin(FAMILY)
    wanted = index.union(rows.index[same])
    rows.loc[wanted[rows.loc[wanted, "thin"].eq("")], "thin"] = COMPLEMENT


def _hide_ratios(rows: pd.DataFrame, index: pd.Index) -> None:
    """The effect on those moved is the effect of the offer over the first stage: one of the two does not stay alone."""
    part = rows.loc[index]
    stages = part[part["estimand"].isin(("first_stage", "late")) & part["arm"].eq("")]
    for _, group in stages.groupby("subgroup"):
        if group["thin"].ne("").any():
            _hide(rows, group.index)


def _pools(part: pd.DataFrame) -> Iterator[dict]:
    """Groups of rows that add up to a row that is shown: levels of a trait, arms, cohorts. Member -> its rows."""
    headline = part[part["aggregation"].eq("headline") & part["subgroup"].str.contains("=")]
    for _, levels in headline.groupby(headline["subgroup"].str.split("=").str[0]):
        yield {name: group.index for name, group in levels.groupby("subgroup")}
    for _, arms in part[part["arm"].ne("")].groupby(["subgroup", "estimand"]):
        yield {name: group.index for name, group in arms.groupby("arm")}
    cells = part[part["estimator"].isin(FAMILY) & part["aggregation"].isin(("cohort", "cohort_time"))]
    yield {name: group.index for name, group in cells.groupby("cohort")}


def _fill_pool(rows: pd.DataFrame, pool: dict, threshold: int, clusters: int) -> None:
    """Hide members, from the smallest up, until those hidden are two or more and together no longer few.

    Together means twice the threshold, so that the sum of their sizes leaves every size below the threshold possible.
    """
    size = {name: float(rows.loc[index, "n_treated"].max()) for name, index in pool.items()}
    sides = {name: float(rows.loc[index, "n_clusters_treated"].max()) for name, index in pool.items()}
    hidden = [name for name, index in pool.items() if rows.loc[index, "thin"].ne("").all()]
    if not hidden:
        return
    for name in sorted(set(pool) - set(hidden), key=lambda name: (size[name], name)):
        enough = sum(size[n] for n in hidden) >= 2 * threshold and sum(sides[n] for n in hidden) >= clusters
        if len(hidden) > 1 and enough:
            break
        hidden.append(name)
    for name in hidden:
        _hide(rows, pool[name])


def _hide_solutions(rows: pd.DataFrame, index: pd.Index) -> None:
    """While a thin row is a combination of rows that are shown, hide one of them: in the order of `RANK`, so that what a report is
    read for goes last, and of one kind the smallest."""
    part = rows.loc[index]
    part = part[part["estimator"].isin(FAMILY) & part["aggregation"].isin(RANK) & part["subgroup"].eq("all")]
    part = part.sort_values(["aggregation", "n_treated", "cohort", "time", "event_time", "estimator"], kind="stable",
                            key=lambda c: c.map(RANK.index) if c.name == "aggregation" else c)  # fmt: skip
    vectors = combinations(part)
    known = np.abs(vectors).sum(1) > 0
    part, vectors = part[known], vectors[known]
    shown, same = part["thin"].eq("").to_numpy(copy=True), part.groupby(KEYS, dropna=False).ngroup().to_numpy()
    while (solving := _solving(vectors, shown)) is not None:
        shown[same == same[solving]] = False
    rows.loc[part.index[~shown & part["thin"].eq("").to_numpy()], "thin"] = COMPLEMENT


def _solving(vectors: np.ndarray, shown: np.ndarray) -> int | None:
    """The first shown row that helps to solve for a row that is not shown; None where no such row can be solved for."""
    if shown.all() or not shown.any():
        return None
    weights, *_ = np.linalg.lstsq(vectors[shown].T, vectors[~shown].T, rcond=None)
    left = np.linalg.norm(vectors[~shown].T - vectors[shown].T @ weights, axis=0)
    solved = left < TOLERANCE * np.linalg.norm(vectors[~shown], axis=1)
    if not solved.any():
        return None
    size = np.abs(weights[:, solved])
    helps = np.flatnonzero(shown)[(size > 0.01 * size.max(0)).any(1)]
    return int(helps[0])


def combinations(part: pd.DataFrame) -> np.ndarray:
    """(R, J) each row as a combination of the J steps from which cohort-time effects are made.

    A step is an effect of a cohort at a time: after the move the effect itself, before it the change since the wave before. With
    a universal base an effect before the move is minus the sum of the steps that lie between. Averages weigh cohorts by size.
    """
    cells = part[part["aggregation"].eq("cohort_time")]
    pairs = np.array(sorted(set(zip(cells["cohort"], cells["time"], strict=True)))).reshape(-1, 2)
    size = cells.groupby("cohort")["n_treated"].max()
    made = {name: _cells_of(rows, pairs, cells) for name, rows in cells.groupby("estimator")}
    out = np.zeros((len(part), len(pairs)))
    for i, row in enumerate(part.itertuples()):
        if row.estimator in made:
            g, t, vectors = made[row.estimator]
            weight = _weights(row, g, t, size.reindex(g).to_numpy(dtype=float))
            out[i] = weight @ vectors / weight.sum() if weight.sum() > 0 else 0.0
    return out


def _cells_of(rows: pd.DataFrame, pairs: np.ndarray, cells: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cohort and time of an estimator's cohort-time rows, and each as a combination of the steps `pairs`."""
    g, t = rows["cohort"].to_numpy(dtype=float), rows["time"].to_numpy(dtype=float)
    same = pairs[None, :, 0] == g[:, None]
    vectors = (same & (pairs[None, :, 1] == t[:, None])).astype(float)
    if rows["estimator"].iloc[0] == UNIVERSAL and _is_varying(cells):
        between = same & (pairs[None, :, 1] > t[:, None]) & (pairs[None, :, 1] < g[:, None])
        before = t < g
        vectors[before] = -between[before].astype(float)
    return g, t, vectors


def _is_varying(cells: pd.DataFrame) -> bool:
    """Whether the main estimator compares waves before the move with the wave before: only then has it the last of them."""
    main, universal = (set(zip(c["cohort"], c["time"], strict=True)) for c in (cells[cells["estimator"].eq(name)] for name in FAMILY))
    return bool({(g, t) for g, t in main - universal if t < g})


def _weights(row, g: np.ndarray, t: np.ndarray, size: np.ndarray) -> np.ndarray:
    """The weights of cohort-time rows (cohorts g, times t) in one row."""
    e, after = t - g, t >= g
    low, high = HEADLINE_EXPOSURES
    if row.aggregation == "cohort_time":
        return ((g == row.cohort) & (t == row.time)).astype(float)
    if row.aggregation == "event_time":
        return size * (e == row.event_time)
    if row.aggregation == "cohort":
        return 1.0 * (after & (g == row.cohort))
    if row.aggregation == "calendar":
        return size * (after & (t == row.time))
    if row.aggregation == "headline":  # up to an exposure, where the row names one
        return size * ((e >= low) & (e <= (high if np.isnan(row.event_time) else row.event_time)))
    if row.aggregation == "overall_cohort":
        return size * after / np.maximum((after[None, :] & (g[None, :] == g[:, None])).sum(1), 1)
    if row.aggregation == "overall_dynamic":
        return size * after / np.maximum(((e[None, :] == e[:, None]) @ size), 1e-300)
    return size * after


def count_fewest(values: pd.Series, everybody: pd.Series) -> int:
    """How many the mean of `values` tells of: where no more than two values occur among everybody, the fewer of those; else all."""
    kinds = everybody.dropna().unique()
    if len(kinds) > 2:
        return len(values)
    return int(min((values == kinds.max()).sum(), (values < kinds.max()).sum())) if len(kinds) else 0


def mark_checks(checks: list[Check], effects: Effects) -> list[Check]:
    """Write into checks, and into their tables, what would tell of a thin effect.

    A check of an outcome whose headline is thin is thin with it; a test of event times with one of these; a first stage
    with its effect. In the table of `single_cohorts` and in a specification curve, `thin` marks what is left without a thin
    cohort: with the headline it gives the effect on that cohort.
    """
    rows = pd.concat([effects.table, support_of(effects)[["thin"]].fillna("")], axis=1)
    of = {outcome: _Behind.of(group) for outcome, group in rows.groupby("outcome")}
    nothing = _Behind.of(rows.iloc[:0])
    return [_mark_check(check, of.get(check.outcome, nothing)) if check.outcome else check for check in checks]


@dataclass(frozen=True)
class _Behind:
    """What is behind the checks of one outcome: its headline, the cohorts whose effect is thin, and why the headline is thin, or
    one of the rows that a check of a name looks at."""

    headline: float | None
    hidden: np.ndarray
    thin: str
    reasons: dict[str, str]

    @classmethod
    def of(cls, rows: pd.DataFrame) -> "_Behind":
        everyone = rows["subgroup"].eq("all")
        headline = rows[rows["aggregation"].eq("headline") & everyone & rows["estimator"].isin(MAIN_ESTIMATORS)]
        events = rows[rows["aggregation"].eq("event_time") & rows["estimator"].eq(UNIVERSAL)]
        earlier, held = events[events["event_time"].lt(0)], events[events["event_time"].le(HEADLINE_EXPOSURES[1])]
        stage = rows[rows["estimand"].eq("first_stage") & everyone & rows["arm"].eq("")]
        behind = {"pre_trends": earlier, "honest_relative_magnitudes": held, "honest_smoothness": held, "first_stage": stage}
        first = {name: next((reason for reason in part["thin"] if reason), "") for name, part in behind.items()}
        hidden = rows.loc[rows["aggregation"].eq("cohort") & rows["thin"].ne(""), "cohort"]
        estimate = float(headline["estimate"].iloc[0]) if len(headline) else None
        return cls(estimate, hidden.to_numpy(), next((reason for reason in headline["thin"] if reason), ""), first)


def _mark_check(check: Check, behind: _Behind) -> Check:
    table = check.table
    if table is not None and check.name == "single_cohorts" and behind.headline is not None:
        change = (table["estimate"] - behind.headline).abs()
        table = table.assign(change=change, thin=np.where(table["cohort"].isin(behind.hidden), COMPLEMENT, ""))
    if table is not None and "without_cohort" in table:
        table = table.assign(thin=np.where(table["without_cohort"].isin(behind.hidden), COMPLEMENT, ""))
    return replace(check, table=table, thin=behind.thin or behind.reasons.get(check.name, ""))
