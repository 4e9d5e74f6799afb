"""A batch of provinces beside the plain way: a shell loop of papermill and of jupyter nbconvert to HTML and to PDF.

    python -m benchmarks.batch [--provinces all|A,B] [--loop A,B,C] [--workers N] [-p NAME=VALUE]

Both run the project's own chapters of the simulated study in one run of this file. The batch writes HTML and PDF of
every province, one report each, then is asked again with nothing changed. The loop runs each chapter of a few provinces
by `papermill`, one after the other as a shell does, and converts it by `jupyter nbconvert --to html` and `--to webpdf`
(by xelatex, or not at all, where there is no Chromium); its time for all provinces is extrapolated by their number. One half
of the loop runs before the batch and one after: the speed of a shared machine drifts. Last, one report is made in this
process, to see where its time goes.

Seconds are those of the clock; CPU seconds are of a command and all its children. Memory is the largest sum of the
unshared pages of the command and its kernels.
"""

import argparse
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager, suppress
from functools import wraps
from pathlib import Path

import psutil

from relocation_analysis.data.facts import province_slugs
from relocation_analysis.paths import NOTEBOOKS

CHAPTERS = ("overview", "employment", "schooling", "health_access", "robustness")
LOOP = "guizhou,yunnan"
TARGET, UNCHANGED_TARGET = 8.0, 2.0
INTERVAL = 3.0  # seconds from one look at memory to the next: a look at all pages takes the cores that are measured


def measure(command: list[str], env: dict | None = None) -> tuple[float, float, list[float]]:
    """Seconds, CPU seconds and memory in gigabytes at every look, of a command and its children."""
    start, before, sizes = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN), []
    with tempfile.TemporaryFile("w+") as log:
        with subprocess.Popen(command, stdout=log, stderr=log, env=env) as process:
            while process.returncode is None:
                sizes.append(unshared(process.pid) / 1e9)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(INTERVAL)
            seconds = time.perf_counter() - start
        if process.returncode:
            log.seek(0)
            raise RuntimeError(log.read()[-4000:])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, sizes


def unshared(pid: int) -> int:
    """Bytes that a process and its children have for themselves."""
    total = 0
    try:
        members = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    for member in members:
        try:
            total += member.memory_full_info().uss
        except psutil.Error:
            continue
    return total


def run_batch(out: str, provinces: str, workers: int | None, parameters: list[str]) -> tuple[float, float, list[float]]:
    """The batch from the command line."""
    command = [sys.executable, "-m", "relocation_analysis", "batch", "--provinces", provinces, "--out", out]
    command += ["--workers", str(workers)] if workers else []
    return measure([*command, *(word for text in parameters for word in ("-p", text))])


def run_loop(provinces: list[str], parameters: list[str], pdf: str, folder: Path, env: dict) -> tuple[float, float]:
    """The shell loop, as it would be written by hand."""
    script = folder / "loop.sh"
    settings = "".join(f"  {name}: {value}\n" for name, value in (text.split("=") for text in parameters))
    (folder / "parameters.yaml").write_text(f"parameters:\n{settings}" if settings else "parameters: {}\n", encoding="utf-8")
    bin_ = Path(sys.executable).parent
    converted = f'  "{bin_}/jupyter" nbconvert --log-level ERROR --to {pdf} "$out" || exit 1\n' if pdf else ""
    script.write_text(
        f"cd {NOTEBOOKS}\nfor p in {' '.join(provinces)}; do for c in {' '.join(CHAPTERS)}; do\n"
        f'  out="{folder}/$p-$c.ipynb"\n'
        f'  "{bin_}/papermill" --log-level ERROR --no-progress-bar -f {folder}/parameters.yaml -p province $p $c.ipynb "$out" || exit 1\n'
        f'  "{bin_}/jupyter" nbconvert --log-level ERROR --to html "$out" || exit 1\n{converted}done; done\n',
        encoding="utf-8",
    )
    seconds, cpu, _ = measure(["bash", str(script)], env)
    made = {path.suffix for path in folder.glob("*-robustness.*")}
    if not {".html", *([".pdf"] if pdf else [])} <= made:
        raise RuntimeError(f"the loop made {sorted(made)} only")
    return seconds, cpu


def find_pdf(folder: Path) -> tuple[str, dict]:
    """How nbconvert can make a PDF here, with the environment that lets it: webpdf by the system's Chromium, xelatex, or "" for not."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium:
        env = os.environ | {"PLAYWRIGHT_BROWSERS_PATH": str(folder / "browsers")}
        code = "from playwright.sync_api import sync_playwright as s\nwith s() as p: p.chromium.launch(args=['--no-sandbox']).close()"
        tried = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
        wanted = re.search(r"Executable doesn't exist at (\S+)", tried.stderr)
        if wanted:
            Path(wanted[1]).parent.mkdir(parents=True)
            Path(wanted[1]).write_text(f'#!/bin/sh\nexec {chromium} --no-sandbox --disable-background-networking "$@"\n', encoding="ascii")
            Path(wanted[1]).chmod(0o755)
            tried = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
        if tried.returncode == 0:
            return "webpdf --disable-chromium-sandbox", env
    return ("pdf" if shutil.which("xelatex") else ""), dict(os.environ)


@contextmanager
def timed(places: dict[str, list]):
    """Inside, the seconds and the CPU seconds of this process that functions take are added up under their labels."""
    before, lock = [], threading.Lock()
    try:
        for label, (module, name, total) in places.items():
            function = getattr(module, name)
            before.append((module, name, function))

            @wraps(function)
            def wrapper(*args, _function=function, _total=total, **kwargs):
                clock, cpu = time.perf_counter(), time.process_time()
                try:
                    return _function(*args, **kwargs)
                finally:
                    with lock:
                        _total[0] += time.perf_counter() - clock
                        _total[1] += time.process_time() - cpu

            setattr(module, name, wrapper)
        yield
    finally:
        for module, name, function in before:
            setattr(module, name, function)


def where_time_goes(parameters: list[str]) -> list[str]:
    """One report, one chapter at a time: seconds of each part."""
    from relocation_analysis.cli import parse_parameters
    from relocation_analysis.data.study import read_study
    from relocation_analysis.reporting import report
    from relocation_analysis.reporting.page import exports, render
    from relocation_analysis.reporting.run import execute
    from relocation_analysis.reporting.run.chapters import Runner

    class Lines:
        """What each chapter took, as its progress says."""

        chapters: dict[str, float] = {}

        def chapter(self, name, cells, seconds):
            self.chapters[name] = seconds

        def __getattr__(self, name):
            return lambda *_: None

    labels = {"read and check the data": (report, "_plan"), "chapters": (execute, "run_chapters"),
              "figures and tables as files": (exports, "write_exports"), "HTML": (render.HTMLReport, "from_notebook_node"),
              "PDF": (render.PDFReport, "from_notebook_node")}  # fmt: skip
    places = {label: (*place, [0.0, 0.0]) for label, place in labels.items()}
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as out, Runner(1) as runner:
        runner.kernels._server.wait_ready()
        ready = time.perf_counter() - start
        with timed(places):
            start = time.perf_counter()
            report.write_report(read_study("simulated", parameters=parse_parameters(tuple(parameters))), Path(out), progress=Lines(), runner=runner)
            whole = time.perf_counter() - start
    parts = {label: place[2][0] for label, place in places.items()}
    lines = [f"  {'libraries, once a batch':<32}{ready:7.2f} s"]
    lines += [f"  {label:<32}{seconds:7.2f} s {seconds / whole:6.1%}" for label, seconds in parts.items()]
    lines += [f"    {name:<30}{seconds:7.2f} s {seconds / whole:6.1%}" for name, seconds in Lines.chapters.items()]
    return [*lines, f"  {'all else':<32}{whole - sum(parts.values()):7.2f} s {1 - sum(parts.values()) / whole:6.1%}",
            f"  {'one report':<32}{whole:7.2f} s"]  # fmt: skip


def main() -> None:
    """Print a line for each measurement and the ratio."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--provinces", default="all")
    options.add_argument("--loop", default=LOOP)
    options.add_argument("--workers", type=int)
    options.add_argument("-p", dest="parameters", action="append", default=[])
    asked = options.parse_args()
    loop = asked.loop.split(",")
    n = len(province_slugs()) if asked.provinces == "all" else len(asked.provinces.split(","))
    before, after = loop[: (len(loop) + 1) // 2], loop[(len(loop) + 1) // 2 :]
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as out:
        pdf, env = find_pdf(Path(folder))
        took = [run_loop([name], asked.parameters, pdf, Path(folder), env) for name in before]
        seconds, cpu, sizes = run_batch(out, asked.provinces, asked.workers, asked.parameters)
        print(f"batch of {n}, HTML and PDF, {os.cpu_count()} cores {seconds:9.1f} s {cpu:9.1f} CPU s {seconds / n:7.2f} s a report", flush=True)
        half = len(sizes) // 2
        print(f"  memory: at most {max(sizes[:half]):.2f} GB in the first half, {max(sizes[half:]):.2f} GB in the second", flush=True)
        unchanged, cpu, _ = run_batch(out, asked.provinces, asked.workers, asked.parameters)
        print(f"batch of {n}, unchanged {unchanged:28.2f} s {cpu:9.2f} CPU s (target {UNCHANGED_TARGET:g})", flush=True)
        took += [run_loop([name], asked.parameters, pdf, Path(folder), env) for name in after]
    each = sum(seconds for seconds, _ in took) / len(loop)
    made = f"HTML and PDF ({pdf.split()[0]})" if pdf else "HTML only: no Chromium, no xelatex"
    listed = ", ".join(f"{name} {plain:.1f} s ({cpu:.1f} CPU s)" for name, (plain, cpu) in zip(loop, took, strict=True))
    print(f"shell loop, {made}: {listed}; {each:.2f} s a report; {n} would take {each * n:.0f} s")
    print(f"ratio {each * n / seconds:.1f} (target {TARGET:g})", flush=True)
    print("where the time of one report goes, one chapter at a time:")
    print("\n".join(where_time_goes(asked.parameters)))


if __name__ == "__main__":
    main()
