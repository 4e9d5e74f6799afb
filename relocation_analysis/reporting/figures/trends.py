"""The raw means behind the effects, as small multiples."""

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Sheet

from relocation_analysis.data.codebook import Outcome
from relocation_analysis.language import _, join_clauses, join_sentences
from relocation_analysis.reporting import wording
from relocation_analysis.reporting.disclosure import release
from relocation_analysis.reporting.exhibits.kinds import Figure
from relocation_analysis.reporting.exhibits.released import say_how_many_withheld, say_withheld_count
from relocation_analysis.reporting.exhibits.selection import find_outcome, require_columns
from relocation_analysis.reporting.figures import canvas

PANELS, PITCH = 4, 1.7  # panels a row; inches from one row of panels to the next
LEFT, RIGHT, GAP, HEAD = 0.5, 0.15, 0.2, 0.45  # inches; HEAD: above the first row of panels


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
    require_columns(means, ("cohort", "time", "mean", "n"), _("The means of a raw-trends figure"))
    require_columns(means[means["cohort"].notna()], ("cohort",), _("The means of the cohorts"))
    shown = release.release_means(means, about).sort_values(["cohort", "time"])
    figure_id = f"fig-{name or f'raw_trends-{outcome}'}".lower()
    with canvas.house_style():
        deep = math.ceil(shown["cohort"].dropna().nunique() / PANELS)
        more = canvas.LINE * (len(head_lines(shown, about)) - 1)
        sheet = canvas.new_sheet(0.25 + more + PITCH * deep)
        draw_raw_trends(sheet, shown, about)
        svg = canvas.to_svg(sheet, figure_id)
    return Figure(
        figure_id,
        svg,
        _("{outcome} by year of the move, as observed", outcome=about.label),
        describe_raw_trends(shown, about),
        join_sentences([
            _("Means as observed, without adjustment. Dot: the first wave since the move. Dashed: those who never moved."
              " The difference between two lines is not an effect."),
            say_withheld_count() if shown["mean"].isna().any() else "",
        ]),
        "reporting.figures.trends.plot_raw_trends",
    )  # fmt: skip


def head_lines(means: pd.DataFrame, about: Outcome) -> list[str]:
    """What stands above the panels: the outcome with its unit, and what the dashes are, beside it where there is room."""
    key = _("dashed: never moved") if means["cohort"].isna().any() else ""
    room = canvas.WIDTH - LEFT - RIGHT
    label = _with_unit(about)
    if key and canvas.measure(label) + canvas.measure(key) + 0.2 > room:
        return [*canvas.wrap(label, room).split("\n"), f"\t{key}"]
    lines = canvas.wrap(label, room).split("\n")
    return [f"{lines[0]}\t{key}", *lines[1:]]


def _with_unit(about: Outcome) -> str:
    unit = wording.label_unit(about.print_unit, level=True)
    return _("{label}, {unit}", label=about.label, unit=unit) if unit else about.label


def draw_raw_trends(sheet: Sheet, means: pd.DataFrame, about: Outcome) -> list[Axes]:
    """One panel a cohort, on common axes; returns the panels."""
    scale = wording.find_unit(about.print_unit).scale
    never = means[means["cohort"].isna()].sort_values("time")
    cohorts = sorted(means["cohort"].dropna().unique())
    more = canvas.LINE * (len(head_lines(means, about)) - 1)
    height, across = sheet.get_size_inches()[1], min(PANELS, max(2, len(cohorts)))
    width = (canvas.WIDTH - LEFT - RIGHT - GAP * (across - 1)) / across
    panels: list[Axes] = []
    for k, cohort in enumerate(cohorts):
        left, top = LEFT + (k % across) * (width + GAP), HEAD + more + (k // across) * PITCH
        ax = canvas.add_panel(sheet, left, canvas.WIDTH - left - width, top, height - top - 1.2)
        if panels:
            ax.sharex(panels[0])
            ax.sharey(panels[0])
        panels.append(ax)
        _draw_trend(ax, never, means[means["cohort"] == cohort], cohort, scale)
        ax.set_title(_("moved in {year}", year=f"{cohort:g}"), color=canvas.BLUE, pad=4)
        ax.tick_params(labelleft=k % across == 0)
    _number_axes(panels[0], np.sort(means["time"].unique()))
    _write_head(sheet, head_lines(means, about))
    return panels


def _number_axes(first: Axes, times: np.ndarray) -> None:
    ends = list(dict.fromkeys(times[[0, -1]]))
    first.set_xticks(ends, [f"{t:g}" for t in ends])
    first.set_xlim(times[0] - 0.9, times[-1] + 0.9)
    first.margins(y=0.15)
    canvas.number_axis(first.yaxis)


def _write_head(sheet: Sheet, lines: list[str]) -> None:
    height = sheet.get_size_inches()[1]
    for k, line in enumerate(lines):
        label, _tab, key = line.partition("\t")
        head = {"y": 1.0 - (0.05 + k * canvas.LINE) / height, "va": "top", "color": canvas.HEAD}
        sheet.text(LEFT / canvas.WIDTH, s=label, **head)
        sheet.text(1.0 - RIGHT / canvas.WIDTH, s=key, ha="right", **head)


def _draw_trend(ax: Axes, never: pd.DataFrame, own: pd.DataFrame, cohort: float, scale: float) -> None:
    for rows, label, style in (
        (never, "never", {"color": canvas.RULE, "linewidth": 1.2, "dashes": (3, 1.5)}),
        (own, "cohort", {"color": canvas.BLUE}),
    ):
        ax.plot(rows["time"], scale * rows["mean"], label=label, **style)
        lone = rows[_stand_alone(rows["mean"])]
        ax.plot(lone["time"], scale * lone["mean"], "_", color=style["color"], markersize=6, label=f"{label} alone")
    since = own[own["time"] >= cohort].head(1)
    ax.plot(since["time"], scale * since["mean"], "o", color=canvas.BLUE, label="move")
    for middle in _gaps(own):
        ax.annotate(wording.WITHHELD, (middle, 0), (0, 2), ("data", "axes fraction"), textcoords="offset points", ha="center",
                    va="bottom", fontsize=7, color=canvas.MUTED)  # fmt: skip
    if never["mean"].isna().any():
        ax.annotate(wording.WITHHELD, (1, 1), (0, -2), "axes fraction", textcoords="offset points", ha="right", va="top", fontsize=7,
                    color=canvas.MUTED)  # fmt: skip


def _stand_alone(mean: pd.Series) -> pd.Series:
    """Known means without a known neighbour: no line runs through them."""
    known = mean.notna()
    return known & ~known.shift(1, fill_value=False) & ~known.shift(-1, fill_value=False)


def _gaps(own: pd.DataFrame) -> list[float]:
    """The middle of each run of withheld means."""
    hidden = own["mean"].isna()
    runs = own["time"][hidden].groupby((hidden != hidden.shift()).cumsum()[hidden])
    return [float(run.mean()) for _i, run in runs]


def describe_raw_trends(means: pd.DataFrame, about: Outcome) -> str:
    """What the raw trends show: each cohort's first and last mean."""
    parts, known = [], means[means["mean"].notna()]
    for cohort, rows in known.sort_values("time").groupby("cohort", dropna=False):
        who = _("those who never moved") if pd.isna(cohort) else _("those who moved in {year}", year=f"{cohort:g}")
        first, last = (
            _("{mean} in {year}", mean=wording.format_level(row["mean"], about.print_unit), year=f"{row['time']:g}")
            for row in (rows.iloc[0], rows.iloc[-1])
        )
        same = len(rows) == 1
        parts.append(_("{who}, {first}", who=who, first=first) if same else _("{who}, from {first} to {last}", who=who, first=first, last=last))
    told = _("Mean of {outcome}: {parts}.", outcome=wording.in_sentence(about.label), parts=join_clauses(parts)) if parts else ""
    return join_sentences([told, say_how_many_withheld(int(means["mean"].isna().sum()))])
