"""Figures of one interval a row: subgroups, primaries, estimators, and the balance of covariates."""

import math
import textwrap
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from relocation_analysis.data.codebook import Outcome
from relocation_analysis.estimation.effects import Effects
from relocation_analysis.reporting import canvas, wording
from relocation_analysis.reporting.exhibits import Figure
from relocation_analysis.reporting.selection import (
    MAIN,
    find_outcome,
    lacks_interval,
    list_primaries,
    require_columns,
    say_exposures,
    select_rows,
)

LEFT, RIGHT, TOP, BOTTOM = 1.85, 2.2, 0.3, 0.45
BALANCED = 0.1


@dataclass(frozen=True)
class Entry:
    """One row of a forest plot: a label with its effect, or a heading where the estimate is None.

    The effect and its interval are in the codebook's unit; `indent` puts a level under its heading; `faint`
    rows are drawn as benchmarks.
    """

    label: str
    estimate: float | None = None
    conf_low: float = math.nan
    conf_high: float = math.nan
    n_units: float = math.nan
    indent: bool = False
    faint: bool = False


def enter(row: pd.Series, label: str, **manner) -> Entry:
    """The entry of one row of effects."""
    return Entry(label, row["estimate"], row["conf_low"], row["conf_high"], row["n_units"], **manner)


def plot_forest(
    effects: Effects, outcome: str, codebook: dict[str, Outcome], estimator: str | tuple[str, ...] = MAIN, name: str = ""
) -> Figure:
    """The headline effect of everyone and of each subgroup, grouped by covariate.

    Parameters
    ----------
    effects : holds rows of aggregation "headline" for the outcome and estimator.
    name : the end of the figure's id where another figure of the report has the default one.

    Raises
    ------
    InputError : where the effects or the codebook lack the outcome, or the effects such rows.
    """
    about = find_outcome(codebook, outcome)
    rows = select_rows(effects, outcome, estimator=estimator, aggregation="headline")
    figure_id = f"fig-{name or f'forest-{outcome}'}".lower()
    return Figure(
        figure_id,
        _draw_sheet({about.print_unit: enter_subgroups(rows)}, figure_id),
        f"Effect on {wording.in_sentence(about.label)} by subgroup{say_exposures(effects)}",
        describe_forest(rows, about),
        _note(rows, "95% pointwise intervals, not adjusted for the number of subgroups. n: units."),
        "reporting.forest.plot_forest",
    )


def enter_subgroups(rows: pd.DataFrame) -> list[Entry]:
    """Everyone first, then a heading a covariate and its levels in the order of the table."""
    entries = [
        enter(row, wording.label_subgroup("all")) for _, row in rows[rows["subgroup"] == "all"].iterrows()
    ]
    levels = rows[rows["subgroup"] != "all"]
    for covariate, group in levels.groupby(levels["subgroup"].str.split("=").str[0], sort=False):
        entries.append(Entry(wording.label_covariate(covariate)))
        entries += [
            enter(row, wording.label_subgroup(row["subgroup"]), indent=True) for _, row in group.iterrows()
        ]
    return entries


def describe_forest(rows: pd.DataFrame, about: Outcome) -> str:
    """What a forest plot of subgroups shows, in sentences with its numbers."""
    everyone, levels = (
        rows[rows["subgroup"] == "all"],
        rows[rows["subgroup"] != "all"].dropna(subset=["estimate"]),
    )
    parts = [f"The effect on {wording.in_sentence(about.label)} is {_say(row, about)} for everyone."
             for _, row in everyone.iterrows()]  # fmt: skip
    if len(levels):
        ends = [levels.loc[levels["estimate"].idxmax()], levels.loc[levels["estimate"].idxmin()]]
        most, least = (
            f"{_say(row, about)} ({wording.in_sentence(wording.label_subgroup(row['subgroup']))})"
            for row in ends
        )
        above = int((levels["estimate"] > 0).sum())
        parts.append(
            f"Among {wording.say_count(len(levels))} subgroups it is largest at {most} and smallest at"
            f" {least}; it is above zero in {wording.say_part(above, len(levels))}."
        )
    return " ".join(parts)


def _say(row: pd.Series, about: Outcome) -> str:
    return wording.format_estimate(row["estimate"], row["conf_low"], row["conf_high"], about.print_unit)


def plot_headlines(
    effects: Effects,
    codebook: dict[str, Outcome],
    outcomes: list[str] | None = None,
    estimator: str | tuple[str, ...] = MAIN,
    name: str = "headlines",
) -> Figure:
    """The headline effect of several outcomes, one axis a unit of measure.

    Parameters
    ----------
    effects : holds a row of aggregation "headline", subgroup "all" of every outcome.
    outcomes : their names; by default the codebook's primary outcomes that the effects hold.
    name : the end of the figure's id where another figure of the report has the default one.

    Raises
    ------
    InputError : where there is no such outcome, or the effects lack its row.
    """
    abouts = [find_outcome(codebook, outcome) for outcome in outcomes or list_primaries(effects, codebook)]
    wanted = {"subgroup": "all", "estimator": estimator, "aggregation": "headline"}
    rows = pd.concat(
        [select_rows(effects, about.name, **wanted).head(1) for about in abouts], ignore_index=True
    )
    pairs = [(about, row) for about, (_, row) in zip(abouts, rows.iterrows())]
    panels: dict[str, list[Entry]] = {}
    for about, row in pairs:
        panels.setdefault(about.print_unit, []).append(enter(row, _label_with_direction(about)))
    return Figure(
        f"fig-{name}",
        _draw_sheet(panels, f"fig-{name}"),
        f"Headline effects{say_exposures(effects)}",
        " ".join(f"{about.label}: {_say(row, about)}." for about, row in pairs),
        _note(rows, "95% pointwise intervals. n: units."),
        "reporting.forest.plot_headlines",
    )


def _note(rows: pd.DataFrame, note: str) -> str:
    return f"{note} {wording.NO_INTERVAL}" if lacks_interval(rows) else note


def _label_with_direction(about: Outcome) -> str:
    return about.label + {1: "\n(more is better)", -1: "\n(less is better)"}.get(about.good_direction, "")


def plot_estimators(effects: Effects, outcome: str, codebook: dict[str, Outcome], name: str = "") -> Figure:
    """The headline effect by estimator: the study's own first, the others as the benchmarks that they are.

    Parameters
    ----------
    effects : holds rows of aggregation "headline", subgroup "all", one an estimator.
    name : the end of the figure's id where another figure of the report has the default one.

    Raises
    ------
    InputError : where the effects or the codebook lack the outcome, or the effects such rows.
    """
    about = find_outcome(codebook, outcome)
    rows = select_rows(effects, outcome, subgroup="all", aggregation="headline")
    entries = [
        enter(r, wording.label_estimator(r["estimator"]), faint=r["estimator"] not in MAIN)
        for _, r in rows.iterrows()
    ]
    each = (
        f"{wording.in_sentence(wording.label_estimator(r['estimator']))}, {_say(r, about)}"
        for _, r in rows.iterrows()
    )
    figure_id = f"fig-{name or f'estimators-{outcome}'}".lower()
    return Figure(
        figure_id,
        _draw_sheet({about.print_unit: entries}, figure_id),
        f"Effect on {wording.in_sentence(about.label)} by estimator",
        f"The effect on {wording.in_sentence(about.label)}: {'; '.join(each)}.",
        _note(
            rows,
            "95% pointwise intervals. Blue: the study\u2019s own estimator. Grey: variants of it, and"
            " benchmarks that need stronger assumptions. n: units.",
        ),
        "reporting.forest.plot_estimators",
    )


def _draw_sheet(panels: dict[str, list[Entry]], figure_id: str) -> str:
    """One panel a unit of measure, one below the other."""
    deep = [canvas.ROW * sum(_lines(entry) for entry in entries) for entries in panels.values()]
    with canvas.house_style():
        sheet = canvas.new_sheet(sum(deep) + (TOP + BOTTOM) * len(deep))
        top = TOP
        for (unit, entries), depth in zip(panels.items(), deep):
            bottom = sheet.get_size_inches()[1] - top - depth
            draw_forest(canvas.add_panel(sheet, LEFT, RIGHT, top, bottom), entries, unit)
            top += depth + BOTTOM + TOP
        return canvas.to_svg(sheet, figure_id)


def _wrap(label: str) -> str:
    return "\n".join(piece for line in label.split("\n") for piece in textwrap.wrap(line, 30))


def _lines(entry: Entry) -> float:
    """The height of an entry in rows."""
    return 1 + 0.6 * _wrap(entry.label).count("\n")


def draw_forest(ax: Axes, entries: list[Entry], unit: str) -> None:
    """One row an entry, from the top: label, interval, the numbers in words."""
    heights = np.array([_lines(entry) for entry in entries])
    y = np.cumsum(heights) - heights / 2
    _draw_intervals(ax, y, entries, wording.find_unit(unit).scale)
    for position, entry in zip(y, entries):
        _write_row(ax, position, entry, unit)
    _write_row_heads(ax)
    ax.set_ylim(heights.sum(), 0)
    ax.set_yticks([])
    ax.grid(True, axis="x")
    canvas.number_axis(ax.xaxis, ticks=5 if max(map(abs, ax.get_xlim())) < 10_000 else 3)
    ax.set_xlabel(f"Effect, {wording.label_unit(unit)}".rstrip(", "))


def _draw_intervals(ax: Axes, y: np.ndarray, entries: list[Entry], scale: float) -> None:
    ax.axvline(0, color=canvas.INK, linewidth=0.8, zorder=1)
    for faint, colour in ((False, canvas.BLUE), (True, canvas.RULE)):
        shown = [k for k, entry in enumerate(entries) if entry.estimate is not None and entry.faint == faint]
        if not shown:
            continue
        low, high, x = (
            scale * np.array([getattr(entries[k], column) for k in shown], float)
            for column in ("conf_low", "conf_high", "estimate")
        )
        ax.hlines(y[shown], low, high, color=colour, linewidth=1.6, zorder=2, label="interval")
        ax.plot(x, y[shown], "o", color=colour, zorder=3, label="estimate")


def _write_row(ax: Axes, y: float, entry: Entry, unit: str) -> None:
    heading = entry.estimate is None
    to_left = 2 + 8 * entry.indent - LEFT * 72
    _write(
        ax, 0, y, to_left, _wrap(entry.label), fontweight="bold" if heading else "normal", linespacing=1.05
    )
    if heading:
        return
    interval = wording.format_interval(entry.conf_low, entry.conf_high, unit)
    _write(ax, 1, y, 44, wording.format_number(entry.estimate, unit), ha="right")
    _write(ax, 1, y, 50, interval, color=canvas.MUTED, fontsize=7)
    _write(
        ax,
        1,
        y,
        RIGHT * 72 - 2,
        wording.format_count(entry.n_units),
        ha="right",
        color=canvas.MUTED,
        fontsize=7,
    )


def _write_row_heads(ax: Axes) -> None:
    for shift, align, text in (
        (44, "right", "effect"),
        (50, "left", "95% interval"),
        (RIGHT * 72 - 2, "right", "n"),
    ):
        style = {"fontsize": 7, "color": canvas.MUTED, "ha": align, "va": "bottom"}
        ax.annotate(text, (1, 1), (shift, 4), xycoords="axes fraction", textcoords="offset points", **style)


def _write(ax: Axes, side: int, y: float, shift: float, text: str, **style) -> None:
    """Text `shift` points from the left (0) or right (1) side of the axes, in the row `y`."""
    place = {"xycoords": ax.get_yaxis_transform(), "textcoords": "offset points", "va": "center"}
    ax.annotate(text, (side, y), (shift, 0), annotation_clip=False, **place, **style)


def plot_balance(
    balance: pd.DataFrame,
    codebook: dict[str, Outcome] | None = None,
    name: str = "balance",
) -> Figure:
    """How the treated differ from the comparison at baseline, in standard deviations: the love plot.

    Parameters
    ----------
    balance : covariate, difference (standardised, treated minus comparison); one row a covariate. A covariate
        without a difference is left out.
    codebook : labels those covariates that are outcomes.
    name : the end of the figure's id where another figure of the report has the default one.

    Raises
    ------
    InputError : where a column is missing or there is no row.
    """
    require_columns(balance, ("covariate", "difference"), "A table of balance")
    balance = balance[balance["difference"].notna()]
    require_columns(balance, ("difference",), "A table of balance with a known difference")
    balance = balance.assign(label=[_label_balance(c, codebook or {}) for c in balance["covariate"]])
    ordered = balance.iloc[balance["difference"].abs().to_numpy().argsort(kind="stable")[::-1]]
    with canvas.house_style():
        sheet = canvas.new_sheet(canvas.ROW * len(ordered) + 0.15 + BOTTOM)
        draw_balance(canvas.add_panel(sheet, LEFT, 0.6, 0.15, BOTTOM), ordered)
        svg = canvas.to_svg(sheet, f"fig-{name}")
    beyond = int((ordered["difference"].abs() > BALANCED).sum())
    most, spoken = ordered.iloc[0], wording.say_part(beyond, len(ordered)).capitalize()
    return Figure(
        f"fig-{name}",
        svg,
        "Balance before the move: standardised differences",
        f"{spoken} covariates differ by more than"
        f" {BALANCED:g} standard deviations; the largest difference is"
        f" {wording.format_number(most['difference'], 'SD')},"
        f" in {wording.in_sentence(most['label'])}.",
        f"At the first wave, movers minus those who never moved."
        f" Grey strip: less than {BALANCED:g} either way.",
        "reporting.forest.plot_balance",
    )


def _label_balance(covariate: str, codebook: dict[str, Outcome]) -> str:
    return codebook[covariate].label if covariate in codebook else wording.label_covariate(covariate)


def draw_balance(ax: Axes, ordered: pd.DataFrame) -> None:
    """One dot a row of `ordered` (label, difference), its value beside it."""
    x, y = ordered["difference"].to_numpy(float), np.arange(len(ordered)) + 0.5
    ax.axvspan(-BALANCED, BALANCED, color=canvas.SHADE, linewidth=0, zorder=0)
    ax.axvline(0, color=canvas.INK, linewidth=0.8, zorder=1)
    ax.hlines(y, 0, x, color=canvas.PALE_BLUE, linewidth=1.2, zorder=2)
    ax.plot(x, y, "o", color=canvas.BLUE, zorder=3, label="difference")
    for position, difference, label in zip(y, x, ordered["label"]):
        _write(ax, 0, position, 2 - LEFT * 72, _wrap(label), linespacing=1.0)
        side = {"ha": "left" if difference >= 0 else "right", "va": "center", "fontsize": 7}
        shift = (5 if difference >= 0 else -5, 0)
        text = wording.format_number(difference, "SD")
        ax.annotate(text, (difference, position), shift, textcoords="offset points", zorder=4, **side)
    ax.set_ylim(len(ordered), 0)
    ax.margins(x=0.12)
    ax.set_yticks([])
    ax.grid(True, axis="x")
    canvas.number_axis(ax.xaxis)
    ax.set_xlabel("Difference, standard deviations")
