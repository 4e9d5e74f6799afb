"""What is shown for one kind of design and not for another."""

import dataclasses
import re

import numpy as np
import pandas as pd
import pytest

from relocation_analysis.data.panel import check_panel, read_panel
from relocation_analysis.data.study import Translation, read_study
from relocation_analysis.estimation.design import build_design
from relocation_analysis.estimation.estimate import estimate
from relocation_analysis.language import read_catalogue, speaking
from relocation_analysis.reporting import sections
from relocation_analysis.reporting.disclosure.release import Rule, keep
from relocation_analysis.reporting.exhibits.kinds import Prose

OFFER = """
name = "own"
title = "Own"
subgroups = []
[data]
path = "panel.csv"
[design]
kind = "offer"
strata = ["county"]
assigned = "cluster"
base_arm = "control"
"""


@pytest.fixture(scope="module")
def offer(tmp_path_factory):
    folder, draw = tmp_path_factory.mktemp("offer"), np.random.default_rng(3)
    village = np.repeat(np.arange(90), 8)
    arm = np.array(["control", "cash", "credit"])[village % 3]
    moved = (draw.random(len(village)) < np.where(arm == "control", 0.2, 0.6)).astype(int)
    frame = pd.DataFrame({"person": range(len(village)), "village": village, "county": village // 30, "age": 30, "arm": arm, "relocated": moved,
                          "offered": (arm != "control").astype(int), "months_worked": np.clip(4 + 2 * moved + draw.normal(size=len(village)), 0, 12)})  # fmt: skip
    frame.to_csv(folder / "panel.csv", index=False)
    (folder / "own.toml").write_text(OFFER, encoding="utf-8")
    study = read_study(folder / "own.toml")
    design = build_design(check_panel(read_panel(study), study), study)
    return design, estimate(design)


def test_only_shows_nothing_for_another_kind_of_design(offer, design):
    assert sections.only(design, "offer", sections.describe_estimand, design) == Prose("")
    assert "lot within strata" in sections.only(offer[0], "offer comparison", sections.describe_estimand, offer[0]).markdown


def test_take_up_is_given_by_arm(offer):
    rows = {row[0]: row[1:] for row in sections.tabulate_take_up(offer[0]).rows}
    assert set(rows) == {"control", "cash", "credit", "Effect of the offer", "Effect of the offer, within strata"}
    assert rows["control"][0] == "no" and rows["cash"][0] == "yes" and rows["cash"][1] == "240"


def test_arms_and_columns_are_called_what_the_study_calls_them(offer):
    design, effects = offer
    words = {"labels": {"cash": "Money", "control": "Nothing"}, "translation": {"zh": Translation(labels={"cash": "现金"})}}
    named = dataclasses.replace(design, study=design.study.model_copy(update=words))
    assert {"Money", "Nothing", "credit"} <= {row[0] for row in sections.tabulate_take_up(named).rows}
    arms = sections.tabulate_arms(named, effects, "x")
    assert arms.caption == "Effect of each arm against Nothing" and arms.rows[1][0] == "Money"
    chinese = named.study.model_copy(update={"language": "zh"})
    assert chinese.say_label("cash") == "现金" and chinese.say_label("control") == "Nothing" and chinese.say_label("age") == ""


def test_arms_and_the_effect_on_those_moved_hold_the_numbers_of_the_effects(offer):
    design, effects = offer
    arms = sections.tabulate_arms(design, effects, "x")
    cash = effects.select(arm="cash", estimand="itt").table.iloc[0]
    assert {row[0]: row[1] for row in arms.rows if len(row) > 1}["cash"] == f"{cash['estimate']:.2f}"
    late = sections.tabulate_late(design, effects, "x").rows[0]
    row = effects.select(estimator="tsls").table.iloc[0]
    assert late[3] == f"{row['estimate']:.2f}"
    assert abs(row["estimate"] - 2) < 4 * row["std_error"]


def test_a_design_without_arms_or_take_up_says_so_or_shows_nothing(design, simulated_effects, offer):
    assert sections.tabulate_arms(design, simulated_effects, "x") == Prose("")
    assert sections.tabulate_late(design, simulated_effects, "x") == Prose("")
    assert sections.head_subgroups(offer[0]) == Prose("")


@pytest.fixture
def public():
    keep(Rule(public=True))
    yield
    keep(Rule())


def test_where_movers_went_is_described_and_sums_to_all(design, public):
    table = sections.tabulate_versions(design)
    shares = [float(row[1].rstrip("%")) for row in table.rows]
    assert 98 <= sum(shares) <= 102
    assert "not ranked" in table.note


def test_errors_stand_side_by_side_for_each_level(design):
    table = sections.show_errors(design, ("offfarm_wage",))
    assert [row[0] for row in table.rows] == ["Off-farm wage work (percentage points)", "Village", "Site", "County"]
    assert len({row[1] for row in table.rows[1:]}) == 1


def test_a_kind_of_site_with_few_movers_is_withheld_with_the_next_one(design):
    panel = design.panel.copy()
    last = panel["time"].eq(design.times[-1]) & panel["site"].notna()
    kinds = np.array(["urban_centralised", "rural_centralised", "dispersed"])
    panel["site_type"] = panel["site_type"].astype(object)
    panel.loc[last, "site_type"] = kinds[np.minimum(np.arange(last.sum()) // 7, 2)]  # seven, seven and all others
    table = sections.tabulate_versions(dataclasses.replace(design, panel=panel))
    assert {row[0]: row[1] == "[c]" for row in table.rows} == {"Urban site": True, "Rural site": True, "Dispersed resettlement": False}
    panel.loc[last, "site_type"] = kinds[np.minimum(np.arange(last.sum()) // 7, 1)]
    table = sections.tabulate_versions(dataclasses.replace(design, panel=panel))
    assert [row[1] for row in table.rows] == ["[c]", "[c]"]


@pytest.mark.parametrize("texts", [sections.ESTIMAND, sections.ESTIMATORS])
@pytest.mark.parametrize("kind", ["rollout", "offer", "comparison"])
def test_the_chinese_text_has_the_same_equations_and_citations(texts, kind):
    english, chinese = texts[kind], read_catalogue("zh")[texts[kind]]
    equations = [sorted(re.findall(r"\$\$.*?\$\$", text, re.S)) for text in (english, chinese)]
    assert equations[0] == equations[1] and len(equations[0]) == (0 if texts is sections.ESTIMATORS else 2 if kind == "offer" else 1)
    symbols = [set(re.findall(r"(?<!\$)\$([^$]+)\$(?!\$)", text)) for text in (english, chinese)]
    assert symbols[0] == symbols[1]
    keys = [re.findall(r"@\w+", text) for text in (english, chinese)]
    assert keys[0] == keys[1]
    assert [len(text.split("\n\n")) for text in (english, chinese)] == [english.count("\n\n") + 1] * 2
    assert "\n" not in chinese.replace("\n\n", "")  # a line break inside a paragraph would print as a space


def test_the_tables_of_an_offer_speak_chinese_with_the_same_numbers(offer):
    design, effects = offer
    english = [sections.tabulate_take_up(design), sections.tabulate_arms(design, effects, "x"), sections.tabulate_late(design, effects, "x")]
    with speaking("zh"):
        take_up, arms, late = sections.tabulate_take_up(design), sections.tabulate_arms(design, effects, "x"), sections.tabulate_late(design, effects, "x")
        assert sections.head_subgroups(dataclasses.replace(design, subgroups=("sex",))).markdown == "## 分亚组"
    assert take_up.rows[-1][0] == "机会的效应，层内" and "个百分点（" in take_up.rows[-1][3]
    assert arms.caption == "各试验组相对于control的效应" and arms.rows[0] == ("全年务工月数（个月/年）",)
    assert [column.label for column in late.columns][2:] == ["第一阶段（百分点）", "效应", "标准误", "95%区间", "Anderson-Rubin", "单位数"]
    for one, other in zip(english, (take_up, arms, late), strict=True):
        assert re.findall(r"\d[\d.,]*", repr(one.rows)) == re.findall(r"\d[\d.,]*", repr(other.rows))
