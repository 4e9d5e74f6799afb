"""Who counts for an outcome, and that every exclusion is a row of the flow."""

import numpy as np
import pandas as pd
import pytest

from relocation_analysis.data.panel import check_panel
from relocation_analysis.data.study import Study
from relocation_analysis.errors import InputError
from relocation_analysis.estimation.design import FLOW_COLUMNS, build_design, domain_outcomes
from relocation_analysis.estimation.estimate import contrasts_of


def study_of(*outcomes, subgroups=(), codebook=None, **design):
    return Study(
        name="s",
        title="",
        data={"path": "x.csv"},
        disclosure="public",
        outcomes=outcomes,
        subgroups=subgroups,
        design=design,
        outcome=codebook or {},
    )


def rows(**columns):
    """Persons 1 and 2 of household 1 (moved in 2017), 3 of household 2 (never), seen 2016 to 2018; 4 forms
    household 3."""
    frame = pd.DataFrame(
        [(p, t) for p in (1, 2, 3) for t in (2016, 2017, 2018)] + [(4, 2018)], columns=["person", "time"]
    )
    household, village = {1: 1, 2: 1, 3: 2, 4: 3}, {1: "a", 2: "a", 3: "b", 4: "b"}
    frame["household"], frame["village"] = frame["person"].map(household), frame["person"].map(village)
    frame["cohort"] = np.where(frame["village"] == "a", 2017.0, np.nan)
    frame["age"] = frame["person"].map({1: 15.5, 2: 59.5, 3: 30, 4: 30}) + frame["time"] - 2016
    return frame.assign(**columns)


def design_of(frame, study, names=None):
    return build_design(check_panel(frame, study), study, names)


def kept(design, name):
    return [
        tuple(int(v) for v in row)
        for row in design.panel.loc[design.panel[name].notna(), ["person", "time"]].to_numpy()
    ]


def test_a_universe_fixed_at_baseline_does_not_move_and_counts_whole_years():
    design = design_of(rows(offfarm_wage=1.0), study_of("offfarm_wage"))
    # 15.5 years is 15 and out although 16 a year later; 59.5 is 59 and stays in
    assert sorted({p for p, _ in kept(design, "offfarm_wage")}) == [2, 3, 4]
    assert design.flow.values.tolist() == [
        ["offfarm_wage", "file", "rows of the file, one per person and time", 0, 0, 10, 4],
        ["offfarm_wage", "universe", "not aged 16-59 at the first wave", 3, 1, 7, 3],
    ]


def test_a_universe_of_current_ages_moves():
    frame = rows(in_school_16_18=1.0)
    frame.loc[frame["person"] == 3, "age"] = [17, 18, 19]
    design = design_of(frame, study_of("in_school_16_18"))
    assert kept(design, "in_school_16_18") == [(1, 2017), (1, 2018), (3, 2016), (3, 2017)]


def test_a_household_formed_later_is_not_a_unit_of_the_panel():
    design = design_of(rows(debt=5.0), study_of("debt"))
    assert {p for p, _ in kept(design, "debt")} == {1, 2, 3}
    assert design.flow["step"].tolist() == ["file", "split"]
    assert design.flow[["rows_left", "units_left"]].values.tolist() == [[7, 3], [6, 2]]


def test_a_household_counts_where_any_member_has_the_value():
    frame = rows(debt=5.0)
    frame.loc[frame["person"] == 1, "debt"] = np.nan
    design = design_of(frame, study_of("debt"))
    assert design.flow["step"].tolist() == ["file", "split"]


def test_where_data_are_not_public_a_step_that_drops_nobody_has_its_row_too():
    study = study_of("offfarm_wage").model_copy(update={"disclosure": "restricted"})
    flow = design_of(rows(offfarm_wage=1.0), study).flow
    assert flow["step"].tolist() == ["file", "universe", "missing"]
    assert flow.iloc[2, 3:].tolist() == [0, 0, 7, 3]


def test_unknown_values_are_a_step_of_the_flow():
    frame = rows(unmet=0.0)
    frame.loc[[0, 9], "unmet"] = np.nan
    design = design_of(frame, study_of("unmet"))
    assert design.flow.iloc[1].tolist() == [
        "unmet",
        "missing",
        "the outcome is not known or not defined",
        2,
        1,
        8,
        3,
    ]


def test_a_unit_without_its_stratum_is_a_step_of_the_flow():
    frame = rows(unmet=0.0, minority=["x", None, None, None, "x", "x", "y", "y", "y", "y"])
    design = design_of(frame, study_of("unmet", strata=["minority"]))
    # person 1 has x at the first wave, person 2 nothing
    assert design.flow.iloc[1].tolist()[1:5] == ["covariate", "minority is not known at the first wave", 3, 1]
    assert design.panel.loc[design.panel["person"] == 1, "minority"].tolist() == ["x", "x", "x"]


def test_a_cohort_without_a_base_period_is_a_step_of_the_flow():
    frame = rows(unmet=0.0)
    frame.loc[frame["person"] == 2, "cohort"] = 2016.0
    design = design_of(frame, study_of("unmet", cluster="person"))
    assert design.flow.iloc[1].tolist()[1:5] == [
        "no base period",
        "cohort 2016 moved before a base period was observed",
        3,
        1,
    ]
    assert design.left_out == {"unmet": 1.0}


def test_the_base_period_is_that_of_the_outcome_and_not_of_the_panel():
    frame = pd.concat(
        [
            rows(),
            rows().assign(
                person=lambda d: d["person"] + 10,
                household=lambda d: d["household"] + 10,
                village="c",
                cohort=2018.0,
            ),
        ]
    )
    frame = frame.assign(unmet=np.where(frame["time"] == 2016, np.nan, 0.0))
    design = design_of(frame, study_of("unmet"))
    assert design.flow["reason"].iloc[-1] == "cohort 2017 moved before a base period was observed"
    assert {(c.cohort, c.time) for c in contrasts_of(design, design.outcomes["unmet"], "varying")} == {
        (2018, 2018)
    }


def test_traits_are_fixed_at_the_first_wave_of_each_unit():
    frame = rows(unmet=0.0, remote=["near", "remote", "remote"] * 3 + ["remote"])
    design = design_of(frame, study_of("unmet", subgroups=["remote", "not_there"]))
    assert design.subgroups == ("remote",)
    assert design.panel.groupby("person")["remote"].agg(list).tolist() == [["near"] * 3] * 3 + [["remote"]]


def test_the_input_panel_is_left_as_it_was(panel, study):
    before = panel.copy(deep=True)
    build_design(panel, study)
    pd.testing.assert_frame_equal(panel, before)


def test_times_cohorts_and_window_are_those_of_the_panel(design):
    assert design.times == tuple(range(2014, 2022)) and design.window == (2014, 2021)
    assert design.cohorts[-1] == np.inf and design.cohorts == tuple(sorted(design.cohorts))
    assert tuple(design.flow.columns) == FLOW_COLUMNS


def test_the_flow_of_every_outcome_ends_with_what_is_estimated(design):
    for name, outcome in design.outcomes.items():
        last = design.flow[design.flow["outcome"] == name].iloc[-1]
        known = design.panel[design.panel[name].notna()].drop_duplicates([outcome.level, "time"])
        assert (last["rows_left"], last["units_left"]) == (len(known), known[outcome.level].nunique())


def test_an_unknown_outcome_is_an_error_with_the_nearest_name(panel, study):
    with pytest.raises(InputError, match="Fix: write 'offfarm_wage'"):
        build_design(panel, study, ("offfarm_wages",))


def test_the_time_account_belongs_to_its_domains(panel, study):
    assert {"school_minutes", "school_hours_saved", "school_value_saved"} <= set(
        domain_outcomes(panel, study, "schooling")
    )
    assert {"health_value_saved", "net_value_saved"} <= set(domain_outcomes(panel, study, "health_access"))
