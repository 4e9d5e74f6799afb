"""How numbers and names are printed: one mapping of names to words, one function for each kind of number."""

import math
from dataclasses import dataclass, replace

MINUS, EN_DASH, THIN = "\u2212", "\u2013", "\u2009"
BLANK = EN_DASH
WITHHELD = "[c]"  # confidential: official statistics write it so


@dataclass(frozen=True)
class Unit:
    """How a unit of the codebook is printed.

    Attributes
    ----------
    short, long : after a number ("6.4 pp") and on an axis ("percentage points").
    decimals : digits after the point; None prints three significant digits.
    scale : printed number = scale x the codebook's number.
    level : the unit of a level where it differs from that of an effect ("%").
    """

    short: str
    long: str
    decimals: int | None = None
    scale: float = 1.0
    level: str = ""


UNITS = {
    "share": Unit("pp", "percentage points", 1, 100.0, "%"),
    "minutes": Unit("min", "minutes", 1),
    "hours": Unit("hours", "hours", 1),
    "months": Unit("months", "months", 2),
    "yuan": Unit("yuan", "yuan", 0),
    "thousand yuan": Unit("thousand yuan", "thousand yuan", 2),
    "log": Unit("log points", "log points", 3),
    "SD": Unit("SD", "standard deviations", 2),
}

ROLES = {
    "primary": "Primary outcomes",
    "secondary": "Secondary outcomes",
    "adverse": "Possible harms",
    "delivered": "Delivered change",
    "time_account": "Time account",
    "report_only": "For the record",
}
ESTIMATORS = {
    "callaway_santanna": "Group-time (Callaway and Sant\u2019Anna)",
    "callaway_santanna_universal": "Group-time, universal base period",
    "callaway_santanna_never": "Group-time, never-treated comparison",
    "callaway_santanna_not_yet": "Group-time, not-yet-treated comparison",
    "callaway_santanna_base_earlier": "Group-time, base period one earlier",
    "ols_strata": "Offered against not offered",
    "tsls": "Moved by the offer: two-stage least squares",
    "anderson_rubin": "Moved by the offer: Anderson-Rubin set",
    "difference_in_means_levels": "Movers minus non-movers, levels",
    "difference_in_means_differences": "Movers minus non-movers, differences",
    "matching_levels": "Matching, levels",
    "matching_differences": "Matching with difference-in-differences",
    "ipw_levels": "Inverse weighting, levels",
    "ipw_differences": "Inverse weighting, differences",
    "aipw_levels": "Doubly robust, levels",
    "aipw_differences": "Doubly robust, differences",
    "imputation": "Imputation (Borusyak, Jaravel and Spiess)",
    "sun_abraham": "Interaction-weighted (Sun and Abraham)",
    "twfe": "Two-way fixed effects",
    "before_after": "Treated only, after minus before",
    "cross_section": "Treated minus untreated, last wave",
}
AGGREGATIONS = {
    "cohort_time": "Cohort by year",
    "event_time": "Exposure",
    "cohort": "Cohort",
    "calendar": "Calendar year",
    "overall_simple": "All cohort-year effects, by size",
    "overall_dynamic": "All exposures, equally",
    "overall_cohort": "All treated units, equally",
    "headline": "Headline: years 0 to 3",
}
COVARIATES = {
    "sex": "Sex",
    "age": "Age (years)",
    "age_band": "Age at the first wave",
    "minority": "Ethnic group",
    "remote": "Village of origin",
    "remoteness": "Remoteness of the village",
    "labour": "Labour force of the household",
    "site_type": "Kind of site",
    "site_size": "Size of the site (persons)",
    "cohort": "Cohort",
    "household_size": "Household size",
}
LEVELS = {
    "all": "Everyone",
    "sex=female": "Female",
    "sex=male": "Male",
    "minority=minority": "Minority household",
    "minority=majority": "Majority household",
    "remote=remote": "More remote village",
    "remote=near": "Less remote village",
    "labour=0": "No worker",
    "labour=1": "1 worker",
    "labour=2": "2 workers",
    "labour=3+": "3 or more workers",
    "site_type=urban_centralised": "Urban site",
    "site_type=rural_centralised": "Rural site",
    "site_type=dispersed": "Dispersed resettlement",
}

COUNTS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

CHECKS = {
    "attrition": "Attrition",
    "balance": "Balance at the first wave",
    "base_period": "Another base period",
    "comparison": "Another comparison group",
    "composition": "Composition",
    "coverage": "Coverage",
    "few_clusters": "Number of clusters",
    "power": "Power",
    "pre_trends": "Trends before",
    "single_cohorts": "Leave one cohort out",
}
STATISTICS = {  # an effect in the unit of the outcome, an effect on a share, or a share; else a plain number
    "base_period": "outcome",
    "comparison": "outcome",
    "single_cohorts": "outcome",
    "attrition": "effect",
    "coverage": "share",
    "power": "share",
}
VERDICTS = {
    (True, True): "not rejected",
    (False, True): "rejected",
    (True, False): "holds",
    (False, False): "fails",
}
NO_INTERVAL = "No interval is given where fewer than five clusters remain on one side."


def find_unit(unit: str) -> Unit:
    """How `unit` is printed: by its entry of `UNITS`, else that of its first word, else as written. After an @ stand the
    decimals of an outcome that states them."""
    if "@" in unit:
        plain, _, decimals = unit.rpartition("@")
        return replace(find_unit(plain), decimals=int(decimals))
    first = unit.split(" ")[0] if unit else ""
    if unit in UNITS:
        return UNITS[unit]
    if first in UNITS:
        base = UNITS[first]
        rest = unit[len(first) :] if base.scale == 1 and first != "log" else ""
        return Unit(base.short + rest, base.long + rest, base.decimals, base.scale, base.level)
    return Unit(unit, unit)


def format_number(value: float, unit: str = "") -> str:
    """An effect or its error without its unit: 0.064 of a share is "6.4"; a blank is an en dash."""
    if value is None or not math.isfinite(value):
        return BLANK
    how = find_unit(unit)
    scaled = value * how.scale
    decimals = _significant(scaled) if how.decimals is None else how.decimals
    text = f"{scaled:,.{decimals}f}"
    negative = text.startswith("-") and any(c in "123456789" for c in text)
    return (MINUS if negative else "") + text.lstrip("-")


def _significant(value: float, digits: int = 3) -> int:
    return 2 if value == 0 else max(0, digits - 1 - math.floor(math.log10(abs(value))))


def format_amount(value: float, unit: str) -> str:
    """An effect with its unit: "6.4 pp", "\u221231.0 min"."""
    number = format_number(value, unit)
    return number if number == BLANK else f"{number} {find_unit(unit).short}".rstrip()


def format_level(value: float, unit: str) -> str:
    """A mean with its unit: 0.634 of a share is "63.4%"."""
    number, how = format_number(value, unit), find_unit(unit)
    if number == BLANK or how.level != "%":
        return format_amount(value, unit)
    return number + "%"


def format_interval(low: float, high: float, unit: str = "") -> str:
    """An interval without its unit: "4.0 to 8.8"; an en dash where there is none."""
    ends = [format_number(end, unit) for end in (low, high)]
    return BLANK if BLANK in ends else " to ".join(ends)


def format_estimate(estimate: float, low: float, high: float, unit: str) -> str:
    """An effect as a sentence has it: "6.4 pp (95% interval 4.0 to 8.8)"."""
    interval = format_interval(low, high, unit)
    amount = format_amount(estimate, unit)
    return amount if interval == BLANK else f"{amount} (95% interval {interval})"


def format_p(p: float) -> str:
    """A p-value as a column has it: ".043", "< .001"."""
    if p is None or not math.isfinite(p):
        return BLANK
    if p < 0.001:
        return f"<{THIN}.001"
    return f"{p:.3f}".removeprefix("0")


def format_count(value: float) -> str:
    """A count: "1,240"."""
    return BLANK if value is None or not math.isfinite(value) else f"{round(value):,}"


def format_share(value: float) -> str:
    """A part of a whole, rounded to the percent: "84%"."""
    return BLANK if value is None or not math.isfinite(value) else f"{100 * value:.0f}%"


def format_statistic(check: str, value: float | None, unit: str) -> str:
    """The statistic of a check, in the unit that it has: "0.4 pp", "91%", "2.06"."""
    if value is None:
        return BLANK
    kind = STATISTICS.get(check, "")
    if kind == "share":
        return format_share(value)
    return format_amount(value, {"outcome": unit, "effect": "share"}.get(kind, ""))


def format_period(value: float) -> str:
    """A year, or an event time with its minus sign."""
    return BLANK if value is None or not math.isfinite(value) else f"{value:g}".replace("-", MINUS)


def say_exposure(event_time: float) -> str:
    """When, seen from the move: "in the year of the move", "two years after", "one year before"."""
    if event_time == 0:
        return "in the year of the move"
    plural = "" if abs(event_time) == 1 else "s"
    side = "after" if event_time > 0 else "before"
    return f"{say_count(abs(event_time))} year{plural} {side}"


def say_count(value: float) -> str:
    """A count inside a sentence: "three", "no", "12"."""
    return COUNTS[int(value)] if value in range(len(COUNTS)) else f"{value:g}"


def say_part(part: float, total: float) -> str:
    """A part of a count: "none of the four", "all of the four", "two of the four"."""
    return f"{'none' if part == 0 else 'all' if part == total else say_count(part)} of the {say_count(total)}"


def in_sentence(label: str) -> str:
    """A label inside a sentence: its first letter small, unless it is an abbreviation."""
    return label if label[1:2].isupper() else label[:1].lower() + label[1:]


def label_unit(unit: str, level: bool = False) -> str:
    """The unit on an axis: that of an effect, or of a level."""
    how = find_unit(unit)
    return how.level if level and how.level else how.long


def label_axis(label: str, unit: str) -> str:
    """The name of an axis of effects: "Effect on off-farm wage work, percentage points"."""
    return ", ".join(part for part in (f"Effect on {in_sentence(label)}", label_unit(unit)) if part)


def label_covariate(name: str) -> str:
    """A covariate, or with "sex=female" the share of one of its levels."""
    return label_subgroup(name) if "=" in name else COVARIATES.get(name, spell_out(name))


def label_subgroup(subgroup: str) -> str:
    """ "sex=female" is "Female"; a level without an entry is shown as it is in the file."""
    if subgroup in LEVELS:
        return LEVELS[subgroup]
    covariate, _, level = subgroup.partition("=")
    level = level or covariate
    if covariate == "age_band":
        return level.replace("-", EN_DASH) + " years"
    return spell_out(level)


def label_estimator(name: str) -> str:
    return ESTIMATORS.get(name, spell_out(name))


def label_aggregation(name: str) -> str:
    return AGGREGATIONS.get(name, spell_out(name))


def label_offered(offered: int) -> str:
    return "Offered" if offered else "Not offered"


def label_check(name: str) -> str:
    return CHECKS.get(name, spell_out(name))


def label_verdict(passed: bool | None, p_value: float | None) -> str:
    """What a check says: a null with a p-value is rejected or not, never accepted; a requirement holds or
    fails; a check that judges nothing informs."""
    tested = p_value is not None and math.isfinite(p_value)
    if passed is None:
        return "not rejected" if tested and p_value >= 0.05 else "informs"
    return VERDICTS[bool(passed), tested]


def spell_out(name: str) -> str:
    """A machine name without an entry, legible: "dual_base" is "Dual base"."""
    text = str(name).replace("_", " ").strip()
    return text[:1].upper() + text[1:]
