"""The time account: a household by hand, and trips held at their number at the first wave."""

import numpy as np
import pandas as pd
import pytest

from relocation_analysis.estimation.access import add_time_account


def household(**columns):
    """One household of one member, before and after the move: school 60 then 15 minutes away, care 90 then
    30."""
    base = {
        "household": 1,
        "person": 1,
        "time": [2016, 2018],
        "school_minutes": [60.0, 15],
        "school_trips": [5.0, 10],
        "school_walk": [1, 0],
        "health_minutes": [90.0, 30],
        "health_trips": [4.0, 9],
        "health_walk": [0, 1],
        "county_wage": [12.0, 20],
        "commute_hours": [0.0, 50],
        "return_hours": [0.0, 20],
    }
    return pd.DataFrame(base | columns)


def change(panel, name):
    return float(np.diff(add_time_account(panel)[name])[0])


def test_a_household_by_hand():
    panel = household()
    # school: 2 x 45 minutes less = 1.5 hours, 5 trips a week, 40 weeks: 300 hours; walking child: x 12 x
    # .15 x 1.5 = 2.7
    assert change(panel, "school_hours_saved") == pytest.approx(300)
    assert change(panel, "school_value_saved") == pytest.approx(300 * 2.7)
    # care: 2 x 60 minutes = 2 hours, 4 trips a year: 8 hours; adult not walking: x 12 x .30 = 3.6
    assert change(panel, "health_hours_saved") == pytest.approx(8)
    assert change(panel, "health_value_saved") == pytest.approx(8 * 3.6)
    # net of 50 hours of commuting and 20 of returning, at the adult's value
    assert change(panel, "net_hours_saved") == pytest.approx(308 - 70)
    assert change(panel, "net_value_saved") == pytest.approx(810 + 28.8 - 70 * 3.6)


def test_trips_mode_and_wage_after_the_first_wave_do_not_matter():
    one, other = (
        household(),
        household(school_trips=[5.0, 0], school_walk=[1, 1], health_trips=[4.0, 0], county_wage=[12.0, 1]),
    )
    for name in ("net_hours_saved", "net_value_saved", "school_value_saved", "health_hours_saved"):
        assert change(one, name) == change(other, name)


def test_a_household_without_trips_saves_nothing_even_where_its_minutes_are_unknown():
    panel = household(school_trips=[0.0, 5], school_minutes=[np.nan, 10.0])
    account = add_time_account(panel)
    assert account["school_hours_saved"].tolist() == [0, 0] and account["net_hours_saved"].notna().all()


def test_a_household_whose_minutes_are_unknown_has_no_account():
    account = add_time_account(household(school_minutes=[60.0, np.nan]))
    assert (
        account["school_hours_saved"].isna().tolist()
        == account["net_value_saved"].isna().tolist()
        == [False, True]
    )


def test_every_member_carries_the_account_of_the_household():
    panel = pd.concat([household(), household(person=2)], ignore_index=True).sample(frac=1, random_state=3)
    account = add_time_account(panel)
    assert (account.groupby("time")["net_value_saved"].nunique() == 1).all()
    assert account.index.equals(panel.index)


def test_only_the_parts_that_the_panel_has_are_accounted_for():
    account = add_time_account(household().drop(columns="school_trips"))
    assert "school_hours_saved" not in account and account["net_hours_saved"].tolist() == [-12.0, -4 - 70]
    for needed in ("county_wage", "household"):
        panel = household().drop(columns=needed)
        assert add_time_account(panel) is panel
