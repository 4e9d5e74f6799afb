"""Hands the jobs of a batch to a Dask cluster, which may share no files with this machine.

A job there is `write_report`, as it is here, into a folder of the worker's own; what comes back are the files, verified
against the checksums of their run.json and put in place by the driver. Data that are a file of the researcher travel as a
task, which the scheduler can run again where a worker that held them dies; public data each worker fetches for itself.
"""

import atexit
import contextlib
import hashlib
import json
import tempfile
import threading
import warnings
from pathlib import Path, PurePosixPath

from relocation_analysis.data.study import STUDIES, read_study
from relocation_analysis.errors import InputError
from relocation_analysis.language import _
from relocation_analysis.reporting.batch.driver import DONE, FAILED, Ended, attempt, say_problem
from relocation_analysis.reporting.batch.jobs import Batch, Job
from relocation_analysis.reporting.report import is_current, write_report
from relocation_analysis.reporting.run import placing, provenance
from relocation_analysis.reporting.run.placing import RUN

CONNECT = 30  # seconds to find the scheduler
LOOK = 1.0  # seconds between looks at whether a job is still wanted
STUDY_DEPTH = 8  # folders above the study's copy on a worker, so that ../../data of its file has somewhere to be

_one_at_a_time = threading.Lock()  # a process speaks one language
_runner = None


def send_jobs(batch: Batch, jobs: list[Job], scheduler: str, timeout: float | None, progress) -> dict[str, Ended]:
    """Let the workers of a scheduler do jobs, and put in place what comes back.

    A worker that dies leaves its job to another; one job at a time is done by a worker, with as many chapters at a time as it
    has threads.

    Raises
    ------
    InputError : the package distributed is missing, there is no scheduler, or the data cannot travel.
    """
    client, as_completed = _connect(scheduler)
    with client:
        held = client.submit(_hold, pack_files(batch.study), pure=False)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Sending large graph")
            futures = {client.submit(do_job, _describe(batch, job, timeout), held, pure=False): job for job in jobs}
        for job in jobs:
            progress.running(job.name, "")
        try:
            return {futures[f].name: _receive(batch, futures[f], f, progress) for f in as_completed(futures, loop=client.loop)}
        except BaseException:
            client.cancel(list(futures))
            raise


def _connect(scheduler: str):
    try:
        from distributed import Client, as_completed
    except ModuleNotFoundError:
        raise InputError(_("A batch on a cluster must have the package distributed"), _("it is not installed"),
                         _("install it, or leave --scheduler out")) from None  # fmt: skip
    try:
        return Client(scheduler, timeout=CONNECT, set_as_default=False), as_completed
    except (OSError, TimeoutError, ValueError) as error:
        raise InputError(_("The scheduler must be there"), _("{address} does not answer ({error})", address=repr(scheduler), error=error),
                         _("start it, or correct its address")) from None  # fmt: skip


def _describe(batch: Batch, job: Job, timeout: float | None) -> dict:
    """A job as a worker needs it."""
    study = job.study
    return {"study": study.origin if _is_shipped(study) else Path(study.file).name, "shipped": _is_shipped(study),
            "province": study.province, "language": study.language, "parameters": study.changed, "formats": batch.formats,
            "code": batch.code, "data": job.data, "timeout": timeout}  # fmt: skip


def _is_shipped(study) -> bool:
    return Path(study.file).parent == STUDIES


def pack_files(study) -> dict[str, bytes]:
    """The study file and its data, by their path from the study's folder; empty where the workers have or fetch them.

    Raises
    ------
    InputError : the data are not named by a relative path, so they cannot stand beside the study file elsewhere.
    """
    if _is_shipped(study):
        return {}
    files = {Path(study.file).name: Path(study.file).read_bytes()}
    if study.data.path is None:
        return files
    named = PurePosixPath(Path(study.data.path).as_posix())
    if Path(study.data.path).is_absolute() or named.parts.count("..") >= STUDY_DEPTH:
        raise InputError(_("A study for a cluster must name its data by a path from the study file"),
                         _("{path} would not be there on another machine", path=repr(study.data.path)),
                         _("write a relative path, such as panel.csv beside the study file"))  # fmt: skip
    whole = Path(study.folder) / study.data.path
    for path in sorted(whole.rglob("*")) if whole.is_dir() else [whole]:
        if path.is_file():
            files[(named / path.relative_to(whole).as_posix()).as_posix()] = path.read_bytes()
    return files


def _hold(files: dict[str, bytes]) -> dict[str, bytes]:
    return files


def do_job(job: dict, files: dict[str, bytes]) -> dict:
    """On a worker: write one report into a folder of its own.

    Returns
    -------
    "files", name -> content of every file of the report; or of a report that failed: "chapter", "problem" and, where it was
    kept, "notebook".
    """
    with _one_at_a_time, tempfile.TemporaryDirectory(prefix="relocation-", ignore_cleanup_errors=True) as scratch:
        if job["code"] != provenance.code_key():
            return {"chapter": "", "problem": _("a worker runs another version of the project than the driver; install the same")}
        study = read_study(_unpack(job, files, Path(scratch)), job["province"], job["language"], job["parameters"])
        out, shown = Path(scratch) / "reports", _Silent()
        with _while_wanted():
            ended = attempt("", shown, lambda: write_report(study, out, job["formats"], False, shown, _shared_runner(job["timeout"]),
                                                            job["code"], job["data"]))  # fmt: skip
        folder = placing.report_folder(study, out)
        if ended.how == DONE:
            return {"files": {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}}
        failed = folder / placing.FAILED
        return {"chapter": ended.chapter, "problem": ended.problem} | ({"notebook": failed.read_bytes()} if failed.is_file() else {})


def _unpack(job: dict, files: dict[str, bytes], scratch: Path) -> str:
    """Where the worker finds the study: by its name where it is shipped, else as a copy with its data around it."""
    if job["shipped"]:
        return job["study"]
    home = scratch.joinpath("study", *"abcdefgh"[:STUDY_DEPTH])
    home.mkdir(parents=True)
    for name, content in files.items():
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return str(home / job["study"])


def _shared_runner(timeout: float | None):
    """The worker's own place for chapters, kept from job to job: as many at a time as the worker has threads."""
    global _runner
    from distributed import get_worker

    from relocation_analysis.reporting.run.chapters import TIMEOUT, Runner

    if _runner is None or _runner.kernels.stopped:
        _runner = Runner(get_worker().state.nthreads).__enter__()
        atexit.register(_runner.__exit__)
    _runner.timeout = timeout or TIMEOUT
    return _runner


@contextlib.contextmanager
def _while_wanted():
    """Inside, kernels end where the driver takes the job back."""
    from distributed import get_worker

    worker, over = get_worker(), threading.Event()
    key = worker.get_current_task()

    def look() -> None:
        while not over.wait(LOOK):
            task = worker.state.tasks.get(key)
            if (task is None or task.state == "cancelled") and _runner is not None:
                return _runner.stop()

    watch = threading.Thread(target=look, daemon=True)
    watch.start()
    try:
        yield
    finally:
        over.set()
        watch.join()


class _Silent:
    """Progress that nobody sees: a worker's own output is not the driver's."""

    def add(self, cells: int) -> None: ...
    def cell(self, chapter: str) -> None: ...
    def chapter(self, chapter: str, cells: int, seconds: float) -> None: ...
    def say(self, text: str) -> None: ...
    def done(self, how: str) -> None: ...
    def close(self) -> None: ...


def _receive(batch: Batch, job: Job, future, progress) -> Ended:
    """Verify what a worker sent back and put it in place."""
    shown = progress.job(job.name)
    if future.status != "finished":
        problem = _("no worker brought it to its end ({error})", error=type(future.exception()).__name__)
        shown.done(_("failed: {problem}", problem=problem))
        return Ended(job.name, FAILED, "", problem)
    result = future.result()
    future.release()
    if "files" in result:
        return attempt(job.name, shown, lambda: _place(batch, job, result["files"]))
    notes = _keep_notebook(job, result["notebook"]) if "notebook" in result else ()
    ended = Ended(job.name, FAILED, result["chapter"], result["problem"], notes)
    shown.done(_("failed: {problem}", problem=say_problem(ended)))
    return ended


def _place(batch: Batch, job: Job, files: dict[str, bytes]) -> Path:
    verify(files, job.key)
    with placing.claim(job.folder, job.study.province), placing.writing(job.folder):
        if not batch.force and is_current(job.folder, job.key):
            return job.folder
        with placing.draft_beside(job.folder) as draft:
            for name, content in files.items():
                (draft / name).parent.mkdir(parents=True, exist_ok=True)
                (draft / name).write_bytes(content)
            placing.put_in_place(draft, job.folder)
    return job.folder


def verify(files: dict[str, bytes], key: str) -> None:
    """Stop unless the files are those that their run.json lists, each with its checksum, and of the job that was asked for.

    Raises
    ------
    RuntimeError : says which file is not.
    """
    try:
        run = json.loads(files[RUN])
        outputs, told = run["outputs"], run["fingerprint"]
    except (KeyError, ValueError, TypeError):
        raise RuntimeError(_("a worker sent a report without a record of its run")) from None
    if told != key:
        raise RuntimeError(_("a worker sent another report than it was asked for: its code, data or settings differ"))
    for name in sorted({*outputs, *files} - {RUN}):
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise RuntimeError(_("a worker sent a file that does not belong into a report: {name}", name=repr(name)))
        if name not in files or hashlib.sha256(files[name]).hexdigest() != outputs.get(name):
            raise RuntimeError(_("{name} did not arrive as the worker wrote it", name=name))


def _keep_notebook(job: Job, notebook: bytes) -> tuple[str, ...]:
    with placing.claim(job.folder, job.study.province), placing.writing(job.folder), placing.draft_beside(job.folder) as draft:
        (draft / placing.FAILED).write_bytes(notebook)
        return (_("The notebook is kept: {path}", path=placing.keep_failed(draft, job.folder)),)
