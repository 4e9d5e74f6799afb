"""Reduce a panel once to additive cells: weights, counts and sums by cluster, cohort and stratum.

Every effect, influence value and subgroup of the report is a function of these cells, so the cost of an estimate does
not depend on the number of people. DuckDB does the reduction, from a DataFrame or from Parquet, by the same query.
Sums are exact: each summand is cast to a 64-bit integer multiple of a power of two that lies at least 61 bits below
the largest one, and integers add up to the same number in any order, on any number of threads.
"""

import math
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd

from relocation_analysis.data.codebook import Outcome
from relocation_analysis.errors import InputError
from relocation_analysis.language import _

NEVER = np.inf
BITS = 61


@dataclass(frozen=True)
class Cells:
    """Additive cells of one outcome.

    Attributes
    ----------
    outcome : what was summed.
    paired : True where columns are pairs (time, base) over units observed in both, False where they are times.
    rows : R rows: cluster, cohort (inf = never), age (age cell of a repeated outcome, else 0) and the `by` columns.
    columns : P times, or P pairs (time, base).
    units, size : (R,) number and baseline weight of the units of a row, each unit counted once.
    count, weight, total : (R, P) observations, their weights, and weight times outcome (or its change from base).
    """

    outcome: Outcome
    paired: bool
    rows: pd.DataFrame
    columns: tuple
    units: np.ndarray
    size: np.ndarray
    count: np.ndarray
    weight: np.ndarray
    total: np.ndarray

    def contrast_columns(self, time: int, base: int | None) -> tuple[tuple[int, int], ...]:
        """(column, sign) pairs whose means add up to the change from base to time, or to the level without a base."""
        if base is None:
            return ((self.columns.index(time), 1),)
        if self.paired:
            return ((self.columns.index((time, base)), 1),)
        return ((self.columns.index(time), 1), (self.columns.index(base), -1))

    def subset(self, keep: np.ndarray) -> "Cells":
        """The cells of some rows, such as a subgroup."""
        return Cells(self.outcome, self.paired, self.rows[keep].reset_index(drop=True), self.columns, self.units[keep],
                     self.size[keep], self.count[keep], self.weight[keep], self.total[keep])  # fmt: skip


def build_cells(
    panel: pd.DataFrame | str | Path,
    outcome: Outcome,
    pairs: tuple[tuple[int, int], ...],
    cluster: str,
    by: tuple[str, ...] = (),
) -> Cells:
    """Sum an outcome over the cells of a panel.

    A `panel` outcome is summed by time where every unit is observed at every time, and otherwise by pair (time, base)
    over the units observed in both. A `repeated` outcome is summed by time and age cell.

    Parameters
    ----------
    panel : DataFrame, or a Parquet file or folder, one row per unit and time, with the columns time, cohort (missing =
        never), `cluster`, `by`, the outcome's level (its unit) and, optionally, weight. Rows where the outcome is missing
        are not counted.
    outcome : the column to sum, with its level and sampling.
    pairs : the pairs (time, base) that contrasts need.
    cluster : column of the level at which relocation was assigned.
    by : baseline columns that split cells further: strata and subgroups.
    """
    with _database(os.getpid()).cursor() as connection:
        columns = _attach(connection, panel)
        weighted = "weight" in columns
        _observations(connection, outcome, cluster, by, columns)
        keys = ("cluster", "cohort", "age", *by)
        scale, wscale = _scales(connection, outcome, weighted)
        cells = None
        if outcome.sampling != "panel" or _same_units(connection, weighted):
            cells = _time_cells(connection, outcome, keys, weighted, scale, wscale)
        return cells or _paired_cells(connection, outcome, keys, pairs, scale - 1, wscale)


@lru_cache(maxsize=1)
def _database(process: int) -> duckdb.DuckDBPyConnection:
    """The database of a process, in memory: opening one takes as long as a query. What a cursor makes in it goes with the
    cursor. It has as many threads as numeric kernels may use: one in a worker of a batch, else what DuckDB takes."""
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return duckdb.connect(config={"threads": wanted} if wanted.isdigit() and int(wanted) > 0 else {})


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _attach(connection, panel) -> dict[str, str]:
    """Make the panel readable as table `panel`. Returns its columns, and those of categories as ENUM."""
    if isinstance(panel, pd.DataFrame):
        connection.register("panel", panel)
        return {name: "ENUM" if isinstance(kind, pd.CategoricalDtype) else "" for name, kind in panel.dtypes.items()}
    path = Path(panel)
    files = str(path / "**" / "*.parquet") if path.is_dir() else str(path)
    files = files.replace("'", "''")
    connection.execute(f"CREATE TEMP VIEW panel AS SELECT * FROM read_parquet('{files}')")
    return {name: kind for name, kind, *_ in connection.execute("DESCRIBE panel").fetchall()}


def _observations(connection, outcome: Outcome, cluster: str, by, columns: dict[str, str]) -> None:
    """A view with one row per unit of the outcome's level and time. A household's value stands on each member's row.

    Categories become text, as Parquet has them: rows then sort alike from either.
    """

    def plain(name: str) -> str:
        return f"CAST({_quote(name)} AS VARCHAR)" if columns[name].startswith("ENUM") else _quote(name)

    split = "".join(f", {plain(name)} AS {_quote(name)}" for name in by)
    weight = "weight" if "weight" in columns else "1"
    age = f"CAST(floor(age / {outcome.age_step}) AS INTEGER)" if outcome.age_step else "0"
    connection.execute(f"""
        CREATE TEMP VIEW rows AS SELECT {_quote(outcome.level)} AS unit, {plain(cluster)} AS cluster, time,
            CASE WHEN isfinite(CAST(cohort AS DOUBLE)) THEN CAST(cohort AS DOUBLE) ELSE 'inf' END AS cohort,
            {age} AS age, CAST({weight} AS DOUBLE) AS weight, CAST({_quote(outcome.name)} AS DOUBLE) AS y{split}
        FROM panel WHERE isfinite(CAST({_quote(outcome.name)} AS DOUBLE))""")
    if outcome.level != "person":
        baseline = "".join(f", min({_quote(name)}) AS {_quote(name)}" for name in by)
        connection.execute(f"""
            CREATE TEMP VIEW obs AS SELECT unit, min(cluster) AS cluster, time, min(cohort) AS cohort, min(age) AS age,
                max(weight) AS weight, min(y) AS y{baseline} FROM rows GROUP BY unit, time""")
    else:
        connection.execute("CREATE TEMP VIEW obs AS SELECT * FROM rows")


def _scale(largest: float) -> int:
    """The power of two that puts the largest summand just below 2**BITS; a double has none beyond 2**1023."""
    return min(BITS - math.frexp(largest or 1.0)[1], 1023)


def _fixed(expression: str, scale: int) -> str:
    return f"sum(CAST(({expression}) * {2.0**scale!r} AS BIGINT))"


def _scales(connection, outcome: Outcome, weighted: bool) -> tuple[int, int]:
    """Scales of the sums of weight * y and of weight. Where the file knows its extremes, it is not read for them."""
    name = f"CAST({_quote(outcome.name)} AS DOUBLE)"
    extremes = connection.execute(f"SELECT max({name}), min({name}){', max(weight)' if weighted else ''} FROM panel").fetchone()
    if any(value is not None and not math.isfinite(value) for value in extremes):
        extremes = connection.execute("SELECT max(y), min(y), max(weight) FROM obs").fetchone()
    largest = max((abs(value) for value in extremes[:2] if value is not None), default=1.0)
    weight = float(extremes[2] or 1.0) if weighted else 1.0
    if not math.isfinite(largest * weight):
        raise InputError(_("weight times outcome must be a number that a computer can hold"),
                         _("{name} reaches {largest:g} and weight {weight:g}", name=outcome.name, largest=largest, weight=weight),
                         _("correct them, or state them in a larger unit"))  # fmt: skip
    return _scale(largest * weight), _scale(weight)


def _same_units(connection, weighted: bool) -> bool:
    """False where the units of all rows together, or their weights, differ between times: then those of some row do.

    Equal exclusive-ors of 64-bit hashes over as many units stand for equal sets of units: two different sets agree by
    accident with probability 2**-64.
    """
    query = f"SELECT DISTINCT count(*), {_members(weighted)} FROM obs GROUP BY time"
    return len(connection.execute(query).fetchall()) <= 1


def _members(weighted: bool) -> str:
    return f"bit_xor(hash(unit{', weight' if weighted else ''}))"


def _time_cells(connection, outcome: Outcome, keys, weighted: bool, scale: int, wscale: int) -> Cells | None:
    """Cells by time; None for a panel outcome whose units, or their weights, are not the same at every time in every row."""
    fixed = outcome.sampling == "panel"
    sums = f"count(*) AS count, {_fixed('weight * y' if weighted else 'y', scale)} AS total"
    sums += f", {_fixed('weight', wscale)} AS weight" if weighted else ""
    sums += f", {_members(weighted)} AS members" if fixed else ""
    table = _group(connection, keys, sums, "obs", ("time",))
    times = tuple(sorted(int(t) for t in table["time"].unique()))
    rows = table.drop_duplicates("position")[list(keys)].reset_index(drop=True)
    index, column = table["position"].to_numpy(), np.searchsorted(times, table["time"].to_numpy())

    def spread(values: np.ndarray) -> np.ndarray:
        out = np.zeros((len(rows), len(times)), dtype=values.dtype)
        out[index, column] = values
        return out

    count = spread(table["count"].to_numpy(dtype=float))
    if fixed:
        members = spread(table["members"].to_numpy())
        if not ((members == members[:, :1]) & (count == count[:, :1])).all():
            return None
    total = spread(np.ldexp(table["total"].to_numpy(dtype=float), -scale))
    weight = spread(np.ldexp(table["weight"].to_numpy(dtype=float), -wscale)) if weighted else count
    units, size = (count[:, :1].sum(1), weight[:, :1].sum(1)) if fixed else _sizes(connection, rows, keys, wscale)
    return Cells(outcome, False, rows, times, units, size, count, weight, total)


def _sizes(connection, rows: pd.DataFrame, keys, wscale: int) -> tuple[np.ndarray, np.ndarray]:
    """Units and their baseline weight by row, each unit counted where it was first observed."""
    first = ", ".join(f"arg_min({_quote(k)}, time) AS {_quote(k)}" for k in keys)
    counted = f"(SELECT {first}, arg_min(weight, time) AS weight FROM obs GROUP BY unit)"
    table = _group(connection, keys, f"count(*) AS units, {_fixed('weight', wscale)} AS size", counted)
    numbered = rows.assign(_position=np.arange(len(rows)))
    place = table[list(keys)].merge(numbered, on=list(keys), how="left")["_position"].to_numpy()
    units, size = np.zeros(len(rows)), np.zeros(len(rows))
    units[place] = table["units"]
    size[place] = np.ldexp(table["size"].to_numpy(dtype=float), -wscale)
    return units, size


def _paired_cells(connection, outcome: Outcome, keys, pairs, scale: int, wscale: int) -> Cells:
    """Cells by pair of times. Units become rows of one table, with a column for each time, and then a row for each pair."""
    times = sorted({t for pair in pairs for t in pair})
    values = "".join(f", max(y) FILTER (WHERE time = {t}) AS y{i}" for i, t in enumerate(times))
    connection.execute(f"""
        CREATE TEMP TABLE wide AS SELECT *, {_position(keys)} AS position FROM (
            SELECT {", ".join(f"min({_quote(k)}) AS {_quote(k)}" for k in keys)}, arg_min(weight, time) AS weight{values}
            FROM obs GROUP BY unit)""")
    names = ", ".join(map(_quote, keys))
    table = connection.execute(f"""
        SELECT {names}, count(*) AS units, {_fixed("weight", wscale)} AS size FROM wide GROUP BY position, {names} ORDER BY position""").df()
    changes = ", ".join(f"y{times.index(t)} - y{times.index(b)}" for t, b in pairs)
    sums = connection.execute(f"""
        SELECT position, pair, count(*) AS count, {_fixed("weight", wscale)} AS weight, {_fixed("weight * change", scale)} AS total
        FROM (SELECT position, weight, unnest(range({len(pairs)})) AS pair, unnest([{changes}]::DOUBLE[]) AS change FROM wide)
        WHERE change IS NOT NULL GROUP BY position, pair""").fetchnumpy()

    def spread(name: str, power: int) -> np.ndarray:
        out = np.zeros((len(table), len(pairs)))
        out[sums["position"], sums["pair"]] = np.ldexp(np.asarray(sums[name], dtype=float), -power)
        return out

    size = np.ldexp(table["size"].to_numpy(dtype=float), -wscale)
    return Cells(outcome, True, table[list(keys)], tuple(pairs), table["units"].to_numpy(dtype=float), size,
                 spread("count", 0), spread("weight", wscale), spread("total", scale))  # fmt: skip


def _position(keys) -> str:
    """The number of a combination of keys among all of them, sorted."""
    return f"dense_rank() OVER (ORDER BY {', '.join(f'{_quote(k)} NULLS LAST' for k in keys)}) - 1"


def _group(connection, keys, sums: str, source: str, within: tuple[str, ...] = ()) -> pd.DataFrame:
    """Sums by the keys, and by columns `within` them, sorted; `position` numbers the combinations of keys."""
    names = ", ".join(map(_quote, keys))
    both = ", ".join((names, *within))
    return connection.execute(f"""
        SELECT *, {_position(keys)} AS position
        FROM (SELECT {both}, {sums} FROM {source} GROUP BY {both}) ORDER BY {", ".join(("position", *within))}""").df()
