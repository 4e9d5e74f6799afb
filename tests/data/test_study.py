"""A study file read, overridden and checked before anything starts."""

import pytest

from relocation_analysis.data.study import list_studies, notebook_parameters, read_study, settable
from relocation_analysis.errors import InputError


def write(folder, text):
    path = folder / "mine.toml"
    path.write_text('name = "mine"\ntitle = "t"\n' + text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", sorted(list_studies()))
def test_every_shipped_study_reads(name):
    study = read_study(name)
    assert study.name == name and set(study.primaries) <= set(study.codebook)


def test_the_default_is_the_simulated_study_of_guizhou():
    study = read_study()
    assert (study.name, study.province, study.simulated, study.simulation.villages) == (
        "simulated",
        "guizhou",
        True,
        200,
    )
    assert "Guizhou" in study.heading and study.province_label == "Guizhou"


def test_parameters_reach_the_study_its_design_and_its_simulation():
    study = read_study(
        "simulated",
        "yunnan",
        "en",
        {"seed": 7, "anticipation": -0.03, "design.anticipation": 1, "villages": 30},
    )
    assert study.seed == study.simulation.seed == 7 and study.province == "yunnan"
    # a name that both have means the simulator's knob
    assert (
        study.simulation.anticipation == -0.03
        and study.design.anticipation == 1
        and study.simulation.villages == 30
    )


def test_a_notebook_reads_the_same_study_again():
    study = read_study("simulated", "yunnan", "en", {"seed": 7})
    again = notebook_parameters(study)
    assert read_study(again["study"], again["province"], again["language"], again["parameters"]) == study


def test_a_study_of_the_user_is_found_again_by_its_path(tmp_path):
    path = write(tmp_path, '[data]\npath = "x.csv"\n')
    study = read_study(path)
    assert (
        study.folder == str(tmp_path)
        and notebook_parameters(study)["study"] == str(path)
        and not study.simulated
    )


def test_definitions_of_a_study_add_to_the_codebook_and_override_it(tmp_path):
    study = read_study(
        write(
            tmp_path,
            """
        [data]
        path = "x.csv"
        [outcome.debt]
        benchmark_effect = 9.0
        [outcome.hens]
        domain = "other"
        unit = "birds"
    """,
        )
    )
    assert study.codebook["debt"].benchmark_effect == 9 and study.codebook["debt"].level == "household"
    assert study.codebook["hens"].label == "hens"


def test_what_can_be_set_names_no_table():
    names = settable(simulated=True)
    assert {"seed", "draws", "design.draws", "villages", "show_truth"} <= set(names)
    assert not {"data", "design", "simulation", "name", "province", "language", "folder"} & set(names)
    assert "villages" not in settable(simulated=False)


def test_the_file_is_not_changed_and_reading_twice_gives_the_same(tmp_path):
    path = write(tmp_path, '[data]\npath = "x.csv"\n')
    before = path.read_bytes()
    assert read_study(path, parameters={"seed": 3}) != read_study(path) == read_study(path)
    assert path.read_bytes() == before


def test_a_knob_of_the_simulator_is_refused_where_data_are_read(tmp_path):
    with pytest.raises(InputError, match="'villages' was given for study 'mine', which reads a file"):
        read_study(write(tmp_path, '[data]\npath = "x.csv"\n'), parameters={"villages": 9})
