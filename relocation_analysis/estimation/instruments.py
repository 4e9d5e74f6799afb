"""The effect of moving on those whom the offer moved: two-stage least squares and weak-instrument-robust sets."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from relocation_analysis.estimation.checks import Check
from relocation_analysis.estimation.inference import LEVEL
from relocation_analysis.language import _
from relocation_analysis.quantities import format_amount, format_number

STRONG_F = 104.7
WEAK_F = 10.0


@dataclass(frozen=True)
class Late:
    """Estimate, influence values by cluster (G,) scaled as those of the fit, and the Anderson-Rubin set."""

    estimate: float
    influence: np.ndarray
    first_stage: float
    first_stage_f: float
    robust_set: tuple[tuple[float, float], ...]


def two_stage(reduced: float, first: float, psi_reduced, psi_first, df: float) -> Late:
    """Two-stage least squares with one instrument and one endogenous regressor: the ratio of the reduced form to the first
    stage (Imbens & Angrist 1994, theorem 1).

    Parameters
    ----------
    reduced, first : coefficients of the offer on the outcome and on take-up, on the same rows.
    psi_reduced, psi_first : (G,) their influence values, CR1-scaled. The residual of 2SLS is that of the reduced form less
        the estimate times that of the first stage, so these give 2SLS's own clustered error, CR1 with the same K.
    df : degrees of freedom of the critical value of the Anderson-Rubin set.
    """
    estimate = reduced / first
    joint = np.c_[psi_reduced, psi_first]
    covariance = joint.T @ joint
    f = first**2 / covariance[1, 1] if covariance[1, 1] > 0 else np.inf
    critical = stats.t.ppf((1 + LEVEL) / 2, df)
    return Late(estimate, (psi_reduced - estimate * psi_first) / first, first, f,
                anderson_rubin_set(reduced, first, covariance, critical))  # fmt: skip


def anderson_rubin_set(reduced: float, first: float, covariance: np.ndarray, critical: float) -> tuple[tuple[float, float], ...]:
    """Every effect b that the data do not reject, by the test that the offer has no effect on `outcome - b * take-up`.

    Anderson & Rubin (1949), clustered: (reduced - b first)^2 <= critical^2 Var(reduced - b first), a quadratic in b that
    is inverted exactly. Its level does not depend on the strength of the first stage.

    Returns
    -------
    One interval; one that is unbounded on a side or on both; or two rays. Empty only if no b solves it, which with one
    instrument needs a first stage and a variance of zero.
    """
    margin = critical**2
    a = first**2 - margin * covariance[1, 1]
    b = -2 * (reduced * first - margin * covariance[0, 1])
    c = reduced**2 - margin * covariance[0, 0]
    if a == 0:
        if b == 0:
            return ((-np.inf, np.inf),) if c <= 0 else ()
        root = -c / b
        return ((-np.inf, root),) if b > 0 else ((root, np.inf),)
    inner = b**2 - 4 * a * c
    if inner < 0:
        return () if a > 0 else ((-np.inf, np.inf),)
    half = -(b + np.copysign(np.sqrt(inner), b)) / 2
    roots = sorted((half / a, c / half if half != 0 else half / a))
    return ((roots[0], roots[1]),) if a > 0 else ((-np.inf, roots[0]), (roots[1], np.inf))


def hull(robust_set) -> tuple[float, float]:
    """The smallest interval that holds the set; NaN where it is empty."""
    return (robust_set[0][0], robust_set[-1][1]) if robust_set else (np.nan, np.nan)


def describe_set(robust_set, unit: str = "") -> str:
    """The set in words, in the unit of the outcome."""
    if not robust_set:
        return _("empty: no effect agrees with the data")
    if robust_set == ((-np.inf, np.inf),):
        return _("the whole line: the data exclude no effect")
    infinite = {-np.inf: _("minus infinity"), np.inf: _("infinity")}
    ends = [[infinite.get(x) or say(x, unit) for x, say in zip(pair, (format_number, format_amount))] for pair in robust_set]
    text = _(" or ").join(_("from {low} to {high}", low=low, high=high) for low, high in ends)
    return _("{set}, unbounded: the first stage is too weak to exclude more", set=text) if np.isinf(robust_set).any() else text


def check_first_stage(name: str, late: Late | None, unit: str = "") -> Check:
    """Whether the offer moved take-up enough for the usual interval, and the Anderson-Rubin set that needs no such thing."""
    null = _("The offer moves take-up: the first-stage F, clustered, is {f:g} or more", f=WEAK_F)
    if late is None:
        return Check(name, "first_stage", null, None, None, False, None,
                     _("Take-up does not vary with the offer, or not at all: there is no effect of moving to estimate."))  # fmt: skip
    inside = _("below") if late.first_stage_f < STRONG_F else _("above")
    return Check(name, "first_stage", null, float(late.first_stage_f), None, bool(late.first_stage_f >= WEAK_F), None,
                 _("The Anderson-Rubin 95% set is {set}. F is {inside} {f}, from which the usual interval covers 95% whatever the correlation "
                   "(Lee, McCrary, Moreira & Porter 2022). The effect is one on those whom the offer moved, if the offer did nothing but move "
                   "them and kept nobody from moving.", set=describe_set(late.robust_set, unit), inside=inside, f=STRONG_F))  # fmt: skip
