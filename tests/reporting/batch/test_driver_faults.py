"""What a batch survives: kill -9, Ctrl-C, a full disk, a folder that cannot be written, another driver, 200 provinces."""

import io
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
import uuid
from hashlib import sha256
from pathlib import Path

import nbformat
import pandas as pd
import psutil
import pytest

HERE = Path(__file__).parent
NAMES = ("hebei", "shanxi", "jilin", "anhui")
OWN = 'name = "own"\ntitle = "Own"\n[data]\npath = "panel.csv"\n[outcome.y]\ndomain = "other"\nrole = "primary"\nunit = ""\nlabel_en = "Y"\n'
ROUNDS = 20

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = tmp_path_factory.mktemp("chapters")
    for path in (HERE.parent / "notebooks").glob("*.ipynb"):
        shutil.copy(path, folder)
    return folder


@pytest.fixture
def one_chapter(tmp_path):
    """A folder of one chapter with the given cell."""

    def write(source: str) -> Path:
        folder = tmp_path / "chapters"
        folder.mkdir(exist_ok=True)
        defaults = nbformat.v4.new_code_cell('study = "simulated"\nprovince = None\nlanguage = "en"\nparameters = {}')
        defaults.metadata.tags = ["parameters"]
        cells = [nbformat.v4.new_markdown_cell("# Only"), defaults, nbformat.v4.new_code_cell(source)]
        nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / "only.ipynb")
        return folder

    return write


def hear_ctrl_c() -> None:
    """A process in the background of a shell is started deaf to Ctrl-C; here it is to hear it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Driver:
    """A batch in a process of its own, whose kernels can be told by a mark in their environment."""

    def __init__(self, chapters: Path, out: Path, *arguments: str, names=NAMES, **settings):
        self.mark = uuid.uuid4().hex
        command = [sys.executable, str(HERE / "tiny_batch.py"), str(chapters), "batch", "--provinces", ",".join(names)]
        command += ["--format", "html", "--workers", "2", "--out", str(out), *arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                        env=os.environ | {"RELOCATION_MARK": self.mark}, **{"preexec_fn": hear_ctrl_c} | settings)  # fmt: skip

    def finish(self, seconds: float = 300) -> tuple[int, str]:
        said, _none = self.process.communicate(timeout=seconds)
        return self.process.returncode, said

    def left(self) -> list[psutil.Process]:
        """Processes of this driver that still run."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("RELOCATION_MARK") == self.mark and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def leaves_nobody(self, seconds: float = 30) -> bool:
        end = time.monotonic() + seconds
        while self.left() and time.monotonic() < end:
            time.sleep(0.1)
        return not self.left()


def whole(folder: Path) -> bool:
    """Whether a report is complete: every file that run.json lists, with its checksum, and no other."""
    try:
        outputs = json.loads((folder / "run.json").read_text(encoding="utf-8"))["outputs"]
    except FileNotFoundError:
        return False
    files = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    assert {name: sha256(files[name].read_bytes()).hexdigest() for name in outputs} == outputs
    assert set(files) == {*outputs, "run.json"}
    return True


def reports(out: Path) -> set[str]:
    """Provinces with a report, each of them whole."""
    folders = [folder for folder in out.glob("simulated/*/en")]
    assert all(map(whole, folders))
    return {folder.parent.name for folder in folders}


def drafts(out: Path) -> list[str]:
    return [str(p) for p in out.rglob(".*") if p.name.startswith((".draft", ".old"))]


def test_a_driver_killed_at_random_moments_loses_no_report_and_leaves_no_kernel(tiny, tmp_path):
    out, draw = tmp_path / "out", random.Random(5)
    start = time.monotonic()
    assert Driver(tiny, out).finish()[0] == 0
    usual = time.monotonic() - start
    finished = reports(out)
    assert finished == set(NAMES)
    shutil.rmtree(out / "simulated" / "anhui")  # so that something is new, too
    for _round in range(ROUNDS):
        finished = reports(out)
        driver = Driver(tiny, out, "--force")
        time.sleep(draw.uniform(0.1, 1.0) * usual)
        driver.process.kill()
        driver.process.communicate()
        assert finished <= reports(out)
        assert driver.leaves_nobody()
    status, said = Driver(tiny, out).finish()
    assert status == 0, said
    assert reports(out) == set(NAMES) and drafts(out) == []


def test_ctrl_c_leaves_a_clean_folder_and_no_kernel(one_chapter, tmp_path):
    out = tmp_path / "out"
    driver = Driver(one_chapter("import time\ntime.sleep(600)"), out)
    while len(driver.left()) < 3:  # the driver, the process that forks, a kernel
        time.sleep(0.1)
        assert driver.process.poll() is None
    time.sleep(1)
    driver.process.send_signal(signal.SIGINT)
    status, said = driver.finish(60)
    assert status == 130 and said.splitlines()[-1] == "Stopped." and "Traceback" not in said
    assert driver.leaves_nobody(5)
    assert drafts(out) == [] and not list(out.rglob("failed.ipynb"))
    assert os.listdir(out / "simulated") == [".locks"]


def test_a_request_to_end_is_like_ctrl_c(one_chapter, tmp_path):
    driver = Driver(one_chapter("import time\ntime.sleep(600)"), tmp_path / "out")
    while len(driver.left()) < 3:
        time.sleep(0.1)
    driver.process.terminate()
    assert driver.finish(60)[0] == 130
    assert driver.leaves_nobody(5) and drafts(tmp_path / "out") == []


def test_two_drivers_at_once_do_not_spoil_each_other(tiny, tmp_path):
    out = tmp_path / "out"
    drivers = [Driver(tiny, out), Driver(tiny, out)]
    for driver in drivers:
        status, said = driver.finish()
        assert status == 0, said
    assert reports(out) == set(NAMES) and drafts(out) == []
    state = json.loads((out / "simulated/batch.json").read_text(encoding="utf-8"))
    assert set(state["jobs"]) == set(NAMES)


def test_a_kernel_that_hangs_leaves_or_dies_is_one_failure_each(one_chapter, tmp_path):
    faults = {"hebei": "__import__('time').sleep(600)", "shanxi": "__import__('os')._exit(1)", "jilin": "__import__('sys').exit(0)"}
    source = f"{faults!r}.get(province) and eval({faults!r}[province])"
    driver = Driver(one_chapter(source), tmp_path / "out", "--timeout", "3")
    status, said = driver.finish()
    assert status == 1 and "4 reports: 1 done, 3 failed" in said
    assert "failed: hebei, chapter only: its kernel died in cell In [3]: it did not answer within 3 seconds" in said
    assert "failed: shanxi, chapter only: its kernel died in cell In [3]: it left with status 1" in said
    assert "failed: jilin, chapter only: cell In [3] left the notebook before its end" in said
    assert driver.leaves_nobody(5) and reports_of(tmp_path / "out") == {"anhui"}
    assert len(list((tmp_path / "out").rglob("failed.ipynb"))) == 3


def reports_of(out: Path) -> set[str]:
    return {path.parent.parent.name for path in out.glob("simulated/*/en/run.json")}


@pytest.fixture
def mount(tmp_path):
    """A small file system of its own, where this user may mount one."""
    places = []

    def make(options: str) -> Path:
        place = tmp_path / f"mount{len(places)}"
        place.mkdir()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], capture_output=True)
        if done.returncode:
            pytest.skip("this user may not mount a file system")
        places.append(place)
        return place

    yield make
    for place in places:
        subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_is_one_message_and_no_half_report(tiny, mount):
    out = mount("size=300k")
    assert Driver(tiny, out, names=NAMES[:1]).finish()[0] == 0
    (out / "filler").write_bytes(b"0" * 4096 * ((shutil.disk_usage(out).free // 4096) - 2))
    status, said = Driver(tiny, out, "--force").finish()
    assert status == 1 and "Traceback" not in said
    assert said.count("No space left on device") >= 1 and "What stood there is as it was." in said
    assert reports(out) == {"hebei"} and drafts(out) == []


def test_a_file_that_cannot_grow_is_one_message_and_no_half_report(tiny, tmp_path):
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000))  # noqa: E731
    driver = Driver(tiny, tmp_path / "out", preexec_fn=limit)
    status, said = driver.finish()
    assert status == 1 and "File too large" in said and "Traceback" not in said
    assert reports(tmp_path / "out") == set() and drafts(tmp_path / "out") == []


def test_a_folder_that_cannot_be_written_is_one_message_before_anything_starts(tiny, mount):
    out = mount("size=1m,ro")
    driver = Driver(tiny, out)
    status, said = driver.finish()
    assert status == 1 and len(said.splitlines()) == 1
    assert "could not be written: Read-only file system" in said


def test_200_provinces_cost_each_the_same_and_memory_stays_flat(one_chapter, tmp_path, monkeypatch):
    from relocation_analysis.reporting import report
    from relocation_analysis.reporting.batch import driver as batch
    from relocation_analysis.reporting.batch import jobs
    from relocation_analysis.reporting.national import report as national
    from relocation_analysis.reporting.run import provenance

    names = [f"province {n:03}" for n in range(200)]
    rows = [{"province": p, "village": f"{p} {v}", "person": f"{p} {v}", "time": t, "cohort": 2018 if v < 2 else None, "y": v}
            for p in names for v in range(4) for t in (2017, 2018)]  # fmt: skip
    pd.DataFrame(rows).to_csv(tmp_path / "panel.csv", index=False)
    (tmp_path / "own.toml").write_text(OWN, encoding="utf-8")
    folder, seen = one_chapter("province"), []
    monkeypatch.setattr(report, "NOTEBOOKS", folder)
    monkeypatch.setattr(provenance, "code_files", lambda: sorted(folder.glob("*.ipynb")))
    monkeypatch.setattr(national, "write_national", lambda *_: None)
    monkeypatch.setattr(report, "_plan", lambda study: (seen.append((time.monotonic(), memory())) or [("only", "")], None))
    stream = io.StringIO()
    plan = jobs.plan_batch(tmp_path / "own.toml", formats=(), out=tmp_path / "out")
    ended = batch.write_batch(plan, 2, stream=stream)
    assert len(ended) == 200 and batch.succeeded(ended)
    assert "200 reports: 200 done" in stream.getvalue()
    times, sizes = zip(*seen, strict=True)
    assert times[199] - times[100] < 3 * (times[100] - times[1])  # no slower at the end than at the start, noise allowed
    assert max(sizes[100:]) - sizes[20] < 100e6
    assert (tmp_path / "out/own/index.html").read_text(encoding="utf-8").count("<tr class=") == 200
    start = time.monotonic()
    again = batch.write_batch(jobs.plan_batch(tmp_path / "own.toml", formats=(), out=tmp_path / "out"), 2, stream=stream)
    assert {one.how for one in again} == {"unchanged"} and time.monotonic() - start < 20


def memory() -> int:
    return psutil.Process().memory_info().rss
