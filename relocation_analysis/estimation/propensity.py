"""Movers and non-movers of one comparison, and the probability of moving given what was known of them
before."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from relocation_analysis.errors import InputError, unknown_name
from relocation_analysis.estimation.doubly_robust import NotEstimable, logit
from relocation_analysis.language import _

COLLINEAR = 1e-8  # part of a standardised covariate that the ones before it leave unexplained
SEPARATED = 1e-10  # a score this close to 0 or 1 belongs to a trait that only one side has


@dataclass(frozen=True)
class Units:
    """The n units of a comparison.

    Attributes
    ----------
    y : (n, L), the outcome in `forms`: "levels" (last wave) and, with a baseline, "differences" (change since
        then).
    forms : the names of the columns of `y`.
    treated : (n,) of bool. weight : (n,), positive.
    covariates : (n, k), standardised. names : of the k covariates; a category is "column=value".
    code : (n,), position of the unit's cluster in `clusters`.
    """

    y: np.ndarray
    forms: tuple[str, ...]
    treated: np.ndarray
    weight: np.ndarray
    covariates: np.ndarray
    names: tuple[str, ...]
    code: np.ndarray
    clusters: np.ndarray

    @property
    def design(self) -> np.ndarray:
        """(n, 1 + k), the covariates behind a constant."""
        return np.column_stack([np.ones(len(self.treated)), self.covariates])

    def keep(self, which: np.ndarray) -> "Units":
        """The units where `which` is true; clusters keep their positions."""
        y, treated, weight, covariates, code = (
            part[which] for part in (self.y, self.treated, self.weight, self.covariates, self.code)
        )
        return Units(y, self.forms, treated, weight, covariates, self.names, code, self.clusters)


@dataclass(frozen=True)
class Propensity:
    """A fitted logit of `Units.treated`.

    Attributes
    ----------
    coefficients : (1 + k,), of the standardised covariates. logit, score : (n,), linear predictor and
        probability.
    influence : (n, 1 + k), influence values of the coefficients.
    """

    coefficients: np.ndarray
    logit: np.ndarray
    score: np.ndarray
    influence: np.ndarray


def check_units(table: pd.DataFrame, covariates: tuple[str, ...]) -> Units:
    """One row per unit, ready for every estimator of the design `comparison`.

    Parameters
    ----------
    table : y1 (outcome at the last wave), treated (0/1), cluster; optional y0 (outcome at the baseline,
        before anybody moved) and weight (1 where absent). Nothing may be missing: rows are dropped, and
        counted, by whoever calls.
    covariates : columns known before the move. Numbers enter as they are; categories as dummies, the first
        one left out.

    Raises
    ------
    InputError : a column is not there, a value is missing, nobody or everybody moved, fewer than two
        clusters, covariates that are constant or repeat each other.
    """
    wanted = dict.fromkeys(
        ("y1", "treated", "cluster", *(n for n in ("y0", "weight") if n in table), *covariates)
    )
    for name in wanted:
        if name not in table:
            raise unknown_name(_("A column of the comparison"), name, table.columns)
        _check_known(table[name])
    treated = table["treated"].to_numpy(dtype=float)
    if not np.isin(treated, (0, 1)).all():
        raise _wrong(
            table["treated"],
            ~np.isin(treated, (0, 1)),
            _("Treated must be 0 or 1"),
            _("code movers 1 and all others 0"),
        )
    if treated.min() == treated.max():
        raise InputError(
            _("A comparison must have movers and non-movers"),
            _("treated is {value:g} in all {n} rows", value=treated[0], n=len(table)),
            _("check how movers are coded, or compare another group"),
        )
    code, clusters = pd.factorize(table["cluster"], sort=True)
    if len(clusters) < 2:
        raise InputError(
            _("A comparison must have at least two clusters"),
            _("all {n} units are in {cluster!r}", n=len(table), cluster=clusters[0]),
            _("name the column of the level at which relocation was decided"),
        )
    weight = table["weight"].to_numpy(dtype=float) if "weight" in table else np.ones(len(table))
    if not (weight > 0).all():
        raise _wrong(
            table["weight"], ~(weight > 0), _("A weight must be positive"), _("drop units that do not count")
        )
    y = table["y1"].to_numpy(dtype=float)[:, None]
    if "y0" in table:
        y = np.column_stack([y[:, 0], y[:, 0] - table["y0"].to_numpy(dtype=float)])
    x, names = _columns(table, covariates)
    return Units(
        y, ("levels", "differences")[: y.shape[1]], treated == 1, weight, x, names, code, np.asarray(clusters)
    )


def _check_known(column: pd.Series) -> None:
    numbers = pd.api.types.is_numeric_dtype(column)
    unknown = (
        ~np.isfinite(column.to_numpy(dtype=float, na_value=np.nan)) if numbers else column.isna().to_numpy()
    )
    if unknown.any():
        raise _wrong(
            column,
            unknown,
            _("{name} must be known of every unit of a comparison", name=column.name),
            _("drop the units, as a row of the flow, or leave the covariate out"),
        )


def _wrong(column: pd.Series, bad: np.ndarray, must: str, fix: str) -> InputError:
    row = int(np.flatnonzero(bad)[0])
    found = _("{n} of {total} rows, for example {name} = {value} in row {row}",
              n=int(bad.sum()), total=len(bad), name=column.name, value=column.iloc[row], row=column.index[row])  # fmt: skip
    return InputError(must, found, fix)


def _columns(table: pd.DataFrame, covariates: tuple[str, ...]) -> tuple[np.ndarray, tuple[str, ...]]:
    """The covariates, standardised, categories as dummies; refused where one is constant or follows from
    those before it."""
    columns = {}
    for name in covariates:
        values = table[name]
        if pd.api.types.is_numeric_dtype(values):
            columns[name] = values.to_numpy(dtype=float)
        else:
            levels = sorted(values.unique(), key=str)
            columns |= {f"{name}={v}": (values == v).to_numpy(dtype=float) for v in levels[1:] or levels}
    x = np.column_stack(list(columns.values())) if columns else np.zeros((len(table), 0))
    center, spread = x.mean(axis=0), x.std(axis=0)
    constant = spread <= COLLINEAR * np.maximum(np.abs(center), 1e-300)
    x = (x - center) / np.where(constant, 1.0, spread)
    left = (
        np.abs(np.diag(np.linalg.qr(x, mode="r"))) / np.sqrt(max(len(x), 1)) if len(columns) else np.zeros(0)
    )
    left = np.r_[left, np.zeros(len(columns) - len(left))]
    for name, is_constant, part in zip(columns, constant, left, strict=True):
        if is_constant or part <= COLLINEAR:
            what = (_("{name} is the same for every unit", name=name) if is_constant else
                    _("{name} follows from the covariates before it", name=name))  # fmt: skip
            raise InputError(_("Covariates must vary and not repeat each other"), what, _("leave {name} out", name=name))
    return x, tuple(columns)


def estimate_propensity(units: Units, start: np.ndarray | None = None) -> Propensity:
    """Probability of moving by weighted maximum likelihood, logit (`doubly_robust.logit`).

    Parameters
    ----------
    start : (1 + k,), coefficients to start from, or None.

    Raises
    ------
    InputError : the covariates tell movers from non-movers without an error, or the likelihood has no
        maximum.
    """
    design, treated, weight = units.design, units.treated, units.weight
    try:
        coefficients, score, information = logit(design, treated, weight, start)
    except NotEstimable as error:
        raise InputError(
            _("The propensity score must be estimable"), str(error), _("leave covariates out")
        ) from error
    predictor = design @ coefficients
    if predictor[treated].min() > predictor[~treated].max():
        strongest = units.names[int(np.abs(coefficients[1:]).argmax())]
        sides = int(treated.sum()), int((~treated).sum())
        raise InputError(
            _("Covariates must not tell movers from non-movers without an error"),
            _("all {moved} movers have a higher score than any of the {stayed} non-movers", moved=sides[0], stayed=sides[1]),
            _("leave out what decides who moves ({name!r} weighs most): nobody is left to compare with", name=strongest),
        )
    influence = np.linalg.solve(information, (design * (weight * (treated - score))[:, None]).T).T
    return Propensity(coefficients, predictor, score, influence)


def logit_spread(units: Units, propensity: Propensity) -> float:
    """Standard deviation of the logit score, root of the mean of both sides' variances (Rosenbaum & Rubin
    1985, The American Statistician 39(1)), without units of a trait that only one side has."""
    inside = (propensity.score > SEPARATED) & (propensity.score < 1 - SEPARATED)
    sides = [propensity.logit[inside & side] for side in (units.treated, ~units.treated)]
    return float(np.sqrt(np.mean([np.var(values, ddof=1) if len(values) > 1 else 0.0 for values in sides])))
