"""Read a study's panel and say everything that is wrong with it before anything is estimated."""

import threading
from pathlib import Path

import numpy as np
import pandas as pd

from relocation_analysis.data.codebook import DOMAINS, Outcome, say_level
from relocation_analysis.data.handover import key_of, take_over
from relocation_analysis.data.simulate import simulate_panel
from relocation_analysis.data.sources import fetch, read_file
from relocation_analysis.data.study import Study
from relocation_analysis.errors import InputError, nearest, suggest, unknown_name
from relocation_analysis.language import _, join_list, speaking

CHAPTERS = ("overview", "employment", "schooling", "health_access", "robustness")

TIME_ACCOUNT_INPUTS = ("county_wage", "school_trips", "school_walk", "health_trips", "health_walk", "commute_hours",
                       "return_hours")  # fmt: skip
_READING, _READ = threading.Lock(), {}  # the last file read, by what decides its rows


def read_panel(study: Study) -> pd.DataFrame:
    """The study's panel with canonical column names: drawn, read from the user's file, or fetched by checksum.

    A file is read once by a process, whichever of its provinces are asked for, and not at all by one that was given the panel.

    Returns one row per unit and time, of the study's province where it names one.
    """
    if (given := take_over(study)) is not None:
        return given
    if study.data.simulate:
        return _exclusions(_known(simulate_panel(study.province, study.simulation).panel, study), study)
    key = (*key_of(study, "province"), *map(_stamp, study_files(study)))
    with _READING:
        if key not in _READ:
            _READ.clear()
            _READ[key] = _read_rows(study)
        return _of_province(_READ[key], study)


def _stamp(path: Path) -> tuple | None:
    """What changes with a file; None where there is none, which is said when it is read."""
    about = path.stat() if path.exists() else None
    return about and (str(path), about.st_size, about.st_mtime_ns, about.st_ino)


def _read_rows(study: Study) -> pd.DataFrame:
    """The rows of all provinces."""
    frame = _exclusions(_known(read_file(data_file(study), study.data.object), study), study)
    for canonical, column in study.columns.items():
        if column not in frame.columns:
            close = nearest(column, frame.columns)
            raise InputError(_("Every column that a study maps must be in its file"),
                             _("{name} = {column!r} is not among the {n} columns", name=canonical, column=column, n=len(frame.columns)),
                             suggest(close) if close else _("name one of {names}", names=join_list(map(str, frame.columns[:12]))))  # fmt: skip
    mapped = {canonical: frame[column] for canonical, column in study.columns.items()}
    kept = {name: frame[name] for name in frame if name not in study.columns.values() and name not in mapped}
    frame = pd.DataFrame(kept | mapped)
    for column, code in study.missing.items():
        if column not in frame.columns:
            raise unknown_name(_("A column of {table}", table="[missing]"), column, frame.columns)
        frame[column] = frame[column].mask(frame[column] == code)
    if study.design.kind != "rollout" and study.design.unit not in frame.columns:
        frame[study.design.unit] = np.arange(len(frame))
    return frame


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
    return [(study.say_reason(rule.reason), panel[exclusion_column(number)]) for number, rule in enumerate(study.exclude)
            if (rule.outcomes is None or outcome in rule.outcomes) and (size or rule.largest is None)]  # fmt: skip


def exclusion_column(number: int) -> str:
    """Name of the flags of the study's exclusion of this number."""
    return f"excluded {number}"


def _require_names(frame: pd.DataFrame, names, where: str) -> None:
    for name in names:
        if name not in frame.columns:
            raise unknown_name(_("A column of {table}", table=where), name, frame.columns)


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
        return frame.copy(deep=False)
    if "province" not in frame.columns:
        raise InputError(_("A report of one province must have a column province"),
                         _("province {name!r} was asked for and the file has no such column", name=study.province),
                         _("map it in [columns], or leave the province out"))  # fmt: skip
    found = sorted(frame["province"].dropna().astype(str).unique())
    if study.province not in found:
        raise unknown_name(_("The province"), study.province, found)
    return frame[frame["province"].astype(str) == study.province].reset_index(drop=True)


def present_outcomes(panel: pd.DataFrame, study: Study) -> dict[str, Outcome]:
    """The outcomes of the codebook that the panel has, or those that the study lists."""
    book = study.codebook
    if study.outcomes is None:
        return {name: outcome for name, outcome in book.items() if name in panel.columns}
    for name in study.outcomes:
        if name not in panel.columns and book[name].role != "time_account":
            raise unknown_name(_("An outcome of the study"), name, [c for c in panel.columns if c in book])
    return {name: book[name] for name in study.outcomes if name in panel.columns}


def study_chapters(panel: pd.DataFrame, study: Study) -> list[tuple[str, str]]:
    """The chapters of a report, in order, each with the reason why it is not run, or blank."""
    domains = {outcome.domain for outcome in present_outcomes(panel, study).values()}
    with speaking(study.language):
        absent = _("The study has no outcome of this domain")
    return [(chapter, absent if chapter in DOMAINS and chapter not in domains else "") for chapter in CHAPTERS]


def study_files(study: Study) -> list[Path]:
    """The study file, and its data where they are a file, or all files of a folder."""
    others = [fetch(file.url, file.sha256, file.local_name) for file in study.data.fill]
    named = [Path(study.file), *([] if study.data.simulate else [data_file(study)]), *others]
    return [f for path in named for f in (sorted(path.rglob("*")) if path.is_dir() else [path]) if not f.is_dir()]


def check_panel(panel: pd.DataFrame, study: Study) -> pd.DataFrame:
    """The panel with its types made canonical, once everything that estimates rely on holds.

    Raises
    ------
    InputError : for the first of these that fails: rows; required columns; numeric time, cohort and outcomes; the key
        (unit, time) unique; cohort and cluster constant within unit; positive weights; outcomes within their range; one
        value per household and time; two or more times and clusters; somebody treated and somebody to compare with.
    """
    if len(panel) == 0:
        raise InputError(_("A panel must have rows"), _("it has none"), _("check the file, and the province that was asked for"))
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
    for level in dict.fromkeys(o.level for o in outcomes.values() if o.level != unit):
        groups = panel.groupby([level, "time"], observed=True).ngroup().to_numpy()
        for outcome in (o for o in outcomes.values() if o.level == level):
            _require_one_value(panel, outcome, groups)
    _require_variation(panel, study)
    return panel


def _check_roster(panel: pd.DataFrame, study: Study, outcomes) -> pd.DataFrame:
    """The same for one row per unit: the design itself is checked where it is estimated."""
    unit, settings = study.design.unit, study.design
    treatment = "offered" if settings.kind == "offer" else "relocated"
    _require_columns(panel, study, (unit, treatment, settings.cluster, *settings.balance, *(["arm"] if settings.base_arm else [])), outcomes)
    for outcome in outcomes.values():
        if outcome.level != unit:
            own, level = say_level(unit), say_level(outcome.level)
            raise InputError(_("With one row per {unit} an outcome must belong to the {unit}", unit=own),
                             _("{name} belongs to the {level} and would count a {level} once for each {unit}",
                               name=outcome.name, level=level, unit=own),
                             _("give one row per {level} with unit = {name!r}, or name other outcomes", level=level, name=outcome.level))  # fmt: skip
    panel = panel.copy(deep=False)
    before = [f"{name}_before" for name in outcomes]
    numbers = settings.covariates if settings.kind == "offer" else ()
    for column in ("offered", "relocated", "weight", "age", *numbers, *settings.balance, *outcomes, *before):
        if column in panel.columns:
            panel[column] = _numeric(panel, column)
    double = panel.duplicated(unit)
    if double.any():
        raise InputError(_("{name} must be unique", name=unit),
                         _("{n:,} rows repeat an earlier one, first {row}", n=double.sum(), row=_row(panel, double, [unit])),
                         _("keep one row per unit"))  # fmt: skip
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
            raise InputError(_("A panel must have the columns of its design"),
                             _("{name!r} is not among the {n} columns", name=column, n=len(panel.columns)), suggest_map(column, close))  # fmt: skip
    if not outcomes:
        raise InputError(_("A panel must have an outcome of the codebook"), _("none of its {n} columns is one", n=len(panel.columns)),
                         _("map one in [columns], or define it in an [outcome.NAME] table; `relocation outcomes` lists them"))  # fmt: skip


def suggest_map(column: str, close: str | None) -> str:
    """The fix for a column that is not there: map it, from the one whose name is most like it."""
    return _("map it in [columns], for instance {name} = {close!r}", name=column, close=close) if close else _("map it in [columns]")


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
            raise InputError(_("{name} must not be missing", name=column),
                             _("it is in {n:,} of {total:,} rows, first row {row}",
                               n=missing.sum(), total=len(panel), row=int(np.flatnonzero(missing)[0]) + 1),
                             _("fill it in, or remove those rows"))  # fmt: skip
    _require_positive_weight(panel)
    for column in ("time", "cohort"):
        fraction = panel[column].notna() & (panel[column] % 1 != 0)
        if fraction.any():
            raise InputError(_("{name} must be a whole number", name=column),
                             _("{n:,} rows have another, first {row}", n=fraction.sum(), row=_row(panel, fraction, [column])),
                             _("count periods as whole numbers, such as years"))  # fmt: skip
    panel["time"] = panel["time"].astype("int64")
    panel["cohort"] = panel["cohort"].astype("float64")
    return panel


def _require_positive_weight(panel: pd.DataFrame) -> None:
    bad = panel["weight"] <= 0
    if bad.any():
        raise InputError(_("weight must be positive"),
                         _("{n:,} rows have another, first {row}", n=bad.sum(), row=_row(panel, bad, ["weight"])),
                         _("remove those rows, or correct the weight"))  # fmt: skip


def _numeric(panel: pd.DataFrame, column: str) -> pd.Series:
    if panel[column].dtype == "float64":
        return panel[column].where(np.abs(panel[column]) < np.inf)
    values = pd.to_numeric(panel[column], errors="coerce").astype("float64")
    bad = values.isna() & panel[column].notna()
    if bad.any():
        raise InputError(_("{name} must be a number", name=column),
                         _("{n:,} of {total:,} values are not, first {value!r}",
                           n=bad.sum(), total=len(panel), value=panel.loc[bad, column].iloc[0]),
                         _("correct them, or leave them empty where unknown"))  # fmt: skip
    return values.where(np.abs(values) < np.inf)


def _require_unique(panel: pd.DataFrame, unit: str) -> None:
    double = panel.duplicated([unit, "time"])
    if double.any():
        raise InputError(_("{name} must be unique", name=f"({unit}, time)"),
                         _("{n:,} rows repeat an earlier one, first {row}", n=double.sum(), row=_row(panel, double, [unit, "time"])),
                         _("keep one row per unit and time"))  # fmt: skip


def _require_constant(panel: pd.DataFrame, unit: str, column: str) -> None:
    if column == unit:
        return
    values = panel[column].fillna(np.inf) if panel[column].dtype.kind == "f" else panel[column]
    changes = values.groupby(panel[unit], observed=True).nunique(dropna=False) > 1
    if changes.any():
        example = changes.index[changes][0]
        seen = ", ".join(str(v) for v in panel.loc[panel[unit] == example, column].unique()[:3])
        raise InputError(_("{name} must not change within {unit}", name=column, unit=unit),
                         _("it does for {n:,} of {total:,}, first {unit} = {example}: {seen}",
                           n=changes.sum(), total=len(changes), unit=unit, example=example, seen=seen),
                         _("give each unit the value of its first wave"))  # fmt: skip


def _require_range(panel: pd.DataFrame, outcome: Outcome, unit: str) -> None:
    outside = (panel[outcome.name] < outcome.minimum) | (panel[outcome.name] > outcome.maximum)
    if outside.any():
        raise InputError(_("{name} must lie between {low:g} and {high:g} ({unit})",
                           name=outcome.name, low=outcome.minimum, high=outcome.maximum, unit=outcome.unit),
                         _("{n:,} of {total:,} rows do not, first {row}",
                           n=outside.sum(), total=len(panel), row=_row(panel, outside, [unit, "time", outcome.name])),
                         _("correct the value, map its unit, or leave it empty where unknown"))  # fmt: skip


def _require_one_value(panel: pd.DataFrame, outcome: Outcome, groups: np.ndarray) -> None:
    """`groups` (N,) numbers the units of the outcome's level at each time; -1 where the unit is not known."""
    values = panel[outcome.name].to_numpy(dtype=float)
    known = ~np.isnan(values) & (groups >= 0)
    low, high = np.full(groups.max() + 1, np.inf), np.full(groups.max() + 1, -np.inf)
    np.minimum.at(low, groups[known], values[known])
    np.maximum.at(high, groups[known], values[known])
    differs = high > low
    if differs.any():
        row = np.flatnonzero(groups == np.argmax(differs))[0]
        unit, time = panel[outcome.level].iloc[row], panel["time"].iloc[row]  # a row as a whole would make the numbers alike
        raise InputError(_("{name} must be one value per {level} and time", name=outcome.name, level=say_level(outcome.level)),
                         _("members of {n:,} of {total:,} differ, first {row}", n=differs.sum(), total=np.isfinite(low).sum(),
                           row=f"{outcome.level} = {unit}, time = {time}"),
                         _("give every member the value of the household"))  # fmt: skip


def _require_variation(panel: pd.DataFrame, study: Study) -> None:
    unit, cluster, early = study.design.unit, study.design.cluster, study.design.anticipation
    times = np.sort(panel["time"].unique())
    if len(times) < 2:
        raise InputError(_("A rollout must be seen at two times or more"), _("the panel has only time = {time}", time=times[0]),
                         _("add a wave from before the move"))  # fmt: skip
    if panel[cluster].nunique() < 2:
        raise InputError(_("There must be two clusters or more"),
                         _("all {n:,} units have {cluster} = {value}", n=panel[unit].nunique(), cluster=cluster, value=panel[cluster].iloc[0]),
                         _("map the level at which relocation was assigned, usually the natural village"))  # fmt: skip
    cohort = panel.drop_duplicates(unit)["cohort"]
    treated = cohort[cohort <= times[-1]]
    if treated.empty:
        raise InputError(_("Somebody must have been relocated"),
                         _("none of {n:,} units has a cohort of {time} or earlier", n=len(cohort), time=times[-1]),
                         _("fill in cohort, the first period relocated"))  # fmt: skip
    based = treated[treated - early > times[0]]
    if based.empty:
        problem = (_("all {n:,} relocated units had moved by the first wave, {time}, or within the {early} periods of anticipation after it",
                     n=len(treated), time=times[0], early=early) if early else
                   _("all {n:,} relocated units had moved by the first wave, {time}", n=len(treated), time=times[0]))  # fmt: skip
        raise InputError(_("Somebody must be seen before the move"), problem, _("add a wave from before the move"))  # fmt: skip
    if cohort.nunique(dropna=False) < 2:
        raise InputError(_("Somebody must be there to compare with"),
                         _("all {n:,} units moved in {time:g}", n=len(cohort), time=cohort.iloc[0]),
                         _("add units that never moved or moved later"))  # fmt: skip
    after = times[times >= based.min()][0]
    later = cohort.isna() | ((cohort > after + early) & (study.design.comparison == "not_yet_treated"))
    if not later.any():
        raise InputError(_("Somebody must be there to compare with"),
                         _("at {time}, the first wave after a move, none of {n:,} units is of the comparison {name!r}",
                           time=after, n=len(cohort), name=study.design.comparison),
                         _("add units that never moved or moved later, or choose the other comparison"))  # fmt: skip
