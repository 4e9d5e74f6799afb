"""Text from data is text in every target: no script, command, macro, link or formula comes alive."""

import csv
import io
import json
import re
import subprocess
from html.parser import HTMLParser

import nbformat
import numpy as np
import pandas as pd
import pypandoc
import pypdf
import pytest

from relocation_analysis.reporting.exhibits.escapes import escape_cells, escape_csv, escape_html, escape_latex, escape_markdown, escape_typst
from relocation_analysis.reporting.exhibits.kinds import Column, Figure, Prose, Table
from relocation_analysis.reporting.page.render import DOCXReport, HTMLReport, PDFReport
from relocation_analysis.reporting.run import execute

ATTACKS = (
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "#panic()", '#read("x")', r"\input{x}", r"\end{tabular}\write18{x}",
    "[x](y)", "![x](y.png)", '=cmd("x")', "$x^2$ ~ %", "{{ x }}", "*b* _u_ `c`", "@roth2022 @fig-x", "a -- b --- c", "]] }}} &amp;",
    "[c] * [", "<!-- x -->", "::: {.x}", "# h {#x}",
)  # fmt: skip
GRAVE = {"latex": "", "markdown": "`"}  # pandoc does not read LaTeX's name of a grave accent
SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="100pt" height="50pt"><rect width="9" height="5"/></svg>'


class Reader(HTMLParser):
    """The tags of a page, and its text."""

    def __init__(self, page: str):
        super().__init__()
        self.tags, self.text, self.attributes = [], "", []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attrs]

    def handle_data(self, data):
        self.text += data


def read_by_pandoc(source: bytes, kind: str) -> str:
    """What pandoc takes for text in a document; raw HTML, TeX or Typst is none, and a link or an image gives itself away."""
    command = [pypandoc.get_pandoc_path(), "--sandbox", f"--from={kind}", "--to=json"]
    tree = json.loads(subprocess.run(command, input=source, capture_output=True, check=True).stdout)

    def walk(node) -> str:
        if isinstance(node, list):
            return "".join(map(walk, node))
        if not isinstance(node, dict):  # an attribute, a target
            return ""
        kind, inner = node.get("t"), node.get("c", [])
        assert kind not in ("RawInline", "RawBlock", "Code", "Cite", "Note"), node
        quote = {"SingleQuote": "'", "DoubleQuote": '"'}[inner[0]["t"]] if kind == "Quoted" else ""
        if kind == "Math":  # the minus signs, the dots and digits that pad
            return {"-": "\u2212"}.get(inner[1], inner[1])
        return inner if kind == "Str" else quote + walk(inner) + quote

    return walk(tree["blocks"])


def squeeze(text: str) -> str:
    """`text` without spaces, its quotes and dashes as typed: what typography may change."""
    text = re.sub(r"[\u2018\u2019]", "'", re.sub(r"[\u201c\u201d]", '"', text))
    return re.sub(r"\s", "", text)


@pytest.fixture(scope="module")
def hostile():
    """A record in which every text is an attack."""
    cells = [nbformat.v4.new_markdown_cell("# Chapter")]
    for k, attack in enumerate(ATTACKS):
        columns = (Column(attack), Column("n", "right", attack))
        table = Table(f"tbl-{k}", columns, ((attack,), (attack, "1")), attack, attack, attack)
        figure = Figure(f"fig-{k}", SVG, attack, attack, attack, attack)
        for exhibit in (Prose(escape_markdown(attack)), table, figure):
            output = nbformat.v4.new_output("display_data", data=exhibit._repr_mimebundle_())
            cells.append(nbformat.v4.new_code_cell("show()", outputs=[output]))
    everything = " | ".join(ATTACKS)
    about = {"title": everything, "subtitle": everything, "citation": everything, "facts": [[everything, everything]]}
    about |= {"language": "en", "simulated": True}
    return execute.join({"one": execute.normalise(nbformat.v4.new_notebook(cells=cells), "one")}, [], about)


def test_each_escape_is_read_back_as_the_text():
    for attack in ATTACKS:
        assert Reader(escape_html(attack)).text == attack
        assert escape_typst(attack)[1:-1].replace(r"\"", '"').replace(r"\\", "\\") == attack
    for escape, kind in ((escape_latex, "latex"), (escape_markdown, "markdown")):
        lines = "\n\n".join("a " + escape(attack.replace("`", GRAVE[kind])) for attack in ATTACKS)
        assert squeeze(read_by_pandoc(lines.encode(), kind)) == "".join(
            "a" + squeeze(attack.replace("`", GRAVE[kind])) for attack in ATTACKS
        )
    assert escape_latex("`") == r"\textasciigrave{}"


def test_every_attack_is_text_in_the_page(hostile):
    page = Reader(HTMLReport().from_notebook_node(hostile)[0])
    assert page.tags.count("script") == 1 and page.tags.count("img") == len(ATTACKS)
    assert {name for _, name, _ in page.attributes if name.startswith("on")} == set()
    shown = squeeze(page.text)
    for attack in ATTACKS:  # prose; heads, group, cell, caption and note of the table; caption and note of the figure
        assert shown.count(squeeze(attack)) >= 8, attack


def test_every_attack_is_text_in_the_pdf(hostile):
    pages = pypdf.PdfReader(io.BytesIO(PDFReport().from_notebook_node(hostile)[0])).pages
    shown = squeeze("".join(page.extract_text() for page in pages))
    for attack in ATTACKS:
        assert squeeze(attack) in shown, attack


def test_every_attack_is_text_in_the_word_file(hostile):
    shown = squeeze(read_by_pandoc(DOCXReport().from_notebook_node(hostile)[0], "docx"))
    for attack in ATTACKS:
        assert shown.count(squeeze(attack)) >= 8, attack


def test_every_attack_is_text_in_the_tex_and_the_csv(hostile):
    bundles = [o.data for cell in hostile.cells for o in cell.get("outputs", ()) if "text/csv" in o.data]
    latex = [bundle["text/latex"] for bundle in bundles]
    shown = squeeze(read_by_pandoc("\n\n".join(latex).encode(), "latex"))
    for attack, source, bundle in zip(ATTACKS, latex, bundles, strict=True):
        assert shown.count(squeeze(attack.replace("`", ""))) >= 4, attack
        assert source.count(r"\end{tabular}") == 1 and r"\input" not in source and r"\write" not in source
        assert list(csv.reader(io.StringIO(bundle["text/csv"])))[1] == [escape_csv(attack), escape_csv(attack), "1"]


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=cmd()", "'=cmd()"), ("+1+1", "'+1+1"), ("-a", "'-a"), ("@x", "'@x"), ("\tx", "'\tx"), ("\rx", "'\rx"), ("＝cmd()", "'＝cmd()"),
        ("-2+3", "'-2+3"), ("\u221212.5", "-12.5"), ("-0.5", "-0.5"), ("+3", "+3"), ("1,234.5", "1234.5"), (".043", ".043"), ("84%", "84%"),
        ("\u22125.0 to 3.2", "\u22125.0 to 3.2"), ("1,2", "1,2"), ("-", "'-"), ("plain", "plain"), ("", ""), ("\u2013", "\u2013"),
    ],
)  # fmt: skip
def test_a_spreadsheet_computes_nothing_and_reads_numbers(text, cell):
    assert escape_csv(text) == cell


def test_a_typst_literal_has_no_line_break_and_no_open_quote():
    assert escape_typst('a\n"b"\\') == '"a \\"b\\"\\\\"'


def test_markdown_escapes_cover_every_character_that_means_something():
    assert escape_markdown("a*b_c@d$e<f") == r"a\*b\_c\@d\$e\<f"


def test_a_record_as_csv_keeps_its_numbers_and_disarms_its_texts():
    frame = pd.DataFrame({"label": ["=cmd()", "sex=female", None], "estimate": [-0.1, np.nan, 1 / 3], "passed": [True, None, False]})
    written = escape_cells(frame).to_csv(index=False)
    assert written.splitlines()[1:] == ["'=cmd(),-0.1,True", "sex=female,,", ",0.3333333333333333,False"]
