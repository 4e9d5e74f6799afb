"""Average cohort-time effects: by event time, cohort, calendar time and overall.

Callaway & Sant'Anna (2021), section 3, equations 3.3 to 3.11 (estimators in 4.1). Every aggregation is a mean over M sets of

    theta_k = sum_j a_kj B_g(j) ATT_j / sum_j a_kj B_g(j),

with B_g the baseline size of cohort g and fixed factors a. Its influence has a part from the effects and a part from
the sizes, which are estimates too.
"""

from dataclasses import dataclass

import numpy as np

from relocation_analysis.estimation.cohort_time import CohortTime

HEADLINE_EXPOSURES = (0, 3)


@dataclass(frozen=True)
class Aggregation:
    """What is averaged: `sets` of (contrast numbers, factors a); the mean over sets is reported."""

    name: str
    cohort: float
    time: float
    event_time: float
    sets: tuple[tuple[np.ndarray, np.ndarray], ...]


@dataclass(frozen=True)
class Aggregated:
    """Values of A aggregations: estimate (A,), influence (K, A), jackknife (K, A) or None, and who contributes: clusters
    (K, A) of bool and units (K, A), those of the treated and of the comparison also apart (2, K, A)."""

    aggregations: tuple[Aggregation, ...]
    estimate: np.ndarray
    influence: np.ndarray
    jackknife: np.ndarray | None
    treated: np.ndarray
    comparison: np.ndarray
    units: np.ndarray
    by_side: np.ndarray | None = None


def list_aggregations(effects: CohortTime, names: tuple[str, ...]) -> tuple[Aggregation, ...]:
    """The aggregations of these names that have at least one estimable cohort-time effect."""
    cohort = np.array([c.cohort for c in effects.contrasts])
    time = np.array([c.time for c in effects.contrasts], dtype=float)
    event = time - cohort
    usable = np.isfinite(effects.att)
    post = usable & (event >= 0)
    nan = np.nan

    def one(mask):
        return (np.flatnonzero(mask), np.ones(mask.sum()))

    def per_cohort(mask):
        members = np.flatnonzero(mask)
        return members, np.array([1 / np.sum(mask & (cohort == g)) for g in cohort[members]])

    build = {
        "cohort_time": lambda: [Aggregation("cohort_time", cohort[j], time[j], event[j], (one(np.arange(len(event)) == j),))
                                for j in np.flatnonzero(usable)],
        "event_time": lambda: [Aggregation("event_time", nan, nan, e, (one(usable & (event == e)),))
                               for e in np.unique(event[usable])],
        "cohort": lambda: [Aggregation("cohort", g, nan, nan, (one(post & (cohort == g)),)) for g in np.unique(cohort[post])],
        "calendar": lambda: [Aggregation("calendar", nan, t, nan, (one(post & (time == t)),)) for t in np.unique(time[post])],
        "overall_simple": lambda: [Aggregation("overall_simple", nan, nan, nan, (one(post),))],
        "overall_dynamic": lambda: [Aggregation("overall_dynamic", nan, nan, nan,
                                                tuple(one(post & (event == e)) for e in np.unique(event[post])))],
        "overall_cohort": lambda: [Aggregation("overall_cohort", nan, nan, nan, (per_cohort(post),))],
        "headline": lambda: [Aggregation("headline", nan, nan, nan, (one(headline_members(effects)),))],
        "exposures": lambda: [Aggregation("headline", nan, nan, k, (one(headline_members(effects) & (event <= k)),))
                              for k in held_exposures(effects)],
    }  # fmt: skip
    found = [a for name in names for a in build[name]()]
    return tuple(a for a in found if a.sets and all(len(members) for members, _ in a.sets))


def headline_members(effects: CohortTime) -> np.ndarray:
    """True for the estimable cohort-time effects at exposures 0 to 3."""
    event = np.array([c.event_time for c in effects.contrasts])
    low, high = HEADLINE_EXPOSURES
    return np.isfinite(effects.att) & (event >= low) & (event <= high)


def held_exposures(effects: CohortTime) -> tuple[float, ...]:
    """The exposures of the headline up to the first that no cohort can be followed to: means over 0 to k exist for each k."""
    event = {float(c.event_time) for c, member in zip(effects.contrasts, headline_members(effects), strict=True) if member}
    low, high = HEADLINE_EXPOSURES
    missing = (k for k in range(low, high + 1) if k not in event)
    return tuple(float(k) for k in range(low, next(missing, high + 1)))


def mean_exposures(effects: CohortTime, aggregations: tuple[Aggregation, ...]) -> np.ndarray:
    """Mean exposure of each aggregation over one set, weighted as its effects are, (A,)."""
    event = np.array([c.event_time for c in effects.contrasts], dtype=float)
    weight = effects.size.sum(0)[_cohort_numbers(effects)]
    members = [(m, factor * weight[m]) for m, factor in (a.sets[0] for a in aggregations)]
    return np.array([w @ event[m] / w.sum() for m, w in members])


def headline_coverage(effects: CohortTime, left_out: float = 0.0) -> float:
    """Share of the mover-years at exposures 0 to 3 that the headline covers: the rest lie after the last wave, in waves
    that were not held, or have no comparison or base period. `left_out` is the baseline weight of movers who are not
    among the sizes because they have no base period."""
    size = effects.size.sum(0)
    moved = size[np.isfinite(effects.cohorts)].sum() + left_out
    cohort = _cohort_numbers(effects)
    covered = size[cohort[headline_members(effects)]].sum()
    years = HEADLINE_EXPOSURES[1] - HEADLINE_EXPOSURES[0] + 1
    return float(covered / (moved * years)) if moved > 0 else np.nan


@np.errstate(invalid="ignore", divide="ignore")
def aggregate_effects(effects: CohortTime, aggregations: tuple[Aggregation, ...]) -> Aggregated:
    """Average cohort-time effects with the influence values, and the leave-one-out values, of the averages."""
    cohort = _cohort_numbers(effects)
    total = effects.size.sum(0)
    shape = (len(effects.clusters), len(aggregations))
    estimate, influence, units = np.full(shape[1], np.nan), np.zeros(shape), np.zeros(shape)
    treated, comparison = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
    sides = np.stack([effects.units] * 2) if effects.by_side is None else effects.by_side
    by_side = np.zeros((2, *shape))
    jackknife = None if effects.jackknife is None else np.full(shape, np.nan)
    for a, aggregation in enumerate(aggregations):
        (members, _), *others = aggregation.sets
        if others:
            members = np.unique(np.concatenate([m for m, _ in aggregation.sets]))
        estimate[a] = _mean(effects.att, total[cohort], aggregation.sets)
        influence[:, a] = _influence(effects, cohort, total, aggregation.sets)
        treated[:, a], comparison[:, a] = effects.treated[:, members].any(1), effects.comparison[:, members].any(1)
        units[:, a], by_side[:, :, a] = effects.units[:, members].max(1), sides[:, :, members].max(2)
        if jackknife is not None:
            jackknife[:, a] = _mean(effects.jackknife, (total - effects.size)[:, cohort], aggregation.sets)
    return Aggregated(aggregations, estimate, influence, jackknife, treated, comparison, units, by_side)


def _cohort_numbers(effects: CohortTime) -> np.ndarray:
    """Position of each contrast's cohort; of any other where nobody is of that cohort and its effect is missing."""
    found = np.searchsorted(effects.cohorts, [c.cohort for c in effects.contrasts])
    return np.minimum(found, len(effects.cohorts) - 1)


def _mean(att: np.ndarray, size: np.ndarray, sets) -> np.ndarray:
    """Mean over sets, for att and size (..., J). A missing effect (a replicate without its cell) carries no weight."""
    values = []
    for members, factor in sets:
        effect = att[..., members]
        known = np.isfinite(effect)
        weight = np.where(known, size[..., members] * factor, 0.0)
        values.append((weight * np.where(known, effect, 0.0)).sum(-1) / weight.sum(-1))
    return values[0] if len(values) == 1 else np.mean(values, axis=0)


def _influence(effects: CohortTime, cohort: np.ndarray, total: np.ndarray, sets) -> np.ndarray:
    """Influence of each cluster on a mean over sets, (K,)."""
    psi = np.zeros(len(effects.clusters))
    for members, factor in sets:
        weight = factor * total[cohort[members]]
        share = weight / weight.sum()
        value = share @ effects.att[members]
        psi += effects.influence[:, members] @ share
        psi += effects.size[:, cohort[members]] @ (factor * (effects.att[members] - value)) / weight.sum()
    return psi / len(sets)
