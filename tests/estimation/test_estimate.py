"""From a design to the tidy table: every row, its errors, bands and keys. Exact repeats agree to the last
bit."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from relocation_analysis.data.panel import check_panel, read_panel
from relocation_analysis.data.study import Study, read_study
from relocation_analysis.estimation import cohort_time, imputation
from relocation_analysis.estimation.cells import build_cells
from relocation_analysis.estimation.design import build_design
from relocation_analysis.estimation.effects import EFFECT_COLUMNS, TEXT_COLUMNS, join_effects
from relocation_analysis.estimation.estimate import (
    MAIN,
    UNIVERSAL,
    adjust_headlines,
    cells_of,
    contrasts_of,
    domain_family,
    estimate,
    fit_contrasts,
    level_cells,
    multipliers_of,
    outcome_cells,
    usable_subgroups,
)
from relocation_analysis.estimation.imputation import impute_cohort_time
from relocation_analysis.estimation.inference import adjust_holm
from relocation_analysis.estimation.sun_abraham import contrasts_of_cells, interact_cohort_time


def test_the_table_has_the_columns_of_the_house(simulated_effects):
    table = simulated_effects.table
    assert tuple(table.columns) == EFFECT_COLUMNS
    assert not table[list(TEXT_COLUMNS)].isna().any(axis=None)
    assert table.drop(columns=list(TEXT_COLUMNS)).dtypes.map(lambda kind: kind.kind in "fi").all()


def test_every_row_is_named_once(simulated_effects):
    keys = ["outcome", "estimator", "subgroup", "aggregation", "cohort", "time", "event_time"]
    assert not simulated_effects.table.duplicated(keys).any()


def test_the_root_sum_of_squares_of_influence_is_the_error(simulated_effects):
    known = simulated_effects.table["std_error"].notna().to_numpy()
    found = np.sqrt((simulated_effects.influence**2).sum(0))
    np.testing.assert_allclose(found[known], simulated_effects.table["std_error"][known], rtol=1e-12)
    np.testing.assert_allclose(found[~known], 0, atol=1e-9)


def test_influence_values_of_many_clusters_sum_to_zero(panel, study):
    plain = study.model_copy(update={"design": study.design.model_copy(update={"few_clusters": "ignore"})})
    effects = estimate(build_design(panel, plain, ("offfarm_wage", "attend_6_15", "debt")))
    sums = effects.influence.sum(0) / effects.table["std_error"].fillna(1.0)
    np.testing.assert_allclose(sums, 0, atol=1e-9)


def test_bands_hold_every_interval_of_their_family(simulated_effects):
    table = simulated_effects.table
    banded = table[table["band_low"].notna()]
    assert set(banded["aggregation"]) == {"event_time", "cohort_time", "cohort", "calendar"}
    assert (banded["band_low"] <= banded["conf_low"] + 1e-12).all() and (
        banded["band_high"] >= banded["conf_high"] - 1e-12
    ).all()


def test_an_effect_with_fewer_than_five_villages_on_a_side_has_no_error_interval_or_band(simulated_effects):
    table = simulated_effects.table
    few = table[["n_clusters_treated", "n_clusters_comparison"]].min(axis=1) < 5
    assert few.any() and (~few).any()
    blank = table.loc[
        few, ["std_error", "statistic", "p_value", "conf_low", "conf_high", "band_low", "band_high"]
    ]
    assert blank.isna().all(axis=None) and (table.loc[few, "se_type"] == "").all()
    assert (table.loc[few & (table["n_clusters_treated"] > 0), "estimate"].notna()).all()


def test_an_outcome_that_never_varies_has_an_effect_of_zero_and_no_error(simulated_effects):
    table = simulated_effects.select(outcome="insured").table
    assert (
        (table["estimate"] == 0).all() and table["std_error"].isna().all() and (table["se_type"] == "").all()
    )


def test_the_universal_base_period_is_a_row_of_zero(simulated_effects):
    rows = simulated_effects.select(outcome="offfarm_wage", estimator=UNIVERSAL, aggregation="event_time")
    assert rows.table["event_time"].is_monotonic_increasing
    base = rows.table.query("event_time == -1").iloc[0]
    assert base["estimate"] == 0 and np.isnan(base["std_error"]) and base["n_units"] == 0
    np.testing.assert_array_equal(rows.select(event_time=-1.0).influence, 0)


def test_after_the_move_both_bases_agree_to_the_last_bit(simulated_effects):
    columns = ["event_time", "estimate", "std_error"]
    main, universal = (
        simulated_effects.select(
            outcome="offfarm_wage", estimator=e, aggregation="event_time", subgroup="all"
        ).table
        for e in (MAIN, UNIVERSAL)
    )
    pd.testing.assert_frame_equal(
        main.query("event_time >= 0")[columns].reset_index(drop=True),
        universal.query("event_time >= 0")[columns].reset_index(drop=True),
    )


def test_a_subgroup_is_the_effect_of_a_panel_of_that_subgroup(panel, study, simulated_effects):
    women = build_design(panel[panel["sex"] == "female"], study, ("offfarm_wage",))
    expected = estimate(women).select(aggregation="headline", subgroup="all", estimator=MAIN).table.iloc[0]
    found = simulated_effects.select(
        aggregation="headline", subgroup="sex=female", outcome="offfarm_wage"
    ).table.iloc[0]
    assert found["estimate"] == pytest.approx(expected["estimate"], abs=1e-12)
    assert found["std_error"] == pytest.approx(expected["std_error"], abs=1e-12)


def test_subgroups_that_vary_within_a_household_do_not_split_its_outcomes(design):
    assert usable_subgroups(design, design.outcomes["debt"]) == ("remote", "minority", "labour")
    assert "age_band" in usable_subgroups(design, design.outcomes["offfarm_wage"])
    assert "age_band" not in usable_subgroups(design, design.outcomes["attend_6_15"])


def test_signs_of_the_bootstrap_are_keyed_by_seed_and_outcome_and_follow_the_village(design):
    wage, debt = design.outcomes["offfarm_wage"], design.outcomes["debt"]
    villages = np.unique(design.panel["village"])
    signs = multipliers_of(design, wage, villages)
    np.testing.assert_array_equal(multipliers_of(design, wage, villages[::2]), signs[:, ::2])
    assert signs.shape == (199, 40) and (multipliers_of(design, debt, villages) != signs).any()


def test_an_outcome_has_the_same_effects_whatever_others_are_estimated(panel, study, simulated_effects):
    alone = estimate(build_design(panel, study, ("debt",)))
    pd.testing.assert_frame_equal(
        simulated_effects.select(outcome="debt").table, alone.table, check_exact=True
    )


def test_row_order_and_names_of_rows_do_not_change_a_bit(panel, study):
    shuffled = panel.sample(frac=1, random_state=5).set_index("person", drop=False)
    one, other = (
        estimate(build_design(p, study, ("debt", "attend_6_15"))) for p in (panel, shuffled.rename_axis(None))
    )
    pd.testing.assert_frame_equal(one.table, other.table, check_exact=True)
    assert one.influence.tobytes() == other.influence.tobytes()


def test_holm_runs_over_the_headlines_of_the_family_and_nothing_else(simulated_effects):
    family = ("offfarm_wage", "in_school_16_18", "debt")
    table = adjust_headlines(simulated_effects, family).table
    adjusted = table["p_adjusted"].notna()
    assert set(table.loc[adjusted, "outcome"]) == set(family)
    assert (table.loc[adjusted, "aggregation"] == "headline").all()
    everyone = adjusted & (table["subgroup"] == "all")
    assert everyone.sum() == 3 and (adjusted & ~everyone).sum() > 10
    for rows in (everyone, adjusted & ~everyone):
        expected = adjust_holm(table.loc[rows, "p_value"].to_numpy())
        np.testing.assert_allclose(table.loc[rows, "p_adjusted"], expected)


def test_what_is_delivered_or_only_reported_is_no_member_of_a_family(panel, study):
    design = build_design(panel, study, ("school_minutes", "insured", "unmet", "debt", "health_hours_saved"))
    assert domain_family(design) == ("debt", "unmet")


def test_effects_of_several_parts_keep_their_influence(simulated_effects):
    parts = [simulated_effects.select(outcome=name) for name in ("debt", "offfarm_wage")]
    joined = join_effects(parts)
    np.testing.assert_array_equal(joined.influence, np.hstack([p.influence for p in parts]))


def test_an_outcome_that_nobody_has_gives_no_rows_and_no_error(panel, study):
    design = build_design(panel.assign(debt=np.nan), study, ("debt",))
    effects = estimate(design)
    assert tuple(effects.table.columns) == EFFECT_COLUMNS and len(effects.table) == 0
    assert design.flow["rows_left"].iloc[-1] == 0


# ---- through a study


def mpdta_study(**design):
    settings = {
        "unit": "county",
        "cluster": "county",
        "comparison": "never_treated",
        "few_clusters": "ignore",
    } | design
    lemp = {"domain": "employment", "level": "county", "unit": "log points", "label_en": "Teen employment"}
    return Study(
        name="m", title="", data={"path": "x.csv"}, design=settings, outcome={"lemp": lemp}, outcomes=["lemp"]
    )


def test_a_continuous_covariate_gives_the_doubly_robust_numbers_of_r(mpdta):
    study = mpdta_study(covariates=["lpop"])
    counties = mpdta.rename(columns={"person": "county", "y": "lemp"})
    effects = estimate(build_design(check_panel(counties, study), study))
    rows = effects.select(estimator=MAIN).table.set_index("aggregation")
    for name, estimate_r, error_r in (
        ("overall_simple", -0.041751772, 0.011502838),
        ("overall_dynamic", -0.08035395, 0.018957557),
    ):
        assert (
            abs(rows.loc[name, "estimate"] - estimate_r) < 0.51e-8
            and abs(rows.loc[name, "std_error"] - error_r) < 0.51e-8
        )


def test_the_shipped_mpdta_study_prints_the_published_table(monkeypatch, mpdta_file):
    monkeypatch.setenv("RELOCATION_DATA_MIRROR", str(mpdta_file.parent))
    study = read_study("mpdta")
    effects = estimate(build_design(check_panel(read_panel(study), study), study)).select(estimator=MAIN)
    rows = effects.table.set_index("aggregation")
    shown = {
        name: (f"{rows.loc[name, 'estimate']:.5f}", f"{rows.loc[name, 'std_error']:.5f}")
        for name in ("overall_simple", "overall_dynamic", "overall_cohort")
    }
    assert shown == {
        "overall_simple": ("-0.03995", "0.01203"),
        "overall_dynamic": ("-0.07724", "0.01996"),
        "overall_cohort": ("-0.03102", "0.01245"),
    }
    events = effects.select(aggregation="event_time").table
    assert [
        f"{e:g}: {b:.4f} ({s:.4f})"
        for e, b, s in zip(events["event_time"], events["estimate"], events["std_error"], strict=True)
    ] == [
        "-3: 0.0305 (0.0150)",
        "-2: -0.0006 (0.0133)",
        "-1: -0.0245 (0.0142)",
        "0: -0.0199 (0.0118)",
        "1: -0.0510 (0.0169)",
        "2: -0.1373 (0.0364)",
        "3: -0.1008 (0.0344)",
    ]


@pytest.mark.parametrize("name", ["offfarm_wage", "attend_6_15"])
def test_effects_are_the_same_however_many_contrasts_and_replicates_are_fitted_at_once(design, monkeypatch, name):
    def fits():
        outcome = design.outcomes[name]
        main = fit_contrasts(design, outcome, outcome_cells(design, outcome), contrasts_of(design, outcome, "universal"))
        cells, few = level_cells(design, outcome), design.study.design.strata
        other = [impute_cohort_time(cells, contrasts_of(design, outcome, "universal", "not_yet_treated"), 0, few, True),
                 interact_cohort_time(cells, contrasts_of_cells(cells, 0), few, True)]  # fmt: skip
        return [value for fit in (main, *other) for value in (fit.att, fit.influence, fit.jackknife, fit.by_side) if value is not None]

    together = fits()
    monkeypatch.setattr(cohort_time, "BLOCK", 1)
    monkeypatch.setattr(imputation, "CELLS_AT_ONCE", 1)
    for one, other in zip(together, fits(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-12)


def test_cells_by_traits_are_those_of_the_texts_themselves_the_missing_ones_last(design):
    outcome = design.outcomes["offfarm_wage"]
    sex = design.panel["sex"].astype(object).where(design.panel["person"] % 7 != 0, None)
    other = replace(design, panel=design.panel.assign(sex=sex.astype("str").where(sex.notna())))
    pairs = ((2019, 2018), (2020, 2018))
    found = cells_of(other, outcome, pairs, ("sex",))
    direct = build_cells(other.panel, outcome, pairs, design.cluster, ("sex",))
    assert found.rows["sex"].isna().any()
    pd.testing.assert_frame_equal(found.rows, direct.rows, check_dtype=False)
    for name in ("units", "size", "count", "weight", "total"):
        np.testing.assert_array_equal(getattr(found, name), getattr(direct, name))
