"""Power and the minimum detectable effect against simulation, never from the estimate."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from relocation_analysis.data.codebook import Outcome
from relocation_analysis.estimation.effects import EFFECT_COLUMNS, Effects
from relocation_analysis.estimation.power import design_power
from relocation_analysis.randomness import generator


def effects_of(std_error, estimate=0.0, kind="cluster_influence", clusters=10):
    row = dict.fromkeys(EFFECT_COLUMNS, np.nan) | {
        "outcome": "y",
        "aggregation": "headline",
        "subgroup": "all",
        "estimator": "callaway_santanna",
        "estimate": estimate,
        "std_error": std_error,
        "se_type": kind,
        "n_clusters_treated": clusters,
        "n_clusters_comparison": clusters,
    }
    influence = np.full((2 * clusters, 1), std_error / np.sqrt(2 * clusters))
    return Effects(pd.DataFrame([row])[list(EFFECT_COLUMNS)], influence, np.arange(2 * clusters))


def codebook(benchmark):
    return {"y": Outcome(name="y", domain="other", unit="", label_en="y", benchmark_effect=benchmark)}


def power_of(std_error, benchmark, **settings):
    return design_power(effects_of(std_error, **settings), codebook(benchmark)).iloc[0]


def test_the_effect_found_with_80_percent_power_is_2_8_standard_errors():
    assert power_of(0.01, 0.05)["mde"] == pytest.approx((1.959964 + 0.841621) * 0.01, abs=1e-7)


def test_power_at_the_minimum_detectable_effect_is_80_percent():
    assert power_of(0.01, (1.959964 + 0.841621) * 0.01)["power"] == pytest.approx(0.8, abs=1e-5)


def test_power_equals_the_share_of_simulated_rejections():
    draws = generator("power").standard_normal(200_000)
    for benchmark in (0.002, 0.02, 0.03):
        rejected = (np.abs(benchmark + 0.01 * draws) > 1.959964 * 0.01).mean()
        assert power_of(0.01, benchmark)["power"] == pytest.approx(rejected, abs=0.004)


def test_power_with_few_clusters_is_that_of_a_t_statistic():
    found = power_of(0.01, 0.03, kind="cluster_jackknife")
    quantile = stats.t.ppf(0.975, 19)
    draws = stats.t.rvs(19, size=200_000, random_state=5)
    assert found["power"] == pytest.approx((np.abs(draws + 3) > quantile).mean(), abs=0.004)
    assert found["mde"] == pytest.approx((quantile + stats.t.ppf(0.8, 19)) * 0.01)


def test_the_estimate_plays_no_part():
    assert power_of(0.01, 0.03, estimate=0.0)["power"] == power_of(0.01, 0.03, estimate=9.9)["power"]


def test_without_a_benchmark_or_an_error_there_is_no_power():
    assert np.isnan(power_of(0.01, None)["power"]) and np.isfinite(power_of(0.01, None)["mde"])
    assert np.isnan(power_of(np.nan, 0.03, kind="")["power"])


def test_more_villages_find_smaller_effects(simulated_effects, study):
    table = design_power(simulated_effects, study.codebook)
    assert set(table.columns) == {"outcome", "benchmark", "std_error", "power", "mde"}
    assert table.set_index("outcome").loc["offfarm_wage", "mde"] > 2.8 * 0.01
