"""The headline over the same exposures: what one province can be compared with another by."""

from dataclasses import replace

import numpy as np

from relocation_analysis.data.codebook import Outcome
from relocation_analysis.estimation.aggregate import list_aggregations, mean_exposures
from relocation_analysis.estimation.design import Design
from relocation_analysis.estimation.effects import MAIN_ESTIMATORS, Effects, join_effects, support_of
from relocation_analysis.estimation.estimate import (
    MAIN,
    contrasts_of,
    effects_of_fit,
    fit_contrasts,
    headline_contrasts,
    outcome_cells,
    primary_family,
)
from relocation_analysis.estimation.power import design_power
from relocation_analysis.estimation.support import COMPLEMENT

HEADLINE = np.inf  # stands for the headline among exposures


def estimate_exposures(design: Design, effects: Effects) -> Effects:
    """The mean effect over exposures 0 to k of each primary outcome, for every k up to 3 that the panel reaches.

    The headline of a study averages over those of the exposures 0 to 3 that its panel can estimate, and panels differ in
    which these are. Two headlines can be compared only over exposures that both have. The weights are those of the
    headline, the baseline sizes of the cohorts (Callaway & Sant'Anna 2021, section 3); the mean over 0 to 3 is the headline.

    Parameters
    ----------
    design : the checked design.
    effects : from `estimate` on that design; the headline of an `offer` or a `comparison`, which have no exposures, comes from it.

    Returns
    -------
    Effects whose rows are headlines with k in `event_time` (missing for designs without exposures) and, beside the usual
    columns, `mean_exposure` (years, weighted as the effects are), `benchmark`, `power` and `mde`, as `design_power` has them.
    Which of them may leave follows from `effects`, so that nothing that is withheld there can be solved for here.
    """
    if design.kind == "rollout":
        found = _follow(join_effects([_through(design, design.outcomes[name]) for name in primary_family(design)]), effects)
    else:
        found = _headlines(effects, primary_family(design))
    power = design_power(found, design.outcomes)
    columns = {name: power[name].to_numpy() for name in ("benchmark", "power", "mde")}
    return replace(found, table=found.table.assign(**columns))


def _through(design: Design, outcome: Outcome) -> Effects:
    contrasts = headline_contrasts(contrasts_of(design, outcome, design.study.design.base_period))
    fit = fit_contrasts(design, outcome, outcome_cells(design, outcome), contrasts)
    found = effects_of_fit(design, outcome, fit, MAIN, ("exposures",))
    return replace(found, table=found.table.assign(mean_exposure=mean_exposures(fit, list_aggregations(fit, ("exposures",)))))


def _follow(found: Effects, effects: Effects) -> Effects:
    """Write into the support what follows from that of `effects`: the longest mean is the headline, thin where that is. A shorter
    one is a sum of the effects at its exposures, and tells nothing new where all of these are shown; else it is thin."""
    rows = effects.select(estimator=MAIN, subgroup="all", aggregation=("headline", "event_time"))
    known = zip(rows.table["outcome"], rows.table["event_time"].fillna(HEADLINE), support_of(rows)["thin"].fillna(""), strict=True)
    thin = {(outcome, exposure): reason for outcome, exposure, reason in known}
    longest = found.table.groupby("outcome")["event_time"].transform("max")

    def decide(outcome: str, through: float, last: bool) -> str:
        behind = [HEADLINE] if last else [float(k) for k in range(int(through) + 1)]
        reasons = [thin.get((outcome, k), COMPLEMENT) for k in behind]
        return "" if not any(reasons) else reasons[0] if last else COMPLEMENT

    table = found.table
    decided = [decide(*row) for row in zip(table["outcome"], table["event_time"], table["event_time"] == longest, strict=True)]
    return replace(found, support=support_of(found).assign(thin=np.array(decided, dtype=object)))


def _headlines(effects: Effects, names: tuple[str, ...]) -> Effects:
    """The first headline of each outcome: with several arms, the one of all of them together."""
    rows = effects.select(aggregation="headline", subgroup="all", estimator=MAIN_ESTIMATORS, outcome=names)
    first = ~rows.table["outcome"].duplicated().to_numpy()
    influence = None if rows.influence is None else rows.influence[:, first]
    table = rows.table[first].reset_index(drop=True).assign(event_time=np.nan, mean_exposure=np.nan)
    return Effects(table, influence, rows.clusters, support_of(rows)[first].reset_index(drop=True))
