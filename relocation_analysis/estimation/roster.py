"""Designs with one row per unit, `offer` and `comparison`: their effects and their checks."""

from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd

from relocation_analysis.data.codebook import Outcome
from relocation_analysis.data.panel import excluded_rows
from relocation_analysis.estimation.checks import Check
from relocation_analysis.estimation.comparison import Comparison, estimate_comparison
from relocation_analysis.estimation.confounding import check_confounding, regress
from relocation_analysis.estimation.design import Design, in_universe
from relocation_analysis.estimation.effects import Effects, join_effects
from relocation_analysis.estimation.inference import LEVEL
from relocation_analysis.estimation.offer import estimate_offer, estimate_take_up
from relocation_analysis.estimation.offer_checks import check_balance, check_offer, is_estimable
from relocation_analysis.estimation.offer_design import Offer, complete_cases, controls_of
from relocation_analysis.estimation.wild import check_wild
from relocation_analysis.language import _, join_clauses
from relocation_analysis.quantities import format_number
from relocation_analysis.randomness import generator


def roster_of(design: Design, name: str, size: bool = True) -> pd.DataFrame:
    """The rows for which an outcome is defined, observed or not; without `size`, those left out for their size too."""
    keep = in_universe(design.panel, design.outcomes[name])
    for reason, flags in excluded_rows(design.panel, design.study, name, size):
        keep &= ~flags
    return design.panel[keep]


def offer_of(design: Design) -> Offer:
    """How the offer of a study was made."""
    settings, panel = design.study.design, design.panel
    closed = "relocated" in panel and not panel.loc[panel["offered"] == 0, "relocated"].gt(0).any()
    return Offer(settings.cluster, settings.strata, settings.covariates, settings.assigned, settings.drawn_within,
                 settings.base_arm, settings.few_clusters, closed, design.study.shown)  # fmt: skip


def estimate_roster(design: Design) -> Effects:
    """Effects on every outcome of a design with one row per unit: for everyone, then the headline by subgroup."""
    parts = []
    for name, outcome in design.outcomes.items():
        frame = roster_of(design, name)
        parts.append(_estimate(design, frame, outcome, "all"))
        for trait in design.subgroups:
            for value in sorted(frame[trait].dropna().unique()):
                found = _estimate(design, frame[frame[trait] == value], outcome, f"{trait}={value}")
                parts.append(found.select(aggregation="headline"))
    if design.kind == "offer" and "relocated" in design.panel:
        parts.append(estimate_take_up(design.panel, offer_of(design)))
    return join_effects([part for part in parts if len(part.table)])


def _estimate(design: Design, frame: pd.DataFrame, outcome: Outcome, subgroup: str) -> Effects:
    if design.kind == "offer":
        return estimate_offer(frame, outcome, offer_of(design), subgroup)
    effects = compare(design, frame, outcome, subgroup).effects
    if "aipw_differences" not in set(effects.table["estimator"]):
        return effects
    aside = effects.table["estimator"] == "aipw_levels"
    return replace(effects, table=effects.table.assign(aggregation=effects.table["aggregation"].mask(aside, "")))


def compare(design: Design, frame: pd.DataFrame, outcome: Outcome, subgroup: str = "all") -> Comparison:
    """The design `comparison` on one outcome; differences where the file has its baseline as `<outcome>_before`."""
    settings, before = design.study.design, f"{outcome.name}_before"
    columns = {"y1": outcome.name, "treated": "relocated", "cluster": settings.cluster}
    columns |= {"y0": before} if before in frame else {}
    rows = frame[frame[list(columns.values())].notna().all(axis=1)]
    table = rows[list(dict.fromkeys(settings.covariates))].assign(**{new: rows[old] for new, old in columns.items()})
    if "weight" in rows:
        table["weight"] = rows["weight"]
    return estimate_comparison(table, settings.covariates, outcome.name, outcome.domain, settings.caliper,
                               settings.few_clusters, subgroup)  # fmt: skip


def estimate_roster_alternatives(design: Design, name: str) -> Effects:
    """The other estimators of one outcome, for the table by estimator: matching; an offer has none."""
    frame, outcome = roster_of(design, name), design.outcomes[name]
    if design.kind == "comparison":
        return compare(design, frame, outcome).matching
    return estimate_offer(frame, outcome, offer_of(design)).select(estimator=())


def run_roster_checks(design: Design) -> list[Check]:
    """Every check of a design with one row per unit."""
    if design.kind == "comparison":
        return [check for name, outcome in design.outcomes.items()
                for check in (*compare(design, roster_of(design, name), outcome).checks, _check_confounding(design, outcome))]  # fmt: skip
    offer, checks = offer_of(design), []
    if design.study.design.balance:
        checks.append(check_balance(design.panel, design.study.design.balance, offer))
    for name in design.outcomes:
        def stream(purpose: str, name: str = name) -> np.random.Generator:
            return generator(design.study.seed, design.study.province or "all", name, purpose)

        frame = roster_of(design, name)
        checks += _check_exclusions(design, name, frame)
        checks += check_offer(frame, name, offer, design.study.design.draws, stream, design.outcomes[name].print_unit)
        rows = complete_cases(frame, offer, name)
        if is_estimable(frame, name, offer) and "weight" not in frame:
            x = np.column_stack([rows["offered"], controls_of(rows, offer)])
            x = x if offer.strata else np.column_stack([x, np.ones(len(rows))])
            checks.append(check_wild(name, rows[name].to_numpy(), x, rows[offer.cluster].to_numpy(), 0, stream("wild"), offer.shown))
    return checks


def _check_exclusions(design: Design, name: str, frame: pd.DataFrame) -> list[Check]:
    """The effect with the rows that the study excludes for their size: it should not hang on them.

    The difference that so few rows make would tell what they hold: unless the data are public, only the verdict is given.
    """
    chosen = [r for r in design.study.exclude if r.largest is not None and (r.outcomes is None or name in r.outcomes)]
    if not chosen:
        return []
    parts = {"without them": frame, "with them": roster_of(design, name, size=False)}
    rows = [estimate_offer(part, design.outcomes[name], offer_of(design)).select(aggregation="headline").table for part in parts.values()]
    table = pd.concat(rows, ignore_index=True)[["estimate", "std_error", "p_value", "conf_low", "conf_high", "n_units"]]
    table.insert(0, "rows", list(parts))
    same = bool((table["p_value"] < 1 - LEVEL).nunique() == 1)
    first, second = table.iloc[0], table.iloc[1]
    say = partial(format_number, unit=design.outcomes[name].print_unit)
    null = _("The conclusion does not hang on the rows that the study leaves out for their size")
    reasons = join_clauses(design.study.say_reason(rule.reason) for rule in chosen)
    if design.study.shown.threshold:
        return [Check(name, "exclusions", null, None, None, same, None,
                      _("The effect with them would tell what they hold: only the verdict is given. Left out: {reasons}.", reasons=reasons))]  # fmt: skip
    return [Check(name, "exclusions", null, float(second["estimate"] - first["estimate"]), None, same, table,
                  _("With them the effect is {with_them} ({error_with}), without them {without} ({error_without}); left out: {reasons}.",
                    with_them=say(second["estimate"]), error_with=say(second["std_error"]), without=say(first["estimate"]),
                    error_without=say(first["std_error"]), reasons=reasons))]  # fmt: skip


def _check_confounding(design: Design, outcome: Outcome) -> Check:
    """How strong a confounder would have to be, beside the study's covariates: on the change where the baseline is known."""
    before = f"{outcome.name}_before"
    covariates = list(dict.fromkeys(design.covariates))
    rows = roster_of(design, outcome.name)
    rows = rows[rows[[outcome.name, "relocated", *covariates]].notna().all(axis=1)]
    y = rows[outcome.name]
    if before in rows:
        rows = rows[rows[before].notna()]
        y = rows[outcome.name] - rows[before]
    weight = np.sqrt(rows["weight"].to_numpy(dtype=float)) if "weight" in rows else np.ones(len(rows))
    levels = {name: pd.get_dummies(rows[[name]], drop_first=True, dtype=float).to_numpy() for name in covariates}
    found = regress(y.to_numpy() * weight, rows["relocated"].to_numpy(dtype=float) * weight,
                    {name: values * weight[:, None] for name, values in levels.items()}, weight[:, None])  # fmt: skip
    return check_confounding(outcome.name, found)
