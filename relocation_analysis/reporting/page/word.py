"""The Word file from which a report takes its styles: pandoc's own, with this project's page, type, table and running head."""

import io
import re
import subprocess
import zipfile
from functools import cache
from xml.sax.saxutils import escape

import pypandoc

# Type that Word has everywhere: (Latin, Chinese) of the text and of headings.
TEXT = ("Times New Roman", "SimSun")
HEADINGS = ("Times New Roman", "SimHei")
DATE = (2020, 1, 1, 0, 0, 0)
OFFICE = "http://schemas.openxmlformats.org"
NAMES = f'xmlns:w="{OFFICE}/wordprocessingml/2006/main" xmlns:r="{OFFICE}/officeDocument/2006/relationships"'
XML = '<?xml version="1.0" encoding="UTF-8"?>'
CONTENT_TYPE = "application/vnd.openxmlformats-officedocument.wordprocessingml"
PAGE = (
    '<w:pgSz w:w="11906" w:h="16838"/>'
    '<w:pgMar w:top="1418" w:right="1418" w:bottom="1418" w:left="1418" w:header="709" w:footer="709" w:gutter="0"/>'
)
NUMBER = (
    '<w:r><w:fldChar w:fldCharType="begin"/></w:r><w:r><w:instrText xml:space="preserve"> PAGE </w:instrText></w:r>'
    '<w:r><w:fldChar w:fldCharType="end"/></w:r>'
)
TABLE = (
    '<w:style w:type="table" w:default="1" w:styleId="Table"><w:name w:val="Table"/><w:tblPr>'
    '<w:tblBorders><w:top w:val="single" w:sz="8"/><w:bottom w:val="single" w:sz="8"/></w:tblBorders>'
    '<w:tblCellMar><w:left w:w="60" w:type="dxa"/><w:right w:w="60" w:type="dxa"/></w:tblCellMar></w:tblPr>'
    '<w:tblStylePr w:type="firstRow"><w:rPr><w:b/></w:rPr><w:tcPr><w:tcBorders><w:bottom w:val="single" w:sz="4"/></w:tcBorders></w:tcPr>'
    "</w:tblStylePr></w:style>"
)


@cache
def _template() -> dict[str, bytes]:
    """The parts of pandoc's reference.docx."""
    command = [pypandoc.get_pandoc_path(), "--print-default-data-file", "reference.docx"]
    data = subprocess.run(command, capture_output=True, check=True).stdout
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        return {name: file.read(name) for name in file.namelist()}


def make_reference(language: str, banner: str) -> bytes:
    """A reference.docx for pandoc: A4, a page number below, `banner` on top of every page where it is not blank.

    Parameters
    ----------
    language : "en" or "zh": Chinese has no italics and more room between lines.
    banner : what every page must say.
    """
    parts = {name: content.decode() for name, content in _template().items()}
    parts["word/styles.xml"] = _restyle(parts["word/styles.xml"], language)
    running = {"footer": f'<w:p><w:pPr><w:jc w:val="center"/></w:pPr>{NUMBER}</w:p>'}
    if banner:
        look = '<w:rPr><w:b/><w:color w:val="8A3A00"/><w:sz w:val="17"/></w:rPr>'
        run = f"<w:r>{look}<w:t>{escape(banner)}</w:t></w:r>"
        running["header"] = f'<w:p><w:pPr><w:jc w:val="center"/></w:pPr>{run}</w:p>'
    section = ""
    for k, (kind, content) in enumerate(running.items(), 90):
        tag = {"header": "w:hdr", "footer": "w:ftr"}[kind]
        parts[f"word/{kind}1.xml"] = f"{XML}<{tag} {NAMES}>{content}</{tag}>"
        related = f'<Relationship Id="rId{k}" Type="{OFFICE}/officeDocument/2006/relationships/{kind}" Target="{kind}1.xml"/>'
        typed = f'<Override PartName="/word/{kind}1.xml" ContentType="{CONTENT_TYPE}.{kind}+xml"/>'
        _insert(parts, "word/_rels/document.xml.rels", related, "</Relationships>")
        _insert(parts, "[Content_Types].xml", typed, "</Types>")
        section += f'<w:{kind}Reference w:type="default" r:id="rId{k}"/>'
    section, document = f"<w:sectPr>{section}{PAGE}</w:sectPr>", parts["word/document.xml"]
    parts["word/document.xml"] = re.sub(r"<w:sectPr\s*/>|<w:sectPr>.*?</w:sectPr>", section, document, flags=re.DOTALL)
    return _zip(parts)


def _insert(parts: dict[str, str], name: str, text: str, before: str) -> None:
    parts[name] = parts[name].replace(before, text + before)


def _zip(parts: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in parts.items():
            file.writestr(zipfile.ZipInfo(name, DATE), content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def _type(fonts: tuple[str, str], size: float, look: str = "", last: str = "") -> str:
    """Properties of a run: fonts, size in points. Word wants their order."""
    latin, chinese = fonts
    named = f'<w:rFonts w:ascii="{latin}" w:hAnsi="{latin}" w:cs="{latin}" w:eastAsia="{chinese}"/>'
    return f'<w:rPr>{named}{look}<w:sz w:val="{round(2 * size)}"/><w:szCs w:val="{round(2 * size)}"/>{last}</w:rPr>'


def _space(before: float, after: float, line: float = 1.0, first: str = "", last: str = "") -> str:
    """Properties of a paragraph: points before and after, lines apart."""
    room = f'<w:spacing w:before="{round(20 * before)}" w:after="{round(20 * after)}" w:line="{round(240 * line)}" w:lineRule="auto"/>'
    return f"<w:pPr>{first}{room}{last}</w:pPr>"


def _styles(language: str) -> dict[str, str]:
    """Name of a style -> its properties; Chinese has no italics and more room between lines."""
    keep, grey, bold = "<w:keepNext/><w:keepLines/>", '<w:color w:val="595959"/>', "<w:b/>"
    italic, line = ("", 1.3) if language == "zh" else ("<w:i/>", 1.15)

    def heading(level: int, size: float, before: float, after: float, look: str = bold) -> str:
        return _space(before, after, first=keep, last=f'<w:outlineLvl w:val="{level - 1}"/>') + _type(HEADINGS, size, look)

    return {
        "Body Text": _space(0, 7, line),
        "Compact": _space(1, 1),
        "Title": _space(0, 6, first=keep) + _type(HEADINGS, 22, bold),
        "Subtitle": _space(0, 8, first=keep) + _type(TEXT, 13, grey),
        "Abstract Title": _space(12, 4, first=keep) + _type(HEADINGS, 11, bold),
        "Abstract": _space(0, 8, line) + _type(TEXT, 11),
        "Facts": _space(0, 6) + _type(TEXT, 9.5, grey),
        "heading 1": heading(1, 17, 24, 8),
        "heading 2": heading(2, 13, 16, 6),
        "heading 3": heading(3, 11, 12, 4, bold + italic),
        "Table Caption": _space(14, 5, first=keep) + _type(TEXT, 9.5, '<w:i w:val="0"/>'),
        "Image Caption": _space(4, 3) + _type(TEXT, 9.5, '<w:i w:val="0"/>'),
        "Exhibit Note": _space(3, 14) + _type(TEXT, 8.5, grey),
        "Table Text": _space(1.5, 1.5) + _type(TEXT, 8.5),
        "Verbatim Char": _type(("Consolas", TEXT[1]), 9.5),
        "Hyperlink": '<w:rPr><w:color w:val="0B5394"/></w:rPr>',
    }


def _restyle(styles: str, language: str) -> str:
    """Styles of pandoc's file set anew; those that it lacks added."""
    default = _type(TEXT, 11, last='<w:lang w:val="en-US" w:eastAsia="zh-CN" w:bidi="ar-SA"/>')
    styles = re.sub(r"<w:rFonts\s[^>]*Theme[^>]*/>", "", styles)
    styles = re.sub(r"<w:rPrDefault>.*?</w:rPrDefault>", f"<w:rPrDefault>{default}</w:rPrDefault>", styles, flags=re.DOTALL)
    styles = re.sub(r'<w:style w:type="table" w:default="1".*?</w:style>', TABLE, styles, flags=re.DOTALL)
    wanted = _styles(language)

    def restyle(style: re.Match) -> str:
        name = re.search(r'<w:name w:val="([^"]*)"', style[0])[1]
        if name not in wanted:
            return style[0]
        bare = re.sub(r"<w:(pPr|rPr)>.*?</w:\1>|<w:[pr]Pr\s*/>", "", style[0], flags=re.DOTALL)
        return bare.replace("</w:style>", wanted.pop(name) + "</w:style>")

    styles = re.sub(r"<w:style .*?</w:style>", restyle, styles, flags=re.DOTALL)
    added = "".join(
        f'<w:style w:type="paragraph" w:customStyle="1" w:styleId="{name.replace(" ", "")}"><w:name w:val="{name}"/>'
        f'<w:basedOn w:val="Normal"/>{properties}</w:style>'
        for name, properties in wanted.items()
    )  # fmt: skip
    return styles.replace("</w:styles>", added + "</w:styles>")
