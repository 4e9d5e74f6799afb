"""A panel is read once: by a process that asks for many provinces, and for the processes that it gives the panel to."""

import io
import os
import pickle
import subprocess
import sys

import pandas as pd
import pytest

from relocation_analysis.data import panel as panel_module
from relocation_analysis.data.handover import PANEL, hand_over, take_over
from relocation_analysis.data.panel import read_panel
from relocation_analysis.data.study import read_study

STUDY = 'name = "own"\ntitle = "Own"\n[data]\npath = "panel.csv"\n[columns]\ntime = "year"\n'
linux = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="memory that others can open is Linux's")


@pytest.fixture
def folder(tmp_path):
    rows = {"person": ["a", "a", "b", "b"], "province": ["x", "x", "y", None], "year": [1, 2, 1, 2], "earnings": [1, None, 1 / 3, 4]}
    pd.DataFrame(rows).to_csv(tmp_path / "panel.csv", index=False)
    (tmp_path / "own.toml").write_text(STUDY, encoding="utf-8")
    return tmp_path


@pytest.fixture
def reads(monkeypatch):
    count, read = [], panel_module.read_file
    monkeypatch.setattr(panel_module, "read_file", lambda *path: count.append(path) or read(*path))
    return count


def test_the_file_is_read_once_for_all_its_provinces_and_again_when_it_changes(folder, reads):
    of = {name: read_study(folder / "own.toml", name) for name in ("x", "y", None)}
    assert [len(read_panel(of[name])) for name in ("x", "y", None)] == [2, 1, 4] and len(reads) == 1
    read_panel(of["x"].model_copy(update={"language": "zh"}))
    assert len(reads) == 1
    with open(folder / "panel.csv", "a", encoding="utf-8") as file:
        file.write("c,x,1,5\n")
    assert len(read_panel(of["x"])) == 3 and len(reads) == 2
    (folder / "own.toml").write_text(STUDY.replace('time = "year"', 'time = "year"\npay = "earnings"'), encoding="utf-8")
    assert "pay" in read_panel(read_study(folder / "own.toml", "x")) and len(reads) == 3


def test_what_a_caller_does_to_a_panel_stays_with_it(folder):
    for name in (None, "x"):
        first = read_panel(read_study(folder / "own.toml", name))
        first["earnings"] = 0.0
        first.loc[0, "time"] = 99
        again = read_panel(read_study(folder / "own.toml", name))
        assert again.loc[0, "earnings"] == 1 and again.loc[0, "time"] == 1


@linux
def test_another_process_gets_the_panel_to_the_bit_without_reading_the_file(folder, monkeypatch):
    study = read_study(folder / "own.toml", "x")
    panel = read_panel(study)
    code = (
        "import pickle, sys\n"
        "from relocation_analysis.data import panel\n"
        "from relocation_analysis.data.study import read_study\n"
        "panel.read_file = None\n"
        f"pickle.dump(panel.read_panel(read_study({str(folder / 'own.toml')!r}, 'x', 'zh')), sys.stdout.buffer)"
    )
    with hand_over(panel, study) as env:
        given = subprocess.run([sys.executable, "-c", code], env=os.environ | env, stdout=subprocess.PIPE, check=True).stdout
        monkeypatch.setenv(PANEL, env[PANEL])
        assert take_over(study) is not None
        assert take_over(read_study(folder / "own.toml", "y")) is None
        assert take_over(study.model_copy(update={"seed": 1})) is None
    pd.testing.assert_frame_equal(pickle.load(io.BytesIO(given)), panel, check_exact=True)
    assert take_over(study) is None and len(read_panel(study)) == 2  # who gave it is done


def test_without_memory_to_share_every_process_reads(folder, monkeypatch):
    monkeypatch.delattr(os, "memfd_create", raising=False)
    study = read_study(folder / "own.toml", "x")
    with hand_over(read_panel(study), study) as env:
        assert env == {}
    assert take_over(study) is None
