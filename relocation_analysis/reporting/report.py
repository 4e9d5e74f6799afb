"""One report: run the chapters, render them, put everything in place at once, or leave what was there."""

import json
import time
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from relocation_analysis.data.handover import hand_over
from relocation_analysis.errors import unknown_name
from relocation_analysis.language import _, speaking
from relocation_analysis.paths import NOTEBOOKS
from relocation_analysis.reporting.run import placing, provenance
from relocation_analysis.reporting.run.placing import FAILED, RUN, read_run, report_folder, writing

if TYPE_CHECKING:
    import pandas as pd

FORMATS = ("html", "pdf", "docx")
USUAL = ("html", "pdf")


def check_formats(formats) -> None:
    """Stop unless every format is known."""
    for name in formats:
        if name not in FORMATS:
            raise unknown_name("The format", name, FORMATS)


def is_current(folder: Path, fingerprint: str) -> bool:
    """Whether the report in `folder` is the one of `fingerprint` and every output is still intact."""
    run = read_run(folder)
    try:
        return run["fingerprint"] == fingerprint and all(
            provenance.sha256_of(folder / name) == sha for name, sha in run["outputs"].items()
        )
    except (OSError, KeyError, AttributeError, TypeError):
        return False


def write_report(
    study,
    out: Path = Path("reports"),
    formats=USUAL,
    force: bool = False,
    progress=None,
    runner=None,
    code: str | None = None,
    data: dict | None = None,
    wait: bool = True,
) -> Path:
    """Write the report of a study: HTML, PDF, executed notebook, effects, checks, flow, figures, run.json.

    Parameters
    ----------
    study : a `Study`.
    out : folder of all reports.
    formats : of "html", "pdf" and "docx"; the record and the CSV files are always written.
    force : run again although the report is current.
    progress : an `execute.Progress`; one on standard error by default.
    runner : an `execute.Runner` that several reports share; one of its own by default.
    code, data : `provenance.code_key` and `provenance.data_key`, where they are known.
    wait : where another run is writing this very report, wait for it.

    Returns
    -------
    The folder. The new report takes the place of the old one at once, when it is complete.

    Raises
    ------
    InputError : the data, or a format, are not usable.
    ChapterError, RenderError : nothing was replaced; the notebook is kept as `failed.ipynb`.
    WriteError : the disk is full, the folder cannot be written: nothing was replaced.
    BusyError : another run is writing it, and `wait` is False.
    """
    check_formats(formats)
    folder = report_folder(study, out)
    data = data or provenance.data_key(study, read_run(folder).get("data"))
    key = provenance.fingerprint(study, formats, code, data["rows"])
    say = progress.say if progress else print
    if not force and _is_kept(folder, key, say):
        return folder
    plan, panel = _plan(study)  # bad data stop here, before any folder is made
    with placing.claim(folder, study.province, wait, say):
        if not force and _is_kept(folder, key, say):
            return folder
        with hand_over(panel, study) as env:
            del panel
            _write(study, plan, folder, formats, {"fingerprint": key, "data": data}, progress, runner, env)
    return folder


def _is_kept(folder: Path, key: str, say) -> bool:
    if not is_current(folder, key):
        return False
    with suppress(OSError):
        (folder / FAILED).unlink(missing_ok=True)  # of a try between this report and now
    say(_("report is current: {folder}", folder=folder))
    return True


def _write(study, plan: list, folder: Path, formats, run: dict, progress, runner, env: dict[str, str]) -> None:
    """Run, render and put in place, under the lock of the folder."""
    from relocation_analysis.reporting.run.execute import Progress

    started, clock = datetime.now(UTC), time.perf_counter()
    progress = progress or Progress()
    try:
        with writing(folder), placing.draft_beside(folder) as draft, speaking(study.language):
            run_plan = partial(_run, study, plan, progress, runner, env)
            join = partial(_join, study, plan, data=run["data"]["rows"])
            write_record(study, run_plan, join, draft, folder, formats)
            names = sorted(p.relative_to(draft).as_posix() for p in draft.rglob("*") if p.is_file())
            run |= {"study": study.name, "province": study.province, "language": study.language}
            run |= {"code": provenance.code_version(), "started": started.isoformat(), "origin": provenance.origin(study)}
            run |= {"seconds": round(time.perf_counter() - clock, 2)}
            run |= {"outputs": {name: provenance.sha256_of(draft / name) for name in names}}
            (draft / RUN).write_text(json.dumps(run, indent=2) + "\n", encoding="utf-8")
            placing.put_in_place(draft, folder)
    finally:
        progress.close()


def write_record(study, run, join, draft: Path, folder: Path, formats, columns: dict | None = None) -> None:
    """Run notebooks and write every output into `draft`; on failure keep the notebook in `folder`.

    Parameters
    ----------
    run : runs them: chapter -> executed notebook.
    join : makes one record of what may be shown of them.
    columns : of `write_outputs`.
    """
    import nbformat

    from relocation_analysis.reporting.page import render
    from relocation_analysis.reporting.run import execute, gate

    notebook = None
    try:
        chapters = {name: gate.refuse_unreleased(done, study, name) for name, done in run().items()}
        notebook = join(chapters)
        write_outputs(chapters, notebook, draft, formats, columns)
    except (execute.ChapterError, render.RenderError) as error:
        failed = getattr(error, "notebook", None) or notebook
        if failed is not None:
            nbformat.write(gate.strip_outputs(failed, study), draft / FAILED)
            error.add_note(_("The notebook is kept: {path}", path=placing.keep_failed(draft, folder)))
        raise


def write_outputs(chapters: dict, notebook, draft: Path, formats, columns: dict | None = None) -> None:
    """Every file of a report but run.json: the record, what the chapters published (`columns` by kind), what readers read."""
    import nbformat

    from relocation_analysis.reporting.exhibits.escapes import escape_cells
    from relocation_analysis.reporting.page import exports, render
    from relocation_analysis.reporting.run import execute, gate

    nbformat.write(notebook, draft / "report.ipynb")
    frames = execute.gather(chapters, columns or execute.RECORD_COLUMNS) | {"disclosure": gate.gather_withheld(chapters)}
    for name, frame in frames.items():
        escape_cells(frame).to_csv(draft / f"{name}.csv", index=False, lineterminator="\n", encoding="utf-8")
    (draft / "figures").mkdir()
    for name, svg in render.figures_of(notebook).items():
        (draft / "figures" / f"{name}.svg").write_text(svg, encoding="utf-8", newline="\n")
    exports.write_exports(notebook, draft / "exports", notebook.metadata.relocation.language)
    exporters = {"html": render.HTMLReport, "pdf": render.PDFReport, "docx": render.DOCXReport}
    for name in formats:
        written, _resources = exporters[name]().from_notebook_node(notebook)
        (draft / f"report.{name}").write_bytes(written.encode() if isinstance(written, str) else written)


def _plan(study) -> tuple[list[tuple[str, str]], "pd.DataFrame"]:
    """Chapters in order, each with the reason why it is not run, or blank, and the panel as it was read; bad data stop here."""
    from relocation_analysis.data.panel import check_panel, read_panel, study_chapters

    panel = read_panel(study)
    return study_chapters(check_panel(panel, study), study), panel


def _run(study, plan: list[tuple[str, str]], progress, runner, env: dict[str, str]) -> dict:
    from relocation_analysis.data.study import notebook_parameters
    from relocation_analysis.reporting.run.execute import run_chapters

    parameters, folder = notebook_parameters(study), NOTEBOOKS
    if str(parameters["study"]).endswith(
        ".toml"
    ):  # by its bare name, so that no path of this machine is recorded
        parameters, folder = parameters | {"study": Path(parameters["study"]).name}, Path(study.folder)
    paths = {name: NOTEBOOKS / f"{name}.ipynb" for name, reason in plan if not reason}
    return run_chapters(paths, parameters, folder, progress, runner=runner, env=env)


def _join(study, plan: list[tuple[str, str]], chapters: dict, data: str):
    """The record: the chapters that ran, a sentence for each that did not, the last page."""
    from relocation_analysis.reporting.page import render
    from relocation_analysis.reporting.run import execute

    parts, reasons = dict(chapters), {name: reason for name, reason in plan if reason}
    if reasons:
        paths = {name: NOTEBOOKS / f"{name}.ipynb" for name in reasons}
        parts["skipped"] = execute.skipped_section(paths, reasons, study.language)
    metadata = {"title": study.heading, "subtitle": study.say("subtitle"), "language": study.language}
    metadata |= {"simulated": study.simulated, "citation": study.say("citation"), "facts": provenance.title_facts(study)}
    last_page = provenance.record(study, render.labelled(parts, study.language), data)
    return execute.join(parts, execute.closing_cells(provenance.introduction(), last_page), metadata)
