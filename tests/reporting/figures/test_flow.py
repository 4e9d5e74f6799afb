"""The sample flow draws the released flow: boxes with what is left, beside them what was left out and why."""

import numpy as np
import pandas as pd
import pytest

from relocation_analysis.errors import InputError
from relocation_analysis.estimation.design import FLOW_COLUMNS
from relocation_analysis.language import speaking
from relocation_analysis.reporting.disclosure import release
from relocation_analysis.reporting.figures import canvas
from relocation_analysis.reporting.figures.flow import describe_flow, draw_flow, list_boxes, plot_flow

FLOW = pd.DataFrame(
    [
        ("unmet", "file", "rows of the file, one per person and time", 0, 0, 56_713, 8_452),
        ("unmet", "universe", "not aged 16-59 at the first wave", 27_573, 4_102, 29_140, 4_350),
        ("unmet", "missing", "the outcome is not known or not defined", 140, 32, 29_000, 4_318),
        ("debt", "file", "rows of the file, one per household and time", 0, 0, 20_000, 3_000),
    ],
    columns=FLOW_COLUMNS,
)
ROSTER = pd.DataFrame(
    [
        ("unmet", "file", "rows of the file, one per household", 0, 0, 1_907, 1_907),
        ("unmet", "missing", "the outcome is not known or not defined", 55, 55, 1_852, 1_852),
    ],
    columns=FLOW_COLUMNS,
)


@pytest.fixture
def public():
    before = release.kept()
    release.keep(release.Rule(public=True))
    yield
    release.keep(before)


def texts(boxes):
    """The words of each box, whatever its lines."""
    return [" ".join(text for text, _style in box["lines"]) for box in boxes]


def own(flow, outcome="unmet"):
    return flow[flow["outcome"] == outcome].reset_index(drop=True)


def test_each_step_is_a_box_and_what_it_leaves_out_a_box_beside_it(codebook, public):
    boxes = list_boxes(own(FLOW), codebook["unmet"])
    assert [box["side"] for box in boxes] == ["main", "side", "main", "side", "main"]
    assert texts(boxes) == [
        "In the file Rows of the file, one per person and time Rows 56,713, units 8,452",
        "Not aged 16-59 at the first wave Rows 27,573, units 4,102",
        "Remaining Rows 29,140, units 4,350",
        "The outcome is not known or not defined Rows 140, units 32",
        "Counted for unmet need for care Rows 29,000, units 4,318",
    ]


def test_the_drawing_holds_exactly_these_boxes_and_no_two_of_them_touch(codebook, public):
    boxes = list_boxes(own(FLOW), codebook["unmet"])
    ax = canvas.add_panel(canvas.new_sheet(4), 0.02, 0.02, 0.02, 0.02)
    draw_flow(ax, boxes)
    drawn = [patch for patch in ax.patches if patch.get_label() in ("main", "side")]
    assert [(p.get_x(), p.get_y(), p.get_height()) for p in drawn] == [(b["left"], b["top"], b["bottom"] - b["top"]) for b in boxes]
    assert all(one["bottom"] < other["top"] for one, other in zip(boxes, boxes[1:]))
    assert [t.get_text() for t in ax.texts] == [text for box in boxes for text, _style in box["lines"]]
    assert len(ax.patches) - len(drawn) == 4  # two arrows down, one to each box of what is left out


def test_counts_are_those_that_release_flow_gives(codebook):
    figure = plot_flow(FLOW, codebook, "unmet")
    shown = own(release.release_flow(FLOW))
    boxes = texts(list_boxes(shown, codebook["unmet"]))
    for box, counts in zip(boxes, (shown.iloc[0], None, shown.iloc[1], None, shown.iloc[2]), strict=True):
        if counts is not None:
            assert box.endswith(f"Rows {counts['rows_left']:,.0f}, units {counts['units_left']:,.0f}")
    assert "56,715 rows of 8,450 units" in figure.alt and "56,713" not in figure.alt
    assert "Counts are rounded to 5." in figure.note


def test_a_step_of_few_is_marked_and_its_number_is_nowhere(codebook):
    flow = FLOW.copy()
    flow.loc[2, ["rows_dropped", "units_dropped", "rows_left", "units_left"]] = [8, 7, 29_132, 4_343]
    figure = plot_flow(flow, codebook, "unmet")
    boxes = texts(list_boxes(own(release.release_flow(flow)), codebook["unmet"]))
    assert boxes[3].endswith("Rows [c], units [c]")
    assert "a withheld number of rows of a withheld number of units (the outcome is not known or not defined)" in figure.alt
    assert "[c]: withheld, because it is a count below 10, or would reveal one." in figure.note


def test_the_text_says_who_was_left_out_and_why(codebook, public):
    assert describe_flow(own(FLOW), codebook["unmet"]) == (
        "Of 56,713 rows of 8,452 units in the file, 29,000 rows of 4,318 units are counted for unmet need for care."
        " Left out, in this order: 27,573 rows of 4,102 units (not aged 16-59 at the first wave);"
        " 140 rows of 32 units (the outcome is not known or not defined)."
    )
    assert "[c]" not in plot_flow(FLOW, codebook, "unmet").note and "rounded" not in plot_flow(FLOW, codebook, "unmet").note


def test_where_a_unit_has_one_row_only_units_are_spoken_of(codebook, public):
    figure = plot_flow(ROSTER, codebook, "unmet")
    assert figure.alt == (
        "Of 1,907 units in the file, 1,852 units are counted for unmet need for care."
        " Left out, in this order: 55 units (the outcome is not known or not defined)."
    )
    assert texts(list_boxes(ROSTER, codebook["unmet"]))[-1] == "Counted for unmet need for care Units 1,852"


def test_a_flow_that_leaves_nothing_out_is_one_box_and_says_so(codebook, public):
    figure = plot_flow(FLOW, codebook, "debt")
    boxes = list_boxes(own(FLOW, "debt"), codebook["debt"])
    assert len(boxes) == 1 and boxes[0]["lines"][0][0].startswith("In the file, and counted")
    assert figure.alt.endswith("nothing is left out.") and "On the right" not in figure.note


def test_the_flow_speaks_chinese(codebook, public):
    with speaking("zh"):
        figure = plot_flow(ROSTER.assign(reason=["数据文件的行，每户一行", "结果变量未知"]), codebook, "unmet")
    assert figure.alt == (
        "数据文件共有1,907个单位，其中1,852个单位计入未满足的就医需求的估计。依次剔除：55个单位（结果变量未知）。"
    )


def test_the_flow_of_a_design_is_drawn_whole(design, codebook):
    for outcome in design.outcomes:
        figure = plot_flow(design.flow, design.outcomes, outcome)
        steps = design.flow[design.flow["outcome"] == outcome]
        assert all(reason in figure.alt for reason in steps["reason"].iloc[1:])
    assert len(np.unique(design.flow["outcome"])) == len(design.outcomes)


@pytest.mark.parametrize(
    ("flow", "outcome", "message"),
    [
        (FLOW, "unmett", "write 'unmet'"),
        (FLOW, "insured", "it has no rows"),
        (FLOW.drop(columns="reason"), "unmet", "1 missing, the first 'reason'"),
    ],
)
def test_a_flow_without_its_outcome_says_what_is_missing(codebook, flow, outcome, message):
    with pytest.raises(InputError, match=message):
        plot_flow(flow, codebook, outcome)
