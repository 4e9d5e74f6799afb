"""How numbers and names are printed: one function for each kind of number and each kind of name (`names.py`)."""

import math

from relocation_analysis.data.shown import WITHHELD  # noqa: F401  tables print it where a number is withheld
from relocation_analysis.language import SOURCE, _, mark, spoken
from relocation_analysis.quantities import (  # noqa: F401  what prints numbers is found in one place
    BLANK,
    EN_DASH,
    MINUS,
    beside,
    find_unit,
    format_amount,
    format_interval,
    format_number,
    format_p,
)
from relocation_analysis.reporting.names import (
    AGGREGATIONS,
    CHECKS,
    COVARIATES,
    ESTIMATORS,
    KINDS_OF_UNIT,
    LEVELS,
    ROLES,
    STEPS,
    VERDICTS,
)

COUNTS = mark("no one two three four five six seven eight nine")  # the words for 0, 1, 2 ... with a space between them

STATISTICS = {  # an effect in the unit of the outcome, an effect on a share, or a share; else a plain number
    "base_period": "outcome",
    "comparison": "outcome",
    "single_cohorts": "outcome",
    "spillover": "outcome",
    "honest_smoothness": "outcome",
    **{f"leave_one_{level}_out": "outcome" for level in ("village", "site", "county", "household", "person")},
    "attrition": "effect",
    "selection_bounds": "effect",
    "coverage": "share",
    "power": "share",
}
REQUIREMENTS = ("wild_bootstrap",)  # checks whose p-value is of another null than what must hold
NO_INTERVAL = mark("No interval is given where fewer than five clusters remain on one side.")


def format_level(value: float, unit: str) -> str:
    """A mean with its unit: 0.634 of a share is "63.4%"."""
    number, how = format_number(value, unit), find_unit(unit)
    if number == BLANK or how.level != "%":
        return format_amount(value, unit)
    return number + "%"


def format_estimate(estimate: float, low: float, high: float, unit: str) -> str:
    """An effect as a sentence has it: "6.4 pp (95% interval 4.0 to 8.8)"."""
    interval = format_interval(low, high, unit)
    amount = format_amount(estimate, unit)
    return amount if interval == BLANK else _("{amount} (95% interval {interval})", amount=amount, interval=interval)


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
        return _("in the year of the move")
    years = say_count(abs(event_time))
    if abs(event_time) == 1:
        return _("{years} year after", years=years) if event_time > 0 else _("{years} year before", years=years)
    return _("{years} years after", years=years) if event_time > 0 else _("{years} years before", years=years)


def say_count(value: float) -> str:
    """A count inside a sentence: "three", "no", "12"; in Chinese a figure."""
    words = _(COUNTS).split(" ")
    return words[int(value)] if value in range(len(words)) else f"{value:g}"


def say_part(part: float, total: float) -> str:
    """A part of a count: "none of the four", "all of the four", "two of the four"."""
    if part == 0:
        return _("none of the {total}", total=say_count(total))
    if part == total:
        return _("all of the {total}", total=say_count(total))
    return _("{part} of the {total}", part=say_count(part), total=say_count(total))


def say_units(n: str, unit: str) -> str:
    """How many persons, households, villages or counties, in a sentence; `n` is the number as it is to be printed."""
    if unit == "person":
        return _("{n} people", n=n)
    if unit == "household":
        return _("{n} households", n=n)
    if unit == "village":
        return _("{n} villages", n=n)
    return _("{n} counties", n=n) if unit == "county" else _("{n} units", n=n)


def in_sentence(label: str) -> str:
    """A label inside a sentence: its first letter small, unless it is an abbreviation; only English changes it."""
    return label if spoken() != SOURCE or label[1:2].isupper() else label[:1].lower() + label[1:]


def at_start(text: str) -> str:
    """A clause at the start of a sentence: its first letter large."""
    return text[:1].upper() + text[1:]


def label_unit(unit: str, level: bool = False) -> str:
    """The unit on an axis: that of an effect, or of a level."""
    how = find_unit(unit)
    return how.level if level and how.level else how.long


def label_narrow_unit(unit: str) -> str:
    """The unit in a narrow column: "pp"; Chinese is short enough written out."""
    how = find_unit(unit)
    return how.short if spoken() == SOURCE else how.long


def label_plain_unit(unit: str) -> str:
    """The unit written out after a number; the Chinese one has its measure word."""
    how = find_unit(unit)
    return how.long if spoken() == SOURCE else how.short


def label_with_unit(label: str, unit: str) -> str:
    """A label with its unit in brackets: "Off-farm wage work (percentage points)"; without a unit the label."""
    said = label_unit(unit)
    return _("{label} ({unit})", label=label, unit=said) if said else label


def label_axis(label: str, unit: str) -> str:
    """The name of an axis of effects: "Effect on off-farm wage work, percentage points"."""
    said, label = label_unit(unit), in_sentence(label)
    return _("Effect on {label}, {unit}", label=label, unit=said) if said else _("Effect on {label}", label=label)


def label_role(role: str) -> str:
    return _(ROLES[role])


def label_covariate(name: str) -> str:
    """A covariate, or with "sex=female" the share of one of its levels."""
    return label_subgroup(name) if "=" in name else _label(COVARIATES, name)


def label_subgroup(subgroup: str) -> str:
    """ "sex=female" is "Female"; a level without an entry is shown as it is in the file."""
    if subgroup in LEVELS:
        return _(LEVELS[subgroup])
    covariate, _equals, level = subgroup.partition("=")
    level = level or covariate
    if covariate == "age_band" and level.endswith("+"):
        return _("{age}+ years", age=level.removesuffix("+"))
    if covariate == "age_band":
        return _("{ages} years", ages=level.replace("-", EN_DASH))
    return spell_out(level)


def label_estimator(name: str) -> str:
    return _label(ESTIMATORS, name)


def label_aggregation(name: str) -> str:
    return _label(AGGREGATIONS, name)


def label_kind_of_unit(name: str) -> str:
    """What clusters or units are: "Village"."""
    return _label(KINDS_OF_UNIT, name)


def label_step(name: str) -> str:
    """The step of a flow."""
    return _label(STEPS, name)


def label_offered(offered: int) -> str:
    return _("Offered") if offered else _("Not offered")


def label_check(name: str) -> str:
    return _label(CHECKS, name)


def label_verdict(check: str, passed: bool | None, p_value: float | None) -> str:
    """What a check says: a null with a p-value is rejected or not, never accepted; a requirement holds or
    fails; a check that judges nothing informs."""
    tested = p_value is not None and math.isfinite(p_value) and check not in REQUIREMENTS
    if passed is None:
        return _("not rejected") if tested and p_value >= 0.05 else _("informs")
    return _(VERDICTS[bool(passed), tested])


def say_yes(value: bool) -> str:
    return _("yes") if value else _("no")


def _label(words: dict[str, str], name: str) -> str:
    return _(words[name]) if name in words else spell_out(name)


def spell_out(name: str) -> str:
    """A machine name without an entry, legible: "dual_base" is "Dual base"."""
    return at_start(str(name).replace("_", " ").strip())
