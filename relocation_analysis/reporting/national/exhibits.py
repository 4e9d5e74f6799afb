"""Tables of the comparison of provinces, and its exhibits by outcome."""

import math

import pandas as pd

from relocation_analysis.data.facts import label_status, read_facts
from relocation_analysis.language import _, join_clauses, join_list, join_sentences
from relocation_analysis.reporting import wording
from relocation_analysis.reporting.exhibits.kinds import Column, Figure, Prose, Records, Table, escape_markdown
from relocation_analysis.reporting.exhibits.released import say_withheld
from relocation_analysis.reporting.national.forest import plot_provinces
from relocation_analysis.reporting.national.synthesis import Compared, National, synthesis_frame
from relocation_analysis.reporting.national.words import describe_mean, say_persons, say_years

WHERE = "reporting.national.exhibits."


def _right(*labels: str) -> tuple[Column, ...]:
    return tuple(Column(label, "right") for label in labels)


def publish_synthesis(national: National) -> Records:
    """Every number of the comparison on its way to `synthesis.csv`."""
    return Records(synthesis=synthesis_frame(national))


def show_provinces(national: National) -> None:
    """Show each outcome: a heading, what the provinces say together, the forest plot, the table."""
    from IPython.display import display

    for exhibit in list_exhibits(national):
        display(exhibit)


def list_exhibits(national: National) -> list[Prose | Figure | Table]:
    """The exhibits of every outcome in turn."""
    found: list[Prose | Figure | Table] = []
    for c in national.outcomes:
        found += [Prose(f"### {escape_markdown(c.about.label)}"), describe_mean(c, national.study.design.kind)]
        found += [plot_provinces(c), tabulate_provinces(c)] if c.synthesis.k >= 2 else []
    return found


def tabulate_compared(national: National) -> Table:
    """Which provinces have a report, and the years since the move over which each outcome can be compared."""
    body = []
    for row in national.reports.itertuples():
        cells = [_say_place(c, row.province) for c in national.outcomes]
        body.append((row.label, *(cells if not row.problem else [_("not compared")] * len(cells))))
    heads = (Column(_("Province")), *(Column(c.about.label) for c in national.outcomes))
    notes = [_("Years since the move that are averaged, and their mean, weighted as the effects are: provinces whose movers are seen for longer have a larger"
               " one.")] if any(not math.isnan(c.through) for c in national.outcomes) else []  # fmt: skip
    hidden = any(c.left_out["withheld"].any() for c in national.outcomes)
    return Table("tbl-compared", heads, tuple(body), _("Who is compared"), join_sentences([*notes, say_withheld() if hidden else ""]),
                 WHERE + "tabulate_compared")  # fmt: skip


def _say_place(c: Compared, province: str) -> str:
    inside, outside = (table.set_index("province") for table in (c.provinces, c.left_out))
    if province in inside.index:
        if math.isnan(c.through):
            return _("compared")
        return _("0 to {k}, mean {mean}", k=wording.format_period(c.through), mean=f"{inside.loc[province, 'mean_exposure']:.1f}")
    if province not in outside.index:
        return wording.BLANK
    return wording.WITHHELD if outside.loc[province, "withheld"] else _("left out")


def tabulate_left_out(national: National) -> Table | Prose:
    """Why a report or an estimate is not in the comparison; nothing where all are."""
    whole = [(row.label, row.problem) for row in national.reports.itertuples() if row.problem]
    body: list[tuple[str, ...]] = [(_("Every outcome"),), *whole] if whole else []
    for c in national.outcomes:
        rows = [(row.label, row.reason) for row in c.left_out.itertuples()]
        body += [(c.about.label,), *rows] if rows else []
    if not body:
        return Prose("")
    return Table("tbl-left_out", (Column(_("Province")), Column(_("Why"))), tuple(body), _("Who is left out, and why"), "",
                 WHERE + "tabulate_left_out")  # fmt: skip


def tabulate_synthesis(national: National) -> Table | Prose:
    """One row an outcome: the mean over provinces and how far they differ."""
    body = []
    for c in (c for c in national.outcomes if c.synthesis.k >= 2):
        s, unit = c.synthesis, c.about.print_unit
        tau, low, high = (math.sqrt(x) for x in (s.tau2, s.tau2_low, s.tau2_high))
        spread = wording.format_interval(low, high, unit) if high > 0 else wording.BLANK  # an empty interval is not the point zero
        body.append((wording.label_with_unit(c.about.label, unit), wording.format_count(s.k), wording.format_number(s.estimate, unit),
                     wording.format_interval(s.conf_low, s.conf_high, unit), wording.format_p(s.p_value),
                     wording.format_interval(s.predict_low, s.predict_high, unit), wording.format_number(tau, unit),
                     spread, wording.format_share(s.i2), wording.format_p(s.q_p)))  # fmt: skip
    if not body:
        return Prose("")
    heads = (_("Provinces"), _("Mean"), _("95% interval"), _("p"), _("One more province"), _("\u03c4"), _("95% interval"), _("I\u00b2"), _("p, all alike"))
    return Table("tbl-synthesis", (Column(_("Outcome")), *_right(*heads)), tuple(body), _("The provinces together"), _say_method(), WHERE + "tabulate_synthesis")


def _say_method() -> str:
    return join_sentences([
        _("Mean: random effects, restricted maximum likelihood, interval by Hartung and Knapp with a factor of at least one."),
        _("One more province: the 95% prediction interval, from five provinces up."),
        _("\u03c4: standard deviation of the effects between provinces, its interval by the Q-profile. I\u00b2: the share of the variation that is not error."),
        _("p, all alike: Cochran\u2019s test that all effects are the same."),
    ])  # fmt: skip


def tabulate_provinces(c: Compared) -> Table:
    """One outcome by province: own and shrunken estimate, what the province could have found, and whether it can stand alone."""
    unit = c.about.print_unit
    body: list[tuple[str, ...]] = [
        (row["label"], wording.format_number(row["estimate"], unit), wording.format_interval(row["conf_low"], row["conf_high"], unit),
         _say_weight(row["weight"]), wording.format_number(row["shrunken"], unit),
         wording.format_interval(row["shrunken_low"], row["shrunken_high"], unit), wording.format_number(row["mde"], unit),
         wording.format_share(row["power"]), _say_flag(row["province"], c))
        for row in c.provinces.sort_values(["estimate", "province"], ascending=[False, True]).to_dict("records")
    ]  # fmt: skip
    hidden = c.left_out[c.left_out["withheld"]]
    body += [(row.label, *[wording.WITHHELD] * 7, _("withheld")) for row in hidden.itertuples()]
    own, shrunken = _("Own estimate"), _("Shrunken to the mean")
    heads = (Column(_("Province")), Column(_("Effect"), "right", own), Column(_("95% interval"), "right", own), Column(_("Weight"), "right", own),
             Column(_("Effect"), "right", shrunken), Column(_("95% interval"), "right", shrunken), Column(_("Detectable"), "right"),
             Column(_("Power"), "right"), Column(_("Alone")))  # fmt: skip
    benchmark = c.provinces["benchmark"].dropna()
    notes = [
        _("Weight: in the mean of provinces. Shrunken: drawn to the mean the more, the larger the error of the province\u2019s own estimate."),
        _("Detectable: the effect that this province alone would find with 80% power."),
        _("Power: the chance of finding an effect of {benchmark}.", benchmark=wording.format_amount(benchmark.iloc[0], unit)) if len(benchmark) else "",
        _("Alone: what keeps this province\u2019s own estimate from supporting a claim; power: below 80%; checks: one or more fails."),
        say_withheld() if len(hidden) else "",
    ]
    caption = _("Effect on {outcome} by province{years} ({unit})", outcome=wording.in_sentence(c.about.label), years=say_years(c.through),
                unit=wording.label_unit(unit))  # fmt: skip
    return Table(f"tbl-provinces-{c.about.name}".lower(), heads, tuple(body), caption, join_sentences(notes), WHERE + "tabulate_provinces")


def _say_weight(weight: float) -> str:
    return f"{100 * weight:.1f}%" if math.isfinite(weight) else wording.BLANK


def _say_flag(province: str, c: Compared) -> str:
    flags = [text for rows, text in ((c.underpowered, _("power")), (c.doubtful, _("checks"))) if province in set(rows["province"])]
    return join_list(flags) if flags else wording.BLANK


def tabulate_without(national: National) -> Table | Prose:
    """The mean over provinces without each of them in turn, outcome by outcome."""
    body: list[tuple[str, ...]] = []
    for c in (c for c in national.outcomes if c.synthesis.k > 2):
        unit, labels = c.about.print_unit, c.provinces.set_index("province")["label"]
        body.append((wording.label_with_unit(c.about.label, unit),))
        body += [(labels[row.label], wording.format_number(row.estimate, unit), wording.format_interval(row.conf_low, row.conf_high, unit),
                  wording.format_number(math.sqrt(row.tau2), unit), wording.format_share(row.i2)) for row in c.synthesis.without.itertuples()]  # fmt: skip
    if not body:
        return Prose("")
    heads = (Column(_("Without")), *_right(_("Mean"), _("95% interval"), _("\u03c4"), _("I\u00b2")))
    return Table("tbl-without", heads, tuple(body), _("The mean without each province in turn"),
                 _("Every other province stays, and all is estimated anew."), WHERE + "tabulate_without")  # fmt: skip


def tabulate_movers(national: National) -> Table | Prose:
    """The mean effect on the registered mover, and what of the programme it covers; nothing without a sourced figure."""
    body = []
    for c in (c for c in national.outcomes if c.movers.k > 0):
        m, s, unit = c.movers, c.synthesis, c.about.print_unit
        body.append((wording.label_with_unit(c.about.label, unit), wording.format_number(m.estimate, unit), wording.format_number(m.std_error, unit),
                     wording.format_interval(m.conf_low, m.conf_high, unit), wording.format_count(m.k), wording.format_count(c.covered),
                     wording.format_share(c.covered / national.programme), wording.format_number(s.estimate, unit)))  # fmt: skip
    if not body:
        return Prose("")
    heads = (_("Mean over movers"), _("SE"), _("95% interval"), _("Provinces"), _("Movers"), _("Covered"), _("Mean of provinces"))
    return Table("tbl-movers", (Column(_("Outcome")), *_right(*heads)), tuple(body), _("The mean effect on registered movers"),
                 _("Covered: share of the {total} on the register of the poor that the programme moved; the source says \u201cmore than\u201d, so the share is a"
                   " little less. Mean of provinces: each province once, as above; another estimand.", total=say_persons(national.programme)), WHERE + "tabulate_movers")  # fmt: skip


def tabulate_weights(national: National) -> Table | Prose:
    """The registered movers of each province compared, and whether the figure counts."""
    if not national.movers["counted"].any():
        return Prose("")
    body = tuple((row.label, wording.format_count(row.registered), label_status(row.status) if row.status else _("not found"),
                  wording.say_yes(row.counted)) for row in national.movers.itertuples())  # fmt: skip
    heads = (Column(_("Province")), Column(_("Registered movers"), "right"), Column(_("Status")), Column(_("Counted")))
    return Table("tbl-weights", heads, body, _("Registered movers by province, the weights of the mean over movers"),
                 _("Accompanying households are in none of these figures. Only sourced figures count; plans do not, and a figure that was not found is not"
                   " filled in."), WHERE + "tabulate_weights")  # fmt: skip


def tabulate_alone(national: National) -> Table | Prose:
    """Where a province alone cannot support a claim, and why in words."""
    body: list[tuple[str, ...]] = []
    for c in national.outcomes:
        weak, doubtful = set(c.underpowered["province"]), set(c.doubtful["province"])
        rows = [(row["label"], *_say_why(row, row["province"] in weak, c.about.print_unit)) for row in c.provinces.to_dict("records")
                if row["province"] in weak | doubtful]  # fmt: skip
        body += [(c.about.label,), *rows] if rows else []
    if not body:
        return Prose("")
    heads = (Column(_("Province")), Column(_("Too small to see the benchmark")), Column(_("Checks that fail")))
    return Table("tbl-alone", heads, tuple(body), _("Where one province alone cannot support a claim"),
                 _("A failing check does not make an estimate wrong; it is a reason to doubt it that the province\u2019s own report explains."),
                 WHERE + "tabulate_alone")  # fmt: skip


def _say_why(row: dict, weak: bool, unit: str) -> tuple[str, str]:
    small = ""
    if weak:
        small = _("detects {mde}, the benchmark is {benchmark}", mde=wording.format_amount(row["mde"], unit),
                  benchmark=wording.format_amount(row["benchmark"], unit))  # fmt: skip
    return small, join_clauses(wording.in_sentence(wording.label_check(name)) for name in row["failed"])


def tabulate_literature() -> Table:
    """What other studies found, as context; a retracted study is listed as such and its finding is not shown."""
    table = read_facts("literature")
    sound = table[~table["blocked"]]
    home = sound["id"].str.startswith("C")
    body: list[tuple[str, ...]] = []
    for heading, rows in ((_("Relocation in China"), sound[home]), (_("Relocation elsewhere"), sound[~home])):
        body += [(heading,), *(_study(row) for row in rows.to_dict("records"))]
    for row in table[table["blocked"]].to_dict("records"):
        body += [(_("Retracted, and not used"),), (_name_study(row), _text(row, "country_programme"), "", "", _("retracted; its finding is no evidence"))]
    heads = (_("Study"), _("Where, and how it compares"), _("Outcome"), _("Finding"), _("Caveat"))
    return Table("tbl-literature", tuple(Column(head) for head in heads), tuple(body), _("What other studies found"),
                 _("As the studies print it, in their own units, read in the source or its abstract as data/literature.csv says. None of it enters any mean"
                   " of this report: designs, populations and units differ."), WHERE + "tabulate_literature")  # fmt: skip


def _name_study(row: dict) -> str:
    return str(row["study"]).removeprefix("RETRACTED: ")


def _text(row: dict, name: str) -> str:
    return "" if pd.isna(row[name]) else str(row[name])


def _study(row: dict) -> tuple[str, ...]:
    place = join_clauses(filter(None, (_text(row, "country_programme"), _text(row, "design"))))
    return _name_study(row), place, _text(row, "outcome"), _text(row, "effect"), _text(row, "caveat")
