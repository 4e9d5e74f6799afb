"""Tables of what surrounds the estimates: the programme, what the press said, time saved, and the known truth."""

from collections.abc import Mapping

import pandas as pd

from relocation_analysis.data.facts import label_province, read_facts, read_provinces
from relocation_analysis.data.panel import read_truth
from relocation_analysis.data.study import Study
from relocation_analysis.estimation.design import Design
from relocation_analysis.estimation.effects import Effects
from relocation_analysis.estimation.sensitivity import known_truth
from relocation_analysis.language import SOURCE, _, join_sentences, mark, speaking, spoken
from relocation_analysis.reporting import wording
from relocation_analysis.reporting.exhibits.kinds import Prose, Table
from relocation_analysis.reporting.exhibits.released import close_note
from relocation_analysis.reporting.exhibits.selection import select_headlines
from relocation_analysis.reporting.tables.effects import effect_cells, left, right
from relocation_analysis.reporting.tables.record import tabulate_truth

PROGRAMME = (
    ("registered_movers", mark("Registered movers"), wording.format_count),
    ("total_movers", mark("All movers, with accompanying households"), wording.format_count),
    ("households", mark("Households"), wording.format_count),
    ("homes", mark("Homes"), wording.format_count),
    ("sites", mark("Centralised sites"), wording.format_count),
    ("centralised_share", mark("Moved to centralised sites"), wording.format_share),
    ("urban_share", mark("Moved to urban sites"), wording.format_share),
)
STATUS = (mark("sourced"), mark("plan"), mark("at least"))  # how data/provinces.csv says what a figure is worth
CLAIM = ("statement", "check", "result", "flag", "testable", "qualifier", "unit")
WITHOUT_UNIT = ("date", "month", "year")


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
        shown = _("not found") if pd.isna(row[column]) else write(row[column])
        body.append((_(label), shown, "" if pd.isna(status) else _(str(status))))
    note = join_sentences([
        _("Registered movers are those on the register of the poor; accompanying households moved with them and are not in the"
          " estimates. The two are never added up or mixed."),
        _("As of {date}. Source: {source}", date=row["as_of"], source=row["source"])])  # fmt: skip
    return Table("tbl-programme", (*left(mark("Quantity")), *right(mark("Number")), *left(mark("Status"))), tuple(body),
                 _("The programme in {province}, 2016 to 2020", province=label_province(study.province, spoken())),
                 note, "reporting.tables.context.tabulate_programme")  # fmt: skip


def tabulate_ledger(study: Study) -> Table | Prose:
    """What the press claims, its arithmetic, what is wrong with it and whether a design here could test it."""
    if study.ledger is None:
        return Prose("")
    claims = _claims(study.ledger.removesuffix(".csv"))
    body: list[tuple[str, ...]] = []
    for (source, published), group in claims.groupby(["source", "published"], sort=False):
        body.append((_("{source}, {published}", source=source, published=published),))
        body += [_claim_row(row) for row in group.to_dict("records")]
    note = _("Claims that a design here could test, or that are no outcome although they look like one, and those whose arithmetic calls"
             " for a remark; all are in data/press_claims.csv. No resident is named.")  # fmt: skip
    columns = left(mark("Claim"), mark("Arithmetic and remark"), mark("Could it be tested?"))
    return Table("tbl-ledger", columns, tuple(body), _("What the press claims, and what the figures can bear"), note,
                 "reporting.tables.context.tabulate_ledger")  # fmt: skip


def _claims(name: str) -> pd.DataFrame:
    """The claims that are printed, in the language spoken; which they are is read from the English file."""
    with speaking(SOURCE):
        told = read_facts(name)
    tested = told["testable"].str.startswith(("yes", "partly")) | told["testable"].str.contains("reported only")
    remarked = told["check"].notna() & told["flag"].notna() & (told["flag"] != "ok")
    claims = read_facts(name).assign(has_unit=told["unit"].notna() & ~told["unit"].isin(WITHOUT_UNIT))
    return claims[tested | remarked]


def _claim_row(row: Mapping) -> tuple[str, ...]:
    text = {name: "" if pd.isna(row[name]) else str(row[name]) for name in CLAIM}
    value = row["value_number"]
    shown = f"{text['qualifier']}{wording.format_count(value)}" if pd.notna(value) and value >= 10_000 else str(row["value"])
    claim = _("{id}: {statement}: {value}", id=row["id"], statement=text["statement"],
              value=wording.beside(shown, text["unit"] if row["has_unit"] else ""))  # fmt: skip
    arithmetic = " = ".join(part for part in (text["check"], text["result"]) if part)
    return claim, _(". ").join(part for part in (arithmetic, text["flag"]) if part), text["testable"]


def tabulate_time_account(design: Design, effects: Effects) -> Table | Prose:
    """Hours and yuan that the move saves a household a year, trips held at baseline; a sentence where nothing is known."""
    names = [name for name, outcome in design.outcomes.items() if outcome.role == "time_account"]
    rows = {row["outcome"]: row for row in select_headlines(effects).query("subgroup == 'all'").to_dict("records")}
    body = []
    for name in (n for n in names if n in rows):
        about = design.outcomes[name]
        estimate, _error, interval, _p = effect_cells(rows[name], about.print_unit)
        body.append((about.label, wording.label_narrow_unit(about.print_unit), estimate, interval))
    if not body:
        return Prose(_("There is no time account: the panel lacks minutes, trips at baseline or the county wage."))
    note = _("Trips are held at their number at the first wave (one a week for boarders, none where none were made). An hour of an adult is"
             " worth 0.30 and of a child 0.15 of the county's hourly wage at the first wave, walking 1.5 times that. Net: less new"
             " commutes and return trips.")  # fmt: skip
    columns = (*left(mark("Saved per household"), mark("Unit")), *right(mark("Effect"), mark("95% interval")))
    return Table("tbl-time_account-" + next(iter(design.outcomes.values())).domain, columns, tuple(body),
                 _("Time account: hours and yuan saved per household and year"), close_note(note, body, effects=True, counts=False),
                 "reporting.tables.context.tabulate_time_account")  # fmt: skip


def tabulate_known_truth(design: Design, effects: Effects) -> Table | Prose:
    """The known truth beside each headline, for simulated data with show_truth; nothing otherwise."""
    if not design.study.show_truth:
        return Prose("")
    truth = known_truth(design, read_truth(design.study))
    domain = next(iter(design.outcomes.values())).domain if len({o.domain for o in design.outcomes.values()}) == 1 else "primaries"
    return tabulate_truth(effects, truth, design.outcomes, f"truth-{domain}")
