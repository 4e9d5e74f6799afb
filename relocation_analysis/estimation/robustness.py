"""All checks of a design, in the order in which a referee asks for them."""

from relocation_analysis.estimation.attrition import check_selection_bounds, check_selective_attrition
from relocation_analysis.estimation.benchmarks import BASE_EARLIER, NEVER_ONLY, NOT_YET, estimate_alternatives
from relocation_analysis.estimation.checks import Check
from relocation_analysis.estimation.design import Design, primary_outcome
from relocation_analysis.estimation.effects import Effects
from relocation_analysis.estimation.estimate import is_adjusted
from relocation_analysis.estimation.placebo import (
    check_leave_one_out,
    check_placebo_dates,
    check_placebo_outcomes,
    check_spillover,
)
from relocation_analysis.estimation.power import design_power
from relocation_analysis.estimation.roster import run_roster_checks
from relocation_analysis.estimation.sample import (
    check_adjustment,
    check_attrition,
    check_balance,
    check_clusters,
    check_composition,
    check_coverage,
    check_power,
)
from relocation_analysis.estimation.sensitivity import (
    check_alternative,
    check_honest_headline,
    check_pretrends,
    check_single_cohorts,
)
from relocation_analysis.estimation.specification_curve import check_specifications, specification_curve
from relocation_analysis.estimation.support import mark_checks
from relocation_analysis.estimation.twfe_weights import check_twfe_weights


def run_checks(design: Design, effects: Effects) -> list[Check]:
    """Every check of the design and of each of its outcomes.

    Parameters
    ----------
    design : the outcomes to check. An outcome that exists only for some gets bounds and nothing else: its other checks
        would be about who has it. The specification curve is that of the first primary.
    effects : from `estimate` on that design.
    """
    power = design_power(effects, design.outcomes)
    if design.kind != "rollout":
        return mark_checks([*run_roster_checks(design), *(check_power(power, name) for name in power["outcome"])], effects)
    checks = [check_balance(design), check_attrition(design), check_placebo_outcomes(design), check_clusters(design, effects)]
    for name, outcome in design.outcomes.items():
        if name not in set(power["outcome"]):  # no effect can be estimated: these two say why
            checks += [check_pretrends(design, effects, name), check_coverage(design, name)]
        elif outcome.conditional:
            checks.append(check_selection_bounds(design, name))
        else:
            checks += _check_outcome(design, effects, name)
            checks.append(check_power(power, name))
    shown = primary_outcome(design)
    if shown in set(power["outcome"]) and not is_adjusted(design, design.outcomes[shown]):  # the curve adjusts for nothing
        checks.append(check_specifications(shown, specification_curve(design, shown)))
    return mark_checks(checks, effects)


def _check_outcome(design: Design, effects: Effects, name: str) -> list[Check]:
    other = NOT_YET if design.comparison == "never_treated" else NEVER_ONLY
    alternatives = estimate_alternatives(design, name)
    checks = [
        check_pretrends(design, effects, name),
        check_honest_headline(design, effects, name, "relative_magnitudes"),
        check_honest_headline(design, effects, name, "smoothness"),
        check_placebo_dates(design, name),
        check_alternative(name, effects, alternatives, BASE_EARLIER),
        check_alternative(name, effects, alternatives, other),
        check_twfe_weights(design, name),
        check_single_cohorts(design, effects, name),
        check_leave_one_out(design, name),
        check_spillover(design, name),
        check_selective_attrition(design, name),
        check_coverage(design, name),
    ]
    if "site" in design.panel.columns:
        checks.append(check_leave_one_out(design, name, "site"))
    if design.covariates:
        checks.append(check_adjustment(design, name))
    if design.outcomes[name].sampling == "repeated":
        checks.append(check_composition(design, name))
    return checks
