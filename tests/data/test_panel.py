"""Reading a panel: the same numbers from every kind of file, canonical names and types, the province,
missing codes."""

import numpy as np
import pandas as pd
import pytest

from relocation_analysis.data.panel import check_panel, present_outcomes, read_panel, read_truth
from relocation_analysis.data.study import read_study
from relocation_analysis.errors import InputError
from relocation_analysis.estimation.design import build_design
from relocation_analysis.estimation.estimate import estimate


def study_file(folder, data, text=""):
    path = folder / "mine.toml"
    path.write_text(f'name = "mine"\ntitle = "t"\n{text}\n[data]\npath = "{data}"\n', encoding="utf-8")
    return read_study(path)


def small():
    return pd.DataFrame(
        {
            "person": [1, 1, 2, 2],
            "village": ["a", "a", "b", "b"],
            "time": [2016, 2017] * 2,
            "cohort": [2017.0, 2017.0, np.nan, np.nan],
            "unmet": [0, 1, 0, 0.0],
            "age": 30,
        }
    )


@pytest.mark.parametrize("kind", ["csv", "parquet", "dta"])
def test_a_file_of_the_simulated_panel_gives_the_embedded_numbers(tmp_path, panel, study, kind):
    file, text = tmp_path / f"x.{kind}", {c: str for c in panel.select_dtypes("category")}
    if kind == "csv":
        panel.to_csv(file, index=False)
    elif kind == "parquet":
        panel.to_parquet(file, index=False)
    else:
        panel.astype(text | {"site": "float64"}).to_stata(file, write_index=False, version=118)
    names = ("debt", "log_income_pc", "offfarm_wage", "attend_6_15")
    settings = f'outcomes = {list(names)}\nsubgroups = ["sex", "remote"]\nprovince = "guizhou"\n'
    settings += "[design]\ndraws = 199"
    mine = study_file(tmp_path, file.name, settings)
    found = estimate(build_design(check_panel(read_panel(mine), mine), mine)).table
    same = study.model_copy(update={"outcomes": names, "subgroups": ("sex", "remote")})
    pd.testing.assert_frame_equal(found, estimate(build_design(panel, same)).table, check_exact=True)


def test_columns_are_renamed_and_codes_become_missing(tmp_path):
    odd = small().rename(columns={"person": "id", "cohort": "g"}).assign(g=lambda d: d["g"].fillna(0))
    odd.to_csv(tmp_path / "x.csv", index=False)
    study = study_file(tmp_path, "x.csv", '[columns]\nperson = "id"\ncohort = "g"\n[missing]\ncohort = 0')
    panel = check_panel(read_panel(study), study)
    assert (
        panel["cohort"].isna().sum() == 2
        and panel["cohort"].dtype == "float64"
        and panel["time"].dtype == "int64"
    )
    assert (panel["weight"] == 1).all()


def test_one_column_may_stand_for_two_and_a_mapping_wins_over_a_column_of_that_name(tmp_path):
    odd = small().rename(columns={"time": "year"}).drop(columns="village").assign(time=-1)
    odd.to_csv(tmp_path / "x.csv", index=False)
    panel = read_panel(
        study_file(tmp_path, "x.csv", '[columns]\ntime = "year"\nperson = "person"\nvillage = "person"')
    )
    assert (
        panel["time"].tolist() == [2016, 2017] * 2 and panel["village"].tolist() == panel["person"].tolist()
    )
    assert "year" not in panel and panel.columns.is_unique


def test_only_the_province_asked_for_is_read(tmp_path):
    pd.concat([small().assign(province="p"), small().assign(province="q", person=[8, 8, 9, 9])]).to_csv(
        tmp_path / "x.csv", index=False
    )
    panel = read_panel(study_file(tmp_path, "x.csv", 'province = "q"'))
    assert sorted(panel["person"].unique()) == [8, 9] and list(panel.index) == [0, 1, 2, 3]
    assert len(read_panel(study_file(tmp_path, "x.csv"))) == 8


def test_infinite_cohorts_are_those_who_never_moved_and_infinite_outcomes_are_unknown(tmp_path):
    small().to_csv(tmp_path / "x.csv", index=False)
    study = study_file(tmp_path, "x.csv")
    panel = small().assign(cohort=lambda d: d["cohort"].fillna(np.inf), unmet=[0, np.inf, 0, 0])
    checked = check_panel(panel, study)
    assert checked["cohort"].isna().sum() == 2 and checked["unmet"].isna().sum() == 1


def test_the_frame_given_is_left_as_it_was(tmp_path):
    study = study_file(tmp_path, "x.csv")
    panel = small().astype({"unmet": str})
    before = panel.copy(deep=True)
    assert check_panel(panel, study)["unmet"].dtype == "float64"
    pd.testing.assert_frame_equal(panel, before)


def test_outcomes_are_those_of_the_codebook_that_the_panel_has(panel, study):
    found = present_outcomes(panel, study)
    assert (
        "offfarm_wage" in found
        and "school_hours_saved" not in found
        and list(found) == [n for n in study.codebook if n in found]
    )


def test_the_truth_of_a_simulated_study_travels_with_it(study):
    assert {"outcome", "cohort", "time", "effect", "n_units"} <= set(read_truth(study).columns)


@pytest.mark.parametrize(("province", "seed"), [("national", 0), ("guizhou", 2021), ("tibet", 7)])
def test_a_simulated_panel_of_any_province_and_seed_is_fit_to_use(province, seed):
    study = read_study("simulated", province, parameters={"seed": seed})
    assert len(check_panel(read_panel(study), study)) > 10_000


def test_the_row_of_a_message_is_as_the_file_has_it_where_all_columns_are_numbers(study):
    rows = [(1, 7, 2016, 1, np.nan, 0.0), (2, 7, 2016, 1, np.nan, 1.0)]
    panel = pd.DataFrame(rows, columns=["person", "household", "time", "village", "cohort", "debt"])
    with pytest.raises(InputError, match="members of 1 of 1 differ, first household = 7, time = 2016"):
        check_panel(panel, study)
