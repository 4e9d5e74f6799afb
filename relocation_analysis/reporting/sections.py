"""What a chapter shows for one kind of design and not for another: the same notebooks serve every study."""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from relocation_analysis.data.codebook import Outcome
from relocation_analysis.estimation.checks import Check
from relocation_analysis.estimation.design import Design
from relocation_analysis.estimation.effects import Effects
from relocation_analysis.estimation.offer import estimate_take_up, take_up_by_arm
from relocation_analysis.estimation.placebo import errors_by_level
from relocation_analysis.estimation.roster import offer_of
from relocation_analysis.estimation.sample import baseline_balance, raw_means
from relocation_analysis.language import _, mark
from relocation_analysis.reporting import wording
from relocation_analysis.reporting.disclosure import withheld
from relocation_analysis.reporting.disclosure.release import kept, release_clusters, release_count, release_share, round_count
from relocation_analysis.reporting.exhibits.kinds import Figure, Prose, Table
from relocation_analysis.reporting.exhibits.released import (
    close_note,
    is_lost,
    is_withheld,
    pair_checks,
    released,
    show_count,
    withhold_shares,
)
from relocation_analysis.reporting.figures.balance import plot_balance
from relocation_analysis.reporting.figures.curve import plot_specifications
from relocation_analysis.reporting.figures.forest import plot_forest
from relocation_analysis.reporting.figures.trends import plot_raw_trends
from relocation_analysis.reporting.tables.checks import tabulate_errors
from relocation_analysis.reporting.tables.effects import NUMBERS, effect_cells, effect_row, left, right, tabulate_subgroups

TAKE_UP = "share@1"
ESTIMAND = {
    "rollout": mark(r"""For those who moved in year $g$ the effect at time $t$ is the change of their mean outcome since the last wave
before the move, less the change of those who had not moved yet or never did [@callaway2021]:

$$ATT(g,t) = E[Y_t - Y_b \mid G = g] - E[Y_t - Y_b \mid G > t].$$

It equals what the move did if, without it, the outcomes of both would have moved in parallel. Everything else in this report is an
average of such effects, or a doubt about that assumption."""),
    "offer": mark(r"""The offer $Z$ was drawn by lot within strata, so that those offered differ from the others by nothing but
chance. The effect of the offer on everybody who was offered, the intention to treat, is the coefficient of $Z$ with a dummy for each
stratum:

$$ITT = E[Y \mid Z = 1] - E[Y \mid Z = 0].$$

Divided by what the offer did to take-up $D$ it is the effect on those whom the offer moved, if the offer did nothing to anybody but
through moving them [@imbens1994]:

$$LATE = \frac{E[Y \mid Z = 1] - E[Y \mid Z = 0]}{E[D \mid Z = 1] - E[D \mid Z = 0]}.$$"""),
    "comparison": mark(r"""The effect on those who moved is the difference between their outcome and that of people who did not
move and had the same covariates $X$ before:

$$ATT = E[Y \mid D = 1] - E\left[E[Y \mid D = 0, X] \mid D = 1\right].$$

In levels this assumes that nothing but $X$ decided both the move and the outcome; in differences from the wave before the move, that
without it the outcomes of both would have changed alike."""),
}
ESTIMATORS = {
    "rollout": mark("""The first row is the estimate of this report. The others are shown because they are common. Before-after
credits the move with whatever happened anyway; a comparison of movers with stayers at the last wave takes their differences
before the move for effects; two-way fixed effects compares late movers with early ones, whose effects still grow
[@goodmanbacon2021; @chaisemartin2020]."""),
    "offer": mark("""The first row is the effect of the offer on everybody who was offered. Two-stage least squares gives the
effect on those whom it moved, with an interval that is right only if the offer moved many; the Anderson-Rubin interval is right
however few it moved. Both assume that the offer itself did nothing but move people: money handed out with it, or relief at
winning, would be counted as an effect of moving."""),
    "comparison": mark("""The first row is the estimate of this report, doubly robust. Matching with difference-in-differences is
what most studies of the Chinese programme report; it is shown beside inverse weighting, and each in levels and in differences.
What they share is hidden by all of them: a trend of movers that would have been another without the move."""),
}


def only(design: Design, kinds: str, show: Callable, *arguments, **named) -> Figure | Table | Prose:
    """What `show` returns for a design of one of these kinds, and nothing for another."""
    return show(*arguments, **named) if design.kind in kinds.split() else Prose("")


def describe_estimand(design: Design) -> Prose:
    """The estimand of the design as an equation, and what it takes to identify it."""
    return Prose(_(ESTIMAND[design.kind]))


def describe_estimators(design: Design) -> Prose:
    """What the estimators of the table are, and what each takes for granted."""
    return Prose(_(ESTIMATORS[design.kind]))


def show_trends(design: Design, outcome: str) -> Figure:
    """Mean outcome by cohort and year, as observed."""
    return plot_raw_trends(raw_means(design, outcome), outcome, design.outcomes)


def head_subgroups(design: Design) -> Prose:
    """The heading of the subgroups, where the study has any."""
    return Prose(_("## By subgroup") if design.subgroups else "")


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
    """The specification curve that a check has in its table; nothing where the headline is withheld."""
    found = [before for check, before in pair_checks(checks) if check.name == "specifications" and check.table is not None and len(check.table)]
    return plot_specifications(found[0].table, found[0].outcome, design.outcomes) if found else Prose("")


def tabulate_versions(design: Design) -> Table | Prose:
    """The kinds and sizes of the sites that movers went to: versions of the treatment, described and not ranked."""
    if not {"site", "site_type", "site_size"} <= set(design.panel.columns):
        return Prose("")
    last = design.panel[(design.panel["time"] == design.times[-1]) & design.panel["site"].notna()]
    groups = {kind: group for kind, group in last.groupby("site_type", observed=True)}
    withheld = withhold_shares([len(group) for group in groups.values()])
    body = tuple(_version_row(kind, group, len(last), few) for (kind, group), few in zip(groups.items(), withheld, strict=True))
    heads = (mark("Movers"), mark("Sites"), mark("Median size, persons"))
    note = _("Movers observed at the last wave. Who went to which kind of site was not drawn by lot, so effects by kind of site would"
             " compare people as much as sites: they are described here and not ranked.")  # fmt: skip
    return Table("tbl-versions", (*left(mark("Kind of site")), *right(*heads)), body, _("Where movers went: versions of the treatment"),
                 close_note(note, body), "reporting.sections.tabulate_versions")  # fmt: skip


def _version_row(kind: str, group: pd.DataFrame, total: int, withheld: bool) -> tuple[str, ...]:
    """Share, sites and median size of one kind; the median only over as many sites as a count needs to be shown."""
    size = group.drop_duplicates("site")["site_size"]
    median = round_count(round(size.median())) if kept().public or len(size) >= kept().threshold else float("nan")
    share = wording.WITHHELD if withheld else wording.format_share(_share_of(len(group), total))
    return wording.label_subgroup(f"site_type={kind}"), share, show_count(release_clusters(len(size))), show_count(median)


def _share_of(part: int, total: int) -> float:
    return 1.0 if part == total else release_share(part / total, total)


def show_balance(design: Design) -> Figure:
    """How movers and stayers differed at the first wave."""
    return plot_balance(baseline_balance(design), design.outcomes)


def tabulate_take_up(design: Design) -> Table | Prose:
    """Who was offered what, and the share that took it up, and the effect of the offer on it."""
    if "relocated" not in design.panel:
        return Prose(_("Take-up is not known in this study."))
    arms, offer = take_up_by_arm(design.panel), offer_of(design)
    shares = _shown_shares(arms, arms["offered"].eq(0) & offer.closed)
    body = tuple(_arm_row(design, row, share) for row, share in zip(arms.itertuples(), shares, strict=True))
    effects = [(_("Effect of the offer"), replace(offer, strata=())), (_("Effect of the offer, within strata"), offer)]
    for label, how in effects[: 2 if offer.strata else 1]:
        row = released(estimate_take_up(design.panel, how)).select(arm="").table.iloc[0]
        shown = wording.WITHHELD if row["withheld"] else _say_take_up(row)
        body += ((label, "", show_count(row["n_units"]), shown),)
    note = _("Shares of those whose take-up is known. Effects in percentage points, clustered errors in brackets.")
    return Table("tbl-take_up", (*left(mark("Arm"), mark("Offered")), *right(mark("Units"), mark("Took it up"))), body,
                 _("Take-up by arm, and the effect of the offer on it"), close_note(note, body),
                 "reporting.sections.tabulate_take_up")  # fmt: skip


def _shown_shares(arms: pd.DataFrame, closed: pd.Series) -> list[float]:
    """The share of each arm that took the offer up; NaN where few did, or few did not, unless the arm was `closed` to all. Where that
    is one of several of those offered, or of the others, another one too, since the effect on all of them gives their sum."""
    fewest = np.minimum(arms["n_took"], arms["n_known"] - arms["n_took"])
    few = fewest.lt(kept().threshold) & ~closed & (not kept().public)
    for _side, group in fewest.groupby(arms["offered"]):
        hidden = few[group.index]
        if hidden.sum() == 1 and len(group) > 1:
            few[group[~hidden].idxmin()] = True
            withheld.note("share", "complement")
    shown = [release_share(row.share, row.n_known) if not zero else row.share for row, zero in zip(arms.itertuples(), closed, strict=True)]
    return list(np.where(few, np.nan, shown))


def _arm_row(design: Design, row: NamedTuple, share: float) -> tuple[str, ...]:
    shown = wording.WITHHELD if is_lost(share, row.share) else wording.format_level(share, "share")
    label = _label_arm(design, row.arm) or wording.label_offered(row.offered)
    return label, wording.say_yes(row.offered), show_count(release_count(row.n_units)), shown


def _label_arm(design: Design, arm: object) -> str:
    return design.study.say_label(str(arm)) or str(arm)


def _say_take_up(row: pd.Series) -> str:
    estimate, error = (wording.format_number(row[name], TAKE_UP) for name in ("estimate", "std_error"))
    return _("{estimate} pp ({error})", estimate=estimate, error=error)


def tabulate_offer_balance(design: Design, checks: list[Check]) -> Table | Prose:
    """Each trait from before the offer as an outcome of the same regression."""
    found = [pair for pair in pair_checks(checks) if pair[0].name == "balance" and pair[0].table is not None and len(pair[0].table)]
    if not found:
        return Prose("")
    check, before = found[0]
    known = before.table.reindex(check.table.index).to_dict("records")
    body = tuple(_balance_row(design, row, was) for row, was in zip(check.table.to_dict("records"), known, strict=True))
    heads = (mark("Mean, not offered"), mark("Difference"), mark("SE"), mark("p"), mark("Holm p"), mark("Units"))
    note = _("Each trait is an outcome of the offer's regression. Holm p: adjusted for the number of traits.")
    return Table("tbl-offer_balance", (*left(mark("Before the offer")), *right(*heads)), body, _("Balance of those offered and the others"),
                 close_note(note, body), "reporting.sections.tabulate_offer_balance")  # fmt: skip


def _balance_row(design: Design, row: dict, was: dict) -> tuple[str, ...]:
    """One trait. Whether its mean tells of few was decided where the values were: of a trait of 0 and 1 by the fewer of the two."""
    n, label = release_count(row["n_units"]), design.study.say_label(row["covariate"]) or wording.label_covariate(row["covariate"])
    if n != n:
        return label, *[wording.WITHHELD] * 5, show_count(n)
    numbers = [wording.WITHHELD if is_lost(row[name], was[name]) else write(row[name]) for name, write in BALANCE.items()]
    return label, *numbers, show_count(n)


def _plain(value: float) -> str:
    return f"{value:,.3f}".replace("-", wording.MINUS) if value == value else wording.BLANK


BALANCE = {"mean_not_offered": _plain, "difference": _plain, "std_error": _plain, "p_value": wording.format_p,
           "p_adjusted": wording.format_p}  # fmt: skip


def tabulate_arms(design: Design, effects: Effects, name: str) -> Table | Prose:
    """The effect of each arm against the base arm, one regression an outcome; nothing without arms."""
    rows = released(effects).table.query("estimand == 'itt' and arm != '' and subgroup == 'all'")
    if rows.empty:
        return Prose("")
    body: list[tuple[str, ...]] = []
    for outcome, group in rows.groupby("outcome", sort=False):
        about = design.outcomes[outcome]
        body.append((wording.label_with_unit(about.label, about.print_unit),))
        body += [(_label_arm(design, row["arm"]), *effect_row(row, about.print_unit)) for row in group.to_dict("records")]
    note = _("One regression an outcome with a dummy for each arm. Clusters: arm / base arm.")
    return Table(f"tbl-arms-{name}", (*left(mark("Arm")), *right(*NUMBERS)), tuple(body),
                 _("Effect of each arm against {arm}", arm=_label_arm(design, design.study.design.base_arm)),
                 close_note(note, body, effects=bool(is_withheld(rows).any())), "reporting.sections.tabulate_arms")  # fmt: skip


def tabulate_late(design: Design, effects: Effects, name: str) -> Table | Prose:
    """The effect on those whom the offer moved, with the interval that holds however weak the offer."""
    table = released(effects).table
    rows = table.query("estimand == 'late' and subgroup == 'all'")
    if rows.empty:
        return Prose("")
    first = table.query("estimand == 'first_stage' and subgroup == 'all' and arm == ''").set_index("outcome")
    body = tuple(_late_row(design.outcomes[outcome], group.set_index("estimator"), first.loc[outcome])
                 for outcome, group in rows.groupby("outcome", sort=False))  # fmt: skip
    heads = (mark("First stage, pp"), mark("Effect"), mark("SE"), mark("95% interval"), mark("Anderson-Rubin"), mark("Units"))
    note = _("Two-stage least squares. It assumes that the offer did nothing but move people: the cash itself, or winning itself,"
             " nothing. Anderson-Rubin: the smallest interval that holds the 95% set, right however weak the first stage.")  # fmt: skip
    return Table(f"tbl-late-{name}", (*left(mark("Outcome"), mark("Unit")), *right(*heads)), body, _("Effect on those whom the offer moved"),
                 close_note(note, body, effects=bool(is_withheld(table).any())), "reporting.sections.tabulate_late")  # fmt: skip


def _late_row(about: Outcome, by: pd.DataFrame, stage: pd.Series) -> tuple[str, ...]:
    """Withheld where any of its parts is: the effect is one of them divided by another."""
    late, robust, unit = by.loc["tsls"], by.loc["anderson_rubin"], about.print_unit
    label = (about.label, wording.label_narrow_unit(unit))
    if any(row["withheld"] for row in (late, robust, stage)):
        return *label, *[wording.WITHHELD] * 6
    estimate, error, interval, _p = effect_cells(late, unit)
    return (*label, wording.format_number(stage["estimate"], "share"), estimate, error, interval,
            wording.format_interval(robust["conf_low"], robust["conf_high"], unit), show_count(late["n_units"]))  # fmt: skip
