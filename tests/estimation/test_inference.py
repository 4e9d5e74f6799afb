"""Errors, intervals, bands and tests.

The bootstrap critical values of R have a Monte-Carlo error: with 9,999 draws three seeds of ours gave
2.520, 2.575 and 2.528 for mpdta, a standard error of about .025; .09 is two and a half of them on both
sides. R divides the draws by their interquartile range, we by the error itself: to compare, the error is
replaced by that range here.
"""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from relocation_analysis.estimation.aggregate import Aggregated, aggregate_effects, list_aggregations
from relocation_analysis.estimation.doubly_robust import doubly_robust_att
from relocation_analysis.estimation.inference import (
    Errors,
    adjust_holm,
    band,
    cluster_errors,
    critical_value,
    joint_test,
    pointwise_interval,
    random_signs,
)
from relocation_analysis.randomness import generator


def aggregated(treated, comparison, seed=0, shared=0):
    """One effect with so many clusters on each side, `shared` of them on both, and leave-one-out values."""
    clusters = treated + comparison - shared
    psi = np.random.default_rng(seed).normal(size=(clusters, 1))
    psi -= psi.mean()
    on_one = (np.arange(clusters) < treated)[:, None]
    on_other = (np.arange(clusters) >= treated - shared)[:, None]
    return Aggregated((), np.array([0.5]), psi, 0.5 - 1.1 * psi, on_one, on_other, np.ones_like(psi))


@pytest.mark.parametrize(
    ("treated", "comparison", "kind"),
    [
        (4, 80, ""),
        (80, 4, ""),
        (5, 80, "cluster_jackknife"),
        (80, 5, "cluster_jackknife"),
        (49, 49, "cluster_jackknife"),
        (49, 50, "cluster_jackknife"),
        (50, 50, "cluster_influence"),
        (51, 50, "cluster_influence"),
    ],
)
def test_the_smaller_side_decides_which_error(treated, comparison, kind):
    errors = cluster_errors(aggregated(treated, comparison))
    assert errors.se_type[0] == kind
    assert np.isnan(errors.std_error[0]) == (kind == "")
    if kind == "cluster_jackknife":
        assert errors.df[0] == treated + comparison - 1
    elif kind:
        assert errors.df[0] == np.inf


def test_every_side_takes_influence_values_where_a_study_asks_for_it():
    errors = cluster_errors(aggregated(3, 3), "ignore")
    assert errors.se_type[0] == "cluster_influence" and errors.df[0] == np.inf


def test_a_cluster_on_both_sides_is_one_cluster():
    assert cluster_errors(aggregated(10, 10, shared=8)).df[0] == 12 - 1


def test_errors_are_the_root_sum_of_squares_of_the_influence_column():
    many, few = (cluster_errors(aggregated(n, n)) for n in (60, 20))
    for errors in (many, few):
        assert errors.std_error[0] == pytest.approx(np.sqrt((errors.influence[:, 0] ** 2).sum()), rel=1e-14)
    effects = aggregated(20, 20)
    spread = ((effects.jackknife[:, 0] - 0.5) ** 2).sum()
    assert few.std_error[0] == pytest.approx(np.sqrt(39 / 40 * spread), rel=1e-14)


def test_an_effect_without_spread_has_no_error():
    flat = aggregated(60, 60)
    flat = Aggregated(
        (),
        flat.estimate,
        0 * flat.influence,
        0 * flat.influence + 0.5,
        flat.treated,
        flat.comparison,
        flat.units,
    )
    errors = cluster_errors(flat)
    assert np.isnan(errors.std_error[0]) and errors.se_type[0] == ""


def test_an_effect_without_an_error_enters_no_band_and_no_test():
    psi = np.random.default_rng(1).normal(size=(60, 3))
    errors = Errors(psi, np.sqrt((psi**2).sum(0)), np.full(3, "cluster_influence"), np.full(3, np.inf))
    blank = Errors(
        psi * [1, 0, 1],
        np.array([errors.std_error[0], np.nan, errors.std_error[2]]),
        errors.se_type,
        errors.df,
    )
    signs = random_signs(generator("blank"), 999, 60)
    both = np.array([0, 2])
    assert critical_value(blank, np.arange(3), signs) == critical_value(errors, both, signs)
    assert np.isnan(critical_value(blank, np.array([1]), signs))
    low, high = band(np.zeros(3), blank.std_error, blank.df, 2.5)
    assert np.isnan([low[1], high[1]]).all() and np.isfinite(low[[0, 2]]).all()


def test_a_band_is_never_narrower_than_the_pointwise_interval():
    psi = np.zeros((10, 1))
    psi[:5, 0] = 1.0  # five clusters alike: the sum of five signs is never far above its deviation
    psi[5:, 0] = -1.0
    errors = Errors(psi, np.sqrt((psi**2).sum(0)), np.array(["cluster_jackknife"]), np.array([9.0]))
    signs = random_signs(generator("narrow"), 999, 10)
    critical = critical_value(errors, np.array([0]), signs)
    assert critical >= stats.norm.ppf(0.975)
    low, high = band(np.zeros(1), errors.std_error, errors.df, critical)
    _, _, conf_low, conf_high = pointwise_interval(np.zeros(1), errors.std_error, errors.df)
    assert low <= conf_low + 1e-12 and high >= conf_high - 1e-12


def test_intervals_are_normal_or_t():
    estimate, error, df = np.array([1.0, 1.0]), np.array([0.5, 0.5]), np.array([np.inf, 4.0])
    statistic, p_value, low, high = pointwise_interval(estimate, error, df)
    np.testing.assert_allclose(statistic, 2)
    np.testing.assert_allclose(p_value, [0.0455002639, 0.1161165235], atol=1e-9)  # 2 Phi(-2), 2 T_4(-2)
    np.testing.assert_allclose(high - 1, [0.5 * 1.9599639845, 0.5 * 2.7764451052], atol=1e-9)
    np.testing.assert_allclose(1 - low, high - 1)


def test_a_band_with_t_errors_takes_the_t_value_of_the_same_probability():
    low, high = band(np.zeros(2), np.ones(2), np.array([np.inf, 9.0]), 2.5)
    np.testing.assert_allclose(high, [2.5, stats.t.isf(stats.norm.sf(2.5), 9)])
    np.testing.assert_allclose(low, -high)


# ---- bootstrap


def event_study_critical(effects, key):
    wanted = list_aggregations(effects, ("event_time",))
    errors = cluster_errors(aggregate_effects(effects, wanted), "ignore")
    signs = random_signs(generator("critical", key), 9_999, len(effects.clusters))
    spread = stats.iqr(signs @ errors.influence, axis=0) / (2 * stats.norm.ppf(0.75))
    np.testing.assert_allclose(spread, errors.std_error, rtol=0.12)
    errors = Errors(errors.influence, spread, errors.se_type, errors.df)
    return critical_value(errors, np.arange(len(wanted)), signs)


def test_the_critical_value_of_mpdta_is_that_of_r_within_monte_carlo_error(mpdta, fit):
    assert event_study_critical(fit(mpdta, "person"), "mpdta") == pytest.approx(2.507, abs=0.09)


def test_the_critical_value_with_covariates_and_clusters_is_that_of_r_within_monte_carlo_error(
    staggered, fit
):
    contrasts = fit(staggered).contrasts
    y = staggered.pivot(index="person", columns="time", values="y")
    units = staggered.drop_duplicates("person").set_index("person").loc[y.index]
    x = units[["x1", "x2"]].to_numpy()
    effects = doubly_robust_att(
        y.to_numpy(),
        tuple(y.columns),
        x,
        np.ones(len(y)),
        units["cohort"].to_numpy(),
        units["village"].to_numpy(),
        contrasts,
    ).effects
    assert event_study_critical(effects, "staggered") == pytest.approx(2.6827, abs=0.09)


def test_the_joint_test_rejects_exactly_where_the_band_leaves_zero_out():
    rng = np.random.default_rng(3)
    psi = rng.normal(size=(80, 4)) / 80
    draws = random_signs(generator("dual"), 999, 80) @ (psi / np.sqrt((psi**2).sum(0)))
    for scale in (0.5, 2.0, 2.4, 2.6, 4.0):
        statistic, p_value, critical = joint_test(np.array([0.1, -scale, 0.3, 0.0]), draws)
        assert statistic == scale
        assert (p_value < 0.05) == (scale > critical)


def test_p_values_of_the_joint_test_are_uniform_under_the_null():
    # 400 samples of 60 clusters; each share has a standard error of at most .025
    p_values = []
    for replicate in range(400):
        rng = generator("uniform", replicate)
        psi = rng.normal(size=(60, 5)) + rng.normal(size=(60, 1))
        estimate = psi.sum(0)
        psi = psi - psi.mean(0)
        error = np.sqrt((psi**2).sum(0))
        p_values.append(joint_test(estimate / error, random_signs(rng, 199, 60) @ (psi / error))[1])
    p_values = np.array(p_values)
    for level in (0.05, 0.1, 0.25, 0.5, 0.75):
        assert abs((p_values <= level).mean() - level) < 3 * np.sqrt(level * (1 - level) / 400)


def test_signs_depend_on_their_key_alone():
    one, other = (random_signs(generator("key", 1), 99, 7) for _ in range(2))
    np.testing.assert_array_equal(one, other)
    assert set(np.unique(one)) == {-1.0, 1.0} and (one != random_signs(generator("key", 2), 99, 7)).any()


# ---- Holm


@pytest.mark.parametrize(
    "p", [[0.01, 0.04, 0.03], [0.5, 0.5, 0.9], [0.001], [0.02, 0.02, 0.02, 0.9, 0.01], []]
)
def test_holm_equals_statsmodels(p):
    expected = multipletests(p, method="holm")[1] if p else []
    np.testing.assert_allclose(adjust_holm(np.array(p)), expected, atol=1e-15)


def test_a_missing_p_value_is_no_member_of_the_family():
    np.testing.assert_array_equal(adjust_holm([0.01, np.nan, 0.04]), [0.02, np.nan, 0.04])
