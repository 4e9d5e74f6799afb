"""Fixed-length confidence intervals where the slope of the difference in trends changes by at most M a step.

Delta^SD(M) of Rambachan & Roth (2023, R&R), eq. 8; the interval of section 4, after Armstrong & Kolesar
(2018), Econometrica 86(2): around the estimator linear in beta whose interval is shortest given its largest
bias.

Let L be the effect less the last step before the base extrapolated, and d_j the second differences of beta
before the base. The estimators without bias under a linear trend are L + q'd; their largest bias is M (b_0 +
|q|_1). So for each bias the one of least variance is a lasso in q, its path is exact, and the shortest
interval is a root on the path.
"""

from dataclasses import dataclass

import numpy as np
from scipy import optimize, special


@dataclass(frozen=True)
class Estimators:
    """The estimators of least variance for their bias, at the kinks of the path; linear in between.

    penalty (P,) on |q|_1, ascending; coefficients (P, pre + post) on beta; bias (P,) for M = 1; sigma as
    given.
    """

    penalty: np.ndarray
    coefficients: np.ndarray
    bias: np.ndarray
    sigma: np.ndarray

    def at(self, penalty: float) -> tuple[np.ndarray, float, float]:
        """Coefficients, standard deviation and bias for M = 1."""
        a = np.array([np.interp(penalty, self.penalty, column) for column in self.coefficients.T])
        return a, float(np.sqrt(a @ self.sigma @ a)), float(np.interp(penalty, self.penalty, self.bias))


def list_estimators(sigma, pre: int, weights) -> Estimators:
    """L + q'd along the path.

    A change of slope by M at the base or s periods after it moves the effect by M times the weights of the
    periods beyond, each times its distance: b_0 is the sum of these over s.
    """
    post = len(weights)
    after = np.arange(1, post + 1)
    extrapolated = np.r_[np.zeros(pre - 1), after @ weights, weights]
    second = np.delete(np.diff(np.eye(pre + post + 1), n=2, axis=0), pre, axis=1)[: pre - 1]
    bias = sum(abs(np.maximum(after - s, 0) @ weights) for s in range(post))
    penalty, q = lasso_path(second @ sigma @ second.T, second @ sigma @ extrapolated)
    return Estimators(penalty, extrapolated + q @ second, bias + np.abs(q).sum(1), sigma)


def lasso_path(quadratic: np.ndarray, linear: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """argmin_q q'Qq / 2 + c'q + penalty |q|_1 at every kink, ascending in the penalty, from 0 to where q = 0.

    Osborne, Presnell & Turlach (2000), IMA Journal of Numerical Analysis 20(3). Between kinks q = start +
    penalty * slope on the active set; a coordinate joins where its gradient reaches the penalty, and leaves
    where it is zero.
    """
    size = len(linear)
    penalty, q, signs = float(np.abs(linear).max(initial=0.0)), np.zeros(size), -np.sign(linear)
    active = np.arange(size) == (np.abs(linear).argmax() if size else -1)
    kinks = [(penalty, q)]
    while penalty > 0:
        start, slope = np.zeros(size), np.zeros(size)
        block = quadratic[np.ix_(active, active)]
        start[active], slope[active] = -np.linalg.solve(block, np.c_[linear, signs][active]).T
        gradient, change = linear + quadratic @ start, quadratic @ slope
        with np.errstate(divide="ignore", invalid="ignore"):
            joins = np.stack([gradient / (1 - change), -gradient / (1 + change)])
            leaves = -start / slope
        events = np.where(active, leaves, np.where(joins < penalty * (1 - 1e-10), joins, 0.0).max(0))
        events = np.where((events > 0) & (events < penalty * (1 - 1e-10)), events, 0.0)
        which, penalty = int(events.argmax()), float(events.max())
        q = start + penalty * slope
        if not active[which]:
            signs[which] = -np.sign(gradient[which] + penalty * change[which])
        elif penalty > 0:
            q[which] = 0.0
        active[which] = ~active[which]
        kinks.append((penalty, q))
    kinks = kinks[::-1]
    return np.array([k[0] for k in kinks]), np.array([k[1] for k in kinks]).reshape(len(kinks), size)


def fixed_length_interval(beta, path: Estimators, bound: float, size: float) -> tuple[float, float]:
    """a'beta -+ sd cv(M bias / sd), R&R eq. 18, cv the 1 - size quantile of |N(t, 1)|.

    Parameters
    ----------
    path : from `list_estimators`.
    bound : M.
    """
    a, sd, bias = path.at(_best_penalty(path, bound, size) if bound > 0 else 0.0)
    half = sd * folded_quantile(bound * bias / sd, size)
    return float(a @ beta - half), float(a @ beta + half)


def _best_penalty(path: Estimators, bound: float, size: float) -> float:
    """Where the interval is shortest. On the path d bias / d sd = -sd / penalty, and cv'(t) = tanh(t
    cv(t))."""

    def slope(penalty: float) -> float:
        _, sd, bias = path.at(penalty)
        t = bound * bias / sd
        cv = folded_quantile(t, size)
        steep = np.tanh(cv * t)
        return (cv - t * steep) * penalty - bound * steep * sd

    largest = float(path.penalty[-1])
    if slope(largest) <= 0:
        return largest
    return float(optimize.brentq(slope, 0.0, largest, xtol=1e-14 * largest))


def folded_quantile(t: float, size: float) -> float:
    """cv with P(|N(t, 1)| <= cv) = 1 - size; HonestDiD takes it from a million draws."""

    def excess(cv: float) -> float:
        return special.ndtr(t - cv) + special.ndtr(-t - cv) - size

    return float(optimize.brentq(excess, 0.0, t + 40.0, xtol=1e-13))
