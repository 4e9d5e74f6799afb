"""The estimators shown for comparison. TWFE is a regression solved in another way, so it agrees to 1e-10;
its clustered error differs from that of statsmodels only by the factor (N - 1) / (N - k), the number of
rows and of coefficients."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from relocation_analysis.data.panel import check_panel
from relocation_analysis.data.study import Study
from relocation_analysis.estimation.benchmarks import NEVER_ONLY, estimate_alternatives, estimate_twfe
from relocation_analysis.estimation.design import build_design
from relocation_analysis.estimation.estimate import MAIN, estimate, level_cells


@pytest.fixture(scope="module")
def small(staggered):
    """100 persons of the staggered panel in 20 villages, as a study; the first 10 had moved before the
    first wave."""
    panel = staggered[staggered["person"] < 100].assign(village=lambda d: d["person"] % 20)
    panel = panel.assign(
        cohort=panel["cohort"].where(panel["person"] >= 10, 2013.0), weight=1.0 + panel["person"] % 3
    )
    about = {"domain": "employment", "unit": "", "label_en": "y"}
    study = Study(
        name="s",
        title="",
        data={"path": "x.csv"},
        outcome={"y": about},
        outcomes=["y"],
        design={"draws": 199},
    )
    return build_design(check_panel(panel, study), study)


def regression(design):
    rows = design.panel[design.panel["y"].notna()]
    moved = (rows["time"] >= rows["cohort"]).to_numpy(dtype=float)
    dummies = [
        pd.get_dummies(rows[name].astype(str), drop_first=drop, dtype=float)
        for name, drop in (("person", False), ("time", True))
    ]
    x = np.column_stack([moved, *(d.to_numpy() for d in dummies)])
    groups = pd.factorize(rows["village"])[0]
    return sm.WLS(rows["y"].to_numpy(), x, weights=rows["weight"]).fit(
        cov_type="cluster", cov_kwds={"groups": groups}
    ), x.shape


def test_twfe_equals_the_regression_with_dummies_for_persons_and_times(small):
    found = estimate_twfe(small, small.outcomes["y"], level_cells(small, small.outcomes["y"]))
    expected, (n, k) = regression(small)
    assert found.table["estimate"].iloc[0] == pytest.approx(expected.params[0], abs=1e-10)
    cells = (level_cells(small, small.outcomes["y"]).weight > 0).sum()
    factor = ((cells - 1) / (cells - 1)) / ((n - 1) / (n - k))
    assert found.table["std_error"].iloc[0] == pytest.approx(expected.bse[0] * np.sqrt(factor), rel=1e-8)
    assert np.sqrt((found.influence**2).sum()) == pytest.approx(found.table["std_error"].iloc[0], rel=1e-12)


def test_twfe_of_an_outcome_that_never_varies_is_zero_without_an_error(design):
    found = estimate_twfe(design, design.outcomes["insured"], level_cells(design, design.outcomes["insured"]))
    assert abs(found.table["estimate"].iloc[0]) < 1e-12 and np.isnan(found.table["std_error"].iloc[0])
    assert (found.influence == 0).all()


def means(design):
    rows = design.panel[design.panel["y"].notna()]
    rows = rows.assign(wy=rows["weight"] * rows["y"], moved=rows["cohort"].fillna(np.inf))
    sums = rows.groupby(["moved", "time"])[["wy", "weight"]].sum()
    return sums["wy"] / sums["weight"], rows[rows["time"] == 2013].groupby("moved")["weight"].sum()


def test_before_after_and_the_cross_section_are_differences_of_means(small):
    table = estimate_alternatives(small, "y").table.set_index("estimator")
    mean, size = means(small)
    cohorts = [g for g in size.index if np.isfinite(g)]
    last = max(small.times)
    pairs = [(g, t) for g in cohorts for t in small.times if 0 <= t - g <= 3]
    change = np.average([mean[g, t] - mean[g, g - 1] for g, t in pairs], weights=[size[g] for g, _ in pairs])
    level = np.average(
        [mean[g, last] - mean[np.inf, last] for g in cohorts], weights=[size[g] for g in cohorts]
    )
    assert table.loc["before_after", "estimate"] == pytest.approx(change, abs=1e-10)
    assert table.loc["cross_section", "estimate"] == pytest.approx(level, abs=1e-10)
    assert (table["aggregation"] == "headline").all()


def test_the_other_comparison_group_is_the_main_estimator_of_a_study_that_asks_for_it(small):
    never = small.study.model_copy(
        update={"design": small.study.design.model_copy(update={"comparison": "never_treated"})}
    )
    expected = estimate(build_design(check_panel(small.panel, never), never)).select(
        aggregation="headline", estimator=MAIN
    )
    found = estimate_alternatives(small, "y").select(estimator=NEVER_ONLY)
    assert found.table["estimate"].iloc[0] == pytest.approx(expected.table["estimate"].iloc[0], abs=1e-12)


def test_the_base_period_one_earlier_is_that_of_one_year_of_anticipation(small):
    early = small.study.model_copy(
        update={"design": small.study.design.model_copy(update={"anticipation": 1})}
    )
    expected = estimate(build_design(check_panel(small.panel, early), early)).select(
        aggregation="headline", estimator=MAIN
    )
    found = estimate_alternatives(small, "y").select(estimator="callaway_santanna_base_earlier")
    assert found.table["estimate"].iloc[0] == pytest.approx(expected.table["estimate"].iloc[0], abs=1e-12)


def test_without_never_movers_there_is_no_cross_section_and_no_never_treated_row(small):
    panel = small.panel.assign(cohort=small.panel["cohort"].fillna(2030.0))
    design = build_design(check_panel(panel, small.study), small.study)
    found = set(estimate_alternatives(design, "y").table["estimator"])
    assert found == {"callaway_santanna_base_earlier", "before_after", "imputation", "sun_abraham", "twfe"}
