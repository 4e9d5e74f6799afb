"""A researcher's own file: the simulated panel written to disk gives the embedded numbers to the last bit."""

import pandas as pd
import pytest

from relocation_analysis.cli import main
from relocation_analysis.data.panel import check_panel, read_panel, study_chapters
from relocation_analysis.data.study import read_study
from relocation_analysis.estimation.design import build_design
from relocation_analysis.estimation.estimate import estimate

NAMES = ("offfarm_wage", "in_school_16_18", "debt", "net_hours_saved")
OWN = """
name = "own"
title = "Our province"
province = "gansu"
subgroups = ["sex", "remote"]
[data]
path = "panel.{suffix}"
[design]
draws = 199
"""


def effects_of(study):
    return estimate(build_design(check_panel(read_panel(study), study), study, NAMES)).table


@pytest.mark.parametrize("suffix", ["csv", "parquet", "dta"])
def test_the_simulated_panel_from_a_file_gives_the_embedded_numbers(tmp_path, suffix, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["simulate", "--province", "gansu", "--out", str(tmp_path / f"panel.{suffix}"), "-p", "villages=40"])
    assert stop.value.code == 0
    (tmp_path / "own.toml").write_text(OWN.format(suffix=suffix), encoding="utf-8")
    own = read_study(tmp_path / "own.toml")
    embedded = read_study("simulated", "gansu", parameters={"villages": 40, "draws": 199})
    embedded = embedded.model_copy(update={"subgroups": own.subgroups})
    pd.testing.assert_frame_equal(effects_of(own), effects_of(embedded), check_exact=True)


def test_a_chapter_without_outcomes_is_not_run(tmp_path):
    panel = read_panel(read_study("simulated", parameters={"villages": 20, "counties": 2}))
    keep = ["person", "village", "time", "cohort", "age", "unmet"]
    panel[keep].to_csv(tmp_path / "panel.csv", index=False)
    (tmp_path / "own.toml").write_text('name = "own"\ntitle = "Own"\n[data]\npath = "panel.csv"\n', encoding="utf-8")
    study = read_study(tmp_path / "own.toml")
    plan = dict(study_chapters(check_panel(read_panel(study), study), study))
    assert plan["employment"] and plan["schooling"]
    assert plan["overview"] == plan["health_access"] == plan["robustness"] == ""
