"""Tables of what stands beside the effects: who was counted, what was checked, what is known to be true."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from relocation_analysis.data.codebook import Outcome
from relocation_analysis.estimation.checks import Check
from relocation_analysis.estimation.effects import Effects
from relocation_analysis.language import _, join_clauses, join_sentences, mark
from relocation_analysis.reporting import wording
from relocation_analysis.reporting.disclosure.release import release_flow
from relocation_analysis.reporting.exhibits.kinds import Table
from relocation_analysis.reporting.exhibits.released import close_note, is_lost, pair_checks, released, show_count
from relocation_analysis.reporting.exhibits.selection import MAIN, find_outcome, require_columns
from relocation_analysis.reporting.tables.effects import effect_cells, label_in_unit, left, right

TRUTH = ("outcome", "subgroup", "aggregation", "event_time")
FLOW = ("outcome", "step", "reason", "rows_dropped", "units_dropped", "rows_left", "units_left")


def tabulate_flow(flow: pd.DataFrame, codebook: dict[str, Outcome], name: str = "flow") -> Table:
    """Every exclusion from the file to the estimate; outcomes that share a flow share its rows.

    Parameters
    ----------
    flow : `FLOW`; the outcome is blank where the step concerns all.
    name : the end of the table's id.

    Raises
    ------
    InputError : where a column is missing, there is no row, or an outcome is not in the codebook.
    """
    require_columns(flow, FLOW, _("A flow"))
    shared: dict[tuple, list[str]] = {}
    for outcome, group in release_flow(flow).groupby("outcome", sort=False):
        shared.setdefault(tuple(map(_flow_row, group.to_dict("records"))), []).append(outcome)
    body: list[tuple[str, ...]] = []
    for rows, outcomes in shared.items():
        body.append((_list_outcomes(outcomes, codebook),))
        body += rows
    counts = (mark("Rows dropped"), mark("Units dropped"), mark("Rows left"), mark("Units left"))
    note = _("A row is a unit at one time. Outcomes with the same flow share one entry.")
    return Table(
        f"tbl-{name}",
        (*left(mark("Step"), mark("Reason")), *right(*counts)),
        tuple(body),
        _("From the file to the estimates: who was counted"),
        close_note(note, body),
        "reporting.tables.record.tabulate_flow",
    )


def _flow_row(row: Mapping) -> tuple[str, ...]:
    """A step with its counts. The file itself drops nothing: there is nothing to withhold."""
    counts = [show_count(row[key]) for key in FLOW[3:]]
    if row["step"] == "file":
        counts[:2] = [wording.format_count(np.nan_to_num(row[key])) for key in FLOW[3:5]]
    return wording.label_step(row["step"]), str(row["reason"]), *counts


def _list_outcomes(names: Sequence[str], codebook: dict[str, Outcome]) -> str:
    return join_clauses(find_outcome(codebook, name).label if name else _("Every outcome") for name in names)


def tabulate_checks(checks: Sequence[Check], codebook: dict[str, Outcome], name: str = "checks") -> Table:
    """Each check with its null as a sentence, what the data say of it and what follows.

    Parameters
    ----------
    checks : those of one name and null stand together.
    name : the end of the table's id.

    Raises
    ------
    InputError : where an outcome is not in the codebook.
    """
    groups: dict[tuple[str, str], list[tuple[Check, Check]]] = {}
    for pair in pair_checks(checks):
        groups.setdefault((pair[0].name, pair[0].null), []).append(pair)
    shared = {key: pairs[0][0].note for key, pairs in groups.items() if len({check.note for check, _before in pairs}) == 1}
    with_notes = len(shared) < len(groups)
    body: list[tuple[str, ...]] = []
    for (kind, null), pairs in groups.items():
        stated = wording.in_sentence(null.rstrip(".\u3002"))
        heading = _("{check}: {null}.", check=wording.label_check(kind), null=stated)
        body.append((join_sentences([heading, shared.get((kind, null))]),))
        for check, before in pairs:
            note = "" if (kind, null) in shared else check.note
            body.append(_check_row(check, before, codebook) + ((note,) if with_notes else ()))
    columns = (*left(mark("Outcome")), *right(mark("Statistic"), mark("p")), *left(mark("Verdict")))
    note = _("The heading of a group is its null hypothesis or requirement. \u201cNot rejected\u201d is not"
             " \u201ctrue\u201d. \u201cInforms\u201d: the check judges nothing.")  # fmt: skip
    return Table(
        f"tbl-{name}",
        columns + (left(mark("What follows")) if with_notes else ()),
        tuple(body),
        _("Checks: what could be wrong, and what the data say of it"),
        close_note(note, body, effects=True, counts=False),
        "reporting.tables.record.tabulate_checks",
    )


def _check_row(check: Check, before: Check, codebook: dict[str, Outcome]) -> tuple[str, ...]:
    about = find_outcome(codebook, check.outcome) if check.outcome else None
    statistic = wording.format_statistic(check.name, check.statistic, about.print_unit if about else "")
    return (
        about.label if about else _("The design"),
        wording.WITHHELD if is_lost(check.statistic, before.statistic) else statistic,
        wording.WITHHELD if is_lost(check.p_value, before.p_value) else wording.format_p(check.p_value),
        wording.label_verdict(check.name, check.passed, check.p_value),
    )


def tabulate_truth(
    effects: Effects,
    truth: pd.DataFrame,
    codebook: dict[str, Outcome],
    name: str = "truth",
) -> Table:
    """The known effect of simulated data beside each estimate of it; withheld with the estimate.

    Parameters
    ----------
    effects : holds rows of the main estimator.
    truth : outcome, subgroup, aggregation (headline, event_time), event_time, truth (in the outcome's unit),
        from `known_truth`. A row without its estimate, or before the event, is left out.
    name : the end of the table's id.

    Raises
    ------
    InputError : where `truth` lacks a column or meets no estimate, or the codebook lacks an outcome.
    """
    require_columns(truth, (*TRUTH, "truth"), _("A table of the truth"))
    both = truth.merge(released(effects).select(estimator=MAIN).table, on=list(TRUTH))
    both = both[~both["event_time"].lt(0) & both["truth"].notna()]
    require_columns(both, ("truth",), _("The truth, joined to the estimates of the main estimator,"))
    body: list[tuple[str, ...]] = []
    for outcome, rows in both.groupby("outcome", sort=False):
        about = find_outcome(codebook, outcome)
        body.append((label_in_unit(about),))
        body += [_truth_row(row, about.print_unit) for row in rows.to_dict("records")]
    labels = (mark("Truth"), mark("Estimate"), mark("95% interval"), mark("Estimate less truth"))
    note = _("Truth: the mean effect over the same cells with the same weights. One interval in twenty misses it.")
    return Table(
        f"tbl-{name}",
        (*left(mark("Effect")), *right(*labels), *left(mark("Interval holds the truth"))),
        tuple(body),
        _("Simulated data: the known truth beside each estimate"),
        close_note(note, body, effects=True, counts=False),
        "reporting.tables.record.tabulate_truth",
    )


def _truth_row(row: Mapping, unit: str) -> tuple[str, ...]:
    what = wording.label_aggregation(row["aggregation"])
    if row["aggregation"] == "event_time":
        what = wording.at_start(wording.say_exposure(row["event_time"]))
    if row["subgroup"] != "all":
        what = _("{effect}, {subgroup}", effect=what, subgroup=wording.in_sentence(wording.label_subgroup(row["subgroup"])))
    if row["withheld"]:
        return what, *[wording.WITHHELD] * 5
    estimate, _error, interval, _p = effect_cells(row, unit)
    holds = wording.BLANK if interval == wording.BLANK else wording.say_yes(row["conf_low"] <= row["truth"] <= row["conf_high"])
    off = wording.format_number(row["estimate"] - row["truth"], unit)
    return what, wording.format_number(row["truth"], unit), estimate, interval, off, holds
