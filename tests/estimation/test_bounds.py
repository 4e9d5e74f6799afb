"""Lee's bounds. By hand to rounding; the bootstrap error of a mean against its formula, three Monte-Carlo errors."""

import numpy as np
import pytest
from scipy import stats

from relocation_analysis.estimation.bounds import imbens_manski, check_bounds, lee_bounds
from relocation_analysis.quantities import format_interval
from relocation_analysis.randomness import generator

NAN = np.nan


def bounds_of(y, offered, weight=None, controls=None, draws=1, cluster=None):
    n = len(y)
    return lee_bounds(np.array(y, dtype=float), np.array(offered), np.empty((n, 0)) if controls is None else controls,
                      np.arange(n) if cluster is None else cluster, np.zeros(n), np.ones(n) if weight is None else weight,
                      draws, generator("bounds"))  # fmt: skip


def test_the_side_that_responds_more_is_trimmed_to_the_other():
    """Offered: 1, 2, 3, 10 all observed. Not: 1, 3 observed of 4, half. Half of the offered go: from the top, mean 1.5; from the
    bottom, 6.5. Less the others' mean 2: -0.5 and 4.5."""
    found = bounds_of([1, 2, 3, 10, 1, 3, NAN, NAN], [1] * 4 + [0] * 4)
    assert (found.low, found.high) == (pytest.approx(-0.5), pytest.approx(4.5))
    assert (found.response_offered, found.response_not) == (1.0, 0.5)
    assert found.trimmed_side == "offered" and found.trimmed_share == 0.5 and found.trimmed_rows == 2


def test_where_the_others_respond_more_they_are_trimmed():
    """Offered: 5, 7 of 4. Not: 0, 1, 2, 9. Trimmed means of the others 0.5 and 5.5: 6 - 5.5 and 6 - 0.5."""
    found = bounds_of([5, 7, NAN, NAN, 0, 1, 2, 9], [1] * 4 + [0] * 4)
    assert (found.low, found.high) == (pytest.approx(0.5), pytest.approx(5.5))
    assert found.trimmed_side == "not_offered"


def test_a_row_goes_in_part_where_the_share_is_not_whole():
    """Offered 3 of 3, others 2 of 3: a third of 1, 2, 6 goes, one row; with weight on the others, 3 of 4, a quarter: .75 of a row.
    From the top: (1 + 2 + .25 * 6) / 2.25 = 2; from the bottom: (.25 + 2 + 6) / 2.25 = 11 / 3; the others' mean is 0."""
    found = bounds_of([1, 2, 6, 0, 0, NAN], [1, 1, 1, 0, 0, 0], weight=np.array([1, 1, 1, 2, 1, 1.0]))
    assert (found.low, found.high) == (pytest.approx(2.0), pytest.approx(11 / 3))
    assert found.trimmed_rows == pytest.approx(0.75)


def test_a_share_is_trimmed_exactly_and_rows_that_tie_share_it():
    """Offered .6 of 10, all observed; others .5 of 8 observed of 10. A fifth goes: 2 of the ones, or 2 of the zeros.
    (6 - 2) / 8 - .5 = 0 and 6 / 8 - .5 = .25."""
    y = [1] * 6 + [0] * 4 + [1] * 4 + [0] * 4 + [NAN] * 2
    offered = np.repeat([1, 0], 10)
    found = bounds_of(y, offered)
    assert (found.low, found.high) == (pytest.approx(0.0), pytest.approx(0.25))
    strata = (np.arange(20) % 3 == 0).astype(float)[:, None]
    order = np.random.default_rng(0).permutation(20)
    one, two = bounds_of(y, offered, controls=strata), bounds_of(np.array(y)[order], offered[order], controls=strata[order])
    assert (one.low, one.high) == (pytest.approx(two.low, abs=1e-12), pytest.approx(two.high, abs=1e-12))


def test_without_trimming_both_bounds_are_the_regression_with_strata():
    rng = np.random.default_rng(1)
    n = 60
    strata = np.eye(3)[rng.integers(0, 3, n)]
    offered, weight = rng.integers(0, 2, n), rng.uniform(0.5, 2, n)
    y = rng.normal(size=n) + strata @ [0, 4, 9] + offered
    found = bounds_of(y, offered, weight, strata)
    root = np.sqrt(weight)[:, None]
    expected = np.linalg.lstsq(np.c_[offered, strata] * root, y * root[:, 0], rcond=None)[0][0]
    assert found.low == pytest.approx(expected, rel=1e-9) and found.high == found.low and found.trimmed_side == ""
    assert check_bounds("y", expected, found, NAN).note == "Everybody is observed: there is nothing to bound."


def test_bounds_hold_the_effect_on_those_observed_either_way():
    """Worst to lose: without the offer, those with a bad outcome are lost. The effect is 1 on everybody."""
    rng = np.random.default_rng(2)
    offered, quality = rng.integers(0, 2, 4000), rng.normal(size=4000)
    y = np.where((offered == 0) & (quality < -0.5), NAN, quality + offered)
    found = bounds_of(y, offered)
    naive = np.nanmean(y[offered == 1]) - np.nanmean(y[offered == 0])
    assert found.low < naive < 0.7 and found.high == pytest.approx(1.0, abs=0.08)


def test_the_bootstrap_error_of_a_difference_of_means_is_the_formula():
    rng = np.random.default_rng(3)
    y, offered = rng.normal(size=400), np.repeat([1, 0], 200)
    found = bounds_of(y, offered, draws=600)
    expected = np.sqrt(y[:200].var() / 200 + y[200:].var() / 200)
    assert found.std_error_low == pytest.approx(expected, rel=3 / np.sqrt(2 * 600))
    width = stats.norm.ppf(0.975)
    assert (found.conf_low, found.conf_high) == (pytest.approx(found.low - width * found.std_error_low),
                                                  pytest.approx(found.high + width * found.std_error_high))  # fmt: skip


def test_clusters_are_drawn_whole():
    """Each row three times in one cluster: the error is that of the rows once."""
    rng = np.random.default_rng(4)
    y, offered = rng.normal(size=60), np.repeat([1, 0], 30)
    once = bounds_of(y, offered, draws=300)
    thrice = bounds_of(np.repeat(y, 3), np.repeat(offered, 3), draws=300, cluster=np.repeat(np.arange(60), 3))
    assert thrice.std_error_low == pytest.approx(once.std_error_low, rel=1e-9)


def test_the_interval_goes_from_two_sided_to_one_sided_as_the_bounds_part():
    errors = np.array([1.0, 1.0])
    assert imbens_manski(0.0, errors) == pytest.approx(1.959964, abs=1e-6)
    assert imbens_manski(100.0, errors) == pytest.approx(1.644854, abs=1e-6)
    c = imbens_manski(1.0, errors)
    assert stats.norm.cdf(c + 1) - stats.norm.cdf(-c) == pytest.approx(0.95, abs=1e-9)


def test_what_the_bounds_cannot_say_is_said():
    rng = np.random.default_rng(5)
    y, offered = rng.normal(size=2000), np.repeat([1, 0], 1000)
    y[[0, 1, 1000]] = NAN
    found = bounds_of(y, offered)
    few = check_bounds("y", 0.0, found, 0.6)
    assert f"The bounds trim 1.0 rows of those not offered: {format_interval(found.low, found.high)}." in few.note
    told = check_bounds("y", 0.0, found, 0.6, unit="share").note
    assert f": {format_interval(found.low, found.high, 'share')}." in told
    assert "So few that they say nothing beyond the estimate" in few.note
    assert few.passed is True
    y[1] = 0.0
    alike = check_bounds("y", 0.0, bounds_of(y, offered), 1.0)
    assert "Nothing is trimmed, so the bounds say nothing beyond the estimate" in alike.note
    y[:500] = NAN
    many = check_bounds("y", 0.0, bounds_of(y, offered), 0.001)
    assert many.passed is False and "the same way" in many.note
    y[:1000] = NAN
    none = check_bounds("y", 0.0, bounds_of(y, offered), 0.0)
    assert "not observed at all" in none.note and np.isnan(none.table["value"].iloc[1])
