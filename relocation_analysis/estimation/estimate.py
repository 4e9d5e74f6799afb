"""From a design to effects: every outcome, aggregation and subgroup, with errors, intervals and bands."""

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pandas as pd
from pandas.api.types import is_string_dtype

from relocation_analysis.data.codebook import Outcome
from relocation_analysis.estimation.aggregate import (
    HEADLINE_EXPOSURES,
    Aggregated,
    aggregate_effects,
    list_aggregations,
)
from relocation_analysis.estimation.cells import Cells, build_cells
from relocation_analysis.estimation.cohort_time import (
    NEVER,
    CohortTime,
    Contrast,
    estimate_by_group,
    estimate_cohort_time,
    list_contrasts,
)
from relocation_analysis.estimation.design import Design
from relocation_analysis.estimation.doubly_robust import DoublyRobust, doubly_robust_att
from relocation_analysis.estimation.effects import MAIN_ESTIMATORS, EffectRows, Effects, join_effects, tabulate_effects
from relocation_analysis.estimation.inference import (
    Errors,
    adjust_holm,
    band,
    cluster_errors,
    critical_value,
    pointwise_interval,
    random_signs,
)
from relocation_analysis.estimation.roster import estimate_roster
from relocation_analysis.estimation.support import mark_thin
from relocation_analysis.randomness import generator

MAIN, UNIVERSAL = "callaway_santanna", "callaway_santanna_universal"
ALL_AGGREGATIONS = ("headline", "event_time", "cohort_time", "cohort", "calendar",
                    "overall_simple", "overall_dynamic", "overall_cohort")  # fmt: skip
FAMILIES = ("event_time", "cohort_time", "cohort", "calendar")
EXPOSURE_ROLES = ("primary", "secondary", "adverse")


def estimate(design: Design) -> Effects:
    """Effects of relocation on every outcome of the design.

    For each outcome: the study's estimator (`callaway_santanna`) in all aggregations, its headline by subgroup, and its
    event and cohort times against a universal base period (`callaway_santanna_universal`), which is what figures draw. An
    `offer` gives the intention to treat and the effect on those whom it moved, a `comparison` weighting and doubly robust.
    """
    if design.kind != "rollout":
        return mark_thin(estimate_roster(design), design.study.threshold)
    return mark_thin(join_effects([_estimate_outcome(design, outcome) for outcome in design.outcomes.values()]), design.study.threshold)


def _estimate_outcome(design: Design, outcome: Outcome) -> Effects:
    cells = outcome_cells(design, outcome)
    main = contrasts_of(design, outcome, design.study.design.base_period)
    parts = [_rows_of(design, outcome, fit_contrasts(design, outcome, cells, main), MAIN, ALL_AGGREGATIONS)]
    for name, fit in _fit_subgroups(design, outcome, cells, headline_contrasts(main)).items():
        parts.append(_rows_of(design, outcome, fit, MAIN, ("headline",), name))
    universal = contrasts_of(design, outcome, "universal")
    fit = fit_contrasts(design, outcome, cells, universal)
    parts.append(_with_reference(_rows_of(design, outcome, fit, UNIVERSAL, ("event_time",)), universal))
    parts.append(_rows_of(design, outcome, fit, UNIVERSAL, ("cohort_time",)))
    return tabulate_effects(parts)


def _fit_subgroups(design: Design, outcome: Outcome, cells: Cells, contrasts: tuple[Contrast, ...]) -> dict[str, CohortTime]:
    """Cohort-time effects by subgroup, "trait=value"; who has no value is in none."""
    rows = {}
    for trait in usable_subgroups(design, outcome):
        numbers, values = pd.factorize(cells.rows[trait], sort=True)
        rows |= {f"{trait}={value}": np.flatnonzero(numbers == k) for k, value in enumerate(values)}
    if is_adjusted(design, outcome):
        return {name: fit_adjusted(design, outcome, contrasts, name).effects for name in rows}
    settings = design.study.design
    fits = estimate_by_group(cells, tuple(rows.values()), contrasts, settings.strata, settings.few_clusters == "jackknife")
    return dict(zip(rows, fits, strict=True))


def contrasts_of(
    design: Design, outcome: Outcome, base: str, comparison: str | None = None, anticipation: int | None = None
) -> tuple[Contrast, ...]:
    """The contrasts of a design over the times at which an outcome was observed, with the design's own comparison and
    anticipation unless others are named."""
    settings = design.study.design
    times = design.keep(("times", outcome.name), lambda: np.unique(design.panel["time"].to_numpy()[design.panel[outcome.name].notna()]))
    return list_contrasts(
        design.cohorts,
        tuple(int(t) for t in times),
        comparison or settings.comparison,
        settings.anticipation if anticipation is None else anticipation,
        base,
    )


def headline_contrasts(contrasts: tuple[Contrast, ...]) -> tuple[Contrast, ...]:
    """The contrasts of the exposures that the headline averages over."""
    return tuple(c for c in contrasts if HEADLINE_EXPOSURES[0] <= c.event_time <= HEADLINE_EXPOSURES[1])


def outcome_cells(design: Design, outcome: Outcome) -> Cells:
    """The cells from which every estimate of an outcome comes, those of the robustness checks included."""
    early = design.study.design.anticipation
    wanted = [c for base in ("varying", "universal") for comparison in ("not_yet_treated", "never_treated")
              for a in (early, early + 1) for c in contrasts_of(design, outcome, base, comparison, a)]  # fmt: skip
    pairs = tuple(sorted({(c.time, c.base) for c in wanted}))
    by = dict.fromkeys((*design.study.design.strata, *usable_subgroups(design, outcome)))
    return _cells(design, outcome, pairs, tuple(by))


def level_cells(design: Design, outcome: Outcome) -> Cells:
    """Cells of levels by time, whatever the sampling: for raw means and for the estimators shown as benchmarks."""
    return _cells(design, outcome.model_copy(update={"sampling": "repeated"}), (), design.study.design.strata)


def _cells(design: Design, outcome: Outcome, pairs: tuple[tuple[int, int], ...], by: tuple[str, ...]) -> Cells:
    return design.keep(("cells", outcome, pairs, design.cluster, by), lambda: cells_of(design, outcome, pairs, by))


def cells_of(design: Design, outcome: Outcome, pairs: tuple[tuple[int, int], ...], by: tuple[str, ...]) -> Cells:
    """The cells of an outcome for some pairs (time, base), split by the columns `by`.

    Text is summed by its number among the sorted texts, which is quicker and sorts alike; what is missing comes last.
    """
    names = [outcome.level, "time", "cohort", design.cluster, "weight", outcome.name, *(["age"] if outcome.age_step else [])]
    frame = design.panel[list(dict.fromkeys((*names, *by)))]
    texts = {name: design.keep(("texts", name), lambda name=name: _number_texts(frame[name]))
             for name in by if name not in names and is_string_dtype(frame[name])}  # fmt: skip
    cells = build_cells(frame.assign(**{name: codes for name, (codes, _) in texts.items()}), outcome, pairs, design.cluster, by)
    return replace(cells, rows=cells.rows.assign(**{name: known.take(cells.rows[name]) for name, (_, known) in texts.items()}))


def _number_texts(texts: pd.Series) -> tuple[np.ndarray, pd.api.extensions.ExtensionArray]:
    """The number of each text, and the texts by number, the last of them missing."""
    codes, known = pd.factorize(texts, sort=True)
    return np.where(codes < 0, len(known), codes), pd.array([*known, None], dtype="str")


def usable_subgroups(design: Design, outcome: Outcome) -> tuple[str, ...]:
    """The subgroups of a design that do not vary within the units of an outcome's level. A repeated outcome, whose ages
    move, is not split by the age at the first wave."""
    names = tuple(n for n in design.subgroups if outcome.sampling == "panel" or n != "age_band")
    if outcome.level == design.study.design.unit:
        return names
    varying = design.keep(("varying", outcome.level, names), lambda: _varying(design.panel, outcome.level, names))
    return tuple(name for name in names if name not in varying)


def _varying(panel: pd.DataFrame, level: str, names: tuple[str, ...]) -> set[str]:
    """Columns that are not the same on all rows of some unit of a level."""
    units = panel.groupby(level, observed=True)
    return {name for name in names if (units[name].nunique(dropna=False) > 1).any()}


def effects_of(
    design: Design,
    outcome: Outcome,
    cells: Cells,
    contrasts: tuple[Contrast, ...],
    estimator: str,
    aggregations: tuple[str, ...],
    adjusted: bool = True,
) -> Effects:
    """Effects from one set of contrasts, aggregated, with their errors; `adjusted` for the study's covariates if it has any."""
    fit = fit_contrasts(design, outcome, cells, contrasts, adjusted)
    return effects_of_fit(design, outcome, fit, estimator, aggregations)


def fit_contrasts(
    design: Design,
    outcome: Outcome,
    cells: Cells,
    contrasts: tuple[Contrast, ...],
    adjusted: bool = True,
) -> CohortTime:
    """Cohort-time effects of one set of contrasts, by the study's estimator."""
    if adjusted and is_adjusted(design, outcome):
        return fit_adjusted(design, outcome, contrasts).effects
    settings = design.study.design
    return estimate_cohort_time(cells, contrasts, settings.strata, settings.few_clusters == "jackknife")


def effects_of_fit(
    design: Design,
    outcome: Outcome,
    fit: CohortTime,
    estimator: str,
    aggregations: tuple[str, ...],
) -> Effects:
    """Cohort-time effects aggregated, with the errors, intervals and bands of the house."""
    return tabulate_effects([_rows_of(design, outcome, fit, estimator, aggregations)])


def _rows_of(
    design: Design, outcome: Outcome, fit: CohortTime, estimator: str, aggregations: tuple[str, ...], subgroup: str = "all"
) -> EffectRows:
    wanted = list_aggregations(fit, aggregations)
    if fit.jackknife is None:
        fit = replace(fit, jackknife=np.full(fit.influence.shape, np.nan))
    aggregated = aggregate_effects(fit, wanted)
    errors = cluster_errors(aggregated, design.study.design.few_clusters)
    statistic, p_value, low, high = pointwise_interval(aggregated.estimate, errors.std_error, errors.df)
    band_low, band_high = _bands(design, outcome, fit.clusters, aggregated, errors)
    about = {"outcome": outcome.name, "domain": outcome.domain, "subgroup": subgroup, "estimator": estimator, "estimand": "att", "arm": ""}
    columns = {name: np.full(len(wanted), value, dtype=object) for name, value in about.items()} | {
        "aggregation": np.array([a.name for a in wanted], dtype=object),
        **{name: np.array([getattr(a, name) for a in wanted], dtype=float) for name in ("cohort", "time", "event_time")},
        "estimate": aggregated.estimate, "std_error": errors.std_error, "se_type": errors.se_type,
        "statistic": statistic, "p_value": p_value, "p_adjusted": np.full(len(wanted), np.nan),
        "conf_low": low, "conf_high": high, "band_low": band_low, "band_high": band_high,
        "n_units": aggregated.units.sum(0).round().astype("int64"),
        "n_clusters_treated": aggregated.treated.sum(0), "n_clusters_comparison": aggregated.comparison.sum(0),
    }  # fmt: skip
    return EffectRows(columns, aggregated.by_side.sum(1), errors.influence, fit.clusters)


def is_adjusted(design: Design, outcome: Outcome) -> bool:
    """Whether the study's continuous covariates are adjusted for: an outcome whose units change has no baseline values."""
    return bool(design.covariates) and outcome.sampling == "panel"


def fit_adjusted(design: Design, outcome: Outcome, contrasts, subgroup: str = "all") -> DoublyRobust:
    """Doubly robust cohort-time effects, where the study names continuous covariates."""
    panel = design.panel[design.panel[outcome.name].notna()]
    if subgroup != "all":
        trait, value = subgroup.split("=", 1)
        panel = panel[panel[trait].astype(str) == value]
    rows = panel.drop_duplicates([outcome.level, "time"])
    wide = rows.pivot(index=outcome.level, columns="time", values=outcome.name).reindex(columns=design.times)
    first = rows.drop_duplicates(outcome.level).set_index(outcome.level, drop=False).loc[wide.index]
    weight = panel.groupby(outcome.level, observed=True)["weight"].max().loc[wide.index]
    return doubly_robust_att(
        wide.to_numpy(),
        design.times,
        _covariate_matrix(first, design),
        weight.to_numpy(dtype=float),
        first["cohort"].fillna(NEVER).to_numpy(dtype=float),
        first[design.cluster].to_numpy(),
        contrasts,
        design.study.design.few_clusters == "jackknife",
    )


def _covariate_matrix(first: pd.DataFrame, design: Design) -> np.ndarray:
    """Units x k: the study's covariates and a dummy for every stratum but the first."""
    strata = first[list(design.study.design.strata)].astype(str).agg("/".join, axis=1) if design.study.design.strata else None
    dummies = [] if strata is None else [pd.get_dummies(strata, drop_first=True, dtype=float).to_numpy()]
    return np.hstack([first[list(design.covariates)].to_numpy(dtype=float), *dummies])


def multipliers_of(design: Design, outcome: Outcome, clusters: np.ndarray) -> np.ndarray:
    """(draws, K) random signs, keyed by seed, province and outcome; a cluster has the same signs in every subgroup."""
    everyone = design.keep(("clusters", design.cluster), lambda: np.unique(design.panel[design.cluster].to_numpy()))
    key = (design.study.seed, design.study.province or "all", outcome.name, "multipliers")
    return _signs(key, design.study.design.draws, len(everyone))[:, np.searchsorted(everyone, clusters)]


@lru_cache(maxsize=2)
def _signs(key: tuple, draws: int, clusters: int) -> np.ndarray:
    return random_signs(generator(*key), draws, clusters)


def _bands(design: Design, outcome: Outcome, clusters: np.ndarray, aggregated: Aggregated, errors: Errors) -> np.ndarray:
    """(2, A) simultaneous bands, one over the effects of each family; NaN for an effect of none."""
    names, limits = np.array([a.name for a in aggregated.aggregations]), np.full((2, len(errors.df)), np.nan)
    for family in FAMILIES:
        members = np.flatnonzero(names == family)
        if len(members):
            critical = critical_value(errors, members, multipliers_of(design, outcome, clusters))
            limits[:, members] = band(aggregated.estimate[members], errors.std_error[members], errors.df[members], critical)
    return limits


def _with_reference(rows: EffectRows, contrasts: tuple[Contrast, ...]) -> EffectRows:
    """Add the universal base period, where the effect is zero by construction and has no error."""
    times = rows.columns["event_time"]
    base = {float(c.base - c.cohort) for c in contrasts} - set(times)
    if not base or not len(times):
        return rows
    reference = {name: values[0] if values.dtype == object else 0 if values.dtype.kind in "iu" else np.nan for name, values in rows.columns.items()}
    reference |= {"event_time": max(base), "estimate": 0.0, "se_type": ""}
    place = np.searchsorted(times, max(base), side="right")
    columns = {name: np.insert(values, place, reference[name]) for name, values in rows.columns.items()}
    return EffectRows(columns, np.insert(rows.sides, place, 0.0, axis=1), np.insert(rows.influence, place, 0.0, axis=1), rows.clusters)


def adjust_headlines(effects: Effects, names: tuple[str, ...]) -> Effects:
    """Holm-adjusted p-values of the headlines of a family of outcomes, and apart from them of all their subgroups; other rows
    keep none."""
    table = effects.table.copy()
    rows = (table["aggregation"] == "headline") & table["estimator"].isin(MAIN_ESTIMATORS) & table["outcome"].isin(names)
    everyone = table["subgroup"] == "all"
    for family in (rows & everyone, rows & ~everyone):
        table.loc[family, "p_adjusted"] = adjust_holm(table.loc[family, "p_value"].to_numpy())
    return replace(effects, table=table)


def primary_family(design: Design) -> tuple[str, ...]:
    """The outcomes over which the overview's p-values are adjusted: the primaries, or all where there is none."""
    return tuple(n for n, outcome in design.outcomes.items() if outcome.role == "primary") or tuple(design.outcomes)


def domain_family(design: Design) -> tuple[str, ...]:
    """The outcomes over which a domain's p-values are adjusted: not the delivered changes, nor what is only reported."""
    return tuple(name for name, outcome in design.outcomes.items() if outcome.role in EXPOSURE_ROLES)
