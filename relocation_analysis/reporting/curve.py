"""The specification curve: one effect under every defensible choice."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from relocation_analysis.data.codebook import Outcome
from relocation_analysis.estimation.specification_curve import CHOICES
from relocation_analysis.reporting import canvas, wording
from relocation_analysis.reporting.exhibits import Figure
from relocation_analysis.reporting.selection import find_outcome, require_columns

LEFT, TOP, CURVE, LINE = 1.9, 0.3, 1.7, 0.16  # inches
NAMES = {
    "estimator": "Estimator", "comparison": "Comparison", "base_period": "Base period",
    "anticipation": "Anticipation, years", "strata": "Strata", "without_cohort": "Without cohort",
}  # fmt: skip
VALUES = {
    "callaway_santanna": "group-time", "sun_abraham": "interaction-weighted", "twfe": "two-way fixed effects",
    "last_before": "last wave before", "one_earlier": "one wave earlier",
}  # fmt: skip


def plot_specifications(curve: pd.DataFrame, outcome: str, codebook: dict[str, Outcome]) -> Figure:
    """Estimates in their order with 95% intervals, and below each the choices behind it; the study's own is marked.

    Parameters
    ----------
    curve : from `specification_curve`.

    Raises
    ------
    InputError : where the codebook lacks the outcome or the curve a column or all rows.
    """
    about = find_outcome(codebook, outcome)
    require_columns(curve, (*CHOICES, "estimate", "conf_low", "conf_high", "main"), "A specification curve")
    rows = choice_rows(curve)
    figure_id = f"fig-specifications-{outcome}".lower()
    with canvas.house_style():
        grid = LINE * (len(rows) + len(NAMES))
        sheet = canvas.new_sheet(TOP + CURVE + grid + 0.25)
        draw_curve(canvas.add_panel(sheet, LEFT, 0.1, TOP, grid + 0.25), curve, about)
        draw_choices(canvas.add_panel(sheet, LEFT, 0.1, TOP + CURVE + 0.08, 0.1), curve, rows)
        svg = canvas.to_svg(sheet, figure_id)
    return Figure(figure_id, svg, f"Effect on {wording.in_sentence(about.label)} under {len(curve)} specifications",
                  describe_curve(curve, about),
                  "Each column is one specification: its estimate with a 95% pointwise interval, and below it what was chosen. "
                  "Large dot: the study's own. They share the data, so their number is no number of tests.",
                  "reporting.curve.plot_specifications")  # fmt: skip


def choice_rows(curve: pd.DataFrame) -> list[tuple[str, str]]:
    """The (choice, value) pairs that at least one specification has, in the order of the choices."""
    return [(choice, value) for choice in CHOICES for value in sorted(set(_values(curve[choice])) - {""})]


def _values(column: pd.Series) -> list[str]:
    blank = column.isna() | (column.astype(str) == "")
    return ["" if b else (f"{v:g}" if isinstance(v, (int, float, np.number)) else str(v)) for v, b in zip(column, blank, strict=True)]


def draw_curve(ax: Axes, curve: pd.DataFrame, about: Outcome) -> None:
    """The estimates and intervals, in the unit in which effects are printed."""
    scale, x = wording.find_unit(about.print_unit).scale, np.arange(len(curve))
    own = curve["main"].to_numpy(dtype=bool)
    ax.vlines(x, scale * curve["conf_low"], scale * curve["conf_high"], color=canvas.PALE_BLUE, linewidth=0.7)
    ax.plot(x, scale * curve["estimate"], ".", color=canvas.BLUE, markersize=2.5, label="estimate")
    ax.plot(x[own], scale * curve["estimate"][own], "o", color=canvas.ORANGE, markersize=6, label="main")
    ax.axhline(0, color=canvas.RULE, linewidth=0.8)
    ax.set_xlim(-1, len(curve))
    ax.set_xticks([])
    ax.spines["bottom"].set_visible(False)
    ax.set_title(wording.label_axis(about.label, about.print_unit))
    canvas.number_axis(ax.yaxis)


def draw_choices(ax: Axes, curve: pd.DataFrame, rows: list[tuple[str, str]]) -> None:
    """A mark in the row of every choice that a specification makes."""
    labels, y, last = [], 0, ""
    for choice, value in rows:
        if choice != last:
            labels.append((y, NAMES[choice], True))
            y, last = y + 1, choice
        made = np.flatnonzero(np.array(_values(curve[choice])) == value)
        ax.plot(made, np.full(len(made), y), "|", color=canvas.INK, markersize=4, markeredgewidth=0.7, label=f"{choice}={value}")
        labels.append((y, VALUES.get(value, wording.in_sentence(wording.spell_out(value))), False))
        y += 1
    ax.set_xlim(-1, len(curve))
    ax.set_ylim(y - 0.4, -0.6)
    ax.set_xticks([])
    ax.set_yticks([])
    ax.grid(False)
    ax.spines["bottom"].set_visible(False)
    for place, text, head in labels:
        ax.annotate(text, (0, place), (-6, 0), ("axes fraction", "data"), textcoords="offset points", ha="right", va="center",
                    fontsize=7, weight="bold" if head else "normal", color=canvas.INK if head else canvas.HEAD)  # fmt: skip


def describe_curve(curve: pd.DataFrame, about: Outcome) -> str:
    """What the curve shows, with its numbers."""
    low, high = (wording.format_amount(curve["estimate"].agg(how), about.print_unit) for how in ("min", "max"))
    own = curve.loc[curve["main"], "estimate"]
    alike = float((np.sign(curve["estimate"]) == np.sign(own.iloc[0])).mean()) if len(own) else float("nan")
    text = f"Over {len(curve)} specifications the effect on {wording.in_sentence(about.label)} runs from {low} to {high}."
    if len(own):
        text += (f" The study's own is {wording.format_amount(own.iloc[0], about.print_unit)}; "
                 f"{wording.format_share(alike)} of all have its sign.")  # fmt: skip
    return text
