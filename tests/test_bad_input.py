"""Bad input, one table: each case breaks one thing of a panel or a study file that is otherwise fine, and
the whole message is compared. The same messages come from the command line, with exit status 2, no
traceback and nothing written."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from relocation_analysis.cli import main
from relocation_analysis.data.panel import check_panel, read_panel
from relocation_analysis.data.study import read_study
from relocation_analysis.errors import InputError
from relocation_analysis.estimation.design import build_design
from relocation_analysis.estimation.estimate import estimate

STUDY = """name = "mine"
title = "A study"
outcomes = ["unmet", "debt"]
[data]
path = "x.csv"
"""


def good():
    """Persons 1 to 6 in households and villages of their own, 2016 to 2018; 1 and 2 move in 2017, 3 in
    2018."""
    rows = pd.DataFrame([(p, t) for p in range(1, 7) for t in (2016, 2017, 2018)], columns=["person", "time"])
    cohort = rows["person"].map({1: 2017.0, 2: 2017.0, 3: 2018.0})
    return rows.assign(
        household=rows["person"],
        village="v" + rows["person"].astype(str),
        cohort=cohort,
        unmet=0.0,
        debt=5.0,
        age=30,
        weight=1.0,
    )


def changed(frame, mask, **values):
    frame = frame.astype(dict.fromkeys(values, object))
    frame.loc[mask, list(values)] = list(values.values())
    return frame


def first_row(frame):
    return frame.index == 0


PANELS = {
    "no rows": (
        lambda d: d.iloc[:0],
        "A data file must hold rows.\n"
        "Problem: x.csv has 0 rows and 9 columns.\nFix: check how it was written.",
    ),
    "a missing column with a near name": (
        lambda d: d.rename(columns={"village": "vilage"}),
        "A panel must have the columns of its design.\nProblem: 'village' is not among the 9 columns.\n"
        "Fix: map it in [columns], for instance village = 'vilage'.",
    ),
    "no outcome of the study": (
        lambda d: d.rename(columns={"unmet": "unmett"}),
        "An outcome of the study must be a known name.\n"
        "Problem: 'unmet' is not one of the 1 known.\nFix: use one of debt.",
    ),
    "text for a number": (
        lambda d: changed(d, first_row(d), unmet="yes"),
        "unmet must be a number.\nProblem: 1 of 18 values are not, first 'yes'.\n"
        "Fix: correct them, or leave them empty where unknown.",
    ),
    "text for a time": (
        lambda d: changed(d, d["time"] == 2017, time="second"),
        "time must be a number.\nProblem: 6 of 18 values are not, first 'second'.\n"
        "Fix: correct them, or leave them empty where unknown.",
    ),
    "half a year": (
        lambda d: d.assign(time=d["time"] + 0.5),
        "time must be a whole number.\nProblem: 18 rows have another, first time = 2016.5.\n"
        "Fix: count periods as whole numbers, such as years.",
    ),
    "a time that is missing": (
        lambda d: changed(d, d["person"] == 2, time=np.nan),
        "time must not be missing.\n"
        "Problem: it is in 3 of 18 rows, first row 4.\nFix: fill it in, or remove those rows.",
    ),
    "a village that is missing": (
        lambda d: changed(d, d["person"] == 6, village=None),
        "village must not be missing.\n"
        "Problem: it is in 3 of 18 rows, first row 16.\nFix: fill it in, or remove those rows.",
    ),
    "a weight of zero": (
        lambda d: changed(d, first_row(d), weight=0.0),
        "weight must be positive.\nProblem: 1 rows have another, first weight = 0.0.\n"
        "Fix: remove those rows, or correct the weight.",
    ),
    "a row twice": (
        lambda d: pd.concat([d, d.iloc[4:6]]),
        "(person, time) must be unique.\n"
        "Problem: 2 rows repeat an earlier one, first person = 2, time = 2017.\n"
        "Fix: keep one row per unit and time.",
    ),
    "a cohort that changes": (
        lambda d: changed(d, first_row(d), cohort=np.nan),
        "cohort must not change within person.\nProblem: it does for 1 of 6, first person = 1: nan, 2017.0.\n"
        "Fix: give each unit the value of its first wave.",
    ),
    "a village that changes": (
        lambda d: changed(d, first_row(d), village="elsewhere"),
        "village must not change within person.\n"
        "Problem: it does for 1 of 6, first person = 1: elsewhere, v1.\n"
        "Fix: give each unit the value of its first wave.",
    ),
    "a share above one": (
        lambda d: changed(d, d["person"] == 4, unmet=40.0),
        "unmet must lie between 0 and 1 (share).\n"
        "Problem: 3 of 18 rows do not, first person = 4, time = 2016, unmet = 40.0.\n"
        "Fix: correct the value, map its unit, or leave it empty where unknown.",
    ),
    "a household of two minds": (
        lambda d: changed(d.assign(household=1), first_row(d), debt=9.0),
        "debt must be one value per household and time.\n"
        "Problem: members of 1 of 3 differ, first household = 1, time = 2016.\n"
        "Fix: give every member the value of the household.",
    ),
    "one period": (
        lambda d: d[d["time"] == 2017],
        "A rollout must be seen at two times or more.\nProblem: the panel has only time = 2017.\n"
        "Fix: add a wave from before the move.",
    ),
    "one cluster": (
        lambda d: d.assign(village="v"),
        "There must be two clusters or more.\nProblem: all 6 units have village = v.\n"
        "Fix: map the level at which relocation was assigned, usually the natural village.",
    ),
    "nobody moved": (
        lambda d: d.assign(cohort=np.nan),
        "Somebody must have been relocated.\nProblem: none of 6 units has a cohort of 2018 or earlier.\n"
        "Fix: fill in cohort, the first period relocated.",
    ),
    "all moved before the first wave": (
        lambda d: d.assign(cohort=2015.0),
        "Somebody must be seen before the move.\n"
        "Problem: all 6 relocated units had moved by the first wave, 2016.\n"
        "Fix: add a wave from before the move.",
    ),
    "all moved at once": (
        lambda d: d.assign(cohort=2017.0),
        "Somebody must be there to compare with.\nProblem: all 6 units moved in 2017.\n"
        "Fix: add units that never moved or moved later.",
    ),
    "all others moved before the first wave": (
        lambda d: d.assign(cohort=np.where(d["person"] < 4, 2015.0, 2017.0)),
        "Somebody must be there to compare with.\n"
        "Problem: at 2017, the first wave after a move, none of 6 units is of the "
        "comparison 'not_yet_treated'.\n"
        "Fix: add units that never moved or moved later, or choose the other comparison.",
    ),
}

FILES = {
    "an empty file": (
        "x.csv",
        b"",
        "A data file must hold rows.\nProblem: x.csv has 0 rows and 0 columns.\n"
        "Fix: check how it was written.",
    ),
    "a file that is not what its name says": (
        "x.parquet",
        b"person,time\n1,2016\n",
        "A .parquet file must be readable.\nProblem: x.parquet: {reason}.\n"
        "Fix: check that the file is whole and of the type its name says.",
    ),
    "a spreadsheet": (
        "x.xlsx",
        b"PK",
        "A data file must be of a known type.\nProblem: 'x.xlsx' ends in '.xlsx'.\n"
        "Fix: save it as one of .csv, .parquet, .dta, .rda, .rdata, .rds.",
    ),
}

SETTINGS = "Every setting of a study must be known and of its type.\nProblem: "
ONE = SETTINGS + "1 setting(s) of mine.toml are not usable, first "
STUDIES = {
    "not TOML": (
        "name = mine",
        None,
        "A study file must be TOML.\nProblem: mine.toml: Invalid value (at line 1, column 8).\n"
        "Fix: correct that line.",
    ),
    "an unknown setting": (
        STUDY.replace("title", "titel"),
        None,
        SETTINGS
        + "2 setting(s) of mine.toml are not usable, first title: Field required.\nFix: correct title.",
    ),
    "an unknown setting of the design": (
        STUDY + "[design]\nanticipations = 1",
        None,
        ONE + "design.anticipations: Extra inputs are not permitted.\nFix: write 'anticipation'.",
    ),
    "text for a number": (
        STUDY + '[design]\ndraws = "many"',
        None,
        ONE + "design.draws: Input should be a valid integer, unable to "
        "parse string as an integer (found 'many').\nFix: correct design.draws.",
    ),
    "a value that is no choice": (
        STUDY + '[design]\ncomparison = "all"',
        None,
        ONE + "design.comparison: Input should be 'not_yet_treated' or "
        "'never_treated' (found 'all').\nFix: correct design.comparison.",
    ),
    "a number for a list": (
        STUDY.replace('["unmet", "debt"]', "3"),
        None,
        ONE + "outcomes: Input should be a valid tuple (found 3).\nFix: correct outcomes.",
    ),
    "a text for a table": (
        'name = "mine"\ntitle = "t"\ndata = "x.csv"',
        None,
        SETTINGS + "data of mine.toml is not a table (found 'x.csv').\n"
        "Fix: write the heading [data] and its settings below it.",
    ),
    "an unknown outcome": (
        STUDY.replace("debt", "dept"),
        None,
        "An outcome must be a known name.\nProblem: 'dept' is not one of the 43 known.\nFix: write 'debt'.",
    ),
    "an unknown parameter": (
        STUDY,
        {"drawz": 99},
        "A parameter must be a known name.\nProblem: 'drawz' is not one of the {settable} known.\n"
        "Fix: write 'draws'.",
    ),
    "a parameter of the wrong type": (
        STUDY,
        {"draws": "many"},
        ONE + "design.draws: Input should be a valid integer, unable to "
        "parse string as an integer (found 'many').\nFix: correct design.draws.",
    ),
    "a parameter out of its range": (
        STUDY,
        {"draws": 5},
        ONE + "design.draws: Input should be greater than or equal to 99 "
        "(found 5).\nFix: correct design.draws.",
    ),
    "no data": (
        'name = "mine"\ntitle = "t"\n[data]\n',
        None,
        ONE + "data: Value error, state exactly one of simulate, path and url.\nFix: correct data.",
    ),
}


def write_study(folder: Path, text: str = STUDY, frame=None) -> Path:
    (folder / "mine.toml").write_text(text, encoding="utf-8")
    if frame is not None:
        frame.to_csv(folder / "x.csv", index=False)
    return folder / "mine.toml"


def message(call) -> str:
    with pytest.raises(InputError) as raised:
        call()
    return str(raised.value)


def test_the_panel_that_the_cases_break_is_fine(tmp_path):
    study = read_study(write_study(tmp_path, frame=good()))
    effects = estimate(build_design(check_panel(read_panel(study), study), study))
    assert set(effects.table["outcome"]) == {"unmet", "debt"}


@pytest.mark.parametrize("case", PANELS)
def test_a_panel_that_cannot_be_used_is_refused_in_one_message(tmp_path, case):
    change, expected = PANELS[case]
    study = read_study(write_study(tmp_path, frame=change(good())))
    assert message(lambda: check_panel(read_panel(study), study)) == expected


@pytest.mark.parametrize("case", FILES)
def test_a_file_that_cannot_be_read_is_refused_in_one_message(tmp_path, case):
    name, content, expected = FILES[case]
    (tmp_path / name).write_bytes(content)
    study = read_study(write_study(tmp_path, STUDY.replace("x.csv", name)))
    found = message(lambda: read_panel(study))
    head, _, tail = expected.partition("{reason}")
    assert found.startswith(head) and found.endswith(tail) and found.count("\n") == 2


@pytest.mark.parametrize("case", STUDIES)
def test_a_study_that_cannot_be_used_is_refused_in_one_message(tmp_path, case):
    from relocation_analysis.data.codebook import read_codebook
    from relocation_analysis.data.study import settable

    text, parameters, expected = STUDIES[case]
    expected = expected.replace("{settable}", str(len(settable(simulated=False)))).replace(
        "43", str(len(read_codebook()))
    )
    assert message(lambda: read_study(write_study(tmp_path, text), parameters=parameters)) == expected


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            ("nowhere.toml",),
            "A study file must exist.\nProblem: there is no file 'nowhere.toml'.\n"
            "Fix: give the path of a .toml file, or the name of a shipped study.",
        ),
        (
            ("simulatd",),
            "The study must be a known name.\nProblem: 'simulatd' is not one of the {studies} known.\n"
            "Fix: write 'simulated'.",
        ),
        (
            ("simulated", "guizhuo"),
            "The province must be a known name.\nProblem: 'guizhuo' is not one of the 23 known.\n"
            "Fix: write 'guizhou'.",
        ),
        (
            ("simulated", None, "xx"),
            "The language must be a known name.\nProblem: 'xx' is not one of the 2 known.\nFix: use one of en, zh.",
        ),
    ],
)
def test_an_unknown_study_province_or_language_is_answered_with_the_nearest(arguments, expected):
    from relocation_analysis.data.study import list_studies

    assert message(lambda: read_study(*arguments)) == expected.replace("{studies}", str(len(list_studies())))


# ---- through the command line


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as stopped:
        main(list(arguments))
    captured = capsys.readouterr()
    return stopped.value.code, captured.out, captured.err


@pytest.mark.parametrize(
    ("case", "arguments"),
    [
        ("a share above one", ()),
        ("a row twice", ()),
        ("all moved at once", ()),
        ("no rows", ()),
        (None, ("-p", "drawz=9")),
        (None, ("-p", "draws=many")),
        (None, ("--province", "nowhere")),
        (None, ("--language", "xx")),
    ],
)
def test_the_command_line_ends_with_status_2_without_traceback_and_writes_nothing(
    tmp_path, capsys, case, arguments
):
    change = PANELS[case][0] if case else (lambda d: d)
    path = write_study(tmp_path, frame=change(good()))
    before = sorted(p.name for p in tmp_path.rglob("*"))
    status, _, shown = run(capsys, "report", str(path), "--out", str(tmp_path / "reports"), *arguments)
    assert status == 2 and "Traceback" not in shown and shown.count("Problem: ") == shown.count("Fix: ") == 1
    if case:
        assert PANELS[case][1] in shown
    assert sorted(p.name for p in tmp_path.rglob("*")) == before


# ---- what a study asks of its panel


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (
            '[columns]\nage = "agee"',
            "Every column that a study maps must be in its file.\n"
            "Problem: age = 'agee' is not among the 9 columns.\nFix: write 'age'.",
        ),
        (
            "[missing]\ncohrt = 0",
            "A column of [missing] must be a known name.\nProblem: 'cohrt' is not one of the 9 known.\n"
            "Fix: write 'cohort'.",
        ),
    ],
)
def test_a_setting_that_names_no_column_is_answered_with_the_nearest(tmp_path, settings, expected):
    study = read_study(write_study(tmp_path, STUDY + settings, good()))
    assert message(lambda: read_panel(study)) == expected


def test_a_province_that_the_file_lacks_is_answered_with_the_nearest(tmp_path):
    study = read_study(write_study(tmp_path, STUDY, good().assign(province="guizhou")), "guizhuo")
    assert message(lambda: read_panel(study)).endswith("Fix: write 'guizhou'.")
    study = read_study(write_study(tmp_path, STUDY, good()), "guizhou")
    assert "the file has no such column" in message(lambda: read_panel(study))


def test_a_stratum_that_the_panel_lacks_is_named(tmp_path):
    study = read_study(
        write_study(tmp_path, STUDY + '[design]\nstrata = ["minorty"]', good().assign(minority="x"))
    )
    found = message(lambda: check_panel(read_panel(study), study))
    assert found.endswith("Fix: map it in [columns], for instance minorty = 'minority'.")


@pytest.mark.parametrize(
    ("settings", "change", "sentence"),
    [
        (
            "anticipation = 1",
            lambda d: d[d["time"] >= 2017].assign(cohort=d["cohort"].where(d["cohort"] != 2017)),
            "had moved by the first wave, 2017, or within the 1 periods of anticipation after it",
        ),
        (
            'comparison = "never_treated"',
            lambda d: d.assign(cohort=d["cohort"].fillna(2030)),
            "comparison 'never_treated'",
        ),
    ],
)
def test_a_design_that_the_panel_cannot_serve_is_refused(tmp_path, settings, change, sentence):
    study = read_study(write_study(tmp_path, STUDY + "[design]\n" + settings, change(good())))
    assert sentence in message(lambda: check_panel(read_panel(study), study))
