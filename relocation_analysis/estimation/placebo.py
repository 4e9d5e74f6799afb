"""Effects where there should be none, and the headline with less of the data."""

from dataclasses import asdict, replace

import numpy as np
import pandas as pd
from scipy import stats

from relocation_analysis.data.codebook import Outcome, say_level
from relocation_analysis.errors import unknown_name
from relocation_analysis.estimation.aggregate import (
    aggregate_effects,
    list_aggregations,
)
from relocation_analysis.estimation.cells import NEVER, Cells
from relocation_analysis.estimation.checks import Check
from relocation_analysis.estimation.clustered import (
    Partialled,
    identified,
    jackknife_influence,
    least_squares,
    leave_one_out,
    partial_out,
)
from relocation_analysis.estimation.cohort_time import CohortTime, Contrast, estimate_cohort_time
from relocation_analysis.estimation.design import Design
from relocation_analysis.estimation.estimate import (
    contrasts_of,
    fit_adjusted,
    headline_contrasts,
    is_adjusted,
    outcome_cells,
)
from relocation_analysis.estimation.headline import Headline, estimate_headline, headline_cells, headline_of_fit
from relocation_analysis.estimation.inference import (
    FEWEST_CLUSTERS,
    LEVEL,
    MANY_CLUSTERS,
    adjust_holm,
)
from relocation_analysis.estimation.sample import estimate_extra, extra_design
from relocation_analysis.language import _, join_sentences

PLACEBO_YEARS = (1, 2, 3)
PERCENTILES = (5, 95)
LEVELS = ("village", "site", "county")


def check_placebo_dates(design: Design, name: str, years: tuple[int, ...] = PLACEBO_YEARS) -> Check:
    """The headline with every move dated some years too early, from observations before the true move only.

    Not another test of trends before the move: it is the headline itself, where it must be zero. Years of anticipation
    are left out.
    """
    outcome, early = design.outcomes[name], design.study.design.anticipation
    null = _("Moves dated some years too early have no effect")
    before = (design.panel["time"] < design.panel["cohort"].fillna(NEVER) - early).to_numpy()
    panel = design.panel.assign(**{name: design.panel[name].where(before)})
    moved = {k: panel.assign(cohort=panel["cohort"] - k - early) for k in years}
    dated = {k: replace(design, panel=moved[k], cohorts=tuple(c - k - early for c in design.cohorts)) for k in years}
    contrasts = {k: headline_contrasts(contrasts_of(earlier, outcome, "varying")) for k, earlier in dated.items()}
    cells = headline_cells(replace(design, panel=panel), outcome, sum(contrasts.values(), ()), design.study.design.strata)
    rows = []
    for k in (k for k in years if contrasts[k]):
        own = replace(cells, rows=cells.rows.assign(cohort=cells.rows["cohort"] - k - early))
        found = estimate_headline(dated[k], outcome, own, contrasts[k])
        rows += [] if found is None else [(k, found.estimate, found.std_error, found.p_value)]
    table = pd.DataFrame(rows, columns=["years_early", "estimate", "std_error", "p_value"])
    return _smallest_p(name, "placebo_dates", null, table, _("No wave lies early enough before the moves."),
                       _("Each row dates all moves some years early and uses no observation after the true move."))  # fmt: skip


def check_placebo_outcomes(design: Design, names: tuple[str, ...] = ()) -> Check:
    """The headline of outcomes that a move cannot change.

    Parameters
    ----------
    names : outcomes of the design which the study holds to be out of reach of relocation. Besides them, every
        baseline trait of the persons observed at a time: nobody's own trait changes, so an effect means that the move
        changed who is observed.
    """
    found = {}
    for name in names:
        if name not in design.outcomes:
            raise unknown_name(_("A placebo outcome"), name, design.outcomes)
        outcome = design.outcomes[name]
        found[name] = estimate_headline(design, outcome, outcome_cells(design, outcome), contrasts_of(design, outcome, "varying"))
    found |= _trait_effects(design)
    rows = [(what, effect.estimate, effect.std_error, effect.p_value) for what, effect in found.items() if effect is not None]
    table = pd.DataFrame(rows, columns=["placebo", "estimate", "std_error", "p_value"])
    return _smallest_p("", "placebo_outcomes", _("The move does not change what it cannot change"), table,
                       _("The panel has nothing that a move cannot change."),
                       _("Each trait is that of the first wave; only a change of who is observed can move it."))  # fmt: skip


def _trait_effects(design: Design) -> dict[str, Headline | None]:
    """The headline of numbers that stand for the baseline traits: age, and a dummy for each level of a trait but the last.

    The dummies come from cells of a constant: as a trait is the same at all times, who has it is a matter of rows.
    """
    unit = design.study.design.unit
    frame = design.panel[list(dict.fromkeys([unit, design.cluster, "cohort", "weight", "time"]))]
    found = {}
    if "age_baseline" in design.panel:
        ages = frame.assign(trait=design.panel["age_baseline"].astype(float)).dropna(subset=["trait"])
        found["age_baseline"] = estimate_extra(design, ages, "trait", unit, "repeated")
    traits = {trait: pd.factorize(design.panel[trait]) for trait in design.subgroups}
    extra = extra_design(design, frame.assign(trait=1.0, **{name: codes for name, (codes, _values) in traits.items()}), "trait", unit, "repeated")
    contrasts = headline_contrasts(contrasts_of(extra, extra.outcomes["trait"], "varying"))
    cells = headline_cells(extra, extra.outcomes["trait"], contrasts, design.subgroups)
    for trait, (_codes, values) in traits.items():
        codes = cells.rows[trait].to_numpy()
        known = cells.subset(codes >= 0)
        for code in sorted(range(len(values)), key=lambda i: values[i])[:-1]:
            has = (codes[codes >= 0] == code)[:, None]
            own = replace(known, total=np.where(has, known.total, 0.0))
            found[f"{trait}={values[code]}"] = estimate_headline(extra, extra.outcomes["trait"], own, contrasts)
    return found


def _smallest_p(outcome: str, name: str, null: str, table: pd.DataFrame, nothing: str, note: str) -> Check:
    """A check of several effects that should be zero: the smallest Holm-adjusted p-value."""
    if table.empty:
        return Check(outcome, name, null, None, None, None, table, nothing)
    table = table.assign(p_adjusted=adjust_holm(table["p_value"].to_numpy()))
    smallest = table["p_adjusted"].min()
    known = bool(np.isfinite(smallest))
    return Check(
        outcome,
        name,
        null,
        None,
        float(smallest) if known else None,
        bool(smallest >= 1 - LEVEL) if known else None,
        table,
        join_sentences([note, _("The p-value is the smallest, Holm-adjusted.")]),
    )


def level_labels(design: Design, outcome: Outcome, level: str) -> pd.Series:
    """The label of every row of the panel at another level of clustering, the same for all rows of a unit.

    A mover's site is where the unit was first seen after the move. Those whom no site is known of keep the cluster of
    the design, so the sites are compared with the villages of those who stayed.
    """
    if level not in design.panel:
        raise unknown_name(_("A level of clustering"), level, [name for name in LEVELS if name in design.panel])

    def label() -> pd.Series:
        own = design.panel.groupby(outcome.level, observed=True)[level].transform("first")
        own = own.astype(object).where(own.notna(), None)
        rest = design.panel[design.cluster].astype(str)
        return (level + " " + own.astype(str)).where(own.notna(), design.cluster + " " + rest)

    return design.keep(("labels", outcome.level, level, design.cluster), label)


def at_level(design: Design, outcome: Outcome, level: str) -> Design:
    """The design with errors clustered at another level."""
    settings = design.study.design.model_copy(update={"cluster": "other_level"})
    study = design.study.model_copy(update={"design": settings})
    return replace(design, panel=design.panel.assign(other_level=level_labels(design, outcome, level)), study=study)


def fit_at_level(design: Design, outcome: Outcome, level: str) -> CohortTime:
    """The cohort-time effects of the headline with another level for the clusters, and without each of these in turn."""
    contrasts = headline_contrasts(contrasts_of(design, outcome, "varying"))
    if is_adjusted(design, outcome):
        other = design if level == design.cluster else at_level(design, outcome, level)
        return fit_adjusted(other, outcome, contrasts).effects
    cells = outcome_cells(design, outcome) if level == design.cluster else _cells_at(design, outcome, level, contrasts)
    return estimate_cohort_time(cells, contrasts, design.study.design.strata, jackknife=True)


def _cells_at(design: Design, outcome: Outcome, level: str, contrasts: tuple[Contrast, ...]) -> Cells:
    """Cells by cluster of another level. They are built once for all levels, by numbers in the order of the labels."""

    def build() -> Cells:
        labels = {f"by_{other}": level_labels(design, outcome, other) for other in LEVELS if other in design.panel}
        numbers = {name: pd.factorize(values, sort=True)[0] for name, values in labels.items()}
        split = replace(design, panel=design.panel.assign(**numbers))
        return headline_cells(split, outcome, contrasts, (*design.study.design.strata, *numbers))

    cells = design.keep(("levels", outcome, contrasts, design.cluster, design.study.design.strata), build)
    return replace(cells, rows=cells.rows.assign(cluster=cells.rows[f"by_{level}"]))


def errors_by_level(design: Design, name: str) -> pd.DataFrame:
    """The headline with errors clustered at each level that the panel has: origin village, destination site, county.

    The rule for few clusters (`cluster_errors`) is applied at each. Returns level, estimate, std_error, se_type,
    p_value, conf_low, conf_high, n_clusters_treated, n_clusters_comparison, n_units, those on the smaller side; no row where
    there is no headline.
    """
    outcome, few = design.outcomes[name], design.study.design.few_clusters
    levels = [
        level for level in LEVELS if level in design.panel and (level != "site" or design.panel["site"].notna().any())
    ]
    found = {level: headline_of_fit(fit_at_level(design, outcome, level), few) for level in dict.fromkeys((design.cluster, *levels))}
    rows = [{**asdict(row), "level": level, "n_units": row.n_smaller_side} for level, row in found.items() if row is not None]
    columns = [
        "level",
        "estimate",
        "std_error",
        "se_type",
        "p_value",
        "conf_low",
        "conf_high",
        "n_clusters_treated",
        "n_clusters_comparison",
        "n_units",
    ]
    return pd.DataFrame(rows, columns=columns)


def check_leave_one_out(design: Design, name: str, level: str | None = None) -> Check:
    """The headline without each cluster in turn: percentiles over clusters, never which cluster.

    Parameters
    ----------
    level : another level to leave out, such as `site`; the clusters of the design by default.
    """
    outcome, label = design.outcomes[name], level or design.cluster
    null = _("No single {unit} carries the effect", unit=say_level(label))
    fit = fit_at_level(design, outcome, label)
    wanted = list_aggregations(fit, ("headline",))
    found = aggregate_effects(fit, wanted)
    if not wanted or found.jackknife is None:
        return Check(name, f"leave_one_{label}_out", null, None, None, None, None, _("There is no headline to leave anything out of."))
    sides = found.treated if label == "site" else found.treated | found.comparison
    involved = sides[:, 0] & np.isfinite(found.jackknife[:, 0])
    values = np.percentile(found.jackknife[involved, 0], PERCENTILES) if involved.any() else np.full(len(PERCENTILES), np.nan)
    table = pd.DataFrame({"percentile": PERCENTILES, "estimate": values, "clusters": int(involved.sum())})
    estimate, change = found.estimate[0], float(np.abs(values - found.estimate[0]).max())
    alike = bool((np.sign(values) == np.sign(estimate)).all()) if involved.any() else None
    return Check(name, f"leave_one_{label}_out", null, change if involved.any() else None, None, alike, table,
                 _("Over {n} estimates without one {unit} each. The statistic is how far the 5th or 95th percentile lies from the headline; "
                   "the check fails where the sign changes.",
                   n=design.study.show_count(involved.sum()), unit=say_level(label)))  # fmt: skip


def clustered_test(system: Partialled) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Coefficients (M,) on the first outcome, errors, and F and p of the test that all are zero.

    CR1 from 50 clusters on, below the jackknife CV3; F has M and G - 1 degrees of freedom. NaN below 5 clusters.
    """
    fit, groups = least_squares(system), len(system.labels)
    estimate, influence = fit.coefficient[:, 0], fit.influence[:, :, 0]
    if groups < MANY_CLUSTERS:
        influence = jackknife_influence(estimate, leave_one_out(system)[:, :, 0])
    variance = influence.T @ influence
    if groups < FEWEST_CLUSTERS or groups <= len(estimate) or not np.isfinite(variance).all():
        return estimate, np.full(len(estimate), np.nan), np.nan, np.nan
    statistic = float(estimate @ np.linalg.pinv(variance, hermitian=True) @ estimate) / len(estimate)
    return estimate, np.sqrt(np.diag(variance)), statistic, float(stats.f.sf(statistic, len(estimate), groups - 1))


def check_spillover(design: Design, name: str) -> Check:
    """Whether those who have not moved yet respond to the share of their county that has.

    Changes between waves of the means of not-yet-moved clusters (over units seen in both, where units stay the same) on
    the change of the share of the county's units of the first wave that have moved, with wave effects, weighted by the
    units behind a mean, errors by county (`clustered_test`). Beside it the headline whose comparison comes only
    from counties where no more than the median share moves: with spillover it differs.
    """
    outcome, null = design.outcomes[name], _("Those who have not moved do not respond to the moves of others in their county")
    if "county" not in design.panel:
        return Check(name, "spillover", null, None, None, None, None, _("The panel has no county."))
    share = moved_share(design)
    county = design.panel.groupby(design.cluster, observed=True)["county"].first()
    frame = _changes_before_moving(design, outcome, share, county)
    waves = pd.get_dummies(frame["time"], dtype=float).to_numpy()
    system = (
        partial_out(frame["share"], frame["change"], waves, frame["county"].to_numpy(), frame["weight"])
        if len(frame)
        else None
    )
    if system is None or not identified(system).all():
        return Check(name, "spillover", null, None, None, None, None, _("The share that has moved does not differ between counties."))
    (slope,), (error,), *rest, p_value = clustered_test(system)
    rows = [(_("change as the share goes from 0 to 1"), slope, error), *_by_comparison(design, outcome, share, county)]
    known = bool(np.isfinite(p_value))
    return Check(
        name,
        "spillover",
        null,
        float(slope),
        p_value if known else None,
        bool(p_value >= 1 - LEVEL) if known else None,
        pd.DataFrame(rows, columns=["what", "estimate", "std_error"]),
        _("The statistic is the change of a not yet moved {unit} as all of its county moves. With spillover the headline is the effect on "
          "movers less that on the comparison. Number of counties: {n}.", unit=say_level(design.cluster), n=design.study.show_count(len(system.labels))),
    )


def moved_share(design: Design) -> pd.DataFrame:
    """Weighted share of a county's units of the first wave that have moved by each time: counties x times."""
    first = design.panel[design.panel["time"] == design.times[0]]
    weight = first.groupby("county", observed=True)["weight"].sum()
    moved = {
        t: first["weight"].where(first["cohort"] <= t, 0.0).groupby(first["county"], observed=True).sum() / weight
        for t in design.times
    }
    return pd.DataFrame(moved)


def _changes_before_moving(design: Design, outcome: Outcome, share: pd.DataFrame, county: pd.Series) -> pd.DataFrame:
    """One row per cluster, cohort and pair of consecutive waves before the move: change, share, weight, time, county."""
    cells = outcome_cells(design, outcome)
    groups = cells.rows.groupby(["cluster", "cohort"], sort=True)
    cluster, cohort = (groups[name].first().to_numpy() for name in ("cluster", "cohort"))
    where = county.reindex(cluster).to_numpy()
    pairs = {(c.base, c.time) for c in contrasts_of(design, outcome, "varying")}
    waves = sorted({time for pair in pairs for time in pair})
    parts = []
    for before, time in sorted(pairs & set(zip(waves, waves[1:], strict=False))):
        change, variance = 0.0, 0.0
        for column, sign in cells.contrast_columns(time, before):
            weight, total = (np.bincount(groups.ngroup(), a[:, column]) for a in (cells.weight, cells.total))
            with np.errstate(invalid="ignore", divide="ignore"):
                change, variance = change + sign * total / weight, variance + 1 / weight
        moves = (share[time] - share[before]).reindex(where).to_numpy()
        part = pd.DataFrame({"change": change, "share": moves, "weight": 1 / variance, "time": time, "county": where})
        parts.append(part[(time < cohort - design.study.design.anticipation) & np.isfinite(change)])
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _by_comparison(design: Design, outcome: Outcome, share: pd.DataFrame, county: pd.Series) -> list[tuple]:
    """The headline with the comparison from all counties, and from those where no more than the median share moves."""
    cells, contrasts = outcome_cells(design, outcome), contrasts_of(design, outcome, "varying")
    final = share[design.times[-1]]
    low = final.index[final <= final.median()]
    near = county.reindex(cells.rows["cluster"].to_numpy()).isin(low).to_numpy()
    rows = []
    for label, own in (
        (_("headline, all comparisons"), (cells, contrasts)),
        (_("headline, comparison from counties where few moved"), compared_with(cells, contrasts, near)),
    ):
        found = estimate_headline(design, outcome, *own, adjusted=False)
        rows += [] if found is None else [(label, found.estimate, found.std_error)]
    return rows


def compared_with(
    cells: Cells, contrasts: tuple[Contrast, ...], keep: np.ndarray
) -> tuple[Cells, tuple[Contrast, ...]]:
    """Cells and contrasts in which only the rows `keep` (R,) serve as comparison, while all movers stay treated.

    The kept rows stand twice: as themselves, and as a comparison under half a year later, a cohort that nobody has.
    """
    twin = cells.subset(keep)
    twin.rows["cohort"] = np.where(np.isinf(twin.rows["cohort"]), NEVER, twin.rows["cohort"] + 0.5)
    own = cells.subset(np.isfinite(cells.rows["cohort"].to_numpy(dtype=float)))
    arrays = {
        name: np.concatenate([getattr(own, name), getattr(twin, name)])
        for name in ("units", "size", "count", "weight", "total")
    }
    both = Cells(
        cells.outcome, cells.paired, pd.concat([own.rows, twin.rows], ignore_index=True), cells.columns, **arrays
    )
    return both, tuple(
        replace(c, comparison=tuple(g if g == NEVER else g + 0.5 for g in c.comparison)) for c in contrasts
    )
