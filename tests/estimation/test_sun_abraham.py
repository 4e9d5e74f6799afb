"""The interaction-weighted estimator: by hand, against pyfixest, against the main estimator on a balanced panel.

Tolerances: rollout.csv has 12 digits, 1e-10. pyfixest's errors carry G / (G - 1) x (N - 1) / (N - k), k the dummies
and the time effects; ours carry no factor. Its event times take the shares of cohorts as given, ours as estimates;
the fixed part is compared.
"""

import numpy as np
import pandas as pd
import pytest

from relocation_analysis.data.codebook import Outcome
from relocation_analysis.estimation.aggregate import (
    aggregate_effects,
    list_aggregations,
)
from relocation_analysis.estimation.cells import NEVER, build_cells
from relocation_analysis.estimation.cohort_time import Contrast
from relocation_analysis.estimation.effects import EFFECT_COLUMNS
from relocation_analysis.estimation.sun_abraham import (
    estimate_sun_abraham,
    interact_cohort_time,
    interaction_contrasts,
)

Y = Outcome(name="y", domain="other", sampling="repeated", unit="", label_en="y")


def interact(panel, cluster="village", strata=(), jackknife=False):
    cells = build_cells(panel, Y, (), cluster, strata)
    cohorts = tuple(np.unique(cells.rows["cohort"].to_numpy(dtype=float)))
    return interact_cohort_time(cells, interaction_contrasts(cohorts, cells.columns), strata, jackknife)


def long(values, cohort, times):
    values = np.asarray(values, dtype=float)
    panel = pd.DataFrame(
        {
            "person": np.repeat(np.arange(len(values)), len(times)),
            "time": np.tile(times, len(values)),
            "y": values.ravel(),
        }
    )
    return panel.assign(village=panel["person"], cohort=np.repeat(np.asarray(cohort, dtype=float), len(times))).dropna(
        subset="y"
    )


def by_cell(fit):
    return {(c.cohort, c.time): a for c, a in zip(fit.contrasts, fit.att, strict=True)}


def test_by_hand_against_those_who_never_move():
    # never: 0 1 1 2. cohort 3: 2 2 6 7, base 2: t=1: 0 + 1 = 1, t=3: 4 - 0, t=4: 5 - 1. cohort 2: 1 3 5 8: 2 - 1, 4 - 1, 7 - 2
    found = by_cell(interact(long([[1, 3, 5, 8], [2, 2, 6, 7], [0, 1, 1, 2]], [2, 3, np.nan], (1, 2, 3, 4))))
    assert found == pytest.approx({(2, 2): 1, (2, 3): 3, (2, 4): 5, (3, 1): 1, (3, 3): 4, (3, 4): 4}, abs=1e-12)


def test_where_everybody_moves_the_last_cohort_is_the_comparison_until_it_moves():
    found = by_cell(interact(long([[1, 3, 5, 8], [2, 2, 6, 7], [0, 1, 1, 2]], [2, 3, 4], (1, 2, 3, 4))))
    assert found == pytest.approx({(2, 2): 1, (2, 3): 3, (3, 1): 1, (3, 3): 4}, abs=1e-12)


@pytest.mark.parametrize(
    "cohorts, times, anticipation, expected",
    [
        ((3.0, NEVER), (1, 2, 3), 0, {(3, 1, 2), (3, 3, 2)}),
        ((3.0, NEVER), (1, 2, 3), 1, {(3, 2, 1), (3, 3, 1)}),
        ((1.0, NEVER), (1, 2, 3), 0, set()),
        ((2.0, 3.0), (1, 2, 3), 1, set()),
        ((3.0,), (1, 2, 3), 0, set()),
        ((), (1, 2), 0, set()),
    ],
)
def test_the_dummies_of(cohorts, times, anticipation, expected):
    assert {(c.cohort, c.time, c.base) for c in interaction_contrasts(cohorts, times, anticipation)} == expected


@pytest.mark.parametrize("cluster", ["person", "village"])
def test_equals_the_saturated_regression_of_pyfixest(staggered, oracles, cluster):
    oracle = pd.read_csv(oracles / "rollout.csv", comment="#").query("package == 'pyfixest'")
    oracle = oracle[oracle["clustered"] == (cluster == "village")]
    found = interact(staggered, cluster)
    groups, n, k = len(found.clusters), len(staggered), len(found.contrasts) + 8
    factor = np.sqrt(groups / (groups - 1) * (n - 1) / (n - k))
    wanted = list_aggregations(found, ("cohort_time", "event_time"))
    averaged = aggregate_effects(found, wanted)
    for name, keys in (("cohort_time", ["cohort", "event_time"]), ("event_time", ["event_time"])):
        rows = oracle[oracle["aggregation"] == name].set_index(keys)
        members = [j for j, a in enumerate(wanted) if a.name == name]
        assert len(rows) == len(members) > 0
        for j in members:
            shares = found.size.sum(0)[
                np.searchsorted(found.cohorts, [found.contrasts[m].cohort for m in wanted[j].sets[0][0]])
            ]
            fixed = found.influence[:, wanted[j].sets[0][0]] @ (shares / shares.sum())
            row = rows.loc[tuple(getattr(wanted[j], key) for key in keys) if len(keys) > 1 else wanted[j].event_time]
            assert averaged.estimate[j] == pytest.approx(row["estimate"], abs=1e-10)
            assert np.sqrt((fixed**2).sum()) * factor == pytest.approx(row["std_error"], abs=1e-10)


def test_on_a_balanced_panel_it_is_the_main_estimator_with_never_movers_and_a_universal_base(staggered, fit):
    expected = fit(staggered, comparison="never_treated", base="universal")
    found = interact(staggered)
    assert [(c.cohort, c.time) for c in found.contrasts] == [(c.cohort, c.time) for c in expected.contrasts]
    for name in ("att", "influence", "size", "treated", "comparison", "units"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), atol=1e-11, err_msg=name)


def test_on_an_unbalanced_panel_village_effects_keep_levels_apart():
    # village a (mover, level 0) and b (mover, level 10): b is not seen at t=1. Means would say +5; the change of a is 1
    panel = long([[0, 1], [np.nan, 11], [3, 3]], [2, 2, np.nan], (1, 2))
    assert by_cell(interact(panel)) == pytest.approx({(2, 2): 1.0}, abs=1e-12)


def test_a_stratum_without_comparison_leaves_the_average():
    panel = long([[0, 3], [0, 9], [0, 1]], [2, 2, np.nan], (1, 2))
    panel["place"] = np.where(panel["person"] == 1, "n", "r")
    found = interact(panel, strata=("place",))
    assert by_cell(found) == pytest.approx({(2, 2): 2.0}, abs=1e-12)
    assert found.treated[:, 0].tolist() == [True, False, False]


def test_the_jackknife_is_estimation_without_each_cluster(staggered):
    panel = staggered[staggered["person"] < 200]
    found = interact(panel, jackknife=True)
    for k in (0, 20):
        again = by_cell(interact(panel[panel["village"] != found.clusters[k]]))
        expected = [again.get((c.cohort, c.time), np.nan) for c in found.contrasts]
        np.testing.assert_allclose(found.jackknife[k], expected, atol=1e-11)


def test_a_cohort_that_is_not_there_has_no_coefficient(staggered):
    cells = build_cells(staggered[staggered["person"] < 50], Y, (), "village")
    found = interact_cohort_time(cells, (Contrast(1990.0, 2015, 2014, (NEVER,)),))
    assert np.isnan(found.att).all() and not found.influence.any()


def test_a_study_gets_the_house_table(design):
    found = estimate_sun_abraham(design, "offfarm_wage", ("headline", "event_time"))
    assert tuple(found.table.columns) == EFFECT_COLUMNS and set(found.table["estimator"]) == {"sun_abraham"}
    np.testing.assert_allclose(np.sqrt((found.influence**2).sum(0)), found.table["std_error"], rtol=1e-12)
    assert found.table["estimate"].iloc[0] == pytest.approx(0.08, abs=3 * found.table["std_error"].iloc[0])
