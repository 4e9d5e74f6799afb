"""Turns the joined notebook into the report: numbered, cross-referenced, as one HTML page and as a PDF.

Three nbconvert exporters (`jupyter nbconvert --to relocation_html report.ipynb` works too): templates make
pandoc Markdown of the notebook, pandoc makes the page, Typst makes the PDF.
"""

import base64
import copy
import re
import subprocess
import tempfile
import tomllib
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import nbformat
import pypandoc
import typst
from nbconvert.exporters import TemplateExporter
from nbformat import NotebookNode
from traitlets import Unicode, default

from relocation_analysis.errors import nearest
from relocation_analysis.paths import DATA
from relocation_analysis.reporting.execute import SOURCE_DATE_EPOCH, exhibits_of
from relocation_analysis.reporting.exhibits import META, escape_html, escape_typst

TEMPLATES = Path(__file__).with_name("templates")
BIBLIOGRAPHY = DATA / "references.bib"
# Text is text: no raw HTML or TeX in a narrative; what a chapter inserts on purpose comes in a raw block.
MARKDOWN = (
    "markdown-raw_html-raw_tex-native_divs-native_spans+fenced_divs+bracketed_spans-yaml_metadata_block"
)
REFERENCE = re.compile(r"(?<![\w@\\])@((?:fig|tbl)-[a-z0-9]+(?:[-_][a-z0-9]+)*)")
CITATION = re.compile(r"(?<![\w@\\])-?@\{?[A-Za-z_][\w:.#$%&+?<>~/-]*")
CODE = re.compile(r"(```.*?```|`[^`\n]*`)", re.DOTALL)


class RenderError(RuntimeError):
    """The executed chapters cannot be made into a report."""


@cache
def words(language: str) -> dict[str, str]:
    """What the page itself says, in one language."""
    return tomllib.loads((TEMPLATES / "words.toml").read_text(encoding="utf-8"))[language]


def number_exhibits(notebook: NotebookNode, vocabulary: dict[str, str]) -> dict[str, str]:
    """Number figures and tables in reading order: id -> "Figure 3", also put into META as `label`."""
    labels, count = {}, {}
    for meta in exhibits_of(notebook):
        if meta["kind"] not in ("figure", "table"):
            continue
        if meta["id"] in labels:
            raise RenderError(
                f"two exhibits have the id {meta['id']!r}; every id must occur once in the report"
            )
        count[meta["kind"]] = count.get(meta["kind"], 0) + 1
        meta["label"] = labels[meta["id"]] = f"{vocabulary[meta['kind']]} {count[meta['kind']]}"
    return labels


def labelled(chapters: dict[str, NotebookNode], language: str) -> list[dict]:
    """META of every figure and table of the chapters, each with the label it will have in the report."""
    chapters = [copy.deepcopy(chapter) for chapter in chapters.values()]
    joined = NotebookNode(cells=[cell for chapter in chapters for cell in chapter.cells])
    number_exhibits(joined, words(language))
    return [meta for meta in exhibits_of(joined) if "label" in meta]


def resolve_references(markdown: str, labels: dict[str, str]) -> str:
    """Replace `@fig-x` and `@tbl-x` outside code by a link that reads "Figure 3".

    Raises
    ------
    RenderError : the report has no such exhibit; the nearest id is named.
    """

    def link(match: re.Match) -> str:
        name = match[1]
        if name not in labels:
            close = nearest(name, labels)
            hint = f"; the nearest is @{close}" if close else ""
            raise RenderError(f"a text refers to @{name}, which the report does not show{hint}")
        return f"[{labels[name].replace(' ', chr(0xA0))}](#{name})"

    parts = CODE.split(markdown)
    return "".join(part if i % 2 else REFERENCE.sub(link, part) for i, part in enumerate(parts))


def prepare(notebook: NotebookNode) -> NotebookNode:
    """A copy with numbered exhibits, resolved references, folded code and a place for works cited."""
    notebook = copy.deepcopy(notebook)
    vocabulary = words(notebook.metadata.relocation.language)
    labels = number_exhibits(notebook, vocabulary)
    for holder, key in _texts(notebook):
        holder[key] = resolve_references(holder[key], labels)
    _fold_code(notebook)
    if any(CITATION.search(CODE.sub("", holder[key])) for holder, key in _texts(notebook)):
        heading = f"# {vocabulary['references']} {{.unnumbered}}\n\n::: {{#refs}}\n:::"
        cell = nbformat.v4.new_markdown_cell(heading, id="references")
        notebook.cells.insert(_end_of_chapters(notebook), cell)
    return notebook


def _texts(notebook: NotebookNode):
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            yield cell, "source"
        for output in cell.get("outputs", ()):
            if "text/markdown" in output.get("data", {}):
                yield output.data, "text/markdown"


def _fold_code(notebook: NotebookNode) -> None:
    """Give each cell that shows something the code since the last text or shown thing."""
    waiting = []
    for cell in notebook.cells:
        if cell.cell_type != "code":
            waiting = []
            continue
        if "parameters" not in cell.metadata.get("tags", ()):  # the injected ones are those that held
            waiting.append(cell.source)
        kinds = [o.get("data", {}).get(META, {}).get("kind") for o in cell.outputs]
        if any(kind != "records" for kind in kinds):
            cell.metadata["code"] = "\n\n".join(waiting).strip()
            waiting = []


def _end_of_chapters(notebook: NotebookNode) -> int:
    """Where the closing section begins: behind the last cell of a chapter."""
    return max(
        (i for i, c in enumerate(notebook.cells, 1) if "relocation" in c.metadata),
        default=len(notebook.cells),
    )


def fence(text: str, attribute: str) -> str:
    """`text` as a fenced block of Markdown, the fence longer than any run of backticks in it."""
    bar = "`" * max([4, *(len(run) + 1 for run in re.findall("`+", text))])
    return f"\n{bar}{{{attribute}}}\n{text.strip(chr(10))}\n{bar}\n"


def data_uri(svg: str) -> str:
    """An SVG document as an address that holds it."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()


def run_pandoc(markdown: str, to: str, metadata: NotebookNode, bibliography: str, *options: str) -> str:
    """One pandoc call: citations, contents, numbered sections, the page. A warning is an error."""
    command = [
        pypandoc.get_pandoc_path(),
        "--sandbox",
        f"--from={MARKDOWN}",
        f"--to={to}",
        "--standalone",
        "--wrap=none",
    ]
    command += ["--fail-if-warnings", "--toc", "--number-sections", "--section-divs", *options]
    if Path(bibliography).is_file():
        command += ["--citeproc", f"--bibliography={bibliography}", "--metadata=link-citations=true"]
    vocabulary = words(metadata.language)
    shown = {"lang": metadata.language, "title": metadata.title, "subtitle": metadata.get("subtitle", "")}
    shown |= {
        "citation": metadata.get("citation", ""),
        "contents": vocabulary["contents"],
        "skip": vocabulary["skip"],
    }
    shown |= {"simulated": vocabulary["simulated"] if metadata.simulated else ""}
    command += [f"--metadata={key}={value}" for key, value in shown.items() if value]
    run = subprocess.run(command, input=markdown.encode(), capture_output=True)
    if run.returncode:
        raise RenderError(f"pandoc stopped: {run.stderr.decode(errors='replace').strip()}")
    return run.stdout.decode()


class ReportExporter(TemplateExporter):
    """The notebook as pandoc Markdown; the two targets differ in the blocks code, figure and table."""

    bibliography = Unicode(str(BIBLIOGRAPHY), help="BibTeX file of the works cited").tag(config=True)
    template_extension = ".md.j2"
    exclude_input_prompt = True

    @default("extra_template_basedirs")
    def _own_templates(self):
        return [str(TEMPLATES)]

    def default_filters(self):
        yield from super().default_filters()
        yield from {"fence": fence, "data_uri": data_uri}.items()
        yield from {"escape_html": escape_html, "escape_typst": escape_typst}.items()

    def _create_environment(self):
        environment = super()._create_environment()
        environment.comment_start_string, environment.comment_end_string = "((*", "*))"  # {#id} is pandoc's
        environment.trim_blocks = environment.lstrip_blocks = True
        environment.globals["META"] = META
        return environment

    def to_markdown(self, notebook: NotebookNode, resources=None) -> tuple[str, NotebookNode, dict]:
        """Pandoc Markdown, the prepared notebook and nbconvert's resources."""
        if "relocation" not in notebook.metadata:
            raise RenderError("only a report.ipynb can be rendered: its metadata names title and language")
        prepared = prepare(notebook)
        self.environment.globals["words"] = words(notebook.metadata.relocation.language)
        markdown, resources = super().from_notebook_node(prepared, resources)
        return markdown, prepared, resources


class HTMLReport(ReportExporter):
    """One self-contained page that asks the network for nothing."""

    export_from_notebook = "Relocation report (HTML)"
    output_mimetype = "text/html"

    @default("file_extension")
    def _file_extension_default(self):
        return ".html"

    @default("template_name")
    def _template_name_default(self):
        return "relocation_html"

    def from_notebook_node(self, nb, resources=None, **kw):
        markdown, prepared, resources = self.to_markdown(nb, resources)
        options = (
            f"--template={TEMPLATES / 'report.html'}",
            "--mathml",
            "--shift-heading-level-by=1",
            "--toc-depth=3",
        )
        return run_pandoc(
            markdown, "html5", prepared.metadata.relocation, self.bibliography, *options
        ), resources


class TypstReport(ReportExporter):
    """Typst source; the figures it needs are in `resources["outputs"]`, by relative path."""

    export_from_notebook = "Relocation report (Typst)"
    output_mimetype = "text/x-typst"

    @default("file_extension")
    def _file_extension_default(self):
        return ".typ"

    @default("template_name")
    def _template_name_default(self):
        return "relocation_typst"

    def from_notebook_node(self, nb, resources=None, **kw):
        markdown, prepared, resources = self.to_markdown(nb, resources)
        resources["outputs"] = {f"figures/{k}.svg": v.encode() for k, v in figures_of(nb).items()}
        options = (f"--template={TEMPLATES / 'report.typ'}", f"--lua-filter={TEMPLATES / 'typst.lua'}")
        return run_pandoc(
            markdown, "typst-citations", prepared.metadata.relocation, self.bibliography, *options
        ), resources


class PDFReport(TypstReport):
    """The PDF: tagged to PDF/UA-1, vector figures, bookmarks, the same bytes every time."""

    export_from_notebook = "Relocation report (PDF)"
    output_mimetype = "application/pdf"

    @default("file_extension")
    def _file_extension_default(self):
        return ".pdf"

    def from_notebook_node(self, nb, resources=None, **kw):
        source, resources = super().from_notebook_node(nb, resources, **kw)
        return compile_pdf(source, resources.pop("outputs")), resources


def figures_of(notebook: NotebookNode) -> dict[str, str]:
    """The figures of a notebook: id -> SVG."""
    outputs = [o for cell in notebook.cells for o in cell.get("outputs", ())]
    drawn = [o.data for o in outputs if o.get("data", {}).get(META, {}).get("kind") == "figure"]
    return {data[META]["id"]: data["image/svg+xml"] for data in drawn}


def compile_pdf(source: str, files: dict[str, bytes]) -> bytes:
    """Compile Typst to PDF/UA-1, with Typst's own fonts only, so that machines agree.

    Raises
    ------
    RenderError : Typst's message; also where no font has a character, which the PDF would otherwise lose.
    """
    with tempfile.TemporaryDirectory(prefix="relocation-") as folder:
        root = Path(folder)
        for name, content in {**files, "report.typ": source.encode()}.items():
            (root / name).parent.mkdir(exist_ok=True)
            (root / name).write_bytes(content)
        try:
            return typst.compile(
                root / "report.typ",
                root=root,
                format="pdf",
                ignore_system_fonts=True,
                pdf_standards="ua-1",
                timestamp=datetime.fromtimestamp(SOURCE_DATE_EPOCH, UTC),
            )
        except typst.TypstError as error:
            raise RenderError(
                f"the PDF could not be made: {' '.join([error.message, *error.hints])}"
            ) from None
