"""One report: run the chapters, render them, put everything in place at once, or leave what was there."""

import json
import os
import shutil
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from relocation_analysis.errors import unknown_name
from relocation_analysis.language import speaking
from relocation_analysis.paths import NOTEBOOKS
from relocation_analysis.reporting import provenance

FORMATS = ("html", "pdf")
RUN = "run.json"
FAILED = "failed.ipynb"


def report_folder(study, out: Path) -> Path:
    """Where the report of a study goes: `out`/study/province/language."""
    return Path(out) / study.name / (study.province or "all") / study.language


def is_current(folder: Path, fingerprint: str) -> bool:
    """Whether the report in `folder` is the one of `fingerprint` and every output is still intact."""
    try:
        run = json.loads((folder / RUN).read_text(encoding="utf-8"))
        intact = all(provenance.sha256_of(folder / name) == sha for name, sha in run["outputs"].items())
        return run["fingerprint"] == fingerprint and intact
    except (OSError, ValueError, KeyError, AttributeError):
        return False


def write_report(
    study, out: Path = Path("reports"), formats=FORMATS, force: bool = False, progress=None
) -> Path:
    """Write the report of a study: HTML, PDF, executed notebook, effects, checks, flow, figures, run.json.

    Parameters
    ----------
    study : a `Study`.
    out : folder of all reports.
    formats : of "html" and "pdf"; the record and the CSV files are always written.
    force : run again although the report is current.
    progress : an `execute.Progress`; one on standard error by default.

    Returns
    -------
    The folder. Files arrive whole; a report that was there stays until the new one is complete.

    Raises
    ------
    InputError : the data, or a format, are not usable.
    ChapterError, RenderError : nothing was replaced; the notebook is kept as `failed.ipynb`.
    """
    for name in formats:
        if name not in FORMATS:
            raise unknown_name("The format", name, FORMATS)
    folder = report_folder(study, out)
    fingerprint = provenance.fingerprint(study, formats)
    if not force and is_current(folder, fingerprint):
        (progress.say if progress else print)(f"report is current: {folder}")
        return folder
    from relocation_analysis.reporting.execute import Progress

    started, clock = datetime.now(UTC), time.perf_counter()
    plan = _plan(study)
    progress = progress or Progress()
    folder.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=folder.parent))
    try:
        with speaking(study.language):
            _write_outputs(study, plan, draft, formats, progress, folder)
        names = sorted(p.relative_to(draft).as_posix() for p in draft.rglob("*") if p.is_file())
        run = {"fingerprint": fingerprint, "study": study.name, "province": study.province}
        run |= {"language": study.language, "code": provenance.code_version(), "started": started.isoformat()}
        run |= {"origin": provenance.origin(study)}
        run |= {"seconds": round(time.perf_counter() - clock, 2)}
        run |= {"outputs": {name: provenance.sha256_of(draft / name) for name in names}}
        (draft / RUN).write_text(json.dumps(run, indent=2) + "\n", encoding="utf-8")
        _put_in_place(draft, [*names, RUN], folder)
    finally:
        progress.close()
        shutil.rmtree(draft, ignore_errors=True)
    return folder


def _write_outputs(study, plan: list, draft: Path, formats, progress, folder: Path) -> None:
    """Run and render into `draft`; on failure keep the notebook in `folder`."""
    import nbformat

    from relocation_analysis.reporting import execute, render

    notebook = None
    try:
        chapters = _run(study, plan, progress)
        notebook = _join(study, plan, chapters)
        nbformat.write(notebook, draft / "report.ipynb")
        for name, frame in execute.gather(chapters).items():
            frame.to_csv(draft / f"{name}.csv", index=False, lineterminator="\n", encoding="utf-8")
        (draft / "figures").mkdir()
        for name, svg in render.figures_of(notebook).items():
            (draft / "figures" / f"{name}.svg").write_text(svg, encoding="utf-8", newline="\n")
        if "html" in formats:
            page, _ = render.HTMLReport().from_notebook_node(notebook)
            (draft / "report.html").write_text(page, encoding="utf-8", newline="\n")
        if "pdf" in formats:
            (draft / "report.pdf").write_bytes(render.PDFReport().from_notebook_node(notebook)[0])
    except (execute.ChapterError, render.RenderError) as error:
        failed = getattr(error, "notebook", None) or notebook
        if failed is not None:
            nbformat.write(failed, draft / FAILED)
            os.replace(draft / FAILED, folder / FAILED)
            error.add_note(f"The notebook is kept: {folder / FAILED}")
        raise


def _plan(study) -> list[tuple[str, str]]:
    """Chapters in order, each with the reason why it is not run, or blank; bad data stop here."""
    from relocation_analysis.data.panel import check_panel, read_panel, study_chapters

    return study_chapters(check_panel(read_panel(study), study), study)


def _run(study, plan: list[tuple[str, str]], progress) -> dict:
    from relocation_analysis.data.study import notebook_parameters
    from relocation_analysis.reporting.execute import run_chapters

    parameters, folder = notebook_parameters(study), NOTEBOOKS
    if str(parameters["study"]).endswith(
        ".toml"
    ):  # by its bare name, so that no path of this machine is recorded
        parameters, folder = parameters | {"study": Path(parameters["study"]).name}, Path(study.folder)
    paths = {name: NOTEBOOKS / f"{name}.ipynb" for name, reason in plan if not reason}
    return run_chapters(paths, parameters, folder, progress)


def _join(study, plan: list[tuple[str, str]], chapters: dict):
    """The record: the chapters that ran, a sentence for each that did not, the last page."""
    from relocation_analysis.reporting import execute, render

    parts, reasons = dict(chapters), {name: reason for name, reason in plan if reason}
    if reasons:
        paths = {name: NOTEBOOKS / f"{name}.ipynb" for name in reasons}
        parts["skipped"] = execute.skipped_section(paths, reasons, study.language)
    metadata = {"title": study.heading, "subtitle": study.say("subtitle"), "language": study.language}
    metadata |= {"simulated": study.simulated, "citation": study.say("citation")}
    last_page = provenance.record(study, render.labelled(parts, study.language))
    return execute.join(parts, execute.closing_cells(provenance.introduction(), last_page), metadata)


def _put_in_place(draft: Path, names: list[str], folder: Path) -> None:
    """Move files one by one, each whole; `run.json` last: a report cut short here is not current."""
    (folder / "figures").mkdir(exist_ok=True)
    for name in names:
        os.replace(draft / name, folder / name)
    old = [
        folder / FAILED,
        *(folder / f"report.{name}" for name in FORMATS),
        *(folder / "figures").glob("*.svg"),
    ]
    for path in old:
        if path.relative_to(folder).as_posix() not in names:
            path.unlink(missing_ok=True)
