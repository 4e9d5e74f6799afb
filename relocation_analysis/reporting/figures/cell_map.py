"""The cell map: the effect on each cohort in each calendar year."""

import numpy as np
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.patches import Rectangle

from relocation_analysis.data.codebook import Outcome
from relocation_analysis.estimation.effects import Effects
from relocation_analysis.language import _, join_sentences, mark
from relocation_analysis.reporting import wording
from relocation_analysis.reporting.exhibits.kinds import Figure
from relocation_analysis.reporting.exhibits.released import compose_note, is_withheld, released, say_how_many_withheld, say_part
from relocation_analysis.reporting.exhibits.selection import UNIVERSAL, find_outcome, select_rows
from relocation_analysis.reporting.figures import canvas

DIVERGING = seaborn.blend_palette(("#E5934F", "#FAFAFA", "#5AA5D0"), as_cmap=True)
LEFT, RIGHT, TOP, BOTTOM, CELL = 1.0, 0.15, 0.1, 0.45, 0.32  # inches
SMALLEST = 6  # points: below it a number is turned upright
ABOVE = {
    "none": mark("is above zero in none of the {total} cells since the move that can be estimated"),
    "one": mark("is above zero in one of the {total} cells since the move that can be estimated"),
    "some": mark("is above zero in {part} of the {total} cells since the move that can be estimated"),
    "every": mark("is above zero in all of the {total} cells since the move that can be estimated"),
}


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
    rows = select_rows(released(effects), outcome, subgroup="all", estimator=estimator, aggregation="cohort_time")
    figure_id = f"fig-{name or f'cell_map-{outcome}'}".lower()
    with canvas.house_style():
        size, tall = _fit_numbers(rows, about, times)
        sheet = canvas.new_sheet(TOP + BOTTOM + tall * rows["cohort"].nunique())
        draw_cell_map(canvas.add_panel(sheet, LEFT, RIGHT, TOP, BOTTOM), rows, about, times, size)
        svg = canvas.to_svg(sheet, figure_id)
    told = {"outcome": wording.in_sentence(about.label), "unit": wording.label_unit(about.print_unit)}
    return Figure(
        figure_id,
        svg,
        _("Effect on {outcome} by year of the move and calendar year ({unit})", **told) if told["unit"]
        else _("Effect on {outcome} by year of the move and calendar year", outcome=told["outcome"]),
        describe_cell_map(rows, about, times),
        compose_note(rows, _("Right of the heavy line: since the move. Left of it: the same comparison among earlier waves."
                             " Hatched: not estimable, for want of a comparison or of an earlier wave. Blue is above zero, orange"
                             " below; darker is further.")),
        "reporting.figures.cell_map.plot_cell_map",
    )  # fmt: skip


def _fit_numbers(rows: pd.DataFrame, about: Outcome, times: tuple[int, ...]) -> tuple[float, float]:
    """Points of the type and inches of a row: where a cell is too narrow, type gets smaller and then is turned (0 points)."""
    texts = [wording.format_number(value, about.print_unit) for value in rows["estimate"]] + [_("base"), wording.WITHHELD]
    room = (canvas.WIDTH - LEFT - RIGHT) / len({*rows["time"], *times}) - 0.05
    widest = max(canvas.measure(text) for text in texts)
    size = min(8.0, 8 * room / widest)
    return (size, CELL) if size >= SMALLEST else (0, max(CELL, 7 / 8 * widest + 0.12))


def grid_cells(rows: pd.DataFrame, times: tuple[int, ...] = ()) -> tuple[pd.DataFrame, np.ndarray]:
    """Estimates as cohort x time, NaN where there is none, and True for each cohort's universal base period.

    That is the last time before the event without an estimate; a withheld one counts as an estimate. An empty first wave
    with estimates after it is none: with a varying base period there is nothing that it could be compared with.
    """
    grid = rows.pivot(index="cohort", columns="time", values="estimate")
    grid = grid.reindex(columns=sorted({*grid.columns, *map(float, times)}))
    hidden = hidden_cells(rows, grid)
    base = np.zeros(grid.shape, dtype=bool)
    for i, cohort in enumerate(grid.index):
        before = int((grid.columns < cohort).sum())
        empty = grid.iloc[i, :before].isna().to_numpy() & ~hidden[i, :before]
        last = np.flatnonzero(empty)[-1:]
        base[i, last] = (last > 0) | empty.all()
    return grid, base


def hidden_cells(rows: pd.DataFrame, grid: pd.DataFrame) -> np.ndarray:
    """True for each cell of `grid` whose estimate is withheld."""
    cells = rows.assign(hidden=is_withheld(rows)).pivot(index="cohort", columns="time", values="hidden")
    return cells.reindex(index=grid.index, columns=grid.columns).eq(True).to_numpy()


def draw_cell_map(ax: Axes, rows: pd.DataFrame, about: Outcome, times: tuple[int, ...] = (), size: float = 8) -> None:
    """One square a cohort and year, its value written in it with `size` points, upright where that is 0."""
    grid, base = grid_cells(rows, times)
    hidden = hidden_cells(rows, grid)
    values = wording.find_unit(about.print_unit).scale * grid.to_numpy(float)
    known = np.isfinite(values)
    reach = np.abs(values[known]).max(initial=0) or 1.0
    mesh = ax.pcolormesh(
        np.ma.masked_invalid(values), vmin=-reach, vmax=reach, cmap=DIVERGING, label="estimate"
    )
    mesh.set(edgecolor="white", linewidth=1.5)
    hatched = [Rectangle((j, i), 1, 1) for i, j in zip(*np.nonzero(~known & ~base & ~hidden))]
    ax.add_collection(
        PatchCollection(hatched, facecolor="white", edgecolor="white", hatch="////", linewidth=1.5)
    )
    style = {"ha": "center", "va": "center", "fontsize": size or 7, "rotation": 0 if size else 90}
    for i, j in zip(*np.nonzero(known)):
        ax.text(j + 0.5, i + 0.5, wording.format_number(grid.iat[i, j], about.print_unit), **style)
    for cells, text in ((base, _("base")), (hidden, wording.WITHHELD)):
        for i, j in zip(*np.nonzero(cells)):
            ax.text(j + 0.5, i + 0.5, text, color=canvas.MUTED, **style)
    _draw_move_line(ax, grid)
    _name_cells(ax, grid)


def _name_cells(ax: Axes, grid: pd.DataFrame) -> None:
    years = [f"{t:g}" for t in grid.columns]
    room = ax.get_position().width * canvas.WIDTH / len(years)
    every = int(np.ceil((max(map(canvas.measure, years)) + 0.05) / room))
    ax.set_xticks(np.arange(len(years)) + 0.5, [year if j % every == 0 else "" for j, year in enumerate(years)])
    ax.set_yticks(np.arange(len(grid)) + 0.5, [_("moved in {year}", year=f"{cohort:g}") for cohort in grid.index])
    ax.invert_yaxis()
    ax.grid(False)
    ax.tick_params(length=0)
    ax.spines["bottom"].set_visible(False)
    ax.set_xlabel(_("Year"))


def _draw_move_line(ax: Axes, grid: pd.DataFrame) -> None:
    """The staircase between the last time before the event and the first after it."""
    edges = np.searchsorted(grid.columns.to_numpy(float), grid.index.to_numpy(float))
    x = np.repeat(edges, 2)
    y = np.repeat(np.arange(len(grid) + 1), 2)[1:-1]
    ax.plot(x, y, color=canvas.INK, linewidth=2.0, clip_on=False, solid_joinstyle="miter")


def describe_cell_map(rows: pd.DataFrame, about: Outcome, times: tuple[int, ...] = ()) -> str:
    """What a cell map shows, in sentences with its numbers."""
    after = rows[(rows["time"] >= rows["cohort"]) & rows["estimate"].notna()]
    hidden = say_how_many_withheld(int(is_withheld(rows).sum()))
    if after.empty:
        return join_sentences([_("No effect can be estimated."), hidden])

    def say(row: pd.Series) -> str:
        amount = wording.format_amount(row["estimate"], about.print_unit)
        return _("{amount} in {year} for the cohort of {cohort}", amount=amount, year=f"{row['time']:g}", cohort=f"{row['cohort']:g}")

    above = say_part(int((after["estimate"] > 0).sum()), len(after), **ABOVE)
    largest, smallest = after.loc[after["estimate"].idxmax()], after.loc[after["estimate"].idxmin()]
    main = _("The effect on {outcome} {above}; the largest is {largest}, the smallest {smallest}.",
             outcome=wording.in_sentence(about.label), above=above, largest=say(largest), smallest=say(smallest))  # fmt: skip
    return join_sentences([main, _say_blank(rows, times), hidden])


def _say_blank(rows: pd.DataFrame, times: tuple[int, ...]) -> str:
    grid, base = grid_cells(rows, times)
    blank = int((grid.isna().to_numpy() & ~base & ~hidden_cells(rows, grid)).sum())
    if blank == 0:
        return _("Every cell can be estimated.")
    if blank == 1:
        return _("One cell cannot be estimated.")
    return _("{count} cells cannot be estimated.", count=wording.say_count(blank).capitalize())
