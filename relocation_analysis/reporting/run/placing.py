"""Where reports stand, and how one takes the place of another: whole, at once, whatever happens in between.

A report is built in a draft beside its folder and the two are exchanged by one call of the system. Who holds the lock of a
folder may clear away what a run that was killed left there. What a reader sees is the old report or the new one; where the
system cannot exchange folders there is a moment with none, and a run that dies in it is made good by the next.
"""

import ctypes
import json
import os
import secrets
import shutil
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

from filelock import FileLock, Timeout

from relocation_analysis.errors import InputError
from relocation_analysis.language import _

RUN = "run.json"
FAILED = "failed.ipynb"
RESERVED = {"national", "all", "con", "prn", "aux", "nul", *(f"{name}{n}" for name in ("com", "lpt") for n in range(1, 10))}
OUTPUTS = {"report", "effects", "checks", "flow", "disclosure", "exposures", "synthesis", "figures", "exports"}  # where run.json is lost
LONGEST_NAME = 120  # bytes; systems allow 255, and drafts add to it
AT_FDCWD, RENAME_EXCHANGE = -100, 2


class BusyError(RuntimeError):
    """Another run is writing this report now."""


class WriteError(RuntimeError):
    """The folder of the reports cannot be written."""

    def __init__(self, folder: Path, error: OSError):
        reason = ": ".join(map(str, filter(None, [error.strerror or str(error), error.filename])))
        super().__init__(_("{folder} could not be written: {reason}. What stood there is as it was.", folder=folder, reason=reason))


def folder_name(province: str | None) -> str:
    """The name of a province's folder: the province itself where that is safe in every file system.

    Characters that are not (slashes, quotes, a dot or blank at an end), and the first letter of a reserved name, are written
    as in a web address, %2F; a name that is too long is cut and ends in a part of its checksum. No province: `all`.
    """
    if province is None:
        return "all"
    name = unicodedata.normalize("NFC", province)
    safe = "".join(c if c.isalnum() or c in "-_()," else c if c in " ." and 0 < i < len(name) - 1 else _escape(c)
                   for i, c in enumerate(name))  # fmt: skip
    if safe.partition(".")[0].casefold() in RESERVED:
        safe = f"%{ord(safe[0]):02X}{safe[1:]}"
    if len(safe.encode()) > LONGEST_NAME:
        cut = safe.encode()[:LONGEST_NAME].decode(errors="ignore")
        safe = f"{cut}~{sha256(province.encode()).hexdigest()[:8]}"
    return safe or "%"


def _escape(character: str) -> str:
    return f"%{ord(character):02X}" if character.isascii() else quote(character)


def report_folder(study, out: Path) -> Path:
    """Where the report of a study goes: `out`/study/province/language."""
    return Path(out) / study.name / folder_name(study.province) / study.language


@contextmanager
def claim(folder: Path, province: str | None, wait: bool = True, say=None) -> Iterator[None]:
    """Hold the lock of a report's folder; what a run that was killed left there is cleared away first.

    Raises
    ------
    BusyError : another run holds it and `wait` is False.
    WriteError : the folder cannot be written.
    InputError : another province's report stands there, its name the same to this file system.
    """
    with writing(folder):
        path = lock_file(folder)
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            if not wait:
                raise BusyError(_("another run is writing {folder}", folder=folder)) from None
            if say:
                say(_("another run is writing this report; waiting for it"))
            lock.acquire()
    try:
        with writing(folder):
            _clear(folder)
        _refuse_another(folder, province)
        yield
    finally:
        lock.release()


def clear_leftovers(folder: Path, province: str | None) -> None:
    """Clear away what a run that was killed left beside a report, unless another run is at it."""
    if any(folder.parent.glob(f".draft-{folder.name}-*")) or _aside(folder).exists():
        with suppress(BusyError), claim(folder, province, wait=False):
            pass


def lock_file(folder: Path) -> Path:
    """The lock of a report's folder, in one hidden place of its study."""
    return folder.parent.parent / ".locks" / f"{folder.parent.name}.{folder.name}"


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Inside, trouble of the file system is said once, as a `WriteError`."""
    try:
        yield
    except OSError as error:
        raise WriteError(folder, error) from None


def _clear(folder: Path) -> None:
    """Put back a report that was set aside and never replaced; remove drafts that nobody works at."""
    aside = _aside(folder)
    if aside.exists() and not folder.exists():
        aside.rename(folder)
    for path in [aside, *folder.parent.glob(f".draft-{folder.name}-*")]:
        shutil.rmtree(path, ignore_errors=True)


def _aside(folder: Path) -> Path:
    return folder.with_name(f".old-{folder.name}")


def _refuse_another(folder: Path, province: str | None) -> None:
    found = read_run(folder).get("province", province)
    if found != province:
        raise InputError(_("Two provinces must have names that the file system can tell apart"),
                         _("{folder} holds the report of {found}, not of {province}", folder=folder, found=repr(found),
                           province=repr(province)), _("write the name the same way in every row"))  # fmt: skip


def read_run(folder: Path) -> dict:
    """The run.json of a report; empty where there is none that can be read."""
    try:
        run = json.loads((folder / RUN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return run if isinstance(run, dict) else {}


@contextmanager
def draft_beside(folder: Path) -> Iterator[Path]:
    """A new folder beside `folder`, gone at the end unless it took its place."""
    draft = folder.with_name(f".draft-{folder.name}-{secrets.token_hex(4)}")
    draft.mkdir(parents=True)
    try:
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        with suppress(OSError):
            folder.parent.rmdir()  # where nothing else stands in it


def put_in_place(draft: Path, folder: Path) -> None:
    """Let a draft take the place of a folder, at once. Files there that no report made stay there."""
    _carry_over(folder, draft)
    if not folder.exists():
        draft.rename(folder)
    elif not exchange(draft, folder):
        aside = _aside(folder)
        folder.rename(aside)
        draft.rename(folder)
        shutil.rmtree(aside, ignore_errors=True)


def write_whole(path: Path, text: str) -> None:
    """Write a text file that is there whole or as it was. What a run that was killed left beside it goes."""
    lock = path.parent / ".locks" / path.name
    lock.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(lock):
        for draft in path.parent.glob(f".draft-{path.name}-*"):
            draft.unlink()
        draft = path.with_name(f".draft-{path.name}-{secrets.token_hex(4)}")
        try:
            draft.write_text(text, encoding="utf-8", newline="\n")
            os.replace(draft, path)
        finally:
            draft.unlink(missing_ok=True)


def keep_failed(draft: Path, folder: Path) -> Path:
    """Put the failed notebook of a draft beside the last good report."""
    folder.mkdir(parents=True, exist_ok=True)
    os.replace(draft / FAILED, folder / FAILED)
    return folder / FAILED


def _carry_over(folder: Path, draft: Path) -> None:
    """Copy what a person put into the folder of a report: all that is not an output of a run."""
    outputs = read_run(folder).get("outputs")
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        ours = name.as_posix() in outputs if outputs else name.stem in OUTPUTS or name.parts[0] in OUTPUTS
        if path.is_file() and not ours and name.name not in (RUN, FAILED) and not (draft / name).exists():
            (draft / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, draft / name)


def exchange(one: Path, other: Path) -> bool:
    """Exchange two folders of one file system by a single call; False where the system has none."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError, TypeError):
        return False
    return rename(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), RENAME_EXCHANGE) == 0
