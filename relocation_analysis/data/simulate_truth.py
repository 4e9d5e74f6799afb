"""What is true of a simulated panel: mean differences of potential outcomes, summed block by block."""

import numpy as np
import pandas as pd

from relocation_analysis.data.simulate_employment import Potential
from relocation_analysis.data.simulate_structure import AGE_BANDS, Block, Villages, age_band, years_of
from relocation_analysis.data.simulation_parameters import WAVES, SimulationParameters

SUBGROUPS = {
    "sex": ("male", "female"),
    "age_band": AGE_BANDS,
    "minority": ("majority", "minority"),
    "remote": ("near", "remote"),
}
OF_HOUSEHOLD = ("minority", "remote")


class TruthSums:
    """Sums and counts of Y1 - Y0 by outcome, in arrays subgroups x (cohorts, not moved) x years."""

    def __init__(self, parameters: SimulationParameters, villages: Villages):
        self.parameters = parameters
        self.years = years_of(parameters)
        self.cohorts = np.unique(villages.cohort[~np.isnan(villages.cohort)])
        self.never = bool(np.isnan(villages.cohort).any())
        self.sums: dict[str, np.ndarray] = {}
        self.levels: dict[str, str] = {}

    def add(self, block: Block, outcomes: dict[str, Potential]) -> None:
        """Add the units of one block, those later lost to the panel included."""
        cells = self._cells(block)
        for name, outcome in outcomes.items():
            if outcome.without is None:
                continue
            cell, shape = cells[outcome.level]
            cell = cell if outcome.rows is None else cell[outcome.rows]
            difference = (outcome.with_move.astype(np.float64) - outcome.without.astype(np.float64)).ravel()
            valid = ~np.isnan(difference)
            size = int(np.prod(shape))
            counts = np.bincount(cell.ravel(), weights=valid, minlength=size)
            sums = np.bincount(cell.ravel(), weights=np.where(valid, difference, 0), minlength=size)
            both = np.stack([sums, counts]).reshape(2, *shape)
            self.sums[name] = self.sums.get(name, 0) + both
            self.levels[name] = outcome.level

    def _cells(self, block: Block) -> dict[str, tuple[np.ndarray, tuple[int, ...]]]:
        """Cell of every unit and year, and the shape of the cells, by level."""
        first = -1 if self.parameters.anticipation else 0
        cohort = np.searchsorted(self.cohorts, block.of_household("cohort"))
        column = np.where(block.exposure >= first, cohort[:, None], len(self.cohorts))
        column = column * len(self.years) + np.arange(len(self.years))
        width = (len(self.cohorts) + 1) * len(self.years)
        household = block.minority * 2 + block.of_household("remote")
        person = (block.female * 5 + age_band(block.age)) * 4 + household[block.household]
        tail = (2, 2, len(self.cohorts) + 1, len(self.years))
        return {
            "household": (household[:, None] * width + column, tail),
            "person": (person[:, None] * width + column[block.household], (2, 5, *tail)),
        }

    def table(self) -> pd.DataFrame:
        """The truth, tidy; columns as in `Simulated`."""
        labels, values = zip(*(row for name in self.sums for row in self._subgroups(name)), strict=True)
        sums, counts = np.moveaxis(np.stack(values), 1, 0)
        cells = counts[0].size
        cohort = np.tile(np.repeat([*self.cohorts, np.nan], len(self.years)), len(labels))
        time = np.tile(self.years, cells // len(self.years) * len(labels))
        movers = ~np.isnan(cohort)
        kept = (counts.ravel() > 0) & np.isin(time, WAVES[self.parameters.waves])
        outcome, subgroup = (np.repeat(column, cells) for column in zip(*labels, strict=True))
        table = pd.DataFrame({
            "outcome": outcome[kept], "group": np.where(movers, "movers", "stayers")[kept],
            "subgroup": subgroup[kept], "cohort": cohort[kept], "time": time[kept],
            "event_time": (time - cohort)[kept], "n_units": counts.ravel()[kept].astype(np.int64),
            "effect": sums.ravel()[kept] / counts.ravel()[kept],
            "estimable": (movers & self._estimable(cohort, time))[kept],
        })  # fmt: skip
        return pd.concat([table, self._hosts()], ignore_index=True)

    def _subgroups(self, name: str) -> list[tuple[tuple[str, str], np.ndarray]]:
        """Outcome and subgroup with sums and counts, 2 x (cohorts, not moved) x years."""
        axes = tuple(SUBGROUPS) if self.levels[name] == "person" else OF_HOUSEHOLD
        values = self.sums[name]
        every = tuple(range(1, 1 + len(axes)))
        rows = [((name, "all"), values.sum(axis=every))]
        for k, axis in enumerate(axes):
            by_label = values.sum(axis=tuple(a for a in every if a != k + 1))
            rows += [((name, f"{axis}={label}"), by_label[:, j]) for j, label in enumerate(SUBGROUPS[axis])]
        return rows

    def _estimable(self, cohort: np.ndarray, time: np.ndarray) -> np.ndarray:
        """A wave before the move exists, and somebody has not moved yet."""
        last = np.inf if self.never else self.cohorts.max(initial=-np.inf)
        return (cohort > self.years[0]) & (time < last)

    def _hosts(self) -> pd.DataFrame:
        waves = np.array(WAVES[self.parameters.waves])
        return pd.DataFrame({
            "outcome": "offfarm_wage", "group": "hosts", "subgroup": "all", "cohort": np.nan,
            "time": waves[waves >= self.cohorts.min(initial=np.inf)], "event_time": np.nan, "n_units": 0,
            "effect": self.parameters.host_effect, "estimable": False,
        })  # fmt: skip
