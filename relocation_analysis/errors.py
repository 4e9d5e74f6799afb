"""One grammar for every error a user can cause: what must hold, what was found, how to fix it."""

import difflib

from relocation_analysis.language import _, join_list

LISTED = 24


class InputError(ValueError):
    """Something a person gave us is not usable.

    Parameters
    ----------
    must : what has to hold, a sentence without a full stop, in the language spoken, as are the others.
    problem : what was found: the count and one example.
    fix : what the reader can do about it.
    """

    def __init__(self, must: str, problem: str, fix: str):
        self.must, self.problem, self.fix = must, problem, fix
        super().__init__(_("{must}.\nProblem: {problem}.\nFix: {fix}.", must=must, problem=problem, fix=fix))


def nearest(name: str, valid) -> str | None:
    """The valid name most like `name`, or None where none is alike."""
    by_lower = {str(v).lower(): str(v) for v in valid}
    close = difflib.get_close_matches(str(name).lower(), by_lower, n=1, cutoff=0.5)
    return by_lower[close[0]] if close else None


def unknown_name(kind: str, name: str, valid) -> InputError:
    """The error for a name that is not among the valid ones; `kind` is in the language spoken, such as `_("The study")`."""
    valid = [str(v) for v in valid]
    close = nearest(name, valid)
    shown = join_list(valid[:LISTED])
    if len(valid) > LISTED:
        shown = _("{names} or another of the {n}", names=shown, n=len(valid))
    fix = suggest(close) if close else _("use one of {names}", names=shown)
    return InputError(_("{kind} must be a known name", kind=kind),
                      _("{name!r} is not one of the {n} known", name=name, n=len(valid)), fix)  # fmt: skip


def suggest(name: str) -> str:
    """The fix that names the nearest valid name."""
    return _("write {name!r}", name=name)
