"""Inverse weighting and its doubly robust form: the effect on movers from comparison units weighted to look
like them."""

import numpy as np

from relocation_analysis.errors import InputError
from relocation_analysis.estimation.doubly_robust import NO_OVERLAP, TRIM
from relocation_analysis.estimation.propensity import Propensity, Units, estimate_propensity


def att_weights(units: Units, propensity: Propensity) -> np.ndarray:
    """(n,), weights that sum to one on either side: a mover's own weight; a comparison unit's times the odds
    of moving, p / (1 - p), and none from a score of `TRIM` on. NaN where no comparison unit is left."""
    odds = np.where(
        propensity.score < TRIM, propensity.score / np.maximum(1 - propensity.score, 1 - TRIM), 0.0
    )
    weight = units.weight * np.where(units.treated, 1.0, odds)
    total = np.where(units.treated, weight[units.treated].sum(), weight[~units.treated].sum())
    return np.divide(weight, total, out=np.full(len(weight), np.nan), where=total > 0)


def has_overlap(propensity: Propensity) -> bool:
    """Whether every propensity score is below `NO_OVERLAP`: from there on weights have no estimate (as in R
    did 2.5.1)."""
    return bool(propensity.score.max() < NO_OVERLAP)


def weighted_att(
    units: Units, propensity: Propensity, regression: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Effect on movers by inverse weighting, with a regression among comparison units.

    With e = y - x'b, b by weighted least squares among comparison units, the effect is the weighted mean of e
    among movers less that among comparison units, Hajek weights of `att_weights`. A regression on a constant
    gives inverse weighting (Hirano, Imbens & Ridder 2003, Econometrica 71(4), section 4.3, normalised); on
    the covariates the doubly robust estimator, equation 3.1 of Sant'Anna & Zhao (2020, J. Econometrics
    219(1)), of levels or of differences as `y` is.

    Parameters
    ----------
    regression : (n, r), regressors x of the outcome, the constant among them.

    Returns
    -------
    estimate (L,), influence (n, L) with the estimation of b and of the propensity score in it; NaN without
    overlap.
    """
    y, treated, design = units.y, units.treated, units.design
    share = att_weights(units, propensity)
    if not (has_overlap(propensity) and np.isfinite(share).all()):
        return np.full(y.shape[1], np.nan), np.full(y.shape, np.nan)
    plain = np.where(treated, 0.0, units.weight)
    gram = regression.T @ (plain[:, None] * regression)
    residual = y - regression @ np.linalg.lstsq(gram, regression.T @ (plain[:, None] * y), rcond=None)[0]
    side = np.where(treated, 1.0, -1.0)
    means = [share[mask] @ residual[mask] for mask in (treated, ~treated)]
    centred = residual - np.where(treated[:, None], *means)
    unbalanced = np.linalg.lstsq(gram, regression.T @ (side * share), rcond=None)[0]
    slope = design[~treated].T @ (share[~treated, None] * centred[~treated])
    influence = (side * share)[:, None] * centred - (plain * (regression @ unbalanced))[:, None] * residual
    return means[0] - means[1], influence - propensity.influence @ slope


def weighted_effects(units: Units, propensity: Propensity) -> tuple[np.ndarray, np.ndarray]:
    """Difference in means, inverse weighting and doubly robust, in this order, each for every column of `y`:
    estimate (3 L,), influence (n, 3 L)."""
    constant = np.ones((len(units.treated), 1))
    bare = Units(**{**units.__dict__, "covariates": units.covariates[:, :0], "names": ()})
    parts = [
        weighted_att(bare, estimate_propensity(bare), constant),
        weighted_att(units, propensity, constant),
        weighted_att(units, propensity, units.design),
    ]
    return np.concatenate([estimate for estimate, _ in parts]), np.concatenate(
        [values for _, values in parts], axis=1
    )


def leave_clusters_out(units: Units, propensity: Propensity) -> np.ndarray:
    """`weighted_effects` without each cluster, (K, 3 L), the propensity score estimated again; NaN where it
    cannot be."""
    columns = 3 * units.y.shape[1]
    left = np.full((len(units.clusters), columns), np.nan)
    for c in range(len(units.clusters)):
        rest = units.keep(units.code != c)
        if 0 < rest.treated.sum() < len(rest.treated):
            try:
                left[c] = weighted_effects(rest, estimate_propensity(rest, propensity.coefficients))[0]
            except InputError:
                continue
    return left
