"""What may leave: no number from which something about few people could be learned.

A rule decides by what a number is made of, never by the table it happens to stand in, so that the same number is withheld
in every table, figure, sentence and file, in every language and in the national report.
"""

from dataclasses import dataclass

from relocation_analysis.data.study import Study
from relocation_analysis.language import speak


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


_kept = Rule()


def rule_of(study: Study) -> Rule:
    """The rule that a study states."""
    return Rule(study.disclosure == "public", study.threshold)


def kept() -> Rule:
    """The rule kept now: the strictest, until a report is opened for a study of public data."""
    return _kept


def keep(rule: Rule) -> None:
    """Keep `rule` from here on."""
    global _kept
    _kept = rule


def open_report(study: Study) -> None:
    """Write what follows in the language of `study` and under its rule of disclosure."""
    speak(study.language)
    keep(rule_of(study))
