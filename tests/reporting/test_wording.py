"""Numbers and names as they are printed."""

import math

import pytest

from relocation_analysis.reporting import wording

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
