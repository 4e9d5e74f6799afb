"""Work, earnings and living of the simulated movers; the equations are in `simulate.py`."""

from dataclasses import dataclass

import numpy as np

from relocation_analysis.data.simulate_structure import FEMALE_LABOUR, Block, by_exposure

SD_HOUSEHOLD = 0.12
MEAN_AGE = 37.5
OFFFARM_PROFILE = (0.375, 0.75, 1.0, 1.0)
INCOME_PROFILE = (0.5, 1.0, 1.0, 1.0)
RETURN_PROFILE = (1.0, 29 / 36, 22 / 36, 15 / 36)
ELDERLY_AT_WORK = 0.4
HOURS_OF_MONTH = 176
MICROFACTORY, PUBLIC_POST = (0.02, 0.15), (0.05, 0.12)
SELF_EMPLOYED, AWAY = (0.08, 0.15), (0.62, 0.50)
JOB_PAY = {"microfactory": 0.85, "public_post": 0.45, "doorstep": 1.0, "away": 1.4}


@dataclass(frozen=True)
class Potential:
    """An outcome with and without the programme, units x years, NaN outside its universe.

    `with_move` follows the true date of the move, so that before it only spillovers and anticipation differ
    from `without`. `reported` is what the file holds where reporting differs from the outcome itself. An
    outcome defined only for those who chose it has no known effect: `without` is None. `rows` are positions
    of the units among all persons or households, None for all.
    """

    level: str
    with_move: np.ndarray
    without: np.ndarray | None
    rows: np.ndarray | None = None
    reported: np.ndarray | None = None


@dataclass(frozen=True)
class Jobs:
    """Jobs of one world (with or without the programme), persons of 16-59 at baseline x years."""

    wage_work: np.ndarray
    any_work: np.ndarray
    microfactory: np.ndarray
    public_post: np.ndarray
    self_employed: np.ndarray
    away: np.ndarray

    @property
    def doorstep(self) -> np.ndarray:
        return self.wage_work & ~self.away


def any_work_share(block: Block) -> float:
    """Share at work, farm included, before the move.

    Chosen so that with the default relabelling (.05) and effect (.03) register employment after the move has
    the published level: (1 - .05) (A + .03) + .05 = .9192.
    """
    return (block.figures["official_employment_2021"] - 0.05) / 0.95 - 0.03


def wage_work_probability(block: Block, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of off-farm wage work with and without the programme, persons x years."""
    p, v = block.parameters, block.of_household
    household, years = block.household[rows], block.years - 2016
    of_household = v("level") - 0.05 * v("remoteness")
    of_household = of_household + SD_HOUSEHOLD * block.draws.normal("household", len(block.village))
    of_person = (
        block.figures["offfarm_share"]
        + of_household[household]
        - 0.14 * (block.female[rows] - FEMALE_LABOUR)
        - 0.004 * (block.age[rows] - MEAN_AGE)
    )
    of_time = v("county_shock") + 0.02 * years + p.sel_trend * np.outer(v("unobserved"), years)
    of_time = of_time + p.covid_2020 * (block.years == 2020)
    without = (of_person[:, None] + of_time[household]).astype(np.float32)
    person_factor = 1 + p.het_cohort * (block.female[rows] - FEMALE_LABOUR)
    return without + wage_work_effect(block, person_factor, household), without


def wage_work_effect(block: Block, person_factor: np.ndarray, household: np.ndarray) -> np.ndarray:
    """Effect of the programme on the probability of wage work, anticipation and spillovers included."""
    p, cohort = block.parameters, block.of_household("cohort")
    cohort_factor = 1 + 0.5 * p.het_cohort * ((cohort == 2016).astype(float) - (cohort >= 2019))
    crowding = np.log(block.of_household("site_size") / 300)
    site = 0.02 * block.of_household("job_access") - p.congestion * crowding
    of_exposure = p.offfarm * by_exposure(OFFFARM_PROFILE, block.exposure) * cohort_factor[:, None]
    of_others = np.where(block.moved, site[:, None], p.spill_notmoved * block.of_household("county_moved"))
    of_others = of_others + p.anticipation * (block.exposure == -1)
    return (of_exposure[household] * person_factor[:, None] + of_others[household]).astype(np.float32)


def draw_jobs(block: Block, rows: np.ndarray) -> tuple[Jobs, Jobs]:
    """Jobs with and without the programme, from the same draws: the effect on each person is known."""
    with_p, without_p = wage_work_probability(block, rows)
    shape = (len(rows), len(block.years))
    luck, kind, place = (block.draws.persistent(purpose, *shape) for purpose in ("work", "job", "place"))
    moved = block.moved[block.household[rows]]
    base = any_work_share(block)
    with_ceiling = base + block.parameters.emp_official * moved
    never = np.zeros_like(moved)
    return (
        _jobs(luck < np.clip(with_p, 0, with_ceiling), luck < with_ceiling, kind, place, moved),
        _jobs(luck < np.clip(without_p, 0, base), luck < base, kind, place, never),
    )


def _jobs(wage_work, any_work, kind, place, moved) -> Jobs:
    micro, post, own, away = (np.where(moved, after, before) for before, after in
                              (MICROFACTORY, PUBLIC_POST, SELF_EMPLOYED, AWAY))  # fmt: skip
    micro_job, post_job = wage_work & (kind < micro), wage_work & (kind >= micro) & (kind < micro + post)
    return Jobs(
        wage_work=wage_work,
        any_work=any_work,
        microfactory=micro_job,
        public_post=post_job,
        self_employed=any_work & ~wage_work & (kind < own),
        away=wage_work & ~micro_job & ~post_job & (place < away),
    )


def employment_outcomes(block: Block) -> tuple[dict[str, Potential], np.ndarray, np.ndarray]:
    """Outcomes of employment and living.

    Returns
    -------
    outcomes : by name.
    jobless : persons x years, of 16-59 at baseline and without wage work.
    all_away : households x years, every member of the labour force works away.
    """
    rows = np.flatnonzero((block.age >= 16) & (block.age <= 59))
    moved, still = draw_jobs(block, rows)
    worlds = {"with_move": moved, "without": still}
    table: dict[str, Potential] = {}
    measures = {name: _job_measures(block, rows, jobs) for name, jobs in worlds.items()}
    for name in measures["without"]:
        table[name] = Potential("person", measures["with_move"][name], measures["without"][name], rows)
    wage = np.where(moved.wage_work, _monthly_pay(block, rows, moved), np.nan)
    table["wage_month"] = Potential("person", wage, None, rows)
    table["farm_hours"] = farm_hours(block, rows, still)
    table["trained"] = trained(block, rows)
    lottery = block.draws.persistent("relabelled", len(rows), len(block.years))
    relabelled = lottery < block.parameters.report_shift
    official = moved.any_work | (relabelled & block.moved[block.household[rows]])
    table["emp_official"] = Potential("person", moved.any_work, still.any_work, rows, official)
    table["hh_any_job"] = any_job(block, rows, official, moved, still)
    table["commute_hours"] = commute_hours(block, rows, moved, still)
    table |= living_outcomes(block)
    jobless = np.zeros((len(block.age), len(block.years)), dtype=bool)
    jobless[rows] = ~moved.wage_work
    not_away = _household_count(block, rows, ~moved.away)
    return table, jobless, (not_away == 0) & (block.labour > 0)[:, None]


def _job_measures(block: Block, rows: np.ndarray, jobs: Jobs) -> dict[str, np.ndarray]:
    months, hours = _months(block, rows, jobs), _hours(block, rows, jobs)
    earnings = np.rint(_monthly_pay(block, rows, jobs) * months)
    other = jobs.wage_work & ~jobs.microfactory & ~jobs.public_post
    return {
        "offfarm_wage": jobs.wage_work,
        "months_worked": months, "hours_week": hours, "earnings_year": earnings,
        "work_doorstep": jobs.doorstep, "work_away": jobs.away, "earnings_doorstep": earnings * jobs.doorstep,
        "earnings_away": earnings * jobs.away, "job_microfactory": jobs.microfactory,
        "job_public_post": jobs.public_post, "job_other_wage": other, "job_self_employed": jobs.self_employed,
        "job_farm": jobs.any_work & ~jobs.wage_work & ~jobs.self_employed,
    }  # fmt: skip


def _months(block: Block, rows: np.ndarray, jobs: Jobs) -> np.ndarray:
    spread = block.draws.uniform("months", len(rows), len(block.years))
    return np.where(jobs.wage_work, np.floor(7 + jobs.away + 5 * spread), 0).astype(np.float32)


def _hours(block: Block, rows: np.ndarray, jobs: Jobs) -> np.ndarray:
    spread = block.draws.normal("hours", len(rows), len(block.years))
    usual = np.where(jobs.away, 50, np.where(jobs.public_post, 25, 42))
    return np.where(jobs.wage_work, np.clip(np.rint(usual + 6 * spread), 1, 84), 0).astype(np.float32)


def _monthly_pay(block: Block, rows: np.ndarray, jobs: Jobs) -> np.ndarray:
    """Yuan per month: the county's hourly wage in the first year, 6% growth, job, sex and person."""
    pay = np.where(jobs.away, JOB_PAY["away"], JOB_PAY["doorstep"])
    pay = np.where(jobs.microfactory, JOB_PAY["microfactory"], pay)
    pay = np.where(jobs.public_post, JOB_PAY["public_post"], pay)
    ability = 0.25 * block.draws.normal("ability", len(rows)) - 0.15 * block.female[rows]
    noise = 0.15 * block.draws.normal("pay", len(rows), len(block.years))
    growth = 0.06 * (block.years - block.years[0])
    county = HOURS_OF_MONTH * block.of_household("county_wage")[block.household[rows]]
    return np.rint(pay * county[:, None] * np.exp(ability[:, None] + noise + growth)).astype(np.float32)


def farm_hours(block: Block, rows: np.ndarray, still: Jobs) -> Potential:
    """Weekly hours on the own farm: 24 as main work, else 5; the move cuts them by a constant share."""
    main = still.any_work & ~still.wage_work & ~still.self_employed
    spread = np.exp(0.4 * block.draws.normal("farm", len(rows), len(block.years)) - 0.08)
    without = np.minimum(np.where(main, 24, 5) * spread, 100).astype(np.float32)
    change = 1 + block.parameters.farm_hours * block.moved[block.household[rows]]
    return Potential("person", without * change, without, rows)


def trained(block: Block, rows: np.ndarray) -> Potential:
    luck = block.draws.persistent("trained", len(rows), len(block.years))
    effect = block.parameters.trained * by_exposure((1, 1, 0.5, 0.5), block.exposure)[block.household[rows]]
    return Potential("person", luck < 0.15 + effect, luck < 0.15, rows)


def _household_count(block: Block, rows: np.ndarray, what: np.ndarray) -> np.ndarray:
    """Sum of a persons x years array over the members of each household."""
    count = np.zeros((len(block.village), what.shape[1]), dtype=np.float32)
    np.add.at(count, block.household[rows], what.astype(np.float32))
    return count


def any_job(block: Block, rows: np.ndarray, official: np.ndarray, moved: Jobs, still: Jobs) -> Potential:
    """At least one member at work, the elderly included; the register also counts the relabelled."""
    elderly = np.flatnonzero(block.age >= 60)
    at_work = block.draws.persistent("elderly", len(elderly), len(block.years)) < ELDERLY_AT_WORK
    old = _household_count(block, elderly, at_work)
    has_labour = np.flatnonzero(block.labour > 0)
    worlds = (((_household_count(block, rows, work) + old) > 0)[has_labour]
              for work in (moved.any_work, still.any_work, official))  # fmt: skip
    with_move, without, reported = worlds
    return Potential("household", with_move, without, has_labour, reported)


def commute_hours(block: Block, rows: np.ndarray, moved: Jobs, still: Jobs) -> Potential:
    """Hours per year: 22 days a month of 40 minutes to work at the doorstep; 40 hours for work away."""
    spread = np.exp(0.5 * block.draws.normal("commute", len(rows)))[:, None]
    hours = [np.where(jobs.away, 40, spread * _months(block, rows, jobs) * 22 * 40 / 60) * jobs.wage_work
             for jobs in (moved, still)]  # fmt: skip
    return Potential("household", *(_household_count(block, rows, h) for h in hours))


def income_path(figures: dict, years: np.ndarray) -> np.ndarray:
    """Log income per head by year: through the published years, 10% a year beyond the first and the last."""
    known = sorted(int(name[-4:]) for name in figures if name.startswith("income_pc_"))
    level = np.log([figures[f"income_pc_{year}"] for year in known])
    beyond = 0.10 * (np.minimum(years - known[0], 0) + np.maximum(years - known[-1], 0))
    return np.interp(years, known, level) + beyond


def living_outcomes(block: Block) -> dict[str, Potential]:
    """Income, living cost, debt, return to the origin and children living with a parent."""
    p, households, periods = block.parameters, len(block.village), len(block.years)
    year = block.years - block.years[0]
    own = 0.35 * block.draws.normal("income", households) - 0.06 * block.of_household("remoteness")
    income = income_path(block.figures, block.years) + own[:, None]
    income = (income + 0.2 * block.draws.normal("income_year", households, periods)).astype(np.float32)
    cost = np.log(420) + 0.05 * year + 0.3 * block.draws.normal("cost", households)[:, None]
    cost = np.exp(cost + 0.15 * block.draws.normal("cost_year", households, periods)).astype(np.float32)
    return {
        "log_income_pc": _added(block, income, p.log_income_pc * by_exposure(INCOME_PROFILE, block.exposure)),
        "living_cost": Potential("household", cost * (1 + p.living_cost * block.moved), cost),
        "debt": debt(block), "return_origin": return_origin(block), "return_hours": return_hours(block),
        "child_with_parent": child_with_parent(block),
    }  # fmt: skip


def _added(block: Block, without: np.ndarray, effect: np.ndarray) -> Potential:
    return Potential("household", without + effect, without)


def debt(block: Block) -> Potential:
    """Thousand yuan: a third owe before the move, which adds housing debt, a fifth of it repaid a year."""
    households = len(block.village)
    owes = block.draws.persistent("owes", households, len(block.years)) < 0.35
    without = owes * np.exp(1.5 + 0.8 * block.draws.normal("debt", households))[:, None]
    housing = block.parameters.debt * np.exp(0.6 * block.draws.normal("housing", households) - 0.18)
    return _added(block, without, housing[:, None] * by_exposure(tuple(0.8 ** np.arange(8)), block.exposure))


def return_origin(block: Block) -> Potential:
    luck = block.draws.persistent("return", len(block.village), len(block.years))
    chance = block.parameters.return_origin * by_exposure(RETURN_PROFILE, block.exposure)
    return Potential("household", luck < chance, np.zeros_like(block.moved))


def return_hours(block: Block) -> Potential:
    """Hours per year of journeys back to the fields: a dozen of two hours in the first year, fewer later."""
    journeys = by_exposure(tuple(12 * np.exp(-0.4 * np.arange(8))), block.exposure)
    hours = journeys * 2 * np.exp(0.4 * block.draws.normal("journeys", len(block.village)))[:, None]
    return Potential("household", hours, np.zeros_like(hours))


def child_with_parent(block: Block) -> Potential:
    """Children of 0-15; brothers and sisters share the draw."""
    rows = np.flatnonzero(block.age <= 15)
    luck = block.draws.persistent("parent", len(block.village), len(block.years))[block.household[rows]]
    effect = block.parameters.child_with_parent * by_exposure(INCOME_PROFILE, block.exposure)
    child = block.age[rows][:, None] + np.arange(len(block.years)) <= 15
    return Potential("person", np.where(child, luck < 0.70 + effect[block.household[rows]], np.nan),
                     np.where(child, luck < 0.70, np.nan), rows)  # fmt: skip
