"""Bounds on the effect of the offer where it changed who is observed."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import optimize, stats

from relocation_analysis.data.shown import Shown
from relocation_analysis.estimation.checks import Check
from relocation_analysis.estimation.inference import LEVEL
from relocation_analysis.language import _, join_sentences
from relocation_analysis.quantities import format_interval

FEW_ROWS = 0.01


@dataclass(frozen=True)
class Bounds:
    """Lee's bounds on the effect of the offer, for those who are observed whether offered or not.

    Attributes
    ----------
    low, high, std_error_low, std_error_high : the bounds and their errors, by bootstrap of clusters.
    conf_low, conf_high : 95% interval of the effect (Imbens & Manski 2004), not of the set.
    response_offered, response_not : share observed, weighted.
    trimmed_side : "offered", "not_offered", or "" where both respond alike.
    trimmed_share, trimmed_rows : of the observed of that side, how many are trimmed at one end.
    observed, units : how many are observed, and how many there are, of the offered and of the others.
    """

    low: float
    high: float
    std_error_low: float
    std_error_high: float
    conf_low: float
    conf_high: float
    response_offered: float
    response_not: float
    trimmed_side: str
    trimmed_share: float
    trimmed_rows: float
    observed: tuple[int, int]
    units: tuple[int, int]


def lee_bounds(outcome, offered, controls, cluster, stratum, weight, draws: int, generator: np.random.Generator) -> Bounds:
    """Bounds of Lee (2009, REStud 76(3), proposition 1): the side that responds more is trimmed to the response of the other,
    at its top for one bound and at its bottom for the other. Needs monotonicity: the offer made everybody more, or everybody
    less, likely to be observed. Without trimming both bounds are the regression estimate with these controls.

    Parameters
    ----------
    outcome : (N,) everybody of the roster for whom it is defined; NaN where it was not observed.
    offered, controls, cluster, stratum, weight : (N,) 0/1; (N, C) strata dummies and covariates; labels of the clusters and of
        the strata within which clusters are drawn again; positive weights.
    draws : bootstrap draws; a cluster enters with all its rows, those not observed included. generator : their source.

    Notes
    -----
    Rows of the same outcome share what is trimmed of them, so the bounds do not depend on the order of rows.
    """
    design = np.c_[
        np.asarray(offered, dtype=float), np.ones(len(outcome)), np.asarray(controls, dtype=float).reshape(len(outcome), -1)
    ]
    outcome, weight = np.asarray(outcome, dtype=float), np.asarray(weight, dtype=float)
    rank = _ranks(outcome)
    low, high, (response, other), side, share = _bounds(outcome, rank, design, weight)
    found = np.array(
        [_bounds(outcome, rank, design, weight * count)[:2] for count in _resample(cluster, stratum, draws, generator)]
    )
    errors = np.nanstd(found, axis=0, ddof=1) if draws > 1 else np.full(2, np.nan)
    width = imbens_manski(high - low, errors)
    on_side = (design[:, 0] == (side == "offered")) & np.isfinite(outcome)
    arms = (design[:, 0] == 1, design[:, 0] == 0)
    return Bounds(low, high, *errors.tolist(), low - width * errors[0], high + width * errors[1], response, other, side, share,
                  share * float(on_side.sum()), tuple(int((arm & np.isfinite(outcome)).sum()) for arm in arms),
                  tuple(int(arm.sum()) for arm in arms))  # fmt: skip


def _ranks(outcome: np.ndarray) -> np.ndarray:
    """(N,) position of each outcome among the distinct values; -1 where it is missing."""
    return np.unique(outcome, return_inverse=True)[1] * np.isfinite(outcome) - ~np.isfinite(outcome)


def _bounds(outcome, rank, design, weight) -> tuple[float, float, tuple[float, float], str, float]:
    """Low and high bound, responses, the side trimmed and the share of its observed weight."""
    offer, seen = design[:, 0] == 1, rank >= 0
    with np.errstate(invalid="ignore", divide="ignore"):
        response, other = (float(weight[seen & arm].sum() / weight[arm].sum()) for arm in (offer, ~offer))
    if not min(response, other) > 0:
        return np.nan, np.nan, (response, other), "", np.nan
    share = 1 - min(response, other) / max(response, other)
    side = "" if share == 0 else "offered" if response > other else "not_offered"
    trimmed = seen & (offer if side == "offered" else ~offer)
    values = []
    for top in (True, False):
        kept = weight * seen
        if share > 0:
            kept = np.where(trimmed, kept * _kept(rank, kept * trimmed, share, top), kept)
        values.append(_coefficient(outcome, design, kept))
    low, high = sorted(values)
    return low, high, (response, other), side, share


def _kept(rank: np.ndarray, weight: np.ndarray, share: float, top: bool) -> np.ndarray:
    """(N,) part of each row that stays when `share` of the weight goes from the top or the bottom of the ranks."""
    mass = np.bincount(np.where(rank < 0, 0, rank), weight)
    beyond = mass[::-1].cumsum()[::-1] - mass if top else mass.cumsum() - mass
    gone = np.clip(share * mass.sum() - beyond, 0, mass)
    part = 1 - np.divide(gone, mass, out=np.zeros(len(mass)), where=mass > 0)
    return part[np.where(rank < 0, 0, rank)]


def _coefficient(outcome, design, weight) -> float:
    """Weighted least squares: the coefficient of the first column. NaN where the others span it."""
    rows = weight > 0
    x, w = design[rows], weight[rows]
    y = outcome[rows] - np.average(outcome[rows], weights=w)
    normal, score = (x * w[:, None]).T @ x, (x * w[:, None]).T @ y
    inner = np.linalg.pinv(normal[1:, 1:], rcond=1e-12, hermitian=True)
    spread = normal[0, 0] - normal[0, 1:] @ inner @ normal[1:, 0]
    if spread <= 1e-9 * normal[0, 0]:
        return np.nan
    return float((score[0] - normal[0, 1:] @ inner @ score[1:]) / spread)


def _resample(cluster, stratum, draws: int, generator: np.random.Generator):
    """(N,) how often each row's cluster is drawn, once per draw: with replacement, among the clusters of its stratum."""
    _, first, unit = np.unique(cluster, return_index=True, return_inverse=True)
    strata = np.unique(np.asarray(stratum)[first], return_inverse=True)[1]
    members = np.argsort(strata, kind="stable")
    size = np.bincount(strata)
    start = (size.cumsum() - size)[strata[members]]
    for _ in range(draws):
        chosen = members[start + np.floor(generator.random(len(members)) * size[strata[members]]).astype(int)]
        yield np.bincount(chosen, minlength=len(members))[unit]


def imbens_manski(width: float, errors: np.ndarray) -> float:
    """How many errors beyond each bound the interval reaches (Imbens & Manski 2004, eq. 7)."""
    largest = errors.max()
    if not (np.isfinite(width) and largest > 0):
        return np.nan
    one, two = stats.norm.ppf(LEVEL), stats.norm.ppf((1 + LEVEL) / 2)

    def short(c):
        return stats.norm.cdf(c + width / largest) - stats.norm.cdf(-c) - LEVEL

    return two if width == 0 else float(optimize.brentq(short, one - 1e-6, two + 1e-6))


def check_bounds(name: str, estimate: float, bounds: Bounds, p_value: float, shown: Shown = Shown(), unit: str = "") -> Check:
    """Whether the offer changed who is observed, Lee's bounds beside the estimate, and what they cannot say.

    `p_value` is that of the offer's effect on being observed. `shown` is how the note says counts and shares of people, `unit`
    that of the outcome.
    """
    null = _("The offer does not change who is observed")
    difference = bounds.response_offered - bounds.response_not
    table = pd.DataFrame({"quantity": ["estimate", "low", "high"], "value": [estimate, bounds.low, bounds.high],
                          "std_error": [np.nan, bounds.std_error_low, bounds.std_error_high],
                          "conf_low": [np.nan, bounds.conf_low, np.nan], "conf_high": [np.nan, np.nan, bounds.conf_high]})  # fmt: skip
    known = bool(np.isfinite(p_value))
    passed = bool(p_value >= 1 - LEVEL) if known else difference == 0 or None
    return Check(name, "selection_bounds", null, difference, float(p_value) if known else None, passed, table, _note(bounds, shown, unit))


def _note(bounds: Bounds, shown: Shown, unit: str) -> str:
    responses = bounds.response_offered, bounds.response_not
    offered, other = (shown.share(*sizes, "{:.3f}", value) for *sizes, value in zip(bounds.observed, bounds.units, responses, strict=True))
    response = _("Observed: {offered} of the offered, {other} of the others.", offered=offered, other=other)
    if not min(responses) > 0:
        return join_sentences([response, _("One side is not observed at all: there are no bounds.")])
    if min(responses) == 1:
        return _("Everybody is observed: there is nothing to bound.")
    if not bounds.trimmed_side:
        return join_sentences([response, _("Nothing is trimmed, so the bounds say nothing beyond the estimate: that as many left on both sides "
                                           "does not show that the same kind left, which the bounds take for granted.")])  # fmt: skip
    numbers = {"n": shown.count(bounds.trimmed_rows, "{:.1f}"), "interval": format_interval(bounds.low, bounds.high, unit)}
    trimmed = (_("The bounds trim {n} rows of those offered: {interval}.", **numbers)
               if bounds.trimmed_side == "offered" else
               _("The bounds trim {n} rows of those not offered: {interval}.", **numbers))  # fmt: skip
    if bounds.trimmed_share < FEW_ROWS:
        said = _("So few that they say nothing beyond the estimate: that as many left on both sides does not show that the same kind left, which "
                 "the bounds take for granted.")  # fmt: skip
    else:
        said = _("They hold for those observed either way, if the offer moved everybody's response the same way.")
    return join_sentences([response, trimmed, said])
