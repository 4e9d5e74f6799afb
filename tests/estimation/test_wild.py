"""Wild cluster bootstrap.

Exact enumeration is compared with a loop that estimates every draw again; wildboottest 0.3.2 does not count the tie of
the sample with itself, 2 of 512 sign vectors, and prints 6 digits. With drawn signs p-values differ by Monte Carlo error.
"""

import itertools

import numpy as np
import pandas as pd
import pytest

from relocation_analysis.errors import InputError
from relocation_analysis.estimation.wild import _every_sign, check_wild, wild_bootstrap
from relocation_analysis.randomness import generator


@pytest.fixture(scope="module")
def samples(oracles):
    table = pd.read_csv(oracles / "wild_inputs.csv", comment="#")
    return {key: arrays(part) for key, part in table.groupby("sample")}


def arrays(part):
    return part["y"].to_numpy(), np.column_stack([np.ones(len(part)), part["d"], part["z"]]), part["cluster"].to_numpy()


@pytest.fixture(scope="module")
def wildboottest(oracles):
    return pd.read_csv(oracles / "wild.csv", comment="#").set_index("sample")


def simulate(key, clusters, treated, size=5, effect=0.0):
    """Treatment by cluster, errors with a cluster part that is larger among the treated."""
    rng = generator("test_wild", key)
    code = np.repeat(np.arange(clusters), size)
    d = (code < treated).astype(float)
    z = rng.normal(size=len(code)) + rng.normal(size=clusters)[code]
    y = effect * d + 0.5 * z + rng.normal(size=len(code)) + (rng.normal(size=clusters) * (1 + np.arange(clusters) % 2))[code]
    return y, np.column_stack([np.ones(len(code)), d, z]), code


def estimate_again(y, x, clusters, column):
    inverse = np.linalg.inv(x.T @ x)
    beta = inverse @ x.T @ y
    scores = np.array([x[clusters == c].T @ (y - x @ beta)[clusters == c] for c in np.unique(clusters)])
    return beta[column], np.sqrt((inverse @ scores.T @ scores @ inverse)[column, column])


def share_by_loop(y, x, clusters, column, null):
    """The share of all 2^G draws with |t*| >= |t|, each draw estimated by itself."""
    others = np.delete(x, column, axis=1)
    shifted = y - null * x[:, column]
    fitted = others @ np.linalg.lstsq(others, shifted, rcond=None)[0]
    estimate, error = estimate_again(y, x, clusters, column)
    labels, code = np.unique(clusters, return_inverse=True)
    count = 0
    for signs in itertools.product([1.0, -1.0], repeat=len(labels)):
        drawn = null * x[:, column] + fitted + np.array(signs)[code] * (shifted - fitted)
        star, star_error = estimate_again(drawn, x, clusters, column)
        count += abs((star - null) / star_error) >= abs((estimate - null) / error) * (1 - 1e-9)
    return count / 2 ** len(labels)


@pytest.mark.parametrize("null", [0.0, 0.5, -1.0])
def test_exact_enumeration_is_the_loop_over_all_sign_vectors(samples, null):
    y, x, clusters = samples[9]
    found = wild_bootstrap(y, x, clusters, 1, null=null)
    assert found.exact and found.draws == 256
    assert found.p_value == share_by_loop(y, x, clusters, 1, null)


def test_ties_are_counted_where_wildboottest_does_not(samples, wildboottest):
    y, x, clusters = samples[9]
    found = wild_bootstrap(y, x, clusters, 1)
    assert found.p_value - 2 / 512 == pytest.approx(wildboottest.loc[9, "p_value"], abs=1e-6)
    assert found.statistic == pytest.approx(wildboottest.loc[9, "statistic"], abs=1e-6)


def test_drawn_signs_agree_with_wildboottest_within_monte_carlo_error(samples, wildboottest):
    y, x, clusters = samples[30]
    found = [wild_bootstrap(y, x, clusters, 1, generator("wild", k)) for k in range(10)]
    p_value = wildboottest.loc[30, "p_value"]
    assert np.mean([f.p_value for f in found]) == pytest.approx(p_value + 0.001, abs=3 * np.sqrt(p_value / 9_990))
    assert found[0].statistic == pytest.approx(wildboottest.loc[30, "statistic"], abs=1e-6)
    assert found[0].draws == 999 and not found[0].exact


def test_the_smallest_p_value_is_that_of_the_sample_and_its_mirror_image():
    y, x, clusters = simulate("strong", 10, 5, effect=50.0)
    assert wild_bootstrap(y, x, clusters, 1).p_value == 2 / 2**10


def test_sign_vectors_are_all_different_and_none_is_a_mirror_image():
    signs = _every_sign(5)
    assert signs.shape == (16, 5) and len(np.unique(np.vstack([signs, -signs]), axis=0)) == 32


def test_the_interval_holds_what_the_test_does_not_reject(samples):
    y, x, clusters = samples[9]
    found = wild_bootstrap(y, x, clusters, 1)
    margin = 1e-6 * found.std_error
    for end, outwards in ((found.conf_low, -margin), (found.conf_high, margin)):
        assert wild_bootstrap(y, x, clusters, 1, null=end - outwards).p_value > 0.05
        assert wild_bootstrap(y, x, clusters, 1, null=end + outwards).p_value <= 0.05
    assert found.conf_low < found.estimate < found.conf_high


def test_the_error_is_cr1_of_statsmodels(samples):
    import statsmodels.api as sm

    for y, x, clusters in samples.values():
        fit = sm.OLS(y, x).fit(cov_type="cluster", cov_kwds={"groups": clusters})
        found = wild_bootstrap(y, x, clusters, 1, generator("cr1"))
        assert found.estimate == pytest.approx(fit.params[1], rel=1e-10)
        assert found.std_error == pytest.approx(fit.bse[1], rel=1e-10)


def test_row_order_labels_scale_and_other_regressors_units_do_not_matter(samples):
    y, x, clusters = samples[9]
    base = wild_bootstrap(y, x, clusters, 1)
    order = np.random.default_rng(1).permutation(len(y))
    names = np.array([f"village {9 - c}" for c in clusters])
    for other, scale in ((wild_bootstrap(y[order], x[order], clusters[order], 1), 1.0),
                         (wild_bootstrap(y, x, names, 1), 1.0),
                         (wild_bootstrap(10 * y + 3, x, clusters, 1), 10.0),
                         (wild_bootstrap(y, np.column_stack([x, 2 * x[:, 2] + 5e3]) * [1, 1, 1e4, 1], clusters, 1), 1.0)):  # fmt: skip
        assert other.p_value == base.p_value
        assert other.conf_high == pytest.approx(scale * base.conf_high, rel=1e-6)
        assert other.std_error == pytest.approx(scale * base.std_error, rel=1e-2)  # K counts constant and z once


def test_effects_of_units_inside_clusters_may_be_subtracted_beforehand():
    rng = np.random.default_rng(5)
    unit, late = np.repeat(np.arange(40), 2), np.tile([0.0, 1.0], 40)
    clusters = unit // 4
    d = late * (clusters % 2)
    y = rng.normal(size=40)[unit] + 0.5 * d + rng.normal(size=80) + rng.normal(size=10)[clusters] * late
    dummies = (unit[:, None] == np.arange(40)).astype(float)
    long = wild_bootstrap(y, np.column_stack([d, late, dummies]), clusters, 0)

    def within(v):
        return v - (np.bincount(unit, v) / 2)[unit]

    short = wild_bootstrap(within(y), np.column_stack([within(d), within(late)]), clusters, 0)
    assert short.estimate == pytest.approx(long.estimate, rel=1e-10)
    assert short.p_value == long.p_value
    assert (short.conf_low, short.conf_high) == pytest.approx((long.conf_low, long.conf_high), rel=1e-6)


@pytest.mark.parametrize(("clusters", "treated", "fewest"), [(40, 4, 4), (40, 36, 4), (9, 5, 4)])
def test_it_is_not_offered_with_fewer_than_five_clusters_on_a_side(clusters, treated, fewest):
    found = wild_bootstrap(*simulate("few", clusters, treated), 1)
    assert found.p_value is None and np.isnan(found.conf_low)
    assert found.fewest == fewest and found.reason == "there are fewer than 5 clusters on the smaller side"
    check = check_wild("y", *simulate("few", clusters, treated), 1)
    assert check.passed is None and check.p_value is None and found.reason in check.note


def test_more_clusters_than_can_be_enumerated_need_a_generator():
    with pytest.raises(InputError, match="More than 12 clusters need a random generator"):
        wild_bootstrap(*simulate("none", 13, 6), 1)


def test_a_treatment_that_other_regressors_explain_is_an_error():
    y, x, clusters = simulate("explained", 10, 5)
    with pytest.raises(InputError, match="The treatment must vary given the other regressors"):
        wild_bootstrap(y, np.column_stack([x, 1 - x[:, 1]]), clusters, 1)


def test_draws_depend_on_the_key_alone_and_the_input_is_untouched(samples):
    y, x, clusters = (a.copy() for a in samples[30])
    one, other = (wild_bootstrap(y, x, clusters, 1, generator("same")) for _ in range(2))
    assert one == other
    for before, after in zip(samples[30], (y, x, clusters), strict=True):
        np.testing.assert_array_equal(before, after)


def test_the_check_says_whether_both_agree():
    strong = check_wild("y", *simulate("agree", 12, 6, effect=9.0), 1)
    assert strong.passed is True and strong.p_value < 0.05 and "2,048 sign vectors, all there are" in strong.note
    assert strong.table["inference"].tolist() == ["cluster_cr1", "wild_bootstrap"]
    drawn = check_wild("y", *simulate("agree", 40, 15), 1, generator("agree"))
    assert "999 sign vectors, drawn" in drawn.note


def rejections(samples, clusters, treated):
    return np.mean([wild_bootstrap(*simulate((clusters, treated, s), clusters, treated), 1, generator("size", s)).p_value < 0.05
                    for s in range(samples)])  # fmt: skip


def test_the_exact_test_has_its_size_with_ten_clusters():
    # 200 samples: a standard error of .015
    assert rejections(200, 10, 5) <= 0.05 + 3 * 0.015


@pytest.mark.slow
@pytest.mark.parametrize("clusters", [16, 50])
def test_the_bootstrap_has_its_size_with_eight_treated_clusters(clusters):
    # 2,000 samples: a standard error of .005; with 8 of 50 treated it rejects a little too seldom or too often
    assert 0.03 <= rejections(2_000, clusters, 8) <= 0.07
