"""What a chapter shows for one kind of design and not for another: the same notebooks serve every study."""

from collections.abc import Callable
from dataclasses import replace

from relocation_analysis.estimation.checks import Check
from relocation_analysis.estimation.design import Design
from relocation_analysis.estimation.effects import Effects
from relocation_analysis.estimation.offer import estimate_take_up, take_up_by_arm
from relocation_analysis.estimation.placebo import errors_by_level
from relocation_analysis.estimation.roster import offer_of
from relocation_analysis.estimation.sample import baseline_balance, raw_means
from relocation_analysis.reporting import wording
from relocation_analysis.reporting.balance import plot_balance
from relocation_analysis.reporting.check_tables import tabulate_errors
from relocation_analysis.reporting.curve import plot_specifications
from relocation_analysis.reporting.exhibits import Column, Figure, Prose, Table
from relocation_analysis.reporting.forest import plot_forest
from relocation_analysis.reporting.tables import effect_row, tabulate_subgroups
from relocation_analysis.reporting.trends import plot_raw_trends

TAKE_UP = "share@1"
ESTIMAND = {
    "rollout": r"""
For those who moved in year $g$ the effect at time $t$ is the change of their mean outcome since the last wave before the move, less
the change of those who had not moved yet or never did [@callaway2021]:

$$ATT(g,t) = E[Y_t - Y_b \mid G = g] - E[Y_t - Y_b \mid G > t].$$

It equals what the move did if, without it, the outcomes of both would have moved in parallel. Everything else in this report is an
average of such effects, or a doubt about that assumption.""",
    "offer": r"""
The offer $Z$ was drawn by lot within strata, so that those offered differ from the others by nothing but chance. The effect of the
offer on everybody who was offered, the intention to treat, is the coefficient of $Z$ with a dummy for each stratum:

$$ITT = E[Y \mid Z = 1] - E[Y \mid Z = 0].$$

Divided by what the offer did to take-up $D$ it is the effect on those whom the offer moved, if the offer did nothing to anybody but
through moving them [@imbens1994]:

$$LATE = \frac{E[Y \mid Z = 1] - E[Y \mid Z = 0]}{E[D \mid Z = 1] - E[D \mid Z = 0]}.$$""",
    "comparison": r"""
The effect on those who moved is the difference between their outcome and that of people who did not move and had the same
covariates $X$ before:

$$ATT = E[Y \mid D = 1] - E\left[E[Y \mid D = 0, X] \mid D = 1\right].$$

In levels this assumes that nothing but $X$ decided both the move and the outcome; in differences from the wave before the move, that
without it the outcomes of both would have changed alike.""",
}
ESTIMATORS = {
    "rollout": """
The first row is the estimate of this report. The others are shown because they are common. Before-after credits the move with whatever
happened anyway; a comparison of movers with stayers at the last wave takes their differences before the move for effects; two-way fixed
effects compares late movers with early ones, whose effects still grow [@goodmanbacon2021; @chaisemartin2020].""",
    "offer": """
The first row is the effect of the offer on everybody who was offered. Two-stage least squares gives the effect on those whom it moved, with
an interval that is right only if the offer moved many; the Anderson-Rubin interval is right however few it moved. Both assume that
the offer itself did nothing but move people: money handed out with it, or relief at winning, would be counted as an effect of moving.""",
    "comparison": """
The first row is the estimate of this report, doubly robust. Matching with difference-in-differences is what most studies of the Chinese programme
report; it is shown beside inverse weighting, and each in levels and in differences. What they share is hidden by all of them: a
trend of movers that would have been another without the move.""",
}


def only(design: Design, kinds: str, show: Callable, *arguments, **named) -> Figure | Table | Prose:
    """What `show` returns for a design of one of these kinds, and nothing for another."""
    return show(*arguments, **named) if design.kind in kinds.split() else Prose("")


def describe_estimand(design: Design) -> Prose:
    """The estimand of the design as an equation, and what it takes to identify it."""
    return Prose(ESTIMAND[design.kind].strip())


def describe_estimators(design: Design) -> Prose:
    """What the estimators of the table are, and what each takes for granted."""
    return Prose(ESTIMATORS[design.kind].strip())


def show_trends(design: Design, outcome: str) -> Figure:
    """Mean outcome by cohort and year, as observed."""
    return plot_raw_trends(raw_means(design, outcome), outcome, design.outcomes)


def head_subgroups(design: Design) -> Prose:
    """The heading of the subgroups, where the study has any."""
    return Prose("## By subgroup" if design.subgroups else "")


def show_subgroups(design: Design, effects: Effects, outcome: str) -> Figure | Prose:
    """The headline of everyone and of each subgroup, where the study has any."""
    return plot_forest(effects, outcome, design.outcomes) if design.subgroups else Prose("")


def list_subgroups(design: Design, effects: Effects, outcome: str) -> Table | Prose:
    """The same as numbers, with p-values adjusted over all subgroups of the chapter."""
    name = f"subgroups-{outcome}".lower()
    return tabulate_subgroups(effects, design.outcomes, [outcome], name=name) if design.subgroups else Prose("")


def show_errors(design: Design, names: tuple[str, ...]) -> Table:
    """Errors by origin village, destination site and county, side by side."""
    return tabulate_errors({name: errors_by_level(design, name) for name in names}, design.outcomes)


def show_specifications(design: Design, checks: list[Check]) -> Figure | Prose:
    """The specification curve that a check has in its table."""
    found = [check for check in checks if check.name == "specifications" and check.table is not None and len(check.table)]
    return plot_specifications(found[0].table, found[0].outcome, design.outcomes) if found else Prose("")


def tabulate_versions(design: Design) -> Table | Prose:
    """The kinds and sizes of the sites that movers went to: versions of the treatment, described and not ranked."""
    if not {"site", "site_type", "site_size"} <= set(design.panel.columns):
        return Prose("")
    last = design.panel[(design.panel["time"] == design.times[-1]) & design.panel["site"].notna()]
    body = []
    for kind, group in last.groupby("site_type", observed=True):
        size = group.drop_duplicates("site")["site_size"]
        body.append((wording.label_subgroup(f"site_type={kind}"), wording.format_share(len(group) / len(last)),
                     wording.format_count(group["site"].nunique()), wording.format_count(round(size.median()))))  # fmt: skip
    heads = ("Movers", "Sites", "Median size, persons")
    return Table("tbl-versions", (Column("Kind of site"), *(Column(head, "right") for head in heads)), tuple(body),
                 "Where movers went: versions of the treatment",
                 "Movers observed at the last wave. Who went to which kind of site was not drawn by lot, so effects by kind of site would compare "
                 "people as much as sites: they are described here and not ranked.", "reporting.sections.tabulate_versions")  # fmt: skip


def show_balance(design: Design) -> Figure:
    """How movers and stayers differed at the first wave."""
    return plot_balance(baseline_balance(design), design.outcomes)


def tabulate_take_up(design: Design) -> Table | Prose:
    """Who was offered what, and the share that took it up."""
    if "relocated" not in design.panel:
        return Prose("Take-up is not known in this study.")
    rows = take_up_by_arm(design.panel)
    body = tuple((str(row.arm) or wording.label_offered(row.offered), "yes" if row.offered else "no", wording.format_count(row.n_units),
                  wording.format_level(row.share, "share")) for row in rows.itertuples())  # fmt: skip
    offer = offer_of(design)
    effects = [("Effect of the offer", replace(offer, strata=())), ("Effect of the offer, within strata", offer)]
    for label, how in effects[: 2 if offer.strata else 1]:
        row = estimate_take_up(design.panel, how).select(arm="").table.iloc[0]
        shown = f"{wording.format_number(row['estimate'], TAKE_UP)} pp ({wording.format_number(row['std_error'], TAKE_UP)})"
        body += ((label, "", wording.format_count(row["n_units"]), shown),)
    columns = (Column("Arm"), Column("Offered"), Column("Units", "right"), Column("Took it up", "right"))
    return Table("tbl-take_up", columns, body, "Take-up by arm, and the effect of the offer on it",
                 "Shares of those whose take-up is known. Effects in percentage points, clustered errors in brackets.",
                 "reporting.sections.tabulate_take_up")  # fmt: skip


def tabulate_offer_balance(design: Design, checks: list[Check]) -> Table | Prose:
    """Each trait from before the offer as an outcome of the same regression."""
    found = [check for check in checks if check.name == "balance" and check.table is not None and len(check.table)]
    if not found:
        return Prose("")
    body = tuple((wording.label_covariate(row.covariate), *(f"{v:,.3f}".replace("-", wording.MINUS) for v in
                  (row.mean_not_offered, row.difference, row.std_error)), wording.format_p(row.p_value),
                  wording.format_p(row.p_adjusted), wording.format_count(row.n_units)) for row in found[0].table.itertuples())  # fmt: skip
    heads = ("Mean, not offered", "Difference", "SE", "p", "Holm p", "Units")
    return Table("tbl-offer_balance", (Column("Before the offer"), *(Column(head, "right") for head in heads)), body,
                 "Balance of those offered and the others", found[0].note, "reporting.sections.tabulate_offer_balance")  # fmt: skip


def tabulate_arms(design: Design, effects: Effects, name: str) -> Table | Prose:
    """The effect of each arm against the base arm, one regression an outcome; nothing without arms."""
    rows = effects.table.query("estimand == 'itt' and arm != '' and subgroup == 'all'")
    if rows.empty:
        return Prose("")
    body: list[tuple[str, ...]] = []
    for outcome, group in rows.groupby("outcome", sort=False):
        about = design.outcomes[outcome]
        body.append((f"{about.label} ({wording.label_unit(about.print_unit)})",))
        body += [(str(row["arm"]), *effect_row(row, about.print_unit)) for _, row in group.iterrows()]
    heads = ("Effect", "SE", "95% interval", "p", "Units", "Clusters")
    return Table(f"tbl-arms-{name}", (Column("Arm"), *(Column(head, "right") for head in heads)), tuple(body),
                 f"Effect of each arm against {design.study.design.base_arm}",
                 "One regression an outcome with a dummy for each arm. Clusters: arm / base arm.", "reporting.sections.tabulate_arms")  # fmt: skip


def tabulate_late(design: Design, effects: Effects, name: str) -> Table | Prose:
    """The effect on those whom the offer moved, with the interval that holds however weak the offer."""
    rows = effects.table.query("estimand == 'late' and subgroup == 'all'")
    if rows.empty:
        return Prose("")
    first = effects.table.query("estimand == 'first_stage' and subgroup == 'all' and arm == ''").set_index("outcome")
    body = []
    for outcome, group in rows.groupby("outcome", sort=False):
        about, by = design.outcomes[outcome], group.set_index("estimator")
        late, robust, stage = by.loc["tsls"], by.loc["anderson_rubin"], first.loc[outcome]
        body.append((about.label, wording.find_unit(about.print_unit).short, wording.format_number(stage["estimate"], "share"),
                     wording.format_number(late["estimate"], about.print_unit), wording.format_number(late["std_error"], about.print_unit),
                     wording.format_interval(late["conf_low"], late["conf_high"], about.print_unit),
                     wording.format_interval(robust["conf_low"], robust["conf_high"], about.print_unit), wording.format_count(late["n_units"])))  # fmt: skip
    heads = ("First stage, pp", "Effect", "SE", "95% interval", "Anderson-Rubin", "Units")
    return Table(f"tbl-late-{name}", (Column("Outcome"), Column("Unit"), *(Column(head, "right") for head in heads)), tuple(body),
                 "Effect on those whom the offer moved",
                 "Two-stage least squares. It assumes that the offer did nothing but move people: the cash itself, or winning itself, "
                 "nothing. Anderson-Rubin: the smallest interval that holds the 95% set, right however weak the first stage.",
                 "reporting.sections.tabulate_late")  # fmt: skip
