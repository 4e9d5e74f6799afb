"""Tables of what surrounds the estimates: the programme, what the press said, time saved, and the known truth."""

import pandas as pd

from relocation_analysis.data.facts import read_facts, read_provinces
from relocation_analysis.data.panel import read_truth
from relocation_analysis.data.study import Study
from relocation_analysis.estimation.design import Design
from relocation_analysis.estimation.effects import Effects
from relocation_analysis.estimation.sensitivity import known_truth
from relocation_analysis.reporting import wording
from relocation_analysis.reporting.exhibits import Column, Prose, Table
from relocation_analysis.reporting.record_tables import tabulate_truth
from relocation_analysis.reporting.tables import select_headlines

PROGRAMME = (
    ("registered_movers", "Registered movers", wording.format_count),
    ("total_movers", "All movers, with accompanying households", wording.format_count),
    ("households", "Households", wording.format_count),
    ("homes", "Homes", wording.format_count),
    ("sites", "Centralised sites", wording.format_count),
    ("centralised_share", "Moved to centralised sites", wording.format_share),
    ("urban_share", "Moved to urban sites", wording.format_share),
)


def tabulate_programme(study: Study) -> Table | Prose:
    """The size of the programme in the study's province; nothing where the study is of no programme province."""
    provinces = read_provinces()
    row = provinces[provinces["slug"] == study.province]
    if study.ledger is None or row.empty:
        return Prose("")
    row = row.iloc[0]
    body = []
    for column, label, write in PROGRAMME:
        status = row.get(f"{column}_status")
        shown = "not found" if pd.isna(row[column]) else write(row[column])
        body.append((label, shown, "" if pd.isna(status) else str(status)))
    return Table("tbl-programme", (Column("Figure"), Column("Number", "right"), Column("Status")), tuple(body),
                 f"The programme in {row['name_en']}, 2016 to 2020",
                 "Registered movers are those on the register of the poor; accompanying households moved with them and are not in "
                 f"the estimates. The two are never added up or mixed. As of {row['as_of']}. Source: {row['source']}",
                 "reporting.context_tables.tabulate_programme")  # fmt: skip


def tabulate_ledger(study: Study) -> Table | Prose:
    """What the press claims, its arithmetic, what is wrong with it and whether a design here could test it."""
    if study.ledger is None:
        return Prose("")
    claims = read_facts(study.ledger.removesuffix(".csv"))
    tested = claims["testable"].str.startswith(("yes", "partly")) | claims["testable"].str.contains("reported only")
    claims = claims[tested | (claims["check"].notna() & claims["flag"].notna() & (claims["flag"] != "ok"))]
    body: list[tuple[str, ...]] = []
    for (source, published), group in claims.groupby(["source", "published"], sort=False):
        body.append((f"{source}, {published}",))
        body += [_claim(row) for _, row in group.iterrows()]
    columns = (Column("Claim"), Column("Arithmetic and remark"), Column("Could it be tested?"))
    return Table("tbl-ledger", columns, tuple(body), "What the press claims, and what the figures can bear",
                 "Claims that a design here could test, or that are no outcome although they look like one, and those whose arithmetic calls for a remark; all are in data/press_claims.csv. "
                 "No resident is named.",
                 "reporting.context_tables.tabulate_ledger")  # fmt: skip


def _claim(row: pd.Series) -> tuple[str, ...]:
    text = {name: "" if pd.isna(row[name]) else str(row[name]) for name in ("statement", "check", "result", "flag", "testable")}
    arithmetic = " = ".join(part for part in (text["check"], text["result"]) if part)
    value = row["value_number"]
    shown = str(row["value"])
    if pd.notna(value) and value >= 10_000:
        shown = ("" if pd.isna(row["qualifier"]) else str(row["qualifier"])) + wording.format_count(value)
    unit = "" if pd.isna(row["unit"]) or row["unit"] in ("date", "month", "year") else f" {row['unit']}"
    remark = ". ".join(part for part in (arithmetic, text["flag"]) if part)
    return f"{row['id']}: {text['statement']}: {shown}{unit}", remark, text["testable"]


def tabulate_time_account(design: Design, effects: Effects) -> Table | Prose:
    """Hours and yuan that the move saves a household a year, trips held at baseline; a sentence where nothing is known."""
    names = [name for name, outcome in design.outcomes.items() if outcome.role == "time_account"]
    rows = select_headlines(effects).query("subgroup == 'all'").set_index("outcome")
    body = []
    for name in (n for n in names if n in rows.index):
        row, about = rows.loc[name], design.outcomes[name]
        body.append((about.label, wording.find_unit(about.print_unit).short, wording.format_number(row["estimate"], about.print_unit),
                     wording.format_interval(row["conf_low"], row["conf_high"], about.print_unit)))  # fmt: skip
    if not body:
        return Prose("There is no time account: the panel lacks minutes, trips at baseline or the county wage.")
    columns = (Column("Saved per household"), Column("Unit"), Column("Effect", "right"), Column("95% interval", "right"))
    return Table("tbl-time_account-" + next(iter(design.outcomes.values())).domain, columns, tuple(body), "Time account: hours and yuan saved per household and year",
                 "Trips are held at their number at the first wave (one a week for boarders, none where none were made). An hour of an adult is "
                 "worth 0.30 and of a child 0.15 of the county's hourly wage at the first wave, walking 1.5 times that. Net: less new "
                 "commutes and return trips.", "reporting.context_tables.tabulate_time_account")  # fmt: skip


def tabulate_known_truth(design: Design, effects: Effects) -> Table | Prose:
    """The known truth beside each headline, for simulated data with show_truth; nothing otherwise."""
    if not design.study.show_truth:
        return Prose("")
    truth = known_truth(design, read_truth(design.study))
    domain = next(iter(design.outcomes.values())).domain if len({o.domain for o in design.outcomes.values()}) == 1 else "primaries"
    return tabulate_truth(effects, truth, design.outcomes, f"truth-{domain}")
