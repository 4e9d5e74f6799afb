"""The sample flow: from the file to the estimate, what was left out at each step and why."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, Rectangle

from relocation_analysis.data.codebook import Outcome
from relocation_analysis.language import _, join_clauses, join_sentences
from relocation_analysis.reporting import wording
from relocation_analysis.reporting.disclosure import release
from relocation_analysis.reporting.exhibits.kinds import Figure
from relocation_analysis.reporting.exhibits.released import say_rounded, say_withheld_count
from relocation_analysis.reporting.exhibits.selection import find_outcome, require_columns
from relocation_analysis.reporting.figures import canvas

COLUMNS = ("outcome", "step", "reason", "rows_dropped", "units_dropped", "rows_left", "units_left")
EDGE, MAIN, BETWEEN = 0.02, 2.4, 0.55  # inches: around all, the width of the main column, from it to the right column
SIDE = canvas.WIDTH - 2 * EDGE - MAIN - BETWEEN
PAD, DOWN = 0.09, 0.16  # inches: inside a box; from one box to the next


def plot_flow(flow: pd.DataFrame, codebook: dict[str, Outcome], outcome: str, name: str = "") -> Figure:
    """Boxes from the file to the estimate of one outcome, and beside them what was left out at each step and why.

    Parameters
    ----------
    flow : step, reason, rows and units dropped and left, as `design.flow`; those of the outcome and those of all are drawn.
    name : the end of the figure's id where another figure of the report has the default one.

    Raises
    ------
    InputError : where the codebook lacks the outcome, or the flow a column or the outcome.
    """
    about = find_outcome(codebook, outcome)
    require_columns(flow, COLUMNS, _("A flow"))
    shown = release.release_flow(flow)
    rows = shown[shown["outcome"].isin([outcome, ""])].reset_index(drop=True)
    require_columns(rows, COLUMNS, _("The flow of an outcome"))
    figure_id = f"fig-{name or f'flow-{outcome}'}".lower()
    with canvas.house_style():
        boxes = list_boxes(rows, about)
        sheet = canvas.new_sheet(boxes[-1]["bottom"] + 2 * EDGE)
        draw_flow(canvas.add_panel(sheet, EDGE, EDGE, EDGE, EDGE), boxes)
        svg = canvas.to_svg(sheet, figure_id)
    return Figure(
        figure_id,
        svg,
        _("From the file to the estimate: who is counted for {outcome}", outcome=wording.in_sentence(about.label)),
        describe_flow(rows, about),
        join_sentences([
            "" if _is_roster(rows) else _("A row is a unit at one time."),
            _("On the right: what each step leaves out, and why.") if len(rows) > 1 else "",
            say_rounded(),
            say_withheld_count() if _withholds(rows) else "",
        ]),
        "reporting.figures.flow.plot_flow",
    )  # fmt: skip


def _withholds(rows: pd.DataFrame) -> bool:
    return bool(rows[["rows_left", "units_left"]].isna().any(axis=None) or rows.loc[1:, ["rows_dropped", "units_dropped"]].isna().any(axis=None))


def _count(value: float) -> str:
    return wording.WITHHELD if pd.isna(value) else wording.format_count(value)


def _is_roster(rows: pd.DataFrame) -> bool:
    """Whether each unit has one row, so that its count says all."""
    return all(rows[f"rows_{what}"].equals(rows[f"units_{what}"]) for what in ("left", "dropped"))


def _say_counts(row: pd.Series, what: str, roster: bool) -> str:
    """Rows and units of one step, "left" or "dropped"."""
    if roster:
        return _("Units {units}", units=_count(row[f"units_{what}"]))
    return _("Rows {rows}, units {units}", rows=_count(row[f"rows_{what}"]), units=_count(row[f"units_{what}"]))


def _head(k: int, rows: pd.DataFrame, about: Outcome) -> str:
    """What the box after step `k` holds."""
    if k == 0:
        return _("In the file")
    return _("Counted for {outcome}", outcome=wording.in_sentence(about.label)) if k == len(rows) - 1 else _("Remaining")


def _open(text: str) -> str:
    return text[:1].upper() + text[1:]


def list_boxes(rows: pd.DataFrame, about: Outcome) -> list[dict]:
    """Every box from the top: its side, its lines (text, style), and its place in inches from the top left of the panel.

    Each row of the flow is a box of the main column that says what is left, each but the first with a box on its right that
    says what it leaves out. A flow that leaves nothing out ends where it begins.
    """
    boxes, top, last, roster = [], 0.0, len(rows) - 1, _is_roster(rows)
    for k, row in rows.iterrows():
        if k > 0:
            boxes.append(_box("side", "", _open(str(row["reason"])), _say_counts(row, "dropped", roster), top))
            top = boxes[-1]["bottom"] + DOWN
        head = _("In the file, and counted for {outcome}", outcome=wording.in_sentence(about.label)) if last == 0 else _head(k, rows, about)
        boxes.append(_box("main", head, _open(str(row["reason"])) if k == 0 else "", _say_counts(row, "left", roster), top))
        top = boxes[-1]["bottom"] + DOWN
    return boxes


def _box(side: str, head: str, reason: str, counts: str, top: float) -> dict:
    left, width = (0.0, MAIN) if side == "main" else (MAIN + BETWEEN, SIDE)
    lines = []
    for text, style in ((head, {"weight": "bold"}), (reason, {"color": canvas.HEAD}), (counts, {})):
        wrapped = canvas.wrap(text, width - 2 * PAD, weight=style.get("weight", "normal"))
        lines += [(line, style) for line in wrapped.split("\n") if line]
    return {"side": side, "lines": lines, "left": left, "width": width, "top": top, "bottom": top + 2 * PAD + canvas.LINE * len(lines)}


def draw_flow(ax: Axes, boxes: list[dict]) -> None:
    """The boxes, arrows down the main column, and an arrow to each box of what is left out."""
    ax.set_axis_off()
    ax.set_xlim(0, canvas.WIDTH - 2 * EDGE)
    ax.set_ylim(boxes[-1]["bottom"], 0)
    line = {"arrowstyle": "-|>", "mutation_scale": 7, "color": canvas.MUTED, "linewidth": 0.8, "shrinkA": 0, "shrinkB": 0}
    above = None
    for box in boxes:
        main, middle = box["side"] == "main", (box["top"] + box["bottom"]) / 2
        ax.add_patch(Rectangle((box["left"], box["top"]), box["width"], box["bottom"] - box["top"], linewidth=0.8, clip_on=False,
                               facecolor="white" if main else canvas.SHADE, edgecolor=canvas.BLUE if main else canvas.RULE,
                               label=box["side"]))  # fmt: skip
        for k, (text, style) in enumerate(box["lines"]):
            ax.text(box["left"] + PAD, box["top"] + PAD + canvas.LINE * (k + 0.5), text, va="center_baseline", **style)
        if not main:
            ax.add_patch(FancyArrowPatch((MAIN / 2, middle), (box["left"], middle), **line))
            continue
        if above is not None:
            ax.add_patch(FancyArrowPatch((MAIN / 2, above), (MAIN / 2, box["top"]), **line))
        above = box["bottom"]


def describe_flow(rows: pd.DataFrame, about: Outcome) -> str:
    """What the diagram shows, in sentences with its numbers."""
    first, last, roster = rows.iloc[0], rows.iloc[-1], _is_roster(rows)

    def say(row: pd.Series, what: str) -> str:
        rows_, units = (_say_count(row[f"{unit}_{what}"]) for unit in ("rows", "units"))
        return _("{units} units", units=units) if roster else _("{rows} rows of {units} units", rows=rows_, units=units)

    if len(rows) == 1:
        return _("All of the {counts} in the file are counted for {outcome}; nothing is left out.", counts=say(first, "left"),
                 outcome=wording.in_sentence(about.label))  # fmt: skip
    told = _("Of {all} in the file, {counted} are counted for {outcome}.", all=say(first, "left"), counted=say(last, "left"),
             outcome=wording.in_sentence(about.label))  # fmt: skip
    steps = [_("{counts} ({reason})", counts=say(row, "dropped"), reason=row["reason"]) for _i, row in rows.iloc[1:].iterrows()]
    return join_sentences([told, _("Left out, in this order: {steps}.", steps=join_clauses(steps))])


def _say_count(value: float) -> str:
    return _("a withheld number of") if pd.isna(value) else wording.format_count(value)
