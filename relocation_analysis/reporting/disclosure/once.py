"""What was released is not released again as long as what it was made of lives: every exhibit of a chapter asks for the same."""

import weakref
from collections.abc import Callable
from functools import wraps
from typing import Any

from relocation_analysis.language import spoken
from relocation_analysis.reporting.disclosure import withheld
from relocation_analysis.reporting.disclosure.rule import kept

_released: dict[tuple, tuple] = {}


def once(release: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """`release` of one thing, done once under a rule and in a language; what it withholds is noted each time.

    The thing is known by itself, not by what it holds: who changes it in place gets what it was. It must not be what `release`
    returns, which would keep it alive.
    """

    @wraps(release)
    def release_once(thing: Any) -> Any:
        key = release.__qualname__, release.__module__, id(thing), kept(), spoken()
        source, result, notes = _released.get(key, (lambda: None, None, ()))
        if source() is thing:
            withheld.repeat(notes)
            return result
        with withheld.listening() as heard:
            result = release(thing)
        _released[key] = weakref.ref(thing, lambda _: _released.pop(key, None)), result, tuple(heard)
        return result

    return release_once
