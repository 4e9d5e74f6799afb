"""From a checked panel to a design: who is compared with whom, and every exclusion with its reason."""

import weakref
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from relocation_analysis.data.codebook import Outcome, say_level
from relocation_analysis.data.panel import excluded_rows, present_outcomes
from relocation_analysis.data.study import Study
from relocation_analysis.errors import unknown_name
from relocation_analysis.estimation.access import add_time_account
from relocation_analysis.estimation.cohort_time import NEVER, base_period
from relocation_analysis.language import _, join_list

FLOW_COLUMNS = ("outcome", "step", "reason", "rows_dropped", "units_dropped", "rows_left", "units_left")


@dataclass(frozen=True)
class Design:
    """The design of a study on its checked panel.

    Attributes
    ----------
    panel : the panel; an outcome is missing on every row that the flow excludes for it.
    study : the settings it was built from.
    outcomes : the outcomes to estimate, by name.
    times, cohorts : sorted; cohorts include inf for those who never moved. Both are empty with one row per unit.
    subgroups : the baseline traits by which effects are split.
    flow : `FLOW_COLUMNS`, every exclusion of every outcome.
    left_out : by outcome, the baseline weight of the movers who have no base period.
    kept : what has been computed from panels of this design, such as cells, by what it was computed from.
    """

    panel: pd.DataFrame
    study: Study
    outcomes: dict[str, Outcome]
    times: tuple[int, ...]
    cohorts: tuple[float, ...]
    subgroups: tuple[str, ...]
    flow: pd.DataFrame
    left_out: dict[str, float] = field(default_factory=dict)
    kept: dict = field(default_factory=dict, repr=False, compare=False)

    @property
    def kind(self) -> str:
        return self.study.design.kind

    @property
    def comparison(self) -> str:
        return self.study.design.comparison

    @property
    def cluster(self) -> str:
        return self.study.design.cluster

    @property
    def covariates(self) -> tuple[str, ...]:
        return self.study.design.covariates

    @property
    def window(self) -> tuple[int, int]:
        return self.times[0], self.times[-1]

    def keep(self, key: tuple, make: Callable):
        """What `make` computes from the panel, computed once for it: a check that changes the panel gets its own."""
        key = (id(self.panel), *key)
        panel, made = self.kept.get(key, (lambda: None, None))
        if panel() is not self.panel:
            made = make()
            self.kept[key] = weakref.ref(self.panel), made
        return made


def build_design(panel: pd.DataFrame, study: Study, names: tuple[str, ...] | None = None) -> Design:
    """Apply the universe of each outcome, fix traits at baseline, and write down every exclusion.

    Parameters
    ----------
    panel : from `check_panel`.
    study : its study.
    names : the outcomes wanted; all that the panel has by default.
    """
    if study.design.kind != "rollout":
        return _build_roster(panel, study, names)
    panel = add_time_account(panel)
    outcomes = _wanted(panel, study, names)
    panel = _fix_traits(panel, study)
    times = tuple(int(t) for t in np.sort(panel["time"].unique()))
    cohorts = tuple(np.sort(panel["cohort"].fillna(NEVER).unique()))
    flow, left_out = [], {}
    for name, outcome in outcomes.items():
        panel, rows, left_out[name] = _exclude(panel, outcome, study, cohorts)
        flow.extend(rows)
    subgroups = tuple(name for name in study.subgroups if name in panel.columns)
    flow = pd.DataFrame(flow, columns=FLOW_COLUMNS)
    return Design(panel, study, outcomes, times, cohorts, subgroups, flow, left_out)


def _build_roster(panel: pd.DataFrame, study: Study, names: tuple[str, ...] | None = None) -> Design:
    """The design of a study with one row per unit: the rows that count for each outcome, and every exclusion."""
    outcomes = _wanted(panel, study, names)
    flow = [row for outcome in outcomes.values() for row in _roster_flow(panel, outcome, study)]
    subgroups = tuple(name for name in study.subgroups if name in panel.columns)
    return Design(panel, study, outcomes, (), (), subgroups, pd.DataFrame(flow, columns=FLOW_COLUMNS))


def _roster_flow(panel: pd.DataFrame, outcome: Outcome, study: Study) -> list[tuple]:
    """Rows of the file, those that an exclusion removes, and those on which the outcome or the design is not known."""
    keep = pd.Series(True, index=panel.index)
    rows = [(outcome.name, "file", _("rows of the file, one per {unit}", unit=say_level(study.design.unit)), 0, 0, len(panel), len(panel))]
    steps = [("excluded", reason, ~flags) for reason, flags in excluded_rows(panel, study, outcome.name)]
    if outcome.age_at is not None:
        steps.append(("universe", _("not aged {low}-{high}", low=outcome.age_min, high=outcome.age_max), in_universe(panel, outcome)))
    steps.append(("missing", _("the outcome is not known or not defined"), panel[outcome.name].notna()))
    settings, before = study.design, f"{outcome.name}_before"
    needed = ("offered", *settings.strata, *settings.covariates) if settings.kind == "offer" else ("relocated",)
    for name in dict.fromkeys((settings.cluster, *needed, *([before] if settings.kind == "comparison" and before in panel else []))):
        steps.append(("design", _("{name} is not known", name=name), panel[name].notna()))
    for step, reason, condition in steps:
        left = keep & condition
        if left.sum() < keep.sum() or study.disclosure != "public":
            dropped = int(keep.sum() - left.sum())
            rows.append((outcome.name, step, reason, dropped, dropped, int(left.sum()), int(left.sum())))
        keep = left
    return rows


def in_universe(panel: pd.DataFrame, outcome: Outcome) -> pd.Series:
    """Whether the age of each unit is in the outcome's universe; with one row per unit there is one age."""
    if outcome.age_at is None:
        return pd.Series(True, index=panel.index)
    return np.floor(panel["age"]).between(outcome.age_min, outcome.age_max)


def _wanted(panel: pd.DataFrame, study: Study, names: tuple[str, ...] | None) -> dict[str, Outcome]:
    found = present_outcomes(panel, study)
    for name in names or ():
        if name not in found:
            raise unknown_name(_("An outcome of the panel"), name, found)
    return {name: outcome for name, outcome in found.items() if names is None or name in names}


def domain_outcomes(panel: pd.DataFrame, study: Study, domain: str) -> tuple[str, ...]:
    """Names of the panel's outcomes in a domain, those of the time account included."""
    found = present_outcomes(add_time_account(panel), study)
    return tuple(name for name, outcome in found.items() if outcome.domain == domain)


def primary_outcomes(panel: pd.DataFrame, study: Study) -> tuple[str, ...]:
    """Names of the panel's primary outcomes and of those without a chapter; its first outcome where it has none."""
    found = present_outcomes(panel, study)
    names = tuple(name for name, outcome in found.items() if outcome.role == "primary" or outcome.domain == "other")
    return names or tuple(found)[:1]


def checked_outcomes(panel: pd.DataFrame, study: Study) -> tuple[str, ...]:
    """Names of the outcomes that robustness checks: the primaries and those that exist only for some."""
    found = present_outcomes(panel, study)
    return (*primary_outcomes(panel, study), *(name for name, outcome in found.items() if outcome.conditional))


def primary_outcome(design: Design) -> str:
    """The first primary outcome of a design, else its first outcome: the one that a chapter shows in full."""
    return next((name for name, outcome in design.outcomes.items() if outcome.role == "primary"), next(iter(design.outcomes)))


def _fix_traits(panel: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Strata, subgroups and covariates at the value of each unit's first wave; the age then, where age is known."""
    panel = panel.sort_values([study.design.unit, "time"], kind="stable", ignore_index=True)
    start = np.r_[True, (panel[study.design.unit].to_numpy()[1:] != panel[study.design.unit].to_numpy()[:-1])]
    first = np.maximum.accumulate(np.where(start, np.arange(len(panel)), 0))
    for name in dict.fromkeys((*study.design.strata, *study.subgroups, *study.design.covariates)):
        if name in panel.columns:
            panel[name] = panel[name].to_numpy()[first]
    if "age" in panel.columns:
        panel["age_baseline"] = panel["age"].to_numpy()[first]
    return panel


def _exclude(panel: pd.DataFrame, outcome: Outcome, study: Study, cohorts) -> tuple[pd.DataFrame, list[tuple], float]:
    """Set the outcome to missing where it does not count; one flow row per step; the weight of movers without a base."""
    values = panel[outcome.name]
    steps = [("excluded", reason, ~flags) for reason, flags in excluded_rows(panel, study, outcome.name)]
    if outcome.age_at is not None:
        age = np.floor(panel["age_baseline" if outcome.age_at == "baseline" else "age"])
        bounds = {"low": outcome.age_min, "high": outcome.age_max}
        reason = _("not aged {low}-{high} at the first wave", **bounds) if outcome.age_at == "baseline" else _("not aged {low}-{high} at the time", **bounds)
        steps.append(("universe", reason, age.between(outcome.age_min, outcome.age_max)))
    if outcome.level != study.design.unit and outcome.sampling == "panel":
        founded = panel.groupby(outcome.level, observed=True)["time"].transform("min")
        steps.append(("split", _("{unit} formed after the first wave", unit=say_level(outcome.level)), founded == panel["time"].min()))
    steps.append(("missing", _("the outcome is not known or not defined"), values.notna()))
    for name in (*study.design.strata, *study.design.covariates):
        steps.append(("covariate", _("{name} is not known at the first wave", name=name), panel[name].notna()))
    counted = np.logical_and.reduce([np.asarray(condition) for *rest, condition in steps])
    times = tuple(np.unique(panel["time"].to_numpy()[counted]))
    no_base = [c for c in cohorts if times and c <= times[-1] and base_period(c, times, study.design.anticipation) is None]
    based = ~panel["cohort"].isin(no_base).to_numpy()
    if no_base:
        years = join_list(f"{c:g}" for c in no_base)
        steps.append(("no base period", _("cohort {years} moved before a base period was observed", years=years), based))
    rows = _flow(panel, outcome, study, steps)
    left_out = panel[counted & ~based].drop_duplicates(outcome.level)["weight"].sum()
    excluded = values.notna().to_numpy() & ~(counted & based)
    if excluded.any():
        panel = panel.assign(**{outcome.name: values.mask(excluded)})
    return panel, rows, float(left_out)


def _flow(panel: pd.DataFrame, outcome: Outcome, study: Study, steps: list[tuple]) -> list[tuple]:
    """Rows and units that each step drops. A household counts once a time, by a member whose row has the value."""
    units = pd.factorize(panel[outcome.level])[0]
    keep = np.ones(len(panel), dtype=bool)
    if outcome.level != study.design.unit:
        known_first = panel[outcome.name].isna().sort_values(kind="stable").index
        keep = (~panel.loc[known_first, [outcome.level, "time"]].duplicated().reindex(panel.index)).to_numpy()
    before = _count(units, keep)
    rows = [(outcome.name, "file", _("rows of the file, one per {unit} and time", unit=say_level(outcome.level)), 0, 0, *before)]
    for step, reason, condition in steps:
        left = keep & np.asarray(condition, dtype=bool)
        after = _count(units, left)
        if before != after or study.disclosure != "public":  # elsewhere that a row is there must not say that it drops somebody
            rows.append((outcome.name, step, reason, before[0] - after[0], before[1] - after[1], *after))
        keep, before = left, after
    return rows


def _count(units: np.ndarray, keep: np.ndarray) -> tuple[int, int]:
    """How many rows are kept, and of how many units; -1 is a unit that is not known."""
    return int(keep.sum()), int((np.bincount(units[keep & (units >= 0)]) > 0).sum())
