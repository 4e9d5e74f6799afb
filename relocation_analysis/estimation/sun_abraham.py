"""The interaction-weighted estimator: one regression with a dummy for every cohort and time.

Sun & Abraham (2021, J. Econometrics 225(2)), section 4.1: regress the outcome on unit effects, time effects and
cohort by relative-time dummies; average the coefficients by the sizes of the cohorts. The comparison never moves, or,
where everybody moves, moves last. Each cohort's dummies fit it by itself, so the regression falls apart into one of
unit and time effects per cohort. Unit effects are those of a village and cohort (and stratum), which on a balanced
panel is the same; there the coefficients are those of Callaway & Sant'Anna (2021) with a never-treated comparison and
a universal base.
"""

from dataclasses import dataclass, replace

import numpy as np

from relocation_analysis.estimation.cells import NEVER, Cells
from relocation_analysis.estimation.cohort_time import CohortTime, Contrast, base_period
from relocation_analysis.estimation.design import Design
from relocation_analysis.estimation.effects import Effects
from relocation_analysis.estimation.estimate import effects_of_fit, level_cells
from relocation_analysis.estimation.imputation import (
    AGGREGATIONS,
    CellGrid,
    TwoWay,
    fit_two_way,
    has_few_clusters,
    in_chunks,
    spread_cells,
)

SUN_ABRAHAM = "sun_abraham"


def interaction_contrasts(
    cohorts: tuple[float, ...], times: tuple[int, ...], anticipation: int = 0
) -> tuple[Contrast, ...]:
    """The cohort by time dummies: every time but the base, against those who never move or else move last.

    Times at which the last cohort has moved, or may anticipate it, are left out with it (Sun & Abraham 2021, section
    4.1).
    """
    last = max(cohorts, default=NEVER)
    usable = [t for t in times if t < last - anticipation]
    bases = {g: base_period(g, tuple(usable), anticipation) for g in cohorts if usable and g < last and g <= usable[-1]}
    return tuple(
        Contrast(g, t, base, (last,)) for g, base in bases.items() if base is not None for t in usable if t != base
    )


@dataclass(frozen=True)
class _Columns:
    """What coefficients need of the regression of one cohort, in each of B replicates: the column effects, the weights of the
    columns (B, C), and which columns are tied (B, C, C)."""

    effect: np.ndarray
    weight: np.ndarray
    tied: np.ndarray

    @classmethod
    def of(cls, grid: CellGrid, model: TwoWay) -> "_Columns":
        known = np.isfinite(model.fitted)
        return cls(model.column, grid.weight.sum(-2), (known.swapaxes(-1, -2).astype(float) @ known) > 0)


@dataclass(frozen=True)
class _Part:
    """The regression of one cohort on its own rows: the grid of them, the fit, and its columns as the only replicate."""

    grid: CellGrid
    model: TwoWay
    columns: _Columns

    @classmethod
    def of(cls, grid: CellGrid, cohort: float) -> "_Part":
        rows = grid.rows(grid.cohort == cohort)
        model = fit_two_way(rows.weight, rows.total)
        found = _Columns.of(rows, model)
        return cls(rows, model, _Columns(found.effect[None], found.weight[None], found.tied[None]))

    def without_each(self, clusters: np.ndarray) -> _Columns:
        """The columns without each of some clusters: as they are where the cohort does not live in the cluster."""
        arrays = [np.repeat(a, len(clusters), axis=0) for a in (self.columns.effect, self.columns.weight, self.columns.tied)]
        own = np.isin(clusters, self.grid.cluster)
        for left_out, rest in self.grid.without_each(clusters[own]):
            again = _Columns.of(rest, fit_two_way(rest.weight, rest.total))
            at = np.searchsorted(clusters, left_out)
            for array, values in zip(arrays, (again.effect, again.weight, again.tied), strict=True):
                array[at] = values
        return _Columns(*arrays)


def interact_cohort_time(
    cells: Cells, contrasts: tuple[Contrast, ...], strata: tuple[str, ...] = (), jackknife: bool = False
) -> CohortTime:
    """Coefficients of the cohort by time dummies, with influence values (the scores of the regression, no factor).

    Parameters
    ----------
    cells : of levels by time (`level_cells`).
    contrasts : from `interaction_contrasts`.
    strata : `by` columns with time effects and dummies of their own, as for the age cells of a repeated outcome; their
        coefficients are averaged by the weight of the treated. One that cannot be had leaves the average.
    jackknife : also estimate without each cluster in turn, if an effect has few clusters.
    """
    grid = spread_cells(cells, ("cluster", "cohort", *strata), ("age", *strata))
    parts = {c: _Part.of(grid, c) for c in np.unique(grid.cohort)}
    shape = (len(grid.clusters), len(contrasts))
    att, influence, units, flags = (
        np.full(shape[1], np.nan),
        np.zeros(shape),
        np.zeros(shape),
        np.zeros((2, *shape), dtype=bool),
    )
    by_side = np.zeros((2, *shape))
    for j, contrast in enumerate(contrasts):
        sides = (parts.get(contrast.cohort), parts.get(contrast.comparison[0]))
        if None in sides:
            continue
        slopes, used = _slopes(sides[0].columns, sides[1].columns, grid.time, contrast)
        slope, columns = slopes[0], used[0]
        if not columns.any():
            continue
        att[j] = slope @ (sides[0].model.column - sides[1].model.column)
        for side, part in enumerate(sides):
            score = part.model.residual @ (part.model.inverse @ slope) * (1 - 2 * side)
            influence[:, j] += part.grid.by_cluster(score)
            counts = part.grid.by_cluster(part.grid.count[:, columns].sum(1))
            flags[side, :, j] = counts > 0
            units[:, j] += counts
            by_side[side, :, j] = counts
    cohorts, g = np.unique(cells.rows["cohort"].to_numpy(dtype=float), return_inverse=True)
    size = np.zeros((shape[0], len(cohorts)))
    np.add.at(size, (np.searchsorted(grid.clusters, cells.rows["cluster"].to_numpy()), g), cells.size)
    fit = CohortTime(contrasts, grid.clusters, att, influence, None, cohorts, size, *flags, units, by_side)
    return replace(fit, jackknife=_coefficients_without_each(grid, parts, contrasts)) if jackknife and has_few_clusters(fit) else fit


def _slopes(treated: _Columns, others: _Columns, time: np.ndarray, contrast: Contrast) -> tuple[np.ndarray, np.ndarray]:
    """(B, C) the combination of time effects that is the change from base to time, weighted by the treated then, and
    whether it uses a column of that time: none where no column can be compared with its base."""
    now, base = np.flatnonzero(time == contrast.time), np.flatnonzero(time == contrast.base)
    usable = treated.tied[:, now, base] & others.tied[:, now, base]
    slopes, used = np.zeros(treated.weight.shape), np.zeros(treated.weight.shape, dtype=bool)
    used[:, now] = usable
    for some in np.unique(usable, axis=0):
        alike = np.flatnonzero((usable == some).all(1))
        at_time, at_base = np.ix_(alike, now[some]), np.ix_(alike, base[some])
        weight = treated.weight[at_time]
        slopes[at_time] = weight / weight.sum(1, keepdims=True)
        slopes[at_base] = -slopes[at_time]
    return slopes, used


def _coefficients_without_each(grid: CellGrid, parts: dict[float, _Part], contrasts) -> np.ndarray:
    """(K, J) the coefficients without each cluster: only the regressions of its own cohorts are estimated anew."""
    found = np.full((len(grid.clusters), len(contrasts)), np.nan)
    for clusters in in_chunks(np.arange(len(grid.clusters)), len(grid.time) ** 2):
        columns = {c: part.without_each(clusters) for c, part in parts.items()}
        for j, contrast in enumerate(contrasts):
            treated, others = columns.get(contrast.cohort), columns.get(contrast.comparison[0])
            if treated is not None and others is not None:
                slopes, used = _slopes(treated, others, grid.time, contrast)
                found[clusters, j] = np.where(used.any(1), np.vecdot(slopes, treated.effect - others.effect), np.nan)
    return found


def estimate_sun_abraham(design: Design, name: str, aggregations: tuple[str, ...] = AGGREGATIONS) -> Effects:
    """Interaction-weighted effects of relocation on one outcome, aggregated and with errors as the main estimator's.

    The sizes of the cohorts are estimates and part of the error (as in Sun & Abraham 2021), as everywhere in
    this project. Continuous covariates are not adjusted for. No row where the panel allows no effect.
    """
    outcome = design.outcomes[name]
    return effects_of_fit(design, outcome, fit_sun_abraham(design, level_cells(design, outcome)), SUN_ABRAHAM, aggregations)


def fit_sun_abraham(design: Design, cells: Cells) -> CohortTime:
    """Interaction-weighted cohort-time effects as a design wants them, from cells of levels by time."""
    settings = design.study.design
    contrasts = contrasts_of_cells(cells, settings.anticipation)
    return interact_cohort_time(cells, contrasts, settings.strata, settings.few_clusters == "jackknife")


def contrasts_of_cells(cells: Cells, anticipation: int) -> tuple[Contrast, ...]:
    """The cohort by time dummies of the cohorts and times that cells of levels have."""
    return interaction_contrasts(tuple(np.unique(cells.rows["cohort"].to_numpy(dtype=float))), cells.columns, anticipation)
