"""The sheet: fonts of its own, text that is text, lines broken by width, colours that differ in grayscale, small SVG."""

import re
from dataclasses import replace
from xml.etree import ElementTree

import matplotlib
import matplotlib.image
import numpy as np
import pytest
import typst
from matplotlib.font_manager import FontProperties, findfont, fontManager

from relocation_analysis.language import speaking
from relocation_analysis.reporting.figures import canvas
from relocation_analysis.reporting.figures.svg import compact_svg


def draw(text, **style):
    """A sheet with one text on it, as SVG."""
    with canvas.house_style():
        sheet = canvas.new_sheet(1.0)
        sheet.text(0.05, 0.5, text, **style)
        return canvas.to_svg(sheet, "fig-text")


def lightness(colour):
    """CIE L* of a colour: how light it is in grayscale, 0 to 100."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 116 * np.cbrt(0.2126 * red + 0.7152 * green + 0.0722 * blue) - 16


def test_both_faces_come_from_packages_and_not_from_the_machine():
    paths = canvas.register_fonts()
    assert paths[canvas.LATIN].is_relative_to(matplotlib.get_data_path())
    assert paths[canvas.HAN].name == "NotoSansSC-Regular.otf" and paths[canvas.HAN].is_file()
    for name, path in paths.items():
        assert findfont(FontProperties(family=name), fallback_to_default=False) == str(path)
    bold = findfont(FontProperties(family=canvas.LATIN, weight="bold"), fallback_to_default=False)
    assert bold.endswith("DejaVuSans-Bold.ttf")


def test_a_font_of_the_machine_with_the_same_name_changes_nothing(monkeypatch):
    before = draw("Effect 效应")
    other = next(entry for entry in fontManager.ttflist if entry.name == "STIXGeneral")
    monkeypatch.setattr(fontManager, "ttflist", [replace(other, name=n) for n in ("DejaVu Sans", "Noto Sans SC")] + fontManager.ttflist)
    fontManager._findfont_cached.cache_clear()
    assert draw("Effect 效应") == before
    monkeypatch.undo()
    fontManager._findfont_cached.cache_clear()


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_sign_of_either_language_has_its_outline(language, caplog):
    with speaking(language):
        svg = draw("Effect −12.3 pp，效应：95%区间（个百分点）≥∞", fontweight="bold")
    assert caplog.text == ""
    uses, outlines = re.findall(r'<use xlink:href="#([^"]+)"', svg), re.findall(r'<path id="([^"]+)"', svg)
    assert len(uses) >= 30 and set(uses) <= set(outlines)


def test_a_chinese_figure_takes_its_digits_from_the_chinese_face():
    with speaking("zh"):
        chinese = draw("12")
    assert chinese != draw("12")


def test_chinese_that_is_to_be_bold_is_drawn_with_a_stroke():
    with speaking("zh"):
        assert "stroke: #222222; stroke-width: 12" in draw("样本", fontweight="bold")
        assert "stroke-width: 12" not in draw("样本")
    assert "stroke-width: 12" not in draw("Sample", fontweight="bold")


def test_a_character_without_an_outline_is_replaced_and_a_control_character_is_a_blank():
    assert canvas.legible("a\U0001f9ea\tb\x07\u202fc\n中") == f"a{canvas.NO_GLYPH} b  c\n中"
    ElementTree.fromstring(draw("\U0001f9ea \x07 --> <!-- <script>"))


def test_the_apostrophe_of_a_name_is_plain_in_chinese():
    assert canvas.legible("Sant\u2019Anna") == "Sant\u2019Anna"
    with speaking("zh"):
        assert canvas.legible("Sant\u2019Anna 的\u201c法\u201d") == "Sant'Anna 的\u201c法\u201d"


def test_dollars_and_braces_are_text():
    assert draw("$x^2$") != draw("x2")
    assert len(re.findall("<use", draw("$x_{1}$"))) == 7


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize(
    "text",
    [
        "Unmet need for care among adults who were ill in the two weeks before they were asked",
        "过去十二个月内因经济原因（费用过高）应就诊而未就诊的成年人所占的比例，2014—2021年wage",
        "x" * 80,
        "",
        "a\nb",
    ],
)
def test_lines_are_no_wider_than_asked_and_lose_nothing_but_blanks(text, language):
    with speaking(language), canvas.house_style():
        lines = canvas.wrap(text, 1.6).split("\n")
        assert max(map(canvas.measure, lines)) <= 1.6
    assert "".join("".join(lines).split()) == "".join(text.split())


def test_a_line_breaks_at_a_space_or_behind_a_hyphen_and_never_before_a_chinese_full_stop():
    assert canvas.wrap("Off-farm wage work", 0.75).split("\n") == ["Off-farm", "wage work"]
    assert canvas.wrap("Off-farm", 0.4).split("\n") == ["Off-", "farm"]
    with speaking("zh"):
        assert canvas.wrap("平行趋势，成立。", 0.5).split("\n") == ["平行趋", "势，成", "立。"]
        assert canvas.wrap("计入就业的估计", 0.7).split("\n") == ["计入就业的", "估计"]
        assert canvas.measure("计入就业的估") < 0.7  # the sixth sign would fit, and leave the seventh alone


def test_what_is_told_apart_by_colour_differs_in_grayscale_too():
    told_apart = [
        (canvas.BLUE, canvas.PALE_BLUE),  # the band and the interval of an event study
        (canvas.BLUE, canvas.RULE),  # the study's own estimator and benchmarks; a cohort and those who never moved
        (canvas.ORANGE, canvas.PALE_BLUE),  # the study's own specification and the intervals of the others
        (canvas.INK, canvas.RULE),
    ]
    for one, other in told_apart:
        assert abs(lightness(one) - lightness(other)) > 15, (one, other)
    for colour in (canvas.BLUE, canvas.RULE, canvas.ORANGE, canvas.MUTED):
        assert lightness(colour) < 62  # contrast with white of three to one, at least


def test_the_small_svg_is_the_same_picture(tmp_path):
    with canvas.house_style():
        sheet = canvas.new_sheet(1.5)
        ax = canvas.add_panel(sheet, 0.5, 0.1, 0.2, 0.4)
        ax.plot(range(40), np.sin(np.arange(40) / 3), "o-")
        ax.vlines(range(40), -1, np.cos(np.arange(40) / 5), color=canvas.PALE_BLUE)
        ax.plot([5, 20, 30], [0.5, -0.2, 0.1], "--")
        ax.set_title("Effect on off-farm wage work 非农工资性就业")
        raw = canvas.write_svg(sheet)
    raw = raw[raw.index("<svg") :]
    small = compact_svg(raw)
    assert len(small) < 0.6 * len(raw)
    pictures = []
    for name, svg in (("raw", raw), ("small", small)):
        (tmp_path / f"{name}.svg").write_text(svg)
        (tmp_path / "page.typ").write_text(f'#set page(width: auto, height: auto, margin: 0pt)\n#image("{name}.svg")')
        typst.compile(str(tmp_path / "page.typ"), output=str(tmp_path / f"{name}.png"), format="png", ppi=150)
        pictures.append(matplotlib.image.imread(tmp_path / f"{name}.png"))
    difference = np.abs(pictures[0] - pictures[1])
    assert pictures[0].std() > 0.05 and difference.mean() < 0.001 and (difference > 0.4).mean() < 0.0001


def test_an_outline_of_steps_ends_where_the_absolute_one_does():
    glyph = '<path id="a" d="M 160 320 \nL 320 320 \nQ 480 160 320 0 \nL 160 0 \nz\nM 32 32 \nL 64 64 \nz\n" transform="scale(0.015625)"/>'
    assert compact_svg(glyph) == '<path id="a" d="m10 20l10 0q10-10 0-20l-10 0zm-8-18l2 2z" transform="scale(0.25)"/>'


def test_interval_ends_at_infinity_lie_just_beyond_what_is_finite():
    low, high = canvas.close_ends(np.array([-np.inf, 1.0, np.nan]), np.array([2.0, np.inf, np.nan]), np.array([1.0, 4.0, 9.0]))
    assert [*low[:2], *high[:2]] == pytest.approx([-1.35, 1.0, 2.0, 10.35])
    assert np.isnan(low[2]) and np.isnan(high[2])
