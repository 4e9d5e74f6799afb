"""`python -m relocation_analysis` is `relocation`."""

from relocation_analysis.cli import main

main()
