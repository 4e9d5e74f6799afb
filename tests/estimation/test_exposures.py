"""The mean over exposures 0 to k is the headline over fewer of them; what may leave follows from what may leave elsewhere."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from relocation_analysis.estimation.effects import Effects, support_of
from relocation_analysis.estimation.exposures import estimate_exposures
from relocation_analysis.estimation.power import design_power
from relocation_analysis.reporting.disclosure.exposures import EXPOSURE_COLUMNS, release_exposures
from relocation_analysis.reporting.disclosure.rule import Rule, keep, kept
from relocation_analysis.reporting.exhibits.kinds import publish

SAME = ["estimate", "std_error", "conf_low", "conf_high", "n_units", "n_clusters_treated", "n_clusters_comparison", "se_type"]


@pytest.fixture(scope="module")
def exposures(design, simulated_effects):
    return estimate_exposures(design, simulated_effects)


@pytest.fixture(autouse=True)
def rule_stays():
    before = kept()
    keep(Rule())
    yield
    keep(before)


def test_the_mean_over_years_0_to_3_is_the_headline_to_the_bit(exposures, simulated_effects):
    headline = simulated_effects.select(aggregation="headline", subgroup="all", estimator="callaway_santanna").table.set_index("outcome")
    longest = exposures.table[exposures.table["event_time"] == 3].set_index("outcome")
    assert set(longest.index) == {"offfarm_wage", "in_school_16_18"}  # the primaries of the design
    pd.testing.assert_frame_equal(longest[SAME], headline.loc[longest.index, SAME], check_exact=True)


def test_a_mean_over_fewer_years_is_that_of_its_event_times_by_size(exposures, simulated_effects):
    """Over year 0 alone it is the effect at event time 0; means over more lie between the event times averaged."""
    events = simulated_effects.select(aggregation="event_time", subgroup="all", estimator="callaway_santanna").table
    for row in exposures.table.itertuples():
        inside = events[(events["outcome"] == row.outcome) & events["event_time"].between(0, row.event_time)]["estimate"]
        assert inside.min() - 1e-12 <= row.estimate <= inside.max() + 1e-12
        if row.event_time == 0:
            assert row.estimate == pytest.approx(inside.iloc[0], abs=1e-14) and row.mean_exposure == 0


def test_errors_are_the_root_sum_of_squares_of_the_influence_and_power_follows_from_them(exposures, design):
    assert np.sqrt((exposures.influence**2).sum(0)) == pytest.approx(exposures.table["std_error"].to_numpy())
    power = design_power(exposures, design.outcomes)
    assert exposures.table["mde"].tolist() == power["mde"].tolist()
    assert (exposures.table["mde"] > 2.8 * exposures.table["std_error"]).all()


def test_the_mean_exposure_grows_with_the_years_and_is_never_beyond_their_middle(exposures):
    for _, rows in exposures.table.groupby("outcome"):
        assert rows["mean_exposure"].is_monotonic_increasing
        assert (rows["mean_exposure"] <= rows["event_time"] / 2 + 1e-12).all()  # fewer cohorts are seen for long


def hide(effects: Effects, aggregation: str, event_time: float | None = None) -> Effects:
    """Effects in which somebody decided that rows of one outcome are thin."""
    rows = (effects.table["aggregation"] == aggregation) & (effects.table["outcome"] == "offfarm_wage") & (effects.table["subgroup"] == "all")
    rows &= effects.table["event_time"].eq(event_time) if event_time is not None else True
    support = support_of(effects)
    return replace(effects, support=support.assign(thin=support["thin"].where(~rows, "few_units")))


@pytest.mark.parametrize("hidden, withheld", [(0.0, {0, 1, 2}), (2.0, {2}), (3.0, set())])
def test_a_mean_is_withheld_with_any_effect_that_it_would_help_to_solve_for(design, simulated_effects, hidden, withheld):
    """With the effect at 2 withheld, the mean over 0 to 2 less that over 0 to 1 is that effect. The longest mean is the headline,
    which is shown, and so stays."""
    table = release_exposures(estimate_exposures(design, hide(simulated_effects, "event_time", hidden)))
    own = table[table["outcome"] == "offfarm_wage"]
    assert set(own.loc[own["withheld"] == "complement", "through"]) == withheld
    numbers = own.loc[own["withheld"] != "", ["estimate", "std_error", "conf_low", "mde", "power", "mean_exposure", "n_units"]]
    assert numbers.isna().all().all()
    assert (table.loc[table["outcome"] != "offfarm_wage", "withheld"] == "").all()


def test_where_the_headline_is_withheld_its_twin_is(design, simulated_effects):
    table = release_exposures(estimate_exposures(design, hide(simulated_effects, "headline")))
    assert table.set_index(["outcome", "through"]).loc[("offfarm_wage", 3.0), "withheld"] == "few_units"


def test_a_restricted_study_publishes_rounded_numbers_and_a_public_one_all_digits(exposures):
    table = publish(exposures=exposures).exposures
    assert tuple(table.columns) == EXPOSURE_COLUMNS
    assert (table["n_units"] % 5 == 0).all()
    assert (table["mde"] == table["mde"].map(lambda x: float(f"{x:.2g}"))).all() and (table["power"] == table["power"].round(2)).all()
    assert (abs(table["estimate"] - exposures.table["estimate"]) <= 0.01 * exposures.table["std_error"]).all()
    keep(Rule(public=True))
    exact = publish(exposures=exposures).exposures
    assert exact["mde"].tolist() == exposures.table["mde"].tolist()
    assert exact["estimate"].tolist() == exposures.table["estimate"].tolist()


def test_a_panel_that_skips_a_year_has_no_mean_beyond_it(fit):
    """Cohort 2 seen at 1, 2, 4, 5: exposures 0, 2, 3. A mean over 0 to 2 without year 1 is none."""
    from relocation_analysis.estimation.aggregate import held_exposures, list_aggregations, mean_exposures

    rows = [(f"p{v}{i}", v, t, 2.0 if v < 6 else np.nan, 0.1 * v + t * (v < 6)) for v in range(12) for i in range(3) for t in (1, 2, 4, 5)]
    panel = pd.DataFrame(rows, columns=["person", "village", "time", "cohort", "y"])
    found = fit(panel)
    assert held_exposures(found) == (0.0,)
    whole = fit(panel.assign(time=panel["time"].replace({4: 3, 5: 4})))
    assert held_exposures(whole) == (0.0, 1.0, 2.0)
    assert mean_exposures(whole, list_aggregations(whole, ("exposures",))).tolist() == [0.0, 0.5, 1.0]


def test_a_design_without_exposures_gives_its_headline(design, simulated_effects):
    settings = design.study.design.model_copy(update={"kind": "offer"})
    offer = replace(design, study=design.study.model_copy(update={"design": settings}))
    table = estimate_exposures(offer, simulated_effects).table
    assert table["event_time"].isna().all() and table["outcome"].tolist() == ["offfarm_wage", "in_school_16_18"]
    headline = simulated_effects.select(aggregation="headline", subgroup="all", estimator="callaway_santanna").table.set_index("outcome")
    assert table.set_index("outcome")["estimate"].tolist() == headline.loc[table["outcome"], "estimate"].tolist()


