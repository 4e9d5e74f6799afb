"""Write comparison_400.csv.gz, comparison.csv and lalonde.csv: movers and non-movers, by packages that are
not in the lock.

    python -m venv oracle
    oracle/bin/pip install drdid==1.1.7 causalinference==0.1.3.post1 statsmodels==0.15.0 causaldata==0.1.5
    oracle/bin/python tests/oracles/make_comparison.py

drdid gives inverse weighting and doubly robust with influence values (levels are changes from a baseline of
zero), statsmodels inverse weighting and regression adjustment without errors (`return_results=False`: its GMM
drifts), causalinference the matching estimate on the logit score, ties averaged. Its errors are not those of
Abadie & Imbens. lalonde.csv is the male participants of the NSW experiment with comparison units of the CPS,
as shipped by causaldata; the experiment itself gives 1794.34. The row with the source "Stata" was printed by
StataSE 18, `teffects psmatch (bweight) (mbsmoke mmarried mage fage medu prenatal1), atet`, in a tutorial by
C. Mendez (2026-04-29); its data `cattaneo2` come with statsmodels.
"""

from datetime import date
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import statsmodels.api as sm
from causaldata import cps_mixtape, nsw_mixtape
from causalinference import CausalModel
from drdid.drdid import drdid_panel
from drdid.ipwd_did import std_ipw_did_panel
from statsmodels.treatment.treatment_effects import TreatmentEffect

HERE = Path(__file__).parent
LALONDE = ("age", "age2", "educ", "black", "hisp", "marr", "nodegree", "re74")


def draw() -> pd.DataFrame:
    """400 units in 40 clusters, decided unit by unit; the effect is 1."""
    rng = np.random.default_rng(400)
    n, cluster = 400, np.arange(400) % 40
    x1 = rng.normal(size=n) + rng.normal(size=40)[cluster] / 2
    x2 = rng.integers(0, 4, size=n)
    z = rng.choice(["east", "north", "west"], size=n)
    score = 1 / (1 + np.exp(0.6 - 0.8 * x1 - 0.3 * x2 + 0.7 * (z == "west")))
    treated = (rng.random(n) < score).astype(int)
    village = rng.normal(size=40)[cluster] / 2
    y0 = x1 + 0.3 * x2 + village + rng.normal(size=n)
    y1 = y0 / 2 + x1 + (z == "west") + village + treated + rng.normal(size=n)
    weight = 1.0 + np.arange(n) % 3
    return pd.DataFrame(
        {
            "y1": y1,
            "y0": y0,
            "treated": treated,
            "x1": x1,
            "x2": x2,
            "z": z,
            "cluster": cluster,
            "weight": weight,
        }
    )


def design(table: pd.DataFrame, names) -> np.ndarray:
    columns = pd.get_dummies(table[list(names)], drop_first=True, dtype=float)
    columns = (columns - columns.mean()) / columns.std()
    return np.column_stack([np.ones(len(table)), columns])


def error(influence: np.ndarray, cluster: np.ndarray) -> float:
    """Root of the sum of squares by cluster; drdid's influence values are n times ours."""
    return float(np.sqrt((np.bincount(cluster, influence / len(influence)) ** 2).sum()))


def estimates(table: pd.DataFrame, names, weighted: bool):
    """estimator, source, estimate, std_error, std_error clustered."""
    x, treated = design(table, names), table["treated"].to_numpy(dtype=float)
    weight = table["weight"].to_numpy(dtype=float) if weighted else np.ones(len(table))
    cluster, alone = table["cluster"].to_numpy(), np.arange(len(table))
    for form, base in (("levels", 0 * table["y0"]), ("differences", table["y0"])):
        y1, y0 = table["y1"].to_numpy(dtype=float), base.to_numpy(dtype=float)
        for name, function in (("ipw", std_ipw_did_panel), ("aipw", drdid_panel)):
            estimate, influence = function(y1, y0, treated, x, weight)
            yield f"{name}_{form}", "drdid", estimate, error(influence, alone), error(influence, cluster)
        if weighted:
            continue
        model = TreatmentEffect(
            sm.OLS(y1 - y0, x), treated, results_select=sm.Logit(treated, x).fit(disp=0, maxiter=200)
        )
        yield f"ipw_{form}", "statsmodels", model.ipw(return_results=False, effect_group=1)[0], np.nan, np.nan
        logit = x @ np.asarray(
            sm.Logit(treated, x).fit(disp=0, maxiter=200, tol=1e-14, method="newton").params
        )
        found = CausalModel(y1 - y0, treated.astype(int), logit[:, None].round(9))
        found.est_via_matching()
        yield f"matching_{form}", "causalinference", found.estimates["matching"]["att"], np.nan, np.nan


def write(name: str, rows: list[tuple], packages: tuple[str, ...]) -> None:
    columns = ["data", "weighted", "estimator", "source", "estimate", "std_error", "std_error_clustered"]
    with open(HERE / name, "w", encoding="utf-8", newline="\n") as file:
        versions = ", ".join(f"{package} {version(package)}" for package in packages)
        file.write(f"# {versions}, made {date.today()} by make_comparison.py\n")
        pd.DataFrame(rows, columns=columns).to_csv(
            file, index=False, float_format="%.12g", lineterminator="\n"
        )


def main() -> None:
    draw().to_csv(
        HERE / "comparison_400.csv.gz",
        index=False,
        float_format="%.12g",
        compression={"method": "gzip", "mtime": 0},
        lineterminator="\n",
    )
    drawn = pd.read_csv(HERE / "comparison_400.csv.gz")
    rows = [
        ("comparison_400", w, *row) for w in (False, True) for row in estimates(drawn, ("x1", "x2", "z"), w)
    ]
    rows.append(
        ("mmarried mage fage medu prenatal1", False, "matching_levels", "Stata", -224.5927, 30.55147, np.nan)
    )
    write("comparison.csv", rows, ("drdid", "causalinference", "statsmodels"))
    experiment = nsw_mixtape.load_pandas().data
    movers = experiment[experiment["treat"] == 1]
    table = pd.concat([movers, cps_mixtape.load_pandas().data], ignore_index=True).rename(
        columns={"re78": "y1", "re75": "y0", "treat": "treated"}
    )
    table = table.assign(age2=table["age"] ** 2, cluster=np.arange(len(table)))
    means = experiment.groupby("treat")["re78"].mean()
    rows = [("nsw", False, "difference_in_means_levels", "experiment", means[1] - means[0], np.nan, np.nan)]
    rows += [("cps", False, *row) for row in estimates(table, LALONDE, False)]
    write("lalonde.csv", rows, ("drdid", "causalinference", "statsmodels", "causaldata"))


if __name__ == "__main__":
    main()
