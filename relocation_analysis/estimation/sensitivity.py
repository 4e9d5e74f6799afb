"""Checks of the identifying assumption: trends before the move, base period, comparison group, single cohorts."""

from dataclasses import replace

import numpy as np
import pandas as pd
from scipy import optimize, stats

from relocation_analysis.estimation.aggregate import (
    HEADLINE_EXPOSURES,
    aggregate_effects,
    headline_members,
    list_aggregations,
)
from relocation_analysis.estimation.benchmarks import BASE_EARLIER, NEVER_ONLY, NOT_YET
from relocation_analysis.estimation.checks import Check
from relocation_analysis.estimation.cohort_time import estimate_cohort_time
from relocation_analysis.estimation.design import Design
from relocation_analysis.estimation.effects import Effects
from relocation_analysis.estimation.estimate import (
    MAIN,
    UNIVERSAL,
    contrasts_of,
    multipliers_of,
    outcome_cells,
)
from relocation_analysis.estimation.headline import estimate_headline
from relocation_analysis.estimation.honest import NULLS, check_honest
from relocation_analysis.estimation.inference import LEVEL, joint_test
from relocation_analysis.estimation.power import POWER
from relocation_analysis.language import _, mark


def check_pretrends(design: Design, effects: Effects, name: str) -> Check:
    """Joint test that there was no difference in trends before the move, and the linear trend it would have missed.

    The test is sup-t by the multiplier bootstrap on the event times before the base period. After Roth (2022, AER:
    Insights 4(3)) it comes with the slope that it detects with 80% power and what such a slope is worth at exposure 3.
    """
    rows = effects.select(outcome=name, estimator=UNIVERSAL, aggregation="event_time", subgroup="all")
    table = rows.table
    base = table.loc[table["std_error"].isna() & (table["estimate"] == 0) & (table["event_time"] < 0), "event_time"]
    reference = float(base.max()) if len(base) else -1.0
    before = ((table["event_time"] < reference) & table["std_error"].notna()).to_numpy()
    shown = table.loc[before, ["event_time", "estimate", "std_error"]].reset_index(drop=True)
    null = _("Before the move, outcomes of movers and of the comparison moved in parallel")
    if not before.any():
        return Check(name, "pre_trends", null, None, None, None, shown, _("No wave before the base period: it cannot be tested."))
    error = table.loc[before, "std_error"].to_numpy()
    draws = multipliers_of(design, design.outcomes[name], rows.clusters) @ (rows.influence[:, before] / error)
    statistic, p_value, critical = joint_test(stats.norm.isf(table.loc[before, "p_value"].to_numpy() / 2), draws)
    distance = table.loc[before, "event_time"].to_numpy() - reference
    slope = _detectable_slope(draws, distance / error, critical)
    worth = slope * (HEADLINE_EXPOSURES[1] - reference)
    shown = shown.assign(detectable_slope=slope, worth_at_exposure_3=worth)
    return Check(name, "pre_trends", null, statistic, p_value, False if p_value < 1 - LEVEL else None, shown,
                 _("A test that does not reject is no proof: the table behind it has the slope that it detects with 80% power."))  # fmt: skip


def _detectable_slope(draws: np.ndarray, shift: np.ndarray, critical: float) -> float:
    """The smallest slope at which the sup-t test rejects in 80% of the draws; `shift` is |t| per unit of slope."""

    def power(slope: float) -> float:
        return float((np.abs(draws + slope * shift).max(1) > critical).mean()) - POWER

    upper = (critical + 5.0) / np.abs(shift).max()
    return float(optimize.brentq(power, 0.0, upper, xtol=1e-6 * upper))


ALTERNATIVES = {
    BASE_EARLIER: ("base_period", mark("The effect is the same when the base period lies one period earlier")),
    NEVER_ONLY: ("comparison", mark("The effect is the same when only those who never moved are the comparison")),
    NOT_YET: ("comparison", mark("The effect is the same when those who move later are part of the comparison")),
}


def check_alternative(name: str, effects: Effects, alternatives: Effects, estimator: str) -> Check:
    """The headline under another base period or comparison group, and the difference with its clustered error."""
    first = effects.select(outcome=name, estimator=MAIN, aggregation="headline", subgroup="all")
    second = alternatives.select(outcome=name, estimator=estimator)
    label, null = ALTERNATIVES[estimator]
    null = _(null)
    if first.table.empty or second.table.empty:
        return Check(name, label, null, None, None, None, None, _("This comparison does not exist in the panel."))
    clusters = np.union1d(first.clusters, second.clusters)
    psi = np.zeros((len(clusters), 2))
    for column, part in enumerate((first, second)):
        psi[np.searchsorted(clusters, part.clusters), column] = part.influence[:, 0]
    values = np.array([part.table["estimate"].iloc[0] for part in (first, second)])
    error = float(np.sqrt(((psi[:, 1] - psi[:, 0]) ** 2).sum()))
    known = first.table["std_error"].notna().all() and second.table["std_error"].notna().all() and error > 0
    difference = values[1] - values[0]
    few = any((part.table["se_type"] == "cluster_jackknife").any() for part in (first, second))
    p_value = float(2 * stats.t.sf(abs(difference / error), len(clusters) - 1 if few else np.inf)) if known else None
    table = pd.DataFrame({"estimator": [MAIN, estimator], "estimate": values,
                          "std_error": [part.table["std_error"].iloc[0] for part in (first, second)]})  # fmt: skip
    passed = None if p_value is None else bool(p_value >= 1 - LEVEL)
    return Check(name, label, null, float(difference), p_value, passed, table,
                 _("The statistic is the difference of the two estimates, in the unit of the outcome."))  # fmt: skip


def check_single_cohorts(design: Design, effects: Effects, name: str) -> Check:
    """The headline without each cohort in turn: movers of that year leave both sides.

    The table has cohort, estimate, std_error, and the size of the cohort that is left out: n_units, n_clusters.
    """
    outcome = design.outcomes[name]
    cells = outcome_cells(design, outcome)
    main = effects.select(outcome=name, estimator=MAIN, aggregation="headline", subgroup="all").table["estimate"]
    everything = contrasts_of(design, outcome, "varying")
    rows = []
    for cohort in dict.fromkeys(c.cohort for c in everything):
        without = (replace(c, comparison=tuple(g for g in c.comparison if g != cohort)) for c in everything if c.cohort != cohort)
        contrasts = tuple(c for c in without if c.comparison)
        if contrasts:
            found = estimate_headline(design, outcome, cells, contrasts)
            if found is not None:
                own = (cells.rows["cohort"] == cohort).to_numpy()
                rows.append((cohort, found.estimate, found.std_error, int(cells.units[own].sum()),
                             cells.rows.loc[own, "cluster"].nunique()))  # fmt: skip
    table = pd.DataFrame(rows, columns=["cohort", "estimate", "std_error", "n_units", "n_clusters"])
    null = _("No single cohort carries the effect")
    if table.empty or main.empty:
        return Check(name, "single_cohorts", null, None, None, None, table, _("No effect is left without one of the cohorts."))
    change = float((table["estimate"] - main.iloc[0]).abs().max())
    sign = bool((np.sign(table["estimate"]) == np.sign(main.iloc[0])).all())
    return Check(name, "single_cohorts", null, change, None, sign, table,
                 _("The statistic is the largest change of the estimate; the check fails where the sign changes."))  # fmt: skip


def known_truth(design: Design, truth: pd.DataFrame) -> pd.DataFrame:
    """The known effects of a simulated panel, aggregated over the same cells with the same weights as the estimates.

    Parameters
    ----------
    truth : from `read_truth`.

    Returns outcome, subgroup, aggregation (headline, event_time), event_time, truth.
    """
    movers = truth[(truth["group"] == "movers") & (truth["subgroup"] == "all")]
    rows = []
    for name, outcome in design.outcomes.items():
        known = movers[movers["outcome"] == name].set_index(["cohort", "time"])["effect"]
        if known.empty:
            continue
        contrasts = contrasts_of(design, outcome, "varying")
        fit = estimate_cohort_time(outcome_cells(design, outcome), contrasts, design.study.design.strata)
        exact = np.array([known.get((c.cohort, c.time), 0.0 if c.event_time < 0 else np.nan) for c in contrasts])
        fit = replace(fit, att=np.where(np.isfinite(fit.att), exact, np.nan))
        wanted = list_aggregations(fit, ("headline", "event_time"))
        values = aggregate_effects(fit, wanted).estimate
        rows += [(name, "all", a.name, a.event_time, v) for a, v in zip(wanted, values, strict=True)]
    return pd.DataFrame(rows, columns=["outcome", "subgroup", "aggregation", "event_time", "truth"])


def check_honest_headline(design: Design, effects: Effects, name: str, restriction: str) -> Check:
    """Honest intervals (Rambachan & Roth 2023) of the headline, which is a weighted mean of the event-time effects 0 to 3.

    Parameters
    ----------
    restriction : "relative_magnitudes" or "smoothness".
    """
    rows = effects.select(outcome=name, estimator=UNIVERSAL, aggregation="event_time", subgroup="all")
    known = rows.table["std_error"].notna().to_numpy()
    times = rows.table["event_time"].to_numpy()
    reference = times[~known & (rows.table["estimate"] == 0).to_numpy() & (times < 0)]
    fit = estimate_cohort_time(outcome_cells(design, design.outcomes[name]), contrasts_of(design, design.outcomes[name], "varying"),
                               design.study.design.strata)  # fmt: skip
    size = fit.size.sum(0)[np.searchsorted(fit.cohorts, [c.cohort for c in fit.contrasts])] * headline_members(fit)
    covered = np.array([c.event_time for c in fit.contrasts])
    weights = np.array([size[covered == t].sum() for t in times[known]])
    if weights.sum() < size.sum():
        return Check(name, f"honest_{restriction}", _(NULLS[restriction]), None, None, None, None,
                     _("An exposure of the headline has too few clusters for an error. It cannot be judged."))  # fmt: skip
    influence = rows.influence[:, known]
    return check_honest(name, rows.table["estimate"].to_numpy()[known], influence.T @ influence, times[known],
                        weights / (weights.sum() or 1.0), restriction, float(reference.max(initial=-1.0)))  # fmt: skip
