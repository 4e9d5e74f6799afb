"""The command line says what is wrong in one message, and its exit status says whose turn it is."""

import pandas as pd
import pytest

from relocation_analysis import __version__
from relocation_analysis.cli import main, parse_parameters
from relocation_analysis.errors import InputError
from relocation_analysis.reporting import report
from relocation_analysis.reporting.run.execute import ChapterError


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as exit_:
        main(list(arguments))
    shown = capsys.readouterr()
    return exit_.value.code, shown.out, shown.err


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("n=3", 3),
        ("n=0.5", 0.5),
        ("n=true", True),
        ("n=True", "True"),
        ("n=052", "052"),
        ('n="052"', "052"),
        ("n=never_treated", "never_treated"),
        ("n=a=b", "a=b"),
        ("n=", ""),
        ("n=[1, 2]", "[1, 2]"),
        ("n=1\nm = 2", "1\nm = 2"),
        ("n=2020-01-01", "2020-01-01"),
    ],
)
def test_a_parameter_is_a_toml_scalar_or_the_text_as_it_stands(text, value):
    parsed = parse_parameters((text,))["n"]
    assert parsed == value and type(parsed) is type(value)


@pytest.mark.parametrize("texts", [("seed",), ("=3",), ("a=1", "a=2")])
def test_a_parameter_without_name_or_value_or_given_twice_is_refused(texts):
    with pytest.raises(InputError, match="A parameter must be"):
        parse_parameters(texts)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("report", "simulatd"), "write 'simulated'"),
        (("report", "--province", "guizou"), "write 'guizhou'"),
        (("report", "-p", "sed=3"), "write 'seed'"),
        (("report", "-p", "seed=three"), "seed"),
        (("report", "--language", "fr"), "language"),
        (("report", "--format", "odt"), "'odt' is not one of the 3 known"),
        (("report", "missing.toml"), "there is no file 'missing.toml'"),
        (("simulate", "--out", "panel.xls"), "'.xls' is not one of the 3 known"),
        (("get", "mpdt"), "write 'mpdta'"),
    ],
)
def test_wrong_input_ends_with_status_2_one_message_and_no_traceback(
    arguments, message, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    status, out, err = run(capsys, *arguments)
    assert status == 2 and out == ""
    assert message in err and "Problem: " in err and "Traceback" not in err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("arguments", [("reprt",), ("report", "--forc"), ("simulate",)])
def test_wrong_usage_ends_with_status_2(arguments, capsys):
    status, _, err = run(capsys, *arguments)
    assert status == 2 and "Usage: " in err


def test_a_failed_chapter_ends_with_status_1_and_one_message(capsys, tmp_path, monkeypatch):
    def fail(*_):
        error = ChapterError("employment", "cell In [3] raised ValueError: x")
        error.add_note("The notebook is kept: failed.ipynb")
        raise error

    monkeypatch.setattr(report, "write_report", fail)
    status, _, err = run(capsys, "report", "--out", str(tmp_path))
    assert status == 1
    assert err == (
        "The chapter 'employment' did not run: cell In [3] raised ValueError: x\n"
        "The notebook is kept: failed.ipynb\n"
    )


def test_a_report_prints_where_it_is(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(report, "write_report", lambda study, out, formats, force: out / study.province)
    status, out, _ = run(capsys, "report", "--province", "yunnan", "--out", str(tmp_path), "--format", "html")
    assert status == 0 and out.split() == [str(tmp_path / "yunnan" / "report.html")]


@pytest.mark.parametrize(
    ("command", "expected"), [("studies", "simulated"), ("provinces", "guizhou"), ("outcomes", "unmet")]
)
def test_lists_name_what_there_is(command, expected, capsys):
    status, out, _ = run(capsys, command)
    assert status == 0 and expected in out


def test_the_version_is_told(capsys):
    assert run(capsys, "--version")[:2] == (0, f"relocation, version {__version__}\n")


@pytest.mark.parametrize(
    ("suffix", "read"), [("csv", pd.read_csv), ("parquet", pd.read_parquet), ("dta", pd.read_stata)]
)
def test_simulate_writes_the_panel_in_each_format(suffix, read, capsys, tmp_path):
    path = tmp_path / f"panel.{suffix}"
    small = ("-p", "villages=12", "-p", "households_per_village=4")
    status, out, err = run(capsys, "simulate", "--province", "guizhou", "--out", str(path), *small)
    assert (status, err) == (0, "")
    panel = read(path)
    assert f"{len(panel)} rows" in out
    assert {"province", "village", "person", "time", "cohort", "offfarm_wage"} <= set(panel.columns)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
