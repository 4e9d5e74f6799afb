"""Attrition tests and trimming bounds: by hand, against statsmodels, by numerical derivative, by known truth.

Tolerances: hand values and identities 1e-12; statsmodels solves the same regression another way, 1e-10; a central
difference of step 1e-5 has an error of about 1e-8 of the weights' scale, 1e-6 asked.
"""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from relocation_analysis.data.panel import check_panel, read_panel
from relocation_analysis.data.study import Study, read_study
from relocation_analysis.estimation.attrition import (
    attrition_tests,
    check_selection_bounds,
    check_selective_attrition,
    trim_contrasts,
    trimmed_mean,
)
from relocation_analysis.estimation.cells import NEVER
from relocation_analysis.estimation.cohort_time import Contrast
from relocation_analysis.estimation.design import build_design
from relocation_analysis.estimation.estimate import (
    MAIN,
    contrasts_of,
    effects_of,
    outcome_cells,
)

NAN = np.nan
TWO = (Contrast(2.0, 2, 1, (NEVER,)),)


def simulated(*outcomes, **parameters):
    study = read_study("simulated", parameters={"villages": 60, "counties": 6, "draws": 99} | parameters)
    return build_design(check_panel(read_panel(study), study), study, outcomes)


def bounds(y, cohort, present=None, weight=None, cluster=None):
    y = np.asarray(y, dtype=float)
    weight = np.ones(len(y)) if weight is None else np.asarray(weight, dtype=float)
    cluster = np.arange(len(y)) if cluster is None else cluster
    return trim_contrasts(y, weight, np.asarray(cohort, dtype=float), cluster, (1, 2), TWO, present)


# ---- trimming


@pytest.mark.parametrize(
    "values, weight, keep, top, expected",
    [
        ([1, 2, 3, 4, 5], [1] * 5, 0.5, True, (5 + 4 + 0.5 * 3) / 2.5),
        ([1, 2, 3, 4, 5], [1] * 5, 0.5, False, (1 + 2 + 0.5 * 3) / 2.5),
        ([0, 0, 1, 1], [1] * 4, 0.75, True, 2 / 3),
        ([0, 0, 1, 1], [1] * 4, 0.25, True, 1.0),
        ([1, 10], [3, 1], 0.5, True, (10 + 1) / 2),
        ([4, 2, 9], [1, 2, 1], 1.0, True, 17 / 4),
    ],
)
def test_a_trimmed_mean_by_hand(values, weight, keep, top, expected):
    found, _ = trimmed_mean(np.array(values, dtype=float), np.array(weight, dtype=float), keep, top)
    assert found == pytest.approx(expected, abs=1e-12)


def test_bounds_where_the_move_keeps_more_under_observation():
    # all four movers are seen again, changes 1 2 3 10; two of four stayers, changes 0 and 2. Half of the movers are kept:
    # low (1 + 2) / 2 - 1 = .5, high (3 + 10) / 2 - 1 = 5.5, nothing trimmed 4 - 1 = 3
    found = bounds(
        [[0, 1], [0, 2], [5, 8], [0, 10], [1, 1], [1, 3], [1, NAN], [1, NAN], [NAN, 9]], [2] * 4 + [NEVER] * 5
    )
    assert found.values == pytest.approx([3, 0.5, 5.5], abs=1e-12)
    row = found.table.iloc[0]
    assert (row["observed"], row["expected"], row["size"]) == (1, 0.5, 4)


def test_bounds_where_the_move_loses_more_trim_the_comparison():
    # one of two movers, change 4; both stayers, changes 0 and 2: low 4 - 2, high 4 - 0
    found = bounds([[0, 4], [0, NAN], [1, 1], [1, 3]], [2, 2, NEVER, NEVER])
    assert found.values == pytest.approx([3, 2, 4], abs=1e-12)


def test_bounds_on_levels_where_the_universe_moves():
    # movers: 1 of 2 observed before (value 1), 2 of 2 after (0 and 4); stayers 1 of 2 before (3) and after (5).
    # Without the move 1/2 of movers would be observed: half of the values after is kept, 0 or 4.
    # 0 - 1 - (5 - 3) = -3, 4 - 1 - 2 = 1, 2 - 1 - 2 = -1
    y = [[1, 0], [NAN, 4], [3, NAN], [NAN, 5]]
    found = bounds(y, [2, 2, NEVER, NEVER], np.ones((4, 2), dtype=bool))
    assert found.values == pytest.approx([-1, -3, 1], abs=1e-12)


@pytest.mark.parametrize("levels", [False, True])
@pytest.mark.parametrize("loses", [False, True])
def test_the_influence_is_the_derivative_with_respect_to_the_weight_of_a_cluster(levels, loses):
    rng = np.random.default_rng(5)
    n = 400
    y, cohort, cluster = rng.normal(size=(n, 2)), np.where(np.arange(n) < 200, 2.0, NEVER), rng.integers(0, 12, n)
    y[rng.random((n, 2)) < 0.1] = NAN
    y[(np.isfinite(cohort) == loses) & (rng.random(n) < 0.3), 1] = NAN
    weight, present = rng.uniform(0.5, 2, n), np.ones((n, 2), dtype=bool) if levels else None
    found = bounds(y, cohort, present, weight, cluster)
    for k in range(0, 12, 4):
        step = 1e-5 * (cluster == k)
        up, down = (bounds(y, cohort, present, weight * (1 + s), cluster).values for s in (step, -step))
        np.testing.assert_allclose((up - down) / 2e-5, found.influence[k], atol=1e-6)
    assert np.all(found.values[1] < found.values[0]) and np.all(found.values[0] < found.values[2])
    assert found.conf_low < found.values[1] and found.conf_high > found.values[2]


def test_without_selection_the_bounds_are_the_estimate():
    found = bounds([[0, 1], [0, 2], [1, 1], [1, 3]], [2, 2, NEVER, NEVER])
    assert found.values == pytest.approx([0.5] * 3, abs=1e-12)
    np.testing.assert_allclose(found.influence[:, 1], found.influence[:, 0], atol=1e-12)


def test_there_are_no_bounds_where_nobody_is_seen_again():
    assert bounds([[0, NAN], [1, 2]], [2, NEVER]) is None


def test_with_nothing_trimmed_it_is_the_headline_of_the_main_estimator(design):
    for name in ("offfarm_wage", "debt"):
        outcome = design.outcomes[name]
        expected = effects_of(
            design,
            outcome,
            outcome_cells(design, outcome),
            contrasts_of(design, outcome, "varying"),
            MAIN,
            ("headline",),
        )
        table = check_selection_bounds(design, name).table.set_index("quantity")["value"]
        assert table["estimate"] == pytest.approx(expected.table["estimate"].iloc[0], abs=1e-10)
        assert table["low"] < table["estimate"] < table["high"]


def test_a_study_whose_units_are_its_clusters_has_bounds(staggered):
    about = {"domain": "employment", "unit": "", "label_en": "y"}
    study = Study(
        name="s",
        title="",
        data={"path": "x.csv"},
        outcome={"y": about},
        outcomes=["y"],
        design={"draws": 99, "cluster": "person"},
    )
    panel = staggered[(7 * staggered["person"] + 13 * staggered["time"]) % 11 != 0]
    check = check_selection_bounds(build_design(check_panel(panel, study), study), "y")
    assert check.passed is True and check.table["std_error"].notna().all()


def test_an_outcome_that_everybody_in_the_universe_has_is_not_trimmed(design):
    check = check_selection_bounds(design, "in_school_16_18")
    assert check.statistic == 0 and np.ptp(check.table["value"]) < 1e-12


def test_wages_among_workers_are_trimmed_and_visits_among_the_ill_bounded():
    design = simulated("wage_month", "visit_any")
    for name in ("wage_month", "visit_any"):
        check = check_selection_bounds(design, name)
        value = check.table.set_index("quantity")["value"]
        assert value["low"] <= value["estimate"] <= value["high"] and check.statistic != 0
    assert abs(check.statistic) < 0.05 and check.passed is True  # the move sends the ill to the doctor: .06


# ---- baseline outcomes of those lost


def sample(n=900, groups=60, selected=0.0):
    rng = np.random.default_rng(8)
    cluster = np.arange(n) % groups
    moved = (cluster % 2).astype(float)
    baseline = rng.normal(size=n) + 0.3 * moved
    lost = (rng.random(n) < 0.3 + selected * moved * (baseline < 0)).astype(float)
    return baseline, moved, lost, cluster, rng.uniform(0.5, 2, n)


def test_the_tests_are_those_of_the_regression_on_moved_lost_and_their_product():
    baseline, moved, lost, cluster, weight = sample()
    x = np.column_stack([np.ones(900), moved, lost, moved * lost])
    fit = sm.WLS(baseline, x, weights=weight).fit(cov_type="cluster", cov_kwds={"groups": cluster}, use_t=True)
    found = attrition_tests(baseline, moved, lost, cluster, weight).set_index("test")
    for test, rows in (("respondents", [1, 3]), ("population", [1, 2, 3]), ("selection", [3])):
        expected = fit.f_test(np.eye(4)[rows])
        assert found.loc[test, "f"] == pytest.approx(float(expected.fvalue), rel=1e-8)
        assert found.loc[test, "p_value"] == pytest.approx(float(expected.pvalue), rel=1e-8)
        assert found.loc[test, "df"] == len(rows)


def test_a_difference_in_level_fails_the_tests_of_experiments_but_not_that_of_selection():
    found = attrition_tests(*sample()).set_index("test")["p_value"]
    assert found["respondents"] < 0.01 and found["population"] < 0.01 and found["selection"] > 0.05
    assert attrition_tests(*sample(selected=0.4)).set_index("test").loc["selection", "p_value"] < 0.01


def test_an_empty_group_has_no_test():
    baseline, moved, _, cluster, weight = sample()
    found = attrition_tests(baseline, moved, 1 - moved, cluster, weight).set_index("test")["p_value"]
    assert np.isnan(found["selection"]) and np.isnan(found["population"])


def test_the_check_judges_selection_only_and_shows_the_groups(design):
    check = check_selective_attrition(design, "offfarm_wage")
    rows = design.panel[design.panel["offfarm_wage"].notna()]
    first, last = rows[rows["time"] == design.times[0]], rows[rows["time"] == design.times[-1]]
    lost = ~first["person"].isin(last["person"])
    moved = first["cohort"] <= design.times[-1]
    assert check.table.loc[1, "value"] == pytest.approx(first.loc[moved & lost, "offfarm_wage"].mean(), abs=1e-12)
    assert check.table["n"].sum() == len(first) and check.p_value == check.table["p_value"].iloc[-1]


def test_the_loss_of_movers_without_work_is_found():
    assert check_selective_attrition(simulated("offfarm_wage", dattr=0.1, villages=100), "offfarm_wage").passed is False
    assert check_selective_attrition(simulated("offfarm_wage"), "offfarm_wage").passed is True


def test_outcomes_whose_units_are_not_followed_or_not_lost_are_not_tested(design, staggered):
    assert "not followed" in check_selective_attrition(design, "in_school_16_18").note
    whole = design.panel[design.panel.groupby("person")["time"].transform("size") == len(design.times)]
    check = check_selective_attrition(
        build_design(whole.drop(columns="age_baseline"), design.study, ("insured",)), "insured"
    )
    assert check.passed is None and "empty" in check.note and isinstance(check.table, pd.DataFrame)
