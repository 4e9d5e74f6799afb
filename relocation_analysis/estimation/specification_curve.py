"""The headline under every combination of defensible choices.

Simonsohn, Simmons & Nelson (2020, Nature Human Behaviour 4). The choices: estimator, comparison group, base period,
anticipation, strata, and each cohort left out. A choice that an estimator does not have is blank there.
"""

from collections.abc import Callable
from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd

from relocation_analysis.estimation.aggregate import HEADLINE_EXPOSURES
from relocation_analysis.estimation.benchmarks import estimate_twfe
from relocation_analysis.estimation.cells import Cells
from relocation_analysis.estimation.checks import Check
from relocation_analysis.estimation.cohort_time import CohortTime, Contrast, estimate_cohort_time
from relocation_analysis.estimation.design import Design
from relocation_analysis.estimation.estimate import MAIN, contrasts_of, level_cells, usable_subgroups
from relocation_analysis.estimation.headline import headline_cells, headline_of_fit
from relocation_analysis.estimation.imputation import IMPUTATION, fit_imputation
from relocation_analysis.estimation.sun_abraham import SUN_ABRAHAM, contrasts_of_cells, interact_cohort_time
from relocation_analysis.language import _

CHOICES = ("estimator", "comparison", "base_period", "anticipation", "strata", "without_cohort")
RESULTS = ("estimate", "std_error", "conf_low", "conf_high", "p_value", "se_type", "n_units", "main")
LAST, EARLIER = "last_before", "one_earlier"


def specification_curve(design: Design, name: str, strata: tuple[str, ...] = ("remote",)) -> pd.DataFrame:
    """One row per specification, in the order of their estimates.

    Parameters
    ----------
    name : the outcome.
    strata : a set of baseline traits to stratify by, against none and those of the study.

    Returns `CHOICES` (comparison "not_yet_treated" or "never_treated"; base_period "last_before", the last wave
    before the move, or "one_earlier"; anticipation, years; strata joined by "+", "none"; without_cohort, NaN where
    all are in) and `RESULTS`; `main` is True for the specification of the study. Continuous covariates are not
    adjusted for.
    """
    settings, outcome = design.study.design, design.outcomes[name]
    known = set(settings.strata) | set(usable_subgroups(design, outcome))
    sets = tuple(dict.fromkeys([settings.strata, (), tuple(t for t in strata if t in known)]))
    years = (settings.anticipation, settings.anticipation + 1)
    dropped = (np.nan, *(c for c in design.cohorts if np.isfinite(c) and c <= design.times[-1]))
    everything = _design(design, tuple(dict.fromkeys(t for s in sets for t in s)), settings.anticipation)
    contrasts = {
        key: _contrasts(design, name, *key)
        for key in product(("not_yet_treated", "never_treated"), (LAST, EARLIER), years)
    }
    every = tuple(c for wanted in contrasts.values() for c in wanted)
    changes = headline_cells(design, outcome, every, everything.study.design.strata)
    levels, plain = level_cells(everything, outcome), level_cells(design, outcome)
    rows = []
    for by, cohort in product(sets, dropped):
        wanted = {key: _left(found, cohort) for key, found in contrasts.items()}
        fits = _fits(_design(design, by, settings.anticipation), name, _without(changes, cohort), wanted, _without(levels, cohort))
        rows += [((*choices, by, cohort), headline_of_fit(fit, settings.few_clusters)) for choices, fit in fits.items()]
    for cohort in dropped:
        cells = _without(plain, cohort)
        if _has_staggering(cells):
            rows.append((("twfe", "", "", np.nan, None, cohort), next(estimate_twfe(design, outcome, cells).table.itertuples())))
    main = (MAIN, settings.comparison, LAST, settings.anticipation, settings.strata)
    return _tidy(rows, main)


def _design(design: Design, strata: tuple[str, ...], anticipation: int) -> Design:
    settings = design.study.design.model_copy(update={"strata": strata, "anticipation": anticipation})
    return replace(design, study=design.study.model_copy(update={"design": settings}))


def _contrasts(design: Design, name: str, comparison: str, base: str, anticipation: int) -> tuple[Contrast, ...]:
    """The contrasts of the headline; with an earlier base the wave before the last takes its place, the rest stays."""
    every = contrasts_of(design, design.outcomes[name], "varying", comparison, anticipation)
    found = [c for c in every if HEADLINE_EXPOSURES[0] <= c.event_time <= HEADLINE_EXPOSURES[1]]
    if base == LAST:
        return tuple(found)
    waves = sorted({t for c in every for t in (c.time, c.base)})
    return tuple(replace(c, base=waves[waves.index(c.base) - 1]) for c in found if waves.index(c.base) > 0)


def _left(contrasts: tuple[Contrast, ...], cohort: float) -> tuple[Contrast, ...]:
    """The contrasts that are left without a cohort on either side."""
    left = (
        replace(c, comparison=tuple(g for g in c.comparison if g != cohort)) for c in contrasts if c.cohort != cohort
    )
    return tuple(c for c in left if c.comparison)


def _fits(design: Design, name: str, changes: Cells, contrasts: dict[tuple, tuple[Contrast, ...]], levels: Cells) -> dict[tuple, CohortTime]:
    """Cohort-time effects by every estimator, comparison, base and anticipation, within the strata of a design."""
    settings = design.study.design
    how = settings.strata, settings.few_clusters == "jackknife"
    found = {(MAIN, *key): fit for key, fit in _fit_each(estimate_cohort_time, changes, contrasts, *how).items()}
    dummies = {early: contrasts_of_cells(levels, early) for early in (settings.anticipation, settings.anticipation + 1)}
    for early, fit in _fit_each(interact_cohort_time, levels, dummies, *how).items():
        found[IMPUTATION, "", "", early] = fit_imputation(_design(design, settings.strata, early), name, levels)
        found[SUN_ABRAHAM, "never_treated", LAST, early] = fit
    return found


def _fit_each(
    estimate: Callable[..., CohortTime],
    cells: Cells,
    contrasts: dict,
    strata: tuple[str, ...],
    jackknife: bool,
) -> dict:
    """A fit of each set of contrasts; one that several sets have is estimated once."""
    places = {c: j for j, c in enumerate(dict.fromkeys(c for wanted in contrasts.values() for c in wanted))}
    fit = estimate(cells, tuple(places), strata, jackknife)
    columns = {
        name: values
        for name in ("att", "influence", "jackknife", "treated", "comparison", "units", "by_side")
        if (values := getattr(fit, name)) is not None
    }
    found = {}
    for key, wanted in contrasts.items():
        at = np.array([places[c] for c in wanted], dtype=int)
        found[key] = replace(fit, contrasts=wanted, **{n: np.take(values, at, axis=-1) for n, values in columns.items()})
    return found


def _without(cells: Cells, cohort: float) -> Cells:
    return cells if np.isnan(cohort) else cells.subset((cells.rows["cohort"] != cohort).to_numpy())


def _has_staggering(cells: Cells) -> bool:
    """Whether "has moved" differs between cohorts at some time, which two-way fixed effects need."""
    last = cells.columns[-1] if cells.columns else -np.inf
    paths = np.unique(np.minimum(cells.rows["cohort"].to_numpy(dtype=float), last + 1))
    return len(paths) > 1


def _tidy(rows: list[tuple], main: tuple) -> pd.DataFrame:
    """The table of choices and what was found with them; None where that is nothing."""
    records = []
    for (*choices, by, cohort), found in rows:
        if found is not None:
            label = "" if by is None else "+".join(by) or "none"
            numbers = (getattr(found, name) for name in RESULTS[:-1])
            records.append((*choices, label, cohort, *numbers, (*choices, by) == main and np.isnan(cohort)))
    table = pd.DataFrame(records, columns=[*CHOICES, *RESULTS])
    return table[np.isfinite(table["estimate"].astype(float))].sort_values("estimate", kind="stable", ignore_index=True)


def check_specifications(name: str, curve: pd.DataFrame) -> Check:
    """Whether the sign of the headline depends on a choice of the analyst.

    Parameters
    ----------
    curve : from `specification_curve` of that outcome.

    The table is the curve. Specifications share the data, so their number is no number of tests, and there is no p-value.
    """
    null = _("The effect has the same sign whatever the estimator, comparison, base, anticipation, strata or cohort left out")
    main = curve.loc[curve["main"], "estimate"]
    if main.empty:
        return Check(name, "specifications", null, None, None, None, curve, _("The main specification has no estimate."))
    alike = float((np.sign(curve["estimate"]) == np.sign(main.iloc[0])).mean())
    apart = int(((curve["conf_low"] > 0) | (curve["conf_high"] < 0)).sum())
    return Check(
        name,
        "specifications",
        null,
        alike,
        None,
        alike == 1.0,
        curve,
        _("The statistic is the share of {n} specifications with the sign of the main one; {apart} of their intervals leave zero out.",
          n=len(curve), apart=apart),
    )
