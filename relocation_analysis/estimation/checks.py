"""What could be wrong with an estimate, said as a null hypothesis and what the data say of it."""

from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True)
class Check:
    """One check.

    Attributes
    ----------
    outcome : the outcome checked, blank where the check is of the design.
    name : short name, the same for every outcome.
    null : the null hypothesis or the requirement, a sentence.
    statistic, p_value : None where the check has none.
    passed : True, False, or None where the check informs and does not judge.
    table : the numbers behind it, or None.
    note : what follows for the reader.
    thin : why too few stand behind it for its numbers to be shown where data are not public, or blank.
    """

    outcome: str
    name: str
    null: str
    statistic: float | None
    p_value: float | None
    passed: bool | None
    table: pd.DataFrame | None
    note: str
    thin: str = ""


def check_frame(checks: list[Check]) -> pd.DataFrame:
    """One row per check, without the tables."""
    names = ("outcome", "name", "null", "statistic", "p_value", "passed", "note")
    return pd.DataFrame([[getattr(check, name) for name in names] for check in checks], columns=list(names))
