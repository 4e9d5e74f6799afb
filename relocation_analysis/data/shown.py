"""How a sentence says counts and shares of people: as they are where the data are public, else so that they find nobody."""

import math
from dataclasses import dataclass

from relocation_analysis.language import _

WITHHELD = "[c]"  # confidential: official statistics write it so


def round_shown(count: float, threshold: float, base: int) -> int | None:
    """A count as a multiple of `base`; None where it is below the threshold or not known, and so is not shown."""
    return base * round(count / base) if math.isfinite(count) and count >= threshold else None


@dataclass(frozen=True)
class Shown:
    """A rule for the numbers of people that stand in a sentence.

    Attributes
    ----------
    threshold : the smallest count that is said; 0 says all as they are.
    base : counts from there on are rounded to multiples of it.
    """

    threshold: int = 0
    base: int = 5

    def count(self, n: float, form: str = "{:,.0f}") -> str:
        """A count: "1,240" by `form` where all is said; else rounded, or "fewer than 10", zero included."""
        if not self.threshold:
            return form.format(n)
        rounded = self.rounded(n)
        return _("fewer than {n}", n=self.threshold) if rounded is None else f"{rounded:,.0f}"

    def rounded(self, n: float) -> float | None:
        """A count as a number; None where it is not said."""
        if not self.threshold:
            return float(n)
        rounded = round_shown(n, self.threshold, self.base)
        return None if rounded is None else float(rounded)

    def share(self, part: float, whole: float, form: str = "{:.1%}", value: float | None = None) -> str:
        """A part of a count: "12.3%" by `form` where all is said (`value` instead, where it is weighted).

        Else in whole percent; "under 5%" or "over 95%" where fewer than the threshold are in the part or in the rest, so that
        neither can be counted; withheld where no such bound would say anything.
        """
        if not self.threshold:
            return form.format(part / whole if value is None else value)
        rounded = self.rounded(whole)
        if rounded is None or rounded < 2 * self.threshold:
            return WITHHELD
        least = math.ceil(100 * self.threshold / rounded)
        if part < self.threshold:
            return _("under {share}", share=f"{least}%")
        if whole - part < self.threshold:
            return _("over {share}", share=f"{100 - least}%")
        return f"{part / whole:.0%}"
