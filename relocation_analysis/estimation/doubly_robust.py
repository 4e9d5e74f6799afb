"""Cohort-time effects adjusted for continuous covariates: doubly robust difference-in-differences."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from relocation_analysis.estimation.cells import NEVER
from relocation_analysis.estimation.cohort_time import CohortTime, Contrast
from relocation_analysis.estimation.inference import MANY_CLUSTERS
from relocation_analysis.language import _

TRIM = 0.995  # comparison units with a propensity score from here on get no weight (DRDID, trim.level)
NO_OVERLAP = 0.999  # a propensity score from here on leaves a contrast without an estimate (R did 2.5.1)
COLLINEAR = 1e-10  # smallest eigenvalue of the correlation matrix of the design, relative to the largest
LOGIT_TOLERANCE = 1e-12  # Newton decrement per unit of weight
LOGIT_STEPS = 100


@dataclass(frozen=True)
class DoublyRobust:
    """Adjusted effects of J contrasts and what became of each.

    Attributes
    ----------
    effects : estimates and influence values, NaN where there is a `reason`. Units with a missing covariate
        are not among its sizes.
    n_trimmed : (J,), comparison units that got no weight, their propensity score being `TRIM` or more.
    reason : (J,), why there is no estimate, blank where there is one.
    """

    effects: CohortTime
    n_trimmed: np.ndarray
    reason: np.ndarray


class NotEstimable(ValueError):
    """A sample that cannot identify the effect; the message says why."""


def doubly_robust_att(
    y: np.ndarray,
    times: Sequence[int],
    x: np.ndarray,
    weight: np.ndarray,
    cohort: np.ndarray,
    cluster: np.ndarray,
    contrasts: Sequence[Contrast],
    jackknife: bool = False,
) -> DoublyRobust:
    """Effects of J contrasts, adjusted for baseline covariates, with influence values by cluster.

    Sant'Anna & Zhao (2020, J. Econometrics 219(1)), equation 3.1, with the propensity score by maximum
    likelihood (logit) and the outcome change of the comparison units by weighted least squares: the `dr` of
    R did, `drdid_panel` of R DRDID. The effect is linear in the outcomes, so one logit serves every contrast
    of the same units, and the outcomes enter through a few sums. As in R did 2.5.1, a comparison unit whose
    propensity score is `TRIM` or more is given no weight and a contrast with a propensity score of
    `NO_OVERLAP` or more has no estimate; here the scores are those of the weighted logit.

    Parameters
    ----------
    y : units x times, the outcome, NaN where not observed. A unit enters a contrast if observed at both.
    times : the times of the columns of `y`.
    x : units x k, covariates at baseline without a constant. A unit with a missing covariate never enters.
    weight : (units,), not negative; zero means absent.
    cohort : (units,), the first period of treatment; inf or NaN for never.
    cluster : (units,), labels.
    contrasts : J of them, each with a base and a comparison.
    jackknife : also estimate without each cluster in turn, the logit starting from the one with all of them,
        where a side has fewer than `MANY_CLUSTERS`; elsewhere no error comes from it and it is NaN, as it is
        where what is left has no estimate. A cluster with no part in a contrast leaves it as it is.
    """
    code, clusters = pd.factorize(np.asarray(cluster), sort=True)
    cohort = np.where(np.isnan(cohort), NEVER, cohort)
    present = (weight > 0) & np.isfinite(x).all(axis=1)
    shape = len(clusters), len(contrasts)
    att, influence, dropped = np.full(shape[1], np.nan), np.full(shape, np.nan), np.full(shape, np.nan)
    units, n_trimmed = np.zeros((2, *shape)), np.zeros(shape[1], dtype=int)
    reason = np.full(shape[1], "", dtype=object)
    for columns, sample in _samples(y, list(times), x, weight, cohort, present, contrasts):
        codes = code[sample.rows]
        try:
            fit = _fit(sample)
        except NotEstimable as error:
            reason[columns] = str(error)
            continue
        att[columns] = _att(sample, fit)
        influence[:, columns] = _influence(sample, fit, codes, shape[0]) @ sample.change
        n_trimmed[columns] = fit.n_trimmed
        for side, members in enumerate((sample.treated, ~sample.treated)):
            units[side][:, columns] = np.bincount(codes[members], minlength=shape[0])[:, None]
        if jackknife and min((side[:, columns[0]] > 0).sum() for side in units) < MANY_CLUSTERS:
            dropped[:, columns] = _leave_one_out(sample, fit, codes, shape[0])
    cohorts, size = _sizes(cohort[present], weight[present], code[present], shape[0])
    effects = CohortTime(
        tuple(contrasts), np.asarray(clusters), att, influence, dropped if jackknife else None,
        cohorts, size, units[0] > 0, units[1] > 0, units.sum(axis=0), units,
    )  # fmt: skip
    return DoublyRobust(effects, n_trimmed, reason)


def _sizes(cohort, weight, code, k) -> tuple[np.ndarray, np.ndarray]:
    """The cohorts (G,) and their weight by cluster (K, G)."""
    cohorts = pd.unique(cohort)
    cohorts.sort()
    size = [np.bincount(code, np.where(cohort == g, weight, 0.0), minlength=k) for g in cohorts]
    return cohorts, np.stack(size, axis=1) if size else np.zeros((k, 0))


def _att(sample: "_Sample", fit: "_Fit") -> np.ndarray:
    return (fit.balance @ sample.y) @ sample.change


def _leave_one_out(sample: "_Sample", fit: "_Fit", codes: np.ndarray, k: int) -> np.ndarray:
    """The effects without each cluster, (K, contrasts)."""
    att = np.tile(_att(sample, fit), (k, 1))
    for c in np.unique(codes):
        rest = sample.keep(codes != c)
        try:
            att[c] = _att(rest, _fit(rest, fit.logit))
        except NotEstimable:
            att[c] = np.nan
    return att


@dataclass(frozen=True)
class _Sample:
    """The n units of the contrasts which share them.

    rows : (n,), into the arrays given. design : (n, 1 + k). y : (n, S), at the times needed, centred by unit.
    weight, treated : (n,). change : (S, contrasts), +1 at the time and -1 at the base.
    """

    rows: np.ndarray
    design: np.ndarray
    y: np.ndarray
    weight: np.ndarray
    treated: np.ndarray
    change: np.ndarray

    def keep(self, which: np.ndarray) -> "_Sample":
        parts = (part[which] for part in (self.rows, self.design, self.y, self.weight, self.treated))
        return _Sample(*parts, self.change)


@dataclass(frozen=True)
class _Fit:
    """What `_influence` needs of a fitted sample of n units.

    logit : (1 + k,), coefficients. score : (n,), propensity scores. bread : inverse information of the logit.
    treated, comparison : (n,), Hajek weights, each summing to one. gram : weighted crossproduct of the design
    of the comparison units. balance : (n,), the weights by which the effect is linear in the outcomes.
    """

    logit: np.ndarray
    score: np.ndarray
    bread: np.ndarray
    treated: np.ndarray
    comparison: np.ndarray
    gram: np.ndarray
    balance: np.ndarray
    n_trimmed: int


def _samples(y, times, x, weight, cohort, present, contrasts) -> Iterator[tuple[list[int], _Sample]]:
    """Positions of contrasts with their units, by cohort, comparison set and pattern of missing outcomes."""
    missing = np.isnan(y)
    pairs = [(times.index(contrast.time), times.index(contrast.base)) for contrast in contrasts]
    center, scale = _location(x[present])
    groups: dict[tuple, list[int]] = {}
    for position, contrast in enumerate(contrasts):
        groups.setdefault((contrast.cohort, tuple(sorted(contrast.comparison))), []).append(position)
    for (treated, comparison), positions in groups.items():
        members = cohort == treated
        for other in comparison:
            members |= cohort == other
        rows = np.flatnonzero(members & present)
        for columns, used, kept in _observed(missing[rows], rows, pairs, positions):
            design = np.ones((len(kept), 1 + x.shape[1]), order="F")
            design[:, 1:] = (x[kept] - center) / scale
            outcome = np.asfortranarray(y[kept][:, used], dtype=float)
            outcome -= outcome.mean(axis=1, keepdims=True)
            change = np.zeros((len(used), len(columns)))
            for column, position in enumerate(columns):
                time, base = pairs[position]
                change[used.index(time), column], change[used.index(base), column] = 1, -1
            in_cohort = cohort[kept] == treated
            yield columns, _Sample(kept, design, outcome, weight[kept].astype(float), in_cohort, change)


def _observed(missing, rows, pairs, positions) -> Iterator[tuple[list[int], list[int], np.ndarray]]:
    """Contrasts whose units are all observed together, the others pair by pair without the units missing."""
    some_missing = missing.any(axis=0)
    groups: dict[tuple, list[int]] = {}
    for position in positions:
        pair = tuple(sorted(pairs[position]))
        groups.setdefault(pair if some_missing[list(pair)].any() else (), []).append(position)
    for pair, columns in groups.items():
        used = sorted({column for position in columns for column in pairs[position]})
        yield columns, used, rows[~missing[:, list(pair)].any(axis=1)] if pair else rows


def _location(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centre and scale of the covariates: the effect does not depend on them, its precision does."""
    if not len(x):
        return np.zeros(x.shape[1]), np.ones(x.shape[1])
    scale = x.std(axis=0)
    return x.mean(axis=0), np.where(scale > 0, scale, 1.0)


def _fit(sample: _Sample, start: np.ndarray | None = None) -> _Fit:
    """Both nuisance models and the weights they imply."""
    design, treated, weight = sample.design, sample.treated, sample.weight
    _check_counts(treated, design.shape[1])
    plain = np.where(treated, 0.0, weight)
    gram = design.T @ (plain[:, None] * design)
    _check_rank(gram)
    coefficients, score, information = logit(design, treated, weight, start)
    if score.max() >= NO_OVERLAP:
        raise NotEstimable(_("no overlap: a propensity score of {least} or more", least=NO_OVERLAP))
    odds = np.where(score < TRIM, plain * score / (1 - score), 0.0)
    n_trimmed = int(np.sum(~treated & (score >= TRIM)))
    if not odds.sum() > 0:
        raise NotEstimable(_("no overlap: all comparison units are trimmed"))
    shares_treated = np.where(treated, weight, 0.0)
    shares_treated /= shares_treated.sum()
    shares_comparison = odds / odds.sum()
    difference = shares_treated - shares_comparison
    balance = difference - plain * (design @ np.linalg.solve(gram, design.T @ difference))
    bread = np.linalg.inv(information)
    return _Fit(coefficients, score, bread, shares_treated, shares_comparison, gram, balance, n_trimmed)


def _check_counts(treated: np.ndarray, coefficients: int) -> None:
    for side, nobody, few in (
        (treated, _("no treated unit is observed at both times"), _("fewer treated units than the {k} coefficients", k=coefficients)),
        (~treated, _("no comparison unit is observed at both times"), _("fewer comparison units than the {k} coefficients", k=coefficients)),
    ):
        if side.sum() < max(coefficients, 1):
            raise NotEstimable(few if side.any() else nobody)


def _check_rank(gram: np.ndarray) -> None:
    diagonal = np.sqrt(np.diag(gram))
    if (diagonal > 0).all():
        eigenvalues = np.linalg.eigvalsh(gram / np.outer(diagonal, diagonal))
        if eigenvalues[0] > COLLINEAR * eigenvalues[-1]:
            return
    raise NotEstimable(_("the covariates are collinear or constant among the comparison units"))


def logit(design: np.ndarray, success: np.ndarray, weight: np.ndarray, start: np.ndarray | None = None):
    """Weighted logit by damped Newton steps.

    A step whose largest change of the linear predictor is d is shortened to log(1 + d) / d of it, which
    cannot lower the likelihood (the logistic loss is generalised self-concordant: Bach 2010, Electronic J.
    Statistics 4, 384-414, proposition 1) and leaves the quadratic convergence intact. statsmodels' GLM takes
    the pseudo-inverse of the whole design in each step: 4 times as long.

    Parameters
    ----------
    design : (n, k). success : (n,) of bool. weight : (n,). start : (k,), or None for zeros.

    Returns
    -------
    coefficients (k,), fitted probabilities (n,), information (k, k)

    Raises
    ------
    NotEstimable : the steps do not converge. Perfect separation converges, to probabilities of 0 and 1.
    """
    coefficients = np.zeros(design.shape[1]) if start is None else start
    predictor = design @ coefficients
    total, converged = weight.sum(), False
    for attempt in range(LOGIT_STEPS):  # noqa: B007
        probability = 1 / (1 + np.exp(-np.clip(predictor, -700, 700)))
        gradient = design.T @ (weight * (success - probability))
        information = design.T @ ((weight * probability * (1 - probability))[:, None] * design)
        if converged:
            return coefficients, probability, information
        try:
            step = np.linalg.solve(information, gradient)
        except np.linalg.LinAlgError:
            break
        converged = gradient @ step <= LOGIT_TOLERANCE * total
        change = design @ step
        largest = max(np.abs(change).max(), 1e-300)
        damping = np.log1p(largest) / largest
        coefficients, predictor = coefficients + damping * step, predictor + damping * change
    raise NotEstimable(_("the logit of the propensity score did not converge"))


def _influence(sample: _Sample, fit: _Fit, code: np.ndarray, k: int) -> np.ndarray:
    """Influence values of every time's weighted outcome, summed by cluster: (K, S).

    The asymptotic linear representation of Sant'Anna & Zhao (2020), terms in residuals gathered in `balance`.
    """
    design, y, weight = sample.design, sample.y, sample.weight

    def by_cluster(values: np.ndarray) -> np.ndarray:
        columns = values.reshape(len(code), -1).T
        return np.stack([np.bincount(code, column, minlength=k) for column in columns], axis=1)

    plain = np.where(sample.treated, 0.0, weight)
    regression = np.linalg.solve(fit.gram, design.T @ (plain[:, None] * y))
    mean_treated = fit.treated @ y - (fit.treated @ design) @ regression
    mean_comparison = fit.comparison @ y - (fit.comparison @ design) @ regression
    weighted = fit.comparison[:, None] * design
    slope = weighted.T @ y - (weighted.T @ design) @ regression
    slope -= np.outer(weighted.sum(axis=0), mean_comparison)
    residual = by_cluster(fit.balance[:, None] * y) - by_cluster(fit.balance[:, None] * design) @ regression
    hajek = by_cluster(fit.treated) * mean_treated - by_cluster(fit.comparison) * mean_comparison
    score = by_cluster((weight * (sample.treated - fit.score))[:, None] * design)
    return residual - hajek - score @ (fit.bread @ slope)
