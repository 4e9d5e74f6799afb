"""Tables print the numbers of their results, negative ones as plainly as positive ones."""

import numpy as np
import pandas as pd
import pytest

from relocation_analysis.errors import InputError
from relocation_analysis.estimation.checks import Check
from relocation_analysis.estimation.effects import Effects
from relocation_analysis.language import speaking
from relocation_analysis.reporting.disclosure.release import Rule, keep
from relocation_analysis.reporting.tables.effects import (
    tabulate_aggregations,
    tabulate_estimators,
    tabulate_event_study,
    tabulate_headlines,
    tabulate_subgroups,
)
from relocation_analysis.reporting.tables.record import (
    FLOW,
    tabulate_checks,
    tabulate_flow,
    tabulate_truth,
)

POWER = pd.DataFrame({"outcome": ["offfarm_wage"], "benchmark": [0.05], "std_error": [0.015], "power": [0.914], "mde": [0.042]})


@pytest.fixture
def public():
    """Data that anybody may see: numbers are exact."""
    keep(Rule(public=True))
    yield
    keep(Rule())


def heads(table):
    return [column.label for column in table.columns]


def row_of(table, first):
    (found,) = [row for row in table.rows if row[0] == first and len(row) > 1]
    return dict(zip(heads(table), found))


def test_headlines_print_estimate_interval_and_power_in_the_unit_of_the_outcome(effects, codebook, public):
    table = tabulate_headlines(effects, codebook, POWER, {"offfarm_wage": 0.84})
    assert row_of(table, "Off-farm wage work") == {
        "Outcome": "Off-farm wage work",
        "Unit": "pp",
        "Effect": "6.0",
        "SE": "1.5",
        "95% interval": "3.1 to 8.9",
        "p": ".018",
        "Holm p": ".055",
        "Power for": "5.0: 91%",
        "Detectable": "4.2",
        "Units": "3,120",
        "Clusters": "93 / 107",
        "Covered": "84%",
    }
    assert row_of(table, "Minutes to school")["Effect"] == "\u221231.0"
    assert row_of(table, "Debt outstanding")["Power for"] == "\u2013"


def test_headlines_stand_in_the_order_of_their_roles(effects, codebook):
    rows = tabulate_headlines(effects, codebook).rows
    groups = [row[0] for row in rows if len(row) == 1]
    assert groups == [
        "Primary outcomes",
        "Secondary outcomes",
        "Possible harms",
        "Delivered change",
    ]
    assert rows[1][0] == "Off-farm wage work"


def test_one_role_has_no_heading_and_absent_power_no_columns(effects, codebook):
    table = tabulate_headlines(effects.select(outcome="unmet"), codebook)
    assert [len(row) for row in table.rows] == [len(table.columns)]
    assert "Detectable" not in heads(table) and "Covered" not in heads(table)


def test_a_negative_effect_prints_as_plainly_as_a_positive_one(effects, codebook):
    row = row_of(tabulate_headlines(effects, codebook), "Enrolment at 16-18")
    assert (row["Effect"], row["95% interval"]) == ("\u22123.0", "\u22124.5 to \u22121.5")


def test_an_effect_without_an_error_has_a_dash_and_the_note_says_why(effects, codebook):
    table = effects.table.copy()
    blank = ["std_error", "p_value", "p_adjusted", "conf_low", "conf_high", "band_low", "band_high"]
    table.loc[table["outcome"] == "unmet", blank] = np.nan
    table.loc[table["outcome"] == "unmet", "n_clusters_comparison"] = 4
    shown = tabulate_headlines(Effects(table, None, None), codebook)
    assert list(row_of(shown, "Unmet need for care").values())[2:6] == [
        "\u22122.0",
        "\u2013",
        "\u2013",
        "\u2013",
    ]
    assert "fewer than five clusters" in shown.note
    assert "fewer than five clusters" not in tabulate_headlines(effects, codebook).note


def test_estimators_are_named_in_words(effects, codebook):
    table = tabulate_estimators(effects, "offfarm_wage", codebook)
    assert table.rows[0][0] == "Group-time (Callaway and Sant\u2019Anna)"
    assert row_of(table, "Treated only, after minus before")["Effect"] == "12.0"
    assert table.caption == "Effect on off-farm wage work by estimator (percentage points)"


def test_the_event_study_table_holds_the_base_period_without_an_error(effects, codebook):
    table = tabulate_event_study(effects, "offfarm_wage", codebook)
    assert [row[0] for row in table.rows if len(row) == 1] == ["Before the move", "Since the move"]
    assert table.rows[5] == ("\u22121 (base)", "0.0", *["\u2013"] * 6)
    after = row_of(table, "3")
    assert (after["Effect"], after["95% interval"], after["95% band"]) == (
        "6.0",
        "1.7 to 10.3",
        "0.1 to 11.9",
    )


def test_aggregations_begin_with_the_headline(effects, codebook):
    rows = tabulate_aggregations(effects, "offfarm_wage", codebook).rows
    assert rows[0] == ("Overall",)
    assert rows[1][:2] == ("Headline: years 0 to 3", "6.0")
    assert len(rows) == 5


def test_subgroups_stand_under_their_outcome_with_its_unit(effects, codebook):
    table = tabulate_subgroups(effects, codebook, ["debt", "unmet"])
    assert [row[0] for row in table.rows if len(row) == 1] == [
        "Debt outstanding, thousand yuan",
        "Unmet need for care, percentage points",
    ]
    assert len(table.rows) == 2 + 2 * 10


def test_outcomes_with_the_same_flow_share_its_rows(codebook, public):
    step = ("universe", "not aged 16-59 at the first wave", 2000, 300, 61000, 7700)
    flow = pd.DataFrame(
        [("offfarm_wage", *step), ("months_worked", *step), ("unmet", *step[:2], 0, 0, 1, 1)], columns=FLOW
    )
    rows = tabulate_flow(flow, codebook).rows
    assert rows[0] == ("Off-farm wage work; Months in wage work",)
    assert rows[1] == ("Universe", "not aged 16-59 at the first wave", "2,000", "300", "61,000", "7,700")
    assert rows[2] == ("Unmet need for care",)


@pytest.mark.parametrize(
    ("p_value", "passed", "verdict"),
    [
        (0.43, True, "not rejected"),
        (0.01, False, "rejected"),
        (None, True, "holds"),
        (float("nan"), False, "fails"),
        (None, None, "informs"),
        (0.2, None, "not rejected"),
        (0.01, None, "informs"),
    ],
)
def test_a_check_says_its_verdict_in_words(codebook, p_value, passed, verdict):
    null = "The paths before the move were parallel"
    check = Check("unmet", "pre_trends", null, 12.3, p_value, passed, None, "Read on.")
    table = tabulate_checks([check], codebook)
    assert table.rows[0] == ("Trends before: the paths before the move were parallel. Read on.",)
    assert row_of(table, "Unmet need for care")["Verdict"] == verdict
    assert "passed" not in table.to_plain().lower()


def test_two_errors_agree_or_not_whatever_the_p_value_of_one(codebook):
    """Its p-value is that of the effect, not of the agreement: .051 beside a clustered error that rejects is no rejection."""
    checks = [Check(name, "wild_bootstrap", "They agree", 2.2, p, agree, None, "Drawn.") for name, p, agree in (("unmet", 0.051, False), ("debt", 0.009, True))]
    assert [row[-1] for row in tabulate_checks(checks, codebook).rows if len(row) > 1] == ["fails", "holds"]


def test_notes_that_differ_within_a_group_stand_in_their_rows(codebook):
    checks = [Check(o, "power", "It is found.", 0.914, None, True, None, o) for o in ("unmet", "debt")]
    table = tabulate_checks(
        [*checks, Check("", "balance", "They are alike", None, None, None, None, "A")], codebook
    )
    assert table.rows == (
        ("Power: it is found.",),
        ("Unmet need for care", "91%", "\u2013", "holds", "unmet"),
        ("Debt outstanding", "91%", "\u2013", "holds", "debt"),
        ("Balance at the first wave: they are alike. A",),
        ("The design", "\u2013", "\u2013", "informs", ""),
    )


def test_the_truth_stands_beside_the_estimate_of_the_same_cells(effects, codebook):
    table = effects.table.assign(estimator="callaway_santanna")
    keys = [
        ("headline", np.nan, 0.05),
        ("event_time", -2.0, 0.0),
        ("event_time", 3.0, 0.2),
        ("event_time", 99.0, 1.0),
    ]
    truth = pd.DataFrame(keys, columns=["aggregation", "event_time", "truth"])
    truth = truth.assign(outcome="offfarm_wage", subgroup="all")
    chosen = table[(table["aggregation"] == "event_time") | (table["aggregation"] == "headline")]
    chosen = chosen.drop_duplicates(["outcome", "subgroup", "aggregation", "event_time"])
    shown = tabulate_truth(Effects(chosen, None, None), truth, codebook)
    assert shown.rows == (
        ("Off-farm wage work, percentage points",),
        ("Headline: years 0 to 3", "5.0", "6.0", "3.1 to 8.9", "1.0", "yes"),
        ("Three years after", "20.0", "6.0", "1.7 to 10.3", "\u221214.0", "no"),
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda e, c: tabulate_estimators(e, "unmett", c), "write 'unmet'"),
        (lambda e, c: tabulate_headlines(e.select(estimator="twfe"), c), "estimator = ('callaway_santanna'"),
        (lambda e, c: tabulate_event_study(e, "unmet", c, estimator="twfe"), "none of its"),
        (
            lambda e, c: tabulate_headlines(e, {k: v for k, v in c.items() if k != "unmet"}),
            "'unmet' is not one of",
        ),
        (lambda e, c: tabulate_flow(pd.DataFrame(columns=FLOW), c), "it has no rows"),
    ],
)
def test_a_table_without_its_data_says_what_is_missing(effects, codebook, make, message):
    with pytest.raises(InputError) as error:
        make(effects, codebook)
    assert message in str(error.value)


def test_no_table_changes_the_effects_it_is_given(effects, codebook):
    before = effects.table.copy()
    tabulate_headlines(effects, codebook)
    tabulate_event_study(effects, "unmet", codebook)
    pd.testing.assert_frame_equal(effects.table, before)


def test_counts_are_rounded_and_the_note_says_so_once(effects, codebook, public):
    assert "rounded" not in tabulate_headlines(effects, codebook).note
    keep(Rule())
    table = tabulate_headlines(effects, codebook, POWER, {"offfarm_wage": 0.84})
    assert row_of(table, "Off-farm wage work")["Clusters"] == "95 / 105"
    assert table.note.count("Counts are rounded to 5.") == 1
    assert "[c]" not in table.to_plain() + table.note


def with_few(effects, units=3000, clusters=90, **equal):
    """The effects with few units or clusters behind the rows that are named."""
    table = effects.table.copy()
    few = np.logical_and.reduce([table[column] == value for column, value in equal.items()])
    assert few.any()
    table.loc[few, ["n_units", "n_clusters_comparison"]] = units, clusters
    return Effects(table, None, None)


@pytest.mark.parametrize("few", [{"units": 9}, {"clusters": 2}])
def test_a_withheld_effect_has_no_number_and_the_note_says_why(effects, codebook, few):
    table = tabulate_headlines(with_few(effects, outcome="unmet", **few), codebook, POWER, {"unmet": 0.5, "debt": 0.5})
    row = row_of(table, "Unmet need for care")
    assert set(list(row.values())[2:]) == {"[c]"}
    assert "[c]: withheld, because fewer than 10 units or 3 clusters on a side stand behind it" in table.note
    assert row_of(table, "Debt outstanding")["Effect"] == "1.80"


def test_an_effect_of_exactly_the_threshold_is_shown(effects, codebook):
    table = tabulate_headlines(with_few(effects, units=10, clusters=3, outcome="unmet"), codebook)
    row = row_of(table, "Unmet need for care")
    assert (row["Effect"], row["Units"], row["Clusters"]) == ("\u22122.0", "10", "95 / 5")


def test_a_coverage_that_a_few_miss_is_withheld_and_one_that_none_miss_is_not(effects, codebook):
    coverage = {"unmet": 1.0, "debt": 0.998, "offfarm_wage": 0.9, "school_minutes": float("nan")}
    table = tabulate_headlines(effects, codebook, coverage=coverage)
    labels = ("Unmet need for care", "Debt outstanding", "Off-farm wage work", "Minutes to school", "Enrolment at 16-18")
    assert [row_of(table, label)["Covered"] for label in labels] == ["100%", "[c]", "90%", "\u2013", "\u2013"]


def test_the_base_period_is_about_nobody_and_stays(effects, codebook):
    table = effects.table.copy()
    base = (table["event_time"] == -1) & table["std_error"].isna()
    table.loc[base, ["n_units", "n_clusters_treated", "n_clusters_comparison"]] = 0
    shown = tabulate_event_study(Effects(table, None, None), "offfarm_wage", codebook)
    assert shown.rows[5] == ("\u22121 (base)", "0.0", *["\u2013"] * 6)


def test_a_flow_withholds_small_counts_and_the_file_drops_nobody(codebook):
    rows = [("unmet", "file", "rows", 0, 0, 61003, 7702), ("unmet", "universe", "aged", 12, 3, 60991, 7699)]
    table = tabulate_flow(pd.DataFrame(rows, columns=FLOW), codebook)
    assert table.rows[1:] == (("File", "rows", "0", "0", "61,005", "7,700"), ("Universe", "aged", "[c]", "[c]", "60,990", "7,700"))
    assert "a count below 10" in table.note


def test_a_number_of_a_check_that_is_not_released_is_withheld(codebook, monkeypatch):
    check = Check("unmet", "pre_trends", "They moved alike", 12.3, 0.4, None, None, "Read on.")
    hidden = Check("unmet", "pre_trends", "They moved alike", None, None, None, None, "Read on.")
    monkeypatch.setattr("relocation_analysis.reporting.disclosure.release.release_checks", lambda checks: [hidden])
    row = row_of(tabulate_checks([check], codebook), "Unmet need for care")
    assert (row["Statistic"], row["p"]) == ("[c]", "[c]")


def test_the_truth_of_a_withheld_effect_is_withheld(effects, codebook):
    truth = pd.DataFrame({"outcome": ["unmet", "debt"], "subgroup": "all", "aggregation": "headline", "event_time": np.nan,
                          "truth": [0.123, 2.0]})  # fmt: skip
    kept = effects.select(subgroup="all", aggregation="headline", estimator="callaway_santanna", outcome=["unmet", "debt"])
    shown = tabulate_truth(with_few(kept, units=4, outcome="unmet"), truth, codebook)
    (hidden,) = [row for row in shown.rows if "[c]" in row]
    assert hidden[1:] == ("[c]",) * 5
    assert "12.3" not in shown.to_plain() and "2.00" in shown.to_plain()


def test_tables_speak_chinese_with_the_same_numbers(effects, codebook):
    english = tabulate_headlines(effects, codebook, POWER, {"offfarm_wage": 0.84})
    with speaking("zh"):
        table = tabulate_headlines(effects, codebook, POWER, {"offfarm_wage": 0.84})
    assert heads(table) == [
        "结果变量", "单位", "效应", "标准误", "95%区间", "p值", "Holm p值", "功效", "可检测效应", "单位数", "聚类数", "覆盖率"]  # fmt: skip
    assert row_of(table, "非农工资性就业") == {
        "结果变量": "非农工资性就业", "单位": "百分点", "效应": "6.0", "标准误": "1.5", "95%区间": "3.1至8.9", "p值": ".018",
        "Holm p值": ".055", "功效": "5.0：91%", "可检测效应": "4.2", "单位数": "3,120", "聚类数": "95 / 105", "覆盖率": "84%",
    }  # fmt: skip
    assert table.caption == "核心效应（第0至3年均值）"
    assert table.note.endswith("计数按5的倍数取整。") and " 计数" not in table.note
    assert len(table.rows) == len(english.rows)


def test_captions_and_headings_speak_chinese(effects, codebook):
    with speaking("zh"):
        event = tabulate_event_study(effects, "offfarm_wage", codebook)
        estimators = tabulate_estimators(effects, "offfarm_wage", codebook)
        averages = tabulate_aggregations(effects, "offfarm_wage", codebook)
        subgroups = tabulate_subgroups(effects, codebook, ["debt"])
        check = Check("unmet", "pre_trends", "搬迁前趋势平行。", 12.3, 0.43, True, None, "请继续阅读。")
        checks = tabulate_checks([check], codebook)
        flow = tabulate_flow(pd.DataFrame([("", "missing", "原因", 20, 20, 30, 30)], columns=FLOW), codebook)
    assert event.caption == "按搬迁后年数，对非农工资性就业的效应（百分点）"
    assert [row[0] for row in event.rows if len(row) == 1] == ["搬迁前", "搬迁后"] and event.rows[5][0] == "\u22121（基期）"
    assert estimators.caption == "不同估计量下对非农工资性就业的效应（百分点）"
    assert estimators.rows[-1][0] == "末轮调查，处理组减未处理组"
    assert averages.rows[:2] == (("总体",), ("核心效应：第0至3年", *averages.rows[1][1:]))
    assert subgroups.rows[0] == ("未偿债务（千元）",) and subgroups.rows[2][0] == "女性"
    assert checks.rows == (("事前趋势：搬迁前趋势平行。请继续阅读。",), ("未满足的就医需求", "12.3", ".430", "未拒绝"))
    assert flow.rows == (("全部结果变量",), ("缺失", "原因", "20", "20", "30", "30"))


def test_the_heads_of_chinese_tables_are_short(effects, codebook):
    with speaking("zh"):
        tables = [tabulate_headlines(effects, codebook, POWER, {"debt": 1.0}), tabulate_event_study(effects, "debt", codebook),
                  tabulate_estimators(effects, "debt", codebook), tabulate_aggregations(effects, "debt", codebook)]  # fmt: skip
    assert max(len(label) for table in tables for label in heads(table)) <= 7
