"""Runs one chapter with papermill in a kernel of its own, and says where it ended if it did not come through."""

import asyncio
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from relocation_analysis.language import _
from relocation_analysis.reporting.run.kernels import Kernels, how_it_ended
from relocation_analysis.reporting.run.progress import Progress

TIMEOUT = 1800.0  # seconds for a cell: none of the project's takes one of them in a hundred
IOPUB_TIMEOUT = 120


class ChapterError(RuntimeError):
    """A chapter did not run to its end.

    Attributes
    ----------
    chapter : its name.
    notebook : the notebook as far as it ran, the failing cell marked, or None where nothing ran.
    """

    def __init__(self, chapter: str, problem: str, notebook: NotebookNode | None = None):
        self.chapter, self.notebook = chapter, notebook
        self.problem = problem
        super().__init__(_("The chapter {chapter} did not run: {problem}", chapter=repr(chapter), problem=problem))


class StoppedError(RuntimeError):
    """The run was stopped before the chapters were through."""


class LostKernelError(ChapterError):
    """The kernel of a chapter died, did not start or did not answer in time: worth one more try."""


class Runner:
    """Where chapters run, a context manager: each in a kernel of its own, so many at a time.

    Parameters
    ----------
    workers : chapters at a time.
    timeout : seconds that a cell may take; a kernel that takes longer is ended.
    warm : fork the kernels; by default wherever that can be.
    """

    def __init__(self, workers: int = 2, timeout: float = TIMEOUT, warm: bool | None = None):
        self.kernels, self.timeout = Kernels(warm), timeout
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="chapter")

    def __enter__(self) -> "Runner":
        self.kernels.__enter__()
        return self

    def __exit__(self, *_) -> None:
        self.stop()
        self._pool.shutdown()
        self.kernels.__exit__()

    def stop(self) -> None:
        """End what runs and start nothing more."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self.kernels.stop()

    def submit(self, chapter: "Chapter", progress: Progress) -> Future:
        """Run a chapter as soon as a worker is free; the result is its executed notebook."""
        return self._pool.submit(run_chapter, chapter, self, progress)


@dataclass(frozen=True)
class Chapter:
    """A chapter that is to be run: its notebook as `read_chapter` gives it, its parameters, the folder and environment it runs
    in."""

    name: str
    notebook: NotebookNode
    parameters: dict
    folder: Path
    env: dict[str, str]
    started: list = field(default_factory=list)  # its kernels, the one before the retry included

    @property
    def cells(self) -> int:
        return sum(cell.cell_type == "code" for cell in self.notebook.cells)


def run_chapter(chapter: Chapter, runner: Runner, progress: Progress) -> NotebookNode:
    """Run a chapter to its end; one whose kernel is lost once more, in another kernel."""
    start = time.perf_counter()
    try:
        executed = _execute(chapter, runner, progress)
    except LostKernelError as error:
        if runner.kernels.stopped:
            raise
        progress.say(_("{problem}; it is run once more", problem=error))
        executed = _execute(chapter, runner, progress)
    _refuse_early_exit(chapter.name, executed)
    progress.chapter(chapter.name, chapter.cells, time.perf_counter() - start)
    for number, text in _complaints(executed):
        progress.say(f"{chapter.name}: " + _("cell In [{n}] says: {text}", n=number, text=text))
    return executed


def _execute(chapter: Chapter, runner: Runner, progress: Progress) -> NotebookNode:
    from jupyter_core.utils import ensure_event_loop
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill import PapermillExecutionError, execute_notebook

    name, running, begun = chapter.name, [chapter.notebook], []  # the notebook as far as it ran, the cells it began
    loop = ensure_event_loop()  # this thread's, which nobody else closes
    try:
        return execute_notebook(
            chapter.notebook,
            None,
            chapter.parameters,
            progress_bar=False,
            record_timing=False,
            request_save_on_cell_execute=False,
            kernel_manager_class=runner.kernels.manager(chapter.started, chapter.env),
            shutdown_kernel="immediate",
            execution_timeout=runner.timeout,
            iopub_timeout=IOPUB_TIMEOUT,
            resources={"metadata": {"path": str(chapter.folder)}},
            on_notebook_start=lambda notebook: running.append(notebook),
            on_cell_execute=lambda cell, **about: begun.append(cell),
            on_cell_executed=lambda **about: progress.cell(name),
        )
    except PapermillExecutionError as error:
        problem = _("cell In [{n}] raised {kind}: {message}", n=error.exec_count, kind=error.ename, message=error.evalue)
        raise ChapterError(name, problem, running[-1]) from None
    except CellTimeoutError:
        seconds = f"{runner.timeout:g}"
        how = _("it did not answer within {seconds} seconds", seconds=seconds)
        raise _lost(name, running[-1], begun, how) from None
    except DeadKernelError:
        raise _lost(name, running[-1], begun, how_it_ended(chapter.started)) from None
    except RuntimeError as error:
        raise LostKernelError(name, _("its kernel did not start ({error})", error=error), running[-1]) from None
    finally:
        _close(loop)
        runner.kernels.release(chapter.started)


def _lost(name: str, notebook: NotebookNode, begun: list[NotebookNode], how: str) -> LostKernelError:
    """The error of a kernel that was lost; the cell that was running is marked."""
    problem = _("its kernel died in cell In [{n}]: {how}", n=max(1, len(begun)), how=how)
    for cell in begun[-1:]:
        error = {"ename": "DeadKernelError", "evalue": problem, "traceback": [problem]}
        cell.outputs = [*cell.get("outputs", ()), nbformat.v4.new_output("error", **error)]
    return LostKernelError(name, problem, notebook)


def _close(loop: asyncio.AbstractEventLoop) -> None:
    """Close an event loop, what still waits in it cancelled."""
    if waiting := asyncio.all_tasks(loop):
        for task in waiting:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*waiting, return_exceptions=True))
    loop.close()


def _refuse_early_exit(name: str, notebook: NotebookNode) -> None:
    """Papermill takes `sys.exit(0)` for success."""
    for cell in notebook.cells:
        if any(output.output_type == "error" for output in cell.get("outputs", ())):
            problem = _("cell In [{n}] left the notebook before its end", n=cell.execution_count)
            raise ChapterError(name, problem, notebook)


def _complaints(notebook: NotebookNode):
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            if output.output_type == "stream" and output.name == "stderr":
                yield cell.execution_count, output.text.strip()
