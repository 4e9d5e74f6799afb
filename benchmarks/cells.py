"""Time and memory of the estimators beside diff-diff and beside the group-by that any answer needs.

    python -m benchmarks.cells [--units 10000 100000 1000000]

A staggered panel of N units x 8 periods with 2,000 clusters, 5 cohorts and never-movers: never-treated
comparison, clustered errors. Own estimates run to the end, every aggregation and a band from 999 draws;
diff-diff runs its event study without draws. Each job has a process of its own: the median seconds of three
runs, and the peak memory of the process with its input. Parquet is read within the time, a DataFrame and
arrays before it.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np

PERIODS, CLUSTERS, COHORTS, DRAWS, RUNS = 8, 2000, (3, 4, 5, 6, 7), 999, 3
CHUNK = 250_000
SMALL = 2_000_000  # units up to which a job that holds the panel in memory is run


def write_panel(path: Path, units: int) -> None:
    """The panel, by chunks of units: person, time, cohort (missing = never), village, y, x1, x2."""
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(8)
    writer = None
    for start in range(0, units, CHUNK):
        n = min(CHUNK, units - start)
        village = rng.integers(CLUSTERS, size=n)
        x1, x2 = rng.normal(size=n), rng.uniform(size=n)
        cohort = rng.choice((*COHORTS, np.nan), size=n)
        period = np.arange(1, PERIODS + 1)
        y = rng.normal(size=(n, 1)) + (0.1 * period) * x1[:, None] + rng.normal(size=(n, PERIODS))
        y += 0.5 * (period >= cohort[:, None])
        person = np.arange(start, start + n)
        fixed = {"person": person, "cohort": cohort, "village": village, "x1": x1, "x2": x2}
        frame = pd.DataFrame({name: np.repeat(values, PERIODS) for name, values in fixed.items()})
        table = pa.Table.from_pandas(frame.assign(time=np.tile(period, n), y=y.ravel()), preserve_index=False)
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    writer.close()


def contrasts():
    from relocation_analysis.estimation.cohort_time import NEVER, list_contrasts

    times = tuple(range(1, PERIODS + 1))
    return list_contrasts((*map(float, COHORTS), NEVER), times, "never_treated")


def finish(effects) -> None:
    """Aggregations, errors and a simultaneous band from cohort-time effects."""
    from relocation_analysis.estimation.aggregate import aggregate_effects, list_aggregations
    from relocation_analysis.estimation.inference import cluster_errors, critical_value, random_signs

    names = ("cohort_time", "event_time", "cohort", "calendar", "overall_simple", "overall_dynamic",
             "overall_cohort", "headline")  # fmt: skip
    wanted = list_aggregations(effects, names)
    errors = cluster_errors(aggregate_effects(effects, wanted), few_clusters="ignore")
    members = np.flatnonzero([a.name == "event_time" for a in wanted])
    signs = random_signs(np.random.default_rng(8), DRAWS, len(effects.clusters))
    assert np.isfinite(critical_value(errors, members, signs))


def prepare_cells(panel):
    from relocation_analysis.data.codebook import Outcome
    from relocation_analysis.estimation.cells import build_cells
    from relocation_analysis.estimation.cohort_time import estimate_cohort_time

    outcome = Outcome(name="y", domain="other", unit="1", label_en="y")
    wanted = contrasts()
    pairs = tuple((c.time, c.base) for c in wanted)
    return lambda: finish(estimate_cohort_time(build_cells(panel, outcome, pairs, "village"), wanted))


def prepare_group_by(panel):
    import duckdb

    source = f"read_parquet('{panel}')" if isinstance(panel, Path) else "panel"
    query = f"SELECT village, cohort, time, count(*), sum(y) FROM {source} GROUP BY ALL"

    def run():
        with duckdb.connect() as connection:
            if source == "panel":
                connection.register("panel", panel)
            connection.execute(query).df()

    return run


def prepare_doubly_robust(path: Path):
    import pyarrow.parquet as pq

    from relocation_analysis.estimation.doubly_robust import doubly_robust_att

    y, cohort, village, x1, x2 = (
        pq.read_table(path, columns=[name])[name].to_numpy().reshape(-1, PERIODS)
        for name in ("y", "cohort", "village", "x1", "x2")
    )
    x = np.column_stack([x1[:, 0], x2[:, 0]])
    units = x, np.ones(len(y)), cohort[:, 0].copy(), village[:, 0].copy()
    wanted = contrasts()
    return lambda: finish(doubly_robust_att(y, range(1, PERIODS + 1), *units, wanted).effects)


def prepare_diff_diff(panel, covariates=None):
    from diff_diff import CallawaySantAnna

    panel = panel.assign(cohort=panel["cohort"].fillna(0).astype(int))

    def run():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = CallawaySantAnna(cluster="village")
            model.fit(panel, "y", "person", "time", "cohort", covariates=covariates).aggregate("event_study")

    return run


def read_frame(path: Path, columns=("person", "time", "cohort", "village", "y")):
    import pandas as pd

    return pd.read_parquet(path, columns=list(columns))


JOBS = {
    "DuckDB group-by, Parquet": prepare_group_by,
    "cells, Parquet": prepare_cells,
    "DuckDB group-by, DataFrame": lambda path: prepare_group_by(read_frame(path)),
    "cells, DataFrame": lambda path: prepare_cells(read_frame(path)),
    "diff-diff, DataFrame": lambda path: prepare_diff_diff(read_frame(path)),
    "doubly robust, 2 covariates, arrays": prepare_doubly_robust,
    "diff-diff, 2 covariates, DataFrame": lambda path: prepare_diff_diff(
        read_frame(path, ("person", "time", "cohort", "village", "y", "x1", "x2")), ["x1", "x2"]
    ),
}
OUT_OF_MEMORY = ("DuckDB group-by, Parquet", "cells, Parquet")  # jobs that never hold the panel


def measure(job: str, path: Path) -> None:
    """Run one job in this process and print its seconds and peak memory in GB as JSON."""
    import resource

    run = JOBS[job](path)
    seconds = []
    for _ in range(RUNS):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    unit = 1e9 if sys.platform == "darwin" else 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    print(json.dumps({"seconds": statistics.median(seconds), "peak": peak}))


def compare(sizes: list[int]) -> None:
    """Measure every job at every size, and print the table as it grows."""
    print(f"{'units':>12}  {'job':38}{'seconds':>9}{'peak GB':>9}", flush=True)
    for units in sizes:
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder) / "panel.parquet")
            child("--write", path, str(units))
            for job in JOBS if units <= SMALL else OUT_OF_MEMORY:
                found = json.loads(child("--measure", job, path))
                print(f"{units:12,}  {job:38}{found['seconds']:9.3f}{found['peak']:9.2f}", flush=True)


def child(*arguments: str) -> str:
    """This module in a process of its own. The parent stays small: a child's peak starts at its parent's."""
    command = [sys.executable, "-m", "benchmarks.cells", *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--units", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--write", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.write:
        write_panel(Path(arguments.write[0]), int(arguments.write[1]))
    elif arguments.measure:
        measure(arguments.measure[0], Path(arguments.measure[1]))
    else:
        compare(arguments.units)


if __name__ == "__main__":
    main()
