"""Reports of provinces as `write_report` leaves them, as far as the national report reads them, made of numbers."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from relocation_analysis.data.facts import province_slugs
from relocation_analysis.randomness import generator
from relocation_analysis.reporting.disclosure.exposures import EXPOSURE_COLUMNS
from relocation_analysis.reporting.run import provenance
from relocation_analysis.reporting.run.placing import folder_name

MEANS = {"offfarm_wage": (0.06, 0.035, 0.022, 0.05), "in_school_16_18": (0.02, 0.06, 0.05, 0.05), "unmet": (-0.05, 0.0, 0.012, 0.02)}


def exposure_rows(outcome: str, estimate: float, error: float, longest: int = 3, benchmark: float = 0.05, **own) -> list[dict]:
    """One row for each k up to `longest`, all with the same estimate."""
    half = 1.96 * error
    row = dict.fromkeys(EXPOSURE_COLUMNS, np.nan) | {
        "outcome": outcome, "estimator": "callaway_santanna", "estimand": "att", "estimate": estimate, "std_error": error,
        "se_type": "cluster_influence", "conf_low": estimate - half, "conf_high": estimate + half, "n_units": 3120,
        "n_clusters_treated": 95, "n_clusters_comparison": 105, "benchmark": benchmark, "mde": 2.8 * error,
        "power": 0.9 if 2.8 * error < benchmark else 0.5, "withheld": ""}  # fmt: skip
    return [row | {"through": float(k), "mean_exposure": k / 2} | own for k in range(longest + 1)]


def drawn_rows(province: str) -> list[dict]:
    """Estimates of the three primaries, drawn around provinces that differ."""
    stream = generator("fake province", province)
    rows = []
    for outcome, (mean, tau, error, benchmark) in MEANS.items():
        s = round(error * float(stream.uniform(0.6, 1.6)), 4)
        y = round(mean + tau * float(stream.normal()) + s * float(stream.normal()), 4)
        rows += exposure_rows(outcome, y, s, benchmark=benchmark)
    return rows


def write_province(out: Path, study, province: str, rows: list[dict] | None = None, checks: tuple = (), **run) -> Path:
    """A folder with exposures.csv, checks.csv and run.json; `run` overwrites entries of the last."""
    folder = out / study.name / folder_name(province) / study.language
    folder.mkdir(parents=True, exist_ok=True)
    table = pd.DataFrame(drawn_rows(province) if rows is None else rows).assign(chapter="overview")
    table.to_csv(folder / "exposures.csv", index=False)
    named = [{"chapter": "robustness", "outcome": o, "name": n, "passed": p, "note": ""} for o, n, p in checks]
    pd.DataFrame(named, columns=["chapter", "outcome", "name", "passed", "note"]).to_csv(folder / "checks.csv", index=False)
    outputs = {name: provenance.sha256_of(folder / name) for name in ("exposures.csv", "checks.csv")}
    content = {"fingerprint": "f", "study": study.name, "province": province, "language": study.language, "started": "2026",
               "origin": provenance.origin(study), "outputs": outputs} | run  # fmt: skip
    (folder / "run.json").write_text(json.dumps(content))
    return folder


def write_all(out: Path, study) -> None:
    """All 22 provinces, of which one is withheld for one outcome, one is followed for fewer years, and some have failing checks."""
    for k, province in enumerate(province_slugs()):
        rows = drawn_rows(province)
        if province == "jilin":
            blank = dict.fromkeys(("estimate", "std_error", "conf_low", "conf_high", "power", "mde", "n_units"), np.nan)
            rows = [row | blank | {"withheld": "few_units"} if row["outcome"] == "unmet" else row for row in rows]
        if province == "tibet":
            rows = [row for row in rows if row["through"] <= 1]
        failing = [("unmet", "pre_trends", False)] if k % 5 == 0 else []
        write_province(out, study, province, rows, (*failing, ("offfarm_wage", "pre_trends", k != 3), ("", "few_clusters", k != 7)))
