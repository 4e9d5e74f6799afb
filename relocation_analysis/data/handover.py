"""A panel that one process has read, given to others in memory: it stands on no disk, and is gone with who gave it."""

import os
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from relocation_analysis.data.study import Study

PANEL = "RELOCATION_PANEL"


@contextmanager
def hand_over(panel: "pd.DataFrame", study: "Study") -> Iterator[dict[str, str]]:
    """Inside, processes of the same user that have the environment given here find the panel by `take_over`.

    The environment is empty where the system has no memory that another process can open by name, which Linux has.
    """
    if not hasattr(os, "memfd_create"):
        yield {}
        return
    with open(os.memfd_create("panel"), "wb") as memory:
        pickle.dump((key_of(study), panel), memory, protocol=5)
        memory.flush()
        del panel  # whoever calls may be done with it
        yield {PANEL: f"/proc/{os.getpid()}/fd/{memory.fileno()}"}


def take_over(study: "Study") -> "pd.DataFrame | None":
    """The panel of a study where this process was given it, the same to the bit; else None.

    What is read was pickled by the process that set the environment, which could as well have run any code here.
    """
    place = os.environ.get(PANEL)
    if not place:
        return None
    try:
        with open(place, "rb") as memory:
            key, panel = pickle.load(memory)
    except (OSError, EOFError, pickle.UnpicklingError):  # who gave it has ended, or runs elsewhere
        return None
    return panel if key == key_of(study) else None


def key_of(study: "Study", *but: str) -> tuple[str, str]:
    """What decides the panel of a study: its file and its settings, `but` those that do not matter, its language first of all."""
    return study.file, study.model_dump_json(exclude={"language", *but})
