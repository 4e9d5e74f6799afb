"""Write rollout.csv: imputation by py2sdid and the saturated event study by pyfixest, on `staggered_1000.csv.gz`.

    python -m venv oracle
    oracle/bin/pip install py2sdid==0.1.8 pyfixest==0.60.0
    oracle/bin/python tests/oracles/make_rollout.py

Neither is in the lock: py2sdid needs polars, pyfixest needs numba and much else for one number each.
"""

import re
from datetime import date
from importlib.metadata import version
from itertools import product
from pathlib import Path

import pandas as pd
import polars as pl
import pyfixest as pf
from py2sdid import bjs_did

HERE = Path(__file__).parent
COLUMNS = ["package", "clustered", "weighted", "aggregation", "cohort", "event_time", "estimate", "std_error"]


def imputation(panel: pd.DataFrame, clustered: bool, weighted: bool):
    """Event times from 0 on, and the mean over all treated observations."""
    found = bjs_did(pl.from_pandas(panel), "y", "id", "t", "g", cluster_var="cl" if clustered else None,
                    wname="weight" if weighted else None, verbose=False)  # fmt: skip
    about = ("py2sdid", clustered, weighted)
    for row in found.event_study.filter(pl.col("rel_time") >= 0).iter_rows(named=True):
        yield *about, "event_time", None, row["rel_time"], row["estimate"], row["se"]
    yield *about, "overall_simple", None, None, found.att_avg, found.att_avg_se


def saturated(panel: pd.DataFrame, clustered: bool):
    """Each cohort and event time, CRV1 errors, and their means by event time with the shares of cohorts as given."""
    model = pf.event_study(panel, "y", "id", "t", "g", estimator="saturated", cluster="cl" if clustered else "id")
    about = ("pyfixest", clustered, False)
    for name, row in model.tidy().iterrows():
        event, cohort = re.fullmatch(r"rel_time::(-?\d+)\.0:first_treated_period::(\d+)", name).groups()
        yield *about, "cohort_time", int(cohort), int(event), row["Estimate"], row["Std. Error"]
    for event, row in model.aggregate().iterrows():
        yield *about, "event_time", None, int(event), row["Estimate"], row["Std. Error"]


def main() -> None:
    panel = pd.read_csv(HERE / "staggered_1000.csv.gz").assign(weight=lambda d: 1.0 + d.id % 3)
    rows = [row for both in product((False, True), repeat=2) for row in imputation(panel, *both)]
    rows += [row for clustered in (False, True) for row in saturated(panel, clustered)]
    made = ", ".join(f"{name} {version(name)}" for name in ("py2sdid", "pyfixest"))
    table = pd.DataFrame(rows, columns=COLUMNS).astype({"cohort": "Int64", "event_time": "Int64"})
    with open(HERE / "rollout.csv", "w", encoding="utf-8", newline="") as file:
        file.write(f"# {made}, made {date.today()} by make_rollout.py\n")
        table.to_csv(file, index=False, float_format="%.12g", lineterminator="\n")


if __name__ == "__main__":
    main()
