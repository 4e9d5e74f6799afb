"""What an exhibit may show: the rows that its rule of disclosure lets out, and what it says of the others."""

import pandas as pd

from relocation_analysis.estimation.effects import Effects
from relocation_analysis.language import _, join_sentences
from relocation_analysis.reporting import disclosure
from relocation_analysis.reporting.wording import NO_INTERVAL, say_count


def is_reference(rows: pd.DataFrame) -> pd.Series:
    """Rows of a universal base period: before the event, zero by construction and so without an error."""
    return rows["estimate"].eq(0) & rows["std_error"].isna() & rows["event_time"].lt(0)


def lacks_interval(rows: pd.DataFrame) -> bool:
    """Whether an estimate has no interval though it is not zero by construction."""
    return bool((rows["estimate"].notna() & rows["conf_low"].isna() & ~is_reference(rows)).any())


def released(effects: Effects) -> Effects:
    """The effects as they may be shown, with the column `withheld`: the one way by which exhibits look at effects.

    What is released already stays as it is. The row of a universal base period is zero by construction, about nobody,
    and is never withheld.
    """
    if "withheld" in effects.table and effects.table["withheld"].notna().all():
        return effects
    table, fixed = disclosure.release_effects(effects).table, is_reference(effects.table)
    if len(table) == len(fixed):
        table = table.assign(estimate=table["estimate"].mask(fixed.to_numpy(), 0.0), withheld=table["withheld"].mask(fixed.to_numpy(), ""))
    return Effects(table, None, None)


def is_withheld(rows: pd.DataFrame) -> pd.Series:
    """Rows of which no number may be shown."""
    return rows["withheld"].ne("") if "withheld" in rows else pd.Series(False, index=rows.index)


def say_withheld() -> str:
    """Why a number is withheld, for the note of an exhibit in which one is."""
    rule = disclosure.kept()
    return _("[c]: withheld, because fewer than {threshold} units or {clusters} clusters on a side stand behind it, or because it would"
             " reveal such a number.", threshold=rule.threshold, clusters=rule.clusters)  # fmt: skip


def say_withheld_count() -> str:
    """Why a count is withheld."""
    return _("[c]: withheld, because it is a count below {threshold}, or would reveal one.", threshold=disclosure.kept().threshold)


def say_rounded() -> str:
    """That counts are rounded, where they are."""
    rule = disclosure.kept()
    return "" if rule.public else _("Counts are rounded to {base}.", base=rule.base)


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
