"""pyproject.toml, requirements.lock, environment.yml, Makefile and .ci/run describe one environment."""

import os
import re
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

import relocation_analysis
from relocation_analysis.paths import LOCK, ROOT

PYTHONS = ("3.11", "3.12", "3.13", "3.14")
HASH = re.compile(r" {4}--hash=sha256:[0-9a-f]{64}( \\)?")
PIN = re.compile(r"(?P<name>[a-z0-9-]+)==(?P<version>[^ ;]+)(?P<marker> ; .+?)? \\")


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def project() -> dict:
    return tomllib.loads(text("pyproject.toml"))


@pytest.fixture(scope="module")
def direct(project) -> list[Requirement]:
    groups = [project["project"]["dependencies"], *project["project"]["optional-dependencies"].values()]
    return [Requirement(line) for group in groups for line in group]


@pytest.fixture(scope="module")
def pins() -> list[re.Match]:
    return [match for line in LOCK.read_text(encoding="utf-8").splitlines() if (match := PIN.fullmatch(line))]


@pytest.fixture(scope="module")
def versions(pins) -> dict[str, str]:
    return {pin["name"]: pin["version"] for pin in pins}


@pytest.fixture(scope="module")
def environment() -> dict:
    return yaml.safe_load(text("environment.yml"))


def test_the_lock_holds_pins_and_hashes_and_nothing_else():
    lines = LOCK.read_text(encoding="utf-8").splitlines()
    other = [line for line in lines if not PIN.fullmatch(line) and not HASH.fullmatch(line)]
    assert other == []
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if PIN.fullmatch(line):
            assert HASH.fullmatch(following), f"{line} has no hash"


def test_the_lock_has_one_version_of_each_package(pins):
    names = [pin["name"] for pin in pins]
    assert len(names) == len(set(names)) > 100


def test_every_direct_dependency_is_locked_within_its_range_on_every_platform(direct, pins):
    locked = {pin["name"]: pin for pin in pins}
    for requirement in direct:
        pin = locked[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(pin["version"]), requirement
        assert pin["marker"] is None, f"{requirement} is locked for some platforms only: {pin['marker']}"


def test_the_build_backend_and_the_installer_are_locked(project, versions):
    required = [Requirement(line) for line in project["build-system"]["requires"]]
    assert all(canonicalize_name(requirement.name) in versions for requirement in required)
    assert "uv" in versions


def test_every_dependency_says_what_it_is_for(direct):
    lines = [line for line in text("pyproject.toml").splitlines() if re.match(r'    "[A-Za-z].*",', line)]
    assert len(lines) == len(direct)
    assert [line for line in lines if not re.search(r",\s+# \w+", line)] == []


def test_what_the_project_must_have_is_there(direct, versions):
    required = {"jupyterlab", "pandas", "statsmodels", "seaborn", "papermill", "nbconvert", "pytest"}
    assert required <= {canonicalize_name(requirement.name) for requirement in direct}
    assert required <= set(versions)


def test_environment_yml_is_python_pip_and_the_same_lock(environment):
    assert set(environment) == {"name", "channels", "dependencies"}
    python, pip, through_pip = environment["dependencies"]
    assert python.startswith("python ") and pip == "pip"
    assert through_pip == {"pip": [f"-r {LOCK.name}"]}


def test_python_is_the_same_range_everywhere(project, environment):
    conda = SpecifierSet(environment["dependencies"][0].removeprefix("python "))
    ours = SpecifierSet(project["project"]["requires-python"])
    assert all(conda.contains(version) and ours.contains(version) for version in PYTHONS)
    assert not ours.contains("3.10") and not conda.contains("3.10") and not conda.contains("3.15")
    assert f"--python-version {PYTHONS[0]}" in text("Makefile")
    assert "sys.version_info < (3, 11)" in text("Makefile")


def test_the_lock_is_made_from_every_group_of_pyproject(project):
    extras = set(re.findall(r"--extra (\S+)", text("Makefile")))
    assert extras == set(project["project"]["optional-dependencies"])


def test_binder_installs_the_package_itself_without_dependencies():
    assert "pip install --no-deps --no-build-isolation --editable ." in text("postBuild")
    assert os.access(ROOT / "postBuild", os.X_OK) or os.name == "nt"


def test_make_has_the_targets_that_the_papers_promise():
    makefile = text("Makefile")
    targets = set(re.findall(r"^([a-z-]+):", makefile, flags=re.MULTILINE))
    assert {"report", "test", "test-slow", "lab", "lock", "bench", "clean"} <= targets
    assert set(re.search(r"^\.PHONY: (.+)$", makefile, flags=re.MULTILINE)[1].split()) == targets
    for module in re.findall(r"-m (benchmarks\.\w+)", makefile):
        assert (ROOT / (module.replace(".", "/") + ".py")).is_file(), module


def test_ci_runs_the_tests_here_and_the_report_in_a_clean_clone():
    script = text(".ci/run")
    assert script.startswith("#!/usr/bin/env bash\n") and "set -euo pipefail" in script
    assert script.index("make test") < script.index("git clone") < script.index("report\n")
    assert os.access(ROOT / ".ci" / "run", os.X_OK) or os.name == "nt"


def test_versions_and_licence_agree(project):
    version = project["project"]["version"]
    citation = yaml.safe_load(text("CITATION.cff"))
    assert relocation_analysis.__version__ == version == citation["version"]
    assert project["project"]["license"] == citation["license"] == "MIT"
    assert text("LICENSE").startswith("MIT License")
