"""Honest difference-in-differences: what the effect can be where trends were not parallel.

Rambachan & Roth (2023), "A more credible approach to parallel trends", Review of Economic Studies 90(5): the
event-study coefficients are delta + (0, effects), delta the difference in trends, zero at the base period.
Restrict how far delta after the base may depart from what it did before, and report the effects that the data
do not reject.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd
from scipy import stats

from relocation_analysis.errors import InputError
from relocation_analysis.estimation.checks import Check
from relocation_analysis.estimation.honest_relative import relative_interval
from relocation_analysis.estimation.honest_smooth import fixed_length_interval, list_estimators
from relocation_analysis.estimation.inference import LEVEL
from relocation_analysis.language import _, join_sentences, mark

Interval = Callable[[float], tuple[float, float]]  # of M

MAGNITUDES = (0.0, 0.5, 1.0, 1.5, 2.0)
CURVATURES = (0.0, 0.1, 0.2, 0.5, 1.0)  # in standard errors of the effect
LARGEST = 1e6  # a breakdown value beyond so many units of its scale is called infinite


@dataclass(frozen=True)
class Honest:
    """Robust intervals.

    Attributes
    ----------
    table : M, low, high; low and high in the unit of the outcome.
    breakdown : the largest M at which the interval excludes 0; NaN where it covers 0 even at M = 0.
    """

    table: pd.DataFrame
    breakdown: float


def relative_magnitudes(beta, sigma, pre: int, weights, magnitudes: Sequence[float] = MAGNITUDES) -> Honest:
    """95% intervals where no step of delta after the base is more than M times its largest step before
    (Delta^RM).

    Parameters
    ----------
    beta : (pre + post,) event-study coefficients in order of time, universal base, the base itself left out.
    sigma : (pre + post, pre + post) their covariance.
    pre : number of coefficients before the base.
    weights : (post,) the effect is weights @ beta[pre:].
    magnitudes : values of M, without unit.

    Raises `InputError` where there is no coefficient before or after the base or sigma has not full rank.
    """
    beta, sigma, weights = _checked(beta, sigma, pre, weights)
    return _honest(lambda m: relative_interval(beta, sigma, pre, weights, m, 1 - LEVEL), magnitudes, 1.0)


def smoothness(beta, sigma, pre: int, weights, bounds: Sequence[float]) -> Honest:
    """95% intervals where the slope of delta changes by at most M from one step to the next (Delta^SD).

    Parameters
    ----------
    beta, sigma, pre, weights : as `relative_magnitudes`.
    bounds : values of M, in the unit of the outcome per step; at 0 delta is a straight line.
    """
    beta, sigma, weights = _checked(beta, sigma, pre, weights)
    path = list_estimators(sigma, pre, weights)
    error = float(np.sqrt(weights @ sigma[pre:, pre:] @ weights))
    return _honest(lambda m: fixed_length_interval(beta, path, m, 1 - LEVEL), bounds, error)


def _honest(interval: Interval, values: Sequence[float], scale: float) -> Honest:
    interval = cache(interval)  # the breakdown value is sought among the same M, too
    table = pd.DataFrame([(float(m), *interval(float(m))) for m in values], columns=["M", "low", "high"])
    return Honest(table, _breakdown(interval, scale))


def _breakdown(interval: Interval, scale: float) -> float:
    """By doubling and bisection; an interval that covers 0 is taken to do so at any larger M."""

    def excludes(m: float) -> bool:
        low, high = interval(m)
        return low > 0 or high < 0

    if not excludes(0.0):
        return np.nan
    low, high = 0.0, scale
    while excludes(high):
        low, high = high, 2 * high
        if high > LARGEST * scale:
            return np.inf
    while high - low > 1e-4 * scale:
        middle = (low + high) / 2
        low, high = (middle, high) if excludes(middle) else (low, middle)
    return low


def _checked(beta, sigma, pre: int, weights) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    beta, sigma, weights = (np.asarray(a, dtype=float) for a in (beta, sigma, weights))
    post = len(beta) - pre
    if pre < 1 or post < 1 or len(weights) != post or not weights.any():
        raise InputError(
            _("Honest intervals need a coefficient before the base period and a weighted one after it"),
            _("{pre} before, {post} after, {n} of {total} weights not 0",
              pre=pre, post=post, n=np.count_nonzero(weights), total=len(weights)),
            _("leave the base out of beta and give one weight per later coefficient"),
        )
    rank = np.linalg.matrix_rank(sigma, hermitian=True)
    if sigma.shape != (len(beta),) * 2 or rank < len(beta):
        raise InputError(
            _("The covariance of the event-study coefficients must have full rank"),
            _("rank {rank}, shape {shape}, {n} coefficients", rank=rank, shape=sigma.shape, n=len(beta)),
            _("use more clusters than coefficients, or fewer event times"),
        )
    return beta, sigma, weights


NULLS = {
    "relative_magnitudes": mark("The effect stands if trends part after the move by as much as they ever did before"),
    "smoothness": mark("The effect stands if a linear difference in trends went on after the move"),
}
NOTES = {
    "relative_magnitudes": mark(
        "The statistic is the breakdown value: how many times the largest step before the move a step after it may be before the "
        "interval covers zero. It fails below 1."
    ),
    "smoothness": mark(
        "The statistic is the breakdown value: how much the slope of the difference in trends may change a period, in the unit of the "
        "outcome, before the interval covers zero. It fails where a line is enough."
    ),
}


def check_honest(name: str, beta, sigma, event_times, weights, restriction: str,
                 reference: float = -1.0) -> Check:  # fmt: skip
    """Honest intervals of one effect as a check.

    Parameters
    ----------
    name : the outcome.
    beta, sigma : (T,) and (T, T) event-study coefficients, universal base, without the base, and their
        covariance (influence' influence).
    event_times : (T,) ascending; those beyond a gap are left out.
    weights : (T,) the effect is weights @ beta; 0 before the base and wherever an event time has no part in
        it.
    restriction : "relative_magnitudes" or "smoothness".
    reference : event time of the base.

    Returns a `Check` whose statistic is the breakdown value and whose table is M, low, high.
    """
    null, label = _(NULLS[restriction]), f"honest_{restriction}"
    beta, sigma, times, weights = (np.asarray(a, dtype=float) for a in (beta, sigma, event_times, weights))
    keep = _unbroken(times, reference)
    pre = int((times[keep] < reference).sum())
    rank = np.linalg.matrix_rank(sigma[np.ix_(keep, keep)], hermitian=True)
    obstacle = (_("There is no wave before the base period.") if pre == 0 else
                _("The effect includes waves beyond a gap.") if weights[~keep].any() or pre == keep.sum() else
                _("There are fewer clusters than event times.") if rank < keep.sum() else "")  # fmt: skip
    if obstacle:
        return Check(name, label, null, None, None, None, None, join_sentences([obstacle, _("It cannot be judged.")]))
    beta, sigma, weights = beta[keep], sigma[np.ix_(keep, keep)], weights[keep][pre:]
    error = float(np.sqrt(weights @ sigma[pre:, pre:] @ weights))
    if restriction == "relative_magnitudes":
        found, needed = relative_magnitudes(beta, sigma, pre, weights), 1.0
    else:
        found, needed = smoothness(beta, sigma, pre, weights, error * np.array(CURVATURES)), 0.0
    if abs(weights @ beta[pre:]) < stats.norm.ppf((1 + LEVEL) / 2) * error:
        note = _("The effect does not differ from zero even where trends are parallel.")
        return Check(name, label, null, None, None, None, found.table, note)
    statistic = found.breakdown if np.isfinite(found.breakdown) else None
    passed = bool(found.breakdown >= needed)
    return Check(name, label, null, statistic, None, passed, found.table, _(NOTES[restriction]))


def _unbroken(times: np.ndarray, reference: float) -> np.ndarray:
    """The event times that follow one another at one distance, the base among them."""
    everything = np.sort(np.r_[times, reference])
    distance = np.diff(everything)
    run = np.cumsum(np.r_[0, ~np.isclose(distance, distance.min(initial=np.inf))])
    return np.isin(times, everything[run == run[everything == reference][0]])
