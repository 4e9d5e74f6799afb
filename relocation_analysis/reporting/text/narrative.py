"""Sentences whose numbers are computed: what a chapter says, whichever way the effect goes."""

import math
from collections.abc import Mapping

import pandas as pd

from relocation_analysis.data.codebook import Outcome
from relocation_analysis.data.study import Study
from relocation_analysis.estimation.checks import Check
from relocation_analysis.estimation.design import Design
from relocation_analysis.estimation.effects import Effects
from relocation_analysis.estimation.inference import LEVEL
from relocation_analysis.estimation.sample import headline_shares
from relocation_analysis.language import _, join_clauses, join_list, join_sentences, mark
from relocation_analysis.reporting import wording
from relocation_analysis.reporting.exhibits.kinds import Prose, escape_markdown
from relocation_analysis.reporting.exhibits.released import is_lost, pair_checks, released
from relocation_analysis.reporting.exhibits.selection import MAIN, select_headlines
from relocation_analysis.reporting.tables.effects import show_coverage

SUBJECT = {"rollout": mark("the move"), "offer": mark("the offer"), "comparison": mark("the move")}
MEANING = {
    "rollout": mark("These effects are averages over the year of the move and the three years after."),
    "offer": mark("These are effects of the offer on everybody who was offered, whether they took it up or not."),
    "comparison": mark("These are effects on movers at the last wave, against non-movers with the same covariates."),
}


def describe_study(study: Study) -> Prose:
    """What the study is: its context and its estimand, in its own words; that data are simulated, where they are."""
    parts = []
    if study.simulated:
        parts.append(_("**The data of this report are simulated.** They are drawn to resemble published figures and show what the"
                       " method would say; they are no evidence about any real household."))  # fmt: skip
    parts += [study.say("context"), study.say("estimand")]
    if study.citation:
        parts.append(_("Source: {citation}", citation=study.say("citation")))
    return Prose("\n\n".join(part for part in parts if part))


def describe_answer(design: Design, effects: Effects, power: pd.DataFrame) -> Prose:
    """One sentence for each primary outcome: what moved, in which direction, or what cannot be said."""
    rows = headline_rows(effects)
    chances = power.set_index("outcome")["power"]
    names = [name for name, outcome in design.outcomes.items() if outcome.role == "primary"] or list(design.outcomes)
    answers = [_answer(SUBJECT[design.kind], rows[name], design.outcomes[name], chances.get(name)) for name in names if name in rows]
    return Prose(join_sentences([*answers, _(MEANING[design.kind])]))


def headline_rows(effects: Effects) -> dict[str, dict]:
    """The headline of everyone by outcome, released."""
    rows = select_headlines(effects).query("subgroup == 'all'")
    return {row["outcome"]: row for row in rows.to_dict("records")}


def is_found(row: Mapping) -> bool:
    """Whether the 95% interval of an effect excludes zero."""
    return row["conf_low"] > 0 or row["conf_high"] < 0


def name_outcome(about: Outcome) -> str:
    """The outcome inside a sentence, as text of Markdown."""
    return escape_markdown(wording.in_sentence(about.label))


def _answer(subject: str, row: Mapping, about: Outcome, power: float | None) -> str:
    subject, label = _(subject), name_outcome(about)
    if row["withheld"]:
        return _("For {label} the effect is withheld: too few units or clusters stand behind it, or behind one that it would reveal.",
                 label=label)  # fmt: skip
    if not math.isfinite(row["std_error"]):
        amount = wording.format_amount(row["estimate"], about.print_unit)
        return _("For {label} the estimate is {amount}; too few clusters remain to say how sure that is.", label=label, amount=amount)
    if is_found(row):
        size = wording.format_estimate(abs(row["estimate"]), *sorted(map(abs, (row["conf_low"], row["conf_high"]))), about.print_unit)
        said = {"subject": wording.at_start(subject), "label": label, "size": size, "judgement": _judge(row["estimate"], about)}
        if row["estimate"] > 0:
            return _("{subject} **raised** {label} by {size}{judgement}.", **said)
        return _("{subject} **lowered** {label} by {size}{judgement}.", **said)
    amount = wording.format_estimate(row["estimate"], row["conf_low"], row["conf_high"], about.print_unit)
    said = {"subject": subject, "label": label, "amount": amount}
    if power is None or not math.isfinite(power):
        return _("Whether {subject} changed {label} **cannot be said**: the estimate is {amount}.", **said)
    said |= {"benchmark": wording.format_amount(about.benchmark_effect, about.print_unit), "power": wording.format_share(power)}
    return _("Whether {subject} changed {label} **cannot be said**: the estimate is {amount}; the chance of finding an effect of"
             " {benchmark} was {power}.", **said)  # fmt: skip


def _judge(estimate: float, about: Outcome) -> str:
    if about.good_direction == 0:
        return ""
    return _(", a gain") if estimate * about.good_direction > 0 else _(", a loss")


def describe_horizon(design: Design, effects: Effects) -> Prose:
    """How far after the move effects can be followed, and what part of the mover-years the headline covers."""
    effects = released(effects)
    rows = headline_rows(effects)
    times = effects.table.query("aggregation == 'event_time' and estimator in @MAIN and subgroup == 'all'")["event_time"]
    shares = [_("{label} {share}", label=name_outcome(design.outcomes[name]), share=show_coverage(share, rows[name]))
              for name, share in headline_shares(design).items() if name in rows]  # fmt: skip
    return Prose(join_sentences([
        _("The panel runs from {first} to {last}.", first=design.window[0], last=design.window[1]),
        _("Effects can be followed until {years} years after the move.", years=wording.format_period(times.max())),
        _("For later years the panel has no wave or nobody is left to compare with, and this report says nothing."),
        _("The headline averages the cohort-time effects at exposures 0 to 3, weighted by the size of the cohorts at baseline."),
        _("Of all mover-years at those exposures it covers: {shares}.", shares=join_clauses(shares)),
        _("The others lie after the last wave, or have no wave before the move or nobody left to compare with."),
    ]))  # fmt: skip


def describe_domain(design: Design, effects: Effects, power: pd.DataFrame) -> Prose:
    """The primaries of a domain in a sentence each, then every other outcome that differs from zero after adjustment."""
    tested = effects.select(aggregation="headline", subgroup="all", estimator=MAIN).table["p_adjusted"].notna().sum()
    effects = released(effects)
    rows = headline_rows(effects)
    others = {name: about for name, about in design.outcomes.items() if about.role != "primary" and name in rows}
    groups: dict[str, list[str]] = {"gains": [], "losses": [], "neither": []}
    for name, about in others.items():
        estimate, p = rows[name]["estimate"], rows[name]["p_adjusted"]
        if pd.isna(p) or p >= 1 - LEVEL:
            continue
        kind = "neither" if about.good_direction == 0 else "gains" if estimate * about.good_direction > 0 else "losses"
        amount = wording.format_amount(estimate, about.print_unit)
        groups[kind].append(_("{label} ({amount})", label=name_outcome(about), amount=amount))
    text = [describe_answer(design, effects, power).markdown]
    if tested > 1:
        gains, losses, neither = (join_list(items) if items else _("none") for items in groups.values())
        text += [_("Adjusted for the {n} outcomes tested in this chapter (Holm), these other effects also differ from zero at the 5% level.",
                   n=wording.say_count(tested)), _("Gains: {list}.", list=gains), _("Losses: {list}.", list=losses),
                 _("Changes that are neither: {list}.", list=neither)]  # fmt: skip
    hidden = [name_outcome(about) for name, about in others.items() if rows[name]["withheld"]]
    text += [_("Withheld, because too few stand behind them: {list}.", list=join_list(hidden))] if hidden else []
    return Prose(join_sentences(text))


def describe_harms(design: Design, effects: Effects) -> Prose:
    """What the study measured that could have got worse, and what did."""
    rows = headline_rows(effects)
    names = [name for name, outcome in design.outcomes.items() if outcome.role == "adverse" and name in rows]
    if not names:
        return Prose(_("This study measures no possible harm in this domain: no support, loneliness, living cost, debt or return to the"
                       " origin. That nothing bad is reported here is no finding."))  # fmt: skip
    sentences = [_answer(SUBJECT[design.kind], rows[name], design.outcomes[name], None) for name in names]
    return Prose(join_sentences([_("Possible harms are reported whatever they show."), *sentences, _(MEANING[design.kind])]))


def describe_pretrends(design: Design, checks: list[Check]) -> Prose:
    """What the test of trends before the move could and could not have seen (Roth 2022)."""
    opening = _("A test of trends before the move that does not reject is not a proof that trends are parallel [@roth2022]. For each"
                " primary outcome this says what the test could have seen, and what a trend that it could just see would be worth.")  # fmt: skip
    pairs = [pair for pair in pair_checks(checks) if pair[0].name == "pre_trends"]
    items = [_say_pretrend(check, before, design.outcomes[check.outcome]) for check, before in pairs]
    return Prose("\n".join([_("## Trends before the move") + "\n", opening + "\n", *(f"- {item}" for item in items)]))


def _say_pretrend(check: Check, before: Check, about: Outcome) -> str:
    label = name_outcome(about)
    if is_lost(check.p_value, before.p_value):
        return _("For {label} the test is withheld: too few units or clusters stand behind it.", label=label)
    if check.p_value is None or pd.isna(check.p_value):
        return _("For {label} there is no wave before the base period: parallel trends cannot be tested.", label=label)
    slope, worth = (wording.format_amount(check.table[c].iloc[0], about.print_unit) for c in ("detectable_slope", "worth_at_exposure_3"))
    p = wording.format_p(check.p_value)
    if check.passed is False:
        verdict = _("For {label} parallel trends before the move are rejected (p {p}).", label=label, p=p)
    else:
        verdict = _("For {label} parallel trends before the move are not rejected (p {p}).", label=label, p=p)
    detectable = _("A linear difference in trends of {slope} a year was detectable with 80% power; it would be worth {worth} by exposure 3.",
                   slope=slope, worth=worth)  # fmt: skip
    return join_sentences([verdict, detectable])


def describe_verdict(checks: list[Check]) -> Prose:
    """Which checks fail, by name and outcome; what a reader has to weigh."""
    checks = [check for check, _before in pair_checks(checks)]
    failed = [check for check in checks if check.passed is False]
    held = sum(check.passed is True for check in checks)
    text = [_("Of {n} checks, those that hold or are not rejected number {held}, those that fail or are rejected {failed}; {informing} inform"
              " without a verdict.", n=len(checks), held=held, failed=len(failed), informing=len(checks) - len(failed) - held)]  # fmt: skip
    if failed:
        names = sorted({wording.in_sentence(wording.label_check(check.name)) for check in failed})
        text.append(_("What fails: {checks}; the table says for which outcome.", checks=join_list(names)))
    return Prose(join_sentences(text))
