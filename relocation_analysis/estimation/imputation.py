"""Imputation: what movers would have been without the move, from those not yet moved, cell by cell.

Borusyak, Jaravel & Spiess (2024, Review of Economic Studies 91(6)). The model of the untreated outcome,
Y_it(0) = alpha_i + beta_t, is fitted on untreated observations only; the effect on a treated one is what is left,
tau_it = Y_it - alpha_i - beta_t, and effects are averages of these (their theorem 2). Here alpha belongs to a village
by cohort (and stratum) and beta to a time (by age cell and stratum). On a balanced panel that is the regression with
unit effects, because the units of a cohort are untreated at the same times. On an unbalanced panel, and for a repeated
outcome, it is not: alpha is then the level of a village and cohort, and who is observed must not change.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from relocation_analysis.estimation.cells import Cells
from relocation_analysis.estimation.cohort_time import CohortTime, Contrast
from relocation_analysis.estimation.design import Design
from relocation_analysis.estimation.effects import Effects
from relocation_analysis.estimation.estimate import contrasts_of, effects_of_fit, level_cells
from relocation_analysis.estimation.inference import MANY_CLUSTERS

IMPUTATION = "imputation"
AGGREGATIONS = ("headline", "event_time", "overall_simple")
CELLS_AT_ONCE = 40_000


@dataclass(frozen=True)
class CellGrid:
    """Cells as a table of R rows, each of one cluster and cohort, by C columns, each of one time.

    Attributes
    ----------
    clusters : K labels. cluster : (R,) their positions. cohort : (R,). time : (C,).
    weight, total, count : (R, C) sums of weights, of weight times outcome, and observations.

    All but `clusters` and `time` may have a leading axis of replicates B, which are fitted at once.
    """

    clusters: np.ndarray
    cluster: np.ndarray
    cohort: np.ndarray
    time: np.ndarray
    weight: np.ndarray
    total: np.ndarray
    count: np.ndarray

    def by_cluster(self, values: np.ndarray) -> np.ndarray:
        """Sums over the rows of each cluster, (K, ...)."""
        out = np.zeros((len(self.clusters), *values.shape[1:]))
        np.add.at(out, self.cluster, values)
        return out

    def without_each(self, clusters: np.ndarray) -> Iterator[tuple[np.ndarray, "CellGrid"]]:
        """The grid without each of some clusters in turn: those with as many rows are replicates of one grid, as long as it
        stays in the processor's cache."""
        size = np.bincount(self.cluster, minlength=len(self.clusters))[clusters]
        for alike in (clusters[size == rows] for rows in np.unique(size)):
            for left_out in in_chunks(alike, self.weight.size):
                left = np.nonzero(self.cluster != left_out[:, None])[1]
                yield left_out, self.rows(left.reshape(len(left_out), -1))

    def rows(self, keep: np.ndarray) -> "CellGrid":
        arrays = (a[keep] for a in (self.weight, self.total, self.count))
        return CellGrid(self.clusters, self.cluster[keep], self.cohort[keep], self.time, *arrays)


def in_chunks(clusters: np.ndarray, cells: int) -> Iterator[np.ndarray]:
    """Clusters, as many at a time as may be fitted at once where each takes so many cells."""
    most = max(1, CELLS_AT_ONCE // cells)
    return (clusters[k : k + most] for k in range(0, len(clusters), most))


def spread_cells(cells: Cells, row_keys: tuple[str, ...], column_keys: tuple[str, ...] = ()) -> CellGrid:
    """Cells of levels as a grid: a row per `row_keys` (cluster and cohort first), a column per `column_keys` and time."""
    r = cells.rows.groupby(list(row_keys), dropna=False, sort=True).ngroup().to_numpy()
    block = cells.rows.groupby(list(column_keys), dropna=False, sort=True).ngroup().to_numpy() if column_keys else 0 * r
    times = np.array(cells.columns)
    columns = block[:, None] * len(times) + np.arange(len(times))
    arrays = np.zeros((3, r.max() + 1, (block.max() + 1) * len(times)))
    for out, values in zip(arrays, (cells.weight, cells.total, cells.count), strict=True):
        np.add.at(out, (r[:, None], columns), values)
    first = np.unique(r, return_index=True)[1]
    clusters, k = np.unique(cells.rows["cluster"].to_numpy()[first], return_inverse=True)
    cohort = cells.rows["cohort"].to_numpy(dtype=float)[first]
    return CellGrid(clusters, k, cohort, np.tile(times, block.max() + 1), *arrays)


@dataclass(frozen=True)
class TwoWay:
    """Weighted regression on row and column effects.

    Attributes
    ----------
    fitted : (R, C) row plus column effect, NaN where the data do not tie the row to the column.
    column : (C,) column effects; only differences within a connected part of the data mean anything.
    residual : (R, C) weight times residual, zero where nothing was observed.
    inverse : (C, C) pseudo-inverse of the normal equations of the column effects.
    share : (R, C) weight of each column in its row.

    Each may have a leading axis of replicates.
    """

    fitted: np.ndarray
    column: np.ndarray
    residual: np.ndarray
    inverse: np.ndarray
    share: np.ndarray


def fit_two_way(weight: np.ndarray, total: np.ndarray) -> TwoWay:
    """Fit row and column effects to means total / weight, by the normal equations with row effects solved out.

    Parameters
    ----------
    weight, total : (R, C) or (B, R, C) sums of weights and of weight times outcome; zero where nothing was observed.
    """
    size = weight.sum(-1, keepdims=True)
    share = np.divide(weight, size, out=np.zeros_like(weight), where=size > 0)
    mean = np.divide(total.sum(-1, keepdims=True), size, out=np.zeros_like(size), where=size > 0)
    normal = weight.sum(-2)[..., None] * np.eye(weight.shape[-1]) - weight.swapaxes(-1, -2) @ share
    inverse = np.linalg.pinv(normal, rcond=1e-11, hermitian=True)
    column = np.matvec(inverse, (total - weight * mean).sum(-2))
    fitted = mean - np.matvec(share, column)[..., None] + column[..., None, :]
    residual = total - weight * fitted
    return TwoWay(np.where(_tied(weight > 0), fitted, np.nan), column, residual, inverse, share)


def _tied(observed: np.ndarray) -> np.ndarray:
    """(..., R, C) True where a row and a column belong to the same connected component of the observations."""
    some, present = observed.any(-1)[..., None], observed.any(-2)[..., None, :]
    if (observed | ~some).all(-2).any(-1).all():
        return some & present
    seen = observed.astype(float)
    reach = (seen.swapaxes(-1, -2) @ seen) > 0
    while True:  # columns that share a row, then those that share a row with these, until no more is reached
        further = (reach.astype(float) @ reach) > 0
        if (further == reach).all():
            return (seen @ reach) > 0
        reach = further


def impute_cohort_time(
    cells: Cells,
    contrasts: tuple[Contrast, ...],
    anticipation: int = 0,
    strata: tuple[str, ...] = (),
    jackknife: bool = False,
) -> CohortTime:
    """Cohort-time effects by imputation, with conservative influence values.

    The influence of a cluster is sum v_it e_it over its observations, v the weights of the linear estimator and e the
    residuals, those of the treated around a mean of their cohort and time, weighted by the squared weight of the
    cluster (Borusyak et al. 2024, theorem 3 and equations 6 to 8). Weights are taken as given: cohort sizes are no
    part of the error, so `size` is the same in every cluster. An effect whose time or row no untreated observation
    ties down is NaN.

    Parameters
    ----------
    cells : of levels by time (`level_cells`).
    contrasts : the cohorts and times wanted; those before cohort - anticipation are NaN.
    anticipation : observations from cohort - anticipation on count as treated.
    strata : `by` columns with time effects of their own.
    jackknife : also estimate without each cluster in turn, if an effect has few clusters.
    """
    grid = spread_cells(cells, ("cluster", "cohort", *strata), ("age", *strata))
    untreated = grid.time < grid.cohort[:, None] - anticipation
    model = fit_two_way(grid.weight * untreated, grid.total * untreated)
    att = _averages(grid, model.fitted, untreated, contrasts)
    shape = (len(grid.clusters), len(contrasts))
    influence, units, flags = np.zeros(shape), np.zeros(shape), np.zeros((2, *shape), dtype=bool)
    by_side = np.zeros((2, *shape))
    for j in np.flatnonzero(np.isfinite(att)):
        used = _used(grid, model.fitted, untreated, contrasts[j])
        compared = (grid.weight > 0) & untreated & used.any(0)
        influence[:, j] = _influence(grid, model, used)
        flags[0, :, j], flags[1, :, j] = (grid.by_cluster(cell.any(1).astype(float)) > 0 for cell in (used, compared))
        units[:, j] = grid.by_cluster((grid.count * (used | compared)).sum(1))
        by_side[:, :, j] = [grid.by_cluster((grid.count * cell).max(1)) for cell in (used, compared)]
    cohorts, g = np.unique(cells.rows["cohort"].to_numpy(dtype=float), return_inverse=True)
    size = np.tile(np.bincount(g, cells.size) / shape[0], (shape[0], 1))
    fit = CohortTime(contrasts, grid.clusters, att, influence, None, cohorts, size, *flags, units, by_side)
    return replace(fit, jackknife=_averages_without_each(grid, anticipation, contrasts)) if jackknife and has_few_clusters(fit) else fit


def _used(grid: CellGrid, fitted, untreated, contrast: Contrast) -> np.ndarray:
    """(R, C) the treated cells of a contrast that have an imputed value."""
    of = (grid.cohort == contrast.cohort)[:, None] & (grid.time == contrast.time)
    return of & ~untreated & (grid.weight > 0) & np.isfinite(fitted)


def _averages(grid: CellGrid, fitted, untreated, contrasts) -> np.ndarray:
    """(..., J) mean of Y less its imputed value over the treated observations of each contrast."""
    usable = ~untreated & (grid.weight > 0) & np.isfinite(fitted)
    cohorts, g = np.unique(grid.cohort, return_inverse=True)
    times, t = np.unique(grid.time, return_inverse=True)
    replicate = np.arange(np.prod(g.shape[:-1], dtype=int)).reshape(*g.shape[:-1], 1)
    shape = (*g.shape[:-1], len(cohorts), len(times))
    place = (((replicate * len(cohorts) + g) * len(times))[..., None] + t).ravel()
    sums = [np.bincount(place, np.where(usable, values, 0.0).ravel(), np.prod(shape, dtype=int)).reshape(shape)
            for values in (grid.total - grid.weight * fitted, grid.weight)]  # fmt: skip
    mean = np.divide(*sums, out=np.full(shape, np.nan), where=sums[1] > 0)
    row, column = ({value: i for i, value in enumerate(values)} for values in (cohorts, times))
    found = np.full((*shape[:-2], len(contrasts)), np.nan)
    for j, c in enumerate(contrasts):
        if c.cohort in row:
            found[..., j] = mean[..., row[c.cohort], column[c.time]]
    return found


def _averages_without_each(grid: CellGrid, anticipation: int, contrasts) -> np.ndarray:
    """(K, J) the averages without each cluster, the model fitted anew."""
    found = np.full((len(grid.clusters), len(contrasts)), np.nan)
    for left_out, rest in grid.without_each(np.arange(len(grid.clusters))):
        untreated = rest.time < rest.cohort[..., None] - anticipation
        model = fit_two_way(rest.weight * untreated, rest.total * untreated)
        found[left_out] = _averages(rest, model.fitted, untreated, contrasts)
    return found


def _influence(grid: CellGrid, model: TwoWay, used: np.ndarray) -> np.ndarray:
    """(K,) influence on the mean effect over the treated cells `used`.

    Row effects leave residuals that sum to zero in a row, so only the part of v that varies within it matters.
    """
    weight = np.where(used, grid.weight, 0.0)
    size = weight.sum()
    left = np.where(used, grid.total - weight * np.nan_to_num(model.fitted), 0.0)
    mass, gain = grid.by_cluster(weight.sum(1)), grid.by_cluster(left.sum(1))
    centre = (mass @ gain) / (mass @ mass)
    slope = model.inverse @ (weight.sum(1) @ model.share - weight.sum(0)) / size
    return grid.by_cluster(model.residual @ slope) + (gain - centre * mass) / size


def estimate_imputation(design: Design, name: str, aggregations: tuple[str, ...] = AGGREGATIONS) -> Effects:
    """Effects of relocation on one outcome by imputation: every untreated observation is part of the comparison.

    Aggregations, weights and the rule for few clusters are those of the main estimator. Continuous covariates are not
    adjusted for. No row where the panel allows no effect.
    """
    outcome = design.outcomes[name]
    fit = fit_imputation(design, name, level_cells(design, outcome))
    return effects_of_fit(design, outcome, fit, IMPUTATION, aggregations)


def fit_imputation(design: Design, name: str, cells: Cells) -> CohortTime:
    """Cohort-time effects by imputation as a design wants them, from cells of levels by time."""
    settings = design.study.design
    contrasts = contrasts_of(design, design.outcomes[name], "universal", "not_yet_treated")
    contrasts = tuple(c for c in contrasts if c.event_time >= -settings.anticipation)
    return impute_cohort_time(cells, contrasts, settings.anticipation, settings.strata, settings.few_clusters == "jackknife")


def has_few_clusters(fit: CohortTime) -> bool:
    """Whether an effect has so few clusters on one side that its error is the jackknife's. An aggregate has no fewer."""
    known = np.isfinite(fit.att)
    return bool((np.minimum(fit.treated.sum(0), fit.comparison.sum(0))[known] < MANY_CLUSTERS).any())
