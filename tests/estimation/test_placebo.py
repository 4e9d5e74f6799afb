"""Placebos, levels of errors, leave-one-out and spillover: by hand, by identity with the engine, by known truth.

Identities hold to 1e-12. Known truth is compared within three standard errors, on fixed seeds.
"""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from relocation_analysis.data.panel import check_panel, read_panel
from relocation_analysis.data.study import Study, read_study
from relocation_analysis.errors import InputError
from relocation_analysis.estimation.clustered import partial_out
from relocation_analysis.estimation.design import build_design
from relocation_analysis.estimation.estimate import (
    MAIN,
    contrasts_of,
    effects_of,
    outcome_cells,
)
from relocation_analysis.estimation.placebo import (
    at_level,
    check_leave_one_out,
    check_placebo_dates,
    check_placebo_outcomes,
    check_spillover,
    clustered_test,
    compared_with,
    errors_by_level,
    moved_share,
)


def simulated(*outcomes, **parameters):
    study = read_study("simulated", parameters={"villages": 60, "counties": 15, "draws": 99} | parameters)
    return build_design(check_panel(read_panel(study), study), study, outcomes)


def by_hand(values, cohort, county=None, times=(1, 2, 3, 4)):
    """A design of one person per village."""
    values, n = np.asarray(values, dtype=float), len(values)
    panel = pd.DataFrame(
        {"person": np.repeat(np.arange(n), len(times)), "time": np.tile(times, n), "y": values.ravel()}
    )
    panel = panel.assign(village=panel["person"], cohort=np.repeat(np.asarray(cohort, dtype=float), len(times)))
    if county is not None:
        panel["county"] = np.repeat(county, len(times))
    about = {"domain": "employment", "unit": "", "label_en": "y"}
    study = Study(
        name="s", title="", data={"path": "x.csv"}, outcome={"y": about}, outcomes=["y"], design={"draws": 99}
    )
    return build_design(check_panel(panel, study), study)


def headline(design, name):
    outcome = design.outcomes[name]
    return effects_of(
        design, outcome, outcome_cells(design, outcome), contrasts_of(design, outcome, "varying"), MAIN, ("headline",)
    ).table


# ---- placebo dates and outcomes


def test_a_placebo_date_uses_only_observations_before_the_true_move():
    # mover of 4 dated 3: change from 2 to 3 is 5 - 1 less the never-mover's 1 - 1, whatever happens at 4
    # dated 2: changes from 1 to 2 and to 3, (1 - 0) - 0 = 1 and (5 - 0) - 0 = 5, mean 3; dated 1: no wave before
    for last in (100.0, -7.0):
        table = check_placebo_dates(by_hand([[0, 1, 5, last], [1, 1, 1, 1]], [4, np.nan]), "y").table
        assert table[["years_early", "estimate"]].to_numpy().tolist() == [[1, pytest.approx(4)], [2, pytest.approx(3)]]


def test_a_panel_without_early_waves_has_no_placebo_date():
    check = check_placebo_dates(by_hand([[0, 1, 5, 2], [1, 1, 1, 1]], [2, np.nan]), "y")
    assert check.passed is None and check.p_value is None and "early enough" in check.note


def test_placebo_dates_find_an_effect_in_the_year_before_the_move_and_else_nothing():
    assert check_placebo_dates(simulated("offfarm_wage"), "offfarm_wage").passed is True
    early = check_placebo_dates(simulated("offfarm_wage", anticipation=-0.05, villages=100), "offfarm_wage")
    first = early.table.iloc[0]
    assert early.passed is False and abs(first["estimate"] + 0.05) < 3 * first["std_error"]


def test_anticipation_that_the_study_states_is_no_placebo():
    design = simulated("offfarm_wage", anticipation=-0.05, villages=100)
    settings = design.study.design.model_copy(update={"anticipation": 1})
    stated = replace(design, study=design.study.model_copy(update={"design": settings}))
    assert check_placebo_dates(stated, "offfarm_wage", (1,)).table["p_value"].iloc[0] > 0.01


def test_traits_do_not_move_where_nobody_is_lost(staggered):
    panel = staggered.assign(sex=np.where(staggered["person"] % 3, "female", "male"))
    about = {"domain": "employment", "unit": "", "label_en": "y"}
    study = Study(
        name="s",
        title="",
        data={"path": "x.csv"},
        outcome={"y": about},
        outcomes=["y"],
        subgroups=["sex"],
        design={"draws": 99},
    )
    check = check_placebo_outcomes(build_design(check_panel(panel, study), study))
    assert list(check.table["placebo"]) == ["sex=female"] and abs(check.table["estimate"].iloc[0]) < 1e-12


def test_a_placebo_outcome_is_the_headline_of_it(design):
    check = check_placebo_outcomes(design, ("debt",))
    expected = headline(design, "debt")
    assert check.table.iloc[0]["placebo"] == "debt" and check.table.iloc[0]["estimate"] == expected["estimate"].iloc[0]
    assert check.passed is False and len(check.table) > 3
    assert check_placebo_outcomes(design).passed is True


def test_a_placebo_outcome_must_be_one_of_the_design(design):
    with pytest.raises(InputError, match=re.escape("A placebo outcome must be a known name.")):
        check_placebo_outcomes(design, ("debts",))


# ---- levels and clusters


def test_errors_at_another_level_leave_the_estimate(design):
    table = errors_by_level(design, "offfarm_wage").set_index("level")
    expected = headline(design, "offfarm_wage").iloc[0]
    assert list(table.index) == ["village", "site", "county"]
    np.testing.assert_allclose(table["estimate"], expected["estimate"], atol=1e-12)
    assert table.loc["village", "std_error"] == expected["std_error"]
    # four counties are fewer than the rule gives an error for
    assert np.isnan(table.loc["county", "std_error"]) and table.loc["county", "n_clusters_treated"] <= 4


def test_the_error_by_county_is_that_of_a_study_clustered_by_county():
    design = simulated("offfarm_wage")
    settings = design.study.design.model_copy(update={"cluster": "county"})
    expected = headline(
        replace(design, study=design.study.model_copy(update={"design": settings})), "offfarm_wage"
    ).iloc[0]
    found = errors_by_level(design, "offfarm_wage").set_index("level").loc["county"]
    assert (
        found["std_error"] == pytest.approx(expected["std_error"], abs=1e-12)
        and found["se_type"] == "cluster_jackknife"
    )


def test_a_mover_belongs_to_its_site_and_a_stayer_to_its_village(design):
    panel = at_level(design, design.outcomes["offfarm_wage"], "site").panel
    labels = panel.groupby("person")["other_level"].agg(["nunique", "first"])
    known = panel.groupby("person")["site"].first()
    assert (labels["nunique"] == 1).all()
    assert (labels["first"].str.startswith("site ") == known.notna()).all()
    with pytest.raises(InputError, match="A level of clustering must be a known name"):
        at_level(design, design.outcomes["offfarm_wage"], "township")


def test_leaving_one_out_gives_percentiles_of_the_estimates_without_each_cluster():
    design, values = simulated("debt", villages=16, counties=2), []
    check = check_leave_one_out(design, "debt")
    for village in design.panel["village"].unique():
        without = replace(design, panel=design.panel[design.panel["village"] != village])
        values.append(headline(without, "debt")["estimate"].iloc[0])
    expected = np.percentile(values, [5, 95])  # neither the smallest nor the largest, which is one village's
    np.testing.assert_allclose(check.table["estimate"], expected, atol=1e-12)
    main = headline(design, "debt")["estimate"].iloc[0]
    assert check.statistic == pytest.approx(np.abs(expected - main).max(), abs=1e-12)
    assert check.name == "leave_one_village_out" and check.passed is True


def test_leaving_one_site_out_says_nothing_of_which(design):
    check = check_leave_one_out(design, "debt", "site")
    assert check.name == "leave_one_site_out" and list(check.table.columns) == ["percentile", "estimate", "clusters"]


# ---- spillover


def test_the_share_of_a_county_that_has_moved_by_hand():
    design = by_hand(np.zeros((4, 4)), [2, 3, np.nan, np.nan], county=[1, 1, 1, 2])
    share = moved_share(design)
    assert share.loc[1].tolist() == pytest.approx([0, 1 / 3, 2 / 3, 2 / 3]) and share.loc[2].tolist() == [0, 0, 0, 0]


def test_the_spillover_slope_is_the_regression_of_changes_before_the_move():
    rng = np.random.default_rng(3)
    cohort = rng.choice([2.0, 3.0, 4.0, np.nan], 60)
    county = np.arange(60) % 12
    design = by_hand(rng.normal(size=(60, 4)), cohort, county)
    share, rows = moved_share(design), []
    for i, (g, c) in enumerate(zip(cohort, county, strict=True)):
        y = design.panel.loc[design.panel["person"] == i, "y"].to_numpy()
        rows += [(y[t - 1] - y[t - 2], share.at[c, t] - share.at[c, t - 1], t, c) for t in (2, 3, 4) if not t >= g]
    frame = pd.DataFrame(rows, columns=["change", "share", "time", "county"])
    x = np.column_stack([frame["share"], pd.get_dummies(frame["time"], dtype=float)])
    check = check_spillover(design, "y")
    assert check.statistic == pytest.approx(sm.OLS(frame["change"].to_numpy(), x).fit().params[0], abs=1e-10)
    assert check.table["estimate"].iloc[0] == check.statistic and 0 <= check.p_value <= 1


def test_spillover_finds_a_strong_response_of_those_who_have_not_moved():
    design = simulated("offfarm_wage", villages=120, counties=30)
    share = moved_share(design)
    told = share.stack()[pd.MultiIndex.from_frame(design.panel[["county", "time"]])].to_numpy()
    waiting = ~(design.panel["time"] >= design.panel["cohort"])
    panel = design.panel.assign(offfarm_wage=design.panel["offfarm_wage"] + 0.5 * told * waiting)
    check = check_spillover(replace(design, panel=panel), "offfarm_wage")
    assert check.passed is False and abs(check.statistic - 0.5) < 3 * check.table["std_error"].iloc[0]
    plain = check_spillover(design, "offfarm_wage")
    assert plain.passed is True and len(plain.table) == 3


def test_where_all_counties_move_alike_there_is_nothing_to_learn(staggered):
    panel = staggered.assign(county=1)
    about = {"domain": "employment", "unit": "", "label_en": "y"}
    study = Study(
        name="s", title="", data={"path": "x.csv"}, outcome={"y": about}, outcomes=["y"], design={"draws": 99}
    )
    check = check_spillover(build_design(check_panel(panel, study), study), "y")
    assert check.passed is None and "does not differ" in check.note
    without = build_design(check_panel(staggered, study), study)
    assert "no county" in check_spillover(without, "y").note


def test_a_comparison_kept_from_some_rows_leaves_the_movers(design):
    outcome = design.outcomes["offfarm_wage"]
    cells, contrasts = outcome_cells(design, outcome), contrasts_of(design, outcome, "varying")
    same = effects_of(
        design, outcome, *compared_with(cells, contrasts, np.ones(len(cells.units), dtype=bool)), MAIN, ("headline",)
    )
    expected = headline(design, "offfarm_wage")
    for column in ("estimate", "std_error", "n_clusters_treated", "n_clusters_comparison"):
        assert same.table[column].iloc[0] == pytest.approx(expected[column].iloc[0], abs=1e-12)
    never = np.isinf(cells.rows["cohort"].to_numpy(dtype=float))
    only = effects_of(design, outcome, *compared_with(cells, contrasts, never), MAIN, ("headline",)).table
    expected = effects_of(
        design, outcome, cells, contrasts_of(design, outcome, "varying", "never_treated"), MAIN, ("headline",)
    ).table
    assert only["estimate"].iloc[0] == pytest.approx(expected["estimate"].iloc[0], abs=1e-12)


@pytest.mark.parametrize("groups, expected", [(60, "CR1"), (20, "jackknife"), (4, "none")])
def test_the_clustered_test_follows_the_number_of_clusters(groups, expected):
    rng = np.random.default_rng(1)
    cluster = np.arange(240) % groups
    x = rng.normal(size=(240, 2))
    y = x @ [0.1, 0.0] + rng.normal(size=240)
    _, errors, statistic, p_value = clustered_test(partial_out(x, y, np.zeros((240, 0)), cluster))
    design = np.column_stack([x, np.ones(240)])
    if expected == "none":
        assert np.isnan([*errors, statistic, p_value]).all()
    elif expected == "CR1":
        fit = sm.OLS(y, design).fit(cov_type="cluster", cov_kwds={"groups": cluster}, use_t=True)
        test = fit.f_test(np.eye(2, 3))
        assert errors == pytest.approx(fit.bse[:2], abs=1e-12)
        assert (statistic, p_value) == pytest.approx((float(test.fvalue), float(test.pvalue)), abs=1e-10)
    else:
        full = np.linalg.lstsq(design, y, rcond=None)[0]
        left = np.array([np.linalg.lstsq(design[cluster != g], y[cluster != g], rcond=None)[0] for g in range(groups)])
        assert errors == pytest.approx(np.sqrt(((left - full) ** 2).sum(0) * (groups - 1) / groups)[:2], abs=1e-12)
