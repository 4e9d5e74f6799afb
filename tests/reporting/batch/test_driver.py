"""A batch does what is not done, lets no province spoil another, and says what it did."""

import io
import json
import re
import shutil
import threading
import time
from pathlib import Path

import nbformat
import pandas as pd
import pytest

from relocation_analysis.data.panel import read_panel
from relocation_analysis.data.study import read_study
from relocation_analysis.errors import InputError
from relocation_analysis.reporting import report
from relocation_analysis.reporting.batch import driver as batch_module
from relocation_analysis.reporting.batch.driver import DONE, FAILED, UNCHANGED, succeeded, write_batch
from relocation_analysis.reporting.batch.jobs import plan_batch, read_state
from relocation_analysis.reporting.national import report as national
from relocation_analysis.reporting.run import chapters, provenance
from relocation_analysis.reporting.run.placing import WriteError, folder_name
from relocation_analysis.reporting.run.progress import BatchProgress

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
THREE = "guizhou,yunnan,gansu"
OWN = 'name = "own"\ntitle = "Own: {{province}}"\n[data]\npath = "{file}"\n[outcome.y]\ndomain = "other"\nrole = "primary"\nunit = ""\nlabel_en = "Y"\n'
ODD_NAMES = ("a/b", "..", "it's", 'say "so"', "Inner Mongolia", "贵州", "<b>x</b>", "national", "all")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A folder of two tiny chapters in place of the project's own; studies of files are checked for real."""
    folder = tmp_path_factory.mktemp("chapters")
    for path in NOTEBOOKS.glob("*.ipynb"):
        shutil.copy(path, folder)
    checked = report._plan
    plan = [("alpha", ""), ("beta", "")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "NOTEBOOKS", folder)
        patch.setattr(provenance, "code_files", lambda: sorted(folder.glob("*.ipynb")))
        patch.setattr(provenance, "code_version", lambda: "version of the tests")
        patch.setattr(report, "_plan", lambda study: (plan, None if study.simulated else checked(study)[1]))
        patch.setattr(national, "write_national", lambda *_: None)  # has tests of its own
        yield folder


@pytest.fixture(scope="module", autouse=True)
def runner(tiny):
    """One process to fork kernels from, whatever the number of workers asked for."""
    with chapters.Runner(2) as place, pytest.MonkeyPatch.context() as patch:

        class Shared:
            def __init__(self, workers, timeout):
                place._pool._max_workers = workers

            def __enter__(self):
                return place

            def __exit__(self, *_):
                pass

        patch.setattr(chapters, "Runner", Shared)
        yield place


@pytest.fixture
def chapter(tiny):
    """Edit a chapter for one test."""
    path = tiny / "beta.ipynb"
    good = path.read_bytes()

    def edit(source: str) -> None:
        notebook = nbformat.read(path, as_version=4)
        notebook.cells.append(nbformat.v4.new_code_cell(source))
        nbformat.write(notebook, path)

    yield edit
    path.write_bytes(good)


def run(out, *arguments, workers=2, **settings):
    """Plan and write a batch; how it ended and what it said."""
    stream = io.StringIO()
    plan = plan_batch(*arguments or ("simulated", THREE), out=out, **{"formats": ("html",)} | settings)
    return write_batch(plan, workers, stream=stream), stream.getvalue()


def hows(ended) -> dict[str, str]:
    return {one.name: one.how for one in ended}


def contents(folder: Path, but=("run.json",)) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*"))
            if p.is_file() and p.name not in but and ".locks" not in p.parts}  # fmt: skip


def panel_file(folder: Path, provinces, name="panel.csv") -> pd.DataFrame:
    """Six villages a province, three of them moved in 2018."""
    rows = [{"province": p, "village": f"{p} {v}", "person": f"{p} {v} {i}", "time": t, "cohort": 2018 if v < 3 else None, "y": v + t - 2016}
            for p in provinces for v in range(6) for i in range(3) for t in range(2016, 2020)]  # fmt: skip
    frame = pd.DataFrame(rows)
    frame.to_csv(folder / name, index=False)
    (folder / "own.toml").write_text(OWN.format(file=name), encoding="utf-8")
    return frame


def test_a_batch_writes_every_report_and_says_so_line_by_line(tmp_path):
    ended, said = run(tmp_path)
    assert hows(ended) == dict.fromkeys(THREE.split(","), DONE) and succeeded(ended)
    for name in THREE.split(","):
        assert (tmp_path / "simulated" / name / "en" / "report.html").is_file()
    lines = said.splitlines()
    assert [bool(re.fullmatch(r"\w+: done, [\d.]+ s \([123] of 3(, about .*left)?\)", line)) for line in lines[:3]] == [True] * 3
    assert lines[3:] == ["3 reports: 3 done", str(tmp_path / "simulated" / "index.html")]
    assert "\r" not in said and "\x1b" not in said


def test_what_did_not_change_is_skipped_and_says_so(tmp_path):
    run(tmp_path)
    before = contents(tmp_path, ("batch.json", "index.html"))
    ended, said = run(tmp_path)
    assert set(hows(ended).values()) == {UNCHANGED} and "guizhou: unchanged" in said and "3 reports: 3 unchanged" in said
    assert contents(tmp_path, ("batch.json", "index.html")) == before


def test_another_parameter_or_format_or_language_or_force_runs_again(tmp_path):
    run(tmp_path)
    for settings in ({"parameters": {"seed": 7}}, {"formats": ("html", "pdf")}, {"force": True}):
        assert set(hows(run(tmp_path, **settings)[0]).values()) == {DONE}, settings


def test_a_damaged_or_missing_report_alone_runs_again(tmp_path):
    run(tmp_path)
    (tmp_path / "simulated/yunnan/en/effects.csv").write_text("damaged")
    shutil.rmtree(tmp_path / "simulated/gansu")
    assert hows(run(tmp_path)[0]) == {"guizhou": UNCHANGED, "yunnan": DONE, "gansu": DONE}


def test_output_is_the_same_bytes_with_one_two_and_four_workers_in_any_order(tmp_path):
    found = []
    for workers, names in ((1, THREE), (2, "gansu,guizhou,yunnan"), (4, "yunnan,gansu,guizhou")):
        out = tmp_path / str(workers)
        run(out, "simulated", names, workers=workers)
        found.append(contents(out, ("run.json", "batch.json")))
    assert found[0] == found[1] == found[2] and len(found[0]) == 3 * 20 + 1


def test_a_failing_province_stops_no_other_and_is_named_with_chapter_and_error(tmp_path, chapter):
    run(tmp_path)
    chapter("province == 'yunnan' and 1 / 0")
    before = contents(tmp_path / "simulated/yunnan/en", ())
    ended, said = run(tmp_path)
    assert hows(ended) == {"guizhou": DONE, "yunnan": FAILED, "gansu": DONE} and not succeeded(ended)
    assert "failed: yunnan, chapter beta: cell In [6] raised ZeroDivisionError: division by zero" in said.splitlines()
    assert "3 reports: 2 done, 1 failed" in said
    after = contents(tmp_path / "simulated/yunnan/en", ())
    failed = nbformat.reads(after.pop("failed.ipynb").decode(), as_version=4)
    assert after == before
    assert [o.ename for cell in failed.cells for o in cell.get("outputs", ()) if o.output_type == "error"] == ["ZeroDivisionError"]


def test_an_error_that_nobody_thought_of_is_the_province_s_own(tmp_path, monkeypatch):
    def plan(study):
        if study.province == "gansu":
            raise KeyError("what")
        return [("alpha", ""), ("beta", "")], None

    monkeypatch.setattr(report, "_plan", plan)
    ended, said = run(tmp_path)
    assert hows(ended) == {"guizhou": DONE, "yunnan": DONE, "gansu": FAILED}
    assert "failed: gansu, KeyError: 'what'" in said


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"study": "simulatd"}, "write 'simulated'"),
        ({"provinces": "guizhou,guizou"}, "write 'guizhou'"),
        ({"provinces": "national"}, "'national' is not one of the 22 known"),
        ({"provinces": ","}, "',' is not one of the 22 known"),
        ({"language": "fr"}, "'fr' is not one"),
        ({"parameters": {"sed": 3}}, "write 'seed'"),
        ({"formats": ("htm",)}, "write 'html'"),
    ],
)
def test_everything_is_checked_before_anything_starts(settings, message, tmp_path):
    with pytest.raises(InputError, match=re.escape(message)):
        plan_batch(**{"study": "simulated", "out": tmp_path} | settings)
    assert not list(tmp_path.iterdir())


def test_all_of_the_simulated_study_are_the_22_provinces(tmp_path):
    names = [job.name for job in plan_batch("simulated", out=tmp_path).jobs]
    assert len(names) == 22 == len(set(names)) and names[0] == "hebei" and "national" not in names


def test_the_provinces_of_a_file_are_those_of_its_column_whatever_their_names(tmp_path):
    panel_file(tmp_path, ODD_NAMES)
    ended, _said = run(tmp_path / "out", tmp_path / "own.toml")
    assert hows(ended) == dict.fromkeys(sorted(ODD_NAMES), DONE)
    page = (tmp_path / "out/own/index.html").read_text(encoding="utf-8")
    for name in ODD_NAMES:
        folder = tmp_path / "out/own" / folder_name(name) / "en"
        run_record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        assert run_record["province"] == name and (folder / "report.html").is_file()
    assert "<b>x" not in page.split("<tbody>")[1].replace("<b>", "", page.count('class="number"'))
    for link in re.findall(r'href="([^"]*)"', page):
        from urllib.parse import unquote

        assert (tmp_path / "out/own" / unquote(link)).is_file(), link


def test_a_province_that_cannot_be_estimated_is_its_own_error(tmp_path):
    frame = panel_file(tmp_path, ("good", "one cohort", "all treated", "untreated"))
    moved = frame["province"] == "all treated"
    frame.loc[moved, "cohort"] = 2010
    frame.loc[frame["province"] == "untreated", "cohort"] = None
    frame.loc[frame["province"] == "one cohort", "cohort"] = 2018
    frame.to_csv(tmp_path / "panel.csv", index=False)
    ended, said = run(tmp_path / "out", tmp_path / "own.toml")
    problems = {one.name: one.problem for one in ended if one.how == FAILED}
    assert hows(ended)["good"] == DONE and "all treated" in problems and "untreated" in problems
    for problem in problems.values():
        assert "Problem: " in problem and "Fix: " in problem
    assert "Traceback" not in said


def test_a_province_without_rows_is_an_unknown_name_and_rows_without_a_province_are_told(tmp_path):
    frame = panel_file(tmp_path, ("gansu", "guizhou"))
    frame.loc[frame.index[:5], "province"] = None
    frame.to_csv(tmp_path / "panel.csv", index=False)
    with pytest.raises(InputError, match="'yunnan' is not one of the 2 known"):
        plan_batch(tmp_path / "own.toml", "gansu,yunnan", out=tmp_path / "out")
    assert "5 rows of the file name no province and are in no report" in run(tmp_path / "out", tmp_path / "own.toml")[1]


def test_a_changed_province_reruns_alone(tmp_path):
    frame = panel_file(tmp_path, ("gansu", "guizhou", "yunnan"))
    run(tmp_path / "out", tmp_path / "own.toml")
    before = contents(tmp_path / "out/own/gansu")
    frame.loc[frame["province"] == "guizhou", "y"] += 1
    frame.to_csv(tmp_path / "panel.csv", index=False)
    ended, _said = run(tmp_path / "out", tmp_path / "own.toml")
    assert hows(ended) == {"gansu": UNCHANGED, "guizhou": DONE, "yunnan": UNCHANGED}
    run(tmp_path / "out", tmp_path / "own.toml", force=True)
    assert contents(tmp_path / "out/own/gansu") == before  # and would have been the same


def test_the_rows_of_a_province_have_one_key_read_alone_or_with_all(tmp_path):
    panel_file(tmp_path, ("gansu", "guizhou"))
    plan = plan_batch(tmp_path / "own.toml", out=tmp_path / "out")
    for job in plan.jobs:
        assert provenance.rows_key(job.study, read_panel(job.study)) == job.data["rows"]
        assert provenance.data_key(read_study(tmp_path / "own.toml", job.name)) == job.data


def test_a_report_made_alone_is_current_in_a_batch(tmp_path, runner):
    study = read_study("simulated", "yunnan")
    report.write_report(study, tmp_path, ("html",), runner=runner)
    assert hows(run(tmp_path)[0]) == {"guizhou": DONE, "yunnan": UNCHANGED, "gansu": DONE}


def test_a_file_that_is_the_same_is_not_read_again(tmp_path, monkeypatch):
    from relocation_analysis.data import panel

    panel_file(tmp_path, ("gansu", "guizhou"))
    run(tmp_path / "out", tmp_path / "own.toml")
    monkeypatch.setattr(panel, "read_panel", lambda study: 1 / 0)
    assert set(hows(run(tmp_path / "out", tmp_path / "own.toml")[0]).values()) == {UNCHANGED}


def test_a_batch_reads_the_file_once_for_all_provinces_and_kernels(tmp_path, monkeypatch, chapter):
    from relocation_analysis.data import panel

    panel_file(tmp_path, ("gansu", "guizhou", "yunnan"))
    reads, read = [], panel.read_file
    monkeypatch.setattr(panel, "read_file", lambda *path: reads.append(path) or read(*path))
    chapter(
        "import relocation_analysis as ra\n"
        "from relocation_analysis.data import panel\n"
        "panel.read_file = None\n"
        "rows = ra.read_panel(ra.read_study(study, province, language, parameters))\n"
        "assert set(rows['province']) == {province} and len(rows) == 72"
    )
    assert set(hows(run(tmp_path / "out", tmp_path / "own.toml")[0]).values()) == {DONE}
    assert len(reads) == 1


def test_a_study_without_provinces_is_one_report(tmp_path):
    frame = panel_file(tmp_path, ("gansu",)).drop(columns="province")
    frame.to_csv(tmp_path / "panel.csv", index=False)
    assert hows(run(tmp_path / "out", tmp_path / "own.toml")[0]) == {"all": DONE}
    with pytest.raises(InputError, match="no such column"):
        plan_batch(tmp_path / "own.toml", "gansu", out=tmp_path / "out")


def test_a_disk_that_takes_nothing_more_ends_the_batch_with_one_message(tmp_path, monkeypatch):
    def full(study, *_args, **_settings):
        raise WriteError(tmp_path, OSError(28, "No space left on device"))

    monkeypatch.setattr(batch_module, "write_report", full)
    ended, said = run(tmp_path, "simulated", "all", workers=1)
    assert not succeeded(ended) and {"failed", "not started"} == set(hows(ended).values())
    assert "No space left on device. What stood there is as it was." in said and "not started" in said


def test_a_report_that_another_run_is_writing_is_left_for_last_and_not_written_twice(tmp_path):
    from relocation_analysis.reporting.run.placing import claim

    waiting, go = threading.Event(), threading.Event()

    def other():
        with claim(tmp_path / "simulated/guizhou/en", "guizhou"):
            waiting.set()
            go.wait(60)

    thread = threading.Thread(target=other)
    thread.start()
    assert waiting.wait(30)
    threading.Timer(6, go.set).start()
    ended, said = run(tmp_path)
    thread.join()
    assert set(hows(ended).values()) == {DONE}
    assert "guizhou: another run is writing this report; waiting for it" in said
    assert said.index("yunnan: done") < said.index("guizhou: done")


def test_the_time_left_follows_from_the_chapters_that_ran(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    stream = io.StringIO()
    progress = BatchProgress(4, 5, stream)
    assert progress.time_left() == ""
    first = progress.job("gansu")
    for n in range(5):
        clock[0] = 30.0 * (n + 1)
        first.chapter(f"c{n}", 10, 30.0)
    first.done("done")
    assert stream.getvalue() == "gansu: done (1 of 4, about 8 min left)\n"  # 15 chapters of 30 s
    progress.job("hebei").done("failed: x")
    progress.close()
    assert "hebei: failed: x (2 of 4, about 2 min left)" in stream.getvalue()  # 10 of 20 took 150 s


def test_the_state_is_what_the_next_batch_needs(tmp_path):
    run(tmp_path)
    state = read_state(tmp_path / "simulated")
    assert state["jobs"]["gansu"] == {"how": "done", "chapter": "", "problem": ""}
    assert set(state["reports"]) == {f"{name}/en" for name in THREE.split(",")}
    (tmp_path / "simulated/batch.json").write_text("[]")
    assert read_state(tmp_path / "simulated") == {}


def test_the_provinces_are_compared_and_the_comparison_fails_alone(tmp_path, monkeypatch):
    asked = []

    def compare(study, out, formats, force, progress, runner):
        asked.append((study.province, out, formats, force))
        folder = out / study.name / "national" / study.language
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "run.json").write_text(json.dumps({"fingerprint": "n", "started": str(len(asked)), "seconds": 1.5, "outputs": {}}))
        return folder

    monkeypatch.setattr(national, "write_national", compare)
    ended, said = run(tmp_path)
    assert asked == [(None, tmp_path, ("html",), False)]
    assert ended[-1].name == "national" and ended[-1].how == DONE and "national: done, 1.5 s" in said
    again, said = run(tmp_path)
    assert again[-1].how == UNCHANGED and len(asked) == 1  # nothing that it could depend on is another
    assert "4 reports: 4 unchanged" in said

    def fail(*_):
        raise ValueError("no")

    monkeypatch.setattr(national, "write_national", fail)
    (tmp_path / "simulated/gansu/en/effects.csv").write_text("damaged")
    ended, said = run(tmp_path)
    assert hows(ended) == {"guizhou": UNCHANGED, "yunnan": UNCHANGED, "gansu": DONE, "national": FAILED}
    assert "failed: national, ValueError: no" in said


def test_on_a_terminal_a_bar_shows_what_runs_and_the_time_left(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    stream = Terminal()
    progress = BatchProgress(3, 5, stream)
    job = progress.job("gansu")
    job.cell("employment")
    clock[0] = 20.0
    job.chapter("overview", 19, 20.0)
    shown = stream.getvalue().split("\r")[-1]
    assert shown.startswith("0 of 3") and "gansu employment; about 5 min left" in shown  # 14 chapters of 20 s
    progress.close()
