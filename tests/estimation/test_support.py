"""Which effects are thin: by hand, and whatever the order of rows."""

import numpy as np
import pandas as pd
import pytest

from relocation_analysis.estimation.checks import Check
from relocation_analysis.estimation.effects import EFFECT_COLUMNS, Effects, join_effects, support_of
from relocation_analysis.estimation.estimate import estimate
from relocation_analysis.estimation.offer import estimate_offer
from relocation_analysis.estimation.offer_design import Offer
from relocation_analysis.estimation.support import combinations, count_fewest, mark_checks, mark_thin, thin_by_itself
from relocation_analysis.data.codebook import Outcome

MAIN, UNIVERSAL = "callaway_santanna", "callaway_santanna_universal"


def effects_of(rows) -> Effects:
    """Effects from (keys, treated units, comparison units, clusters a side)."""
    known = {"outcome": "y", "domain": "other", "subgroup": "all", "estimator": MAIN, "estimand": "att", "arm": "", "se_type": ""}
    table, support = [], []
    for keys, treated, comparison, clusters in rows:
        counts = {"n_units": treated + comparison, "n_clusters_treated": clusters, "n_clusters_comparison": clusters}
        table.append(dict.fromkeys(EFFECT_COLUMNS, np.nan) | known | {"estimate": 1.0, "std_error": 0.5} | counts | keys)
        support.append((float(treated), float(comparison), None))
    return Effects(pd.DataFrame(table)[list(EFFECT_COLUMNS)], None, None, pd.DataFrame(support, columns=["n_treated", "n_comparison", "thin"]))


def level(name, units, clusters=9, **keys):
    return {"aggregation": "headline", "subgroup": name} | keys, units, 100, clusters


def thin(effects, threshold=10):
    return mark_thin(effects, threshold).support["thin"].tolist()


def test_an_effect_of_few_units_on_either_side_or_few_clusters_is_thin():
    headline = {"aggregation": "headline"}
    sizes = [(9, 100, 9), (100, 9, 9), (10, 10, 3), (100, 100, 2), (0, 100, 9)]
    found = [thin_by_itself(effects_of([(headline, *size)]), 10).iloc[0] for size in sizes]
    assert found == ["few_units", "few_units", "", "few_clusters", "few_units"]


def test_an_effect_without_an_error_among_clusters_enough_is_thin_and_the_base_period_is_not():
    alike = {"aggregation": "headline", "std_error": np.nan}
    base = {"aggregation": "event_time", "event_time": -1.0, "estimate": 0.0, "std_error": np.nan}
    rows = [(alike, 50, 50, 9), (alike, 50, 50, 4), (alike | {"estimator": "anderson_rubin"}, 50, 50, 9), (base, 0, 0, 0)]
    assert thin_by_itself(effects_of(rows), 10).tolist() == ["no_error", "", "", ""]


def test_with_one_level_of_a_trait_the_next_smallest_goes():
    rows = [level("all", 109), level("tribe=a", 9), level("tribe=b", 60), level("tribe=c", 40), level("sex=f", 50), level("sex=m", 59)]
    assert thin(effects_of(rows)) == ["", "few_units", "", "complement", "", ""]


def test_levels_that_are_few_together_take_a_third():
    # 4 + 3 persons could be had from everyone and the other two: 4 + 3 + 30 cannot be told apart
    rows = [level("all", 100), level("t=a", 4), level("t=b", 3), level("t=c", 30), level("t=d", 63)]
    assert thin(effects_of(rows)) == ["", "few_units", "few_units", "complement", ""]


def test_of_two_levels_both_go():
    assert thin(effects_of([level("all", 100), level("t=a", 9), level("t=b", 91)])) == ["", "few_units", "complement"]


def test_every_estimator_of_a_level_goes_with_it():
    rows = [level(name, n, estimator=e) for e in ("aipw_levels", "ipw_levels") for name, n in (("t=a", 5), ("t=b", 50), ("t=c", 70))]
    assert thin(effects_of(rows)) == ["few_units", "complement", ""] * 2


def cells(sizes, times, estimator=MAIN, clusters=9):
    """Cohort-time rows after the move, and their averages by event time, cohort and in the headline."""
    rows = [({"aggregation": "cohort_time", "cohort": float(g), "time": float(t), "event_time": float(t - g), "estimator": estimator},
             n, 100, clusters) for g, n in sizes.items() for t in times if t >= g]  # fmt: skip
    for e in sorted({t - g for g in sizes for t in times if t >= g}):
        n = sum(n for g, n in sizes.items() if g + e <= max(times))
        rows.append(({"aggregation": "event_time", "event_time": float(e), "estimator": estimator}, n, 100, clusters))
    rows += [({"aggregation": "cohort", "cohort": float(g), "estimator": estimator}, n, 100, clusters) for g, n in sizes.items()]
    return [*rows, ({"aggregation": "headline", "estimator": estimator}, sum(sizes.values()), 100, clusters)]


def shown_and_thin(rows):
    effects = effects_of(rows)
    marked = mark_thin(effects, 10).support["thin"]
    part = pd.concat([effects.table, effects.support], axis=1)
    return combinations(part), marked.eq("").to_numpy()


@pytest.mark.parametrize("sizes", [{2001: 7, 2002: 40, 2003: 60}, {2001: 40, 2002: 7, 2003: 60}, {2001: 40, 2002: 60, 2003: 7},
                                   {2001: 5, 2002: 4, 2003: 90}])  # fmt: skip
def test_no_thin_row_is_a_combination_of_rows_that_are_shown(sizes):
    vectors, shown = shown_and_thin(cells(sizes, range(2001, 2005)))
    assert not shown.all()
    for vector in vectors[~shown]:
        left = np.linalg.lstsq(vectors[shown].T, vector, rcond=None)[0]
        assert np.linalg.norm(vectors[shown].T @ left - vector) > 1e-6


def test_the_headline_is_the_last_to_go():
    effects = mark_thin(effects_of(cells({2001: 7, 2002: 40, 2003: 60}, range(2001, 2005))), 10)
    assert effects.select(aggregation="headline").support["thin"].tolist() == [""]
    assert effects.select(aggregation="cohort", cohort=2001.0).support["thin"].tolist() == ["few_units"]
    assert effects.select(aggregation="cohort", cohort=2002.0).support["thin"].tolist() == ["complement"]


def test_what_is_withheld_does_not_depend_on_the_order_of_rows():
    rows = [*cells({2001: 7, 2002: 40, 2003: 60}, range(2001, 2005)), level("t=a", 4), level("t=b", 40), level("t=c", 63)]
    effects = effects_of(rows)
    order = np.random.default_rng(1).permutation(len(rows))
    other = Effects(effects.table.iloc[order].reset_index(drop=True), None, None, effects.support.iloc[order].reset_index(drop=True))
    assert np.array(thin(effects))[order].tolist() == thin(other)


def test_both_estimators_withhold_the_same_cells():
    rows = [*cells({2001: 7, 2002: 40, 2003: 60}, range(2001, 2005)), *cells({2001: 7, 2002: 40, 2003: 60}, range(2001, 2005), UNIVERSAL)]
    effects = mark_thin(effects_of(rows), 10)
    one, other = (effects.select(estimator=name).support["thin"].ne("").tolist() for name in (MAIN, UNIVERSAL))
    assert one == other and any(one)


def test_averages_are_combinations_of_cohort_time_effects_as_estimated(simulated_effects):
    rows = simulated_effects.select(outcome="debt", estimator=MAIN, subgroup="all")
    part = pd.concat([rows.table, rows.support], axis=1)
    own = part[part["aggregation"] == "cohort_time"].sort_values(["cohort", "time"])
    error = np.abs(combinations(part) @ own["estimate"].to_numpy() - part["estimate"]) / part["std_error"]
    assert error.max() < 0.05  # sizes at baseline and at the time differ a little; the simulated panel has strata


def test_a_selection_carries_its_support_and_a_join_stacks_it(simulated_effects):
    part = simulated_effects.select(outcome="debt", aggregation="headline")
    assert len(part.support) == len(part.table)
    assert (part.support["n_treated"] + part.support["n_comparison"] >= part.table["n_units"]).all()
    both = join_effects([part, Effects(part.table, None, None)])
    assert both.support["thin"].isna().sum() == len(part.table)
    assert support_of(both).equals(both.support)


def test_units_of_either_side_by_hand(design):
    found = estimate(design).select(outcome="debt", aggregation="cohort_time", estimator=MAIN)
    panel = design.panel[design.panel["debt"].notna()].drop_duplicates(["household", "time"])
    row, support = found.table.iloc[-1], found.support.iloc[-1]
    now = panel[panel["time"] == row["time"]]
    assert support["n_treated"] <= (now["cohort"] == row["cohort"]).sum()
    assert support["n_treated"] + support["n_comparison"] == row["n_units"]


def test_behind_a_first_stage_stand_those_who_took_the_offer_up():
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({"village": np.arange(60), "offered": np.repeat([0, 1], 30), "y": draw.normal(size=60)})
    frame["relocated"] = (frame.index >= 53).astype(float)  # 7 of 30
    outcome = Outcome(name="y", domain="other", unit="", label_en="y")
    found = mark_thin(estimate_offer(frame, outcome, Offer()), 10)
    assert dict(zip(found.table["estimand"] + " " + found.table["estimator"], found.support["thin"], strict=True)) == {
        "itt ols_strata": "", "first_stage ols_strata": "few_units", "late tsls": "few_units", "late anderson_rubin": "few_units",
    }  # fmt: skip


def test_a_share_tells_of_the_fewer_of_those_who_have_it_and_have_it_not():
    binary = pd.Series([1.0, 1, 1, 0, np.nan])
    assert count_fewest(binary.dropna(), binary) == 1
    assert count_fewest(binary[:3], binary) == 0
    assert count_fewest(2 - 3 * binary.dropna(), 2 - 3 * binary) == 1
    assert count_fewest(pd.Series([2.0, 3.0]), pd.Series([2.0, 3.0, 4.0])) == 2


def test_a_check_of_a_thin_headline_is_thin_and_single_cohorts_mark_the_thin_cohort():
    effects = mark_thin(effects_of(cells({2001: 7, 2002: 40, 2003: 60}, range(2001, 2005))), 10)
    table = pd.DataFrame({"cohort": [2001.0, 2003.0], "estimate": [1.5, 0.5], "std_error": [0.1, 0.1]})
    checks = [Check("y", "single_cohorts", "", 0.5, None, True, table, ""), Check("", "balance", "", None, None, None, None, "")]
    first, second = mark_checks(checks, effects)
    assert first.thin == "" and first.table["thin"].tolist() == ["complement", ""] and first.table["change"].tolist() == [0.5, 0.5]
    assert second == checks[1]
    small = mark_thin(effects_of([({"aggregation": "headline"}, 5, 100, 9)]), 10)
    assert mark_checks([Check("y", "power", "", 0.5, None, True, None, "")], small)[0].thin == "few_units"
