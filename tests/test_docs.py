"""The papers are true: what README, METHODS, CONTRIBUTING, CHANGELOG and data/README name exists and runs."""

import ast
import csv
import inspect
import json
import re
import shlex
import tomllib
from functools import cache
from importlib import import_module
from pathlib import Path

import click
import numpy as np
import pandas as pd
import pytest

import relocation_analysis as ra
from relocation_analysis import cli
from relocation_analysis.data.panel import TIME_ACCOUNT_INPUTS
from relocation_analysis.data.simulation_parameters import SimulationParameters
from relocation_analysis.data.study import Study, settable
from relocation_analysis.paths import DATA, NOTEBOOKS, ROOT

PAPERS = ("README.md", "METHODS.md", "CONTRIBUTING.md", "CHANGELOG.md", "data/README.md")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PUBLIC = [(module, name) for module, names in ra._PUBLIC.items() for name in names]
ESTIMATION = [name for module, name in PUBLIC if module.startswith("estimation.")]
OUTPUTS = {"report.html", "report.pdf", "report.ipynb", "effects.csv", "checks.csv", "flow.csv", "exposures.csv", "disclosure.csv",
           "run.json", "failed.ipynb"}  # fmt: skip
# Written by a command or by the reader, or fetched.
FETCHED = {"mpdta.rda", "bcm2014_r1.dta", "bcm2014_r2.dta", "bd_visa_lottery.rds"}
NOT_COMMITTED = OUTPUTS | FETCHED | {"my_study.toml", "x.csv"}
FILE = re.compile(r"^\.?[\w./-]+\.(?:py|md|csv|bib|toml|ipynb|cff|yml|lock|html|pdf|json|rda|rds|dta)$")
SHOW = r"ra\.((?:tabulate|plot|describe|show)_\w+)"
EXHIBIT = re.compile(rf'{SHOW}\(|ra\.only\(design, "[a-z ]+", {SHOW}[,)]')  # called, or handed over to be called
FOLDER = re.compile(r"^(?:data|tests|notebooks|benchmarks|relocation_analysis)(?:/\w+)*/$")


@cache
def text(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def quoted(path: str) -> list[str]:
    """What a paper sets in backticks inside a line."""
    prose = re.sub(r"^```.*?^```", "", text(path), flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"`([^`\n]+)`", prose)


def code_lines(path: str) -> list[str]:
    """Lines of the code blocks of a paper, fenced or indented."""
    fenced = re.findall(r"^```\w*\n(.*?)^```", text(path), flags=re.MULTILINE | re.DOTALL)
    indented = re.findall(r"^    (\S.*)$", text(path), flags=re.MULTILINE)
    return [line.strip() for line in (*"\n".join(fenced).splitlines(), *indented)]


def commands(path: str) -> list[str]:
    """Every command line of a paper that starts with `relocation`, wherever it is installed."""
    shown = [*code_lines(path), *quoted(path)]
    found = [re.sub(r"^\.venv[\\/](?:Scripts|bin)[\\/]", "", line) for line in shown]
    return sorted({line for line in found if line.startswith("relocation ")})


def arguments_of(line: str) -> tuple[str, list[str]]:
    name, *arguments = shlex.split(line)[1:]
    return name, arguments


SHOWN = [(paper, line) for paper in PAPERS for line in commands(paper)]


# public names


@pytest.mark.parametrize(("module", "name"), PUBLIC, ids=lambda value: value)
def test_a_public_name_is_defined_where_it_is_listed_and_says_what_it_is(module, name):
    found = getattr(ra, name)
    assert found.__module__ == f"relocation_analysis.{module}"
    assert len((inspect.getdoc(found) or "").split()) >= 5


@pytest.mark.parametrize("name", ESTIMATION)
def test_methods_names_whatever_estimates_or_tests(name):
    assert re.search(rf"`{name}`", text("METHODS.md"))


def functions_in_tables(paper: str) -> set[str]:
    """Names in the column `function` of a paper's tables."""
    names = set()
    for table in re.findall(r"^\|.*?function.*?\n((?:\|.*\n)+)", text(paper), flags=re.MULTILINE):
        head = re.search(rf"^(\|.*function.*)\n{re.escape(table)}", text(paper), flags=re.MULTILINE)[1]
        column = [cell.strip() for cell in head.split("|")].index("function")
        cells = [row.split("|")[column] for row in table.splitlines()]
        names |= {name for cell in cells for name in re.findall(r"`([\w.]+)`", cell)}
    return names


def resolve(name: str):
    """A public name, or `module.name` of the estimation room."""
    if "." not in name:
        return getattr(ra, name)
    module, attribute = name.split(".")
    return getattr(import_module(f"relocation_analysis.estimation.{module}"), attribute)


@pytest.mark.parametrize("paper", ["METHODS.md", "README.md"])
def test_every_function_of_a_table_exists(paper):
    names = functions_in_tables(paper)
    assert len(names) > 15
    assert [name for name in sorted(names) if not callable(resolve(name))] == []


def chapter_code() -> list[str]:
    """Source of every code cell of the chapters."""
    pages = [json.loads(path.read_text(encoding="utf-8")) for path in NOTEBOOKS.glob("*.ipynb")]
    return ["".join(cell["source"]) for page in pages for cell in page["cells"] if cell["cell_type"] == "code"]


def called_in_chapters() -> set[str]:
    """Functions with which a cell shows something: called, or handed to `ra.only` for some kinds of design."""
    return {match[1] or match[2] for source in chapter_code() if (match := EXHIBIT.match(source))}


def test_an_exhibit_is_all_that_its_cell_shows():
    named = {name for source in chapter_code() for name in re.findall(SHOW, source)}
    assert named == called_in_chapters() and len(named) > 25


def test_the_list_of_exhibits_is_what_the_chapters_show():
    assert functions_in_tables("README.md") == called_in_chapters()


# commands, targets, files


def test_the_readme_shows_the_commands_that_exist_and_no_others():
    shown = {arguments_of(line)[0] for _, line in SHOWN}
    assert shown == set(cli.cli.commands)


@pytest.mark.parametrize(("paper", "line"), SHOWN, ids=[line for _, line in SHOWN])
def test_a_command_line_is_one_that_the_program_takes(paper, line):
    name, arguments = arguments_of(line)
    command = cli.cli.commands[name]
    given = command.make_context(name, arguments).params
    if not (study := given.get("study", "simulated")).endswith(".toml"):
        ra.read_study(study, given.get("province"), "en", cli.parse_parameters(given.get("parameters", ())))


def test_a_command_line_that_the_program_does_not_take_would_be_noticed():
    with pytest.raises(click.NoSuchOption):
        cli.cli.commands["report"].make_context("report", ["--provinz", "guizhou"])


@pytest.mark.parametrize("paper", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_a_parameter_named_in_prose_can_be_set(paper):
    for name, value in re.findall(r"`-p ([\w.]+)=([^`]+)`", text(paper)):
        if name != "NAME":
            ra.read_study("simulated", parameters=cli.parse_parameters((f"{name}={value}",)))


@pytest.mark.parametrize("paper", PAPERS)
def test_a_make_target_named_in_a_paper_exists(paper):
    targets = set(re.findall(r"^([a-z-]+):", text("Makefile"), flags=re.MULTILINE))
    shown = "\n".join([*code_lines(paper), *quoted(paper)])
    named = set(re.findall(r"^make ([a-z-]+)", shown, flags=re.MULTILINE))
    assert named <= targets


@pytest.mark.parametrize("paper", PAPERS)
def test_a_file_named_in_a_paper_exists(paper):
    words = {word for quote in quoted(paper) for word in quote.split()}
    links = set(re.findall(r"\]\(([^)#:]+)\)", text(paper)))
    named = {word for word in words if FILE.match(word) or FOLDER.match(word)} | links
    named = {n for n in named if not n.startswith("reports/") and Path(n).name not in NOT_COMMITTED}
    places = (ROOT, (ROOT / paper).parent)
    assert [name for name in sorted(named) if not any((place / name).exists() for place in places)] == []


def test_the_plain_commands_install_the_locked_uv():
    locked = re.search(r"^uv==(\S+)", text("requirements.lock"), flags=re.MULTILINE)[1]
    assert re.findall(r"uv==([\d.]+)", text("README.md")) == [locked]


def readme_studies() -> list[str]:
    return re.findall(r"^```toml\n(.*?)^```", text("README.md"), flags=re.MULTILINE | re.DOTALL)


def test_the_study_files_that_the_readme_shows_are_ones_that_are_read(tmp_path):
    first, second, _, _ = readme_studies()
    file = tmp_path / "my_study.toml"
    file.write_text(first + second, encoding="utf-8")
    study = ra.read_study(file)
    assert (study.name, study.province, study.design.anticipation) == ("my_study", "guizhou", 1)
    assert study.codebook["owns_phone"].domain == "other" and study.missing == {"cohort": 0}


@cache
def rosters() -> dict[str, pd.DataFrame]:
    """The files of the two study files with one row per unit, drawn: 60 villages in 3 counties."""
    rng, n = np.random.default_rng(2020), 600
    village = np.arange(n) % 60
    before = rng.normal(100, 10, n)
    frame = pd.DataFrame({"village": village, "county": village % 3, "earnings_before": before})
    frame["earnings"] = frame["earnings_before"] + rng.normal(0, 5, n)
    frame["moved"] = rng.integers(0, 2, n)
    arm = np.array(["control", "cash", "credit"])[village // 3 % 3]
    roster = {"arm": arm, "invited": (arm != "control") * 1, "members": np.arange(n) % 50}
    offer = frame.assign(**roster, interviewed_on="2020-01-01")
    traits = {name: rng.normal(size=n) for name in ("age", "schooling_years", "land")}
    return {"offer": offer, "comparison": frame.assign(**traits)}


@pytest.mark.parametrize(("kind", "position", "estimators"), [
    ("offer", 2, {"ols_strata", "tsls", "anderson_rubin"}),
    ("comparison", 3, {"aipw_differences", "aipw_levels", "ipw_differences", "ipw_levels"}),
])  # fmt: skip
def test_the_study_files_with_one_row_per_unit_are_estimated(tmp_path, kind, position, estimators):
    file = tmp_path / "my_study.toml"
    file.write_text(readme_studies()[position], encoding="utf-8")
    study = ra.read_study(file)
    rosters()[kind].to_csv(tmp_path / study.data.path, index=False)
    design = ra.build_design(ra.check_panel(ra.read_panel(study), study), study)
    table = ra.estimate(design).table
    assert design.kind == kind and estimators <= set(table["estimator"])
    assert (table["aggregation"] == "headline").any()
    if kind == "offer":
        assert {"cash", "credit"} <= set(table["arm"]) and "excluded" in set(design.flow["step"])


# data


def rows(name: str) -> list[dict[str, str]]:
    with open(DATA / name, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_columns_of_the_codebook_are_the_fields_of_an_outcome():
    assert list(rows("codebook.csv")[0]) == list(ra.Outcome.model_fields)


@cache
def drawn():
    from relocation_analysis.data.simulate import simulate_panel

    return simulate_panel("guizhou", SimulationParameters(villages=4, households_per_village=4)).panel


COVARIATES = {
    "province", "county", "village", "site", "household", "person", "time", "cohort", "relocated", "weight",
    "sex", "age", "age_band", "minority", "remote", "remoteness", "labour", "site_type", "site_size",
}  # fmt: skip


def test_the_simulated_panel_has_the_outcomes_of_the_codebook_and_no_others():
    derived = {name for name, outcome in ra.read_codebook().items() if outcome.role == "time_account"}
    assert set(drawn()) - COVARIATES - set(TIME_ACCOUNT_INPUTS) == set(ra.read_codebook()) - derived


def test_the_outcomes_of_the_time_account_are_derived_from_the_panel():
    from relocation_analysis.estimation.access import add_time_account

    derived = {name for name, outcome in ra.read_codebook().items() if outcome.role == "time_account"}
    assert set(add_time_account(drawn())) - set(drawn()) == derived


@pytest.mark.parametrize("name", sorted(ra.list_studies()))
def test_a_shipped_study_loads_under_the_name_of_its_file(name):
    assert ra.read_study(name).name == name


def test_the_data_readme_names_every_table():
    assert [path.name for path in DATA.glob("*.csv") if path.name not in text("data/README.md")] == []


def test_the_data_readme_states_the_checksum_of_every_fetched_file():
    readme = text("data/README.md")
    fetched = [study.data for study in map(ra.read_study, ra.list_studies()) if study.data.url]
    files = [file for data in fetched for file in (data, *data.fill)]
    assert len(files) > len(fetched) >= 3
    assert [file.local_name for file in files if file.sha256 not in readme or file.local_name not in readme] == []


def test_the_readme_names_every_shipped_study_and_fetched_file():
    fetched = [study.data for study in map(ra.read_study, ra.list_studies()) if study.data.url]
    names = {file.local_name for data in fetched for file in (data, *data.fill)}
    assert names == FETCHED
    words = set(re.findall(r"[\w.]+", text("README.md")))
    assert {*names, *ra.list_studies()} <= words


def test_every_citation_has_its_entry():
    entries = set(re.findall(r"^@\w+\{(\w+),", text("data/references.bib"), flags=re.MULTILINE))
    prose = [path.read_text(encoding="utf-8") for path in NOTEBOOKS.rglob("*.ipynb")]
    prose += [path.read_text(encoding="utf-8") for path in (ROOT / "relocation_analysis").rglob("*.py")]
    groups = [group for page in prose for group in re.findall(r"\[([^\][]*@[^\][]*)\]", page)]
    cited = {key for group in groups for key in re.findall(r"@(?!fig-|tbl-|sec-)(\w+)", group)}
    assert cited and cited <= entries


# changes and settings


def test_every_entry_of_the_changelog_says_which_numbers_moved():
    entries = re.split(r"^## ", text("CHANGELOG.md"), flags=re.MULTILINE)[1:]
    assert entries[0].startswith(PROJECT["project"]["version"])
    silent = [entry.splitlines()[0] for entry in entries if "\nNumbers: " not in entry]
    assert silent == []


def test_the_seed_that_the_readme_states_is_that_of_a_study():
    assert f"({Study.model_fields['seed'].default})" in text("README.md")


def test_the_conventions_state_the_constants_of_the_code():
    from relocation_analysis.estimation import access, aggregate, doubly_robust, inference

    methods = text("METHODS.md")
    assert f"the smaller is {inference.MANY_CLUSTERS} or more" in methods
    assert f"From {inference.FEWEST_CLUSTERS} to {inference.MANY_CLUSTERS - 1}" in methods
    assert aggregate.HEADLINE_EXPOSURES == (0, 3) and "exposures 0 to 3" in methods
    assert (doubly_robust.TRIM, doubly_robust.NO_OVERLAP) == (0.995, 0.999)
    assert ".995 and more" in methods and ".999 and more" in methods
    assert (access.ADULT, access.CHILD, access.WALKING) == (0.30, 0.15, 1.5)
    assert "adult .30, child .15, walking 1.5" in methods
    assert f"draws = {Study.model_fields['design'].default.draws}" in methods


def test_the_methods_state_the_thresholds_of_offers_comparisons_and_sensitivity():
    from relocation_analysis.estimation import comparison_checks, instruments, matching, wild

    methods = " ".join(text("METHODS.md").split())
    assert (instruments.WEAK_F, instruments.STRONG_F) == (10, 104.7)
    assert "A clustered F of 10 passes" in methods and "from 104.7 on" in methods
    assert matching.CALIPER == 0.2 and "caliper .2 standard deviations" in methods
    limits = comparison_checks.DROPPED, comparison_checks.BALANCED, comparison_checks.CLEAR_OVERLAP
    assert limits == (0.05, 0.1, 0.9)
    assert "up to 5% of movers without a match, standardised differences below .1, and scores up to .9" in methods
    assert f"up to {wild.MOST_ENUMERATED} clusters, else draws {wild.DRAWS}" in methods


def test_the_published_numbers_of_the_methods_are_those_of_the_oracle():
    """Each value and error of tests/oracles/published.csv, in the digits printed there, with its sample size."""
    methods = text("METHODS.md")
    with open(ROOT / "tests" / "oracles" / "published.csv", encoding="utf-8", newline="") as file:
        printed = list(csv.DictReader(line for line in file if not line.startswith("#")))
    wanted = {row[column] for row in printed for column in ("value", "std_error") if row[column]}
    wanted |= {f"{int(row['n']):,}" for row in printed if row["n"]}
    assert len(wanted) > 30
    assert [number for number in sorted(wanted) if not re.search(rf"(?<![\d.]){re.escape(number)}(?!\d)", methods)] == []


def test_every_knob_of_the_readme_is_a_field_of_the_simulator():
    knobs = re.findall(r"^\| `(?:simulation\.)?(\w+)` \|[^|]*\| `-p", text("README.md"), flags=re.MULTILINE)
    assert len(knobs) >= 5 and set(knobs) <= set(SimulationParameters.model_fields)
    assert set(knobs) <= set(settable(True))


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_a_chapter_calls_public_names_only(path):
    assert set(re.findall(r"\bra\.(\w+)", path.read_text(encoding="utf-8"))) <= set(ra.__all__)


def test_the_package_parses_as_the_oldest_python_that_the_papers_promise():
    minor = int(PROJECT["project"]["requires-python"].removeprefix(">=3."))
    assert f"Python 3.{minor}" in text("README.md")
    for path in (ROOT / "relocation_analysis").rglob("*.py"):
        ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, minor))
