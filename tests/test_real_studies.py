"""The shipped studies from their files to the numbers of the report, and a comparison from a file of one's own.

Tolerance: half a unit of the last printed digit of the published value (tests/oracles/published.csv has the sources).
"""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from relocation_analysis.data.panel import check_panel, read_panel
from relocation_analysis.data.study import read_study
from relocation_analysis.errors import InputError
from relocation_analysis.estimation.design import build_design, checked_outcomes, primary_outcomes
from relocation_analysis.estimation.estimate import adjust_headlines, estimate, primary_family
from relocation_analysis.estimation.robustness import run_checks
from relocation_analysis.paths import ROOT

MIRROR = Path(os.environ.get("RELOCATION_DATA_MIRROR", ROOT.parent / "shared" / "data"))


@pytest.fixture(autouse=True, scope="module")
def mirror():
    """The files from the folder that stands in for the network, where it is there; otherwise they are fetched."""
    with pytest.MonkeyPatch.context() as patch:
        if MIRROR.is_dir():
            patch.setenv("RELOCATION_DATA_MIRROR", str(MIRROR.resolve()))
        yield


def effects_of(name):
    study = read_study(name)
    design = build_design(check_panel(read_panel(study), study), study)
    return design, estimate(design).table


def one(table, **equal):
    rows = table[np.logical_and.reduce([table[column] == value for column, value in equal.items()])]
    assert len(rows) == 1
    return rows.iloc[0]


@pytest.fixture(scope="module")
def bangladesh(mirror):
    return effects_of("bcm2014")


@pytest.mark.parametrize(("outcome", "arm", "value", "error"), [
    ("consumption", "", "68.359", "30.593"), ("food", "", "48.642", "24.139"), ("nonfood", "", "20.367", "9.662"),
    ("calories", "", "142.629", "47.196"), ("consumption", "cash", "96.566", "34.610"),
])  # fmt: skip
def test_the_published_effects_of_the_migration_offer_are_reached_to_the_printed_digit(bangladesh, outcome, arm, value, error):
    row = one(bangladesh[1], outcome=outcome, arm=arm, estimand="itt", subgroup="all")
    assert f"{row['estimate']:.3f}" == value
    assert f"{row['std_error']:.3f}" == error
    assert row["se_type"] == "cluster_cr1"
    if outcome == "consumption":
        assert row["n_units"] == 1869


def test_take_up_and_the_weak_instrument_interval_are_those_of_the_study(bangladesh):
    design, table = bangladesh
    first = one(table, outcome="relocated", estimand="first_stage", arm="")
    assert f"{first['estimate']:.3f}" == "0.184"
    robust = one(table, outcome="consumption", estimator="anderson_rubin")
    assert (round(robust["conf_low"]), round(robust["conf_high"])) == (45, 734)


def test_every_exclusion_of_the_study_file_is_a_row_of_the_flow(bangladesh):
    flow = bangladesh[0].flow
    fish = flow[(flow["step"] == "excluded") & flow["reason"].str.contains("fish")]
    assert set(fish["outcome"]) == {"consumption", "food", "nonfood", "calories"}
    assert (fish["rows_dropped"] == 1).all()


def test_totals_of_households_not_interviewed_are_missing_and_their_village_is_found_in_the_baseline():
    study = read_study("bcm2014")
    panel = read_panel(study)
    unseen = panel["total_fish"].isna()
    assert unseen.sum() == 35
    assert panel.loc[unseen, "village"].notna().sum() == 34


def test_the_lottery_gives_its_published_reduced_form_first_stage_and_effect():
    _, table = effects_of("visa_lottery")
    itt = one(table, outcome="log_income", estimand="itt", subgroup="all", arm="")
    assert (f"{itt['estimate']:.6f}", itt["n_units"]) == ("0.512366", 2129)
    first = one(table, outcome="relocated", estimand="first_stage", arm="")
    assert (f"{first['estimate']:.6f}", first["n_units"]) == ("0.576345", 2373)
    late = one(table, outcome="log_income", estimator="tsls")
    assert (f"{late['estimate']:.4f}", f"{late['std_error']:.4f}", late["n_units"]) == ("0.8866", "0.0635", 2128)
    married = one(table, outcome="married", estimator="tsls")
    assert (f"{married['estimate']:.3f}", f"{married['std_error']:.4f}", married["n_units"]) == ("-0.172", "0.0619", 940)


def test_every_check_of_an_offer_is_made_for_every_primary():
    study = read_study("bcm2014", parameters={"draws": 99})
    panel = check_panel(read_panel(study), study)
    design = build_design(panel, study, ("consumption",))
    checks = run_checks(design, estimate(design))
    names = [check.name for check in checks]
    (excluded,) = [check for check in checks if check.name == "exclusions"]
    assert "60.856 (32.324)" in excluded.note and excluded.passed is False
    assert set(names) >= {"balance", "strata", "first_stage", "errors", "randomisation", "selection_bounds", "wild_bootstrap", "power"}


def comparison_study(tmp_path, **changes):
    draw = np.random.default_rng(5)
    n = 600
    age, remote = draw.normal(40, 10, n), draw.normal(size=n)
    moved = (0.6 * remote + draw.normal(size=n) > 0).astype(int)
    before = 2 + 0.5 * remote + draw.normal(size=n)
    frame = pd.DataFrame({"person": range(n), "village": np.arange(n) % 60, "relocated": moved, "age": age, "remoteness": remote,
                          "earnings_year_before": 1000 * (before + 5), "earnings_year": 1000 * (before + 5 + 0.8 * moved + 0.2 * draw.normal(size=n))})  # fmt: skip
    frame.assign(**changes).to_csv(tmp_path / "panel.csv", index=False)
    (tmp_path / "own.toml").write_text(
        'name = "own"\ntitle = "Own"\n[data]\npath = "panel.csv"\n[design]\nkind = "comparison"\ncovariates = ["age", "remoteness"]\n',
        encoding="utf-8")  # fmt: skip
    return read_study(tmp_path / "own.toml")


def test_a_comparison_from_a_file_recovers_a_known_effect_in_differences(tmp_path):
    study = comparison_study(tmp_path)
    panel = check_panel(read_panel(study), study)
    assert primary_outcomes(panel, study) == checked_outcomes(panel, study) == ("earnings_year",)
    design = build_design(panel, study)
    effects = adjust_headlines(estimate(design), primary_family(design))
    main = one(effects.table, estimator="aipw_differences", aggregation="headline", subgroup="all")
    assert abs(main["estimate"] - 800) < 4 * main["std_error"] < 200
    assert main["p_adjusted"] == main["p_value"]
    names = {check.name for check in run_checks(design, effects)}
    assert names >= {"common_support", "balance_matching", "balance_weighting", "overlap", "baseline_outcome", "power"}


def test_a_comparison_without_movers_says_so(tmp_path):
    study = comparison_study(tmp_path, relocated=0)
    with pytest.raises(InputError, match="moved|relocated|treated"):
        estimate(build_design(check_panel(read_panel(study), study), study))


def test_an_outcome_keeps_its_age_universe_and_its_level_with_one_row_per_unit(tmp_path):
    study = comparison_study(tmp_path)
    panel = check_panel(read_panel(study), study)
    design = build_design(panel, study)
    inside = panel["age"].apply(np.floor).between(16, 59)
    assert 0 < (~inside).sum()
    assert set(design.flow.query("rows_dropped > 0")["step"]) == {"universe"}
    assert design.flow["rows_left"].iloc[-1] == inside.sum()
    assert set(estimate(design).table["n_units"]) == {inside.sum()}
    comparison_study(tmp_path, log_income_pc=1.0)
    with pytest.raises(InputError, match="log_income_pc belongs to the household"):
        again = read_study(tmp_path / "own.toml")
        check_panel(read_panel(again).assign(household=1), again)


def test_a_design_column_that_is_not_there_is_named_before_anything_is_estimated(tmp_path):
    study = comparison_study(tmp_path)
    with pytest.raises(InputError, match="'relocated' is not among"):
        check_panel(read_panel(study).drop(columns="relocated"), study)
    with pytest.raises(InputError, match="weight must be positive"):
        check_panel(read_panel(study).assign(weight=-1.0), study)


def test_an_exclusion_holds_in_a_rollout_too_and_is_a_row_of_its_flow(tmp_path):
    plain = read_study("simulated", parameters={"villages": 20, "counties": 2})
    read_panel(plain).to_csv(tmp_path / "panel.csv", index=False)
    text = 'name = "own"\ntitle = "Own"\n[data]\npath = "panel.csv"\n'
    (tmp_path / "own.toml").write_text(text, encoding="utf-8")
    (tmp_path / "less.toml").write_text(
        text + '[[exclude]]\noutcomes = ["unmet"]\ncolumn = "sex"\nequals = "male"\nreason = "only women were asked"\n', encoding="utf-8")  # fmt: skip
    tables = []
    for name in ("own.toml", "less.toml"):
        study = read_study(tmp_path / name)
        panel = check_panel(read_panel(study), study)
        design = build_design(panel, study, ("unmet", "debt"))
        tables.append((design, estimate(design).select(aggregation="headline", subgroup="all").table.set_index("outcome")))
    (_, whole), (design, less) = tables
    women = design.flow.query("outcome == 'unmet' and step == 'excluded'")
    assert list(women["reason"]) == ["only women were asked"]
    assert women["rows_dropped"].iloc[0] == (design.panel["sex"] == "male").sum()
    assert less.loc["unmet", "n_units"] < 0.7 * whole.loc["unmet", "n_units"]
    assert less.loc["debt", "estimate"] == whole.loc["debt", "estimate"]
