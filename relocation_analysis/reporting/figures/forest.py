"""Figures of one interval a row: subgroups, primaries, estimators."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from relocation_analysis.data.codebook import Outcome
from relocation_analysis.estimation.effects import Effects
from relocation_analysis.language import _, join_clauses, join_sentences, mark
from relocation_analysis.reporting import wording
from relocation_analysis.reporting.exhibits.kinds import Figure
from relocation_analysis.reporting.exhibits.released import compose_note, is_withheld, released, say_how_many_withheld, say_part
from relocation_analysis.reporting.exhibits.selection import MAIN, find_outcome, list_primaries, say_exposures, select_rows
from relocation_analysis.reporting.figures import canvas

LEFT, RIGHT, TOP, BOTTOM = 1.85, 2.2, 0.3, 0.45  # inches
GAP, INDENT = 6, 8  # points: between the columns of numbers, of a level under its heading
INFINITY = "\u221e"
ABOVE = {
    "none": mark("it is above zero in none of the {total}."),
    "one": mark("it is above zero in one of the {total}."),
    "some": mark("it is above zero in {part} of the {total}."),
    "every": mark("it is above zero in all of the {total}."),
}


@dataclass(frozen=True)
class Entry:
    """One row of a forest plot: a label with its effect, or a heading where the estimate is None.

    The effect and its interval are in the codebook's unit; `indent` puts a level under its heading; `faint`
    rows are drawn as benchmarks; of a `withheld` row only the label is drawn.
    """

    label: str
    estimate: float | None = None
    conf_low: float = math.nan
    conf_high: float = math.nan
    n_units: float = math.nan
    indent: bool = False
    faint: bool = False
    withheld: bool = False

    @property
    def weight(self) -> str:
        return "bold" if self.estimate is None else "normal"

    @property
    def wrapped(self) -> str:
        """The label in lines that fit left of the panel."""
        return canvas.wrap(self.label, LEFT - (10 + INDENT * self.indent) / 72, weight=self.weight)

    def numbers(self, unit: str) -> tuple[str, str, str]:
        """Effect, interval and units as they are printed."""
        if self.withheld:
            return wording.WITHHELD, "", ""
        return (wording.format_number(self.estimate, unit), _say_interval(self.conf_low, self.conf_high, unit),
                wording.format_count(self.n_units))  # fmt: skip


def enter(row: pd.Series, label: str, **manner) -> Entry:
    """The entry of one row of effects."""
    hidden = bool(row.get("withheld", "") != "")
    return Entry(label, row["estimate"], row["conf_low"], row["conf_high"], row["n_units"], withheld=hidden, **manner)


def _say_interval(low: float, high: float, unit: str) -> str:
    """An interval without its unit; one without an end says so."""
    if not (math.isinf(low) or math.isinf(high)):
        return wording.format_interval(low, high, unit)
    ends = [(wording.MINUS if end < 0 else "") + INFINITY if math.isinf(end) else wording.format_number(end, unit) for end in (low, high)]
    return _("{low} to {high}", low=ends[0], high=ends[1])


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
    rows = select_rows(released(effects), outcome, estimator=estimator, aggregation="headline")
    figure_id = f"fig-{name or f'forest-{outcome}'}".lower()
    told = {"outcome": wording.in_sentence(about.label), "exposures": say_exposures(effects)}
    return Figure(
        figure_id,
        draw_sheet({about.print_unit: enter_subgroups(rows)}, figure_id),
        _("Effect on {outcome} by subgroup{exposures}", **told),
        describe_forest(rows, about),
        compose_note(rows, _("95% pointwise intervals, not adjusted for the number of subgroups. n: units."), counts=True),
        "reporting.figures.forest.plot_forest",
    )


def enter_subgroups(rows: pd.DataFrame) -> list[Entry]:
    """Everyone first, then a heading a covariate and its levels in the order of the table."""
    entries = [
        enter(row, wording.label_subgroup("all")) for _i, row in rows[rows["subgroup"] == "all"].iterrows()
    ]
    levels = rows[rows["subgroup"] != "all"]
    for covariate, group in levels.groupby(levels["subgroup"].str.split("=").str[0], sort=False):
        entries.append(Entry(wording.label_covariate(covariate)))
        entries += [
            enter(row, wording.label_subgroup(row["subgroup"]), indent=True) for _i, row in group.iterrows()
        ]
    return entries


def describe_forest(rows: pd.DataFrame, about: Outcome) -> str:
    """What a forest plot of subgroups shows, in sentences with its numbers."""
    known = rows[rows["estimate"].notna()]
    everyone, levels = known[known["subgroup"] == "all"], known[known["subgroup"] != "all"]
    parts = [_("The effect on {outcome} is {effect} for everyone.", outcome=wording.in_sentence(about.label), effect=_say(row, about))
             for _i, row in everyone.iterrows()]  # fmt: skip
    if len(levels) == 1:
        parts += [_("For one subgroup it is {effect}.", effect=_say_level(levels.iloc[0], about))]
    elif len(levels):
        most, least = (_say_level(levels.loc[place], about) for place in (levels["estimate"].idxmax(), levels["estimate"].idxmin()))
        parts.append(_("Among {count} subgroups it is largest at {most} and smallest at {least}; {above}",
                       count=wording.say_count(len(levels)), most=most, least=least,
                       above=say_part(int((levels["estimate"] > 0).sum()), len(levels), **ABOVE)))  # fmt: skip
    hidden = say_how_many_withheld(int(is_withheld(rows).sum()))
    return join_sentences([*parts, hidden]) or _("No effect can be estimated.")


def _say_level(row: pd.Series, about: Outcome) -> str:
    return _("{effect} ({subgroup})", effect=_say(row, about), subgroup=wording.in_sentence(wording.label_subgroup(row["subgroup"])))


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
    shown = released(effects)
    abouts = [find_outcome(codebook, outcome) for outcome in outcomes or list_primaries(effects, codebook)]
    wanted = {"subgroup": "all", "estimator": estimator, "aggregation": "headline"}
    rows = pd.concat(
        [select_rows(shown, about.name, **wanted).head(1) for about in abouts], ignore_index=True
    )
    pairs = [(about, row) for about, (_i, row) in zip(abouts, rows.iterrows())]
    panels: dict[str, list[Entry]] = {}
    for about, row in pairs:
        panels.setdefault(about.print_unit, []).append(enter(row, _label_with_direction(about)))
    spoken = [_("{label}: {effect}.", label=about.label, effect=_say(row, about)) for about, row in pairs if not _is_blank(row)]
    hidden = say_how_many_withheld(int(is_withheld(rows).sum()))
    return Figure(
        f"fig-{name}",
        draw_sheet(panels, f"fig-{name}"),
        _("Headline effects{exposures}", exposures=say_exposures(effects)),
        join_sentences([*spoken, hidden]) or _("No effect can be estimated."),
        compose_note(rows, _("95% pointwise intervals. n: units."), counts=True),
        "reporting.figures.forest.plot_headlines",
    )


def _is_blank(row: pd.Series) -> bool:
    return bool(pd.isna(row["estimate"]))


def _label_with_direction(about: Outcome) -> str:
    ends = {1: _("(more is better)"), -1: _("(less is better)")}
    return "\n".join(filter(None, (about.label, ends.get(about.good_direction))))


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
    rows = select_rows(released(effects), outcome, subgroup="all", aggregation="headline")
    entries = [
        enter(r, wording.label_estimator(r["estimator"]), faint=r["estimator"] not in MAIN)
        for _i, r in rows.iterrows()
    ]
    figure_id = f"fig-{name or f'estimators-{outcome}'}".lower()
    return Figure(
        figure_id,
        draw_sheet({about.print_unit: entries}, figure_id),
        _("Effect on {outcome} by estimator", outcome=wording.in_sentence(about.label)),
        describe_estimators(rows, about),
        compose_note(rows, _("95% pointwise intervals. Filled, blue: the study\u2019s own estimator. Hollow, grey: variants of it, and"
                             " benchmarks that need stronger assumptions. n: units."), counts=True),
        "reporting.figures.forest.plot_estimators",
    )  # fmt: skip


def describe_estimators(rows: pd.DataFrame, about: Outcome) -> str:
    """What a forest plot of estimators shows, in sentences with its numbers."""
    each = [_("{estimator}, {effect}", estimator=wording.in_sentence(wording.label_estimator(row["estimator"])), effect=_say(row, about))
            for _i, row in rows.iterrows() if not _is_blank(row)]  # fmt: skip
    told = _("The effect on {outcome}: {effects}.", outcome=wording.in_sentence(about.label), effects=join_clauses(each)) if each else ""
    hidden = say_how_many_withheld(int(is_withheld(rows).sum()))
    return join_sentences([told, hidden]) or _("No effect can be estimated.")


def draw_sheet(panels: dict[str, list[Entry]], figure_id: str) -> str:
    """One panel a unit of measure, one below the other, their columns of numbers aligned."""
    with canvas.house_style():
        deep = [canvas.ROW * sum(row_heights([entry.wrapped for entry in entries])) for entries in panels.values()]
        widths = column_widths([entry.numbers(unit) for unit, entries in panels.items() for entry in entries if entry.estimate is not None])
        right = max(RIGHT, (sum(widths) + 3 * GAP + 2) / 72)
        sheet = canvas.new_sheet(sum(deep) + (TOP + BOTTOM) * len(deep))
        top = TOP
        for (unit, entries), depth in zip(panels.items(), deep):
            bottom = sheet.get_size_inches()[1] - top - depth
            draw_forest(canvas.add_panel(sheet, LEFT, right, top, bottom), entries, unit, widths)
            top += depth + BOTTOM + TOP
        return canvas.to_svg(sheet, figure_id)


def row_heights(labels: list[str]) -> np.ndarray:
    """The height of each row, in rows: more where its label has several lines."""
    return np.array([1 + 0.6 * (canvas.count_lines(label) - 1) for label in labels])


def column_widths(numbers: list[tuple[str, str, str]]) -> tuple[float, float, float]:
    """Points that the effects, the intervals and the counts need, their heads included."""
    heads = _column_heads()
    return tuple(
        72 * max([canvas.measure(heads[j], size=7), *(canvas.measure(row[j], size=8 if j == 0 else 7) for row in numbers)])
        for j in range(3)
    )


def _column_heads() -> tuple[str, str, str]:
    return _("effect"), _("95% interval"), _("n")


def draw_forest(ax: Axes, entries: list[Entry], unit: str, widths: tuple[float, float, float] | None = None) -> None:
    """One row an entry, from the top: label, interval, the numbers in words, in columns of `widths` points."""
    widths = widths or column_widths([entry.numbers(unit) for entry in entries if entry.estimate is not None])
    heights = row_heights([entry.wrapped for entry in entries])
    y = np.cumsum(heights) - heights / 2
    _draw_intervals(ax, y, entries, wording.find_unit(unit).scale)
    edge = max(44, widths[0] + GAP)
    last = max(edge + GAP + widths[1] + GAP + widths[2], RIGHT * 72 - 2)
    for position, entry in zip(y, entries):
        write_beside(ax, 0, position, 2 + INDENT * entry.indent - LEFT * 72, entry.wrapped, fontweight=entry.weight, linespacing=1.05)
        if entry.estimate is not None:
            _write_numbers(ax, position, entry.numbers(unit), edge, last)
    _write_column_heads(ax, edge, last)
    ax.set_ylim(heights.sum(), 0)
    ax.set_yticks([])
    ax.grid(True, axis="x")
    canvas.number_axis(ax.xaxis, ticks=5)
    ax.set_xlabel(_say_unit(unit))


def _say_unit(unit: str) -> str:
    long = wording.label_unit(unit)
    return _("Effect, {unit}", unit=long) if long else _("Effect")


def _draw_intervals(ax: Axes, y: np.ndarray, entries: list[Entry], scale: float) -> None:
    ax.axvline(0, color=canvas.INK, linewidth=0.8, zorder=1)
    low, high, x = (
        scale * np.array([math.nan if entry.estimate is None or entry.withheld else getattr(entry, column) for entry in entries], float)
        for column in ("conf_low", "conf_high", "estimate")
    )
    left, right = canvas.close_ends(low, high, x)
    for faint, colour, filling in ((False, canvas.BLUE, canvas.BLUE), (True, canvas.RULE, "white")):
        shown = np.array([entry.estimate is not None and entry.faint == faint for entry in entries])
        if not shown.any():
            continue
        ax.hlines(y[shown], left[shown], right[shown], color=colour, linewidth=1.6, zorder=2, label="interval")
        ax.plot(x[shown], y[shown], "o", color=colour, mfc=filling, zorder=3, label="estimate")
        for sign, ends, open_ in (("<", left, low == -np.inf), (">", right, high == np.inf)):
            ax.plot(ends[shown & open_], y[shown & open_], sign, color=colour, markersize=4, zorder=2, label="without end")


def _write_numbers(ax: Axes, y: float, numbers: tuple[str, str, str], edge: float, last: float) -> None:
    effect, interval, n = numbers
    write_beside(ax, 1, y, edge, effect, ha="right")
    write_beside(ax, 1, y, edge + GAP, interval, color=canvas.MUTED, fontsize=7)
    write_beside(ax, 1, y, last, n, ha="right", color=canvas.MUTED, fontsize=7)


def _write_column_heads(ax: Axes, edge: float, last: float) -> None:
    for shift, align, text in zip((edge, edge + GAP, last), ("right", "left", "right"), _column_heads()):
        style = {"fontsize": 7, "color": canvas.MUTED, "ha": align, "va": "bottom"}
        ax.annotate(text, (1, 1), (shift, 4), xycoords="axes fraction", textcoords="offset points", **style)


def write_beside(ax: Axes, side: int, y: float, shift: float, text: str, **style) -> None:
    """Text `shift` points from the left (0) or right (1) side of the axes, in the row `y`."""
    place = {"xycoords": ax.get_yaxis_transform(), "textcoords": "offset points", "va": "center"}
    ax.annotate(text, (side, y), (shift, 0), annotation_clip=False, **place, **style)
