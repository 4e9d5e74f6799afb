"""The gate between chapters that ran and what is written: it lets nothing out which was not released."""

from typing import TYPE_CHECKING

from relocation_analysis.language import _, mark
from relocation_analysis.reporting.disclosure.rule import rule_of
from relocation_analysis.reporting.disclosure.withheld import KEYS, META
from relocation_analysis.reporting.run.chapters import ChapterError

if TYPE_CHECKING:
    import pandas as pd
    from nbformat import NotebookNode

    from relocation_analysis.data.study import Study

COLUMNS = ("chapter", "exhibit", *KEYS, "what", "reason")
FILES = {"effect": "effects.csv", "flow": "flow.csv", "check": "checks.csv", "balance": "checks.csv"}  # where published rows of a kind go
NOT_AN_EXHIBIT = mark("withheld: not an exhibit")


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
