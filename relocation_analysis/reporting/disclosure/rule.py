"""The rule of disclosure that is kept while a report is written, and the smallest things it decides: counts and shares."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from relocation_analysis.data.shown import round_shown
from relocation_analysis.language import speak
from relocation_analysis.reporting.disclosure import withheld

if TYPE_CHECKING:
    from relocation_analysis.data.study import Study

NAMES = ("village", "site", "household", "person")  # traits whose levels are names of places or people


@dataclass(frozen=True)
class Rule:
    """What a study may disclose.

    Attributes
    ----------
    public : the data are public: numbers are exact and nothing is withheld.
    threshold : the smallest count that is shown; smaller ones, zero included, are withheld.
    clusters : the fewest clusters on a side behind an effect that is shown.
    base : counts are rounded to multiples of it.
    """

    public: bool = False
    threshold: int = 10
    clusters: int = 3
    base: int = 5

    @property
    def stamp(self) -> str:
        """What every exhibit carries that was released under this rule: "public" or "restricted-10"."""
        return "public" if self.public else f"restricted-{self.threshold}"


_kept = Rule()


def rule_of(study: "Study") -> Rule:
    """The rule that a study states."""
    return Rule(study.disclosure == "public", study.threshold)


def kept() -> Rule:
    """The rule kept now: the strictest, until a report is opened for a study of public data."""
    return _kept


def keep(rule: Rule) -> None:
    """Keep `rule` from here on."""
    global _kept
    _kept = rule


def open_report(study: "Study") -> None:
    """Write what follows in the language of `study` and under its rule of disclosure."""
    speak(study.language)
    keep(rule_of(study))
    withheld.forget()


def round_count(count: float) -> float:
    """A count rounded to the rule's base, NaN below the threshold; exact if public. Nothing is written into the log."""
    if _kept.public:
        return count
    rounded = round_shown(count, _kept.threshold, _kept.base)
    return math.nan if rounded is None else rounded


def release_count(count: float) -> float:
    """A count as it may be shown: rounded to the rule's base, NaN where it is below the threshold; exact if public."""
    shown = round_count(count)
    if math.isfinite(count) and not math.isfinite(shown):
        withheld.note("count", "few_units")
    return shown


def release_clusters(clusters: float) -> float:
    """A number of clusters as it may be shown: rounded, never to zero; NaN below the rule's fewest; exact if public.

    Clusters are places, not people: what protects them is that an effect of fewer than `Rule.clusters` is withheld whole.
    """
    if _kept.public:
        return clusters
    rounded = round_shown(clusters, _kept.clusters, _kept.base)
    return math.nan if rounded is None else max(_kept.base, rounded)


def is_part_safe(part: float, total: float) -> bool:
    """Whether a part of a total may be shown as a share: neither it nor the rest is a count that is withheld."""
    return _kept.public or min(part, total - part) >= _kept.threshold


def release_share(share: float, total: float) -> float:
    """A share of a total as it may be shown: with its part rounded as a count is; NaN where the part or the rest is too small."""
    if _kept.public:
        return share
    if not (math.isfinite(share) and is_part_safe(round(share * total, 9), total)):
        if math.isfinite(share):
            withheld.note("share", "few_units")
        return math.nan
    return min(1.0, round(round_shown(share * total, 0, _kept.base) / round_count(total), 4))
