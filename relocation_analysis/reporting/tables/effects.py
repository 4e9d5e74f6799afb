"""Tables of effects: every number of the report with its unit, its interval and what stands behind it."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from relocation_analysis.data.codebook import Outcome
from relocation_analysis.estimation.effects import Effects
from relocation_analysis.language import _, join_sentences, mark
from relocation_analysis.reporting import wording
from relocation_analysis.reporting.disclosure.release import is_part_safe, release_power
from relocation_analysis.reporting.exhibits.kinds import Column, Table
from relocation_analysis.reporting.exhibits.released import close_note, is_withheld, released, show_count
from relocation_analysis.reporting.exhibits.selection import (
    MAIN,
    UNIVERSAL,
    find_outcome,
    is_reference,
    lacks_interval,
    say_exposures,
    select_headlines,
    select_rows,
)

OVERALL = ("headline", "overall_simple", "overall_dynamic", "overall_cohort")
NUMBERS = (mark("Effect"), mark("SE"), mark("95% interval"), mark("p"), mark("Units"), mark("Clusters"))
CLUSTERS = mark("Clusters: treated / comparison.")


def left(*labels: str) -> tuple[Column, ...]:
    """Columns of text with these marked labels."""
    return tuple(Column(_(label)) for label in labels)


def right(*labels: str) -> tuple[Column, ...]:
    """Columns of numbers with these marked labels."""
    return tuple(Column(_(label), "right") for label in labels)


def tabulate_headlines(
    effects: Effects,
    codebook: dict[str, Outcome],
    power: pd.DataFrame | None = None,
    coverage: Mapping[str, float] | None = None,
    name: str = "headlines",
) -> Table:
    """One row an outcome: its headline effect, and what the design could have found.

    Parameters
    ----------
    effects : every row of the main estimator, aggregation "headline", subgroup "all" is shown.
    power : outcome, benchmark, std_error and mde (in the outcome's unit), power (0 to 1); outcomes may be missing.
    coverage : by outcome, the share of treated unit-years at exposures 0 to 3 that the headline covers.
    name : the end of the table's id.

    Returns
    -------
    Table, grouped by role where the outcomes have more than one.

    Raises
    ------
    InputError : where the effects hold no headline or an outcome that the codebook lacks.
    """
    rows = select_headlines(effects).query("subgroup == 'all'")
    roles = {name: find_outcome(codebook, name).role for name in rows["outcome"]}
    powers = {} if power is None else release_power(power, effects).set_index("outcome").to_dict("index")
    columns = (*left(mark("Outcome"), mark("Unit")), *right(*NUMBERS[:4], mark("Holm p")))
    columns += right(mark("Power for"), mark("Detectable")) * bool(powers)
    columns += (*right(*NUMBERS[4:]), *(right(mark("Covered")) if coverage else ()))
    body: list[tuple[str, ...]] = []
    for role in (role for role in wording.ROLES if role in roles.values()):
        body += [(wording.label_role(role),)] * (len(set(roles.values())) > 1)
        for row in rows[rows["outcome"].map(roles).eq(role)].to_dict("records"):
            about = codebook[row["outcome"]]
            cells = (about.label, wording.label_narrow_unit(about.print_unit), *effect_cells(row, about.print_unit), _holm(row))
            cells += _power_cells(row, powers.get(about.name), about.print_unit) if powers else ()
            body.append((*cells, *_count_cells(row), *((show_coverage(coverage.get(about.name), row),) if coverage else ())))
    return Table(
        f"tbl-{name}",
        columns,
        tuple(body),
        _("Headline effects{exposures}", exposures=say_exposures(effects)),
        _note(rows, _say_headline_columns(bool(powers), bool(coverage)), body),
        "reporting.tables.effects.tabulate_headlines",
    )


def _holm(row: Mapping) -> str:
    return wording.WITHHELD if row["withheld"] else wording.format_p(row["p_adjusted"])


def _power_cells(row: Mapping, power: dict | None, unit: str) -> tuple[str, str]:
    """Power and detectable effect: both come from the standard error, and are withheld with it."""
    if row["withheld"]:
        return wording.WITHHELD, wording.WITHHELD
    if power is None:
        return wording.BLANK, wording.BLANK
    share, benchmark = wording.format_share(power["power"]), wording.format_number(power["benchmark"], unit)
    found = wording.BLANK if share == wording.BLANK else _("{benchmark}: {power}", benchmark=benchmark, power=share)
    return found, wording.format_number(power["mde"], unit)


def show_coverage(share: float | None, row: Mapping) -> str:
    """The share of the mover-years that a headline covers. That all are covered says nothing of anybody; that a few are not, or
    only a few are, is withheld."""
    known = share is not None and np.isfinite(share)
    if row["withheld"] or (known and not np.isclose(share, 1) and not is_part_safe(share * row["n_units"], row["n_units"])):
        return wording.WITHHELD
    return wording.format_share(share)


def _say_headline_columns(with_power: bool, with_coverage: bool) -> str:
    parts = [_("pp: percentage points. Holm p: adjusted for the outcomes tested together; a dash: not among them.")]
    if with_power:
        parts.append(_("Power for: the benchmark effect and the chance beforehand of finding it at the 5% level."
                       " Detectable: the effect found with 80% power."))  # fmt: skip
    parts.append(_(CLUSTERS))
    if with_coverage:
        parts.append(_("Covered: the share of the treated units\u2019 years 0 to 3 that can be compared."))
    return join_sentences(parts)


def tabulate_estimators(
    effects: Effects, outcome: str, codebook: dict[str, Outcome], name: str = ""
) -> Table:
    """The headline effect of one outcome by estimator.

    Parameters
    ----------
    effects : holds rows of aggregation "headline", subgroup "all", one an estimator.
    name : the end of the table's id where another table of the report has the default one.

    Raises
    ------
    InputError : where the effects or the codebook lack the outcome, or the effects such rows.
    """
    about = find_outcome(codebook, outcome)
    rows = select_rows(effects, outcome, subgroup="all", aggregation=["headline", ""])
    own = rows["estimator"].isin(MAIN) & (rows["aggregation"] == "headline")
    rows = pd.concat([rows[own], rows[~own]])
    body = tuple((wording.label_estimator(r["estimator"]), *effect_row(r, about.print_unit)) for r in rows.to_dict("records"))
    note = _("The first is the study\u2019s own; below it variants, and benchmarks that need stronger assumptions.")
    return Table(
        f"tbl-{name or f'estimators-{outcome}'}".lower(),
        (*left(mark("Estimator")), *right(*NUMBERS)),
        body,
        wording.label_with_unit(_("Effect on {label} by estimator", label=wording.in_sentence(about.label)), about.print_unit),
        _note(rows, join_sentences([note, _(CLUSTERS)]), body),
        "reporting.tables.effects.tabulate_estimators",
    )


def tabulate_event_study(
    effects: Effects,
    outcome: str,
    codebook: dict[str, Outcome],
    estimator: str = UNIVERSAL,
    name: str = "",
) -> Table:
    """The effect of one outcome by event time: the numbers of the event-study figure.

    Parameters
    ----------
    effects : holds rows of aggregation "event_time", subgroup "all" for the outcome and estimator.
    name : the end of the table's id where another table of the report has the default one.

    Raises
    ------
    InputError : where the effects or the codebook lack the outcome, or the effects such rows.
    """
    about = find_outcome(codebook, outcome)
    wanted = {"subgroup": "all", "estimator": estimator, "aggregation": "event_time"}
    rows = select_rows(effects, outcome, sort_by="event_time", **wanted).assign(is_reference=is_reference)
    body: list[tuple[str, ...]] = []
    for heading, part in ((_("Before the move"), rows[rows["event_time"] < 0]), (_("Since the move"), rows[rows["event_time"] >= 0])):
        body += [(heading,)] * bool(len(part))
        body += [_event_row(row, about.print_unit) for row in part.to_dict("records")]
    note = _("The interval covers one year, the band all years at once.")
    return Table(
        f"tbl-{name or f'event_study-{outcome}'}".lower(),
        (*left(mark("Years since the move")), *right(*NUMBERS[:3], mark("95% band"), *NUMBERS[3:])),
        tuple(body),
        wording.label_with_unit(_("Effect on {label} by years since the move", label=wording.in_sentence(about.label)), about.print_unit),
        _note(rows, join_sentences([note, _(CLUSTERS)]), body),
        "reporting.tables.effects.tabulate_event_study",
    )


def _event_row(row: Mapping, unit: str) -> tuple[str, ...]:
    when = wording.format_period(row["event_time"])
    if row["is_reference"]:
        return _("{time} (base)", time=when), wording.format_number(row["estimate"], unit), *[wording.BLANK] * 6
    estimate, error, interval, p, *counts = effect_row(row, unit)
    band = wording.WITHHELD if row["withheld"] else wording.format_interval(row["band_low"], row["band_high"], unit)
    return when, estimate, error, interval, band, p, *counts


def tabulate_aggregations(
    effects: Effects, outcome: str, codebook: dict[str, Outcome], estimator: str | tuple[str, ...] = MAIN, name: str = ""
) -> Table:
    """One outcome averaged in every way: overall, by cohort, by calendar year.

    Parameters
    ----------
    effects : holds rows of subgroup "all" for the outcome and estimator; its aggregations are shown.
    name : the end of the table's id where another table of the report has the default one.

    Raises
    ------
    InputError : where the effects or the codebook lack the outcome, or the effects such rows.
    """
    about = find_outcome(codebook, outcome)
    wanted = {"subgroup": "all", "estimator": estimator, "aggregation": [*OVERALL, "cohort", "calendar"]}
    rows = select_rows(effects, outcome, **wanted)
    overall = rows[rows["aggregation"].isin(OVERALL)].sort_values(
        "aggregation", key=lambda x: x.map(OVERALL.index)
    )
    labelled = [(_("Overall"), overall, "aggregation", wording.label_aggregation)]
    for aggregation, column in (("cohort", "cohort"), ("calendar", "time")):
        part = rows[rows["aggregation"] == aggregation].sort_values(column)
        labelled.append((wording.label_aggregation(aggregation), part, column, wording.format_period))
    body: list[tuple[str, ...]] = []
    for heading, part, column, label in labelled:
        body += [(heading,)] * bool(len(part))
        body += [(label(row[column]), *effect_row(row, about.print_unit)) for row in part.to_dict("records")]
    return Table(
        f"tbl-{name or f'aggregations-{outcome}'}".lower(),
        (*left(mark("Average over")), *right(*NUMBERS)),
        tuple(body),
        wording.label_with_unit(_("Effect on {label} averaged in different ways", label=wording.in_sentence(about.label)), about.print_unit),
        _note(rows, _(CLUSTERS), body),
        "reporting.tables.effects.tabulate_aggregations",
    )


def tabulate_subgroups(
    effects: Effects,
    codebook: dict[str, Outcome],
    outcomes: list[str] | None = None,
    estimator: str | tuple[str, ...] = MAIN,
    name: str = "subgroups",
) -> Table:
    """The headline effect of each outcome for everyone and for each subgroup.

    Parameters
    ----------
    effects : holds rows of aggregation "headline".
    outcomes : their names; by default every outcome that the effects hold by subgroup.
    name : the end of the table's id.

    Raises
    ------
    InputError : where the effects or the codebook lack an outcome, or the effects such rows.
    """
    effects = released(effects)
    headlines = select_headlines(effects, estimator)
    names = outcomes or list(headlines.loc[headlines["subgroup"] != "all", "outcome"].unique())
    body: list[tuple[str, ...]] = []
    for outcome in names:
        about = find_outcome(codebook, outcome)
        body.append((label_in_unit(about),))
        for row in select_rows(effects, outcome, estimator=estimator, aggregation="headline").to_dict("records"):
            cells = effect_row(row, about.print_unit)
            body.append((wording.label_subgroup(row["subgroup"]), *cells[:4], _holm(row), *cells[4:]))
    note = _("Holm p: adjusted over every subgroup of every outcome tested in the chapter.")
    return Table(
        f"tbl-{name}",
        (*left(mark("Subgroup")), *right(*NUMBERS[:4], mark("Holm p"), *NUMBERS[4:])),
        tuple(body),
        _("Headline effects by subgroup"),
        _note(headlines[headlines["outcome"].isin(names)], join_sentences([note, _(CLUSTERS)]), body),
        "reporting.tables.effects.tabulate_subgroups",
    )


def effect_cells(row: Mapping, unit: str) -> tuple[str, str, str, str]:
    """Effect, standard error, interval and p-value of a released row of effects, as text."""
    if row["withheld"]:
        return (wording.WITHHELD,) * 4
    return (
        wording.format_number(row["estimate"], unit),
        wording.format_number(row["std_error"], unit),
        wording.format_interval(row["conf_low"], row["conf_high"], unit),
        wording.format_p(row["p_value"]),
    )


def effect_row(row: Mapping, unit: str) -> tuple[str, ...]:
    """The cells under `NUMBERS`."""
    return *effect_cells(row, unit), *_count_cells(row)


def _count_cells(row: Mapping) -> tuple[str, str]:
    if row["withheld"]:
        return wording.WITHHELD, wording.WITHHELD
    return show_count(row["n_units"]), show_clusters(row)


def show_clusters(row: Mapping) -> str:
    """The clusters of both sides: "95 / 105"."""
    sides = [show_count(row[f"n_clusters_{side}"]) for side in ("treated", "comparison")]
    return wording.WITHHELD if set(sides) == {wording.WITHHELD} else " / ".join(sides)


def label_in_unit(about: Outcome) -> str:
    """The outcome as a heading of rows in its unit: "Minutes to school, minutes"."""
    unit = wording.label_unit(about.print_unit)
    return _("{label}, {unit}", label=about.label, unit=unit) if unit else about.label


def _note(rows: pd.DataFrame, note: str, body) -> str:
    note = join_sentences([note, _(wording.NO_INTERVAL)]) if lacks_interval(rows) else note
    return close_note(note, body, effects=bool(is_withheld(rows).any()))
