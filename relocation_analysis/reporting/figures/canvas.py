"""The sheet every figure is drawn on: one style, one size grid, its own fonts, the same bytes every time."""

import hashlib
import io
import math
import re
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from importlib.resources import files
from pathlib import Path

import matplotlib
import numpy as np
import seaborn
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import to_hex
from matplotlib.figure import Figure as Sheet
from matplotlib.font_manager import fontManager, get_font, ttfFontProperty
from matplotlib.ft2font import LoadFlags
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator

from relocation_analysis.language import spoken
from relocation_analysis.reporting.figures.svg import HEAVY, compact_svg
from relocation_analysis.reporting.wording import MINUS

STYLE = Path(__file__).with_name("style.mplstyle")
WIDTH = 6.3  # inches: the text width of the page
ROW = 0.235  # inches: one row of a forest plot
LINE = 0.145  # inches: one more line of a text of 8 points

# What tells things apart differs in lightness, so that it does in grayscale print, and in shape, width or dashes.
INK, HEAD, MUTED, RULE, SHADE = "#222222", "#404040", "#595959", "#8C8C8C", "#F2F2F2"
BLUE, PALE_BLUE, ORANGE = "#0065A3", "#8DBEDD", "#C24E00"

LATIN, HAN = "House Latin", "House Han"  # names that no font of a machine has
BUNDLED = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
HEAVY_LATIN = BUNDLED / "DejaVuSans-Bold.ttf"
NO_GLYPH, KEPT_SPACES = "\ufffd", "\u2007\u2008\u2009\u00a0"
OPENING, CLOSING = "\uff08\u300a\u201c\u2018\u3010(", "\uff09\u300b\u201d\u2019\u3011\uff0c\u3002\uff1b\uff1a\u3001\uff01\uff1f%)"
HAN_SIGN = "[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef]"
PIECE = re.compile(rf"\s+|[{re.escape(OPENING)}]*{HAN_SIGN}[{re.escape(CLOSING)}]*|(?:(?!{HAN_SIGN})[^\s\-\u2013/])+[\-\u2013/]?|.")


@cache
def register_fonts() -> dict[str, Path]:
    """Make the faces of figures known to matplotlib, by file: the fonts of a machine have no say.

    Returns
    -------
    name of the face -> its file. Chinese has one weight, which stands for bold too.
    """
    faces = {LATIN: BUNDLED / "DejaVuSans.ttf", HAN: Path(str(files("pylopdf_fonts_zh_cn") / "NotoSansSC-Regular.otf"))}
    weights = [(LATIN, faces[LATIN], 400), (LATIN, HEAVY_LATIN, 700), (HAN, faces[HAN], 400), (HAN, faces[HAN], 700)]
    for name, path, weight in weights:
        fontManager.ttflist.append(replace(ttfFontProperty(get_font(path)), name=name, weight=weight))
    return faces


def faces() -> list[str]:
    """The faces in the order in which a glyph is looked for: digits and letters of a Chinese figure are those of its face."""
    register_fonts()
    return [HAN, LATIN] if spoken() == "zh" else [LATIN, HAN]


@contextmanager
def house_style():
    """Draw in the house style, on seaborn's for print, and no other: the reader's own matplotlibrc has no say."""
    with seaborn.axes_style("ticks"), seaborn.plotting_context("paper"), matplotlib.rc_context(fname=STYLE):
        matplotlib.rcParams["font.family"] = faces()
        yield


@cache
def _find_glyph(sign: str, order: tuple[str, ...], bold: bool) -> float:
    """The width of a character in ems, of the first face that has it; NaN where none has."""
    for name in order:
        path = HEAVY_LATIN if bold and name == LATIN else register_fonts()[name]
        font = get_font(path)
        if font.get_char_index(ord(sign)):
            font.set_size(100, 72)
            return font.load_char(ord(sign), flags=LoadFlags.NO_HINTING).linearHoriAdvance / 65536 / 100
    return math.nan


def legible(text: str) -> str:
    """`text` with a replacement sign for each character that no face has, and spaces for control characters. The apostrophe of
    a name is as wide as a sign in a Chinese face: there it is the plain one."""
    if spoken() == "zh":
        text = re.sub("(?<=[A-Za-z])\u2019(?=[A-Za-z])", "'", text)
    order = tuple(faces())
    seen = (c if c == "\n" else " " if ord(c) < 32 or c.isspace() and c not in KEPT_SPACES else c for c in text)
    return "".join(c if c == "\n" or _is_drawn(c, order) else NO_GLYPH for c in seen)


def _is_drawn(sign: str, order: tuple[str, ...]) -> bool:
    return not any(math.isnan(_find_glyph(sign, order, bold)) for bold in (False, True))


def measure(text: str, size: float = 8, weight: str = "normal") -> float:
    """The width of `text` in inches, that of its longest line: the sum of its characters, which kerning only makes less."""
    order = tuple(faces())
    lines = legible(text).split("\n")
    return max(sum(_find_glyph(sign, order, weight == "bold") for sign in line) for line in lines) * size / 72


def wrap(text: str, width: float, size: float = 8, weight: str = "normal") -> str:
    """`text` in lines of at most `width` inches: broken at spaces, behind hyphens, between Chinese signs, else anywhere. No
    Chinese sign stands alone in the last line."""
    lines = []
    for paragraph in legible(text).split("\n"):
        rows: list[list[str]] = [[]]
        for piece in _pieces(paragraph, width, size, weight):
            if rows[-1] and measure("".join([*rows[-1], piece]).rstrip(), size, weight) > width:
                rows.append([])
            if rows[-1] or piece.strip() or len(rows) == 1:
                rows[-1].append(piece if rows[-1] else piece.lstrip())
        if len(rows) > 1 and len(rows[-1]) == 1 and len(rows[-2]) > 2 and re.match(HAN_SIGN, rows[-1][0]):
            rows[-1].insert(0, rows[-2].pop())
        lines += ["".join(row).strip() for row in rows]
    return "\n".join(lines)


def _pieces(text: str, width: float, size: float, weight: str):
    """What a line is made of; a piece that is wider than a line comes in its characters."""
    for piece in PIECE.findall(text):
        yield from piece if measure(piece, size, weight) > width else [piece]


def count_lines(text: str) -> int:
    """How many lines a text has."""
    return text.count("\n") + 1


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
    """At most so many ticks, fewer where their numbers are long; round numbers, equal decimals, a real minus sign."""

    def write(value: float, _) -> str:
        places = axis.get_majorticklocs()
        step = places[1] - places[0] if len(places) > 1 else 1.0
        decimals = max(0, -math.floor(math.log10(step) + 1e-9))
        text = f"{value:,.{decimals}f}"
        return text.replace("-", MINUS if any(digit in text for digit in "123456789") else "")

    axis.set_major_formatter(write)
    for bins in range(ticks, 1, -1):
        axis.set_major_locator(MaxNLocator(nbins=bins, steps=(1, 2, 5, 10)))
        if axis.axis_name != "x" or _ticks_fit(axis):
            return


def _ticks_fit(axis: Axis) -> bool:
    room = axis.axes.get_position().width * axis.axes.figure.get_size_inches()[0]
    low, high = sorted(axis.get_view_interval())
    shown = [place for place in axis.get_majorticklocs() if low <= place <= high]
    step = (shown[1] - shown[0]) / (high - low) * room if len(shown) > 1 else room
    return max((measure(axis.get_major_formatter()(place, None)) for place in shown), default=0.0) + 0.08 < step


def close_ends(low: np.ndarray, high: np.ndarray, estimates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the ends of intervals are drawn: an end at infinity lies a little beyond all that is finite."""
    known = np.concatenate([low, high, estimates, [0.0]])
    known = known[np.isfinite(known)]
    beyond = 0.15 * (np.ptp(known) or 1.0)
    return np.where(low == -np.inf, known.min() - beyond, low), np.where(high == np.inf, known.max() + beyond, high)


def write_svg(sheet: Sheet) -> str:
    """The sheet as matplotlib writes it."""
    buffer = io.StringIO()
    sheet.savefig(buffer, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    return buffer.getvalue()


def to_svg(sheet: Sheet, figure_id: str) -> str:
    """The sheet as SVG: text as outlines, no date, small, ids that no other figure has."""
    for text in sheet.findobj(Text):
        text.set_text(legible(text.get_text()))
        if text.get_fontweight() == "bold" and re.search(HAN_SIGN, text.get_text()):
            text.set_gid(HEAVY + to_hex(text.get_color()))
    svg = write_svg(sheet)
    svg = compact_svg(svg[svg.index("<svg") :])
    prefix = "f" + hashlib.sha256(figure_id.encode()).hexdigest()[:6]
    short = {
        name: f"{prefix}-{k}" for k, name in enumerate(dict.fromkeys(re.findall(r'\bid="([^"]+)"', svg)))
    }
    return re.sub(r'(\bid="|href="#|url\(#)([^")]+)', lambda part: part[1] + short[part[2]], svg)
