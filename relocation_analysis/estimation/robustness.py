"""All checks of a design, in the order in which a referee asks for them."""

from relocation_analysis.estimation.benchmarks import BASE_EARLIER, NEVER_ONLY, NOT_YET, estimate_alternatives
from relocation_analysis.estimation.checks import Check
from relocation_analysis.estimation.design import Design
from relocation_analysis.estimation.effects import Effects
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
from relocation_analysis.estimation.sensitivity import check_alternative, check_pretrends, check_single_cohorts


def run_checks(design: Design, effects: Effects) -> list[Check]:
    """Every check of the design and of each of its outcomes.

    Parameters
    ----------
    design : the outcomes to check.
    effects : from `estimate` on that design.
    """
    power = design_power(effects, design.outcomes)
    if design.kind != "rollout":
        return [*run_roster_checks(design), *(check_power(power, name) for name in power["outcome"])]
    other = NOT_YET if design.comparison == "never_treated" else NEVER_ONLY
    checks = [check_balance(design), check_attrition(design), check_clusters(design, effects)]
    for name, outcome in design.outcomes.items():
        alternatives = estimate_alternatives(design, name)
        checks += [
            check_pretrends(design, effects, name),
            check_alternative(name, effects, alternatives, BASE_EARLIER),
            check_alternative(name, effects, alternatives, other),
            check_single_cohorts(design, effects, name),
            check_coverage(design, name),
            check_power(power, name),
        ]
        if design.covariates:
            checks.append(check_adjustment(design, name))
        if outcome.sampling == "repeated":
            checks.append(check_composition(design, name))
    return checks
