"""Figures of effects over time: by event time, and by cohort and calendar year.

Each `plot_*` chooses rows, `draw_*` puts exactly those numbers on axes, the alternative text says what they
show.
"""

import math

import numpy as np
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure as Sheet
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from relocation_analysis.data.codebook import Outcome
from relocation_analysis.estimation.effects import Effects
from relocation_analysis.reporting import canvas, wording
from relocation_analysis.reporting.exhibits import Figure
from relocation_analysis.reporting.selection import (
    UNIVERSAL,
    find_outcome,
    is_reference,
    lacks_interval,
    select_rows,
)

DIVERGING = seaborn.blend_palette(("#E5934F", "#FAFAFA", "#5AA5D0"), as_cmap=True)


def plot_event_study(
    effects: Effects,
    outcome: str,
    codebook: dict[str, Outcome],
    estimator: str = UNIVERSAL,
    subgroup: str = "all",
    name: str = "",
) -> Figure:
    """The effect by event time, with pointwise and simultaneous intervals.

    Parameters
    ----------
    effects : holds rows of aggregation "event_time" for the outcome, estimator and subgroup.
    estimator : its base period is universal, or estimates before the event do not compare with those after.
    name : the end of the figure's id where another figure of the report has the default one.

    Raises
    ------
    InputError : where the effects or the codebook lack the outcome, or the effects such rows.
    """
    about = find_outcome(codebook, outcome)
    wanted = {"subgroup": subgroup, "estimator": estimator, "aggregation": "event_time"}
    rows = select_rows(effects, outcome, sort_by="event_time", **wanted)
    figure_id = f"fig-{name or f'event_study-{outcome}'}".lower()
    with canvas.house_style():
        sheet = canvas.new_sheet(3.1)
        ax = canvas.add_panel(sheet, left=0.6, right=0.15, top=0.35, bottom=0.5)
        draw_event_study(ax, rows, about)
        _draw_interval_key(sheet, with_band=rows["band_low"].notna().any())
        svg = canvas.to_svg(sheet, figure_id)
    return Figure(
        figure_id,
        svg,
        f"Effect on {wording.in_sentence(about.label)} by years since the move",
        describe_event_study(rows, about),
        _event_study_note(rows, about),
        "reporting.figures.plot_event_study",
    )


def draw_event_study(ax: Axes, rows: pd.DataFrame, about: Outcome) -> None:
    """`rows` by event time: points, thick pointwise and thin simultaneous intervals, a hollow base period."""
    scale = wording.find_unit(about.print_unit).scale
    x = rows["event_time"].to_numpy(float)
    y, low, high, band_low, band_high = (
        scale * rows[column].to_numpy(float)
        for column in ("estimate", "conf_low", "conf_high", "band_low", "band_high")
    )
    base = is_reference(rows).to_numpy()
    left = min(x.min(), -1.0)
    ax.axvspan(left - 0.5, -0.5, color=canvas.SHADE, linewidth=0, zorder=0)
    ax.axvline(-0.5, color=canvas.RULE, linewidth=0.8, zorder=1)
    ax.axhline(0, color=canvas.INK, linewidth=0.8, zorder=1)
    ax.vlines(x, band_low, band_high, color=canvas.BLUE, linewidth=0.9, zorder=2, label="simultaneous")
    ax.vlines(x, low, high, color=canvas.PALE_BLUE, linewidth=4.5, zorder=3, label="pointwise")
    ax.plot(x[~base], y[~base], "o", color=canvas.BLUE, zorder=4, label="estimate")
    ax.plot(x[base], y[base], "o", mfc="white", mec=canvas.INK, zorder=4, label="base")
    if values_fit(rows, about):
        texts = [wording.format_number(value, about.print_unit) for value in rows["estimate"][~base]]
        _write_values(ax, x[~base], y[~base], texts)
    for time in x[base]:
        ax.annotate("base", (time, 0), (0, -6), ha="center", va="top", **_beside(time))
    _name_the_sides(ax)
    ax.set_xticks(x, [wording.format_period(time) for time in x])
    ax.set_xlim(left - 0.5, max(x.max(), 0) + 0.6)
    ax.margins(y=0.1)
    ax.set_xlabel("Years since the move", loc="left")
    ax.set_title(wording.label_axis(about.label, about.print_unit))
    canvas.number_axis(ax.yaxis)


def _write_values(ax: Axes, x: np.ndarray, y: np.ndarray, texts: list[str]) -> None:
    for time, value, text in zip(x, y, texts):
        if math.isfinite(value):
            ax.annotate(text, (time, value), (5, 0), va="center", **_beside(time))


def values_fit(rows: pd.DataFrame, about: Outcome) -> bool:
    """Whether the points stand far enough apart to have their values written beside them."""
    steps = rows["event_time"].max() - min(rows["event_time"].min(), -1.0) + 1.1
    room = (canvas.WIDTH - 0.75) / steps
    longest = max(len(wording.format_number(value, about.print_unit)) for value in rows["estimate"])
    return bool(0.062 * longest + 0.1 < min(room, 0.6 * room + 0.12))


def _beside(event_time: float) -> dict:
    ground = {"facecolor": canvas.SHADE if event_time < -0.5 else "white", "edgecolor": "none", "pad": 0.8}
    return {"textcoords": "offset points", "fontsize": 7, "zorder": 5, "bbox": ground}


def _draw_interval_key(sheet: Sheet, with_band: bool) -> None:
    height = sheet.get_size_inches()[1]
    keys = [
        (3.2, canvas.PALE_BLUE, 4.5, "95% interval"),
        (4.35, canvas.BLUE, 0.9, "95% band for all years at once"),
    ]
    for left, colour, width, text in keys[: 1 + with_band]:
        x, y = left / canvas.WIDTH, 0.13 / height
        tall = [y - 0.055 / height, y + 0.055 / height]
        sheet.add_artist(Line2D([x, x], tall, color=colour, linewidth=width, solid_capstyle="butt"))
        sheet.text(x + 0.07 / canvas.WIDTH, y, text, va="center", fontsize=7, color=canvas.MUTED)


def _name_the_sides(ax: Axes) -> None:
    up = ax.get_xaxis_transform()
    style = {"xycoords": up, "textcoords": "offset points", "va": "top", "fontsize": 7, "color": canvas.MUTED}
    ax.annotate("before the move", (-0.5, 1), (-5, -1), ha="right", **style)
    ax.annotate("after", (-0.5, 1), (5, -1), ha="left", **style)


def describe_event_study(rows: pd.DataFrame, about: Outcome) -> str:
    """What an event-study figure shows, in sentences with its numbers."""
    shown = rows[rows["estimate"].notna() & ~is_reference(rows)]
    before, after = shown[shown["event_time"] < 0], shown[shown["event_time"] >= 0]
    parts = [_describe_path(after, about)] if len(after) else ["No effect can be estimated."]
    if len(before):
        ends = wording.format_interval(before["estimate"].min(), before["estimate"].max(), about.print_unit)
        parts.append(
            f"Before the move the estimates run from {ends} {wording.find_unit(about.print_unit).short};"
            + f" {_say_excluding(before)}."
        )
    return " ".join(parts)


def _describe_path(after: pd.DataFrame, about: Outcome) -> str:
    first, last = after.iloc[0], after.iloc[-1]
    subject = f"The effect on {wording.in_sentence(about.label)}"

    def say(row: pd.Series) -> str:
        amount = wording.format_estimate(row["estimate"], row["conf_low"], row["conf_high"], about.print_unit)
        return f"{amount} {wording.say_exposure(row['event_time'])}"

    if len(after) == 1:
        return f"{subject} is {say(first)}; {_say_excluding(after)}."
    numbers = [wording.format_number(value, about.print_unit) for value in after["estimate"]]
    step = last["estimate"] - first["estimate"]
    verb = "is the same at both ends," if numbers[0] == numbers[-1] else "rises" if step > 0 else "falls"
    peak = _find_peak(after)
    turn = "" if peak is None else f", by way of {say(peak)}"
    return f"{subject} {verb} from {say(first)} to {say(last)}{turn}; {_say_excluding(after)}."


def _find_peak(after: pd.DataFrame) -> pd.Series | None:
    """The largest or the smallest effect, if it lies well outside the two ends of the path."""
    ends = after["estimate"].iloc[[0, -1]]
    beyond = (after["estimate"] - ends.max()).clip(lower=0) + (ends.min() - after["estimate"]).clip(lower=0)
    span = after["estimate"].abs().max()
    return after.loc[beyond.idxmax()] if beyond.max() > 0.1 * span else None


def _say_excluding(rows: pd.DataFrame) -> str:
    known = rows[rows["conf_low"].notna()]
    if known.empty:
        return "no interval can be given"
    excluding = int(((known["conf_low"] > 0) | (known["conf_high"] < 0)).sum())
    verb = "excludes" if excluding == 1 else "exclude"
    return f"{wording.say_part(excluding, len(known))} pointwise intervals {verb} zero"


def _event_study_note(rows: pd.DataFrame, about: Outcome) -> str:
    parts = ["The number beside a point is its value."] * values_fit(rows, about)
    parts += ["Hollow: the base period, zero by construction."] * bool(is_reference(rows).any())
    return " ".join(parts + [wording.NO_INTERVAL] * lacks_interval(rows))


def plot_cell_map(
    effects: Effects,
    outcome: str,
    codebook: dict[str, Outcome],
    times: tuple[int, ...] = (),
    estimator: str = UNIVERSAL,
    name: str = "",
) -> Figure:
    """The effect on each cohort in each year: what the averages are made of, and what cannot be estimated.

    Parameters
    ----------
    effects : holds rows of aggregation "cohort_time" for the outcome and estimator.
    times : the waves of the study, so that one without any estimate shows too; by default those of the rows.
    name : the end of the figure's id where another figure of the report has the default one.

    Raises
    ------
    InputError : where the effects or the codebook lack the outcome, or the effects such rows.
    """
    about = find_outcome(codebook, outcome)
    rows = select_rows(effects, outcome, subgroup="all", estimator=estimator, aggregation="cohort_time")
    cohorts = rows["cohort"].nunique()
    figure_id = f"fig-{name or f'cell_map-{outcome}'}".lower()
    with canvas.house_style():
        sheet = canvas.new_sheet(0.55 + 0.32 * cohorts)
        ax = canvas.add_panel(sheet, left=1.0, right=0.15, top=0.1, bottom=0.45)
        draw_cell_map(ax, rows, about, times)
        svg = canvas.to_svg(sheet, figure_id)
    unit = wording.label_unit(about.print_unit)
    return Figure(
        figure_id,
        svg,
        f"Effect on {wording.in_sentence(about.label)} by year of the move and calendar year"
        + (f" ({unit})" if unit else ""),
        describe_cell_map(rows, about, times),
        "Right of the heavy line: since the move. Left of it: the same comparison among earlier waves."
        " Hatched: not estimable, for want of a comparison or of an earlier wave. Blue is above zero, orange"
        " below; darker is further.",
        "reporting.figures.plot_cell_map",
    )


def grid_cells(rows: pd.DataFrame, times: tuple[int, ...] = ()) -> tuple[pd.DataFrame, np.ndarray]:
    """Estimates as cohort x time, NaN where there is none, and True for each cohort's universal base period.

    That is the last time before the event without an estimate. An empty first wave with estimates after it is
    none: with a varying base period there is nothing that it could be compared with.
    """
    grid = rows.pivot(index="cohort", columns="time", values="estimate")
    grid = grid.reindex(columns=sorted({*grid.columns, *map(float, times)}))
    base = np.zeros(grid.shape, dtype=bool)
    for i, cohort in enumerate(grid.index):
        empty = grid.iloc[i, : int((grid.columns < cohort).sum())].isna().to_numpy()
        last = np.flatnonzero(empty)[-1:]
        base[i, last] = (last > 0) | empty.all()
    return grid, base


def draw_cell_map(ax: Axes, rows: pd.DataFrame, about: Outcome, times: tuple[int, ...] = ()) -> None:
    """One square a cohort and year, its value written in it."""
    grid, base = grid_cells(rows, times)
    values = wording.find_unit(about.print_unit).scale * grid.to_numpy(float)
    known = np.isfinite(values)
    reach = np.abs(values[known]).max(initial=0) or 1.0
    mesh = ax.pcolormesh(
        np.ma.masked_invalid(values), vmin=-reach, vmax=reach, cmap=DIVERGING, label="estimate"
    )
    mesh.set(edgecolor="white", linewidth=1.5)
    hatched = [Rectangle((j, i), 1, 1) for i, j in zip(*np.nonzero(~known & ~base))]
    ax.add_collection(
        PatchCollection(hatched, facecolor="white", edgecolor="white", hatch="////", linewidth=1.5)
    )
    for i, j in zip(*np.nonzero(known)):
        ax.text(j + 0.5, i + 0.5, wording.format_number(grid.iat[i, j], about.print_unit), ha="center", va="center")
    for i, j in zip(*np.nonzero(base)):
        ax.text(j + 0.5, i + 0.5, "base", ha="center", va="center", color=canvas.MUTED)
    _draw_move_line(ax, grid)
    ax.set_xticks(np.arange(len(grid.columns)) + 0.5, [f"{t:g}" for t in grid.columns])
    ax.set_yticks(np.arange(len(grid)) + 0.5, [f"moved in {cohort:g}" for cohort in grid.index])
    ax.invert_yaxis()
    ax.grid(False)
    ax.tick_params(length=0)
    ax.spines["bottom"].set_visible(False)
    ax.set_xlabel("Year")


def _draw_move_line(ax: Axes, grid: pd.DataFrame) -> None:
    """The staircase between the last time before the event and the first after it."""
    edges = np.searchsorted(grid.columns.to_numpy(float), grid.index.to_numpy(float))
    x = np.repeat(edges, 2)
    y = np.repeat(np.arange(len(grid) + 1), 2)[1:-1]
    ax.plot(x, y, color=canvas.INK, linewidth=2.0, clip_on=False, solid_joinstyle="miter")


def describe_cell_map(rows: pd.DataFrame, about: Outcome, times: tuple[int, ...] = ()) -> str:
    """What a cell map shows, in sentences with its numbers."""
    after = rows[(rows["time"] >= rows["cohort"]) & rows["estimate"].notna()]
    if after.empty:
        return "No effect can be estimated."

    def say(row: pd.Series) -> str:
        amount = wording.format_amount(row["estimate"], about.print_unit)
        return f"{amount} in {row['time']:g} for the cohort of {row['cohort']:g}"

    above = (after["estimate"] > 0).sum()
    largest, smallest = after.loc[after["estimate"].idxmax()], after.loc[after["estimate"].idxmin()]
    grid, base = grid_cells(rows, times)
    blank = int((grid.isna().to_numpy() & ~base).sum())
    return (
        f"The effect on {wording.in_sentence(about.label)} is above zero in"
        f" {wording.say_part(above, len(after))} cells since the move that can be estimated;"
        f" the largest is {say(largest)}, the smallest {say(smallest)}."
        f" {wording.say_count(blank).capitalize()} cell{'' if blank == 1 else 's'} cannot be estimated."
    )
