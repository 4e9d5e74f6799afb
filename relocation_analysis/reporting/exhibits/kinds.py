"""What a cell of a notebook can show: a figure, a table, a passage of prose, or records for the CSV files.

Each exhibit shows itself in JupyterLab and carries, under the MIME type `META`, what the renderer needs to
number it, caption it and name the function behind it.
"""

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from relocation_analysis.language import _
from relocation_analysis.reporting.disclosure import withheld as log
from relocation_analysis.reporting.exhibits import formats
from relocation_analysis.reporting.exhibits.escapes import escape_markdown  # noqa: F401 (offered beside Prose)

if TYPE_CHECKING:
    import pandas as pd

META = log.META
KINDS = {"figure": "fig-", "table": "tbl-"}
RECORDS = ("effects", "checks", "flow", "exposures", "synthesis")
ALIGNMENTS = ("left", "right", "center")
ROLES = ("", "abstract")
FIGURE_SPACE, POINT_SPACE = "\u2007", "\u2008"
NUMBER = re.compile(r"[-\u2212+]?[\d,]+(\.\d+)?")


def _check_id(kind: str, name: str) -> None:
    prefix = KINDS[kind]
    if not re.fullmatch(prefix + r"[a-z0-9]+([-_][a-z0-9]+)*", name):
        raise ValueError(
            f"the id of a {kind} is {prefix} and lower-case words joined by - or _, not {name!r}"
        )


@dataclass(frozen=True)
class Figure:
    """A drawing.

    Attributes
    ----------
    id : "fig-" and words; `@id` in a narrative cell becomes "Figure 3".
    svg : the SVG document.
    caption, note : plain text, no markup.
    alt : what the figure shows, for a reader who does not see it; must not be empty.
    source : the function behind it, "reporting.figures.event_study.plot_event_study".
    withheld : what was withheld since the exhibit before (`withheld.take`).
    """

    id: str
    svg: str
    caption: str
    alt: str
    note: str = ""
    source: str = ""
    withheld: tuple[dict, ...] = field(default_factory=log.take, compare=False, repr=False)

    def __post_init__(self):
        _check_id("figure", self.id)
        if not self.alt.strip():
            raise ValueError(f"figure {self.id!r} must say in `alt` what it shows")

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        meta = {"kind": "figure", "id": self.id, "caption": self.caption, "alt": self.alt}
        meta |= {"note": self.note, "source": self.source}
        return {
            "image/svg+xml": self.svg,
            "text/plain": _("Figure: {caption}", caption=self.caption),
            META: log.stamped(meta, self.withheld),
        }


@dataclass(frozen=True)
class Column:
    """The head of a column: its label, "left", "right" or "center", and the head above it that it shares with neighbours."""

    label: str
    align: str = "left"
    group: str = ""

    def __post_init__(self):
        if self.align not in ALIGNMENTS:
            raise ValueError(f"align is one of {', '.join(ALIGNMENTS)}, not {self.align!r}")


@dataclass(frozen=True)
class Table:
    """A table whose cells are text.

    Attributes
    ----------
    id : "tbl-" and words; `@id` in a narrative cell becomes "Table 2".
    columns : the heads. The cells of the first column are the heads of their rows.
    rows : tuples with one text a column; a row of a single text is the heading of the group of rows below it.
    caption, note : plain text, no markup.
    source : the function behind it, "reporting.tables.effects.tabulate_headlines".
    withheld : what was withheld since the exhibit before (`withheld.take`).
    """

    id: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str
    note: str = ""
    source: str = ""
    withheld: tuple[dict, ...] = field(default_factory=log.take, compare=False, repr=False)

    def __post_init__(self):
        _check_id("table", self.id)
        for row in self.rows:
            if len(row) not in (1, len(self.columns)):
                raise ValueError(
                    f"a row of table {self.id!r} has {len(row)} cells, its head {len(self.columns)}"
                )
            if not all(isinstance(cell, str) for cell in row):
                raise ValueError(f"a cell of table {self.id!r} is not text: {row!r}")

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        meta = {"kind": "table", "id": self.id, "caption": self.caption, "note": self.note, "source": self.source}
        meta |= {"long": formats.is_long(self), "wide": formats.is_wide(self)}
        return {
            "text/html": self.to_html(),
            "text/typst": self.to_typst(),
            "text/latex": self.to_latex(),
            "text/csv": self.to_csv(),
            "text/plain": self.to_plain(),
            META: log.stamped(meta, self.withheld),
        }

    def to_html(self) -> str:
        """The table for a web page."""
        return formats.to_html(self)

    def to_typst(self) -> str:
        """The table for Typst."""
        return formats.to_typst(self)

    def to_latex(self) -> str:
        """The table for a manuscript in LaTeX."""
        return formats.to_latex(self)

    def to_csv(self) -> str:
        """The table for a spreadsheet or a program."""
        return formats.to_csv(self)

    def to_plain(self) -> str:
        """The table for a terminal."""
        return formats.to_plain(self)

    def is_heading(self, row: tuple[str, ...]) -> bool:
        """Whether `row` is the heading of a group."""
        return len(row) == 1 and len(self.columns) > 1

    def aligned_rows(self) -> tuple[tuple[str, ...], ...]:
        """The rows, numbers of a right-aligned column padded so that their points stand in one line."""
        body = [row for row in self.rows if not self.is_heading(row)]
        places = [_decimals(row[j] for row in body) for j in range(len(self.columns))]

        def align(j: int, cell: str) -> str:
            return _pad(cell, places[j]) if self.columns[j].align == "right" else cell

        return tuple(row if self.is_heading(row) else tuple(map(align, range(len(row)), row)) for row in self.rows)


def _decimals(cells) -> int:
    """The largest number of decimal places among the cells that are one number."""
    matches = (NUMBER.fullmatch(cell) for cell in cells)
    return max((len(m[1]) - 1 if m[1] else 0 for m in matches if m), default=0)


def _pad(cell: str, places: int) -> str:
    match = NUMBER.fullmatch(cell)
    if not match or not places:
        return cell
    own = len(match[1]) - 1 if match[1] else 0
    return cell + (POINT_SPACE if own == 0 else "") + FIGURE_SPACE * (places - own)


@dataclass(frozen=True)
class Prose:
    """A passage of Markdown whose numbers were computed; labels from data go through `escape_markdown`.

    Attributes
    ----------
    markdown : the passage.
    role : "abstract" where it belongs into the title block of the report; else blank.
    """

    markdown: str
    role: str = ""
    withheld: tuple[dict, ...] = field(default_factory=log.take, compare=False, repr=False)

    def __post_init__(self):
        if self.role not in ROLES:
            raise ValueError(f"role is blank or abstract, not {self.role!r}")

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        meta = {"kind": "prose"} | ({"role": self.role} if self.role else {})
        return {"text/markdown": self.markdown, "text/plain": self.markdown, META: log.stamped(meta, self.withheld)}


@dataclass(frozen=True, eq=False)
class Records:
    """Tidy rows on their way to the CSV file that has their name, `effects.csv` for one; a report does not show them.

    Attributes
    ----------
    effects, checks, flow, exposures, synthesis : DataFrames, released (see `publish`), or None.
    withheld : what was withheld from them.
    """

    effects: "pd.DataFrame | None" = None
    checks: "pd.DataFrame | None" = None
    flow: "pd.DataFrame | None" = None
    exposures: "pd.DataFrame | None" = None
    synthesis: "pd.DataFrame | None" = None
    withheld: tuple[dict, ...] = field(default_factory=log.take, compare=False, repr=False)

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        frames = {k: v for k in RECORDS if (v := getattr(self, k)) is not None}
        counts = ", ".join(f"{len(frame)} rows of {name}" for name, frame in frames.items())
        meta = {"kind": "records"} | {name: frame_to_json(frame) for name, frame in frames.items()}
        return {"text/plain": f"Published {counts or 'nothing'}.", META: log.stamped(meta, self.withheld)}


def publish(effects=None, checks=None, flow=None, exposures=None) -> Records:
    """Put tidy rows into a cell's output, from where the report gathers them into its CSV files, as the rule of disclosure lets
    them out.

    Parameters
    ----------
    effects : an `Effects` or a sequence of them.
    checks : a `Check` or a sequence of them; their `table` stays behind.
    flow : a flow DataFrame (`design.flow`) or a sequence of them.
    exposures : from `estimate_exposures`.
    """
    import pandas as pd

    from relocation_analysis.estimation.checks import check_frame
    from relocation_analysis.reporting.disclosure.exposures import release_exposures
    from relocation_analysis.reporting.disclosure.release import published_effects, published_flow, release_checks

    def many(value) -> list:
        return list(value) if isinstance(value, (list, tuple)) else [value]

    def stack(frames: list) -> "pd.DataFrame | None":
        return pd.concat(frames, ignore_index=True) if frames else None

    log.forget()  # what exhibits noted is noted again, with the file that it goes to
    return Records(
        effects=None if effects is None else stack([published_effects(e) for e in many(effects)]),
        checks=None if checks is None else check_frame(release_checks(many(checks))).astype({"passed": object}),
        flow=None if flow is None else stack([published_flow(f) for f in many(flow)]),
        exposures=None if exposures is None else release_exposures(exposures),
    )


def frame_to_json(frame: "pd.DataFrame") -> dict:
    """A DataFrame as JSON that holds every bit of its floats: missing is null, infinity is text."""
    return {
        "columns": [str(c) for c in frame.columns],
        "dtypes": [str(t) for t in frame.dtypes],
        "rows": list(map(list, zip(*(_plain_values(column) for _name, column in frame.items()), strict=True))),
    }


def frame_from_json(data: dict) -> "pd.DataFrame":
    """The inverse of `frame_to_json`."""
    import pandas as pd

    frame = pd.DataFrame(data["rows"], columns=data["columns"], dtype=object)
    return frame.astype(dict(zip(data["columns"], data["dtypes"])))


def _plain_values(column: "pd.Series") -> list:
    return [None if missing else _plain(value) for value, missing in zip(column, column.isna(), strict=True)]


def _plain(value):
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, float) and math.isinf(value):
        return str(value)
    return value if isinstance(value, (bool, int, float, str)) else str(value)
