"""One grammar for errors: must, problem, fix."""

import pytest

from relocation_analysis.errors import InputError, nearest, unknown_name


def test_an_error_says_what_must_hold_what_was_found_and_what_to_do():
    error = InputError("time must be a number", "1 of 3 values is not, first 'x'", "correct it")
    assert str(error) == "time must be a number.\nProblem: 1 of 3 values is not, first 'x'.\nFix: correct it."
    assert isinstance(error, ValueError) and error.fix == "correct it"


@pytest.mark.parametrize(
    ("name", "expected"),
    [("guizhuo", "guizhou"), ("GUIZHOU", "guizhou"), ("Sichuan", "sichuan"), ("xyz", None), ("", None)],
)
def test_the_nearest_valid_name(name, expected):
    assert nearest(name, ("guizhou", "sichuan", "yunnan")) == expected


def test_an_unknown_name_is_answered_with_the_nearest_or_with_all():
    assert unknown_name("The colour", "gren", ["green", "blue"]).fix == "write 'green'"
    assert unknown_name("The colour", "xyz", ["green", "blue"]).fix == "use one of green, blue"
