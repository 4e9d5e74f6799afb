"""A small record that holds every kind of thing a report can show, in English and in Chinese."""

import nbformat

from relocation_analysis.language import speaking
from relocation_analysis.reporting.exhibits.kinds import Column, Figure, Prose, Table
from relocation_analysis.reporting.run import execute

SVG = """<svg xmlns="http://www.w3.org/2000/svg" width="453.6pt" height="120pt" viewBox="0 0 453.6 120">
<rect width="453.6" height="120" fill="white"/><path d="M20 100 L200 60 L430 20" stroke="#0072B2" fill="none"/>
<circle cx="200" cy="60" r="4" fill="#D55E00"/></svg>"""
TEXTS = {
    "en": {
        "title": "What moving did", "subtitle": "A small record", "citation": "Drawn for the tests.",
        "facts": [["Study", "small"], ["Province", "Guizhou"], ["Language", "English"]],
        "abstract": "The move raised wage work by **6.4 points** (95% interval 4.0 to 8.8); see @fig-line and @roth2022.",
        "chapter": "Overview", "section": "The answer", "below": "Year by year",
        "text": "See @fig-line, @tbl-grouped, @tbl-wide and @sec-answer, after @callaway2021 and others [@roth2022].\n\n"
        "- *First* the year of the move.\n- **Then** the years after.\n\n> A claim of the press.\n\n"
        "Inline $\\hat\\tau_g$ and\n\n$$ ATT(g,t) = \\mathbb{E}[Y_t - Y_{g-1} \\mid G = g] = \\frac{1}{N_g}\\sum_{i=1}^{N_g} \\Delta Y_i. $$",
        "caption": "Wage work by year", "alt": "The effect rises from 3 points at move-in to 8 points after two years.",
        "note": "Bands are simultaneous.", "outcome": "Outcome", "effect": "Effect", "interval": "95% interval", "p": "p",
        "clusters": "Clusters", "treated": "treated", "comparison": "comparison", "unit": "Unit", "primary": "Primary outcomes",
        "harm": "Possible harms", "rows": ("Off-farm wage work", "Enrolment at 16-18", "Debt outstanding"), "pp": "percentage points",
        "remark": "A remark that is long enough to be broken over several lines of the cell, since it says all that there is to say of the "
        "claim, of its arithmetic and of what could be tested.",
        "wide": "What is claimed, and what the figures can bear", "long": "A table longer than a page", "claim": "Claim", "row": "Row {n}",
    },
    "zh": {
        "title": "搬迁改变了什么", "subtitle": "一份小记录", "citation": "为测试而作。",
        "facts": [["研究", "small"], ["省份", "贵州省"], ["语言", "中文"]],
        "abstract": "搬迁使非农务工提高**6.4个百分点**（95%区间4.0至8.8），见@fig-line和@roth2022。",
        "chapter": "概览", "section": "结论", "below": "逐年结果",
        "text": "参见@fig-line、@tbl-grouped、@tbl-wide和@sec-answer，方法依据@callaway2021，另见[@roth2022]。\n\n"
        "- *首先*是搬迁当年。\n- **随后**是其后各年。\n\n> 报刊的一种说法。\n\n“易地扶贫搬迁”的处理组平均效应\n按双重差分识别，前提是平行趋势成立；比较组为尚未搬迁的自然村——"
        "其建档立卡人口在同一时期得到就地帮扶。\n\n行内公式$\\hat\\tau_g$，以及\n\n"
        "$$ ATT(g,t) = \\mathbb{E}[Y_t - Y_{g-1} \\mid G = g] = \\frac{1}{N_g}\\sum_{i=1}^{N_g} \\Delta Y_i. $$",
        "caption": "按年份的非农务工", "alt": "效应由搬迁当年的3个百分点升至两年后的8个百分点。",
        "note": "区间带为同时置信带。", "outcome": "结果变量", "effect": "效应", "interval": "95%区间", "p": "p值",
        "clusters": "聚类数", "treated": "处理组", "comparison": "比较组", "unit": "单位", "primary": "主要结果",
        "harm": "可能的损害", "rows": ("非农务工", "16—18岁在学", "未偿债务"), "pp": "个百分点",
        "remark": "这是一条足够长的备注，需要在单元格内折成数行，因为它说明了该说法的全部内容、算术依据以及哪些部分可以检验，"
        "并指出登记搬迁人口与全部搬迁人口不可混用。",
        "wide": "报刊的说法与数字所能支持的结论", "long": "一张长于一页的表", "claim": "说法", "row": "第{n}行",
    },
}  # fmt: skip


LINE = "effects = ra.estimate(design, outcomes=ra.primary_outcomes(design), comparison='not_yet_treated', window=(-5, 5), seed=2020)"


def show(exhibit, source: str = f"{LINE}\nra.show(effects)"):
    """A cell that shows an exhibit."""
    output = nbformat.v4.new_output("display_data", data=exhibit._repr_mimebundle_())
    return nbformat.v4.new_code_cell(source, outputs=[output])


def write(text: str):
    """A narrative cell."""
    return nbformat.v4.new_markdown_cell(text)


def tables(texts: dict) -> list[Table]:
    """Grouped rows, a head of two levels, text that must be broken, and more rows than a page has."""
    one, two, three = texts["rows"]
    numbers = (Column(texts["effect"], "right"), Column(texts["interval"], "right"), Column(texts["p"], "right"))
    sides = (Column(texts["treated"], "right", texts["clusters"]), Column(texts["comparison"], "right", texts["clusters"]))
    grouped = ((texts["primary"],), (one, "6.4", "4.0 to 8.8", ".043"), (two, "−12.25", "−31.0 to 6.5", "<\u2009.001"),
               (texts["harm"],), (three, "1,234", "–", "–"))  # fmt: skip
    two_level = ((one, texts["pp"], "6.4", "12", "1,240"), (two, texts["pp"], "[c]", "3", "40"))
    head = (Column(texts["outcome"]), Column(texts["unit"]), numbers[0], *sides)
    broken = ((one, texts["remark"], texts["remark"][:60]), (two, texts["remark"][:40], texts["remark"]))
    long = tuple((texts["row"].format(n=n), f"{n / 7:.2f}") for n in range(1, 71))
    return [
        Table("tbl-grouped", (Column(texts["outcome"]), *numbers), grouped, texts["caption"], texts["note"], "tests.grouped"),
        Table("tbl-levels", head, two_level, texts["caption"], "", "tests.levels"),
        Table("tbl-wide", (Column(texts["claim"]), Column(texts["remark"][:6]), Column(texts["note"][:4])), broken, texts["wide"]),
        Table("tbl-long", (Column(texts["outcome"]), numbers[0]), long, texts["long"]),
    ]


def make_record(language: str, simulated: bool = True):
    """The record of a report in `language`."""
    texts = TEXTS[language]
    with speaking(language):
        exhibits = [Figure("fig-line", SVG, texts["caption"], texts["alt"], texts["note"], "tests.line"), *tables(texts)]
        cells = [
            write(f"# {texts['chapter']}"),
            show(Prose(texts["abstract"], "abstract"), "ra.describe_abstract()"),
            write(f"## {texts['section']} {{#sec-answer}}\n\n{texts['text']}"),
            *map(show, exhibits[:2]),
            write(f"### {texts['below']}"),
            *map(show, exhibits[2:]),
        ]
        chapter = execute.normalise(nbformat.v4.new_notebook(cells=cells), "one")
        about = {name: texts[name] for name in ("title", "subtitle", "citation", "facts")}
        about |= {"language": language, "simulated": simulated}
        return execute.join({"one": chapter}, execute.closing_cells(f"# {texts['below']} {{#provenance}}", []), about)
