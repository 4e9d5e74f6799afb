"""How numbers and names are printed: one function for each kind of number and each kind of name (`names.py`)."""

import math
from dataclasses import dataclass, replace

from relocation_analysis.data.shown import WITHHELD  # noqa: F401  tables print it where a number is withheld
from relocation_analysis.language import SOURCE, _, mark, spoken
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

MINUS, EN_DASH, THIN = "\u2212", "\u2013", "\u2009"
CHINESE = "\u2e80"  # from here on characters are Chinese
BLANK = EN_DASH


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
    "share": Unit(mark("pp"), mark("percentage points"), 1, 100.0, "%"),
    "minutes": Unit(mark("min"), mark("minutes"), 1),
    "hours": Unit(mark("hours"), mark("hours"), 1),
    "months": Unit(mark("months"), mark("months"), 2),
    "yuan": Unit(mark("yuan"), mark("yuan"), 0),
    "thousand yuan": Unit(mark("thousand yuan"), mark("thousand yuan"), 2),
    "log": Unit(mark("log points"), mark("log points"), 3),
    "SD": Unit(mark("SD"), mark("standard deviations"), 2),
}
PARTS_OF_UNITS = (  # of the units that the codebook and the studies have; another is printed as it is written
    mark("taka"), mark("kilocalories"), mark("mm"), mark("per year"), mark("per month"), mark("per week"), mark("per child"),
    mark("per man"), mark("per woman"), mark("per head and month"), mark("per head and day"),
)  # fmt: skip
COUNTS = mark("no one two three four five six seven eight nine")  # the words for 0, 1, 2 ... with a space between them

STATISTICS = {  # an effect in the unit of the outcome, an effect on a share, or a share; else a plain number
    "base_period": "outcome",
    "comparison": "outcome",
    "single_cohorts": "outcome",
    "attrition": "effect",
    "coverage": "share",
    "power": "share",
}
NO_INTERVAL = mark("No interval is given where fewer than five clusters remain on one side.")


def find_unit(unit: str) -> Unit:
    """How `unit` is printed in the language spoken: by its entry of `UNITS`, else that of its first word, else as written.
    After an @ stand the decimals of an outcome that states them."""
    if "@" in unit:
        plain, _at, decimals = unit.rpartition("@")
        return replace(find_unit(plain), decimals=int(decimals))
    first = unit.split(" ")[0] if unit else ""
    if unit in UNITS:
        return replace(UNITS[unit], short=_(UNITS[unit].short), long=_(UNITS[unit].long))
    if first in UNITS:
        base = find_unit(first)
        rest = unit[len(first) + 1 :] if base.scale == 1 and first != "log" else ""
        return replace(base, short=beside(base.short, _say(rest)), long=beside(base.long, _say(rest)))
    what, per, base = unit.partition(" per ")
    said = beside(_say(what), _say(f"per {base}")) if per else _say(unit)
    return Unit(said, said)


def _say(text: str) -> str:
    return _(text) if text in PARTS_OF_UNITS else text


def beside(left: str, right: str) -> str:
    """One beside the other, with a space unless the right begins with Chinese, a slash or %."""
    return f"{left}{right}" if not right or right[0] in "/%" or right[0] >= CHINESE else f"{left} {right}"


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
    """An effect with its unit: "6.4 pp", "\u221231.0 min", in Chinese with no space."""
    number = format_number(value, unit)
    return number if number == BLANK else beside(number, find_unit(unit).short)


def format_level(value: float, unit: str) -> str:
    """A mean with its unit: 0.634 of a share is "63.4%"."""
    number, how = format_number(value, unit), find_unit(unit)
    if number == BLANK or how.level != "%":
        return format_amount(value, unit)
    return number + "%"


def format_interval(low: float, high: float, unit: str = "") -> str:
    """An interval without its unit: "4.0 to 8.8"; an en dash where there is none."""
    ends = [format_number(end, unit) for end in (low, high)]
    return BLANK if BLANK in ends else _("{low} to {high}", low=ends[0], high=ends[1])


def format_estimate(estimate: float, low: float, high: float, unit: str) -> str:
    """An effect as a sentence has it: "6.4 pp (95% interval 4.0 to 8.8)"."""
    interval = format_interval(low, high, unit)
    amount = format_amount(estimate, unit)
    return amount if interval == BLANK else _("{amount} (95% interval {interval})", amount=amount, interval=interval)


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


def label_verdict(passed: bool | None, p_value: float | None) -> str:
    """What a check says: a null with a p-value is rejected or not, never accepted; a requirement holds or
    fails; a check that judges nothing informs."""
    tested = p_value is not None and math.isfinite(p_value)
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
