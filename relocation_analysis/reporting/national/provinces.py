"""What the reports of provinces published, read again, and which of them may be compared."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from relocation_analysis.data.facts import label_province, province_slugs
from relocation_analysis.data.study import Study
from relocation_analysis.language import _
from relocation_analysis.reporting.disclosure.exposures import EXPOSURE_COLUMNS
from relocation_analysis.reporting.run import provenance

NATIONAL, RUN = "national", "run.json"
READ = ("exposures.csv", "checks.csv")
TEXTS = ("outcome", "estimator", "estimand", "se_type", "withheld")
CHECK_COLUMNS = ("outcome", "name", "passed")


@dataclass(frozen=True)
class Reports:
    """The reports of the provinces of a study.

    Attributes
    ----------
    study : the study, whose code and settings the reports have to share.
    provinces : one row a report found: province, label, folder, and `problem`, a sentence where it cannot be compared.
    exposures : province, label and `EXPOSURE_COLUMNS` of those that can.
    checks : province, outcome (blank where the check is of the design), name, passed (True, False or None).
    """

    study: Study
    provinces: pd.DataFrame
    exposures: pd.DataFrame
    checks: pd.DataFrame


def read_reports(study: Study, folder: str | Path) -> Reports:
    """Read what the reports of provinces published in the language of `study`: exposures, checks, and how they were made.

    Nothing else is read, so that nothing which a report withheld comes back.

    Parameters
    ----------
    study : any province of it.
    folder : of all reports; those of the study are in `folder`/study/province/language.

    Returns
    -------
    Reports, in the order of the programme's provinces, others after them by name. A report made by other code or with other
    settings than those of `study`, or whose files are not those it wrote, is listed with its problem and not read.
    """
    wanted = json.loads(json.dumps(provenance.origin(study)))
    found = [_read(path.parent, wanted, study.language) for path in list_runs(study, folder)]
    known = list(province_slugs())
    found.sort(key=lambda one: (known.index(one["province"]) if one["province"] in known else len(known), one["province"]))
    provinces = pd.DataFrame([{k: one[k] for k in ("province", "label", "folder", "problem")} for one in found],
                             columns=["province", "label", "folder", "problem"])  # fmt: skip
    usable = [one for one in found if not one["problem"]]
    return Reports(study, provinces, _stack(usable, "exposures.csv", EXPOSURE_COLUMNS), _stack(usable, "checks.csv", CHECK_COLUMNS))


def list_runs(study: Study, folder: str | Path) -> list[Path]:
    """The `run.json` of every report of a province of the study, in its language."""
    paths = sorted((Path(folder) / study.name).glob(f"*/{study.language}/{RUN}"))
    return [path for path in paths if _province(path) not in (None, NATIONAL)]


def _province(path: Path) -> str | None:
    try:
        return json.loads(path.read_text(encoding="utf-8"))["province"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _read(folder: Path, wanted: dict, language: str) -> dict:
    run = json.loads((folder / RUN).read_text(encoding="utf-8"))
    one = {"province": run["province"], "label": label_province(run["province"], language), "folder": folder.parent.name}
    one["problem"] = say_difference(run.get("origin"), wanted) or _say_damage(folder, run)
    if not one["problem"]:
        one |= {name: pd.read_csv(folder / name, keep_default_na=True) for name in READ}
    return one


def say_difference(origin: dict | None, wanted: dict) -> str:
    """How a report was made differently from what is asked for, a sentence; blank where it was not."""
    if not origin:
        return _("It does not say how it was made.")
    if origin.get("checksum") != wanted["checksum"]:
        return _("It was made by other code.")
    if origin.get("python") != wanted["python"]:
        return _("It was made with Python {there}, not {here}.", there=origin.get("python"), here=wanted["python"])
    there, here = origin.get("settings", {}), wanted["settings"]
    differ = [name for name in sorted({*there, *here}) if there.get(name) != here.get(name)]
    if not differ:
        return ""
    first = differ[0]
    text = _("It was made with {name} = {there}, not {here}", name=first, there=there.get(first), here=here.get(first))
    if len(differ) > 1:
        return _("{text}; {n} settings differ in all.", text=text, n=len(differ))
    return _("{text}.", text=text)


def _say_damage(folder: Path, run: dict) -> str:
    for name in READ:
        try:
            intact = provenance.sha256_of(folder / name) == run["outputs"][name]
        except (OSError, KeyError):
            intact = False
        if not intact:
            return _("Its file {name} is not the one that it wrote.", name=name)
    return ""


def _stack(reports: list[dict], name: str, columns: tuple[str, ...]) -> pd.DataFrame:
    frames = [one[name].reindex(columns=list(columns)).assign(province=one["province"], label=one["label"]) for one in reports]
    names = ["province", "label", *columns]
    full = [frame.astype(object) for frame in frames if len(frame)]
    table = pd.concat(full, ignore_index=True)[names] if full else pd.DataFrame(columns=names, dtype=object)
    texts = [c for c in ("province", "label", *TEXTS, "name") if c in table]
    table[texts] = table[texts].astype(object).where(table[texts].notna(), "")
    if "passed" in table:
        table["passed"] = [{"True": True, "False": False}.get(str(value)) for value in table["passed"]]
        return table
    numbers = [c for c in table.columns if c not in texts]
    return table.astype(dict.fromkeys(numbers, float)).replace([np.inf, -np.inf], np.nan)
