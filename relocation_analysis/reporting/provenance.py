"""Where every number comes from: what went into a report, by checksum, and the last page that says so."""

import hashlib
import json
import os
import platform
import re
import subprocess
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from relocation_analysis import __version__
from relocation_analysis.paths import DATA, LOCK, NOTEBOOKS, ROOT
from relocation_analysis.reporting.exhibits import Column, Table

PACKAGE = ROOT / "relocation_analysis"
CODE = ("relocation_analysis", "notebooks", "data", "requirements.lock")
LONG_TEXT = {"title", "subtitle", "context", "citation", "estimand", "outcome"}
TEXTS = {*(LONG_TEXT - {"outcome"}), "translation"}
SHOWN_DIGITS = 16


def sha256_of(path: Path) -> str:
    """SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def code_files() -> list[Path]:
    """The package, its templates, the chapters, the project's own tables and the lock."""
    package = (p for p in PACKAGE.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
    tables = (p for suffix in ("csv", "bib") for p in DATA.glob(f"*.{suffix}"))
    return sorted([*package, *NOTEBOOKS.glob("*.ipynb"), *tables, *([LOCK] if LOCK.is_file() else [])])


def data_files(study) -> list[Path]:
    """The study's own files: its TOML, and its data where they are a file."""
    from relocation_analysis.data.panel import study_files

    return study_files(study)


def digest(parts: Iterable[str]) -> str:
    """SHA-256 of texts, in their order."""
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()


def hash_files(paths: Iterable[Path], root: Path | None = None) -> str:
    """SHA-256 over the names (relative to `root`, else bare) and contents of files."""
    return digest(
        f"{Path(os.path.relpath(p, root)).as_posix() if root else p.name}={sha256_of(p)}" for p in paths
    )


def fingerprint(study, formats: Iterable[str]) -> str:
    """SHA-256 over all that decides the bytes of a report: code, notebooks, data, settings, lock."""
    parts = [hash_files(code_files(), ROOT), hash_files(data_files(study)), code_version(), python_version()]
    return digest([*parts, *sorted(formats), json.dumps(settings(study), sort_keys=True)])


def settings(study) -> dict[str, Any]:
    """Every setting of the study by dotted name, as the study file and `-p` left it."""
    return dict(_flatten("", study.model_dump(mode="json")))


def origin(study) -> dict[str, Any]:
    """What two reports must share to be compared: the code, and every setting but province, language and texts."""
    own = {name: value for name, value in settings(study).items()
           if name not in ("province", "language") and name.partition(".")[0] not in TEXTS and value is not None}  # fmt: skip
    return {"checksum": hash_files(code_files(), ROOT), "python": python_version(), "settings": own}


def _flatten(prefix: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flatten(f"{prefix}.{key}" if prefix else key, inner)
    elif prefix == "data.path" and value is not None:
        yield prefix, Path(value).name
    else:
        yield prefix, value


def python_version() -> str:
    """The minor version of Python: what can change a number."""
    return ".".join(platform.python_version_tuple()[:2])


def code_version() -> str:
    """The last commit that touched code, notebooks or data; the package's version where there is no git."""

    def git(*words: str) -> str:
        run = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True)
        return run.stdout.strip() if run.returncode == 0 else ""

    try:
        commit = git("log", "-1", "--format=%H", "--", *CODE)
        changed = bool(commit) and bool(git("status", "--porcelain", "--", *CODE))
    except OSError:
        commit, changed = "", False
    if not commit:
        return f"version {__version__}, not under version control"
    return f"version {__version__}, commit {commit}{', with uncommitted changes' if changed else ''}"


def package_versions() -> dict[str, str]:
    """The packages the project asks for, name -> installed version."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = [re.match(r"[A-Za-z0-9_.-]+", requirement)[0] for requirement in project["dependencies"]]
    return {name: _version(name) for name in sorted(names, key=str.lower)}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def introduction() -> str:
    """The Markdown above the tables of the last page."""
    return (
        "# How this report was made {#provenance}\n\n"
        "Every number, figure and table above was computed by a function of this project from the files and "
        "settings below. The same code, data and settings give the same bytes again. The executed chapters, "
        "with their code, are in `report.ipynb`; all estimates are in `effects.csv`, all checks in "
        "`checks.csv`, every exclusion in `flow.csv`. "
        f"Checksums are SHA-256, the first {SHOWN_DIGITS} digits of 64."
    )


def record(study, exhibits: list[dict]) -> list[Table]:
    """The tables of the last page.

    Parameters
    ----------
    study : the study.
    exhibits : META of every figure and table, each with its `label`.

    Returns
    -------
    Code and data, settings, exhibits and the function behind each.
    """
    made = [
        ("Study", study.name),
        ("Province", study.province or "all"),
        ("Language", study.language),
        ("Seed", str(study.seed)),
        ("Code", code_version()),
        ("Checksum of the code", hash_files(code_files(), ROOT)[:SHOWN_DIGITS]),
        ("Checksum of the data", hash_files(data_files(study))[:SHOWN_DIGITS]),
        ("Python", python_version()),
        ("Packages", ", ".join(f"{name} {number}" for name, number in package_versions().items())),
    ]
    files = [(p.name, sha256_of(p)[:SHOWN_DIGITS]) for p in [*data_files(study), *sorted(DATA.glob("*.csv"))]]
    sources = [(m["label"], m["caption"], m.get("source", "")) for m in exhibits]
    source = "reporting.provenance.record"
    return [
        Table(
            "tbl-code_and_data",
            (Column("What"), Column("Which")),
            (*made, ("Files",), *files),
            caption="Code and data",
            note="Every installed package, with its hash, is in requirements.lock.",
            source=source,
        ),
        Table(
            "tbl-settings",
            (Column("Of"), Column("Settings")),
            tuple(_grouped(settings(study))),
            caption="Settings",
            note="Texts and settings without a value are left out; they are in the study file.",
            source=source,
        ),
        Table(
            "tbl-exhibits",
            (Column("Exhibit"), Column("Caption"), Column("Function")),
            tuple(sources),
            caption="Exhibits and the functions behind them",
            source=source,
        ),
    ]


def _grouped(settings: dict[str, Any]) -> Iterator[tuple[str, str]]:
    groups: dict[str, list[str]] = {}
    for name, value in settings.items():
        group, _, rest = name.rpartition(".")
        if name.partition(".")[0] not in LONG_TEXT and value not in (None, "", [], {}):
            groups.setdefault(group or "study", []).append(f"{rest} = {_print(value)}")
    for group, texts in groups.items():
        yield group, "; ".join(texts)


def _print(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_print, value))
    return str(value).lower() if isinstance(value, bool) else str(value)
