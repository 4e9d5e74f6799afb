"""The headline of a fit: the row that effects have, from fewer contrasts and coarser cells. Sums of shares are exact in either."""

import numpy as np
import pandas as pd
import pytest

from relocation_analysis.data.panel import check_panel
from relocation_analysis.data.study import Study
from relocation_analysis.estimation.design import build_design
from relocation_analysis.estimation.effects import support_of
from relocation_analysis.estimation.estimate import MAIN, contrasts_of, effects_of, outcome_cells
from relocation_analysis.estimation.headline import estimate_headline, headline_cells


@pytest.fixture(scope="module")
def design():
    """60 villages of 4 persons, half of which move in 2, 4 or 6, seen for 9 years: exposures beyond the headline's, too."""
    rng = np.random.default_rng(1)
    village = np.repeat(np.arange(60), 4)
    cohort = np.where(village % 2, np.nan, 2 + 2 * (village // 2 % 3))
    panel = pd.DataFrame({"person": np.arange(240), "village": village, "cohort": cohort, "sex": np.where(village % 3, "f", "m")})
    panel = panel.merge(pd.DataFrame({"time": range(9)}), how="cross")
    panel["y"] = rng.integers(0, 2, len(panel)) + 1.0 * (panel["time"] >= panel["cohort"])
    outcome = {"y": {"domain": "employment", "unit": "", "label_en": "y"}}
    study = Study(name="s", title="", data={"path": "x.csv"}, outcome=outcome, outcomes=["y"], subgroups=["sex"], design={"draws": 99})
    return build_design(check_panel(panel, study), study)


@pytest.mark.parametrize("coarse", [False, True])
def test_a_headline_is_the_row_that_effects_have(design, coarse):
    outcome = design.outcomes["y"]
    contrasts = contrasts_of(design, outcome, "varying")
    cells = outcome_cells(design, outcome)
    effects = effects_of(design, outcome, cells, contrasts, MAIN, ("headline",))
    row = effects.table.iloc[0]
    found = estimate_headline(design, outcome, headline_cells(design, outcome, contrasts, ()) if coarse else cells, contrasts)
    for name in ("estimate", "std_error", "se_type", "p_value", "conf_low", "conf_high", "n_units", "n_clusters_treated"):
        assert getattr(found, name) == row[name]
    assert found.n_smaller_side == support_of(effects)[["n_treated", "n_comparison"]].min(axis=1).iloc[0]


def test_without_contrasts_there_is_no_headline(design):
    assert estimate_headline(design, design.outcomes["y"], outcome_cells(design, design.outcomes["y"]), ()) is None
