"""Cohort-time effects of relocation from cells: estimates, influence values, leave-one-cluster-out values.

Callaway & Sant'Anna (2021, J. Econometrics 225(2)), equation 2.9 and section 4: the effect at time t on those who moved at g is
the change of their outcome since the base period less the change of the comparison, here by stratum s and weighted by
the strata of the treated,

    ATT(g, t) = sum_s p_s(g, t) { [m_gs(t) - m_gs(b)] - [m_Cs(t) - m_Cs(b)] },

with means m = (sum of weight x outcome) / (sum of weights), which are functions of additive cells.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import groupby

import numpy as np

from relocation_analysis.estimation.cells import NEVER, Cells

BLOCK = 2**16  # numbers in an array of sums, which then stays in the cache of a core: contrasts are estimated together up to there


@dataclass(frozen=True)
class Contrast:
    """One cohort-time effect: cohort, time, its base period and the cohorts it is compared with.

    Without a base the levels at `time` are compared; without comparison cohorts the contrast is the cohort's own change.
    """

    cohort: float
    time: int
    base: int | None
    comparison: tuple[float, ...]

    @property
    def event_time(self) -> float:
        return self.time - self.cohort


@dataclass(frozen=True)
class CohortTime:
    """Estimates of J contrasts over K clusters.

    Attributes
    ----------
    contrasts : J contrasts. clusters : K labels.
    att : (J,) estimates, NaN where a cell is empty. influence : (K, J), whose root sum of squares is the error.
    jackknife : (K, J) estimates without each cluster, or None where not asked for.
    cohorts, size : cohorts (G,) and baseline weight by cluster (K, G), from which aggregation weights come.
    treated, comparison : (K, J) True where a cluster contributes units to that side.
    units : (K, J) number of units of the cluster that contribute.
    by_side : (2, K, J) those of the treated and of the comparison; where a cohort is compared with its own past, its own
        twice. None where they are not known apart.
    """

    contrasts: tuple[Contrast, ...]
    clusters: np.ndarray
    att: np.ndarray
    influence: np.ndarray
    jackknife: np.ndarray | None
    cohorts: np.ndarray
    size: np.ndarray
    treated: np.ndarray
    comparison: np.ndarray
    units: np.ndarray
    by_side: np.ndarray | None = None


def base_period(cohort: float, times: tuple[int, ...], anticipation: int) -> int | None:
    """The last observed time before cohort - anticipation, or None."""
    earlier = [t for t in times if t < cohort - anticipation]
    return max(earlier) if earlier else None


@lru_cache(maxsize=128)
def list_contrasts(
    cohorts: tuple[float, ...],
    times: tuple[int, ...],
    comparison: str = "not_yet_treated",
    anticipation: int = 0,
    base: str = "varying",
) -> tuple[Contrast, ...]:
    """Every cohort-time effect that the panel allows.

    A `varying` base compares times before the move with the time before them, a `universal` one with the last time
    before the move; after the move both use the latter. `not_yet_treated` compares with cohorts later than
    max(time, base) + anticipation and with never-movers, `never_treated` with the latter only.
    """
    found = []
    for cohort in sorted(c for c in cohorts if times and c <= times[-1]):
        last = base_period(cohort, times, anticipation)
        if last is None:
            continue
        for position, time in enumerate(times):
            before = time < cohort - anticipation
            if base == "varying" and before and position == 0:
                continue
            reference = times[position - 1] if base == "varying" and before else last
            if time == reference:
                continue
            horizon = max(time, reference) + anticipation
            others = tuple(c for c in sorted(cohorts) if c != cohort and (
                c == NEVER or (comparison == "not_yet_treated" and c > horizon)))  # fmt: skip
            if others:
                found.append(Contrast(cohort, time, reference, others))
    return tuple(found)


def estimate_cohort_time(
    cells: Cells, contrasts: tuple[Contrast, ...], strata: tuple[str, ...] = (), jackknife: bool = False
) -> CohortTime:
    """Estimate cohort-time effects from cells.

    Parameters
    ----------
    cells : from `build_cells`.
    contrasts : from `list_contrasts`; their pairs must be among those of the cells.
    strata : `by` columns within which trends are compared (conditional parallel trends). The age cell of a repeated
        outcome is always one of them. A stratum without treated or comparison units leaves the contrast, which is then
        an effect on the treated of the other strata.
    jackknife : also estimate without each cluster in turn.
    """
    return estimate_by_group(cells, (np.arange(len(cells.rows)),), contrasts, strata, jackknife)[0]


def estimate_by_group(
    cells: Cells, groups: Sequence[np.ndarray], contrasts: tuple[Contrast, ...], strata: tuple[str, ...] = (), jackknife: bool = False
) -> list[CohortTime]:
    """What `estimate_cohort_time` gives from the cells of each group alone, such as a subgroup, for all groups at once.

    Parameters
    ----------
    groups : the numbers of each group's rows, ascending. All else as there.
    """
    grid = _Grid.of(cells, strata, groups)
    shape = (len(groups), len(grid.clusters), len(contrasts))
    att, influence, sides = np.full((len(groups), len(contrasts)), np.nan), np.zeros(shape), np.zeros((2, *shape))
    dropped = np.full(shape, np.nan) if jackknife else None
    for block in _blocks(grid, contrasts, len(groups)):
        j, n = np.array(block).T
        treated, others = grid.sides([(contrasts[contrast], group) for contrast, group in block])
        fit = _difference(*(x.sum(1) for x in (treated.weight, treated.total, others.weight, others.total)), treated.signs)
        att[n, j] = fit.att
        influence[n, :, j] = _influence(fit, treated, others)
        for side, sums in zip(sides, (treated, others), strict=True):
            side[n, :, j] = np.where(fit.used[:, None, :, None], sums.count, 0.0).max(-1).sum(-1)
        if jackknife:
            dropped[n, :, j] = _difference(*_without(treated), *_without(others), treated.signs).att
    units = sides.sum(0)
    alone = [j for j, contrast in enumerate(contrasts) if not contrast.comparison]
    sides[1][..., alone] = sides[0][..., alone]
    fits = []
    for n, rows in enumerate(groups):
        clusters, cohorts, size = grid.sizes(rows)
        by_side = sides[:, n][:, clusters]
        fits.append(CohortTime(
            contrasts, grid.clusters[clusters], att[n], influence[n][clusters], dropped[n][clusters] if jackknife else None,
            grid.cohorts[cohorts], size, *(by_side > 0), units[n][clusters], by_side,
        ))  # fmt: skip
    return fits


def _blocks(grid: "_Grid", contrasts: tuple[Contrast, ...], groups: int) -> Iterator[list[tuple[int, int]]]:
    """Numbers of contrasts and groups that are estimated at once: alike in having a base and a comparison, as many as fit."""
    largest = max(1, BLOCK // max(1, 2 * len(grid.clusters) * grid.strata))
    for _, alike in groupby(range(len(contrasts)), key=lambda j: (contrasts[j].base is None, not contrasts[j].comparison)):
        pairs = [(j, n) for j in alike for n in range(groups)]
        yield from (pairs[i : i + largest] for i in range(0, len(pairs), largest))


@dataclass(frozen=True)
class _Sums:
    """Sums over one side of B contrasts: weight, weight times outcome and observations, (B, K, S, C), by cluster, stratum and
    column; the signs (C,) of the columns."""

    weight: np.ndarray
    total: np.ndarray
    count: np.ndarray
    signs: np.ndarray


@dataclass(frozen=True)
class _Fit:
    """ATT and its parts for contrasts, or for replicates of them: leading axes, then strata S and columns C."""

    att: np.ndarray  # (...,)
    share: np.ndarray  # (..., S) weight of each stratum among the treated
    means: tuple[np.ndarray, np.ndarray]  # treated and comparison, (..., S, C)
    weights: tuple[np.ndarray, np.ndarray]  # the same
    effect: np.ndarray  # (..., S)

    @property
    def used(self) -> np.ndarray:
        """(..., S) True where a stratum is part of an ATT."""
        return (self.share > 0) & np.isfinite(self.att)[..., None]


def _difference(w1, s1, w0, s0, signs) -> _Fit:
    """ATT from sums of weights w and totals s of the treated (1) and the comparison (0), each (..., S, C)."""
    usable = (w1 > 0).all(-1) & (w0 > 0).all(-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        m1 = np.where(usable[..., None], s1 / w1, 0.0)
        m0 = np.where(usable[..., None], s0 / w0, 0.0)
        at_time = np.where(usable, w1[..., 0], 0.0)
        share = at_time / at_time.sum(-1, keepdims=True)
        effect = ((m1 - m0) * signs).sum(-1)
        att = np.where(usable.any(-1), (share * effect).sum(-1), np.nan)
    return _Fit(att, share, (m1, m0), (w1, w0), effect)


def _influence(fit: _Fit, treated: _Sums, others: _Sums) -> np.ndarray:
    """(B, K) influence of each cluster on each ATT: the derivative of `_difference` with respect to the cluster's sums."""
    psi = np.zeros(treated.weight.shape[:2])
    with np.errstate(invalid="ignore", divide="ignore"):
        for sums, mean, weight, side in zip((treated, others), fit.means, fit.weights, (1, -1), strict=True):
            for c, sign in enumerate(treated.signs):
                factor = np.where(fit.used, fit.share / weight[..., c], 0.0)[:, None]
                residual = sums.total[..., c] - mean[:, None, :, c] * sums.weight[..., c]
                psi += side * sign * (residual * factor).sum(-1)
        gap = np.where(fit.used, fit.effect - fit.att[:, None], 0.0)
        total = np.where(fit.used, fit.weights[0][..., 0], 0.0).sum(-1)
        shares = (treated.weight[..., 0] * gap[:, None]).sum(-1) / total[:, None]
    return np.where(np.isfinite(fit.att)[:, None], psi + shares, 0.0)


def _without(sums: _Sums) -> tuple[np.ndarray, np.ndarray]:
    """Weights and totals without each cluster in turn. What rounding leaves of a stratum that only the cluster had is nothing."""
    weight, total = sums.weight.sum(1, keepdims=True), sums.total.sum(1, keepdims=True)
    rest = weight - sums.weight
    rest[rest < 1e-9 * weight] = 0.0
    return rest, total - sums.total


@dataclass(frozen=True)
class _Grid:
    """Cells on a dense grid: clusters K x cohorts G x strata S x columns P; the row numbers of each group."""

    clusters: np.ndarray
    cohorts: np.ndarray
    index: tuple[np.ndarray, np.ndarray, np.ndarray]
    strata: int
    cells: Cells
    groups: Sequence[np.ndarray]
    found: dict = field(default_factory=dict)  # rows by cohorts and group: contrasts share them

    @classmethod
    def of(cls, cells: Cells, strata: tuple[str, ...], groups: Sequence[np.ndarray]) -> "_Grid":
        clusters, k = np.unique(cells.rows["cluster"].to_numpy(), return_inverse=True)
        cohorts, g = np.unique(cells.rows["cohort"].to_numpy(dtype=float), return_inverse=True)
        s = np.unique(cells.rows["age"].to_numpy(), return_inverse=True)[1]
        if strata:
            s = cells.rows.groupby(["age", *strata], dropna=False, sort=True).ngroup().to_numpy()
        return cls(clusters, cohorts, (k, g, s), int(s.max()) + 1 if len(s) else 0, cells, groups)

    def sizes(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Numbers of the clusters and of the cohorts that some rows have, and their baseline weight by both."""
        (clusters, k), (cohorts, g) = (np.unique(numbers[rows], return_inverse=True) for numbers in self.index[:2])
        size = np.zeros((len(clusters), len(cohorts)))
        np.add.at(size, (k, g), self.cells.size[rows])
        return clusters, cohorts, size

    def sides(self, block: list[tuple[Contrast, int]]) -> tuple[_Sums, _Sums]:
        """Sums over the treated and over the comparison of contrasts that are alike, each within a group."""
        pairs = [self.cells.contrast_columns(c.time, c.base) for c, _ in block]
        columns = np.array([[column for column, _ in pair] for pair in pairs])
        signs = np.array([sign for _, sign in pairs[0]])
        treated = self._sums(columns, signs, [((c.cohort,), n) for c, n in block])
        if block[0][0].comparison:
            return treated, self._sums(columns, signs, [(c.comparison, n) for c, n in block])
        nobody = np.zeros(treated.weight.shape)  # zero at all times: the contrast is then the treated's own change
        return treated, _Sums(np.full(nobody.shape, 1 / len(self.clusters)), nobody, nobody, signs)

    def _sums(self, columns: np.ndarray, signs: np.ndarray, members: list[tuple[tuple[float, ...], int]]) -> _Sums:
        """Sums over the rows of some cohorts of a group for each of B contrasts, whose columns are (B, C)."""
        found = [self._rows_of(*of) for of in members]
        size, length = len(self.clusters) * self.strata, [len(rows) for rows, _ in found]
        rows, place = (np.concatenate(parts) for parts in zip(*found, strict=True))
        place = place + np.repeat(np.arange(len(members)) * size, length)
        shape = (len(members), len(self.clusters), self.strata)

        def spread(values: np.ndarray) -> np.ndarray:
            sums = [np.bincount(place, values[rows, np.repeat(c, length)], minlength=size * len(members)) for c in columns.T]
            return np.stack([total.reshape(shape) for total in sums], axis=-1)

        return _Sums(spread(self.cells.weight), spread(self.cells.total), spread(self.cells.count), signs)

    def _rows_of(self, cohorts: tuple[float, ...], group: int) -> tuple[np.ndarray, np.ndarray]:
        """The rows of some cohorts of a group, and the place of each in a flattened (K, S)."""
        if (cohorts, group) not in self.found:
            k, g, s = self.index
            rows = self.groups[group]
            rows = rows[np.isin(self.cohorts, cohorts)[g[rows]]]
            self.found[cohorts, group] = rows, k[rows] * self.strata + s[rows]
        return self.found[cohorts, group]
