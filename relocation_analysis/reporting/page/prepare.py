"""What happens to the joined notebook before it is set: numbers, references, folded code, the abstract in its place."""

import re

import nbformat
from nbformat import NotebookNode

from relocation_analysis.errors import nearest
from relocation_analysis.language import _, speaking
from relocation_analysis.reporting.exhibits.kinds import META
from relocation_analysis.reporting.run.execute import exhibits_of
from relocation_analysis.reporting.run.gate import copy_notebook

REFERENCE = re.compile(r"(?<![\w@\\])@((?:fig|tbl|sec)-[a-z0-9]+(?:[-_][a-z0-9]+)*)", re.ASCII)
CITATION = re.compile(r"(?<![\w@\\])-?@\{?[A-Za-z_][\w:.#$%&+?<>~/-]*")
CITED = re.compile(r"(?<=[\u3400-\u9fff])@([A-Za-z]\w*)|(?<![\w@\\])@([A-Za-z]\w*)(?=[\u3400-\u9fff])", re.ASCII)
CODE = re.compile(r"(```.*?```|`[^`\n]*`)", re.DOTALL)
HEADING = re.compile(r"^(#{1,6})[ \t]+[^\n]*?(?:\{([^}\n]*)\})?[ \t]*$", re.MULTILINE)


class RenderError(RuntimeError):
    """The executed chapters cannot be made into a report."""


def prepare(notebook: NotebookNode) -> NotebookNode:
    """A copy with numbered exhibits, resolved references, folded code, a place for works cited and, in the metadata under
    `relocation.abstract`, the abstract; without the rows that chapters published, which no page shows."""
    notebook = copy_notebook(notebook)
    labels = number_exhibits(notebook) | number_sections(notebook)
    for holder, key in _texts(notebook):
        holder[key] = resolve_references(holder[key], labels)
    cited = any(CITATION.search(CODE.sub("", holder[key])) for holder, key in _texts(notebook))
    notebook.metadata.relocation["abstract"] = _lift_abstract(notebook)
    _fold_code(notebook)
    _drop_records(notebook)
    if cited:
        title = _("References")
        cell = nbformat.v4.new_markdown_cell(f"# {title} {{.unnumbered}}\n\n::: {{#refs lang=en}}\n:::", id="references")
        notebook.cells.insert(_end_of_chapters(notebook), cell)
    return notebook


def number_exhibits(notebook: NotebookNode) -> dict[str, str]:
    """Number figures and tables in reading order: id -> "Figure 3", also put into META as `label`.

    Raises
    ------
    RenderError : two exhibits have one id.
    """
    labels, count = {}, {"figure": 0, "table": 0}
    for meta in exhibits_of(notebook):
        if meta["kind"] not in count:
            continue
        if meta["id"] in labels:
            raise RenderError(_("two exhibits have the id {id!r}; every id must occur once in the report", id=meta["id"]))
        count[meta["kind"]] += 1
        number = count[meta["kind"]]
        label = _("Figure {number}", number=number) if meta["kind"] == "figure" else _("Table {number}", number=number)
        meta["label"] = labels[meta["id"]] = label
    return labels


def number_sections(notebook: NotebookNode) -> dict[str, str]:
    """The sections that a text can refer to, as pandoc will number them: "sec-x" -> "Section 2.1"."""
    labels, count = {}, [0] * 6
    for holder, key in _texts(notebook):
        for match in HEADING.finditer(CODE.sub("", holder[key])):
            level, attributes = len(match[1]), (match[2] or "").split()
            if ".unnumbered" in attributes or "-" in attributes:
                continue
            count = [*count[: level - 1], count[level - 1] + 1, *[0] * (6 - level)]
            number = ".".join(map(str, count[:level]))
            labels |= {name[1:]: _("Section {number}", number=number) for name in attributes if name.startswith("#sec-")}
    return labels


def labelled(chapters: dict[str, NotebookNode], language: str) -> list[dict]:
    """META of every figure and table of the chapters, each with the label it will have in the report."""
    chapters = [copy_notebook(chapter) for chapter in chapters.values()]
    joined = NotebookNode(cells=[cell for chapter in chapters for cell in chapter.cells])
    with speaking(language):
        number_exhibits(joined)
    return [meta for meta in exhibits_of(joined) if "label" in meta]


def resolve_references(markdown: str, labels: dict[str, str]) -> str:
    """Replace `@fig-x`, `@tbl-x` and `@sec-x` outside code by a link that reads "Figure 3"; let `@work` touch Chinese text.

    Raises
    ------
    RenderError : the report has no such exhibit or section; the nearest id is named.
    """

    def link(match: re.Match) -> str:
        name = match[1]
        if name not in labels:
            close = nearest(name, labels)
            hint = _("; the nearest is @{name}", name=close) if close else ""
            raise RenderError(_("a text refers to @{name}, which the report does not show", name=name) + hint)
        return f"[{labels[name].replace(' ', chr(0xA0))}](#{name})"

    parts = CODE.split(markdown)
    return "".join(part if i % 2 else CITED.sub(_part, REFERENCE.sub(link, part)) for i, part in enumerate(parts))


def _part(match: re.Match) -> str:
    """A citation that pandoc takes for one although a Chinese letter stands before or behind it."""
    return f"[]{{}}@{{{match[1] or match[2]}}}"


def figures_of(notebook: NotebookNode) -> dict[str, str]:
    """The figures of a notebook: id -> SVG."""
    outputs = [o for cell in notebook.cells for o in cell.get("outputs", ())]
    drawn = [o.data for o in outputs if o.get("data", {}).get(META, {}).get("kind") == "figure"]
    return {data[META]["id"]: data["image/svg+xml"] for data in drawn}


def _texts(notebook: NotebookNode):
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            yield cell, "source"
        for output in cell.get("outputs", ()):
            if "text/markdown" in output.get("data", {}):
                yield output.data, "text/markdown"


def _lift_abstract(notebook: NotebookNode) -> str:
    """Take the abstract out of the body."""
    found = []
    for cell in notebook.cells:
        for output in list(cell.get("outputs", ())):
            if output.get("data", {}).get(META, {}).get("role") == "abstract":
                found.append(output.data["text/markdown"])
                cell.outputs.remove(output)
    if len(found) > 1:
        raise RenderError(_("the report has {n} abstracts; it can have one", n=len(found)))
    return "".join(found)


def _fold_code(notebook: NotebookNode) -> None:
    """Give each cell that shows something the code since the last text or shown thing."""
    waiting = []
    for cell in notebook.cells:
        if cell.cell_type != "code":
            waiting = []
            continue
        if "parameters" not in cell.metadata.get("tags", ()):  # the injected ones are those that held
            waiting.append(cell.source)
        if any(map(_is_shown, cell.outputs)):
            cell.metadata["code"] = "\n\n".join(waiting).strip()
            waiting = []


def _is_shown(output: NotebookNode) -> bool:
    """Whether a reader sees an output: not rows that a chapter published, nor a passage without a word."""
    data = output.get("data", {})
    return data.get(META, {}).get("kind") != "records" and data.get("text/markdown") != ""


def _drop_records(notebook: NotebookNode) -> None:
    for cell in notebook.cells:
        if "outputs" in cell:
            cell.outputs = [output for output in cell.outputs if output.get("data", {}).get(META, {}).get("kind") != "records"]


def _end_of_chapters(notebook: NotebookNode) -> int:
    """Where the closing section begins: behind the last cell of a chapter."""
    return max(
        (i for i, c in enumerate(notebook.cells, 1) if "relocation" in c.metadata),
        default=len(notebook.cells),
    )
