"""The assignment drawn again. Statistics of a draw equal those of the estimate run on it, to rounding (1e-9)."""

from itertools import combinations

import numpy as np
import pytest

from relocation_analysis.estimation.clustered import least_squares, partial_out
from relocation_analysis.estimation.randomisation import (
    _draw,
    _statistics,
    check_randomisation,
    randomise,
)
from relocation_analysis.randomness import generator


def trial(seed=0, clusters=12, size=4, effect=0.0, strata=2):
    rng = np.random.default_rng(seed)
    cluster = np.repeat(np.arange(clusters), size)
    block = cluster % strata
    offered = np.zeros(clusters)
    for s in range(strata):
        members = np.flatnonzero(np.arange(clusters) % strata == s)
        offered[rng.choice(members, len(members) // 2, replace=False)] = 1
    y = effect * offered[cluster] + rng.normal(size=clusters)[cluster] + rng.normal(size=len(cluster)) + 3 * block
    return offered[cluster], y, block, cluster, rng.uniform(0.5, 2, len(cluster))


def test_a_draw_keeps_the_counts_of_its_blocks_and_differs_between_draws():
    blocks = np.array([2, 0, 0, 1, 2, 2, 0, 2, 0])
    assignment = np.array([1.0, 0, 1, 1, 0, 0, 0, 1, 1])
    again = _draw(assignment, blocks, 500, generator("draw"))
    for block in range(3):
        assert (again[:, blocks == block].sum(1) == assignment[blocks == block].sum()).all()
    assert len(np.unique(again, axis=0)) == 36  # 4 choose 2, twice
    np.testing.assert_allclose(again[:, blocks == 0].mean(0), 0.5, atol=4 * 0.5 / np.sqrt(500))


def test_the_statistics_of_a_draw_are_those_of_the_regression_on_it():
    offered, y, block, cluster, weight = trial()
    controls = np.c_[np.eye(2)[block], np.random.default_rng(5).normal(size=len(y))]
    system = partial_out(offered, y, controls, cluster, weight)
    draws = _draw(offered[::4], block[::4], 6, generator("statistics"))[:, cluster]
    coefficient, t = _statistics(draws.T * system.root[:, None], system)
    for b, again in enumerate(draws):
        fit = least_squares(partial_out(again, y, controls, cluster, weight))
        assert coefficient[b] == pytest.approx(fit.coefficient[0, 0], rel=1e-9)
        assert t[b] == pytest.approx(fit.coefficient[0, 0] / fit.std_error[0, 0], rel=1e-9)


def test_with_few_assignments_the_p_value_goes_to_the_share_that_enumeration_gives():
    """6 clusters, 3 offered: 20 assignments. Clusters sum to 1, 2, 4 (offered), 8, 16, 32: only this one and its mirror are as
    extreme, so p = 2 / 20."""
    cluster = np.arange(6)
    y, offered = np.array([1.0, 2, 4, 8, 16, 32]), np.array([1.0, 1, 1, 0, 0, 0])
    difference = [abs(y[list(c)].sum() - (63 - y[list(c)].sum())) for c in combinations(range(6), 3)]
    share = np.mean(np.array(difference) >= difference[0])
    assert share == 0.1
    system = partial_out(offered, y, np.empty((6, 0)), cluster)
    found = randomise(system, offered, cluster, np.zeros(6), 4_000, generator("few"))
    assert found.p_coefficient == pytest.approx(share, abs=4 * np.sqrt(0.09 / 4000))
    assert found.log10_assignments == pytest.approx(np.log10(20))
    check = check_randomisation("y", found)
    assert "few assignments" in check.note and check.p_value == found.p_t and check.passed is None


def test_a_p_value_is_never_zero_and_all_ties_give_one():
    offered, y, block, cluster, _ = trial(effect=50.0)
    system = partial_out(offered, y, np.eye(2)[block], cluster)
    found = randomise(system, offered, cluster, block, 199, generator("never"))
    assert 1 / 200 <= found.p_coefficient < 0.05
    same = randomise(
        partial_out(offered, 1.0 * block, np.eye(2)[block] * 0, cluster), offered, cluster, block, 99, generator("ties")
    )
    assert same.p_coefficient == 1.0


def test_drawing_by_unit_and_labels_of_clusters_do_not_change_the_meaning():
    offered, y, block, cluster, _ = trial(size=1, clusters=30)
    system = partial_out(offered, y, np.eye(2)[block], cluster)
    by_cluster = randomise(system, offered, cluster, block, 499, generator("same"))
    by_unit = randomise(system, offered, np.arange(len(y)), block, 499, generator("same"))
    assert by_cluster == by_unit
    relabelled = partial_out(offered, y, np.eye(2)[block], cluster * 7 + 3)
    again = randomise(relabelled, offered, cluster * 7 + 3, block * 2 + 1, 499, generator("same"))
    assert (again.p_coefficient, again.p_t) == (by_cluster.p_coefficient, by_cluster.p_t)


def test_where_the_draw_is_not_known_nothing_is_drawn():
    check = check_randomisation("y", None, "how the offer was drawn is not known")
    assert check.p_value is None and check.passed is None and check.note.startswith("Not drawn")


@pytest.mark.slow
def test_under_the_null_five_in_a_hundred_are_below_five_per_cent():
    """500 trials of 12 clusters, 399 draws each: three Monte-Carlo errors are .029."""
    p = []
    for seed in range(500):
        offered, y, block, cluster, _ = trial(seed)
        found = randomise(
            partial_out(offered, y, np.eye(2)[block], cluster), offered, cluster, block, 399, generator("size", seed)
        )
        p.append((found.p_coefficient, found.p_t))
    assert (np.abs((np.array(p) <= 0.05).mean(0) - 0.05) < 0.029).all()
