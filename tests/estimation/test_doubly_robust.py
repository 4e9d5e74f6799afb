"""The doubly robust adjustment against R did, csdid, diff-diff, statsmodels, known truth and itself.

Tolerances: csdid.csv has 12 digits and agrees to 1e-11 (1e-8 is asked); did.csv is compared to half a unit of
its last printed digit; diff-diff has the same formula without covariates, 1e-10. Everything else is the same
sum in another order, 1e-10.
"""

import os
import warnings
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rdata
import statsmodels.api as sm
from diff_diff import CallawaySantAnna, SurveyDesign
from scipy.special import expit

from relocation_analysis.estimation.aggregate import aggregate_effects, list_aggregations
from relocation_analysis.estimation.cohort_time import Contrast, list_contrasts
from relocation_analysis.estimation.doubly_robust import NO_OVERLAP, TRIM, doubly_robust_att, logit
from relocation_analysis.paths import ROOT
from relocation_analysis.randomness import generator

ORACLES = Path(__file__).parents[1] / "oracles"
MPDTA = Path(os.environ.get("RELOCATION_DATA_MIRROR", ROOT.parent / "shared" / "data")) / "mpdta.rda"
NEVER = (np.inf,)


def arrays(panel, covariates=(), weighted=False, clustered=False):
    """The arguments of `doubly_robust_att` but the contrasts, of a panel with columns id, t, g, cl, y."""
    y = panel.pivot(index="id", columns="t", values="y")
    units = panel.drop_duplicates("id").set_index("id").loc[y.index]
    weight = 1.0 + y.index.to_numpy() % 3 if weighted else np.ones(len(y))
    cluster = units.cl.to_numpy() if clustered else y.index.to_numpy()
    cohort = units.g.replace(0, np.inf).to_numpy(float)
    x = units[list(covariates)].to_numpy(float)
    return y.to_numpy(float), tuple(y.columns), x, weight, cohort, cluster


def contrasts_of(data_arrays, comparison, base_period="varying"):
    """Every cohort-time effect, those of csdid and diff-diff among them and in their order."""
    return list_contrasts(tuple(np.unique(data_arrays[4])), data_arrays[1], comparison, base=base_period)


def cells_of(contrasts):
    return [(int(c.cohort), int(c.time)) for c in contrasts]


def std_error(influence):
    return np.sqrt((influence**2).sum(axis=0))


@pytest.fixture(scope="module")
def staggered():
    return pd.read_csv(ORACLES / "staggered_1000.csv.gz")


CSDID = pd.read_csv(ORACLES / "csdid.csv", comment="#")


SETTING = ["data", "covariates", "comparison", "base_period"]


@pytest.mark.parametrize("setting", list(CSDID.groupby(SETTING).groups), ids="-".join)
def test_estimates_and_standard_errors_equal_csdid(staggered, setting):
    data, covariates, comparison, base_period = setting
    kept = (7 * staggered.id + 13 * staggered.t) % 11 != 0
    panel = staggered if data == "staggered_1000" else staggered[kept]
    names = [] if covariates == "none" else covariates.split("+")
    oracle = CSDID[(CSDID[SETTING] == list(setting)).all(axis=1)]
    for (weighted, clustered), expected in oracle.groupby(["weighted", "clustered"]):
        data_arrays = arrays(panel, names, weighted, clustered)
        contrasts = contrasts_of(data_arrays, comparison, base_period)
        result = doubly_robust_att(*data_arrays, contrasts).effects
        assert cells_of(contrasts) == list(zip(expected.cohort, expected.time, strict=True))
        np.testing.assert_allclose(result.att, expected.estimate, rtol=0, atol=1e-11)
        np.testing.assert_allclose(std_error(result.influence), expected.std_error, rtol=0, atol=1e-11)


DID = pd.read_csv(ORACLES / "did.csv", comment="#", dtype={"estimate": str, "std_error": str})
DID = DID[(DID.sampling == "panel") & (DID.method == "dr") & (DID.xformla != "~1")]


def mpdta():
    if not MPDTA.exists():
        pytest.skip(f"{MPDTA.name} is not on this machine")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = rdata.read_rda(MPDTA)["mpdta"]
    names = {"countyreal": "id", "year": "t", "first.treat": "g", "lemp": "y"}
    table = table.rename(columns=names).astype({"id": int, "t": int, "g": int})
    return table.assign(cl=table.id)


R_NAMES = {"simple": "overall_simple", "dynamic": "overall_dynamic", "group": "overall_cohort"}


@pytest.mark.parametrize(
    ("data", "formula", "comparison", "cluster", "weights"),
    list(DID.groupby(["data", "xformla", "control_group", "cluster", "weights"]).groups),
)
def test_aggregates_equal_r_did_to_the_printed_digit(staggered, data, formula, comparison, cluster, weights):
    columns = ["data", "xformla", "control_group", "cluster", "weights"]
    oracle = DID[(DID[columns] == [data, formula, comparison, cluster, weights]).all(axis=1)]
    panel = staggered if data == "staggered_1000" else mpdta()
    data_arrays = arrays(panel, formula.removeprefix("~").split("+"), weights != "none", cluster == "cl")
    house = {"nevertreated": "never_treated", "notyettreated": "not_yet_treated"}[comparison]
    effects = doubly_robust_att(*data_arrays, contrasts_of(data_arrays, house)).effects
    aggregations = list_aggregations(effects, (*R_NAMES.values(), "event_time"))
    found = aggregate_effects(effects, aggregations)
    names = [f"event_time={a.event_time:.0f}" if a.name == "event_time" else a.name for a in aggregations]
    errors = dict(zip(names, std_error(found.influence), strict=True))
    estimates = dict(zip(names, found.estimate, strict=True))
    for row in oracle.itertuples():
        name = R_NAMES.get(row.aggregation, row.aggregation)
        for value, printed in ((estimates[name], row.estimate), (errors[name], row.std_error)):
            # R prints 5 digits of the event times and 8 significant ones of the rest, without trailing zeros.
            digits = 5 if "event" in name else 7 - int(np.floor(np.log10(abs(float(printed)))))
            assert abs(value - float(printed)) <= 0.5001 * 10.0**-digits, row


def diff_diff(panel, comparison, weighted, clustered, covariates=None):
    design = SurveyDesign(weights="weight", psu="cl" if clustered else None) if weighted else None
    cluster = "cl" if clustered and not weighted else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = CallawaySantAnna(control_group=comparison, cluster=cluster, pscore_trim=1e-9)
        fit = model.fit(panel, "y", "id", "t", "g", covariates=covariates, survey_design=design)
    return fit.to_dataframe("group_time")


@pytest.mark.parametrize(
    ("comparison", "weighted", "clustered"),
    list(product(("never_treated", "not_yet_treated"), (False, True), (False, True))),
)
def test_without_covariates_it_equals_diff_diff(staggered, comparison, weighted, clustered):
    expected = diff_diff(staggered.assign(weight=1.0 + staggered.id % 3), comparison, weighted, clustered)
    data_arrays = arrays(staggered, (), weighted, clustered)
    contrasts = contrasts_of(data_arrays, comparison)
    result = doubly_robust_att(*data_arrays, contrasts).effects
    assert cells_of(contrasts) == list(zip(expected.group, expected.time, strict=True))
    g = len(result.influence)
    factor = np.sqrt(g / (g - 1)) if clustered else 1.0
    np.testing.assert_allclose(result.att, expected.effect, rtol=0, atol=1e-10)
    np.testing.assert_allclose(factor * std_error(result.influence), expected.se, rtol=0, atol=1e-10)


def weighted_logit(d, design, weight):
    model = sm.GLM(d.astype(float), design, family=sm.families.Binomial(), freq_weights=weight)
    return model.fit(tol=1e-14)


def by_statsmodels(y, times, x, weight, cohort, contrast):
    """Equation 3.1 of Sant'Anna & Zhao, spelled out: the treated mean, the weighted sum of comparison
    residuals, and the two sums of weights by which it can be divided."""
    keep = (cohort == contrast.cohort) | np.isin(cohort, contrast.comparison)
    d, w, design = cohort[keep] == contrast.cohort, weight[keep], sm.add_constant(x[keep])
    change = (y[:, times.index(contrast.time)] - y[:, times.index(contrast.base)])[keep]
    score = weighted_logit(d, design, w).predict()
    residual = change - sm.WLS(change[~d], design[~d], weights=w[~d]).fit().predict(design)
    odds = (w * score / (1 - score))[~d]
    return np.average(residual[d], weights=w[d]), odds @ residual[~d], odds.sum(), w[d].sum()


def test_with_covariates_it_is_the_hajek_form_of_the_equation_and_diff_diff_the_other_form(staggered):
    data_arrays = arrays(staggered, ["x1", "x2"], weighted=True)
    contrasts = contrasts_of(data_arrays, "never_treated")
    result = doubly_robust_att(*data_arrays, contrasts).effects
    panel = staggered.assign(weight=1.0 + staggered.id % 3)
    other = diff_diff(panel, "never_treated", True, False, ["x1", "x2"]).set_index(["group", "time"]).effect
    for cell, contrast, att in zip(cells_of(contrasts), contrasts, result.att, strict=True):
        treated, comparison, own, treated_weight = by_statsmodels(*data_arrays[:5], contrast)
        assert att == pytest.approx(treated - comparison / own, abs=1e-10)
        assert other[cell] == pytest.approx(treated - comparison / treated_weight, abs=1e-8)


def test_logit_equals_statsmodels(staggered):
    _, _, x, weight, cohort, _ = arrays(staggered, ["x1", "x2"], weighted=True)
    design, d = sm.add_constant(x), np.isfinite(cohort)
    unweighted = sm.Logit(d.astype(float), design).fit(disp=0, method="newton", tol=1e-14)
    for w, expected in ((np.ones(len(d)), unweighted), (weight, weighted_logit(d, design, weight))):
        coefficients, probability, information = logit(design, d, w)
        np.testing.assert_allclose(coefficients, expected.params, rtol=0, atol=1e-10)
        np.testing.assert_allclose(probability, expected.predict(), rtol=0, atol=1e-10)
        np.testing.assert_allclose(np.linalg.inv(information), expected.cov_params(), rtol=0, atol=1e-8)


def simulate(key, n=4000, curved_outcome=False, curved_score=False, clusters=80):
    """Two times, effect 0.5, trend and chance of a move rising with x1, and with its square where curved."""
    rng = generator("test_doubly_robust", key)
    cluster = rng.integers(clusters, size=n)
    x = np.column_stack([rng.normal(size=n), rng.uniform(size=n)])
    bend = (x[:, 0] ** 2 - 1) / 2
    treated = rng.random(n) < expit(0.6 * x[:, 0] - 0.5 + (0.6 * bend if curved_score else 0))
    trend = 0.8 * x[:, 0] + 0.3 * x[:, 1] + (0.8 * bend if curved_outcome else 0)
    trend += rng.normal(size=clusters)[cluster] / 5
    before = rng.normal(size=n)
    after = before + trend + 0.5 * treated + rng.normal(size=n)
    return np.column_stack([before, after]), (1, 2), x, np.ones(n), np.where(treated, 2.0, np.inf), cluster


TWO_BY_TWO = [Contrast(2.0, 2, 1, NEVER)]


@pytest.mark.parametrize(("curved_outcome", "curved_score"), [(False, False), (True, False), (False, True)])
def test_it_recovers_the_truth_with_either_model_right_where_the_raw_difference_does_not(
    curved_outcome, curved_score
):
    y, times, x, *rest = simulate("truth", 20_000, curved_outcome, curved_score)
    raw = doubly_robust_att(y, times, x[:, :0], *rest, TWO_BY_TWO).effects
    adjusted = doubly_robust_att(y, times, x, *rest, TWO_BY_TWO).effects
    assert raw.att[0] - 0.5 > 10 * std_error(raw.influence)[0]
    assert abs(adjusted.att[0] - 0.5) < 3 * std_error(adjusted.influence)[0]


def test_standard_errors_equal_the_spread_of_the_estimates():
    fits = [doubly_robust_att(*simulate(("spread", r), 800), TWO_BY_TWO).effects for r in range(400)]
    spread = np.std([f.att[0] for f in fits])
    # 400 draws: the spread is known to 3.5%.
    assert np.mean([std_error(f.influence)[0] for f in fits]) == pytest.approx(spread, rel=0.10)


def test_without_covariates_it_is_the_difference_of_mean_changes():
    # movers: (5 - 1 + 2 * (7 - 2)) / 3 = 14/3; others: (3 - 1 + 4 - 4) / 2 = 1; 14/3 - 1 = 11/3
    y = np.array([[1, 5], [2, 7], [1, 3], [4, 4]], dtype=float)
    cohort = np.array([2, 2, np.inf, np.inf])
    weight, village = np.array([1.0, 2, 1, 1]), np.array(["a", "b", "c", "d"])
    result = doubly_robust_att(y, (1, 2), np.empty((4, 0)), weight, cohort, village, TWO_BY_TWO).effects
    assert result.att[0] == pytest.approx(11 / 3, abs=1e-14)
    # influence: 1/3 (4 - 14/3), 2/3 (5 - 14/3), -1/2 (2 - 1), -1/2 (0 - 1)
    np.testing.assert_allclose(result.influence[:, 0], [-2 / 9, 2 / 9, -1 / 2, 1 / 2], atol=1e-14)
    assert list(result.clusters) == ["a", "b", "c", "d"]
    assert list(result.treated[:, 0]) == [True, True, False, False] == list(~result.comparison[:, 0])
    assert list(result.units[:, 0]) == [1, 1, 1, 1]
    assert list(result.cohorts) == [2.0, np.inf]
    np.testing.assert_array_equal(result.size, [[1, 0], [2, 0], [0, 1], [0, 1]])


@pytest.fixture
def fitted(staggered):
    data_arrays = arrays(staggered, ["x1", "x2"], weighted=True, clustered=True)
    contrasts = contrasts_of(data_arrays, "not_yet_treated")[::4]
    return data_arrays, contrasts, doubly_robust_att(*data_arrays, contrasts)


def same(found, expected, scale=1.0, relabel=slice(None)):
    found, expected, atol = found.effects, expected.effects, 1e-10 * scale
    np.testing.assert_allclose(found.att, scale * expected.att, rtol=0, atol=atol)
    np.testing.assert_allclose(found.influence[relabel], scale * expected.influence, rtol=0, atol=atol)
    np.testing.assert_array_equal(found.units[relabel], expected.units)


def test_the_order_of_units_does_not_matter(fitted):
    (y, times, *rest), contrasts, expected = fitted
    order = generator("order").permutation(len(y))
    same(doubly_robust_att(y[order], times, *(a[order] for a in rest), contrasts), expected)


def test_relabelled_clusters_relabel_the_influence_values(fitted):
    (*rest, cluster), contrasts, expected = fitted
    label = generator("label").permutation(cluster.max() + 1)
    same(doubly_robust_att(*rest, label[cluster], contrasts), expected, relabel=label)


def test_a_constant_added_to_the_outcome_changes_nothing(fitted):
    (y, *rest), contrasts, expected = fitted
    same(doubly_robust_att(y + 1000.0, *rest, contrasts), expected)


def test_an_outcome_in_other_units_gives_the_effect_in_those_units(fitted):
    (y, *rest), contrasts, expected = fitted
    same(doubly_robust_att(7.0 * y, *rest, contrasts), expected, scale=7.0)


def test_covariates_in_other_units_change_nothing(fitted):
    (y, times, x, *rest), contrasts, expected = fitted
    same(doubly_robust_att(y, times, x * [1e6, 1e-6] + [1e7, 3.0], *rest, contrasts), expected)


def test_weights_in_other_units_change_nothing(fitted):
    (y, times, x, weight, *rest), contrasts, expected = fitted
    same(doubly_robust_att(y, times, x, 1e5 * weight, *rest, contrasts), expected)


def test_never_is_infinite_or_missing(fitted):
    (*rest, cohort, cluster), contrasts, expected = fitted
    same(doubly_robust_att(*rest, np.where(np.isinf(cohort), np.nan, cohort), cluster, contrasts), expected)


def test_inputs_are_left_as_they_were(fitted):
    data_arrays, contrasts, _ = fitted
    before = [np.copy(a) for a in data_arrays]
    doubly_robust_att(*data_arrays, contrasts[:2], jackknife=True)
    for array, copy in zip(data_arrays, before, strict=True):
        np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize("how", ["zero weight", "missing covariate", "missing outcome"])
def test_units_that_do_not_count_are_as_good_as_absent(fitted, how):
    (y, times, x, weight, *rest), contrasts, _ = fitted
    gone = np.arange(len(y)) % 7 == 0
    expected = doubly_robust_att(y[~gone], times, *(a[~gone] for a in (x, weight, *rest)), contrasts)
    y, x, weight = y.copy(), x.copy(), weight.copy()
    target = {"zero weight": weight, "missing covariate": x, "missing outcome": y}[how]
    target[gone] = 0.0 if how == "zero weight" else np.nan
    same(doubly_robust_att(y, times, x, weight, *rest, contrasts), expected)


def test_leaving_a_cluster_out_is_setting_its_weights_to_zero(fitted):
    (*data, weight, cohort, cluster), contrasts, _ = fitted
    found = doubly_robust_att(*data, weight, cohort, cluster, contrasts[:3], jackknife=True).effects.jackknife
    assert found.shape == (cluster.max() + 1, 3)
    for c in (0, 17, 49):
        rest = doubly_robust_att(*data, weight * (cluster != c), cohort, cluster, contrasts[:3]).effects
        np.testing.assert_allclose(found[c], rest.att, rtol=0, atol=1e-10)


def test_the_cluster_jackknife_is_near_the_influence_based_error_and_not_run_where_clusters_are_many():
    effects = doubly_robust_att(*simulate("jackknife", clusters=45), TWO_BY_TWO, jackknife=True).effects
    left_out = effects.jackknife[:, 0]
    jackknife = np.sqrt(44 / 45 * ((left_out - left_out.mean()) ** 2).sum())
    assert jackknife == pytest.approx(std_error(effects.influence)[0], rel=0.05)
    many = doubly_robust_att(*simulate("jackknife", clusters=55), TWO_BY_TWO, jackknife=True).effects
    assert np.isfinite(many.att).all() and np.isnan(many.jackknife).all()


def unusable(case):
    """Arrays that cannot give an estimate."""
    y, times, x, weight, cohort, cluster = simulate("unusable", 200)
    treated = np.isfinite(cohort)
    if case == "separated":
        x[:, 0] = treated + x[:, 0] / 100
    elif case == "one unit without overlap":
        x[np.flatnonzero(treated)[0], 0] = 60.0
    elif case == "collinear":
        x[:, 1] = 2 * x[:, 0] + 1
    elif case == "constant among comparison":
        x[~treated, 1] = 0.3
    elif case == "few treated":
        weight[np.flatnonzero(treated)[2:]] = 0.0
    elif case == "few comparison":
        weight[np.flatnonzero(~treated)[2:]] = 0.0
    elif case == "no treated":
        y[treated, 1] = np.nan
    elif case == "no comparison":
        cohort[~treated] = 3.0
    elif case == "nobody":
        weight[:] = 0.0
    return y, times, x, weight, cohort, cluster


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ("separated", "no overlap: a propensity score of 0.999 or more"),
        ("one unit without overlap", "no overlap: a propensity score of 0.999 or more"),
        ("collinear", "the covariates are collinear or constant among the comparison units"),
        ("constant among comparison", "the covariates are collinear or constant among the comparison units"),
        ("few treated", "fewer treated units than the 3 coefficients"),
        ("few comparison", "fewer comparison units than the 3 coefficients"),
        ("no treated", "no treated unit is observed at both times"),
        ("no comparison", "no comparison unit is observed at both times"),
        ("nobody", "no treated unit is observed at both times"),
    ],
)
def test_a_contrast_without_an_estimate_says_why(case, reason):
    result = doubly_robust_att(*unusable(case), TWO_BY_TWO, jackknife=True)
    assert list(result.reason) == [reason]
    for numbers in (result.effects.att, result.effects.influence, result.effects.jackknife):
        assert np.isnan(numbers).all()
    assert not result.effects.units.any()


def test_a_contrast_without_an_estimate_leaves_the_others_alone(fitted):
    data_arrays, contrasts, expected = fitted
    found = doubly_robust_att(*data_arrays, [Contrast(1999.0, 2016, 2015, NEVER), *contrasts])
    assert found.reason[0] and not any(found.reason[1:])
    np.testing.assert_array_equal(found.effects.att[1:], expected.effects.att)


def test_comparison_units_with_scores_at_the_trimming_level_get_no_weight_and_are_counted():
    y, times, x, weight, cohort, cluster = simulate("trim", 3000)
    high = x[:, 0] > 0
    cohort[high] = np.where(np.arange(high.sum()) % 250, 2.0, np.inf)
    x = high[:, None].astype(float)
    score = np.average(np.isfinite(cohort), weights=high)
    assert TRIM < score < NO_OVERLAP
    result = doubly_robust_att(y, times, x, weight, cohort, cluster, TWO_BY_TWO)
    trimmed = high & np.isinf(cohort)
    assert result.n_trimmed[0] == trimmed.sum() > 0
    # With one dummy, both models are saturated: each value of x has its own mean, here of the units left in.
    change = y[:, 1] - y[:, 0]
    treated = np.isfinite(cohort)
    slope = change[trimmed].mean() - change[~high & ~treated].mean()
    expected = change[treated].mean() - change[~high & ~treated].mean() - slope * high[treated].mean()
    assert result.effects.att[0] == pytest.approx(expected, abs=1e-10)
