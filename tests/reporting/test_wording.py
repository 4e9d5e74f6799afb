"""Numbers and names as they are printed."""

import ast
import math
from typing import get_args

import pytest

from relocation_analysis.data.codebook import Outcome
from relocation_analysis.data.study import DesignSettings, list_studies, read_study
from relocation_analysis.estimation.design import FLOW_COLUMNS
from relocation_analysis.estimation.effects import MAIN_ESTIMATORS
from relocation_analysis.estimation.estimate import ALL_AGGREGATIONS
from relocation_analysis.language import read_catalogue, speaking
from relocation_analysis.paths import ROOT
from relocation_analysis.reporting import names, wording

NAN = math.nan


@pytest.mark.parametrize(
    ("value", "unit", "number", "amount"),
    [
        (0.064, "share", "6.4", "6.4 pp"),
        (-0.064, "share", "\u22126.4", "\u22126.4 pp"),
        (-0.0004, "share", "0.0", "0.0 pp"),
        (0.00049, "share", "0.0", "0.0 pp"),
        (-31.04, "minutes", "\u221231.0", "\u221231.0 min"),
        (1240.4, "yuan per year", "1,240", "1,240 yuan per year"),
        (-1240.6, "yuan per head and month", "\u22121,241", "\u22121,241 yuan per head and month"),
        (1.8, "thousand yuan", "1.80", "1.80 thousand yuan"),
        (0.0825, "log points", "0.083", "0.083 log points"),
        (-0.208, "SD", "\u22120.21", "\u22120.21 SD"),
        (2.5, "hours per week", "2.5", "2.5 hours per week"),
        (12.345, "tons", "12.3", "12.3 tons"),
        (0.000123, "", "0.000123", "0.000123"),
        (12345.6, "", "12,346", "12,346"),
        (0.0, "", "0.00", "0.00"),
        (NAN, "share", "\u2013", "\u2013"),
        (None, "", "\u2013", "\u2013"),
        (math.inf, "yuan", "\u2013", "\u2013"),
    ],
)
def test_a_number_is_printed_in_its_unit(value, unit, number, amount):
    assert wording.format_number(value, unit) == number
    assert wording.format_amount(value, unit) == amount


@pytest.mark.parametrize(
    ("p", "column"),
    [
        (0.0431, ".043"),
        (0.0009999, "<\u2009.001"),
        (0.0, "<\u2009.001"),
        (0.001, ".001"),
        (1.0, "1.000"),
        (NAN, "\u2013"),
        (None, "\u2013"),
    ],
)
def test_a_p_value_has_three_places_and_no_zero_in_front(p, column):
    assert wording.format_p(p) == column


def test_an_interval_and_an_estimate_are_printed_together():
    assert wording.format_interval(-0.012, 0.034, "share") == "\u22121.2 to 3.4"
    assert wording.format_interval(NAN, 0.034, "share") == "\u2013"
    assert wording.format_estimate(0.064, 0.04, 0.088, "share") == "6.4 pp (95% interval 4.0 to 8.8)"
    assert wording.format_estimate(0.064, NAN, NAN, "share") == "6.4 pp"


@pytest.mark.parametrize(
    ("check", "value", "unit", "text"),
    [
        ("base_period", 0.004, "share", "0.4 pp"),
        ("single_cohorts", -413.2, "yuan per year", "\u2212413 yuan per year"),
        ("attrition", 0.0019, "", "0.2 pp"),
        ("coverage", 0.911, "minutes", "91%"),
        ("pre_trends", 2.0612, "minutes", "2.06"),
        ("few_clusters", 136.0, "", "136"),
        ("composition", None, "share", "\u2013"),
    ],
)
def test_the_statistic_of_a_check_is_printed_in_its_own_unit(check, value, unit, text):
    assert wording.format_statistic(check, value, unit) == text


def test_a_level_of_a_share_is_a_per_cent_and_its_effect_percentage_points():
    assert wording.format_level(0.634, "share") == "63.4%"
    assert wording.format_level(90.0, "minutes") == "90.0 min"
    assert wording.label_unit("share") == "percentage points"
    assert wording.label_unit("share", level=True) == "%"
    assert (
        wording.label_axis("Off-farm wage work", "share") == "Effect on off-farm wage work, percentage points"
    )
    assert wording.label_axis("GDP", "") == "Effect on GDP"


@pytest.mark.parametrize(
    ("subgroup", "label"),
    [
        ("all", "Everyone"),
        ("sex=female", "Female"),
        ("age_band=16-29", "16\u201329 years"),
        ("age_band=60+", "60+ years"),
        ("remote=near", "Less remote village"),
        ("region=north_west", "North west"),
    ],
)
def test_a_subgroup_is_named_in_words(subgroup, label):
    assert wording.label_subgroup(subgroup) == label


def test_exposures_and_counts_are_said_in_words():
    said = [wording.say_exposure(e) for e in (-2.0, -1.0, 0.0, 1.0, 12.0)]
    assert said == [
        "two years before",
        "one year before",
        "in the year of the move",
        "one year after",
        "12 years after",
    ]
    assert [wording.say_part(k, 4) for k in (0, 2, 4)] == [
        "none of the four",
        "two of the four",
        "all of the four",
    ]


def test_every_role_of_the_codebook_has_a_label(codebook):
    for outcome in codebook.values():
        assert outcome.role in wording.ROLES


@pytest.fixture
def chinese():
    with speaking("zh"):
        yield


@pytest.mark.parametrize(
    ("value", "unit", "amount"),
    [
        (0.064, "share", "6.4个百分点"),
        (-31.04, "minutes", "\u221231.0分钟"),
        (1240.4, "yuan per year", "1,240元/年"),
        (-1240.6, "yuan per head and month", "\u22121,241元/(人\u00b7月)"),
        (1.8, "thousand yuan", "1.80千元"),
        (0.0825, "log points", "0.083对数点"),
        (-0.208, "SD", "\u22120.21个标准差"),
        (2.5, "hours per week", "2.5小时/周"),
        (68.3594, "taka per head and month@3", "68.359塔卡/(人\u00b7月)"),
        (12.345, "tons", "12.3 tons"),
        (3.0, "yuan per plot", "3元 per plot"),
        (NAN, "share", "\u2013"),
    ],
)
def test_a_chinese_unit_follows_its_number_without_a_space_and_an_unknown_one_with(chinese, value, unit, amount):
    assert wording.format_amount(value, unit) == amount


def test_a_number_has_the_same_digits_in_both_languages(chinese):
    assert wording.format_interval(-0.012, 0.034, "share") == "\u22121.2至3.4"
    assert wording.format_estimate(0.064, 0.04, 0.088, "share") == "6.4个百分点（95%区间：4.0至8.8）"
    assert wording.format_level(0.634, "share") == "63.4%"
    assert wording.format_p(0.0431) == ".043"
    assert wording.label_axis("工资", "share") == "对工资的效应（百分点）"
    assert (wording.label_narrow_unit("share"), wording.label_plain_unit("share")) == ("百分点", "个百分点")


def test_chinese_counts_are_figures_and_years_are_ordinal(chinese):
    assert [wording.say_exposure(e) for e in (-2.0, -1.0, 0.0, 1.0, 12.0)] == [
        "搬迁前第2年", "搬迁前第1年", "搬迁当年",
        "搬迁后第1年", "搬迁后第12年",
    ]  # fmt: skip
    assert [wording.say_count(n) for n in (0, 3, 12)] == ["0", "3", "12"]
    assert [wording.say_part(k, 4) for k in (0, 2, 4)] == ["0个（共4个）", "2个（共4个）", "全部4个"]


def test_only_english_makes_the_first_letter_of_a_label_small():
    assert wording.in_sentence("Wage work") == "wage work" and wording.in_sentence("GDP") == "GDP"
    with speaking("zh"):
        assert wording.in_sentence("Wage work") == "Wage work"


def test_a_name_of_a_file_without_a_translation_passes_as_it_is(chinese):
    assert wording.label_subgroup("region=north_west") == "North west"
    assert wording.label_subgroup("age_band=16-29") == "16\u201329岁" and wording.label_subgroup("age_band=60+") == "60岁及以上"
    assert wording.label_check("my_own_check") == "My own check"


@pytest.mark.parametrize("words", [names.ROLES, names.ESTIMATORS, names.AGGREGATIONS, names.COVARIATES, names.LEVELS, names.CHECKS, names.STEPS,
                                   names.KINDS_OF_UNIT, names.VERDICTS])  # fmt: skip
def test_every_name_has_a_chinese_text(words):
    missing = [text for text in words.values() if not any("\u4e00" <= c for c in read_catalogue("zh").get(text, ""))]
    assert missing == []


def test_every_unit_of_the_codebook_and_of_the_studies_has_a_chinese_text(codebook, chinese):
    outcomes = [*codebook.values(), *(about for study in list_studies() for about in read_study(study).codebook.values())]
    units = {about.unit for about in outcomes}
    assert len(units) > 12
    assert {unit for unit in units if any("a" <= c <= "z" for c in wording.label_unit(unit))} == set()


def test_every_role_and_kind_of_unit_that_an_outcome_can_have_has_a_name():
    fields = Outcome.model_fields
    assert set(get_args(fields["role"].annotation)) == set(names.ROLES)
    assert set(get_args(fields["level"].annotation)) <= set(names.KINDS_OF_UNIT)


def check_names():
    """The second argument of every call of `Check` in the estimation room, where it is written out."""
    for path in (ROOT / "relocation_analysis" / "estimation").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Check" and isinstance(node.args[1], ast.Constant):
                yield node.args[1].value


def test_every_check_estimator_and_average_that_the_code_makes_has_a_name():
    found = set(check_names())
    assert len(found) > 15
    clusters = get_args(DesignSettings.model_fields["cluster"].annotation)
    assert found | {f"leave_one_{level}_out" for level in clusters} <= set(names.CHECKS)
    assert set(MAIN_ESTIMATORS) <= set(names.ESTIMATORS) and set(ALL_AGGREGATIONS) == set(names.AGGREGATIONS)


def test_every_step_of_a_flow_has_a_name(design):
    assert set(design.flow[FLOW_COLUMNS[1]]) <= set(names.STEPS)
