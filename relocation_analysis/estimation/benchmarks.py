"""Estimators that are shown for comparison, because the press and much of the literature use them."""

from dataclasses import replace

import numpy as np
import pandas as pd
import statsmodels.api as sm

from relocation_analysis.data.codebook import Outcome
from relocation_analysis.estimation.aggregate import HEADLINE_EXPOSURES
from relocation_analysis.estimation.cells import NEVER, Cells
from relocation_analysis.estimation.cohort_time import Contrast, base_period
from relocation_analysis.estimation.design import Design
from relocation_analysis.estimation.effects import EFFECT_COLUMNS, SUPPORT_COLUMNS, Effects, join_effects
from relocation_analysis.estimation.estimate import MAIN, contrasts_of, effects_of, headline_contrasts, level_cells, outcome_cells
from relocation_analysis.estimation.imputation import estimate_imputation
from relocation_analysis.estimation.sun_abraham import estimate_sun_abraham
from relocation_analysis.estimation.roster import estimate_roster_alternatives
from relocation_analysis.estimation.inference import pointwise_interval
from relocation_analysis.estimation.support import mark_thin

NEVER_ONLY, NOT_YET, BASE_EARLIER = "callaway_santanna_never", "callaway_santanna_not_yet", "callaway_santanna_base_earlier"


def estimate_alternatives(design: Design, name: str) -> Effects:
    """Headline of one outcome under the other comparison group, with the base period one period earlier, and by the
    benchmarks `twfe`, `before_after` and `cross_section`, which need assumptions that relocation breaks."""
    if design.kind != "rollout":
        return mark_thin(estimate_roster_alternatives(design, name), design.study.threshold)
    outcome = design.outcomes[name]
    cells, levels = outcome_cells(design, outcome), level_cells(design, outcome)
    if not levels.columns:
        return effects_of(design, outcome, cells, (), MAIN, ("headline",), adjusted=False)
    settings = design.study.design
    other = "never_treated" if settings.comparison == "not_yet_treated" else "not_yet_treated"
    parts = [
        _headline(design, outcome, cells, headline_contrasts(contrasts_of(design, outcome, "varying", other)),
                  NEVER_ONLY if other == "never_treated" else NOT_YET),
        _headline(design, outcome, cells,
                  headline_contrasts(contrasts_of(design, outcome, "varying", None, settings.anticipation + 1)), BASE_EARLIER),
        _headline(design, outcome, levels, _own_change(design, levels), "before_after", adjusted=False),
        _headline(design, outcome, levels, _last_wave(design, levels), "cross_section", "overall_simple", adjusted=False),
        estimate_imputation(design, name, ("headline",)),
        estimate_sun_abraham(design, name, ("headline",)),
        estimate_twfe(design, outcome, levels),
    ]  # fmt: skip
    return mark_thin(join_effects([part for part in parts if part is not None]), design.study.threshold)


def _headline(
    design, outcome, cells, contrasts, estimator: str, aggregation: str = "headline", adjusted: bool = True
) -> Effects | None:
    if not contrasts:
        return None
    effects = effects_of(design, outcome, cells, contrasts, estimator, (aggregation,), adjusted=adjusted)
    if effects.table.empty:
        return None
    return replace(effects, table=effects.table.assign(aggregation="headline"))


def _own_change(design: Design, cells: Cells) -> tuple[Contrast, ...]:
    """The movers' own change since the base period, at the exposures of the headline."""
    low, high = HEADLINE_EXPOSURES
    found = []
    for cohort in design.cohorts:
        base = base_period(cohort, cells.columns, design.study.design.anticipation)
        if base is not None and cohort != NEVER:
            found += [Contrast(cohort, t, base, ()) for t in cells.columns if low <= t - cohort <= high]
    return tuple(found)


def _last_wave(design: Design, cells: Cells) -> tuple[Contrast, ...]:
    """Levels of movers less those of never-movers at the last wave."""
    last = cells.columns[-1]
    moved = [c for c in design.cohorts if c <= last]
    return tuple(Contrast(c, last, None, (NEVER,)) for c in moved) if NEVER in design.cohorts else ()


def estimate_twfe(design: Design, outcome: Outcome, cells: Cells) -> Effects:
    """Two-way fixed effects: the coefficient of "has moved" in a regression with village-by-cohort and time effects (by
    age cell where the outcome has them), weighted by cell size, errors clustered (CR1 of statsmodels).

    On a balanced panel it equals the regression with unit effects. With staggered moves it is a weighted mean of
    cohort-time effects in which some weights are negative (Goodman-Bacon 2021; de Chaisemartin & D'Haultfoeuille 2020).
    """
    times = np.array(cells.columns)
    rows, columns = np.nonzero(cells.weight > 0)
    weight = cells.weight[rows, columns]
    y = cells.total[rows, columns] / weight
    cohort = cells.rows["cohort"].to_numpy(dtype=float)
    moved = (times[columns] >= cohort[rows]).astype(float)
    age = cells.rows["age"].to_numpy()
    period = pd.factorize(pd.MultiIndex.from_arrays([age[rows], columns]))[0]
    y, moved = (_partial_out(v, weight, rows, period) for v in (y, moved))
    clusters = cells.rows["cluster"].to_numpy()[rows]
    groups = pd.factorize(clusters, sort=True)[0]
    fit = sm.WLS(y, moved, weights=weight).fit(cov_type="cluster", cov_kwds={"groups": groups}, use_t=True)
    labels = np.unique(clusters)
    score = np.bincount(groups, weight * moved * np.asarray(fit.resid)) / (weight * moved**2).sum()
    estimate, std_error, df = fit.params[:1], fit.bse[:1], np.array([len(labels) - 1.0])
    std_error = np.where(std_error > 1e-10 * np.abs(estimate), std_error, np.nan)
    statistic, p_value, low, high = pointwise_interval(estimate, std_error, df)
    sides = [len(np.unique(cells.rows["cluster"][mask])) for mask in (cohort <= times[-1], cohort > times[0])]
    units = [cells.units[mask].sum() for mask in (cohort <= times[-1], cohort > times[0])]
    row = dict.fromkeys(EFFECT_COLUMNS, np.nan) | {
        "outcome": outcome.name, "domain": outcome.domain, "subgroup": "all", "estimator": "twfe", "estimand": "att", "arm": "",
        "aggregation": "headline", "estimate": estimate[0], "std_error": std_error[0],
        "se_type": "cluster_cr1" if np.isfinite(std_error[0]) else "",
        "statistic": statistic[0], "p_value": p_value[0], "conf_low": low[0], "conf_high": high[0],
        "n_units": int(round(cells.units.sum())), "n_clusters_treated": sides[0], "n_clusters_comparison": sides[1],
    }  # fmt: skip
    scaled = score * (std_error[0] / np.sqrt((score**2).sum())) if np.isfinite(std_error[0]) else np.zeros(len(labels))
    support = pd.DataFrame([(*units, None)], columns=list(SUPPORT_COLUMNS))
    return Effects(pd.DataFrame([row])[list(EFFECT_COLUMNS)], scaled[:, None], labels, support)


def _partial_out(values: np.ndarray, weight: np.ndarray, *factors: np.ndarray) -> np.ndarray:
    """Residual from weighted regression on sets of dummies, by alternating projections to machine precision."""
    values = values.astype(float).copy()
    sums = [np.bincount(f, weight) for f in factors]
    scale = np.abs(values).max() or 1.0
    for _ in range(10_000):
        largest = 0.0
        for factor, total in zip(factors, sums, strict=True):
            mean = np.bincount(factor, weight * values) / np.where(total > 0, total, 1.0)
            values -= mean[factor]
            largest = max(largest, np.abs(mean).max())
        if largest < 1e-13 * scale:
            return values
    raise ArithmeticError("alternating projections did not converge")
