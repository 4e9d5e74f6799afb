"""Confidence intervals where trends after the base part by no more than M times the largest step before it.

Delta^RM(M) of Rambachan & Roth (2023, R&R), section 2.4.1, with the conditional / least favourable hybrid
test of Andrews, Roth & Pakes (2023, ARP), "Inference for linear conditional moment inequalities", Review of
Economic Studies 90(6). Only moments that hold a period after the base are used, as HonestDiD does where there
are two or more.

The dual linear program (R&R eq. 15) has few vertices here (`vertices`), and its moments span two dimensions.
Statistic, truncation points and both critical values are therefore exact: no linear program is solved, none
is drawn.
"""

from dataclasses import dataclass

import numpy as np
from scipy import optimize, special

FIRST_STAGE = 0.1  # share of the size that the least favourable test takes (R&R section 3)
GRID, ZOOMS, ANGLES = 401, 3, 4096
DIRECTIONS = np.vstack([f(2 * np.pi * np.arange(ANGLES) / ANGLES) for f in (np.cos, np.sin)])


@dataclass(frozen=True)
class Vertices:
    """Moments gamma'Y(theta) at the V vertices: estimate (V,) less slope (V,) times theta; covariance (V, V).

    The first two are the ones that theta enters, from above and from below.
    """

    estimate: np.ndarray
    slope: np.ndarray
    covariance: np.ndarray


def relative_interval(beta, sigma, pre: int, weights, magnitude: float, size: float) -> tuple[float, float]:
    """The hull of the effects that the test accepts for some earlier step s and sign of it (R&R footnote 9).

    Parameters
    ----------
    beta (pre + post,), sigma, pre, weights (post,) : as `honest.relative_magnitudes`.
    magnitude : M.
    size : of the test, .05 for a 95% interval.
    """
    first = FIRST_STAGE * size
    ends = []
    for s in range(pre):
        for sign in (1.0, -1.0):
            at = vertices(beta, sigma, pre, weights, magnitude, s, sign)
            critical = least_favourable(at.covariance, first)
            ends += accepted_hull(at, critical, (size - first) / (1 - first))
    return min(ends), max(ends)


def moments(pre: int, post: int, magnitude: float, s: int, sign: float) -> np.ndarray:
    """(2 post, pre + post): A of A delta <= 0, later steps up and down, less M times step s with its sign."""
    steps = np.delete(np.diff(np.eye(pre + post + 1), axis=0), pre, axis=1)
    largest = magnitude * sign * steps[s]
    return np.vstack([steps[pre:] - largest, -steps[pre:] - largest])


def vertices(beta, sigma, pre: int, weights, magnitude: float, s: int, sign: float) -> Vertices:
    """Vertices of R&R eq. 15: gamma >= 0, gamma'sd = 1, gamma'A_post tau = 0 for every tau without effect.

    With gamma = (up, down) the second condition is up - down = c w, w_t the sum of the weights of period t
    and later, which turns steps into the effect. The cone of such gamma is spanned by (w+, w-), (w-, w+) and,
    for each later period, (e_t, e_t): what of up and down overlaps, and what is left of it.
    """
    a = moments(pre, len(weights), magnitude, s, sign)
    w = np.cumsum(weights[::-1])[::-1]
    up, down, each = np.maximum(w, 0), np.maximum(-w, 0), np.eye(len(w))
    rays = np.vstack([np.r_[up, down], np.r_[down, up], np.hstack([each, each])])
    scale = rays @ np.sqrt(np.einsum("ij,jk,ik->i", a, sigma, a))
    gradient = (rays @ a) / scale[:, None]
    slope = np.r_[1.0, -1.0, np.zeros(len(w))] / scale
    return Vertices(gradient @ beta, slope, gradient @ sigma @ gradient.T)


def least_favourable(covariance: np.ndarray, size: float) -> float:
    """The 1 - size quantile of the largest moment where all have mean zero (ARP section 6.2).

    In two dimensions, with m(phi) the largest moment in direction phi, P(largest > c) is the mean over
    directions with m > 0 of exp(-c^2 / 2 m^2). HonestDiD takes the quantile of 1,000 draws instead.
    """
    values, vectors = np.linalg.eigh(covariance)
    root = vectors[:, -2:] * np.sqrt(np.maximum(values[-2:], 0))
    largest = (root @ DIRECTIONS).max(0)
    largest = largest[largest > 1e-12 * np.sqrt(values[-1])]

    def excess(c: float) -> float:
        return np.exp(-((c / largest) ** 2) / 2).sum() / ANGLES - size

    return float(optimize.brentq(excess, 0.0, 40 * np.sqrt(values[-1])))


def accepts(theta: np.ndarray, at: Vertices, first_stage: float, size: float) -> np.ndarray:
    """Whether the test accepts each theta (P,): the largest moment exceeds neither `first_stage` nor its quantile.

    The quantile is conditional on which vertex is the largest (R&R section 3; ARP appendix D): a normal of
    mean zero truncated to where that vertex stays the largest, and from above to what the first stage passes;
    never below zero.
    """
    values = at.estimate[:, None] - at.slope[:, None] * theta
    top = values.argmax(0)
    statistic, variance = values.max(0), np.diag(at.covariance)[top]
    random = variance > 1e-20 * np.diag(at.covariance).max()
    variance = np.where(random, variance, 1.0)
    b = at.covariance[:, top] / variance
    with np.errstate(divide="ignore", invalid="ignore"):
        crossing = (values - b * statistic) / (1 - b)
    low = np.where(b < 1 - 1e-9, crossing, -np.inf).max(0)
    high = np.minimum(np.where(b > 1 + 1e-9, crossing, np.inf).min(0), first_stage)
    sd = np.sqrt(variance)
    critical = np.maximum(0.0, sd * _truncated_quantile(low / sd, high / sd, size))
    return (statistic <= first_stage) & np.where(random, statistic <= critical, statistic <= 1e-12)


def _truncated_quantile(low: np.ndarray, high: np.ndarray, size: float) -> np.ndarray:
    """The 1 - size quantile of a standard normal truncated to [low, high], in logs of its upper tail."""
    beyond = np.log1p(-size) + special.log_ndtr(-high)
    return -special.ndtri_exp(np.logaddexp(np.log(size) + special.log_ndtr(-low), beyond))


def accepted_hull(at: Vertices, first_stage: float, size: float) -> list[float]:
    """Both ends of what is accepted, [] where nothing is: bounded by the first stage, found on a grid."""
    low, high = (at.estimate[:2] - first_stage) / at.slope[:2]
    if (at.estimate[2:] > first_stage).any() or low >= high:
        return []
    grid = np.linspace(low, high, GRID)
    accepted = np.flatnonzero(accepts(grid, at, first_stage, size))
    if len(accepted) == 0:
        return []
    first, last = accepted[0], accepted[-1]
    return [_edge(at, first_stage, size, grid[first], grid[max(first - 1, 0)]),
            _edge(at, first_stage, size, grid[last], grid[min(last + 1, GRID - 1)])]  # fmt: skip


def _edge(at: Vertices, first_stage: float, size: float, inside: float, outside: float) -> float:
    for _ in range(ZOOMS):
        grid = np.linspace(outside, inside, GRID // 4)
        first = int(accepts(grid, at, first_stage, size).argmax())
        inside, outside = grid[first], grid[max(first - 1, 0)]
    return float(inside)
