"""Effects as a study of eight waves and four cohorts gives them, made by formula: exhibits never estimate."""

import numpy as np
import pandas as pd
import pytest

from relocation_analysis.data.codebook import read_codebook
from relocation_analysis.estimation.effects import EFFECT_COLUMNS, TEXT_COLUMNS, Effects

EXPOSURE = {
    "offfarm_wage": 0.06,
    "in_school_16_18": -0.03,
    "unmet": -0.02,
    "school_minutes": -31.0,
    "debt": 1.8,
}
EXPOSURE |= {
    "wage_month": 140.0,
    "earnings_year": 2400.0,
    "log_income_pc": 0.082,
    "support_n": -0.21,
    "months_worked": 0.7,
}
SUBGROUPS = ("sex=female", "sex=male", "age_band=16-29", "age_band=30-44", "age_band=45-59")
SUBGROUPS += ("remote=remote", "remote=near", "minority=minority", "minority=majority")


def make_effects() -> Effects:
    """Cohorts 2016-2019, waves 2014-2021, comparisons until 2020; universal base, one year before the move."""
    rows = [row for k, name in enumerate(EXPOSURE) for row in _rows_of(name, np.random.default_rng(k))]
    return Effects(pd.DataFrame(rows).reindex(columns=EFFECT_COLUMNS), None, None)


def _rows_of(name: str, draw: np.random.Generator) -> list[dict]:
    size, about = EXPOSURE[name], read_codebook()[name]
    error = abs(size) / 4

    def row(estimate, spread, **keys) -> dict:
        known = dict.fromkeys(TEXT_COLUMNS, "") | {"outcome": name, "domain": about.domain, "subgroup": "all"}
        p = float(np.exp(-abs(estimate / spread)))
        numbers = {"estimate": estimate, "std_error": spread, "p_value": p, "p_adjusted": min(1.0, 3 * p)}
        numbers |= {"conf_low": estimate - 1.96 * spread, "conf_high": estimate + 1.96 * spread}
        numbers |= {"band_low": estimate - 2.7 * spread, "band_high": estimate + 2.7 * spread}
        counts = {"n_units": 3120, "n_clusters_treated": 93, "n_clusters_comparison": 107}
        return (
            known
            | {"estimator": "callaway_santanna", "se_type": "cluster_influence"}
            | numbers
            | counts
            | keys
        )

    rows = []
    for e in (-5, -4, -3, -2, -1, 0, 1, 2, 3, 4):
        estimate = 0.0 if e == -1 else size * (0.1 * draw.normal() if e < 0 else 0.5 + 0.5 * min(e, 3) / 3)
        keys = {
            "aggregation": "event_time",
            "event_time": float(e),
            "estimator": "callaway_santanna_universal",
        }
        rows.append(row(estimate, np.nan if e == -1 else error * (1 + 0.15 * max(e, 0)), **keys))
    for cohort in range(2016, 2020):
        for time in (t for t in range(2014, 2021) if t != cohort - 1):
            e = time - cohort
            estimate = size * (0.2 * draw.normal() + (e >= 0) * (0.5 + 0.15 * min(e, 3)))
            keys = {
                "aggregation": "cohort_time",
                "cohort": float(cohort),
                "time": float(time),
                "event_time": float(e),
                "estimator": "callaway_santanna_universal",
            }
            rows.append(row(estimate, error, **keys))
    for subgroup in ("all", *SUBGROUPS):
        jitter = 0.0 if subgroup == "all" else 0.4 * draw.normal()
        rows.append(
            row(
                size * (1 + jitter),
                error * (1 if subgroup == "all" else 1.5),
                aggregation="headline",
                subgroup=subgroup,
            )
        )
    for estimator, tilt in {
        "callaway_santanna_never": 0.95,
        "twfe": 0.8,
        "before_after": 2,
        "cross_section": 0.6,
    }.items():
        rows.append(row(size * tilt, error, aggregation="headline", estimator=estimator))
    for aggregation in ("overall_simple", "overall_dynamic", "overall_cohort"):
        rows.append(row(size * (1 + 0.1 * draw.normal()), error, aggregation=aggregation))
    return rows


@pytest.fixture(scope="session")
def effects() -> Effects:
    return make_effects()


@pytest.fixture(scope="session")
def codebook():
    return read_codebook()
