"""Warm kernels behave as the stock kernel does, write the same bytes, and never outlive who asked for them."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import nbformat
import psutil
import pytest

from relocation_analysis.reporting.run.chapters import ChapterError, Runner
from relocation_analysis.reporting.run.execute import run_chapters
from relocation_analysis.reporting.run.kernels import ENVIRONMENT, PROVISIONER, ForkedProcess, Kernels, can_fork
from relocation_analysis.reporting.run.progress import Progress

PARAMETERS = {"study": "simulated", "province": "guizhou", "language": "en", "parameters": {"seed": 7}}
DEFAULTS = 'study = "simulated"\nprovince = None\nlanguage = "en"\nparameters = {}'
pytestmark = pytest.mark.skipif(not can_fork(), reason="kernels are forked on Linux only")


@pytest.fixture(scope="module")
def runner():
    with Runner(timeout=20) as place:
        yield place


@pytest.fixture
def progress(tmp_path):
    with open(tmp_path / "progress.txt", "w+", encoding="utf-8") as stream:
        yield Progress(stream)


def write_notebook(folder: Path, *sources: str) -> Path:
    cells = [nbformat.v4.new_markdown_cell("# Title"), *map(nbformat.v4.new_code_cell, (DEFAULTS, *sources))]
    cells[1].metadata.tags = ["parameters"]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / "chapter.ipynb")
    return folder / "chapter.ipynb"


def said(progress) -> str:
    return Path(progress._stream.name).read_text(encoding="utf-8")


def run(path, progress, runner):
    return run_chapters({"chapter": path}, PARAMETERS, path.parent, progress, runner=runner)["chapter"]


def wait_until(holds, seconds: float = 20.0) -> bool:
    end = time.monotonic() + seconds
    while not (found := holds()) and time.monotonic() < end:
        time.sleep(0.05)
    return bool(found)


def shown(notebook) -> str:
    return notebook.cells[-1].outputs[0].data["text/plain"]


def test_a_warm_kernel_writes_the_bytes_of_the_stock_kernel(tmp_path, progress, runner):
    path = write_notebook(
        tmp_path,
        "import sys, os, numpy, pandas, matplotlib\nmatplotlib.get_backend(), sorted({'b', 'a', 'c'}), hash('a'), sys.path[0]",
        "pandas.DataFrame({'x': [1 / 3]}), __name__, os.environ['OMP_NUM_THREADS'], sys.argv[0].endswith('ipykernel_launcher.py')",
        "print('out'); import matplotlib.pyplot as plt; plt.plot([1, 2]); plt.gcf().get_size_inches()",
    )
    warm = run(path, progress, runner)
    with Runner(timeout=60, warm=False) as stock:
        assert nbformat.writes(run(path, progress, stock)) == nbformat.writes(warm)


def test_the_process_that_forks_has_one_thread_and_has_read_the_libraries(tmp_path, progress, runner):
    ask = "import sys\n'statsmodels.api' in sys.modules, 'duckdb' in sys.modules, 'seaborn' in sys.modules"
    assert shown(run(write_notebook(tmp_path, ask), progress, runner)) == "(True, True, True)"
    server = runner.kernels._server
    assert len(os.listdir(f"/proc/{server.pid}/task")) == 1
    environment = Path(f"/proc/{server.pid}/environ").read_text().split("\0")
    assert {f"{k}={v}" for k, v in ENVIRONMENT.items()} <= set(environment)


def test_kernels_share_nothing(tmp_path, progress, runner):
    path = write_notebook(tmp_path, "import statsmodels\nhasattr(statsmodels, 'mark')", "statsmodels.mark = 1\nstatsmodels.mark")
    for _ in range(2):
        notebook = run(path, progress, runner)
        assert notebook.cells[-2].outputs[0].data["text/plain"] == "False"


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("import os; os._exit(3)", "its kernel died in cell In [3]: it left with status 3"),
        ("import os; os.kill(os.getpid(), 9)", "its kernel died in cell In [3]: it was killed, as happens where the machine runs out of memory"),
        ("import os; os.kill(os.getpid(), 11)", "its kernel died in cell In [3]: it ended by signal 11"),
    ],
)  # fmt: skip
def test_a_dead_kernel_is_tried_once_more_named_and_its_cell_is_marked(source, problem, tmp_path, progress, runner):
    count = tmp_path / "count"
    path = write_notebook(tmp_path, f"open({str(count)!r}, 'a').write('x')\n{source}")
    with pytest.raises(ChapterError) as caught:
        run(path, progress, runner)
    assert caught.value.problem == problem
    assert count.read_text() == "xx"
    assert caught.value.notebook.cells[-1].outputs[-1].evalue == problem
    assert "it is run once more" in said(progress)


def test_a_kernel_that_dies_once_leaves_a_whole_chapter(tmp_path, progress, runner):
    flag = tmp_path / "flag"
    first = f"import os\nos.path.exists({str(flag)!r}) or (open({str(flag)!r}, 'w').close(), os.kill(os.getpid(), 9))"
    assert shown(run(write_notebook(tmp_path, first, "'through'"), progress, runner)) == "'through'"


def test_a_hung_kernel_is_ended_after_the_limit_and_tried_once_more(tmp_path, progress, runner):
    count = tmp_path / "count"
    stuck = "import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nopen('count', 'a').write('x')\ntime.sleep(600)"
    runner.timeout, before = 2, runner.timeout
    try:
        with pytest.raises(ChapterError, match=r"cell In \[3\]: it did not answer within 2 seconds"):
            run(write_notebook(tmp_path, stuck), progress, runner)
    finally:
        runner.timeout = before
    assert count.read_text() == "xx"
    assert wait_until(lambda: not psutil.Process(runner.kernels._server.pid).children())


def test_memory_that_a_cell_cannot_have_is_an_error_of_the_cell_and_not_tried_again(tmp_path, progress, runner):
    fill = "import resource, numpy\nopen('count', 'a').write('x')\n"
    fill += "resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))\nnumpy.ones(8 << 30)"
    with pytest.raises(ChapterError, match=r"cell In \[3\] raised _ArrayMemoryError|MemoryError"):
        run(write_notebook(tmp_path, fill), progress, runner)
    assert (tmp_path / "count").read_text() == "x"


def test_a_process_that_forks_and_dies_is_replaced(tmp_path, progress, runner):
    os.kill(runner.kernels._server.pid, signal.SIGKILL)
    assert shown(run(write_notebook(tmp_path, "'again'"), progress, runner)) == "'again'"


def test_a_process_that_has_hung_up_is_replaced_even_before_it_can_be_waited_for(monkeypatch):
    with Kernels() as kernels:
        dying = kernels._server
        monkeypatch.setattr(dying._process, "poll", lambda: None)  # a large process closes its sockets first
        dying._process.kill()
        assert wait_until(lambda: psutil.Process(dying.pid).status() == psutil.STATUS_ZOMBIE)
        request = {"arguments": ["-f", str(kernels.scratch / "kernel.json")], "cwd": None, "env": dict(os.environ)}
        kernel = kernels.fork(request)
        assert kernels._server is not dying and psutil.Process(kernel.pid).ppid() == kernels._server.pid
        kernel.close()


@pytest.mark.parametrize("hears", [False, True])
def test_a_process_that_dies_before_it_forked_is_an_error_that_is_tried_again(hears):
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        if hears:  # the message waits in it when it dies
            threading.Timer(0.2, theirs.close).start()
        else:
            theirs.close()
        with pytest.raises(RuntimeError, match="the process that forks kernels has ended"):
            ForkedProcess(ours, {"arguments": []})


def test_a_run_that_was_stopped_forks_no_more():
    with Kernels() as kernels:
        kernels.stop()
        with pytest.raises(RuntimeError, match="the run was stopped"):
            kernels.fork({"arguments": []})


def test_where_memory_runs_out_the_kernel_ends_before_its_driver(tmp_path, progress, runner):
    ask = "open('/proc/self/oom_score_adj').read().strip()"
    assert int(eval(shown(run(write_notebook(tmp_path, ask), progress, runner)))) >= 500


def test_signals_reach_the_kernel_and_its_end_is_told():
    with Kernels() as kernels:
        request = {"arguments": ["-f", str(kernels.scratch / "kernel.json")], "cwd": None, "env": dict(os.environ)}
        process = kernels.fork(request)
        assert process.poll() is None and psutil.Process(process.pid).ppid() == kernels._server.pid
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == -signal.SIGTERM == process.poll()
        process.kill()  # has ended: nobody else may get the signal
        other = kernels.fork(request)
        other.close()
        assert wait_until(lambda: not psutil.pid_exists(other.pid))


DRIVER = """
import os, sys, time
from relocation_analysis.reporting.run.kernels import Kernels
with Kernels() as kernels:
    request = {"arguments": ["-f", str(kernels.scratch / "kernel.json")], "cwd": None, "env": dict(os.environ)}
    process = kernels.fork(request)
    print(kernels._server.pid, process.pid, flush=True)
    time.sleep(600)
"""


def test_no_kernel_outlives_a_driver_that_is_killed():
    with subprocess.Popen([sys.executable, "-c", DRIVER], stdout=subprocess.PIPE, text=True) as driver:
        pids = [int(text) for text in driver.stdout.readline().split()]
        assert all(map(psutil.pid_exists, pids))
        driver.kill()
    assert wait_until(lambda: not any(map(psutil.pid_exists, pids)))


def test_no_kernel_outlives_the_process_that_forked_it():
    with Kernels() as kernels:
        request = {"arguments": ["-f", str(kernels.scratch / "kernel.json")], "cwd": None, "env": dict(os.environ)}
        process = kernels.fork(request)
        os.kill(kernels._server.pid, signal.SIGKILL)
        assert process.wait(timeout=20) == -signal.SIGKILL
        assert wait_until(lambda: not psutil.pid_exists(process.pid))


def test_the_provisioner_is_an_entry_point_of_the_project():
    import tomllib

    from relocation_analysis.paths import ROOT

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    points = project["entry-points"]["jupyter_client.kernel_provisioners"]
    assert points == {PROVISIONER: "relocation_analysis.reporting.run.kernels:ForkProvisioner"}
