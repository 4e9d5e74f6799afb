"""The abstract: plain words, computed numbers, not too long, and nothing of what is withheld."""

import dataclasses
import re

import numpy as np
import pandas as pd
import pytest

from relocation_analysis.data.panel import check_panel, read_panel
from relocation_analysis.data.study import read_study
from relocation_analysis.estimation.design import build_design
from relocation_analysis.estimation.estimate import estimate
from relocation_analysis.estimation.power import design_power
from relocation_analysis.language import speaking
from relocation_analysis.reporting.disclosure.release import Rule, keep
from relocation_analysis.reporting.exhibits.kinds import META
from relocation_analysis.reporting.exhibits.released import released
from relocation_analysis.reporting.text import abstract
from relocation_analysis.reporting.text.abstract import WORD, describe_abstract

OWN = """
name = "own"
title = "Own"
subgroups = []
[data]
path = "panel.csv"
[design]
kind = "{kind}"
{settings}
[outcome.lost]
domain = "other"
role = "adverse"
level = "person"
unit = "yuan"
minimum = 0
good_direction = -1
label_en = "Money lost"
label_zh = "损失的钱"
"""
MAIN = ("callaway_santanna", "ols_strata", "aipw_levels", "aipw_differences")


@pytest.fixture(scope="module")
def rollout(design, simulated_effects):
    return design, simulated_effects, design_power(simulated_effects, design.outcomes)


def own(folder, kind, settings):
    """A lottery, or a comparison, of 720 persons in 90 villages; wage work is not known of 36."""
    draw, n = np.random.default_rng(3), 720
    village = np.arange(n) // 8
    offered = village % 3 > 0
    moved = (draw.random(n) < np.where(offered, 0.6, 0.2)).astype(int)
    frame = pd.DataFrame({"person": range(n), "village": village, "age": draw.integers(16, 60, n), "relocated": moved,
                          "offfarm_wage": (draw.random(n) < 0.3 + 0.2 * moved).astype(float), "unmet": (draw.random(n) < 0.1).astype(float),
                          "lost": np.clip(50 + 30 * moved + draw.normal(size=n), 0, None)})  # fmt: skip
    frame.loc[::20, "offfarm_wage"] = np.nan
    if kind == "offer":
        frame["offered"] = offered.astype(int)
    frame.to_csv(folder / "panel.csv", index=False)
    (folder / "own.toml").write_text(OWN.format(kind=kind, settings=settings), encoding="utf-8")
    study = read_study(folder / "own.toml")
    panel = check_panel(read_panel(study), study)
    design = build_design(panel, study, ("offfarm_wage", "unmet"))
    effects = estimate(design)
    return design, effects, design_power(effects, design.outcomes)


@pytest.fixture(scope="module")
def offer(tmp_path_factory):
    return own(tmp_path_factory.mktemp("offer"), "offer", 'assigned = "cluster"')


@pytest.fixture(scope="module")
def comparison(tmp_path_factory):
    return own(tmp_path_factory.mktemp("comparison"), "comparison", 'covariates = ["age"]')


@pytest.fixture(autouse=True, scope="module")
def harms_estimated_once():
    """Harms take seconds to estimate: once for each kind of design."""
    estimated, known = abstract._estimate_harms, {}

    def once(design, names):
        key = design.kind, names
        if key not in known:
            known[key] = estimated(design, names)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(abstract, "_estimate_harms", once)
        yield


def with_headlines(effects, **values):
    """The effects with these numbers in the headline of everyone, for the outcomes that are named."""
    table = effects.table.copy()
    for outcome, numbers in values.items():
        row = table["outcome"].eq(outcome) & table["aggregation"].eq("headline") & table["subgroup"].eq("all") & table["estimator"].isin(MAIN)
        assert row.sum() == 1
        table.loc[row, list(numbers)] = list(numbers.values())
    return dataclasses.replace(effects, table=table)


GAIN = {"estimate": 0.064, "std_error": 0.01, "conf_low": 0.04, "conf_high": 0.088}
LOSS = {"estimate": -0.064, "std_error": 0.01, "conf_low": -0.088, "conf_high": -0.04}
UNCLEAR = {"estimate": 0.01, "std_error": 0.02, "conf_low": -0.03, "conf_high": 0.05}


def test_gains_losses_and_what_cannot_be_said_stand_in_plain_words(rollout):
    design, effects, power = rollout
    effects = with_headlines(effects, offfarm_wage=GAIN, in_school_16_18=LOSS)
    text = describe_abstract(design, effects, power).markdown
    assert "The move raised off\\-farm wage work by 6.4 percentage points (4.0 to 8.8; a gain)." in text
    assert "The move lowered enrolment at 16\\-18 by 6.4 percentage points (4.0 to 8.8; a loss)." in text
    effects = with_headlines(effects, offfarm_wage=UNCLEAR)
    text = describe_abstract(design, effects, power).markdown
    assert "What the move did to off\\-farm wage work (\u22123.0 to 5.0 percentage points) cannot be said." in text
    with speaking("zh"):
        text = describe_abstract(design, effects, power).markdown
    assert "搬迁降低了16\\-18岁在学 6.4个百分点（4.0至8.8；恶化）。" in text
    assert "搬迁对非农工资性就业（\u22123.0至5.0个百分点）的影响尚无法断定。" in text


def test_the_same_numbers_stand_in_both_languages(rollout):
    english = describe_abstract(*rollout).markdown
    with speaking("zh"):
        chinese = describe_abstract(*rollout).markdown

    def numbers(text):
        return set(re.findall(r"\d[\d,.]*\d|\d", text.replace("-", "\u2212")))

    assert {n for n in numbers(english) if "." in n or "," in n} <= numbers(chinese)


def test_it_says_how_many_moved_that_data_are_simulated_and_what_got_worse(rollout):
    design, effects, power = rollout
    text = describe_abstract(design, effects, power).markdown
    units = design.panel.drop_duplicates("person")
    moved = 5 * round((units["cohort"] <= design.times[-1]).sum() / 5)
    assert text.startswith("The data of this report are simulated. ")
    assert f"{moved:,} people out of {5 * round(len(units) / 5):,} followed from 2014 to 2021 moved" in text
    assert "these got worse: " in text and "debt outstanding" in text
    assert "without the move, movers might have changed differently" in text


def test_harms_that_the_overview_does_not_estimate_are_those_of_their_chapters(rollout):
    design, effects, _power = rollout
    found = abstract._estimate_harms(design, ("debt",))
    expected = released(effects).select(outcome="debt", aggregation="headline", subgroup="all", estimator=MAIN[0]).table.iloc[0]
    assert found["debt"]["estimate"] == pytest.approx(expected["estimate"], abs=1e-12)
    assert found["debt"]["conf_low"] == pytest.approx(expected["conf_low"], abs=1e-12)


def test_a_lottery_says_who_was_drawn_and_whose_outcome_is_not_known(offer):
    design, effects, power = offer
    text = describe_abstract(design, effects, power).markdown
    assert text.startswith("By lot, 480 people out of 720 were offered the move;")
    assert "for 5% of them it is not known what became of off\\-farm wage work" in text
    assert "Of the possible harms measured (one) these got worse: money lost." in text
    assert "The offer " in text or "What the offer did" in text


def test_a_comparison_says_that_the_unmeasured_may_differ(comparison):
    design, effects, power = comparison
    text = describe_abstract(design, effects, power).markdown
    assert re.match(r"This report compares \d+ people who moved, out of 720, with those of the others who were like them before\.", text)
    assert "movers may differ from the others in what was not measured" in text


@pytest.mark.parametrize("kind", ["rollout", "offer", "comparison"])
@pytest.mark.parametrize("headline", [GAIN, LOSS, UNCLEAR])
@pytest.mark.parametrize("both", [True, False])
def test_it_has_90_to_140_words_and_150_to_250_characters(kind, headline, both, request):
    design, effects, power = request.getfixturevalue(kind)
    names = [name for name, about in design.outcomes.items() if about.role == "primary"]
    effects = with_headlines(effects, **dict.fromkeys(names if both else names[:1], headline))
    if not both:
        design = dataclasses.replace(design, outcomes={name: about for name, about in design.outcomes.items() if name != names[1]})
    assert 90 <= len(describe_abstract(design, effects, power).markdown.split()) <= 140
    with speaking("zh"):
        assert 150 <= len(WORD.findall(describe_abstract(design, effects, power).markdown)) <= 250


def test_nothing_of_a_withheld_effect_is_said(rollout):
    design, effects, power = rollout
    hidden = dict.fromkeys(("estimate", "std_error", "conf_low", "conf_high"), 0.7777) | {"n_units": 9}
    effects = with_headlines(effects, offfarm_wage=hidden, debt=hidden | {"estimate": -0.7777})
    for language, said in (("en", "Withheld, because too few stand behind them: off\\-farm wage work."), ("zh", "因样本太少而不予披露：非农工资性就业。")):
        with speaking(language):
            text = describe_abstract(design, effects, power.assign(power=0.7777)).markdown
        assert said in text and "777" not in text and "debt" not in text and "债" not in text


def test_a_number_of_movers_that_would_tell_how_few_stayed_is_left_out(offer):
    design, effects, power = offer
    few = dataclasses.replace(design, panel=design.panel.assign(offered=(np.arange(len(design.panel)) > 3).astype(int)))
    assert describe_abstract(few, effects, power).markdown.startswith("By lot, some of 720 people were offered the move;")
    keep(Rule(public=True))
    assert describe_abstract(few, effects, power).markdown.startswith("By lot, 716 people out of 720 were offered the move;")
    keep(Rule())


def test_a_logarithm_is_also_said_as_a_part_of_the_level(rollout):
    design, effects, power = rollout
    book = dict(design.outcomes)
    book["offfarm_wage"] = book["offfarm_wage"].model_copy(update={"unit": "log points"})
    effects = with_headlines(effects, offfarm_wage={"estimate": -0.105, "conf_low": -0.2, "conf_high": -0.01})
    text = describe_abstract(dataclasses.replace(design, outcomes=book), effects, power).markdown
    assert "by about 10%, or 0.105 log points (0.010 to 0.200; a loss)" in text  # 1 - exp(-.105) = .0997


def test_it_tells_the_renderer_what_it_is(rollout):
    assert {"kind": "prose", "role": "abstract"}.items() <= describe_abstract(*rollout)._repr_mimebundle_()[META].items()
