"""What each outcome is: its universe, unit, range and good direction."""

import csv
import math
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from relocation_analysis.language import _, mark, spoken
from relocation_analysis.paths import DATA

DOMAINS = ("employment", "schooling", "health_access", "other")
LEVELS = {
    "person": mark("person"),
    "household": mark("household"),
    "village": mark("village"),
    "county": mark("county"),
    "site": mark("site"),
}


def say_level(name: str) -> str:
    """The units of a level inside a sentence; a column of a researcher's own as it is named."""
    return _(LEVELS[name]) if name in LEVELS else name


class Outcome(BaseModel):
    """One row of the codebook, or one `[outcome.NAME]` of a study file.

    `level` names the id column whose units the outcome belongs to: a household outcome is counted once a household.
    `sampling` is `panel` where the universe is fixed at baseline and `repeated` where it moves with age or illness.
    `age_step` is the width in years of the age cells to which a repeated outcome is standardised.
    `decimals` are printed where a published number has more than are usual for the unit.
    `conditional` outcomes exist only for some, such as the wage of those who work: the effect then mixes a change of the
    outcome with a change of who has it, and robustness gives bounds.
    `benchmark_effect` is the smallest effect worth finding, in the outcome's unit; power is judged against it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    domain: Literal["employment", "schooling", "health_access", "other"]
    role: Literal["primary", "secondary", "adverse", "delivered", "time_account", "report_only"] = "secondary"
    level: Literal["person", "household", "village", "county"] = "person"
    sampling: Literal["panel", "repeated"] = "panel"
    age_min: int | None = None
    age_max: int | None = None
    age_at: Literal["baseline", "current"] | None = None
    age_step: int | None = Field(default=None, ge=1)
    unit: str
    decimals: int | None = Field(default=None, ge=0, le=9)
    minimum: float = -math.inf
    maximum: float = math.inf
    conditional: bool = False
    good_direction: int = Field(default=0, ge=-1, le=1)
    benchmark_effect: float | None = Field(default=None, gt=0)
    label_en: str
    label_zh: str | None = None
    definition: str = ""

    @model_validator(mode="after")
    def _ages_are_whole(self) -> "Outcome":
        if (self.age_min is None) != (self.age_max is None) or (self.age_min is None) != (self.age_at is None):
            raise ValueError(_("age_min, age_max and age_at go together"))
        if self.age_step is not None and self.sampling != "repeated":
            raise ValueError(_("age_step belongs to a repeated outcome"))
        return self

    @property
    def print_unit(self) -> str:
        """The unit as the reporting room prints it, with its decimals where they are stated."""
        return self.unit if self.decimals is None else f"{self.unit}@{self.decimals}"

    @property
    def label(self) -> str:
        """The label in the language spoken: the codebook's own where it has one, else what the catalogue says."""
        return getattr(self, f"label_{spoken()}", None) or _(self.label_en)


def read_codebook() -> dict[str, Outcome]:
    """The outcomes of data/codebook.csv by name, in its order."""
    with open(DATA / "codebook.csv", encoding="utf-8", newline="") as file:
        rows = [{key: value for key, value in row.items() if value != ""} for row in csv.DictReader(file)]
    return {row["name"]: Outcome(**row) for row in rows}
