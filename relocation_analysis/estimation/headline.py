"""The headline of a fit and nothing else, for checks: they estimate it many times, and need no bands and no table."""

from dataclasses import dataclass, replace

import numpy as np

from relocation_analysis.data.codebook import Outcome
from relocation_analysis.estimation.aggregate import aggregate_effects, list_aggregations
from relocation_analysis.estimation.cells import Cells
from relocation_analysis.estimation.cohort_time import CohortTime, Contrast
from relocation_analysis.estimation.design import Design
from relocation_analysis.estimation.estimate import cells_of, fit_contrasts, headline_contrasts
from relocation_analysis.estimation.inference import cluster_errors, pointwise_interval


@dataclass(frozen=True)
class Headline:
    """The columns of a row of effects (`EFFECT_COLUMNS`), and the units on the smaller side."""

    estimate: float
    std_error: float
    se_type: str
    p_value: float
    conf_low: float
    conf_high: float
    n_units: int
    n_clusters_treated: int
    n_clusters_comparison: int
    n_smaller_side: float


def headline_of_fit(fit: CohortTime, few_clusters: str) -> Headline | None:
    """The headline of cohort-time effects with the errors of the house; None where no effect can be had."""
    wanted = list_aggregations(fit, ("headline",))
    if not wanted:
        return None
    found = aggregate_effects(fit, wanted)
    if found.jackknife is None:
        found = replace(found, jackknife=np.full(found.influence.shape, np.nan))
    errors = cluster_errors(found, few_clusters)
    _statistic, p_value, low, high = pointwise_interval(found.estimate, errors.std_error, errors.df)
    numbers = (found.estimate, errors.std_error, errors.se_type, p_value, low, high)
    sides = found.treated.sum(0), found.comparison.sum(0)
    counts = (int(found.units.sum(0).round()[0]), *(int(side[0]) for side in sides), float(found.by_side.sum(1).min()))
    return Headline(*(values[0] for values in numbers), *counts)


def estimate_headline(
    design: Design, outcome: Outcome, cells: Cells, contrasts: tuple[Contrast, ...], adjusted: bool = True
) -> Headline | None:
    """The headline by the study's estimator; only those of the contrasts that it averages over are estimated."""
    fit = fit_contrasts(design, outcome, cells, headline_contrasts(contrasts), adjusted=adjusted)
    return headline_of_fit(fit, design.study.design.few_clusters)


def headline_cells(design: Design, outcome: Outcome, contrasts: tuple[Contrast, ...], by: tuple[str, ...]) -> Cells:
    """Cells of some contrasts, split by no more than is asked for."""
    return cells_of(design, outcome, tuple(sorted({(c.time, c.base) for c in contrasts})), by)
