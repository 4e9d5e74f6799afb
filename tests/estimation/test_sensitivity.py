"""Checks of the identifying assumption on panels whose truth is known. Bootstrap draws are keyed, so
results repeat."""

import numpy as np
import pandas as pd
import pytest

from relocation_analysis.data.panel import check_panel, read_truth
from relocation_analysis.data.study import Study
from relocation_analysis.estimation.benchmarks import BASE_EARLIER, NEVER_ONLY, estimate_alternatives
from relocation_analysis.estimation.design import build_design
from relocation_analysis.estimation.estimate import MAIN, UNIVERSAL, estimate
from relocation_analysis.estimation.sensitivity import (
    check_alternative,
    check_pretrends,
    check_single_cohorts,
    known_truth,
)
from relocation_analysis.randomness import generator


def design_with_trend(slope=0.0, anticipation=0.0, villages=120, seed=1, **settings):
    """Cohorts 2017, 2018 and never-movers, 4 persons a village, effect 1; movers' trend differs by `slope`
    a year."""
    rng = generator("test_sensitivity", seed)
    times = np.arange(2014, 2021)
    village = np.repeat(np.arange(villages), 4)
    cohort = np.choose(village % 3, [2017.0, 2018.0, np.nan])
    moved = np.isfinite(cohort)[:, None]
    y = rng.normal(size=(len(village), len(times))) + 0.3 * rng.normal(size=(villages, len(times)))[village]
    y += (
        slope * moved * (times - 2014)
        + (times >= cohort[:, None])
        + anticipation * (times == cohort[:, None] - 1)
    )
    panel = pd.DataFrame(
        {
            "person": np.repeat(np.arange(len(village)), len(times)),
            "time": np.tile(times, len(village)),
            "village": np.repeat(village, len(times)),
            "cohort": np.repeat(cohort, len(times)),
            "y": y.ravel(),
        }
    )
    about = {"domain": "employment", "unit": "", "label_en": "y"}
    study = Study(
        name="s",
        title="",
        data={"path": "x.csv"},
        outcome={"y": about},
        outcomes=["y"],
        design={"draws": 999, **settings},
    )
    return build_design(check_panel(panel, study), study)


def pretrends(**settings):
    design = design_with_trend(**settings)
    return check_pretrends(design, estimate(design), "y")


def test_parallel_trends_are_not_rejected_and_never_called_passed():
    check = pretrends()
    assert check.p_value > 0.05 and check.passed is None
    assert check.table["event_time"].tolist() == [-4, -3, -2]


def test_a_trend_of_the_movers_is_rejected():
    check = pretrends(slope=0.4)
    assert check.p_value < 0.01 and check.passed is False


def test_the_slope_said_to_be_detectable_is_rejected_in_80_percent_of_samples():
    never = {"comparison": "never_treated"}  # those who move later have the movers' trend
    slope = np.mean([pretrends(seed=s, **never).table["detectable_slope"].iloc[0] for s in range(4)])
    rejected = [pretrends(slope=slope, seed=100 + s, **never).passed is False for s in range(30)]
    assert 0.58 <= np.mean(rejected) <= 1  # 30 samples: a standard error of .07


def test_a_trend_is_worth_its_slope_times_the_distance_from_the_base():
    table = pretrends().table
    np.testing.assert_allclose(table["worth_at_exposure_3"], 4 * table["detectable_slope"])


def test_with_few_villages_the_test_rejects_where_the_band_leaves_zero_out():
    for seed in range(6):
        design = design_with_trend(slope=0.25, villages=24, seed=seed)
        effects = estimate(design)
        rows = effects.select(estimator=UNIVERSAL, aggregation="event_time").table.query("event_time < -1")
        check = check_pretrends(design, effects, "y")
        assert (rows["se_type"] == "cluster_jackknife").all()
        assert check.statistic < rows["statistic"].abs().max()  # on the normal scale
        if check.passed is False:  # the band covers later event times too and is wider
            continue
        assert ((rows["band_low"] < 0) & (rows["band_high"] > 0)).all()


def test_a_panel_without_earlier_waves_cannot_be_tested():
    design = design_with_trend()
    short = design.panel[design.panel["time"] >= 2017].assign(
        cohort=lambda d: d["cohort"].where(d["cohort"] != 2017)
    )
    design = build_design(check_panel(short, design.study), design.study)
    check = check_pretrends(design, estimate(design), "y")
    assert check.passed is None and check.p_value is None and "cannot be tested" in check.note


def test_the_base_period_matters_where_the_move_was_anticipated():
    checks = {}
    for anticipation in (0.0, -0.8):
        design = design_with_trend(anticipation=anticipation)
        checks[anticipation] = check_alternative(
            "y", estimate(design), estimate_alternatives(design, "y"), BASE_EARLIER
        )
    assert checks[0.0].passed is True and abs(checks[0.0].statistic) < 0.2
    assert checks[-0.8].passed is False and checks[-0.8].statistic == pytest.approx(-0.8, abs=0.25)


def test_the_difference_between_comparisons_has_the_error_of_the_difference():
    design = design_with_trend()
    effects, alternatives = estimate(design), estimate_alternatives(design, "y")
    check = check_alternative("y", effects, alternatives, NEVER_ONLY)
    one = effects.select(estimator=MAIN, aggregation="headline", subgroup="all")
    other = alternatives.select(estimator=NEVER_ONLY)
    assert check.statistic == pytest.approx(
        other.table["estimate"].iloc[0] - one.table["estimate"].iloc[0], abs=1e-14
    )
    assert check.p_value > 0.05 and check.table["estimator"].tolist() == [MAIN, NEVER_ONLY]


def test_leaving_a_cohort_out_is_estimating_without_its_movers():
    design = design_with_trend()
    check = check_single_cohorts(design, estimate(design), "y")
    for row in check.table.itertuples():
        rest = design.panel[design.panel["cohort"] != row.cohort]
        again = estimate(build_design(check_panel(rest, design.study), design.study))
        headline = again.select(estimator=MAIN, aggregation="headline").table.iloc[0]
        assert row.estimate == pytest.approx(headline["estimate"], abs=1e-12)
        assert row.std_error == pytest.approx(headline["std_error"], abs=1e-12)
    assert check.table["cohort"].tolist() == [2017, 2018] and check.passed is True


def test_checks_of_an_outcome_that_nobody_has_say_so(panel, study):
    design = build_design(panel.assign(debt=np.nan), study, ("debt",))
    effects = estimate(design)
    checks = [check_pretrends(design, effects, "debt"), check_single_cohorts(design, effects, "debt")]
    assert [check.passed for check in checks] == [None, None]


def test_the_known_truth_is_aggregated_as_the_estimates_are(design, study, simulated_effects):
    truth = known_truth(design, read_truth(study))
    assert set(truth.columns) == {"outcome", "subgroup", "aggregation", "event_time", "truth"}
    joined = truth.merge(
        simulated_effects.select(estimator=MAIN, subgroup="all").table,
        on=["outcome", "aggregation", "event_time"],
    )
    assert len(joined) == len(truth)
    headline = joined[(joined["aggregation"] == "headline") & (joined["outcome"] != "insured")]
    assert ((headline["estimate"] - headline["truth"]).abs() < 3.5 * headline["std_error"]).all()
    assert (truth.loc[(truth["aggregation"] == "event_time") & (truth["event_time"] < 0), "truth"] == 0).all()
