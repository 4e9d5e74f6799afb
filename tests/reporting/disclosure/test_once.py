"""A thing is released once under a rule and in a language, and what is withheld is noted each time."""

import gc

import pytest

from relocation_analysis.language import speaking
from relocation_analysis.reporting.disclosure import once, withheld
from relocation_analysis.reporting.disclosure.rule import Rule, keep


@pytest.fixture(autouse=True)
def strictest():
    """Every test under the rule that is kept where nobody states another."""
    keep(Rule())
    withheld.forget()
    yield
    keep(Rule())
    withheld.forget()


class Thing:
    """Something that can be released."""


def releasing():
    """A release that counts its calls and withholds one number."""
    calls = []

    @once.once
    def release(thing):
        calls.append(thing.__class__)
        withheld.note("count", "few_units", outcome="debt")
        return object()

    return release, calls


def test_a_thing_is_released_once_and_another_one_by_itself():
    release, calls = releasing()
    first, second = Thing(), Thing()
    assert release(first) is release(first) and release(second) is not release(first)
    assert len(calls) == 2


def test_another_rule_and_another_language_release_anew():
    release, calls = releasing()
    thing = Thing()
    release(thing)
    keep(Rule(threshold=20))
    release(thing)
    with speaking("zh"):
        release(thing)
    assert len(calls) == 3


def test_what_is_withheld_is_noted_whenever_the_thing_is_asked_for():
    release, _calls = releasing()
    thing = Thing()
    for _time in range(2):
        withheld.forget()
        release(thing)
        assert withheld.take() == ({"outcome": "debt", "what": "count", "reason": "few_units"},)


def test_what_was_released_goes_with_the_thing():
    release, _calls = releasing()
    thing, held = Thing(), len(once._released)
    release(thing)
    assert len(once._released) == held + 1
    del thing
    gc.collect()
    assert len(once._released) == held
