"""Chapters that fail say so; chapters that run leave the same record twice."""

import os
import sys
from pathlib import Path

import nbformat
import pytest

from relocation_analysis.reporting.run.execute import (
    ChapterError,
    Progress,
    Runner,
    check_title,
    gather,
    join,
    normalise,
    run_chapters,
    skipped_section,
)

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
PARAMETERS = {"study": "simulated", "province": "guizhou", "language": "en", "parameters": {"seed": 7}}
DEFAULTS = 'study = "simulated"\nprovince = None\nlanguage = "en"\nparameters = {}'


@pytest.fixture
def progress(tmp_path):
    with open(tmp_path / "progress.txt", "w+", encoding="utf-8") as stream:
        yield Progress(stream)


@pytest.fixture(scope="module")
def runner():
    """One process to fork kernels from, for all tests here."""
    with Runner(timeout=60) as place:
        yield place


@pytest.fixture
def run(progress, runner):
    def run_one(path: Path, runner=runner):
        return run_chapters({"chapter": path}, PARAMETERS, path.parent, progress, runner=runner)["chapter"]

    return run_one


def write_notebook(folder: Path, *sources: str, defaults: str = DEFAULTS) -> Path:
    cells = [nbformat.v4.new_markdown_cell("# Title"), nbformat.v4.new_code_cell(defaults)]
    cells[1].metadata.tags = ["parameters"]
    cells += map(nbformat.v4.new_code_cell, sources)
    path = folder / "chapter.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


def test_two_runs_of_two_chapters_leave_the_same_bytes(tmp_path, progress):
    chapters = {name: NOTEBOOKS / f"{name}.ipynb" for name in ("alpha", "beta")}
    one = run_chapters(chapters, PARAMETERS, tmp_path, progress)
    two = run_chapters(chapters, PARAMETERS, tmp_path, progress, workers=1)
    assert {k: nbformat.writes(v) for k, v in one.items()} == {k: nbformat.writes(v) for k, v in two.items()}
    assert list(one) == ["alpha", "beta"]
    found = gather(one)
    assert found["effects"]["estimate"].tolist() == [0.1, 1 / 3]
    assert found["effects"]["chapter"].tolist() == ["alpha", "alpha"]
    assert found["flow"].iloc[0].tolist() == ["beta", "a", "window", "no base period", 3, 1, 10, 4]
    assert list(found["checks"].columns) == [
        "chapter", "outcome", "name", "null", "statistic", "p_value", "passed", "note",
    ]  # fmt: skip


def test_kernels_run_this_interpreter_in_the_folder_asked_for_with_one_thread(tmp_path, run):
    names = "['OMP_NUM_THREADS', 'PYTHONHASHSEED']"
    ask = f"import os, sys\n(sys.executable, os.getcwd(), *map(os.environ.get, {names}))"
    shown = run(write_notebook(tmp_path, ask)).cells[-1].outputs[0].data["text/plain"]
    assert eval(shown) == (sys.executable, os.path.realpath(tmp_path), "1", "0")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("1 / 0", r"cell In \[3\] raised ZeroDivisionError: division by zero"),
        ("x = = 1", r"cell In \[3\] raised SyntaxError: invalid syntax"),
        ("import sys; sys.exit(0)", r"cell In \[3\] left the notebook before its end"),
        ("import os; os._exit(0)", "its kernel died"),
    ],
)
def test_a_chapter_that_does_not_reach_its_end_is_an_error_that_keeps_the_notebook(
    source, message, tmp_path, run
):
    with pytest.raises(ChapterError, match=f"The chapter 'chapter' did not run: {message}") as caught:
        run(write_notebook(tmp_path, source, "'not reached'"))
    assert any(cell.source == source for cell in caught.value.notebook.cells)


def test_a_parameter_the_notebook_does_not_have_is_an_error_before_a_kernel_starts(tmp_path, run):
    path = write_notebook(tmp_path, defaults='study = "simulated"\nprovnce = None')
    with pytest.raises(ChapterError, match="its cell tagged `parameters` must define"):
        run(path)


def test_a_file_that_is_no_notebook_is_an_error(tmp_path, run):
    path = tmp_path / "chapter.ipynb"
    path.write_text("not json")
    with pytest.raises(ChapterError, match="chapter.ipynb is not a readable notebook"):
        run(path)


def test_normalising_drops_times_paths_addresses_and_foreign_metadata():
    cell = nbformat.v4.new_code_cell("x", metadata={"papermill": {"duration": 1.5}, "tags": ["kept"]})
    cell.outputs = [
        nbformat.v4.new_output("stream", name="stderr", text="/home/ann/x.py: warning"),
        nbformat.v4.new_output("display_data", data={"text/plain": "<A at 0x7f3a>"}, metadata={"id": 3}),
    ]
    again = nbformat.from_dict(dict(cell) | {"id": "again"})
    notebook = nbformat.v4.new_notebook(cells=[cell, again], metadata={"papermill": {"start_time": "now"}})
    clean = normalise(notebook, "chapter")
    assert clean.cells[0].metadata == {"tags": ["kept"]} and "papermill" not in clean.metadata
    assert [o.data["text/plain"] for o in clean.cells[0].outputs] == ["<A at 0x>"]
    assert clean.cells[0].id != clean.cells[1].id
    assert clean == normalise(notebook, "chapter")


def test_a_chapter_has_one_title_in_its_first_cell(tmp_path):
    good = nbformat.read(NOTEBOOKS / "alpha.ipynb", as_version=4)
    assert check_title("alpha", good) == "First chapter"
    good.cells.append(nbformat.v4.new_markdown_cell("# Another"))
    with pytest.raises(ChapterError, match="must have one heading of level 1, in its first cell"):
        check_title("alpha", good)


def test_the_record_says_which_chapter_was_not_run_and_why():
    part = skipped_section(
        {"beta": NOTEBOOKS / "beta.ipynb"}, {"beta": "The study has no outcome of this domain"}, "en"
    )
    record = join({"skipped": part}, [], {"title": "T", "language": "en", "simulated": False})
    assert record.cells[0].source == (
        "# Not in this report\n\n- *Second chapter* was not run. The study has no outcome of this domain."
    )
    assert record.metadata.relocation.title == "T"
