"""Turns the joined notebook into the report: numbered, cross-referenced, as one HTML page, as a PDF and as a Word file.

nbconvert exporters (`jupyter nbconvert --to relocation_html report.ipynb` works too): templates make pandoc Markdown of the
notebook, pandoc makes the page and the Word file, Typst makes the PDF. The language is the notebook's.
"""

import base64
import hashlib
import os
import re
import struct
import subprocess
import tempfile
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import pypandoc
import typst
from nbconvert.exporters import TemplateExporter
from nbformat import NotebookNode
from traitlets import Unicode, default

from relocation_analysis.language import _, mark, speaking
from relocation_analysis.paths import DATA
from relocation_analysis.reporting.exhibits.escapes import escape_html, escape_markdown, escape_typst
from relocation_analysis.reporting.exhibits.kinds import META
from relocation_analysis.reporting.page import fonts, word
from relocation_analysis.reporting.page.prepare import RenderError, figures_of, labelled, prepare
from relocation_analysis.reporting.run.execute import SOURCE_DATE_EPOCH

__all__ = ["DOCXReport", "HTMLReport", "PDFReport", "RenderError", "TypstReport", "figures_of", "labelled"]

TEMPLATES = Path(__file__).with_name("templates")
BIBLIOGRAPHY = DATA / "references.bib"
# Text is text: no raw HTML or TeX in a narrative; what a chapter inserts on purpose comes in a raw block.
MARKDOWN = (
    "markdown-raw_html-raw_tex-native_divs-native_spans-pandoc_title_block-yaml_metadata_block-implicit_figures"
    "+fenced_divs+bracketed_spans+east_asian_line_breaks"
)
LOCALES = {"zh": "zh-CN"}  # what a page calls its language, where it is more than the two letters
PAGE = {
    "contents": mark("Contents"),
    "skip": mark("Skip to the text"),
    "abstract-title": mark("Summary"),
    "show-code": mark("Show all code"),
    "dark-page": mark("Dark page"),
    "note": mark("Note."),
    "code": mark("Code"),
}
SIMULATED = mark("Simulated data: not evidence about any real household")
DRAWING = r'data:image/svg\+xml,[^"]+'


def fence(text: str, attribute: str) -> str:
    """`text` as a fenced block of Markdown, the fence longer than any run of backticks in it."""
    bar = "`" * max([4, *(len(run) + 1 for run in re.findall("`+", text))])
    return f"\n{bar}{{{attribute}}}\n{text.strip(chr(10))}\n{bar}\n"


def data_uri(svg: str) -> str:
    """An SVG document as an address that holds it, ready for an HTML attribute; a quarter smaller than base64."""
    for character in '%#"<>&\n\r\t':
        svg = svg.replace(character, f"%{ord(character):02X}")
    return "data:image/svg+xml," + svg


def head(label: str) -> str:
    """The label of an exhibit as its caption begins: "Figure 3."."""
    return _("{label}.", label=label)


def bare_table(figure: str) -> str:
    """The table of what `formats.to_html` made, without caption and note."""
    return re.search("<table.*</table>", figure, re.DOTALL)[0]


def image(svg: str) -> str:
    """A figure as the target of a Markdown image: a PNG of 300 dots an inch, as wide as the text, or as high as fits."""
    source = '#set page(width: auto, height: auto, margin: 0pt, fill: white)\n#image("figure.svg")'
    png = compile_typst(source, {"figure.svg": svg.encode()}, format="png", ppi=300)
    width, height = struct.unpack(">II", png[16:24])
    size = "height=20cm" if height / width > 20 / 16 else "width=16cm"
    return f"(data:image/png;base64,{base64.b64encode(png).decode()}){{{size}}}"


@cache
def read_script() -> tuple[str, str]:
    """The script of the page, and its hash: the only one that the page's policy lets run."""
    script = (TEMPLATES / "report.js").read_text(encoding="utf-8").strip()
    digest = hashlib.sha256(script.encode()).digest()
    return script, "sha256-" + base64.b64encode(digest).decode()


def run_pandoc(markdown: str, to: str, metadata: NotebookNode, bibliography: str, *options: str) -> bytes:
    """One pandoc call: citations, contents, numbered sections, the page. A warning is an error."""
    command = [pypandoc.get_pandoc_path(), "--sandbox", f"--from={MARKDOWN}", f"--to={to}", "--output=-"]
    command += ["--standalone", "--wrap=none", "--fail-if-warnings", "--number-sections"]
    if Path(bibliography).is_file():
        command += ["--citeproc", f"--bibliography={bibliography}", "--metadata=link-citations=true"]
    command += [f"--lua-filter={TEMPLATES / 'report.lua'}", *options]
    # Not as `lang`: pandoc lacks words of its own in some languages, and works are cited as in English.
    shown = {"page-lang": LOCALES.get(metadata.language, metadata.language), "title": metadata.title}
    shown |= {"subtitle": metadata.get("subtitle", ""), "citation": metadata.get("citation", "")}
    shown |= {name: _(text) for name, text in PAGE.items()}
    shown |= {"simulated": _(SIMULATED) if metadata.simulated else ""}
    command += [f"--metadata={key}={value}" for key, value in shown.items() if value]
    environment = os.environ | {"SOURCE_DATE_EPOCH": str(SOURCE_DATE_EPOCH)}
    run = subprocess.run(command, input=markdown.encode(), capture_output=True, env=environment)
    if run.returncode:
        raise RenderError(_("pandoc stopped: {message}", message=run.stderr.decode(errors="replace").strip()))
    return run.stdout


def say_facts(facts: list) -> str:
    """The facts below the title as Markdown: "**Study** simulated"."""
    return "  \n".join(f"**{escape_markdown(name)}** {escape_markdown(value)}" for name, value in facts)


class ReportExporter(TemplateExporter):
    """The notebook as pandoc Markdown; the targets differ in the blocks code, figure and table."""

    bibliography = Unicode(str(BIBLIOGRAPHY), help="BibTeX file of the works cited").tag(config=True)
    template_extension = ".md.j2"
    optimistic_validation = True  # once, behind the last preprocessor
    exclude_input_prompt = True

    @default("extra_template_basedirs")
    def _own_templates(self):
        return [str(TEMPLATES)]

    def default_filters(self):
        yield from super().default_filters()
        yield from {"fence": fence, "data_uri": data_uri, "head": head, "escape_markdown": escape_markdown}.items()
        yield from {"escape_html": escape_html, "escape_typst": escape_typst}.items()
        yield from {"image": image, "bare_table": bare_table}.items()

    def _create_environment(self):
        environment = super()._create_environment()
        environment.comment_start_string, environment.comment_end_string = "((*", "*))"  # {#id} is pandoc's
        environment.trim_blocks = environment.lstrip_blocks = True
        environment.globals["META"] = META
        return environment

    def from_notebook_node(self, nb, resources=None, **kw):
        if "relocation" not in nb.metadata:
            raise RenderError(_("only a report.ipynb can be rendered: its metadata names title and language"))
        with speaking(nb.metadata.relocation.language):
            return self.render(nb, resources)

    def to_markdown(self, notebook: NotebookNode, resources=None) -> tuple[str, NotebookNode, dict]:
        """Pandoc Markdown, what the notebook says of itself, and nbconvert's resources."""
        prepared = prepare(notebook)
        about = prepared.metadata.relocation
        facts = say_facts(about.get("facts", ()))
        self.environment.globals |= {"words": {name: _(text) for name, text in PAGE.items()}}
        self.environment.globals |= {"about": {"facts": facts, "abstract": about.abstract}}
        markdown, resources = super().from_notebook_node(prepared, resources)
        return markdown, about, resources


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

    def render(self, notebook: NotebookNode, resources) -> tuple[str, dict]:
        """The page, with the font of its equations in it."""
        markdown, about, resources = self.to_markdown(notebook, resources)
        script, digest = read_script()
        options = [f"--template={TEMPLATES / 'report.html'}", "--mathml", "--shift-heading-level-by=1"]
        options += ["--toc", "--toc-depth=3", "--section-divs", f"--variable=script:{script}", f"--variable=script-hash:{digest}"]
        # Drawings are half of the text, which pandoc would only copy: it gets their checksums.
        drawings = {f"data:,{hashlib.sha256(drawing.encode()).hexdigest()}": drawing for drawing in re.findall(DRAWING, markdown)}
        for checksum, drawing in drawings.items():
            markdown = markdown.replace(drawing, checksum)
        page = run_pandoc(markdown, "html5", about, self.bibliography, *options).decode()
        for checksum, drawing in drawings.items():
            page = page.replace(checksum, drawing)
        page = page.replace('<math display="block"', '<math display="block" tabindex="0"')  # it may scroll: by keys too
        font = fonts.maths_font(fonts.characters_of_equations(page))
        return page.replace("/* maths font */", font, 1), resources


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

    def render(self, notebook: NotebookNode, resources) -> tuple[str, dict]:
        """The source; `compile_typst` makes the PDF of it."""
        markdown, about, resources = self.to_markdown(notebook, resources)
        resources["outputs"] = {f"figures/{k}.svg": v.encode() for k, v in figures_of(notebook).items()}
        options = [f"--template={TEMPLATES / 'report.typ'}", f"--lua-filter={TEMPLATES / 'typst.lua'}", "--toc"]
        return run_pandoc(markdown, "typst-citations-smart", about, self.bibliography, *options).decode(), resources


class PDFReport(TypstReport):
    """The PDF: tagged to PDF/UA-1, vector figures, bookmarks, the same bytes every time."""

    export_from_notebook = "Relocation report (PDF)"
    output_mimetype = "application/pdf"

    @default("file_extension")
    def _file_extension_default(self):
        return ".pdf"

    def render(self, notebook: NotebookNode, resources) -> tuple[bytes, dict]:
        """The PDF."""
        source, resources = super().render(notebook, resources)
        return compile_typst(source, resources.pop("outputs")), resources


class DOCXReport(ReportExporter):
    """A Word file for co-authors: real tables with repeated heads, equations, figures at 300 dots an inch."""

    export_from_notebook = "Relocation report (Word)"
    output_mimetype = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"

    @default("file_extension")
    def _file_extension_default(self):
        return ".docx"

    @default("template_name")
    def _template_name_default(self):
        return "relocation_docx"

    def render(self, notebook: NotebookNode, resources) -> tuple[bytes, dict]:
        """The file. Word takes no SVG that every version could show: figures are drawn as PNG."""
        markdown, about, resources = self.to_markdown(notebook, resources)
        with tempfile.TemporaryDirectory(prefix="relocation-") as folder:
            reference = Path(folder) / "reference.docx"
            reference.write_bytes(word.make_reference(about.language, _(SIMULATED) if about.simulated else ""))
            options = [f"--reference-doc={reference}", f"--lua-filter={TEMPLATES / 'docx.lua'}"]
            return run_pandoc(markdown, "docx", about, self.bibliography, *options), resources


def compile_typst(source: str, files: dict[str, bytes], **how) -> bytes:
    """Compile Typst, to PDF/UA-1 unless `how` says otherwise, with fonts of known packages only, so that machines agree.

    Raises
    ------
    RenderError : Typst's message; also where no font has a character, which the PDF would otherwise lose.
    """
    how = {"format": "pdf", "pdf_standards": "ua-1"} | how
    if how["format"] != "pdf":
        del how["pdf_standards"]
    with tempfile.TemporaryDirectory(prefix="relocation-") as folder:
        root = Path(folder)
        for name, content in {**files, "report.typ": source.encode()}.items():
            (root / name).parent.mkdir(exist_ok=True)
            (root / name).write_bytes(content)
        how |= {"font_paths": [str(path) for path in fonts.font_folders()], "ignore_system_fonts": True}
        try:
            return typst.compile(root / "report.typ", root=root, timestamp=datetime.fromtimestamp(SOURCE_DATE_EPOCH, UTC), **how)
        except typst.TypstError as error:
            message = " ".join([error.message, *error.hints])
            raise RenderError(_("the PDF could not be made: {message}", message=message)) from None
