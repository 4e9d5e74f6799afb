"""Honest difference-in-differences.

Tolerances. R and Stata print the outermost accepted point of a grid of 1,000 over 40 standard errors, and draw the critical
value of the first stage 1,000 times; two steps of that grid, .0007 on the Medicaid data, hold both (a critical value wrong
by .14, the Monte Carlo error of that quantile, moves an end by .0003). R takes the quantile of |N(t, 1)| from a million
draws of one seed, .12% too large at t = 0. diff-diff minimises numerically and is off by up to 1e-5. Everything else is exact.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

from relocation_analysis.errors import InputError
from relocation_analysis.estimation import honest_relative, honest_smooth
from relocation_analysis.estimation.honest import check_honest, relative_magnitudes, smoothness
from relocation_analysis.randomness import generator

DATA = ("bc", "medicaid")
FIRST = {"bc": "1 0 0 0", "medicaid": "1 0"}


def read(name):
    return pd.read_csv(Path(__file__).parents[1] / "oracles" / f"{name}.csv", comment="#")


def printed(source):
    table = read("honest")
    return [pytest.param(row, id=f"{row.data}, {row.restriction}, {row.weights}, {row.M}, {row.low}")
            for row in table[table["source"].str.startswith(source)].itertuples()]  # fmt: skip


@pytest.fixture(scope="module")
def studies():
    """name -> coefficients, covariance, number before the base."""
    out = {}
    for name, rows in read("honest_inputs").groupby("data"):
        sigma = rows.filter(regex="^s").to_numpy()[:, : len(rows)]
        out[name] = rows["beta"].to_numpy(), sigma, int((rows["event_time"] < 0).sum())
    return out


def weights_of(row):
    return np.array([float(w) for w in row.weights.split()])


def random_study(seed, pre=3, post=4):
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(pre + post, pre + post + 3)) * 0.1
    return 0.2 * rng.normal(size=pre + post), root @ root.T, rng.normal(size=post)


# ---- printed numbers


@pytest.mark.parametrize("row", printed("R HonestDiD README") + printed("Stata"))
def test_medicaid_is_as_r_and_stata_print_it(studies, row):
    beta, sigma, pre = studies[row.data]
    restrict = {"relative_magnitudes": relative_magnitudes, "smoothness": smoothness}[row.restriction]
    found = restrict(beta, sigma, pre, weights_of(row), [row.M]).table.iloc[0]
    half, digits = (row.high - row.low) / 2, 5e-4 if row.source.startswith("Stata") or abs(row.high) >= 0.1 else 5e-5
    slack = 2 * row.step if row.restriction == "relative_magnitudes" else 2e-3 * half
    assert found["low"] == pytest.approx(row.low, abs=slack + digits)
    assert found["high"] == pytest.approx(row.high, abs=slack + digits)


def test_the_breakdown_value_of_medicaid_is_a_little_below_two(studies):
    found = relative_magnitudes(*studies["medicaid"], [1, 0], [1.5, 2.0])
    assert found.table["low"].tolist() == pytest.approx([0.00859, -0.00107], abs=7.5e-4)
    assert found.table["high"].tolist() == pytest.approx([0.0796, 0.0883], abs=7.5e-4)
    assert 1.9 < found.breakdown < 2
    assert 0.02 < smoothness(*studies["medicaid"], [1, 0], [0]).breakdown < 0.03


@pytest.mark.parametrize("row", [row for row in printed("R HonestDiD") if row.values[0].data == "bc"])
def test_fixed_length_intervals_are_those_of_r(studies, row):
    found = smoothness(*studies[row.data], weights_of(row), [row.M]).table.iloc[0]
    half = (row.high - row.low) / 2
    assert (found["low"], found["high"]) == pytest.approx((row.low, row.high), abs=2e-3 * half)


@pytest.mark.parametrize("row", printed("diff-diff"))
def test_fixed_length_intervals_are_those_of_diff_diff_and_never_longer(studies, row):
    found = smoothness(*studies[row.data], weights_of(row), [row.M]).table.iloc[0]
    assert (found["low"], found["high"]) == pytest.approx((row.low, row.high), abs=2e-5)
    assert found["high"] - found["low"] <= row.high - row.low + 1e-9


@pytest.mark.parametrize("row", printed("moderndid"))
def test_each_component_accepts_what_another_program_accepts(studies, row):
    beta, sigma, pre = studies[row.data]
    at = honest_relative.vertices(beta, sigma, pre, weights_of(row), row.M, int(row.s), float(row.sign))
    grid = np.array([row.low - row.step, row.low, row.high, row.high + row.step])
    accepted = honest_relative.accepts(grid, at, np.inf, 0.05)
    assert accepted.tolist() == [False, True, True, False]


# ---- relative magnitudes: the closed form is the linear program


def other_directions(weights):
    """A basis of the later effects that leave weights @ effects as it is, and one effect with weights @ effects = 1."""
    return np.linalg.svd(weights[None, :])[2][1:].T, weights / (weights @ weights)


def by_linear_program(y, x, sd):
    """min eta over (eta, tau) with y - x tau <= eta sd (R&R eq. 14)."""
    cost = np.r_[1.0, np.zeros(x.shape[1])]
    done = optimize.linprog(cost, A_ub=-np.column_stack([sd, x]), b_ub=-y, bounds=[(None, None)] * len(cost), method="highs")
    return done.fun


@pytest.mark.parametrize("seed", range(12))
def test_the_largest_vertex_is_the_optimum_of_the_linear_program(seed):
    beta, sigma, weights = random_study(seed, pre=1 + seed % 4, post=1 + seed % 5)
    pre, post = len(beta) - len(weights), len(weights)
    weights = np.where(np.arange(post) < 3, weights, 0.0)
    for magnitude, s, sign, theta in ((0.0, 0, 1.0, 0.3), (0.7, pre - 1, -1.0, 0.0), (2.0, 0, 1.0, -0.5)):
        a = honest_relative.moments(pre, post, magnitude, s, sign)
        free, unit = other_directions(weights)
        later = a[:, pre:]
        expected = by_linear_program(a @ beta - later @ unit * theta, later @ free, np.sqrt(np.diag(a @ sigma @ a.T)))
        at = honest_relative.vertices(beta, sigma, pre, weights, magnitude, s, sign)
        assert (at.estimate - at.slope * theta).max() == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("seed", range(4))
def test_the_least_favourable_value_is_exceeded_as_often_as_it_should_be(seed):
    beta, sigma, weights = random_study(seed)
    at = honest_relative.vertices(beta, sigma, 3, weights, (0.0, 0.5, 1.0, 3.0)[seed], 1, 1.0)
    draws = generator("least favourable", seed).multivariate_normal(np.zeros(len(at.slope)), at.covariance, 200_000, method="eigh")
    for size in (0.005, 0.05):
        exceeded = (draws.max(1) > honest_relative.least_favourable(at.covariance, size)).mean()
        assert exceeded == pytest.approx(size, abs=3.5 * np.sqrt(size / 200_000))


@pytest.mark.parametrize("seed", range(5))
def test_the_test_is_conditional_on_the_vertex_staying_the_largest(seed):
    """The truncation points by moving along the ray of the largest moment, the quantile by scipy's truncated normal."""
    beta, sigma, weights = random_study(seed)
    at = honest_relative.vertices(beta, sigma, 3, weights, 1.0, 0, 1.0)
    path = np.linspace(-4, 4, 80_001)
    for theta in np.linspace(-1, 1, 9):
        values = at.estimate - at.slope * theta
        top = values.argmax()
        sd, b = np.sqrt(at.covariance[top, top]), at.covariance[:, top] / at.covariance[top, top]
        stays = np.flatnonzero((values[:, None] + b[:, None] * (path - values[top])).argmax(0) == top)
        assert (np.diff(stays) == 1).all()
        low = -np.inf if stays[0] == 0 else path[stays[0]]
        high = min(2.0, np.inf if stays[-1] == len(path) - 1 else path[stays[-1]])
        expected = values[top] <= 2.0 and values[top] <= max(0.0, sd * stats.truncnorm.ppf(0.95, low / sd, high / sd))
        assert honest_relative.accepts(np.array([theta]), at, 2.0, 0.05)[0] == expected


def test_with_no_departure_the_interval_is_the_usual_one_within_its_first_stage(studies):
    beta, sigma, pre = studies["medicaid"]
    found = relative_magnitudes(beta, sigma, pre, [1, 0], [0.0]).table.iloc[0]
    usual = beta[pre] + np.array([-1, 1]) * stats.norm.ppf(0.975) * np.sqrt(sigma[pre, pre])
    np.testing.assert_allclose([found["low"], found["high"]], usual, atol=0.01 * (usual[1] - usual[0]))


def test_a_step_of_any_period_before_the_base_counts():
    """The only step is the earliest, or the one into the base."""
    sigma = 1e-6 * np.eye(4)
    for before in ([0.0, 1.0, 1.0], [1.0, 1.0, 1.0]):  # the first step is from -4 to -3; into the base it is -1
        beta = np.r_[before, 3.0]
        found = relative_magnitudes(beta, sigma, 3, [1.0], [1.0]).table.iloc[0]
        assert (found["low"], found["high"]) == pytest.approx((2.0, 4.0), abs=0.01)


def test_identified_sets_of_later_periods_add_up_their_steps():
    beta = np.r_[0.5, 0.0, np.array([1.0, 2.0, 5.0])]  # largest step .5; at M = 1 period 3 may be off by 1.5
    found = relative_magnitudes(beta, 1e-8 * np.eye(5), 2, [0, 0, 1.0], [1.0]).table.iloc[0]
    assert (found["low"], found["high"]) == pytest.approx((3.5, 6.5), abs=2e-3)


# ---- smoothness: the path is the optimum


@pytest.mark.parametrize("seed", range(8))
def test_the_bias_of_an_estimator_is_the_most_that_a_smooth_trend_can_do(seed):
    beta, sigma, weights = random_study(seed, pre=1 + seed % 4, post=1 + seed % 3)
    pre, count = len(beta) - len(weights), len(beta)
    path = honest_smooth.list_estimators(sigma, pre, weights)
    second = np.delete(np.diff(np.eye(count + 1), n=2, axis=0), pre, axis=1)
    for a, bias in zip(path.coefficients, path.bias, strict=True):
        done = optimize.linprog(-a, A_ub=np.vstack([second, -second]), b_ub=np.ones(2 * len(second)),
                                bounds=[(None, None)] * count, method="highs")  # fmt: skip
        assert -done.fun == pytest.approx(bias, rel=1e-8)
        np.testing.assert_allclose(a[pre:], weights)


@pytest.mark.parametrize("seed", range(4))
def test_no_other_estimator_has_a_shorter_interval(seed):
    beta, sigma, weights = random_study(seed, pre=2 + seed % 2, post=3)
    pre = len(beta) - len(weights)
    for bound in (0.0, 0.02, 0.5):
        found = smoothness(beta, sigma, pre, weights, [bound]).table.iloc[0]
        path = honest_smooth.list_estimators(sigma, pre, weights)
        extrapolated, second = path.coefficients[-1], np.delete(np.diff(np.eye(len(beta) + 1), n=2, axis=0), pre, axis=1)[: pre - 1]

        def half(q, bound=bound, extrapolated=extrapolated, second=second, path=path, sigma=sigma):
            a = extrapolated + q @ second
            sd = np.sqrt(a @ sigma @ a)
            return sd * honest_smooth.folded_quantile(bound * (path.bias[-1] + np.abs(q).sum()) / sd, 0.05)

        best = min(optimize.minimize(half, start, method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12, "maxfev": 4000}).fun
                   for start in (np.zeros(pre - 1), path.coefficients[0][: pre - 1]))  # fmt: skip
        assert (found["high"] - found["low"]) / 2 <= best + 1e-9
        assert (found["high"] - found["low"]) / 2 == pytest.approx(best, rel=2e-3)


def test_the_lasso_path_meets_its_first_order_conditions():
    rng = np.random.default_rng(0)
    for size in (1, 3, 6, 9):
        root, linear = rng.normal(size=(size, size + 2)), rng.normal(size=size)
        quadratic = root @ root.T
        kinks, q = honest_smooth.lasso_path(quadratic, linear)
        assert kinks[0] == 0 and (np.diff(kinks) > 0).all() and (q[-1] == 0).all()
        for low, high, one, other in zip(kinks[:-1], kinks[1:], q[:-1], q[1:], strict=True):
            middle, gradient = (one + other) / 2, linear + quadratic @ (one + other) / 2
            penalty = (low + high) / 2
            active = np.abs(middle) > 1e-12
            np.testing.assert_allclose(gradient[active], -penalty * np.sign(middle[active]), atol=1e-9)
            assert (np.abs(gradient) <= penalty + 1e-9).all()


@pytest.mark.parametrize("t", [0.0, 0.5, 2.0, 9.0])
def test_the_folded_quantile_is_that_of_a_noncentral_chi_square(t):
    expected = np.sqrt(stats.ncx2.ppf(0.95, 1, t**2)) if t else stats.norm.ppf(0.975)
    assert honest_smooth.folded_quantile(t, 0.05) == pytest.approx(expected, rel=1e-9)


def test_a_linear_trend_does_not_move_the_smooth_interval(studies):
    beta, sigma, pre = studies["bc"]
    trend = 0.3 * np.r_[np.arange(-pre, 0), np.arange(1, len(beta) - pre + 1)]
    one, other = (smoothness(b, sigma, pre, [0.25] * 4, [0, 0.05, 0.5]).table for b in (beta, beta + trend))
    np.testing.assert_allclose(one, other, atol=1e-9)


# ---- both


@pytest.mark.parametrize("restrict", [relative_magnitudes, smoothness])
@pytest.mark.parametrize("name", DATA)
def test_scale_and_sign_of_the_outcome_and_of_the_weights(studies, restrict, name):
    beta, sigma, pre = studies[name]
    weights = [float(w) for w in FIRST[name].split()]
    unit = 10.0 if restrict is smoothness else 1.0
    values = np.array([0.0, 0.02, 0.5])
    base = restrict(beta, sigma, pre, weights, values)
    larger = restrict(10 * beta, 100 * sigma, pre, weights, unit * values)
    mirrored = restrict(-beta, sigma, pre, weights, values)
    np.testing.assert_allclose(larger.table[["low", "high"]], 10 * base.table[["low", "high"]], rtol=1e-5)
    np.testing.assert_allclose(mirrored.table[["low", "high"]], -base.table[["high", "low"]], rtol=1e-5)
    assert larger.breakdown == pytest.approx(unit * base.breakdown, rel=1e-3)
    assert mirrored.breakdown == pytest.approx(base.breakdown, rel=1e-3)


@pytest.mark.parametrize("restrict", [relative_magnitudes, smoothness])
@pytest.mark.parametrize("name", DATA)
def test_intervals_widen_with_m_and_the_breakdown_value_is_where_they_reach_zero(studies, restrict, name):
    beta, sigma, pre = studies[name]
    weights = [float(w) for w in FIRST[name].split()]
    found = restrict(beta, sigma, pre, weights, np.linspace(0, 1, 9))
    lengths = (found.table["high"] - found.table["low"]).to_numpy()
    assert (np.diff(lengths) > 0).all()
    around = restrict(beta, sigma, pre, weights, [0.999 * found.breakdown, 1.001 * found.breakdown]).table
    assert around["low"][0] > 0 > around["low"][1]


def test_an_effect_of_zero_has_no_breakdown_value(studies):
    beta, sigma, pre = studies["medicaid"]
    flat = np.r_[beta[:pre], 0.001, 0.001]
    assert np.isnan(relative_magnitudes(flat, sigma, pre, [1, 0]).breakdown)


def test_one_wave_on_either_side_is_enough():
    beta, sigma = np.array([0.1, 1.0]), 0.01 * np.eye(2)
    relative, smooth = relative_magnitudes(beta, sigma, 1, [1.0], [1.0]), smoothness(beta, sigma, 1, [1.0], [0.0])
    assert relative.table["low"][0] < 0.9 < 1.1 < relative.table["high"][0]
    assert smooth.table.loc[0, ["low", "high"]].tolist() == pytest.approx(1.1 + stats.norm.ppf(0.975) * np.sqrt(0.02) * np.array([-1, 1]))


@pytest.mark.parametrize(("pre", "weights", "rank", "message"), [
    (0, [1.0, 0, 0, 0], 4, "Honest intervals need a coefficient before the base period"),
    (4, [], 4, "0 after"), (2, [1.0], 4, "1 of 1 weights"), (2, [0.0, 0.0], 4, "0 of 2 weights not 0"),
    (2, [1.0, 0.0], 3, "rank 3, shape"),
])  # fmt: skip
def test_what_cannot_be_judged_is_an_error(pre, weights, rank, message):
    root = np.random.default_rng(0).normal(size=(4, rank))
    with pytest.raises(InputError, match=message):
        relative_magnitudes(np.ones(4), root @ root.T, pre, weights)


# ---- coverage


def covered(restrict, bound, samples, seed, trend):
    """Share of samples whose interval covers the true effect, 0, of the average of three later periods."""
    sigma = 0.01 * (np.eye(6) + 0.5)
    root, count = np.linalg.cholesky(sigma), 0
    for k in range(samples):
        beta = trend + root @ generator("coverage", seed, k).normal(size=6)
        if restrict is relative_magnitudes:
            low, high = honest_relative.relative_interval(beta, sigma, 3, np.full(3, 1 / 3), bound, 0.05)
        else:
            path = honest_smooth.list_estimators(sigma, 3, np.full(3, 1 / 3))
            low, high = honest_smooth.fixed_length_interval(beta, path, bound, 0.05)
        count += low <= 0 <= high
    return count / samples


STEP = 0.15
WORST = {  # the steps after the base as large as the largest before; the slope changes as much as it may at every step
    relative_magnitudes: np.array([STEP, STEP, 0, STEP, 2 * STEP, 3 * STEP]),
    smoothness: STEP * np.array([-3.0, -2, -1, 2, 5, 9]),
}


@pytest.mark.parametrize(("restrict", "bound"), [(relative_magnitudes, 1.0), (smoothness, STEP)])
def test_the_interval_covers_the_truth_under_the_worst_trend_allowed(restrict, bound):
    # 150 samples: a standard error of .018
    assert covered(restrict, bound, 150, "fast", WORST[restrict]) >= 0.95 - 3 * 0.018
    assert covered(restrict, 0.0, 150, "fast", WORST[restrict]) < 0.6


@pytest.mark.slow
@pytest.mark.parametrize(("restrict", "bound"), [(relative_magnitudes, 1.0), (smoothness, STEP)])
def test_coverage_is_95_percent_where_the_earlier_steps_are_known_well(restrict, bound):
    # 4,000 samples: a standard error of .0035; where steps are small next to their errors, coverage is near one
    large = 20 if restrict is smoothness else 1
    assert 0.94 <= covered(restrict, large * bound, 4_000, "slow", 20 * WORST[restrict]) <= 0.98


# ---- the check


TIMES = [-6, -5, -4, -3, -2, 0, 1]


def test_the_check_reports_the_breakdown_value(studies):
    beta, sigma, pre = studies["medicaid"]
    check = check_honest("insured", beta, sigma, TIMES, [0, 0, 0, 0, 0, 1, 0], "relative_magnitudes")
    assert check.statistic == pytest.approx(1.9457, abs=1e-3) and check.passed is True and check.p_value is None
    assert check.table["M"].tolist() == [0, 0.5, 1, 1.5, 2]
    smooth = check_honest("insured", beta, sigma, TIMES, [0, 0, 0, 0, 0, 1, 0], "smoothness")
    assert smooth.passed is True and smooth.statistic == pytest.approx(0.0228, abs=1e-4)
    assert smooth.table["M"].tolist() == pytest.approx((np.sqrt(sigma[pre, pre]) * np.array([0, 0.1, 0.2, 0.5, 1])).tolist())


def test_an_effect_that_a_trend_accounts_for_fails(studies):
    _, sigma, _ = studies["medicaid"]
    trend = 0.02 * (np.array(TIMES) + 1)
    for restriction in ("relative_magnitudes", "smoothness"):
        check = check_honest("y", trend, sigma, TIMES, [0, 0, 0, 0, 0, 0, 1], restriction)
        assert check.passed is False


def test_the_check_judges_nothing_where_there_is_no_effect(studies):
    beta, sigma, pre = studies["medicaid"]
    check = check_honest("y", np.r_[beta[:pre], 0.001, 0.0], sigma, TIMES, [0, 0, 0, 0, 0, 1, 0], "relative_magnitudes")
    assert check.passed is None and check.statistic is None and "does not differ from zero" in check.note


@pytest.mark.parametrize(("times", "weights", "note"), [
    ([0, 1, 2, 3, 4, 5, 6], [1, 0, 0, 0, 0, 0, 0], "no wave before the base"),
    ([-5, -4, -3, -2, 0, 1, 4], [0, 0, 0, 0, 0, 0, 1], "beyond a gap"),
])  # fmt: skip
def test_the_check_says_what_is_missing(studies, times, weights, note):
    beta, sigma, _ = studies["medicaid"]
    check = check_honest("y", beta, sigma, times, weights, "smoothness")
    assert check.passed is None and check.table is None and note in check.note


def test_fewer_clusters_than_event_times_cannot_be_judged(studies):
    beta, _, _ = studies["medicaid"]
    influence = np.random.default_rng(0).normal(size=(5, 7))
    check = check_honest("y", beta, influence.T @ influence, TIMES, [0, 0, 0, 0, 0, 1, 0], "relative_magnitudes")
    assert check.passed is None and "fewer clusters" in check.note


def test_event_times_beyond_a_gap_are_left_out(studies):
    beta, sigma, _ = studies["medicaid"]
    with_gap = check_honest("y", beta, sigma, [-8, -5, -4, -3, -2, 0, 1], [0, 0, 0, 0, 0, 1, 0], "relative_magnitudes")
    without = check_honest("y", beta[1:], sigma[1:, 1:], TIMES[1:], [0, 0, 0, 0, 1, 0], "relative_magnitudes")
    pd.testing.assert_frame_equal(with_gap.table, without.table)


def test_waves_two_years_apart_are_steps_too(studies):
    beta, sigma, _ = studies["medicaid"]
    every_second = check_honest("y", beta, sigma, [-12, -10, -8, -6, -4, 0, 2], [0, 0, 0, 0, 0, 1, 0], "smoothness", -2.0)
    yearly = check_honest("y", beta, sigma, TIMES, [0, 0, 0, 0, 0, 1, 0], "smoothness")
    assert every_second.statistic == yearly.statistic


def test_the_input_is_untouched(studies):
    beta, sigma, pre = studies["medicaid"]
    before = beta.copy(), sigma.copy()
    relative_magnitudes(beta, sigma, pre, [1, 0]), smoothness(beta, sigma, pre, [1, 0], [0.01])
    np.testing.assert_array_equal(before[0], beta)
    np.testing.assert_array_equal(before[1], sigma)
