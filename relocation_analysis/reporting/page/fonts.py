"""The fonts a report carries with it: maths inside the page, Chinese and maths for the PDF."""

import base64
import html
import io
import re
import unicodedata
from functools import cache
from importlib.util import find_spec
from pathlib import Path

MATHS = "STIX Two Math"
EQUATION = re.compile(r"<math\b.*?</math>", re.DOTALL)
SOURCE = re.compile(r"<annotation\b.*?</annotation>", re.DOTALL)  # the TeX of an equation, which is not shown


def font_folders() -> tuple[Path, Path]:
    """Folders of the fonts that Typst does not bring: STIX Two Math; Noto Serif SC and Noto Sans SC."""
    return _folder("ziamath") / "fonts", _folder("pylopdf_fonts_zh_cn")


def _folder(package: str) -> Path:
    """Where a package lies; it is not imported, only its fonts are wanted."""
    return Path(find_spec(package).submodule_search_locations[0])


def characters_of_equations(page: str) -> str:
    """Every character that the equations of an HTML page show, sorted; letters also in the italics that browsers make of them."""
    shown = "".join(html.unescape(re.sub(r"<[^>]*>", "", SOURCE.sub("", found))) for found in EQUATION.findall(page))
    found = {c for c in shown if not c.isspace()}
    return "".join(sorted(found | {italic for c in found if (italic := _italic(c))}))


@cache
def _italics() -> dict[str, str]:
    """Letter -> the italic letter of mathematics; h has an older place in Unicode."""
    letters = {unicodedata.normalize("NFKC", chr(code)): chr(code) for code in range(0x1D6FC, 0x1D71C)}
    letters |= {unicodedata.normalize("NFKC", chr(code)): chr(code) for code in range(0x1D6E2, 0x1D6FB)}
    latin = (code for code in range(0x1D434, 0x1D468) if code != 0x1D455)
    return letters | {unicodedata.normalize("NFKC", chr(code)): chr(code) for code in latin} | {"h": "\u210e"}


def _italic(character: str) -> str:
    return _italics().get(character, "")


@cache
def maths_font(characters: str) -> str:
    """A CSS rule that holds the font of mathematics, cut down to `characters`; blank where there are none."""
    if not characters:
        return ""
    from fontTools import subset

    options = subset.Options(flavor="woff", hinting=False)
    options.drop_tables += ["GDEF", "GPOS", "GSUB"]  # browsers set equations by the table MATH
    with subset.load_font(str(font_folders()[0] / "STIXTwoMath-Regular.ttf"), options) as font:
        cutter = subset.Subsetter(options)
        cutter.populate(text=characters)
        cutter.subset(font)
        buffer = io.BytesIO()
        subset.save_font(font, buffer, options)
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'@font-face {{ font-family: "{MATHS}"; src: url(data:font/woff;base64,{data}) format("woff"); }}'
