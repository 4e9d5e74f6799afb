"""Wild cluster bootstrap of one coefficient, with the null hypothesis imposed.

Cameron, Gelbach & Miller (2008), "Bootstrap-based improvements for inference with clustered errors", Review
of Economics and Statistics 90(3), their WCR with Rademacher signs; computed as in Roodman, MacKinnon, Nielsen
& Webb (2019), "Fast and wild", Stata Journal 19(1): all is linear in the sums of a cluster, so that a draw
costs nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import optimize, stats

from relocation_analysis.data.shown import Shown
from relocation_analysis.errors import InputError
from relocation_analysis.estimation.checks import Check
from relocation_analysis.estimation.inference import FEWEST_CLUSTERS, LEVEL, random_signs
from relocation_analysis.language import _

MOST_ENUMERATED = 12  # clusters: 2 ** 11 sign vectors, the other half being their mirror image
DRAWS = 999
TIE = 1e-9  # relative; the same sign vector reached by other sums differs by rounding


@dataclass(frozen=True)
class WildBootstrap:
    """One coefficient.

    Attributes
    ----------
    estimate, std_error, statistic : least squares with CR1, G / (G - 1) (N - 1) / (N - K).
    p_value, conf_low, conf_high : of the bootstrap; None and NaN where it is not offered. A bound is infinite
        where every value on its side is accepted, as can be with very few clusters.
    draws, exact : sign vectors, and whether these are all there are.
    clusters, fewest : clusters, and those on the smaller side of a treatment of two values.
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
    """What the sign of each cluster adds, as a function of the null value r: constant + r * slope.

    Attributes
    ----------
    estimate, std_error : of the sample, CR1.
    root : the error without the factors of CR1, which cancel between sample and draws.
    coefficient : (2, G) part of cluster c in the coefficient of a draw, less r.
    score : (2, G, G) [:, b, c] its part in the score of cluster b, divided by d'd as the coefficient is.
    """

    estimate: float
    std_error: float
    root: float
    coefficient: np.ndarray
    score: np.ndarray


def wild_bootstrap(y, x, clusters, column: int, generator: np.random.Generator | None = None,
                   null: float = 0.0) -> WildBootstrap:  # fmt: skip
    """Test that one coefficient of a linear regression is `null`, and its 95% interval by inverting the test.

    With up to 12 clusters every sign vector is used and p is the share with |t*| >= |t|, ties counted; it
    cannot be below 2^(1 - G). With more clusters 999 are drawn and p = (1 + those) / 1,000. It is not offered
    where the smaller side of the treatment has fewer than 5 clusters: there it hardly ever rejects (MacKinnon
    & Webb 2017, Journal of Applied Econometrics 32(2)).

    Parameters
    ----------
    y : (N,) outcome. With weights, multiply the rows of y and x by their root.
    x : (N, K) all regressors: constant, dummies of strata and periods, covariates. Fixed effects inside
        clusters, as those of units, may be subtracted from y and x beforehand; others may not, they mix
        clusters.
    clusters : (N,) labels.
    column : of x, whose coefficient it is.
    generator : needed with more than 12 clusters.

    Raises `InputError` where the column is a combination of the others, or where a generator is missing.
    """
    y, x = np.asarray(y, dtype=float), np.asarray(x, dtype=float)
    labels, code = np.unique(np.asarray(clusters), return_inverse=True)
    size, fewest = len(labels), _smaller_side(x[:, column], code)
    scores = _cluster_scores(y, x, code, column)
    sample = (scores.estimate, scores.std_error, (scores.estimate - null) / scores.std_error)
    if fewest < FEWEST_CLUSTERS:
        reason = _("there are fewer than {few} clusters on the smaller side", few=FEWEST_CLUSTERS)
        return WildBootstrap(*sample, None, np.nan, np.nan, 0, False, size, fewest, reason)
    exact = size <= MOST_ENUMERATED
    if not exact and generator is None:
        raise InputError(_("More than {n} clusters need a random generator", n=MOST_ENUMERATED), _("there are {n}", n=size),
                         _("pass one of relocation_analysis.randomness"))  # fmt: skip
    signs = _every_sign(size) if exact else random_signs(generator, DRAWS, size)
    p_value = _p_values(scores, signs, exact)
    low, high = (_bound(p_value, scores, side) for side in (-1.0, 1.0))
    return WildBootstrap(*sample, p_value(null), low, high, len(signs), exact, size, fewest, "")


def _smaller_side(treatment: np.ndarray, code: np.ndarray) -> int:
    """Clusters that hold the rarer value of a treatment of two values; all clusters where it has more."""
    values = np.unique(treatment)
    both = len(values) == 2
    return min(len(np.unique(code[treatment == v])) for v in values) if both else int(code.max()) + 1


def _every_sign(clusters: int) -> np.ndarray:
    """(2^(G - 1), G) sign vectors whose first sign is +1; |t*| is the same for their mirror images."""
    bits = np.arange(2 ** (clusters - 1))[:, None] >> np.arange(clusters - 1)
    return np.c_[np.ones(len(bits)), 1.0 - 2 * (bits & 1)]


def _cluster_scores(y: np.ndarray, x: np.ndarray, code: np.ndarray, column: int) -> Scores:
    """Sums by cluster of Roodman et al. (2019), section 5.

    A draw has errors e_i = g_c(i) u_i, u the residuals under the null. With d the column net of the others
    and Q an orthonormal basis of x, its coefficient less r is d'e / d'd, and the score of cluster b is the
    sum over b of d_i (e_i - Q_i Q'e).
    """
    order = np.argsort(code, kind="stable")
    y, x, starts = y[order], x[order], np.flatnonzero(np.diff(code[order], prepend=-1))
    others, basis = _basis(np.delete(x, column, axis=1)), _basis(x)
    d, net = (v - others @ (others.T @ v) for v in (x[:, column], y))
    if basis.shape[1] == others.shape[1]:
        raise InputError(_("The treatment must vary given the other regressors"), _("they explain all of it"),
                         _("drop the regressors that do"))  # fmt: skip
    dd = d @ d
    estimate = float(d @ net / dd)
    by_cluster = np.add.reduceat(d * (net - estimate * d), starts)
    root = float(np.sqrt(by_cluster @ by_cluster) / dd)
    size, rows = len(starts), len(y)
    factor = size / (size - 1) * (rows - 1) / (rows - basis.shape[1])
    loads = np.add.reduceat(d[:, None] * basis, starts)
    coefficient, score = [], []
    for u in (net, -d):  # u(r) = net - r d
        own = np.add.reduceat(d * u, starts)
        coefficient.append(own / dd)
        score.append((np.diag(own) - loads @ np.add.reduceat(u[:, None] * basis, starts).T) / dd)
    return Scores(estimate, float(np.sqrt(factor)) * root, root, np.array(coefficient), np.array(score))


def _basis(x: np.ndarray) -> np.ndarray:
    """Orthonormal columns that span those of x."""
    if x.shape[1] == 0:
        return x
    left, values, _ = np.linalg.svd(x / np.maximum(np.abs(x).max(0), 1e-300), full_matrices=False)
    return left[:, values > 1e-10 * values[0]]


def _p_values(scores: Scores, signs: np.ndarray, exact: bool) -> Callable[[float], float]:
    """The p-value as a function of the null value."""
    at_zero, slope = signs @ scores.coefficient[0], signs @ scores.coefficient[1]
    first, second = signs @ scores.score[0].T, signs @ scores.score[1].T
    square = np.stack([(first**2).sum(1), 2 * (first * second).sum(1), (second**2).sum(1)])

    def p_value(null: float) -> float:
        t = abs(scores.estimate - null) / scores.root
        error = np.sqrt(np.maximum(np.array([1.0, null, null**2]) @ square, 0.0))
        as_large = int((np.abs(at_zero + null * slope) >= t * (1 - TIE) * error).sum())
        return as_large / len(signs) if exact else (1 + as_large) / (1 + len(signs))

    return p_value


def _bound(p_value: Callable[[float], float], scores: Scores, side: float) -> float:
    """One end of the interval: outwards in doubling steps until a value is rejected, then bisection."""
    step, inside = scores.std_error, scores.estimate
    while p_value(outside := scores.estimate + side * step) > 1 - LEVEL:
        inside, step = outside, 2 * step
        if step > 1e6 * scores.std_error:
            return side * np.inf
    tolerance = 1e-9 * scores.std_error
    return float(optimize.bisect(lambda r: (p_value(r) > 1 - LEVEL) - 0.5, inside, outside, xtol=tolerance))


def check_wild(name: str, y, x, clusters, column: int, generator: np.random.Generator | None = None,
               shown: Shown = Shown()) -> Check:  # fmt: skip
    """Whether the wild cluster bootstrap says what the clustered error with t(G - 1) says, at 5%.

    Parameters
    ----------
    name : the outcome. The others as `wild_bootstrap`, and `shown`: how the note says counts.

    Returns a `Check` with the p-value of the bootstrap; its table has inference, estimate, std_error,
    p_value, conf_low, conf_high.
    """
    found = wild_bootstrap(y, x, clusters, column, generator)
    half = stats.t.ppf((1 + LEVEL) / 2, found.clusters - 1) * found.std_error
    plain = float(2 * stats.t.sf(abs(found.statistic), found.clusters - 1))
    table = pd.DataFrame({
        "inference": ["cluster_cr1", "wild_bootstrap"],
        "estimate": found.estimate,
        "std_error": [found.std_error, np.nan],
        "p_value": [plain, np.nan if found.p_value is None else found.p_value],
        "conf_low": [found.estimate - half, found.conf_low],
        "conf_high": [found.estimate + half, found.conf_high],
    })  # fmt: skip
    null = _("The clustered error and the wild cluster bootstrap agree on whether there is an effect")
    if found.p_value is None:
        note = _("Not offered: {reason}.", reason=found.reason)
        return Check(name, "wild_bootstrap", null, found.statistic, None, None, table, note)
    agree = bool((found.p_value < 1 - LEVEL) == (plain < 1 - LEVEL))
    numbers = {"clusters": shown.count(found.clusters), "fewest": shown.count(found.fewest), "draws": found.draws}
    note = (_("Clusters: {clusters}, on the smaller side {fewest}; {draws:,} sign vectors, all there are. The p-value is the bootstrap's.", **numbers) if found.exact else
            _("Clusters: {clusters}, on the smaller side {fewest}; {draws:,} sign vectors, drawn. The p-value is the bootstrap's.", **numbers))  # fmt: skip
    return Check(name, "wild_bootstrap", null, found.statistic, found.p_value, agree, table, note)
