"""How numbers and their units are printed: the same in a table, in a figure and in the note of a check."""

import math
from dataclasses import dataclass, replace

from relocation_analysis.language import _, mark

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


def format_interval(low: float, high: float, unit: str = "") -> str:
    """An interval without its unit: "4.0 to 8.8"; an en dash where there is none."""
    ends = [format_number(end, unit) for end in (low, high)]
    return BLANK if BLANK in ends else _("{low} to {high}", low=ends[0], high=ends[1])


def format_p(p: float) -> str:
    """A p-value as a column has it: ".043", "< .001"."""
    if p is None or not math.isfinite(p):
        return BLANK
    if p < 0.001:
        return f"<{THIN}.001"
    return f"{p:.3f}".removeprefix("0")
