"""The numbers behind checks, and primaries by years since the move, as tables."""

import math

import pandas as pd

from relocation_analysis.data.codebook import Outcome
from relocation_analysis.estimation.checks import Check
from relocation_analysis.estimation.effects import Effects
from relocation_analysis.reporting import wording
from relocation_analysis.reporting.exhibits import Column, Prose, Table
from relocation_analysis.reporting.selection import MAIN

HEADS = {
    "single_cohorts": ("Effect without each cohort in turn", {"cohort": "Cohort left out", "estimate": "Effect", "std_error": "Error"}),
    "honest_relative_magnitudes": ("Honest intervals: the difference in trends after the move steps by up to M times its largest step before",
                                   {"M": "M", "low": "Low", "high": "High"}),
    "honest_smoothness": ("Honest intervals: the slope of the difference in trends changes by up to M a period",
                          {"M": "M", "low": "Low", "high": "High"}),  # this M is in the unit of the outcome
    "attrition": ("Share of the first wave's units that are observed", {"time": "Year", "moved": "Movers", "stayed": "Stayers"}),
}  # fmt: skip
IN_UNIT = ("estimate", "std_error", "low", "high")
SHARES = ("moved", "stayed")


def tabulate_check_tables(checks: list[Check], name: str, codebook: dict[str, Outcome]) -> Table | Prose:
    """The tables of all checks of one name, grouped by outcome; nothing where none has one."""
    caption, heads = HEADS[name]
    found = [check for check in checks if check.name == name and check.table is not None and len(check.table)]
    if not found:
        return Prose("")
    body: list[tuple[str, ...]] = []
    for check in found:
        unit = codebook[check.outcome].print_unit if check.outcome else ""
        if check.outcome:
            body.append((f"{codebook[check.outcome].label} ({wording.label_unit(unit)})",))
        in_unit = (*IN_UNIT, "M") if name == "honest_smoothness" else IN_UNIT
        body += [tuple(_cell(row[c], unit, c in in_unit, c in SHARES) for c in heads) for _, row in check.table.iterrows()]
    first, *others = heads.values()
    return Table(f"tbl-check-{name}", (Column(first), *(Column(label, "right") for label in others)), tuple(body), caption,
                 found[0].note, "reporting.check_tables.tabulate_check_tables")  # fmt: skip


def _cell(value: float, unit: str, in_unit: bool, share: bool) -> str:
    if in_unit:
        return wording.format_number(value, unit)
    return wording.format_share(value) if share else wording.format_period(value)


def tabulate_errors(errors: dict[str, pd.DataFrame], codebook: dict[str, Outcome]) -> Table:
    """The headline with its error clustered by origin village, destination site and county, side by side.

    Parameters
    ----------
    errors : by outcome, from `errors_by_level`.
    """
    body: list[tuple[str, ...]] = []
    for outcome, table in errors.items():
        about = codebook[outcome]
        body.append((f"{about.label} ({wording.label_unit(about.print_unit)})",))
        for _, row in table.iterrows():
            interval = wording.format_interval(row["conf_low"], row["conf_high"], about.print_unit)
            body.append((wording.spell_out(row["level"]), wording.format_number(row["estimate"], about.print_unit),
                         wording.format_number(row["std_error"], about.print_unit), interval, wording.format_p(row["p_value"]),
                         f"{row['n_clusters_treated']} / {row['n_clusters_comparison']}"))  # fmt: skip
    heads = ("Effect", "SE", "95% interval", "p", "Clusters")
    return Table("tbl-errors", (Column("Clustered by"), *(Column(head, "right") for head in heads)), tuple(body),
                 "The headline with errors at each level that could be defended",
                 "Each level by the house's rule for few clusters. Those who stayed have no site: each of their villages counts as one.",
                 "reporting.check_tables.tabulate_errors")  # fmt: skip


def tabulate_event_times(effects: Effects, codebook: dict[str, Outcome]) -> Table:
    """The effect on each outcome by years since the move: estimate and 95% interval, a blank beyond the horizon."""
    rows = effects.table.query("aggregation == 'event_time' and estimator in @MAIN and subgroup == 'all' and event_time >= 0")
    times = sorted(rows["event_time"].unique())
    cells = rows.set_index(["outcome", "event_time"])
    body: list[tuple[str, ...]] = []
    for name in rows["outcome"].unique():
        about = codebook[name]
        body.append((f"{about.label} ({wording.label_unit(about.print_unit)})",))
        found = [cells.loc[(name, t)] if (name, t) in cells.index else None for t in times]
        blank = wording.BLANK
        body.append(("Effect", *(blank if r is None else wording.format_number(r["estimate"], about.print_unit) for r in found)))
        ends = [blank if r is None or not math.isfinite(r["std_error"]) else
                wording.format_interval(r["conf_low"], r["conf_high"], about.print_unit) for r in found]  # fmt: skip
        body.append(("95% interval", *ends))
    heads = (Column("Years since the move"), *(Column(wording.format_period(t), "right") for t in times))
    return Table("tbl-event_times", heads, tuple(body), "Effects by years since the move",
                 "Pointwise intervals. A dash: no wave, nobody to compare with, or too few clusters for an interval.",
                 "reporting.check_tables.tabulate_event_times")  # fmt: skip
