"""Runs chapters with papermill and makes one record of them: the same bytes whenever and wherever it ran."""

import hashlib
import itertools
import logging
import os
import re
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from relocation_analysis.data.sources import MIRROR
from relocation_analysis.estimation.effects import EFFECT_COLUMNS
from relocation_analysis.language import SOURCE
from relocation_analysis.reporting.exhibits import META, Table, escape_markdown, frame_from_json
from relocation_analysis.reporting.exposures import EXPOSURE_COLUMNS

SOURCE_DATE_EPOCH = 1577836800  # 2020-01-01: a fixed date for everything that insists on carrying one
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "PYTHONHASHSEED": "0",
    "SOURCE_DATE_EPOCH": str(SOURCE_DATE_EPOCH),
}
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


class ChapterError(RuntimeError):
    """A chapter did not run to its end.

    Attributes
    ----------
    chapter : its name.
    notebook : the notebook as far as it ran, the failing cell marked, or None where nothing ran.
    """

    def __init__(self, chapter: str, problem: str, notebook: NotebookNode | None = None):
        self.chapter, self.notebook = chapter, notebook
        super().__init__(f"The chapter {chapter!r} did not run: {problem}")


class Progress:
    """A bar of cells on a terminal; a line for every finished chapter wherever the output goes."""

    def __init__(self, stream=None):
        from tqdm import tqdm

        self._stream = stream or sys.stderr
        self._bar = tqdm(total=0, unit="cell", file=self._stream, disable=None, leave=False)

    def add(self, cells: int) -> None:
        """Announce `cells` more cells."""
        self._bar.total += cells
        self._bar.refresh()

    def cell(self, chapter: str) -> None:
        """A cell of `chapter` has run."""
        self._bar.set_description(chapter, refresh=False)
        self._bar.update()

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        self._bar.clear()
        print(text, file=self._stream, flush=True)
        self._bar.refresh()

    def close(self) -> None:
        """Take the bar away."""
        self._bar.close()


def run_chapters(
    chapters: dict[str, Path], parameters: dict, folder: Path, progress: Progress, workers: int = 2
) -> dict[str, NotebookNode]:
    """Run notebooks, each in a kernel of its own, `workers` at a time.

    Parameters
    ----------
    chapters : name -> notebook file.
    parameters : name -> value, for the cell tagged `parameters`, which must define every name.
    folder : working directory of the kernels.

    Returns
    -------
    name -> normalised notebook, in the order of `chapters`.

    Raises
    ------
    ChapterError : of the first chapter, in order, that did not run to its end.
    """
    notebooks = {name: read_chapter(name, path, parameters) for name, path in chapters.items()}
    progress.add(sum(cell.cell_type == "code" for nb in notebooks.values() for cell in nb.cells))
    with _kernels(folder) as kernels, ThreadPoolExecutor(workers) as pool:
        jobs = {
            name: pool.submit(_run_chapter, name, nb, parameters, kernels, progress)
            for name, nb in notebooks.items()
        }
        try:
            return {name: job.result() for name, job in jobs.items()}
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            kernels["stop"]()
            raise


def read_chapter(name: str, path: Path, parameters: dict) -> NotebookNode:
    """The notebook at `path` in one language, checked: it opens and its `parameters` cell defines exactly `parameters`."""
    from papermill import inspect_notebook

    try:
        notebook = nbformat.read(path, as_version=4)
    except (OSError, ValueError, nbformat.reader.NotJSONError) as error:
        raise ChapterError(name, f"{path.name} is not a readable notebook ({error})") from None
    notebook = in_language(notebook, parameters.get("language", SOURCE))
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    defined = set(inspect_notebook(notebook))
    if defined != set(parameters):
        problem = (
            f"its cell tagged `parameters` must define {sorted(parameters)}, it defines {sorted(defined)}"
        )
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


@contextmanager
def _kernels(folder: Path):
    """Kernels of this very interpreter, untouched by the user's own Jupyter and IPython files."""
    from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager

    logging.getLogger("papermill").setLevel(logging.CRITICAL)  # what fails is a ChapterError, said once
    with tempfile.TemporaryDirectory(prefix="relocation-", ignore_cleanup_errors=True) as scratch:
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        env = ENVIRONMENT | {"IPYTHONDIR": scratch}
        if mirror := os.environ.get(MIRROR):  # kernels run in the folder of the notebooks
            env[MIRROR] = str(Path(mirror).resolve())
        spec = KernelSpec(argv=argv, display_name="Python 3", language="python", env=env)
        started, number = [], itertools.count()

        class OwnInterpreter(KernelSpecManager):
            def get_kernel_spec(self, kernel_name):
                return spec

        class Kernel(AsyncKernelManager):
            def __init__(self, **settings):
                if os.name == "posix":  # sockets in a private folder: no port to race for, nobody to listen in
                    settings |= {"transport": "ipc", "ip": f"{scratch}/{next(number)}"}
                super().__init__(kernel_spec_manager=OwnInterpreter(), **settings)
                started.append(self)

        def stop():
            for kernel in started:
                if (process := getattr(kernel.provisioner, "process", None)) is not None:
                    process.kill()

        yield {"class": Kernel, "folder": str(folder), "scratch": Path(scratch), "stop": stop}


def _run_chapter(name: str, notebook: NotebookNode, parameters: dict, kernels: dict, progress: Progress):
    start = time.perf_counter()
    executed = _execute(name, notebook, parameters, kernels, progress)
    _refuse_early_exit(name, executed)
    cells = sum(cell.cell_type == "code" for cell in notebook.cells)
    progress.say(f"{name}: {cells} cells, {time.perf_counter() - start:.1f} s")
    for number, text in _complaints(executed):
        progress.say(f"{name}: cell In [{number}] says: {text}")
    return normalise(executed, name)


def _execute(
    name: str, notebook: NotebookNode, parameters: dict, kernels: dict, progress: Progress
) -> NotebookNode:
    from jupyter_core.utils import ensure_event_loop
    from nbclient.exceptions import DeadKernelError
    from papermill import PapermillExecutionError, execute_notebook

    record = kernels["scratch"] / f"{name}.ipynb"
    loop = ensure_event_loop()  # this thread's, which nobody else closes
    try:
        return execute_notebook(
            notebook,
            record,
            parameters,
            progress_bar=False,
            record_timing=False,
            kernel_manager_class=kernels["class"],
            shutdown_kernel="immediate",
            resources={"metadata": {"path": kernels["folder"]}},
            on_cell_executed=lambda **_: progress.cell(name),
        )
    except PapermillExecutionError as error:
        problem = f"cell In [{error.exec_count}] raised {error.ename}: {error.evalue}"
        raise ChapterError(name, problem, nbformat.read(record, as_version=4)) from None
    except DeadKernelError:
        raise ChapterError(name, "its kernel died", nbformat.read(record, as_version=4)) from None
    except RuntimeError as error:
        raise ChapterError(name, f"its kernel did not start ({error})", notebook) from None
    finally:
        loop.close()


def _refuse_early_exit(name: str, notebook: NotebookNode) -> None:
    """Papermill takes `sys.exit(0)` for success."""
    for cell in notebook.cells:
        if any(output.output_type == "error" for output in cell.get("outputs", ())):
            raise ChapterError(
                name, f"cell In [{cell.execution_count}] left the notebook before its end", notebook
            )


def _complaints(notebook: NotebookNode):
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            if output.output_type == "stream" and output.name == "stderr":
                yield cell.execution_count, output.text.strip()


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
        raise ChapterError(name, "it must have one heading of level 1, in its first cell", notebook)
    return titles[0][1]


def skipped_section(paths: dict[str, Path], reasons: dict[str, str], language: str) -> NotebookNode:
    """What stands in the report in place of chapters that were not run: title and reason of each."""
    lines = ["# Not in this report", ""]
    for name, reason in reasons.items():
        title = check_title(name, in_language(nbformat.read(paths[name], as_version=4), language))
        lines.append(f"- *{title}* was not run. {escape_markdown(reason.rstrip('.'))}.")
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
