"""What a reader gets: exhibits numbered alike in both formats, text as text, nothing from the network."""

import io
import re
from html.parser import HTMLParser

import nbformat
import pytest

from relocation_analysis.reporting import execute
from relocation_analysis.reporting.exhibits import Column, Figure, Prose, Table, escape_markdown
from relocation_analysis.reporting.render import (
    HTMLReport,
    PDFReport,
    RenderError,
    TypstReport,
    compile_pdf,
    resolve_references,
)

HOSTILE = "<script>alert(1)</script> #typst $x$ *b* _u_ @y {{ x }} `c`"
SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="100pt" height="50pt"><rect width="9" height="5"/></svg>'
BANNER = "Simulated data: not evidence about any real household"
BIBLIOGRAPHY = """@article{callaway2021, title={Difference-in-differences with multiple time periods},
author={Callaway, Brantly and Sant'Anna, Pedro H. C.}, journal={Journal of Econometrics}, year={2021}}"""
LABELS = {"fig-a": "Figure 1", "tbl-b": "Table 2"}


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


def test_the_page_loads_nothing(page):
    reader = Reader(page)
    loaded = [a for a in reader.attributes if a[1] in ("src", "srcset", "data", "poster", "action")]
    assert loaded and all(value.startswith("data:image/svg+xml;base64,") for _, _, value in loaded)
    assert not {"script", "link", "iframe", "object", "form"} & set(reader.tags)
    assert "url(" not in page and "@import" not in page
    assert (
        "meta",
        "content",
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'",
    ) in reader.attributes


def test_hostile_text_is_text_in_both_formats(page, pdf):
    reader = Reader(page)
    assert reader.text.count(HOSTILE) == 6  # title twice, two captions, a cell, the prose
    assert HOSTILE in re.sub(r"[\u2018\u2019]", "'", pdf_text(pdf))


def test_both_formats_number_and_refer_alike(page, pdf):
    assert re.findall(r"<figcaption><b>(.*?)\.</b>", page) == ["Figure 1", "Table 1", "Figure 2"]
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


def test_an_unknown_reference_names_the_nearest():
    with pytest.raises(
        RenderError, match=r"refers to @fig-b, which the report does not show; the nearest is @\w+"
    ):
        resolve_references("See @fig-b.", LABELS)


@pytest.mark.parametrize(
    ("text", "resolved"),
    [
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


def test_two_exhibits_with_one_id_stop_the_report():
    with pytest.raises(RenderError, match="two exhibits have the id 'fig-line'"):
        HTMLReport().from_notebook_node(make_report(figure(), figure()))


def test_a_character_that_no_font_has_stops_the_pdf_and_is_named():
    with pytest.raises(RenderError, match='the text `"易"` could not be displayed'):
        compile_pdf('#set document(title: "T")\n#set text(lang: "en")\n易地扶贫搬迁', {})


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
