"""What a batch is to do, checked before anything starts: one job a province, each known by what decides its bytes."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from relocation_analysis.data.facts import province_slugs
from relocation_analysis.data.study import read_study
from relocation_analysis.errors import InputError, unknown_name
from relocation_analysis.language import _
from relocation_analysis.reporting.report import FORMATS, check_formats
from relocation_analysis.reporting.run import placing, provenance
from relocation_analysis.reporting.run.placing import report_folder

STATE = "batch.json"


@dataclass(frozen=True)
class Job:
    """One province: its study, where its report goes, the keys of its data and of all that decides its bytes."""

    study: Any
    folder: Path
    data: dict[str, str]
    key: str

    @property
    def name(self) -> str:
        return self.study.province or "all"


@dataclass(frozen=True)
class Batch:
    """What was asked for, checked.

    Attributes
    ----------
    study : the study without a province.
    jobs : one a province, in order.
    left_out : rows of the file that name no province and so are in no report.
    """

    study: Any
    jobs: tuple[Job, ...]
    out: Path
    formats: tuple[str, ...]
    code: str
    force: bool = False
    left_out: int = 0
    rows: dict = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        return self.out / self.study.name


def plan_batch(study: str, provinces: str = "all", language: str = "en", parameters: dict | None = None,
               formats=FORMATS, out: Path = Path("reports"), force: bool = False) -> Batch:  # fmt: skip
    """Check all that was asked for and list the jobs.

    Parameters
    ----------
    study : name of a shipped study, or path of a study file.
    provinces : `all`, or names with commas between them.

    Raises
    ------
    InputError : an unknown study, province, language, parameter or format; a data file that cannot be read.
    WriteError : the folder of the reports cannot be written.
    """
    check_formats(formats)
    base = read_study(study, None, language, parameters)
    folder = Path(out) / base.name
    rows, left_out = ({}, 0) if base.simulated else _read_rows(base, folder)
    known = list(province_slugs()) if base.simulated else list(rows.get("provinces", {}))
    wanted = choose_provinces(provinces, known, base)
    _try_to_write(folder)
    code, files = provenance.code_key(), provenance.hash_files(provenance.data_files(base))
    jobs = []
    for name in wanted:
        one = base.model_copy(update={"province": name})
        data = {"files": files, "rows": rows.get("provinces", {}).get(name, files)}
        jobs.append(Job(one, report_folder(one, out), data, provenance.fingerprint(one, formats, code, data["rows"])))
    return Batch(base.model_copy(update={"province": None}), tuple(jobs), Path(out), tuple(formats), code, force, left_out, rows)


def choose_provinces(text: str, known: list[str], study) -> list[str | None]:
    """The provinces that `text` names, of the known ones; all of a study without provinces is one job, None."""
    if text.strip() == "all":
        return known or [study.province]
    names = [text.strip()] if text.strip() in known else [part.strip() for part in text.split(",") if part.strip()]
    if not known:
        raise InputError(_("A batch of provinces must have data with a column province"),
                         _("{names} was asked for and study {study} has no such column", names=repr(text), study=repr(study.name)),
                         _("map it in [columns], or leave --provinces out"))  # fmt: skip
    for name in names:
        if name not in known:
            raise unknown_name("The province", name, known)
    if not names:
        raise unknown_name("The province", text, known)
    return list(dict.fromkeys(names))


def _read_rows(study, folder: Path) -> tuple[dict, int]:
    """The key of each province's rows, read from the file once, or known from the last batch while the file is the same."""
    whole = study.model_copy(update={"province": None})
    settings = {k: v for k, v in provenance.settings(whole).items() if k != "language"}
    about = {"files": provenance.hash_files(provenance.data_files(whole)), "settings": provenance.digest([json.dumps(settings)])}
    known = read_state(folder).get("rows", {})
    if all(known.get(key) == value for key, value in about.items()):
        return known, known.get("left_out", 0)
    from relocation_analysis.data.panel import read_panel

    panel = read_panel(whole)
    if "province" not in panel.columns:
        return about | {"provinces": {}}, 0
    named = panel["province"].notna()
    groups = panel[named].groupby(panel.loc[named, "province"].astype(str), sort=True)
    keys = {name: provenance.rows_key(whole, rows) for name, rows in groups}
    left_out = int((~named).sum())
    return about | {"provinces": keys, "left_out": left_out}, left_out


def read_state(folder: Path) -> dict:
    """What the last batch into `folder` left behind; empty where there was none."""
    try:
        state = json.loads((folder / STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}


def _try_to_write(folder: Path) -> None:
    with placing.writing(folder):
        (folder / ".locks").mkdir(parents=True, exist_ok=True)
        probe = folder / ".locks" / f".{os.getpid()}"
        probe.write_text("the folder can be written\n", encoding="ascii")
        probe.unlink()
