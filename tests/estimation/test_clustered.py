"""Least squares with controls partialled out. The normal equations with all dummies agree to 1e-9, their conditioning."""

import numpy as np
import pytest

from relocation_analysis.estimation.clustered import (
    identified,
    jackknife_influence,
    least_squares,
    leave_one_out,
    partial_out,
)


def data(seed=0, n=120, clusters=15):
    rng = np.random.default_rng(seed)
    cluster = rng.integers(0, clusters, n)
    strata = np.eye(3)[cluster % 3]
    x = np.c_[rng.normal(size=clusters)[cluster], rng.normal(size=n)]
    y = np.c_[x @ [1.0, -2.0] + strata @ [1, 5, 9] + rng.normal(size=n), rng.normal(size=n)]
    return x, y, strata, cluster, rng.uniform(0.5, 2, n)


def test_two_outcomes_in_one_fit_are_two_fits():
    x, y, strata, cluster, weight = data()
    both = least_squares(partial_out(x, y, strata, cluster, weight))
    for p in range(2):
        alone = least_squares(partial_out(x, y[:, p], strata, cluster, weight))
        np.testing.assert_allclose(both.coefficient[:, p], alone.coefficient[:, 0], rtol=1e-12)
        np.testing.assert_allclose(both.influence[:, :, p], alone.influence[:, :, 0], atol=1e-12)


def test_an_integer_weight_is_as_many_rows():
    x, y, strata, cluster, _ = data()
    times = np.random.default_rng(1).integers(1, 4, len(x))
    weighted = partial_out(x, y, strata, cluster, times)
    repeated = partial_out(*(np.repeat(a, times, axis=0) for a in (x, y, strata, cluster)))
    np.testing.assert_allclose(least_squares(weighted).coefficient, least_squares(repeated).coefficient, rtol=1e-10)
    np.testing.assert_allclose(leave_one_out(weighted), leave_one_out(repeated), rtol=1e-9)


def test_leaving_a_cluster_out_is_fitting_without_it_even_where_its_stratum_goes_with_it():
    x, y, strata, cluster, _ = data()
    strata = np.c_[strata, cluster == 4, cluster == 7]
    left = leave_one_out(partial_out(x, y, strata, cluster))
    for g in range(15):
        keep = cluster != g
        expected = least_squares(partial_out(x[keep], y[keep], strata[keep], cluster[keep])).coefficient
        np.testing.assert_allclose(left[g], expected, rtol=1e-9, atol=1e-9)


def test_a_coefficient_that_needs_one_cluster_has_no_value_without_it():
    x, y, _, cluster, _ = data()
    x = (cluster == 4).astype(float)[:, None]
    left = leave_one_out(partial_out(x, y, np.eye(3)[np.arange(len(x)) % 3], cluster))
    assert np.isnan(left[4]).all() and np.isfinite(np.delete(left, 4, axis=0)).all()


def test_controls_and_earlier_regressors_make_a_regressor_unidentified():
    x, y, strata, cluster, _ = data()
    x = np.c_[x, x.sum(1), strata[:, 0], np.ones(len(x))]
    assert identified(partial_out(x, y, strata, cluster)).tolist() == [True, True, False, False, False]


def test_the_jackknife_error_of_a_mean_of_equal_clusters_is_the_error_of_the_mean():
    """Without controls, the coefficient of a dummy for half of 2m singletons is a difference of means; of one mean of m values
    the jackknife variance is s^2 / m. Here the mean itself: estimates without each of 5 values 1, 2, 3, 4, 10 of mean 4."""
    values = np.array([1.0, 2, 3, 4, 10])
    left = (values.sum() - values) / 4
    error = np.sqrt((jackknife_influence(4.0, left) ** 2).sum())
    assert error == pytest.approx(values.std(ddof=1) / np.sqrt(5), rel=1e-12)


def test_one_cluster_and_saturated_rows_have_no_error():
    x, y, strata, _, _ = data()
    assert np.isnan(least_squares(partial_out(x, y, strata, np.zeros(len(x)))).std_error).all()
    few = slice(0, 4)
    assert np.isnan(least_squares(partial_out(x[few], y[few], strata[few], np.arange(4))).std_error).all()


def test_a_large_constant_does_not_cost_digits():
    x, y, strata, cluster, weight = data()
    base = least_squares(partial_out(x, y, strata, cluster, weight))
    moved = least_squares(partial_out(x + 1e4, y + 1e8, 1e5 * strata, cluster, weight))
    np.testing.assert_allclose(moved.coefficient, base.coefficient, rtol=1e-6)
    np.testing.assert_allclose(moved.std_error, base.std_error, rtol=1e-6)
