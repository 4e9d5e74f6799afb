"""Exhibits show exactly the text they were given, in every target, and carry numbers to the last bit."""

import json

import numpy as np
import pandas as pd
import pytest

from relocation_analysis.estimation.checks import Check
from relocation_analysis.estimation.effects import EFFECT_COLUMNS, Effects
from relocation_analysis.reporting.disclosure import rule
from relocation_analysis.reporting.exhibits.kinds import (
    META,
    Column,
    Figure,
    Prose,
    Table,
    frame_from_json,
    frame_to_json,
    publish,
)

def make_table(rows=(("a", "1"),), columns=(Column("Name"), Column("N", "right"))) -> Table:
    return Table("tbl-x", columns, rows, "Caption", note="Note", source="reporting.tables.x")


def test_decimal_points_of_a_right_column_stand_in_one_line():
    column = make_table(rows=(("a", "0.5"), ("b", "−12.125"), ("c", "1,234"), ("d", "n/a"))).aligned_rows()
    assert [row[1] for row in column] == [
        "0.5\u2007\u2007",
        "−12.125",
        "1,234\u2008\u2007\u2007\u2007",
        "n/a",
    ]


def test_a_row_of_the_wrong_length_is_refused():
    with pytest.raises(ValueError, match="a row of table 'tbl-x' has 3 cells, its head 2"):
        make_table(rows=(("a", "1", "2"),))


def test_a_cell_that_is_not_text_is_refused():
    with pytest.raises(ValueError, match="is not text"):
        make_table(rows=(("a", 1),))


@pytest.mark.parametrize("name", ["line", "fig-", "fig-A", "tbl-line", "fig-a b"])
def test_a_figure_id_has_its_prefix(name):
    with pytest.raises(ValueError, match="the id of a figure is fig-"):
        Figure(name, "<svg/>", "Caption", "Alt")


def test_a_figure_without_alternative_text_is_refused():
    with pytest.raises(ValueError, match="must say in `alt` what it shows"):
        Figure("fig-a", "<svg/>", "Caption", " ")


def test_exhibits_name_the_function_behind_them():
    assert make_table()._repr_mimebundle_()[META]["source"] == "reporting.tables.x"
    figure = Figure("fig-a", "<svg/>", "Caption", "Alt", source="reporting.figures.y")
    assert figure._repr_mimebundle_()[META]["source"] == "reporting.figures.y"
    assert Prose("x")._repr_mimebundle_()[META] == {"kind": "prose", "disclosure": "restricted-10"}


def test_a_passage_can_be_the_abstract_and_nothing_else():
    assert Prose("x", role="abstract")._repr_mimebundle_()[META] == {"kind": "prose", "role": "abstract", "disclosure": "restricted-10"}
    with pytest.raises(ValueError, match="role is blank or abstract, not 'title'"):
        Prose("x", role="title")


def test_a_table_carries_every_form_of_itself():
    bundle = make_table()._repr_mimebundle_()
    assert {"text/html", "text/typst", "text/latex", "text/csv", "text/plain", META} == set(bundle)


def test_a_frame_survives_json_to_the_last_bit():
    frame = pd.DataFrame({"a": ["x", None], "b": [0.1 + 0.2, np.nan], "c": [np.inf, 1 / 3], "d": [1, 2]})
    frame["e"] = pd.Series([True, None], dtype=object)
    back = frame_from_json(json.loads(json.dumps(frame_to_json(frame), allow_nan=False)))
    pd.testing.assert_frame_equal(back, frame, check_exact=True)


def test_publish_takes_one_or_many_and_leaves_the_table_of_a_check_behind(monkeypatch):
    monkeypatch.setattr(rule, "_kept", rule.Rule(public=True))
    row = dict.fromkeys(EFFECT_COLUMNS, "") | {"estimate": 1 / 3}
    effects = Effects(pd.DataFrame([row]), None, None)
    check = Check("a", "pre-trend", "No trend.", 1.0, 0.5, None, pd.DataFrame({"x": [1]}), "Not rejected.")
    records = publish(effects=[effects, effects], checks=check, flow=pd.DataFrame({"outcome": ["a"]}))
    assert len(records.effects) == 2 and len(records.flow) == 1
    assert list(records.checks.columns) == [
        "outcome",
        "name",
        "null",
        "statistic",
        "p_value",
        "passed",
        "note",
    ]
    bundle = records._repr_mimebundle_()
    assert bundle["text/plain"] == "Published 2 rows of effects, 1 rows of checks, 1 rows of flow."
    assert frame_from_json(bundle[META]["effects"])["estimate"].tolist() == [1 / 3, 1 / 3]
