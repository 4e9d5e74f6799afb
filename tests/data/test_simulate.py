"""The simulated panel: its figures, its universes, its reproducibility. Scenarios are in
test_simulate_slow.py.

Tolerances of moments are those of the specification (2%, quantiles 5%); draws are large enough (40,000
households, 100,000 villages) that sampling noise is a third of them.
"""

import tracemalloc

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from relocation_analysis.data import simulate_structure
from relocation_analysis.data.codebook import read_codebook
from relocation_analysis.data.facts import province_slugs
from relocation_analysis.data.simulate import simulate_panel, simulate_parquet
from relocation_analysis.data.simulate_structure import (
    cohort_shares,
    draw_block,
    draw_villages,
    village_blocks,
)
from relocation_analysis.data.simulation_parameters import SimulationParameters, province_figures
from relocation_analysis.errors import InputError
from relocation_analysis.paths import DATA

COLUMNS = (
    "province county village site household person time cohort relocated weight sex age age_band minority "
    "remote remoteness labour site_type site_size county_wage"
).split()
INPUTS = ["school_trips", "health_trips", "school_walk", "health_walk", "commute_hours", "return_hours"]
OWN_FIGURES = ("national", "guizhou", "shaanxi", "hubei", "hebei", "yunnan")
SMALL = SimulationParameters(villages=40, households_per_village=5)


@pytest.fixture(scope="module")
def guizhou():
    return simulate_panel("guizhou", SimulationParameters())


def headline(truth: pd.DataFrame, outcome: str, subgroup: str = "all") -> float:
    """Mean true effect on movers over the years 2 and 3 after the move, weighted by units."""
    rows = truth[
        (truth["outcome"] == outcome) & (truth["subgroup"] == subgroup) & (truth["group"] == "movers")
    ]
    rows = rows[rows["event_time"].between(2, 3)]
    return np.average(rows["effect"], weights=rows["n_units"])


def test_the_panel_has_the_canonical_columns_and_every_drawn_outcome(guizhou):
    drawn = [name for name, outcome in read_codebook().items() if outcome.role != "time_account"]
    assert list(guizhou.panel.columns[: len(COLUMNS)]) == COLUMNS
    assert set(guizhou.panel.columns) == {*COLUMNS, *drawn, *INPUTS}


def test_rows_are_unique_and_sorted(guizhou):
    keys = guizhou.panel[["county", "village", "household", "person", "time"]]
    assert not keys.duplicated(["person", "time"]).any()
    pd.testing.assert_frame_equal(keys, keys.sort_values(list(keys.columns), ignore_index=True))


def test_outcomes_stay_in_the_range_and_the_universe_of_the_codebook(guizhou):
    panel = guizhou.panel
    at_baseline = panel["age"] - (panel["time"] - 2014)
    for outcome in read_codebook().values():
        if outcome.role == "time_account":
            continue
        values = panel[outcome.name]
        assert values.notna().any()
        assert values.min() >= (-np.inf if outcome.minimum is None else outcome.minimum), outcome.name
        assert values.max() <= (np.inf if outcome.maximum is None else outcome.maximum), outcome.name
        if outcome.age_min is not None:
            age = (at_baseline if outcome.age_at == "baseline" else panel["age"])[values.notna()]
            assert age.between(outcome.age_min, outcome.age_max).all(), outcome.name


def test_parts_add_up_to_their_whole(guizhou):
    p = guizhou.panel
    work = p[p["offfarm_wage"].notna()]
    assert (p["unmet_far"] + p["unmet_cost"] + p["unmet_time"] == p["unmet"]).all()
    assert (work["work_doorstep"] + work["work_away"] == work["offfarm_wage"]).all()
    jobs = work[["job_microfactory", "job_public_post", "job_other_wage"]].sum(axis=1)
    assert (jobs == work["offfarm_wage"]).all()
    assert (work["earnings_doorstep"] + work["earnings_away"] == work["earnings_year"]).all()
    assert (work["wage_month"].notna() == (work["offfarm_wage"] == 1)).all()
    assert (p["visit_any"].notna() >= (p["unmet"] == 1)).all()


@pytest.mark.parametrize("province", OWN_FIGURES)
def test_household_moments_equal_the_parameter_file(province):
    figures = province_figures(province)
    parameters = SimulationParameters(villages=100, households_per_village=400)
    villages = draw_villages(province, parameters)
    blocks = [draw_block(province, parameters, villages, rows) for rows in village_blocks(parameters)]
    labour = np.concatenate([block.labour for block in blocks])
    persons = sum(len(block.age) for block in blocks)
    assert persons / len(labour) == pytest.approx(figures["household_size"], rel=0.02)
    assert (labour > 0).mean() == pytest.approx(figures["labour_household_share"], rel=0.02)
    assert labour[labour > 0].mean() == pytest.approx(figures["labour_per_household"], rel=0.02)


@pytest.mark.parametrize("province", OWN_FIGURES)
def test_village_moments_equal_the_parameter_file(province):
    figures = province_figures(province)
    villages = draw_villages(province, SimulationParameters(villages=100_000))
    cohort = villages.cohort[~np.isnan(villages.cohort)]
    assert len(cohort) / 100_000 == pytest.approx(0.70, rel=0.02)
    for year, share in zip(*cohort_shares(figures), strict=True):
        assert (cohort == year).mean() == pytest.approx(share, rel=0.02), year
        urban = figures.get(f"urban_share_{year}", figures["urban_share"])
        if share > 0:
            assert (villages.site_type[villages.cohort == year] == 0).mean() == pytest.approx(urban, rel=0.02)
    normal = np.array([-0.6745, 0.0, 0.6745])
    expected = figures["site_size_median"] * np.exp(figures["site_size_sigma"] * normal)
    np.testing.assert_allclose(np.quantile(villages.site_size, [0.25, 0.5, 0.75]), expected, rtol=0.05)


def test_register_employment_after_the_move_has_the_published_level_while_wage_work_does_not():
    panel = simulate_panel("guizhou", SimulationParameters(villages=2000)).panel
    after = panel[(panel["time"] == 2021) & (panel["relocated"] == 1)]
    households = after.drop_duplicates("household")
    assert after["emp_official"].mean() == pytest.approx(0.9192, abs=0.005)
    assert households["hh_any_job"].mean() >= 0.98
    assert after["offfarm_wage"].mean() < 0.75


def test_true_effects_are_those_asked_for():
    truth = simulate_panel("guizhou", SimulationParameters(villages=1000, het_cohort=0)).truth
    exact = {"log_income_pc": 0.092, "support_n": -0.30 * 0.625, "loneliness": 0.25 * 0.625, "insured": 0}
    for outcome, effect in exact.items():
        assert headline(truth, outcome) == pytest.approx(effect, abs=1e-2), outcome
    drawn = {"offfarm_wage": 0.08, "emp_official": 0.03, "unmet": -0.04, "visit_any": 0.06, "trained": 0.05,
             "attend_6_15": 0.005, "progress": 0.01, "child_with_parent": 0.05}  # fmt: skip
    for outcome, effect in drawn.items():
        assert headline(truth, outcome) == pytest.approx(effect, abs=0.005), outcome
    assert headline(truth, "in_school_16_18", "sex=female") == pytest.approx(0.03, abs=0.012)
    assert headline(truth, "in_school_16_18", "sex=male") == pytest.approx(0.01, abs=0.012)


def test_a_negative_effect_on_girls_enrolment_is_drawn_as_asked():
    truth = simulate_panel("guizhou", SimulationParameters(enrolment_girls=-0.03)).truth
    assert headline(truth, "in_school_16_18", "sex=female") < -0.01


def test_return_to_the_origin_fades_and_minutes_fall_to_the_figures_of_the_destination(guizhou):
    rows = guizhou.truth.query("outcome == 'return_origin' and subgroup == 'all' and group == 'movers'")
    by_year = rows.groupby("event_time").apply(lambda g: np.average(g["effect"], weights=g["n_units"]))
    assert by_year[0] == pytest.approx(0.12, abs=0.02)
    assert by_year[3] == pytest.approx(0.05, abs=0.02)
    homes = guizhou.panel.drop_duplicates(["household", "time"]).groupby("relocated")
    # heaping moves medians to the nearest heap: 65 to 60, 12 and 8 to 10
    assert homes["school_minutes"].median().to_dict() == pytest.approx({0: 60, 1: 10}, abs=3)
    assert homes["health_minutes"].median().to_dict() == pytest.approx({0: 60, 1: 8}, abs=3)


def test_the_same_parameters_give_the_same_bytes_whatever_else_is_drawn():
    first = simulate_panel("guizhou", SMALL)
    simulate_panel("yunnan", SMALL)
    again = simulate_panel("guizhou", SMALL)
    assert first.panel.to_csv() == again.panel.to_csv()
    assert first.truth.to_csv() == again.truth.to_csv()
    other = simulate_panel("guizhou", SMALL.model_copy(update={"seed": 1}))
    assert first.panel.to_csv() != other.panel.to_csv()


def test_parquet_holds_the_rows_of_the_panel(tmp_path, monkeypatch):
    monkeypatch.setattr(simulate_structure, "BLOCK_HOUSEHOLDS", 60)
    drawn = simulate_panel("guizhou", SMALL)
    folder = simulate_parquet("guizhou", SMALL, tmp_path / "panel")
    files = sorted(folder.rglob("*.parquet"))
    parts = [
        pd.read_parquet(file, partitioning=None).assign(county=int(file.parent.name[7:])) for file in files
    ]
    stored = pd.concat(parts, ignore_index=True)[list(drawn.panel.columns)].astype(drawn.panel.dtypes)
    assert len(files) > len(village_blocks(SMALL))
    pd.testing.assert_frame_equal(stored, drawn.panel)
    pd.testing.assert_frame_equal(pd.read_csv(folder / "truth.csv").astype(drawn.truth.dtypes), drawn.truth)


def test_memory_does_not_grow_with_the_number_of_villages(tmp_path, monkeypatch):
    monkeypatch.setattr(simulate_structure, "BLOCK_HOUSEHOLDS", 50)
    peaks = []
    for villages in (10, 10, 50):  # the first is a warm-up
        tracemalloc.start()
        simulate_parquet("guizhou", SimulationParameters(villages=villages), tmp_path / f"{villages}")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] < 1.3 * peaks[1]


def test_a_wrong_date_changes_the_recorded_cohort_and_nothing_else():
    exact = simulate_panel("guizhou", SMALL).panel
    wrong = simulate_panel("guizhou", SMALL.model_copy(update={"date_error": 0.3})).panel
    pd.testing.assert_frame_equal(exact.drop(columns="cohort"), wrong.drop(columns="cohort"))
    shift = (wrong["cohort"] - exact["cohort"]).dropna()
    assert set(shift) == {-1.0, 0.0, 1.0}
    assert (wrong.groupby("person")["cohort"].nunique(dropna=False) == 1).all()
    share = (shift[~exact.loc[shift.index, "household"].duplicated()] != 0).mean()
    assert share == pytest.approx(0.3, abs=0.12)


def test_a_split_gives_a_new_household_and_keeps_the_person(guizhou):
    panel = guizhou.panel
    households = panel.groupby("person")["household"].agg(["nunique", "first", "last"])
    split = households[households["nunique"] == 2]
    assert len(split) > 100
    assert (split["last"] > 2000).all() and (split["first"] <= 2000).all()
    assert households["nunique"].max() == 2
    none = simulate_panel("guizhou", SMALL.model_copy(update={"split_hh": 0.0})).panel
    assert none.groupby("person")["household"].nunique().max() == 1


def test_the_lost_stay_lost_and_truth_counts_them():
    drawn = simulate_panel("guizhou", SMALL)
    waves = drawn.panel.groupby("person")["time"].agg(["count", "min", "max"])
    assert (waves["min"] == 2014).all() and (waves["max"] - 2013 == waves["count"]).all()
    complete = simulate_panel("guizhou", SMALL.model_copy(update={"attr": 0.0, "dattr": 0.0}))
    pd.testing.assert_frame_equal(drawn.truth, complete.truth)


def test_the_survey_asks_in_four_years_and_defines_universes_in_its_first():
    panel = simulate_panel("guizhou", SMALL.model_copy(update={"waves": "survey"})).panel
    assert sorted(panel["time"].unique()) == [2016, 2017, 2018, 2020]
    adults = panel[panel["offfarm_wage"].notna()]
    assert (adults["age"] - adults["time"] + 2016).between(16, 59).all()


def test_truth_states_effects_on_stayers_and_hosts():
    knobs = {"spill_notmoved": 0.04, "host_effect": -0.01, "villages": 400}
    truth = simulate_panel("national", SMALL.model_copy(update=knobs)).truth
    offfarm = truth[
        (truth["outcome"] == "offfarm_wage") & (truth["subgroup"] == "all") & (truth["time"] == 2021)
    ]
    # seven in ten villages have moved by 2021, so stayers gain .7 x .04
    assert offfarm.loc[offfarm["group"] == "stayers", "effect"].item() == pytest.approx(0.028, abs=0.008)
    assert offfarm.loc[offfarm["group"] == "hosts", "effect"].item() == -0.01


def test_without_never_movers_the_last_cohort_is_not_estimable():
    truth = simulate_panel("national", SMALL.model_copy(update={"never_share": 0.0})).truth
    estimable = truth[truth["estimable"]]
    assert estimable["cohort"].max() == 2018 and estimable["time"].max() == 2018


@pytest.mark.parametrize("parameters", [{"villages": 1, "households_per_village": 1}, {"villages": 3}])
def test_a_tiny_panel_is_drawn(parameters):
    assert len(simulate_panel("jilin", SimulationParameters(**parameters)).panel) > 0


@pytest.mark.parametrize(
    "setting", [{"attr": 0.5}, {"atr": 0.05}, {"waves": "monthly"}, {"anticipation": 0.02}]
)
def test_a_knob_outside_its_range_is_refused(setting):
    with pytest.raises(ValidationError):
        SimulationParameters(**setting)


def test_an_unknown_province_is_refused_with_the_nearest_name():
    with pytest.raises(InputError, match="write 'guizhou'"):
        simulate_panel("guizou", SMALL)


def test_the_parameter_file_is_one_number_a_row_for_known_provinces():
    table = pd.read_csv(DATA / "sim_parameters.csv")
    assert list(table.columns) == ["parameter", "province", "value", "status", "source"]
    assert table["value"].dtype == float and table.notna().all(axis=None)
    assert set(table["status"]) == {"sourced", "computed", "assumed"}
    assert set(table["province"]) <= {*province_slugs(), "national"}
    assert not table.duplicated(["parameter", "province"]).any()
    pmf = table[table["parameter"].str.startswith("labour_pmf")].groupby("province")["value"].sum()
    cohorts = table[table["parameter"].str.startswith("cohort_share")].groupby("province")["value"].sum()
    np.testing.assert_allclose(pmf, 1)
    np.testing.assert_allclose(cohorts, 1)
