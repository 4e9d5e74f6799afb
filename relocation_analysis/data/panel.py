"""Read a study's panel and say everything that is wrong with it before anything is estimated."""

from pathlib import Path

import numpy as np
import pandas as pd

from relocation_analysis.data.codebook import DOMAINS, Outcome
from relocation_analysis.data.simulate import simulate_panel
from relocation_analysis.data.sources import fetch, read_file
from relocation_analysis.data.study import Study
from relocation_analysis.errors import InputError, nearest, unknown_name

CHAPTERS = ("overview", "employment", "schooling", "health_access", "robustness")

TIME_ACCOUNT_INPUTS = ("county_wage", "school_trips", "school_walk", "health_trips", "health_walk", "commute_hours",
                       "return_hours")  # fmt: skip


def read_panel(study: Study) -> pd.DataFrame:
    """The study's panel with canonical column names: drawn, read from the user's file, or fetched by checksum.

    Returns one row per unit and time, of the study's province where it names one.
    """
    if study.data.simulate:
        return _exclusions(_known(simulate_panel(study.province, study.simulation).panel, study), study)
    frame = _exclusions(_known(read_file(data_file(study), study.data.object), study), study)
    for canonical, column in study.columns.items():
        if column not in frame.columns:
            close = nearest(column, frame.columns)
            raise InputError("Every column that a study maps must be in its file",
                             f"{canonical} = {column!r} is not among the {len(frame.columns)} columns",
                             f"write {close!r}" if close else f"name one of {', '.join(map(str, frame.columns[:12]))}")  # fmt: skip
    mapped = {canonical: frame[column] for canonical, column in study.columns.items()}
    kept = {name: frame[name] for name in frame if name not in study.columns.values() and name not in mapped}
    frame = pd.DataFrame(kept | mapped)
    for column, code in study.missing.items():
        if column not in frame.columns:
            raise unknown_name("A column of [missing]", column, frame.columns)
        frame[column] = frame[column].mask(frame[column] == code)
    if study.design.kind != "rollout" and study.design.unit not in frame.columns:
        frame[study.design.unit] = np.arange(len(frame))
    return _of_province(frame, study)


def _known(frame: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Set to missing what the study says is not known, then fill from its other files."""
    for rule in study.unknown:
        _require_names(frame, (*rule.columns, rule.unless_known), "[[unknown]]")
        frame = frame.assign(**{name: frame[name].where(frame[rule.unless_known].notna()) for name in rule.columns})
    for file in study.data.fill:
        other = read_file(fetch(file.url, file.sha256, file.local_name))
        _require_names(frame, (file.key, *file.columns), "[[data.fill]]")
        _require_names(other, (file.key, *file.columns), "[[data.fill]]")
        other = other.drop_duplicates(file.key).set_index(file.key)
        frame = frame.assign(**{name: frame[name].fillna(frame[file.key].map(other[name])) for name in file.columns})
    return frame


def _exclusions(frame: pd.DataFrame, study: Study) -> pd.DataFrame:
    """One column of flags for each exclusion of the study, named by `exclusion_column`."""
    flags = {}
    for number, rule in enumerate(study.exclude):
        _require_names(frame, (rule.column,), "[[exclude]]")
        values = frame[rule.column]
        if rule.largest is not None:
            flag = values.rank(method="first", ascending=False) <= rule.largest
        else:
            flag = values.isna() if rule.missing else values == rule.equals
        flags[exclusion_column(number)] = flag.fillna(False).astype(bool)
    return frame.assign(**flags)


def excluded_rows(panel: pd.DataFrame, study: Study, outcome: str, size: bool = True) -> list[tuple[str, pd.Series]]:
    """(reason, flags) of each exclusion that the study states for an outcome; without `size`, not those of the largest."""
    return [(rule.reason, panel[exclusion_column(number)]) for number, rule in enumerate(study.exclude)
            if (rule.outcomes is None or outcome in rule.outcomes) and (size or rule.largest is None)]  # fmt: skip


def exclusion_column(number: int) -> str:
    """Name of the flags of the study's exclusion of this number."""
    return f"excluded {number}"


def _require_names(frame: pd.DataFrame, names, where: str) -> None:
    for name in names:
        if name not in frame.columns:
            raise unknown_name(f"A column of {where}", name, frame.columns)


def read_truth(study: Study) -> pd.DataFrame:
    """The known effects of a simulated study: outcome, group, subgroup, cohort, time, event_time, n_units, effect."""
    return simulate_panel(study.province, study.simulation).truth


def data_file(study: Study) -> Path:
    """The file that a study reads; fetched where it is missing. A relative path is one beside the study file."""
    if study.data.url is not None:
        return fetch(study.data.url, study.data.sha256, study.data.local_name)
    path = Path(study.data.path)
    return path if path.is_absolute() else Path(study.folder) / path


def _of_province(frame: pd.DataFrame, study: Study) -> pd.DataFrame:
    if study.province is None:
        return frame
    if "province" not in frame.columns:
        raise InputError("A report of one province must have a column province", f"province {study.province!r} was asked for "
                         "and the file has no such column", "map it in [columns], or leave the province out")  # fmt: skip
    found = sorted(frame["province"].dropna().astype(str).unique())
    if study.province not in found:
        raise unknown_name("The province", study.province, found)
    return frame[frame["province"].astype(str) == study.province].reset_index(drop=True)


def present_outcomes(panel: pd.DataFrame, study: Study) -> dict[str, Outcome]:
    """The outcomes of the codebook that the panel has, or those that the study lists."""
    book = study.codebook
    if study.outcomes is None:
        return {name: outcome for name, outcome in book.items() if name in panel.columns}
    for name in study.outcomes:
        if name not in panel.columns and book[name].role != "time_account":
            raise unknown_name("An outcome of the study", name, [c for c in panel.columns if c in book])
    return {name: book[name] for name in study.outcomes if name in panel.columns}


def study_chapters(panel: pd.DataFrame, study: Study) -> list[tuple[str, str]]:
    """The chapters of a report, in order, each with the reason why it is not run, or blank."""
    domains = {outcome.domain for outcome in present_outcomes(panel, study).values()}
    absent = "The study has no outcome of this domain"
    return [(chapter, absent if chapter in DOMAINS and chapter not in domains else "") for chapter in CHAPTERS]


def study_files(study: Study) -> list[Path]:
    """The study file, and the data file where there is one."""
    others = [fetch(file.url, file.sha256, file.local_name) for file in study.data.fill]
    return [Path(study.file), *([] if study.data.simulate else [data_file(study)]), *others]


def check_panel(panel: pd.DataFrame, study: Study) -> pd.DataFrame:
    """The panel with its types made canonical, once everything that estimates rely on holds.

    Raises
    ------
    InputError : for the first of these that fails: rows; required columns; numeric time, cohort and outcomes; the key
        (unit, time) unique; cohort and cluster constant within unit; positive weights; outcomes within their range; one
        value per household and time; two or more times and clusters; somebody treated and somebody to compare with.
    """
    if len(panel) == 0:
        raise InputError("A panel must have rows", "it has none", "check the file, and the province that was asked for")
    unit, cluster = study.design.unit, study.design.cluster
    outcomes = present_outcomes(panel, study)
    if study.design.kind != "rollout":
        return _check_roster(panel, study, outcomes)
    _require_columns(panel, study, (unit, "time", "cohort", cluster), outcomes)
    panel = _canonical_types(panel, study, outcomes)
    _require_unique(panel, unit)
    for column in dict.fromkeys(("cohort", cluster)):
        _require_constant(panel, unit, column)
    for outcome in outcomes.values():
        _require_range(panel, outcome, unit)
        if outcome.level != unit:
            _require_one_value(panel, outcome)
    _require_variation(panel, study)
    return panel


def _check_roster(panel: pd.DataFrame, study: Study, outcomes) -> pd.DataFrame:
    """The same for one row per unit: the design itself is checked where it is estimated."""
    unit, settings = study.design.unit, study.design
    treatment = "offered" if settings.kind == "offer" else "relocated"
    _require_columns(panel, study, (unit, treatment, settings.cluster, *settings.balance, *(["arm"] if settings.base_arm else [])), outcomes)
    for outcome in outcomes.values():
        if outcome.level != unit:
            raise InputError(f"With one row per {unit} an outcome must belong to the {unit}",
                             f"{outcome.name} belongs to the {outcome.level} and would count a {outcome.level} once for each {unit}",
                             f"give one row per {outcome.level} with unit = {outcome.level!r}, or name other outcomes")  # fmt: skip
    panel = panel.copy(deep=False)
    before = [f"{name}_before" for name in outcomes]
    numbers = settings.covariates if settings.kind == "offer" else ()
    for column in ("offered", "relocated", "weight", "age", *numbers, *settings.balance, *outcomes, *before):
        if column in panel.columns:
            panel[column] = _numeric(panel, column)
    double = panel.duplicated(unit)
    if double.any():
        raise InputError(f"{unit} must be unique", f"{double.sum():,} rows repeat an earlier one, first "
                         f"{_row(panel, double, [unit])}", "keep one row per unit")  # fmt: skip
    for outcome in outcomes.values():
        _require_range(panel, outcome, unit)
    if "weight" in panel.columns:
        _require_positive_weight(panel)
    return panel.copy()


def _row(panel: pd.DataFrame, mask, columns) -> str:
    """One offending row, as text."""
    first = panel.loc[np.asarray(mask)].iloc[0]
    return ", ".join(f"{c} = {first[c]}" for c in dict.fromkeys(columns))


def _require_columns(panel, study: Study, names: tuple[str, ...], outcomes) -> None:
    needed = dict.fromkeys([*names, *study.design.strata, *study.design.covariates])
    needed |= dict.fromkeys(o.level for o in outcomes.values())
    if any(o.age_at or o.age_step for o in outcomes.values()):
        needed |= {"age": None}
    for column in needed:
        if column not in panel.columns:
            close = nearest(column, panel.columns)
            fix = f"map it in [columns], for instance {column} = {close!r}" if close else "map it in [columns]"
            raise InputError("A panel must have the columns of its design",
                             f"{column!r} is not among the {len(panel.columns)} columns", fix)  # fmt: skip
    if not outcomes:
        raise InputError("A panel must have an outcome of the codebook", f"none of its {len(panel.columns)} columns is one",
                         "map one in [columns], or define it in an [outcome.NAME] table; `relocation outcomes` lists them")  # fmt: skip


def _canonical_types(panel: pd.DataFrame, study: Study, outcomes) -> pd.DataFrame:
    panel = panel.copy(deep=False)
    for column in ("time", "cohort", "weight", "age", *TIME_ACCOUNT_INPUTS, *study.design.covariates, *outcomes):
        if column in panel.columns:
            panel[column] = _numeric(panel, column)
    if "weight" not in panel.columns:
        panel["weight"] = 1.0
    for column in dict.fromkeys((study.design.unit, study.design.cluster, "time", "weight")):
        missing = panel[column].isna()
        if missing.any():
            raise InputError(f"{column} must not be missing", f"it is in {missing.sum():,} of {len(panel):,} rows, first row "
                             f"{int(np.flatnonzero(missing)[0]) + 1}", "fill it in, or remove those rows")  # fmt: skip
    _require_positive_weight(panel)
    for column in ("time", "cohort"):
        fraction = panel[column].notna() & (panel[column] % 1 != 0)
        if fraction.any():
            raise InputError(f"{column} must be a whole number", f"{fraction.sum():,} rows have another, first "
                             f"{_row(panel, fraction, [column])}", "count periods as whole numbers, such as years")  # fmt: skip
    panel["time"] = panel["time"].astype("int64")
    panel["cohort"] = panel["cohort"].astype("float64")
    return panel


def _require_positive_weight(panel: pd.DataFrame) -> None:
    bad = panel["weight"] <= 0
    if bad.any():
        raise InputError("weight must be positive", f"{bad.sum():,} rows have another, first {_row(panel, bad, ['weight'])}",
                         "remove those rows, or correct the weight")  # fmt: skip


def _numeric(panel: pd.DataFrame, column: str) -> pd.Series:
    values = pd.to_numeric(panel[column], errors="coerce").astype("float64")
    bad = values.isna() & panel[column].notna()
    if bad.any():
        raise InputError(f"{column} must be a number", f"{bad.sum():,} of {len(panel):,} values are not, first "
                         f"{panel.loc[bad, column].iloc[0]!r}", "correct them, or leave them empty where unknown")  # fmt: skip
    values[np.isinf(values)] = np.nan
    return values


def _require_unique(panel: pd.DataFrame, unit: str) -> None:
    double = panel.duplicated([unit, "time"])
    if double.any():
        raise InputError(f"({unit}, time) must be unique", f"{double.sum():,} rows repeat an earlier one, first "
                         f"{_row(panel, double, [unit, 'time'])}", "keep one row per unit and time")  # fmt: skip


def _require_constant(panel: pd.DataFrame, unit: str, column: str) -> None:
    if column == unit:
        return
    values = panel[column].fillna(np.inf) if panel[column].dtype.kind == "f" else panel[column]
    changes = values.groupby(panel[unit], observed=True).nunique(dropna=False) > 1
    if changes.any():
        example = changes.index[changes][0]
        seen = ", ".join(str(v) for v in panel.loc[panel[unit] == example, column].unique()[:3])
        raise InputError(f"{column} must not change within {unit}", f"it does for {changes.sum():,} of {len(changes):,}, first "
                         f"{unit} = {example}: {seen}", "give each unit the value of its first wave")  # fmt: skip


def _require_range(panel: pd.DataFrame, outcome: Outcome, unit: str) -> None:
    outside = (panel[outcome.name] < outcome.minimum) | (panel[outcome.name] > outcome.maximum)
    if outside.any():
        raise InputError(f"{outcome.name} must lie between {outcome.minimum:g} and {outcome.maximum:g} ({outcome.unit})",
                         f"{outside.sum():,} of {len(panel):,} rows do not, first {_row(panel, outside, [unit, 'time', outcome.name])}",
                         "correct the value, map its unit, or leave it empty where unknown")  # fmt: skip


def _require_one_value(panel: pd.DataFrame, outcome: Outcome) -> None:
    known = panel[panel[outcome.name].notna()]
    groups = known.groupby([outcome.level, "time"], observed=True)[outcome.name]
    differs = groups.max() != groups.min()
    if differs.any():
        first = differs.index[differs][0]
        raise InputError(f"{outcome.name} must be one value per {outcome.level} and time",
                         f"members of {differs.sum():,} of {len(differs):,} differ, first {outcome.level} = {first[0]}, "
                         f"time = {first[1]}", "give every member the value of the household")  # fmt: skip


def _require_variation(panel: pd.DataFrame, study: Study) -> None:
    unit, cluster, early = study.design.unit, study.design.cluster, study.design.anticipation
    times = np.sort(panel["time"].unique())
    if len(times) < 2:
        raise InputError("A rollout must be seen at two times or more", f"the panel has only time = {times[0]}",
                         "add a wave from before the move")  # fmt: skip
    if panel[cluster].nunique() < 2:
        raise InputError("There must be two clusters or more", f"all {panel[unit].nunique():,} units have {cluster} = "
                         f"{panel[cluster].iloc[0]}", "map the level at which relocation was assigned, usually the natural "
                         "village")  # fmt: skip
    cohort = panel.drop_duplicates(unit)["cohort"]
    treated = cohort[cohort <= times[-1]]
    if treated.empty:
        raise InputError("Somebody must have been relocated", f"none of {len(cohort):,} units has a cohort of {times[-1]} or "
                         "earlier", "fill in cohort, the first period relocated")  # fmt: skip
    based = treated[treated - early > times[0]]
    if based.empty:
        raise InputError("Somebody must be seen before the move", f"all {len(treated):,} relocated units had moved by the first "
                         f"wave, {times[0]}" + (f", or within the {early} periods of anticipation after it" if early else ""),
                         "add a wave from before the move")  # fmt: skip
    if cohort.nunique(dropna=False) < 2:
        raise InputError("Somebody must be there to compare with", f"all {len(cohort):,} units moved in {cohort.iloc[0]:g}",
                         "add units that never moved or moved later")  # fmt: skip
    after = times[times >= based.min()][0]
    later = cohort.isna() | ((cohort > after + early) & (study.design.comparison == "not_yet_treated"))
    if not later.any():
        raise InputError("Somebody must be there to compare with", f"at {after}, the first wave after a move, none of "
                         f"{len(cohort):,} units is of the comparison {study.design.comparison!r}",
                         "add units that never moved or moved later, or choose the other comparison")  # fmt: skip
