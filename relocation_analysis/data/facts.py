"""The project's tables of published facts: the programme, its provinces, the press claims, the literature."""

import csv
from functools import cache
from typing import TYPE_CHECKING

from relocation_analysis.errors import unknown_name
from relocation_analysis.language import SOURCE, _, list_languages, mark, speaking, spoken
from relocation_analysis.paths import DATA

if TYPE_CHECKING:
    import pandas as pd

PROVINCE_FIGURES = ("registered_movers", "total_movers", "households", "homes", "sites", "centralised_share",
                    "urban_share")  # fmt: skip
NUMBERS = {
    "provinces": PROVINCE_FIGURES,
    "programme": ("value",),
    "movein": ("persons",),
    "press_claims": ("value_number", "numerator", "denominator", "computed"),
    "literature": ("effect_low", "effect_high"),
}
STATUSES = (  # as data/README.md explains them
    mark("sourced"), mark("computed"), mark("plan"), mark("at least"), mark("partial"), mark("not found"),
    mark("read in abstract"), mark("read in full source"), mark("read in press"), mark("read in blog"), mark("title only"),
)  # fmt: skip


def read_facts(name: str) -> "pd.DataFrame":
    """One table of facts, as data/README.md describes it.

    Parameters
    ----------
    name : `provinces`, `programme`, `movein`, `press_claims` or `literature`.

    Returns
    -------
    The rows of data/NAME.csv in their order. Figures are floats, `date` of `movein` is a datetime (the last
    day of the period that the source names), `blocked` of `literature` is a bool, all else is text; what is blank in the file is missing. A text is in the language spoken where the file has it in a column of
    its own (`statement_zh`), else in English; those columns themselves are left out.

    Raises
    ------
    InputError : no such table.
    """
    import pandas as pd

    if name not in NUMBERS:
        raise unknown_name(_("A table of facts"), name, NUMBERS)
    text = pd.read_csv(DATA / f"{name}.csv", dtype="str", keep_default_na=False, na_values=[""])
    table = _in_language(text).astype(dict.fromkeys(NUMBERS[name], "float64"))
    if name == "movein":
        table["date"] = pd.to_datetime(table["date"], format="%Y-%m-%d")
    if name == "literature":
        table["blocked"] = table["blocked"].map({"true": True, "false": False}).astype("bool")
    return table


def _in_language(text: "pd.DataFrame") -> "pd.DataFrame":
    """The texts in the language spoken, and without the columns of the other languages."""
    for column in text.columns:
        twin = f"{column}_{spoken()}"
        if twin in text.columns:
            text[column] = text[twin].fillna(text[column])
    others = [f"{c}_{language}" for c in text.columns for language in list_languages() if language != SOURCE]
    return text.drop(columns=[name for name in others if name in text.columns])


def label_status(status: str) -> str:
    """How far a figure can be relied on, in the language spoken: "sourced", "plan"."""
    return _(status)


def read_provinces() -> "pd.DataFrame":
    """The 22 provinces of the programme in the order of their GB code; columns of data/provinces.csv.

    Registered movers (the registered poor) and total movers (accompanying households included) are two
    columns and never stand in for each other. Each figure has a `*_status`: `sourced`, `plan` or `at least`,
    missing where there is no figure.
    """
    return read_facts("provinces")


@cache
def province_slugs() -> tuple[str, ...]:
    """The names by which studies and folders call the provinces, in the order of data/provinces.csv."""
    return tuple(_province_names())


@cache
def _province_names() -> dict[str, dict[str, str]]:
    with open(DATA / "provinces.csv", encoding="utf-8", newline="") as file:
        return {row["slug"]: row for row in csv.DictReader(file)}


def label_province(slug: str, language: str) -> str:
    """The name of a province: "Guizhou", or in Chinese its full official one; another name as a reader writes it. `national`
    stands for all that are compared."""
    if slug == "national":
        with speaking(language):
            return _("the provinces compared")
    names = _province_names().get(slug, {})
    return names.get(f"name_{language}") or names.get("name_en") or slug.replace("_", " ").title()
