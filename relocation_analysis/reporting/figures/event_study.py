"""The event study: the effect by years since the move.

`plot_*` chooses rows and lets out what may be shown, `draw_*` puts exactly those numbers on axes, the alternative text
says what they show.
"""

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Sheet
from matplotlib.lines import Line2D

from relocation_analysis.data.codebook import Outcome
from relocation_analysis.estimation.effects import Effects
from relocation_analysis.language import _, join_sentences, mark
from relocation_analysis.reporting import wording
from relocation_analysis.reporting.exhibits.kinds import Figure
from relocation_analysis.reporting.exhibits.released import compose_note, is_withheld, released, say_how_many_withheld, say_part
from relocation_analysis.reporting.exhibits.selection import UNIVERSAL, find_outcome, is_reference, select_rows
from relocation_analysis.reporting.figures import canvas

LEFT, RIGHT, BOTTOM, SIDES = 0.6, 0.15, 0.5, 0.13  # inches; SIDES: the line that names the sides of the move
EXCLUDING = {
    "none": mark("none of the {total} pointwise intervals exclude zero"),
    "one": mark("one of the {total} pointwise intervals excludes zero"),
    "some": mark("{part} of the {total} pointwise intervals exclude zero"),
    "every": mark("all of the {total} pointwise intervals exclude zero"),
}


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
    rows = select_rows(released(effects), outcome, sort_by="event_time", **wanted)
    figure_id = f"fig-{name or f'event_study-{outcome}'}".lower()
    with canvas.house_style():
        title = canvas.wrap(wording.label_axis(about.label, about.print_unit), canvas.WIDTH - LEFT - RIGHT)
        more, below = canvas.LINE * (canvas.count_lines(title) - 1), canvas.LINE * bool(is_withheld(rows).any())
        sheet = canvas.new_sheet(3.1 + more + below)
        ax = canvas.add_panel(sheet, LEFT, RIGHT, top=0.35 + SIDES + more, bottom=BOTTOM + below)
        draw_event_study(ax, rows, about)
        ax.set_title(title, pad=8 + 72 * SIDES)
        _draw_interval_key(sheet, with_band=rows["band_low"].notna().any())
        svg = canvas.to_svg(sheet, figure_id)
    return Figure(
        figure_id,
        svg,
        _("Effect on {outcome} by years since the move", outcome=wording.in_sentence(about.label)),
        describe_event_study(rows, about),
        _event_study_note(rows, about),
        "reporting.figures.event_study.plot_event_study",
    )


def draw_event_study(ax: Axes, rows: pd.DataFrame, about: Outcome) -> None:
    """`rows` by event time: points, thick pointwise and thin simultaneous intervals, a hollow base period."""
    scale = wording.find_unit(about.print_unit).scale
    x = rows["event_time"].to_numpy(float)
    y = scale * rows["estimate"].to_numpy(float)
    base = is_reference(rows).to_numpy()
    left = min(x.min(), -1.0)
    ax.axvspan(left - 0.5, -0.5, color=canvas.SHADE, linewidth=0, zorder=0)
    ax.axvline(-0.5, color=canvas.RULE, linewidth=0.8, zorder=1)
    ax.axhline(0, color=canvas.INK, linewidth=0.8, zorder=1)
    for kind, style in (("band", {"color": canvas.BLUE, "linewidth": 0.9, "label": "simultaneous"}),
                        ("conf", {"color": canvas.PALE_BLUE, "linewidth": 4.5, "label": "pointwise"})):  # fmt: skip
        low, high = (scale * rows[f"{kind}_{end}"].to_numpy(float) for end in ("low", "high"))
        shown_low, shown_high = canvas.close_ends(low, high, y)
        ax.vlines(x, shown_low, shown_high, zorder=2, **style)
        for sign, ends, open_ in (("v", shown_low, low == -np.inf), ("^", shown_high, high == np.inf)):
            ax.plot(x[open_], ends[open_], sign, color=style["color"], markersize=4, zorder=2, label=f"{kind} without end")
    ax.plot(x[~base], y[~base], "o", color=canvas.BLUE, zorder=4, label="estimate")
    ax.plot(x[base], y[base], "o", mfc="white", mec=canvas.INK, zorder=4, label="base")
    _write_values(ax, rows, about)
    _name_the_sides(ax)
    _mark_times(ax, rows)
    ax.set_xlim(left - 0.5, max(x.max(), 0) + 0.6)
    ax.margins(y=0.1)
    ax.set_xlabel(_("Years since the move"), loc="left")
    ax.set_title(wording.label_axis(about.label, about.print_unit))
    canvas.number_axis(ax.yaxis)


def _write_values(ax: Axes, rows: pd.DataFrame, about: Outcome) -> None:
    scale, base = wording.find_unit(about.print_unit).scale, is_reference(rows)
    if values_fit(rows, about):
        for _i, row in rows[~base & rows["estimate"].notna()].iterrows():
            place = row["event_time"], scale * row["estimate"]
            text = wording.format_number(row["estimate"], about.print_unit)
            ax.annotate(text, place, (5, 0), va="center", **_beside(row["event_time"]))
    for time in rows["event_time"][base]:
        ax.annotate(_("base"), (time, 0), (0, -6), ha="center", va="top", **_beside(time))


def _mark_times(ax: Axes, rows: pd.DataFrame) -> None:
    """A tick an event time, as many with a number as there is room for; a withheld estimate is marked under its number."""
    x, hidden = rows["event_time"].to_numpy(float), is_withheld(rows).to_numpy()
    widest = max(canvas.measure(wording.format_period(time)) for time in x)
    every = max(1, math.ceil((widest + 0.06) / _room(rows)))
    texts = [wording.format_period(time) if time % every == 0 or h else "" for time, h in zip(x, hidden)]
    ax.set_xticks(x, [f"{text}\n{wording.WITHHELD}" if h else text for text, h in zip(texts, hidden)])


def _room(rows: pd.DataFrame) -> float:
    """Inches from one event time to the next."""
    steps = max(rows["event_time"].max(), 0) - min(rows["event_time"].min(), -1.0) + 1.1
    return (canvas.WIDTH - LEFT - RIGHT) / steps


def values_fit(rows: pd.DataFrame, about: Outcome) -> bool:
    """Whether the points stand far enough apart to have their values written beside them."""
    room = _room(rows)
    longest = max(canvas.measure(wording.format_number(value, about.print_unit), size=7) for value in rows["estimate"])
    return bool(longest + 0.12 < min(room, 0.6 * room + 0.14))


def _beside(event_time: float) -> dict:
    ground = {"facecolor": canvas.SHADE if event_time < -0.5 else "white", "edgecolor": "none", "pad": 0.8}
    return {"textcoords": "offset points", "fontsize": 7, "zorder": 5, "bbox": ground}


def _draw_interval_key(sheet: Sheet, with_band: bool) -> None:
    """What the two kinds of lines are, in the lower right corner."""
    height = sheet.get_size_inches()[1]
    keys = [
        (canvas.PALE_BLUE, 4.5, _("95% interval")),
        (canvas.BLUE, 0.9, _("95% band for all years at once")),
    ][: 1 + with_band]
    left = canvas.WIDTH - RIGHT - sum(0.07 + canvas.measure(text, size=7) for *style, text in keys) - 0.2 * (len(keys) - 1)
    for colour, width, text in keys:
        x, y = left / canvas.WIDTH, 0.13 / height
        tall = [y - 0.055 / height, y + 0.055 / height]
        sheet.add_artist(Line2D([x, x], tall, color=colour, linewidth=width, solid_capstyle="butt"))
        sheet.text(x + 0.07 / canvas.WIDTH, y, text, va="center", fontsize=7, color=canvas.MUTED)
        left += 0.07 + canvas.measure(text, size=7) + 0.2


def _name_the_sides(ax: Axes) -> None:
    """Above the panel, where no estimate is."""
    up = ax.get_xaxis_transform()
    style = {"xycoords": up, "textcoords": "offset points", "va": "bottom", "fontsize": 7, "color": canvas.MUTED}
    ax.annotate(_("before the move"), (-0.5, 1), (-5, 2), ha="right", **style)
    ax.annotate(_("after"), (-0.5, 1), (5, 2), ha="left", **style)


def describe_event_study(rows: pd.DataFrame, about: Outcome) -> str:
    """What an event-study figure shows, in sentences with its numbers."""
    shown = rows[rows["estimate"].notna() & ~is_reference(rows)]
    before, after = shown[shown["event_time"] < 0], shown[shown["event_time"] >= 0]
    parts = [_describe_path(after, about) if len(after) else _("No effect can be estimated.")]
    if len(before):
        ends = wording.format_interval(before["estimate"].min(), before["estimate"].max(), about.print_unit)
        parts.append(_("Before the move the estimates run from {ends} {unit}; {intervals}.", ends=ends,
                       unit=wording.find_unit(about.print_unit).short, intervals=_say_excluding(before)))  # fmt: skip
    return join_sentences([*parts, say_how_many_withheld(int(is_withheld(rows).sum()))])


def _describe_path(after: pd.DataFrame, about: Outcome) -> str:
    first, last = after.iloc[0], after.iloc[-1]

    def say(row: pd.Series) -> str:
        amount = wording.format_estimate(row["estimate"], row["conf_low"], row["conf_high"], about.print_unit)
        return _("{amount} {when}", amount=amount, when=wording.say_exposure(row["event_time"]))

    told = {"outcome": wording.in_sentence(about.label), "intervals": _say_excluding(after)}
    if len(after) == 1:
        return _("The effect on {outcome} is {first}; {intervals}.", first=say(first), **told)
    same = len({wording.format_number(row["estimate"], about.print_unit) for row in (first, last)}) == 1
    ends = {"first": say(first), "last": say(last)}
    if same:
        path = _("is the same at both ends, from {first} to {last}", **ends)
    elif last["estimate"] > first["estimate"]:
        path = _("rises from {first} to {last}", **ends)
    else:
        path = _("falls from {first} to {last}", **ends)
    peak = _find_peak(after)
    if peak is not None:
        path = _("{path}, by way of {peak}", path=path, peak=say(peak))
    return _("The effect on {outcome} {path}; {intervals}.", path=path, **told)


def _find_peak(after: pd.DataFrame) -> pd.Series | None:
    """The largest or the smallest effect, if it lies well outside the two ends of the path."""
    ends = after["estimate"].iloc[[0, -1]]
    beyond = (after["estimate"] - ends.max()).clip(lower=0) + (ends.min() - after["estimate"]).clip(lower=0)
    span = after["estimate"].abs().max()
    return after.loc[beyond.idxmax()] if beyond.max() > 0.1 * span else None


def _say_excluding(rows: pd.DataFrame) -> str:
    known = rows[rows["conf_low"].notna()]
    if known.empty:
        return _("no interval can be given")
    excluding = int(((known["conf_low"] > 0) | (known["conf_high"] < 0)).sum())
    if len(known) == 1:
        return _("the pointwise interval excludes zero") if excluding else _("the pointwise interval does not exclude zero")
    return say_part(excluding, len(known), **EXCLUDING)


def _event_study_note(rows: pd.DataFrame, about: Outcome) -> str:
    return compose_note(
        rows,
        _("The number beside a point is its value.") if values_fit(rows, about) else "",
        _("Hollow: the base period, zero by construction.") if is_reference(rows).any() else "",
    )
