"""Every check runs for every variant of the design, says its null in a sentence and never judges without a number."""

import numpy as np
import pytest

from relocation_analysis.data.panel import check_panel, read_panel
from relocation_analysis.data.study import read_study
from relocation_analysis.estimation.checks import check_frame
from relocation_analysis.estimation.design import build_design
from relocation_analysis.estimation.estimate import estimate
from relocation_analysis.estimation.robustness import run_checks

VARIANTS = [{"waves": "survey"}, {"never_share": 0.0}, {"villages": 8, "counties": 2, "design.anticipation": 1}]


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_every_check_runs_for_every_variant_of_the_design(variant):
    study = read_study("simulated", parameters={"villages": 40, "counties": 4, "draws": 99} | variant)
    panel = check_panel(read_panel(study), study).assign(unmet=np.nan)
    design = build_design(panel, study, ("debt", "progress", "unmet"))
    checks = run_checks(design, estimate(design))
    table = check_frame(checks)
    assert not table.duplicated(["outcome", "name"]).any()
    assert (table["null"].str.len() > 20).all() and table["null"].str[0].str.isupper().all()
    for check in checks:
        if check.passed is not None:
            assert check.statistic is not None or check.p_value is not None or check.table is None, check.name
        if check.p_value is not None:
            assert 0 <= check.p_value <= 1
    shares = table.loc[(table["name"] == "coverage") & (table["outcome"] != "unmet"), "statistic"].astype(
        float
    )
    assert shares.between(0, 1).all()
