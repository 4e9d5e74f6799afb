"""The house rules that a machine can hold: layers, sizes, notebooks, and what no file may name."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from relocation_analysis.paths import NOTEBOOKS, ROOT

PACKAGE = ROOT / "relocation_analysis"
MODULES = sorted(PACKAGE.rglob("*.py"))
CHAPTERS = ("overview", "employment", "schooling", "health_access", "robustness")
FLOORS = {"data": 1, "estimation": 2, "reporting": 3, "cli": 4, "__main__": 4, "__init__": 4}
ROOMS = (  # of reporting, from the ground up
    "names", "wording", "disclosure", "exhibits", "figures", "tables", "text", "sections", "run", "page", "report", "national", "batch",
)  # fmt: skip
HEAVY = ("pandas", "matplotlib", "statsmodels", "duckdb", "papermill", "scipy", "seaborn", "pyarrow")

FORBIDDEN_SYNTAX = (
    ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.For, ast.AsyncFor, ast.While, ast.If, ast.IfExp,
    ast.Match, ast.Try, ast.TryStar, ast.With, ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp,
    ast.GeneratorExp,
)  # fmt: skip
FILE_ACCESS = re.compile(
    r"open|Path|pathlib|os|io|shutil|glob|savefig|read_(csv|parquet|stata|pickle|json|excel|table|file|text)|"
    r"(to|write)_(csv|parquet|stata|pickle|json|excel|text)"
)

OUTSIDE = re.compile(r"\.(?!ci$|gitignore$).*|__pycache__|reports|raw")  # caches, results and the user's files
INDEX_HOST = re.compile(r"pypi\.org|pythonhosted\.org|anaconda\.org|registry\.npmjs|--(extra-)?index-url \S")
THIS_MACHINE = re.compile(r"/wor[k]/|/roo[t]/|\.librar[y]/")


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def floor(dotted: str) -> int:
    """The floor of a module; 0 for the small shared modules, the top for what opens the house."""
    room = dotted.split(".")[1] if "." in dotted else ""
    return FLOORS.get(room, 0)


def imported(path: Path) -> list[str]:
    """Modules of the package that a file imports, anywhere in it."""
    here = list(path.relative_to(ROOT).with_suffix("").parts)
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parents = here[: len(here) - node.level] if node.level else []
            found += [".".join([*parents, *filter(None, [node.module]), alias.name]) for alias in node.names]
    return [module for module in found if module.split(".")[0] == "relocation_analysis"]


def code_cells(path: Path) -> list[dict]:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def source(cell: dict) -> str:
    return "".join(cell["source"])


def broken_rules(code: str) -> list[str]:
    """What a code cell of a notebook does that belongs in the package."""
    lines = [line for line in code.splitlines() if line.strip()]
    broken = [f"{len(lines)} lines"] if len(lines) > 8 else []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, FORBIDDEN_SYNTAX):
            broken.append(type(node).__name__)
        names = [getattr(node, "id", None) or getattr(node, "attr", None) or ""]
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
        broken += [f"file access: {found}" for found in names if FILE_ACCESS.fullmatch(found)]
    return broken


def notebooks() -> list[Path]:
    return sorted(path for path in NOTEBOOKS.rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts)


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_a_module_imports_from_its_own_floor_or_below(path):
    own = floor(".".join(path.relative_to(ROOT).with_suffix("").parts))
    above = [module for module in imported(path) if floor(module) > own]
    assert above == [], f"{name(path)} imports from a floor above its own"


def test_the_rooms_of_reporting_import_one_way():
    """Each thing in `reporting` imports its own room or those before it in `ROOMS`, inside a function too."""
    found = []
    for path in (PACKAGE / "reporting").rglob("*.py"):
        own = path.relative_to(PACKAGE / "reporting").with_suffix("").parts[0]
        rooms = [module.split(".")[2] for module in imported(path) if module.startswith("relocation_analysis.reporting.")]
        found += [(name(path), room) for room in rooms if ROOMS.index(room) > ROOMS.index(own)] if own != "__init__" else rooms
    assert found == []


def test_an_exhibit_names_the_function_where_it_stands():
    """Whatever the code calls "reporting.room.module.function" is in that module; a list in a report says so to its reader."""
    named = set()
    for path in (PACKAGE / "reporting").rglob("*.py"):
        tree, own = ast.parse(path.read_text(encoding="utf-8")), ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
        for text in filter(re.compile(r"reporting\.[\w.]+").fullmatch, texts):
            module, _, function = text.rpartition(".")
            assert module == own and function in {*functions, ""}, f"{name(path)}: {text}"
            named.add(text)
    assert len(named) > 25


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_a_module_fits_in_the_head(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


def test_there_is_no_drawer_for_odds_and_ends():
    drawers = ("utils", "util", "helpers", "misc", "common")
    assert [name(path) for path in MODULES if path.stem in drawers] == []


def test_importing_the_package_loads_nothing_heavy():
    code = "import sys, relocation_analysis; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert set(done.stdout.split()) & set(HEAVY) == set()


def test_the_chapters_are_there():
    assert set(CHAPTERS) <= {path.stem for path in notebooks()}


@pytest.mark.parametrize("path", notebooks(), ids=name)
def test_a_notebook_is_committed_without_outputs(path):
    for cell in code_cells(path):
        assert cell["outputs"] == [] and cell["execution_count"] is None, source(cell)


@pytest.mark.parametrize("path", notebooks(), ids=name)
def test_a_notebook_only_calls_names_and_shows(path):
    broken = {source(cell): rules for cell in code_cells(path) if (rules := broken_rules(source(cell)))}
    assert broken == {}


@pytest.mark.parametrize("path", notebooks(), ids=name)
def test_a_notebook_has_one_cell_of_parameters(path):
    tagged = [source(cell) for cell in code_cells(path) if "parameters" in cell["metadata"].get("tags", [])]
    assert len(tagged) == 1
    if path.stem in CHAPTERS:
        values = {node.targets[0].id: ast.literal_eval(node.value) for node in ast.parse(tagged[0]).body}
        assert values == {"study": "simulated", "province": None, "language": "en", "parameters": {}}


@pytest.mark.parametrize(
    "code",
    ["def f(): pass", "class A: pass", "f = lambda: 1", "x = [i for i in y]", "if x: y", "x = 1 if y else 2",
     "for i in x: i", "while x: x", "try:\n    x\nexcept E:\n    y", "with x as y: y", "\n".join("abcdefghi"),
     "open('a')", "pd.read_csv('a')", "Path('a')", "from pathlib import Path", "import os", "f.savefig('a')"],
)  # fmt: skip
def test_the_notebook_rule_catches_what_it_names(code):
    assert broken_rules(code)


def test_the_notebook_rule_lets_calls_and_names_pass():
    assert broken_rules("effects = ra.estimate(design)\nra.plot_event_study(effects, 'offfarm_wage')") == []


@pytest.mark.parametrize("pattern", [INDEX_HOST, THIS_MACHINE], ids=["a_package_index", "this_machine"])
def test_no_file_names(pattern):
    paths = [path for path in ROOT.rglob("*") if not any(map(OUTSIDE.fullmatch, path.relative_to(ROOT).parts))]
    files = [path for path in paths if path.is_file()]
    assert len(files) > 10
    texts = {name(path): path.read_text(encoding="utf-8", errors="ignore") for path in files}
    assert {path: found[0] for path, text in texts.items() if (found := pattern.search(text))} == {}
