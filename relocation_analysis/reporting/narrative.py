"""Sentences whose numbers are computed: what a chapter says, whichever way the effect goes."""

import math

import pandas as pd

from relocation_analysis.data.codebook import Outcome
from relocation_analysis.data.study import Study
from relocation_analysis.estimation.checks import Check
from relocation_analysis.estimation.design import Design
from relocation_analysis.estimation.effects import Effects
from relocation_analysis.estimation.inference import LEVEL
from relocation_analysis.estimation.sample import headline_shares
from relocation_analysis.language import _
from relocation_analysis.reporting import wording
from relocation_analysis.reporting.exhibits import Prose, escape_markdown
from relocation_analysis.reporting.selection import MAIN
from relocation_analysis.reporting.tables import select_headlines

SUBJECT = {"rollout": "the move", "offer": "the offer", "comparison": "the move"}
MEANING = {
    "rollout": "These effects are averages over the year of the move and the three years after.",
    "offer": "These are effects of the offer on everybody who was offered, whether they took it up or not.",
    "comparison": "These are effects on movers at the last wave, against non-movers with the same covariates.",
}


def describe_study(study: Study) -> Prose:
    """What the study is: its context and its estimand, in its own words; that data are simulated, where they are."""
    parts = []
    if study.simulated:
        parts.append("**The data of this report are simulated.** They are drawn to resemble published figures and show what the "
                     "method would say; they are no evidence about any real household.")  # fmt: skip
    parts += [study.say("context"), study.say("estimand")]
    if study.citation:
        parts.append(_("Source: {citation}", citation=study.say("citation")))
    return Prose("\n\n".join(part for part in parts if part))


def describe_answer(design: Design, effects: Effects, power: pd.DataFrame) -> Prose:
    """One sentence for each primary outcome: what moved, in which direction, or what cannot be said."""
    rows = _headline_rows(effects)
    chances = power.set_index("outcome")["power"]
    names = [name for name, outcome in design.outcomes.items() if outcome.role == "primary"] or list(design.outcomes)
    answers = [_answer(SUBJECT[design.kind], rows.loc[name], design.outcomes[name], chances.get(name)) for name in names if name in rows.index]
    return Prose(" ".join([*answers, MEANING[design.kind]]))


def _headline_rows(effects: Effects) -> pd.DataFrame:
    return select_headlines(effects).query("subgroup == 'all'").set_index("outcome")


def _answer(subject: str, row: pd.Series, about: Outcome, power: float | None) -> str:
    label = escape_markdown(wording.in_sentence(about.label))
    if not math.isfinite(row["std_error"]):
        amount = wording.format_amount(row["estimate"], about.print_unit)
        return f"For {label} the estimate is {amount}; too few clusters remain to say how sure that is."
    amount = wording.format_estimate(row["estimate"], row["conf_low"], row["conf_high"], about.print_unit)
    if row["conf_low"] > 0 or row["conf_high"] < 0:
        size = wording.format_estimate(abs(row["estimate"]), *sorted(map(abs, (row["conf_low"], row["conf_high"]))), about.print_unit)
        verb = "raised" if row["estimate"] > 0 else "lowered"
        return f"{subject[:1].upper()}{subject[1:]} **{verb}** {label} by {size}{_judge(row['estimate'], about)}."
    sentence = f"Whether {subject} changed {label} **cannot be said**: the estimate is {amount}"
    if power is not None and math.isfinite(power):
        benchmark = wording.format_amount(about.benchmark_effect, about.print_unit)
        sentence += f"; the chance of finding an effect of {benchmark} was {wording.format_share(power)}"
    return sentence + "."


def _judge(estimate: float, about: Outcome) -> str:
    if about.good_direction == 0:
        return ""
    return ", a gain" if estimate * about.good_direction > 0 else ", a loss"


def describe_horizon(design: Design, effects: Effects) -> Prose:
    """How far after the move effects can be followed, and what part of the mover-years the headline covers."""
    rows = effects.table.query("aggregation == 'event_time' and estimator in @MAIN and subgroup == 'all'")
    last = rows.groupby("outcome", sort=False)["event_time"].max()
    shares = headline_shares(design)
    waves = f"{design.window[0]} to {design.window[1]}"
    text = (f"The panel runs from {waves}. Effects can be followed until {wording.format_period(last.max())} years after the move. For "
            f"later years the panel has no wave or nobody is left to compare with, and this report says nothing. ")  # fmt: skip
    each = "; ".join(f"{escape_markdown(wording.in_sentence(design.outcomes[n].label))} {wording.format_share(s)}" for n, s in shares.items())
    return Prose(f"{text}The headline averages the cohort-time effects at exposures 0 to 3, weighted by the size of the cohorts at "
                 f"baseline. Of all mover-years at those exposures it covers: {each}. The others lie after the last wave, or have no "
                 "wave before the move or nobody left to compare with.")  # fmt: skip


def describe_domain(design: Design, effects: Effects, power: pd.DataFrame) -> Prose:
    """The primaries of a domain in a sentence each, then every other outcome that differs from zero after adjustment."""
    rows = _headline_rows(effects)
    family = rows[rows["p_adjusted"].notna()]
    found = family[family["p_adjusted"] < 1 - LEVEL]
    others = [name for name in found.index if design.outcomes[name].role != "primary"]
    groups = {"gains": [], "losses": [], "changes that are neither": []}
    for name in others:
        about, estimate = design.outcomes[name], rows.loc[name, "estimate"]
        kind = "changes that are neither" if about.good_direction == 0 else "gains" if estimate * about.good_direction > 0 else "losses"
        groups[kind].append(f"{escape_markdown(wording.in_sentence(about.label))} ({wording.format_amount(estimate, about.print_unit)})")
    text = describe_answer(design, effects, power).markdown
    if len(family) > 1:
        listed = [f"{kind}: {', '.join(items) if items else 'none'}" for kind, items in groups.items()]
        text += (f" Adjusted for the {wording.say_count(len(family))} outcomes tested in this chapter (Holm), these other effects also differ "
                 f"from zero at the 5% level. {'. '.join(s[:1].upper() + s[1:] for s in listed)}.")  # fmt: skip
    return Prose(text)


def describe_harms(design: Design, effects: Effects) -> Prose:
    """What the study measured that could have got worse, and what did."""
    rows = _headline_rows(effects)
    names = [name for name, outcome in design.outcomes.items() if outcome.role == "adverse" and name in rows.index]
    if not names:
        return Prose("This study measures no possible harm in this domain: no support, loneliness, living cost, debt or return to the "
                     "origin. That nothing bad is reported here is no finding.")  # fmt: skip
    sentences = [_answer(SUBJECT[design.kind], rows.loc[name], design.outcomes[name], None) for name in names]
    return Prose(f"Possible harms are reported whatever they show. {' '.join(sentences)} {MEANING[design.kind]}")


def describe_pretrends(design: Design, checks: list[Check]) -> Prose:
    """What the test of trends before the move could and could not have seen (Roth 2022)."""
    sentences = ["## Trends before the move\n\nA test of trends before the move that does not reject is not a proof that trends are "
                 "parallel [@roth2022]. For each primary outcome this says what the test could have seen, and what a trend that it could "
                 "just see would be worth.\n"]  # fmt: skip
    for check in (c for c in checks if c.name == "pre_trends"):
        about = design.outcomes[check.outcome]
        label = escape_markdown(wording.in_sentence(about.label))
        if check.p_value is None:
            sentences.append(f"- For {label} there is no wave before the base period: parallel trends cannot be tested.")
            continue
        slope, worth = (wording.format_amount(check.table[c].iloc[0], about.print_unit) for c in ("detectable_slope", "worth_at_exposure_3"))
        verdict = "rejected" if check.passed is False else "not rejected"
        sentences.append(
            f"- For {label} parallel trends before the move are {verdict} (p {wording.format_p(check.p_value)}). A linear "
            f"difference in trends of {slope} a year was detectable with 80% power; it would be worth {worth} by exposure 3."
        )
    return Prose("\n".join(sentences))


def describe_verdict(checks: list[Check]) -> Prose:
    """Which checks fail, by name and outcome; what a reader has to weigh."""
    failed = [check for check in checks if check.passed is False]
    held = [check for check in checks if check.passed is True]
    informing = len(checks) - len(failed) - len(held)
    text = (f"Of {len(checks)} checks, those that hold or are not rejected number {len(held)}, those that fail or are rejected {len(failed)}; "
            f"{informing} inform without a verdict.")  # fmt: skip
    if failed:
        names = sorted({wording.in_sentence(wording.label_check(check.name)) for check in failed})
        text += f" What fails: {', '.join(names)}; the table says for which outcome."
    return Prose(text)
