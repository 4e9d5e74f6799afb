"""The specification curve: one effect under every defensible choice."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from relocation_analysis.data.codebook import Outcome
from relocation_analysis.estimation.specification_curve import CHOICES
from relocation_analysis.language import _, join_list, join_sentences, mark
from relocation_analysis.reporting import wording
from relocation_analysis.reporting.disclosure.release import release_curve
from relocation_analysis.reporting.exhibits.kinds import Figure
from relocation_analysis.reporting.exhibits.released import say_how_many_withheld, say_withheld
from relocation_analysis.reporting.exhibits.selection import find_outcome, require_columns
from relocation_analysis.reporting.figures import canvas

LEFT, RIGHT, TOP, CURVE, LINE, END = 1.9, 0.1, 0.3, 1.7, 0.16, 0.1  # inches
NAMES = {
    "estimator": mark("Estimator"), "comparison": mark("Comparison"), "base_period": mark("Base period"),
    "anticipation": mark("Anticipation, years"), "strata": mark("Strata"), "without_cohort": mark("Without cohort"),
}  # fmt: skip
VALUES = {
    "callaway_santanna": mark("group-time"), "imputation": mark("imputation"), "sun_abraham": mark("interaction-weighted"),
    "twfe": mark("two-way fixed effects"), "not_yet_treated": mark("not yet treated"), "never_treated": mark("never treated"),
    "last_before": mark("last wave before"), "one_earlier": mark("one wave earlier"), "none": mark("none"),
}  # fmt: skip
MIDDLE = (0.05, 0.95)  # what is said of the specifications: where nine in ten of them lie, not the outermost


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
    require_columns(curve, (*CHOICES, "estimate", "conf_low", "conf_high", "main"), _("A specification curve"))
    shown = release_curve(curve)
    require_columns(shown, ("estimate",), _("A specification curve that may be shown"))
    rows = choice_rows(shown)
    figure_id = f"fig-specifications-{outcome}".lower()
    with canvas.house_style():
        title = canvas.wrap(wording.label_axis(about.label, about.print_unit), canvas.WIDTH - LEFT - RIGHT)
        top, grid = TOP + canvas.LINE * (canvas.count_lines(title) - 1), LINE * grid_lines(rows)
        sheet = canvas.new_sheet(top + CURVE + grid + 0.25)
        ax = canvas.add_panel(sheet, LEFT, RIGHT, top, grid + 0.25)
        draw_curve(ax, shown, about)
        ax.set_title(title)
        draw_choices(canvas.add_panel(sheet, LEFT, RIGHT, top + CURVE + 0.08, END), shown, rows)
        svg = canvas.to_svg(sheet, figure_id)
    return Figure(
        figure_id,
        svg,
        _("Effect on {outcome} under {count} specifications", outcome=wording.in_sentence(about.label), count=len(shown)),
        join_sentences([describe_curve(shown, about), say_how_many_withheld(len(curve) - len(shown))]),
        join_sentences([
            _("Each column is one specification: its estimate with a 95% pointwise interval, and below it what was chosen. "
              "Large diamond: the study's own. They share the data, so their number is no number of tests."),
            say_withheld() if len(shown) < len(curve) else "",
        ]),
        "reporting.figures.curve.plot_specifications",
    )  # fmt: skip


def choice_rows(curve: pd.DataFrame) -> list[tuple[str, str]]:
    """The (choice, value) pairs that at least one specification has, in the order of the choices."""
    return [(choice, value) for choice in CHOICES for value in sorted(set(_values(curve[choice])) - {""})]


def _values(column: pd.Series) -> list[str]:
    blank = column.isna() | (column.astype(str) == "")
    return ["" if b else (f"{v:g}" if isinstance(v, (int, float, np.number)) else str(v)) for v, b in zip(column, blank, strict=True)]


def say_choice(choice: str, value: str) -> str:
    """A value of a choice as its row is labelled: its name, a list of strata, or the number itself."""
    if value in VALUES:
        return _(VALUES[value])
    if choice == "strata":
        return join_list(wording.in_sentence(wording.label_covariate(trait)) for trait in value.split("+"))
    return value


def _labels(rows: list[tuple[str, str]]) -> list[tuple[str, bool, str, str]]:
    """The lines of the grid from the top: text, whether it is a heading, choice, value."""
    found, last = [], ""
    for choice, value in rows:
        if choice != last:
            found.append((_(NAMES[choice]), True, choice, ""))
        found.append((canvas.wrap(say_choice(choice, value), LEFT - 0.15, size=7), False, choice, value))
        last = choice
    return found


def grid_lines(rows: list[tuple[str, str]]) -> float:
    """How many lines the grid of choices takes, headings included."""
    return sum(_height(text) for text, *_rest in _labels(rows)) + END / LINE


def _height(text: str) -> float:
    return 1 + 0.7 * (canvas.count_lines(text) - 1)


def draw_curve(ax: Axes, curve: pd.DataFrame, about: Outcome) -> None:
    """The estimates and intervals, in the unit in which effects are printed."""
    scale, x = wording.find_unit(about.print_unit).scale, np.arange(len(curve))
    own = curve["main"].to_numpy(dtype=bool)
    estimate, low, high = (scale * curve[name].to_numpy(float) for name in ("estimate", "conf_low", "conf_high"))
    low, high = canvas.close_ends(low, high, estimate)
    ax.vlines(x, low, high, color=canvas.PALE_BLUE, linewidth=0.7)
    ax.plot(x, estimate, ".", color=canvas.BLUE, markersize=2.5, label="estimate")
    ax.plot(x[own], estimate[own], "D", color=canvas.ORANGE, mec="white", markersize=7, label="main")
    ax.axhline(0, color=canvas.RULE, linewidth=0.8)
    ax.set_xlim(-1, len(curve))
    ax.set_xticks([])
    ax.spines["bottom"].set_visible(False)
    ax.set_title(wording.label_axis(about.label, about.print_unit))
    canvas.number_axis(ax.yaxis)


def draw_choices(ax: Axes, curve: pd.DataFrame, rows: list[tuple[str, str]]) -> None:
    """A mark in the row of every choice that a specification makes."""
    end = 0.0
    for text, head, choice, value in _labels(rows):
        y, end = end + _height(text) / 2, end + _height(text)
        style = {"weight": "bold", "color": canvas.INK} if head else {"color": canvas.HEAD}
        ax.annotate(text, (0, y), (-6, 0), ("axes fraction", "data"), textcoords="offset points", ha="right", va="center",
                    fontsize=7, linespacing=1.0, **style)  # fmt: skip
        if not head:
            made = np.flatnonzero(np.array(_values(curve[choice])) == value)
            ax.plot(made, np.full(len(made), y), "|", color=canvas.INK, markersize=4, markeredgewidth=0.7, label=f"{choice}={value}")
    ax.set_xlim(-1, len(curve))
    ax.set_ylim(end, 0)
    ax.set_xticks([])
    ax.set_yticks([])
    ax.grid(False)
    ax.spines["bottom"].set_visible(False)


def describe_curve(curve: pd.DataFrame, about: Outcome) -> str:
    """What the curve shows, with its numbers: where the middle nine in ten lie, never the outermost."""
    low, high = (wording.format_amount(curve["estimate"].quantile(q), about.print_unit) for q in MIDDLE)
    own = curve.loc[curve["main"].astype(bool), "estimate"]
    told = _("Nine in ten of {count} specifications put the effect on {outcome} between {low} and {high}.", count=len(curve),
             outcome=wording.in_sentence(about.label), low=low, high=high)  # fmt: skip
    if own.empty:
        return told
    alike = float((np.sign(curve["estimate"]) == np.sign(own.iloc[0])).mean())
    return join_sentences([told, _("The study's own is {estimate}; {share} of all have its sign.",
                                   estimate=wording.format_amount(own.iloc[0], about.print_unit), share=wording.format_share(alike))])  # fmt: skip
