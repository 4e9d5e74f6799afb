"""Checks of an offer: its draw, its balance, its errors side by side, who is observed, and whether anybody took it up."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd

from relocation_analysis.data.codebook import say_level
from relocation_analysis.estimation.bounds import check_bounds, lee_bounds
from relocation_analysis.estimation.checks import Check
from relocation_analysis.estimation.clustered import (
    identified,
    jackknife_influence,
    least_squares,
    leave_one_out,
)
from relocation_analysis.estimation.inference import LEVEL, adjust_holm, pointwise_interval
from relocation_analysis.estimation.instruments import check_first_stage
from relocation_analysis.estimation.offer import late_of
from relocation_analysis.estimation.offer_design import (
    Offer,
    complete_cases,
    controls_of,
    regression,
    require_offer,
    weights_of,
)
from relocation_analysis.estimation.randomisation import Randomised, check_randomisation, randomise
from relocation_analysis.estimation.support import count_fewest
from relocation_analysis.language import _, join_clauses, join_sentences, mark
from relocation_analysis.quantities import format_number, format_p


def check_offer(
    frame: pd.DataFrame, outcome: str, offer: Offer, draws: int, stream: Callable[[str], np.random.Generator], unit: str = ""
) -> list[Check]:
    """Every check of one outcome of an offer, in the order of the report: strata, first stage, errors, randomisation,
    selection.

    `frame` is the roster of those for whom the outcome is defined, observed or not. `stream` gives the generator of a
    purpose, "randomisation" or "bounds", so that neither's draws depend on the other's. `unit` is the outcome's, as notes say it.
    """
    require_offer(frame, offer)
    strata = check_strata(frame, outcome, offer)
    first = check_first_stage(outcome, late_of(frame, outcome, offer), unit)
    if not is_estimable(frame, outcome, offer):
        return [strata, first]
    return [strata, first, check_errors(frame, outcome, offer, (offer.cluster,), unit),
            check_redrawn(frame, outcome, offer, draws, stream("randomisation")),
            check_selection(frame, outcome, offer, draws, stream("bounds"), unit)]  # fmt: skip


def offer_system(frame: pd.DataFrame, outcome: str, offer: Offer):
    """Complete rows of an outcome and their regression on the offer."""
    rows = complete_cases(frame, offer, outcome)
    return rows, regression(rows, rows[["offered"]].to_numpy(dtype=float), (outcome,), offer)


def is_estimable(frame: pd.DataFrame, outcome: str, offer: Offer) -> bool:
    """Whether the rows with a known outcome have an offer that varies within strata."""
    return len(complete_cases(frame, offer, outcome)) > 0 and bool(identified(offer_system(frame, outcome, offer)[1]).all())


def check_strata(frame: pd.DataFrame, outcome: str, offer: Offer) -> Check:
    """Strata in which the offer does not vary: their units stay, are counted in N and K, and tell nothing of the effect."""
    null = _("The offer varies within every stratum")
    rows = complete_cases(frame, offer, outcome)
    if not offer.strata:
        return Check(outcome, "strata", null, None, None, None, None, _("The study has no strata."))
    strata = rows.groupby(list(offer.strata), observed=True)["offered"].agg(["size", "sum"]).reset_index()
    strata = strata.rename(columns={"size": "n_units", "sum": "n_offered"})
    same = (strata["n_offered"] == 0) | (strata["n_offered"] == strata["n_units"])
    told = int(strata.loc[~same, "n_units"].sum())
    lone = int((strata["n_units"] == 1).sum())
    say = offer.shown.count
    note = _("The statistic is the number of units in strata where the offer varies, of {n}. In {same} of {total:,} strata it does not; {lone} "
             "strata hold one unit. Their units are kept and counted, and the effect does not come from them.",
             n=say(len(rows)), same=say(same.sum()), total=len(strata), lone=say(lone))  # fmt: skip
    return Check(outcome, "strata", null, float(told), None, not same.any(), strata[same].reset_index(drop=True), note)


NAMED = {"cluster_cr1": mark("CR1"), "cluster_jackknife": mark("jackknife")}


def check_errors(frame: pd.DataFrame, outcome: str, offer: Offer, clusters: tuple[str, ...], unit: str = "") -> Check:
    """The intention to treat with every error that could be defended: CR1 and the jackknife, by each of these columns."""
    table = pd.concat([_errors(frame, outcome, offer, cluster) for cluster in clusters], ignore_index=True)
    sizes = table["std_error"].dropna()
    ratio = float(sizes.max() / sizes.min()) if len(sizes) else None
    agree = (table["p_value"] < 1 - LEVEL).nunique() == 1
    listed = join_clauses(_("{error} by {cluster} {size} (p {p})", error=_(NAMED[row.se_type]), cluster=say_level(row.cluster),
                            size=format_number(row.std_error, unit), p=format_p(row.p_value)) for row in table.itertuples())  # fmt: skip
    note = join_sentences([_("The statistic is the largest error over the smallest: {listed}.", listed=listed),
                           _("They lead to the same conclusion at 5%.") if agree else _("They do not lead to the same conclusion at 5%.")])  # fmt: skip
    null = _("The conclusion does not depend on how the error is computed")
    return Check(outcome, "errors", null, ratio, None, agree, table, note)


def _errors(frame: pd.DataFrame, outcome: str, offer: Offer, cluster: str) -> pd.DataFrame:
    rows = complete_cases(frame, offer, outcome, cluster)
    one = Offer(cluster, offer.strata, offer.covariates)
    system = regression(rows, rows[["offered"]].to_numpy(dtype=float), (outcome,), one)
    fit = least_squares(system)
    estimate, g = fit.coefficient[0, 0], len(system.labels)
    jackknife = jackknife_influence(estimate, leave_one_out(system)[:, 0, 0])
    std_error = np.array([fit.std_error[0, 0], np.sqrt((jackknife**2).sum())])
    statistic, p_value, low, high = pointwise_interval(estimate, std_error, g - 1)
    return pd.DataFrame({"cluster": cluster, "n_clusters": g, "se_type": ["cluster_cr1", "cluster_jackknife"],
                         "estimate": estimate, "std_error": std_error, "statistic": statistic, "p_value": p_value,
                         "conf_low": low, "conf_high": high})  # fmt: skip


def check_redrawn(frame: pd.DataFrame, outcome: str, offer: Offer, draws: int, generator: np.random.Generator) -> Check:
    """Randomisation inference on the rows of the estimate."""
    if not offer.assigned:
        return check_randomisation(outcome, None, _("how the offer was drawn is not known"))
    return check_randomisation(outcome, redraw(frame, outcome, offer, draws, generator))


def redraw(frame: pd.DataFrame, outcome: str, offer: Offer, draws: int, generator: np.random.Generator) -> Randomised:
    """Draw the offer again among the units, or clusters, of each block whose outcome is known. Units are taken in the
    order of the frame."""
    rows, system = offer_system(frame, outcome, offer)
    unit = rows[offer.cluster].to_numpy() if offer.assigned == "cluster" else np.arange(len(rows))
    return randomise(system, rows["offered"].to_numpy(), unit, _combine(rows, offer.blocks), draws, generator)


def _combine(rows: pd.DataFrame, columns: tuple[str, ...]) -> np.ndarray:
    """(N,) number of each row's combination of columns."""
    return (
        rows.groupby(list(columns), observed=True, dropna=False).ngroup().to_numpy()
        if columns
        else np.zeros(len(rows), dtype=int)
    )


def check_selection(
    frame: pd.DataFrame, outcome: str, offer: Offer, draws: int, generator: np.random.Generator, unit: str = ""
) -> Check:
    """The offer's effect on being observed, and Lee's bounds. Who cannot enter the estimate was not observed; a unit whose
    cluster is not known is one of its own here."""
    rows, system = offer_system(frame, outcome, offer)
    cluster = pd.factorize(frame[offer.cluster])[0]
    cluster = np.where(cluster < 0, cluster.max() + 1 + np.arange(len(frame)), cluster)
    seen = frame.index.isin(rows.index)
    roster = frame.assign(**{offer.cluster: cluster, outcome: frame[outcome].where(seen), "observed": seen.astype(float)})
    roster = complete_cases(roster, offer)
    observed = offer_system(roster, "observed", offer)[1]
    fit = least_squares(observed)
    error = fit.std_error[0, 0]
    p_value = pointwise_interval(fit.coefficient[0, 0], error, len(observed.labels) - 1)[1] if error > 0 else np.nan
    bounds = lee_bounds(roster[outcome].to_numpy(dtype=float), roster["offered"].to_numpy(), controls_of(roster, offer),
                        roster[offer.cluster].to_numpy(), _combine(roster, _nesting(roster, offer)), weights_of(roster),
                        draws, generator)  # fmt: skip
    check = check_bounds(outcome, float(least_squares(system).coefficient[0, 0]), bounds, float(p_value), offer.shown, unit)
    seen = roster.groupby("offered")["observed"]
    return replace(check, table=check.table.assign(fewest=int(np.minimum(seen.sum(), seen.size() - seen.sum()).min())))


def _nesting(rows: pd.DataFrame, offer: Offer) -> tuple[str, ...]:
    """The strata within which clusters lie whole: those within which the bootstrap draws them."""
    return tuple(name for name in offer.strata if (rows.groupby(offer.cluster, observed=True)[name].nunique() <= 1).all())


def check_balance(frame: pd.DataFrame, columns: tuple[str, ...], offer: Offer) -> Check:
    """Each trait from before the offer as an outcome of the same regression, Holm-adjusted."""
    require_offer(frame, offer)
    table = pd.DataFrame([_balance_row(frame, name, offer) for name in columns],
                         columns=["covariate", "mean_not_offered", "difference", "std_error", "p_value", "n_units", "fewest"])  # fmt: skip
    table["p_adjusted"] = adjust_holm(table["p_value"].to_numpy())
    smallest = table["p_adjusted"].min()
    known = bool(np.isfinite(smallest))
    return Check("", "balance", _("Before the offer, those offered were like the others"), None, float(smallest) if known else None,
                 bool(smallest >= 1 - LEVEL) if known else None, table,
                 _("Each trait is an outcome of the offer's regression; the p-value is the smallest, Holm-adjusted."))  # fmt: skip


def _balance_row(frame: pd.DataFrame, name: str, offer: Offer) -> tuple:
    if not is_estimable(frame, name, offer):
        return name, np.nan, np.nan, np.nan, np.nan, len(complete_cases(frame, offer, name)), 0
    rows, system = offer_system(frame, name, offer)
    fit = least_squares(system)
    estimate, error = fit.coefficient[0, 0], fit.std_error[0, 0]
    p_value = pointwise_interval(estimate, error, len(system.labels) - 1)[1] if error > 0 else np.nan
    other = rows[rows["offered"] == 0]
    fewest = min(count_fewest(side, rows[name]) for _offered, side in rows.groupby("offered")[name])
    return name, np.average(other[name], weights=weights_of(other)), estimate, error, p_value, len(rows), fewest
