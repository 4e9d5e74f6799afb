"""Cohort-time effects: by hand, against csdid and diff-diff, invariances, the jackknife and strata.

Tolerances: csdid.csv has 12 digits, so 1e-11 is what it can show (1e-8 is asked); diff-diff sums the same
numbers in another order, 1e-10. diff-diff's clustered errors carry sqrt(G / (G - 1)), ours, like R did's,
do not. Hand values and algebraic identities hold to 1e-12.
"""

import warnings
from itertools import product

import numpy as np
import pandas as pd
import pytest
from diff_diff import CallawaySantAnna, SurveyDesign

from relocation_analysis.data.codebook import Outcome
from relocation_analysis.estimation import cohort_time
from relocation_analysis.estimation.cells import NEVER, build_cells
from relocation_analysis.estimation.cohort_time import (
    Contrast,
    base_period,
    estimate_by_group,
    estimate_cohort_time,
    list_contrasts,
)
from relocation_analysis.estimation.doubly_robust import doubly_robust_att
from relocation_analysis.randomness import generator

Y = Outcome(name="y", domain="other", unit="", label_en="y")


def std_error(influence):
    return np.sqrt((influence**2).sum(0))


def by_pair(fit):
    return {(c.cohort, c.time): att for c, att in zip(fit.contrasts, fit.att, strict=True)}


def long(values, cohort, times=(1, 2), **columns):
    """A panel from one row of outcomes per person; every person a village unless `village` says otherwise."""
    values, units = np.asarray(values, dtype=float), len(values)
    columns = {"village": np.arange(units), "weight": np.ones(units)} | columns
    panel = pd.DataFrame(
        {
            "person": np.repeat(np.arange(units), len(times)),
            "time": np.tile(times, units),
            "y": values.ravel(),
        }
    )
    repeated = {
        name: np.repeat(np.asarray(v), len(times)) for name, v in (columns | {"cohort": cohort}).items()
    }
    return panel.assign(**repeated).dropna(subset="y").astype({"cohort": float})


# ---- by hand


def test_two_by_two_by_hand(fit):
    # movers change by 4 and 5, weights 1 and 2: (4 + 10) / 3 = 14/3; stayers by 2 and 0: 1; effect 14/3 - 1
    # = 11/3
    panel = long(
        [[1, 5], [2, 7], [1, 3], [4, 4]], [2, 2, np.nan, np.nan], weight=[1.0, 2, 1, 1], village=list("abcd")
    )
    found = fit(panel)
    assert found.contrasts == (Contrast(2.0, 2, 1, (NEVER,)),)
    assert found.att[0] == pytest.approx(11 / 3, abs=1e-12)
    # influence: 1/3 (4 - 14/3), 2/3 (5 - 14/3), -1/2 (2 - 1), -1/2 (0 - 1)
    np.testing.assert_allclose(found.influence[:, 0], [-2 / 9, 2 / 9, -1 / 2, 1 / 2], atol=1e-12)
    assert list(found.clusters) == list("abcd") and list(found.units[:, 0]) == [1, 1, 1, 1]
    assert list(found.treated[:, 0]) == [True, True, False, False] == list(~found.comparison[:, 0])
    np.testing.assert_array_equal(found.size, [[1, 0], [2, 0], [0, 1], [0, 1]])


def test_three_cohorts_by_hand(fit):
    # means:     t=1  t=2  t=3  t=4 cohort 2     1    3    5    8     never   0    1    1    2 cohort 3
    # 2    2    6    7 not yet treated, to t=2 cohort 3 is in the comparison, one unit beside one never-
    # mover: change (0 + 1) / 2 = .5 (2,2): 2 - .5 = 1.5; (2,3): 4 - 1 = 3; (2,4): 7 - 2 = 5; (3,2) before:
    # 0 - 1 = -1; (3,3): 4 - 0 = 4; (3,4): 5 - 1 = 4
    panel = long([[1, 3, 5, 8], [2, 2, 6, 7], [0, 1, 1, 2]], [2, 3, np.nan], (1, 2, 3, 4))
    expected = {(2, 2): 1.5, (2, 3): 3, (2, 4): 5, (3, 2): -1, (3, 3): 4, (3, 4): 4}
    assert by_pair(fit(panel, comparison="not_yet_treated")) == pytest.approx(expected, abs=1e-12)
    # never treated: (2,2) is 2 - 1 = 1; universal base: (3,1) is 2 - 2 - (0 - 1) = 1 and there is no (3,2)
    expected = {(2, 2): 1, (2, 3): 3, (2, 4): 5, (3, 1): 1, (3, 3): 4, (3, 4): 4}
    assert by_pair(fit(panel, base="universal")) == pytest.approx(expected, abs=1e-12)


def test_strata_by_hand(fit):
    # remote: movers change 3 (two of them), stayers 1: effect 2; near: movers 8, stayers 3: effect 5
    # weighted by the movers: (2 x 2 + 5) / 3 = 3; without strata: (3 + 3 + 8) / 3 - (1 + 3 + 3) / 3 = 7/3
    panel = long(
        [[0, 3], [0, 3], [0, 8], [0, 1], [0, 3], [0, 3]],
        [2, 2, 2, np.nan, np.nan, np.nan],
        place=list("rrnrnn"),
    )
    assert fit(panel).att[0] == pytest.approx(7 / 3, abs=1e-12)
    assert fit(panel, strata=("place",)).att[0] == pytest.approx(3, abs=1e-12)


def test_a_stratum_without_comparison_leaves_the_effect(fit):
    panel = long([[0, 3], [0, 9], [0, 1]], [2, 2, np.nan], place=list("rnr"))
    found = fit(panel, strata=("place",))
    assert found.att[0] == pytest.approx(3 - 1, abs=1e-12)
    assert list(found.treated[:, 0]) == [True, False, False]
    np.testing.assert_array_equal(found.influence[1], 0)


def test_repeated_ages_by_hand(fit):
    # Nobody is seen twice. Means before and after: movers of 16 .5 and 1, of 17 0 and .5; stayers of 16 .5
    # and .5, of 17 .5 and 0. Effects .5 - 0 at 16 and .5 + .5 at 17; two movers of 16 and one of 17 after:
    # (2 x .5 + 1) / 3 = 2/3
    rows = [
        ("m", 1, 16, 0.5),
        ("m", 2, 16, 1.0),
        ("m", 2, 16, 1.0),
        ("m", 1, 17, 0.0),
        ("m", 2, 17, 0.5),
        ("s", 1, 16, 0.5),
        ("s", 2, 16, 0.5),
        ("s", 1, 17, 0.5),
        ("s", 2, 17, 0.0),
    ]
    panel = pd.DataFrame(rows, columns=["village", "time", "age", "y"])
    panel = panel.assign(person=range(len(panel)), cohort=np.where(panel["village"] == "m", 2.0, np.nan))
    assert fit(panel, sampling="repeated", age_step=1).att[0] == pytest.approx(2 / 3, abs=1e-12)
    # ages pooled: movers 2.5 / 3 - .25, stayers .25 - .5
    assert fit(panel, sampling="repeated").att[0] == pytest.approx(2.5 / 3, abs=1e-12)


# ---- who is compared with whom


def test_the_base_is_the_last_wave_before_the_move_whatever_the_spacing():
    waves = (2016, 2017, 2018, 2020)
    assert [base_period(g, waves, 0) for g in (2016, 2017, 2019, 2020)] == [None, 2016, 2018, 2018]
    assert [base_period(g, waves, 1) for g in (2017, 2019, 2020)] == [None, 2017, 2018]
    found = {(c.cohort, c.time): c.base for c in list_contrasts((2016.0, 2017.0, 2019.0, NEVER), waves)}
    assert found == {
        (2017, 2017): 2016,
        (2017, 2018): 2016,
        (2017, 2020): 2016,
        (2019, 2017): 2016,
        (2019, 2018): 2017,
        (2019, 2020): 2018,
    }


def test_the_not_yet_treated_are_later_than_the_time_and_its_base_by_more_than_the_anticipation():
    found = {(c.cohort, c.time): c.comparison for c in list_contrasts((3.0, 4.0, 5.0, 9.0), (1, 2, 3, 4, 5))}
    assert found[3.0, 3] == (4.0, 5.0, 9.0) and found[3.0, 4] == (5.0, 9.0) and found[3.0, 5] == (9.0,)
    assert found[4.0, 2] == (3.0, 5.0, 9.0) and found[4.0, 3] == (5.0, 9.0)
    early = {
        (c.cohort, c.time): (c.base, c.comparison)
        for c in list_contrasts((3.0, 4.0, 5.0, 9.0), (1, 2, 3, 4, 5), anticipation=1)
    }
    assert (
        early[3.0, 2] == (1, (4.0, 5.0, 9.0))
        and early[3.0, 3] == (1, (5.0, 9.0))
        and early[4.0, 3] == (2, (5.0, 9.0))
    )
    # a universal base after the time compared: cohort 4 has not moved at 1 but has by the base of cohort 5
    universal = {
        (c.cohort, c.time): c.comparison
        for c in list_contrasts((4.0, 5.0, 9.0), (1, 2, 3, 4, 5), base="universal")
    }
    assert universal[5.0, 1] == (9.0,)


def test_cohorts_after_the_last_wave_are_compared_with_and_not_estimated():
    found = list_contrasts((2.0, 9.0), (1, 2, 3))
    assert {c.cohort for c in found} == {2.0} and {c.comparison for c in found} == {(9.0,)}
    assert list_contrasts((2.0, 9.0), (1, 2, 3), "never_treated") == ()


def test_without_times_or_comparison_there_is_nothing_to_estimate():
    assert list_contrasts((2.0, NEVER), ()) == () == list_contrasts((2.0,), (1, 2, 3))


# ---- outside numbers


def unbalanced(panel):
    return panel[(7 * panel["person"] + 13 * panel["time"]) % 11 != 0]


@pytest.mark.parametrize(
    ("data", "comparison", "weighted", "clustered", "base"),
    [
        *(
            ("staggered_1000", *s, "varying")
            for s in product(("never_treated", "not_yet_treated"), (False, True), (False, True))
        ),
        *(("staggered_1000", c, True, True, "universal") for c in ("never_treated", "not_yet_treated")),
        *(
            ("unbalanced", c, b, b, "varying")
            for c in ("never_treated", "not_yet_treated")
            for b in (False, True)
        ),
    ],
)
def test_estimates_and_errors_equal_csdid(
    oracles, staggered, fit, data, comparison, weighted, clustered, base
):
    table = pd.read_csv(oracles / "csdid.csv", comment="#")
    keys = [data, "none", comparison, weighted, clustered, base]
    columns = ["data", "covariates", "comparison", "weighted", "clustered", "base_period"]
    expected = table[(table[columns] == keys).all(axis=1)]
    assert len(expected) > 10
    panel = staggered if data == "staggered_1000" else unbalanced(staggered)
    panel = panel.assign(weight=1.0 + panel["person"] % 3 if weighted else 1.0)
    found = fit(panel, "village" if clustered else "person", comparison, base)
    assert [(c.cohort, c.time) for c in found.contrasts] == list(
        zip(expected["cohort"], expected["time"], strict=True)
    )
    np.testing.assert_allclose(found.att, expected["estimate"], rtol=0, atol=1e-11)
    np.testing.assert_allclose(std_error(found.influence), expected["std_error"], rtol=0, atol=1e-11)


def simulated_panel(key, villages=30, per_village=12):
    rng = generator("test_cohort_time", key)
    cohort = rng.choice([2016.0, 2017, 2019, np.nan], villages)
    village = np.repeat(np.arange(villages), per_village)
    times = np.arange(2014, 2020)
    y = rng.normal(size=(len(village), len(times))).cumsum(1) + rng.normal(size=villages)[village, None]
    y += np.nan_to_num(0.3 * (times - cohort[village, None] + 1)) * (times >= cohort[village, None])
    weight = rng.integers(1, 5, len(village)).astype(float)
    return long(y, cohort[village], tuple(times), village=village, weight=weight)


@pytest.mark.parametrize(
    ("comparison", "weighted", "clustered"),
    list(product(("never_treated", "not_yet_treated"), (False, True), (False, True))),
)
def test_estimates_and_errors_equal_diff_diff(fit, comparison, weighted, clustered):
    panel = simulated_panel("diff-diff")
    if not weighted:
        panel = panel.assign(weight=1.0)
    survey = SurveyDesign(weights="weight", psu="village" if clustered else None) if weighted else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = CallawaySantAnna(
            control_group=comparison, cluster="village" if clustered and not weighted else None
        )
        result = model.fit(
            panel.assign(g=panel["cohort"].fillna(0)), "y", "person", "time", "g", survey_design=survey
        )
    expected = result.to_dataframe("group_time")
    found = fit(panel, "village" if clustered else "person", comparison)
    assert [(c.cohort, c.time) for c in found.contrasts] == list(
        zip(expected["group"], expected["time"], strict=True)
    )
    clusters = len(found.clusters)
    factor = np.sqrt(clusters / (clusters - 1)) if clustered else 1.0
    np.testing.assert_allclose(found.att, expected["effect"], rtol=0, atol=1e-10)
    np.testing.assert_allclose(factor * std_error(found.influence), expected["se"], rtol=0, atol=1e-10)


def test_on_a_balanced_panel_repeated_cross_sections_give_the_paired_estimate_and_its_clustered_error(
    staggered, fit
):
    panel = staggered.assign(weight=1.0 + staggered["person"] % 3)
    paired, repeated = (fit(panel, comparison="not_yet_treated", sampling=s) for s in ("panel", "repeated"))
    np.testing.assert_allclose(repeated.att, paired.att, rtol=0, atol=1e-12)
    np.testing.assert_allclose(repeated.influence, paired.influence, rtol=0, atol=1e-12)


def test_one_missing_row_switches_to_pairs_and_moves_the_estimate_a_little(staggered, fit):
    whole, short = fit(staggered), fit(staggered.drop(index=3))
    difference = np.abs(whole.att - short.att)
    assert 0 < difference.max() < 0.02
    assert (difference[[c.cohort != staggered["cohort"].iloc[3] for c in whole.contrasts]] == 0).any()


# ---- invariances


def same(found, expected, scale=1.0, atol=1e-12):
    np.testing.assert_allclose(found.att, scale * expected.att, rtol=0, atol=atol)
    np.testing.assert_allclose(found.influence, scale * expected.influence, rtol=0, atol=atol)


@pytest.fixture(params=["balanced", "unbalanced"])
def sample(request, staggered):
    panel = staggered.assign(weight=1.0 + staggered["person"] % 3)
    return panel if request.param == "balanced" else unbalanced(panel)


def test_row_order_does_not_change_a_bit(sample, fit):
    one, other = (
        fit(p, comparison="not_yet_treated", jackknife=True)
        for p in (sample, sample.sample(frac=1, random_state=1))
    )
    for name in ("att", "influence", "jackknife", "units"):
        assert getattr(one, name).tobytes() == getattr(other, name).tobytes(), name


def test_relabelled_persons_and_villages_change_nothing(sample, fit):
    expected = fit(sample)
    villages = np.unique(sample["village"])
    label = dict(zip(villages, generator("label").permutation(len(villages)), strict=True))
    renamed = sample.assign(
        village=sample["village"].map(label), person="p" + (99_999 - sample["person"]).astype(str)
    )
    found = fit(renamed)
    np.testing.assert_allclose(found.att, expected.att, rtol=0, atol=1e-12)
    np.testing.assert_allclose(
        found.influence[[label[v] for v in expected.clusters]], expected.influence, rtol=0, atol=1e-12
    )


def test_a_constant_added_to_the_outcome_changes_nothing(sample, fit):
    same(fit(sample.assign(y=sample["y"] + 1e4)), fit(sample), atol=1e-9)


def test_an_outcome_in_other_units_gives_the_effect_in_those_units(sample, fit):
    same(fit(sample.assign(y=7 * sample["y"])), fit(sample), scale=7)


def test_weights_in_other_units_change_nothing(sample, fit):
    same(fit(sample.assign(weight=1e5 * sample["weight"])), fit(sample))


def test_each_person_twice_at_half_the_weight_changes_nothing(sample, fit):
    halves = [
        sample.assign(person=sample["person"] + shift, weight=sample["weight"] / 2) for shift in (0, 10_000)
    ]
    same(fit(pd.concat(halves)), fit(sample))


def test_an_always_treated_cohort_changes_nothing(sample, fit):
    first = sample["time"].min()
    extra = sample[sample["person"] < 50].assign(person=lambda d: d["person"] + 10_000, cohort=float(first))
    for comparison in ("never_treated", "not_yet_treated"):
        found, expected = (
            fit(pd.concat([sample, extra]), comparison=comparison),
            fit(sample, comparison=comparison),
        )
        assert found.contrasts == expected.contrasts
        same(found, expected)


def test_a_household_outcome_is_counted_once(staggered, fit):
    panel = staggered.assign(household=staggered["person"])
    second = panel.assign(person=panel["person"] + 10_000)
    big = second[second["household"] % 2 == 0]
    same(fit(pd.concat([panel, big]), level="household"), fit(panel))
    assert not np.allclose(fit(pd.concat([panel, big])).att, fit(panel).att)


def test_a_change_common_to_all_at_a_time_changes_nothing(sample, fit):
    same(fit(sample.assign(y=sample["y"] + (sample["time"] == 2016) * 3.0)), fit(sample), atol=1e-10)


# ---- influence values and leave-one-out values


SETTINGS = [
    {},
    {"sampling": "repeated"},
    {"strata": ("half",)},
    {"sampling": "repeated", "strata": ("half",)},
]


@pytest.fixture
def small(staggered):
    """150 units in 18 villages, one row in eleven missing."""
    panel = staggered[staggered["person"] < 150].assign(
        village=lambda d: d["person"] % 18, half=lambda d: d["person"] % 5 > 2
    )
    return unbalanced(panel.assign(weight=1.0 + panel["person"] % 3))


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_influence_is_the_derivative_with_respect_to_the_weight_of_a_village(small, fit, settings):
    found = fit(small, comparison="not_yet_treated", **settings)
    for position, village in list(enumerate(found.clusters))[:2]:
        step = 1e-5
        up, down = (
            fit(
                small.assign(weight=small["weight"] * np.where(small["village"] == village, 1 + s, 1.0)),
                comparison="not_yet_treated",
                **settings,
            ).att
            for s in (step, -step)
        )
        np.testing.assert_allclose((up - down) / (2 * step), found.influence[position], rtol=0, atol=1e-7)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_influence_values_sum_to_zero(small, fit, settings):
    found = fit(small, **settings)
    np.testing.assert_allclose(found.influence.sum(0), 0, atol=1e-12)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_the_jackknife_equals_estimating_again_without_each_village(small, fit, settings):
    found = fit(small, comparison="not_yet_treated", jackknife=True, **settings)
    for position, village in list(enumerate(found.clusters))[::4]:
        again = by_pair(fit(small[small["village"] != village], comparison="not_yet_treated", **settings))
        expected = [again.get((c.cohort, c.time), np.nan) for c in found.contrasts]
        np.testing.assert_allclose(found.jackknife[position], expected, rtol=0, atol=1e-11)


def test_without_the_only_village_of_a_side_there_is_no_value(fit):
    panel = long([[0, 3], [0, 1], [0, 2]], [2, np.nan, np.nan])
    assert np.isnan(fit(panel, jackknife=True).jackknife[:, 0]).tolist() == [True, False, False]


# ---- conditional parallel trends


def selected(key, units=4000):
    """Effect 1; remote villages move more often and have a trend of .8 a period of their own."""
    rng = generator("strata", key)
    village = np.arange(units) // 10
    remote = rng.random(units // 10) < 0.5
    cohort = np.where(rng.random(units // 10) < np.where(remote, 0.7, 0.3), 2.0, np.nan)
    y = rng.normal(size=(units, 3)) + 0.8 * remote[village, None] * np.arange(3)
    y[:, 1:] += (cohort[village] == 2)[:, None]
    return long(y, cohort[village], (1, 2, 3), village=village, remote=remote[village])


def test_strata_recover_the_truth_where_the_plain_estimate_does_not(fit):
    panel = selected("truth")
    plain, within = fit(panel), fit(panel, strata=("remote",))
    assert (plain.att - 1 > 4 * std_error(plain.influence)).all()
    assert (np.abs(within.att - 1) < 3 * std_error(within.influence)).all()


def test_strata_equal_the_doubly_robust_estimate_with_saturated_dummies(fit):
    panel = selected("dummies", 600)
    wide = panel.pivot(index="person", columns="time", values="y")
    units = panel.drop_duplicates("person").set_index("person").loc[wide.index]
    within = fit(panel, strata=("remote",))
    dummies = units[["remote"]].to_numpy(dtype=float)
    adjusted = doubly_robust_att(
        wide.to_numpy(),
        (1, 2, 3),
        dummies,
        np.ones(len(wide)),
        units["cohort"].to_numpy(),
        units["village"].to_numpy(),
        within.contrasts,
    ).effects
    same(within, adjusted, atol=1e-10)


def test_the_levels_at_a_time_and_the_own_change_are_contrasts_too():
    # last wave: movers 5 and 7, stayers 3 and 4: 6 - 3.5; own change of movers: (4 + 5) / 2
    panel = long([[1, 5], [2, 7], [1, 3], [4, 4]], [2, 2, np.nan, np.nan])
    cells = build_cells(panel, Y.model_copy(update={"sampling": "repeated"}), (), "village")
    found = estimate_cohort_time(cells, (Contrast(2.0, 2, None, (NEVER,)), Contrast(2.0, 2, 1, ())), (), True)
    np.testing.assert_allclose(found.att, [2.5, 4.5], atol=1e-12)
    np.testing.assert_allclose(found.influence[:, 1], [-0.25, 0.25, 0, 0], atol=1e-12)
    np.testing.assert_allclose(found.jackknife[:, 1], [5, 4, 4.5, 4.5], atol=1e-12)
    assert found.comparison[:, 1].tolist() == found.treated[:, 1].tolist() == [True, True, False, False]


@pytest.mark.parametrize("strata", [(), ("remote",)])
def test_groups_at_once_give_what_the_cells_of_each_give_alone(strata, monkeypatch):
    panel = selected("groups", 400)
    rng = generator("groups", "traits")
    traits = panel.drop_duplicates("person")["person"].to_frame().assign(size=0)
    traits["size"] = rng.integers(0, 3, len(traits))
    panel = panel.merge(traits, on="person")
    panel.loc[(panel["village"] == panel["village"].min()) & (panel["size"] == 2), "size"] = 1  # a village has none of them
    wanted = list_contrasts(tuple(np.sort(panel["cohort"].fillna(NEVER).unique())), (1, 2, 3), "not_yet_treated")
    wanted += tuple(Contrast(c.cohort, c.time, c.base, ()) for c in wanted) + tuple(Contrast(c.cohort, c.time, None, (NEVER,)) for c in wanted)
    cells = build_cells(panel, Y.model_copy(update={"sampling": "repeated"}), (), "village", ("remote", "size"))
    sizes = cells.rows["size"].to_numpy()
    groups = [np.flatnonzero(sizes == size) for size in range(3)]
    for block in (1, cohort_time.BLOCK):
        monkeypatch.setattr(cohort_time, "BLOCK", block)
        together = estimate_by_group(cells, groups, wanted, strata, True)
        assert len(together[2].clusters) < len(together[1].clusters)
        for size, found in enumerate(together):
            alone = estimate_cohort_time(cells.subset(sizes == size), wanted, strata, True)
            for name in ("clusters", "cohorts", "treated", "comparison", "units", "by_side", "size"):
                np.testing.assert_array_equal(getattr(found, name), getattr(alone, name), err_msg=name)
            for name in ("att", "influence", "jackknife"):
                np.testing.assert_allclose(getattr(found, name), getattr(alone, name), rtol=1e-12, atol=1e-13, err_msg=name)
    assert estimate_by_group(cells, (), wanted, strata) == []
