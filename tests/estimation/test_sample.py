"""Checks of the sample, by hand where hands suffice."""

import numpy as np
import pandas as pd
import pytest

from relocation_analysis.data.panel import check_panel
from relocation_analysis.data.study import Study
from relocation_analysis.estimation.design import build_design
from relocation_analysis.estimation.estimate import estimate
from relocation_analysis.estimation.power import design_power
from relocation_analysis.estimation.sample import (
    baseline_balance,
    check_attrition,
    check_balance,
    check_clusters,
    check_composition,
    check_coverage,
    check_power,
    raw_means,
)


def small_design(panel, **settings):
    about = {"domain": "employment", "unit": "", "label_en": "y"} | settings.pop("outcome", {})
    study = Study(
        name="s",
        title="",
        data={"path": "x.csv"},
        outcome={"y": about},
        outcomes=["y"],
        design={"draws": 199},
        **settings,
    )
    return build_design(check_panel(panel, study), study)


def many_villages(villages=120, persons=5, times=(1, 2, 3)):
    """Villages of which two in three move at 2 or 3; y is the person's number, so it does not change."""
    person = np.arange(villages * persons)
    village = person // persons
    cohort = np.choose(village % 3, [2.0, 3.0, np.nan])
    panel = pd.DataFrame({"person": person, "village": village, "cohort": cohort, "y": person * 1.0})
    return panel.merge(pd.DataFrame({"time": times}), how="cross")


def test_raw_means_are_weighted_means_by_cohort_and_time():
    panel = pd.DataFrame(
        {
            "person": [1, 1, 2, 2, 3, 3],
            "village": [1, 1, 2, 2, 3, 3],
            "time": [1, 2] * 3,
            "cohort": [2.0] * 4 + [np.nan] * 2,
            "weight": [1.0, 1, 3, 3, 1, 1],
            "y": [0.0, 4, 4, 8, 1, 1],
        }
    )
    found = raw_means(small_design(panel), "y")
    # cohort 2: (0 + 3 x 4) / 4 and (4 + 3 x 8) / 4
    assert found.iloc[:2].values.tolist() == [[2, 1, 3, 2, 2], [2, 2, 7, 2, 2]]  # cohort, time, mean, persons, villages
    assert found["cohort"].isna().tolist() == [False, False, True, True]


def test_balance_by_hand():
    panel = many_villages().assign(sex=lambda d: np.where(d["person"] % 2 == 0, "f", "m"))
    panel["y"] = (
        panel["cohort"].notna() * 2.0 + panel["person"] % 2
    )  # movers 2 or 3, stayers 0 or 1: two deviations of about 1/2
    table = baseline_balance(small_design(panel, subgroups=["sex"])).set_index("covariate")
    moved, stayed = (
        panel[(panel["time"] == 1) & panel["cohort"].notna()],
        panel[(panel["time"] == 1) & panel["cohort"].isna()],
    )
    spread = np.sqrt((moved["y"].var() + stayed["y"].var()) / 2)
    assert table.loc["y", "difference"] == pytest.approx((moved["y"].mean() - stayed["y"].mean()) / spread)
    assert abs(table.loc["sex=f", "difference"]) < 0.1
    assert check_balance(small_design(panel)).passed is None


def test_a_panel_that_loses_nobody_has_no_attrition():
    check = check_attrition(small_design(many_villages()))
    assert check.passed is True and check.statistic == 0


def test_movers_lost_after_the_move_are_attrition_and_losses_alike_are_not():
    panel = many_villages()
    moved = panel["time"] >= panel["cohort"]
    some = panel["person"] * 7 % 13 < 3
    lost = check_attrition(small_design(panel[~(moved & some)]))
    assert lost.statistic == pytest.approx(-3 / 13, abs=0.02) and lost.passed is False
    alike = check_attrition(small_design(panel[~((panel["time"] > 1) & some)]))
    assert abs(alike.statistic) < 0.05 and alike.passed is True
    assert set(alike.table.columns) == {"time", "moved", "stayed", "fewest_moved", "fewest_stayed"}
    # 600 persons, 400 of them movers; those with 7 x number mod 13 below 3 are lost from the second wave on
    gone = panel.loc[some & (panel["time"] == 2)]
    assert alike.table["fewest_moved"].tolist() == [0, *[gone["cohort"].notna().sum()] * 2]
    assert alike.table["fewest_stayed"].tolist() == [0, *[gone["cohort"].isna().sum()] * 2]


def test_with_too_few_villages_attrition_is_shown_and_not_judged():
    panel = many_villages(villages=6)
    check = check_attrition(small_design(panel[~((panel["time"] > 1) & (panel["person"] % 5 == 1))]))
    assert check.passed is None and check.p_value is None and np.isfinite(check.statistic)


def test_a_universe_that_relocation_changes_is_found():
    panel = many_villages(persons=10).assign(sex=lambda d: np.where(d["person"] % 2 == 0, "f", "m"), age=20.0)
    moved = panel["time"] >= panel["cohort"]
    settings = {"outcome": {"sampling": "repeated"}, "subgroups": ["sex"]}
    same = check_composition(
        small_design(panel.assign(y=np.where(panel["person"] % 5 == 0, np.nan, 1.0)), **settings), "y"
    )
    assert same.passed in (True, None)
    left = moved & (panel["sex"] == "f") & (panel["person"] % 4 == 0)
    changed = check_composition(small_design(panel.assign(y=np.where(left, np.nan, 1.0)), **settings), "y")
    assert changed.passed is False and changed.table.set_index("trait").loc["sex=f", "estimate"] < -0.1


def test_coverage_counts_movers_after_the_last_wave_and_before_the_first():
    # waves 1, 2, 3; cohorts 2 and 3: exposures 0 and 1, and 0, of four each: 3 / 8
    assert check_coverage(small_design(many_villages()), "y").statistic == pytest.approx(3 / 8)
    # a third as many again had moved at 1, and have no base period: 3 / 12
    panel = many_villages(villages=160).assign(
        cohort=lambda d: np.choose(d["village"] % 4, [2.0, 3.0, np.nan, 1.0])
    )
    check = check_coverage(small_design(panel), "y")
    assert check.statistic == pytest.approx(3 / 12)
    assert check.table.values.tolist() == [[2, 200, 1], [3, 200, 0]]


def test_few_clusters_and_power_are_judged_by_their_thresholds(design, simulated_effects):
    few = check_clusters(design, simulated_effects)
    assert few.passed is False and few.statistic == few.table[
        ["n_clusters_treated", "n_clusters_comparison"]
    ].min(axis=None)
    power = design_power(simulated_effects, design.outcomes)
    for name in ("offfarm_wage", "debt"):
        check = check_power(power, name)
        assert check.passed is (check.statistic >= 0.8)
    assert check_power(power, "insured").passed is None


def test_checks_of_an_outcome_that_nobody_has_say_so(panel, study):
    design = build_design(panel.assign(debt=np.nan), study, ("debt",))
    effects = estimate(design)
    assert check_power(design_power(effects, design.outcomes), "debt").passed is None
    assert check_clusters(design, effects).statistic == 0
    assert np.isnan(check_coverage(design, "debt").statistic)
