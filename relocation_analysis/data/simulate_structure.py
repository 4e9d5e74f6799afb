"""Who is simulated: villages with the year of their move, their sites, households and persons.

Everything is an array. Villages are drawn for a whole province (a few numbers each); households and persons
in blocks of villages, so that a panel of any size needs the memory of one block.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np

from relocation_analysis.data.simulation_parameters import WAVES, SimulationParameters, province_figures
from relocation_analysis.randomness import generator

AGE_BANDS = ("0-15", "16-29", "30-44", "45-59", "60+")
SITE_TYPES = ("urban_centralised", "rural_centralised", "dispersed")
BLOCK_HOUSEHOLDS = 4000
PERSISTENCE = 0.75
CHILD_SHARE = 0.62
FEMALE_LABOUR = 0.46
SD_SCORE_NOISE = 0.5**0.5
SD_VILLAGE, SD_COUNTY_YEAR = 0.05, 0.005
SD_COUNTY_WAGE, WAGE_HOUR = 0.12, 12.0


@dataclass(frozen=True)
class Draws:
    """Random arrays of one block (or of the villages); each purpose has a stream of its own."""

    key: tuple

    def uniform(self, purpose: str, *shape: int) -> np.ndarray:
        return generator(*self.key, purpose).random(shape, dtype=np.float32)

    def normal(self, purpose: str, *shape: int) -> np.ndarray:
        return generator(*self.key, purpose).standard_normal(shape, dtype=np.float32)

    def persistent(self, purpose: str, units: int, periods: int) -> np.ndarray:
        """Uniforms of units x periods, Phi(.75^.5 z_i + .25^.5 e_it): a latent correlation of .75."""
        from scipy.special import ndtr  # here, so that importing the simulator stays quick

        stream = generator(*self.key, purpose)
        own = stream.standard_normal((units, 1), dtype=np.float32)
        passing = stream.standard_normal((units, periods), dtype=np.float32)
        return ndtr(PERSISTENCE**0.5 * own + (1 - PERSISTENCE) ** 0.5 * passing)


@dataclass(frozen=True)
class Villages:
    """Arrays over villages, sorted by county; `cohort` is NaN for never-movers."""

    number: np.ndarray
    county: np.ndarray
    remoteness: np.ndarray
    remote: np.ndarray
    unobserved: np.ndarray
    level: np.ndarray
    cohort: np.ndarray
    county_moved: np.ndarray  # villages x years, share of the county's villages
    county_shock: np.ndarray  # villages x years
    county_wage: np.ndarray
    site_type: np.ndarray
    site_size: np.ndarray
    job_access: np.ndarray

    def part(self, rows: slice) -> "Villages":
        return Villages(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})


@dataclass(frozen=True)
class Block:
    """Households and persons of some villages. H households, n persons (sorted by household), T years.

    `exposure` is years since the move, NaN for never-movers (H x T); `age` is that of the first year.
    """

    parameters: SimulationParameters
    figures: Mapping[str, float]
    years: np.ndarray
    draws: Draws
    villages: Villages
    village: np.ndarray  # H, position in `villages`
    number: np.ndarray  # H, from 1
    labour: np.ndarray  # H, persons of the labour force
    minority: np.ndarray  # H
    exposure: np.ndarray  # H x T
    household: np.ndarray  # n, position among the H
    member: np.ndarray  # n, 0 is the first of the household
    age: np.ndarray  # n
    female: np.ndarray  # n

    @property
    def start(self) -> np.ndarray:
        """Position of the first member of each household."""
        return np.flatnonzero(self.member == 0)

    @property
    def moved(self) -> np.ndarray:
        return self.exposure >= 0

    def of_household(self, name: str) -> np.ndarray:
        """An array of villages, by household."""
        return getattr(self.villages, name)[self.village]


def by_exposure(profile: tuple[float, ...], exposure: np.ndarray) -> np.ndarray:
    """The profile at years since the move, its last value afterwards, zero before and for never-movers."""
    moved = exposure >= 0
    index = np.where(moved, np.minimum(exposure, len(profile) - 1), 0).astype(np.int8)
    return np.where(moved, np.asarray(profile, dtype=np.float32)[index], np.float32(0))


def years_of(parameters: SimulationParameters) -> np.ndarray:
    """All years from the first to the last wave: people live through the years in which nobody asks them."""
    waves = WAVES[parameters.waves]
    return np.arange(waves[0], waves[-1] + 1)


def draw_villages(province: str, parameters: SimulationParameters) -> Villages:
    """The villages of a province: remoteness, cohort, destination site, county shocks."""
    draws, figures = Draws((parameters.seed, province, "villages")), province_figures(province)
    size, years = parameters.villages, years_of(parameters)
    county = np.arange(size) * parameters.counties // size
    remoteness, unobserved = draws.normal("remoteness", size), draws.normal("unobserved", size)
    hazard, noise = draws.normal("hazard", 2, size) * SD_SCORE_NOISE
    score = parameters.sel_obs * remoteness + 0.5 * unobserved + hazard + noise
    cohort = draw_cohorts(score, parameters, figures, draws)
    of_county = [np.bincount(county, weights=cohort <= t, minlength=parameters.counties) for t in years]
    in_county = np.maximum(np.bincount(county, minlength=parameters.counties), 1)
    share = np.stack(of_county, axis=1) / in_county[:, None]
    shock = draws.normal("county_shock", parameters.counties, len(years)) * SD_COUNTY_YEAR
    wage = WAGE_HOUR * np.exp(SD_COUNTY_WAGE * draws.normal("county_wage", parameters.counties))
    site_type = draw_site_types(cohort, figures, draws)
    spread = figures["site_size_sigma"] * draws.normal("site_size", size)
    log_size = np.log(figures["site_size_median"]) + spread
    return Villages(
        number=np.arange(1, size + 1), county=county + 1, remoteness=remoteness,
        remote=remoteness > np.median(remoteness), unobserved=unobserved,
        level=draws.normal("level", size) * SD_VILLAGE, cohort=cohort,
        county_moved=share[county].astype(np.float32), county_shock=shock[county], county_wage=wage[county],
        site_type=site_type, site_size=np.maximum(np.rint(np.exp(log_size)), 1),
        job_access=draws.normal("job_access", size),
    )  # fmt: skip


def draw_cohorts(
    score: np.ndarray, parameters: SimulationParameters, figures: dict, draws: Draws
) -> np.ndarray:
    """The year in which each village moves: highest scores first, cut at the shares, some a year late.

    Planned shares are those that leave the published shares once `delayed` of each cohort but the last has
    slipped.
    """
    cohorts, shares = cohort_shares(figures)
    late = parameters.delayed
    planned = []
    for share in shares[:-1]:
        planned.append((share - late * (planned[-1] if planned else 0)) / (1 - late))
    moving = (1 - parameters.never_share) * len(score)
    cuts = np.rint(np.cumsum([*planned, 1 - sum(planned)]) * moving).astype(int)
    order = np.argsort(-score, kind="stable")
    cohort = np.full(len(score), np.nan)
    lottery = draws.uniform("delayed", len(score))
    start = 0
    for year, stop in zip(cohorts, cuts, strict=True):
        rows = order[start:stop]
        cohort[rows] = year
        if year != cohorts[-1]:
            slipped = np.argsort(lottery[rows], kind="stable")[: round(late * len(rows))]
            cohort[rows[slipped]] = year + 1
        start = stop
    return cohort


def cohort_shares(figures: dict) -> tuple[list[int], list[float]]:
    """Cohort years in order and their shares of the movers, which sum to one."""
    years = sorted(int(name[-4:]) for name in figures if name.startswith("cohort_share_"))
    shares = np.array([figures[f"cohort_share_{year}"] for year in years])
    return years, list(shares / shares.sum())


def draw_site_types(cohort: np.ndarray, figures: dict, draws: Draws) -> np.ndarray:
    """Position in `SITE_TYPES`, -1 for never-movers; shares hold in each cohort, which may differ."""
    lottery = draws.uniform("site_type", len(cohort))
    kind = np.full(len(cohort), -1)
    for year in np.unique(cohort[~np.isnan(cohort)]):
        rows = np.flatnonzero(cohort == year)
        urban = figures.get(f"urban_share_{year:.0f}", figures["urban_share"])
        cuts = np.rint(np.array([urban, max(urban, figures["centralised_share"])]) * len(rows)).astype(int)
        rows = rows[np.argsort(lottery[rows], kind="stable")]
        kind[rows] = np.searchsorted(cuts, np.arange(len(rows)), side="right")
    return kind


def village_blocks(parameters: SimulationParameters) -> list[slice]:
    """Consecutive villages drawn together: at most 4,000 households, or one village."""
    step = max(1, BLOCK_HOUSEHOLDS // parameters.households_per_village)
    return [slice(s, min(s + step, parameters.villages)) for s in range(0, parameters.villages, step)]


def draw_block(province: str, parameters: SimulationParameters, villages: Villages, rows: slice) -> Block:
    """Households and persons of the villages in `rows`; a function of seed, province and the rows alone."""
    draws, figures = Draws((parameters.seed, province, "block", rows.start)), province_figures(province)
    part = villages.part(rows)
    per_village = parameters.households_per_village
    village = np.repeat(np.arange(len(part.number)), per_village)
    labour, others = draw_composition(len(village), figures, draws)
    size = labour + others
    household = np.repeat(np.arange(len(village)), size)
    member = np.arange(len(household)) - np.repeat(np.cumsum(size) - size, size)
    works = member < labour[household]
    years = years_of(parameters)
    share = figures["minority_share"]
    sex = np.where(works, FEMALE_LABOUR, 0.5)
    return Block(
        parameters=parameters, figures=figures, years=years, draws=draws, villages=part, village=village,
        number=rows.start * per_village + np.arange(1, len(village) + 1), labour=labour,
        minority=draws.uniform("minority", len(village)) < share,
        exposure=(years - part.cohort[village][:, None]).astype(np.float32),
        household=household, member=member, age=draw_ages(works, draws),
        female=draws.uniform("female", len(household)) < sex,
    )  # fmt: skip


def draw_composition(households: int, figures: dict, draws: Draws) -> tuple[np.ndarray, np.ndarray]:
    """Labour force and dependants of each household, with the published means of size and labour."""
    pmf = labour_pmf(figures)
    has_labour = draws.uniform("has_labour", households) < figures["labour_household_share"]
    labour = 1 + np.searchsorted(np.cumsum(pmf)[:-1], draws.uniform("labour", households), side="right")
    labour = np.where(has_labour, labour, 0)
    share = figures["labour_household_share"]
    dependants = figures["household_size"] - share * (pmf @ np.arange(1, 5))
    rate = dependants
    for _ in range(50):
        rate = dependants - (1 - share) * np.exp(-rate)
    others = generator(*draws.key, "dependants").poisson(rate, households)
    return labour, np.where((labour == 0) & (others == 0), 1, others)


def labour_pmf(figures: dict) -> np.ndarray:
    """Labour force 1 to 4 of a labour household: the rounded pmf, tilted to the exact mean."""
    pmf = np.array([figures[f"labour_pmf_{k}"] for k in range(1, 5)])
    k, low, high = np.arange(1, 5), -2.0, 2.0
    for _ in range(60):
        middle = (low + high) / 2
        tilted = pmf * np.exp(middle * k)
        tilted /= tilted.sum()
        low, high = (middle, high) if tilted @ k < figures["labour_per_household"] else (low, middle)
    return tilted


def draw_ages(works: np.ndarray, draws: Draws) -> np.ndarray:
    """Age in the first year: labour 16-59, dependants children 0-15 or persons of 60 and over."""
    spread = draws.uniform("age", len(works)).astype(float)
    child = draws.uniform("child", len(works)) < CHILD_SHARE
    dependant = np.where(child, np.floor(16 * spread), 60 + np.floor(25 * spread**2))
    return np.where(works, 16 + np.floor(44 * spread), dependant).astype(np.int16)


def age_band(age: np.ndarray) -> np.ndarray:
    """Position in `AGE_BANDS` of ages in years."""
    return np.searchsorted((16, 30, 45, 60), age, side="right")
