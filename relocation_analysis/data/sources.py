"""Where data files come from and how they are read: the edge at which the outside enters."""

import hashlib
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from relocation_analysis.errors import InputError, nearest, suggest, unknown_name
from relocation_analysis.language import _, join_list
from relocation_analysis.paths import DATA

if TYPE_CHECKING:
    import pandas as pd

MIRROR = "RELOCATION_DATA_MIRROR"


def fetch(url: str, sha256: str, local_name: str) -> Path:
    """The file of a public study, with its checksum verified.

    Where the environment variable RELOCATION_DATA_MIRROR names a folder, it stands in for the network: the
    file is read there by `local_name` and nothing is written. Otherwise a file put into data/raw by hand is
    used, else the copy in the user's cache, else it is downloaded to that cache.

    Parameters
    ----------
    url : where the file is, at a fixed version.
    sha256 : its checksum, hexadecimal.
    local_name : its name on disk.

    Raises
    ------
    InputError : the file is nowhere, or its checksum differs; says what to download and where to put it.
    """
    by_hand = DATA / "raw" / local_name
    mirror = os.environ.get(MIRROR)
    if mirror:
        return _verified(Path(mirror) / local_name, url, sha256)
    if by_hand.is_file():
        return _verified(by_hand, url, sha256)
    return _download(url, sha256, by_hand)


def _verified(path: Path, url: str, sha256: str) -> Path:
    if not path.is_file():
        raise InputError(_("The folder that {variable} names must hold {file}", variable=MIRROR, file=path.name),
                         _("there is no file {path!r}", path=str(path)),
                         _("download {url} and save it there, or unset {variable}", url=url, variable=MIRROR))  # fmt: skip
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256.lower():
        raise InputError(_("A data file must have the checksum that its study states"),
                         _("{path!r} has sha256 {found}, not {wanted}", path=str(path), found=found, wanted=sha256),
                         _("download {url} again and save it there", url=url))  # fmt: skip
    return path


def _download(url: str, sha256: str, by_hand: Path) -> Path:
    import pooch

    pooch.get_logger().setLevel("WARNING")
    cache = pooch.os_cache("relocation-analysis")
    try:
        path = pooch.retrieve(url, f"sha256:{sha256.lower()}", by_hand.name, cache)
    except (OSError, ValueError) as error:
        raise InputError(_("The data of the study must be on this machine or within reach of the network"),
                         _("{file} could not be fetched: {reason}", file=by_hand.name, reason=_first_line(error)),
                         _("download {url} and save it as {path!r}; its sha256 is {sha256}",
                           url=url, path=str(by_hand), sha256=sha256)) from None  # fmt: skip
    return Path(path)


def read_file(path: str | Path, object: str | None = None) -> "pd.DataFrame":
    """Read one table.

    Parameters
    ----------
    path : a .csv (UTF-8), .parquet, .dta, .rda, .RData or .rds file, or a folder of Parquet files.
    object : which table of an .rda file; not needed where it holds one.

    Returns
    -------
    The table as it is stored: numbers to the last bit, Stata's codes rather than its value labels, R's
    factors as text. Blank text of a Stata file is missing, as it is in Stata.

    Raises
    ------
    InputError : no such file, not of a known type, unreadable, or without rows.
    """
    path = Path(path)
    if not path.exists():
        close = nearest(path.name, _names_beside(path))
        raise InputError(_("A data file must exist"), _("there is no file {path!r}", path=str(path)),
                         suggest(close) if close else _("correct the path"))  # fmt: skip
    kind = ".parquet" if path.is_dir() else path.suffix.lower()
    if kind not in READERS:
        raise InputError(_("A data file must be of a known type"),
                         _("{file!r} ends in {suffix!r}", file=path.name, suffix=path.suffix),
                         _("save it as one of {names}", names=join_list(READERS)))  # fmt: skip
    try:
        table = READERS[kind](path, object)
    except InputError:
        raise
    except Exception as error:  # each reader fails in its own ways on a damaged file
        fix = (_("check that the file is whole and of the type its name says; text must be UTF-8") if kind == ".csv" else
               _("check that the file is whole and of the type its name says"))  # fmt: skip
        raise InputError(_("A {kind} file must be readable", kind=kind), f"{path.name}: {_first_line(error)}", fix) from error  # fmt: skip
    if table.empty:
        raise InputError(_("A data file must hold rows"),
                         _("{file} has {n} rows and {columns} columns", file=path.name, n=len(table), columns=len(table.columns)),
                         _("check how it was written"))  # fmt: skip
    return table


def _names_beside(path: Path) -> list[str]:
    return [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0].rstrip(".") or type(error).__name__


def _read_csv(path: Path, object: str | None) -> "pd.DataFrame":
    import pandas as pd

    try:
        return pd.read_csv(path, encoding="utf-8-sig", low_memory=False)
    except pd.errors.EmptyDataError:
        return pd.DataFrame()


def _read_parquet(path: Path, object: str | None) -> "pd.DataFrame":
    import pandas as pd

    return _plain(pd.read_parquet(path))


def _read_stata(path: Path, object: str | None) -> "pd.DataFrame":
    import pandas as pd

    table = pd.read_stata(path, convert_categoricals=False)
    text = table.select_dtypes(["str", "object"]).columns
    return pd.DataFrame({name: table[name].replace("", None) if name in text else table[name] for name in table})


def _read_r(path: Path, object: str | None) -> "pd.DataFrame":
    import pandas as pd
    import rdata

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning, module="rdata")
        content = rdata.read_rds(path) if path.suffix.lower() == ".rds" else rdata.read_rda(path)
    tables = content if isinstance(content, dict) else {path.stem: content}
    tables = {name: table for name, table in tables.items() if isinstance(table, pd.DataFrame)}
    if object is not None and object not in tables:
        raise unknown_name(_("The object of {file}", file=path.name), object, tables)
    if object is None and len(tables) != 1:
        raise InputError(_("It must be clear which table of an R file is meant"),
                         _("{file} holds {n} tables: {names}", file=path.name, n=len(tables), names=join_list(tables) or _("none")),
                         _("name one in the study file: object = ..."))  # fmt: skip
    return _plain(tables[object or next(iter(tables))].reset_index(drop=True))


def _plain(table: "pd.DataFrame") -> "pd.DataFrame":
    """Text for categories (R's factors, the folders of Parquet), plain numbers for R's nullable integers."""
    import pandas as pd

    for column, kind in table.dtypes.items():
        if isinstance(kind, pd.CategoricalDtype):
            table[column] = table[column].astype(kind.categories.dtype)
        elif pd.api.types.is_extension_array_dtype(kind) and pd.api.types.is_integer_dtype(kind):
            table[column] = table[column].astype("float64" if table[column].hasnans else "int64")
    return table


READERS = {
    ".csv": _read_csv,
    ".parquet": _read_parquet,
    ".dta": _read_stata,
    ".rda": _read_r,
    ".rdata": _read_r,
    ".rds": _read_r,
}
