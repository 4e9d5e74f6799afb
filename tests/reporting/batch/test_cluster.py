"""Reports made by a Dask cluster are the bytes of this machine's, whatever happens to a worker."""

import asyncio
import io
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import warnings
from hashlib import sha256
from pathlib import Path

import psutil
import pytest

from relocation_analysis.errors import InputError
from relocation_analysis.reporting import report
from relocation_analysis.reporting.batch.cluster import pack_files, verify
from relocation_analysis.reporting.batch.driver import succeeded, write_batch
from relocation_analysis.reporting.batch.jobs import plan_batch
from relocation_analysis.reporting.national import report as national
from relocation_analysis.reporting.run import provenance

HERE = Path(__file__).parent
NAMES = "hebei,shanxi,jilin,anhui"
OWN = 'name = "own"\ntitle = "Own"\n[data]\npath = "{path}"\n[outcome.y]\ndomain = "other"\nrole = "primary"\nunit = ""\nlabel_en = "Y"\n'


@pytest.fixture(scope="module")
def chapters(tmp_path_factory):
    """Two tiny chapters in place of the project's own, here and, by tiny_worker.py, on the workers."""
    folder = tmp_path_factory.mktemp("chapters")
    for path in (HERE.parent / "notebooks").glob("*.ipynb"):
        shutil.copy(path, folder)
    plan = [("alpha", ""), ("beta", "")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "NOTEBOOKS", folder)
        patch.setattr(provenance, "code_files", lambda: sorted(folder.glob("*.ipynb")))
        patch.setattr(provenance, "code_version", lambda: "version of the tests")
        patch.setattr(report, "_plan", lambda study: (plan, None))
        patch.setattr(national, "write_national", lambda *_: None)
        yield folder


@pytest.fixture(scope="module")
def scheduler():
    """A real scheduler in a thread of its own."""
    pytest.importorskip("distributed")
    from distributed import Scheduler

    address, stop, ready = [], None, threading.Event()

    async def serve():
        nonlocal stop
        stop = asyncio.Event()
        async with Scheduler(host="127.0.0.1", port=0, dashboard=False) as one:
            address.append(one.address)
            ready.set()
            await stop.wait()

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert ready.wait(60)
    yield address[0]
    loop.call_soon_threadsafe(stop.set)
    thread.join()
    loop.close()


@pytest.fixture
def workers(scheduler, chapters, tmp_path):
    """Start worker processes of one thread each; none is left at the end."""
    started = []

    def start(n: int, folder: Path = chapters):
        for k in range(n):
            home = tmp_path / f"worker{len(started)}"
            home.mkdir()
            command = [sys.executable, str(HERE / "tiny_worker.py"), scheduler, str(folder)]
            with open(tmp_path / f"worker{len(started)}.txt", "w", encoding="utf-8") as log:
                started.append(subprocess.Popen(command, cwd=home, stdout=log, stderr=log))
        return started

    yield start
    for process in started:
        process.terminate()
        process.wait(30)


def kernels_of(process: subprocess.Popen) -> list[psutil.Process]:
    try:
        return [p for p in psutil.Process(process.pid).children(recursive=True) if p.parent().pid != process.pid]
    except psutil.NoSuchProcess:
        return []


def outputs(folder: Path) -> dict[str, str]:
    return {p.relative_to(folder).as_posix(): sha256(p.read_bytes()).hexdigest() for p in sorted(folder.glob("*/*/**/*"))
            if p.is_file() and p.name != "run.json"}  # fmt: skip


def batch(out, *arguments, scheduler=None, **settings):
    stream = io.StringIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the library
        ended = write_batch(plan_batch(*arguments or ("simulated", NAMES), out=out, **{"formats": ("html",)} | settings), 2,
                            scheduler=scheduler, stream=stream)  # fmt: skip
    return ended, stream.getvalue()


@pytest.mark.slow
def test_every_report_arrives_with_the_bytes_of_this_machine_though_a_worker_is_killed_in_mid_job(chapters, scheduler, workers, tmp_path):
    local, far, killed = tmp_path / "local", tmp_path / "far", []
    assert succeeded(batch(local)[0])
    started = workers(2)

    def kill():
        while not killed:
            for process in started:
                if kernels_of(process):  # it is at a chapter
                    killed.extend(kernels_of(process))
                    process.send_signal(signal.SIGKILL)
                    return
            time.sleep(0.02)

    killer = threading.Thread(target=kill)
    killer.start()
    ended, said = batch(far, scheduler=scheduler)
    killer.join(1)
    assert killed and started[0].poll() or started[1].poll()
    assert succeeded(ended), said
    assert outputs(far / "simulated") == outputs(local / "simulated")
    assert not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in killed)
    again, said = batch(far, scheduler="tcp://127.0.0.1:1")  # nothing is to do, so nobody is asked
    assert {one.how for one in again} == {"unchanged"}


@pytest.mark.slow
def test_a_file_travels_and_a_failure_is_told_with_its_notebook(chapters, scheduler, workers, tmp_path):
    (tmp_path / "study" / "raw").mkdir(parents=True)
    rows = "".join(f"{p},{p}{v},{p}{v},{t},{2018 if v < 2 else ''},{v}\n" for p in ("a/b", "c") for v in range(4) for t in (2017, 2018))
    (tmp_path / "study" / "raw" / "panel.csv").write_text(f"province,village,person,time,cohort,y\n{rows}", encoding="utf-8")
    path = tmp_path / "study" / "own.toml"
    path.write_text(OWN.format(path="raw/panel.csv"), encoding="utf-8")
    assert succeeded(batch(tmp_path / "local", path)[0])
    workers(1)
    assert succeeded(batch(tmp_path / "far", path, scheduler=scheduler)[0])
    assert outputs(tmp_path / "far/own") == outputs(tmp_path / "local/own")


@pytest.mark.slow
def test_a_worker_with_other_code_is_an_error_and_no_report(chapters, scheduler, workers, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(chapters, other)
    (other / "alpha.ipynb").write_text((other / "alpha.ipynb").read_text().replace("A sentence", "Another sentence"))
    workers(1, other)
    ended, said = batch(tmp_path / "out", "simulated", "hebei", scheduler=scheduler)
    assert not succeeded(ended) and "a worker runs another version of the project" in said
    assert not list((tmp_path / "out").rglob("report.*"))


def test_a_scheduler_that_is_not_there_is_an_error_in_words(chapters, tmp_path, monkeypatch):
    pytest.importorskip("distributed")
    from relocation_analysis.reporting.batch import cluster

    monkeypatch.setattr(cluster, "CONNECT", 1)
    with pytest.raises(InputError, match="The scheduler must be there"):
        batch(tmp_path, "simulated", "hebei", scheduler="tcp://127.0.0.1:1")


def test_a_batch_on_this_machine_does_not_import_dask():
    code = "import sys, relocation_analysis.cli, relocation_analysis.reporting.batch.driver; print('distributed' in sys.modules, 'dask' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout.split() == ["False", "False"]


def good_files() -> dict[str, bytes]:
    digest = sha256(b"page").hexdigest()
    return {"report.html": b"page", "run.json": f'{{"fingerprint": "k", "outputs": {{"report.html": "{digest}"}}}}'.encode()}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"report.html": b"pag"}, "report.html did not arrive as the worker wrote it"),
        ({"extra.txt": b"x"}, "extra.txt did not arrive as the worker wrote it"),
        ({"report.html": None}, "report.html did not arrive as the worker wrote it"),
        ({"run.json": b"{"}, "without a record of its run"),
        ({"../x": b"x"}, "does not belong into a report: '../x'"),
        ({"run.json": b'{"fingerprint": "other", "outputs": {}}'}, "another report than it was asked for"),
    ],
)
def test_what_arrives_is_verified_file_by_file(change, message):
    verify(good_files(), "k")
    with pytest.raises(RuntimeError, match=message):
        verify({k: v for k, v in (good_files() | change).items() if v is not None}, "k")


def test_data_named_by_an_absolute_path_cannot_travel(tmp_path):
    from relocation_analysis.data.study import read_study

    (tmp_path / "panel.csv").write_text("y\n1\n")
    (tmp_path / "own.toml").write_text(OWN.format(path=tmp_path / "panel.csv"), encoding="utf-8")
    with pytest.raises(InputError, match="must name its data by a path from the study file"):
        pack_files(read_study(tmp_path / "own.toml"))
    (tmp_path / "own.toml").write_text(OWN.format(path="panel.csv"), encoding="utf-8")
    assert set(pack_files(read_study(tmp_path / "own.toml"))) == {"own.toml", "panel.csv"}


@pytest.mark.slow
def test_ctrl_c_takes_the_jobs_back_and_ends_their_kernels(scheduler, workers, tmp_path):
    import nbformat

    folder = tmp_path / "chapters"
    folder.mkdir()
    defaults = nbformat.v4.new_code_cell('study = "simulated"\nprovince = None\nlanguage = "en"\nparameters = {}')
    defaults.metadata.tags = ["parameters"]
    cells = [nbformat.v4.new_markdown_cell("# Only"), defaults, nbformat.v4.new_code_cell("import time\ntime.sleep(600)")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / "only.ipynb")
    (worker,) = workers(1, folder)
    command = [sys.executable, str(HERE / "tiny_batch.py"), str(folder), "batch", "--provinces", NAMES, "--scheduler", scheduler]
    driver = subprocess.Popen([*command, "--out", str(tmp_path / "out")], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))  # deaf to it in the background of a shell
    end = time.monotonic() + 120
    while not (kernels := kernels_of(worker)) and time.monotonic() < end:
        time.sleep(0.1)
    assert kernels
    driver.send_signal(signal.SIGINT)
    said, _none = driver.communicate(timeout=60)
    assert driver.returncode == 130 and said.splitlines()[-1] == "Stopped." and "Traceback" not in said
    gone, alive = psutil.wait_procs(kernels, timeout=30)
    assert not alive and worker.poll() is None
    assert not list((tmp_path / "out").rglob("failed.ipynb"))
