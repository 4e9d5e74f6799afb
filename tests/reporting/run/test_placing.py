"""A report takes the place of another whole and at once, and every province has a folder that no other has."""

import multiprocessing
import os
import shutil
import threading
from urllib.parse import unquote

import pytest
from filelock import FileLock

from relocation_analysis.errors import InputError
from relocation_analysis.reporting.run import placing
from relocation_analysis.reporting.run.placing import (
    BusyError,
    WriteError,
    claim,
    draft_beside,
    folder_name,
    keep_failed,
    lock_file,
    put_in_place,
    write_whole,
)

NAMES = ("guizhou", "Inner Mongolia", "贵州省", "a/b", "a\\b", "..", ".", "...", ".hidden", "dot.", "x.y", "national", "National", "all",
         "CON", "com1.x", "nul", "it's", 'say "so"', "<b>", "a:b", "a|b", "a*b?", " ", " lead", "trail ", "tab\t", "new\nline", "100%",
         "%2F", "a%2Fb", "x" * 300, "省" * 100, "é", "\x00", "~", "$HOME", "`id`", "-rf")  # fmt: skip


def fill(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text, encoding="utf-8")
    return folder


def contents(folder):
    return {p.relative_to(folder).as_posix(): p.read_text(encoding="utf-8") for p in folder.rglob("*") if p.is_file()}


def test_a_safe_name_is_kept_and_no_province_is_all():
    assert [folder_name(n) for n in ("guizhou", "Inner Mongolia", "贵州省", "x.y", None)] == ["guizhou", "Inner Mongolia", "贵州省", "x.y", "all"]
    assert folder_name("a/b") == "a%2Fb" and folder_name("national") == "%6Eational" and folder_name("all") == "%61ll"


def test_every_name_has_a_folder_of_its_own_in_any_file_system(tmp_path):
    folders = [folder_name(name) for name in NAMES]
    owners = {}
    for name, folder in zip(NAMES, folders, strict=True):
        owners.setdefault(folder.casefold(), set()).add(name.casefold())
    assert [names for names in owners.values() if len(names) > 1] == []
    for name, folder in zip(NAMES, folders, strict=True):
        assert not set(folder) & set('/\\:*?"<>|\0\n\t') and folder not in ("", ".", "..") and len(folder.encode()) <= 160
        assert folder.strip(" .") == folder and folder.partition(".")[0].casefold() not in placing.RESERVED
        assert unquote(folder) == name or "~" in folder
        (tmp_path / folder).mkdir(exist_ok=True)
    assert len(list(tmp_path.iterdir())) == len(set(folders))


def test_names_that_the_file_system_cannot_tell_apart_are_an_error_for_the_second(tmp_path):
    fill(tmp_path / "s" / "gansu" / "en", run_json='{"province": "gansu", "outputs": {}}')
    with (
        pytest.raises(InputError, match="holds the report of 'gansu', not of 'GANSU'"),
        claim(tmp_path / "s" / "gansu" / "en", "GANSU"),
    ):
        pass


@pytest.mark.parametrize("can_exchange", [True, False])
def test_a_new_report_replaces_the_old_one_whole_and_leaves_what_a_person_put_there(can_exchange, tmp_path, monkeypatch):
    if not can_exchange:
        monkeypatch.setattr(placing, "exchange", lambda *_: False)
    folder = fill(tmp_path / "p" / "en", report_html="old", gone_csv="old", failed_ipynb="x", notes_txt="mine",
                  run_json='{"outputs": {"report.html": "", "gone.csv": ""}}')  # fmt: skip
    fill(folder / "figures", mine_svg="drawn by hand")
    with draft_beside(folder) as draft:
        fill(draft, report_html="new", run_json="{}")
        put_in_place(draft, folder)
    assert contents(folder) == {"report.html": "new", "run.json": "{}", "notes.txt": "mine", "figures/mine.svg": "drawn by hand"}
    assert os.listdir(folder.parent) == ["en"]


def test_a_reader_sees_the_old_report_or_the_new_one_and_nothing_else(tmp_path):
    if not shutil.which("true") or not placing.exchange(fill(tmp_path / "a"), fill(tmp_path / "b")):
        pytest.skip("this file system cannot exchange two folders")
    folder, seen, stop = fill(tmp_path / "p" / "en", a_txt="0", b_txt="0"), set(), threading.Event()

    def read():
        while not stop.is_set():
            place = os.open(folder, os.O_RDONLY)  # a reader inside a folder stays in it
            try:
                pair = []
                for name in ("a.txt", "b.txt"):
                    with open(os.open(name, os.O_RDONLY, dir_fd=place), encoding="utf-8") as file:
                        pair.append(file.read())
                seen.add(tuple(pair))
            except FileNotFoundError:
                pass  # the folder was taken away whole after it was opened
            finally:
                os.close(place)

    reader = threading.Thread(target=read)
    reader.start()
    for n in range(1, 200):
        with draft_beside(folder) as draft:
            fill(draft, a_txt=str(n), b_txt=str(n))
            put_in_place(draft, folder)
        assert folder.is_dir()
    stop.set()
    reader.join()
    assert len(seen) > 1 and all(a == b for a, b in seen)


def test_what_a_killed_run_left_is_made_good_by_the_next(tmp_path):
    folder = tmp_path / "s" / "p" / "en"
    fill(folder.with_name(".old-en"), report_html="old", run_json="{}")  # died between the two renames
    fill(folder.with_name(".draft-en-0a0a0a0a"), report_html="half")
    fill(folder.with_name(".draft-zh-0a0a0a0a"), report_html="another's, who may be at work")
    with claim(folder, "p"):
        assert contents(folder)["report.html"] == "old"
    assert sorted(os.listdir(folder.parent)) == [".draft-zh-0a0a0a0a", "en"]


def test_a_folder_that_failed_only_is_not_left_behind_empty(tmp_path):
    folder = tmp_path / "s" / "p" / "en"
    with pytest.raises(ZeroDivisionError), claim(folder, "p"), draft_beside(folder):
        1 / 0
    assert os.listdir(folder.parent.parent) == [".locks"]
    with claim(folder, "p"), draft_beside(folder) as draft:
        fill(draft, failed_ipynb="{}")
        assert keep_failed(draft, folder).read_text() == "{}"


def _hold(path, held, let_go):
    with FileLock(path):
        held.set()
        let_go.wait(30)


def test_a_second_run_waits_or_goes_elsewhere(tmp_path):
    folder, context = tmp_path / "s" / "p" / "en", multiprocessing.get_context("spawn")
    held, let_go, said = context.Event(), context.Event(), []
    lock_file(folder).parent.mkdir(parents=True)
    other = context.Process(target=_hold, args=(str(lock_file(folder)), held, let_go))
    other.start()
    assert held.wait(60)
    with pytest.raises(BusyError, match="another run is writing"), claim(folder, "p", wait=False):
        pass
    threading.Timer(0.3, let_go.set).start()
    with claim(folder, "p", say=said.append):
        assert said == ["another run is writing this report; waiting for it"]
    other.join()


def test_a_place_that_cannot_be_written_is_one_message(tmp_path):
    fill(tmp_path, file="in the way")
    with pytest.raises(WriteError, match="could not be written: .*What stood there is as it was"), claim(tmp_path / "file" / "p" / "en", "p"):
        pass


def test_a_text_file_is_there_whole_or_as_it_was(tmp_path, monkeypatch):
    (tmp_path / ".draft-index.html-1234").write_text("of a run that was killed")
    write_whole(tmp_path / "index.html", "one")

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="No space left"):
        write_whole(tmp_path / "index.html", "two")
    assert contents(tmp_path) == {"index.html": "one", ".locks/index.html": ""}
