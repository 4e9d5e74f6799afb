"""The raw means behind the effects, as small multiples."""

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Sheet

from relocation_analysis.data.codebook import Outcome
from relocation_analysis.reporting import canvas, wording
from relocation_analysis.reporting.exhibits import Figure
from relocation_analysis.reporting.selection import find_outcome, require_columns

PANELS, PITCH = 4, 1.7  # panels a row; inches from one row of panels to the next


def plot_raw_trends(
    means: pd.DataFrame,
    outcome: str,
    codebook: dict[str, Outcome],
    name: str = "",
) -> Figure:
    """Mean outcome by year, one small panel a cohort, beside those who never moved.

    Parameters
    ----------
    means : cohort (NaN = never), time, mean (in the outcome's unit), n; one row a cohort and time.
    name : the end of the figure's id where another figure of the report has the default one.

    Raises
    ------
    InputError : where the codebook lacks the outcome or `means` a column, or it has no cohort.
    """
    about = find_outcome(codebook, outcome)
    require_columns(means, ("cohort", "time", "mean", "n"), "The means of a raw-trends figure")
    require_columns(means[means["cohort"].notna()], ("cohort",), "The means of the cohorts")
    figure_id = f"fig-{name or f'raw_trends-{outcome}'}".lower()
    with canvas.house_style():
        cohorts = means["cohort"].dropna().nunique()
        deep = math.ceil(cohorts / PANELS)
        sheet = canvas.new_sheet(0.25 + PITCH * deep)
        draw_raw_trends(sheet, means.sort_values(["cohort", "time"]), about)
        svg = canvas.to_svg(sheet, figure_id)
    return Figure(
        figure_id,
        svg,
        f"{about.label} by year of the move, as observed",
        describe_raw_trends(means, about),
        "Means as observed, without adjustment. Dot: the first wave since the move. Dashed: those who"
        " never moved. The difference between two lines is not an effect.",
        "reporting.trends.plot_raw_trends",
    )


def draw_raw_trends(sheet: Sheet, means: pd.DataFrame, about: Outcome) -> list[Axes]:
    """One panel a cohort, on common axes; returns the panels."""
    scale = wording.find_unit(about.print_unit).scale
    never = means[means["cohort"].isna()].sort_values("time")
    cohorts = sorted(means["cohort"].dropna().unique())
    height, gap = sheet.get_size_inches()[1], 0.2
    width = (canvas.WIDTH - 0.5 - 0.15 - gap * (PANELS - 1)) / PANELS
    panels: list[Axes] = []
    for k, cohort in enumerate(cohorts):
        left, top = 0.5 + (k % PANELS) * (width + gap), 0.45 + (k // PANELS) * PITCH
        ax = canvas.add_panel(sheet, left, canvas.WIDTH - left - width, top, height - top - 1.2)
        if panels:
            ax.sharex(panels[0])
            ax.sharey(panels[0])
        panels.append(ax)
        _draw_trend(ax, never, means[means["cohort"] == cohort], cohort, scale)
        ax.set_title(f"moved in {cohort:g}", color=canvas.BLUE, pad=4)
        ax.tick_params(labelleft=k % PANELS == 0)
    first = panels[0]
    times = np.sort(means["time"].unique())
    first.set_xticks(times[[0, -1]], [f"{t:g}" for t in times[[0, -1]]])
    first.set_xlim(times[0] - 0.9, times[-1] + 0.9)
    first.margins(y=0.15)
    canvas.number_axis(first.yaxis)
    unit = wording.label_unit(about.print_unit, level=True)
    head = {"y": 1.0 - 0.05 / height, "va": "top", "color": canvas.HEAD}
    sheet.text(0.5 / canvas.WIDTH, s=", ".join(filter(None, (about.label, unit))), **head)
    if len(never):
        sheet.text(1.0 - 0.15 / canvas.WIDTH, s="dashed: never moved", ha="right", **head)
    return panels


def _draw_trend(ax: Axes, never: pd.DataFrame, own: pd.DataFrame, cohort: float, scale: float) -> None:
    ax.plot(
        never["time"],
        scale * never["mean"],
        color=canvas.MUTED,
        linewidth=1.2,
        dashes=(3, 1.5),
        label="never",
    )
    ax.plot(own["time"], scale * own["mean"], color=canvas.BLUE, label="cohort")
    since = own[own["time"] >= cohort].head(1)
    ax.plot(since["time"], scale * since["mean"], "o", color=canvas.BLUE, label="move")


def describe_raw_trends(means: pd.DataFrame, about: Outcome) -> str:
    """What the raw trends show: each cohort's first and last mean."""
    parts = []
    for cohort, rows in means.sort_values("time").groupby("cohort", dropna=False):
        who = "those who never moved" if pd.isna(cohort) else f"those who moved in {cohort:g}"
        first, last = rows.iloc[0], rows.iloc[-1]
        ends = [f"{wording.format_level(r['mean'], about.print_unit)} in {r['time']:g}" for r in (first, last)]
        parts.append(f"{who}, from {ends[0]} to {ends[1]}")
    return f"Mean of {wording.in_sentence(about.label)}: {'; '.join(parts)}."
