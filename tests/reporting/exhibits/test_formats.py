"""One table, the same cells in every form; what would not fit a page is broken, what belongs together is named so."""

import csv
import io
import re

import pytest

from relocation_analysis.language import speaking
from relocation_analysis.reporting.exhibits import formats
from relocation_analysis.reporting.exhibits.kinds import Column, Table

NAME, N = Column("Name"), Column("N", "right")
LONG = "a text of words that goes on and on until it would not stand on one line of any page that is printed on paper"


def make_table(rows=(("a", "1"),), columns=(NAME, N), **more) -> Table:
    return Table("tbl-x", columns, rows, "Caption", **{"note": "Note"} | more)


GROUPED = make_table((("first",), ("a", "\u22121.5"), ("second",), ("b", "2,000.25")))
TWO_LEVELS = make_table(
    (("rows",), ("a", "x", "1", "2")), (NAME, Column("Unit"), Column("treated", "right", "Clusters"), Column("others", "right", "Clusters"))
)


def test_heads_have_scope_and_groups_are_bodies():
    html = formats.to_html(GROUPED)
    assert html.count('<th scope="col"') == 2 and html.count('<th scope="row"') == 2
    assert html.count("<tbody>") == 2 and html.count('scope="rowgroup" colspan="2"') == 2
    assert "headers=" not in html


def test_under_a_head_of_two_levels_each_cell_names_its_heads():
    html = formats.to_html(TWO_LEVELS)
    ids = set(re.findall(r' id="([^"]+)"', html))
    cells = re.findall(r'<td class="[^"]*" headers="([^"]+)">([^<]*)</td>', html)
    assert [(text, names.split()) for names, text in cells] == [
        ("x", ["tbl-x-r0", "tbl-x-r1", "tbl-x-c1"]),
        ("1", ["tbl-x-r0", "tbl-x-r1", "tbl-x-g2", "tbl-x-c2"]),
        ("2", ["tbl-x-r0", "tbl-x-r1", "tbl-x-g2", "tbl-x-c3"]),
    ]
    assert {name for names, _ in cells for name in names.split()} <= ids
    assert '<th scope="colgroup" colspan="2" id="tbl-x-g2">Clusters</th>' in html
    assert html.count('rowspan="2"') == 2


def test_typst_repeats_its_head_and_spans_groups():
    typst = formats.to_typst(GROUPED)
    assert 'table.header(strong("Name"), strong("N"), table.hline(stroke: 0.5pt))' in typst
    assert re.search(r'table\.header\(level: 2, table\.cell\(colspan: 2, .*emph\("first"\)\)\)', typst)
    two = formats.to_typst(TWO_LEVELS)
    assert 'table.cell(colspan: 2, align: center, stroke: (bottom: 0.4pt), strong("Clusters")), strong("treated")' in two


def test_latex_is_ruled_by_booktabs_and_aligns_by_phantoms():
    latex = formats.to_latex(make_table((("a", "0.5"), ("b", "\u221212.125"), ("c", "3"))))
    assert latex.splitlines()[1:] == [
        r"\begin{table}", r"\centering", r"\caption{Caption}\label{tbl-x}", r"\begin{tabular}{lr}", r"\toprule", r"Name & N \\", r"\midrule",
        r"a & 0.5\phantom{0}\phantom{0} \\", r"b & $-$12.125 \\", r"c & 3\phantom{.}\phantom{0}\phantom{0}\phantom{0} \\",
        r"\bottomrule", r"\end{tabular}", r"{\par\smallskip\footnotesize Note\par}", r"\end{table}",
    ]  # fmt: skip


def test_latex_rules_the_head_above_and_breaks_what_is_long():
    assert r" &  & \multicolumn{2}{c}{Clusters} \\" in formats.to_latex(TWO_LEVELS)
    assert r"\cmidrule(lr){3-4}" in formats.to_latex(TWO_LEVELS)
    broken = formats.to_latex(make_table(((LONG, LONG),), (NAME, Column("Text"))))
    assert broken.count(r"p{\dimexpr 0.50\linewidth-2\tabcolsep}") == 2
    long = formats.to_latex(make_table(tuple((str(k), "1") for k in range(60))))
    assert r"\begin{longtable}" in long and r"\endhead" in long and "{table}" not in long


def test_csv_has_plain_numbers_and_groups_in_a_column():
    rows = list(csv.reader(io.StringIO(formats.to_csv(GROUPED))))
    assert rows == [["Group", "Name", "N"], ["first", "a", "-1.5"], ["second", "b", "2000.25"]]
    assert formats.to_csv(TWO_LEVELS).splitlines()[0] == "Group,Name,Unit,Clusters: treated,Clusters: others"
    with speaking("zh"):
        assert formats.to_csv(GROUPED).startswith("组别,")


def test_plain_text_aligns_chinese_too():
    plain = formats.to_plain(make_table((("务工", "1"), ("ab", "22"))))
    assert plain.splitlines() == ["Caption", "Name   N", "务工   1", "ab    22"]


@pytest.mark.parametrize(
    ("rows", "columns", "shares"),
    [
        ((("a", "1"),), (NAME, N), [0, 0]),  # as wide as its cells
        ((("a", *"1234"),), (NAME, *[N] * 4), [1, 0, 0, 0, 0]),  # many columns: the page's width
        (((LONG,), ("a", "1")), (NAME, N), [1, 0]),  # a long heading of rows
        ((("a heading of rows",), ("a", "1")), (NAME, N), [0, 0]),  # a short one
        ((("a", LONG, "1"),), (NAME, Column("Text"), N), [0, 10, 0]),  # root of its 109 characters, rounded
        ((("a", "一" * 60),), (NAME, Column("Text")), [0, 11]),  # a Chinese character takes the room of two
    ],
)
def test_columns_of_long_text_share_what_the_others_leave(rows, columns, shares):
    assert formats.column_shares(make_table(rows, columns)) == shares


def test_a_wide_table_is_one_of_many_columns_or_of_more_than_a_line():
    assert not formats.is_wide(GROUPED)
    assert formats.is_wide(make_table((("a", LONG),), (NAME, Column("Text"))))
    assert formats.is_wide(make_table((tuple("123456789"),), (NAME, *[N] * 8)))


def test_lines_count_what_is_broken():
    assert formats.count_lines(GROUPED) == 4
    # 103 characters are left for the text: two lines for its 109, and one for the heading
    assert formats.count_lines(make_table((("h",), ("a", LONG)), (NAME, Column("Text")))) == 3


def test_a_heading_wider_than_its_rows_widens_the_first_column():
    # 17 characters, less one of the second column and three between them, half an em each
    assert "columns: (6.5em, auto,)" in formats.to_typst(make_table((("a heading of rows",), ("a", "1")), (NAME, N)))
    assert "columns: (auto, auto,)" in formats.to_typst(make_table((("head",), ("a", "1")), (NAME, N)))
