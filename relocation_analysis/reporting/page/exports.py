"""Every exhibit as a file of its own, for a manuscript: tables as LaTeX and CSV, figures as SVG and PDF."""

from pathlib import Path

from nbformat import NotebookNode

from relocation_analysis.language import speaking
from relocation_analysis.reporting.exhibits.escapes import escape_typst
from relocation_analysis.reporting.exhibits.kinds import META
from relocation_analysis.reporting.page.render import compile_typst

TABLES = {".tex": "text/latex", ".csv": "text/csv"}


def write_exports(notebook: NotebookNode, folder: Path, language: str) -> list[Path]:
    """Write the exhibits of a record, each under its id.

    Parameters
    ----------
    notebook : the record of a report; nothing is shown here that it does not hold.
    folder : where to; made where it is missing.
    language : what the figures say of themselves, and errors.

    Returns
    -------
    The files, in reading order: `tbl-x.tex`, `tbl-x.csv`, `fig-x.svg`, `fig-x.pdf`. The same bytes every time.

    Raises
    ------
    RenderError : a figure is not an SVG that can be set.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    with speaking(language):
        for name, content in export_files(notebook, language).items():
            (folder / name).write_bytes(content)
            written.append(folder / name)
    return written


def export_files(notebook: NotebookNode, language: str) -> dict[str, bytes]:
    """The files of `write_exports`: name -> content."""
    files = {}
    for data in _exhibits(notebook):
        meta = data[META]
        if meta["kind"] == "table":
            files |= {meta["id"] + suffix: data[kind].encode() for suffix, kind in TABLES.items()}
        else:
            svg = data["image/svg+xml"].encode()
            files |= {f"{meta['id']}.svg": svg, f"{meta['id']}.pdf": figure_pdf(svg, meta, language)}
    return files


def figure_pdf(svg: bytes, meta: dict, language: str) -> bytes:
    """A figure as a PDF page of its own size, vectors kept, with its alternative text."""
    source = (
        f"#set document(title: {escape_typst(meta['caption'])}, date: none)\n"
        f"#set text(lang: {escape_typst(language)})\n"
        f'#set page(width: auto, height: auto, margin: 0pt)\n#image("figure.svg", alt: {escape_typst(meta["alt"])})'
    )
    return compile_typst(source, {"figure.svg": svg})


def _exhibits(notebook: NotebookNode):
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            if output.get("data", {}).get(META, {}).get("kind") in ("figure", "table"):
                yield output.data
