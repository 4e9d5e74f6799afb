"""What may leave: no number from which something about few people could be learned.

A rule decides by what a number is made of, never by the table it happens to stand in, so that the same number is withheld
in every table, figure, sentence and file, in every language and in the national report. Which effects too few stand behind, and
which others would reveal these, is decided where they are estimated (`estimation.support`); here they are withheld and the rest
is rounded.
"""

import numpy as np
import pandas as pd

from relocation_analysis.estimation.effects import EFFECT_COLUMNS, Effects, support_of
from relocation_analysis.estimation.support import mark_thin, thin_by_itself
from relocation_analysis.reporting.disclosure import withheld
from relocation_analysis.reporting.disclosure.checks import release_checks, release_curve
from relocation_analysis.reporting.disclosure.flow import release_flow
from relocation_analysis.reporting.disclosure.means import release_balance, release_means
from relocation_analysis.reporting.disclosure.once import once
from relocation_analysis.reporting.disclosure.rule import (
    NAMES,
    Rule,
    is_part_safe,
    keep,
    kept,
    open_report,
    release_clusters,
    release_count,
    release_share,
    round_count,
    rule_of,
)

__all__ = ["NAMES", "Rule", "is_part_safe", "keep", "kept", "open_report", "release_balance", "release_checks", "release_clusters",
           "release_count", "release_curve", "release_effects", "release_flow", "release_means", "release_power", "release_share", "round_count",
           "round_p", "rule_of"]  # fmt: skip

IN_UNIT = ["estimate", "std_error", "conf_low", "conf_high", "band_low", "band_high"]
P_VALUES = ["p_value", "p_adjusted"]
NUMBERS = [*IN_UNIT, "statistic", *P_VALUES]
SIDES = ["n_clusters_treated", "n_clusters_comparison"]
COUNTS = ["n_units", *SIDES]
PARTS = 100  # an effect is rounded to a hundredth of its standard error


def release_effects(effects: Effects) -> Effects:
    """Effects as they may be shown.

    An effect of fewer units than the threshold, or fewer clusters than the rule asks for, on a side, or one that would reveal such
    an effect, is withheld whole: its numbers are missing and the column `withheld` says why ("few_units", "few_clusters",
    "no_error", "complement"); other rows have a blank there. Those that are shown are rounded to a hundredth of their standard
    error, and their counts to the rule's base. Rows of a trait whose levels are names of places or people are left out. Influence
    values stay behind.

    What has been released is returned as it is. A selection of rows of `estimate` loses nothing: what is withheld was decided on
    all of them. Of rows on which nobody decided, those at hand are all there is to decide on.
    """
    table = effects.table
    if "withheld" in table and table["withheld"].notna().all():
        return effects
    if kept().public:
        return Effects(table.assign(withheld=""), None, None)
    return _release(effects)


@once
def _release(effects: Effects) -> Effects:
    effects = _without_names(effects)
    table = effects.table.assign(withheld=_reasons(effects))
    _note_rows(table[table["withheld"].ne("")], "effect")
    hidden = table["withheld"].ne("")
    table = _round_numbers(table)
    table["n_units"] = table["n_units"].astype(float).map(round_count)
    table[SIDES] = table[SIDES].astype(float).map(release_clusters)
    table.loc[hidden, [*NUMBERS, *COUNTS]] = np.nan
    return Effects(table, None, None)


def _without_names(effects: Effects) -> Effects:
    named = effects.table["subgroup"].astype(str).str.split("=").str[0].isin(NAMES)
    if not named.any():
        return effects
    for trait in effects.table.loc[named, "subgroup"].str.split("=").str[0].unique():
        withheld.note("effect", "names", subgroup=trait)
    return Effects(effects.table[~named].reset_index(drop=True), None, None, support_of(effects)[~named].reset_index(drop=True))


def _reasons(effects: Effects) -> pd.Series:
    """Why each effect is withheld, or blank: what was decided on all effects, and what the rule kept now says of each."""
    rule, decided = kept(), support_of(effects)["thin"]
    if decided.isna().all() and len(decided):
        return mark_thin(effects, rule.threshold, rule.clusters, estimated=False).support["thin"]
    own = thin_by_itself(effects, rule.threshold, rule.clusters, estimated=False)
    return decided.fillna("").where(decided.fillna("").ne(""), own)


def _note_rows(rows: pd.DataFrame, what: str) -> None:
    for row in rows.to_dict("records"):
        withheld.note(what, row["withheld"], **{name: row.get(name) for name in withheld.KEYS})


def _round_numbers(table: pd.DataFrame) -> pd.DataFrame:
    """Effects, errors and intervals as multiples of a hundredth of the error; statistics and p-values as finely."""
    steps = _steps(table)
    rounded = {name: _round_to(table[name].to_numpy(dtype=float), steps) for name in IN_UNIT}
    statistic = table["statistic"].astype(float).round(2)
    return table.assign(**rounded, statistic=statistic, **{name: table[name].astype(float).map(round_p) for name in P_VALUES})


def _steps(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """What each row is rounded to: a hundredth of its standard error, up to the next number of one digit, so that it prints
    cleanly. Without an error that of its interval counts; without either, two digits of the estimate stay."""
    error, low, high, estimate = (table[name].to_numpy(dtype=float) for name in ("std_error", "conf_low", "conf_high", "estimate"))
    with np.errstate(invalid="ignore"):
        width = np.where(np.isfinite(low) & np.isfinite(high), (high - low) / (2 * 1.96), np.nan)
    size = np.where(np.isfinite(error), error, width)
    return one_digit(np.where(np.isfinite(size) & (size > 0), size, 10 * np.abs(estimate)) / PARTS)


def one_digit(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The smallest numbers of one digit that are not below `values`, as digit and power of ten: 0.0123 gives 2 and -2."""
    known = np.isfinite(values) & (values > 0)
    power = np.floor(np.log10(np.where(known, values, 1.0)))
    digit = np.ceil(np.round(np.where(known, values, np.nan) / 10.0**power, 9))
    return digit, power


def _round_to(values: np.ndarray, steps: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Each value as a multiple of its step, without digits that the step does not have: a whole number over a power of ten."""
    digit, power = steps
    with np.errstate(invalid="ignore"):
        times = np.rint(values / (digit * 10.0**power)) * digit
    rounded = np.where(power < 0, times / 10.0 ** np.maximum(-power, 0), times * 10.0 ** np.maximum(power, 0)) + 0.0
    return np.where(np.isfinite(values) & np.isfinite(digit), rounded, values)


def round_p(p: float) -> float:
    """A p-value to three decimals, below .001 to one digit; exact if public."""
    if kept().public or p is None or not np.isfinite(p):
        return p
    return round(p, 3) if p >= 0.001 else float(f"{p:.0e}")


def release_power(power: pd.DataFrame, effects: Effects) -> pd.DataFrame:
    """Power and detectable effect (of `design_power`) as they may be shown: they come from the error of a headline, and are
    withheld with it and as fine."""
    if kept().public:
        return power
    rows = release_effects(effects).select(aggregation="headline", subgroup="all").table.drop_duplicates("outcome").set_index("outcome")
    hidden = power["outcome"].map(rows["withheld"].ne("")).fillna(True).astype(bool)
    steps = one_digit(power["std_error"].to_numpy(dtype=float) / PARTS)
    fine = {name: _round_to(power[name].to_numpy(dtype=float), steps) for name in ("std_error", "mde")}
    shown = power.assign(**fine, power=power["power"].astype(float).round(2))
    return shown.mask(hidden, shown.assign(std_error=np.nan, mde=np.nan, power=np.nan))


def published_flow(flow: pd.DataFrame) -> pd.DataFrame:
    """A flow as rows of `flow.csv`: released, whole counts without a decimal point."""
    counts = ["rows_dropped", "units_dropped", "rows_left", "units_left"]
    return flow if kept().public else release_flow(flow).astype(dict.fromkeys(counts, "Int64"))


def published_effects(effects: Effects) -> pd.DataFrame:
    """Effects as rows of `effects.csv`: released, whole counts without a decimal point."""
    table = release_effects(effects).table[[*EFFECT_COLUMNS, "withheld"]]
    return table if kept().public else table.astype(dict.fromkeys(COUNTS, "Int64"))
