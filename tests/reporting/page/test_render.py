"""What a reader gets: exhibits numbered alike in both formats, text as text, nothing from the network."""

import base64
import hashlib
import html
import io
import re
import urllib.parse
from html.parser import HTMLParser

import nbformat
import pytest

from relocation_analysis.reporting.exhibits.kinds import Column, Figure, Prose, Table, escape_markdown
from relocation_analysis.reporting.page.render import (
    HTMLReport,
    PDFReport,
    RenderError,
    TypstReport,
    compile_typst,
    data_uri,
)
from relocation_analysis.reporting.run import execute

HOSTILE = "<script>alert(1)</script> #typst $x$ *b* _u_ @y {{ x }} `c`"
SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="100pt" height="50pt"><rect width="9" height="5"/></svg>'
BANNER = "Simulated data: not evidence about any real household"
BIBLIOGRAPHY = """@article{callaway2021, title={Difference-in-differences with multiple time periods},
author={Callaway, Brantly and Sant'Anna, Pedro H. C.}, journal={Journal of Econometrics}, year={2021}}"""


def show(exhibit, source="show()"):
    output = nbformat.v4.new_output("display_data", data=exhibit._repr_mimebundle_())
    return nbformat.v4.new_code_cell(source, outputs=[output])


def write(text):
    return nbformat.v4.new_markdown_cell(text)


def make_report(*cells, simulated=True, title="A title with " + HOSTILE):
    notebook = nbformat.v4.new_notebook(cells=[write("# First chapter"), *cells])
    metadata = {
        "title": title,
        "subtitle": "Below",
        "language": "en",
        "simulated": simulated,
        "citation": "Cite it.",
    }
    return execute.join(
        {"one": execute.normalise(notebook, "one")}, execute.closing_cells("# Last page", []), metadata
    )


def figure(name="fig-line"):
    return show(Figure(name, SVG, f"Caption {HOSTILE}", 'Alt "quoted"', note="A note."), "plot_line()")


def table(name="tbl-rows"):
    rows = ((HOSTILE, "0.5"), ("plain", "-0.125"))
    return show(Table(name, (Column("Name"), Column("Estimate", "right")), rows, "Rows"), "rows_table()")


@pytest.fixture(scope="module")
def bibliography(tmp_path_factory):
    path = tmp_path_factory.mktemp("bibliography") / "references.bib"
    path.write_text(BIBLIOGRAPHY)
    return str(path)


@pytest.fixture(scope="module")
def full():
    equation = "Inline $\\tau_i$ and\n\n$$ ATT(g,t) = \\frac{1}{N} \\sum_i Y_{it}. $$"
    return make_report(
        write("See @fig-line, @fig-other and @tbl-rows, after @callaway2021. Not `@fig-code`."),
        nbformat.v4.new_code_cell("quiet = 1"),
        figure(),
        table(),
        figure("fig-other"),
        show(Prose(f"Text **7**, {escape_markdown(HOSTILE)}, @fig-other.")),
        write(equation),
    )


@pytest.fixture(scope="module")
def page(full, bibliography):
    return HTMLReport(bibliography=bibliography).from_notebook_node(full)[0]


@pytest.fixture(scope="module")
def pdf(full, bibliography):
    return PDFReport(bibliography=bibliography).from_notebook_node(full)[0]


class Reader(HTMLParser):
    """Collects tags, attributes and text."""

    def __init__(self, page: str):
        super().__init__()
        self.tags, self.attributes, self.text = [], [], ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attrs]

    def handle_data(self, data):
        self.text += data


def read_pdf(content: bytes):
    pypdf = pytest.importorskip("pypdf")
    return pypdf.PdfReader(io.BytesIO(content))


def pdf_text(content: bytes) -> str:
    text = " ".join(page.extract_text() for page in read_pdf(content).pages)
    return re.sub(r"\s+", " ", text)


def test_the_page_loads_nothing_and_its_policy_forbids_it(page):
    reader = Reader(page)
    loaded = [a for a in reader.attributes if a[1] in ("src", "srcset", "data", "poster", "action", "style")]
    assert loaded and all(value.startswith("data:image/svg+xml,") for _, _, value in loaded)
    assert not {"link", "iframe", "object", "form", "base"} & set(reader.tags)
    assert "@import" not in page
    assert re.findall(r"url\(\s*['\"]?(?!data:font/woff;base64,|#)[^)]*", page[: page.index("<body")]) == []
    script = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script[0].encode()).digest()).decode()
    policy = "default-src 'none'; img-src data:; font-src data:; style-src 'unsafe-inline'; "
    policy += f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert len(script) == 1 and ("meta", "content", policy) in reader.attributes


def test_a_figure_in_the_page_is_the_svg_to_the_last_character():
    svg = SVG.replace("/></svg>", ' fill="#f00" style="width: 10%; a: \'b\'"><title>&amp; \u5341</title></rect></svg>\n')
    address = html.unescape(data_uri(svg))
    assert urllib.parse.unquote(address.removeprefix("data:image/svg+xml,")) == svg


def test_both_formats_number_and_refer_alike(page, pdf):
    assert re.findall(r"<figcaption[^>]*><b>(.*?)</b>", page) == ["Figure 1.", "Table 1.", "Figure 2."]
    text = pdf_text(pdf).replace("\xa0", " ")
    for sentence in (
        "See Figure 1, Figure 2 and Table 1, after Callaway and Sant’Anna (2021). Not @fig-code.",
    ):
        assert sentence in Reader(page).text.replace("\xa0", " ")
        assert sentence in text
    assert all(f"{label}. " in text for label in ("Figure 1", "Figure 2", "Table 1"))


def test_references_are_links_to_exhibits(page):
    reader = Reader(page)
    ids = {value for _, name, value in reader.attributes if name == "id"}
    targets = {value[1:] for _, name, value in reader.attributes if name == "href" and value.startswith("#")}
    assert {"fig-line", "fig-other", "tbl-rows"} <= targets <= ids


def test_figures_have_alternative_text_and_equations_are_mathml(page):
    reader = Reader(page)
    assert reader.attributes.count(("img", "alt", 'Alt "quoted"')) == 2
    assert reader.tags.count("math") == 2


def test_code_is_folded_above_what_it_shows(page):
    assert page.count("<summary>Code</summary>") == 4
    first = page[page.index("<details") : page.index("</details>")]
    assert "quiet" in first and "plot_line" in first


def test_headings_descend_from_one_title(page):
    levels = [int(tag[1]) for tag in Reader(page).tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(b - a <= 1 for a, b in zip(levels, levels[1:]))


def test_every_page_says_that_data_are_simulated(page, pdf, bibliography):
    assert Reader(page).text.count(BANNER) >= 1
    assert all(BANNER in p.extract_text() for p in read_pdf(pdf).pages)
    real = make_report(write("Real data."), simulated=False)
    assert BANNER not in HTMLReport(bibliography=bibliography).from_notebook_node(real)[0]
    assert BANNER not in pdf_text(PDFReport(bibliography=bibliography).from_notebook_node(real)[0])


def test_the_pdf_is_tagged_titled_has_bookmarks_and_is_the_same_bytes_twice(full, pdf, bibliography):
    reader = read_pdf(pdf)
    assert reader.metadata.title == "A title with " + HOSTILE
    assert reader.trailer["/Root"]["/MarkInfo"]["/Marked"]
    assert "pdfuaid:part" in reader.trailer["/Root"]["/Metadata"].get_data().decode()
    titles = [entry["/Title"] for entry in reader.outline if not isinstance(entry, list)]
    assert [re.sub(r"^\d+ ", "", title) for title in titles] == ["First chapter", "References", "Last page"]
    assert PDFReport(bibliography=bibliography).from_notebook_node(full)[0] == pdf


def test_works_cited_are_listed_before_the_last_page(page):
    text = Reader(page).text
    assert text.rindex("Difference-in-Differences with Multiple Time Periods") < text.rindex("Last page")


def test_without_citations_there_is_no_list_of_references(bibliography):
    page = HTMLReport(bibliography=bibliography).from_notebook_node(
        make_report(write("No work, ann@example.org."))
    )[0]
    assert "References" not in page


def test_a_work_that_is_not_in_the_bibliography_stops_the_report(bibliography):
    report = make_report(write("After @nobody2020."))
    with pytest.raises(RenderError, match="nobody2020"):
        HTMLReport(bibliography=bibliography).from_notebook_node(report)


def test_a_character_that_no_font_has_stops_the_pdf_and_is_named():
    with pytest.raises(RenderError, match='the text `"\u0f56"` could not be displayed'):
        compile_typst('#set document(title: "T")\n#set text(lang: "en")\n\u0f56', {})


def test_raw_html_in_a_narrative_is_text(bibliography):
    page = HTMLReport(bibliography=bibliography).from_notebook_node(
        make_report(write("a <b>bold</b> <script>x</script>"))
    )[0]
    assert "a <b>bold</b> <script>x</script>" in Reader(page).text


def test_the_typst_exporter_hands_over_the_figures(full, bibliography):
    source, resources = TypstReport(bibliography=bibliography).from_notebook_node(full)
    assert set(resources["outputs"]) == {"figures/fig-line.svg", "figures/fig-other.svg"}
    assert 'image("figures/fig-line.svg", alt: "Alt \\"quoted\\"")' in source
    assert 'alt: "\\\\tau_i"' in source
