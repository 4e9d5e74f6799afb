"""Which rows of the results an exhibit shows; a row that is not there is an error, never an empty exhibit."""

import pandas as pd

from relocation_analysis.data.codebook import Outcome
from relocation_analysis.errors import InputError, unknown_name
from relocation_analysis.estimation.effects import MAIN_ESTIMATORS, Effects
from relocation_analysis.language import _
from relocation_analysis.reporting.disclosure.release import release_effects

MAIN, UNIVERSAL = MAIN_ESTIMATORS, "callaway_santanna_universal"


def say_exposures(effects: Effects) -> str:
    """What a headline averages over, for the end of a caption."""
    return _(", mean over years 0 to 3") if "callaway_santanna" in set(effects.table["estimator"]) else ""


def find_outcome(codebook: dict[str, Outcome], outcome: str) -> Outcome:
    """The codebook's entry of `outcome`."""
    if outcome not in codebook:
        raise unknown_name(_("An outcome"), outcome, codebook)
    return codebook[outcome]


def select_rows(effects: Effects, outcome: str, sort_by: str | None = None, **equal) -> pd.DataFrame:
    """The rows of one outcome whose columns equal the given values, released, by `sort_by` or in the table's order."""
    effects = release_effects(effects)
    if outcome not in set(effects.table["outcome"]):
        raise unknown_name(_("An outcome"), outcome, effects.table["outcome"].unique())
    rows = effects.select(outcome=outcome, **equal).table
    if rows.empty:
        held = effects.select(outcome=outcome).table[list(equal)]
        raise InputError(
            _("The effects of {outcome} must have rows with {wanted}", outcome=repr(outcome), wanted=_say_wanted(equal)),
            _("none of its {n} rows is one; its first row is {row}", n=len(held), row=held.iloc[0].to_dict()),
            _("estimate them first, or ask for what the table holds"),
        )
    return rows if sort_by is None else rows.sort_values(sort_by, kind="stable", ignore_index=True)


def _say_wanted(equal: dict) -> str:
    return _(" and ").join(f"{column} = {value!r}" for column, value in equal.items())


def select_headlines(effects: Effects, estimator: str | tuple[str, ...] = MAIN) -> pd.DataFrame:
    """The headline rows of one estimator, all outcomes and subgroups, released.

    Raises
    ------
    InputError : where there is none.
    """
    effects = release_effects(effects)
    outcome = effects.table["outcome"].iloc[0] if len(effects.table) else ""
    rows = effects.select(estimator=estimator, aggregation="headline").table
    return rows if len(rows) else select_rows(effects, outcome, estimator=estimator, aggregation="headline")


def require_columns(frame: pd.DataFrame, columns: tuple[str, ...], what: str) -> None:
    """Stop unless `frame` has the columns and at least one row."""
    missing = [column for column in columns if column not in frame]
    if missing or frame.empty:
        problem = _("{n} missing, the first {column}", n=len(missing), column=repr(missing[0])) if missing else _("it has no rows")
        raise InputError(
            _("{what} must have the columns {columns}", what=what, columns=", ".join(columns)),
            problem,
            _("pass the table as it was made"),
        )


def list_primaries(effects: Effects, codebook: dict[str, Outcome]) -> list[str]:
    """The primary outcomes that the effects hold, in the order of the codebook."""
    held = set(effects.table["outcome"])
    found = [name for name, about in codebook.items() if about.role == "primary" and name in held]
    if not found:
        raise InputError(
            _("A summary must have an outcome"),
            _("none of the {n} outcomes of these effects is primary", n=len(held)),
            _("name the outcomes to show"),
        )
    return found


def is_reference(rows: pd.DataFrame) -> pd.Series:
    """Rows of a universal base period: before the event, zero by construction and so without an error."""
    return rows["estimate"].eq(0) & rows["std_error"].isna() & rows["event_time"].lt(0)


def lacks_interval(rows: pd.DataFrame) -> bool:
    """Whether an estimate has no interval though it is not zero by construction."""
    return bool((rows["estimate"].notna() & rows["conf_low"].isna() & ~is_reference(rows)).any())
