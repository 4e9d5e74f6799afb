"""One source, two languages: every text of the code, the notebooks, the studies and the facts is there in both, and what a
Chinese report shows is Chinese."""

import ast
import csv
import json
import re
import string
from pathlib import Path

import nbformat
import pytest
from babel.messages.extract import extract_from_file
from babel.messages.pofile import read_po

from relocation_analysis.cli import main
from relocation_analysis.data.facts import label_province, label_status, province_slugs, read_facts, read_provinces
from relocation_analysis.data.study import list_studies, read_study
from relocation_analysis.errors import InputError, unknown_name
from relocation_analysis.estimation.design import build_design
from relocation_analysis.estimation.estimate import estimate
from relocation_analysis.estimation.robustness import run_checks
from relocation_analysis.language import CATALOGUES, _, list_languages, read_catalogue, speaking, spoken
from relocation_analysis.paths import DATA, NOTEBOOKS, ROOT

PACKAGE = ROOT / "relocation_analysis"
SOURCES = sorted(PACKAGE.rglob("*.py"))
CHAPTERS = sorted(NOTEBOOKS.glob("*.ipynb"))
CHINESE = re.compile(r"[\u3400-\u9fff]")
PUNCTUATED = re.compile(r"[\u3400-\u9fff][,;:?!]|[,;?!][\u3400-\u9fff]")  # half-width marks beside a Chinese character
AS_IT_IS = {  # names of methods, a text that is its value only, and counts, which Chinese sentences have as digits
    "CR1",
    "Anderson-Rubin",
    "Value error, {error}",
    "no one two three four five six seven eight nine",
}


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def texts_of(path: Path) -> dict[str, int]:
    """The texts that the code of a file hands to the catalogue, with the line of each."""
    return {text: line for line, text, *rest in extract_from_file("python", str(path), keywords={"_": None, "mark": None})}


def entries() -> dict[str, dict[str, str]]:
    """By catalogue file, English -> Chinese, those that are blank included."""
    found = {}
    for path in sorted(CATALOGUES.glob("zh*.po")):
        with open(path, "rb") as file:
            found[path.name] = {m.id: m.string for m in read_po(file, locale="zh") if m.id}
    return found


def fields(template: str) -> set[tuple]:
    """(name, format, conversion) of every {field}; a field may stand more than once."""
    return {(name, form, conversion) for rest, name, form, conversion in string.Formatter().parse(template) if name is not None}


# ---- the catalogue


@pytest.mark.parametrize("path", [path for path in SOURCES if texts_of(path)], ids=relative)
def test_every_text_of_the_code_has_its_chinese_with_the_same_fields(path):
    chinese = read_catalogue("zh")
    assert [text for text in texts_of(path) if not chinese.get(text)] == []
    for text in texts_of(path):
        assert {name for name, *rest in fields(text)} == {name for name, *rest in fields(chinese[text])}, text


def test_the_catalogue_has_nothing_that_the_code_no_longer_says():
    said = {text for path in SOURCES for text in texts_of(path)}
    assert {file: set(texts) - said for file, texts in entries().items() if set(texts) - said} == {}


def test_no_text_is_translated_in_two_ways():
    first: dict[str, str] = {}
    for texts in entries().values():
        for english, chinese in texts.items():
            assert first.setdefault(english, chinese) == chinese, english


def test_chinese_is_written_as_chinese_is():
    for english, chinese in read_catalogue("zh").items():
        words = re.sub(r"{[^}]*}", "", english)
        if re.search("[A-Za-z]{3}", words) and english not in AS_IT_IS:
            assert CHINESE.search(chinese), english
        assert not PUNCTUATED.search(chinese), chinese
        assert "对照组" not in chinese, "the comparison is no control group"
        if english != "{label}.":  # 图 1 stands before a caption without a full stop
            assert re.search(r"(?<!\.)\.$", english) is None or chinese.endswith(("。", "：")), english


def calls_of(tree: ast.AST):
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield node


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_a_text_is_a_literal_and_its_values_are_filled_in_by_the_catalogue(path):
    """An f-string, a sum of texts or a formatted one would be another text for each value: no catalogue has it. Where a
    function uses `_` as a name, its sentences would call that."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for call in calls_of(tree):
        if call.func.id in ("_", "mark"):
            text = call.args[0]
            made = isinstance(text, ast.Call) and isinstance(text.func, ast.Attribute) and text.func.attr in ("format", "join", "replace")
            assert not isinstance(text, (ast.JoinedStr, ast.BinOp)) and not made, f"line {call.lineno}"
    for function in (n for n in ast.walk(tree) if isinstance(n, (ast.FunctionDef, ast.Lambda))):
        speaks = any(call.func.id == "_" for call in calls_of(function))
        assert not (speaks and "_" in names_bound(function)), f"line {function.lineno}"


def names_bound(function) -> set[str]:
    """Names that a function binds itself; a comprehension has names of its own."""
    bound, waiting = {a.arg for a in function.args.args}, list(ast.iter_child_nodes(function))
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            bound.add(node.id)
        if not isinstance(node, (ast.FunctionDef, ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)):
            waiting += ast.iter_child_nodes(node)
    return bound


@pytest.mark.parametrize("folder", ["data", "estimation", "."])
def test_no_check_error_or_reason_is_left_outside_the_catalogue(folder):
    """What is handed to a Check, an InputError, unknown_name or NotEstimable is no bare text; a check's own names are."""
    for path in (PACKAGE / folder).glob("*.py"):
        for call in calls_of(ast.parse(path.read_text(encoding="utf-8"))):
            skipped = {"Check": 2, "InputError": 0, "NotEstimable": 0, "unknown_name": 0}.get(call.func.id)
            for argument in () if skipped is None else call.args[skipped:]:
                bare = isinstance(argument, ast.Constant) and isinstance(argument.value, str) and argument.value
                words = isinstance(argument, ast.JoinedStr) and any(
                    isinstance(v, ast.Constant) and re.search("[A-Za-z]{2}", v.value) for v in argument.values
                )
                assert not bare and not words, f"{path.name} line {argument.lineno}"


# ---- sentences


def test_an_error_speaks_the_language_and_english_comes_back():
    with speaking("zh"):
        error = InputError(_("weight must be positive"), "x", _("remove those rows, or correct the weight"))
        unknown = unknown_name(_("The province"), "guizhuo", ("guizhou", "sichuan"))
    assert str(error) == "weight须为正。\n问题：x。\n改法：删除这些行，或更正权重。"
    assert "省份须是已知的名称" in str(unknown) and "'guizhou'" in str(unknown)
    assert spoken() == "en" and str(InputError("a", "b", "c")) == "a.\nProblem: b.\nFix: c."


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--province", "guizhuo"), "'guizhou'"),
        (("-p", "drawz=9"), "'draws'"),
        (("-p", "draws=9"), "99"),
        (("-p", "draws=many"), "'many'"),
        (("-p", "kind=lottery"), "'rollout'"),
        (("-p", "novalue"), "NAME=VALUE"),
    ],
)
def test_the_command_line_answers_in_the_language_asked_for(capsys, arguments, expected):
    """Whatever is wrong: no sentence of English is left in the answer, and the next command speaks English again."""
    for language, chinese in (("zh", True), ("en", False)):
        with pytest.raises(SystemExit) as stopped:
            main(["report", "--language", language, *arguments])
        answer = capsys.readouterr().err
        assert stopped.value.code == 2 and expected in answer
        assert bool(CHINESE.search(answer)) == chinese
        assert bool(english_sentences(answer)) != chinese, answer
    assert spoken() == "en"


def test_a_language_that_there_is_not_is_refused_in_english(capsys):
    with pytest.raises(SystemExit):
        main(["report", "--language", "xx"])
    assert capsys.readouterr().err.startswith("The language must be a known name.")


def test_checks_and_flow_say_the_same_in_both_languages(panel):
    """The same numbers, another text: statistics, p-values, verdicts and tables do not depend on the language."""
    found = {}
    for language in ("en", "zh"):
        study = read_study("simulated", language=language, parameters={"villages": 40, "counties": 4, "draws": 199})
        with speaking(language):
            design = build_design(panel, study, ("debt", "in_school_16_18", "wage_month"))
            found[language] = design.flow, run_checks(design, estimate(design))
    (flow, checks), (other_flow, other_checks) = found["en"], found["zh"]
    assert flow.drop(columns="reason").equals(other_flow.drop(columns="reason"))
    assert not any(CHINESE.search(text) for text in flow["reason"])
    assert all(CHINESE.search(text) for text in other_flow["reason"])
    for one, other in zip(checks, other_checks, strict=True):
        assert (one.name, one.outcome, one.statistic, one.p_value, one.passed) == (
            other.name, other.outcome, other.statistic, other.p_value, other.passed)  # fmt: skip
        assert CHINESE.search(other.null) and CHINESE.search(other.note) and not english_sentences(other.null + other.note)
        assert not CHINESE.search(one.null + one.note)
        assert numbers_of(one.note) == numbers_of(other.note), one.note


def numbers_of(text: str) -> list[str]:
    """The numbers of a text that are computed; ordinals and years of papers are words of their own."""
    return sorted(re.findall(r"\d[\d,.]*\d|\d", re.sub(r"5th or 95th|第5或第95|\b20\d\d\)|95%|80%", "", text)))


# ---- notes and people


def test_a_count_of_people_is_said_as_the_study_allows():
    closed, public = read_study("simulated"), read_study("mpdta")
    assert [closed.show_count(n) for n in (0, 9, 10, 12, 1_238)] == ["fewer than 10"] * 2 + ["10", "10", "1,240"]
    assert [public.show_count(n) for n in (0, 9, 1_238)] == ["0", "9", "1,238"]
    stricter = read_study("simulated", parameters={"threshold": 30})
    assert stricter.show_count(29) == "fewer than 30"
    with speaking("zh"):
        assert closed.show_count(3) == "不足10"


def test_a_share_of_people_hides_a_part_and_a_rest_that_are_few():
    shown = read_study("simulated").shown
    assert shown.share(24, 200) == "12%"
    assert shown.share(9, 200) == shown.share(0, 200) == "under 5%"  # 10 of 200: nobody can tell 0 from 9
    assert shown.share(191, 200) == shown.share(200, 200) == "over 95%"
    assert shown.share(5, 14) == "[c]"  # no bound would say anything
    assert read_study("mpdta").shown.share(9, 200) == "4.5%"


def test_no_note_names_a_village_or_a_site(panel, study):
    design = build_design(panel, study, ("debt",))
    notes = " ".join(check.null + check.note for check in run_checks(design, estimate(design)))
    places = {str(value) for column in ("village", "site", "county", "household", "person") for value in panel[column].dropna().unique()}
    assert {place for place in places if not place.isdigit() and re.search(rf"\b{re.escape(place)}\b", notes)} == set()


# ---- notebooks


def cells_of(path: Path) -> list[dict]:
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


def language_of(cell: dict) -> str | None:
    return next((tag.removeprefix("lang-") for tag in cell["metadata"].get("tags", ()) if tag.startswith("lang-")), None)


@pytest.mark.parametrize("path", CHAPTERS, ids=relative)
def test_every_narrative_cell_is_followed_by_its_twins(path):
    cells, languages = cells_of(path), list_languages()
    told = [(i, cell) for i, cell in enumerate(cells) if language_of(cell)]
    assert told and [language_of(cell) for i, cell in told] == list(languages) * (len(told) // len(languages))
    for (i, english), (j, chinese) in zip(told[::2], told[1::2], strict=True):
        assert j == i + 1 and english["cell_type"] == chinese["cell_type"]
    for cell in cells:
        if cell["cell_type"] == "markdown":
            assert language_of(cell), "".join(cell["source"])


@pytest.mark.parametrize("path", CHAPTERS, ids=relative)
def test_twins_have_the_same_headings_references_citations_maths_and_calls(path):
    told = [cell for cell in cells_of(path) if language_of(cell)]
    for english, chinese in zip(told[::2], told[1::2], strict=True):
        one, other = skeleton(english), skeleton(chinese)
        assert one == other, "".join(chinese["source"])


def skeleton(cell: dict) -> dict[str, list[str]]:
    """What must be the same in every language."""
    source = "".join(cell["source"])
    prose = "\n".join(string_values(source)) if cell["cell_type"] == "code" else source
    return {
        "headings": re.findall(r"^(#+) ", prose, re.MULTILINE),
        "paragraphs": [""] * len(re.findall(r"\n\n", prose)),
        "references": re.findall(r"@(?:fig|tbl|sec)-[a-z0-9_-]*[a-z0-9]", prose),
        "citations": re.findall(r"\[@[^\]]+\]", prose),
        "maths": re.findall(r"\$\$[^$]+\$\$|\$[^$]+\$", prose),
        "code": re.findall(r"`[^`]+`", prose),
        "calls": [ast.unparse(without_strings(source))] if cell["cell_type"] == "code" else [],
    }


def string_values(source: str) -> list[str]:
    return [node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant) and isinstance(node.value, str)]


def without_strings(source: str) -> ast.AST:
    """The code, its prose blanked; short names such as "rollout" stay."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and (" " in node.value.strip() or CHINESE.search(node.value)):
            if not re.fullmatch(r"[a-z_ ]+", node.value):
                node.value = ""
    return tree


@pytest.mark.parametrize("path", CHAPTERS, ids=relative)
def test_a_narrative_cell_is_in_its_language(path):
    for cell in cells_of(path):
        source, language = "".join(cell["source"]), language_of(cell)
        prose = "\n".join(string_values(source)) if cell["cell_type"] == "code" else source
        if language == "zh":
            assert CHINESE.search(prose) and not english_sentences(prose) and not PUNCTUATED.search(prose), prose
        else:
            assert not CHINESE.search(source), source


@pytest.mark.parametrize("path", CHAPTERS, ids=relative)
def test_no_prose_of_a_code_cell_is_in_one_language_only(path):
    for cell in cells_of(path):
        if cell["cell_type"] == "code" and not language_of(cell):
            assert not [text for text in string_values("".join(cell["source"])) if english_sentences(text) or text.startswith("#")]


# ---- studies and facts


@pytest.mark.parametrize("name", list_studies())
def test_a_study_says_everything_in_both_languages(name):
    english, chinese = read_study(name, language="en"), read_study(name, language="zh")
    for text in ("title", "subtitle", "estimand", "context"):
        one, other = english.say(text), chinese.say(text)
        assert bool(one) == bool(other) and not CHINESE.search(one)
        if one:
            assert CHINESE.search(other) and not english_sentences(other) and not PUNCTUATED.search(other), other
            assert one.count("\n\n") == other.count("\n\n") and "\n" not in other.replace("\n\n", "")
            assert re.findall(r"[*][*]", one) == re.findall(r"[*][*]", other)
    told = chinese.translation["zh"]
    assert set(told.reasons) == {rule.reason for rule in (*chinese.exclude, *chinese.unknown)}
    assert all(CHINESE.search(chinese.say_reason(reason)) for reason in told.reasons)
    with speaking("zh"):
        assert [o.name for o in chinese.codebook.values() if not CHINESE.search(o.label)] == []
    with speaking("en"):
        assert [o.name for o in english.codebook.values() if CHINESE.search(o.label)] == []


def test_the_place_of_the_province_is_kept():
    told = read_study("simulated", "tibet", "zh")
    assert "西藏自治区" in told.heading and "{province}" not in told.heading + told.say("estimand")


def test_provinces_have_their_official_full_form():
    """GB/T 2260: municipalities, autonomous regions with their nationality, and provinces."""
    regions = {"15": "内蒙古自治区", "45": "广西壮族自治区", "50": "重庆市", "54": "西藏自治区",
               "64": "宁夏回族自治区", "65": "新疆维吾尔自治区"}  # fmt: skip
    for row in read_provinces().itertuples():
        assert row.name_zh == regions.get(row.gb, row.name_zh) and (row.gb in regions or re.fullmatch(r"[\u4e00-\u9fff]{2,3}省", row.name_zh))
        assert label_province(row.slug, "zh") == row.name_zh and not CHINESE.search(label_province(row.slug, "en"))
    assert len(province_slugs()) == 22


FACTS = ["provinces", "programme", "movein", "press_claims", "literature"]


@pytest.mark.parametrize("name", FACTS)
def test_a_table_of_facts_has_the_same_rows_columns_and_figures_in_both_languages(name):
    english = read_facts(name)
    with speaking("zh"):
        chinese = read_facts(name)
    assert list(english.columns) == list(chinese.columns) and len(english) == len(chinese)
    kept = english.select_dtypes(["float", "bool", "datetime"]).columns
    assert english[kept].equals(chinese[kept]) and english.isna().equals(chinese.isna())
    names = [c for c in english if c not in kept and not c.endswith("_zh")]
    assert not english[names].map(lambda text: isinstance(text, str) and bool(CHINESE.search(text))).any(axis=None)


@pytest.mark.parametrize("name", FACTS)
def test_a_fact_that_has_a_chinese_column_is_chinese_wherever_it_has_words(name):
    with open(DATA / f"{name}.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for column in (c for c in rows[0] if f"{c}_zh" in rows[0]):
        for row in rows:
            chinese, english = row[f"{column}_zh"], row[column]
            if re.search("[A-Za-z]{4}", english) and english not in ("month", "year", "date", "text"):  # not printed
                assert CHINESE.search(chinese), (column, english)
            assert not english_sentences(chinese) and not PUNCTUATED.search(chinese), chinese
            assert not chinese or english, (column, chinese)


def test_every_status_of_a_figure_has_a_name_in_both_languages():
    for name in FACTS:
        table = read_facts(name)
        for status in {s for c in table if c == "status" or c.endswith("_status") for s in table[c].dropna()}:
            with speaking("zh"):
                assert CHINESE.search(label_status(status)), status
            assert label_status(status) == status


# ---- whole reports

RUN = re.compile(r"(?:\b[A-Za-z][A-Za-z'\u2019-]*\b[ ,]+){3,}[A-Za-z][A-Za-z'\u2019-]*")
ALLOWED = (  # Latin words that stand in a Chinese text on purpose
    r"\[@[^\]]+\]",  # citations
    r"`[^`]*`|```.*?```",  # code and machine names
    r"https?://\S+",
    r"\$\$[^$]+\$\$|\$[^$]+\$",  # maths
    r"Lee、McCrary、Moreira和Porter",
    r"(?:relocation_analysis|reporting|estimation|data)[.\w/]*",  # functions and files
)


def english_sentences(text: str) -> list[str]:
    """Runs of four Latin words or more, outside code, citations, maths and names."""
    for pattern in ALLOWED:
        text = re.sub(pattern, " 。 ", text, flags=re.DOTALL)
    return RUN.findall(text)


def test_the_scan_finds_a_sentence_and_lets_names_pass():
    assert english_sentences("表 1：Nobody in the panel has it。")
    assert not english_sentences("按Callaway和Sant'Anna [@callaway2021] 的方法，Anderson-Rubin 95%集，码 `a b c d e`")


def write_small(language: str, out: Path) -> nbformat.NotebookNode:
    from relocation_analysis.reporting.report import write_report

    study = read_study("simulated", language=language, parameters={"villages": 40, "draws": 199})
    return nbformat.read(write_report(study, out, ()) / "report.ipynb", as_version=4)


@pytest.fixture(scope="session")
def records(tmp_path_factory):
    """The record of the same small report in both languages."""
    out = tmp_path_factory.mktemp("languages")
    return {language: write_small(language, out) for language in ("en", "zh")}


def said(record) -> list[str]:
    """Every text of a record that a reader can see: narrative, sentences, captions, notes, alternative texts, cells of tables."""
    texts = [cell.source for cell in record.cells if cell.cell_type == "markdown"]
    for cell in record.cells:
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            texts += [re.sub(r"<[^>]+>", " 。 ", part) for kind, part in data.items() if kind in ("text/markdown", "text/html")]
            texts += [value for key, value in exhibit_of(data).items() if key in ("caption", "note", "alt") and value]
    return texts


def exhibit_of(data: dict) -> dict:
    from relocation_analysis.reporting.exhibits.kinds import META

    return data.get(META, {})


def test_no_english_sentence_is_left_in_a_chinese_report(records):
    assert [found for text in said(records["zh"]) for found in english_sentences(text)] == []


def test_no_chinese_is_in_an_english_report(records):
    assert [text for text in said(records["en"]) if CHINESE.search(text)] == []


def exhibits(record) -> list[dict]:
    return [exhibit_of(output.get("data", {})) for cell in record.cells for output in cell.get("outputs", ()) if exhibit_of(output.get("data", {})).get("id")]


def test_both_languages_show_the_same_exhibits_in_the_same_order(records):
    english, chinese = (exhibits(record) for record in records.values())
    assert [meta["id"] for meta in english] == [meta["id"] for meta in chinese] and len(english) > 30


def test_both_languages_publish_the_same_numbers(records):
    from relocation_analysis.reporting.run.execute import gather

    frames = [gather({"report": record}) for record in records.values()]
    for kind, english in frames[0].items():
        texts = [c for c in ("null", "note", "reason") if c in english]
        assert len(english) and english.drop(columns=texts).equals(frames[1][kind].drop(columns=texts)), kind
