"""What was withheld and why, without the values.

While a chapter runs, everything that is withheld is noted here. An exhibit takes the notes made since the one before and carries
them, with the stamp of the rule that it was released under. The driver looks at the stamps before anything is written (`run.gate`).
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

KEYS = ("outcome", "subgroup", "estimator", "aggregation", "cohort", "time", "event_time", "arm")
META = "application/vnd.relocation+json"

_notes: list[dict] = []
_noted: set[tuple] = set()
_listening: list[list[tuple]] = []


def note(what: str, reason: str, **keys) -> None:
    """Note that something is withheld, once in a chapter.

    Parameters
    ----------
    what : "effect", "flow", "check", "mean", "balance", "share", "count" or "output".
    reason : "few_units", "few_clusters", "no_error", "complement", "names" or "not_an_exhibit".
    keys : of `KEYS`, what identifies it; never a value. A step of the flow and the name of a check stand as `aggregation`.
    """
    for heard in _listening:
        heard.append((what, reason, keys))
    entry = {name: _plain(keys.get(name)) for name in KEYS} | {"what": what, "reason": reason}
    key = tuple(entry.values())
    if key not in _noted:
        _noted.add(key)
        _notes.append({name: value for name, value in entry.items() if value not in ("", None)})


@contextmanager
def listening() -> Iterator[list[tuple]]:
    """A list of what is noted inside the block, also where it was noted before, for `repeat`."""
    heard: list[tuple] = []
    _listening.append(heard)
    try:
        yield heard
    finally:
        _listening.pop()


def repeat(heard: Iterable[tuple]) -> None:
    """Note again what was heard."""
    for what, reason, keys in heard:
        note(what, reason, **keys)


def _plain(value):
    value = value.item() if hasattr(value, "item") else value
    return None if value is None or value != value else value


def take() -> tuple[dict, ...]:
    """The notes made since they were last taken."""
    notes = tuple(_notes)
    _notes.clear()
    return notes


def forget() -> None:
    """Forget what was noted: what is withheld from here on is noted again."""
    _notes.clear()
    _noted.clear()


def stamped(meta: dict, notes: tuple[dict, ...]) -> dict:
    """The META of an exhibit with the stamp of the rule kept and what was withheld from it."""
    from relocation_analysis.reporting.disclosure.rule import kept

    return meta | {"disclosure": kept().stamp} | ({"withheld": list(notes)} if notes else {})
