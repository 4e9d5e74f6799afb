"""Least squares with strata effects, and its errors by cluster: CR1 and the cluster jackknife CV3.

Numbers in, numbers out. Strata and covariates are partialled out first (Frisch-Waugh-Lovell), so that one fit serves
every outcome of the same rows: their joint covariance by cluster is what ratios and tests of them need.
"""

from dataclasses import dataclass

import numpy as np
from scipy import linalg

RANK_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Partialled:
    """N rows with the controls partialled out; every array is multiplied by the root of the weight.

    Attributes
    ----------
    regressors : (N, M), outcomes : (N, P), what is left of them.
    root : (N,), the root of the weight.
    basis : (N, R), orthonormal, spans the constant, the strata and the covariates; R is their rank.
    cluster : (N,) positions in `labels` (G,), which is sorted.
    """

    regressors: np.ndarray
    outcomes: np.ndarray
    root: np.ndarray
    basis: np.ndarray
    cluster: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class Fit:
    """Coefficients (M, P) of M regressors on P outcomes and their influence values by cluster (G, M, P), CR1-scaled: the
    root of their sum of squares is the standard error."""

    coefficient: np.ndarray
    influence: np.ndarray

    @property
    def std_error(self) -> np.ndarray:
        return np.sqrt((self.influence**2).sum(0))


def partial_out(regressors, outcomes, controls, cluster, weight=None) -> Partialled:
    """Take the controls out of regressors (N, M) and outcomes (N, P).

    `controls` (N, C) holds the strata dummies and covariates; a constant is added, and columns that others span do not
    count. What is left of a regressor that the controls span is exactly zero.
    """
    n = len(cluster)
    root = np.ones(n) if weight is None else np.sqrt(np.asarray(weight, dtype=float))
    controls = np.asarray(controls, dtype=float).reshape(n, -1)
    basis = _orthonormal(np.c_[np.ones(n), _standardised(controls)] * root[:, None])
    residuals = []
    for values in (regressors, outcomes):
        values = np.asarray(values, dtype=float).reshape(n, -1)
        raw = values * root[:, None]
        centred = (values - values.mean(0)) * root[:, None]
        for _ in range(2):
            centred = centred - basis @ (basis.T @ centred)
        spanned = np.linalg.norm(centred, axis=0) <= RANK_TOLERANCE * np.linalg.norm(raw, axis=0)
        residuals.append(np.where(spanned, 0.0, centred))
    labels, codes = np.unique(cluster, return_inverse=True)
    return Partialled(*residuals, root, basis, codes, labels)


def _standardised(columns: np.ndarray) -> np.ndarray:
    spread = columns.std(0)
    return (columns - columns.mean(0)) / np.where(spread > 0, spread, 1.0)


def _orthonormal(columns: np.ndarray) -> np.ndarray:
    q, r, _ = linalg.qr(columns, mode="economic", pivoting=True)
    size = np.abs(np.diag(r))
    return q[:, : int((size > RANK_TOLERANCE * size[0]).sum())]


def identified(system: Partialled) -> np.ndarray:
    """(M,) True for regressors that neither the controls nor the regressors before them span."""
    kept = np.zeros(system.regressors.shape[1], dtype=bool)
    for j, column in enumerate(system.regressors.T):
        others = system.regressors[:, kept]
        left = column - others @ np.linalg.lstsq(others, column, rcond=None)[0]
        kept[j] = np.linalg.norm(left) > RANK_TOLERANCE * max(np.linalg.norm(column), 1e-300)
    return kept


def least_squares(system: Partialled) -> Fit:
    """Coefficients with errors clustered by CR1: variance times G / (G - 1) * (N - 1) / (N - K), where K counts the
    regressors and every strata dummy and covariate (Stata's `regress, vce(cluster)`; Cameron & Miller 2015, eq. 12).

    The error is NaN with one cluster, or with no more rows than K.
    """
    x, y = system.regressors, system.outcomes
    (n, m), g = x.shape, len(system.labels)
    inverse = np.linalg.inv(x.T @ x)
    coefficient = inverse @ (x.T @ y)
    scores = np.zeros((g, m, y.shape[1]))
    np.add.at(scores, system.cluster, x[:, :, None] * (y - x @ coefficient)[:, None, :])
    k = m + system.basis.shape[1]
    factor = np.sqrt(g / (g - 1) * (n - 1) / (n - k)) if g > 1 and n > k else np.nan
    return Fit(coefficient, factor * np.einsum("mk,gkp->gmp", inverse, scores))


def leave_one_out(system: Partialled) -> np.ndarray:
    """(G, M, P) coefficients without each cluster, its strata effects estimated anew. NaN where a coefficient is not
    identified without it. A stratum that goes with its cluster goes from the controls, too."""
    x, y, q = system.regressors, system.outcomes, system.basis
    order = np.argsort(system.cluster, kind="stable")
    bounds = np.searchsorted(system.cluster[order], np.arange(len(system.labels) + 1))
    xx, xy = x.T @ x, x.T @ y
    size = np.sqrt(np.diag(xx))
    left = np.full((len(system.labels), x.shape[1], y.shape[1]), np.nan)
    for g in range(len(left)):
        rows = order[bounds[g] : bounds[g + 1]]
        xg, yg, qg = x[rows], y[rows], q[rows]
        inner = np.linalg.pinv(np.eye(q.shape[1]) - qg.T @ qg, rcond=RANK_TOLERANCE, hermitian=True)
        bridge = (xg.T @ qg) @ inner
        normal = xx - xg.T @ xg - bridge @ (qg.T @ xg)
        if np.linalg.eigvalsh(normal / np.outer(size, size))[0] > RANK_TOLERANCE:
            left[g] = np.linalg.solve(normal, xy - xg.T @ yg - bridge @ (qg.T @ yg))
    return left


def jackknife_influence(estimate, left_out: np.ndarray) -> np.ndarray:
    """Values whose root sum of squares is the jackknife error CV3 about the estimate: variance
    (G - 1) / G sum_g (theta_(-g) - theta)^2 (MacKinnon, Nielsen & Webb 2023, J. Applied Econometrics 38(5))."""
    g = len(left_out)
    return (estimate - left_out) * np.sqrt((g - 1) / g)
