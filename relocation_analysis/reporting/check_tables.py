"""The numbers behind checks, and primaries by years since the move, as tables."""

import math

from relocation_analysis.data.codebook import Outcome
from relocation_analysis.estimation.checks import Check
from relocation_analysis.estimation.effects import Effects
from relocation_analysis.reporting import wording
from relocation_analysis.reporting.exhibits import Column, Prose, Table
from relocation_analysis.reporting.selection import MAIN

HEADS = {
    "single_cohorts": ("Effect without each cohort in turn", {"cohort": "Cohort left out", "estimate": "Effect", "std_error": "Error"}),
    "attrition": ("Share of the first wave's units that are observed", {"time": "Year", "moved": "Movers", "stayed": "Stayers"}),
}  # fmt: skip
IN_UNIT = ("estimate", "std_error")
SHARES = ("moved", "stayed")


def tabulate_check_tables(checks: list[Check], name: str, codebook: dict[str, Outcome]) -> Table | Prose:
    """The tables of all checks of one name, grouped by outcome; nothing where none has one."""
    caption, heads = HEADS[name]
    found = [check for check in checks if check.name == name and check.table is not None and len(check.table)]
    if not found:
        return Prose("")
    body: list[tuple[str, ...]] = []
    for check in found:
        unit = codebook[check.outcome].unit if check.outcome else ""
        if check.outcome:
            body.append((f"{codebook[check.outcome].label} ({wording.label_unit(unit)})",))
        body += [tuple(_cell(row[c], c, unit) for c in heads) for _, row in check.table.iterrows()]
    first, *others = heads.values()
    return Table(f"tbl-check-{name}", (Column(first), *(Column(label, "right") for label in others)), tuple(body), caption,
                 found[0].note, "reporting.check_tables.tabulate_check_tables")  # fmt: skip


def _cell(value: float, column: str, unit: str) -> str:
    if column in IN_UNIT:
        return wording.format_number(value, unit)
    return wording.format_share(value) if column in SHARES else wording.format_period(value)


def tabulate_event_times(effects: Effects, codebook: dict[str, Outcome]) -> Table:
    """The effect on each outcome by years since the move: estimate and 95% interval, a blank beyond the horizon."""
    rows = effects.table.query("aggregation == 'event_time' and estimator in @MAIN and subgroup == 'all' and event_time >= 0")
    times = sorted(rows["event_time"].unique())
    cells = rows.set_index(["outcome", "event_time"])
    body: list[tuple[str, ...]] = []
    for name in rows["outcome"].unique():
        about = codebook[name]
        body.append((f"{about.label} ({wording.label_unit(about.unit)})",))
        found = [cells.loc[(name, t)] if (name, t) in cells.index else None for t in times]
        blank = wording.BLANK
        body.append(("Effect", *(blank if r is None else wording.format_number(r["estimate"], about.unit) for r in found)))
        ends = [blank if r is None or not math.isfinite(r["std_error"]) else
                wording.format_interval(r["conf_low"], r["conf_high"], about.unit) for r in found]  # fmt: skip
        body.append(("95% interval", *ends))
    heads = (Column("Years since the move"), *(Column(wording.format_period(t), "right") for t in times))
    return Table("tbl-event_times", heads, tuple(body), "Effects by years since the move",
                 "Pointwise intervals. A dash: no wave, nobody to compare with, or too few clusters for an interval.",
                 "reporting.check_tables.tabulate_event_times")  # fmt: skip
