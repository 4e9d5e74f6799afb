"""Wild cluster bootstrap of one coefficient, with the null hypothesis imposed.

Cameron, Gelbach & Miller (2008), "Bootstrap-based improvements for inference with clustered errors", Review of Economics and
Statistics 90(3), their WCR with Rademacher signs; Roodman, MacKinnon, Nielsen & Webb (2019), "Fast and wild", Stata Journal
19(1): everything is linear in the sums of a cluster, so that a draw costs nothing.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import optimize, stats

from relocation_analysis.errors import InputError
from relocation_analysis.estimation.checks import Check
from relocation_analysis.estimation.inference import FEWEST_CLUSTERS, LEVEL, random_signs

MOST_ENUMERATED = 12  # clusters; 2 ** 11 sign vectors, the other half being their mirror image
DRAWS = 999
TIE = 1e-9


@dataclass(frozen=True)
class WildBootstrap:
    """One coefficient.

    Attributes
    ----------
    estimate, std_error, statistic : least squares, CR1: G / (G - 1) (N - 1) / (N - K).
    p_value, conf_low, conf_high : of the bootstrap; None and NaN where it is not offered. A bound is infinite where every
        value is accepted, as with very few clusters.
    draws : sign vectors; `exact` where these are all there are.
    clusters, fewest : clusters, and clusters on the smaller side of a treatment of two values.
    reason : why it is not offered, blank where it is.
    """

    estimate: float
    std_error: float
    statistic: float
    p_value: float | None
    conf_low: float
    conf_high: float
    draws: int
    exact: bool
    clusters: int
    fewest: int
    reason: str


@dataclass(frozen=True)
class Scores:
    """Sums by cluster as functions of the null value r, each constant + r * slope.

    coefficient : (2, G) what a cluster adds to the coefficient of a draw where its sign is +1.
    score : (2, G, G) column c is what it adds to the scores of all clusters, divided as the coefficient is.
    """

    estimate: float
    std_error: float
    coefficient: np.ndarray
    score: np.ndarray


def wild_bootstrap(y, x, clusters, column: int, generator: np.random.Generator | None = None, null: float = 0.0) -> WildBootstrap:
    """Test that a coefficient of a linear regression equals `null`, and its 95% interval by inverting the test.

    With up to 12 clusters every sign vector is used and the p-value is the exact share of |t*| >= |t|, ties counted: the
    smallest possible is 2^(1 - G). With more, 999 are drawn, and p = (1 + those) / 1,000. It is not offered where the
    smaller side of the treatment has fewer than 5 clusters: there it hardly ever rejects (MacKinnon & Webb 2017).

    Parameters
    ----------
    y : (N,) outcome.
    x : (N, K) all regressors: the constant, dummies of strata and covariates too. Fixed effects of units, being inside
        clusters, may have been subtracted from y and x; fixed effects of periods and strata may not.
    clusters : (N,) labels.
    column : of x, whose coefficient it is.
    generator : needed with more than 12 clusters.

    Raises `InputError` where the column is a combination of the others or a generator is missing.
    """
    y, x = np.asarray(y, dtype=float), np.asarray(x, dtype=float)
    labels, code = np.unique(np.asarray(clusters), return_inverse=True)
    size, fewest = len(labels), _smaller_side(x[:, column], code)
    scores = _cluster_scores(y, x, code, column)
    about = (scores.estimate, scores.std_error, (scores.estimate - null) / scores.std_error)
    if fewest < FEWEST_CLUSTERS:
        reason = f"{fewest} clusters on the smaller side; the bootstrap takes {FEWEST_CLUSTERS}"
        return WildBootstrap(*about, None, np.nan, np.nan, 0, False, size, fewest, reason)
    exact = size <= MOST_ENUMERATED
    if not exact and generator is None:
        raise InputError("More than 12 clusters need a random generator", f"there are {size}", "pass randomness.generator(...)")
    signs = _every_sign(size) if exact else random_signs(generator, DRAWS, size)
    p_value = _Bootstrap(scores, signs, exact)
    low, high = (_bound(p_value, scores, side) for side in (-1.0, 1.0))
    return WildBootstrap(*about, p_value(null), low, high, len(signs), exact, size, fewest, "")


def _smaller_side(treatment: np.ndarray, code: np.ndarray) -> int:
    """Clusters that hold the rarer value of a treatment of two values; all clusters where it has more."""
    values = np.unique(treatment)
    return min(len(np.unique(code[treatment == v])) for v in values) if len(values) == 2 else int(code.max()) + 1


def _every_sign(clusters: int) -> np.ndarray:
    """(2^(G - 1), G) sign vectors whose first sign is +1; |t*| is the same for their mirror images."""
    bits = np.arange(2 ** (clusters - 1))[:, None] >> np.arange(clusters - 1)
    return np.c_[np.ones(len(bits)), 1.0 - 2 * (bits & 1)]


def _cluster_scores(y: np.ndarray, x: np.ndarray, code: np.ndarray, column: int) -> Scores:
    """A draw has residuals e*_i = g_c(i) u_i, u restricted by the null; its coefficient less r is sum_i d_i e*_i / d'd with d the
    column net of the others, and the score of cluster b is sum_{i in b} d_i (e*_i - x_i'(X'X)^-1 X'e*)."""
    size, (rows, columns) = int(code.max()) + 1, x.shape
    others = np.delete(x, column, axis=1)
    d, net = _net(x[:, column], others), _net(y, others)
    dd = d @ d
    if dd <= 1e-10 * (x[:, column] @ x[:, column]):
        raise InputError("The treatment must vary given the other regressors", "they explain all of it", "drop regressors")
    estimate = float(d @ net / dd)
    residual = net - estimate * d
    per_cluster = _sums(d * residual, code, size)
    rank = np.linalg.matrix_rank(x)
    std_error = float(np.sqrt(size / (size - 1) * (rows - 1) / (rows - rank) * (per_cluster**2).sum()) / dd)
    inverse = np.linalg.pinv(x.T @ x)
    hat = np.column_stack([_sums(d * x[:, k], code, size) for k in range(columns)]) @ inverse
    coefficient, score = [], []
    for u in (net, -d):  # u(r) = net - r d
        a = _sums(d * u, code, size)
        loads = np.column_stack([_sums(x[:, k] * u, code, size) for k in range(columns)])
        coefficient.append(a / dd)
        score.append((np.diag(a) - hat @ loads.T) / dd)
    return Scores(estimate, std_error, np.array(coefficient), np.array(score))


def _net(y: np.ndarray, x: np.ndarray) -> np.ndarray:
    return y - x @ np.linalg.lstsq(x, y, rcond=None)[0] if x.shape[1] else y


def _sums(values: np.ndarray, code: np.ndarray, size: int) -> np.ndarray:
    return np.bincount(code, values, size)


class _Bootstrap:
    """The p-value as a function of the null value; factors of the error common to all draws cancel."""

    def __init__(self, scores: Scores, signs: np.ndarray, exact: bool):
        self.estimate, self.exact = scores.estimate, exact
        self.coefficient = [signs @ c for c in scores.coefficient]
        square, cross = np.empty((len(signs), 3)), [signs @ s.T for s in scores.score]
        square[:, 0], square[:, 1], square[:, 2] = (cross[0] ** 2).sum(1), 2 * (cross[0] * cross[1]).sum(1), (cross[1] ** 2).sum(1)
        self.square = square
        plus = [s.sum(1) for s in scores.score]  # all signs +1: the sample itself
        self.own = float(((plus[0] + self.estimate * plus[1]) ** 2).sum())

    def __call__(self, null: float) -> float:
        t = (self.estimate - null) / np.sqrt(self.own)
        variance = self.square @ np.array([1.0, null, null**2])
        drawn = np.abs(self.coefficient[0] + null * self.coefficient[1])
        as_large = int((drawn >= abs(t) * (1 - TIE) * np.sqrt(np.maximum(variance, 0))).sum())
        draws = len(self.square)
        return as_large / draws if self.exact else (1 + as_large) / (1 + draws)


def _bound(p_value: _Bootstrap, scores: Scores, side: float) -> float:
    """The end of the interval on one side: outwards in doubling steps until a value is rejected, then bisection."""
    step, inside = scores.std_error, scores.estimate
    outside = inside + side * step
    while p_value(outside) > 1 - LEVEL:
        inside, step = outside, 2 * step
        outside = scores.estimate + side * step
        if step > 1e6 * scores.std_error:
            return side * np.inf
    return float(optimize.bisect(lambda r: (p_value(r) > 1 - LEVEL) - 0.5, inside, outside, xtol=1e-9 * scores.std_error))


def check_wild(name: str, y, x, clusters, column: int, generator: np.random.Generator | None = None) -> Check:
    """Whether the wild cluster bootstrap says what the clustered error with t(G - 1) says.

    Returns a `Check` with statistic t and the p-value of the bootstrap; table inference, estimate, std_error, p_value,
    conf_low, conf_high. Other parameters as `wild_bootstrap`.
    """
    found = wild_bootstrap(y, x, clusters, column, generator)
    half = stats.t.ppf((1 + LEVEL) / 2, found.clusters - 1) * found.std_error
    plain = float(2 * stats.t.sf(abs(found.statistic), found.clusters - 1))
    table = pd.DataFrame({"inference": ["cluster_cr1", "wild_bootstrap"], "estimate": found.estimate, "std_error": [found.std_error, np.nan],
                          "p_value": [plain, np.nan if found.p_value is None else found.p_value],
                          "conf_low": [found.estimate - half, found.conf_low], "conf_high": [found.estimate + half, found.conf_high]})  # fmt: skip
    null = "The effect is zero; the clustered error and the bootstrap agree on it"
    if found.p_value is None:
        return Check(name, "wild_bootstrap", null, found.statistic, None, None, table, f"Not offered: {found.reason}.")
    note = f"{found.clusters} clusters, {found.fewest} on the smaller side; {found.draws:,} sign vectors, " + ("all there are." if found.exact else "drawn.")
    agree = bool((found.p_value < 1 - LEVEL) == (plain < 1 - LEVEL))
    return Check(name, "wild_bootstrap", null, found.statistic, found.p_value, agree, table, note)
