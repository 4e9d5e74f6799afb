"""What an exhibit may show: a withheld number stands in none of its forms."""

import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from relocation_analysis.data.codebook import read_codebook
from relocation_analysis.data.study import DesignSettings, Study
from relocation_analysis.estimation.checks import Check
from relocation_analysis.estimation.effects import EFFECT_COLUMNS, Effects
from relocation_analysis.language import speaking
from relocation_analysis.reporting import sections, wording
from relocation_analysis.reporting.disclosure import release
from relocation_analysis.reporting.disclosure.release import NUMBERS, Rule, keep
from relocation_analysis.reporting.exhibits import selection
from relocation_analysis.reporting.tables import checks as check_tables
from relocation_analysis.reporting.tables import context, record
from relocation_analysis.reporting.tables import effects as tables
from relocation_analysis.reporting.text import narrative

BOOK = read_codebook()
SECRET = 7777  # every number behind a withheld row is printed with these digits, whatever its unit


@pytest.fixture
def public():
    keep(Rule(public=True))
    yield
    keep(Rule())


def hide(table, few, seed):
    """Effects of which the rows `few` have 9 units or 2 clusters, and only numbers that print as `SECRET`."""
    table, draw = table.copy(), np.random.default_rng(seed)
    scale = table["outcome"].map(lambda name: wording.find_unit(BOOK[name].print_unit).scale)
    table[NUMBERS] = table[NUMBERS].astype(float)
    for column in NUMBERS:
        table.loc[few, column] = 0.7777 if column.startswith("p_") else SECRET / scale[few]
    counts = ["n_units", "n_clusters_treated", "n_clusters_comparison"]
    table.loc[few, counts] = SECRET
    which = draw.integers(0, 3, few.sum())
    for k, column in enumerate(counts):
        table.loc[few.index[few][which == k], column] = 9 if k == 0 else 2
    return Effects(table, None, None)


def everything_said(exhibit):
    """All forms of an exhibit, without signs that group digits."""
    return json.dumps(exhibit._repr_mimebundle_(), ensure_ascii=False).replace(",", "").replace("\u2008", "").replace("\u2007", "")


@pytest.fixture(scope="module", params=range(3))
def hidden(request, effects):
    """Effects of a rollout on two outcomes with a third of the rows to be withheld, others each time, the base period apart."""
    table = effects.select(outcome=["unmet", "debt"], estimator=["callaway_santanna", "callaway_santanna_universal"]).table
    few = pd.Series(np.random.default_rng(request.param).random(len(table)) < 1 / 3) & ~selection.is_reference(table)
    first = few.copy()
    first[table.index[(table["outcome"] == "unmet") & (table["aggregation"] == "headline")]] = True
    return hide(table, first, request.param)


TABLES = {
    "headlines": lambda e, c: tables.tabulate_headlines(
        e, c, pd.DataFrame({"outcome": ["unmet"], "benchmark": 0.02, "std_error": 77.77, "power": 0.7777, "mde": 77.77}), {"unmet": 0.7777}),
    "estimators": lambda e, c: tables.tabulate_estimators(e, "unmet", c),
    "event_study": lambda e, c: tables.tabulate_event_study(e, "unmet", c),
    "aggregations": lambda e, c: tables.tabulate_aggregations(e, "unmet", c),
    "subgroups": lambda e, c: tables.tabulate_subgroups(e, c),
    "event_times": lambda e, c: check_tables.tabulate_event_times(
        Effects(e.table.assign(estimator="callaway_santanna"), None, None), c),
    "truth": lambda e, c: record.tabulate_truth(
        e, e.table.query("estimator == 'callaway_santanna' and subgroup == 'all' and aggregation == 'headline'")
        [["outcome", "subgroup", "aggregation", "event_time"]].assign(truth=lambda t: np.where(t["outcome"] == "unmet", 77.77, 0.5)), c),
    "time_account": lambda e, c: context.tabulate_time_account(
        SimpleNamespace(outcomes={"unmet": c["unmet"].model_copy(update={"role": "time_account"})}), e),
    "answer": lambda e, c: narrative.describe_answer(design_of(c), e, pd.DataFrame({"outcome": ["unmet"], "power": [0.7777]})),
    "domain": lambda e, c: narrative.describe_domain(design_of(c), e, pd.DataFrame({"outcome": ["unmet"], "power": [0.7777]})),
    "harms": lambda e, c: narrative.describe_harms(
        design_of({name: about.model_copy(update={"role": "adverse"}) for name, about in c.items()}), e),
}  # fmt: skip


def design_of(codebook):
    return SimpleNamespace(kind="rollout", outcomes=codebook)


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("name", TABLES)
def test_a_withheld_number_stands_in_no_form_of_an_exhibit(hidden, codebook, name, language):
    with speaking(language):
        text = everything_said(TABLES[name](hidden, codebook))
    assert "777" not in text
    assert "[c]" in text or "withheld" in text.lower() or "不予披露" in text


@pytest.mark.parametrize("name", TABLES)
def test_the_same_exhibit_of_public_data_has_the_number(hidden, codebook, public, name):
    assert "777" in everything_said(TABLES[name](hidden, codebook))


def offer_effects():
    """An offer with two arms: the offer, each arm, the first stage and the effect on those moved; the arm `cash` of few."""
    rows = []
    for estimand, arm, estimator in (("itt", "", "ols_strata"), ("itt", "cash", "ols_strata"), ("itt", "loan", "ols_strata"),
                                     ("first_stage", "", "ols_strata"), ("late", "", "tsls"), ("late", "", "anderson_rubin")):  # fmt: skip
        rows.append({"outcome": "debt", "domain": "employment", "subgroup": "all", "estimator": estimator, "estimand": estimand,
                     "aggregation": "headline" if (estimand, arm) == ("itt", "") else "", "arm": arm, "estimate": 1.5, "std_error": 0.5,
                     "p_value": 0.01, "conf_low": 0.5, "conf_high": 2.5, "n_units": 400, "n_clusters_treated": 40,
                     "n_clusters_comparison": 40})  # fmt: skip
    return pd.DataFrame(rows).reindex(columns=EFFECT_COLUMNS)


@pytest.mark.parametrize("row", ["cash", "first_stage", "tsls", "anderson_rubin"])
def test_an_arm_or_a_part_of_the_effect_on_those_moved_of_few_is_withheld(codebook, row):
    table = offer_effects()
    design = SimpleNamespace(outcomes=codebook, study=Study.model_construct(design=DesignSettings(base_arm="control")))
    few = table[["arm", "estimand", "estimator"]].eq(row).any(axis=1)
    hidden = hide(table, few, 1)
    show = sections.tabulate_arms if row == "cash" else sections.tabulate_late
    exhibit = show(design, hidden, "x")
    assert "777" not in everything_said(exhibit) and "[c]" in exhibit.to_plain()
    assert "fewer than 10 units or 3 clusters" in exhibit.note
    keep(Rule(public=True))
    assert "777" in everything_said(show(design, hidden, "x"))
    keep(Rule())


def test_errors_at_other_levels_are_withheld_with_the_headline(codebook):
    numbers = {"estimate": 77.77, "std_error": 77.77, "se_type": "", "p_value": 0.777, "conf_low": 77.77, "conf_high": 77.77}
    rows = [{"level": level, **numbers, "n_units": n, "n_clusters_treated": 40, "n_clusters_comparison": 4}
            for level, n in (("village", 9), ("county", 9))]  # fmt: skip
    table = check_tables.tabulate_errors({"unmet": pd.DataFrame(rows)}, codebook)
    assert "777" not in everything_said(table)
    assert table.rows[1] == ("Village", *["[c]"] * 5)
    shown = check_tables.tabulate_errors({"unmet": pd.DataFrame(rows).assign(n_units=900)}, codebook)
    assert shown.rows[1][1] == "7,760.0" and shown.rows[1][5] == "40 / 5"


def test_the_headline_is_the_same_number_at_every_level_of_its_errors_as_where_effects_stand(codebook):
    numbers = {"estimate": -0.03446, "se_type": "", "p_value": 0.04, "conf_low": -0.08, "conf_high": 0.001, "n_units": 900}
    rows = [{"level": level, "std_error": error, **numbers, "n_clusters_treated": 40, "n_clusters_comparison": 40}
            for level, error in (("village", 0.12), ("county", 0.02))]  # fmt: skip
    table = check_tables.tabulate_errors({"unmet": pd.DataFrame(rows)}, codebook)
    head = {"outcome": "unmet", "domain": "health_access", "subgroup": "all", "estimator": "callaway_santanna", "aggregation": "headline"}
    effect = release.release_effects(Effects(pd.DataFrame([rows[0] | head]).reindex(columns=EFFECT_COLUMNS), None, None)).table.iloc[0]
    assert effect["estimate"] != rows[0]["estimate"]
    assert [row[1] for row in table.rows[1:]] == [wording.format_number(effect["estimate"], "share")] * 2
    assert table.rows[1][3] == wording.format_interval(effect["conf_low"], effect["conf_high"], "share")


def test_a_number_behind_a_check_that_is_not_released_is_withheld(codebook, monkeypatch):
    whole = pd.DataFrame({"cohort": [2016.0, 2017.0], "estimate": [0.7777, 0.05], "std_error": [0.7777, 0.01]})
    check = Check("unmet", "single_cohorts", "No cohort carries it", 0.7777, None, True, whole, "Note.")
    safe = dataclasses.replace(check, statistic=None, table=whole.assign(**{c: whole[c].where(whole[c] < 0.7) for c in ("estimate", "std_error")}))
    monkeypatch.setattr(release, "release_checks", lambda checks: [safe])
    table = check_tables.tabulate_check_tables([check], "single_cohorts", codebook)
    assert table.rows[1:] == (("2016", "[c]", "[c]"), ("2017", "5.0", "1.0"))
    assert "777" not in everything_said(table) + everything_said(record.tabulate_checks([check], codebook))


def test_a_check_that_is_withheld_whole_keeps_its_place(codebook, monkeypatch):
    table = pd.DataFrame({"M": [0.0, 1.0], "low": [0.01, 0.7777], "high": [0.05, 0.7777]})
    first, second = (Check(name, "honest_relative_magnitudes", "It stands", 1.0, None, True, table.head(n), f"Note of {name}.")
                     for name, n in (("unmet", 2), ("debt", 1)))  # fmt: skip
    hidden = dataclasses.replace(first, statistic=None, passed=None, table=None, note="Withheld.")
    monkeypatch.setattr(release, "release_checks", lambda checks: [hidden, second])
    shown = check_tables.tabulate_check_tables([first, second], "honest_relative_magnitudes", codebook)
    assert shown.rows[:2] == (("Unmet need for care (percentage points)",), ("[c]", "[c]", "[c]"))
    assert shown.rows[2] == ("Debt outstanding (thousand yuan)",) and len(shown.rows) == 4
    assert shown.note.startswith("[c]: withheld")


def test_a_trend_test_that_is_not_released_is_not_called_impossible(codebook, monkeypatch):
    check = Check("unmet", "pre_trends", "They moved alike", 7.777, 0.777, None, pd.DataFrame(), "Note.")
    safe = dataclasses.replace(check, statistic=None, p_value=None)
    monkeypatch.setattr(release, "release_checks", lambda checks: [safe])
    text = narrative.describe_pretrends(design_of(codebook), [check]).markdown
    assert "the test is withheld" in text and "no wave" not in text and "777" not in text


def take_up(counts):
    """The table of take-up of a lottery: (arm, offered, units, units moved)."""
    rows = [(arm, offered, i < moved) for arm, offered, n, moved in counts for i in range(n)]
    panel = pd.DataFrame(rows, columns=["arm", "offered", "relocated"]).astype({"relocated": float})
    panel["village"] = np.arange(len(panel)) // 2
    study = Study.model_construct(design=DesignSettings(kind="offer", cluster="village", base_arm="control"))
    return sections.tabulate_take_up(SimpleNamespace(panel=panel, study=study))


def test_take_up_of_nearly_all_or_nearly_nobody_is_withheld_with_the_effect_that_would_tell_it():
    table = take_up([("control", 0, 100, 4), ("cash", 1, 200, 150)])
    shown = {row[0]: row[2:] for row in table.rows}
    assert shown["control"] == ("100", "[c]") and shown["cash"] == ("200", "75.0%")
    assert shown["Effect of the offer"] == ("[c]", "[c]")
    table = take_up([("control", 0, 100, 40), ("cash", 1, 90, 30), ("loan", 1, 200, 150), ("tiny", 1, 20, 3)])
    shown = {row[0]: row[3] for row in table.rows}
    assert [name for name, share in shown.items() if share == "[c]"] == ["cash", "tiny"]  # with the effect one of them would give the other
    table = take_up([("control", 0, 100, 40), ("cash", 1, 200, 150)])
    assert "[c]" not in table.to_plain() and "Counts are rounded to 5." in table.note


def test_a_balance_of_few_is_withheld():
    table = pd.DataFrame({"covariate": ["lit", "rare", "age"], "mean_not_offered": [0.5, 0.007, 41.5], "difference": 0.1,
                          "std_error": 0.05, "p_value": 0.2, "n_units": [500, 500, 8], "p_adjusted": 0.6, "fewest": [240, 3, 4]})  # fmt: skip
    design = SimpleNamespace(study=Study.model_construct(labels={"lit": "Can read"}))
    shown = sections.tabulate_offer_balance(design, [Check("", "balance", "Alike", None, None, None, table, "Note.")])
    assert shown.rows == (
        ("Can read", "0.500", "0.100", "0.050", ".200", ".200", "500"),  # adjusted over those shown
        ("Rare", *["[c]"] * 5, "500"),
        ("Age (years)", *["[c]"] * 6),
    )
    assert "a count below 10" in shown.note


def test_a_mean_between_zero_and_one_that_is_no_share_is_shown():
    table = pd.DataFrame({"covariate": ["index"], "mean_not_offered": [0.007], "difference": 0.1, "std_error": 0.05, "p_value": 0.2,
                          "n_units": [500], "p_adjusted": 0.6, "fewest": [240]})  # fmt: skip
    design = SimpleNamespace(study=Study.model_construct())
    shown = sections.tabulate_offer_balance(design, [Check("", "balance", "Alike", None, None, None, table, "Note.")])
    assert shown.rows == (("Index", "0.007", "0.100", "0.050", ".200", ".600", "500"),)
