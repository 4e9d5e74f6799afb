"""The design `comparison`: movers and non-movers at one wave or two, by matching, inverse weighting and doubly robust."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from relocation_analysis.estimation.aggregate import Aggregated
from relocation_analysis.estimation.checks import Check
from relocation_analysis.estimation.doubly_robust import NO_OVERLAP
from relocation_analysis.estimation.effects import EFFECT_COLUMNS, Effects
from relocation_analysis.estimation.inference import (
    FEWEST_CLUSTERS,
    LEVEL,
    MANY_CLUSTERS,
    Errors,
    cluster_errors,
    pointwise_interval,
)
from relocation_analysis.estimation.matching import CALIPER, Matches, match_errors, match_units, matched_att
from relocation_analysis.estimation.propensity import Propensity, Units, check_units, estimate_propensity
from relocation_analysis.estimation.weighting import att_weights, leave_clusters_out, weighted_effects

WEIGHTED = ("difference_in_means", "ipw", "aipw")
BALANCED = 0.1  # largest standardised difference that counts as balance (Austin 2009, Statistics in Medicine 28(25))
DROPPED = 0.05  # share of movers without a match from which the estimand is another one
CLEAR_OVERLAP = 0.9  # largest score that needs no remark (Crump, Hotz, Imbens & Mitnik 2009, Biometrika 96(1))


@dataclass(frozen=True)
class Comparison:
    """One outcome under the design `comparison`.

    Attributes
    ----------
    effects : difference_in_means, ipw and aipw, in "_levels" and with a baseline in "_differences", with influence values.
    matching : matching_levels and matching_differences; no influence values, so no band.
    balance : covariate, before, after_matching, after_weighting: standardised differences of movers and non-movers.
    support : side, units, matched, unmatched, effective: units on either side, and as how many equally weighted ones the
        matched count (Kish 1965).
    checks : common_support, balance_matching, balance_weighting, overlap, and with a baseline baseline_outcome.
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

    Levels assume that movers and non-movers with the same covariates would have had the same outcome without the move;
    differences that they would have had the same change (Heckman, Ichimura & Todd 1997, Review of Economic Studies 64(4)).
    Neither is tested by balance of the covariates: `checks` has the effect on the outcome before anybody moved, which is
    the estimate in levels less the one in differences, and a trend of its own stays hidden from two waves.

    Errors of the weighting estimators are those of `inference.cluster_errors`. Those of matching are of `match_errors`:
    Abadie & Imbens where every unit is a cluster, clustered otherwise; below 50 clusters on a side with t on G - 1 degrees
    of freedom and the factor G / (G - 1) on the variance, below 5 none. `few_clusters="ignore"` gives plain errors.

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
    labels = {"outcome": outcome, "domain": domain, "subgroup": subgroup, "estimand": "att", "aggregation": "headline", "arm": ""}
    effects = _weighting_rows(units, propensity, few_clusters, labels)
    matching = _matching_rows(units, propensity, matches, few_clusters, labels)
    balance = covariate_balance(units, propensity, matches)
    support = support_counts(units, matches)
    checks = [
        _check_support(outcome, units, matches, support),
        *(_check_balance(outcome, balance, how) for how in ("matching", "weighting")),
        _check_overlap(outcome, units, propensity),
    ]
    if "differences" in units.forms:
        checks.append(_check_baseline(outcome, units, propensity, matches, few_clusters, labels))
    return Comparison(effects, matching, balance, support, checks)


def _weighting_rows(units: Units, propensity: Propensity, few_clusters: str, labels: dict) -> Effects:
    estimate, influence = weighted_effects(units, propensity)
    by_cluster = np.zeros((len(units.clusters), len(estimate)))
    np.add.at(by_cluster, units.code, influence)
    sides = [np.tile(_present(units, side)[:, None], len(estimate)) for side in (units.treated, ~units.treated)]
    counts = np.tile(np.bincount(units.code, minlength=len(units.clusters))[:, None], len(estimate))
    few = few_clusters == "jackknife" and min(side[:, 0].sum() for side in sides) < MANY_CLUSTERS
    left = leave_clusters_out(units, propensity) if few else np.full_like(by_cluster, np.nan)
    errors = cluster_errors(Aggregated((), estimate, by_cluster, left, *sides, counts), few_clusters)
    names = [f"{name}_{form}" for name in WEIGHTED for form in units.forms]
    sizes = len(units.treated), sides[0][:, 0].sum(), sides[1][:, 0].sum()
    return Effects(_rows(names, estimate, errors, sizes, labels), errors.influence, units.clusters)


def _matching_rows(units: Units, propensity: Propensity, matches: Matches, few_clusters: str, labels: dict) -> Effects:
    used = matches.weight > 0
    treated, comparison = (int(_present(units, used & side).sum()) for side in (units.treated, ~units.treated))
    estimate = matched_att(units, matches)
    errors = _matching_errors(units, propensity, matches, min(treated, comparison), few_clusters)
    names = [f"matching_{form}" for form in units.forms]
    return Effects(_rows(names, estimate, errors, (int(used.sum()), treated, comparison), labels), None, None)


def _matching_errors(units: Units, propensity: Propensity, matches: Matches, smaller: int, few_clusters: str) -> Errors:
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
    table = pd.DataFrame({
        **labels, "estimator": names, "estimate": estimate, "std_error": errors.std_error, "se_type": errors.se_type,
        "statistic": statistic, "p_value": p_value, "conf_low": low, "conf_high": high,
        "n_units": sizes[0], "n_clusters_treated": sizes[1], "n_clusters_comparison": sizes[2],
    })  # fmt: skip
    return table.reindex(columns=list(EFFECT_COLUMNS))


def covariate_balance(units: Units, propensity: Propensity, matches: Matches) -> pd.DataFrame:
    """Differences of covariate means of movers and non-movers over the pooled standard deviation of all of them (Imbens &
    Rubin 2015, section 14.2), before, among the matched and weighted, and the same of the baseline outcome where there is
    one: covariate, before, after_matching, after_weighting. NaN where nobody is matched or weighted."""
    x, names = units.covariates, list(units.names)
    if "differences" in units.forms:
        x, names = np.column_stack([x, units.y[:, 0] - units.y[:, 1]]), [*names, "y0"]
    sides = units.treated, ~units.treated
    means = [np.average(x[side], axis=0, weights=units.weight[side]) for side in sides]
    spread = [np.average((x[side] - mean) ** 2, axis=0, weights=units.weight[side]) for side, mean in zip(sides, means, strict=True)]
    spread = np.sqrt((spread[0] + spread[1]) / 2)
    columns = {"covariate": names}
    weights = {"before": units.weight, "after_matching": matches.weight, "after_weighting": att_weights(units, propensity)}
    for column, weight in weights.items():
        with np.errstate(invalid="ignore", divide="ignore"):
            one, zero = (weight[side] @ x[side] / weight[side].sum() for side in sides)
            columns[column] = np.where(spread > 0, (one - zero) / spread, np.nan)
    return pd.DataFrame(columns)


def support_counts(units: Units, matches: Matches) -> pd.DataFrame:
    """Units, matched and unmatched ones, and the effective number of the matched: side, units, matched, unmatched, effective."""
    rows = []
    for name, side in (("movers", units.treated), ("non_movers", ~units.treated)):
        weight = matches.weight[side]
        matched = int((weight > 0).sum())
        effective = weight.sum() ** 2 / (weight**2).sum() if matched else 0.0
        rows.append((name, int(side.sum()), matched, int(side.sum()) - matched, effective))
    return pd.DataFrame(rows, columns=["side", "units", "matched", "unmatched", "effective"])


def _check_support(outcome: str, units: Units, matches: Matches, support: pd.DataFrame) -> Check:
    dropped = float(1 - matches.weight[units.treated].sum() / units.weight[units.treated].sum())
    dropped = dropped if (support["unmatched"].iloc[0] > 0) else 0.0
    return Check(outcome, "common_support", "Every mover has a non-mover with a like propensity score", dropped, None,
                 bool(dropped <= DROPPED), support,
                 f"The statistic is the share of movers without a non-mover within {matches.caliper:.3g} of their logit score. "
                 "Matching says nothing of them; weighting extrapolates to them.")  # fmt: skip


def _check_balance(outcome: str, balance: pd.DataFrame, how: str) -> Check:
    table = balance[["covariate", "before", f"after_{how}"]]
    covariates = table[table["covariate"] != "y0"][f"after_{how}"].abs()
    largest = float(covariates.max()) if covariates.notna().any() else None
    return Check(outcome, f"balance_{how}", f"After {how} movers and non-movers have the same covariates", largest, None,
                 None if largest is None else bool(largest < BALANCED), table,
                 f"The statistic is the largest standardised difference; below {BALANCED} passes. Balance of what is measured "
                 "is no evidence on what is not.")  # fmt: skip


def _check_overlap(outcome: str, units: Units, propensity: Propensity) -> Check:
    largest = float(propensity.score.max())
    at = [0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0]
    table = pd.DataFrame({"quantile": at, "movers": np.quantile(propensity.score[units.treated], at),
                          "non_movers": np.quantile(propensity.score[~units.treated], at)})  # fmt: skip
    passed = True if largest <= CLEAR_OVERLAP else (None if largest < NO_OVERLAP else False)
    return Check(outcome, "overlap", "Whoever moved could have stayed", largest, None, passed, table,
                 f"The statistic is the largest propensity score. Up to {CLEAR_OVERLAP} passes; from {NO_OVERLAP} on the "
                 "weighting estimators have no estimate.")  # fmt: skip


def _check_baseline(outcome, units: Units, propensity: Propensity, matches: Matches, few_clusters: str, labels: dict) -> Check:
    """Every estimator on the outcome at the baseline: the estimate in levels less the one in differences."""
    past = Units(**{**units.__dict__, "y": units.y[:, :1] - units.y[:, 1:], "forms": ("baseline",)})
    parts = (_weighting_rows(past, propensity, few_clusters, labels), _matching_rows(past, propensity, matches, few_clusters, labels))
    table = pd.concat([part.table for part in parts], ignore_index=True)
    table = table[["estimator", "estimate", "std_error", "p_value"]]
    row = table.set_index("estimator").loc["aipw_baseline"]
    p_value = float(row["p_value"]) if np.isfinite(row["p_value"]) else None
    statistic = float(row["estimate"]) if np.isfinite(row["estimate"]) else None
    return Check(outcome, "baseline_outcome", "Before the move, movers had the outcome of non-movers with the same covariates",
                 statistic, p_value, False if p_value is not None and p_value < 1 - LEVEL else None, table,
                 "The statistic is the doubly robust estimate on the baseline outcome, which is the estimate in levels less the "
                 "one in differences. Differences remove a gap that stays; a gap that grows needs an earlier wave.")  # fmt: skip
