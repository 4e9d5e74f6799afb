"""Tables of what stands beside the effects: who was counted, what was checked, what is known to be true."""

from collections.abc import Sequence

import pandas as pd

from relocation_analysis.data.codebook import Outcome
from relocation_analysis.estimation.checks import Check
from relocation_analysis.estimation.effects import Effects
from relocation_analysis.reporting import wording
from relocation_analysis.reporting.exhibits import Column, Table
from relocation_analysis.reporting.selection import MAIN, find_outcome, require_columns
from relocation_analysis.reporting.tables import effect_cells, label_with_unit

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
    require_columns(flow, FLOW, "A flow")
    shared: dict[tuple, list[str]] = {}
    for outcome, group in flow.groupby("outcome", sort=False):
        shared.setdefault(tuple(map(_flow_row, group.to_dict("records"))), []).append(outcome)
    body: list[tuple[str, ...]] = []
    for rows, outcomes in shared.items():
        body.append((_list_outcomes(outcomes, codebook),))
        body += rows
    counts = ("Rows dropped", "Units dropped", "Rows left", "Units left")
    return Table(
        f"tbl-{name}",
        (Column("Step"), Column("Reason"), *(Column(label, "right") for label in counts)),
        tuple(body),
        "From the file to the estimates: who was counted",
        "A row is a unit at one time. Outcomes with the same flow share one entry.",
        "reporting.record_tables.tabulate_flow",
    )


def _flow_row(row: dict) -> tuple[str, ...]:
    return (
        wording.spell_out(row["step"]),
        str(row["reason"]),
        *(wording.format_count(row[key]) for key in FLOW[3:]),
    )


def _list_outcomes(names: Sequence[str], codebook: dict[str, Outcome]) -> str:
    labels = [find_outcome(codebook, name).label if name else "Every outcome" for name in names]
    return "; ".join(labels)


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
    groups: dict[tuple[str, str], list[Check]] = {}
    for check in checks:
        groups.setdefault((check.name, check.null), []).append(check)
    shared = {key: members[0].note for key, members in groups.items() if len({c.note for c in members}) == 1}
    with_notes = len(shared) < len(groups)
    body: list[tuple[str, ...]] = []
    for (kind, null), members in groups.items():
        heading = f"{wording.label_check(kind)}: {wording.in_sentence(null.rstrip('.'))}."
        body.append((" ".join(filter(None, (heading, shared.get((kind, null))))),))
        for check in members:
            note = "" if (kind, null) in shared else check.note
            body.append(_check_row(check, codebook) + ((note,) if with_notes else ()))
    columns = (Column("Outcome"), Column("Statistic", "right"), Column("p", "right"), Column("Verdict"))
    return Table(
        f"tbl-{name}",
        columns + ((Column("What follows"),) if with_notes else ()),
        tuple(body),
        "Checks: what could be wrong, and what the data say of it",
        "The heading of a group is its null hypothesis or requirement. \u201cNot rejected\u201d is not"
        " \u201ctrue\u201d. \u201cInforms\u201d: the check judges nothing.",
        "reporting.record_tables.tabulate_checks",
    )


def _check_row(check: Check, codebook: dict[str, Outcome]) -> tuple[str, ...]:
    about = find_outcome(codebook, check.outcome) if check.outcome else None
    return (
        about.label if about else "The design",
        wording.format_statistic(check.name, check.statistic, about.print_unit if about else ""),
        wording.format_p(check.p_value),
        wording.label_verdict(check.passed, check.p_value),
    )


def tabulate_truth(
    effects: Effects,
    truth: pd.DataFrame,
    codebook: dict[str, Outcome],
    name: str = "truth",
) -> Table:
    """The known effect of simulated data beside each estimate of it.

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
    require_columns(truth, (*TRUTH, "truth"), "A table of the truth")
    both = truth.merge(effects.select(estimator=MAIN).table, on=list(TRUTH))
    both = both[~both["event_time"].lt(0) & both["truth"].notna()]
    require_columns(both, ("truth",), "The truth, joined to the estimates of the main estimator,")
    body: list[tuple[str, ...]] = []
    for outcome, rows in both.groupby("outcome", sort=False):
        about = find_outcome(codebook, outcome)
        body.append((label_with_unit(about),))
        body += [_truth_row(row, about.print_unit) for _, row in rows.iterrows()]
    labels = ("Truth", "Estimate", "95% interval", "Estimate less truth")
    return Table(
        f"tbl-{name}",
        (Column("Effect"), *(Column(label, "right") for label in labels), Column("Interval holds the truth")),
        tuple(body),
        "Simulated data: the known truth beside each estimate",
        "Truth: the mean effect over the same cells with the same weights. One interval in twenty misses it.",
        "reporting.record_tables.tabulate_truth",
    )


def _truth_row(row: pd.Series, unit: str) -> tuple[str, ...]:
    estimate, _, interval, _ = effect_cells(row, unit)
    holds = wording.BLANK
    if interval != wording.BLANK:
        holds = "yes" if row["conf_low"] <= row["truth"] <= row["conf_high"] else "no"
    what = wording.label_aggregation(row["aggregation"])
    if row["aggregation"] == "event_time":
        what = wording.spell_out(wording.say_exposure(row["event_time"]))
    if row["subgroup"] != "all":
        what += f", {wording.in_sentence(wording.label_subgroup(row['subgroup']))}"
    off = wording.format_number(row["estimate"] - row["truth"], unit)
    return what, wording.format_number(row["truth"], unit), estimate, interval, off, holds
