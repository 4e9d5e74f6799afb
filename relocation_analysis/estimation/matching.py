"""Matching on the propensity score: who is compared with whom, and the error of the mean difference."""

from dataclasses import dataclass

import numpy as np

from relocation_analysis.estimation.propensity import Propensity, Units, logit_spread

CALIPER = 0.2  # standard deviations of the logit score (Austin 2011, Pharmaceutical Statistics 10(2))
TIE = 1e-9  # logit scores closer than this are equal: the same covariates, summed in another order
DEGREE = 3  # of the polynomial in the logit score which stands for the mean outcome of comparison units


@dataclass(frozen=True)
class Matches:
    """Comparison units of each mover.

    Attributes
    ----------
    caliper : largest distance allowed, on the scale of the logit score.
    matched : (n,) of bool, movers with a match within the caliper.
    weight : (n,), a matched mover's own weight; for a comparison unit k, the weight of the movers that it
        stands for. Each side sums to the weight of the matched movers.
    squares : (n,), for a comparison unit the sum over movers of the squared part of k that each contributes.
    sets : (n, 2), first and last + 1 position in `order` of the tied matches of each matched mover.
    order : comparison units by logit score.
    """

    caliper: float
    matched: np.ndarray
    weight: np.ndarray
    squares: np.ndarray
    sets: np.ndarray
    order: np.ndarray


def match_units(units: Units, propensity: Propensity, caliper: float = CALIPER) -> Matches:
    """The nearest comparison unit on the logit score for every mover, with replacement, all ties averaged.

    Parameters
    ----------
    caliper : largest distance, in standard deviations of the logit score (`logit_spread`); inf for none. A
        mover without a comparison unit that near is not matched, and the effect is then on the movers that
        are.
    """
    width = caliper * logit_spread(units, propensity) if np.isfinite(caliper) else np.inf
    order = np.flatnonzero(~units.treated)
    order = order[np.argsort(propensity.logit[order], kind="stable")]
    pool, movers = propensity.logit[order], np.flatnonzero(units.treated)
    first, last, distance = _nearest(pool, propensity.logit[movers])
    found = distance <= width + TIE
    sets = np.zeros((len(units.treated), 2), dtype=int)
    sets[movers[found]] = np.column_stack([first, last])[found]
    matched = np.zeros(len(units.treated), dtype=bool)
    matched[movers[found]] = True
    total = np.r_[0.0, np.cumsum(units.weight[order])]
    share = units.weight[movers[found]] / (total[last] - total[first])[found]
    own = units.weight[order]
    weight, squares = np.where(matched, units.weight, 0.0), np.zeros(len(matched))
    weight[order] = own * _spread(first[found], last[found], share, len(order))
    squares[order] = own**2 * _spread(first[found], last[found], share**2, len(order))
    return Matches(width, matched, weight, squares, sets, order)


def _nearest(pool: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """First and last + 1 position in the sorted `pool` of all entries nearest to each value, and the
    distance."""
    place = np.searchsorted(pool, values)
    padded = np.r_[-np.inf, pool, np.inf]
    distance = np.minimum(values - padded[place], padded[place + 1] - values)
    return *_within(pool, values, distance), distance


def _within(pool: np.ndarray, values: np.ndarray, distance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.searchsorted(pool, values - distance - TIE), np.searchsorted(
        pool, values + distance + TIE, side="right"
    )


def _spread(first: np.ndarray, last: np.ndarray, share: np.ndarray, size: int) -> np.ndarray:
    """(size,), the sum of the shares of the intervals [first, last) which hold each position; zero exactly
    where none does."""
    sums, counts = (
        np.cumsum(np.bincount(first, s, minlength=size + 1) - np.bincount(last, s, minlength=size + 1))[:size]
        for s in (share, np.ones(len(share)))
    )
    return np.where(counts > 0.5, sums, 0.0)


def matched_att(units: Units, matches: Matches) -> np.ndarray:
    """Mean outcome of matched movers less that of their matches, (L,); NaN where nobody is matched."""
    total = matches.weight[units.treated].sum()
    if not total > 0:
        return np.full(units.y.shape[1], np.nan)
    return (np.where(units.treated, 1.0, -1.0) * matches.weight) @ units.y / total


def match_errors(units: Units, propensity: Propensity, matches: Matches) -> tuple[np.ndarray, np.ndarray]:
    """Standard errors of `matched_att`, independent units and clustered.

    A matching estimator is not smooth: it has no influence function and the bootstrap fails (Abadie & Imbens
    2008). But it is a sum of residuals (Abadie & Imbens 2012, JASA 107(498), the martingale; Otsu & Rai 2017,
    JASA 112(520), the linear form): with m the mean outcome of comparison units at a score, N1 the movers
    matched and k_j the matches j stands for,

        phi_i = (y_i - m(p_i) - effect) / N1    for a mover,
        phi_j = -k_j (y_j - m(p_j)) / N1        for a comparison unit,

    and the estimation of the score adds D' times the influence of its coefficients, D = -mean over movers of
    Cov(x, y | p, not moved). For independent units D is the derivative of the estimand less the covariance c
    of Abadie & Imbens (2016, Econometrica 84(2)), and adding it gives their variance, theorem 2: V - c'I^-1 c
    + d'I^-1 d.

    - Clustered: root of the sum over clusters of the squared sum of the contributions, m a cubic in the logit
      score.
    - Independent units: V of Abadie & Imbens (2006, Econometrica 74(1), theorem 7), residual variances from
      the nearest comparison unit, plus what the estimated score changes in the sum of squares above.

    Returns
    -------
    (L,) for independent units and (L,) clustered. The caliper's choice of movers is taken as given.
    """
    total = matches.weight[units.treated].sum()
    phi, score = _contributions(units, propensity, matches)
    single = ((phi + score) ** 2).sum(axis=0) - (phi**2).sum(axis=0)
    pairs = matches.matched
    gap = units.y[pairs] - _mean_of_matches(units, matches) - matched_att(units, matches)
    known = (units.weight[pairs, None] ** 2 * gap**2).sum(axis=0)
    known += (
        (matches.weight**2 - matches.squares)[matches.order, None]
        * _local_variance(units, propensity, matches)
    ).sum(axis=0)
    by_cluster = np.zeros((len(units.clusters), units.y.shape[1]))
    np.add.at(by_cluster, units.code, phi + score)
    return np.sqrt(np.maximum(known / total**2 + single, 0.0)), np.sqrt((by_cluster**2).sum(axis=0))


def _contributions(units: Units, propensity: Propensity, matches: Matches) -> tuple[np.ndarray, np.ndarray]:
    """phi and the part of the estimated score, (n, L) each."""
    total, treated, logit = matches.weight[units.treated].sum(), units.treated, propensity.logit
    low, high = logit[matches.matched].min() - matches.caliper, logit[matches.matched].max() + matches.caliper
    near = (~treated & (logit >= low) & (logit <= high)) | (matches.weight > 0) & ~treated
    center, spread = logit[near].mean(), max(logit[near].std(), TIE)
    powers = np.vander((logit - center) / spread, DEGREE + 1)
    root = np.sqrt(units.weight[near])[:, None]
    joint = np.column_stack([units.y, units.design])
    joint = joint - powers @ np.linalg.lstsq(root * powers[near], root * joint[near], rcond=None)[0]
    residual, trait = joint[:, : units.y.shape[1]], joint[:, units.y.shape[1] :]
    k = np.where(treated, 0.0, matches.weight)
    phi = np.where(
        treated[:, None],
        matches.weight[:, None] * (residual - matched_att(units, matches)),
        -k[:, None] * residual,
    )
    slope = -trait.T @ (k[:, None] * residual) / total
    return phi / total, propensity.influence @ slope


def _mean_of_matches(units: Units, matches: Matches) -> np.ndarray:
    """Mean outcome of the tied matches of each matched mover."""
    own = units.weight[matches.order]
    sums = np.cumsum(
        np.vstack(
            [
                np.zeros((1, units.y.shape[1] + 1)),
                own[:, None] * np.c_[units.y[matches.order], np.ones(len(own))],
            ]
        ),
        axis=0,
    )
    first, last = matches.sets[matches.matched].T
    part = sums[last] - sums[first]
    return part[:, :-1] / part[:, -1:]


def _local_variance(units: Units, propensity: Propensity, matches: Matches) -> np.ndarray:
    """Sample variance of the outcome of each comparison unit and the one nearest to it, ties included, in
    `order`."""
    pool, y = propensity.logit[matches.order], units.y[matches.order]
    gaps = np.r_[np.inf, np.diff(pool), np.inf]
    first, last = _within(pool, pool, np.minimum(gaps[:-1], gaps[1:]))
    y = y - y.mean(axis=0)
    sums, squares = (np.vstack([np.zeros((1, y.shape[1])), np.cumsum(v, axis=0)]) for v in (y, y**2))
    n = (last - first)[:, None]
    return np.maximum(squares[last] - squares[first] - (sums[last] - sums[first]) ** 2 / n, 0.0) / np.maximum(
        n - 1, 1
    )
