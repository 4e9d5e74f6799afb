"""A table in every form it is read in: HTML, Typst, LaTeX, CSV and plain text, from the same cells.

HTML and Typst leave the number of the table to the renderer; LaTeX counts for itself.
"""

import csv
import io
import math
import unicodedata
from itertools import groupby
from typing import TYPE_CHECKING

from relocation_analysis.language import _
from relocation_analysis.reporting.exhibits.escapes import escape_csv, escape_html, escape_latex, escape_typst

if TYPE_CHECKING:
    from relocation_analysis.reporting.exhibits.kinds import Column, Table

LINE = 110  # characters of a table's type across the page
GAP = 3  # characters between columns
TEXT = 20  # a column of text that is longer may be broken
WHOLE = 24  # lines of a table that is not broken across pages


def width_of(text: str) -> int:
    """Characters of a line that `text` takes; a Chinese one takes two."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def column_widths(table: "Table") -> list[int]:
    """The widest cell of each column; a head may be broken at its spaces."""
    cells = [row for row in table.rows if not table.is_heading(row)]
    heads = [max((width_of(word) for word in c.label.split(" ")), default=0) for c in table.columns]
    return [max([head, *(width_of(row[j]) for row in cells)]) for j, head in enumerate(heads)]


def column_shares(table: "Table") -> list[int]:
    """What columns of text get of the width that the others leave, in parts; 0: as wide as its widest cell.

    A table that fits leaves its first column what is left where it has many columns or a long heading of rows; else it is as
    wide as its cells, or as its headings.
    """
    widths = column_widths(table)
    natural = sum(widths) + GAP * (len(widths) - 1)
    shares = [0] * len(widths)
    if natural > LINE:
        body = [row for row in table.rows if not table.is_heading(row)]
        for j, column in enumerate(table.columns):
            if column.align == "left" and widths[j] > TEXT:
                shares[j] = round(math.sqrt(sum(width_of(row[j]) for row in body)))
    if not any(shares) and (natural > LINE or len(widths) >= 5 or _widest_heading(table) > max(natural, LINE / 2)):
        shares[0] = 1
    return shares


def _widest_heading(table: "Table") -> int:
    return max((width_of(row[0]) for row in table.rows if table.is_heading(row)), default=0)


def count_lines(table: "Table") -> int:
    """About how many lines the rows take on a page, cells of text being broken."""
    widths, shares = column_widths(table), column_shares(table)
    free = max(LINE - sum(w + GAP for w, share in zip(widths, shares) if not share), 20)
    room = [free * share / sum(shares) if share else width for width, share in zip(widths, shares)]

    def lines(row: tuple[str, ...]) -> int:
        if table.is_heading(row):
            return math.ceil(width_of(row[0]) / LINE) or 1
        return max(math.ceil(width_of(cell) / max(width, 1)) or 1 for cell, width in zip(row, room))

    return sum(map(lines, table.rows))


def is_long(table: "Table") -> bool:
    """Whether the table may be broken across pages."""
    return count_lines(table) > WHOLE


def is_wide(table: "Table") -> bool:
    """Whether the table is set smaller: many columns, or more than the page has room for."""
    widths = column_widths(table)
    return len(widths) > 8 or sum(widths) + GAP * (len(widths) - 1) > LINE


def head_groups(table: "Table") -> list[tuple[str, int, int]]:
    """The heads above the heads: (text, first column, number of columns); the text is blank where a column has none."""
    groups, start = [], 0
    for text, members in groupby(table.columns, key=lambda column: column.group):
        size = len(list(members))
        groups += [(text, start, size)] if text else [("", start + k, 1) for k in range(size)]
        start += size
    return groups


def has_groups(table: "Table") -> bool:
    """Whether the table has a head of two levels."""
    return any(column.group for column in table.columns)


def to_html(table: "Table") -> str:
    """A `figure` element: caption, the table in a region that scrolls, note; the renderer numbers it."""
    note = f'<p class="note">{escape_html(table.note)}</p>' if table.note else ""
    caption = escape_html(table.caption)
    kind = "wide" if is_wide(table) else "full" if any(column_shares(table)) else "natural"
    kind += "" if is_long(table) else " whole"
    named = f'aria-labelledby="{table.id}-caption"'
    return (
        f'<figure class="table {kind}" id="{table.id}"><figcaption id="{table.id}-caption">{caption}</figcaption>'
        f'<div class="scroll" role="group" tabindex="0" {named}>'
        f'<table {named}><thead>{_html_head(table)}</thead>{_html_body(table)}</table></div>'
        f"{note}</figure>"
    )


def _html_classes(table: "Table") -> list[str]:
    """How the cells of each column are set; a short text beside long ones is not broken."""
    shares, widths = column_shares(table), column_widths(table)
    short = [any(shares) and not share and width <= TEXT for share, width in zip(shares, widths)]
    return [column.align + (" short" if narrow else "") for column, narrow in zip(table.columns, short)]


def _html_head(table: "Table") -> str:
    def head(j: int, more: str = "") -> str:
        column = table.columns[j]
        return f'<th scope="col" class="{column.align}"{more}>{escape_html(column.label)}</th>'

    if not has_groups(table):
        return f"<tr>{''.join(map(head, range(len(table.columns))))}</tr>"
    above, below = [], []
    for text, start, size in head_groups(table):
        own = [f' id="{table.id}-c{j}"' for j in range(start, start + size)]
        if text:
            above.append(f'<th scope="colgroup" colspan="{size}" id="{table.id}-g{start}">{escape_html(text)}</th>')
            below += [head(start + k, mark) for k, mark in enumerate(own)]
        else:
            above.append(head(start, f'{own[0]} rowspan="2"'))
    return f'<tr class="above">{"".join(above)}</tr><tr>{"".join(below)}</tr>'


def _html_body(table: "Table") -> str:
    """Bodies, one a group of rows. Under a head of two levels each cell names its heads: scope alone does not reach so far."""
    classes = _html_classes(table)
    above = {j: start for text, start, size in head_groups(table) if text for j in range(start, start + size)}
    bodies, current, group = [], [], ""

    def headers(i: int, j: int) -> str:
        if not above:
            return ""
        columns = ([f"{table.id}-g{above[j]}"] if j in above else []) + [f"{table.id}-c{j}"]
        rows = ([f"{table.id}-r{group}"] if group else []) + [f"{table.id}-r{i}"]
        return f' headers="{" ".join([*rows, *columns])}"'

    for i, row in enumerate(table.aligned_rows()):
        mark = f' id="{table.id}-r{i}"' if above else ""
        if table.is_heading(row):
            bodies.append(current)
            head = f'<th scope="rowgroup" colspan="{len(table.columns)}"{mark}>{escape_html(row[0])}</th>'
            current, group = [f'<tr class="group">{head}</tr>'], str(i)
            continue
        cells = [f'<th scope="row" class="{classes[0]}"{mark}>{escape_html(row[0])}</th>']
        for j, cell in enumerate(row[1:], 1):
            cells.append(f'<td class="{classes[j]}"{headers(i, j)}>{escape_html(cell)}</td>')
        current.append(f"<tr>{''.join(cells)}</tr>")
    return "".join(f"<tbody>{''.join(rows)}</tbody>" for rows in [*bodies, current] if rows)


def to_typst(table: "Table") -> str:
    """A Typst `table` that breaks across pages and repeats its head and the heading of a group of rows; what would not fit the
    page is broken within cells."""
    n = len(table.columns)
    lines = [
        f"#table(columns: ({', '.join(_typst_widths(table))},),",
        f"  align: ({', '.join(c.align for c in table.columns)},),",
        f"  table.header({', '.join(_typst_head(table))}, table.hline(stroke: 0.5pt)),",
    ]
    for row in table.aligned_rows():
        if table.is_heading(row):
            head = f"table.cell(colspan: {n}, align: left, inset: (top: 6pt), emph({escape_typst(row[0])}))"
            lines.append(f"  table.header(level: 2, {head}),")
        else:
            lines.append(f"  {', '.join(map(_typst_cell, table.columns, row))},")
    return "\n".join([*lines, ")"])


def _typst_widths(table: "Table") -> list[str]:
    """How wide columns are; Typst would give the last one what a wide heading of rows wants, here the first has it."""
    shares, widths = column_shares(table), column_widths(table)
    room = _widest_heading(table) - sum(widths[1:]) - GAP * (len(widths) - 1)
    if not any(shares) and room > widths[0]:
        return [f"{room / 2:g}em", *["auto"] * (len(widths) - 1)]
    return [f"{share}fr" if share else "auto" for share in shares]


def _typst_head(table: "Table") -> list[str]:
    def strong(text: str) -> str:
        return f"strong({escape_typst(text)})"

    if not has_groups(table):
        return [strong(column.label) for column in table.columns]
    above, below = [], []
    for text, start, size in head_groups(table):
        labels = [strong(column.label) for column in table.columns[start : start + size]]
        if text:
            rule = "stroke: (bottom: 0.4pt)"
            above.append(f"table.cell(colspan: {size}, align: center, {rule}, {strong(text)})")
            below += labels
        else:
            above.append(f"table.cell(rowspan: 2, {labels[0]})")
    return [*above, *below]


def _typst_cell(column: "Column", cell: str) -> str:
    return escape_typst(cell.replace(" ", "\u00a0") if column.align == "right" else cell)


def to_latex(table: "Table") -> str:
    """A floating `table`, or a `longtable` of what is longer than a page, ruled by booktabs, ready for `\\input`."""
    spec, size = _latex_columns(table), r"\footnotesize" if is_wide(table) else ""
    caption = rf"\caption{{{escape_latex(table.caption)}}}\label{{{table.id}}}"
    body = [_latex_row(table, row) for row in table.aligned_rows()]
    head = [r"\toprule", *_latex_head(table), r"\midrule"]
    note = rf"{{\par\smallskip\footnotesize {escape_latex(table.note)}\par}}" if table.note else ""
    needs = "% \\usepackage{array, booktabs, longtable}; Chinese: \\usepackage{xeCJK} and XeLaTeX"
    if is_long(table):
        lines = [f"{{{size}", rf"\begin{{longtable}}{{{spec}}}", caption + r"\\", *head, r"\endhead", *body, r"\bottomrule"]
        lines += [r"\end{longtable}}", note]
    else:
        lines = [r"\begin{table}", r"\centering", size, caption, rf"\begin{{tabular}}{{{spec}}}", *head, *body, r"\bottomrule"]
        lines += [r"\end{tabular}", note, r"\end{table}"]
    return "\n".join([needs, *filter(None, lines)]) + "\n"


def _latex_columns(table: "Table") -> str:
    """The columns of the table: those of long text are broken in the room that the others leave."""
    widths, shares = column_widths(table), [share if share > 1 else 0 for share in column_shares(table)]
    room = max(1 - sum(w + GAP for w, share in zip(widths, shares) if not share) / LINE, 0.2)
    spec = ""
    for column, share in zip(table.columns, shares):
        part = rf"\dimexpr {room * share / sum(shares):.2f}\linewidth-2\tabcolsep" if share else ""
        spec += rf">{{\raggedright\arraybackslash}}p{{{part}}}" if part else column.align[0]
    return spec


def _latex_head(table: "Table") -> list[str]:
    labels = " & ".join(escape_latex(column.label) for column in table.columns) + r" \\"
    if not has_groups(table):
        return [labels]
    cells, rules = [], []
    for text, start, size in head_groups(table):
        cells.append(rf"\multicolumn{{{size}}}{{c}}{{{escape_latex(text)}}}" if text else "")
        rules += [rf"\cmidrule(lr){{{start + 1}-{start + size}}}"] if text else []
    return [" & ".join(cells) + r" \\", " ".join(rules), labels]


def _latex_row(table: "Table", row: tuple[str, ...]) -> str:
    if table.is_heading(row):
        width = r"p{0.95\linewidth}" if width_of(row[0]) > LINE else "l"
        return rf"\multicolumn{{{len(table.columns)}}}{{{width}}}{{\emph{{{escape_latex(row[0])}}}}} \\"
    return " & ".join(map(escape_latex, row)) + r" \\"


def to_csv(table: "Table") -> str:
    """Rows for a spreadsheet or a program: numbers plain, the heading of a group of rows in a first column of its own."""
    grouped = any(map(table.is_heading, table.rows))
    heads = [f"{c.group}: {c.label}" if c.group else c.label for c in table.columns]
    lines, group = [([_("Group")] if grouped else []) + heads], ""
    for row in table.rows:
        if table.is_heading(row):
            group = row[0]
        else:
            lines.append([group] * grouped + list(row))
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows([map(escape_csv, line) for line in lines])
    return buffer.getvalue()


def to_plain(table: "Table") -> str:
    """The table in aligned columns, for a terminal."""
    grid = [tuple(c.label for c in table.columns), *table.aligned_rows()]
    full = [row for row in grid if not table.is_heading(row)]
    widths = [max(width_of(row[j]) for row in full) for j in range(len(table.columns))]

    def line(row: tuple[str, ...]) -> str:
        if table.is_heading(row):
            return row[0]
        padding = (" " * (width - width_of(cell)) for cell, width in zip(row, widths))
        cells = (p + x if c.align == "right" else x + p for x, p, c in zip(row, padding, table.columns))
        return "  ".join(cells).rstrip(" ")

    return "\n".join([table.caption, *map(line, grid)])
