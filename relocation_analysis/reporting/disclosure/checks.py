"""Checks as they may be shown: what a statistic, a note or a table of a check would tell of few people stays behind."""

import math
import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd

from relocation_analysis.estimation.checks import Check
from relocation_analysis.estimation.comparison_checks import BALANCED
from relocation_analysis.estimation.inference import LEVEL, adjust_holm
from relocation_analysis.estimation.specification_curve import CHOICES, check_specifications
from relocation_analysis.language import _
from relocation_analysis.reporting.disclosure import withheld
from relocation_analysis.reporting.disclosure.means import release_balance, require_counts
from relocation_analysis.reporting.disclosure.once import once
from relocation_analysis.reporting.disclosure.rule import kept, release_clusters, round_count

SHARES = ("coverage", "power", "specifications", "common_support")
PRINTED = {"single_cohorts", "honest_relative_magnitudes", "honest_smoothness", "attrition", "balance", "specifications", "pre_trends"}
DECIMAL = re.compile(r"\d+\.\d+")


def release_checks(checks: list[Check]) -> list[Check]:
    """Checks as they may be shown: as many and in the same order, no number of few people in a statistic, a note or a table.

    Statistics keep three digits, shares two decimals, p-values three; so do the numbers of a note. Tables of which no exhibit
    shows anything stay behind, as do largest and smallest values of single people.
    """
    return list(checks) if kept().public else [_release(check) for check in checks]


@once
def _release(check: Check) -> Check:
    if check.thin:
        return _withhold(check, check.thin)
    check = RELEASES[check.name](check) if check.name in RELEASES else check
    table = check.table if check.name in PRINTED else None
    return replace(check, statistic=_round(check.name, check.statistic), p_value=_round_p(check.p_value), table=table,
                   note=DECIMAL.sub(_three_digits, check.note))  # fmt: skip


def _withhold(check: Check, reason: str, verdict: bool = False, table: pd.DataFrame | None = None) -> Check:
    """A check without its numbers; its `verdict` may stay where it tells nothing that they would."""
    withheld.note("check", reason, outcome=check.outcome, aggregation=check.name)
    return replace(check, statistic=None, p_value=None, passed=check.passed if verdict else None, table=table,
                   note=_("Withheld: its numbers would tell of too few people or places."))  # fmt: skip


def _round(name: str, value: float | None) -> float | None:
    if value is None or not math.isfinite(value):
        return value
    return round(value, 2) if name in SHARES else float(f"{value:.3g}")


def _round_p(p: float | None) -> float | None:
    if p is None or not math.isfinite(p):
        return p
    return round(p, 3) if p >= 0.001 else float(f"{p:.0e}")


def _three_digits(match: re.Match) -> str:
    """A number of a note with three digits at most, and no more decimals than it had."""
    text = match[0]
    decimals = len(text.split(".")[1])
    value = float(text)
    wanted = decimals if value == 0 else max(0, min(decimals, 2 - math.floor(math.log10(value))))
    return f"{value:.{wanted}f}"


def _few(value: float) -> bool:
    return not math.isfinite(value) or value < kept().threshold


def _clusters(check: Check) -> Check:
    shown = release_clusters(check.statistic)
    return _withhold(check, "few_clusters", verdict=True) if math.isnan(shown) else replace(check, statistic=shown)


def _strata(check: Check) -> Check:
    if check.statistic is None:
        return check
    shown = round_count(check.statistic)
    return _withhold(check, "few_units", verdict=True) if math.isnan(shown) else replace(check, statistic=shown)


def _overlap(check: Check) -> Check:
    """The largest score is one person's."""
    return _withhold(check, "few_units", verdict=True)


def _leave_one_out(check: Check) -> Check:
    """Of few clusters the 5th and the 95th percentile are close to the smallest and the largest: those of single clusters."""
    if check.table is None:
        return check
    few = check.table["clusters"].iloc[0] < 2 * kept().threshold
    return _withhold(check, "few_clusters", verdict=True) if few else check


def _balance(check: Check) -> Check:
    """The largest difference of those that may be shown."""
    if check.table is None:
        return check
    if "stayed" not in check.table:
        return _offer_balance(check)
    table = release_balance(check.table)
    largest = table["difference"].abs().max()
    return replace(check, table=table, statistic=float(largest) if math.isfinite(largest) else None)


def _offer_balance(check: Check) -> Check:
    """Holm's adjustment over the traits that may be shown: one that is not would give its p-value to the others, and to the check."""
    table = check.table
    require_counts(table, _("A table of balance"), "fewest")
    few = table["fewest"].lt(kept().threshold)
    for name in table.loc[few, "covariate"]:
        withheld.note("balance", "few_units", subgroup=name)
    numbers = {name: _three(table[name]).mask(few) for name in ("mean_not_offered", "difference", "std_error")}
    known = table["p_value"].mask(few) if few.any() else table["p_value"]
    adjusted = pd.Series(adjust_holm(known.to_numpy()), index=table.index) if few.any() else table["p_adjusted"]
    table = table.assign(**numbers, p_value=known.map(_round_p), p_adjusted=adjusted.map(_round_p),
                         n_units=table["n_units"].astype(float).map(round_count), fewest=np.nan)  # fmt: skip
    smallest = float(adjusted.min())
    if not math.isfinite(smallest):
        return replace(check, table=table, p_value=None, passed=None)
    return replace(check, table=table, p_value=smallest, passed=smallest >= 1 - LEVEL)


def _balance_after(check: Check) -> Check:
    """The largest difference of the covariates that may be shown, and the verdict on these."""
    if check.table is None:
        return check
    require_counts(check.table, _("A table of balance"), "fewest")
    shown = check.table[check.table["covariate"].ne("y0") & check.table["fewest"].ge(kept().threshold)]
    largest = shown[check.name.replace("balance", "after")].abs().max()
    if not math.isfinite(largest):
        return _withhold(check, "few_units")
    return replace(check, statistic=float(largest), passed=bool(largest < BALANCED))


def _attrition(check: Check) -> Check:
    """Shares of those seen tell how many are lost: missing where these, or those seen, are few. At the first wave all are seen."""
    if check.table is None:
        return check
    require_counts(check.table, _("A table of attrition"), "fewest_moved", "fewest_stayed")
    table, hidden = check.table, False
    for side in ("moved", "stayed"):
        few = table[f"fewest_{side}"].lt(kept().threshold) & (table.index > table.index[0])
        hidden |= bool(few.any())
        table = table.assign(**{side: table[side].round(2).mask(few)}).drop(columns=f"fewest_{side}")
    return _withhold(check, "few_units", table=table) if hidden else replace(check, table=table)


def _groups(check: Check) -> Check:
    """Who is lost, by who moved: four groups, none of them few."""
    few = check.table is not None and check.table["n"].dropna().map(_few).any()
    return _withhold(check, "few_units", verdict=True) if few else check


def _bounds(check: Check) -> Check:
    """How many are not observed on either side of an offer, or of a move."""
    if check.table is None:
        return check
    require_counts(check.table, _("A table of bounds"), "fewest")
    return _withhold(check, "few_units", verdict=True) if _few(check.table["fewest"].iloc[0]) else check


def _support(check: Check) -> Check:
    """How many movers have no match."""
    movers = check.table.set_index("side").loc["movers"]
    few = _few(min(movers["matched"], movers["unmatched"]))
    return _withhold(check, "few_units", verdict=True) if few else check


def _exclusions(check: Check) -> Check:
    """With and without the rows that are left out: the difference is theirs."""
    few = _few(abs(float(check.table["n_units"].diff().iloc[-1])))
    return _withhold(check, "few_units", verdict=True) if few else check


def _single_cohorts(check: Check) -> Check:
    if check.table is None or "thin" not in check.table:
        return check
    hidden = check.table["thin"].ne("")
    for cohort in check.table.loc[hidden, "cohort"]:
        withheld.note("check", "complement", outcome=check.outcome, aggregation=check.name, cohort=cohort)
    table = check.table.assign(**{name: _three(check.table[name]).mask(hidden) for name in ("estimate", "std_error", "change")})
    largest = table["change"].max()
    return replace(check, table=table.drop(columns=["change", "thin"]), statistic=float(largest) if math.isfinite(largest) else None)


def _specifications(check: Check) -> Check:
    """The curve without what gives a thin cohort away, and the check as that curve has it."""
    curve = check.table
    if curve is None or "without_cohort" not in curve:
        return check
    shown = release_curve(curve)
    if len(shown) < len(curve):
        withheld.note("check", "complement", outcome=check.outcome, aggregation=check.name)
    return check_specifications(check.outcome, shown)


def release_curve(curve: pd.DataFrame) -> pd.DataFrame:
    """A specification curve as it may be shown: without what few units are behind, and without what is left when a cohort of few, or
    one whose effect is withheld (`thin`), is left out: beside the others it would give that effect. Numbers keep three digits."""
    if kept().public or "n_units" not in curve:
        return curve
    n = curve["n_units"].astype(float)
    others = [name for name in CHOICES if name != "without_cohort"]
    keys = pd.DataFrame({name: curve[name].astype(str) for name in others})
    everyone = n[curve["without_cohort"].isna()].groupby([keys[name] for name in others]).max().rename("all")
    left_out = keys.join(everyone, on=others)["all"] - n
    few = n.lt(kept().threshold) | (left_out.gt(0) & left_out.lt(kept().threshold))
    if "thin" in curve:
        few |= curve["thin"].ne("")
    shown = curve[~few].reset_index(drop=True)
    numbers = {name: _three(shown[name].astype(float)) for name in ("estimate", "std_error", "conf_low", "conf_high") if name in shown}
    return shown.assign(**numbers, n_units=shown["n_units"].astype(float).map(round_count))


def _three(values: pd.Series) -> pd.Series:
    return values.map(lambda v: float(f"{v:.3g}") if math.isfinite(v) else v)


def _in_unit(check: Check) -> Check:
    """A table of numbers in the unit of the outcome, with three digits."""
    if check.table is None:
        return check
    names = [name for name in check.table.select_dtypes("number") if name not in ("M", "event_time")]
    return replace(check, table=check.table.assign(**{name: _three(check.table[name]) for name in names}))


RELEASES: dict[str, Callable[[Check], Check]] = {
    "few_clusters": _clusters,
    "strata": _strata,
    "overlap": _overlap,
    "balance": _balance,
    "balance_matching": _balance_after,
    "balance_weighting": _balance_after,
    "attrition": _attrition,
    "selective_attrition": _groups,
    "selection_bounds": _bounds,
    "common_support": _support,
    "exclusions": _exclusions,
    "single_cohorts": _single_cohorts,
    "specifications": _specifications,
    "pre_trends": _in_unit,
    "honest_relative_magnitudes": _in_unit,
    "honest_smoothness": _in_unit,
    **{f"leave_one_{level}_out": _leave_one_out for level in ("village", "site", "county", "household", "person")},
}
