"""Ratios of the offer's effects and the set of effects that the data do not reject.

The set is inverted in closed form; its ends are checked against the test itself, run anew at each candidate effect.
"""

import numpy as np
import pytest
from scipy import stats

from relocation_analysis.estimation.clustered import least_squares, partial_out
from relocation_analysis.estimation.instruments import (
    anderson_rubin_set,
    check_first_stage,
    describe_set,
    hull,
    two_stage,
)

INF = np.inf


def lottery(strength, seed=0, clusters=40, size=5, effect=2.0):
    rng = np.random.default_rng(seed)
    cluster = np.repeat(np.arange(clusters), size)
    offered = rng.permutation(np.arange(clusters) % 2)[cluster].astype(float)
    moved = (rng.random(len(cluster)) < 0.3 + strength * offered).astype(float)
    y = effect * moved + rng.normal(size=clusters)[cluster] + rng.normal(size=len(cluster))
    return offered, np.c_[y, moved], np.eye(4)[cluster % 4], cluster


def late(offered, outcomes, controls, cluster):
    system = partial_out(offered, outcomes, controls, cluster)
    fit = least_squares(system)
    return two_stage(*fit.coefficient[0], *fit.influence[:, 0].T, df=len(system.labels) - 1)


def test_with_one_offer_and_no_controls_it_is_the_ratio_of_differences_of_means():
    offered, outcomes, _, cluster = lottery(0.5)
    difference = outcomes[offered == 1].mean(0) - outcomes[offered == 0].mean(0)
    found = late(offered, outcomes, np.empty((len(offered), 0)), cluster)
    assert found.estimate == pytest.approx(difference[0] / difference[1], rel=1e-12)
    assert found.first_stage == pytest.approx(difference[1], rel=1e-12)


def accepted(b, offered, outcomes, controls, cluster):
    """The test at b: regress outcome - b take-up on the offer."""
    fit = least_squares(partial_out(offered, outcomes[:, 0] - b * outcomes[:, 1], controls, cluster))
    return abs(fit.coefficient[0, 0]) <= stats.t.ppf(0.975, len(np.unique(cluster)) - 1) * fit.std_error[0, 0]


@pytest.mark.parametrize(("strength", "seed", "pieces"), [(0.5, 0, 1), (0.12, 3, 1), (0.02, 1, 1), (0.05, 4, 1), (0.03, 8, 1)])
def test_the_set_holds_an_effect_exactly_where_the_test_does_not_reject_it(strength, seed, pieces):
    data = lottery(strength, seed)
    robust = late(*data).robust_set
    ends = [x for pair in robust for x in pair if np.isfinite(x)]
    for b in [*np.linspace(-60, 60, 61), *(x * (1 + d) for x in ends for d in (-1e-6, 1e-6))]:
        assert accepted(b, *data) == any(low <= b <= high for low, high in robust)


def test_shapes_of_the_set():
    """With reduced form r, first stage f, errors one, no correlation, critical value 2: (f^2 - 4) b^2 - 2 r f b + r^2 - 4 <= 0."""
    unit = np.eye(2)
    assert anderson_rubin_set(0.0, 4.0, unit, 2.0) == (pytest.approx((-np.sqrt(1 / 3), np.sqrt(1 / 3))),)
    assert anderson_rubin_set(0.0, 1.0, unit, 2.0) == ((-INF, INF),)
    rays = anderson_rubin_set(4.0, 0.0, unit, 2.0)
    assert rays == ((-INF, pytest.approx(-np.sqrt(3))), (pytest.approx(np.sqrt(3)), INF))
    assert anderson_rubin_set(4.0, 2.0, unit, 2.0) == ((pytest.approx(0.75), INF),)
    assert anderson_rubin_set(1.0, 0.0, np.zeros((2, 2)), 2.0) == ()
    assert hull(rays) == (-INF, INF) and np.isnan(hull(())).all()
    assert describe_set(((-INF, INF),)) == "the whole line: the data exclude no effect"
    assert describe_set(((-INF, -2.0), (2.0, INF))) == (
        "from minus infinity to −2.00 or from 2.00 to infinity, unbounded: the first stage is too weak to exclude more")  # fmt: skip
    assert describe_set(()).startswith("empty") and describe_set(((1.0, 2.0),)) == "from 1.00 to 2.00"
    assert describe_set(((-4661.2, 10780.7),), "yuan") == "from −4,661 to 10,781 yuan"


def test_the_estimate_lies_in_the_set():
    for seed in range(20):
        found = late(*lottery(0.05, seed))
        assert any(low <= found.estimate <= high for low, high in found.robust_set)


def test_the_first_stage_check_says_how_strong_it_is():
    strong, weak = check_first_stage("y", late(*lottery(0.6))), check_first_stage("y", late(*lottery(0.0)))
    assert strong.passed is True and strong.statistic > 10 and "from" in strong.note
    assert weak.passed is False and weak.statistic < 10
    assert check_first_stage("y", None).passed is False


@pytest.mark.slow
def test_the_set_covers_the_effect_whether_the_first_stage_is_strong_or_not():
    """400 draws: three Monte-Carlo errors about .95 are .033. A constant effect."""
    for strength in (0.5, 0.05):
        covers = [any(low <= 2 <= high for low, high in late(*lottery(strength, seed, 60)).robust_set) for seed in range(400)]
        assert abs(np.mean(covers) - 0.95) < 0.035
