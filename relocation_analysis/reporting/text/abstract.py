"""The abstract of a report, for a reader who knows no statistics: every number in it is computed."""

import math
import re
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from relocation_analysis.data.codebook import Outcome
from relocation_analysis.data.panel import present_outcomes
from relocation_analysis.estimation.design import Design, build_design
from relocation_analysis.estimation.effects import Effects
from relocation_analysis.estimation.estimate import estimate
from relocation_analysis.language import _, join_list, join_sentences, mark, spoken
from relocation_analysis.reporting import wording
from relocation_analysis.reporting.disclosure.release import is_part_safe, kept, release_count, release_share
from relocation_analysis.reporting.exhibits.kinds import Prose, escape_markdown
from relocation_analysis.reporting.exhibits.released import released
from relocation_analysis.reporting.text.narrative import SUBJECT, headline_rows, is_found, name_outcome

LONGEST = 140, 250  # words, and characters where these are Chinese
WORD = re.compile(r"[\u2e80-\uffef]|[^\s\u2e80-\uffef]+")  # a Chinese character or sign, or a run of others such as a number
LOGIC = {
    "rollout": mark("Had both otherwise changed alike, the difference between their changes is what the move did."),
    "offer": mark("Chance alone decided who was offered, so what they differ by afterwards is what the offer did."),
    "comparison": mark("What the two differ by at the end is counted as what the move did."),
}


def describe_abstract(design: Design, effects: Effects, power: pd.DataFrame) -> Prose:
    """What was done, to how many, what the move did to each primary outcome, what cannot be said, harms, and the main doubt.

    From 90 to 140 words, in Chinese from 150 to 250 characters; longer where there are more than four primary outcomes. What a
    reader can do without is left out as it becomes too long.

    Parameters
    ----------
    design, effects : of the primary outcomes. Possible harms that they lack are estimated here, as their chapters do.
    power : from `design_power`.

    Returns
    -------
    Prose of the role "abstract", which the renderer prints under the title.
    """
    effects = released(effects)
    rows = headline_rows(effects)
    primaries = {name: about for name, about in design.outcomes.items() if about.role == "primary" and name in rows}
    shown = primaries or {name: about for name, about in design.outcomes.items() if name in rows}
    found, unclear = _say_effects(design, rows, shown, power)
    sentences = [  # in the order of reading, each with how soon it is left out: 0 is never
        (_("The data of this report are simulated.") if design.study.simulated else "", 0),
        (_say_design(design), 0),
        (_(LOGIC[design.kind]), 3),
        *((text, 0) for text in found),
        *unclear,
        (_("Brackets hold the range that chance leaves open."), 1),
        (_say_harms(design, effects, rows), 0),
        (_say_doubt(design, next(iter(shown))), 0),
        (_("The chapters that follow give every number and what speaks against it."), 4),
    ]
    return Prose(_fit(sentences), role="abstract")


def _fit(sentences: list[tuple[str, int]]) -> str:
    """The sentences, without those that can be spared as far as all would be too long: the highest rank goes first."""
    text = ""
    for rank in range(max(rank for _sentence, rank in sentences) + 1):
        longer = join_sentences(sentence for sentence, own in sentences if own <= rank)
        if rank and len(WORD.findall(longer)) > LONGEST[spoken() == "zh"]:
            break
        text = longer
    return text


def _say_design(design: Design) -> str:
    """What was done and to how many; a number of movers that would tell how few did not move is left out."""
    panel, unit = design.panel, design.study.design.unit
    units = panel.drop_duplicates(unit) if unit in panel else panel
    done = units["offered"].eq(1) if design.kind == "offer" else units["relocated"].eq(1) if design.kind == "comparison" else (
        units["cohort"].le(design.times[-1]))  # fmt: skip
    said = {"total": _count(len(units)), "units": wording.say_units(_count(len(units)), unit)}
    told = is_part_safe(int(done.sum()), len(units))
    said["part"] = wording.say_units(_count(int(done.sum())), unit)
    if design.kind == "offer":
        if told:
            return _("By lot, {part} out of {total} were offered the move; they are compared with the others, whether they went or not.",
                     part=said["part"], total=said["total"])  # fmt: skip
        return _("By lot, some of {units} were offered the move; they are compared with the others, whether they went or not.",
                 units=said["units"])  # fmt: skip
    if design.kind == "comparison":
        if told:
            return _("This report compares {part} who moved, out of {total}, with those of the others who were like them before.",
                     part=said["part"], total=said["total"])  # fmt: skip
        return _("This report compares those of {units} who moved with those of the others who were like them before.", units=said["units"])
    years = {"first": design.times[0], "last": design.times[-1]}
    if told:
        return _("{part} out of {total} followed from {first} to {last} moved; up to three years after the move they are compared with"
                 " those not moved, or not moved yet.", part=said["part"], total=said["total"], **years)  # fmt: skip
    return _("Of {units} followed from {first} to {last} those who moved are compared, up to three years after the move, with those not"
             " moved, or not moved yet.", units=said["units"], **years)  # fmt: skip


def _count(n: int) -> str:
    shown = release_count(n)
    return wording.format_count(shown) if np.isfinite(shown) else _("fewer than {n}", n=kept().threshold)


def _say_effects(
    design: Design, rows: Mapping, shown: Mapping[str, Outcome], power: pd.DataFrame
) -> tuple[list[str], list[tuple[str, int]]]:
    """Sentences on what was raised, lowered and withheld; and on what cannot be said, with the chance of having found it."""
    said: dict[str, list[str]] = {"raised": [], "lowered": [], "withheld": [], "unclear": []}
    chances, known = [], power.set_index("outcome")["power"]
    for name, about in shown.items():
        row = rows[name]
        if row["withheld"]:
            said["withheld"].append(name_outcome(about))
        elif is_found(row):
            said["raised" if row["estimate"] > 0 else "lowered"].append(_say_found(row, about))
        else:
            said["unclear"].append(_say_unclear(row, about))
            chances.append(wording.format_share(known.get(name, math.nan)))
    subject, lists = _(SUBJECT[design.kind]), {kind: _join(items) for kind, items in said.items()}
    start = wording.at_start(subject)
    found = [_("{subject} raised {list}.", subject=start, list=lists["raised"]) if said["raised"] else "",
             _("{subject} lowered {list}.", subject=start, list=lists["lowered"]) if said["lowered"] else "",
             _("Withheld, because too few stand behind them: {list}.", list=lists["withheld"]) if said["withheld"] else ""]  # fmt: skip
    if not said["unclear"]:
        return found, []
    unclear = [(_("What {subject} did to {list} cannot be said.", subject=subject, list=lists["unclear"]), 0)]
    if wording.BLANK not in chances:
        unclear.append((_("An effect worth finding would have shown there with a chance of {chances}.", chances=_join(chances)), 2))
    return found, unclear


def _join(items: list[str]) -> str:
    return _("{some} and {last}", some=join_list(items[:-1]), last=items[-1]) if len(items) > 1 else "".join(items)


def _say_found(row: Mapping, about: Outcome) -> str:
    ends = sorted(map(abs, (row["conf_low"], row["conf_high"])))
    said = {"label": name_outcome(about), "amount": _say_size(row["estimate"], about),
            "range": wording.format_interval(*ends, about.unit)}  # fmt: skip
    if about.good_direction == 0:
        return _("{label} by {amount} ({range})", **said)
    if row["estimate"] * about.good_direction > 0:
        return _("{label} by {amount} ({range}; a gain)", **said)
    return _("{label} by {amount} ({range}; a loss)", **said)


def _say_size(effect: float, about: Outcome) -> str:
    """The size of an effect with its unit written out; of a logarithm also what it is of the level."""
    amount = _say_plainly(wording.format_number(abs(effect), about.unit), about)
    if not about.unit.startswith("log"):
        return amount
    return _("about {share}, or {amount}", amount=amount, share=wording.format_share(abs(math.expm1(effect))))


def _say_unclear(row: Mapping, about: Outcome) -> str:
    label, unit = name_outcome(about), about.unit
    interval = wording.format_interval(row["conf_low"], row["conf_high"], unit)
    if interval == wording.BLANK:
        amount = _say_plainly(wording.format_number(row["estimate"], unit), about)
        return _("{label} (estimate {amount}, too few clusters for a range)", label=label, amount=amount)
    return _("{label} ({range})", label=label, range=_say_plainly(interval, about))


def _say_plainly(number: str, about: Outcome) -> str:
    return wording.beside(number, escape_markdown(wording.label_plain_unit(about.unit)))


def _say_harms(design: Design, effects: Effects, rows: dict[str, dict]) -> str:
    names = [name for name, about in present_outcomes(design.panel, design.study).items() if about.role == "adverse"]
    rows = {**_estimate_harms(design, tuple(name for name in names if name not in rows)), **rows}
    known = [name for name in names if name in rows and not rows[name]["withheld"]]
    if not known:
        return _("No possible harm is measured, so nothing is said of harms.")
    book = design.study.codebook
    worse = [name for name in known if is_found(rows[name]) and rows[name]["estimate"] * book[name].good_direction < 0]
    n = wording.say_count(len(known))
    if not worse:
        return _("Of the possible harms measured ({n}) none clearly got worse, which does not prove that there are none.", n=n)
    return _("Of the possible harms measured ({n}) these got worse: {list}.", n=n, list=_join([name_outcome(book[name]) for name in worse]))


def _estimate_harms(design: Design, names: tuple[str, ...]) -> dict[str, dict]:
    """The headlines of possible harms that are not among the primaries, estimated as their chapters do."""
    if not names:
        return {}
    found = estimate(replace(build_design(design.panel, design.study, names), subgroups=())).select(aggregation="headline")
    return headline_rows(found) if len(found.table) else {}


def _say_doubt(design: Design, name: str) -> str:
    if design.kind == "rollout":
        return _("The main doubt: without the move, movers might have changed differently from the others.")
    if design.kind == "comparison":
        return _("The main doubt: movers may differ from the others in what was not measured.")
    lost, total = int(design.panel[name].isna().sum()), len(design.panel)
    if lost and is_part_safe(lost, total):
        share = wording.format_share(release_share(lost / total, total))
        label = name_outcome(design.outcomes[name])
        return _("The main doubt: for {share} of them it is not known what became of {label}.", share=share, label=label)
    return _("The main doubt: whether it would be so elsewhere.")
