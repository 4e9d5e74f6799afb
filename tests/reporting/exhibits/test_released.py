"""What an exhibit may show: effects are released once, a base period is nobody's number, notes say what is not there."""

import numpy as np
import pandas as pd
import pytest

from relocation_analysis.estimation.effects import Effects
from relocation_analysis.language import speaking
from relocation_analysis.reporting.disclosure.release import Rule, keep
from relocation_analysis.reporting.exhibits.released import (
    close_note,
    compose_note,
    is_withheld,
    released,
    say_how_many_withheld,
    say_part,
    show_count,
    withhold_shares,
)
from relocation_analysis.reporting.exhibits.selection import is_reference

CASES = {"none": "none of {total} do", "one": "one of {total} does", "some": "{part} of {total} do.", "every": "all {total} do"}


def test_effects_are_released_once_and_what_is_withheld_stays_so(effects):
    thin = Effects(effects.table.assign(n_units=np.where(effects.table["outcome"] == "debt", 9, 3_120)), None, None)
    once = released(thin)
    assert released(once) is once
    hidden = is_withheld(once.table)
    assert hidden[once.table["outcome"].eq("debt") & ~is_reference(once.table)].all()
    assert once.table.loc[hidden, ["estimate", "std_error", "conf_low", "n_units"]].isna().all(axis=None)


def test_a_base_period_of_nobody_is_not_withheld(effects):
    table = effects.table.copy()
    base = is_reference(table)
    table.loc[base, ["n_units", "n_clusters_treated", "n_clusters_comparison"]] = 0
    shown = released(Effects(table, None, None)).table
    assert base.any() and shown.loc[base, "estimate"].eq(0).all() and not is_withheld(shown)[base].any()


def test_a_note_says_only_what_is_missing():
    row = {"estimate": 1.0, "std_error": 0.1, "conf_low": 0.8, "event_time": 1.0, "withheld": ""}
    whole = pd.DataFrame([row])
    assert compose_note(whole, "First.", "", "Last.") == "First. Last."
    assert compose_note(whole, "First.", counts=True) == "First. Counts are rounded to 5."
    bare = pd.DataFrame([row | {"std_error": np.nan, "conf_low": np.nan}])
    assert compose_note(bare, "First.").startswith("First. No interval is given where fewer than five clusters")
    hidden = pd.DataFrame([row, row | {"estimate": np.nan, "conf_low": np.nan, "withheld": "few_units"}])
    assert compose_note(hidden, "First.").startswith("First. [c]: withheld, because fewer than 10 units or 3 clusters on a side")
    assert "No interval" not in compose_note(hidden, "First.")


@pytest.mark.parametrize(
    ("part", "total", "said"),
    [(0, 4, "none of four do"), (1, 4, "one of four does"), (2, 4, "Two of four do."), (4, 4, "all four do"), (1, 1, "all one do")],
)
def test_a_part_of_a_count_takes_the_sentence_that_fits(part, total, said):
    assert say_part(part, total, **CASES) == said


def test_how_many_numbers_are_withheld_is_said_in_words():
    assert [say_how_many_withheld(n) for n in (0, 1, 3)] == ["", "One number is withheld.", "Three numbers are withheld."]


@pytest.fixture
def public():
    keep(Rule(public=True))
    yield
    keep(Rule())


def test_public_data_are_released_as_they_are(effects, public):
    pd.testing.assert_frame_equal(released(effects).table.drop(columns="withheld"), effects.table)


def test_a_count_that_is_missing_is_withheld_unless_the_data_are_public(public):
    assert (show_count(1240.0), show_count(float("nan"))) == ("1,240", "\u2013")
    keep(Rule())
    assert (show_count(1240.0), show_count(float("nan"))) == ("1,240", "[c]")


@pytest.mark.parametrize(
    ("counts", "withheld"),
    [
        ((40, 30, 30), [False, False, False]),
        ((80, 14, 6), [False, True, True]),  # 6 are too few, and 100% less the others would tell them
        ((70, 9, 9, 12), [False, True, True, False]),
        ((100,), [False]),  # the only row of a table: everybody can see that it is all
        ((9,), [True]),
        ((95, 5), [True, True]),
        ((0, 50, 50), [True, True, False]),
    ],
)
def test_a_part_of_a_whole_is_withheld_with_another_that_would_tell_it(counts, withheld):
    assert withhold_shares(counts) == withheld


def test_public_shares_are_all_shown(public):
    assert withhold_shares((95, 5)) == [False, False] and withhold_shares((9,)) == [False]


def test_a_note_explains_what_its_table_has(public):
    body = [("[c]",), ("a", "[c]", "3")]
    assert close_note("Note.", body[:1]) == "Note."
    keep(Rule(threshold=12))
    assert close_note("Note.", [("[c]", "3")], counts=False) == "Note."  # the first cell is a label
    assert close_note("Note.", body, counts=False) == "Note. [c]: withheld, because it is a count below 12, or would reveal one."
    assert close_note("", body, effects=True).startswith("[c]: withheld, because fewer than 12 units or 3 clusters")
    with speaking("zh"):
        assert close_note("注。", body) == "注。[c]：不予披露，因为它是小于12的计数，或会泄露这样的计数。计数按5的倍数取整。"
