"""The simulated household panel: one model for the default report, the tests, power and teaching.

Structure. Province > county c > natural village v (the cluster) > household h > person i; every household is
registered. A village that moves goes to one destination site s of a type, a size in persons and a job access
J_s ~ N(0, 1).

    cohort     score_v = sel_obs R_v + .5 U_v + Z_v + e_v, with R, U ~ N(0, 1) and Var(Z + e) = 1; the highest
               scores move first, cut at the province's cohort shares; never_share stay; 3% slip by a year
    household  labour force k = 0 with probability 1 - labour share, else the pmf; dependants ~ Poisson with
               the mean that gives the province's household size (at least one where k = 0); labour is 16-59,
               dependants are 0-15 or 60+
    off-farm   P0 = base - .05 R_v - .14 (female - .46) - .004 (age at baseline - 37.5) + a_h + a_v
                    + .02 (t - 2016) + b_ct + sel_trend U_v (t - 2016) + covid_2020 [t = 2020]
               P1 = P0 + tau_e m_i m_g + .02 J_s - congestion log(size_s / 300)      once moved
               P1 = P0 + spill_notmoved share_ct + anticipation [e = -1]             before, and never-movers
               tau_e = .03, .06, .08, .08; m_i = 1 + het (female - .46)
               m_g = 1 + het/2 for cohort 2016, 1 - het/2 from 2019 on
               Y0 = 1(u_it < P0), Y1 = 1(u_it < P1): the same u_it = Phi(.75^.5 z_i + .25^.5 e_it)
    any work   1(u_it < A) with the same u_it and A >= P; A rises by emp_official on the move
               emp_official = any work, or relabelled with probability report_shift after the move
    jobs       type (micro-factory, public post, other wage, self-employed, farm) and place, given work
    schooling  1(u < share + effect) by age; progression given enrolment a year before; boarding given minutes
    travel     minutes = exp(N(log median, .6)); the median falls on the move; 60% are heaped at 5, 10, 30, 60
    health     ill = 1(u < 2/3 + .004 (age - 38)); visit if ill = 1(u < .80 - k log(minutes / median before)),
               with k such that the move changes it by -unmet / (2/3) = .06; unmet = ill and no visit
    attrition  hazard attr + dattr [moved, no wage work] + .02 [whole labour force away], of the same year and
               after the first wave; rows end for good
    reporting  cohort a year off with probability date_error (by household); `relocated` and outcomes are true

Effects are those of outcomes as measured, relabelling aside. Other outcomes follow the same device, Y0 and Y1
from the same draws; their effects are fields of `SimulationParameters`, with their profiles.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from relocation_analysis.data.simulate_employment import Potential, employment_outcomes
from relocation_analysis.data.simulate_services import health_outcomes, schooling_outcomes, support_outcomes
from relocation_analysis.data.simulate_structure import (
    AGE_BANDS,
    SITE_TYPES,
    Block,
    Villages,
    age_band,
    draw_block,
    draw_villages,
    village_blocks,
)
from relocation_analysis.data.simulate_truth import TruthSums
from relocation_analysis.data.simulation_parameters import WAVES, SimulationParameters

LABOUR = ("0", "1", "2", "3+")
DECIMALS = 4


@dataclass(frozen=True)
class Simulated:
    """A simulated panel and what is true of it.

    Attributes
    ----------
    panel : one row per person and wave in which the person is observed; ids, covariates, every outcome.
    truth : one row per outcome, group, subgroup, cohort and time. Group is "movers", "stayers" (not yet or
        never moved) or "hosts"; n_units counts persons or households, those lost to the panel included;
        effect is the mean of Y1 - Y0 in units of the outcome; estimable says that a base period and a
        comparison exist.
    """

    panel: pd.DataFrame
    truth: pd.DataFrame


def simulate_panel(province: str, parameters: SimulationParameters) -> Simulated:
    """Draw the panel of a province in memory.

    Parameters
    ----------
    province : a slug of `facts.province_slugs()`, or "national" for the national figures.
    parameters : size, knobs, true effects and seed.

    Raises
    ------
    InputError : an unknown province.
    """
    villages = draw_villages(province, parameters)
    sums = TruthSums(parameters, villages)
    panels = list(_panels(province, parameters, villages, sums))
    return Simulated(pd.concat(panels, ignore_index=True), sums.table())


def simulate_parquet(province: str, parameters: SimulationParameters, folder: Path) -> Path:
    """Write the panel of a province as Parquet files by county, in the memory of one block of villages.

    Rows, order within a county and values equal those of `simulate_panel`. `truth.csv` and `parameters.json`
    are written beside the partitions.

    Returns
    -------
    The folder, of files `county=1/part-00000.parquet`.
    """
    villages = draw_villages(province, parameters)
    sums = TruthSums(parameters, villages)
    for number, panel in enumerate(_panels(province, parameters, villages, sums)):
        for county, rows in panel.groupby("county", sort=True):
            path = Path(folder) / f"county={county}" / f"part-{number:05d}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            rows.drop(columns="county").to_parquet(path, index=False, compression="zstd")
    sums.table().to_csv(Path(folder) / "truth.csv", index=False)
    record = {"province": province, **parameters.model_dump()}
    (Path(folder) / "parameters.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return Path(folder)


def _panels(
    province: str, parameters: SimulationParameters, villages: Villages, sums: TruthSums
) -> Iterator[pd.DataFrame]:
    for rows in village_blocks(parameters):
        block = draw_block(province, parameters, villages, rows)
        outcomes, jobless, all_away = employment_outcomes(block)
        outcomes |= schooling_outcomes(block) | health_outcomes(block) | support_outcomes(block)
        sums.add(block, outcomes)
        yield block_panel(province, block, outcomes, draw_observed(block, jobless, all_away))


def draw_observed(block: Block, jobless: np.ndarray, all_away: np.ndarray) -> np.ndarray:
    """Persons x years: still in the panel. All are in the first year; the lost stay lost."""
    p = block.parameters
    hazard = p.attr + p.dattr * (jobless & block.moved[block.household]) + 0.02 * all_away[block.household]
    lost = block.draws.uniform("attrition", *hazard.shape)[:, 1:] < hazard[:, 1:]
    observed = np.ones(hazard.shape, dtype=bool)
    observed[:, 1:] = ~np.logical_or.accumulate(lost, axis=1)
    return observed


def draw_household_number(block: Block) -> np.ndarray:
    """Persons x years: the household's number, above all first ones for whoever has split off.

    The last adult of a labour force of two or more leaves, in half of the cases with the first dependant.
    """
    p, households = block.parameters, len(block.village)
    splits = block.draws.uniform("split", households, len(block.years)) < p.split_hh
    splits[:, 0] = False
    splits &= (block.labour >= 2)[:, None]
    labour = block.labour[block.household]
    follows = (block.draws.uniform("split_child", households) < 0.5)[block.household]
    leaves = (block.member == labour - 1) | (follows & (block.member == labour))
    gone = np.logical_or.accumulate(splits, axis=1)[block.household] & leaves[:, None]
    new = block.number + p.villages * p.households_per_village
    return np.where(gone, new[block.household][:, None], block.number[block.household][:, None])


def recorded_cohort(block: Block) -> np.ndarray:
    """Year of the move as the file has it, by household."""
    luck = block.draws.uniform("date_error", 2, len(block.village))
    shift = np.where(luck[0] < block.parameters.date_error, np.where(luck[1] < 0.5, -1.0, 1.0), 0.0)
    return block.of_household("cohort") + shift


def block_panel(
    province: str, block: Block, outcomes: dict[str, Potential], observed: np.ndarray
) -> pd.DataFrame:
    """The rows of a block, sorted by county, village, household, person and time."""
    waves = np.isin(block.years, WAVES[block.parameters.waves])
    number = draw_household_number(block)
    person, time = np.nonzero(observed & waves)
    village = block.village[block.household[person]]
    order = np.lexsort((time, person, number[person, time], village))
    person, time = person[order], time[order]
    columns = _identifiers(province, block, person, time, number[person, time])
    columns |= _covariates(block, person, time)
    for name, outcome in outcomes.items():
        columns[name] = _column(block, outcome, person, time)
    return pd.DataFrame({name: _decimal(values) for name, values in columns.items()})


def _decimal(values):
    """Real numbers as doubles of four decimals: what a text file can hold and give back to the last bit."""
    return np.round(values.astype(float), DECIMALS) if getattr(values, "dtype", None) == np.float32 else values


def _identifiers(
    province: str, block: Block, person: np.ndarray, time: np.ndarray, number: np.ndarray
) -> dict:
    household = block.household[person]
    village = block.village[household]
    moved = block.moved[household, time]
    site = pd.arrays.IntegerArray(block.villages.number[village].astype(np.int32), ~moved)
    return {
        "province": pd.Categorical.from_codes(np.zeros(len(person), dtype=np.int8), [province]),
        "county": block.villages.county[village].astype(np.int16),
        "village": block.villages.number[village].astype(np.int32),
        "site": site,
        "household": number.astype(np.int32),
        "person": block.number[household].astype(np.int64) * 100 + block.member[person] + 1,
        "time": block.years[time].astype(np.int16),
        "cohort": recorded_cohort(block)[household],
        "relocated": moved.astype(np.int8),
        "weight": np.ones(len(person), dtype=np.float32),
    }


def _covariates(block: Block, person: np.ndarray, time: np.ndarray) -> dict:
    household = block.household[person]
    village = block.village[household]
    moved = block.moved[household, time]
    site_type = np.where(moved, block.villages.site_type[village], -1)
    return {
        "sex": _category(block.female[person], ("male", "female")),
        "age": (block.age[person] + time).astype(np.int16),
        "age_band": _category(age_band(block.age)[person], AGE_BANDS),
        "minority": _category(block.minority[household], ("majority", "minority")),
        "remote": _category(block.villages.remote[village], ("near", "remote")),
        "remoteness": block.villages.remoteness[village].astype(np.float32),
        "labour": _category(np.minimum(block.labour[household], 3), LABOUR),
        "site_type": _category(site_type, SITE_TYPES),
        "site_size": np.where(moved, block.villages.site_size[village], np.nan).astype(np.float32),
        "county_wage": block.villages.county_wage[village].astype(np.float32),
    }


def _category(codes: np.ndarray, labels: tuple[str, ...]) -> pd.Categorical:
    return pd.Categorical.from_codes(codes.astype(np.int8), labels)


def _column(block: Block, outcome: Potential, person: np.ndarray, time: np.ndarray) -> np.ndarray:
    values = outcome.with_move if outcome.reported is None else outcome.reported
    unit = person if outcome.level == "person" else block.household[person]
    if outcome.rows is not None:
        units = len(block.age) if outcome.level == "person" else len(block.village)
        full = np.full((units, len(block.years)), np.nan, dtype=np.float32)
        full[outcome.rows] = values
        values = full
    return values[unit, time].astype(np.float32)
