"""What the simulator can be told: knobs, true effects, and the published figures of a province."""

from functools import cache
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from relocation_analysis.data.facts import province_slugs
from relocation_analysis.errors import unknown_name
from relocation_analysis.language import _
from relocation_analysis.paths import DATA

FIRST_YEAR, LAST_YEAR = 2014, 2021
WAVES = {"register": tuple(range(FIRST_YEAR, LAST_YEAR + 1)), "survey": (2016, 2017, 2018, 2020)}


class SimulationParameters(BaseModel):
    """Size, knobs and true effects of a simulated panel; the equations are in `simulate.py`.

    The defaults and ranges of the knobs are those of the project's table of knobs. A true effect is that of
    the full exposure; the profile by years since the move is fixed and stated with it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    villages: int = Field(200, ge=1, description="natural villages, the clusters")
    households_per_village: int = Field(
        10, ge=1, le=1000, description="registered households drawn in each village"
    )
    counties: int = Field(8, ge=1, description="counties among which the villages are spread evenly")
    waves: Literal["register", "survey"] = Field(
        "register", description="register: every year 2014-2021; survey: 2016, 2017, 2018 and 2020"
    )
    seed: int = Field(2020, ge=0, description="seed of every draw")

    sel_obs: float = Field(0.6, ge=0, le=1.5, description="weight of remoteness in who moves first")
    sel_trend: float = Field(
        0.0,
        ge=-0.02,
        le=0.02,
        description="trend of off-farm work per year and SD of the unobserved village trait",
    )
    anticipation: float = Field(
        0.0, ge=-0.05, le=0, description="effect on off-farm work in the year before the move"
    )
    spill_notmoved: float = Field(
        0.0, ge=-0.05, le=0.05, description="effect on those who have not moved once the whole county has"
    )
    congestion: float = Field(
        0.0, ge=0, le=0.03, description="fall of the off-farm effect per log of site size over 300 persons"
    )
    host_effect: float = Field(
        0.0, ge=-0.02, le=0.02, description="effect on the hosts, who are not in the panel"
    )
    attr: float = Field(0.05, ge=0, le=0.15, description="share of persons lost per year")
    dattr: float = Field(
        0.0, ge=0, le=0.10, description="added loss per year of movers without off-farm work"
    )
    report_shift: float = Field(
        0.05, ge=0, le=0.10, description="probability that a mover without work is registered as employed"
    )
    never_share: float = Field(0.30, ge=0, le=0.5, description="share of villages that never move")
    delayed: float = Field(0.03, ge=0, le=0.2, description="share of moving villages that move a year late")
    het_cohort: float = Field(
        0.5,
        ge=0,
        le=1,
        description="heterogeneity of the off-farm effect by sex and by cohort (2016 high, 2019 low)",
    )
    split_hh: float = Field(0.03, ge=0, le=0.1, description="share of households that split per year")
    date_error: float = Field(
        0.0, ge=0, le=0.3, description="share of households whose move is dated a year off"
    )
    covid_2020: float = Field(-0.04, ge=-0.1, le=0, description="fall of off-farm work in 2020")

    offfarm: float = Field(0.08, ge=-0.3, le=0.3, description="off-farm wage work; profile .375, .75, 1, 1")
    emp_official: float = Field(0.03, ge=-0.1, le=0.03, description="any work, farm included; immediate")
    log_income_pc: float = Field(
        0.092, ge=-1, le=1, description="log household income per head; profile .5, 1, 1, 1"
    )
    farm_hours: float = Field(-0.40, ge=-1, le=1, description="hours on the own farm, relative; immediate")
    trained: float = Field(
        0.10, ge=-0.15, le=0.5, description="training received; profile 1, 1, .5, .5 (assumed)"
    )
    child_with_parent: float = Field(
        0.05, ge=-0.3, le=0.3, description="child living with a parent; profile .5, 1, 1, 1 (assumed)"
    )
    attendance: float = Field(0.005, ge=-0.3, le=0.04, description="attendance 6-15; profile 0, 1, 1, 1")
    enrolment_girls: float = Field(
        0.03, ge=-0.3, le=0.3, description="enrolment 16-18, girls; profile 0, 0, 1, 1"
    )
    enrolment_boys: float = Field(
        0.01, ge=-0.3, le=0.3, description="enrolment 16-18, boys; profile 0, 0, 1, 1"
    )
    progress: float = Field(
        0.01, ge=-0.3, le=0.03, description="grade progression; profile 0, 1, 1, 1 (assumed)"
    )
    unmet: float = Field(
        -0.04,
        ge=-0.13,
        le=0.13,
        description="unmet need; immediate. A visit when ill moves by -1.5 times it: .06",
    )
    oop_share: float = Field(
        -0.05,
        ge=-0.9,
        le=1,
        description="out-of-pocket share, relative: consumption rises; immediate (assumed)",
    )
    support_n: float = Field(-0.30, ge=-2, le=2, description="support sources 60+, SD; profile 1, 1, .75, .5")
    loneliness: float = Field(
        0.25, ge=-2, le=2, description="emotional loneliness 60+, SD; profile 1, 1, .75, .5"
    )
    living_cost: float = Field(0.15, ge=-0.9, le=2, description="living cost, relative; immediate")
    debt: float = Field(
        8.0,
        ge=0,
        le=200,
        description="thousand yuan borrowed for housing at the move; a fifth is repaid a year (assumed)",
    )
    return_origin: float = Field(
        0.12,
        ge=0,
        le=0.5,
        description="movers back at the origin for over 30 nights in year 0; 5/12 of it from year 3",
    )


@cache
def province_figures(province: str) -> dict[str, float]:
    """Published and assumed figures of a province, the national one where it has none of its own.

    Parameters
    ----------
    province : a slug of `facts.province_slugs()`, or "national".

    Returns
    -------
    Values by parameter name, in the units of `data/sim_parameters.csv`.

    Raises
    ------
    InputError : an unknown province, with the nearest known one.
    """
    import pandas as pd

    known = (*province_slugs(), "national")
    if province not in known:
        raise unknown_name(_("The province"), province, known)
    table = pd.read_csv(DATA / "sim_parameters.csv")
    figures = {}
    for name in ("national", province):
        rows = table[table["province"] == name]
        figures |= dict(zip(rows["parameter"], rows["value"].astype(float), strict=True))
    return figures
