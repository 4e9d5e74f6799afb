"""Tables of effects: every number of the report with its unit, its interval and what stands behind it."""

from collections.abc import Mapping

import pandas as pd

from relocation_analysis.data.codebook import Outcome
from relocation_analysis.estimation.effects import Effects
from relocation_analysis.reporting import wording
from relocation_analysis.reporting.exhibits import Column, Table
from relocation_analysis.reporting.selection import (
    MAIN,
    UNIVERSAL,
    find_outcome,
    is_reference,
    lacks_interval,
    say_exposures,
    select_rows,
)

OVERALL = ("headline", "overall_simple", "overall_dynamic", "overall_cohort")
NUMBERS = (
    Column("Effect", "right"),
    Column("SE", "right"),
    Column("95% interval", "right"),
    Column("p", "right"),
    Column("Units", "right"),
    Column("Clusters", "right"),
)
CLUSTERS = "Clusters: treated / comparison."


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
    power : outcome, benchmark and mde (in the outcome's unit), power (0 to 1); outcomes may be missing.
    coverage : by outcome, the share of treated unit-years at exposures 0 to 3 that the headline covers.
    name : the end of the table's id.

    Returns
    -------
    Table, grouped by role where the outcomes have more than one.

    Raises
    ------
    InputError : where the effects hold no headline or an outcome that the codebook lacks.
    """
    rows = _headlines(effects, codebook)
    ranks = rows["outcome"].map(lambda outcome: list(wording.ROLES).index(codebook[outcome].role))
    rows = rows.assign(rank=ranks).sort_values("rank", kind="stable")
    powers = {} if power is None else power.set_index("outcome").to_dict("index")
    columns = [Column("Outcome"), Column("Unit"), *NUMBERS[:4], Column("Holm p", "right")]
    columns += [Column("Power for", "right"), Column("Detectable", "right")] * bool(powers)
    columns += [*NUMBERS[4:], *([Column("Covered", "right")] if coverage else [])]
    body: list[tuple[str, ...]] = []
    for rank, group in rows.groupby("rank", sort=False):
        if rows["rank"].nunique() > 1:
            body.append((list(wording.ROLES.values())[rank],))
        for _, row in group.iterrows():
            about = codebook[row["outcome"]]
            cells = (about.label, wording.find_unit(about.print_unit).short, *_headline_cells(row, about.print_unit))
            cells += _power_cells(powers.get(about.name), about.print_unit) if powers else ()
            cells += _count_cells(row) + (
                (wording.format_share(coverage.get(about.name)),) if coverage else ()
            )
            body.append(cells)
    return Table(
        f"tbl-{name}",
        tuple(columns),
        tuple(body),
        f"Headline effects{say_exposures(effects)}",
        _note(rows, _say_headline_columns(bool(powers), bool(coverage))),
        "reporting.tables.tabulate_headlines",
    )


def _headlines(effects: Effects, codebook: dict[str, Outcome]) -> pd.DataFrame:
    rows = select_headlines(effects).query("subgroup == 'all'")
    for outcome in rows["outcome"]:
        find_outcome(codebook, outcome)
    return rows


def _headline_cells(row: pd.Series, unit: str) -> tuple[str, ...]:
    return *effect_cells(row, unit), wording.format_p(row["p_adjusted"])


def _power_cells(power: dict | None, unit: str) -> tuple[str, ...]:
    if power is None:
        return wording.BLANK, wording.BLANK
    share, benchmark = wording.format_share(power["power"]), wording.format_number(power["benchmark"], unit)
    return (wording.BLANK if share == wording.BLANK else f"{benchmark}: {share}"), wording.format_number(
        power["mde"], unit
    )


def _say_headline_columns(with_power: bool, with_coverage: bool) -> str:
    parts = [
        "pp: percentage points. Holm p: adjusted for the outcomes tested together; a dash: not among them."
    ]
    if with_power:
        parts.append(
            "Power for: the benchmark effect and the chance beforehand of finding it at the 5% level."
            " Detectable: the effect found with 80% power."
        )
    parts.append(CLUSTERS)
    if with_coverage:
        parts.append("Covered: the share of the treated units\u2019 years 0 to 3 that can be compared.")
    return " ".join(parts)


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
    return Table(
        f"tbl-{name or f'estimators-{outcome}'}".lower(),
        (Column("Estimator"), *NUMBERS),
        tuple(
            (wording.label_estimator(r["estimator"]), *effect_row(r, about.print_unit)) for _, r in rows.iterrows()
        ),
        _caption(about, "by estimator"),
        _note(
            rows,
            f"The first is the study\u2019s own; below it variants, and benchmarks that need"
            f" stronger assumptions. {CLUSTERS}",
        ),
        "reporting.tables.tabulate_estimators",
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
    for before, heading in ((True, "Before the move"), (False, "Since the move")):
        part = rows[(rows["event_time"] < 0) == before]
        body += [(heading,)] * bool(len(part))
        for _, row in part.iterrows():
            when = wording.format_period(row["event_time"])
            estimate, error, interval, p, *counts = effect_row(row, about.print_unit)
            band = wording.format_interval(row["band_low"], row["band_high"], about.print_unit)
            if row["is_reference"]:
                body.append((f"{when} (base)", estimate, *[wording.BLANK] * 6))
            else:
                body.append((when, estimate, error, interval, band, p, *counts))
    return Table(
        f"tbl-{name or f'event_study-{outcome}'}".lower(),
        (Column("Years since the move"), *NUMBERS[:3], Column("95% band", "right"), *NUMBERS[3:]),
        tuple(body),
        _caption(about, "by years since the move"),
        _note(rows, f"The interval covers one year, the band all years at once. {CLUSTERS}"),
        "reporting.tables.tabulate_event_study",
    )


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
    labelled = [("Overall", overall, "aggregation", wording.label_aggregation)]
    for aggregation, column in (("cohort", "cohort"), ("calendar", "time")):
        part = rows[rows["aggregation"] == aggregation].sort_values(column)
        labelled.append((wording.label_aggregation(aggregation), part, column, wording.format_period))
    body: list[tuple[str, ...]] = []
    for heading, part, column, label in labelled:
        body += [(heading,)] * bool(len(part))
        body += [(label(row[column]), *effect_row(row, about.print_unit)) for _, row in part.iterrows()]
    return Table(
        f"tbl-{name or f'aggregations-{outcome}'}".lower(),
        (Column("Average over"), *NUMBERS),
        tuple(body),
        _caption(about, "averaged in different ways"),
        _note(rows, CLUSTERS),
        "reporting.tables.tabulate_aggregations",
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
    headlines = select_headlines(effects, estimator)
    names = outcomes or list(headlines.loc[headlines["subgroup"] != "all", "outcome"].unique())
    body: list[tuple[str, ...]] = []
    for outcome in names:
        about = find_outcome(codebook, outcome)
        rows = select_rows(effects, outcome, estimator=estimator, aggregation="headline")
        body.append((label_with_unit(about),))
        body += [
            (wording.label_subgroup(row["subgroup"]), *cells[:4], wording.format_p(row["p_adjusted"]), *cells[4:])
            for _, row in rows.iterrows()
            for cells in [effect_row(row, about.print_unit)]
        ]
    return Table(
        f"tbl-{name}",
        (Column("Subgroup"), *NUMBERS[:4], Column("Holm p", "right"), *NUMBERS[4:]),
        tuple(body),
        "Headline effects by subgroup",
        _note(
            headlines[headlines["outcome"].isin(names)],
            f"Holm p: adjusted over every subgroup of every outcome tested in the chapter. {CLUSTERS}",
        ),
        "reporting.tables.tabulate_subgroups",
    )


def select_headlines(effects: Effects, estimator: str | tuple[str, ...] = MAIN) -> pd.DataFrame:
    """The headline rows of one estimator, all outcomes and subgroups.

    Raises
    ------
    InputError : where there is none.
    """
    outcome = effects.table["outcome"].iloc[0] if len(effects.table) else ""
    rows = effects.select(estimator=estimator, aggregation="headline").table
    return rows if len(rows) else select_rows(effects, outcome, estimator=estimator, aggregation="headline")


def effect_cells(row: pd.Series, unit: str) -> tuple[str, str, str, str]:
    """Effect, standard error, interval and p-value of a row of effects, as text."""
    return (
        wording.format_number(row["estimate"], unit),
        wording.format_number(row["std_error"], unit),
        wording.format_interval(row["conf_low"], row["conf_high"], unit),
        wording.format_p(row["p_value"]),
    )


def effect_row(row: pd.Series, unit: str) -> tuple[str, ...]:
    """The cells under `NUMBERS`."""
    return *effect_cells(row, unit), *_count_cells(row)


def _count_cells(row: pd.Series) -> tuple[str, str]:
    treated, comparison = (
        wording.format_count(row[f"n_clusters_{side}"]) for side in ("treated", "comparison")
    )
    return wording.format_count(row["n_units"]), f"{treated} / {comparison}"


def label_with_unit(about: Outcome) -> str:
    """The outcome as a heading of rows in its unit: "Minutes to school, minutes"."""
    return ", ".join(filter(None, (about.label, wording.label_unit(about.print_unit))))


def _caption(about: Outcome, how: str) -> str:
    unit = wording.label_unit(about.print_unit)
    return f"Effect on {wording.in_sentence(about.label)} {how}" + (f" ({unit})" if unit else "")


def _note(rows: pd.DataFrame, note: str) -> str:
    return f"{note} {wording.NO_INTERVAL}" if lacks_interval(rows) else note
