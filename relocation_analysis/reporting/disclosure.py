"""What may leave: no number from which something about few people could be learned.

A rule decides by what a number is made of, never by the table it happens to stand in, so that the same number is withheld
in every table, figure, sentence and file, in every language and in the national report.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from relocation_analysis.data.codebook import Outcome
from relocation_analysis.data.study import Study
from relocation_analysis.estimation.checks import Check
from relocation_analysis.estimation.effects import Effects
from relocation_analysis.language import speak

COUNTS = ["n_units", "n_clusters_treated", "n_clusters_comparison"]
NUMBERS = ["estimate", "std_error", "statistic", "p_value", "p_adjusted", "conf_low", "conf_high", "band_low", "band_high"]


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


def release_count(count: float) -> float:
    """A count as it may be shown: rounded to the rule's base, NaN where it is below the threshold; exact if public."""
    if _kept.public:
        return count
    return np.nan if not np.isfinite(count) or count < _kept.threshold else _kept.base * round(count / _kept.base)


def release_effects(effects: Effects) -> Effects:
    """Effects as they may be shown.

    An effect of fewer units than the threshold, or fewer clusters on a side than the rule asks for, is withheld whole: its
    numbers are missing and the column `withheld` says why ("few_units", "few_clusters", "complement"); other rows have a
    blank there. Counts are rounded. Influence values stay behind.
    """
    table = effects.table.assign(withheld="")
    if _kept.public:
        return Effects(table, None, None)
    few_units = table["n_units"].lt(_kept.threshold)
    few_clusters = table[["n_clusters_treated", "n_clusters_comparison"]].lt(_kept.clusters).any(axis=1)
    table["withheld"] = np.where(few_units, "few_units", np.where(few_clusters, "few_clusters", ""))
    table[COUNTS] = table[COUNTS].map(release_count)
    table.loc[table["withheld"].ne(""), [*NUMBERS, *COUNTS]] = np.nan
    return Effects(table, None, None)


def release_flow(flow: pd.DataFrame) -> pd.DataFrame:
    """A flow as it may be shown: its counts rounded, small ones missing."""
    columns = ["rows_dropped", "units_dropped", "rows_left", "units_left"]
    return flow.assign(**{name: flow[name].astype(float).map(release_count) for name in columns})


def release_means(means: pd.DataFrame, outcome: Outcome) -> pd.DataFrame:
    """Means of `outcome` by cohort and time (cohort, time, mean, n) as they may be shown: missing where few are behind."""
    n = means["n"].astype(float).map(release_count)
    return means.assign(n=n, mean=means["mean"].where(n.notna()))


def release_checks(checks: list[Check]) -> list[Check]:
    """Checks as they may be shown: no number of few people in a statistic, a note or a table."""
    return checks
