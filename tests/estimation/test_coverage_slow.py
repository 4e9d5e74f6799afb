"""What the package's own estimators give on simulated panels: coverage of the 95% interval and the scenario
table.

Coverage is of the population effect, the mean over all replications of the known effect on the cells that
each could estimate, and must lie between 93% and 97%. With 400 replications its standard error is .011
(.013 with 300), so the test can tell .90 from .95 and no more. Scenario means of 24 replications have a
standard error of about .002 (a Monte Carlo error of .0015 in the table, from 40), so that .008 is three
standard errors of a difference.
"""

import numpy as np
import pandas as pd
import pytest

from relocation_analysis.data.panel import check_panel
from relocation_analysis.data.simulate import simulate_panel
from relocation_analysis.data.study import read_study
from relocation_analysis.estimation.benchmarks import BASE_EARLIER, estimate_alternatives
from relocation_analysis.estimation.design import build_design
from relocation_analysis.estimation.estimate import MAIN, contrasts_of, effects_of, outcome_cells
from relocation_analysis.estimation.sensitivity import known_truth

pytestmark = pytest.mark.slow
NAME = "offfarm_wage"


def draw(seed, **knobs):
    """Design of one drawn panel, its headline and event times by the main estimator, and their known
    values."""
    study = read_study(
        "simulated", "national", parameters={"seed": seed, "draws": 99, "outcomes": [NAME], **knobs}
    )
    drawn = simulate_panel(study.province, study.simulation)
    design = build_design(check_panel(drawn.panel, study), study, (NAME,))
    outcome = design.outcomes[NAME]
    cells, contrasts = outcome_cells(design, outcome), contrasts_of(design, outcome, "universal")
    found = effects_of(design, outcome, cells, contrasts, MAIN, ("headline", "event_time")).table
    truth = known_truth(design, drawn.truth)
    return design, found, float(truth.loc[truth["aggregation"] == "headline", "truth"].iloc[0])


@pytest.mark.parametrize(("villages", "replications"), [(25, 400), (50, 400), (200, 300)])
def test_intervals_cover_the_population_effect_in_93_to_97_percent(villages, replications):
    rows, truths = [], []
    for seed in range(replications):
        _, found, truth = draw(seed, villages=villages)
        rows.append(
            found.loc[
                found["aggregation"] == "headline",
                ["conf_low", "conf_high", "se_type", "estimate", "std_error"],
            ].iloc[0]
        )
        truths.append(truth)
    table, truth = pd.DataFrame(rows), np.mean(truths)
    covered = ((table["conf_low"] <= truth) & (truth <= table["conf_high"])).mean()
    bias, spread = table["estimate"].mean() - truth, table["estimate"].std()
    summary = (
        f"covered {covered:.3f}, bias {bias:.4f}, spread {spread:.4f}, error {table['std_error'].mean():.4f}"
    )
    assert 0.93 <= covered <= 0.97, summary
    assert abs(bias) < 3 * spread / replications**0.5, summary
    assert set(table["se_type"]) == {"cluster_jackknife" if villages <= 50 else "cluster_influence"}


REPLICATIONS = 24
SCENARIOS = {
    "A": {},
    "B": {"sel_obs": 1.5},
    "C": {"sel_trend": 0.01},
    "D": {"simulation.anticipation": -0.03},
    "E": {"spill_notmoved": 0.04},
    "F": {"dattr": 0.06},
    "G": {"never_share": 0.0},
}
TABLE = pd.DataFrame(
    {
        "A": (0.064, 0.066, 0.051, 0.043, -0.002),
        "B": (0.065, 0.066, 0.051, 0.018, 0.000),
        "C": (0.079, 0.088, 0.065, 0.073, -0.006),
        "D": (0.099, 0.066, 0.067, 0.043, 0.029),
        "E": (0.041, 0.042, 0.030, 0.016, -0.001),
        "F": (0.070, 0.073, 0.058, 0.090, -0.002),
        "G": (0.054, 0.042, 0.026, np.nan, np.nan),
    },
    index=[MAIN, BASE_EARLIER, "twfe", "cross_section", "pre_test"],
).T


@pytest.fixture(scope="module")
def scenarios():
    """Estimates by replication, by scenario."""
    found = {}
    for scenario, knobs in SCENARIOS.items():
        rows = []
        for seed in range(REPLICATIONS):
            design, main, truth = draw(seed, **knobs)
            row = estimate_alternatives(design, NAME).table.set_index("estimator")["estimate"].to_dict()
            events = main[main["aggregation"] == "event_time"].set_index("event_time")["estimate"]
            headline = main.loc[main["aggregation"] == "headline", "estimate"].iloc[0]
            rows.append(row | {MAIN: headline, "pre_test": events.get(-2.0, np.nan), "truth": truth})
        found[scenario] = pd.DataFrame(rows)
    return found


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_packages_estimators_give_the_row_of_the_specification(scenarios, scenario):
    """Before-after is left out, for the table's compares with all earlier years and ours with the base
    period; so is TWFE where attrition depends on the outcome, for the table's has effects of persons and
    ours of villages."""
    expected = TABLE.loc[scenario].dropna().drop("twfe" if scenario == "F" else [])
    mean = scenarios[scenario].mean()[expected.index]
    error = (scenarios[scenario].std()[expected.index] ** 2 * (1 / REPLICATIONS + 1 / 40)) ** 0.5
    assert ((mean - expected).abs() <= 3 * error + 0.003).all(), f"\n{mean.round(4)}"


@pytest.mark.parametrize("scenario", ["A", "B", "G"])
def test_the_main_estimator_recovers_the_truth_where_its_assumptions_hold(scenarios, scenario):
    gap = scenarios[scenario][MAIN] - scenarios[scenario]["truth"]
    assert abs(gap.mean()) < 2.5 * gap.std() / REPLICATIONS**0.5


def test_each_estimator_errs_in_the_direction_that_theory_says(scenarios):
    mean = pd.DataFrame({name: table.mean() for name, table in scenarios.items()}).T
    clean = mean.loc["A"]
    assert clean["before_after"] > clean["truth"] + 0.02 and clean["twfe"] < clean["truth"] - 0.005
    assert mean.loc["C", BASE_EARLIER] > mean.loc["C", MAIN] > clean[MAIN] + 0.01
    assert (
        mean.loc["D", MAIN] > clean[MAIN] + 0.02
        and abs(mean.loc["D", BASE_EARLIER] - clean[BASE_EARLIER]) < 0.005
    )
    assert (
        mean.loc["E", MAIN] < clean[MAIN] - 0.01
        and mean.loc["E", "cross_section"] < clean["cross_section"] - 0.01
    )
    assert mean.loc["F", "before_after"] > clean["before_after"] + 0.01
    assert mean.loc["G", "twfe"] < mean.loc["G", "truth"] - 0.015
