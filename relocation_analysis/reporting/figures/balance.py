"""The love plot: how the treated differ from the comparison at baseline."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from relocation_analysis.data.codebook import Outcome
from relocation_analysis.language import _, join_sentences, mark
from relocation_analysis.reporting import wording
from relocation_analysis.reporting.disclosure import release
from relocation_analysis.reporting.exhibits.kinds import Figure
from relocation_analysis.reporting.exhibits.released import say_how_many_withheld, say_part, say_withheld_count
from relocation_analysis.reporting.exhibits.selection import require_columns
from relocation_analysis.reporting.figures import canvas
from relocation_analysis.reporting.figures.forest import BOTTOM, LEFT, row_heights, write_beside

RIGHT, TOP = 0.6, 0.15  # inches
BALANCED = 0.1
BEYOND = {
    "none": mark("None of the {total} covariates differ by more than {balanced} standard deviations; {largest}."),
    "one": mark("One of the {total} covariates differs by more than {balanced} standard deviations; {largest}."),
    "some": mark("{part} of the {total} covariates differ by more than {balanced} standard deviations; {largest}."),
    "every": mark("All of the {total} covariates differ by more than {balanced} standard deviations; {largest}."),
}


def plot_balance(
    balance: pd.DataFrame,
    codebook: dict[str, Outcome] | None = None,
    name: str = "balance",
) -> Figure:
    """How the treated differ from the comparison at baseline, in standard deviations: the love plot.

    Parameters
    ----------
    balance : covariate, difference (standardised, treated minus comparison); one row a covariate. A covariate
        without a difference is left out. Where data are not public also `fewest`, the fewest units that a mean of the
        row tells of: a difference of too few is withheld.
    codebook : labels those covariates that are outcomes.
    name : the end of the figure's id where another figure of the report has the default one.

    Raises
    ------
    InputError : where a column is missing or there is no row.
    """
    require_columns(balance, ("covariate", "difference"), _("A table of balance"))
    balance = balance[balance["difference"].notna()]
    require_columns(balance, ("difference",), _("A table of balance with a known difference"))
    ordered = release_balance(balance)
    ordered = ordered.assign(label=[_label(c, codebook or {}) for c in ordered["covariate"]])
    with canvas.house_style():
        tall = canvas.ROW * row_heights(_wrapped(ordered)).sum()
        sheet = canvas.new_sheet(tall + TOP + BOTTOM)
        draw_balance(canvas.add_panel(sheet, LEFT, RIGHT, TOP, BOTTOM), ordered)
        svg = canvas.to_svg(sheet, f"fig-{name}")
    return Figure(
        f"fig-{name}",
        svg,
        _("Balance before the move: standardised differences"),
        describe_balance(ordered),
        join_sentences([
            _("At the first wave, movers minus those who never moved. Grey strip: less than {balanced} either way.", balanced=f"{BALANCED:g}"),
            say_withheld_count() if ordered["difference"].isna().any() else "",
        ]),
        "reporting.figures.balance.plot_balance",
    )  # fmt: skip


def release_balance(balance: pd.DataFrame) -> pd.DataFrame:
    """The differences that may be shown, the largest first, and behind them, without a number, those that may not."""
    shown = release.release_balance(balance)
    return shown.iloc[(-shown["difference"].abs()).to_numpy().argsort(kind="stable")]


def _label(covariate: str, codebook: dict[str, Outcome]) -> str:
    return codebook[covariate].label if covariate in codebook else wording.label_covariate(covariate)


def _wrapped(ordered: pd.DataFrame) -> list[str]:
    return [canvas.wrap(label, LEFT - 10 / 72) for label in ordered["label"]]


def draw_balance(ax: Axes, ordered: pd.DataFrame) -> None:
    """One dot a row of `ordered` (label, difference), its value beside it; a withheld one is only marked."""
    labels = _wrapped(ordered)
    heights = row_heights(labels)
    x, y = ordered["difference"].to_numpy(float), np.cumsum(heights) - heights / 2
    ax.axvspan(-BALANCED, BALANCED, color=canvas.SHADE, linewidth=0, zorder=0)
    ax.axvline(0, color=canvas.INK, linewidth=0.8, zorder=1)
    ax.hlines(y, 0, x, color=canvas.PALE_BLUE, linewidth=1.2, zorder=2)
    ax.plot(x, y, "o", color=canvas.BLUE, zorder=3, label="difference")
    for position, difference, label in zip(y, x, labels):
        write_beside(ax, 0, position, 2 - LEFT * 72, label, linespacing=1.05)
        known = np.isfinite(difference)
        side = {"ha": "right" if known and difference < 0 else "left", "va": "center", "fontsize": 7}
        shift = (-5 if known and difference < 0 else 5, 0)
        text = wording.format_number(difference, "SD") if known else wording.WITHHELD
        ax.annotate(text, (difference if known else 0, position), shift, textcoords="offset points", zorder=4, **side)
    ax.set_ylim(heights.sum(), 0)
    _leave_room(ax, x)
    ax.set_yticks([])
    ax.grid(True, axis="x")
    canvas.number_axis(ax.xaxis)
    ax.set_xlabel(_("Difference, standard deviations"))


def _leave_room(ax: Axes, x: np.ndarray) -> None:
    """Limits that leave room for the values beside the outermost dots."""
    known = x[np.isfinite(x)]
    low, high = min(known.min(initial=0.0), -BALANCED), max(known.max(initial=0.0), BALANCED)
    room = canvas.WIDTH - LEFT - RIGHT
    beside = (max(canvas.measure(wording.format_number(value, "SD"), size=7) for value in [*known, 0.0]) + 0.1) / room
    span = (high - low) / (1 - 2 * beside)
    ax.set_xlim(low - beside * span, high + beside * span)


def describe_balance(ordered: pd.DataFrame) -> str:
    """What a love plot shows, in sentences with its numbers."""
    known = ordered[ordered["difference"].notna()]
    hidden = say_how_many_withheld(len(ordered) - len(known))
    if known.empty:
        return hidden
    beyond, most = int((known["difference"].abs() > BALANCED).sum()), known.iloc[0]
    told = {"difference": wording.format_number(most["difference"], "SD"), "covariate": wording.in_sentence(most["label"])}
    if len(known) == 1:
        return join_sentences([_("One covariate is compared: {covariate} differs by {difference} standard deviations.", **told), hidden])
    largest = _("the largest difference is {difference}, in {covariate}", **told)
    return join_sentences([say_part(beyond, len(known), **BEYOND, balanced=f"{BALANCED:g}", largest=largest), hidden])
