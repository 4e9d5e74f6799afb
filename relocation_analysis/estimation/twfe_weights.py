"""What two-way fixed effects average: the weight of each cohort-time effect, and how many are negative.

de Chaisemartin & D'Haultfoeuille (2020, AER 110(9)), theorem 1: under parallel trends the coefficient of "has moved"
is in expectation sum w_gt ATT_gt over the treated cells, w_gt = N_gt e_gt / sum N e, with e the residual of "has
moved" from row and time effects. In the sample the sum is exact for one choice of effects: those imputed from the
untreated observations with the same row and time effects (`imputation`). Among the untreated, e lies in the span of
row and time effects, to which the imputation's residuals are orthogonal, so they add nothing to the coefficient.
"""

import numpy as np
import pandas as pd

from relocation_analysis.errors import InputError
from relocation_analysis.estimation.benchmarks import estimate_twfe
from relocation_analysis.estimation.cells import NEVER, Cells
from relocation_analysis.estimation.checks import Check
from relocation_analysis.estimation.design import Design
from relocation_analysis.estimation.estimate import level_cells
from relocation_analysis.estimation.imputation import fit_two_way, spread_cells
from relocation_analysis.language import _, join_sentences
from relocation_analysis.quantities import format_amount

WEIGHT_COLUMNS = ("cohort", "time", "weight", "effect", "contribution", "unknown")


def twfe_weights(cells: Cells, strata: tuple[str, ...] = ()) -> pd.DataFrame:
    """Weight of every cohort-time effect in the two-way fixed effects coefficient of `estimate_twfe`.

    Parameters
    ----------
    cells : of levels by time (`level_cells`).
    strata : the `by` columns of the cells.

    Returns cohort, time, weight (they sum to one), effect (imputed, NaN where it cannot be for all of the cell),
    contribution, and unknown (the weight that falls on rows without an imputed value). Where nothing is unknown the
    contributions sum to the coefficient. On a balanced panel a contribution is weight times effect; elsewhere the
    weight differs between the villages of a cell, and so does the effect.
    """
    grid = spread_cells(cells, ("cluster", "cohort", "age", *strata), ("age",))
    moved = (grid.time >= grid.cohort[:, None]).astype(float)
    residual = fit_two_way(grid.weight, grid.weight * moved).residual
    untreated = grid.weight * (1 - moved)
    left = grid.total - grid.weight * fit_two_way(untreated, grid.total * (1 - moved)).fitted
    with np.errstate(invalid="ignore", divide="ignore"):
        effect = left / grid.weight
    r, c = np.nonzero((moved == 1) & (grid.weight > 0))
    table = pd.DataFrame(
        {
            "cohort": grid.cohort[r],
            "time": grid.time[c],
            "size": grid.weight[r, c],
            "weight": residual[r, c],
            "effect": effect[r, c],
        }
    )
    table["weight"] /= table["weight"].sum()
    table = table.assign(
        contribution=table["weight"] * table["effect"],
        effect=table["size"] * table["effect"],
        unknown=table["weight"].where(table["effect"].isna(), 0.0),
    )
    groups = table.groupby(["cohort", "time"])
    sums = groups[["weight", "size", "unknown"]].sum()
    complete = groups["effect"].count() == groups.size()
    sums[["effect", "contribution"]] = groups[["effect", "contribution"]].sum().where(complete, np.nan)
    return sums.assign(effect=sums["effect"] / sums["size"]).reset_index()[list(WEIGHT_COLUMNS)]


def compare_pairs(cells: Cells) -> pd.DataFrame:
    """The 2x2 comparisons that the two-way fixed effects coefficient is a weighted mean of, on a balanced panel.

    Goodman-Bacon (2021, J. Econometrics 225(2)), theorem 1 and equations 10a to 10g: movers with those who never move
    in the panel, earlier with later movers before these move, and later with earlier movers after these have moved,
    the forbidden comparison.

    Returns kind ("never", "earlier", "later"), treated, comparison (cohorts, inf never), weight (they sum to one),
    estimate.
    """
    cohort, times = cells.rows["cohort"].to_numpy(dtype=float), np.array(cells.columns)
    cohort = np.where(cohort > times[-1], NEVER, cohort)
    groups = np.unique(cohort)
    weight, total = (np.array([a[cohort == g].sum(0) for g in groups]) for a in (cells.weight, cells.total))
    if not np.allclose(cells.weight, cells.weight[:, :1]):
        changing = int((~np.isclose(cells.weight, cells.weight[:, :1])).any(1).sum())
        raise InputError(
            _("The panel must be balanced"),
            _("the weight of {n} of {total} cells changes over time", n=changing, total=len(cells.weight)),
            _("use twfe_weights, which needs no balance"),
        )
    mean, size = total / weight, dict(zip(groups, weight[:, 0] / weight[:, 0].sum(), strict=True))
    level, treated = dict(zip(groups, mean, strict=True)), {g: float((times >= g).mean()) for g in groups}

    def two_by_two(one, other, before, after):
        return (level[one][after].mean() - level[one][before].mean()) - (
            level[other][after].mean() - level[other][before].mean()
        )

    rows = []
    for i, g in enumerate(groups[np.isfinite(groups)]):
        for later in groups[i + 1 :]:
            product, d, e = size[g] * size[later], treated[g], treated[later]
            before, between, after = times < g, (times >= g) & (times < later), times >= later
            kind = "never" if later == NEVER else "earlier"
            rows.append((kind, g, later, product * (d - e) * (1 - d), two_by_two(g, later, before, between)))
            if later != NEVER:
                rows.append(("later", later, g, product * e * (d - e), two_by_two(later, g, between, after)))
    table = pd.DataFrame(rows, columns=["kind", "treated", "comparison", "weight", "estimate"])
    table = table[table["weight"] > 0].reset_index(drop=True)
    return table.assign(weight=table["weight"] / table["weight"].sum())


def check_twfe_weights(design: Design, name: str) -> Check:
    """How many cohort-time effects two-way fixed effects count with the wrong sign, and the sum of their weights.

    The table has `twfe_weights`. It fails where any weight is negative: the coefficient can then be negative though
    every effect is positive.
    """
    outcome, null = design.outcomes[name], _("Two-way fixed effects count no cohort-time effect with the wrong sign")
    cells = level_cells(design, outcome)
    if cells.rows.empty:
        return Check(name, "twfe_weights", null, None, None, None, None, _("Nobody in the panel has the outcome."))
    table = twfe_weights(cells, design.study.design.strata)
    if table.empty or not np.isfinite(table["weight"]).all():
        return Check(name, "twfe_weights", null, None, None, None, None, _("Nobody has moved, or everybody at once: there is no coefficient."))
    negative = table["weight"] < -1e-12
    total = float(table.loc[negative, "weight"].sum()) + 0.0
    coefficient = float(estimate_twfe(design, outcome, cells).table["estimate"].iloc[0])
    first = _("The statistic is the sum of the negative weights: {n} of {total} are negative, and all sum to one.",
              n=int(negative.sum()), total=len(table))  # fmt: skip
    said = format_amount(coefficient, outcome.print_unit)
    second = (_("The coefficient is {coefficient}; weights times imputed effects sum to {sum}.",
                coefficient=said, sum=format_amount(table["contribution"].sum(), outcome.print_unit))
              if table["contribution"].notna().all() else
              _("The coefficient is {coefficient}; weights of {weight:.2g} in all, whatever their sign, fall on rows without untreated "
                "observations to impute from.", coefficient=said, weight=table["unknown"].abs().sum()))  # fmt: skip
    note = join_sentences([first, second])
    return Check(name, "twfe_weights", null, total, None, not bool(negative.any()), table, note)
