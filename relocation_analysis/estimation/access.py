"""The time account: what relocation saves on the way to school and to care, net of the new ways it causes.

Trips are held at their number at the first wave, so that the account measures access and not behaviour; an effect on

    hours = - 2 x minutes / 60 x trips at baseline

is then the mean over households of trips x change in minutes, and its interval comes from the same estimator as every
other effect. Values follow the defaults of Gwilliam (1997, World Bank TWU-27): an hour of an adult at 0.30 and of a child at 0.15 of
the hourly wage, walking 1.5 times that; the wage is the county's at the first wave, because wages are an outcome.
"""

import numpy as np
import pandas as pd

SCHOOL_WEEKS = 40
ADULT, CHILD, WALKING = 0.30, 0.15, 1.5
PARTS = {
    "school": (CHILD, "school_minutes", "school_trips", "school_walk", SCHOOL_WEEKS),
    "health": (ADULT, "health_minutes", "health_trips", "health_walk", 1),
}


def add_time_account(panel: pd.DataFrame) -> pd.DataFrame:
    """Add the hours and yuan saved per household and year, where the panel has what they need.

    Needs, by household: `*_minutes` (one way), and at the first wave `*_trips` (round trips, a week for school and a year for
    care), `*_walk` (0/1) and `county_wage` (yuan an hour). `commute_hours` and `return_hours` (a year) are netted where
    the panel has them. A household without trips saves nothing; one whose minutes are unknown has no account.

    Returns the panel with school_hours_saved, school_value_saved, health_hours_saved, health_value_saved, net_hours_saved
    and net_value_saved, each only where its inputs are there.
    """
    parts = {name: part for name, part in PARTS.items() if set(part[1:4]) <= set(panel.columns)}
    if not parts or not {"county_wage", "household"} <= set(panel.columns):
        return panel
    first = _first_rows(panel)
    wage = panel["county_wage"].to_numpy(dtype=float)[first]
    columns = {}
    for name, (value, minutes, trips, walk, weeks) in parts.items():
        made = panel[trips].to_numpy(dtype=float)[first] * weeks
        hours = np.where(made == 0, 0.0, -2 * panel[minutes].to_numpy(dtype=float) / 60 * made)
        factor = value * np.where(panel[walk].to_numpy(dtype=float)[first] > 0, WALKING, 1.0)
        columns[f"{name}_hours_saved"], columns[f"{name}_value_saved"] = hours, hours * factor * wage
    net_hours = sum(columns[f"{name}_hours_saved"] for name in parts)
    net_value = sum(columns[f"{name}_value_saved"] for name in parts)
    for new in ("commute_hours", "return_hours"):
        if new in panel.columns:
            hours = panel[new].to_numpy(dtype=float)
            net_hours, net_value = net_hours - hours, net_value - ADULT * wage * hours
    return panel.assign(**columns, net_hours_saved=net_hours, net_value_saved=net_value)


def _first_rows(panel: pd.DataFrame) -> np.ndarray:
    """Row number of each household's first wave, for every row."""
    order = panel[["household", "time"]].assign(row=np.arange(len(panel))).sort_values(["household", "time", "row"])
    first = order.drop_duplicates("household").set_index("household")["row"]
    return first.reindex(panel["household"]).to_numpy()
