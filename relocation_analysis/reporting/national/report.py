"""The national report: what the reports of provinces published, put together by a notebook of its own, by the same route."""

import json
import shutil
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from relocation_analysis.language import _, speaking
from relocation_analysis.paths import NOTEBOOKS
from relocation_analysis.reporting.national.provinces import NATIONAL, READ, list_runs, read_reports
from relocation_analysis.reporting.report import check_formats, is_current, write_record
from relocation_analysis.reporting.run import placing, provenance
from relocation_analysis.reporting.run.placing import RUN, read_run

FEWEST = 2
STAGE = "reports"  # where the notebook finds copies of what provinces published


def national_folder(study, out: Path) -> Path:
    """Where the national report of a study goes: `out`/study/national/language."""
    return Path(out) / study.name / NATIONAL / study.language


def write_national(study, out: Path, formats: tuple[str, ...], force: bool = False, progress=None, runner=None) -> Path | None:
    """Write the comparison of the provinces of a study: HTML, PDF, executed notebook, synthesis.csv, figures, run.json.

    Parameters
    ----------
    study : any province of it; code and settings of the reports must be those of `study`.
    out : folder of all reports.
    formats : of "html", "pdf" and "docx"; the record and the CSV files are always written.
    force : run again although the report is current.
    progress : an `execute.Progress`; one on standard error by default.
    runner : an `execute.Runner` to share; one of its own by default.

    Returns
    -------
    The folder, or None where fewer than two provinces have a finished report that can be compared.

    Raises
    ------
    InputError : a format is unknown.
    ChapterError, RenderError : nothing was replaced; the notebook is kept as `failed.ipynb`.
    WriteError : the folder cannot be written.
    """
    check_formats(formats)
    folder, say = national_folder(study, out), progress.say if progress else print
    with speaking(study.language):
        found = read_reports(study, out).provinces
        if (found["problem"] == "").sum() < FEWEST:
            say(_("fewer than two provinces of {study} have a report that can be compared: no national report", study=study.name))
            return None
        for row in found[found["problem"] != ""].itertuples():
            say(_("{province} is not compared. {problem}", province=row.label, problem=row.problem))
        with placing.claim(folder, NATIONAL, True, say):
            if not force and is_current(folder, fingerprint(study, out, formats)):
                say(_("report is current: {folder}", folder=folder))
                return folder
            _write(study, out, folder, formats, progress, runner)
    return folder


def fingerprint(study, out: Path, formats: tuple[str, ...]) -> str:
    """SHA-256 over what decides the bytes of the national report: code, settings, and what each province published and how."""
    parts = [provenance.code_key(), json.dumps(provenance.settings(study.model_copy(update={"province": NATIONAL})), sort_keys=True)]
    return provenance.digest([*parts, *sorted(formats), inputs_key(study, out)])


def inputs_key(study, out: Path) -> str:
    """SHA-256 over what the reports of provinces published and how they were made."""
    parts = []
    for path in list_runs(study, out):
        run = read_run(path.parent)
        outputs = run.get("outputs") or {}
        parts.append(json.dumps([run.get("province"), run.get("origin"), *(outputs.get(name) for name in READ)], sort_keys=True))
    return provenance.digest(parts)


def _write(study, out: Path, folder: Path, formats, progress, runner) -> None:
    """Run, render and put in place, under the lock of the folder; the reports of provinces are those that were copied."""
    from relocation_analysis.reporting.national.synthesis import SYNTHESIS_COLUMNS
    from relocation_analysis.reporting.run.execute import Progress

    started, clock = datetime.now(UTC), time.perf_counter()
    progress = progress or Progress()
    try:
        with placing.writing(folder), placing.draft_beside(folder) as stage, placing.draft_beside(folder) as draft:
            _stage(study, out, stage)
            key = fingerprint(study, stage / STAGE, formats)
            columns = {"synthesis": (*SYNTHESIS_COLUMNS, "chapter")}
            join = partial(_join, study, data=inputs_key(study, stage / STAGE))
            write_record(study, partial(_run, study, stage, progress, runner), join, draft, folder, formats, columns)
            names = sorted(p.relative_to(draft).as_posix() for p in draft.rglob("*") if p.is_file())
            run = {"fingerprint": key, "study": study.name, "province": NATIONAL, "language": study.language}
            run |= {"code": provenance.code_version(), "started": started.isoformat(), "seconds": round(time.perf_counter() - clock, 2)}
            run |= {"outputs": {name: provenance.sha256_of(draft / name) for name in names}}
            (draft / RUN).write_text(json.dumps(run, indent=2) + "\n", encoding="utf-8")
            placing.put_in_place(draft, folder)
    finally:
        progress.close()


def _stage(study, out: Path, stage: Path) -> None:
    """Copy what the notebook reads to where it runs, under names that are the same on every machine."""
    for path in list_runs(study, out):
        place = stage / STAGE / study.name / path.parent.parent.name / study.language
        place.mkdir(parents=True)
        for name in (RUN, *READ):
            if (path.parent / name).is_file():
                shutil.copyfile(path.parent / name, place / name)
    if study.origin.endswith(".toml"):
        shutil.copyfile(study.file, stage / Path(study.file).name)


def _run(study, stage: Path, progress, runner) -> dict:
    from relocation_analysis.reporting.run.execute import run_chapters

    origin = Path(study.origin).name if study.origin.endswith(".toml") else study.origin
    parameters = {"study": origin, "language": study.language, "parameters": study.changed, "reports": STAGE}
    return run_chapters({NATIONAL: NOTEBOOKS / f"{NATIONAL}.ipynb"}, parameters, stage, progress, runner=runner)


def _join(study, chapters: dict, data: str):
    """The record: the notebook and the last page."""
    from relocation_analysis.reporting.page import render
    from relocation_analysis.reporting.run import execute

    whole = study.model_copy(update={"province": NATIONAL})
    metadata = {"title": whole.heading, "subtitle": whole.say("subtitle"), "language": study.language}
    metadata |= {"simulated": study.simulated, "citation": study.say("citation")}
    last_page = provenance.record(whole, render.labelled(chapters, study.language), data)
    return execute.join(chapters, execute.closing_cells(_introduce(), last_page), metadata)


def _introduce() -> str:
    """The Markdown above the tables of the last page."""
    title = _("How this report was made")
    text = _(
        "Every number was computed from what the reports of provinces published, their files `exposures.csv`, `checks.csv` and"
        " `run.json`, and from the project\u2019s own tables. No data of people were read, so that nothing which a province withheld"
        " can come back. All numbers are in `synthesis.csv`; the executed notebook, with its code, is in `report.ipynb`."
    )
    return f"# {title} {{#provenance}}\n\n{text}"
