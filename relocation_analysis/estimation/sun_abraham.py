"""The interaction-weighted estimator: one regression with a dummy for every cohort and time.

Sun & Abraham (2021, J. Econometrics 225(2)), section 4.1: regress the outcome on unit effects, time effects and
cohort by relative-time dummies; average the coefficients by the sizes of the cohorts. The comparison never moves, or,
where everybody moves, moves last. Each cohort's dummies fit it by itself, so the regression falls apart into one of
unit and time effects per cohort. Unit effects are those of a village and cohort (and stratum), which on a balanced
panel is the same; there the coefficients are those of Callaway & Sant'Anna (2021) with a never-treated comparison and
a universal base.
"""

from dataclasses import dataclass

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
    needs_jackknife,
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
class _Part:
    """The regression of one cohort on its own rows: the grid of them, the fit, and which columns are tied (C, C)."""

    grid: CellGrid
    model: TwoWay
    tied: np.ndarray

    @classmethod
    def of(cls, grid: CellGrid, cohort: float) -> "_Part":
        rows = grid.rows(grid.cohort == cohort)
        model = fit_two_way(rows.weight, rows.total)
        known = np.isfinite(model.fitted) & (rows.weight.sum(0) > 0)
        return cls(rows, model, (known.T.astype(float) @ known) > 0)


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
    jackknife : also estimate without each cluster in turn.
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
        slope, columns = _slope(*sides, contrast)
        if slope is None:
            continue
        att[j] = slope @ (sides[0].model.column - sides[1].model.column)
        for side, part in enumerate(sides):
            score = part.model.residual @ (part.model.inverse @ slope) * (1 - 2 * side)
            influence[:, j] += part.grid.by_cluster(score)
            counts = part.grid.by_cluster(part.grid.count[:, columns].sum(1))
            flags[side, :, j] = counts > 0
            units[:, j] += counts
            by_side[side, :, j] = counts
    dropped = None
    if jackknife:
        dropped = np.array([_coefficients_without(grid, k, parts, contrasts, att) for k in range(shape[0])])
    cohorts, g = np.unique(cells.rows["cohort"].to_numpy(dtype=float), return_inverse=True)
    size = np.zeros((shape[0], len(cohorts)))
    np.add.at(size, (np.searchsorted(grid.clusters, cells.rows["cluster"].to_numpy()), g), cells.size)
    return CohortTime(contrasts, grid.clusters, att, influence, dropped, cohorts, size, *flags, units, by_side)


def _slope(treated: _Part | None, others: _Part | None, contrast: Contrast) -> tuple[np.ndarray | None, np.ndarray]:
    """(C,) the combination of time effects that is the change from base to time, weighted by the treated then, and
    the columns of that time; None where no column can be compared with its base."""
    if treated is None or others is None:
        return None, np.array([], dtype=int)
    time = treated.grid.time
    now, base = np.flatnonzero(time == contrast.time), np.flatnonzero(time == contrast.base)
    usable = treated.tied[now, base] & others.tied[now, base]
    now, base = now[usable], base[usable]
    if len(now) == 0:
        return None, now
    weight = treated.grid.weight.sum(0)[now]
    slope = np.zeros(len(time))
    slope[now], slope[base] = weight / weight.sum(), -weight / weight.sum()
    return slope, now


def _coefficients_without(grid: CellGrid, cluster: int, parts: dict[float, _Part], contrasts, att: np.ndarray) -> np.ndarray:
    """(J,) the coefficients without a cluster: only the regressions of its own cohorts are estimated anew, and only the
    contrasts between which one of these stands differ from `att`."""
    rest, touched = grid.without(cluster), set(grid.cohort[grid.cluster == cluster])
    parts = {c: _Part.of(rest, c) if c in touched else part for c, part in parts.items()}
    found = att.copy()
    for j, contrast in enumerate(contrasts):
        if touched & {contrast.cohort, contrast.comparison[0]}:
            treated, others = parts.get(contrast.cohort), parts.get(contrast.comparison[0])
            slope, _ = _slope(treated, others, contrast)
            found[j] = np.nan if slope is None else slope @ (treated.model.column - others.model.column)
    return found


def estimate_sun_abraham(
    design: Design, name: str, aggregations: tuple[str, ...] = AGGREGATIONS, cells: Cells | None = None
) -> Effects:
    """Interaction-weighted effects of relocation on one outcome, aggregated and with errors as the main estimator's.

    The sizes of the cohorts are estimates and part of the error (as in Sun & Abraham 2021), as everywhere in
    this project. Continuous covariates are not adjusted for. No row where the panel allows no effect. `cells` are those
    of `level_cells`, where they are at hand.
    """
    outcome, settings = design.outcomes[name], design.study.design
    cells = level_cells(design, outcome) if cells is None else cells
    cohorts = tuple(np.unique(cells.rows["cohort"].to_numpy(dtype=float)))
    contrasts = interaction_contrasts(cohorts, cells.columns, settings.anticipation)
    fit = interact_cohort_time(cells, contrasts, settings.strata)
    if settings.few_clusters == "jackknife" and needs_jackknife(fit):
        fit = interact_cohort_time(cells, contrasts, settings.strata, jackknife=True)
    return effects_of_fit(design, outcome, fit, SUN_ABRAHAM, aggregations)
