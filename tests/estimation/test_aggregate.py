"""Aggregations: R did to its printed digits, weights and coverage by hand, influence of the weights.

did.csv prints five digits of event times and eight significant ones of the rest, without trailing zeros: a value
may differ by half a unit of its last digit and no more.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from relocation_analysis.estimation.aggregate import (
    aggregate_effects,
    headline_coverage,
    headline_members,
    list_aggregations,
)
from relocation_analysis.estimation.cohort_time import CohortTime, Contrast

NAMES = {"simple": "overall_simple", "dynamic": "overall_dynamic", "group": "overall_cohort"}
EVERY = (
    "cohort_time",
    "event_time",
    "cohort",
    "calendar",
    "overall_simple",
    "overall_dynamic",
    "overall_cohort",
    "headline",
)
KEYS = ["data", "sampling", "method", "control_group", "cluster", "weights"]


def to_the_printed_digit(value, printed):
    digits = 5 if len(printed.split(".")[1]) <= 5 else 7 - int(np.floor(np.log10(abs(float(printed)))))
    return abs(value - float(printed)) <= 0.5001 * 10.0**-digits


def did_rows():
    table = pd.read_csv(Path(__file__).parents[1] / "oracles" / "did.csv", comment="#", dtype=str)
    return table[table["xformla"] == "~1"]


@pytest.mark.parametrize("setting", list(did_rows().groupby(KEYS).groups), ids="-".join)
def test_r_did_without_covariates(request, fit, averages, setting):
    """`dr`, `reg` and `ipw` are one estimator without covariates. In repeated cross-sections each row is
    its own unit; an unbalanced panel R treats as repeated cross-sections of the same persons."""
    data, sampling, _, control, cluster, weights = setting
    rows = did_rows()
    rows = rows[(rows[KEYS] == list(setting)).all(axis=1)]
    panel = request.getfixturevalue("mpdta" if data == "mpdta" else "staggered")
    panel = panel.assign(weight=1.0 + panel["person"] % 3 if weights != "none" else 1.0)
    comparison = {"nevertreated": "never_treated", "notyettreated": "not_yet_treated"}[control]
    cluster = "village" if cluster == "cl" else "person"
    if sampling == "unbalanced panel":
        panel = panel[(7 * panel["person"] + 13 * panel["time"]) % 11 != 0]
    if sampling == "repeated cross-sections":
        panel = panel.assign(person=np.arange(len(panel)))
    found = averages(fit(panel, cluster, comparison, sampling="panel" if sampling == "panel" else "repeated"))
    for row in rows.itertuples():
        estimate, error = found[NAMES.get(row.aggregation, row.aggregation)]
        assert to_the_printed_digit(estimate, row.estimate), row
        assert to_the_printed_digit(error, row.std_error), row


def test_pairing_units_of_an_unbalanced_panel_is_another_estimator_than_that_of_r(staggered, fit, averages):
    panel = staggered[(7 * staggered["person"] + 13 * staggered["time"]) % 11 != 0]
    estimate, _ = averages(fit(panel, "person"))["overall_simple"]
    assert abs(estimate - 0.50768748) > 0.01  # R's, from repeated cross-sections
    assert abs(estimate - 0.47465682) < 0.01  # what the whole panel gives


# ---- by hand


def made(att, contrasts, size, cohorts=(2.0, 3.0, np.inf)):
    """Two clusters, each with half of every cohort and of every influence value."""
    size, j = np.asarray(size, dtype=float), len(contrasts)
    sides = np.ones((2, j), dtype=bool)
    return CohortTime(
        contrasts,
        np.array([0, 1]),
        np.asarray(att, dtype=float),
        np.tile([[0.1], [-0.1]], j),
        None,
        np.array(cohorts),
        np.stack([size / 2] * 2),
        sides,
        sides,
        np.ones((2, j)),
    )


def contrast(cohort, time):
    return Contrast(float(cohort), time, int(cohort) - 1, (np.inf,))


def test_weights_by_hand():
    # cohort 2 (30 movers): 1, 2, 4 at exposures 0, 1, 2; cohort 3 (10 movers): 5, 6 at exposures 0, 1; 9
    # before it moved
    contrasts = (
        contrast(2, 2),
        contrast(2, 3),
        contrast(2, 4),
        contrast(3, 2),
        contrast(3, 3),
        contrast(3, 4),
    )
    effects = made([1, 2, 4, 9, 5, 6], contrasts, [30, 10, 60])
    wanted = list_aggregations(effects, EVERY)
    found = aggregate_effects(effects, wanted)
    by_name = {
        (a.name, *(v for v in (a.cohort, a.time, a.event_time) if np.isfinite(v))): e
        for a, e in zip(wanted, found.estimate, strict=True)
        if a.name != "cohort_time"
    }
    assert by_name == pytest.approx(
        {
            ("event_time", -1): 9,
            ("event_time", 0): (30 * 1 + 10 * 5) / 40,  # 2
            ("event_time", 1): (30 * 2 + 10 * 6) / 40,  # 3
            ("event_time", 2): 4,
            ("cohort", 2): 7 / 3,
            ("cohort", 3): 5.5,
            ("calendar", 2): 1,
            ("calendar", 3): (30 * 2 + 10 * 5) / 40,
            ("calendar", 4): (30 * 4 + 10 * 6) / 40,
            ("overall_simple",): (30 * (1 + 2 + 4) + 10 * (5 + 6)) / (90 + 20),
            ("overall_dynamic",): (2 + 3 + 4) / 3,
            ("overall_cohort",): (30 * 7 / 3 + 10 * 5.5) / 40,
            ("headline",): (30 * (1 + 2 + 4) + 10 * (5 + 6)) / (90 + 20),
        }
    )


def test_the_headline_stops_at_exposure_3_and_leaves_out_what_has_no_estimate():
    contrasts = tuple(contrast(2, t) for t in (2, 3, 4, 5, 6)) + (contrast(3, 3),)
    effects = made([1, 2, 3, np.nan, 100, np.nan], contrasts, [30, 10, 60])
    assert headline_members(effects).tolist() == [True, True, True, False, False, False]
    assert aggregate_effects(effects, list_aggregations(effects, ("headline",))).estimate[0] == pytest.approx(
        2
    )


def test_coverage_by_hand():
    # cohort 2: exposures 0, 1, 2 of 30 movers; cohort 3: exposure 0 of 10; so 30 x 3 + 10 of 4 x (30 + 10)
    contrasts = (contrast(2, 2), contrast(2, 3), contrast(2, 4), contrast(3, 3))
    effects = made([1, 2, 3, 4], contrasts, [30, 10, 60])
    assert headline_coverage(effects) == pytest.approx((90 + 10) / 160)
    # 40 more who had moved before the first wave
    assert headline_coverage(effects, 40.0) == pytest.approx(100 / 320)
    assert np.isnan(headline_coverage(made([], (), [0, 0, 5])))


def test_a_cohort_of_which_nobody_is_there_takes_no_part():
    contrasts = (contrast(2, 2), contrast(9, 9))
    effects = made([1.5, np.nan], contrasts, [30, 10], cohorts=(2.0, 3.0))
    found = aggregate_effects(effects, list_aggregations(effects, EVERY))
    assert set(found.estimate) == {1.5}


# ---- influence of the weights


@pytest.fixture
def clustered(staggered, fit):
    panel = staggered[staggered["person"] < 200].assign(village=lambda d: d["person"] % 20)
    return panel.assign(weight=1.0 + panel["person"] % 3)


def test_influence_is_the_derivative_with_respect_to_the_weight_of_a_village(clustered, fit):
    effects = fit(clustered, comparison="not_yet_treated")
    wanted = list_aggregations(effects, EVERY)
    found = aggregate_effects(effects, wanted)
    for position in (0, 7):
        values = []
        for step in (1e-5, -1e-5):
            factor = np.where(clustered["village"] == effects.clusters[position], 1 + step, 1.0)
            moved = fit(clustered.assign(weight=clustered["weight"] * factor), comparison="not_yet_treated")
            values.append(aggregate_effects(moved, wanted).estimate)
        np.testing.assert_allclose(
            (values[0] - values[1]) / 2e-5, found.influence[position], rtol=0, atol=1e-7
        )
    np.testing.assert_allclose(found.influence.sum(0), 0, atol=1e-12)


def test_the_jackknife_of_an_average_equals_averaging_again_without_each_village(clustered, fit, averages):
    effects = fit(clustered, jackknife=True)
    names = ("headline", "overall_simple", "overall_dynamic", "event_time")
    wanted = list_aggregations(effects, names)
    found = aggregate_effects(effects, wanted)
    for position, village in enumerate(effects.clusters):
        again = averages(fit(clustered[clustered["village"] != village]), *names)
        np.testing.assert_allclose(
            found.jackknife[position], [e for e, _ in again.values()], rtol=0, atol=1e-11
        )
