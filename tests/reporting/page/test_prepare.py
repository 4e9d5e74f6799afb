"""Numbers and references are settled before a page is set: the same in every format, and loud where something is missing."""

import copy

import nbformat
import pytest

from relocation_analysis.language import speaking
from relocation_analysis.reporting.page import prepare
from relocation_analysis.reporting.page.prepare import RenderError, labelled, number_sections, resolve_references

LABELS = {"fig-a": "Figure 1", "tbl-b": "Table 2", "sec-c": "Section 2.1"}


def notebook_of(*texts: str):
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(text) for text in texts])


def test_an_unknown_reference_names_the_nearest():
    with pytest.raises(
        RenderError, match=r"refers to @fig-b, which the report does not show; the nearest is @\w+"
    ):
        resolve_references("See @fig-b.", LABELS)


@pytest.mark.parametrize(
    ("text", "resolved"),
    [
        ("see @sec-c", "see [Section\xa02.1](#sec-c)"),
        ("见@fig-a。", "见[Figure\xa01](#fig-a)。"),
        ("(@fig-a)", "([Figure\xa01](#fig-a))"),
        ("@fig-a, @tbl-b.", "[Figure\xa01](#fig-a), [Table\xa02](#tbl-b)."),
        ("`@fig-a`", "`@fig-a`"),
        ("```\n@fig-z\n```", "```\n@fig-z\n```"),
        (r"\@fig-z", r"\@fig-z"),
        ("a@fig-z.org", "a@fig-z.org"),
    ],
)
def test_references_are_resolved_in_text_and_nowhere_else(text, resolved):
    assert resolve_references(text, LABELS) == resolved


@pytest.mark.parametrize(
    ("text", "resolved"),
    [
        ("依据@roth2022指出", "依据[]{}@{roth2022}指出"),
        ("@roth2022指出", "[]{}@{roth2022}指出"),
        ("见@roth2022。", "见[]{}@{roth2022}。"),
        ("，@roth2022。", "，@roth2022。"),
        ("[@roth2022]", "[@roth2022]"),
    ],
)
def test_a_work_may_touch_chinese_text(text, resolved):
    assert resolve_references(text, LABELS) == resolved


def test_sections_are_numbered_as_pandoc_numbers_them():
    report = notebook_of(
        "# One {#sec-one}\n\n## A\n\n## B {#sec-b .wide}", "# Works {.unnumbered #sec-works}",
        "# Two\n\n### Deep {#sec-deep}\n\n```\n# no heading {#sec-code}\n```\n\n# Three {#sec-three}",
    )  # fmt: skip
    assert number_sections(report) == {
        "sec-one": "Section 1",
        "sec-b": "Section 1.2",
        "sec-deep": "Section 2.0.1",
        "sec-three": "Section 3",
    }


def test_exhibits_are_numbered_in_reading_order_in_the_language_of_the_report(record):
    for language, labels in (("en", ["Figure 1", "Table 1"]), ("zh", ["图 1", "表 1"])):
        found = labelled({"one": record.make_record(language)}, language)
        assert [meta["label"] for meta in found][:2] == labels and len(found) == 5


def test_two_exhibits_with_one_id_stop_the_report(record):
    report = record.make_record("en")
    report.cells.append(copy.deepcopy(next(c for c in report.cells if "image/svg+xml" in str(c))))
    with pytest.raises(RenderError, match="two exhibits have the id 'fig-line'"):
        prepare.prepare(report)


def test_the_abstract_leaves_the_text_and_its_code_goes_to_what_comes_next(record):
    prepared = prepare.prepare(record.make_record("en"))
    assert prepared.metadata.relocation.abstract.startswith("The move raised wage work")
    assert "[Figure\xa01](#fig-line)" in prepared.metadata.relocation.abstract
    assert not any("The move raised" in str(cell) for cell in prepared.cells)
    assert not any(cell.metadata.get("code") == "ra.describe_abstract()" for cell in prepared.cells)


def test_two_abstracts_stop_the_report_in_its_language(record):
    report = record.make_record("zh")
    report.cells.append(copy.deepcopy(report.cells[1]))
    with speaking("zh"), pytest.raises(RenderError, match="报告有2个提要；只能有一个"):
        prepare.prepare(report)


def test_code_that_shows_nothing_is_folded_above_what_comes_next():
    said = [nbformat.v4.new_output("display_data", data={"text/markdown": text, prepare.META: {"kind": "prose"}}) for text in ("", "It fell.")]
    cells = [nbformat.v4.new_code_cell(source, outputs=[output]) for source, output in zip(("quiet()", "loud()"), said)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata.relocation = {"language": "en"}
    assert [cell.metadata.get("code") for cell in prepare.prepare(notebook).cells] == [None, "quiet()\n\nloud()"]


def test_rows_that_a_chapter_published_are_not_copied_and_on_no_page():
    meta = {"kind": "records", "effects": {"rows": [[1.0]]}}
    output = nbformat.v4.new_output("display_data", data={prepare.META: meta})
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("ra.publish()", outputs=[output])])
    notebook.metadata.relocation = {"language": "en"}
    prepared = prepare.prepare(notebook)
    assert prepared.cells[0].outputs == [] and notebook.cells[0].outputs[0].data[prepare.META] == meta
    copied = prepare.copy_notebook(notebook)
    assert copied == notebook and copied.cells[0].outputs[0].data is not output.data
    assert copied.cells[0].outputs[0].data[prepare.META] is notebook.cells[0].outputs[0].data[prepare.META]


def test_preparing_leaves_the_record_as_it_was(record):
    report = record.make_record("en")
    before = copy.deepcopy(report)
    prepare.prepare(report)
    assert report == before
