"""Randomisation inference: the assignment drawn again as it was drawn, all else held."""

from dataclasses import dataclass
from math import lgamma

import numpy as np
import pandas as pd

from relocation_analysis.estimation.checks import Check
from relocation_analysis.estimation.clustered import Partialled, least_squares
from relocation_analysis.language import _, join_sentences

ROWS_AT_ONCE = 2_000_000
TIE = 1e-9


@dataclass(frozen=True)
class Randomised:
    """Two-sided p-values of the sharp null of no effect on anyone, by the coefficient and by its clustered t, the number
    of draws, and the base-10 logarithm of the number of assignments there are."""

    p_coefficient: float
    p_t: float
    draws: int
    log10_assignments: float


def randomise(system: Partialled, offered, draw_unit, block, draws: int, generator: np.random.Generator) -> Randomised:
    """Fisher's test by drawing the assignment again (Young 2019, QJE 134(2), on both statistics).

    The offered are drawn among the draw units of a block, as many as were observed there; the regression is that of the
    estimate. p = (1 + draws at least as extreme) / (1 + draws), so it is never zero; ties are extreme.

    Parameters
    ----------
    system : one regressor, the offer, and one outcome, controls partialled out.
    offered, draw_unit, block : (N,) the offer 0/1; who is drawn (a cluster where it was offered by cluster, a row else);
        within what. Offer and block are constant within draw unit.
    draws : how many.
    generator : source of the draws.
    """
    first, unit = np.unique(draw_unit, return_index=True, return_inverse=True)[1:]
    assignment = np.asarray(offered, dtype=float)[first]
    blocks = np.unique(np.asarray(block)[first], return_inverse=True)[1]
    fit = least_squares(system)
    coefficient, t = abs(fit.coefficient[0, 0]), abs(fit.coefficient[0, 0] / fit.std_error[0, 0])
    extreme = np.zeros(2)
    step = max(1, ROWS_AT_ONCE // len(unit))
    for start in range(0, draws, step):
        again = _draw(assignment, blocks, min(step, draws - start), generator)
        estimate, statistic = _statistics(again[:, unit].T * system.root[:, None], system)
        extreme += [(np.abs(estimate) >= coefficient * (1 - TIE)).sum(), (np.abs(statistic) >= t * (1 - TIE)).sum()]
    p = (1 + extreme) / (1 + draws)
    return Randomised(float(p[0]), float(p[1]), draws, _log10_assignments(assignment, blocks))


def _draw(assignment: np.ndarray, blocks: np.ndarray, draws: int, generator: np.random.Generator) -> np.ndarray:
    """(draws, U) assignments with the observed counts in each block."""
    order = np.argsort(blocks + generator.random((draws, len(blocks))), axis=1, kind="stable")
    again = np.empty(order.shape)
    np.put_along_axis(again, order, assignment[np.argsort(blocks, kind="stable")][None, :], axis=1)
    return again


def _statistics(offers: np.ndarray, system: Partialled) -> tuple[np.ndarray, np.ndarray]:
    """Coefficient and clustered t of each column of `offers` (N, B). A draw that the controls span has neither and counts
    as extreme. The factor of CR1 is the same in all of them."""
    y = system.outcomes[:, 0]
    left = offers - system.basis @ (system.basis.T @ offers)
    spread = (left**2).sum(0)
    spread[spread <= TIE * np.maximum((offers**2).sum(0), 1e-300)] = 0.0
    n, g, k = len(y), len(system.labels), 1 + system.basis.shape[1]
    factor = np.sqrt(g / (g - 1) * (n - 1) / (n - k))
    with np.errstate(divide="ignore", invalid="ignore"):
        coefficient = (y @ left) / spread
        order = np.argsort(system.cluster, kind="stable")
        starts = np.searchsorted(system.cluster[order], np.arange(g))
        scores = np.add.reduceat((left * (y[:, None] - left * coefficient))[order], starts, axis=0)
        t = coefficient * spread / (factor * np.sqrt((scores**2).sum(0)))
    return np.where(spread > 0, coefficient, np.inf), np.where(spread > 0, t, np.inf)


def _log10_assignments(assignment: np.ndarray, blocks: np.ndarray) -> float:
    size, ones = np.bincount(blocks), np.bincount(blocks, assignment)
    log = sum(lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1) for n, k in zip(size, ones, strict=True))
    return float(log / np.log(10))


def check_randomisation(name: str, result: Randomised | None, reason: str = "") -> Check:
    """Fisher's test of the effect of the offer, by the t statistic, which in large samples also has the right size for the
    null of no average effect. It is a second p-value of the estimate, so it informs and does not judge."""
    null = _("The offer has no effect on anyone")
    if result is None:
        return Check(name, "randomisation", null, None, None, None, None, _("Not drawn: {reason}.", reason=reason))
    table = pd.DataFrame(
        {"statistic": ["coefficient", "t"], "p_value": [result.p_coefficient, result.p_t], "draws": result.draws}
    )
    note = _("The assignment was drawn again {draws:,} times within its blocks; p is by the t statistic, {p:.3f} by the coefficient.",
             draws=result.draws, p=result.p_coefficient)  # fmt: skip
    few = _("There are few assignments: no smaller p-value can be had.") if result.log10_assignments < np.log10(result.draws) else ""
    return Check(name, "randomisation", null, None, result.p_t, None, table, join_sentences([note, few]))
