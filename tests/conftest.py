"""What many tests share: a small simulated study, the oracle panels, and the cells engine in one call."""

import os
import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from relocation_analysis.data.codebook import Outcome
from relocation_analysis.data.panel import check_panel, read_panel
from relocation_analysis.data.sources import read_file
from relocation_analysis.data.study import read_study
from relocation_analysis.estimation.aggregate import aggregate_effects, list_aggregations
from relocation_analysis.estimation.cells import build_cells
from relocation_analysis.estimation.cohort_time import NEVER, estimate_cohort_time, list_contrasts
from relocation_analysis.estimation.design import build_design
from relocation_analysis.estimation.estimate import estimate
from relocation_analysis.paths import ROOT
from relocation_analysis.reporting.disclosure.rule import Rule, keep

FEW_OUTCOMES = ("offfarm_wage", "debt", "in_school_16_18", "attend_6_15", "insured")


@pytest.fixture
def strict():
    """The test begins under the strictest rule of disclosure, and leaves it."""
    keep(Rule())
    yield
    keep(Rule())


@pytest.fixture(scope="session")
def record():
    """The module `record.py` beside this file: a record of everything that a report can show."""
    return SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("record.py"))))


@pytest.fixture(scope="session")
def study():
    return read_study("simulated", parameters={"villages": 40, "counties": 4, "draws": 199})


@pytest.fixture(scope="session")
def panel(study):
    return check_panel(read_panel(study), study)


@pytest.fixture(scope="session")
def design(panel, study):
    return build_design(panel, study, FEW_OUTCOMES)


@pytest.fixture(scope="session")
def simulated_effects(design):
    return estimate(design)


@pytest.fixture(scope="session")
def oracles():
    return Path(__file__).parent / "oracles"


@pytest.fixture(scope="session")
def staggered(oracles):
    """Our simulated panel of 1,000 units that R `did` and csdid were run on, with canonical names."""
    table = pd.read_csv(oracles / "staggered_1000.csv.gz")
    table = table.rename(columns={"id": "person", "t": "time", "cl": "village"})
    return table.assign(cohort=table["g"].astype(float).replace(0, np.nan))


@pytest.fixture(scope="session")
def mpdta_file():
    path = Path(os.environ.get("RELOCATION_DATA_MIRROR", ROOT.parent / "shared" / "data")) / "mpdta.rda"
    if not path.exists():
        pytest.skip(f"{path.name} is not on this machine")
    return path


@pytest.fixture(scope="session")
def mpdta(mpdta_file):
    """The 500 counties of the package did, with canonical names."""
    table = read_file(mpdta_file, "mpdta").rename(
        columns={"countyreal": "person", "year": "time", "lemp": "y"}
    )
    cohort = table["first.treat"].astype(float).replace(0, np.nan)
    return table.assign(cohort=cohort, village=table["person"])


def _fit(
    panel,
    cluster="village",
    comparison="never_treated",
    base="varying",
    anticipation=0,
    sampling="panel",
    strata=(),
    by=(),
    jackknife=False,
    level="person",
    age_step=None,
    outcome="y",
):
    """Cohort-time effects of the column `outcome`, every row of the panel counting."""
    about = Outcome(
        name=outcome, domain="other", level=level, sampling=sampling, age_step=age_step, unit="", label_en=""
    )
    times = tuple(int(t) for t in np.sort(panel["time"].unique()))
    contrasts = list_contrasts(
        tuple(np.sort(panel["cohort"].fillna(NEVER).unique())), times, comparison, anticipation, base
    )
    pairs = tuple(sorted({(c.time, c.base) for c in contrasts}))
    cells = build_cells(panel, about, pairs, cluster, tuple(dict.fromkeys((*strata, *by))))
    return estimate_cohort_time(cells, contrasts, tuple(strata), jackknife)


def _averages(fit, *names):
    """Estimate and root sum of squared influence values of aggregations; those with an index as
    name=index."""
    wanted = list_aggregations(
        fit, names or ("overall_simple", "overall_dynamic", "overall_cohort", "event_time", "headline")
    )
    found = aggregate_effects(fit, wanted)
    labels = [f"event_time={a.event_time:g}" if a.name == "event_time" else a.name for a in wanted]
    return dict(
        zip(labels, zip(found.estimate, np.sqrt((found.influence**2).sum(0)), strict=True), strict=True)
    )


@pytest.fixture(scope="session")
def fit():
    return _fit


@pytest.fixture(scope="session")
def averages():
    return _averages
