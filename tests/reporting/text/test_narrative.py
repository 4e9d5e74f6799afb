"""Sentences: whichever way an effect goes it is said in the same words, and what cannot be said is not."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from relocation_analysis.data.panel import check_panel, read_panel
from relocation_analysis.data.study import read_study
from relocation_analysis.estimation.design import build_design
from relocation_analysis.estimation.estimate import adjust_headlines, estimate
from relocation_analysis.estimation.power import design_power
from relocation_analysis.estimation.robustness import run_checks
from relocation_analysis.estimation.sensitivity import check_pretrends
from relocation_analysis.language import speaking
from relocation_analysis.reporting.exhibits.kinds import Prose
from relocation_analysis.reporting.tables.checks import tabulate_check_tables, tabulate_event_times
from relocation_analysis.reporting.tables.context import (
    tabulate_known_truth,
    tabulate_ledger,
    tabulate_programme,
    tabulate_time_account,
)
from relocation_analysis.reporting.text import narrative

MAIN = "callaway_santanna"


@pytest.fixture(scope="module")
def schooling(panel, study):
    return build_design(panel, study, ("in_school_16_18", "boards"))


@pytest.fixture(scope="module")
def schooling_effects(schooling):
    return estimate(schooling)


def with_headline(effects, outcome, **values):
    """The effects with other numbers in one headline."""
    table = effects.table.copy()
    row = (table["outcome"] == outcome) & (table["aggregation"] == "headline") & (table["subgroup"] == "all") & (table["estimator"] == MAIN)
    assert row.sum() == 1
    table.loc[row, list(values)] = list(values.values())
    return dataclasses.replace(effects, table=table)


@pytest.mark.parametrize(("estimate_", "low", "high", "said"), [
    (0.05, 0.01, 0.09, "The move **raised** enrolment at 16\\-18 by 5.0 pp (95% interval 1.0 to 9.0), a gain."),
    (-0.05, -0.09, -0.01, "The move **lowered** enrolment at 16\\-18 by 5.0 pp (95% interval 1.0 to 9.0), a loss."),
    (-0.05, -0.11, 0.01, "Whether the move changed enrolment at 16\\-18 **cannot be said**: the estimate is \u22125.0 pp "
                         "(95% interval \u221211.0 to 1.0); the chance of finding an effect of 5.0 pp was 30%."),
])  # fmt: skip
def test_a_loss_is_said_in_the_words_of_a_gain(schooling, schooling_effects, estimate_, low, high, said):
    effects = with_headline(schooling_effects, "in_school_16_18", estimate=estimate_, conf_low=low, conf_high=high, std_error=0.02)
    power = pd.DataFrame({"outcome": ["in_school_16_18"], "power": [0.30]})
    assert said in narrative.describe_answer(schooling, effects, power).markdown


def test_an_effect_of_too_few_clusters_is_given_without_an_interval(schooling, schooling_effects):
    few = {"n_clusters_treated": 4, "std_error": np.nan, "conf_low": np.nan, "conf_high": np.nan}
    effects = with_headline(schooling_effects, "in_school_16_18", **few)
    power = design_power(effects, schooling.outcomes)
    assert "too few clusters remain to say how sure that is" in narrative.describe_answer(schooling, effects, power).markdown


def test_a_domain_names_what_else_differs_from_zero_by_its_direction(schooling, schooling_effects):
    effects = with_headline(schooling_effects, "boards", estimate=-0.25, p_value=1e-9, std_error=0.02)
    effects = adjust_headlines(effects, tuple(schooling.outcomes))
    text = narrative.describe_domain(schooling, effects, design_power(effects, schooling.outcomes)).markdown
    assert "Changes that are neither: boarding (\u221225.0 pp)" in text
    assert "Gains: none. Losses: none." in text


def test_harms_are_said_or_their_absence_from_the_data_is(design, simulated_effects, schooling, schooling_effects):
    text = narrative.describe_harms(design, simulated_effects).markdown
    assert "The move **raised** debt outstanding by" in text and "a loss" in text
    assert "measures no possible harm" in narrative.describe_harms(schooling, schooling_effects).markdown


def test_the_horizon_is_the_last_exposure_with_a_comparison(design, simulated_effects):
    rows = simulated_effects.table.query("aggregation == 'event_time' and estimator == @MAIN")
    text = narrative.describe_horizon(design, simulated_effects).markdown
    assert f"until {rows['event_time'].max():g} years after the move" in text
    assert "2014 to 2021" in text


def test_trends_before_the_move_are_never_called_parallel(design, simulated_effects):
    checks = run_checks(design, simulated_effects)
    text = narrative.describe_pretrends(design, checks).markdown
    assert "not rejected" in text and "detectable with 80% power" in text and "by exposure 3" in text
    assert "passed" not in text
    verdict = narrative.describe_verdict(checks).markdown
    assert f"Of {len(checks)} checks" in verdict
    table = tabulate_check_tables(checks, "single_cohorts", design.outcomes)
    assert len(table.rows) > 3
    assert tabulate_check_tables([], "attrition", design.outcomes) == Prose("")


def test_a_study_says_that_it_is_simulated_and_about_which_province(study):
    text = narrative.describe_study(study).markdown
    assert text.startswith("**The data of this report are simulated.**")
    assert "registered movers of Guizhou" in text and "{province}" not in text


def test_the_ledger_and_the_programme_belong_to_studies_that_name_a_ledger(study):
    ledger = tabulate_ledger(study)
    text = " ".join(cell for row in ledger.rows for cell in row)
    assert "98.12" in text and "37.1% of persons" in text and "near-mechanical" in text and "no variation" in text
    programme = {row[0]: row[1] for row in tabulate_programme(study).rows}
    assert programme["Registered movers"] == "1,500,000"
    assert programme["All movers, with accompanying households"] == "1,920,000"
    other = study.model_copy(update={"ledger": None})
    assert tabulate_ledger(other) == tabulate_programme(other) == Prose("")


def test_the_table_of_event_times_holds_the_numbers_of_the_effects(design, simulated_effects):
    table = tabulate_event_times(simulated_effects, design.outcomes)
    row = simulated_effects.table.query(
        "outcome == 'offfarm_wage' and aggregation == 'event_time' and event_time == 0 and estimator == @MAIN").iloc[0]  # fmt: skip
    assert table.rows[1][1].replace("\u2212", "-") == f"{100 * row['estimate']:.1f}"


def test_the_time_account_holds_hours_and_yuan_or_says_that_there_is_none(panel, study, design, simulated_effects):
    account = build_design(panel, study, ("school_hours_saved", "school_value_saved"))
    table = tabulate_time_account(account, estimate(account))
    assert [row[1] for row in table.rows] == ["hours per year", "yuan per year"]
    assert isinstance(tabulate_time_account(design, simulated_effects), Prose)


def test_the_known_truth_is_shown_only_on_request(design, simulated_effects):
    assert tabulate_known_truth(design, simulated_effects) == Prose("")
    told = dataclasses.replace(design, study=design.study.model_copy(update={"show_truth": True}))
    assert len(tabulate_known_truth(told, simulated_effects).rows) > len(design.outcomes)


def test_girls_enrolment_set_to_minus_three_points_gives_a_negative_estimate_without_a_change_of_code():
    study = read_study("simulated", parameters={"enrolment_girls": -0.03})
    design = build_design(check_panel(read_panel(study), study), study, ("in_school_16_18",))
    effects = estimate(design)
    girls = effects.select(subgroup="sex=female", aggregation="headline").table["estimate"].iloc[0]
    helped = read_study("simulated")
    before = estimate(build_design(check_panel(read_panel(helped), helped), helped, ("in_school_16_18",)))
    assert girls < 0
    assert girls < before.select(subgroup="sex=female", aggregation="headline").table["estimate"].iloc[0] - 0.01


@pytest.mark.parametrize(("estimate_", "low", "high", "said"), [
    (0.05, 0.01, 0.09, "搬迁使16\\-18岁在学**提高**了5.0个百分点（95%区间：1.0至9.0），属改善。"),
    (-0.05, -0.09, -0.01, "搬迁使16\\-18岁在学**降低**了5.0个百分点（95%区间：1.0至9.0），属恶化。"),
    (-0.05, -0.11, 0.01, "搬迁是否改变了16\\-18岁在学**尚无法断定**：估计值为\u22125.0个百分点（95%区间：\u221211.0至1.0）；"
                         "事前发现5.0个百分点效应的概率为30%。"),
])  # fmt: skip
def test_chinese_says_gains_and_losses_with_the_same_numbers(schooling, schooling_effects, estimate_, low, high, said):
    effects = with_headline(schooling_effects, "in_school_16_18", estimate=estimate_, conf_low=low, conf_high=high, std_error=0.02)
    power = pd.DataFrame({"outcome": ["in_school_16_18"], "power": [0.30]})
    with speaking("zh"):
        text = narrative.describe_answer(schooling, effects, power).markdown
    assert text == said + "以上效应为搬迁当年及其后三年的平均。"


def test_a_withheld_effect_is_said_to_be_withheld(schooling, schooling_effects):
    effects = with_headline(schooling_effects, "in_school_16_18", n_units=9, estimate=0.7777, conf_low=0.7777, conf_high=0.7777)
    power = pd.DataFrame({"outcome": ["in_school_16_18"], "power": [0.7777]})
    for describe in (narrative.describe_answer, narrative.describe_domain):
        text = describe(schooling, effects, power).markdown
        assert "For enrolment at 16\\-18 the effect is withheld" in text and "777" not in text
    hidden = with_headline(schooling_effects, "boards", n_clusters_treated=2)
    text = narrative.describe_domain(schooling, hidden, power).markdown
    assert text.endswith("Withheld, because too few stand behind them: boarding.")
    assert "[c]" in narrative.describe_horizon(schooling, effects).markdown


def test_a_domain_harms_and_checks_speak_chinese(schooling, schooling_effects, design, simulated_effects):
    effects = with_headline(schooling_effects, "boards", estimate=-0.25, p_value=1e-9, std_error=0.02)
    effects = adjust_headlines(effects, tuple(schooling.outcomes))
    with speaking("zh"):
        domain = narrative.describe_domain(schooling, effects, design_power(effects, schooling.outcomes)).markdown
        harms = narrative.describe_harms(design, simulated_effects).markdown
        none = narrative.describe_harms(schooling, schooling_effects).markdown
        horizon = narrative.describe_horizon(design, simulated_effects).markdown
        checks = [check_pretrends(schooling, schooling_effects, "in_school_16_18")]
        trends, verdict = narrative.describe_pretrends(schooling, checks).markdown, narrative.describe_verdict(checks).markdown
    assert "无所谓好坏的变化：寄宿（\u221225.0个百分点）。" in domain and "改善：无。恶化：无。" in domain
    assert harms.startswith("可能的不利影响无论结果如何都予报告。搬迁使未偿债务**提高**了") and "千元" in harms
    assert none.startswith("本研究在这一领域没有测量任何可能的不利影响")
    assert horizon.startswith("面板数据覆盖2014至2021年。效应可以追踪到搬迁后第")
    assert trends.startswith("## 搬迁前的趋势\n\n搬迁前趋势检验未拒绝，并不证明趋势平行 [@roth2022]。")
    assert verdict.startswith("在1项检验中，")


def test_context_speaks_chinese(study, panel):
    with speaking("zh"):
        programme, ledger = tabulate_programme(study), tabulate_ledger(study)
        account = build_design(panel, study, ("school_hours_saved", "school_value_saved"))
        time = tabulate_time_account(account, estimate(account))
    assert programme.caption == "贵州省易地扶贫搬迁，2016至2020年"
    assert programme.rows[0][:2] == ("建档立卡搬迁人口", "1,500,000")
    assert len(ledger.rows) == len(tabulate_ledger(study).rows)
    assert [column.label for column in ledger.columns] == ["说法", "核算与说明", "能否检验"]
    assert [row[1] for row in time.rows] == ["小时/年", "元/年"]
