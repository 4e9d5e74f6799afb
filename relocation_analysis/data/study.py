"""A study: where the data are, how they are designed, what is estimated, what the report says about them."""

import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from relocation_analysis.data.codebook import Outcome, read_codebook
from relocation_analysis.data.facts import label_province, province_slugs
from relocation_analysis.data.shown import Shown
from relocation_analysis.data.simulation_parameters import SimulationParameters
from relocation_analysis.errors import InputError, nearest, suggest, unknown_name
from relocation_analysis.language import SOURCE, _, list_languages, mark, spoken
from relocation_analysis.paths import DATA

STUDIES = DATA / "studies"


class Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Fill(Strict):
    """A second file, fetched by checksum, that fills what the first does not know, by a key that both have."""

    url: str
    sha256: str
    local_name: str
    key: str
    columns: tuple[str, ...]


class Unknown(Strict):
    """Columns of the file that hold a number where nothing is known: missing unless another column is known."""

    columns: tuple[str, ...]
    unless_known: str
    reason: str


class Exclude(Strict):
    """Rows that do not belong to the roster of some outcomes (of all, where none is named), in the file's names."""

    column: str
    reason: str
    outcomes: tuple[str, ...] | None = None
    largest: int | None = Field(default=None, ge=1)
    equals: float | str | None = None
    missing: bool = False

    @model_validator(mode="after")
    def _one_rule(self) -> "Exclude":
        if sum([self.largest is not None, self.equals is not None, self.missing]) != 1:
            raise ValueError(_("state exactly one of largest, equals and missing"))
        return self


class DataSettings(Strict):
    """Where the panel comes from: drawn by the simulator, a file of the user, or a file fetched by checksum."""

    simulate: bool = False
    path: str | None = None
    url: str | None = None
    sha256: str | None = None
    local_name: str | None = None
    object: str | None = None
    fill: tuple[Fill, ...] = ()

    @model_validator(mode="after")
    def _one_origin(self) -> "DataSettings":
        if sum([self.simulate, self.path is not None, self.url is not None]) != 1:
            raise ValueError(_("state exactly one of simulate, path and url"))
        if self.url is not None and (self.sha256 is None or self.local_name is None):
            raise ValueError(_("url needs sha256 and local_name"))
        return self


class DesignSettings(Strict):
    """How effects are identified. The defaults are those of the report."""

    kind: Literal["rollout", "offer", "comparison"] = "rollout"
    unit: Literal["person", "household", "village", "county"] = "person"
    cluster: Literal["village", "county", "household", "person", "site"] = "village"
    comparison: Literal["not_yet_treated", "never_treated"] = "not_yet_treated"
    anticipation: int = Field(default=0, ge=0, le=5)
    base_period: Literal["varying", "universal"] = "varying"
    strata: tuple[str, ...] = ()
    covariates: tuple[str, ...] = ()
    few_clusters: Literal["jackknife", "ignore"] = "jackknife"
    draws: int = Field(default=999, ge=99, le=99_999)
    assigned: Literal["", "cluster", "unit"] = ""
    drawn_within: tuple[str, ...] | None = None
    base_arm: str = ""
    balance: tuple[str, ...] = ()
    caliper: float = Field(default=0.2, gt=0, le=2)


class Translation(Strict):
    """The texts of a study in another language, `[translation.zh]`; a text that is left out is said in English.

    `reasons` has those of [[exclude]] and [[unknown]]: the reason as it stands there, then its translation; `labels` those of
    [labels].
    """

    title: str | None = None
    subtitle: str | None = None
    estimand: str | None = None
    context: str | None = None
    citation: str | None = None
    reasons: dict[str, str] = {}
    labels: dict[str, str] = {}


class Study(Strict):
    """A study file, checked. Every field but the nested tables can be set by `-p NAME=VALUE`, as can those of
    `[design]` and `[simulation]`."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")
    title: str
    subtitle: str = ""
    province: str | None = None
    language: str = SOURCE
    disclosure: Literal["restricted", "public"] = "restricted"
    threshold: int = Field(default=10, ge=3)
    outcomes: tuple[str, ...] | None = None
    primaries: tuple[str, ...] = ()
    subgroups: tuple[str, ...] = ()
    seed: int = Field(default=2020, ge=0)
    show_truth: bool = False
    estimand: str = ""
    context: str = ""
    citation: str = ""
    ledger: str | None = None
    data: DataSettings
    columns: dict[str, str] = {}
    missing: dict[str, float | str] = {}
    unknown: tuple[Unknown, ...] = ()
    exclude: tuple[Exclude, ...] = ()
    design: DesignSettings = DesignSettings()
    outcome: dict[str, dict[str, Any]] = {}
    simulation: SimulationParameters | None = None
    labels: dict[str, str] = Field(default={}, exclude=True)  # of columns and arms that are no outcomes: words, no setting
    translation: dict[str, Translation] = Field(default={}, exclude=True)
    file: str = Field(default="", exclude=True)
    origin: str = Field(default="", exclude=True)
    changed: dict[str, Any] = Field(default={}, exclude=True)

    @model_validator(mode="after")
    def _consistent(self) -> "Study":
        if (self.simulation is not None) != self.data.simulate:
            raise ValueError(_("[simulation] and data.simulate = true go together"))
        if self.show_truth and not self.data.simulate:
            raise ValueError(_("show_truth needs simulated data: only there is the truth known"))
        return self

    @property
    def simulated(self) -> bool:
        return self.data.simulate

    @property
    def codebook(self) -> dict[str, Outcome]:
        """The project's codebook with the study's own outcomes, overrides and primaries."""
        book = read_codebook()
        for name, settings in self.outcome.items():
            known = book[name].model_dump() if name in book else {"name": name, "label_en": name}
            book[name] = Outcome(**{**known, **settings})
        if self.primaries:
            for name, outcome in book.items():
                role = "primary" if name in self.primaries else outcome.role.replace("primary", "secondary")
                book[name] = outcome.model_copy(update={"role": role})
        return book

    @property
    def folder(self) -> str:
        """The folder of the study file; a relative data path is one in it."""
        return str(Path(self.file).parent)

    @property
    def province_label(self) -> str:
        """The name of the province in the study's language, in official full form in Chinese, as it stands where it is
        none of the programme's; blank where the study has none."""
        return "" if self.province is None else label_province(self.province, self.language)

    def say(self, name: str) -> str:
        """A text of the study (title, subtitle, estimand, context, citation) in its language, the province filled in."""
        told = getattr(self.translation.get(self.language, Translation()), name) or getattr(self, name)
        return told.strip().replace("{province}", self.province_label)

    def say_reason(self, reason: str) -> str:
        """The reason of an exclusion in the study's language."""
        return self.translation.get(self.language, Translation()).reasons.get(reason, reason)

    def say_label(self, name: str) -> str:
        """What the study calls a column or an arm, in its language; blank where it has no label for it."""
        return self.translation.get(self.language, Translation()).labels.get(name) or self.labels.get(name, "")

    @property
    def heading(self) -> str:
        return self.say("title")

    @property
    def shown(self) -> Shown:
        """How a sentence says the counts and shares of this study's people."""
        return Shown(0 if self.disclosure == "public" else self.threshold)

    def show_count(self, n: float) -> str:
        """A count of people as a sentence may say it: exact where the data are public, else rounded, or "fewer than 10"."""
        return self.shown.count(n)


def list_studies() -> dict[str, Path]:
    """The shipped studies by name."""
    return {path.stem: path for path in sorted(STUDIES.glob("*.toml"))}


def find_study(name_or_path: str | Path) -> Path:
    """The file of a shipped study, or the study file that a path names."""
    path = Path(name_or_path)
    if path.suffix == ".toml":
        if path.is_file():
            return path
        raise InputError(_("A study file must exist"), _("there is no file {path!r}", path=str(name_or_path)),
                         _("give the path of a .toml file, or the name of a shipped study"))  # fmt: skip
    studies = list_studies()
    if str(name_or_path) not in studies:
        raise unknown_name(_("The study"), str(name_or_path), studies)
    return studies[str(name_or_path)]


def read_study(
    name_or_path: str | Path = "simulated",
    province: str | None = None,
    language: str = "en",
    parameters: dict[str, Any] | None = None,
) -> Study:
    """Read and check a study.

    Parameters
    ----------
    name_or_path : name of a shipped study, or path of a TOML file.
    province : overrides the province of the file.
    language : language of the report.
    parameters : overrides of single settings, as given by `-p NAME=VALUE`.

    Raises
    ------
    InputError : an unknown name, a wrong type or an unknown province, with the nearest valid name.
    """
    path = find_study(name_or_path)
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(_("A study file must be TOML"), f"{path.name}: {error}", _("correct that line")) from None
    _check_tables(content, path)
    if language not in list_languages():
        raise unknown_name(_("The language"), language, list_languages())
    content["language"] = language
    if province is not None:
        content["province"] = province
    changed = dict(parameters or {})
    for name, value in changed.items():
        _set_parameter(content, name, value)
    if content.get("data", {}).get("simulate"):
        content["simulation"] = {**content.get("simulation", {}), "seed": content.get("seed", 2020)}
        _check_province(content.get("province"))
    content.update(file=str(path.resolve()), origin=_origin(path, name_or_path), changed=changed)
    try:
        study = Study(**content)
        study.codebook  # noqa: B018  its definitions are checked here, before anything starts
    except ValidationError as error:
        raise _as_input_error(error, path) from None
    _check_outcomes(study)
    return study


def _check_tables(content: dict, path: Path) -> None:
    for name in ("data", "columns", "missing", "design", "outcome", "simulation", "labels", "translation"):
        if not isinstance(content.get(name, {}), dict):
            raise InputError(_("Every setting of a study must be known and of its type"),
                             _("{name} of {file} is not a table (found {found!r})", name=name, file=path.name, found=content[name]),
                             _("write the heading [{name}] and its settings below it", name=name))  # fmt: skip


def settable(simulated: bool) -> dict[str, tuple[str, str]]:
    """Names that `-p` can set, with the table each belongs to ("" for the study itself) and its name there.

    A name of [design] or [simulation] may be written in full, as in design.anticipation. Without the table, a name that
    both have means the simulator's knob where the data are simulated.
    """
    nested = {"data", "columns", "missing", "unknown", "exclude", "design", "outcome", "simulation", "labels", "translation", "file", "origin", "changed",
              "name", "language", "province", "disclosure"}  # fmt: skip
    tables = {"design": DesignSettings} | ({"simulation": SimulationParameters} if simulated else {})
    names = {}
    for table, model in tables.items():
        names |= {name: (table, name) for name in model.model_fields if name != "seed"}
        names |= {f"{table}.{name}": (table, name) for name in model.model_fields if name != "seed"}
    return names | {name: ("", name) for name in Study.model_fields if name not in nested}


def _set_parameter(content: dict, name: str, value: Any) -> None:
    simulated = bool(content.get("data", {}).get("simulate"))
    names = settable(simulated)
    if name not in names:
        if not simulated and name in settable(True):
            raise InputError(_("A parameter of the simulator must go with simulated data"),
                             _("{name!r} was given for study {study!r}, which reads a file", name=name, study=content.get("name")),
                             _("leave it out, or report the study 'simulated'"))  # fmt: skip
        raise unknown_name(_("A parameter"), name, names)
    table, field = names[name]
    (content.setdefault(table, {}) if table else content)[field] = value


def _check_province(province: str | None) -> None:
    slugs = [*province_slugs(), "national"]
    if province not in slugs:
        raise unknown_name(_("The province"), str(province), slugs)


def _check_outcomes(study: Study) -> None:
    for name in (*(study.outcomes or ()), *study.primaries):
        if name not in study.codebook:
            raise unknown_name(_("An outcome"), name, study.codebook)


def _origin(path: Path, name_or_path: str | Path) -> str:
    """How a notebook finds this study again: its name where it is shipped, else its path."""
    return str(name_or_path) if path.parent == STUDIES else str(path.resolve())


def _as_input_error(error: ValidationError, path: Path) -> InputError:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"]) or _("the file")
    problem = _("{n} setting(s) of {file} are not usable, first {where}: {message}",
                n=error.error_count(), file=path.name, where=where, message=_say_invalid(first))  # fmt: skip
    fix = _("correct {where}", where=where)
    if first["type"] == "extra_forbidden":
        owner = {"design": DesignSettings, "data": DataSettings,
                 "simulation": SimulationParameters}.get(str(first["loc"][0]), Study)  # fmt: skip
        close = nearest(str(first["loc"][-1]), owner.model_fields)
        fix = suggest(close) if close else _("remove {where}", where=where)
    elif "input" in first and not isinstance(first["input"], dict):
        problem = _("{problem} (found {found!r})", problem=problem, found=first["input"])
    return InputError(_("Every setting of a study must be known and of its type"), problem, fix)


INVALID = {  # what pydantic says of a setting, by the type of its error, as pydantic words it
    "missing": mark("Field required"),
    "extra_forbidden": mark("Extra inputs are not permitted"),
    "value_error": mark("Value error, {error}"),
    "literal_error": mark("Input should be {expected}"),
    "greater_than": mark("Input should be greater than {gt}"),
    "greater_than_equal": mark("Input should be greater than or equal to {ge}"),
    "less_than": mark("Input should be less than {lt}"),
    "less_than_equal": mark("Input should be less than or equal to {le}"),
    "string_type": mark("Input should be a valid string"),
    "string_pattern_mismatch": mark("String should match pattern '{pattern}'"),
    "int_type": mark("Input should be a valid integer"),
    "int_parsing": mark("Input should be a valid integer, unable to parse string as an integer"),
    "int_from_float": mark("Input should be a valid integer, got a number with a fractional part"),
    "float_type": mark("Input should be a valid number"),
    "float_parsing": mark("Input should be a valid number, unable to parse string as a number"),
    "bool_type": mark("Input should be a valid boolean"),
    "bool_parsing": mark("Input should be a valid boolean, unable to interpret input"),
    "tuple_type": mark("Input should be a valid tuple"),
    "dict_type": mark("Input should be a valid dictionary"),
}


def _say_invalid(first: dict) -> str:
    """What is wrong with a setting: pydantic's own sentence, in the language spoken where the catalogue has it."""
    template = INVALID.get(first["type"])
    if template is None or spoken() == SOURCE:
        return first["msg"]
    values = {name: value.replace(" or ", _(" or ")) if name == "expected" else value for name, value in first.get("ctx", {}).items()}
    return _(template, **values)


def notebook_parameters(study: Study) -> dict[str, Any]:
    """What papermill injects, so that a notebook reads the same study."""
    return {"study": study.origin, "province": study.province, "language": study.language, "parameters": study.changed}
