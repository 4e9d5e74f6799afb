"""How an offer of relocation was made, what a file of it must hold, and the regressions it calls for."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from relocation_analysis.data.panel import suggest_map
from relocation_analysis.data.shown import Shown
from relocation_analysis.errors import InputError, nearest, unknown_name
from relocation_analysis.estimation.clustered import Partialled, partial_out
from relocation_analysis.language import _


@dataclass(frozen=True)
class Offer:
    """How an offer was made and is analysed.

    Attributes
    ----------
    cluster : column by which errors are clustered.
    strata : columns that enter as dummies, each by itself; columns that nest are harmless.
    covariates : numeric columns that enter as they are.
    assigned : "cluster" or "unit", the level at which the offer was drawn; "" where the draw is not known.
    drawn_within : columns whose combinations are the blocks of the draw; None means the strata.
    base_arm : the arm with which the others are compared; "" without arms.
    few_clusters : "jackknife" takes the jackknife error below 50 clusters a side; "ignore" keeps CR1.
    closed : nobody moved without an offer, which is a rule of the programme and tells nothing about a person.
    shown : how the notes of checks say counts and shares of people: all as they are by default.
    """

    cluster: str = "village"
    strata: tuple[str, ...] = ()
    covariates: tuple[str, ...] = ()
    assigned: str = ""
    drawn_within: tuple[str, ...] | None = None
    base_arm: str = ""
    few_clusters: str = "jackknife"
    closed: bool = False
    shown: Shown = Shown()

    @property
    def blocks(self) -> tuple[str, ...]:
        return self.strata if self.drawn_within is None else self.drawn_within


def require_offer(frame: pd.DataFrame, offer: Offer) -> None:
    """Raise an InputError for what makes an offer impossible to analyse, whatever the outcome: a column of the design that the
    frame lacks; a value of `offered` or `relocated` other than 0 and 1; nobody, or everybody, offered; an unknown base arm;
    an arm both offered and not; and, where the offer was by cluster, a cluster with both."""
    for name in dict.fromkeys(["offered", offer.cluster, *offer.strata, *offer.blocks, *offer.covariates,
                               *(["arm"] if offer.base_arm else [])]):  # fmt: skip
        if name not in frame.columns:
            close = nearest(name, frame.columns)
            raise InputError(_("A study of an offer must have the columns of its design"),
                             _("{name!r} is not among the {n} columns", name=name, n=len(frame.columns)), suggest_map(name, close))  # fmt: skip
        if frame[name].isna().all():
            raise InputError(_("A column of the design must hold values"),
                             _("{name!r} is missing on all {n:,} rows", name=name, n=len(frame)),
                             _("leave it out of [design], or fill it in"))  # fmt: skip
    for name in ("offered", *(["relocated"] if "relocated" in frame else [])):
        wrong = frame[name].notna() & ~frame[name].isin([0, 1])
        if wrong.any():
            raise InputError(_("{name} must be 0 or 1", name=name),
                             _("{n:,} of {total:,} rows have another value, first {value}",
                               n=wrong.sum(), total=len(frame), value=frame.loc[wrong, name].iloc[0]),
                             _("code it as 1 for yes and 0 for no"))  # fmt: skip
    if frame["offered"].nunique() < 2:
        raise InputError(_("Somebody must have been offered and somebody not"),
                         _("offered is {value:g} on all {n:,} rows", value=frame["offered"].dropna().iloc[0], n=len(frame)),
                         _("add those of the other side; an effect of the offer is a comparison with them"))  # fmt: skip
    if offer.base_arm:
        if offer.base_arm not in set(frame["arm"]):
            raise unknown_name(_("The base arm"), offer.base_arm, sorted(frame["arm"].dropna().unique()))
        _require_one_value(frame, "arm", "offered", _("An arm must be offered to all of it or to none"), _("split the arm in two"))
    if offer.assigned == "cluster":
        fix = _('correct the offer, or write assigned = "unit" if it was drawn by unit')
        must = _("A cluster must be offered as a whole where the offer was by cluster")
        for column in ("offered", *(["arm"] if offer.base_arm else [])):
            _require_one_value(frame, offer.cluster, column, must, fix)
        for column in offer.blocks:
            must = _("A cluster must lie in one stratum where the offer was by cluster")
            _require_one_value(frame, offer.cluster, column, must, _("correct the cluster or the stratum"))


def _require_one_value(frame: pd.DataFrame, group: str, column: str, must: str, fix: str) -> None:
    several = frame.groupby(group, observed=True)[column].nunique() > 1
    if several.any():
        raise InputError(must, _("{n:,} of {total:,} have more than one value of {name}, first {row}", n=several.sum(),
                                 total=len(several), name=column, row=f"{group} = {several.index[several][0]}"), fix)  # fmt: skip


def weights_of(frame: pd.DataFrame) -> np.ndarray:
    return frame["weight"].to_numpy(dtype=float) if "weight" in frame else np.ones(len(frame))


def controls_of(frame: pd.DataFrame, offer: Offer) -> np.ndarray:
    """(N, C) strata dummies, one column's after another's, and covariates."""
    dummies = [pd.get_dummies(frame[name], dtype=float).to_numpy() for name in offer.strata]
    return np.column_stack([np.empty((len(frame), 0)), *dummies, frame[list(offer.covariates)].to_numpy(dtype=float)])


def complete_cases(frame: pd.DataFrame, offer: Offer, *columns: str) -> pd.DataFrame:
    """The rows on which these columns and everything that the regression needs are known."""
    needed = ["offered", offer.cluster, *offer.strata, *offer.covariates, *(["weight"] if "weight" in frame else []), *columns]
    return frame[frame[list(dict.fromkeys(needed))].notna().all(axis=1)]


def regression(rows: pd.DataFrame, regressors: np.ndarray, outcomes: tuple[str, ...], offer: Offer) -> Partialled:
    """The regression of outcomes on regressors (N, M), with strata and covariates, on complete rows."""
    return partial_out(regressors, rows[list(outcomes)].to_numpy(dtype=float), controls_of(rows, offer),
                       rows[offer.cluster].to_numpy(), weights_of(rows))  # fmt: skip
