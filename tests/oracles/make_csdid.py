"""Write csdid.csv: cohort-time effects of `staggered_1000.csv.gz` by the package csdid, a port of R did.

    python -m venv oracle
    oracle/bin/pip install csdid==0.4.3
    oracle/bin/python tests/oracles/make_csdid.py

csdid is not in the lock: it pulls in packages that have nothing to do with estimation. `unbalanced` keeps the
rows with (7 id + 13 t) mod 11 != 0 and takes every effect from the units observed in both of its periods, a
panel of two periods each, because csdid itself turns an unbalanced panel into repeated cross-sections.
"""

import warnings
from datetime import date
from importlib.metadata import version
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from csdid.att_gt import ATTgt

HERE = Path(__file__).parent
COMPARISON = {"never_treated": "nevertreated", "not_yet_treated": "notyettreated"}


def effects(panel, covariates, comparison, weighted, clustered, base_period):
    """Cohort, time, estimate and standard error of every cell but those of a universal base."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = ATTgt(
            yname="y", tname="t", idname="id", gname="g", data=panel.copy(),
            control_group=COMPARISON[comparison], xformla="y~" + covariates.replace("none", "1"),
            clustervar="cl" if clustered else None, weights_name="weight" if weighted else None,
        ).fit(est_method="dr", base_period=base_period, bstrap=False)  # fmt: skip
    columns = (model.results[name] for name in ("group", "year", "att", "se"))
    return [row for row in zip(*columns, strict=True) if np.isfinite(row[-1])]


def effects_by_pair(panel, covariates, comparison, weighted, clustered, base_period):
    """The same with a varying base, each from the units observed at both its times."""
    times = sorted(panel.t.unique())
    for cohort, time in product(sorted(set(panel.g) - {0}), times[1:]):
        base = time - 1 if time < cohort else cohort - 1
        later = (panel.g > max(time, base)) & (comparison == "not_yet_treated")
        pair = panel[((panel.g == cohort) | (panel.g == 0) | later) & panel.t.isin([base, time])]
        pair = pair[pair.groupby("id").t.transform("size") == 2]
        pair = pair.assign(g=np.where(pair.g == cohort, time, 0))
        ((*_, estimate, error),) = effects(pair, covariates, "never_treated", weighted, clustered, "varying")
        yield cohort, time, estimate, error


def main() -> None:
    panel = pd.read_csv(HERE / "staggered_1000.csv.gz").assign(weight=lambda d: 1.0 + d.id % 3)
    unbalanced = panel[(7 * panel.id + 13 * panel.t) % 11 != 0]
    settings = [("staggered_1000", effects, panel, *s, "varying")
                for s in product(("none", "x1+x2"), COMPARISON, (False, True), (False, True))]  # fmt: skip
    settings += [("staggered_1000", effects, panel, *s, True, True, "universal")
                 for s in product(("none", "x1+x2"), COMPARISON)]  # fmt: skip
    settings += [("unbalanced", effects_by_pair, unbalanced, *s, both, both, "varying")
                 for *s, both in product(("none", "x1+x2"), COMPARISON, (False, True))]  # fmt: skip
    rows = [
        (name, *setting, int(cohort), int(time), estimate, error)
        for name, estimator, data, *setting in settings
        for cohort, time, estimate, error in estimator(data, *setting)
    ]
    columns = ["data", "covariates", "comparison", "weighted", "clustered", "base_period"]
    table = pd.DataFrame(rows, columns=[*columns, "cohort", "time", "estimate", "std_error"])
    with open(HERE / "csdid.csv", "w", encoding="utf-8", newline="\n") as file:
        versions = f"csdid {version('csdid')} (drdid {version('drdid')})"
        file.write(f"# {versions}, made {date.today()} by make_csdid.py\n")
        table.to_csv(file, index=False, float_format="%.12g", lineterminator="\n")


if __name__ == "__main__":
    main()
