"""Checks of an offer, on a trial whose trouble is made to order."""

from functools import partial

import numpy as np
import pandas as pd
import pytest

from relocation_analysis.estimation.offer_checks import (
    check_balance,
    check_errors,
    check_offer,
    check_selection,
    check_strata,
)
from relocation_analysis.estimation.offer_design import Offer
from relocation_analysis.randomness import generator

OFFER = Offer(strata=("county",), assigned="cluster")


def trial(seed=0, clusters=32, size=5):
    rng = np.random.default_rng(seed)
    village = np.repeat(np.arange(clusters), size)
    frame = pd.DataFrame({"village": village, "county": village % 4, "offered": (village // 4 % 2).astype(float),
                          "age": rng.normal(40, 10, len(village))})  # fmt: skip
    frame["relocated"] = (rng.random(len(frame)) < 0.2 + 0.6 * frame["offered"]).astype(float)
    return frame.assign(y=frame["relocated"] + rng.normal(size=clusters)[village] + rng.normal(size=len(frame)))


def test_every_check_comes_in_the_order_of_the_report():
    checks = check_offer(trial(), "y", OFFER, 99, partial(generator, "order"))
    assert [c.name for c in checks] == ["strata", "first_stage", "errors", "randomisation", "selection_bounds"]
    assert all(c.outcome == "y" for c in checks)


def test_strata_without_variation_and_with_one_unit_are_counted():
    frame = trial()
    frame.loc[0, "county"] = 77
    frame.loc[frame["village"].isin([1, 9]), "county"] = 78
    check = check_strata(frame, "y", OFFER)
    assert check.passed is False and check.statistic == 160 - 1 - 10
    assert "In 2 of 6 strata it does not; 1 strata hold one unit." in check.note
    assert check.table["county"].tolist() == [77, 78] and check.table["n_units"].tolist() == [1, 10]


def test_an_outcome_without_a_comparison_gets_the_checks_that_say_so():
    frame = trial()
    frame.loc[frame["offered"] == 0, "y"] = np.nan
    checks = check_offer(frame, "y", OFFER, 99, partial(generator, "none"))
    assert [c.name for c in checks] == ["strata", "first_stage"]
    assert checks[0].statistic == 0 and checks[0].passed is False and checks[1].passed is False


def test_take_up_that_does_not_vary_is_a_first_stage_that_fails():
    checks = check_offer(trial().assign(relocated=1.0), "y", OFFER, 99, partial(generator, "flat"))
    assert checks[1].passed is False and "does not vary" in checks[1].note


def test_without_a_known_draw_nothing_is_drawn_again():
    checks = check_offer(trial(), "y", Offer(strata=("county",)), 99, partial(generator, "unknown"))
    assert checks[3].p_value is None and "not known" in checks[3].note


def test_errors_by_two_columns_stand_side_by_side():
    frame = trial().assign(site=lambda f: f["village"] // 2)
    table = check_errors(frame, "y", OFFER, ("village", "site")).table
    assert table["cluster"].tolist() == ["village", "village", "site", "site"]
    assert table["n_clusters"].tolist() == [32, 32, 16, 16] and table["estimate"].nunique() == 1
    assert (table["std_error"] > 0).all()


def test_balance_is_the_same_regression_on_what_was_before():
    fine = check_balance(trial().assign(height=lambda f: f["age"] ** 2), ("age", "height"), OFFER)
    assert fine.passed is True and fine.table["covariate"].tolist() == ["age", "height"]
    other = trial().assign(age=lambda f: f["age"] + 30 * f["offered"])
    bad = check_balance(other, ("age",), OFFER)
    assert bad.passed is False and bad.table["difference"].iloc[0] == pytest.approx(30, abs=6)


def test_a_unit_whose_cluster_is_not_known_counts_as_not_observed():
    frame = trial().assign(village=lambda f: f["village"].astype(float))
    frame.loc[frame.index[:3], "village"] = np.nan
    check = check_selection(frame, "y", OFFER, 9, generator("unknown"))
    assert "0.963 of the others" in check.note  # 77 of 80
    assert "1.000 of the offered" in check.note and "trim 3.0 rows of those offered" in check.note


def test_the_same_key_gives_the_same_draws():
    one, two = (check_offer(trial(), "y", OFFER, 99, partial(generator, "key")) for _ in range(2))
    assert [c.p_value for c in one] == [c.p_value for c in two] and one[4].table.equals(two[4].table)
