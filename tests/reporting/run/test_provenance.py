"""The fingerprint changes with whatever decides the bytes of a report, and with nothing else."""

import re
import subprocess
from types import SimpleNamespace

import pandas as pd
import pytest

from relocation_analysis import __version__
from relocation_analysis.data.study import read_study
from relocation_analysis.language import speaking
from relocation_analysis.paths import LOCK, ROOT
from relocation_analysis.reporting.disclosure import withheld
from relocation_analysis.reporting.exhibits.kinds import META
from relocation_analysis.reporting.run import provenance


@pytest.fixture(autouse=True)
def files(tmp_path, monkeypatch):
    """A code file and a data file of our own, so that nobody else's edits disturb the test."""
    code, data = tmp_path / "code.py", tmp_path / "data.csv"
    code.write_text("x = 1\n")
    data.write_text("a\n1\n")
    monkeypatch.setattr(provenance, "code_files", lambda: [code])
    monkeypatch.setattr(provenance, "find_commit", lambda: ("0123abc", False))
    monkeypatch.setattr(provenance, "data_files", lambda study: [data])
    return SimpleNamespace(code=code, data=data)


def test_the_fingerprint_is_the_same_twice_in_any_order_of_formats():
    study = read_study("simulated")
    assert provenance.fingerprint(study, ("html", "pdf")) == provenance.fingerprint(study, ("pdf", "html"))


@pytest.mark.parametrize("part", ["code", "data"])
def test_a_changed_file_changes_the_fingerprint(files, part):
    study = read_study("simulated")
    before = provenance.fingerprint(study, ("html",))
    getattr(files, part).write_text("changed")
    assert provenance.fingerprint(study, ("html",)) != before


def test_a_changed_setting_of_the_simulator_changes_the_fingerprint():
    prints = {
        provenance.fingerprint(read_study("simulated", parameters=p), ()) for p in ({}, {"villages": 60})
    }
    assert len(prints) == 2


def test_settings_have_dotted_names_and_no_folder(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(
        f'name = "mine"\ntitle = "Mine"\n[data]\npath = "{(tmp_path / "panel.csv").as_posix()}"\n'
    )
    settings = provenance.settings(read_study(path))
    assert settings["data.path"] == "panel.csv" and settings["design.draws"] == 999
    assert not any(str(tmp_path) in str(value) for value in settings.values())


def test_the_last_page_names_each_exhibit_and_its_function():
    exhibits = [{"label": "Figure 1", "caption": "A line", "source": "reporting.figures.plot_line"}]
    code, settings, listed = provenance.record(read_study("simulated"), exhibits)
    assert listed.rows == (("Figure 1", "A line", "reporting.figures.plot_line"),)
    assert ("Seed", "2020") in code.rows and ("Code", f"version {__version__}, commit 0123abc") in code.rows
    rows = dict(row for row in code.rows if len(row) == 2)
    assert f"pandas {pd.__version__}" in rows["Packages"] and "data.csv" in rows
    assert "cluster = village; comparison = not_yet_treated" in dict(settings.rows)["design"]


def test_what_else_this_process_withheld_is_not_on_the_last_page():
    withheld.note("balance", "few_units", subgroup="of another study")
    tables = provenance.record(read_study("simulated"), [], "0" * 64)
    assert all("withheld" not in table._repr_mimebundle_()[META] for table in tables)
    assert withheld.take()[-1]["subgroup"] == "of another study"
    withheld.forget()


def test_the_title_block_names_study_province_data_and_language_in_that_language():
    study = read_study("simulated")
    assert provenance.title_facts(study) == [
        ["Study", "simulated"], ["Province", "Guizhou"], ["Data", "simulated"], ["Language", "English"],
    ]  # fmt: skip
    chinese = read_study("simulated", language="zh")
    with speaking("zh"):
        assert provenance.title_facts(chinese) == [["研究", "simulated"], ["省份", "贵州省"], ["数据", "模拟"], ["语言", "中文"]]
    assert [name for name, _ in provenance.title_facts(read_study("mpdta"))] == ["Study", "Data", "Language"]


def test_the_last_page_speaks_chinese_and_the_fingerprint_does_not(monkeypatch):
    study = read_study("simulated", language="zh")
    exhibits = [{"label": "图 1", "caption": "一条线", "source": "reporting.figures.plot_line"}]
    before = provenance.fingerprint(study, ("html",))
    with speaking("zh"):
        assert provenance.fingerprint(study, ("html",)) == before
        assert provenance.introduction().startswith("# 本报告如何生成 {#provenance}")
        code, settings, listed = provenance.record(study, exhibits)
    assert [table.caption for table in (code, settings, listed)] == ["代码与数据", "设置", "图表及其生成函数"]
    assert listed.rows == (("图 1", "一条线", "reporting.figures.plot_line"),)
    texts = [c.label for table in (code, settings, listed) for c in table.columns] + [row[0] for row in code.rows if "." not in row[0]]
    assert [text for text in texts if re.search("[A-Za-z]", text) and text != "Python"] == []


def test_code_is_the_package_its_templates_the_lock_and_the_tables(monkeypatch):
    monkeypatch.undo()
    names = {path.relative_to(ROOT).as_posix() for path in provenance.code_files()}
    assert {
        "relocation_analysis/cli.py",
        "relocation_analysis/reporting/page/templates/report.css",
        "data/codebook.csv",
    } <= names
    assert LOCK.name in names
    assert not any("__pycache__" in name for name in names)


def test_without_git_the_code_is_known_by_its_version(monkeypatch):
    monkeypatch.undo()

    def missing(*_, **__):
        raise FileNotFoundError("git")

    monkeypatch.setattr(subprocess, "run", missing)
    assert provenance.code_version().endswith("not under version control")
    assert provenance.say_code_version() == provenance.code_version()
