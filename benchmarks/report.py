"""Seconds and peak memory of one report from the command line, made anew and unchanged.

    python -m benchmarks.report [STUDY]

Memory is the largest sum of resident sets over the command and all its kernels, sampled every 50 ms; pages
that processes share are counted once in each.
"""

import subprocess
import sys
import tempfile
import time

import psutil

INTERVAL = 0.05


def measure(command: list[str]) -> tuple[float, float]:
    """Seconds and peak gigabytes of a command and its children; raises where the command fails."""
    start, peak = time.perf_counter(), 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        tree = psutil.Process(process.pid)
        while process.poll() is None:
            peak = max(peak, _resident(tree))
            time.sleep(INTERVAL)
        seconds = time.perf_counter() - start
        if process.returncode:
            raise RuntimeError(process.stderr.read())
    return seconds, peak / 1e9


def _resident(process: psutil.Process) -> int:
    total = 0
    try:
        members = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    for member in members:
        try:
            total += member.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


def main() -> None:
    """Print one line for a report made anew and one for a report that is current."""
    study = sys.argv[1] if len(sys.argv) > 1 else "simulated"
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "relocation_analysis", "report", study, "--out", out]
        for label, extra in (("made anew", ["--force"]), ("unchanged", [])):
            seconds, gigabytes = measure([*command, *extra])
            print(f"report {study}, {label:<10} {seconds:7.2f} s {gigabytes:6.2f} GB")


if __name__ == "__main__":
    main()
