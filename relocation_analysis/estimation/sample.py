"""Checks of the sample: who is compared, who is lost, who ages in and out, how far the data reach."""

import numpy as np
import pandas as pd

from relocation_analysis.data.codebook import Outcome
from relocation_analysis.estimation.aggregate import headline_coverage
from relocation_analysis.estimation.checks import Check
from relocation_analysis.estimation.cohort_time import NEVER, estimate_cohort_time
from relocation_analysis.estimation.design import Design
from relocation_analysis.estimation.effects import Effects
from relocation_analysis.estimation.estimate import (
    MAIN,
    contrasts_of,
    fit_adjusted,
    headline_contrasts,
    is_adjusted,
    level_cells,
    outcome_cells,
)
from relocation_analysis.estimation.headline import Headline, estimate_headline, headline_cells
from relocation_analysis.estimation.inference import FEWEST_CLUSTERS, LEVEL, MANY_CLUSTERS, adjust_holm
from relocation_analysis.estimation.power import POWER
from relocation_analysis.estimation.support import count_fewest
from relocation_analysis.language import _, join_sentences


def raw_means(design: Design, name: str) -> pd.DataFrame:
    """Weighted mean of an outcome by cohort and time, from cells: cohort (NaN = never), time, mean, n, clusters."""
    cells = level_cells(design, design.outcomes[name])
    cohort = cells.rows["cohort"].to_numpy(dtype=float)
    rows = []
    for value in np.unique(cohort):
        keep = cohort == value
        weight, total, count = (a[keep].sum(0) for a in (cells.weight, cells.total, cells.count))
        there = [cells.rows.loc[keep, "cluster"][part > 0].nunique() for part in cells.weight[keep].T]
        rows += [(np.nan if value == NEVER else value, t, total[i] / weight[i], int(count[i]), there[i])
                 for i, t in enumerate(cells.columns) if weight[i] > 0]  # fmt: skip
    return pd.DataFrame(rows, columns=["cohort", "time", "mean", "n", "clusters"])


def movers(cohort: pd.Series, design: Design) -> pd.Series:
    """True for those who moved by the last wave; where everybody did, for those who moved before the last cohort."""
    moved = cohort.notna() & (cohort <= design.times[-1])
    return moved & (cohort < cohort.max()) if moved.all() else moved


def baseline_balance(design: Design) -> pd.DataFrame:
    """Weighted means at the first wave of movers and of those who stayed (see `movers`), and their standardised difference
    (difference over the pooled standard deviation; Imbens & Rubin 2015, section 14.2): covariate, moved, stayed, difference, and
    the fewest units that a mean tells of (of a share: those who have it, or have it not, on either side)."""
    first = design.panel[design.panel["time"] == design.times[0]]
    moved = movers(first["cohort"], design)
    columns = {}
    for name in dict.fromkeys((*design.subgroups, *design.study.design.strata)):
        levels = sorted(first[name].dropna().unique())
        for value in levels[:1] if len(levels) == 2 else levels:
            columns[f"{name}={value}"] = (first[name] == value).astype(float)
    for name in dict.fromkeys((*(["age"] if "age" in first else []), *design.covariates, *design.outcomes)):
        columns[name] = first[name].astype(float)
    rows = []
    for name, values in columns.items():
        (one, variance_one), (zero, variance_zero) = (
            _moments(values[side & values.notna()], first["weight"]) for side in (moved, ~moved))
        spread = np.sqrt((variance_one + variance_zero) / 2)
        fewest = min(count_fewest(values[side & values.notna()], values) for side in (moved, ~moved))
        rows.append((name, one, zero, (one - zero) / spread if spread > 0 else np.nan, fewest))
    return pd.DataFrame(rows, columns=["covariate", "moved", "stayed", "difference", "fewest"])


def _moments(values: pd.Series, weight: pd.Series) -> tuple[float, float]:
    """Weighted mean and variance; NaN where there are too few values."""
    n, weight = len(values), weight.loc[values.index]
    if n < 2:
        return (values.iloc[0] if n else np.nan), np.nan
    mean = np.average(values, weights=weight)
    return mean, np.average((values - mean) ** 2, weights=weight) * n / (n - 1)


def check_balance(design: Design) -> Check:
    """Whether movers differed from never-movers at the first wave. Levels may differ; trends may not."""
    table = baseline_balance(design)
    largest = float(table["difference"].abs().max()) if table["difference"].notna().any() else None
    return Check("", "balance", _("At the first wave movers were like those who stayed, or moved last where nobody stayed"), largest, None,
                 None, table, _("The statistic is the largest standardised difference. The design allows levels to differ; what differs "
                                "may also have had another trend."))  # fmt: skip


def check_attrition(design: Design) -> Check:
    """The effect of relocation on being observed, on the roster of the first wave, by the main estimator."""
    settings = design.study.design
    roster = design.panel[design.panel["time"] == design.times[0]][list(dict.fromkeys([settings.unit, design.cluster, "cohort", "weight"]))]
    grid = roster.merge(pd.DataFrame({"time": design.times}), how="cross")
    seen = pd.MultiIndex.from_frame(design.panel[[settings.unit, "time"]])
    grid["observed"] = pd.MultiIndex.from_frame(grid[[settings.unit, "time"]]).isin(seen).astype(float)
    grid["seen"] = grid["observed"] * grid["weight"]
    sums = grid.groupby([movers(grid["cohort"], design).rename("moved"), "time"])[["seen", "weight"]].sum()
    table = (sums["seen"] / sums["weight"]).unstack("moved")
    table = table.rename(columns={True: "moved", False: "stayed"}).rename_axis(columns=None).reset_index()
    for flag, side in ((True, "moved"), (False, "stayed")):  # of whom a share tells: those seen, or those lost
        found = grid.loc[movers(grid["cohort"], design) == flag].groupby("time")["observed"]
        table[f"fewest_{side}"] = np.minimum(found.sum(), found.size() - found.sum()).reindex(table["time"]).to_numpy()
    null = _("Relocation does not change who is observed")
    if (grid["observed"] == 1).all():
        return Check("", "attrition", null, 0.0, None, True, table, _("Every unit of the first wave is observed at every wave."))
    found = estimate_extra(design, grid, "observed", settings.unit)
    if found is None:
        return Check("", "attrition", null, None, None, None, table, _("The panel allows no comparison after the move."))
    known = bool(np.isfinite(found.p_value))
    return Check("", "attrition", null, float(found.estimate), float(found.p_value) if known else None,
                 bool(found.p_value >= 1 - LEVEL) if known else None, table,
                 _("The statistic is the effect on the share of the first wave's units that are observed."))  # fmt: skip


def check_composition(design: Design, name: str) -> Check:
    """For an outcome whose universe moves: whether relocation changed who is in the universe."""
    outcome = design.outcomes[name]
    null = _("Relocation does not change who is in the universe of the outcome")
    rows = design.panel[design.panel[name].notna()]
    found = {}
    if "age" in rows:
        found["age"] = rows["age"].astype(float)
    for trait in (t for t in design.subgroups if t != "age_band"):
        for value in sorted(rows[trait].dropna().unique())[:-1]:
            found[f"{trait}={value}"] = (rows[trait] == value).astype(float)
    results = []
    for trait, values in found.items():
        frame = rows[list(dict.fromkeys([outcome.level, design.cluster, "cohort", "weight", "time"]))].assign(trait=values)
        effect = estimate_extra(design, frame, "trait", outcome.level, "repeated")
        results += [] if effect is None else [(trait, effect.estimate, effect.std_error, effect.p_value)]
    table = pd.DataFrame(results, columns=["trait", "estimate", "std_error", "p_value"])
    if table.empty:
        return Check(name, "composition", null, None, None, None, table, _("The panel has no baseline trait to compare."))
    table["p_adjusted"] = adjust_holm(table["p_value"].to_numpy())
    smallest = table["p_adjusted"].min()
    known = bool(np.isfinite(smallest))
    return Check(name, "composition", null, None, float(smallest) if known else None,
                 bool(smallest >= 1 - LEVEL) if known else None, table,
                 _("Each trait is an outcome of the main estimator; the p-value is the smallest, Holm-adjusted."))  # fmt: skip


def estimate_extra(design: Design, frame: pd.DataFrame, column: str, level: str, sampling: str = "panel") -> Headline | None:
    """Headline effect on a column that is no outcome of the codebook, without strata or covariates."""
    extra = extra_design(design, frame, column, level, sampling)
    outcome = extra.outcomes[column]
    contrasts = headline_contrasts(contrasts_of(extra, outcome, "varying"))
    return estimate_headline(extra, outcome, headline_cells(extra, outcome, contrasts, ()), contrasts)


def extra_design(design: Design, frame: pd.DataFrame, column: str, level: str, sampling: str) -> Design:
    """The design of a column that is no outcome of the codebook, without strata or covariates."""
    outcome = Outcome(name=column, domain="other", level=level, sampling=sampling, unit="", label_en=column)
    settings = design.study.design.model_copy(update={"strata": (), "covariates": ()})
    study = design.study.model_copy(update={"design": settings})
    return Design(frame, study, {column: outcome}, design.times, design.cohorts, (), design.flow)


def check_coverage(design: Design, name: str) -> Check:
    """Share of the mover-years at exposures 0 to 3 that the headline covers, and how far each cohort can be followed."""
    outcome = design.outcomes[name]
    contrasts = contrasts_of(design, outcome, "varying")
    fit = estimate_cohort_time(outcome_cells(design, outcome), contrasts, design.study.design.strata)
    size = dict(zip(fit.cohorts, fit.size.sum(0), strict=True))
    rows = []
    for cohort in (c for c in fit.cohorts if c <= design.times[-1]):
        last = [c.event_time for c, a in zip(contrasts, fit.att, strict=True) if c.cohort == cohort and np.isfinite(a)]
        rows.append((cohort, size[cohort], max([e for e in last if e >= 0], default=np.nan)))
    share = headline_coverage(fit, design.left_out.get(name, 0.0))
    return Check(name, "coverage", _("Every mover-year at exposures 0 to 3 can be compared"), share, None, None,
                 pd.DataFrame(rows, columns=["cohort", "size", "last_exposure"]),
                 _("The statistic is the share of mover-years covered; the rest lie after the last wave, in years without a wave, "
                   "or have no base period or comparison."))  # fmt: skip


def check_adjustment(design: Design, name: str) -> Check:
    """What became of the adjustment for continuous covariates: effects without an estimate, comparison units trimmed."""
    outcome = design.outcomes[name]
    null = _("Every cohort-time effect is adjusted for the study's covariates")
    if not is_adjusted(design, outcome):
        return Check(name, "adjustment", null, None, None, False, None,
                     _("The outcome's universe moves, so its units have no value at the first wave: it is not adjusted."))  # fmt: skip
    contrasts = contrasts_of(design, outcome, "varying")
    fit = fit_adjusted(design, outcome, contrasts)
    table = pd.DataFrame({"cohort": [c.cohort for c in contrasts], "time": [c.time for c in contrasts],
                          "trimmed": fit.n_trimmed, "reason": fit.reason})  # fmt: skip
    lost = int((table["reason"] != "").sum())
    note = [_("The statistic is the number of cohort-time effects without an estimate.")]
    if lost:
        note.append(_("First reason: {reason}.", reason=table.loc[table["reason"] != "", "reason"].iloc[0]))
    if fit.n_trimmed.sum():
        most = design.study.show_count(fit.n_trimmed.max())
        note.append(_("Comparison units without weight for lack of overlap, in the effect with most of them: {n}.", n=most))
    return Check(name, "adjustment", null, float(lost), None, lost == 0, table, join_sentences(note))


def headline_shares(design: Design) -> dict[str, float]:
    """By outcome, the share of the mover-years at exposures 0 to 3 that the headline covers."""
    return {name: check_coverage(design, name).statistic for name in design.outcomes} if design.kind == "rollout" else {}


def check_clusters(design: Design, effects: Effects) -> Check:
    """How many clusters carry each side of the headlines, and which error follows."""
    table = effects.table.query("aggregation == 'headline' and subgroup == 'all' and estimator == @MAIN")
    table = table[["outcome", "n_clusters_treated", "n_clusters_comparison", "se_type"]].reset_index(drop=True)
    fewest = int(table[["n_clusters_treated", "n_clusters_comparison"]].min(axis=None)) if len(table) else 0
    note = _("From {many} clusters on each side errors come from influence values, from {few} to {most} from the cluster jackknife with t "
             "quantiles; below {few} none is given.", many=MANY_CLUSTERS, few=FEWEST_CLUSTERS, most=MANY_CLUSTERS - 1)  # fmt: skip
    return Check("", "few_clusters", _("There are {n} clusters or more on each side", n=MANY_CLUSTERS), float(fewest), None,
                 fewest >= MANY_CLUSTERS, table, note)  # fmt: skip


def check_power(power: pd.DataFrame, name: str) -> Check:
    """Whether the design could find the benchmark effect of an outcome."""
    table = power[power["outcome"] == name].reset_index(drop=True)
    found = float(table["power"].max())
    known = bool(np.isfinite(found))
    return Check(name, "power", _("The design finds the benchmark effect of the outcome with 80% power or more"),
                 found if known else None, None, bool(found >= POWER) if known else None, table,
                 _("The statistic is the power, from the standard error and the benchmark, not from the estimate."))  # fmt: skip
