"""Sentences on a comparison of provinces: what they have in common, how far they differ, what one alone can carry."""

import math
from collections.abc import Iterable

from relocation_analysis.language import _, join_list, join_sentences, spoken
from relocation_analysis.reporting import wording
from relocation_analysis.reporting.exhibits.kinds import Prose, escape_markdown
from relocation_analysis.reporting.national.synthesis import Compared, National
from relocation_analysis.reporting.text.narrative import SUBJECT, name_outcome

MANY = 6  # names in a sentence


def list_names(names: Iterable[str]) -> str:
    """Names in a sentence; of many the first ones and how many more."""
    names = list(names)
    if len(names) <= MANY:
        return join_list(names)
    return _("{names} and {n} more", names=join_list(names[: MANY - 1]), n=len(names) - MANY + 1)


def say_years(through: float) -> str:
    """The exposures that are averaged, for the end of a caption; blank for designs without any."""
    if math.isnan(through):
        return ""
    return _(", in the year of the move") if through == 0 else _(", mean over years 0 to {k}", k=wording.format_period(through))


def say_range(low: float, high: float, unit: str) -> dict[str, str]:
    """The ends of an interval, the unit with the second one."""
    return {"low": wording.format_number(low, unit), "high": wording.format_amount(high, unit)}


def describe_national(national: National) -> Prose:
    """The abstract: who is compared, what holds on average and what differs, in plain words with their numbers."""
    shown = [c for c in national.outcomes if c.synthesis.k >= 2]
    k = max((c.synthesis.k for c in shown), default=0)
    parts = [_("The data of this report are simulated.") if national.study.simulated else ""]
    parts.append(_("This page puts the reports of {k} provinces side by side, over the same years since the move.", k=k))
    parts += [_say_short(c) for c in shown]
    weak = sum(len(c.underpowered) for c in shown)
    total = sum(len(c.provinces) for c in shown)
    parts.append(_("A single province says less: in {weak} of {total} estimates the chance of finding an effect as small as the benchmark is below 80%.",
                   weak=weak, total=total))  # fmt: skip
    covered = max((c.covered for c in shown), default=0.0)
    if covered > 0:
        parts.append(_("Weighted by registered movers, the mean covers {share} of the {total} that the programme moved.",
                       share=wording.format_share(covered / national.programme), total=say_persons(national.programme)))  # fmt: skip
    return Prose(join_sentences(parts), role="abstract")


def _say_short(c: Compared) -> str:
    s, unit = c.synthesis, c.about.print_unit
    told = {"label": name_outcome(c.about), "effect": wording.format_estimate(s.estimate, s.conf_low, s.conf_high, unit)}
    if not math.isfinite(s.predict_low):
        return _("{label}: an average effect of {effect}.", label=wording.at_start(told["label"]), effect=told["effect"])
    return _("{label}: an average effect of {effect}; in one more such province between {low} and {high}.", label=wording.at_start(told["label"]),
             effect=told["effect"], **say_range(s.predict_low, s.predict_high, unit))  # fmt: skip


def say_persons(value: float) -> str:
    """A large number of people: "9.6 million people"."""
    return _("{n} million people", n=f"{value / (1e4 if spoken() == 'zh' else 1e6):g}")  # Chinese counts in ten thousands


def describe_compared(national: National) -> Prose:
    """How many reports there are, whether all were made alike, and over which exposures each outcome is compared."""
    bad = national.reports[national.reports["problem"] != ""]
    parts = [_("There are {n} reports of provinces.", n=len(national.reports))]
    if bad.empty:
        parts.append(_("All were made by the same code with the same settings and the same rule of disclosure; this was checked."))
    elif len(bad) == 1:
        parts.append(_("**One of them is not compared**, because it was made otherwise: {name}. Write it again with `relocation batch`.",
                       name=escape_markdown(bad["label"].iloc[0])))  # fmt: skip
    else:
        parts.append(_("**{n} of them are not compared**, because they were made otherwise: {names}. Write them again with `relocation batch`.",
                       n=len(bad), names=escape_markdown(list_names(bad["label"]))))  # fmt: skip
    for c in national.outcomes:
        parts.append(_say_exposures(c))
    return Prose(join_sentences(parts))


def _say_exposures(c: Compared) -> str:
    label = wording.at_start(name_outcome(c.about))
    told = {"label": label, "n": len(c.provinces)}
    if math.isnan(c.through):
        text = _("{label} is compared over {n} provinces.", **told)
    elif c.through == 0:
        text = _("{label} is compared over {n} provinces in the year of the move.", **told)
    else:
        text = _("{label} is compared over {n} provinces and years 0 to {k} since the move.", k=wording.format_period(c.through), **told)
    if len(c.left_out):
        text = join_sentences([text, _("Left out there: {names}.", names=escape_markdown(list_names(c.left_out["label"])))])
    return text


def describe_mean(c: Compared, kind: str = "rollout") -> Prose:
    """One outcome: the mean over provinces, how far they differ, and what one more province would show; `kind` is that of the design."""
    k = c.synthesis.k
    if k < 2:
        return Prose(_("Fewer than two provinces have an estimate of {label}: there is nothing to compare.", label=name_outcome(c.about)))
    return Prose(join_sentences([_say_mean(c, _(SUBJECT[kind])), _say_spread(c), _say_next(c)]))


def _say_mean(c: Compared, subject: str) -> str:
    s, unit, label = c.synthesis, c.about.print_unit, name_outcome(c.about)
    if s.conf_low <= 0 <= s.conf_high:
        return _("Whether {subject} changed {label} on average over {k} provinces **cannot be said**: the estimate is {effect}.",
                 subject=subject, k=s.k, label=label, effect=wording.format_estimate(s.estimate, s.conf_low, s.conf_high, unit))  # fmt: skip
    size = wording.format_estimate(abs(s.estimate), *sorted(map(abs, (s.conf_low, s.conf_high))), unit)
    judged = "" if c.about.good_direction == 0 else _(", a gain") if s.estimate * c.about.good_direction > 0 else _(", a loss")
    told = {"subject": subject, "k": s.k, "label": label, "size": size, "judged": judged}
    if s.estimate > 0:
        return _("On average over {k} provinces {subject} **raised** {label} by {size}{judged}.", **told)
    return _("On average over {k} provinces {subject} **lowered** {label} by {size}{judged}.", **told)


def _say_spread(c: Compared) -> str:
    s, unit = c.synthesis, c.about.print_unit
    tau, low, high = (math.sqrt(x) for x in (s.tau2, s.tau2_low, s.tau2_high))
    told = {"tau": wording.format_estimate(tau, low, high, unit), "i2": wording.format_share(s.i2), "p": wording.format_p(s.q_p)}
    if s.tau2_high == 0:
        return _("Nothing shows that provinces differ: their estimates lie even closer together than their errors lead one to expect (p {p}); no"
                 " upper limit for the difference of their effects can be given.", p=told["p"])  # fmt: skip
    if s.tau2 == 0:
        return _("Nothing shows that provinces differ: their estimates lie no further apart than their errors let them (p {p}). That is no proof that they"
                 " are alike; a standard deviation of the effects of up to {high} is not ruled out.", p=told["p"],
                 high=wording.format_amount(high, unit))  # fmt: skip
    text = _("The standard deviation of the effects between provinces, \u03c4, is estimated at {tau}; {i2} of what their estimates differ by is"
             " difference of effects, the rest error.", **told)  # fmt: skip
    if s.q_p >= 0.05:
        return join_sentences([text, _("That all effects are the same is not rejected (p {p}).", p=told["p"])])
    return join_sentences([text, _("That all effects are the same is rejected (p {p}).", p=told["p"])])


def _say_next(c: Compared) -> str:
    s, unit = c.synthesis, c.about.print_unit
    if not math.isfinite(s.predict_low):
        return _("With fewer than five provinces nothing is said about one more.")
    ends = say_range(s.predict_low, s.predict_high, unit)
    if s.predict_low <= 0 <= s.predict_high:
        return _("In one more such province the effect would, with 95% probability, lie between {low} and {high}: it could be none, or of either sign.", **ends)
    return _("In one more such province the effect would, with 95% probability, lie between {low} and {high}.", **ends)


def describe_without(national: National) -> Prose:
    """How far each mean hangs on a single province."""
    return Prose("\n".join(f"- {_say_without(c)}" for c in national.outcomes if c.synthesis.k > 2))


def _say_without(c: Compared) -> str:
    s, unit = c.synthesis, c.about.print_unit
    rows = s.without.assign(change=(s.without["estimate"] - s.estimate).abs())
    most = rows.loc[rows["change"].idxmax()]
    where = c.provinces.set_index("province").loc[most["label"], "label"]
    other = ((rows["conf_low"] > 0) | (rows["conf_high"] < 0)) != (s.conf_low > 0 or s.conf_high < 0)
    told = {"label": wording.at_start(name_outcome(c.about)), "where": escape_markdown(where),
            "change": wording.format_amount(most["change"], unit), "effect": wording.format_estimate(most["estimate"], most["conf_low"], most["conf_high"], unit)}  # fmt: skip
    text = _("{label}: the mean moves most without {where}, by {change} to {effect}.", **told)
    if not other.any():
        return join_sentences([text, _("Whether it differs from zero does not hang on any one province.")])
    names = [c.provinces.set_index("province").loc[p, "label"] for p in rows.loc[other, "label"]]
    return join_sentences([text, _("**Whether it differs from zero hangs on one province**: {names}.", names=escape_markdown(list_names(names)))])


def describe_movers(national: National) -> Prose:
    """The mean over movers: what it is, what it covers, and who is not in it."""
    counted = national.movers[national.movers["counted"]]
    if counted.empty:
        return Prose(_("No province here has a sourced number of registered movers: no mean over movers is given."))
    others = national.movers[~national.movers["counted"]]
    covered, total = counted["registered"].sum(), national.programme
    parts = [
        _("Its weights are registered movers, from sources, in data/provinces.csv. The {n} provinces with such a figure moved {covered} people, {share} of"
          " the {total} that the programme moved.", n=len(counted), covered=wording.format_count(covered),
          share=wording.format_share(covered / total), total=say_persons(total)),
        _("The mean of an outcome has those of them that are compared for it."),
        _("It is the effect on the registered mover of these provinces. It says nothing of the others, and how far provinces differ has no"
          " part in its error."),
    ]  # fmt: skip
    if len(others):
        parts.append(_("Not covered, because no sourced figure of registered movers was found: {names}.", names=escape_markdown(join_list(others["label"]))))
    return Prose(join_sentences(parts))


def describe_alone(national: National) -> Prose:
    """A plain warning: which provinces cannot support a claim of their own, outcome by outcome."""
    items = [_say_alone(c) for c in national.outcomes if len(c.provinces)]
    warning = _("**One province alone cannot support a claim** where its sample is too small to see the benchmark effect or where a check fails.")
    return Prose("\n".join([warning, "", *(f"- {item}" for item in items)]))


def _say_alone(c: Compared) -> str:
    weak, doubtful, n = c.underpowered, c.doubtful, len(c.provinces)
    clear = c.provinces[~c.provinces["province"].isin([*weak["province"], *doubtful["province"]])]
    told = {"label": wording.at_start(name_outcome(c.about)), "weak": len(weak), "doubtful": len(doubtful), "n": n}
    text = _("{label}: power is below 80% in {weak} of {n} provinces, and a check fails in {doubtful}.", **told)
    if clear.empty:
        return join_sentences([text, _("None is free of both.")])
    return join_sentences([text, _("Free of both: {names}.", names=escape_markdown(list_names(clear["label"])))])
