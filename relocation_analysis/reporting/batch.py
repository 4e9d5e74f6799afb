"""All provinces of a study, each a job of its own: skipped where nothing changed, never stopped by another's failure."""

import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from relocation_analysis.data.facts import province_slugs
from relocation_analysis.data.study import read_study
from relocation_analysis.errors import InputError, unknown_name
from relocation_analysis.language import _, join_list, speaking
from relocation_analysis.reporting import batch_index, placing, provenance
from relocation_analysis.reporting.placing import BusyError, WriteError, read_run, report_folder
from relocation_analysis.reporting.progress import BatchProgress
from relocation_analysis.reporting.report import FORMATS, check_formats, is_current, write_report

STATE = "batch.json"
CHAPTERS = 5  # of a report, for the time left
DONE, UNCHANGED, FAILED, STOPPED = "done", "unchanged", "failed", "not started"


@dataclass(frozen=True)
class Job:
    """One province: its study, where its report goes, the keys of its data and of all that decides its bytes."""

    study: Any
    folder: Path
    data: dict[str, str]
    key: str

    @property
    def name(self) -> str:
        return self.study.province or "all"


@dataclass(frozen=True)
class Batch:
    """What was asked for, checked.

    Attributes
    ----------
    study : the study without a province.
    jobs : one a province, in order.
    left_out : rows of the file that name no province and so are in no report.
    """

    study: Any
    jobs: tuple[Job, ...]
    out: Path
    formats: tuple[str, ...]
    code: str
    force: bool = False
    left_out: int = 0
    rows: dict = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        return self.out / self.study.name


@dataclass(frozen=True)
class Ended:
    """How a job ended: `how` is done, unchanged, failed or not started; a failure says where and why; `home` is its folder."""

    name: str
    how: str
    chapter: str = ""
    problem: str = ""
    notes: tuple[str, ...] = ()
    home: str = ""


def plan_batch(study: str, provinces: str = "all", language: str = "en", parameters: dict | None = None,
               formats=FORMATS, out: Path = Path("reports"), force: bool = False) -> Batch:  # fmt: skip
    """Check all that was asked for and list the jobs.

    Parameters
    ----------
    study : name of a shipped study, or path of a study file.
    provinces : `all`, or names with commas between them.

    Raises
    ------
    InputError : an unknown study, province, language, parameter or format; a data file that cannot be read.
    WriteError : the folder of the reports cannot be written.
    """
    check_formats(formats)
    base = read_study(study, None, language, parameters)
    folder = Path(out) / base.name
    rows, left_out = ({}, 0) if base.simulated else _read_rows(base, folder)
    known = list(province_slugs()) if base.simulated else list(rows.get("provinces", {}))
    wanted = choose_provinces(provinces, known, base)
    _try_to_write(folder)
    code, files = provenance.code_key(), provenance.hash_files(provenance.data_files(base))
    jobs = []
    for name in wanted:
        one = base.model_copy(update={"province": name})
        data = {"files": files, "rows": rows.get("provinces", {}).get(name, files)}
        jobs.append(Job(one, report_folder(one, out), data, provenance.fingerprint(one, formats, code, data["rows"])))
    return Batch(base.model_copy(update={"province": None}), tuple(jobs), Path(out), tuple(formats), code, force, left_out, rows)


def choose_provinces(text: str, known: list[str], study) -> list[str | None]:
    """The provinces that `text` names, of the known ones; all of a study without provinces is one job, None."""
    if text.strip() == "all":
        return known or [study.province]
    names = [text.strip()] if text.strip() in known else [part.strip() for part in text.split(",") if part.strip()]
    if not known:
        raise InputError(_("A batch of provinces must have data with a column province"),
                         _("{names} was asked for and study {study} has no such column", names=repr(text), study=repr(study.name)),
                         _("map it in [columns], or leave --provinces out"))  # fmt: skip
    for name in names:
        if name not in known:
            raise unknown_name("The province", name, known)
    if not names:
        raise unknown_name("The province", text, known)
    return list(dict.fromkeys(names))


def _read_rows(study, folder: Path) -> tuple[dict, int]:
    """The key of each province's rows, read from the file once, or known from the last batch while the file is the same."""
    whole = study.model_copy(update={"province": None})
    settings = {k: v for k, v in provenance.settings(whole).items() if k != "language"}
    about = {"files": provenance.hash_files(provenance.data_files(whole)), "settings": provenance.digest([json.dumps(settings)])}
    known = read_state(folder).get("rows", {})
    if all(known.get(key) == value for key, value in about.items()):
        return known, known.get("left_out", 0)
    from relocation_analysis.data.panel import read_panel

    panel = read_panel(whole)
    if "province" not in panel.columns:
        return about | {"provinces": {}}, 0
    named = panel["province"].notna()
    groups = panel[named].groupby(panel.loc[named, "province"].astype(str), sort=True)
    keys = {name: provenance.rows_key(whole, rows) for name, rows in groups}
    left_out = int((~named).sum())
    return about | {"provinces": keys, "left_out": left_out}, left_out


def read_state(folder: Path) -> dict:
    """What the last batch into `folder` left behind; empty where there was none."""
    try:
        state = json.loads((folder / STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}


def _try_to_write(folder: Path) -> None:
    with placing.writing(folder):
        (folder / ".locks").mkdir(parents=True, exist_ok=True)
        probe = folder / ".locks" / f".{os.getpid()}"
        probe.write_text("the folder can be written\n", encoding="ascii")
        probe.unlink()


def write_batch(batch: Batch, workers: int | None = None, timeout: float | None = None, scheduler: str | None = None,
                stream=None) -> list[Ended]:  # fmt: skip
    """Write every report that is not current, the national comparison, and the index.

    Parameters
    ----------
    workers : chapters at a time; as many as this process may use cores, by default.
    timeout : seconds that a cell may take.
    scheduler : address of a Dask scheduler that is to do the jobs.
    stream : where the display goes, standard error by default.

    Returns
    -------
    How each job ended, in order, the national comparison last. The index has been written.
    """
    workers = workers or available_cores()
    progress = BatchProgress(len(batch.jobs), CHAPTERS, stream)
    with speaking(batch.study.language), _stoppable():
        try:
            if batch.left_out:
                progress.say(_("{n} rows of the file name no province and are in no report", n=batch.left_out))
            todo = [job for job in batch.jobs if batch.force or not is_current(job.folder, job.key)]
            ended = {job.name: _skip(job, progress) for job in batch.jobs if job not in todo}
            if todo and scheduler:
                from relocation_analysis.reporting.cluster import send_jobs

                ended |= send_jobs(batch, todo, scheduler, timeout, progress)
            elif todo:
                ended |= _write_here(batch, todo, workers, timeout, progress)
            results = [replace(ended[job.name], home=job.folder.parent.name) for job in batch.jobs]
            results += _write_national(batch, progress)
        finally:
            progress.close()
        _write_state(batch, results)
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
    with suppress(OSError):
        (job.folder / placing.FAILED).unlink(missing_ok=True)  # of a try between this report and now
    progress.job_done(job.name, _("unchanged"), 0)
    return Ended(job.name, UNCHANGED)


def _write_here(batch: Batch, jobs: list[Job], workers: int, timeout: float | None, progress: BatchProgress) -> dict[str, Ended]:
    """Write reports on this machine: one more at work than there are workers, so that none waits for a page to be set."""
    from relocation_analysis.reporting.chapters import TIMEOUT, Runner

    def work(job: Job, wait: bool) -> Ended:
        shown = progress.job(job.name)
        return attempt(job.name, shown, lambda: write_report(
            job.study, batch.out, batch.formats, batch.force, shown, runner, batch.code, job.data, wait))  # fmt: skip

    with Runner(workers, timeout or TIMEOUT) as runner:
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
    from relocation_analysis.reporting.chapters import StoppedError

    try:
        folder = write()
    except (BusyError, WriteError):
        raise
    except StoppedError:
        return Ended(name, STOPPED)
    except Exception as error:  # of any kind: the other provinces go on
        expected = isinstance(error, InputError | RuntimeError)
        problem = getattr(error, "problem", None) if hasattr(error, "chapter") else str(error)
        problem = problem if expected else f"{type(error).__name__}: {error}"
        ended = Ended(name, FAILED, getattr(error, "chapter", ""), problem, tuple(getattr(error, "__notes__", ())))
        shown.done(_("failed: {problem}", problem=say_problem(ended)))
        return ended
    seconds = read_run(folder).get("seconds")
    shown.done(_("done, {seconds} s", seconds=seconds))
    return Ended(name, DONE)


def say_problem(one: Ended) -> str:
    """What went wrong with a job, on one line: its chapter and the error."""
    problem = " ".join(one.problem.split())
    return _("chapter {chapter}: {problem}", chapter=one.chapter, problem=problem) if one.chapter else problem


def _write_national(batch: Batch, progress: BatchProgress) -> list[Ended]:
    """Compare the provinces, where there are some to compare."""
    try:
        from relocation_analysis.reporting.national import write_national
    except ModuleNotFoundError:
        return []
    if batch.study.province is None and [job.study.province for job in batch.jobs] == [None]:
        return []
    shown = progress.job("national")
    try:
        return [] if write_national(batch.study, batch.out, batch.formats, batch.force, shown) is None else [Ended("national", DONE)]
    except Exception as error:  # the provinces stand without it
        notes = tuple(getattr(error, "__notes__", ()))
        return [Ended("national", FAILED, getattr(error, "chapter", ""), getattr(error, "problem", str(error)), notes)]


def _write_state(batch: Batch, results: list[Ended]) -> None:
    """Write the index, and what the next batch compares itself with."""
    before = read_state(batch.folder)
    rows = batch_index.collect(batch.study, batch.folder, batch.study.language, before.get("reports", {}), results)
    page = batch_index.render(rows, batch.study, batch.folder)
    reports = before.get("reports", {}) | {row.slot: row.remembered for row in rows if row.remembered}
    state = {"finished": datetime.now(UTC).isoformat(), "language": batch.study.language, "rows": batch.rows}
    state |= {"jobs": {r.name: {"how": r.how, "chapter": r.chapter, "problem": r.problem} for r in results}, "reports": reports}
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
