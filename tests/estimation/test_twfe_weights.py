"""Weights of two-way fixed effects: by hand, the sum that must be exact (1e-10, two least-squares solutions), diff-diff."""

import warnings

import numpy as np
import pandas as pd
import pytest
from diff_diff import BaconDecomposition, twowayfeweights

from relocation_analysis.data.codebook import Outcome
from relocation_analysis.errors import InputError
from relocation_analysis.estimation.benchmarks import estimate_twfe
from relocation_analysis.estimation.cells import NEVER, build_cells
from relocation_analysis.estimation.estimate import level_cells
from relocation_analysis.estimation.twfe_weights import (
    WEIGHT_COLUMNS,
    check_twfe_weights,
    compare_pairs,
    twfe_weights,
)
from relocation_analysis.quantities import format_amount

Y = Outcome(name="y", domain="other", sampling="repeated", unit="", label_en="y")


def weights(panel):
    return twfe_weights(build_cells(panel, Y, (), "village"))


def two_cohorts(values):
    """Cohorts 2 and 3, times 1 to 3, one unit each."""
    panel = pd.DataFrame({"person": [0, 0, 0, 1, 1, 1], "time": [1, 2, 3] * 2, "y": np.ravel(values).astype(float)})
    return panel.assign(village=panel["person"], cohort=np.where(panel["person"] == 0, 2.0, 3.0))


def test_the_early_cohort_is_counted_negatively_once_the_late_one_has_moved():
    # D: early 0 1 1, late 0 0 1. Row means 2/3, 1/3; time means 0, 1/2, 1; grand mean 1/2. D - row - time + grand:
    # early -1/6, 1/3, -1/6; late 1/6, -1/3, 1/6. Treated: 1/3, -1/6, 1/6, which sum to 1/3: weights 1, -1/2, 1/2
    found = weights(two_cohorts([[0, 1, 4], [0, 0, 1]])).set_index(["cohort", "time"])
    assert found["weight"].to_dict() == pytest.approx({(2, 2): 1, (2, 3): -0.5, (3, 3): 0.5}, abs=1e-12)
    # at t=3 nobody is untreated, so only the first effect, 1 - 0, can be imputed
    assert found["effect"].tolist() == pytest.approx([1, np.nan, np.nan], abs=1e-12, nan_ok=True)
    assert found["unknown"].tolist() == pytest.approx([0, -0.5, 0.5], abs=1e-12)


@pytest.mark.parametrize("data", ["staggered", "mpdta"])
def test_weights_times_imputed_effects_sum_to_the_coefficient(data, request):
    panel = request.getfixturevalue(data)
    found = weights(panel)
    moved = (panel["time"] >= panel["cohort"]).astype(float)
    y, d = (
        v - v.groupby(panel["person"]).transform("mean") - v.groupby(panel["time"]).transform("mean") + v.mean()
        for v in (panel["y"], moved)
    )
    assert tuple(found.columns) == WEIGHT_COLUMNS and found["weight"].sum() == pytest.approx(1, abs=1e-12)
    assert found["contribution"].sum() == pytest.approx((d * y).sum() / (d * d).sum(), abs=1e-10)
    np.testing.assert_allclose(found["weight"] * found["effect"], found["contribution"], atol=1e-10)


def test_on_an_unbalanced_weighted_panel_the_contributions_still_sum_to_the_coefficient(design):
    name = "offfarm_wage"
    outcome, cells = design.outcomes[name], level_cells(design, design.outcomes[name])
    found = twfe_weights(cells)
    expected = estimate_twfe(design, outcome, cells).table["estimate"].iloc[0]
    assert found["contribution"].sum() == pytest.approx(expected, abs=1e-10) and (found["unknown"] == 0).all()


@pytest.mark.parametrize("data", ["staggered", "mpdta"])
def test_weights_equal_those_of_diff_diff(data, request):
    panel = request.getfixturevalue(data)
    moved = (panel["time"] >= panel["cohort"]).astype(int)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        oracle = twowayfeweights(
            panel.assign(moved=moved), outcome="y", group="person", time="time", treatment="moved"
        ).weights
    cohort = panel.drop_duplicates("person").set_index("person")["cohort"]
    oracle = oracle.assign(cohort=cohort.reindex(oracle["person"]).to_numpy()).query("time >= cohort")
    expected = oracle.groupby(["cohort", "time"])["weight"].sum()
    np.testing.assert_allclose(weights(panel)["weight"], expected, atol=1e-9)


@pytest.mark.parametrize("data", ["staggered", "mpdta"])
def test_the_pairs_sum_to_the_coefficient_and_equal_those_of_diff_diff(data, request):
    panel = request.getfixturevalue(data)
    found = compare_pairs(build_cells(panel, Y, (), "village"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        oracle = BaconDecomposition().fit(
            panel.assign(first=panel["cohort"].fillna(0.0)), "y", "person", "time", "first"
        )
    expected = {
        (c.treated_group, float(c.control_group) if np.isreal(c.control_group) else NEVER): (c.weight, c.estimate)
        for c in oracle.comparisons
    }
    assert found["weight"] @ found["estimate"] == pytest.approx(oracle.twfe_estimate, abs=1e-10)
    assert len(found) == len(expected)
    for row in found.itertuples():
        assert (row.weight, row.estimate) == pytest.approx(expected[row.treated, row.comparison], abs=1e-10)


def test_pairs_need_a_balanced_panel(staggered):
    with pytest.raises(InputError, match="The panel must be balanced"):
        compare_pairs(build_cells(staggered.iloc[1:], Y, (), "village"))


def test_a_single_cohort_has_equal_weights():
    panel = two_cohorts([[0, 1, 4], [0, 0, 1]]).assign(cohort=lambda d: d["cohort"].where(d["cohort"] == 2))
    np.testing.assert_allclose(weights(panel)["weight"], [0.5, 0.5], atol=1e-12)


def test_the_check_counts_the_negative_weights_and_fails_where_there_are_any(design):
    check = check_twfe_weights(design, "offfarm_wage")
    negative = check.table["weight"] < 0
    assert negative.any() and check.passed is False and check.p_value is None
    assert check.statistic == pytest.approx(check.table.loc[negative, "weight"].sum(), abs=1e-12)
    assert f"{negative.sum()} of {len(check.table)} are negative" in check.note
    unknown = check_twfe_weights(design, "attend_6_15")
    assert f"sum to {format_amount(check.table['contribution'].sum(), 'share')}." in check.note
    assert "untreated observations" in unknown.note and f"weights of {unknown.table['unknown'].abs().sum():.2g} in all" in unknown.note
