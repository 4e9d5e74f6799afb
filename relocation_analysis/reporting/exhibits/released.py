"""What an exhibit may show: what its rule of disclosure lets out, and what it says of the rest."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from relocation_analysis.estimation.checks import Check
from relocation_analysis.estimation.effects import Effects
from relocation_analysis.language import _, join_sentences
from relocation_analysis.reporting.disclosure import release, withheld
from relocation_analysis.reporting.exhibits.selection import lacks_interval
from relocation_analysis.reporting.wording import NO_INTERVAL, WITHHELD, format_count, say_count


def released(effects: Effects) -> Effects:
    """Effects as they may be shown; what has been released already is what it is."""
    return release.release_effects(effects)


def pair_checks(checks: Sequence[Check]) -> list[tuple[Check, Check]]:
    """Each check as it may be shown, beside what it was: a number that only the latter has is withheld."""
    return list(zip(release.release_checks(list(checks)), checks, strict=True))


def is_lost(shown, before) -> bool:
    """Whether a number was known before it was released and is not shown."""
    return pd.notna(before) and pd.isna(shown)


def withhold_shares(counts: Sequence[float]) -> list[bool]:
    """Which of the parts that make up a whole must not be shown: those of too few, those that leave too few, and where that
    is one part only, which the others would reveal, the smallest of the others. A part that is the whole hides nothing by being
    withheld, unless it is of too few itself."""
    rule = release.kept()
    if len(counts) == 1:
        return [not rule.public and counts[0] < rule.threshold]
    few = [not release.is_part_safe(count, sum(counts)) for count in counts]
    if sum(few) == 1:
        few[min((i for i in range(len(few)) if not few[i]), key=lambda i: counts[i])] = True
        withheld.note("share", "complement")
    return few


def show_count(count: float) -> str:
    """A count that was released, as a cell has it; what is missing is withheld, unless everything is public."""
    return format_count(count) if release.kept().public or np.isfinite(count) else WITHHELD


def is_withheld(rows: pd.DataFrame) -> pd.Series:
    """Rows of which no number may be shown."""
    return rows["withheld"].ne("") if "withheld" in rows else pd.Series(False, index=rows.index)


def say_withheld() -> str:
    """Why a number is withheld, for the note of an exhibit in which one is."""
    rule = release.kept()
    return _("[c]: withheld, because fewer than {threshold} units or {clusters} clusters on a side stand behind it, or because it would"
             " reveal such a number.", threshold=rule.threshold, clusters=rule.clusters)  # fmt: skip


def say_withheld_count() -> str:
    """Why a count is withheld."""
    return _("[c]: withheld, because it is a count below {threshold}, or would reveal one.", threshold=release.kept().threshold)


def say_rounded() -> str:
    """That counts are rounded, where they are."""
    rule = release.kept()
    return "" if rule.public else _("Counts are rounded to {base}.", base=rule.base)


def close_note(note: str, rows: Iterable[tuple[str, ...]], effects: bool = False, counts: bool = True) -> str:
    """A table's note, and what a reader must know of disclosure: what [c] is, where a cell has it, that counts are rounded.

    Parameters
    ----------
    rows : of the table.
    effects : an effect may be among what is withheld, not only counts and shares.
    counts : the table has counts.
    """
    marked = any(WITHHELD in cell for row in rows if len(row) > 1 for cell in row[1:])
    why = say_withheld() if effects else say_withheld_count()
    return join_sentences([note, why if marked else "", say_rounded() if counts else ""])


def say_how_many_withheld(count: int) -> str:
    """How many numbers of a figure are withheld, for its alternative text; blank where none is."""
    if not count:
        return ""
    return _("One number is withheld.") if count == 1 else _("{count} numbers are withheld.", count=say_count(count).capitalize())


def compose_note(rows: pd.DataFrame, *sentences: str, counts: bool = False) -> str:
    """The note of a figure of effects: its sentences, and what must be said of intervals and numbers that are not there.

    Parameters
    ----------
    rows : those drawn, after release.
    counts : whether the figure shows counts.
    """
    hidden = is_withheld(rows)
    return join_sentences([
        *sentences,
        _(NO_INTERVAL) if lacks_interval(rows[~hidden]) else "",
        say_rounded() if counts else "",
        say_withheld() if hidden.any() else "",
    ])  # fmt: skip


def say_part(part: int, total: int, none: str, one: str, some: str, every: str, **told: str) -> str:
    """The template that fits `part` of `total`, translated; {part} and {total} are words, the first one of a sentence capital."""
    template = none if part == 0 else every if part == total else one if part == 1 else some
    words = say_count(part), say_count(total)
    opens = template.startswith("{part}") and template.endswith(".")
    return _(template, part=words[0].capitalize() if opens else words[0], total=words[1], **told)
