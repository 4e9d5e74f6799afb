"""A report is written whole or not at all, is the same bytes twice, and knows when it is current."""

import getpass
import json
import os
import platform
import re
import shutil
import tempfile
from functools import partial
from pathlib import Path

import nbformat
import pytest

from relocation_analysis.data import panel as panel_module
from relocation_analysis.data.study import STUDIES, read_study
from relocation_analysis.errors import InputError
from relocation_analysis.reporting import report
from relocation_analysis.reporting.page.render import RenderError
from relocation_analysis.reporting.run import provenance
from relocation_analysis.reporting.run.execute import ChapterError, Runner

NOTEBOOKS = Path(__file__).with_name("notebooks")
RECORD = {"report.ipynb", "effects.csv", "checks.csv", "flow.csv", "exposures.csv", "disclosure.csv", "run.json"}
PLAN = [("alpha", ""), ("beta", "")]


@pytest.fixture(scope="module")
def chapters(tmp_path_factory) -> Path:
    """A folder of two tiny chapters, standing in for the project's own."""
    folder = tmp_path_factory.mktemp("chapters")
    for path in NOTEBOOKS.glob("*.ipynb"):
        shutil.copy(path, folder)
    return folder


@pytest.fixture(scope="module", autouse=True)
def tiny(chapters):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "NOTEBOOKS", chapters)
        patch.setattr(provenance, "code_files", lambda: sorted(chapters.glob("*.ipynb")))
        patch.setattr(provenance, "code_version", lambda: "version of the tests")
        patch.setattr(report, "_plan", lambda study: (PLAN, None))
        patch.setattr(panel_module, "study_files", lambda study: [STUDIES / "simulated.toml"])
        yield


@pytest.fixture(scope="module")
def runner():
    """One process to fork kernels from, for all tests here."""
    with Runner() as place:
        yield place


@pytest.fixture(scope="module")
def write(runner):
    return partial(report.write_report, runner=runner)


@pytest.fixture(scope="module")
def written(tmp_path_factory, write) -> Path:
    return write(read_study("simulated"), tmp_path_factory.mktemp("reports"))


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def edit(path: Path, old: str, new: str) -> None:
    path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")


def test_a_report_has_every_output_in_its_folder(written):
    assert written.parts[-3:] == ("simulated", "guizhou", "en")
    found = set(contents(written))
    exported = {name for name in found if name.startswith("exports/")}
    assert found - exported == RECORD | {"report.html", "report.pdf", "figures/fig-line.svg"}
    figures, tables = ({Path(n).stem for n in exported if f"/{kind}-" in n} for kind in ("fig", "tbl"))
    assert figures == {"fig-line"} and {"tbl-long", "tbl-hostile", "tbl-exhibits"} <= tables
    assert exported == {f"exports/{n}{s}" for n in figures for s in (".svg", ".pdf")} | {
        f"exports/{n}{s}" for n in tables for s in (".tex", ".csv")}  # fmt: skip
    run = json.loads((written / "run.json").read_text())
    assert set(run["outputs"]) == set(contents(written)) - {"run.json"}
    assert not list(written.parent.glob(".draft-*"))


def test_two_reports_are_the_same_bytes_but_for_the_run(written, tmp_path, write):
    again = contents(write(read_study("simulated"), tmp_path))
    first = contents(written)
    assert {k: v for k, v in first.items() if k != "run.json"} == {
        k: v for k, v in again.items() if k != "run.json"
    }


def test_a_current_report_is_left_alone_until_forced_or_damaged(tmp_path, capsys, write):
    study = read_study("simulated")
    folder = write(study, tmp_path, ("html",))
    stamp = (folder / "run.json").stat().st_mtime_ns
    write(study, tmp_path, ("html",))
    assert "report is current" in capsys.readouterr().out
    assert (folder / "run.json").stat().st_mtime_ns == stamp
    (folder / "effects.csv").write_text("damaged")
    write(study, tmp_path, ("html",))
    assert (folder / "effects.csv").read_text() != "damaged"
    assert not (folder / "report.pdf").exists()


def test_other_parameters_or_formats_make_another_fingerprint():
    prints = {
        provenance.fingerprint(read_study("simulated", parameters=p), f)
        for p in ({}, {"seed": 7})
        for f in (("html",), ("html", "pdf"))
    }
    assert len(prints) == 4


def test_a_chapter_that_fails_leaves_the_old_report_and_its_own_notebook(tmp_path, chapters, write):
    study = read_study("simulated")
    folder = write(study, tmp_path, ("html",))
    before = contents(folder)
    good = (chapters / "beta.ipynb").read_bytes()
    try:
        edit(chapters / "beta.ipynb", "Records(flow=flow)", "1 / 0")
        with pytest.raises(
            ChapterError, match=r"The chapter 'beta' did not run: cell In \[5\] raised ZeroDivisionError"
        ) as caught:
            write(study, tmp_path, ("html",))
    finally:
        (chapters / "beta.ipynb").write_bytes(good)
    after = contents(folder)
    failed = nbformat.reads(after.pop("failed.ipynb").decode(), as_version=4)
    assert after == before
    assert any(o.output_type == "error" for cell in failed.cells for o in cell.get("outputs", ()))
    assert "failed.ipynb" in caught.value.__notes__[0]
    write(study, tmp_path, ("html",), force=True)
    assert not (folder / "failed.ipynb").exists()


def test_a_reference_to_an_exhibit_that_is_not_there_stops_the_report(tmp_path, chapters, write):
    good = (chapters / "alpha.ipynb").read_bytes()
    try:
        edit(chapters / "alpha.ipynb", "to @fig-line", "to @fig-lime")
        with pytest.raises(
            RenderError, match="@fig-lime, which the report does not show; the nearest is @fig-line"
        ):
            write(read_study("simulated"), tmp_path, ("html",))
    finally:
        (chapters / "alpha.ipynb").write_bytes(good)
    assert set(contents(tmp_path / "simulated/guizhou/en")) == {"failed.ipynb"}


def test_a_chapter_without_outcomes_is_not_run_and_the_report_says_so(tmp_path, monkeypatch, write):
    plan = [("alpha", ""), ("beta", "The study has no outcome of schooling")]
    monkeypatch.setattr(report, "_plan", lambda study: (plan, None))
    page = (write(read_study("simulated"), tmp_path, ("html",)) / "report.html").read_text(
        encoding="utf-8"
    )
    assert "<em>Second chapter</em> was not run. The study has no outcome of schooling." in page
    assert "A table longer than a page" not in page


def test_an_unknown_format_is_named(tmp_path, write):
    with pytest.raises(InputError, match="'odt' is not one of the 3 known"):
        write(read_study("simulated"), tmp_path, ("odt",))


def test_no_output_names_a_path_or_the_machine(written):
    secrets = {os.getcwd(), str(Path.home()) + os.sep, tempfile.gettempdir() + os.sep}
    secrets |= {name for name in (platform.node(), getpass.getuser()) if len(name) > 4}
    for name, content in contents(written).items():
        text = content.decode("utf-8", errors="ignore")
        assert not [s for s in secrets if s in re.sub(r"[\w+/=]{200,}", "", text)], name


def test_every_exhibit_is_on_the_last_page_with_its_function(written):
    pypdf = pytest.importorskip("pypdf")
    page = (written / "report.html").read_text(encoding="utf-8")
    assert "reporting.figures.plot_line" in page and "reporting.tables.hostile" in page
    text = "\n".join(p.extract_text() for p in pypdf.PdfReader(written / "report.pdf").pages)
    assert "reporting.figures.plot_line" in text
