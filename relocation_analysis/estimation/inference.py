"""Errors, intervals, simultaneous bands and tests from influence values summed by cluster."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from relocation_analysis.estimation.aggregate import Aggregated

MANY_CLUSTERS = 50
FEWEST_CLUSTERS = 5
LEVEL = 0.95


@dataclass(frozen=True)
class Errors:
    """Errors of A effects: influence (K, A) whose root sum of squares is std_error (A,); se_type; degrees of freedom."""

    influence: np.ndarray
    std_error: np.ndarray
    se_type: np.ndarray
    df: np.ndarray


def cluster_errors(effects: Aggregated, few_clusters: str = "jackknife") -> Errors:
    """Standard errors by the number of clusters on the smaller side of each effect.

    - 50 or more: root of the sum of squared influence values (R `did`'s convention, no small-sample factor), normal.
    - 5 to 49: the cluster jackknife CV3 of MacKinnon, Nielsen & Webb (2023, J. Applied Econometrics 38(5)), variance
      (G - 1) / G sum_c (theta_(-c) - theta)^2, and t with G - 1 degrees of freedom, G the clusters of the effect.
    - fewer than 5: no error; the effect enters no band and no test.

    With `few_clusters="ignore"` the first rule holds for all.
    """
    n1, n0 = effects.treated.sum(0), effects.comparison.sum(0)
    involved = (effects.treated | effects.comparison).sum(0)
    smaller = np.minimum(n1, n0)
    influence = effects.influence.copy()
    se_type = np.full(len(smaller), "cluster_influence", dtype=object)
    df = np.full(len(smaller), np.inf)
    if few_clusters == "jackknife":
        few = smaller < MANY_CLUSTERS
        with np.errstate(invalid="ignore", divide="ignore"):
            pseudo = (effects.estimate - effects.jackknife) * np.sqrt((involved - 1) / involved)
        influence[:, few] = pseudo[:, few]
        se_type[few], df[few] = "cluster_jackknife", involved[few] - 1
        none = (smaller < FEWEST_CLUSTERS) | ~np.isfinite(influence).all(0)
        influence[:, none], se_type[none] = 0.0, ""
    std_error = np.sqrt((influence**2).sum(0))
    std_error[~(std_error > 1e-10 * np.maximum(1e-300, np.abs(effects.estimate)))] = np.nan
    se_type[np.isnan(std_error)] = ""
    return Errors(influence, std_error, se_type, df)


def critical_value(errors: Errors, members: np.ndarray, multipliers: np.ndarray) -> float:
    """95% quantile of the largest |t| among `members` under the multiplier bootstrap; NaN where none has an error.

    Callaway & Sant'Anna (2021), algorithm 1: each cluster's influence values are multiplied by one random sign a draw.
    With few clusters the signs alone can give less than the normal quantile; a band is never narrower than its interval.
    """
    members = members[np.isfinite(errors.std_error[members])]
    if len(members) == 0:
        return np.nan
    draws = multipliers @ (errors.influence[:, members] / errors.std_error[members])
    return _quantile_of_largest(draws)


def joint_test(z: np.ndarray, draws: np.ndarray) -> tuple[float, float, float]:
    """Sup-t test that M effects are all zero.

    Parameters
    ----------
    z : (M,) statistics on the normal scale (an effect with t errors takes the normal value of the same p-value).
    draws : (draws, M) bootstrap draws of them.

    Returns the largest |z|, its bootstrap p-value, and the critical value of a band over the same effects.
    """
    largest, statistic = np.abs(draws).max(1), float(np.abs(z).max())
    return statistic, float((1 + (largest >= statistic).sum()) / (1 + len(largest))), _quantile_of_largest(draws)


def _quantile_of_largest(draws: np.ndarray) -> float:
    return max(float(np.quantile(np.abs(draws).max(1), LEVEL)), float(stats.norm.ppf((1 + LEVEL) / 2)))


def random_signs(generator: np.random.Generator, draws: int, clusters: int) -> np.ndarray:
    """(draws, clusters) Rademacher multipliers."""
    return generator.integers(0, 2, size=(draws, clusters)).astype(float) * 2 - 1


def pointwise_interval(estimate, std_error, df) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Statistic, two-sided p-value and 95% interval, normal where df is infinite and t otherwise."""
    quantile = stats.t.ppf((1 + LEVEL) / 2, df)
    statistic = estimate / std_error
    return statistic, 2 * stats.t.sf(np.abs(statistic), df), estimate - quantile * std_error, estimate + quantile * std_error


def band(estimate, std_error, df, critical: float) -> tuple[np.ndarray, np.ndarray]:
    """Simultaneous band. The critical value is on the normal scale; an effect with t errors takes the t value of the same
    probability."""
    width = stats.t.isf(stats.norm.sf(critical), df) * std_error
    return estimate - width, estimate + width


def adjust_holm(p_values: np.ndarray) -> np.ndarray:
    """Holm (1979) step-down adjusted p-values; a missing p-value is no member of the family."""
    p = np.asarray(p_values, dtype=float)
    adjusted = np.full(len(p), np.nan)
    known = np.flatnonzero(np.isfinite(p))
    order = known[np.argsort(p[known], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * factors))
    return adjusted
