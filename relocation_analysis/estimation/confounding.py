"""How strong a confounder would have to be: robustness value, and bounds by observed covariates.

C&H is Cinelli & Hazlett (2020), "Making sense of sensitivity", Journal of the Royal Statistical Society B
82(1). All of it is algebra of one linear regression with conventional errors: errors robust to clusters must
not be put in their place.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from relocation_analysis.errors import InputError
from relocation_analysis.estimation.checks import Check
from relocation_analysis.estimation.inference import LEVEL
from relocation_analysis.language import _

MULTIPLES = (1, 2, 3)
BOUNDS = ("covariate", "multiple", "r2_treatment", "r2_outcome", "estimate", "std_error", "statistic",
          "conf_low", "conf_high")  # fmt: skip


@dataclass(frozen=True)
class Regression:
    """The coefficient of the treatment, its conventional error and the degrees of freedom.

    benchmarks : covariate -> partial R2 with the treatment given the other covariates, and with the outcome
        given these and the treatment.
    """

    estimate: float
    std_error: float
    df: int
    benchmarks: Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class Confounding:
    """What a confounder would have to explain.

    Attributes
    ----------
    partial_r2 : of the treatment with the outcome; a confounder that explains all else of the outcome must
        explain this share of the treatment to bring the estimate to zero.
    robustness_value : share of the residual variance of both treatment and outcome that brings the estimate
        to zero.
    robustness_value_significant : the same, that takes the 95% interval to zero.
    bounds : covariate, multiple, r2_treatment, r2_outcome, estimate, std_error, statistic, conf_low,
        conf_high: the estimate had a confounder so many times as strong as the covariate been adjusted for;
        NaN where none can be so strong.
    """

    partial_r2: float
    robustness_value: float
    robustness_value_significant: float
    bounds: pd.DataFrame


def regress(outcome, treatment, covariates: Mapping[str, np.ndarray], controls) -> Regression:
    """Least squares of the outcome on treatment, covariates and controls, and the partial R2 of each covariate.

    Parameters
    ----------
    outcome, treatment : (n,). With weights, multiply every row of every argument by the root of its weight.
    covariates : name -> (n,) or (n, columns): a factor is one covariate with a column per level but the
        first.
    controls : (n, columns) that are no benchmark, the constant among them.

    Raises `InputError` where the treatment is a combination of covariates and controls.
    """
    outcome, treatment, controls = (np.asarray(a, dtype=float) for a in (outcome, treatment, controls))
    columns = {name: np.asarray(x, dtype=float).reshape(len(outcome), -1) for name, x in covariates.items()}
    given = np.column_stack([controls, *columns.values()])
    rest = _residual(treatment, given)
    if rest @ rest <= 1e-10 * (treatment @ treatment):
        raise InputError(_("The treatment must vary given the covariates"), _("they explain all of it"),
                         _("drop the covariates that do"))  # fmt: skip
    estimate = float(rest @ outcome / (rest @ rest))
    left = _squares(outcome, np.column_stack([given, treatment]))
    df = len(outcome) - np.linalg.matrix_rank(given) - 1
    benchmarks = {}
    for name in columns:
        others = np.column_stack([controls, *(x for other, x in columns.items() if other != name)])
        benchmarks[name] = (1 - float(rest @ rest) / _squares(treatment, others),
                            1 - left / _squares(outcome, np.column_stack([others, treatment])))  # fmt: skip
    return Regression(estimate, float(np.sqrt(left / df / (rest @ rest))), int(df), benchmarks)


def _residual(y: np.ndarray, x: np.ndarray) -> np.ndarray:
    return y - x @ np.linalg.lstsq(x, y, rcond=None)[0]


def _squares(y: np.ndarray, x: np.ndarray) -> float:
    return float((_residual(y, x) ** 2).sum())


def sensitivity_to_confounding(regression: Regression, multiples: Sequence[float] = MULTIPLES) -> Confounding:
    """Robustness values and bounds, as R's sensemakr has them.

    Parameters
    ----------
    regression : from `regress`, or from printed numbers.
    multiples : how many times as strong as a covariate the confounder is, with treatment and outcome alike.
    """
    t = regression.estimate / regression.std_error
    rows = [_bound(regression, name, k) for name in regression.benchmarks for k in multiples]
    return Confounding(
        partial_r2=t**2 / (t**2 + regression.df),
        robustness_value=robustness_value(t, regression.df),
        robustness_value_significant=robustness_value(t, regression.df, 1 - LEVEL),
        bounds=pd.DataFrame(rows, columns=list(BOUNDS)),
    )


def robustness_value(statistic: float, df: int, alpha: float = 1.0) -> float:
    """RV = (sqrt(f^4 + 4 f^2) - f^2) / 2 with f = |t| / sqrt(df), C&H section 4.

    With `alpha` below 1 what takes the interval of that level to zero: f less c = t_(alpha/2, df - 1) /
    sqrt(df - 1). Where f c > 1 adding a variable that the outcome does not need is enough, (f^2 - c^2) / (1 +
    f^2), as in sensemakr.
    """
    whole = abs(statistic) / np.sqrt(df)
    critical = stats.t.isf(alpha / 2, df - 1) / np.sqrt(df - 1)
    f = whole - critical
    if f <= 0:
        return 0.0
    if whole * critical > 1:
        return float((whole**2 - critical**2) / (1 + whole**2))
    return float((np.sqrt(f**4 + 4 * f**2) - f**2) / 2)


def adjust(regression: Regression, r2_treatment: float, r2_outcome: float) -> tuple[float, float]:
    """Estimate, brought towards zero, and error, had a confounder with these partial R2 been adjusted for.

    C&H section 3: the bias is se sqrt(df R2_outcome R2_treatment / (1 - R2_treatment)).
    """
    left = 1 - r2_treatment
    bias = regression.std_error * np.sqrt(regression.df * r2_outcome * r2_treatment / left)
    error = regression.std_error * np.sqrt((1 - r2_outcome) / left * regression.df / (regression.df - 1))
    return float(np.sign(regression.estimate) * (abs(regression.estimate) - bias)), float(error)


def _bound(regression: Regression, name: str, k: float) -> tuple:
    """One row of `BOUNDS`: partial R2 of a confounder k times as strong as the covariate, and what it would do."""
    with_treatment, with_outcome = regression.benchmarks[name]
    impossible = (name, k, *(np.nan,) * (len(BOUNDS) - 2))
    r2_treatment = k * with_treatment / (1 - with_treatment)
    if r2_treatment >= 1:
        return impossible
    overlap = k * with_treatment**2 / ((1 - k * with_treatment) * (1 - with_treatment))
    if overlap >= 1:
        return impossible
    eta = (np.sqrt(k) + np.sqrt(overlap)) / np.sqrt(1 - overlap)
    r2_outcome = min(1.0, eta**2 * with_outcome / (1 - with_outcome))
    estimate, error = adjust(regression, r2_treatment, r2_outcome)
    half = stats.t.ppf((1 + LEVEL) / 2, regression.df - 1) * error
    statistic = estimate / error if error > 0 else np.nan
    return name, k, r2_treatment, r2_outcome, estimate, error, statistic, estimate - half, estimate + half


def check_confounding(name: str, regression: Regression, multiples: Sequence[float] = MULTIPLES) -> Check:
    """The robustness value of one effect as a check.

    It passes where a confounder as strong as any one covariate would leave the 95% interval on its side of zero.

    Parameters
    ----------
    name : the outcome.
    regression : from `regress`.
    multiples : of the table; the smallest of them decides.
    """
    found = sensitivity_to_confounding(regression, multiples)
    null = _("No confounder as strong as an observed covariate could account for the effect")
    if found.robustness_value_significant == 0:
        note = _("The effect does not differ from zero to begin with.")
        return Check(name, "confounding", null, found.robustness_value, None, None, found.bounds, note)
    once = found.bounds[found.bounds["multiple"] == min(multiples)]
    stands = (once["conf_low"] * once["conf_high"] > 0) & (once["estimate"] * regression.estimate > 0)
    passed = bool(stands.all()) if len(once) else None
    note = _("The statistic is the robustness value. To bring the estimate to zero a confounder would have to explain {zero:.1%} of what is "
             "left of both treatment and outcome, to take the 95% interval there {interval:.1%}; if it explained all that is left of the "
             "outcome, {all:.1%} of the treatment. Errors are conventional.",
             zero=found.robustness_value, interval=found.robustness_value_significant, all=found.partial_r2)  # fmt: skip
    return Check(name, "confounding", null, found.robustness_value, None, passed, found.bounds, note)
