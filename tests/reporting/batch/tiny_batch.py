"""The command line over a folder of tiny chapters, in a process that a test can kill.

    python tiny_batch.py CHAPTERS batch --out OUT ...

Chapters are the notebooks of the folder, by name; whatever reaches the code's checksum is those notebooks.
"""

import sys
from pathlib import Path

from relocation_analysis.reporting import report
from relocation_analysis.reporting.national import report as national
from relocation_analysis.reporting.run import provenance


def stand_in(folder: Path) -> None:
    """Let the notebooks of `folder` stand in for the project's own."""
    report.NOTEBOOKS = folder
    provenance.code_files = lambda: sorted(folder.glob("*.ipynb"))
    provenance.code_version = lambda: "version of the tests"
    plan = [(path.stem, "") for path in sorted(folder.glob("*.ipynb"))]
    checked = report._plan
    national.write_national = lambda *_: None  # the national notebook is none of them
    report._plan = lambda study: (plan, None if study.simulated else checked(study)[1])


if __name__ == "__main__":
    from relocation_analysis.cli import main

    stand_in(Path(sys.argv[1]))
    main(sys.argv[2:])
