"""SVG as matplotlib writes it, made small: the same picture in half the bytes."""

import re

GLYPH_STEP = 16  # outlines are kept to 1/400 of the type size: a fiftieth of a point at 8 points
HEAVY = "heavy-"  # begins the id of a group whose glyphs are to be bolder; the text's colour follows
STROKE_OF_HEAVY = 12  # in the units of an outline: a face of one weight looks bold with it
GLYPH = re.compile(r'<path id="([^"]+)" d="([^"]*)" transform="scale\(0\.015625\)"/>')
STROKE = re.compile(r'<path d="([^"]*)"((?: clip-path="[^"]*")?) style="(fill: none; [^"]*)"/>')
USE = re.compile(r'<use ([^>]*?) style="([^"]*)"/>')


def compact_svg(svg: str) -> str:
    """`svg` without what a reader of the picture cannot see.

    Outlines of glyphs are rounded to a grid and written as steps, coordinates to hundredths of a point; strokes that follow
    each other in one style become one path, marks one group; comments, which repeat each text, and blanks go.
    """
    svg = re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = GLYPH.sub(lambda m: f'<path id="{m[1]}" d="{_step_outline(m[2])}" transform="scale({GLYPH_STEP / 64:g})"/>', svg)
    svg = re.sub(r' d="[^"]*"|translate\([^)]*\)|\b[xy]="[^"]*"', lambda part: _round(part[0]), svg)
    svg = re.sub(r'(<use [^>]*) transform="translate\((\S+) 0\)"', r'\1 x="\2"', svg)
    svg = re.sub(rf'<g id="{HEAVY}(#[0-9a-f]+)">', rf'<g style="stroke: \1; stroke-width: {STROKE_OF_HEAVY}">', svg)
    svg = re.sub(r'<g id="[\w.]+_\d+">', "<g>", re.sub(r">\s+<", "><", svg))
    return _join_marks(_join_strokes(svg))


def _round(text: str) -> str:
    """Numbers of a path or a place to hundredths, its blanks no more than needed."""
    text = re.sub(r"-?\d+\.\d+", lambda number: f"{float(number[0]):.2f}".rstrip("0").rstrip("."), text)
    return re.sub(r"\s*([A-Za-z])\s+(?=[-\d])|\s+(?=\")", lambda part: part[1] or "", text) if text.startswith(" d=") else text


def _step_outline(outline: str) -> str:
    """An outline of absolute coordinates (M, L, Q, C, z) as relative ones, on the grid."""
    parts, at, start = [], (0, 0), (0, 0)
    for command, numbers in re.findall(r"([MLQCzZ])([^MLQCzZ]*)", outline):
        if command in "zZ":
            parts.append("z")
            at = start
            continue
        values = [round(float(number) / GLYPH_STEP) for number in numbers.split()]
        pairs = list(zip(values[::2], values[1::2]))
        parts.append(command.lower() + _join_numbers([step for x, y in pairs for step in (x - at[0], y - at[1])]))
        at = pairs[-1]
        start = at if command == "M" else start
    return "".join(parts)


def _join_numbers(numbers: list[int]) -> str:
    return "".join(f"{'' if k == 0 or number < 0 else ' '}{number}" for k, number in enumerate(numbers))


def _join_strokes(svg: str) -> str:
    """Neighbouring strokes of one style and clip as one path; they are opaque, so that crossings look alike."""

    def join(match: re.Match) -> str:
        groups: list[list[str]] = []
        for outline, clip, style in STROKE.findall(match[0]):
            if groups and groups[-1][1:] == [clip, style] and "opacity" not in style and "dash" not in style:
                groups[-1][0] += outline
            else:
                groups.append([outline, clip, style])
        return "".join(f'<path d="{outline}"{clip} style="{style}"/>' for outline, clip, style in groups)

    return re.sub(r'(?:<path d="[^"]*"(?: clip-path="[^"]*")? style="fill: none; [^"]*"/>){2,}', join, svg)


def _join_marks(svg: str) -> str:
    """Neighbouring marks of one style in a group that has it."""

    def join(match: re.Match) -> str:
        marks = USE.findall(match[0])
        if len({style for _mark, style in marks}) > 1:
            return match[0]
        return f'<g style="{marks[0][1]}">{"".join(f"<use {mark}/>" for mark, _style in marks)}</g>'

    return re.sub(r'(?:<use [^>]*? style="[^"]*"/>){2,}', join, svg)
