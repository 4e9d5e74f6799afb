"""The sample flow as it may be shown: no step that tells of few people, and none that could be worked out from the others."""

import math

import numpy as np
import pandas as pd

from relocation_analysis.reporting.disclosure import withheld
from relocation_analysis.reporting.disclosure.once import once
from relocation_analysis.reporting.disclosure.rule import kept, round_count

FILE = "file"  # the first step, which drops nobody by construction


def release_flow(flow: pd.DataFrame) -> pd.DataFrame:
    """A flow as it may be shown: what a step dropped is missing where it is fewer units than the threshold, zero included.

    Rows of few units are few too: their number is missing below the threshold times the waves of a unit, unless enough units went
    with them. What was left right after such a step is missing as well, but at the end. What is shown is rounded, which leaves
    several values possible for what is not; where rounding leaves fewer than the rule's base less one, the next smallest step
    of the outcome is missing, too.
    """
    if kept().public or flow.empty:
        return flow
    return _release(flow)


@once
def _release(flow: pd.DataFrame) -> pd.DataFrame:
    parts = [_release_outcome(group) for _, group in flow.groupby("outcome", sort=False, dropna=False)]
    return pd.concat(parts).loc[flow.index]


def _release_outcome(group: pd.DataFrame) -> pd.DataFrame:
    threshold = kept().threshold
    first = group.iloc[0]
    waves = max(1, math.ceil(first["rows_left"] / first["units_left"])) if first["units_left"] else 1
    enough = group["units_dropped"].ge(threshold).to_numpy()
    shown, columns = {}, {}
    for kind, limit in (("units", threshold), ("rows", threshold * waves)):
        drop, left = (group[f"{kind}_{what}"].to_numpy(dtype=float) for what in ("dropped", "left"))
        shown[kind] = (drop >= limit) | enough | group["step"].eq(FILE).to_numpy()
        seen = _protect(drop, left, shown[kind], limit)
        columns[f"{kind}_dropped"] = [_show(d, s, f) for d, s, f in zip(drop, shown[kind], group["step"].eq(FILE), strict=True)]
        columns[f"{kind}_left"] = [round_count(value) if s else np.nan for value, s in zip(left, seen, strict=True)]
    for step in group.loc[~(shown["units"] & shown["rows"]), "step"]:
        withheld.note("flow", "few_units", outcome=first["outcome"], aggregation=step)
    return group.assign(**columns)


def _show(dropped: float, shown: bool, is_file: bool) -> float:
    return dropped if is_file else round_count(dropped) if shown else np.nan


def _protect(drop: np.ndarray, left: np.ndarray, shown: np.ndarray, limit: float) -> np.ndarray:
    """Which of the numbers left are shown; `shown` loses the steps whose number would give another one away."""
    seen = shown.copy()
    seen[-1] = True
    seen &= left >= kept().threshold
    while True:
        anchors = np.flatnonzero(seen)
        for start, end in zip(anchors[:-1], anchors[1:], strict=True):
            steps = np.arange(start + 1, end + 1)
            if _is_told(drop, left, shown, steps, limit) and shown[steps].any():
                shown[min(steps[shown[steps]], key=lambda i: drop[i])] = False
                break
        else:
            return seen


def _is_told(drop: np.ndarray, left: np.ndarray, shown: np.ndarray, steps: np.ndarray, limit: float) -> bool:
    """Whether what is shown leaves too few values for a step that is not, between two numbers left that are shown."""
    base, hidden = kept().base, steps[~shown[steps]]
    if len(hidden) == 0 or (drop[hidden] >= limit).any():  # a step hidden beside it may have any size
        return False
    half = base // 2
    between = round_count(left[steps[0] - 1]) - round_count(left[steps[-1]]) - sum(round_count(drop[i]) for i in steps[shown[steps]])
    slack = half * (2 + int(shown[steps].sum()))
    low, high = between - slack - (limit - 1) * (len(hidden) - 1), between + slack
    return min(high, limit - 1) - max(low, 0) + 1 < base - 1
