"""Text as text: what a label from data needs before it stands in HTML, Typst, Markdown, LaTeX or a CSV file."""

import html
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

THOUSANDS = re.compile(r"[-\u2212+]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+)?%?")
FORMULA = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")  # what makes a spreadsheet compute, in full width too
LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
    "`": r"\textasciigrave{}", "'": r"\textquotesingle{}", '"': r"\textquotedbl{}", "[": "{[}", "]": "{]}", "*": "{*}",
    "\u2212": "$-$", "\u2013": r"\textendash{}", "\u2014": r"\textemdash{}", "\u00a0": "~",
    "\u2009": r"\,", "\u2007": r"\phantom{0}", "\u2008": r"\phantom{.}", "\u00d7": r"$\times$", "\u00b1": r"$\pm$",
    "\u2264": r"$\le$", "\u2265": r"$\ge$", "\u2248": r"$\approx$", "\n": " ", "\r": " ", "\t": " ",
}  # fmt: skip


def escape_html(text: str) -> str:
    """`text` as HTML that shows exactly it."""
    return html.escape(text)


def escape_typst(text: str) -> str:
    """`text` as a Typst string literal, quotes included: Typst reads no markup in a string."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\r", " ").replace("\n", " ") + '"'


def escape_markdown(text: str) -> str:
    """`text` as Markdown that shows exactly it: what `Prose` needs around a label that came from data."""
    return re.sub(r"([\\`*_{}\[\]()<>#+\-.!|$@^~'\"&:=])", r"\\\1", text).replace("\n", " ")


def escape_latex(text: str) -> str:
    """`text` as LaTeX that shows exactly it; ligatures, macros and the arguments of a line break are broken up."""
    return "".join(LATEX.get(character, character) for character in text).replace("--", "-{}-").replace("--", "-{}-")


def escape_csv(text: str) -> str:
    """`text` as a cell that no spreadsheet computes; a number as a number, with a plain minus sign and without commas."""
    if any(c.isdigit() for c in text) and THOUSANDS.fullmatch(text):
        return text.replace("\u2212", "-").replace(",", "")
    return "'" + text if text.startswith(FORMULA) else text


def escape_cells(frame: "pd.DataFrame") -> "pd.DataFrame":
    """A table whose texts no spreadsheet computes; what is not text stays as it is."""
    return frame.map(lambda cell: escape_csv(cell) if isinstance(cell, str) else cell)
