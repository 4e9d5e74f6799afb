"""What goes into a manuscript is what the report shows, as files that are the same bytes twice."""

import io
import re

import pypdf
import pytest

from relocation_analysis.reporting.exhibits.kinds import META
from relocation_analysis.reporting.page.exports import export_files, write_exports


@pytest.fixture(scope="module")
def files(record):
    return export_files(record.make_record("en"), "en")


def test_every_table_is_tex_and_csv_and_every_figure_svg_and_pdf(files):
    tables = ("tbl-grouped", "tbl-levels", "tbl-wide", "tbl-long")
    assert list(files) == ["fig-line.svg", "fig-line.pdf", *(f"{name}{suffix}" for name in tables for suffix in (".tex", ".csv"))]


def test_files_hold_what_the_record_holds(files, record):
    for cell in record.make_record("en").cells:
        for output in cell.get("outputs", ()):
            name = output.data[META].get("id")
            if "text/csv" in output.data:
                assert files[f"{name}.csv"].decode() == output.data["text/csv"]
                assert files[f"{name}.tex"].decode() == output.data["text/latex"]
    assert files["fig-line.svg"].decode() == record.SVG


def test_a_figure_as_pdf_is_one_tagged_page_of_its_size_with_its_alternative_text(files, record):
    reader = pypdf.PdfReader(io.BytesIO(files["fig-line.pdf"]))
    assert len(reader.pages) == 1 and reader.metadata.title == "Wage work by year"
    assert [float(side) for side in reader.pages[0].mediabox[2:]] == pytest.approx([453.6, 120])
    assert reader.trailer["/Root"]["/MarkInfo"]["/Marked"]
    alternatives = [o.get_object().get("/Alt") for o in _objects(reader)]
    assert record.TEXTS["en"]["alt"] in alternatives
    assert not re.search(rb"/Subtype\s*/Image\b", files["fig-line.pdf"])  # vectors, no pixels


def _objects(reader):
    for number in range(1, len(reader.xref_objStm) + sum(map(len, reader.xref.values()))):
        found = reader.get_object(number)
        if isinstance(found, pypdf.generic.DictionaryObject):
            yield found


def test_the_same_bytes_twice_and_the_folder_is_made(files, record, tmp_path):
    written = write_exports(record.make_record("en"), tmp_path / "new" / "exports", "en")
    assert {path.name: path.read_bytes() for path in written} == files


def test_chinese_exports_are_utf_8_and_name_their_language(record):
    files = export_files(record.make_record("zh"), "zh")
    assert files["tbl-grouped.csv"].decode("utf-8").splitlines()[0] == "组别,结果变量,效应,95%区间,p值"
    assert "非农务工" in files["tbl-grouped.tex"].decode("utf-8")
    assert pypdf.PdfReader(io.BytesIO(files["fig-line.pdf"])).trailer["/Root"]["/Lang"] == "zh"
