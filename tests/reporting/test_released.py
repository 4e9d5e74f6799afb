"""What a figure may draw: effects are released once, a base period is nobody's number, notes say what is not there."""

import numpy as np
import pandas as pd
import pytest

from relocation_analysis.estimation.effects import Effects
from relocation_analysis.reporting.released import compose_note, is_withheld, released, say_how_many_withheld, say_part
from relocation_analysis.reporting.selection import is_reference

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
