"""What was withheld and why, without the values; and the gate that lets nothing out which was not released.

While a chapter runs, everything that is withheld is noted here. An exhibit takes the notes made since the one before and carries
them, with the stamp of the rule that it was released under. The driver looks at the stamps before anything is written.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from relocation_analysis.language import _, mark

if TYPE_CHECKING:
    import pandas as pd
    from nbformat import NotebookNode

    from relocation_analysis.data.study import Study

KEYS = ("outcome", "subgroup", "estimator", "aggregation", "cohort", "time", "event_time", "arm")
COLUMNS = ("chapter", "exhibit", *KEYS, "what", "reason")
META = "application/vnd.relocation+json"
FILES = {"effect": "effects.csv", "flow": "flow.csv", "check": "checks.csv", "balance": "checks.csv"}  # where published rows of a kind go
NOT_AN_EXHIBIT = mark("withheld: not an exhibit")

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
    from relocation_analysis.reporting.rule import kept

    return meta | {"disclosure": kept().stamp} | ({"withheld": list(notes)} if notes else {})


def gather_withheld(chapters: "dict[str, NotebookNode]") -> "pd.DataFrame":
    """Everything that chapters withheld, for `disclosure.csv`: `COLUMNS`, one row a number, in the order of the chapters.

    What is withheld from a published table and from exhibits too is listed once a chapter, under the file that it goes to.
    """
    import pandas as pd

    rows = []
    for chapter, notebook in chapters.items():
        for cell in notebook.cells:
            for output in cell.get("outputs", ()):
                meta = output.get("data", {}).get(META, {})
                for entry in meta.get("withheld", ()):
                    place = FILES.get(entry["what"], "") if meta["kind"] == "records" else meta.get("id", "")
                    rows.append({"chapter": chapter, "exhibit": place} | entry)
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    first = frame.assign(filed=frame["exhibit"].isin(FILES.values())).sort_values("filed", ascending=False, kind="stable")
    first = first.drop_duplicates([name for name in COLUMNS if name != "exhibit"])
    return first.sort_index()[list(COLUMNS)].reset_index(drop=True)


def copy_notebook(notebook: "NotebookNode") -> "NotebookNode":
    """A deep copy but for the rows that chapters published, which are most of a notebook and which nobody changes."""
    from copy import deepcopy

    data = (output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", ()))
    published = [found[META] for found in data if found.get(META, {}).get("kind") == "records"]
    return deepcopy(notebook, {id(meta): meta for meta in published})


def refuse_unreleased(notebook: "NotebookNode", study: "Study", chapter: str = "") -> "NotebookNode":
    """A copy of an executed chapter in which only exhibits speak, all of them released under the rule of the study.

    Where data are not public, any other output is replaced by a sentence: a table or a value that a cell shows by itself, a print,
    an image. Where they are public it stays.

    Raises
    ------
    ChapterError : an exhibit was released under another rule than the study's, or under none.
    """
    from relocation_analysis.reporting.execute import ChapterError
    from relocation_analysis.reporting.rule import rule_of

    stamp, notebook = rule_of(study).stamp, copy_notebook(notebook)
    for cell in notebook.cells:
        for position, output in enumerate(cell.get("outputs", ())):
            meta = output.get("data", {}).get(META)
            if meta is not None and meta.get("disclosure") != stamp:
                problem = _("an exhibit of cell In [{cell}] was released under the rule {found}, the study's is {rule}: open the chapter "
                            "with ra.open_report(study)", cell=cell.get("execution_count"), found=meta.get("disclosure"), rule=stamp)  # fmt: skip
                raise ChapterError(chapter, problem, strip_outputs(notebook, study))
            if meta is None and stamp != "public":
                cell.outputs[position] = _replacement(stamp)
    return notebook


def strip_outputs(notebook: "NotebookNode", study: "Study") -> "NotebookNode":
    """A copy of a notebook that failed, to be kept: where data are not public without any row of them.

    Its exhibits stay if the study's rule released them; of an error stay its type and, of the package's own errors, what must
    hold. What was found, with its example, is said on the terminal only.
    """
    from relocation_analysis.reporting.rule import rule_of

    stamp, notebook = rule_of(study).stamp, copy_notebook(notebook)
    if stamp == "public":
        return notebook
    for cell in notebook.cells:
        for position, output in enumerate(cell.get("outputs", ())):
            if output.output_type == "error":
                kept_line = output.evalue.splitlines()[0] if output.ename == "InputError" and output.evalue else ""
                output.evalue, output.traceback = kept_line, [": ".join(filter(None, (output.ename, kept_line)))]
            elif output.get("data", {}).get(META, {}).get("disclosure") != stamp:
                cell.outputs[position] = _replacement(stamp)
    return notebook


def _replacement(stamp: str) -> "NotebookNode":
    """What stands where an output was that is not an exhibit."""
    from nbformat.v4 import new_output

    text = _(NOT_AN_EXHIBIT)
    meta = {"kind": "prose", "disclosure": stamp, "withheld": [{"what": "output", "reason": "not_an_exhibit"}]}
    return new_output("display_data", data={"text/markdown": text, "text/plain": text, META: meta})
