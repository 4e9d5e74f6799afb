"""The chapters themselves, executed on a small simulated study: what they publish, and what they say."""

from pathlib import Path

import nbformat
import pandas as pd
import pytest

from relocation_analysis.data.study import read_study
from relocation_analysis.reporting.report import write_report
from relocation_analysis.reporting.run.chapters import Runner
from relocation_analysis.reporting.run.execute import exhibits_of

SMALL = {"villages": 140, "households_per_village": 8, "counties": 4, "draws": 199, "seed": 7}
MAIN = "callaway_santanna"


@pytest.fixture(scope="module")
def study():
    parameters = SMALL | {"show_truth": True, "enrolment_girls": -0.30, "enrolment_boys": -0.30}
    return read_study("simulated", "yunnan", parameters=parameters)


@pytest.fixture(scope="module")
def report(study, tmp_path_factory):
    return write_report(study, tmp_path_factory.mktemp("reports"))


@pytest.fixture(scope="module")
def effects(report):
    return pd.read_csv(report / "effects.csv", keep_default_na=False, na_values=[""])


@pytest.fixture(scope="module")
def notebook(report):
    return nbformat.read(report / "report.ipynb", as_version=4)


def sentences(notebook) -> str:
    return "\n".join(output.data["text/markdown"] for cell in notebook.cells for output in cell.get("outputs", ())
                     if "text/markdown" in output.get("data", {}))  # fmt: skip


def test_every_output_is_written(report):
    names = {path.name for path in report.iterdir()}
    assert names >= {"report.html", "report.pdf", "report.ipynb", "effects.csv", "checks.csv", "flow.csv", "figures", "run.json"}


def test_stock_kernels_write_the_same_bytes(study, report, tmp_path):
    with Runner(2, warm=False) as stock:
        again = write_report(study, tmp_path, runner=stock)
    files = {path.relative_to(report) for path in report.rglob("*") if path.is_file()}
    assert files == {path.relative_to(again) for path in again.rglob("*") if path.is_file()} and len(files) > 50
    assert [name for name in sorted(files) if (report / name).read_bytes() != (again / name).read_bytes()] == [Path("run.json")]


def test_the_primaries_of_the_overview_equal_those_of_the_chapters(effects):
    keys = ["outcome", "subgroup", "estimator", "aggregation", "cohort", "time", "event_time"]
    overview = effects[effects["chapter"] == "overview"].drop(columns=["chapter", "p_adjusted"])
    chapters = effects[effects["chapter"] != "overview"].drop(columns=["chapter", "p_adjusted"])
    both = overview.merge(chapters, on=keys, how="left", suffixes=("", "_chapter"), validate="one_to_one")
    assert len(overview) == len(both) > 100
    for column in ("estimate", "std_error", "conf_low", "band_high", "n_units"):
        pd.testing.assert_series_equal(both[column], both[f"{column}_chapter"], check_names=False, check_exact=True)


def test_p_values_are_adjusted_over_the_primaries_in_overview_and_within_the_domain_elsewhere(effects):
    adjusted = effects[effects["p_adjusted"].notna()]
    assert set(adjusted["aggregation"]) == {"headline"}
    assert set(adjusted.loc[adjusted["chapter"] == "overview", "outcome"]) == {"offfarm_wage", "in_school_16_18", "unmet"}
    assert "school_minutes" not in set(adjusted["outcome"])
    assert "school_minutes" in set(effects["outcome"])


def test_a_move_that_hurt_is_reported_as_plainly_as_one_that_helped(effects, notebook, report):
    girls = effects.query("outcome == 'in_school_16_18' and subgroup == 'sex=female' and aggregation == 'headline'")
    assert (girls.loc[girls["estimator"] == MAIN, "estimate"] < 0).all() and len(girls)
    assert "The move **lowered** enrolment at 16" in sentences(notebook)
    assert "a loss" in sentences(notebook)
    assert "\u2212" in (report / "report.html").read_text(encoding="utf-8")


def test_the_known_truth_stands_beside_the_estimates_when_asked_for(notebook):
    ids = {meta.get("id") for meta in exhibits_of(notebook)}
    assert {"tbl-truth-primaries", "tbl-truth-employment", "tbl-truth-schooling", "tbl-truth-health_access"} <= ids


def test_every_page_of_a_report_on_simulated_data_says_so(report):
    from pypdf import PdfReader

    pages = PdfReader(report / "report.pdf").pages
    assert len(pages) > 10
    assert all("Simulated data" in page.extract_text() for page in pages)
    assert "Simulated data" in (report / "report.html").read_text(encoding="utf-8")


def test_the_checks_have_their_null_as_a_sentence_and_none_is_called_passed(report):
    checks = pd.read_csv(report / "checks.csv")
    assert set(checks["name"]) >= {"pre_trends", "base_period", "comparison", "single_cohorts", "balance", "attrition",
                                   "few_clusters", "power", "coverage", "composition"}  # fmt: skip
    assert checks["null"].str.match(r"^[A-Z].*[a-z]$").all()
    assert not checks["note"].str.contains("passed").any()


def test_the_flow_names_every_exclusion(report):
    flow = pd.read_csv(report / "flow.csv")
    first = flow[flow["step"] == "file"].set_index("outcome")
    assert len(first) == flow["outcome"].nunique()
    for _, steps in flow.groupby("outcome"):  # three counts, each rounded to five; what few are behind is missing
        off = (steps["rows_left"].shift() - steps["rows_dropped"] - steps["rows_left"]).iloc[1:].dropna()
        assert off.abs().max() <= 6 or off.empty
    assert flow[["rows_left", "units_left"]].notna().any(axis=None) and flow["rows_dropped"].gt(0).any()
