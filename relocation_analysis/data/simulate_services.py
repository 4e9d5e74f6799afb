"""Schooling, travel, health and support of the simulated movers; the equations are in `simulate.py`."""

import numpy as np

from relocation_analysis.data.simulate_employment import Potential
from relocation_analysis.data.simulate_structure import Block, by_exposure

LOG_SD_MINUTES, SD_REMOTE, SD_RECALL = 0.6, 0.25, 0.1
HEAPS, HEAP_EDGES, HEAPED = np.array([5, 10, 30, 60, 120]), (7.5, 20, 45, 90), 0.6
LATER, LATEST, FADING = (0.0, 1.0), (0.0, 0.0, 1.0), (1.0, 1.0, 0.75, 0.5)
ILL, ILL_AGE, MEAN_AGE = 2 / 3, 0.004, 38
VISIT = 0.80
UNMET_REASONS = {"far": (0.50, 0.15), "cost": (0.35, 0.60), "time": (0.15, 0.25)}


def ages(block: Block, rows: np.ndarray) -> np.ndarray:
    """Age of the persons in `rows` in each year."""
    return block.age[rows][:, None] + np.arange(len(block.years))


def draw_minutes(block: Block, place: str, before: float, after: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One-way minutes with and without the move, households x years.

    Lognormal with log SD .6 around the median, of which remoteness has .25, the year .1 and the household the
    rest. `after` is the median at the destination of each household.
    """
    households, periods = len(block.village), len(block.years)
    recall = SD_RECALL * block.draws.normal(f"{place}_recall", households, periods)
    own = block.draws.normal(f"{place}_minutes", 2, households)
    rest = (LOG_SD_MINUTES**2 - SD_RECALL**2 - SD_REMOTE**2) ** 0.5
    there = np.log(before) + SD_REMOTE * block.of_household("remoteness") + rest * own[0]
    here = np.log(after) + (LOG_SD_MINUTES**2 - SD_RECALL**2) ** 0.5 * own[1]
    without = np.exp(there[:, None] + recall)
    return np.where(block.moved, np.exp(here[:, None] + recall), without), without


def heaped(block: Block, place: str, minutes: np.ndarray) -> np.ndarray:
    """Minutes as people report them: in 60% the nearest of 5, 10, 30, 60 and 120, else whole minutes."""
    heaps = block.draws.uniform(f"{place}_heaped", *minutes.shape) < HEAPED
    return np.where(heaps, HEAPS[np.searchsorted(HEAP_EDGES, minutes)], np.clip(np.rint(minutes), 1, 600))


def _by_site(block: Block, name: str) -> np.ndarray:
    urban = block.of_household("site_type") == 0
    return np.where(urban, block.figures[f"{name}_urban"], block.figures[f"{name}_rural"])


def schooling_outcomes(block: Block) -> dict[str, Potential]:
    """Attendance, enrolment, progression, boarding and the way to school."""
    p, f = block.parameters, block.figures
    rows = np.flatnonzero(block.age <= 18)
    age, exposure = ages(block, rows), block.exposure[block.household[rows]]
    shape = (len(rows), len(block.years))
    luck = block.draws.persistent("school", *shape)
    remote = 0.01 * block.of_household("remoteness")[block.household[rows]][:, None]
    young, old = (age >= 6) & (age <= 15), (age >= 16) & (age <= 18)
    enrolment = np.where(block.female[rows], p.enrolment_girls, p.enrolment_boys)[:, None]
    base = np.where(young, f["attendance_6_15"], f["enrolment_16_18"] + 0.01 * (block.years - 2016)) - remote
    effect = np.where(
        young, p.attendance * by_exposure(LATER, exposure), enrolment * by_exposure(LATEST, exposure)
    )
    in_school, without = luck < base + effect, luck < base
    minutes = draw_minutes(
        block, "school", f["school_minutes_before"], _by_site(block, "school_minutes_after")
    )
    pupil, pupil_without = young & in_school, young & without
    boards = draw_boarding(block, rows, age, minutes)
    table = {
        "in_school_16_18": _within(old, in_school, without, rows),
        "attend_6_15": _within(young, in_school, without, rows),
        "progress": draw_progress(block, rows, age, in_school & (young | old), exposure),
        "boards": _within(pupil, *boards, rows),
    }
    pupils = _has_pupil(block)
    school = [heaped(block, "school", m)[pupils] for m in minutes]
    table["school_minutes"] = Potential("household", *school, pupils)
    trips = [_sum_of_household(block, rows, np.where(p_, np.where(b, 1, 5), 0))
             for p_, b in ((pupil, boards[0]), (pupil_without, boards[1]))]  # fmt: skip
    table["school_trips"] = Potential("household", *trips)
    table["school_walk"] = draw_walking(block, "school", minutes)
    return table


def _within(
    universe: np.ndarray, with_move: np.ndarray, without: np.ndarray, rows: np.ndarray | None
) -> Potential:
    with_move, without = (np.where(universe, world, np.nan) for world in (with_move, without))
    return Potential("person", with_move, without, rows)


def _has_pupil(block: Block) -> np.ndarray:
    """Households with a child of 6 to 15 in the first year."""
    return np.unique(block.household[(block.age >= 6) & (block.age <= 15)])


def _sum_of_household(block: Block, rows: np.ndarray, what: np.ndarray) -> np.ndarray:
    total = np.zeros((len(block.village), what.shape[1]), dtype=np.float32)
    np.add.at(total, block.household[rows], what.astype(np.float32))
    return total


def draw_boarding(
    block: Block, rows: np.ndarray, age: np.ndarray, minutes: tuple
) -> tuple[np.ndarray, np.ndarray]:
    """Boarding of each person if a pupil: share by level, times the root of minutes over their median."""
    luck = block.draws.persistent("boards", len(rows), len(block.years))
    share = np.where(age <= 11, block.figures["boarding_primary"], block.figures["boarding_junior"])
    centre = block.figures["school_minutes_before"] * np.exp(LOG_SD_MINUTES**2 / 4)
    household = block.household[rows]
    return tuple(luck < np.minimum(share * np.sqrt(m[household] / centre), 0.95) for m in minutes)


def draw_progress(block: Block, rows, age, in_school, exposure) -> Potential:
    """Moving up a grade, ages 7-18, given enrolled a year before; the first year has no year before."""
    before = np.zeros_like(in_school)
    before[:, 1:] = in_school[:, :-1]
    luck = block.draws.uniform("progress", *in_school.shape)
    effect = block.parameters.progress * by_exposure(LATER, exposure)
    universe = before & (age >= 7) & (age <= 18)
    return _within(universe, luck < 0.95 + effect, luck < 0.95, rows)


def draw_walking(block: Block, place: str, minutes: tuple[np.ndarray, np.ndarray]) -> Potential:
    """The usual mode is walking, the more so the shorter the way."""
    luck = block.draws.uniform(f"{place}_walk", len(block.village))[:, None]
    share = 0.95 if place == "school" else 0.75
    return Potential("household", *(luck < share - 0.005 * np.minimum(m, 120) for m in minutes))


def health_outcomes(block: Block) -> dict[str, Potential]:
    """Need, visits, unmet need by reason, spending and the way to a township hospital or above."""
    f, everyone = block.figures, np.arange(len(block.age))
    shape = (len(everyone), len(block.years))
    before, after = f["health_minutes_before"], f["health_minutes_after"]
    minutes = draw_minutes(block, "health", before, np.full(len(block.village), after))
    chance = np.clip(ILL + ILL_AGE * (ages(block, everyone) - MEAN_AGE), 0.3, 0.95)
    ill = block.draws.persistent("ill", *shape) < chance
    slope = (-block.parameters.unmet / ILL) / np.log(before / after)
    luck = block.draws.persistent("visit", *shape)
    visit, without = (luck < VISIT - slope * np.log(m / before)[block.household] for m in minutes)
    trips = (_sum_of_household(block, everyone, 2 * (ill & v)) for v in (visit, without))
    table = {
        "visit_any": _within(ill, visit, without, None),
        "unmet": Potential("person", ill & ~visit, ill & ~without),
        "insured": Potential("person", np.ones(shape), np.ones(shape)),
        "health_minutes": Potential("household", *(heaped(block, "health", m) for m in minutes)),
        "health_trips": Potential("household", *trips),
        "health_walk": draw_walking(block, "health", minutes),
    }
    return table | unmet_reasons(block, ill & ~visit, ill & ~without) | spending(block)


def unmet_reasons(block: Block, unmet: np.ndarray, without: np.ndarray) -> dict[str, Potential]:
    """Unmet need by reason: distance gives way to cost after the move; the reasons sum to unmet need."""
    luck = block.draws.persistent("reason", *unmet.shape)
    moved = block.moved[block.household]
    edges = np.cumsum([(0.0, 0.0), *UNMET_REASONS.values()], axis=0)
    table = {}
    for k, name in enumerate(UNMET_REASONS):
        (low, low_after), (high, high_after) = edges[k], edges[k + 1]
        if k == len(UNMET_REASONS) - 1:
            high = high_after = 2.0
        here = (luck >= np.where(moved, low_after, low)) & (luck < np.where(moved, high_after, high))
        table[f"unmet_{name}"] = Potential("person", unmet & here, without & (luck >= low) & (luck < high))
    return table


def spending(block: Block) -> dict[str, Potential]:
    """Out-of-pocket share of consumption, lognormal, and the two thresholds of SDG 3.8.2."""
    households, periods = len(block.village), len(block.years)
    log_share = np.log(0.045) + 0.6 * block.draws.normal("oop", households)[:, None]
    log_share = log_share + 0.7 * block.draws.normal("oop_year", households, periods)
    without = np.minimum(np.exp(log_share), 1)
    with_move = np.minimum(without * (1 + block.parameters.oop_share * block.moved), 1)
    thresholds = {f"che{t}": Potential("household", with_move > t / 100, without > t / 100) for t in (10, 25)}
    return {"oop_share": Potential("household", with_move, without)} | thresholds


def support_outcomes(block: Block) -> dict[str, Potential]:
    """Sources of support and emotional loneliness of persons of 60 and over in the first year, in SD."""
    rows = np.flatnonzero(block.age >= 60)
    exposure = block.exposure[block.household[rows]]
    village = block.village[block.household[rows]]
    table = {}
    for name in ("support_n", "loneliness"):
        place = 0.2 * block.draws.normal(f"{name}_village", len(block.villages.number))[village]
        own = 0.7 * block.draws.normal(f"{name}_person", len(rows))
        noise = (1 - 0.2**2 - 0.7**2) ** 0.5 * block.draws.normal(f"{name}_year", len(rows), len(block.years))
        without = (place + own)[:, None] + noise
        effect = getattr(block.parameters, name) * by_exposure(FADING, exposure)
        table[name] = Potential("person", without + effect, without, rows)
    return table
