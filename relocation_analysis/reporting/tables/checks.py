"""The numbers behind checks, and primaries by years since the move, as tables."""

import math
from collections.abc import Mapping

import pandas as pd

from relocation_analysis.data.codebook import Outcome
from relocation_analysis.estimation.checks import Check
from relocation_analysis.estimation.effects import EFFECT_COLUMNS, MAIN_ESTIMATORS, Effects
from relocation_analysis.language import _, mark
from relocation_analysis.reporting import wording
from relocation_analysis.reporting.disclosure.release import release_clusters
from relocation_analysis.reporting.exhibits.kinds import Column, Prose, Table
from relocation_analysis.reporting.exhibits.released import close_note, is_lost, pair_checks, released
from relocation_analysis.reporting.exhibits.selection import MAIN
from relocation_analysis.reporting.tables.effects import left, right, show_clusters

HEADS = {
    "single_cohorts": (mark("Effect without each cohort in turn"),
                       {"cohort": mark("Cohort left out"), "estimate": mark("Effect"), "std_error": mark("SE")}),
    "honest_relative_magnitudes": (mark("Honest intervals: the difference in trends after the move steps by up to M times its largest"
                                        " step before"), {"M": mark("M"), "low": mark("Low"), "high": mark("High")}),
    "honest_smoothness": (mark("Honest intervals: the slope of the difference in trends changes by up to M a period"),
                          {"M": mark("M"), "low": mark("Low"), "high": mark("High")}),  # this M is in the unit of the outcome
    "attrition": (mark("Share of the first wave's units that are observed"),
                  {"time": mark("Year"), "moved": mark("Movers"), "stayed": mark("Stayers")}),
}  # fmt: skip
IN_UNIT = ("estimate", "std_error", "low", "high")
SHARES = ("moved", "stayed")


def tabulate_check_tables(checks: list[Check], name: str, codebook: dict[str, Outcome]) -> Table | Prose:
    """The tables of all checks of one name, grouped by outcome; nothing where none has one."""
    caption, heads = HEADS[name]
    pairs = [pair for pair in pair_checks(checks) if pair[0].name == name and pair[1].table is not None and len(pair[1].table)]
    if not pairs:
        return Prose("")
    body: list[tuple[str, ...]] = []
    for check, before in pairs:
        unit = codebook[check.outcome].print_unit if check.outcome else ""
        if check.outcome:
            body.append((wording.label_with_unit(codebook[check.outcome].label, unit),))
        body += _rows(check, before, heads, unit)
    first, *others = heads.values()
    return Table(f"tbl-check-{name}", (*left(first), *right(*others)), tuple(body), _(caption),
                 close_note("", body, effects=name != "attrition", counts=False),
                 "reporting.tables.checks.tabulate_check_tables")  # fmt: skip


def _rows(check: Check, before: Check, heads: Mapping[str, str], unit: str) -> list[tuple[str, ...]]:
    """The rows of the table of one check; a single one without numbers where it is withheld whole."""
    if check.table is None:
        return [(wording.WITHHELD,) * len(heads)]
    known = before.table.reindex(check.table.index).to_dict("records")
    return [tuple(_cell(row[c], was.get(c), c, unit, check.name) for c in heads)
            for row, was in zip(check.table.to_dict("records"), known, strict=True)]  # fmt: skip


def _cell(value: float, was: float, column: str, unit: str, name: str) -> str:
    if is_lost(value, was):
        return wording.WITHHELD
    if column in IN_UNIT or (column == "M" and name == "honest_smoothness"):
        return wording.format_number(value, unit)
    return wording.format_share(value) if column in SHARES else wording.format_period(value)


def tabulate_errors(errors: dict[str, pd.DataFrame], codebook: dict[str, Outcome]) -> Table:
    """The headline with its error clustered by origin village, destination site and county, side by side.

    Parameters
    ----------
    errors : by outcome, from `errors_by_level`, the study's own level first: where the headline is withheld, so are all its errors.
    """
    body: list[tuple[str, ...]] = []
    headlines = {name: _headline(table, codebook[name]) for name, table in errors.items()}
    for name, table in errors.items():
        about, (own, *others) = codebook[name], table.to_dict("records")
        shown = {key: headlines[name][key] for key in ("estimate", "std_error", "conf_low", "conf_high", "p_value")}
        rows = [own | shown, *(row | {"estimate": shown["estimate"]} for row in others)]
        body.append((wording.label_with_unit(about.label, about.print_unit),))
        body += [_error_row(row, about.print_unit, headlines[name]["withheld"] != "") for row in rows]
    heads = (mark("Effect"), mark("SE"), mark("95% interval"), mark("p"), mark("Clusters"))
    note = _("Each level by the house's rule for few clusters. Those who stayed have no site: each of their villages counts as one.")
    return Table("tbl-errors", (*left(mark("Clustered by")), *right(*heads)), tuple(body),
                 _("The headline with errors at each level that could be defended"),
                 close_note(note, body, effects=any(row["withheld"] != "" for row in headlines.values())),
                 "reporting.tables.checks.tabulate_errors")  # fmt: skip


def _headline(table: pd.DataFrame, about: Outcome) -> Mapping:
    """The headline of an outcome as every table shows it: its row at the study's own level, as a row of effects."""
    keys = {"outcome": about.name, "domain": about.domain, "subgroup": "all", "estimator": MAIN_ESTIMATORS[0], "estimand": "att",
            "aggregation": "headline", "arm": ""}  # fmt: skip
    row = table.head(1).assign(**keys).reindex(columns=list(EFFECT_COLUMNS))
    return released(Effects(row, None, None)).table.iloc[0]


def _error_row(row: Mapping, unit: str, withheld: bool) -> tuple[str, ...]:
    label = wording.label_kind_of_unit(row["level"])
    if withheld:
        return label, *[wording.WITHHELD] * 5
    clusters = {name: release_clusters(row[name]) for name in ("n_clusters_treated", "n_clusters_comparison")}
    interval = wording.format_interval(row["conf_low"], row["conf_high"], unit)
    return (label, wording.format_number(row["estimate"], unit), wording.format_number(row["std_error"], unit), interval,
            wording.format_p(row["p_value"]), show_clusters(clusters))  # fmt: skip


def tabulate_event_times(effects: Effects, codebook: dict[str, Outcome]) -> Table:
    """The effect on each outcome by years since the move: estimate and 95% interval, a blank beyond the horizon."""
    table = released(effects).table
    rows = table.query("aggregation == 'event_time' and estimator in @MAIN and subgroup == 'all' and event_time >= 0")
    times = sorted(rows["event_time"].unique())
    body: list[tuple[str, ...]] = []
    for name in rows["outcome"].unique():
        about, found = codebook[name], {row["event_time"]: row for row in rows[rows["outcome"] == name].to_dict("records")}
        body.append((wording.label_with_unit(about.label, about.print_unit),))
        cells = [_event_cells(found.get(time), about.print_unit) for time in times]
        body += [(_("Effect"), *(cell[0] for cell in cells)), (_("95% interval"), *(cell[1] for cell in cells))]
    heads = (*left(mark("Years since the move")), *(Column(wording.format_period(t), "right") for t in times))
    note = _("Pointwise intervals. A dash: no wave, nobody to compare with, or too few clusters for an interval.")
    return Table("tbl-event_times", heads, tuple(body), _("Effects by years since the move"),
                 close_note(note, body, effects=True, counts=False), "reporting.tables.checks.tabulate_event_times")  # fmt: skip


def _event_cells(row: Mapping | None, unit: str) -> tuple[str, str]:
    if row is None:
        return wording.BLANK, wording.BLANK
    if row["withheld"]:
        return wording.WITHHELD, wording.WITHHELD
    known = math.isfinite(row["std_error"])
    return (wording.format_number(row["estimate"], unit),
            wording.format_interval(row["conf_low"], row["conf_high"], unit) if known else wording.BLANK)  # fmt: skip
