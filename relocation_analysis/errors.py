"""One grammar for every error a user can cause: what must hold, what was found, how to fix it."""

import difflib

LISTED = 24


class InputError(ValueError):
    """Something a person gave us is not usable.

    Parameters
    ----------
    must : what has to hold, a sentence without a full stop.
    problem : what was found: the count and one example.
    fix : what the reader can do about it.
    """

    def __init__(self, must: str, problem: str, fix: str):
        self.must, self.problem, self.fix = must, problem, fix
        super().__init__(f"{must}.\nProblem: {problem}.\nFix: {fix}.")


def nearest(name: str, valid) -> str | None:
    """The valid name most like `name`, or None where none is alike."""
    by_lower = {str(v).lower(): str(v) for v in valid}
    close = difflib.get_close_matches(str(name).lower(), by_lower, n=1, cutoff=0.5)
    return by_lower[close[0]] if close else None


def unknown_name(kind: str, name: str, valid) -> InputError:
    """The error for a name that is not among the valid ones."""
    valid = [str(v) for v in valid]
    close = nearest(name, valid)
    shown = ", ".join(valid[:LISTED]) + (f" or another of the {len(valid)}" if len(valid) > LISTED else "")
    fix = f"write {close!r}" if close else f"use one of {shown}"
    return InputError(f"{kind} must be a known name", f"{name!r} is not one of the {len(valid)} known", fix)
