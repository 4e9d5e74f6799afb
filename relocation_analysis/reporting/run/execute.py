"""Runs chapters with papermill and makes one record of them: the same bytes whenever and wherever it ran."""

import hashlib
import re
from contextlib import nullcontext
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from relocation_analysis.estimation.effects import EFFECT_COLUMNS
from relocation_analysis.language import SOURCE, _
from relocation_analysis.reporting.disclosure.exposures import EXPOSURE_COLUMNS
from relocation_analysis.reporting.exhibits.kinds import META, Table, escape_markdown, frame_from_json
from relocation_analysis.reporting.run.chapters import Chapter, ChapterError, Runner, StoppedError
from relocation_analysis.reporting.run.kernels import SOURCE_DATE_EPOCH, kill  # noqa: F401  render and others find it here
from relocation_analysis.reporting.run.progress import Progress

RECORD_COLUMNS = {
    "effects": (*EFFECT_COLUMNS, "chapter"),
    "checks": ("chapter", "outcome", "name", "null", "statistic", "p_value", "passed", "note"),
    "flow": (
        "chapter",
        "outcome",
        "step",
        "reason",
        "rows_dropped",
        "units_dropped",
        "rows_left",
        "units_left",
    ),
    "exposures": (*EXPOSURE_COLUMNS, "chapter"),
}
ADDRESS = re.compile(r"\bat 0x[0-9a-fA-F]+")


def run_chapters(
    chapters: dict[str, Path],
    parameters: dict,
    folder: Path,
    progress: Progress,
    workers: int = 2,
    runner: Runner | None = None,
    env: dict[str, str] | None = None,
) -> dict[str, NotebookNode]:
    """Run notebooks, each in a kernel of its own.

    Parameters
    ----------
    chapters : name -> notebook file.
    parameters : name -> value, for the cell tagged `parameters`, which must define every name.
    folder : working directory of the kernels.
    workers : chapters at a time, where there is no `runner`.
    runner : where they run, for reports that share one.
    env : environment of the kernels, beside the usual.

    Returns
    -------
    name -> normalised notebook, in the order of `chapters`.

    Raises
    ------
    ChapterError : of the first chapter, in order, that did not run to its end.
    """
    plan = [Chapter(name, read_chapter(name, path, parameters), parameters, folder, env or {}) for name, path in chapters.items()]
    progress.add(sum(chapter.cells for chapter in plan))
    with nullcontext(runner) if runner else Runner(workers) as place:
        jobs = {}
        try:
            for chapter in reversed(plan):  # the longest comes last
                jobs[chapter.name] = place.submit(chapter, progress)
            return {chapter.name: normalise(jobs[chapter.name].result(), chapter.name) for chapter in plan}
        except BaseException:
            for job in jobs.values():
                job.cancel()
            for chapter in plan:
                for kernel in chapter.started:
                    kill(kernel)
            if place.kernels.stopped:
                raise StoppedError(_("stopped")) from None
            raise


def read_chapter(name: str, path: Path, parameters: dict) -> NotebookNode:
    """The notebook at `path` in one language, checked: it opens and its `parameters` cell defines exactly `parameters`."""
    from papermill import inspect_notebook

    try:
        notebook = nbformat.read(path, as_version=4)
    except (OSError, ValueError, nbformat.reader.NotJSONError) as error:
        raise ChapterError(name, _("{file} is not a readable notebook ({error})", file=path.name, error=error)) from None
    notebook = in_language(notebook, parameters.get("language", SOURCE))
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    defined = set(inspect_notebook(notebook))
    if defined != set(parameters):
        problem = _("its cell tagged `parameters` must define {wanted}, it defines {found}",
                    wanted=sorted(parameters), found=sorted(defined))  # fmt: skip
        raise ChapterError(name, problem, notebook)
    return notebook


def in_language(notebook: NotebookNode, language: str) -> NotebookNode:
    """The notebook without the narrative cells of other languages."""
    notebook.cells = [cell for cell in notebook.cells if cell_language(cell) in (None, language)]
    return notebook


def cell_language(cell: NotebookNode) -> str | None:
    """The language of a narrative cell, from its tag `lang-en` or `lang-zh`; None for a cell of every language."""
    tags = cell.metadata.get("tags", ())
    return next((tag.removeprefix("lang-") for tag in tags if tag.startswith("lang-")), None)


def normalise(notebook: NotebookNode, name: str) -> NotebookNode:
    """The notebook without anything that makes two runs differ.

    Times, run-dependent metadata, standard error (it holds paths) and memory addresses go; the id of a cell
    is the hash of the chapter's name, its source and how often that source came before.
    """
    metadata = {
        "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
        "language_info": {"name": "python"},
    }
    cells, seen = [], {}
    for cell in notebook.cells:
        seen[cell.source] = seen.get(cell.source, 0) + 1
        key = f"{name}\x1f{cell.source}\x1f{seen[cell.source]}"
        clean = {
            "id": hashlib.sha256(key.encode()).hexdigest()[:16],
            "cell_type": cell.cell_type,
            "metadata": {"tags": list(cell.metadata.tags)} if cell.metadata.get("tags") else {},
            "source": cell.source,
        }
        if cell.cell_type == "code":
            clean["execution_count"] = cell.execution_count
            clean["outputs"] = [_clean_output(o) for o in cell.outputs if o.get("name") != "stderr"]
        cells.append(clean)
    return nbformat.from_dict({"nbformat": 4, "nbformat_minor": 5, "metadata": metadata, "cells": cells})


def _clean_output(output: NotebookNode) -> dict:
    if output.output_type == "stream":
        return {"output_type": "stream", "name": output.name, "text": ADDRESS.sub("at 0x", output.text)}
    data = {k: output.data[k] for k in sorted(output.data)}
    if "text/plain" in data:
        data["text/plain"] = ADDRESS.sub("at 0x", data["text/plain"])
    clean = {"output_type": output.output_type, "data": data, "metadata": {}}
    return clean | (
        {"execution_count": output.execution_count} if output.output_type == "execute_result" else {}
    )


def exhibits_of(notebook: NotebookNode):
    """Yield the META of every exhibit of a notebook, in order."""
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            if META in output.get("data", {}):
                yield output.data[META]


def gather(chapters: dict[str, NotebookNode], columns: dict[str, tuple[str, ...]] = RECORD_COLUMNS) -> dict:
    """The records that chapters published.

    Parameters
    ----------
    columns : kind of record -> its columns; other kinds are left.

    Returns
    -------
    "effects", "checks", "flow", "exposures" -> DataFrame with its columns, floats to the last bit.
    """
    import pandas as pd

    found = {kind: [] for kind in columns}
    for name, notebook in chapters.items():
        for meta in exhibits_of(notebook):
            for kind in found if meta["kind"] == "records" else ():
                if kind in meta:
                    found[kind].append(frame_from_json(meta[kind]).assign(chapter=name))
    frames = {}
    for kind, names in columns.items():
        full = [frame for frame in found[kind] if len(frame)]
        frame = pd.concat(full, ignore_index=True) if full else pd.DataFrame(columns=list(names))
        frames[kind] = frame[list(names)]
    return frames


def join(chapters: dict[str, NotebookNode], closing: list[NotebookNode], metadata: dict) -> NotebookNode:
    """One notebook, the record of the report: the chapters, then the closing cells.

    Parameters
    ----------
    chapters : name -> normalised notebook. Each must open with its title, the only heading of level 1.
    closing : cells of the last section.
    metadata : what exporters read under "relocation": title, subtitle, language, simulated, citation.
    """
    cells = []
    for name, notebook in chapters.items():
        check_title(name, notebook)
        for cell in notebook.cells:
            cell.metadata["relocation"] = {"chapter": name}
        cells += notebook.cells
    merged = nbformat.v4.new_notebook(
        cells=[*cells, *closing], metadata=next(iter(chapters.values())).metadata
    )
    merged.metadata["relocation"] = metadata
    return merged


def check_title(name: str, notebook: NotebookNode) -> str:
    """The title of a chapter: the one heading of level 1, at the top of its first cell."""
    titles = [
        (position, line[2:].strip())
        for position, cell in enumerate(notebook.cells)
        if cell.cell_type == "markdown"
        for line in cell.source.splitlines()
        if line.startswith("# ")
    ]
    if len(titles) != 1 or titles[0][0] != 0:
        raise ChapterError(name, _("it must have one heading of level 1, in its first cell"), notebook)
    return titles[0][1]


def skipped_section(paths: dict[str, Path], reasons: dict[str, str], language: str) -> NotebookNode:
    """What stands in the report in place of chapters that were not run: title and reason of each."""
    lines = [_("# Not in this report"), ""]
    for name, reason in reasons.items():
        title = check_title(name, in_language(nbformat.read(paths[name], as_version=4), language))
        lines.append("- " + _("*{title}* was not run. {reason}.", title=title, reason=escape_markdown(reason.rstrip(".\u3002"))))
    return normalise(
        nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("\n".join(lines))]), "skipped"
    )


def closing_cells(introduction: str, tables: list[Table]) -> list[NotebookNode]:
    """The cells of the last page: a text and tables that no code cell made."""
    cells = [nbformat.v4.new_markdown_cell(introduction)]
    for table in tables:
        output = nbformat.v4.new_output("display_data", data=table._repr_mimebundle_())
        cells.append(nbformat.v4.new_code_cell(outputs=[output]))
    return normalise(nbformat.v4.new_notebook(cells=cells), "provenance").cells
