"""Cells are exact sums: by hand, against math.fsum, and the same bits however the panel arrives.

A sum of n fixed-point summands is off by at most n / 2 units of 2**-60 of the largest one: 1e-14 of it for
20,000. Relative to the sum of absolute values, the bound that any summation has, that is below 1e-15.
"""

import math

import numpy as np
import pandas as pd
import pytest

from relocation_analysis.data.codebook import Outcome
from relocation_analysis.errors import InputError
from relocation_analysis.estimation.cells import NEVER, build_cells
from relocation_analysis.randomness import generator

Y = Outcome(name="y", domain="other", unit="", label_en="y")
PAIRS = ((2, 1), (3, 1), (3, 2))


def outcome(**settings):
    return Y.model_copy(update=settings)


def small_panel():
    """Persons a, b (village u, cohort 2) and c (village v, never) at times 1 and 2; b weighs 2."""
    return pd.DataFrame(
        {
            "person": ["a", "a", "b", "b", "c", "c"],
            "household": ["h", "h", "h", "h", "k", "k"],
            "village": list("uuuuvv"),
            "time": [1, 2] * 3,
            "cohort": [2.0] * 4 + [np.nan] * 2,
            "weight": [1.0, 1, 2, 2, 1, 1],
            "y": [1.0, 4, 3, 5, 7, 7],
            "age": [5, 6, 16, 17, 5, 6],
        }
    )


def large_panel(units=40_000, times=(1, 2, 3)):
    rng = generator("test_cells")
    person = np.repeat(np.arange(units), len(times))
    village = person % 211
    return pd.DataFrame(
        {
            "person": person,
            "village": village,
            "time": np.tile(times, units),
            "cohort": np.where(village % 3 == 0, np.nan, 2.0 + village % 2),
            "weight": np.repeat(rng.random(units), len(times)),
            "sex": pd.Categorical.from_codes(person % 2, ["male", "female"]),
            "y": rng.standard_normal(units * len(times)),
        }
    )


def same_bits(one, other):
    assert one.columns == other.columns and one.paired == other.paired
    pd.testing.assert_frame_equal(one.rows, other.rows)
    for name in ("units", "size", "count", "weight", "total"):
        assert getattr(one, name).tobytes() == getattr(other, name).tobytes(), name


def test_a_balanced_panel_is_summed_by_time():
    cells = build_cells(small_panel(), Y, ((2, 1),), "village")
    assert not cells.paired and cells.columns == (1, 2)
    assert cells.rows[["cluster", "cohort", "age"]].values.tolist() == [["u", 2.0, 0], ["v", NEVER, 0]]
    # village u: weights 1 + 2; totals 1 x 1 + 2 x 3 = 7 and 1 x 4 + 2 x 5 = 14
    np.testing.assert_array_equal(cells.count, [[2, 2], [1, 1]])
    np.testing.assert_array_equal(cells.weight, [[3, 3], [1, 1]])
    np.testing.assert_array_equal(cells.total, [[7, 14], [7, 7]])
    np.testing.assert_array_equal([cells.units, cells.size], [[2, 1], [3, 1]])


def test_an_unbalanced_panel_is_summed_over_units_seen_at_both_times():
    cells = build_cells(small_panel().drop(index=3), Y, ((2, 1),), "village")
    assert cells.paired and cells.columns == ((2, 1),)
    # only a is seen twice: 4 - 1 = 3; b still counts in the size of the cohort
    np.testing.assert_array_equal(cells.total, [[3], [0]])
    np.testing.assert_array_equal([cells.count[:, 0], cells.weight[:, 0]], [[1, 1], [1, 1]])
    np.testing.assert_array_equal([cells.units, cells.size], [[2, 1], [3, 1]])


def test_a_weight_that_changes_over_time_makes_pairs_with_the_first_weight():
    panel = small_panel()
    panel.loc[3, "weight"] = 9.0
    cells = build_cells(panel, Y, ((2, 1),), "village")
    # a: 1 x (4 - 1); b: 2 x (5 - 3)
    assert cells.paired and cells.total[0, 0] == 7 and cells.weight[0, 0] == 3


def test_a_household_outcome_is_counted_once():
    panel = small_panel().assign(y=[1.0, 4, 1, 4, 7, 7], weight=1.0)
    cells = build_cells(panel, outcome(level="household"), ((2, 1),), "village")
    np.testing.assert_array_equal(cells.count, [[1, 1], [1, 1]])
    np.testing.assert_array_equal(cells.total, [[1, 4], [7, 7]])


def test_a_household_whose_cohort_changes_with_its_members_is_one_pair():
    panel = small_panel().assign(
        y=[1.0, 4, 1, 4, 7, 7], weight=1.0, cohort=[2.0, np.nan, 3, 3, np.nan, np.nan]
    )
    cells = build_cells(panel, outcome(level="household"), ((2, 1),), "village")
    assert cells.paired and cells.rows["cohort"].tolist() == [2.0, NEVER]
    np.testing.assert_array_equal(cells.total, [[3], [0]])


def test_a_repeated_outcome_is_summed_by_time_and_age_cell():
    cells = build_cells(small_panel(), outcome(sampling="repeated", age_step=5), (), "village")
    # a is 5 and 6 (cell 1), b 16 and 17 (cell 3), c 5 and 6 (cell 1)
    assert cells.rows[["cluster", "age"]].values.tolist() == [["u", 1], ["u", 3], ["v", 1]]
    np.testing.assert_array_equal(cells.total, [[1, 4], [6, 10], [7, 7]])
    np.testing.assert_array_equal([cells.units, cells.size], [[1, 1, 1], [1, 2, 1]])


def test_cells_of_a_subgroup_are_the_cells_of_the_panel_without_the_others():
    panel = large_panel(600)
    women = panel["sex"] == "female"
    cells = build_cells(panel, Y, PAIRS, "village", ("sex",))
    kept = cells.subset((cells.rows["sex"] == "female").to_numpy())
    same_bits(kept, build_cells(panel[women], Y, PAIRS, "village", ("sex",)))


def test_unknown_outcomes_and_infinite_cohorts_mean_what_missing_ones_mean():
    panel = small_panel()
    panel.loc[5, "y"] = np.nan
    expected = build_cells(panel.drop(index=5), Y, ((2, 1),), "village")
    same_bits(build_cells(panel, Y, ((2, 1),), "village"), expected)
    same_bits(build_cells(panel.assign(y=panel["y"].fillna(np.inf)), Y, ((2, 1),), "village"), expected)
    same_bits(
        build_cells(panel.assign(cohort=panel["cohort"].fillna(np.inf)), Y, ((2, 1),), "village"), expected
    )


def test_times_may_be_negative_and_names_odd():
    panel = (
        small_panel()
        .assign(time=[-2, -1] * 3)
        .drop(index=3)
        .rename(columns={"village": 'the "village"', "y": "y 'n"})
    )
    cells = build_cells(panel, outcome(name="y 'n"), ((-1, -2),), 'the "village"')
    np.testing.assert_array_equal(cells.total, [[3], [0]])


def test_an_outcome_that_nobody_has_gives_no_cells():
    panel = small_panel().assign(y=np.nan)
    assert len(build_cells(panel, Y, (), "village").rows) == 0
    assert len(build_cells(panel, outcome(sampling="repeated"), (), "village").rows) == 0


@pytest.mark.parametrize("drop", [0, 1], ids=["by time", "by pair"])
def test_row_order_does_not_change_a_bit(drop):
    panel = large_panel(3000).iloc[drop:]
    shuffled = panel.iloc[generator("rows").permutation(len(panel))]
    same_bits(*(build_cells(p, Y, PAIRS, "village", ("sex",)) for p in (panel, shuffled)))


@pytest.mark.parametrize("drop", [0, 1], ids=["by time", "by pair"])
def test_the_number_of_threads_does_not_change_a_bit(monkeypatch, drop):
    panel, found = large_panel(90_000).iloc[drop:], []
    for threads in ("1", "2", "7"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        found.append(build_cells(panel, Y, PAIRS, "village", ("sex",)))
    same_bits(found[0], found[1])
    same_bits(found[0], found[2])


@pytest.mark.parametrize("drop", [0, 1], ids=["by time", "by pair"])
def test_a_frame_a_parquet_file_and_a_folder_give_the_same_bits(tmp_path, drop):
    panel = large_panel(3000).iloc[drop:]
    panel.to_parquet(tmp_path / "one.parquet", index=False)
    for number, part in panel.groupby(panel["village"] % 3):
        folder = tmp_path / "many" / f"part={number}"
        folder.mkdir(parents=True)
        part.to_parquet(folder / "rows.parquet", index=False)
    expected = build_cells(panel, Y, PAIRS, "village", ("sex",))
    same_bits(build_cells(tmp_path / "one.parquet", Y, PAIRS, "village", ("sex",)), expected)
    same_bits(build_cells(tmp_path / "many", Y, PAIRS, "village", ("sex",)), expected)


def test_the_panel_is_left_as_it_was():
    panel = large_panel(500)
    before = panel.copy(deep=True)
    build_cells(panel, Y, PAIRS, "village", ("sex",))
    pd.testing.assert_frame_equal(panel, before)


@pytest.mark.parametrize("spread", [1.0, 8.0], ids=["alike", "over seven orders of magnitude"])
def test_sums_equal_fsum(spread):
    panel = large_panel(20_000).assign(village=1, cohort=2.0)
    rng = generator("fsum", spread)
    panel["y"] = rng.standard_normal(len(panel)) * np.exp(spread * rng.standard_normal(len(panel)))
    cells = build_cells(panel, Y, PAIRS, "village")
    for column, time in enumerate(cells.columns):
        rows = panel[panel["time"] == time]
        product = rows["weight"] * rows["y"]
        assert abs(cells.total[0, column] - math.fsum(product)) <= 1e-15 * math.fsum(product.abs())
        assert cells.weight[0, column] == pytest.approx(math.fsum(rows["weight"]), rel=1e-15)


@pytest.mark.parametrize(
    ("power", "digits"), [(-1000, 1e-6), (-900, 1e-15), (-300, 1e-15), (300, 1e-15), (900, 1e-15)]
)
@pytest.mark.parametrize("drop", [0, 1], ids=["by time", "by pair"])
def test_outcomes_of_any_size_are_summed_alike(power, digits, drop):
    panel = large_panel(300).iloc[drop:]
    expected = build_cells(panel, Y, PAIRS, "village")
    scaled = build_cells(panel.assign(y=panel["y"] * 2.0**power), Y, PAIRS, "village")
    # beyond 2**-962 the power of two that the sums are held in is not a double: bits are lost, nothing breaks
    scale = np.abs(expected.total).max() * 2.0**power
    np.testing.assert_allclose(scaled.total / scale, expected.total * 2.0**power / scale, rtol=0, atol=digits)


def test_a_product_beyond_the_largest_number_is_an_error():
    panel = small_panel().assign(weight=1e10, y=1e300)
    with pytest.raises(InputError, match="weight times outcome must be a number that a computer can hold"):
        build_cells(panel, Y, ((2, 1),), "village")
