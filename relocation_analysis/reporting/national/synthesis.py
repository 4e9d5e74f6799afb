"""The comparison of provinces: for each primary outcome the same exposures, who is in it, and what they say together."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from relocation_analysis.data.codebook import Outcome
from relocation_analysis.data.facts import read_facts, read_provinces
from relocation_analysis.data.study import Study
from relocation_analysis.errors import InputError
from relocation_analysis.estimation.power import POWER
from relocation_analysis.estimation.synthesis import Synthesis, WeightedMean, estimate_synthesis, weighted_mean
from relocation_analysis.language import _
from relocation_analysis.reporting import wording
from relocation_analysis.reporting.national.provinces import Reports

FEWEST = 2
REGISTERED = "N01"  # of data/programme.csv: the registered poor that the programme moved
ABOUT_OTHERS = ("power", "twfe_weights")  # checks that do not judge the headline: power has a column, the other is of a benchmark
SYNTHESIS_COLUMNS = (
    "outcome", "through", "quantity", "province", "k", "estimate", "std_error", "statistic", "p_value", "conf_low", "conf_high",
    "weight", "n_units", "benchmark", "power", "mde", "note",
)  # fmt: skip


@dataclass(frozen=True)
class Compared:
    """One outcome over the provinces.

    Attributes
    ----------
    about : the outcome.
    through : effects are means over exposures 0 to this one; NaN for designs without exposures.
    provinces : one row a province in the mean, in the order of the programme: province, label, estimate, std_error, conf_low,
        conf_high, n_units, mean_exposure, benchmark, power, mde, weight, shrunken, shrunken_low, shrunken_high, failed (names of
        the checks of the outcome or the design that fail).
    left_out : province, label, reason (a sentence), withheld (True where it is for that).
    synthesis : of `provinces`, in their order.
    movers : their mean weighted by registered movers, over those whose figure is sourced.
    covered : the registered movers in it.
    """

    about: Outcome
    through: float
    provinces: pd.DataFrame
    left_out: pd.DataFrame
    synthesis: Synthesis
    movers: WeightedMean
    covered: float

    @property
    def underpowered(self) -> pd.DataFrame:
        """The provinces that would miss the benchmark effect more than one time in five."""
        return self.provinces[self.provinces["power"] < POWER]

    @property
    def doubtful(self) -> pd.DataFrame:
        """The provinces in which a check fails."""
        return self.provinces[self.provinces["failed"].map(len) > 0]


@dataclass(frozen=True)
class National:
    """The comparison of the provinces of a study.

    Attributes
    ----------
    study : the study.
    reports : province, label, folder, problem: every report found.
    outcomes : one `Compared` an outcome, in the order of the codebook.
    movers : province, label, registered (persons), status ("sourced" and others, blank without a figure), counted.
    programme : registered movers of the whole programme, data/programme.csv N01.
    """

    study: Study
    reports: pd.DataFrame
    outcomes: tuple[Compared, ...]
    movers: pd.DataFrame
    programme: float


def compare_provinces(reports: Reports) -> National:
    """Put the published estimates of provinces together, outcome by outcome, over the same exposures.

    The exposures are 0 to k with the k that leaves the most to compare: provinces that have it times exposures, the smaller k
    at a tie. A province whose panel ends before k, or whose estimate is withheld or has no error, is left out and listed.

    Raises
    ------
    InputError : fewer than two provinces have a report that can be compared.
    """
    usable = reports.provinces[reports.provinces["problem"] == ""]
    if len(usable) < FEWEST:
        found = [f"{row.label}: {row.problem}" for row in reports.provinces.itertuples() if row.problem]
        raise InputError(
            _("Two provinces or more must have a report that can be compared"),
            _("{n} of {k} reports can", n=len(usable), k=len(reports.provinces)) + (f" ({found[0].rstrip('.')})" if found else ""),
            _("write them with `relocation batch`"),
        )
    movers = _count_movers(usable)
    book = reports.study.codebook
    names = [name for name in book if name in set(reports.exposures["outcome"])]
    compared = tuple(_compare(book[name], reports, usable, movers) for name in names)
    programme = read_facts("programme").set_index("id").loc[REGISTERED, "value"]
    return National(reports.study, reports.provinces, compared, movers, float(programme))


def choose_through(exposures: pd.DataFrame) -> float:
    """The k for which provinces that have it, times exposures 0 to k, are most; the smaller one at a tie, NaN without any."""
    held = exposures.loc[exposures["std_error"].notna()].groupby("through")["province"].nunique()
    if held.empty:
        return np.nan
    return float((held * (held.index + 1)).sort_index().idxmax())


def _compare(about: Outcome, reports: Reports, usable: pd.DataFrame, movers: pd.DataFrame) -> Compared:
    rows = reports.exposures[reports.exposures["outcome"] == about.name]
    through = choose_through(rows)
    chosen = rows[rows["through"].isna() if np.isnan(through) else rows["through"] == through].set_index("province")
    inside = [p for p in usable["province"] if p in chosen.index and np.isfinite(chosen.loc[p, ["estimate", "std_error"]].astype(float)).all()]
    table = chosen.loc[inside].reset_index()
    result = estimate_synthesis(table["estimate"], table["std_error"], table["province"])
    units = result.units[["weight", "shrunken", "shrunken_low", "shrunken_high"]]
    table = pd.concat([table, units], axis=1).assign(failed=[_failed(reports.checks, p, about.name) for p in table["province"]])
    left_out = [(row.province, row.label, *_why(rows, row.province, through, about)) for row in usable.itertuples()
                if row.province not in inside]  # fmt: skip
    counted = movers[movers["counted"] & movers["province"].isin(inside)]
    mean = weighted_mean(*(table.set_index("province").loc[counted["province"], c] for c in ("estimate", "std_error")),
                         counted["registered"])  # fmt: skip
    return Compared(about, through, table, pd.DataFrame(left_out, columns=["province", "label", "reason", "withheld"]), result, mean,
                    float(counted["registered"].sum()))  # fmt: skip


def _failed(checks: pd.DataFrame, province: str, outcome: str) -> tuple[str, ...]:
    rows = checks[(checks["province"] == province) & checks["outcome"].isin((outcome, "")) & ~checks["name"].isin(ABOUT_OTHERS)]
    return tuple(dict.fromkeys(name for name, passed in zip(rows["name"], rows["passed"], strict=True) if passed is False))


def _why(rows: pd.DataFrame, province: str, through: float, about: Outcome) -> tuple[str, bool]:
    """Why a province is not in the mean of an outcome, and whether that is because its estimate is withheld."""
    own = rows[rows["province"] == province]
    if own.empty:
        return _("Its report has no estimate of this outcome."), False
    row = own[own["through"].isna() if np.isnan(through) else own["through"] == through]
    if row.empty:
        return _("Its panel follows movers for fewer years than those compared: {years}.",
                 years=_("the longest is 0 to {k}", k=wording.format_period(own["through"].max()))), False  # fmt: skip
    if row["withheld"].iloc[0]:
        return _("Its estimate is withheld: too few stand behind it."), True
    return _("Too few clusters stand behind its estimate for an error."), False


def _count_movers(usable: pd.DataFrame) -> pd.DataFrame:
    """Registered movers of each province. Only a sourced figure counts; a plan is none, and nothing is filled in."""
    known = read_provinces().set_index("slug")
    rows = []
    for row in usable.itertuples():
        figure, status = known.loc[row.province, ["registered_movers", "registered_movers_status"]] if row.province in known.index else (np.nan, "")
        status = "" if pd.isna(status) else str(status)
        rows.append((row.province, row.label, float(figure), status, bool(np.isfinite(float(figure)) and status == "sourced")))
    return pd.DataFrame(rows, columns=["province", "label", "registered", "status", "counted"])


def synthesis_frame(national: National) -> pd.DataFrame:
    """Every number of the comparison, one row each, with `SYNTHESIS_COLUMNS`: what becomes `synthesis.csv`."""
    rows = [row | {"outcome": c.about.name, "through": c.through} for c in national.outcomes for row in _rows(c)]
    table = pd.DataFrame(rows).reindex(columns=list(SYNTHESIS_COLUMNS))
    return table.assign(**{name: table[name].fillna("") for name in ("province", "note")})


def _rows(c: Compared) -> list[dict]:
    s = c.synthesis
    ends = (s.tau2_low, s.tau2_high, s.i2_low, s.i2_high) if s.tau2_high > 0 else (np.nan,) * 4  # empty: no value fits so little spread
    tau = dict(zip(("estimate", "conf_low", "conf_high"), np.sqrt([s.tau2, *ends[:2]]), strict=True))
    rows = [
        {"quantity": "mean", "k": s.k} | {n: getattr(s, n) for n in ("estimate", "std_error", "statistic", "p_value", "conf_low", "conf_high")},
        {"quantity": "next_province", "k": s.k, "estimate": s.estimate, "conf_low": s.predict_low, "conf_high": s.predict_high},
        {"quantity": "next_province_usual", "k": s.k, "estimate": s.estimate, "conf_low": s.usual_low, "conf_high": s.usual_high},
        {"quantity": "tau", "k": s.k} | tau,
        {"quantity": "i2", "k": s.k, "estimate": s.i2, "conf_low": ends[2], "conf_high": ends[3]},
        {"quantity": "cochran_q", "k": s.k, "statistic": s.q, "p_value": s.q_p},
        {"quantity": "mean_over_movers", "k": c.movers.k, "weight": c.covered}
        | {n: getattr(c.movers, n) for n in ("estimate", "std_error", "conf_low", "conf_high")},
    ]  # fmt: skip
    for row in c.provinces.to_dict("records"):
        own = ("province", "estimate", "std_error", "conf_low", "conf_high", "weight", "n_units", "benchmark", "power", "mde")
        rows.append({"quantity": "own", "note": " ".join(row["failed"])} | {name: row[name] for name in own})
        rows.append({"quantity": "shrunken", "province": row["province"], "estimate": row["shrunken"],
                     "conf_low": row["shrunken_low"], "conf_high": row["shrunken_high"]})  # fmt: skip
    for row in s.without.to_dict("records"):
        kept = ("estimate", "std_error", "conf_low", "conf_high")
        rows.append({"quantity": "without", "province": row["label"], "k": s.k - 1} | {name: row[name] for name in kept})
    return rows + [{"quantity": "left_out", "province": row.province, "note": row.reason} for row in c.left_out.itertuples()]
