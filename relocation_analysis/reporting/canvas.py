"""The sheet every figure is drawn on: one style, one size grid, the same bytes every time."""

import hashlib
import io
import math
import re
from contextlib import contextmanager
from pathlib import Path

import matplotlib
import seaborn
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure as Sheet
from matplotlib.ticker import MaxNLocator

from relocation_analysis.reporting.wording import MINUS

STYLE = Path(__file__).with_name("style.mplstyle")
WIDTH = 6.3  # inches: the text width of the page
ROW = 0.235  # inches: one row of a forest plot

INK, HEAD, MUTED, RULE, SHADE = "#222222", "#404040", "#595959", "#8C8C8C", "#F2F2F2"
BLUE, PALE_BLUE, ORANGE = "#0072B2", "#8DBEDD", "#D55E00"


@contextmanager
def house_style():
    """Draw in the house style, on seaborn's for print, and no other: the reader's own matplotlibrc has no say."""
    with seaborn.axes_style("ticks"), seaborn.plotting_context("paper"), matplotlib.rc_context(fname=STYLE):
        yield


def new_sheet(height: float) -> Sheet:
    """An empty sheet of the full text width, `height` inches high."""
    return Sheet(figsize=(WIDTH, height))


def add_panel(sheet: Sheet, left: float, right: float, top: float, bottom: float) -> Axes:
    """Axes inside the sheet, its margins in inches."""
    width, height = sheet.get_size_inches()
    return sheet.add_axes(
        (left / width, bottom / height, (width - left - right) / width, (height - top - bottom) / height)
    )


def number_axis(axis: Axis, ticks: int = 6) -> None:
    """At most so many ticks, at round numbers, with the same decimals and a real minus sign."""
    axis.set_major_locator(MaxNLocator(nbins=ticks, steps=(1, 2, 5, 10)))

    def write(value: float, _) -> str:
        places = axis.get_majorticklocs()
        step = places[1] - places[0] if len(places) > 1 else 1.0
        decimals = max(0, -math.floor(math.log10(step) + 1e-9))
        return f"{value:,.{decimals}f}".replace("-", MINUS)

    axis.set_major_formatter(write)


def to_svg(sheet: Sheet, figure_id: str) -> str:
    """The sheet as SVG: text as outlines, no date, hundredths of a point, ids that no other figure has."""
    buffer = io.StringIO()
    sheet.savefig(buffer, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    svg = buffer.getvalue()
    svg = re.sub(r'<g id="[\w.]+_\d+">', "<g>", svg[svg.index("<svg") :])
    svg = re.sub(r' d="[^"]*"|translate\([^)]*\)', lambda part: re.sub(r"(\.\d\d)\d+", r"\1", part[0]), svg)
    prefix = "f" + hashlib.sha256(figure_id.encode()).hexdigest()[:6]
    short = {
        name: f"{prefix}-{k}" for k, name in enumerate(dict.fromkeys(re.findall(r'\bid="([^"]+)"', svg)))
    }
    return re.sub(r'(\bid="|href="#|url\(#)([^")]+)', lambda part: part[1] + short[part[2]], svg)
