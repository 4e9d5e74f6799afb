"""All provinces of a study, each a job of its own: skipped where nothing changed, never stopped by another's failure."""

import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from relocation_analysis.errors import InputError
from relocation_analysis.language import _, join_list, speaking
from relocation_analysis.reporting.batch import index
from relocation_analysis.reporting.batch.jobs import STATE, Batch, Job, read_state
from relocation_analysis.reporting.report import is_current, write_report
from relocation_analysis.reporting.run import placing, provenance
from relocation_analysis.reporting.run.placing import BusyError, WriteError, read_run
from relocation_analysis.reporting.run.progress import BatchProgress

CHAPTERS = 5  # of a report, for the time left
DONE, UNCHANGED, FAILED, STOPPED = "done", "unchanged", "failed", "not started"
NATIONAL = "national"


@dataclass(frozen=True)
class Ended:
    """How a job ended: `how` is done, unchanged, failed or not started; a failure says where and why; `home` is its folder."""

    name: str
    how: str
    chapter: str = ""
    problem: str = ""
    notes: tuple[str, ...] = ()
    home: str = ""


def write_batch(batch: Batch, workers: int | None = None, timeout: float | None = None, scheduler: str | None = None,
                stream=None) -> list[Ended]:  # fmt: skip
    """Write every report that is not current, the national comparison, and the index.

    Parameters
    ----------
    workers : chapters at a time; by default one more than the cores that this process may use, since a kernel that starts
        waits more than it works.
    timeout : seconds that a cell may take.
    scheduler : address of a Dask scheduler that is to do the jobs.
    stream : where the display goes, standard error by default.

    Returns
    -------
    How each job ended, in order, the national comparison last. The index has been written.
    """
    workers = workers or available_cores() + 1
    progress = BatchProgress(len(batch.jobs), CHAPTERS, stream)
    with speaking(batch.study.language), _stoppable(), ExitStack() as stack:
        runner = None
        try:
            if batch.left_out:
                progress.say(_("{n} rows of the file name no province and are in no report", n=batch.left_out))
            todo = [job for job in batch.jobs if batch.force or not is_current(job.folder, job.key)]
            ended = {job.name: _skip(job, progress) for job in batch.jobs if job not in todo}
            if todo and scheduler:
                from relocation_analysis.reporting.batch.cluster import send_jobs

                ended |= send_jobs(batch, todo, scheduler, timeout, progress)
            elif todo:
                from relocation_analysis.reporting.run.chapters import TIMEOUT, Runner

                runner = stack.enter_context(Runner(workers, timeout or TIMEOUT))
                ended |= _write_here(batch, todo, runner, workers, progress)
            results = [replace(ended[job.name], home=job.folder.parent.name) for job in batch.jobs]
            national, compared = _write_national(batch, progress, read_state(batch.folder).get("national", {}), runner)
            results += national
        finally:
            progress.close()
        _write_state(batch, results, compared)
        _summarise(batch, results, stream or sys.stderr)
    return results


def available_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _stoppable() -> Iterator[None]:
    """Inside, a request to end (SIGTERM) is like Ctrl-C: what was begun is cleared away."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _skip(job: Job, progress: BatchProgress) -> Ended:
    with suppress(OSError, placing.WriteError):
        placing.clear_leftovers(job.folder, job.study.province)
        (job.folder / placing.FAILED).unlink(missing_ok=True)  # of a try between this report and now
    progress.job_done(job.name, _("unchanged"), 0)
    return Ended(job.name, UNCHANGED)


def _write_here(batch: Batch, jobs: list[Job], runner, workers: int, progress: BatchProgress) -> dict[str, Ended]:
    """Write reports on this machine: one more at work than there are workers, so that none waits for a page to be set."""

    def work(job: Job, wait: bool) -> Ended:
        shown = progress.job(job.name)
        return attempt(job.name, shown, lambda: write_report(
            job.study, batch.out, batch.formats, batch.force, shown, runner, batch.code, job.data, wait))  # fmt: skip

    pool = ThreadPoolExecutor(workers + 1, thread_name_prefix="report")
    try:
        ended = collect({pool.submit(work, job, False): job for job in jobs}, pool)
        busy = [job for job in jobs if job.name not in ended]
        return ended | collect({pool.submit(work, job, True): job for job in busy}, pool)
    except BaseException:
        with _undisturbed():
            pool.shutdown(wait=False, cancel_futures=True)
            runner.stop()
            pool.shutdown()
        raise
    finally:
        pool.shutdown()


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Inside, a second Ctrl-C does not keep the first from clearing away."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def collect(futures: dict[Future, Job], pool: ThreadPoolExecutor) -> dict[str, Ended]:
    """How jobs ended, those left out that another run is at; a disk that takes nothing more ends the batch."""
    ended = {}
    for future in as_completed(futures):
        try:
            ended[futures[future].name] = future.result()
        except BusyError:
            continue
        except CancelledError:
            ended[futures[future].name] = Ended(futures[future].name, STOPPED)
        except WriteError as error:
            ended[futures[future].name] = Ended(futures[future].name, FAILED, "", str(error))
            for other in futures:
                other.cancel()
    return ended


def attempt(name: str, shown, write: Callable[[], Path]) -> Ended:
    """Do one job; whatever goes wrong with it is its own."""
    from relocation_analysis.reporting.run.chapters import StoppedError

    try:
        folder = write()
    except (BusyError, WriteError):
        raise
    except StoppedError:
        return Ended(name, STOPPED)
    except Exception as error:  # of any kind: the other provinces go on
        ended = failure(name, error)
        shown.done(_("failed: {problem}", problem=say_problem(ended)))
        return ended
    seconds = read_run(folder).get("seconds")
    shown.done(_("done, {seconds} s", seconds=seconds))
    return Ended(name, DONE)


def failure(name: str, error: Exception) -> Ended:
    """How a job ended that ended in an error; of one that nobody thought of its type is said."""
    chapter = getattr(error, "chapter", "")
    problem = error.problem if chapter else str(error)
    if not isinstance(error, InputError | RuntimeError):
        problem = f"{type(error).__name__}: {error}"
    return Ended(name, FAILED, chapter, problem, tuple(getattr(error, "__notes__", ())))


def say_problem(one: Ended) -> str:
    """What went wrong with a job, on one line: its chapter and the error."""
    problem = " ".join(one.problem.split())
    return _("chapter {chapter}: {problem}", chapter=one.chapter, problem=problem) if one.chapter else problem


def _write_national(batch: Batch, progress: BatchProgress, remembered: dict, runner) -> tuple[list[Ended], dict]:
    """Compare the provinces, where there are some to compare.

    Returns how that ended, and what the next batch needs to know that it need not be done again: it is not even looked at where
    no report of a province, nor the code or a setting, is another.
    """
    if [job.study.province for job in batch.jobs] == [None]:
        return [], {}
    folder = batch.folder / NATIONAL / batch.study.language
    about = {"inputs": _national_inputs(batch)}
    if not batch.force and remembered.get("inputs") == about["inputs"]:
        kept = remembered.get("fingerprint")
        if kept is None or is_current(folder, kept):
            return [Ended(NATIONAL, UNCHANGED)] if kept else [], about | {"fingerprint": kept}
    from relocation_analysis.reporting.national.report import write_national

    before, shown = read_run(folder).get("started"), progress.job(NATIONAL)
    try:
        written = write_national(batch.study, batch.out, batch.formats, batch.force, shown, runner)
    except Exception as error:  # the provinces stand without it
        ended = failure(NATIONAL, error)
        progress.say(_("{name}: {how}", name=NATIONAL, how=_("failed: {problem}", problem=say_problem(ended))))
        return [ended], {}
    if written is None:
        return [], about | {"fingerprint": None}
    run = read_run(folder)
    if run.get("started") == before:
        return [Ended(NATIONAL, UNCHANGED)], about | {"fingerprint": run.get("fingerprint")}
    progress.say(_("{name}: {how}", name=NATIONAL, how=_("done, {seconds} s", seconds=run.get("seconds"))))
    return [Ended(NATIONAL, DONE)], about | {"fingerprint": run.get("fingerprint")}


def _national_inputs(batch: Batch) -> str:
    """SHA-256 over all that the national report can depend on."""
    runs = sorted(path for path in batch.folder.glob(f"*/{batch.study.language}/run.json") if path.parent.parent.name != NATIONAL)
    reports = [f"{path.parent.parent.name}={provenance.sha256_of(path)}" for path in runs]
    return provenance.digest([batch.code, *sorted(batch.formats), json.dumps(provenance.settings(batch.study), sort_keys=True), *reports])


def _write_state(batch: Batch, results: list[Ended], national: dict) -> None:
    """Write the index, and what the next batch compares itself with."""
    before = read_state(batch.folder)
    rows = index.collect(batch.study, batch.folder, batch.study.language, before.get("reports", {}), results)
    page = index.render(rows, batch.study, batch.folder)
    reports = before.get("reports", {}) | {row.slot: row.remembered for row in rows if row.remembered}
    state = {"finished": datetime.now(UTC).isoformat(), "language": batch.study.language, "rows": batch.rows}
    state |= {"jobs": {r.name: {"how": r.how, "chapter": r.chapter, "problem": r.problem} for r in results}, "reports": reports, "national": national}
    with placing.writing(batch.folder):
        placing.write_whole(batch.folder / "index.html", page)
        placing.write_whole(batch.folder / STATE, json.dumps(state, indent=1, ensure_ascii=False) + "\n")


def _summarise(batch: Batch, results: list[Ended], stream) -> None:
    """The last lines: how many of each, every failure with its chapter and error, where the index is."""
    labels = {DONE: _("done"), UNCHANGED: _("unchanged"), FAILED: _("failed"), STOPPED: _("not started")}
    counts = [_("{n} {how}", n=n, how=label) for how, label in labels.items() if (n := sum(r.how == how for r in results))]
    lines = [_("{n} reports: {counts}", n=len(results), counts=join_list(counts))]
    for one in (r for r in results if r.how == FAILED):
        lines += [_("failed: {name}, {problem}", name=one.name, problem=say_problem(one)), *(f"  {note}" for note in one.notes)]
    print("\n".join([*lines, str(batch.folder / "index.html")]), file=stream, flush=True)


def succeeded(results: list[Ended]) -> bool:
    """Whether every report is there and current."""
    return all(one.how in (DONE, UNCHANGED) for one in results)
