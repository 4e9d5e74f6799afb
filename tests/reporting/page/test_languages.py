"""The page in two languages: one record, the same numbers, no word of the other language, and Chinese that survives the PDF."""

import base64
import io
import re
import shutil
import subprocess
import unicodedata
import zipfile

import nbformat
import pypdf
import pytest

from relocation_analysis.language import spoken
from relocation_analysis.reporting.exhibits.kinds import META
from relocation_analysis.reporting.page.fonts import characters_of_equations, maths_font
from relocation_analysis.reporting.page.render import DOCXReport, HTMLReport, PDFReport, compile_typst
from relocation_analysis.reporting.run import execute

EXPORTERS = {"html": HTMLReport, "pdf": PDFReport, "docx": DOCXReport}
HAN = re.compile(r"[\u3400-\u9fff]")


@pytest.fixture(scope="module")
def rendered(record):
    """(language, format) -> the file."""
    notebooks = {language: record.make_record(language) for language in ("en", "zh")}
    return {
        (language, name): exporter().from_notebook_node(notebook)[0]
        for language, notebook in notebooks.items()
        for name, exporter in EXPORTERS.items()
    }


@pytest.fixture(scope="module")
def words(rendered):
    """The text of the Chinese PDF, in the order in which it was set, without running heads and spaces."""
    if shutil.which("pdftotext") is None:
        pytest.skip("pdftotext is not on this machine")
    command = ["pdftotext", "-raw", "-nopgbrk", "-x", "0", "-y", "84", "-W", "596", "-H", "690", "-", "-"]  # A4 in points
    return squeeze(subprocess.run(command, input=rendered["zh", "pdf"], capture_output=True, check=True).stdout.decode())


def squeeze(text: str) -> str:
    """`text` without spaces of any kind: justification and alignment are not the text."""
    return "".join(c for c in text if not c.isspace() and unicodedata.category(c) not in ("Cf", "Zs"))


def sentences(markdown: str) -> list[str]:
    """What a passage says between its references, equations and marks."""
    plain = re.sub(r"\$\$.*?\$\$|\$[^$]*\$|\[?-?@[\w-]+\]?|\n\n|\n- ", "\0", markdown, flags=re.DOTALL | re.ASCII)
    plain = re.sub(r"\{#[^}]*\}|(?<=\0)[#>\-\s]+|^[#\s]+|[*`]", "", plain)
    return [squeeze(part) for part in plain.split("\0") if HAN.search(part)]


def test_every_chinese_sentence_and_cell_comes_out_of_the_pdf_as_it_went_in(words, record):
    found = []
    for cell in record.make_record("zh").cells:
        if cell.cell_type == "markdown":
            found += sentences(cell.source)
        for output in cell.get("outputs", ()):
            meta = output.data[META]
            found += sentences(output.data.get("text/markdown", ""))
            found += [squeeze(meta[name]) for name in ("caption", "note") if meta.get(name)]
    for table in record.tables(record.TEXTS["zh"]):
        found += [squeeze(cell) for row in table.rows for cell in row] + [squeeze(column.label) for column in table.columns]
    assert len(found) > 200
    assert [text for text in found if text not in words] == []


def test_characters_of_the_pdf_are_the_ordinary_ones(words):
    radicals = [c for c in words if "\u2e80" <= c <= "\u2fdf" or "\uf900" <= c <= "\ufaff"]
    assert radicals == [] and HAN.search(words)


def test_a_report_speaks_one_language(rendered):
    english, chinese = (re.sub(r"<(style|script)>.*?</\1>", "", rendered[language, "html"], flags=re.DOTALL) for language in ("en", "zh"))
    assert not HAN.search(english)
    for word in ("Figure", "Table", "Note", "Code", "Contents", "Summary", "References", "Simulated", "Skip", "Show"):
        assert not re.search(rf"\b{word}\b", chinese.replace("Journal", "")), word
    assert "<b>图 1</b>" in chinese and "<b>表 1</b>" in chinese and "注：" in chinese and "第\xa01.1\xa0节" in chinese
    assert "<b>Figure 1.</b>" in english and "Section\xa01.1" in english


def test_both_languages_print_the_same_numbers(rendered):
    english, chinese = (re.findall(r"<td[^>]*>([\d.,\s\u2212\u2013]+)</td>", rendered[language, "html"]) for language in ("en", "zh"))
    assert len(english) > 75 and english == chinese


def test_pages_say_their_language_and_exporters_leave_it_as_it_was(rendered):
    assert '<html lang="en">' in rendered["en", "html"] and '<html lang="zh-CN">' in rendered["zh", "html"]
    for language, code in (("en", "en"), ("zh", "zh-CN")):
        assert pypdf.PdfReader(io.BytesIO(rendered[language, "pdf"])).trailer["/Root"]["/Lang"] == code
    assert spoken() == "en"


def test_the_abstract_stands_in_the_title_block_of_every_format(rendered, record):
    header = re.search(r"<header>.*?</header>", rendered["en", "html"], re.DOTALL)[0]
    assert "The move raised wage work by <strong>6.4 points</strong>" in header and "<strong>Province</strong> Guizhou" in header
    assert rendered["en", "html"].count("The move raised wage work") == 1
    first = squeeze(pypdf.PdfReader(io.BytesIO(rendered["zh", "pdf"])).pages[0].extract_text())
    assert first.index("内容提要") < first.index("搬迁使非农务工提高6.4个百分点") < first.index("目录")
    document = part(rendered["zh", "docx"], "word/document.xml")
    assert document.index("内容提要") < document.index("6.4个百分点") < document.index("结论")


def test_sections_are_referred_to_by_their_number(rendered):
    for language in ("en", "zh"):
        page = rendered[language, "html"]
        target = re.search(r'<a href="#sec-answer">[^<]*1\.1[^<]*</a>', page)
        assert target and page.count('id="sec-answer"') == 1
        assert re.search(r'<h3[^>]*><span class="header-section-number">1\.1</span>', page)


def test_every_page_of_every_format_says_that_data_are_simulated(rendered, record):
    for page in pypdf.PdfReader(io.BytesIO(rendered["zh", "pdf"])).pages:
        assert "模拟数据：不构成关于任何真实家庭的证据" in squeeze(page.extract_text())
    assert "Simulated data: not evidence" in part(rendered["en", "docx"], "word/header1.xml")
    real = DOCXReport().from_notebook_node(record.make_record("en", simulated=False))[0]
    assert not any(name.startswith("word/header") for name in zipfile.ZipFile(io.BytesIO(real)).namelist())


def part(docx: bytes, name: str) -> str:
    return zipfile.ZipFile(io.BytesIO(docx)).read(name).decode()


def test_the_word_file_has_tables_with_repeated_heads_alternative_texts_and_equations(rendered, record):
    document = part(rendered["zh", "docx"], "word/document.xml")
    assert document.count("<w:tbl>") == 4 and document.count("<w:tblHeader") == 5  # one table has a head of two rows
    assert f'descr="{record.TEXTS["zh"]["alt"]}"' in document
    assert document.count("<m:oMath>") == 2
    assert 'w:eastAsia="SimSun"' in part(rendered["zh", "docx"], "word/styles.xml")
    assert "<w:i />" not in document.replace('<w:pStyle w:val="Bibliography" />', "")[: document.index("参考文献")]


def test_the_word_file_is_the_same_bytes_twice(rendered, record):
    assert DOCXReport().from_notebook_node(record.make_record("zh"))[0] == rendered["zh", "docx"]


def test_a_figure_in_the_word_file_has_300_dots_an_inch(rendered):
    file = zipfile.ZipFile(io.BytesIO(rendered["en", "docx"]))
    image = file.read(next(name for name in file.namelist() if name.endswith(".png")))
    assert int.from_bytes(image[16:20]) == 1890  # 453.6 points, 6.3 inches


def test_the_page_carries_the_characters_of_its_equations(rendered):
    page = rendered["en", "html"]
    needed = characters_of_equations(page)
    assert set("\U0001d434\U0001d70f\u2211\U0001d53c") <= set(needed)  # italic A and tau, the sum, the double-struck E
    assert maths_font(needed) in page and len(maths_font(needed)) < 20_000
    assert maths_font("") == "" and maths_font.__wrapped__(needed) == maths_font(needed)


def test_the_embedded_font_has_what_it_must_show(rendered):
    from fontTools.ttLib import TTFont

    data = base64.b64decode(re.search(r"base64,([^)]*)\) format", rendered["en", "html"])[1])
    with TTFont(io.BytesIO(data)) as font:
        assert {chr(code) for code in font.getBestCmap()} >= set(characters_of_equations(rendered["en", "html"]))
        assert "MATH" in font


def test_a_report_without_equations_carries_no_font():
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# One\n\nText.")])
    about = {"title": "T", "language": "en", "simulated": False}
    page = HTMLReport().from_notebook_node(execute.join({"one": execute.normalise(notebook, "one")}, [], about))[0]
    assert "font/woff" not in page


def test_a_chinese_character_stands_in_an_english_report():
    text = '#set document(title: "T")\n#set text(lang: "en")\n易地扶贫搬迁'
    assert "易地扶贫搬迁" in pypdf.PdfReader(io.BytesIO(compile_typst(text, {}))).pages[0].extract_text()
