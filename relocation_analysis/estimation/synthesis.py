"""Effects of several provinces put together: random effects, shrunken estimates, leave one out, the mean over movers.

Province i has the effect theta_i and the estimate y_i, with the error s_i taken as known:

    y_i = theta_i + e_i,  e_i ~ N(0, s_i^2);    theta_i = mu + u_i,  u_i ~ N(0, tau^2).

mu is the mean of the effects that such provinces have, each counted once; tau is how far they differ. The mean over movers is
another estimand: what the programme did to the mover of the provinces that are in it, whatever the others are like.
"""

import warnings
from dataclasses import dataclass
from functools import cache
from importlib import import_module

import numpy as np
import pandas as pd
from scipy import optimize, stats

from relocation_analysis.errors import InputError
from relocation_analysis.estimation.inference import LEVEL
from relocation_analysis.language import _

FEWEST = 2  # provinces for a mean
FEWEST_PREDICTED = 5  # provinces for a prediction interval
TAUS = 400  # values that stand for the confidence distribution of tau^2
BISECTIONS = 100  # to the last bit of any tau^2
MEAN_COLUMNS = ("estimate", "std_error", "conf_low", "conf_high", "tau2", "i2")


@dataclass(frozen=True)
class Synthesis:
    """The random-effects synthesis of k estimates; all is NaN below two of them.

    Attributes
    ----------
    k : estimates in it.
    estimate, std_error, statistic, p_value, conf_low, conf_high : the mean mu, by Hartung and Knapp with t of k - 1 degrees.
    factor : what the variance was multiplied by, max(1, q).
    tau2, tau2_low, tau2_high : variance of the effects, in squared units, with its interval.
    i2, i2_low, i2_high : share of the variation of the estimates that is not their error.
    q, q_p : Cochran's test that all effects are the same.
    predict_low, predict_high : where the effect of one more such province lies; NaN below five estimates.
    usual_low, usual_high : the usual interval for it (Higgins, Thompson and Spiegelhalter), which takes tau as known.
    units : one row an estimate, as given: label, estimate, std_error, weight (sums to 1), shrunken, shrunken_error,
        shrunken_low, shrunken_high.
    without : one row an estimate left out: label and `MEAN_COLUMNS`.
    """

    k: int
    estimate: float
    std_error: float
    statistic: float
    p_value: float
    conf_low: float
    conf_high: float
    factor: float
    tau2: float
    tau2_low: float
    tau2_high: float
    i2: float
    i2_low: float
    i2_high: float
    q: float
    q_p: float
    predict_low: float
    predict_high: float
    usual_low: float
    usual_high: float
    units: pd.DataFrame
    without: pd.DataFrame


@dataclass(frozen=True)
class WeightedMean:
    """A mean with fixed weights: estimate, std_error, its 95% interval, and how many estimates are in it."""

    estimate: float
    std_error: float
    conf_low: float
    conf_high: float
    k: int


def estimate_synthesis(estimate, std_error, labels=None) -> Synthesis:
    """Random-effects mean, heterogeneity, prediction interval, shrunken estimates and leave one out.

    - tau^2 by restricted maximum likelihood (Viechtbauer 2005, J. Educational and Behavioral Statistics 30(3)): PyMARE finds
      the maximum, the root of the likelihood's derivative beside it gives the last digits.
    - The mean's variance is max(1, q) / sum w with w = 1 / (s^2 + tau^2) and q = sum w (y - mu)^2 / (k - 1), its interval from
      t with k - 1 degrees of freedom (Hartung and Knapp 2001, Statistics in Medicine 20; IntHout et al. 2014). Without the 1
      the interval could be narrower than if the provinces did not differ at all (Rover, Knapp and Friede 2015).
    - The prediction interval averages over what is not known of tau, see `predict_effect`. The usual one is
      mu +- t_(k-2) sqrt(tau^2 + se^2) (Higgins, Thompson and Spiegelhalter 2009, section 4.3), se the error above; R's metafor
      takes k - 1 degrees instead, which is narrower.
    - A shrunken estimate is the best linear predictor l y_i + (1 - l) mu, l = tau^2 / (tau^2 + s_i^2); its variance
      l s_i^2 + (1 - l)^2 se^2 and t with k - 1 degrees, as in metafor's `blup`.
    - Intervals of tau^2 and I^2 by the Q-profile method (Viechtbauer 2007, Statistics in Medicine 26); I^2 = tau^2 / (tau^2 + v)
      with v the typical error variance of Higgins and Thompson (2002).

    Parameters
    ----------
    estimate, std_error : (k,) in one unit; every error finite and above zero.
    labels : (k,) names of the provinces; numbers by default.

    Raises
    ------
    InputError : an estimate is missing, or an error is missing, zero or infinite.
    """
    y, s = np.asarray(estimate, dtype=float), np.asarray(std_error, dtype=float)
    labels = list(range(len(y))) if labels is None else list(labels)
    _require_errors(y, s, labels)
    whole = _synthesise(y, s)
    ahead = _look_ahead(y, s, whole)
    without = pd.DataFrame([_without(y, s, i) for i in range(len(y))], columns=list(MEAN_COLUMNS))
    without.insert(0, "label", labels)
    return Synthesis(k=len(y), **whole, **ahead, units=_units(y, s, labels, whole), without=without)


def weighted_mean(estimate, std_error, weight) -> WeightedMean:
    """The mean of estimates with fixed weights, sum w y / sum w; its error is that of the estimates alone.

    Parameters
    ----------
    estimate, std_error : (k,) independent estimates in one unit.
    weight : (k,) such as registered movers.
    """
    y, s, w = (np.asarray(x, dtype=float) for x in (estimate, std_error, weight))
    if len(y) == 0:
        return WeightedMean(np.nan, np.nan, np.nan, np.nan, 0)
    share = w / w.sum()
    mean, error = float(share @ y), float(np.sqrt((share**2) @ (s**2)))
    half = stats.norm.ppf((1 + LEVEL) / 2) * error
    return WeightedMean(mean, error, mean - half, mean + half, len(y))


def _require_errors(y: np.ndarray, s: np.ndarray, labels: list) -> None:
    bad = ~(np.isfinite(y) & np.isfinite(s) & (s > 0))
    if bad.any():
        first = int(np.flatnonzero(bad)[0])
        raise InputError(
            _("Every estimate of a synthesis must have an error above zero"),
            _("{n} of {k} have none, first {label}: estimate {estimate}, error {error}", n=int(bad.sum()), k=len(y),
              label=labels[first], estimate=f"{y[first]:g}", error=f"{s[first]:g}"),
            _("leave them out, and say so"),
        )  # fmt: skip


def _synthesise(y: np.ndarray, s: np.ndarray) -> dict[str, float]:
    """Everything about the mean and the spread; NaN for fewer than two estimates."""
    names = ("estimate", "std_error", "statistic", "p_value", "conf_low", "conf_high", "factor", "tau2", "tau2_low",
             "tau2_high", "i2", "i2_low", "i2_high", "q", "q_p")  # fmt: skip
    if len(y) < FEWEST:
        return dict.fromkeys(names, np.nan)
    variance, df = s**2, len(y) - 1
    tau2 = restricted_likelihood(y, variance)
    mean, weight = _mean(y, variance, tau2)
    factor = max(1.0, float(weight @ (y - mean) ** 2) / df)
    error = float(np.sqrt(factor / weight.sum()))
    half = stats.t.ppf((1 + LEVEL) / 2, df) * error
    low, high = profile_interval(y, variance)
    typical = df * (1 / variance).sum() / ((1 / variance).sum() ** 2 - (1 / variance**2).sum())
    q = _spread(y, variance, 0.0)
    return {
        "estimate": mean, "std_error": error, "statistic": mean / error, "p_value": float(2 * stats.t.sf(abs(mean / error), df)),
        "conf_low": mean - half, "conf_high": mean + half, "factor": factor,
        "tau2": tau2, "tau2_low": low, "tau2_high": high,
        "i2": tau2 / (tau2 + typical), "i2_low": low / (low + typical), "i2_high": high / (high + typical),
        "q": q, "q_p": float(stats.chi2.sf(q, df)),
    }  # fmt: skip


def _look_ahead(y: np.ndarray, s: np.ndarray, whole: dict[str, float]) -> dict[str, float]:
    """The two prediction intervals; NaN below five estimates."""
    low = high = reach = np.nan
    if len(y) >= FEWEST_PREDICTED:
        low, high = predict_effect(y, s**2)
        reach = stats.t.ppf((1 + LEVEL) / 2, len(y) - 2) * np.sqrt(whole["tau2"] + whole["std_error"] ** 2)
    return {"predict_low": low, "predict_high": high,
            "usual_low": whole["estimate"] - reach, "usual_high": whole["estimate"] + reach}  # fmt: skip


def predict_effect(y: np.ndarray, variance: np.ndarray) -> tuple[float, float]:
    """The 95% interval for the effect of one more such province, tau not being known.

    The usual interval takes the estimate of tau for tau itself; where that is zero by luck the interval is far too narrow
    (Partlett and Riley 2017; with errors as here it covers 84% in place of 95%, tests/estimation/test_synthesis.py). This one
    averages over the confidence distribution of tau^2, as Nagashima, Noma and Furukawa (2019, Statistical Methods in Medical
    Research 28) propose. The distribution is that of the Q-profile: the weighted sum of squares at the true tau^2 is exactly
    chi-squared with k - 1 degrees, so each of its quantiles gives one tau_j^2. The interval ends at the 2.5% and 97.5% quantiles
    of the mean over j of normal distributions around mu(tau_j) with variance tau_j^2 + se(tau_j)^2.
    """
    quantiles = stats.chi2.ppf((np.arange(TAUS) + 0.5) / TAUS, len(y) - 1)
    tau2 = _tau2_at(y, variance, quantiles)[:, None]
    weight = 1 / (variance + tau2)
    total = weight.sum(1)
    mean = weight @ y / total
    factor = np.maximum(1.0, (weight * (y - mean[:, None]) ** 2).sum(1) / (len(y) - 1))
    spread = np.sqrt(tau2[:, 0] + factor / total)

    def end(level: float) -> float:
        reach = stats.norm.ppf(level) * spread
        low, high = (mean + reach).min(), (mean + reach).max()
        if high - low <= 1e-12 * spread.max():
            return float(low)
        return float(optimize.brentq(lambda x: stats.norm.cdf((x - mean) / spread).mean() - level, low, high, rtol=1e-13,
                                     xtol=1e-13 * spread.max()))  # fmt: skip

    return end((1 - LEVEL) / 2), end((1 + LEVEL) / 2)


def _tau2_at(y: np.ndarray, variance: np.ndarray, quantiles: np.ndarray) -> np.ndarray:
    """tau^2 at which the weighted sum of squares is each of the quantiles, zero where it never is: bisection of all at once."""
    low, high = np.zeros(len(quantiles)), np.full(len(quantiles), _ceiling(y, variance, quantiles.min()))
    for _step in range(BISECTIONS):
        middle = (low + high) / 2
        weight = 1 / (variance + middle[:, None])
        mean = (weight @ y) / weight.sum(1)
        above = (weight * (y - mean[:, None]) ** 2).sum(1) > quantiles
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return np.where(quantiles >= _spread(y, variance, 0.0), 0.0, (low + high) / 2)


def _ceiling(y: np.ndarray, variance: np.ndarray, quantile: float) -> float:
    """A tau^2 at which the weighted sum of squares is below a quantile."""
    top = float(np.mean(variance))
    while _spread(y, variance, top) > quantile:
        top *= 2
    return top


def _without(y: np.ndarray, s: np.ndarray, i: int) -> list[float]:
    rest = _synthesise(np.delete(y, i), np.delete(s, i))
    return [rest[name] for name in MEAN_COLUMNS]


def _units(y: np.ndarray, s: np.ndarray, labels: list, whole: dict[str, float]) -> pd.DataFrame:
    tau2, error = whole["tau2"], whole["std_error"]
    weight = 1 / (s**2 + tau2)
    own = tau2 / (tau2 + s**2)
    shrunken = own * y + (1 - own) * whole["estimate"]
    spread = np.sqrt(own * s**2 + (1 - own) ** 2 * error**2)
    half = (stats.t.ppf((1 + LEVEL) / 2, len(y) - 1) if len(y) >= FEWEST else np.nan) * spread
    return pd.DataFrame({
        "label": labels, "estimate": y, "std_error": s, "weight": weight / weight.sum(), "shrunken": shrunken,
        "shrunken_error": spread, "shrunken_low": shrunken - half, "shrunken_high": shrunken + half,
    })  # fmt: skip


def _mean(y: np.ndarray, variance: np.ndarray, tau2: float) -> tuple[float, np.ndarray]:
    weight = 1 / (variance + tau2)
    return float(weight @ y / weight.sum()), weight


def _spread(y: np.ndarray, variance: np.ndarray, tau2: float) -> float:
    """Weighted sum of squares about the mean at a given tau^2; at zero it is Cochran's Q."""
    mean, weight = _mean(y, variance, tau2)
    return float(weight @ (y - mean) ** 2)


def restricted_likelihood(y: np.ndarray, variance: np.ndarray) -> float:
    """tau^2 that maximises the restricted likelihood; exactly zero where that is at the boundary."""
    unit = float(np.mean(variance))  # so that the unit of the outcome and its origin have no say
    z, v = (y - y.mean()) / np.sqrt(unit), variance / unit
    fit = _import_estimators().VarianceBasedLikelihoodEstimator(method="REML").fit(z, v, np.ones((len(z), 1)))
    found = fit.params_["tau2"].item()

    def slope(tau2: float) -> float:
        """Twice the derivative of the restricted log-likelihood."""
        mean, w = _mean(z, v, tau2)
        return -w.sum() + (w**2).sum() / w.sum() + float((w**2) @ (z - mean) ** 2)

    if found > 0 and slope(found / 2) > 0 > slope(2 * found):
        found = optimize.brentq(slope, found / 2, 2 * found, xtol=1e-14 * found, rtol=1e-14)
    return float(found * unit)


@cache
def _import_estimators():
    """PyMARE, when it is first needed: it loads for seconds and leaves a file of its own open."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        return import_module("pymare.estimators")


def profile_interval(y: np.ndarray, variance: np.ndarray) -> tuple[float, float]:
    """The 95% interval of tau^2 whose ends make the weighted sum of squares a quantile of chi-squared (Q-profile)."""
    quantiles = stats.chi2.ppf(((1 + LEVEL) / 2, (1 - LEVEL) / 2), len(y) - 1)
    low, high = _tau2_at(y, variance, quantiles)
    return float(low), float(high)
