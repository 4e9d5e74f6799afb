"""The index shows what the reports published, links what is there, and lets nothing of the data be more than text."""

import base64
import csv
import hashlib
import html
import json
import re
import shutil
from pathlib import Path
from urllib.parse import unquote

import pytest

from relocation_analysis.data.study import read_study
from relocation_analysis.estimation.effects import EFFECT_COLUMNS, MAIN_ESTIMATORS
from relocation_analysis.language import speaking
from relocation_analysis.reporting.batch import driver, index
from relocation_analysis.reporting.batch.index import Headline, collect, render, underpowered
from relocation_analysis.reporting.run.placing import folder_name

HOSTILE = '<script>alert(1)</script>"&\'@style@'


def Ended(name, how, chapter="", problem=""):  # noqa: N802
    return driver.Ended(name, how, chapter, problem, home=folder_name(name))


@pytest.fixture
def study():
    return read_study("simulated").model_copy(update={"province": None})


def publish(folder: Path, province: str, estimates: dict, language="en", checks=(), withheld=0, formats=("html", "pdf")):
    """A report as far as the index reads it: estimates are outcome -> (estimate, std_error) or None where withheld."""
    home = folder / folder_name(None if province == "all" else province) / language
    home.mkdir(parents=True)
    rows = []
    for outcome, pair in estimates.items():
        numbers = dict.fromkeys(("estimate", "std_error", "conf_low", "conf_high"), "")
        if pair:
            e, s = pair
            numbers = {"estimate": repr(e), "std_error": repr(s), "conf_low": repr(e - 1.96 * s), "conf_high": repr(e + 1.96 * s)}
        rows.append(dict.fromkeys((*EFFECT_COLUMNS, "chapter"), "") | {"outcome": outcome, "chapter": "overview", "subgroup": "all",
                    "aggregation": "headline", "estimator": "callaway_santanna"} | numbers)  # fmt: skip
    rows.append(dict(rows[0]) | {"chapter": "employment", "estimate": "99"})
    write(home / "effects.csv", rows)
    write(home / "checks.csv", [{"name": f"c{i}", "passed": passed} for i, passed in enumerate(checks or ("True",))])
    if withheld:
        write(home / "disclosure.csv", [{"what": "cell"}] * withheld)
    names = [f"report.{name}" for name in formats]
    for name in (*names, "report.ipynb"):
        (home / name).write_text("x")
    digest = hashlib.sha256((home / "effects.csv").read_bytes()).hexdigest()
    (home / "run.json").write_text(json.dumps({"province": province, "outputs": {"effects.csv": digest}}))


def write(path: Path, rows: list[dict]) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, rows[0])
        table.writeheader()
        table.writerows(rows)


ESTIMATES = {"offfarm_wage": (0.0632, 0.0105), "in_school_16_18": (-0.03, 0.012), "unmet": (-0.021, 0.04)}


def page_of(study, folder, results=(), remembered=None, language="en"):
    study = study.model_copy(update={"language": language})
    with speaking(language):
        return render(collect(study, folder, language, remembered or {}, list(results)), study, folder)


def row_of(page: str, name: str) -> str:
    return next(row for row in re.findall(r"<tr class=.*?</tr>", page, re.S) if f'data-sort="{name}"' in row)


def text_of(piece: str) -> str:
    return html.unescape(re.sub(r"<[^>]*>", " ", piece)).replace("\xa0", " ")


def test_headlines_stand_with_their_intervals_and_the_drawing_has_their_numbers(study, tmp_path):
    publish(tmp_path, "guizhou", ESTIMATES)
    publish(tmp_path, "yunnan", ESTIMATES | {"offfarm_wage": (0.10, 0.02)})
    page = page_of(study, tmp_path)
    row = row_of(page, "guizhou")
    assert "6.3" in text_of(row) and "4.3 to 8.4" in text_of(row) and "99" not in text_of(row)
    # offfarm_wage: from 0 to 0.10 + 1.96 x 0.02 = 0.1392 over 140 units behind a margin of 5
    x = {name: float(value) for name, value in re.findall(r'(x1|x2)="([\d.]+)" (?:x2="[\d.]+" )?y1="9', row)[:1]}
    low = 5 + 140 * (0.0632 - 1.96 * 0.0105) / 0.1392
    centre = 5 + 140 * 0.0632 / 0.1392
    assert x["x1"] == pytest.approx(low, abs=0.06)
    assert float(re.search(r'<circle cx="([\d.]+)"', row)[1]) == pytest.approx(centre, abs=0.06)


def test_flags_say_underpowered_failed_checks_and_withheld_numbers(study, tmp_path):
    publish(tmp_path, "guizhou", ESTIMATES | {"offfarm_wage": None}, checks=("True", "False", "False", ""), withheld=3)
    row = text_of(row_of(page_of(study, tmp_path), "guizhou"))
    assert "[c]" in row and "checks that fail: 2" in row and "numbers withheld: 3" in row and "underpowered: " in row


@pytest.mark.parametrize(("error", "benchmark", "weak"), [(0.0178, 0.05, False), (0.0179, 0.05, True), (0.5, None, False)])
def test_underpowered_is_a_detectable_effect_beyond_the_benchmark(error, benchmark, weak):
    # (1.960 + 0.842) x 0.0178 = 0.0499 and x 0.0179 = 0.0502
    headline = Headline(0.3, 0.3 - 1.959964 * error, 0.3 + 1.959964 * error, error)
    assert underpowered(headline, benchmark) is weak


def test_with_few_clusters_the_detectable_effect_is_that_of_the_report():
    from scipy import stats

    q, power = stats.t.ppf(0.975, 7), stats.t.ppf(0.8, 7)
    headline = Headline(0.0, -q, q, 1.0)
    assert underpowered(headline, q + power - 1e-6) and not underpowered(headline, q + power + 1e-6)


def test_the_estimators_of_headlines_are_those_of_the_estimation():
    assert index.MAIN_ESTIMATORS == MAIN_ESTIMATORS


def test_what_changed_since_the_last_run_is_said_of_each(study, tmp_path):
    for name in ("guizhou", "yunnan", "gansu", "hebei", "anhui"):
        publish(tmp_path, name, ESTIMATES)
    rows = {row.name: row for row in collect(study, tmp_path, "en", {}, [])}
    remembered = {row.slot: row.remembered for row in rows.values() if row.name != "hebei"}
    old = dict(remembered["yunnan/en"], effects="other")
    old["estimates"] = [[o, arm, 0.05 if o == "offfarm_wage" else e] for o, arm, e in old["estimates"]]
    remembered["yunnan/en"] = old
    results = [Ended("guizhou", "unchanged"), Ended("yunnan", "done"), Ended("hebei", "done"), Ended("anhui", "done"),
               Ended("shanxi", "failed", "beta", f"cell In [3] raised {HOSTILE}")]  # fmt: skip
    page = page_of(study, tmp_path, results, remembered)
    assert "unchanged" in text_of(row_of(page, "guizhou")) and "not in this run" in text_of(row_of(page, "gansu"))
    assert "with other numbers. Before: Off-farm wage work (pp) 5.0" in text_of(row_of(page, "yunnan"))
    assert "new" in text_of(row_of(page, "hebei")) and "run again, same numbers" in text_of(row_of(page, "anhui"))
    assert f"failed : cell In [3] raised {HOSTILE}" in text_of(row_of(page, "shanxi"))
    assert "6 provinces: 1 new, 1 with other numbers, 1 run again, same numbers, 1 unchanged, 1 failed." in text_of(page)


def test_every_link_leads_to_a_file_and_every_report_is_linked(study, tmp_path):
    publish(tmp_path, "guizhou", ESTIMATES)
    publish(tmp_path, "guizhou", ESTIMATES, "zh", formats=("html", "pdf", "docx"))
    publish(tmp_path, "a/b c", ESTIMATES)
    publish(tmp_path, "all", ESTIMATES)
    shutil.copytree(tmp_path / "all", tmp_path / "%61ll")  # a province that is called so
    (tmp_path / "national/en").mkdir(parents=True)
    (tmp_path / "national/en/report.html").write_text("x")
    (tmp_path / "guizhou/en/failed.ipynb").write_text("x")
    page = page_of(study, tmp_path)
    links = {unquote(html.unescape(link)) for link in re.findall(r'href="([^"]*)"', page)}
    there = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.name.startswith(("report.", "failed")) and p.name != "report.ipynb"}
    assert links == there and len(links) == 13


def test_text_of_data_is_text(study, tmp_path):
    publish(tmp_path, HOSTILE, ESTIMATES | {HOSTILE: (0.1, 0.2)})
    page = page_of(study, tmp_path, [Ended(HOSTILE, "done")])
    assert page.count("<script>") == 1 and "alert(1)</script>" not in page
    assert html.escape(HOSTILE) in page and page.count("color-scheme") == 2


def test_the_page_asks_for_nothing_and_runs_only_its_own_script(study, tmp_path):
    publish(tmp_path, "guizhou", ESTIMATES)
    page = page_of(study, tmp_path)
    script = re.search(r"<script>(.*?)</script>", page, re.S)[1]
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{allowed}'" in page and "default-src 'none'" in page
    assert "http" not in page.replace("http-equiv", "") and "url(" not in page and "<img" not in page


def test_both_languages_show_the_same_numbers_and_no_english_is_left(study, tmp_path):
    publish(tmp_path, "guizhou", ESTIMATES, checks=("False",), withheld=2)
    results = [Ended("guizhou", "done")]
    english, chinese = (page_of(study, tmp_path, results, language=name) for name in ("en", "zh"))
    numbers = [re.findall(r'data-sort="(-?[\d.]+)"', page) for page in (english, chinese)]
    assert numbers[0] == numbers[1] and 'lang="zh-CN"' in chinese
    for word in ("Province", "Beware", "Since", "Reports", "fail", "withheld", "underpowered", "provinces", "interval", "new"):
        assert not re.search(rf"\b{word}", text_of(chinese.split("<body>")[1].split("<script>")[0])), word


def test_a_folder_without_reports_is_a_page_too(study, tmp_path):
    page = page_of(study, tmp_path, [Ended("guizhou", "failed", "", "no")])
    assert "1 provinces: 1 failed." in page and "failed" in text_of(row_of(page, "guizhou"))
