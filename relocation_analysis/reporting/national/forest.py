"""The forest plot of provinces: each province's own estimate and the shrunken one, and what they say together."""

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Polygon

from relocation_analysis.language import _, join_sentences
from relocation_analysis.reporting import wording
from relocation_analysis.reporting.exhibits.kinds import Figure
from relocation_analysis.reporting.figures import canvas
from relocation_analysis.reporting.figures.forest import row_heights, write_beside
from relocation_analysis.reporting.national.synthesis import Compared
from relocation_analysis.reporting.national.words import list_names, say_range, say_years

LEFT, TOP, BOTTOM = 1.45, 0.34, 0.45  # inches
GAP, OFF = 6, 0.17  # points between columns; rows by which the shrunken estimate lies below the own one
SUMMARY = 1.15  # rows of height for each summary


def plot_provinces(compared: Compared, name: str = "") -> Figure:
    """One outcome by province, sorted by the province's own estimate, and below the mean, the next province and the movers.

    Parameters
    ----------
    compared : from `compare_provinces`, with two provinces or more in the mean.
    name : the end of the figure's id where another figure of the report has the default one.
    """
    about, figure_id = compared.about, f"fig-{name or f'provinces-{compared.about.name}'}".lower()
    with canvas.house_style():
        rows = sort_provinces(compared)
        summaries = list_summaries(compared)
        labels = [canvas.wrap(label, LEFT - 0.1) for label in rows["label"]]
        texts = [_numbers(row["estimate"], row["conf_low"], row["conf_high"], row["weight"], about.print_unit) for row in rows.to_dict("records")]
        texts += [_numbers(s["estimate"], s["low"], s["high"], math.nan, about.print_unit) for s in summaries]
        widths = [72 * max(canvas.measure(head, size=7), *(canvas.measure(text[j], size=8 if j == 0 else 7) for text in texts))
                  for j, head in enumerate(_heads())]  # fmt: skip
        right = (sum(widths) + 3 * GAP + 4) / 72
        depth = canvas.ROW * (row_heights(labels).sum() + SUMMARY * len(summaries) + 0.4)
        sheet = canvas.new_sheet(TOP + depth + BOTTOM)
        ax = canvas.add_panel(sheet, LEFT, right, TOP, BOTTOM)
        _draw(ax, compared, labels, texts, widths)
        svg = canvas.to_svg(sheet, figure_id)
    return Figure(
        figure_id,
        svg,
        _("Effect on {outcome} by province{years}", outcome=wording.in_sentence(about.label), years=say_years(compared.through)),
        describe_provinces(compared),
        join_sentences([
            _("Dot and thick line: the province\u2019s own estimate and 95% interval, with its numbers. Open diamond and thin line below it: the"
              " shrunken estimate and its interval."),
            _("Dashed line: the mean of provinces."),
            _("Weight: in that mean."),
        ]),
        "reporting.national.forest.plot_provinces",
    )  # fmt: skip


def sort_provinces(compared: Compared):
    """The provinces from the largest own estimate to the smallest."""
    return compared.provinces.sort_values(["estimate", "province"], ascending=[False, True], ignore_index=True)


def list_summaries(compared: Compared) -> list[dict]:
    """The rows below the provinces: the mean, the next province, the mean over movers, as far as there are any."""
    s, movers = compared.synthesis, compared.movers
    rows = [{"kind": "mean", "label": _("Mean of provinces"), "estimate": s.estimate, "low": s.conf_low, "high": s.conf_high}]
    if math.isfinite(s.predict_low):
        rows.append({"kind": "next", "label": _("One more province"), "estimate": math.nan, "low": s.predict_low, "high": s.predict_high})
    if movers.k >= 2:
        rows.append({"kind": "movers", "label": _("Mean over movers"), "estimate": movers.estimate, "low": movers.conf_low, "high": movers.conf_high})
    return rows


def describe_provinces(compared: Compared) -> str:
    """What the figure shows, in sentences with its numbers."""
    rows, unit, s = sort_provinces(compared), compared.about.print_unit, compared.synthesis
    first, last = rows.iloc[0], rows.iloc[-1]
    amounts = {"most": wording.format_amount(first["estimate"], unit), "least": wording.format_amount(last["estimate"], unit)}
    parts = [
        _("Estimates of {k} provinces run from {most} in {where} to {least} in {there}.", k=len(rows), where=first["label"],
          there=last["label"], **amounts),
        _("Shrunken to their mean they run from {high} to {low}.", high=wording.format_amount(rows["shrunken"].max(), unit),
          low=wording.format_amount(rows["shrunken"].min(), unit)),
        _("Their mean is {effect}.", effect=wording.format_estimate(s.estimate, s.conf_low, s.conf_high, unit)),
    ]  # fmt: skip
    if math.isfinite(s.predict_low):
        parts.append(_("In one more province the effect would lie between {low} and {high}.", **say_range(s.predict_low, s.predict_high, unit)))
    apart = rows[(rows["conf_high"] < s.estimate) | (rows["conf_low"] > s.estimate)]
    if len(apart):
        parts.append(_("The intervals of these lie apart from the mean: {provinces}.", provinces=list_names(apart["label"])))
    return join_sentences(parts)


def _heads() -> tuple[str, str, str]:
    return _("effect"), _("95% interval"), _("weight")


def _numbers(estimate: float, low: float, high: float, weight: float, unit: str) -> tuple[str, str, str]:
    return (wording.format_number(estimate, unit) if math.isfinite(estimate) else "", wording.format_interval(low, high, unit),
            f"{100 * weight:.1f}%" if math.isfinite(weight) else "")  # fmt: skip


def _draw(ax: Axes, compared: Compared, labels: list[str], texts: list[tuple[str, str, str]], widths: list[float]) -> None:
    rows, scale = sort_provinces(compared), wording.find_unit(compared.about.print_unit).scale
    heights = row_heights(labels)
    y = np.cumsum(heights) - heights / 2
    end = heights.sum()
    _draw_rows(ax, rows, y, scale)
    summaries = list_summaries(compared)
    below = end + 0.4 + SUMMARY * (np.arange(len(summaries)) + 0.5)
    ax.axhline(end + 0.2, color=canvas.RULE, linewidth=0.6, zorder=1)
    for position, row in zip(below, summaries, strict=True):
        _draw_summary(ax, position, row, scale)
    mean = scale * compared.synthesis.estimate
    ax.vlines(mean, 0, below[0], color=canvas.HEAD, linewidth=0.8, linestyle=(0, (3, 2)), zorder=1, label="mean")
    ax.axvline(0, color=canvas.INK, linewidth=0.8, zorder=1)
    names = [*labels, *(row["label"] for row in summaries)]
    for position, label, text in zip([*y, *below], names, texts, strict=True):
        weight = "normal" if position < end else "bold"
        write_beside(ax, 0, position, 2 - LEFT * 72, label, linespacing=1.05, fontweight=weight)
        _write_numbers(ax, position, text, widths)
    _write_heads(ax, widths)
    ax.set_ylim(below[-1] + SUMMARY / 2, 0)
    ax.set_yticks([])
    ax.grid(True, axis="x")
    canvas.number_axis(ax.xaxis, ticks=5)
    unit = wording.label_unit(compared.about.print_unit)
    ax.set_xlabel(_("Effect, {unit}", unit=unit) if unit else _("Effect"))


def _draw_rows(ax: Axes, rows, y: np.ndarray, scale: float) -> None:
    own = {name: scale * rows[name].to_numpy(dtype=float) for name in ("estimate", "conf_low", "conf_high")}
    ax.hlines(y - OFF, own["conf_low"], own["conf_high"], color=canvas.BLUE, linewidth=1.6, zorder=3, label="own interval")
    ax.plot(own["estimate"], y - OFF, "o", color=canvas.BLUE, markersize=4, zorder=4, label="own estimate")
    shrunken = {name: scale * rows[name].to_numpy(dtype=float) for name in ("shrunken", "shrunken_low", "shrunken_high")}
    ax.hlines(y + OFF, shrunken["shrunken_low"], shrunken["shrunken_high"], color=canvas.ORANGE, linewidth=0.8, zorder=2, label="shrunken interval")
    ax.plot(shrunken["shrunken"], y + OFF, "D", color=canvas.ORANGE, mfc="white", mew=0.9, markersize=3.2, zorder=4, label="shrunken estimate")


def _draw_summary(ax: Axes, y: float, row: dict, scale: float) -> None:
    low, high, middle = (scale * row[name] for name in ("low", "high", "estimate"))
    if row["kind"] == "mean":
        ax.add_patch(Polygon([(low, y), (middle, y - 0.3), (high, y), (middle, y + 0.3)], closed=True, facecolor=canvas.INK, zorder=4, label="mean"))
        ax.update_datalim([(low, y), (high, y)])
    elif row["kind"] == "next":
        ax.hlines(y, low, high, color=canvas.RULE, linewidth=4, zorder=3, label="next province")
    else:
        ax.hlines(y, low, high, color=canvas.INK, linewidth=1.2, zorder=3, label="movers interval")
        ax.plot([middle], [y], "s", color=canvas.INK, markersize=4.5, zorder=4, label="movers")


def _write_numbers(ax: Axes, y: float, text: tuple[str, str, str], widths: list[float]) -> None:
    edge = widths[0] + GAP
    write_beside(ax, 1, y, edge, text[0], ha="right")
    write_beside(ax, 1, y, edge + GAP, text[1], color=canvas.MUTED, fontsize=7)
    write_beside(ax, 1, y, edge + 2 * GAP + widths[1] + widths[2], text[2], ha="right", color=canvas.MUTED, fontsize=7)


def _write_heads(ax: Axes, widths: list[float]) -> None:
    edge = widths[0] + GAP
    places = (edge, "right"), (edge + GAP, "left"), (edge + 2 * GAP + widths[1] + widths[2], "right")
    for (shift, align), text in zip(places, _heads(), strict=True):
        style = {"fontsize": 7, "color": canvas.MUTED, "ha": align, "va": "bottom"}
        ax.annotate(text, (1, 1), (shift, 4), xycoords="axes fraction", textcoords="offset points", **style)
    key = {"fontsize": 7, "va": "bottom", "xycoords": "axes fraction", "textcoords": "offset points"}
    ax.annotate(_("own estimate"), (0, 1), (0, 4), color=canvas.BLUE, ha="left", **key)
    ax.annotate(_("shrunken"), (1, 1), (-2, 4), color=canvas.ORANGE, ha="right", **key)
