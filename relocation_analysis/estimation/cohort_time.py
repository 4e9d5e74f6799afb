"""Cohort-time effects of relocation from cells: estimates, influence values, leave-one-cluster-out values.

Callaway & Sant'Anna (2021, J. Econometrics 225(2)), equation 2.9 and section 4: the effect at time t on those who moved at g is
the change of their outcome since the base period less the change of the comparison, here by stratum s and weighted by
the strata of the treated,

    ATT(g, t) = sum_s p_s(g, t) { [m_gs(t) - m_gs(b)] - [m_Cs(t) - m_Cs(b)] },

with means m = (sum of weight x outcome) / (sum of weights), which are functions of additive cells.
"""

from dataclasses import dataclass, field

import numpy as np

from relocation_analysis.estimation.cells import NEVER, Cells


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
    grid = _Grid.of(cells, strata)
    influence = np.zeros((len(grid.clusters), len(contrasts)))
    att = np.full(len(contrasts), np.nan)
    flags = np.zeros((2, len(grid.clusters), len(contrasts)), dtype=bool)
    units, by_side = np.zeros_like(influence), np.zeros((2, *influence.shape))
    dropped = np.full_like(influence, np.nan) if jackknife else None
    for j, contrast in enumerate(contrasts):
        columns = cells.contrast_columns(contrast.time, contrast.base)
        treated = grid.sums(columns, [contrast.cohort])
        others = grid.sums(columns, contrast.comparison) if contrast.comparison else grid.nobody(columns)
        fit = _difference(treated[0].sum(0), treated[1].sum(0), others[0].sum(0), others[1].sum(0), columns)
        att[j] = fit.att
        if np.isfinite(fit.att):
            influence[:, j] = _influence(fit, treated, others, columns)
            used = fit.share > 0
            counts = grid.counts(columns, [contrast.cohort]), grid.counts(columns, contrast.comparison)
            flags[0, :, j], flags[1, :, j] = (c[:, used].max(axis=(1, 2)) > 0 for c in counts)
            if not contrast.comparison:
                flags[1, :, j] = flags[0, :, j]
            by_side[:, :, j] = [c[:, used].max(axis=2).sum(axis=1) for c in counts]
            units[:, j] = by_side[:, :, j].sum(0)
            if not contrast.comparison:
                by_side[1, :, j] = by_side[0, :, j]
        if jackknife:
            dropped[:, j] = _difference(*_without(*treated), *_without(*others), columns).att
    return CohortTime(contrasts, grid.clusters, att, influence, dropped, grid.cohorts, grid.size, *flags, units, by_side)


@dataclass(frozen=True)
class _Fit:
    """ATT and its parts for one contrast, possibly over leading replicate axes: strata S, columns C."""

    att: np.ndarray  # (...,)
    share: np.ndarray  # (..., S) weight of each stratum among the treated
    means: tuple[np.ndarray, np.ndarray]  # treated and comparison, (..., S, C)
    weights: tuple[np.ndarray, np.ndarray]  # the same
    effect: np.ndarray  # (..., S)


def _difference(w1, s1, w0, s0, columns) -> _Fit:
    """ATT from sums of weights w and totals s of the treated (1) and the comparison (0), each (..., S, C)."""
    signs = np.array([sign for _, sign in columns])
    usable = (w1 > 0).all(-1) & (w0 > 0).all(-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        m1 = np.where(usable[..., None], s1 / w1, 0.0)
        m0 = np.where(usable[..., None], s0 / w0, 0.0)
        at_time = np.where(usable, w1[..., 0], 0.0)
        share = at_time / at_time.sum(-1, keepdims=True)
        effect = ((m1 - m0) * signs).sum(-1)
        att = np.where(usable.any(-1), (share * effect).sum(-1), np.nan)
    return _Fit(att, share, (m1, m0), (w1, w0), effect)


def _influence(fit: _Fit, treated, others, columns) -> np.ndarray:
    """Influence of each cluster on the ATT, (K,): the derivative of `_difference` with respect to the cluster's sums."""
    used = fit.share > 0
    psi = np.zeros(treated[0].shape[0])
    for (w, s), mean, weight, side in zip((treated, others), fit.means, fit.weights, (1, -1), strict=True):
        for c, (_, sign) in enumerate(columns):
            residual = s[:, used, c] - mean[used, c] * w[:, used, c]
            psi += side * sign * (residual * (fit.share[used] / weight[used, c])).sum(1)
    total = fit.weights[0][used, 0].sum()
    return psi + (treated[0][:, used, 0] * (fit.effect[used] - fit.att)).sum(1) / total


def _without(weight: np.ndarray, total: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sums without each cluster in turn. What rounding leaves of a stratum that only the cluster had is nothing."""
    rest = weight.sum(0) - weight
    rest[rest < 1e-9 * weight.sum(0)] = 0.0
    return rest, total.sum(0) - total


@dataclass(frozen=True)
class _Grid:
    """Cells on a dense grid: clusters K x cohorts G x strata S x columns P."""

    clusters: np.ndarray
    cohorts: np.ndarray
    size: np.ndarray
    index: tuple[np.ndarray, np.ndarray, np.ndarray]
    strata: int
    cells: Cells
    found: dict = field(default_factory=dict)  # rows by cohorts: contrasts share them

    @classmethod
    def of(cls, cells: Cells, strata: tuple[str, ...]) -> "_Grid":
        clusters, k = np.unique(cells.rows["cluster"].to_numpy(), return_inverse=True)
        cohorts, g = np.unique(cells.rows["cohort"].to_numpy(dtype=float), return_inverse=True)
        s = cells.rows.groupby(["age", *strata], dropna=False, sort=True).ngroup().to_numpy()
        size = np.zeros((len(clusters), len(cohorts)))
        np.add.at(size, (k, g), cells.size)
        return cls(clusters, cohorts, size, (k, g, s), int(s.max()) + 1 if len(s) else 0, cells)

    def _sum(self, values: np.ndarray, columns, cohorts) -> np.ndarray:
        """(K, S, C) sums over the rows of some cohorts."""
        rows, place = self._rows_of(tuple(cohorts))
        size = len(self.clusters) * self.strata
        sums = [np.bincount(place, values[rows, c], minlength=size) for c, _ in columns]
        return np.stack(sums, axis=-1).reshape(len(self.clusters), self.strata, len(columns))

    def _rows_of(self, cohorts: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
        """The rows of some cohorts, and the place of each in a flattened (K, S)."""
        if cohorts not in self.found:
            k, g, s = self.index
            rows = np.flatnonzero(np.isin(self.cohorts, cohorts)[g])
            self.found[cohorts] = rows, k[rows] * self.strata + s[rows]
        return self.found[cohorts]

    def sums(self, columns, cohorts) -> tuple[np.ndarray, np.ndarray]:
        return self._sum(self.cells.weight, columns, cohorts), self._sum(self.cells.total, columns, cohorts)

    def nobody(self, columns) -> tuple[np.ndarray, np.ndarray]:
        """A comparison whose outcome is zero at all times: the contrast is then the treated's own change."""
        shape = (len(self.clusters), self.strata, len(columns))
        return np.full(shape, 1 / len(self.clusters)), np.zeros(shape)

    def counts(self, columns, cohorts) -> np.ndarray:
        return self._sum(self.cells.count, columns, cohorts)
