"""Which rows of the results an exhibit shows, and whether it may; a row that is not there is an error, never an empty exhibit."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from relocation_analysis.data.codebook import Outcome
from relocation_analysis.errors import InputError, unknown_name
from relocation_analysis.estimation.checks import Check
from relocation_analysis.estimation.effects import MAIN_ESTIMATORS, Effects
from relocation_analysis.language import _, join_sentences
from relocation_analysis.reporting import wording
from relocation_analysis.reporting.disclosure import kept, release_checks, release_count
from relocation_analysis.reporting.released import is_reference, lacks_interval, released, say_rounded, say_withheld, say_withheld_count

MAIN, UNIVERSAL = MAIN_ESTIMATORS, "callaway_santanna_universal"


def pair_checks(checks: Sequence[Check]) -> list[tuple[Check, Check]]:
    """Each check as it may be shown, beside what it was: a number that only the latter has is withheld."""
    shown = release_checks(list(checks))
    return list(zip(shown, checks if len(shown) == len(checks) else shown, strict=True))


def is_lost(shown, before) -> bool:
    """Whether a number was known before it was released and is not shown."""
    return pd.notna(before) and pd.isna(shown)


def withhold_shares(counts: Sequence[float]) -> list[bool]:
    """Which of the parts that make up a whole must not be shown: those of too few, those that leave too few, and where that
    is one part only, which the others would reveal, the smallest of the others. A part that is the whole hides nothing by being
    withheld, unless it is of too few itself."""
    if len(counts) == 1:
        return [not kept().public and counts[0] < kept().threshold]
    total = sum(counts)
    few = [not is_share_safe(count, total) for count in counts]
    if sum(few) == 1 and len(few) > 1:
        few[min((i for i in range(len(few)) if not few[i]), key=lambda i: counts[i])] = True
    return few


def is_share_safe(part: float, total: float) -> bool:
    """Whether a share may be shown: neither its part nor the rest of the whole is a count that is withheld."""
    return kept().public or bool(min(part, total - part) >= kept().threshold)


def round_share(share: float, total: float) -> float:
    """A share that may be shown, its part and its whole rounded as counts are: an exact share would tell the exact count."""
    if kept().public or not np.isfinite(share):
        return share
    return min(1.0, release_count(share * total) / release_count(total))


def show_count(count: float) -> str:
    """A count that was released, as a cell has it; what is missing is withheld, unless everything is public."""
    return wording.format_count(count) if kept().public or np.isfinite(count) else wording.WITHHELD


def close_note(note: str, rows: Iterable[tuple[str, ...]], withheld: bool = False, counts: bool = True) -> str:
    """A table's note, and what a reader must know of disclosure: what [c] is, where a cell has it, that counts are rounded.

    Parameters
    ----------
    rows : of the table.
    withheld : an effect is among what is withheld, not only counts and shares.
    counts : the table has counts.
    """
    marked = any(wording.WITHHELD in cell for row in rows if len(row) > 1 for cell in row[1:])
    why = say_withheld() if withheld else say_withheld_count()
    return join_sentences([note, why if marked else "", say_rounded() if counts else ""])


def say_exposures(effects: Effects) -> str:
    """What a headline averages over, for the end of a caption."""
    return _(", mean over years 0 to 3") if "callaway_santanna" in set(effects.table["estimator"]) else ""


def find_outcome(codebook: dict[str, Outcome], outcome: str) -> Outcome:
    """The codebook's entry of `outcome`."""
    if outcome not in codebook:
        raise unknown_name(_("An outcome"), outcome, codebook)
    return codebook[outcome]


def select_rows(effects: Effects, outcome: str, sort_by: str | None = None, **equal) -> pd.DataFrame:
    """The rows of one outcome whose columns equal the given values, released, by `sort_by` or in the table's order."""
    effects = released(effects)
    if outcome not in set(effects.table["outcome"]):
        raise unknown_name(_("An outcome"), outcome, effects.table["outcome"].unique())
    rows = effects.select(outcome=outcome, **equal).table
    if rows.empty:
        held = effects.select(outcome=outcome).table[list(equal)]
        raise InputError(
            _("The effects of {outcome} must have rows with {wanted}", outcome=repr(outcome), wanted=_say_wanted(equal)),
            _("none of its {n} rows is one; its first row is {row}", n=len(held), row=held.iloc[0].to_dict()),
            _("estimate them first, or ask for what the table holds"),
        )
    return rows if sort_by is None else rows.sort_values(sort_by, kind="stable", ignore_index=True)


def _say_wanted(equal: dict) -> str:
    return _(" and ").join(f"{column} = {value!r}" for column, value in equal.items())


def select_headlines(effects: Effects, estimator: str | tuple[str, ...] = MAIN) -> pd.DataFrame:
    """The headline rows of one estimator, all outcomes and subgroups, released.

    Raises
    ------
    InputError : where there is none.
    """
    effects = released(effects)
    outcome = effects.table["outcome"].iloc[0] if len(effects.table) else ""
    rows = effects.select(estimator=estimator, aggregation="headline").table
    return rows if len(rows) else select_rows(effects, outcome, estimator=estimator, aggregation="headline")


def require_columns(frame: pd.DataFrame, columns: tuple[str, ...], what: str) -> None:
    """Stop unless `frame` has the columns and at least one row."""
    missing = [column for column in columns if column not in frame]
    if missing or frame.empty:
        problem = _("{n} missing, the first {column}", n=len(missing), column=repr(missing[0])) if missing else _("it has no rows")
        raise InputError(
            _("{what} must have the columns {columns}", what=what, columns=", ".join(columns)),
            problem,
            _("pass the table as it was made"),
        )


def list_primaries(effects: Effects, codebook: dict[str, Outcome]) -> list[str]:
    """The primary outcomes that the effects hold, in the order of the codebook."""
    held = set(effects.table["outcome"])
    found = [name for name, about in codebook.items() if about.role == "primary" and name in held]
    if not found:
        raise InputError(
            _("A summary must have an outcome"),
            _("none of the {n} outcomes of these effects is primary", n=len(held)),
            _("name the outcomes to show"),
        )
    return found
