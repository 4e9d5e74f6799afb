"""What shows whether movers and non-movers of a comparison are alike: support, balance, overlap, the baseline
outcome."""

import numpy as np
import pandas as pd

from relocation_analysis.estimation.checks import Check
from relocation_analysis.estimation.doubly_robust import NO_OVERLAP
from relocation_analysis.estimation.inference import LEVEL
from relocation_analysis.estimation.matching import Matches
from relocation_analysis.estimation.propensity import Propensity, Units
from relocation_analysis.estimation.support import count_fewest
from relocation_analysis.estimation.weighting import att_weights
from relocation_analysis.language import _, mark

BALANCED = 0.1  # largest standardised difference (Austin 2009, Statistics in Medicine 28(25))
DROPPED = 0.05  # share of movers without a match from which the estimand is another one
CLEAR_OVERLAP = 0.9  # largest score without a remark (Crump, Hotz, Imbens & Mitnik 2009, Biometrika 96(1))
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)  # never the largest or the smallest: that is one unit's
BALANCE = {
    "matching": mark("After matching movers and non-movers have the same covariates"),
    "weighting": mark("After weighting movers and non-movers have the same covariates"),
}


def covariate_balance(units: Units, propensity: Propensity, matches: Matches) -> pd.DataFrame:
    """Differences of covariate means of movers and non-movers over the pooled standard deviation of all of
    them (Imbens & Rubin 2015, section 14.2), before, among the matched and weighted, and the same of the
    baseline outcome where there is one: covariate, before, after_matching, after_weighting. NaN where nobody
    is matched or weighted. And fewest, the fewest units that a mean tells of, the matched ones' too."""
    x, names = units.covariates, list(units.names)
    if "differences" in units.forms:
        x, names = np.column_stack([x, units.y[:, 0] - units.y[:, 1]]), [*names, "y0"]
    sides = units.treated, ~units.treated
    means = [np.average(x[side], axis=0, weights=units.weight[side]) for side in sides]
    spread = [
        np.average((x[side] - mean) ** 2, axis=0, weights=units.weight[side])
        for side, mean in zip(sides, means, strict=True)
    ]
    spread = np.sqrt((spread[0] + spread[1]) / 2)
    columns = {"covariate": names}
    weights = {
        "before": units.weight,
        "after_matching": matches.weight,
        "after_weighting": att_weights(units, propensity),
    }
    for column, weight in weights.items():
        with np.errstate(invalid="ignore", divide="ignore"):
            one, zero = (weight[side] @ x[side] / weight[side].sum() for side in sides)
            columns[column] = np.where(spread > 0, (one - zero) / spread, np.nan)
    groups = [side & some for side in sides for some in (True, matches.weight > 0)]
    columns["fewest"] = [min(count_fewest(pd.Series(v[group]), pd.Series(v)) for group in groups) for v in x.T]
    return pd.DataFrame(columns)


def support_counts(units: Units, matches: Matches) -> pd.DataFrame:
    """Units, matched and unmatched ones, and the effective number of the matched: side, units, matched,
    unmatched, effective."""
    rows = []
    for name, side in (("movers", units.treated), ("non_movers", ~units.treated)):
        weight = matches.weight[side]
        matched = int((weight > 0).sum())
        effective = weight.sum() ** 2 / (weight**2).sum() if matched else 0.0
        rows.append((name, int(side.sum()), matched, int(side.sum()) - matched, effective))
    return pd.DataFrame(rows, columns=["side", "units", "matched", "unmatched", "effective"])


def check_support(outcome: str, units: Units, matches: Matches, support: pd.DataFrame) -> Check:
    """Share of movers, by weight, that have no comparison unit within the caliper."""
    everybody, matched = (weight[units.treated].sum() for weight in (units.weight, matches.weight))
    dropped = float(1 - matched / everybody) if support["unmatched"].iloc[0] else 0.0
    null = _("Every mover has a non-mover with a like propensity score")
    note = _("The statistic is the share of movers without a non-mover within {caliper:.3g} of their logit score; up to {most} passes. "
             "Matching says nothing of them; weighting extrapolates to them.", caliper=matches.caliper, most=DROPPED)  # fmt: skip
    return Check(outcome, "common_support", null, dropped, None, bool(dropped <= DROPPED), support, note)


def check_balance(outcome: str, balance: pd.DataFrame, how: str) -> Check:
    """Largest standardised difference of a covariate after "matching" or "weighting"."""
    table = balance[["covariate", "before", f"after_{how}", "fewest"]]
    covariates = table[table["covariate"] != "y0"][f"after_{how}"].abs()
    largest = float(covariates.max()) if covariates.notna().any() else None
    note = _("The statistic is the largest standardised difference; below {most} passes. Balance of what is measured is no evidence on what "
             "is not.", most=BALANCED)  # fmt: skip
    passed = None if largest is None else bool(largest < BALANCED)
    return Check(outcome, f"balance_{how}", _(BALANCE[how]), largest, None, passed, table, note)


def check_overlap(outcome: str, units: Units, propensity: Propensity) -> Check:
    """Whether the largest propensity score leaves room for a comparison; said by the 95th percentile of movers, since the largest is
    that of one person, with the quantiles of both sides."""
    largest = float(propensity.score.max())
    sides = {"movers": units.treated, "non_movers": ~units.treated}
    quantiles = {name: np.quantile(propensity.score[side], QUANTILES) for name, side in sides.items()}
    table = pd.DataFrame({"quantile": QUANTILES, **quantiles})
    passed = True if largest <= CLEAR_OVERLAP else (None if largest < NO_OVERLAP else False)
    note = _("The statistic is the 95th percentile of the movers' propensity scores. The check passes where no score is above {clear}; from "
             "a score of {none} on the weighting estimators have no estimate.", clear=CLEAR_OVERLAP, none=NO_OVERLAP)  # fmt: skip
    high = float(table.loc[table["quantile"] == 0.95, "movers"].iloc[0])
    return Check(outcome, "overlap", _("Whoever moved could have stayed"), high, None, passed, table, note)


def check_baseline(outcome: str, rows: pd.DataFrame) -> Check:
    """The doubly robust estimate on the outcome before anybody moved.

    Parameters
    ----------
    rows : `EFFECT_COLUMNS`, every estimator with the suffix "_baseline".
    """
    table = rows[["estimator", "estimate", "std_error", "p_value"]]
    row = table.set_index("estimator").loc["aipw_baseline"]
    statistic, p_value = (float(v) if np.isfinite(v) else None for v in row[["estimate", "p_value"]])
    null = _("Before the move, movers had the outcome of non-movers with the same covariates")
    note = _("The statistic is the doubly robust estimate on the baseline outcome, which is the estimate in levels less the one in "
             "differences. Differences remove a gap that stays; a gap that grows needs an earlier wave.")  # fmt: skip
    rejected = p_value is not None and p_value < 1 - LEVEL
    return Check(
        outcome, "baseline_outcome", null, statistic, p_value, False if rejected else None, table, note
    )
