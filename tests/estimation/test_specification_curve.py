"""The specification curve: each row must be what the estimator gives by itself under these choices (1e-12)."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from relocation_analysis.data.panel import check_panel
from relocation_analysis.data.study import Study
from relocation_analysis.estimation.benchmarks import estimate_twfe
from relocation_analysis.estimation.cells import build_cells
from relocation_analysis.estimation.design import build_design
from relocation_analysis.estimation.estimate import (
    MAIN,
    contrasts_of,
    effects_of,
    level_cells,
    outcome_cells,
)
from relocation_analysis.estimation.imputation import estimate_imputation
from relocation_analysis.estimation.specification_curve import (
    CHOICES,
    RESULTS,
    check_specifications,
    specification_curve,
)
from relocation_analysis.estimation.sun_abraham import estimate_sun_abraham

NAME = "offfarm_wage"


@pytest.fixture(scope="module")
def curve(design):
    return specification_curve(design, NAME)


def changed(design, **settings):
    own = design.study.design.model_copy(update=settings)
    return replace(design, study=design.study.model_copy(update={"design": own}))


def headline(design, comparison=None, strata=()):
    design = changed(design, strata=strata)
    outcome = design.outcomes[NAME]
    return effects_of(
        design,
        outcome,
        outcome_cells(design, outcome),
        contrasts_of(design, outcome, "varying", comparison),
        MAIN,
        ("headline",),
    ).table


def pick(curve, cohort=None, **choices):
    rows = curve["without_cohort"].isna() if cohort is None else curve["without_cohort"] == cohort
    for choice, value in choices.items():
        rows &= curve[choice] == value
    (row,) = curve[rows].itertuples()
    return row


def test_one_row_is_the_main_specification(curve, design):
    (main,) = curve[curve["main"]].itertuples()
    expected = headline(design).iloc[0]
    for column in RESULTS[:-1]:
        assert getattr(main, column) == expected[column]
    assert (main.estimator, main.comparison, main.base_period, main.anticipation, main.strata) == (
        MAIN,
        "not_yet_treated",
        "last_before",
        0,
        "none",
    )


def test_every_combination_stands_once_in_the_order_of_the_estimates(curve, design):
    cohorts = [c for c in design.cohorts if c <= design.times[-1]]
    # 2 comparisons x 2 bases x 2 anticipations, imputation and Sun-Abraham by 2 anticipations; x 2 strata; TWFE once
    assert len(curve) == (1 + len(cohorts)) * (2 * (8 + 2 + 2) + 1)
    assert tuple(curve.columns) == CHOICES + RESULTS and curve["estimate"].is_monotonic_increasing
    assert not curve.duplicated(list(CHOICES)).any()


def test_rows_are_what_each_estimator_gives_by_itself(curve, design):
    early = changed(design, anticipation=1)
    own = {"strata": "none", "anticipation": 0}
    found = [
        (
            pick(curve, estimator=MAIN, comparison="never_treated", base_period="last_before", **own),
            headline(design, "never_treated"),
        ),
        (
            pick(
                curve,
                estimator=MAIN,
                comparison="not_yet_treated",
                base_period="last_before",
                strata="remote",
                anticipation=0,
            ),
            headline(design, None, ("remote",)),
        ),
        (
            pick(
                curve,
                estimator=MAIN,
                comparison="not_yet_treated",
                base_period="last_before",
                strata="none",
                anticipation=1,
            ),
            headline(early),
        ),
        (pick(curve, estimator="imputation", **own), estimate_imputation(design, NAME, ("headline",)).table),
        (
            pick(curve, estimator="sun_abraham", strata="none", anticipation=1),
            estimate_sun_abraham(early, NAME, ("headline",)).table,
        ),
        (
            pick(curve, estimator="twfe"),
            estimate_twfe(design, design.outcomes[NAME], level_cells(design, design.outcomes[NAME])).table,
        ),
    ]
    for row, expected in found:
        assert row.estimate == pytest.approx(expected["estimate"].iloc[0], abs=1e-12), row
        assert row.std_error == pytest.approx(expected["std_error"].iloc[0], abs=1e-12), row


def test_leaving_a_cohort_out_is_a_panel_without_it(curve, design, study):
    panel = design.panel[design.panel["cohort"] != 2017]
    without = build_design(check_panel(panel.drop(columns="age_baseline"), study), study, (NAME,))
    for estimator in (MAIN, "imputation"):
        choices = {"comparison": "not_yet_treated", "base_period": "last_before"} if estimator == MAIN else {}
        row = pick(curve, 2017, estimator=estimator, strata="none", anticipation=0, **choices)
        expected = headline(without) if estimator == MAIN else estimate_imputation(without, NAME, ("headline",)).table
        assert row.estimate == pytest.approx(expected["estimate"].iloc[0], abs=1e-12)


def test_an_earlier_base_counts_the_change_from_the_wave_before_the_last(design, curve):
    row = pick(
        curve, estimator=MAIN, comparison="never_treated", base_period="one_earlier", strata="none", anticipation=0
    )
    outcome = design.outcomes[NAME]
    waves = design.times
    contrasts = [c for c in contrasts_of(design, outcome, "varying", "never_treated") if 0 <= c.event_time <= 3]
    contrasts = tuple(replace(c, base=waves[waves.index(c.base) - 1]) for c in contrasts if c.base > waves[0])
    cells = build_cells(design.panel, outcome, tuple(sorted({(c.time, c.base) for c in contrasts})), "village")
    expected = effects_of(design, outcome, cells, contrasts, MAIN, ("headline",)).table
    assert row.estimate == pytest.approx(expected["estimate"].iloc[0], abs=1e-12)


def test_without_the_only_cohort_there_is_no_specification():
    panel = pd.DataFrame({"person": np.repeat(np.arange(12), 4), "time": np.tile([1, 2, 3, 4], 12)})
    panel = panel.assign(
        village=panel["person"], y=np.sin(np.arange(48)), cohort=np.where(panel["person"] < 6, 3.0, np.nan)
    )
    about = {"domain": "employment", "unit": "", "label_en": "y"}
    own = Study(name="s", title="", data={"path": "x.csv"}, outcome={"y": about}, outcomes=["y"], design={"draws": 99})
    curve = specification_curve(build_design(check_panel(panel, own), own), "y")
    assert curve["without_cohort"].isna().all() and set(curve["estimator"]) == {
        MAIN,
        "imputation",
        "sun_abraham",
        "twfe",
    }
    assert set(curve["strata"]) == {"none", ""}


def test_the_check_fails_where_a_choice_turns_the_sign(curve):
    check = check_specifications(NAME, curve)
    assert check.passed is True and check.statistic == 1.0 and check.p_value is None
    turned = curve.assign(estimate=curve["estimate"].where(curve["estimator"] != "twfe", -1.0))
    check = check_specifications(NAME, turned)
    share = (curve["estimator"] != "twfe").mean()
    assert check.passed is False and check.statistic == pytest.approx(share)
    assert check.table is turned
    assert check_specifications(NAME, curve[~curve["main"]]).passed is None


def test_an_outcome_that_never_varies_has_no_interval(design):
    curve = specification_curve(design, "insured", strata=())
    assert (curve["estimate"].abs() < 1e-12).all() and curve["conf_low"].isna().all()
    assert isinstance(curve, pd.DataFrame) and np.isnan(curve["std_error"]).all()
