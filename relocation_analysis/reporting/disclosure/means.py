"""Means as they may be shown: by cohort and time, and of traits at the first wave."""

import numpy as np
import pandas as pd

from relocation_analysis.data.codebook import Outcome
from relocation_analysis.errors import InputError
from relocation_analysis.language import _
from relocation_analysis.reporting.disclosure import withheld
from relocation_analysis.reporting.disclosure.rule import NAMES, is_part_safe, kept, release_share, round_count


def release_means(means: pd.DataFrame, outcome: Outcome) -> pd.DataFrame:
    """Means of `outcome` by cohort and time (cohort, time, mean, n, and if known clusters) as they may be shown.

    A mean is missing where few units or clusters are behind it; a share also where few have it, or few have it not. A share is
    shown as the ratio of two rounded counts, another mean with four digits. Where few of a cohort have a share, all shares
    of that cohort are missing, and those of another one if it is the only one: effects tell every change, so that one level would
    give the others. Which of them is few is not noted either: two that differ by nine would be zero and nine.
    """
    if kept().public:
        return means
    n, few = means["n"].astype(float), means["n"].lt(kept().threshold)
    if "clusters" in means:
        few |= means["clusters"].lt(kept().clusters)
    is_share = outcome.unit.split(" ")[0] == "share"
    if is_share:
        safe = [is_part_safe(round(part, 9), total) for part, total in zip(means["mean"] * n, n, strict=True)]
        few |= _whole_cohorts(means[~few], ~np.array(safe, dtype=bool)[~few]).reindex(means.index, fill_value=False)
    for row in means[few].to_dict("records"):
        withheld.note("mean", "few_units", outcome=outcome.name, cohort=row["cohort"], time=row["time"])
    shown = [release_share(m, k) if is_share else _four_digits(m) for m, k in zip(means["mean"], n, strict=True)]
    return means.assign(n=n.map(round_count), mean=pd.Series(shown, index=means.index).mask(few))


def _whole_cohorts(means: pd.DataFrame, rare: np.ndarray) -> pd.Series:
    """The means of every cohort of which one is `rare`, and where it is the only such cohort those of the smallest other one."""
    cohort = means["cohort"].fillna(np.inf)
    hidden = set(cohort[rare])
    others = means.loc[~cohort.isin(hidden), "n"].groupby(cohort).max()
    if len(hidden) == 1 and len(others):
        hidden.add(others.idxmin())
    return cohort.isin(hidden)


def _four_digits(value: float) -> float:
    return float(f"{value:.4g}") if np.isfinite(value) else value


def release_balance(balance: pd.DataFrame) -> pd.DataFrame:
    """Balance (of `baseline_balance`) as it may be shown: no mean and no difference of a trait that few have, or few have not.

    Where that is one level of a trait only, the others would give it away, and the smallest of them is missing, too. Levels that
    are names of places or people are left out.

    Raises
    ------
    InputError : nothing says how few each mean tells of, so that nothing could be withheld.
    """
    if kept().public:
        return balance
    require_counts(balance, _("A table of balance"), "fewest")
    trait = balance["covariate"].astype(str).str.split("=").str[0].where(balance["covariate"].astype(str).str.contains("="))
    for name in sorted(set(trait[trait.isin(NAMES)])):
        withheld.note("balance", "names", subgroup=name)
    balance, trait = balance[~trait.isin(NAMES)], trait[~trait.isin(NAMES)]
    few = balance["fewest"].lt(kept().threshold)
    for _trait, levels in balance.groupby(trait):
        hidden = few.loc[levels.index]
        if hidden.sum() == 1 and len(levels) > 1:
            few.loc[levels.loc[~hidden, "fewest"].idxmin()] = True
    for name in balance.loc[few, "covariate"]:
        withheld.note("balance", "few_units", outcome=None if "=" in name else name, subgroup=name if "=" in name else None)
    held = [name for name in ("moved", "stayed", "difference") if name in balance]
    numbers = {name: balance[name].astype(float).round(2 if name == "difference" else 3).mask(few) for name in held}
    return balance.assign(**numbers, fewest=balance["fewest"].astype(float).map(round_count))


def require_counts(table: pd.DataFrame, what: str, *columns: str) -> None:
    """Stop unless a table says how few each of its numbers tells of; `what` it is."""
    missing = [name for name in columns if name not in table]
    if missing:
        raise InputError(
            _("{what} must have the columns {columns}", what=what, columns=", ".join(columns)),
            _("{n} missing, the first {column}", n=len(missing), column=repr(missing[0])),
            _("pass the table as it was made"),
        )
