"""Who is lost: tests on baseline outcomes, and bounds on effects where the outcome exists only for some."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from relocation_analysis.data.codebook import Outcome
from relocation_analysis.estimation.aggregate import HEADLINE_EXPOSURES
from relocation_analysis.estimation.bounds import imbens_manski
from relocation_analysis.estimation.checks import Check
from relocation_analysis.estimation.clustered import identified, partial_out
from relocation_analysis.estimation.cohort_time import NEVER, Contrast
from relocation_analysis.estimation.design import Design
from relocation_analysis.estimation.estimate import contrasts_of
from relocation_analysis.estimation.inference import FEWEST_CLUSTERS, LEVEL
from relocation_analysis.estimation.placebo import clustered_test
from relocation_analysis.estimation.sample import movers
from relocation_analysis.language import _, mark
from relocation_analysis.quantities import format_amount, format_number

TESTS = {
    "respondents": mark("F: movers and stayers were alike among those still observed, and among those lost"),
    "population": mark("F: all four groups were alike"),
    "selection": mark("F: those lost differed from those still observed alike among movers and stayers"),
}
GROUPS = {  # (moved, lost)
    (True, False): mark("movers, observed to the end: mean at the first wave"),
    (True, True): mark("movers, lost: mean at the first wave"),
    (False, False): mark("stayers, observed to the end: mean at the first wave"),
    (False, True): mark("stayers, lost: mean at the first wave"),
}


def attrition_tests(baseline, moved, lost, cluster, weight) -> pd.DataFrame:
    """Tests of Ghanem, Hirshleifer & Ortiz-Becerra (2023, J. Human Resources) on means of the baseline outcome.

    With means by moved x lost, `respondents` is their IV-R (means equal by moved given lost), `population` their IV-P
    (all four equal). Both suppose assignment at random. `selection` needs less, as a difference-in-differences does:
    movers and stayers may differ, but not by another amount among those lost. Regressions on moved, lost and their
    product.

    Parameters
    ----------
    baseline, moved, lost, cluster, weight : (N,) outcome at the first wave, 0/1, 0/1, labels, positive weights.

    Returns test, f (NaN where a group is empty), df, p_value.
    """
    moved, lost = (np.asarray(v, dtype=float) for v in (moved, lost))
    both = moved * lost
    systems = {
        "respondents": (np.c_[moved, both], lost),
        "population": (np.c_[moved, lost, both], np.zeros((len(moved), 0))),
        "selection": (both, np.c_[moved, lost]),
    }
    rows = []
    for test, (regressors, controls) in systems.items():
        system = partial_out(regressors, baseline, controls, cluster, weight)
        statistic, p_value = clustered_test(system)[2:] if identified(system).all() else (np.nan, np.nan)
        rows.append((test, statistic, system.regressors.shape[1], p_value))
    return pd.DataFrame(rows, columns=["test", "f", "df", "p_value"])


def check_selective_attrition(design: Design, name: str) -> Check:
    """Whether those lost by the last wave differed at the first from the others alike among movers and stayers.

    The table has the mean of the baseline outcome and the size of each group, and the tests of `attrition_tests`.
    Only the last, `selection`, is judged: this design allows movers and stayers to differ in level.

    Lost is who has the outcome at its first wave and not at its last, whether absent or without it.
    """
    outcome, label = design.outcomes[name], "selective_attrition"
    null = _("Those lost differed at the first wave in the same way among movers and stayers")
    if outcome.sampling != "panel":
        return Check(name, label, null, None, None, None, None, _("The outcome's universe moves: its units are not followed."))
    rows = design.panel[design.panel[name].notna()].drop_duplicates([outcome.level, "time"])
    observed = np.unique(rows["time"])
    first = rows[rows["time"] == observed[0]] if len(observed) > 1 else rows.head(0)
    lost = (
        ~first[outcome.level].isin(rows.loc[rows["time"] == observed[-1], outcome.level])
        if len(first)
        else first[name].isna()
    )
    moved = movers(first["cohort"], design)
    table = _group_means(first[name], moved, lost, first["weight"])
    if (table["n"] == 0).any():
        return Check(name, label, null, None, None, None, table, _("One of the four groups is empty."))
    tests = attrition_tests(
        first[name].to_numpy(), moved, lost, first[design.cluster].to_numpy(), first["weight"].to_numpy()
    )
    judged = tests.set_index("test").loc["selection"]
    tests = tests.assign(what=[_(TESTS[test]) for test in tests["test"]], value=tests["f"])
    table = pd.concat([table, tests[["what", "value", "df", "p_value"]]], ignore_index=True)
    known = bool(np.isfinite(judged["p_value"]))
    rates = {side: design.study.shown.share(int((lost & of).sum()), int(of.sum())) for side, of in (("moved", moved), ("stayed", ~moved))}
    return Check(name, label, null, float(judged["f"]) if known else None, float(judged["p_value"]) if known else None,
                 bool(judged["p_value"] >= 1 - LEVEL) if known else None, table,
                 _("Lost by the last wave: {moved} of movers, {stayed} of stayers. The statistic is F of the test that is judged; those "
                   "of respondents and population suppose that who moves was drawn by lot.", **rates))  # fmt: skip


def _group_means(baseline: pd.Series, moved: pd.Series, lost: pd.Series, weight: pd.Series) -> pd.DataFrame:
    """what, value (weighted mean), n of the four groups."""
    rows = []
    for (is_mover, is_lost), what in GROUPS.items():
        members = (moved == is_mover) & (lost == is_lost)
        group = baseline[members]
        mean = np.average(group, weights=weight[members]) if len(group) else np.nan
        rows.append((_(what), mean, len(group)))
    return pd.DataFrame(rows, columns=["what", "value", "n"])


@dataclass(frozen=True)
class _Sample:
    """One mean of a contrast: its sign, values, weights and clusters (N,), the share kept, and its influence (K,)."""

    sign: int
    values: np.ndarray
    weight: np.ndarray
    cluster: np.ndarray
    keep: float
    keep_influence: np.ndarray


@dataclass(frozen=True)
class SelectionBounds:
    """Bounds on the headline among those for whom the outcome exists whether or not they move.

    Attributes
    ----------
    table : cohort, time, size, observed (share of the movers), expected (the share without the move), estimate, low,
        high.
    values, std_error : (3,) headline with nothing trimmed, low, high. influence : (K, 3).
    conf_low, conf_high : 95% interval of the effect (Imbens & Manski 2004).
    """

    table: pd.DataFrame
    values: np.ndarray
    std_error: np.ndarray
    influence: np.ndarray
    conf_low: float
    conf_high: float


def trimmed_mean(values, weight, keep: float, top: bool) -> tuple[float, float]:
    """Mean of the upper (`top`) or lower share `keep` of a weighted sample, and the value at which it is cut. Where the
    cut falls among equal values, part of their weight is kept."""
    sign = 1.0 if top else -1.0
    order = np.argsort(-sign * values, kind="stable")
    reached = np.searchsorted(np.cumsum(weight[order]), keep * weight.sum() * (1 - 1e-12))
    cut = values[order][min(reached, len(values) - 1)]
    beyond = np.maximum(sign * (values - cut), 0.0)
    return float(cut + sign * (weight @ beyond) / (keep * weight.sum())), float(cut)


def _combine(samples: list[_Sample], clusters: int, high: bool | None) -> tuple[float, np.ndarray]:
    """Sum of signed means and its influence (K,): trimmed for the high or the low bound, or not at all (None)."""
    estimate, influence = 0.0, np.zeros(clusters)
    for s in samples:
        share, keep = s.weight / s.weight.sum(), s.keep if high is not None else 1.0
        top = (s.sign > 0) == bool(high)
        mean, cut = trimmed_mean(s.values, s.weight, keep, top)
        if keep < 1:
            beyond = np.maximum(s.values - cut, 0.0) if top else -np.maximum(cut - s.values, 0.0)
            psi = (
                np.bincount(s.cluster, share * (beyond - keep * (mean - cut)), clusters)
                + (cut - mean) * s.keep_influence
            )
            influence += s.sign * psi / keep
        else:
            influence += s.sign * np.bincount(s.cluster, share * (s.values - mean), clusters)
        estimate += s.sign * mean
    return estimate, influence


def _share(flag, weight, cluster, clusters: int) -> tuple[float, np.ndarray]:
    share = float(weight @ flag / weight.sum())
    return share, np.bincount(cluster, weight * (flag - share), clusters) / weight.sum()


def _kept(one, other) -> tuple[float, np.ndarray]:
    """Share of side `one` to keep so that no more than of the `other` are left, with its influence."""
    (p, dp), (q, dq) = one, other
    return (1.0, 0.0 * dp) if q >= p * (1 - 1e-12) else (q / p, dq / p - q * dp / p**2)


def _pair_samples(y, weight, cohort, cluster, clusters, columns, contrast):
    """Units with the outcome at the base: their change, where they still have it at the time."""
    now, base = columns
    sides = []
    for of in (cohort == contrast.cohort, np.isin(cohort, contrast.comparison)):
        rows = of & np.isfinite(y[:, base])
        if not (rows & np.isfinite(y[:, now])).any():
            return None
        sides.append((rows, _share(np.isfinite(y[rows, now]).astype(float), weight[rows], cluster[rows], clusters)))
    samples = []
    for sign, (rows, own), (_, other) in zip((1, -1), sides, sides[::-1], strict=True):
        r = rows & np.isfinite(y[:, now])
        samples.append(_Sample(sign, y[r, now] - y[r, base], weight[r], cluster[r], *_kept(own, other)))
    return samples, sides[0][1][0], sides[1][1][0]


def _level_samples(y, weight, cohort, cluster, clusters, columns, contrast, present):
    """Whoever is in the universe at a time: levels, where they have the outcome."""
    parts, shares = [], []
    for of in (cohort == contrast.cohort, np.isin(cohort, contrast.comparison)):
        for column in columns:
            rows = of & present[:, column]
            if not (rows & np.isfinite(y[:, column])).any():
                return None
            parts.append((rows & np.isfinite(y[:, column]), column))
            shares.append(_share(np.isfinite(y[rows, column]).astype(float), weight[rows], cluster[rows], clusters))
    expected = tuple(shares[1][i] + shares[2][i] - shares[3][i] for i in (0, 1))
    if not 0 < expected[0] <= 1:
        return None
    kept = (_kept(shares[0], expected), _kept(expected, shares[0]), *[(1.0, np.zeros(clusters))] * 2)
    samples = [
        _Sample(sign, y[r, c], weight[r], cluster[r], *k)
        for sign, (r, c), k in zip((1, -1, -1, 1), parts, kept, strict=True)
    ]
    return samples, shares[0][0], expected[0]


def trim_contrasts(
    y: np.ndarray,
    weight: np.ndarray,
    cohort: np.ndarray,
    cluster: np.ndarray,
    times: tuple[int, ...],
    contrasts: tuple[Contrast, ...],
    present: np.ndarray | None = None,
) -> SelectionBounds | None:
    """Trimming bounds on difference-in-differences, Lee (2009, REStud 76(3), proposition 1), contrast by contrast.

    The side on which more are observed is trimmed at one end to the share of the other. For units that are followed:
    of those observed at the base, the change of those still observed. Supposes that without the move as many and the
    same movers would be observed as of the comparison, and that the move makes everybody more, or everybody less,
    likely to be observed. For a universe that changes (`present`): levels; the expected share of movers observed is
    that at the base plus the change of the comparison, and where fewer are observed the base level of movers is
    trimmed. The mean over contrasts is weighted by cohort size.

    Parameters
    ----------
    y : (N, T), NaN where the outcome does not exist. weight, cohort, cluster : (N,). times : (T,).
    contrasts : those of the headline. present : (N, T) True where a unit is in the universe; None for followed units.

    Returns None where no contrast can be had. Errors are clustered, from influence values, the trimming's own error
    included.
    """
    labels, codes = np.unique(cluster, return_inverse=True)
    rows, influence = [], []
    for contrast in contrasts:
        columns = times.index(contrast.time), times.index(contrast.base)
        own = (y, weight, cohort, codes, len(labels), columns, contrast)
        found = _pair_samples(*own) if present is None else _level_samples(*own, present)
        if found is not None and found[1] > 0 and found[2] > 0:
            samples, observed, expected = found
            values, psi = zip(*(_combine(samples, len(labels), high) for high in (None, False, True)), strict=True)
            rows.append(
                (contrast.cohort, contrast.time, weight[cohort == contrast.cohort].sum(), observed, expected, *values)
            )
            influence.append(np.stack(psi, axis=1))
    if not rows:
        return None
    table = pd.DataFrame(rows, columns=["cohort", "time", "size", "observed", "expected", "estimate", "low", "high"])
    share = (table["size"] / table["size"].sum()).to_numpy()
    values = share @ table[["estimate", "low", "high"]].to_numpy()
    psi = np.einsum("j,jkb->kb", share, np.array(influence))
    errors = np.sqrt((psi**2).sum(0))
    reach = imbens_manski(values[2] - values[1], errors[1:])
    return SelectionBounds(table, values, errors, psi, values[1] - reach * errors[1], values[2] + reach * errors[2])


def _universe(rows: pd.DataFrame, outcome: Outcome, wide: pd.DataFrame) -> np.ndarray:
    """(N, T) True where a unit is in the universe of the outcome at that time, whether it has the outcome or not."""
    inside = rows[outcome.name].notna()
    if outcome.age_at is not None:
        inside = inside | np.floor(rows["age_baseline" if outcome.age_at == "baseline" else "age"]).between(
            outcome.age_min, outcome.age_max
        )
    seen = rows.assign(inside=inside.astype(float)).pivot(index=outcome.level, columns="time", values="inside")
    return seen.reindex(index=wide.index, columns=wide.columns).to_numpy() == 1.0


def _fewest_observed(y: np.ndarray, present: np.ndarray | None, moved: pd.Series) -> int:
    """The fewest units, of movers or of the others, who ever have the outcome while in its universe, or ever lack it."""
    inside = np.ones(y.shape, dtype=bool) if present is None else present
    ever = [(inside & has).any(1) for has in (np.isfinite(y), ~np.isfinite(y))]
    return int(min((flag & (moved.to_numpy() == side)).sum() for flag in ever for side in (True, False)))


def check_selection_bounds(design: Design, name: str) -> Check:
    """Bounds on the headline of an outcome that exists only for some, such as the wages of those who work.

    The table has the headline with nothing trimmed (equal weights for all ages, no strata), and both bounds with
    errors and interval. It passes where both bounds have the sign of the estimate. Each contrast is trimmed by its
    own estimated share, so that in small samples chance alone keeps the bounds apart.
    """
    outcome, null = design.outcomes[name], _("Who has the outcome cannot explain the effect on it")
    rows = design.panel.sort_values(name, kind="stable").drop_duplicates([outcome.level, "time"]).sort_index()
    contrasts = tuple(
        c
        for c in contrasts_of(design, outcome, "varying")
        if HEADLINE_EXPOSURES[0] <= c.event_time <= HEADLINE_EXPOSURES[1]
    )
    wide = rows.pivot(index=outcome.level, columns="time", values=name).reindex(columns=list(design.times))
    first = rows.drop_duplicates(outcome.level).set_index(outcome.level, drop=False).loc[wide.index]
    present = None if outcome.sampling == "panel" else _universe(rows, outcome, wide)
    use = (np.isfinite(wide.to_numpy()) if present is None else present).any(1)
    first = first[use]
    found = trim_contrasts(
        wide.to_numpy()[use],
        first["weight"].to_numpy(dtype=float),
        first["cohort"].fillna(NEVER).to_numpy(dtype=float),
        first[design.cluster].to_numpy(),
        design.times,
        contrasts,
        None if present is None else present[use],
    )
    if found is None:
        return Check(name, "selection_bounds", null, None, None, None, None, _("No mover-year can be compared."))
    weights = found.table["size"] / found.table["size"].sum()
    change = float(weights @ (found.table["observed"] - found.table["expected"]))
    sides = (np.sign(found.values) == np.sign(found.values[0])).all()
    few = first[design.cluster].nunique() < FEWEST_CLUSTERS
    table = pd.DataFrame(
        {
            "quantity": ["estimate", "low", "high"],
            "value": found.values,
            "std_error": np.nan if few else found.std_error,
            "conf_low": [np.nan, np.nan if few else found.conf_low, np.nan],
            "conf_high": [np.nan, np.nan, np.nan if few else found.conf_high],
            "fewest": _fewest_observed(wide.to_numpy()[use], None if present is None else present[use], movers(first["cohort"], design)),
        }
    )
    return Check(name, "selection_bounds", null, change, None, bool(sides), table,
                 _("The statistic is how much the move changes the share who have the outcome. The effect on those who have it either "
                   "way lies between {low} and {high}, if the move made everybody more, or everybody less, likely to have it.",
                   low=format_number(found.values[1], outcome.print_unit), high=format_amount(found.values[2], outcome.print_unit)))  # fmt: skip
