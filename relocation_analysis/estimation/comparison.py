"""The design `comparison`: movers and non-movers at one wave or two, by matching, inverse weighting and
doubly robust."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from relocation_analysis.estimation.aggregate import Aggregated
from relocation_analysis.estimation.checks import Check
from relocation_analysis.estimation.comparison_checks import (
    check_balance,
    check_baseline,
    check_overlap,
    check_support,
    covariate_balance,
    support_counts,
)
from relocation_analysis.estimation.effects import EFFECT_COLUMNS, SUPPORT_COLUMNS, Effects
from relocation_analysis.estimation.inference import (
    FEWEST_CLUSTERS,
    MANY_CLUSTERS,
    Errors,
    cluster_errors,
    pointwise_interval,
)
from relocation_analysis.estimation.matching import CALIPER, Matches, match_errors, match_units, matched_att
from relocation_analysis.estimation.propensity import Propensity, Units, check_units, estimate_propensity
from relocation_analysis.estimation.support import count_fewest
from relocation_analysis.estimation.weighting import leave_clusters_out, weighted_effects

WEIGHTED = ("difference_in_means", "ipw", "aipw")


@dataclass(frozen=True)
class Comparison:
    """One outcome under the design `comparison`.

    Attributes
    ----------
    effects : difference_in_means, ipw and aipw, in "_levels" and with a baseline in "_differences", with
        influence values.
    matching : matching_levels and matching_differences; no influence values, so no band.
    balance : covariate, before, after_matching, after_weighting: standardised differences of movers and
        non-movers; and fewest, the fewest units that a mean behind them tells of.
    support : side, units, matched, unmatched, effective: units on either side, and as how many equally
        weighted ones the matched count (Kish 1965).
    checks : common_support, balance_matching, balance_weighting, overlap, and with a baseline
        baseline_outcome.
    """

    effects: Effects
    matching: Effects
    balance: pd.DataFrame
    support: pd.DataFrame
    checks: list[Check]


def estimate_comparison(
    table: pd.DataFrame,
    covariates: tuple[str, ...],
    outcome: str,
    domain: str,
    caliper: float = CALIPER,
    few_clusters: str = "jackknife",
    subgroup: str = "all",
) -> Comparison:
    """Effect on movers (ATT) of one outcome, in levels of the last wave and in differences from the baseline.

    Levels assume that movers and non-movers with the same covariates would have had the same outcome without
    the move; differences that they would have had the same change (Heckman, Ichimura & Todd 1997, Review of
    Economic Studies 64(4)). Neither is tested by balance of the covariates: `checks` has the effect on the
    outcome before anybody moved, which is the estimate in levels less the one in differences, and a trend of
    its own stays hidden from two waves.

    Errors of the weighting estimators are those of `inference.cluster_errors`. Those of matching are of
    `match_errors`: Abadie & Imbens where every unit is a cluster, clustered otherwise; below 50 clusters on a
    side with t on G - 1 degrees of freedom and the factor G / (G - 1) on the variance, below 5 none.
    `few_clusters="ignore"` gives plain errors.

    Parameters
    ----------
    table, covariates : of `check_units`.
    caliper : in standard deviations of the logit score.

    Raises
    ------
    InputError : of `check_units` and `estimate_propensity`.
    """
    units = check_units(table, covariates)
    propensity = estimate_propensity(units)
    matches = match_units(units, propensity, caliper)
    labels = {
        "outcome": outcome,
        "domain": domain,
        "subgroup": subgroup,
        "estimand": "att",
        "aggregation": "headline",
        "arm": "",
    }
    effects = _weighting_rows(units, propensity, few_clusters, labels)
    matching = _matching_rows(units, propensity, matches, few_clusters, labels)
    balance = covariate_balance(units, propensity, matches)
    support = support_counts(units, matches)
    checks = [
        check_support(outcome, units, matches, support),
        check_balance(outcome, balance, "matching"),
        check_balance(outcome, balance, "weighting"),
        check_overlap(outcome, units, propensity),
    ]
    if "differences" in units.forms:
        rows = _baseline_rows(units, propensity, matches, few_clusters, labels)
        checks.append(check_baseline(outcome, rows))
    return Comparison(effects, matching, balance, support, checks)


def _weighting_rows(units: Units, propensity: Propensity, few_clusters: str, labels: dict) -> Effects:
    estimate, influence = weighted_effects(units, propensity)
    by_cluster = np.zeros((len(units.clusters), len(estimate)))
    np.add.at(by_cluster, units.code, influence)
    sides = [
        np.tile(_present(units, side)[:, None], len(estimate)) for side in (units.treated, ~units.treated)
    ]
    counts = np.tile(np.bincount(units.code, minlength=len(units.clusters))[:, None], len(estimate))
    few = few_clusters == "jackknife" and min(side[:, 0].sum() for side in sides) < MANY_CLUSTERS
    left = leave_clusters_out(units, propensity) if few else np.full_like(by_cluster, np.nan)
    errors = cluster_errors(Aggregated((), estimate, by_cluster, left, *sides, counts), few_clusters)
    names = [f"{name}_{form}" for name in WEIGHTED for form in units.forms]
    sizes = len(units.treated), sides[0][:, 0].sum(), sides[1][:, 0].sum()
    table = _rows(names, estimate, errors, sizes, labels)
    return Effects(table, errors.influence, units.clusters, _support(units, table))


def _matching_rows(
    units: Units, propensity: Propensity, matches: Matches, few_clusters: str, labels: dict
) -> Effects:
    used = matches.weight > 0
    treated, comparison = (
        int(_present(units, used & side).sum()) for side in (units.treated, ~units.treated)
    )
    estimate = matched_att(units, matches)
    errors = _matching_errors(units, propensity, matches, min(treated, comparison), few_clusters)
    names = [f"matching_{form}" for form in units.forms]
    table = _rows(names, estimate, errors, (int(used.sum()), treated, comparison), labels)
    return Effects(table, None, None, _support(units, table, used))


def _support(units: Units, table: pd.DataFrame, used=True) -> pd.DataFrame:
    """The units on either side, of those `used`, for every row of a table; of an outcome of 0 and 1 those who
    have it, or have it not, at the last wave or at the baseline."""
    levels = [pd.Series(y) for y in (units.y[:, 0], *(units.y[:, :1] - units.y[:, 1:]).T)]
    sides = (
        min(count_fewest(y[side & used], y) for y in levels) for side in (units.treated, ~units.treated)
    )
    return pd.DataFrame([(*sides, None)] * len(table), columns=list(SUPPORT_COLUMNS))


def _matching_errors(
    units: Units, propensity: Propensity, matches: Matches, smaller: int, few_clusters: str
) -> Errors:
    forms, df = len(units.forms), np.inf
    alone = len(units.clusters) == len(units.treated)
    name = "abadie_imbens" if alone else "abadie_imbens_cluster"
    if smaller == 0 or (few_clusters == "jackknife" and smaller < FEWEST_CLUSTERS):
        error, name = np.full(forms, np.nan), ""
    else:
        error = match_errors(units, propensity, matches)[0 if alone else 1]
        if few_clusters == "jackknife" and smaller < MANY_CLUSTERS:
            groups = int(_present(units, matches.weight > 0).sum())
            error, df = error * np.sqrt(groups / (groups - 1)), groups - 1.0
    error = np.where(error > 1e-10 * np.abs(matched_att(units, matches)), error, np.nan)
    se_type = np.where(np.isfinite(error), name, "").astype(object)
    return Errors(np.zeros((0, forms)), error, se_type, np.full(forms, df))


def _present(units: Units, which: np.ndarray) -> np.ndarray:
    """(K,) of bool, clusters with one of these units."""
    return np.bincount(units.code[which], minlength=len(units.clusters)) > 0


def _rows(names: list[str], estimate: np.ndarray, errors: Errors, sizes: tuple, labels: dict) -> pd.DataFrame:
    statistic, p_value, low, high = pointwise_interval(estimate, errors.std_error, errors.df)
    table = pd.DataFrame(
        {
            **labels,
            "estimator": names,
            "estimate": estimate,
            "std_error": errors.std_error,
            "se_type": errors.se_type,
            "statistic": statistic,
            "p_value": p_value,
            "conf_low": low,
            "conf_high": high,
            "n_units": sizes[0],
            "n_clusters_treated": sizes[1],
            "n_clusters_comparison": sizes[2],
        }
    )
    return table.reindex(columns=list(EFFECT_COLUMNS))


def _baseline_rows(
    units: Units, propensity: Propensity, matches: Matches, few_clusters: str, labels: dict
) -> pd.DataFrame:
    """Every estimator on the outcome at the baseline: the estimate in levels less the one in differences."""
    past = Units(**{**units.__dict__, "y": units.y[:, :1] - units.y[:, 1:], "forms": ("baseline",)})
    parts = (
        _weighting_rows(past, propensity, few_clusters, labels),
        _matching_rows(past, propensity, matches, few_clusters, labels),
    )
    return pd.concat([part.table for part in parts], ignore_index=True)
