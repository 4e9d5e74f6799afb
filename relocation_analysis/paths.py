"""Where the checkout keeps what is not code."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "data"
NOTEBOOKS = ROOT / "notebooks"
LOCK = ROOT / "requirements.lock"
