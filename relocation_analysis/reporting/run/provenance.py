"""Where every number comes from: what went into a report, by checksum, and the last page that says so."""

import hashlib
import json
import os
import platform
import re
import subprocess
import tomllib
from collections.abc import Iterable, Iterator
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from relocation_analysis import __version__
from relocation_analysis.language import _, mark
from relocation_analysis.paths import DATA, LOCK, NOTEBOOKS, ROOT
from relocation_analysis.reporting.exhibits.kinds import Column, Table

PACKAGE = ROOT / "relocation_analysis"
CODE = ("relocation_analysis", "notebooks", "data", "requirements.lock")
LONG_TEXT = {"translation", "title", "subtitle", "context", "citation", "estimand", "outcome"}
TEXTS = {*(LONG_TEXT - {"outcome"}), "translation"}
SHOWN_DIGITS = 16
KINDS_OF_DATA = {"simulated": mark("simulated"), "public": mark("public"), "restricted": mark("restricted")}


def sha256_of(path: Path) -> str:
    """SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@lru_cache(maxsize=1 << 12)
def _sha256_once(path: str, size: int, changed: int, inode: int) -> str:
    return sha256_of(Path(path))


def sha256_of_input(path: Path) -> str:
    """SHA-256 of a file that went in, computed once as long as the file stays as it is."""
    about = path.stat()
    return _sha256_once(str(path), about.st_size, about.st_mtime_ns, about.st_ino)


def code_files() -> list[Path]:
    """The package, its templates, the chapters, the project's own tables and the lock."""
    package = (p for p in PACKAGE.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
    tables = (p for suffix in ("csv", "bib") for p in DATA.glob(f"*.{suffix}"))
    return sorted([*package, *NOTEBOOKS.glob("*.ipynb"), *tables, *([LOCK] if LOCK.is_file() else [])])


def data_files(study) -> list[Path]:
    """The study's own files: its TOML, and its data where they are a file, or all files of a folder."""
    if study.simulated:
        return [Path(study.file)]
    from relocation_analysis.data.panel import study_files

    return study_files(study)


def digest(parts: Iterable[str]) -> str:
    """SHA-256 of texts, in their order."""
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()


def hash_files(paths: Iterable[Path], root: Path | None = None) -> str:
    """SHA-256 over the names (relative to `root`, else bare) and contents of files."""
    return digest(
        f"{Path(os.path.relpath(p, root)).as_posix() if root else p.name}={sha256_of_input(p)}" for p in paths
    )


def code_key() -> str:
    """SHA-256 over the code, the notebooks, the lock and the Python that make a report of a study."""
    return digest([hash_files(code_files(), ROOT), code_version(), python_version()])


def fingerprint(study, formats: Iterable[str], code: str | None = None, data: str | None = None) -> str:
    """SHA-256 over all that decides the bytes of a report: code, notebooks, data, settings, lock.

    Parameters
    ----------
    code, data : the keys of both, where they are known: `code_key` and the "rows" of `data_key`.
    """
    parts = [code or code_key(), data or data_key(study)["rows"]]
    return digest([*parts, *sorted(formats), json.dumps(settings(study), sort_keys=True)])


def by_province(study) -> bool:
    """Whether a report takes its province's rows out of a file that holds others too."""
    return not study.simulated and study.province is not None


def data_key(study, known: dict | None = None) -> dict[str, str]:
    """What the data of a report are, by checksum: "files", and "rows", all that can reach the report.

    Of a file with several provinces these are the rows of one, so that a change elsewhere in the file leaves it alone.

    Parameters
    ----------
    known : what this function returned before: "rows" is not computed again while "files" is the same.
    """
    files = hash_files(data_files(study))
    if not by_province(study):
        return {"files": files, "rows": files}
    if known and known.get("files") == files and known.get("rows"):
        return {"files": files, "rows": known["rows"]}
    from relocation_analysis.data.panel import read_panel

    return {"files": files, "rows": rows_key(study, read_panel(study))}


def rows_key(study, panel) -> str:
    """SHA-256 over the study's file and the rows of its panel, names and types of the columns included."""
    from pandas.util import hash_pandas_object

    columns = [f"{name}:{kind}" for name, kind in panel.dtypes.items()]
    rows = hashlib.sha256(hash_pandas_object(panel, index=False).to_numpy().tobytes()).hexdigest()
    return digest([sha256_of_input(Path(study.file)), *columns, rows])


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
    """The last commit that touched code, notebooks or data, in English: what `run.json` and the fingerprint hold."""
    commit, changed = find_commit()
    if not commit:
        return f"version {__version__}, not under version control"
    return f"version {__version__}, commit {commit}{', with uncommitted changes' if changed else ''}"


def say_code_version() -> str:
    """The last commit that touched code, notebooks or data, as the last page says it."""
    commit, changed = find_commit()
    if not commit:
        return _("version {version}, not under version control", version=__version__)
    if changed:
        return _("version {version}, commit {commit}, with uncommitted changes", version=__version__, commit=commit)
    return _("version {version}, commit {commit}", version=__version__, commit=commit)


def find_commit() -> tuple[str, bool]:
    """The last commit that touched code, notebooks or data, blank where there is no git, and whether they changed since."""

    def git(*words: str) -> str:
        run = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True)
        return run.stdout.strip() if run.returncode == 0 else ""

    try:
        commit = git("log", "-1", "--format=%H", "--", *CODE)
        return commit, bool(commit) and bool(git("status", "--porcelain", "--", *CODE))
    except OSError:
        return "", False


def package_versions() -> dict[str, str]:
    """The packages the project asks for, name -> installed version."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = [re.match(r"[A-Za-z0-9_.-]+", requirement)[0] for requirement in project["dependencies"]]
    return {name: _version(name) for name in sorted(names, key=str.lower)}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return _("not installed")


def title_facts(study) -> list[list[str]]:
    """What the title block says of a report: pairs of name and value, in the language spoken."""
    from babel import Locale

    kind = "simulated" if study.simulated else study.disclosure
    facts = [(_("Study"), study.name), (_("Province"), study.province_label), (_("Data"), _(KINDS_OF_DATA[kind]))]
    facts.append((_("Language"), Locale(study.language).get_language_name(study.language)))
    return [[name, value] for name, value in facts if value]


def introduction() -> str:
    """The Markdown above the tables of the last page."""
    title = _("How this report was made")
    text = _(
        "Every number, figure and table above was computed by a function of this project from the files and "
        "settings below. The same code, data and settings give the same bytes again. The executed chapters, "
        "with their code, are in `report.ipynb`; all estimates are in `effects.csv`, all checks in "
        "`checks.csv`, every exclusion in `flow.csv`. "
        "Checksums are SHA-256, the first {digits} digits of 64.",
        digits=SHOWN_DIGITS,
    )
    return f"# {title} {{#provenance}}\n\n{text}"


def record(study, exhibits: list[dict], data: str | None = None) -> list[Table]:
    """The tables of the last page, in the language spoken; nothing of the data is in them, so that nothing is withheld.

    Parameters
    ----------
    study : the study.
    exhibits : META of every figure and table, each with its `label`.
    data : the "rows" of `data_key`, where they are known.

    Returns
    -------
    Code and data, settings, exhibits and the function behind each.
    """
    source = "reporting.run.provenance.record"
    sources = tuple((m["label"], m["caption"], m.get("source", "")) for m in exhibits)
    return [
        Table(
            "tbl-code_and_data",
            (Column(_("What")), Column(_("Which"))),
            (*_made(study, data), (_("Files"),), *_listed(study)),
            caption=_("Code and data"),
            note=_("Every installed package, with its hash, is in requirements.lock."),
            source=source,
            withheld=(),
        ),
        Table(
            "tbl-settings",
            (Column(_("Of")), Column(_("Settings"))),
            tuple(_grouped(settings(study))),
            caption=_("Settings"),
            note=_("Texts and settings without a value are left out; they are in the study file."),
            source=source,
            withheld=(),
        ),
        Table(
            "tbl-exhibits",
            (Column(_("Exhibit")), Column(_("Caption")), Column(_("Function"))),
            sources,
            caption=_("Exhibits and the functions behind them"),
            source=source,
            withheld=(),
        ),
    ]


def _made(study, data: str | None) -> list[tuple[str, str]]:
    packages = (f"{name} {number}" for name, number in package_versions().items())
    return [
        (_("Study"), study.name),
        (_("Province"), study.province or _("all")),
        (_("Language"), study.language),
        (_("Seed"), str(study.seed)),
        (_("Code"), say_code_version()),
        (_("Checksum of the code"), hash_files(code_files(), ROOT)[:SHOWN_DIGITS]),
        (_("Checksum of the data"), (data or data_key(study)["rows"])[:SHOWN_DIGITS]),
        ("Python", python_version()),
        (_("Packages"), ", ".join(packages)),
    ]


def _listed(study) -> list[tuple[str, str]]:
    own = [Path(study.file)] if by_province(study) else data_files(study)  # of other provinces' rows nothing depends
    return [(p.name, sha256_of(p)[:SHOWN_DIGITS]) for p in [*own, *sorted(DATA.glob("*.csv"))]]


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
