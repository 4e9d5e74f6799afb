"""Sensitivity to a confounder.

Oracle: what R's sensemakr has in its own tests on the Darfur data, in the digits printed there. The data are not needed:
the closed forms take the estimate, its error, its degrees of freedom and two partial R2. sensemakr's intervals have the
t value of the degrees of freedom before the confounder is added, 783; ours of 782, as its robustness value: 1e-7.
"""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats

from relocation_analysis.errors import InputError
from relocation_analysis.estimation.confounding import (
    BOUNDS,
    Regression,
    adjust,
    check_confounding,
    regress,
    robustness_value,
    sensitivity_to_confounding,
)


@pytest.fixture(scope="module")
def printed(oracles):
    return pd.read_csv(oracles / "confounding.csv", comment="#").set_index("name")


@pytest.fixture(scope="module")
def darfur(printed):
    value = printed["value"]
    female = (value["r2_female_treatment"], value["r2_female_outcome"])
    return Regression(value["estimate"], value["std_error"], int(value["df"]), {"female": female})


def sample(seed=0, n=400, effect=0.5):
    """y on d, x1, x2, x3 and a factor of three levels; d depends on all of them."""
    rng = np.random.default_rng(seed)
    x, level = rng.normal(size=(n, 3)), rng.integers(0, 3, n)
    d = x @ [0.6, 0.3, 0.0] + 0.4 * (level == 2) + rng.normal(size=n)
    y = effect * d + x @ [0.8, -0.4, 0.2] + 0.5 * (level == 1) + rng.normal(size=n)
    factor = np.column_stack([level == 1, level == 2]).astype(float)
    return y, d, {"x1": x[:, 0], "x2": x[:, 1], "x3": x[:, 2], "level": factor}, np.ones((n, 1))


def test_darfur_is_as_published(darfur):
    found = sensitivity_to_confounding(darfur)
    assert f"{darfur.estimate:.3f} ({darfur.std_error:.3f})" == "0.097 (0.023)"
    assert f"{found.robustness_value:.1%} / {found.robustness_value_significant:.1%}" == "13.9% / 7.6%"
    assert f"{found.partial_r2:.1%}" == "2.2%"


@pytest.mark.parametrize("name", ["partial_r2", "robustness_value", "robustness_value_significant"])
def test_the_statistics_of_darfur_are_those_of_sensemakr(darfur, printed, name):
    value = getattr(sensitivity_to_confounding(darfur), name)
    assert value == pytest.approx(printed.loc[name, "value"], abs=printed.loc[name, "digits"])


@pytest.mark.parametrize("multiple", [1, 2, 3])
@pytest.mark.parametrize("column", BOUNDS[2:])
def test_the_bounds_of_darfur_are_those_of_sensemakr(darfur, printed, multiple, column):
    bounds = sensitivity_to_confounding(darfur).bounds.set_index("multiple")
    row = printed.loc[f"{multiple} {column}"]
    assert bounds.loc[multiple, column] == pytest.approx(row["value"], abs=row["digits"])


def test_a_confounder_of_the_robustness_value_brings_the_estimate_to_zero(darfur):
    rv = robustness_value(darfur.estimate / darfur.std_error, darfur.df)
    assert adjust(darfur, rv, rv)[0] == pytest.approx(0, abs=1e-15)


def test_a_confounder_that_explains_the_rest_of_the_outcome_needs_the_partial_r2(darfur):
    assert adjust(darfur, sensitivity_to_confounding(darfur).partial_r2, 1.0)[0] == pytest.approx(0, abs=1e-15)


@pytest.mark.parametrize(("t", "df"), [(4.18, 783), (2.5, 40), (3.0, 12), (30.0, 50), (25.0, 8)])
def test_a_confounder_of_the_second_robustness_value_just_takes_the_interval_to_zero(t, df):
    rv = robustness_value(t, df, 0.05)
    quantile = stats.t.isf(0.025, df - 1)

    def smallest_t(share):
        estimates = [adjust(Regression(t, 1.0, df, {}), share, r2) for r2 in np.linspace(0, share, 2001)]
        return min(abs(estimate) / error for estimate, error in estimates)

    assert smallest_t(rv) == pytest.approx(quantile, rel=1e-4)
    assert smallest_t(0.98 * rv) > quantile * 1.0005


def test_an_effect_that_is_not_significant_needs_no_confounder():
    assert robustness_value(1.5, 100, 0.05) == 0.0 and robustness_value(0.0, 100) == 0.0


def test_the_regression_is_that_of_statsmodels():
    y, d, covariates, controls = sample()
    found = regress(y, d, covariates, controls)
    x = np.column_stack([controls, *covariates.values()])
    fit = sm.OLS(y, np.column_stack([d, x])).fit()
    assert found.estimate == pytest.approx(fit.params[0], rel=1e-11)
    assert found.std_error == pytest.approx(fit.bse[0], rel=1e-11)
    assert found.df == fit.df_resid
    t_y, t_d = fit.tvalues[2], sm.OLS(d, x).fit()
    assert found.benchmarks["x1"][1] == pytest.approx(t_y**2 / (t_y**2 + fit.df_resid), rel=1e-10)
    assert found.benchmarks["x1"][0] == pytest.approx(t_d.tvalues[1] ** 2 / (t_d.tvalues[1] ** 2 + t_d.df_resid), rel=1e-10)


def test_leaving_a_covariate_out_moves_the_estimate_by_the_bias_of_the_formula():
    y, d, covariates, controls = sample()
    full = regress(y, d, covariates, controls)
    short = regress(y, d, {k: v for k, v in covariates.items() if k != "x1"}, controls)
    estimate, error = adjust(short, *full.benchmarks["x1"])
    assert estimate == pytest.approx(full.estimate, rel=1e-10)
    assert error == pytest.approx(full.std_error, rel=1e-10)


def test_a_factor_is_one_covariate_however_its_levels_are_coded():
    y, d, covariates, controls = sample()
    other = covariates | {"level": np.column_stack([1 - covariates["level"].sum(1), covariates["level"][:, 0]])}
    assert regress(y, d, other, controls).benchmarks["level"] == pytest.approx(
        regress(y, d, covariates, controls).benchmarks["level"], rel=1e-9)  # fmt: skip


def test_units_of_measurement_and_the_sign_of_the_treatment_do_not_matter():
    y, d, covariates, controls = sample()
    one = sensitivity_to_confounding(regress(y, d, covariates, controls))
    other = sensitivity_to_confounding(regress(7 * y + 3, -d / 10, covariates, controls))
    assert other.robustness_value == pytest.approx(one.robustness_value, rel=1e-10)
    np.testing.assert_allclose(other.bounds["estimate"], -70 * one.bounds["estimate"], rtol=1e-9)
    np.testing.assert_allclose(other.bounds["conf_low"], -70 * one.bounds["conf_high"], rtol=1e-9)


def test_a_confounder_as_strong_as_cannot_be_has_no_row_of_numbers():
    strong = Regression(1.0, 0.1, 100, {"x": (0.6, 0.2), "y": (1 / 3, 0.2)})
    bounds = sensitivity_to_confounding(strong).bounds
    assert bounds[bounds["covariate"] == "x"].iloc[:, 2:].isna().all(axis=None)
    assert bounds["multiple"].tolist() == [1, 2, 3, 1, 2, 3]


def test_darfur_stands_against_a_confounder_as_strong_as_female(darfur):
    check = check_confounding("peace", darfur)
    assert check.passed is True and check.statistic == pytest.approx(0.13878, abs=1e-5)
    assert check_confounding("peace", darfur, (3,)).passed is False
    assert "13.9%" in check.note and "7.6%" in check.note and "2.2%" in check.note


def test_the_check_judges_nothing_without_an_effect_or_without_covariates(darfur):
    assert check_confounding("y", Regression(0.1, 0.1, 50, darfur.benchmarks)).passed is None
    assert check_confounding("y", Regression(1.0, 0.1, 50, {})).passed is None


def test_a_treatment_that_the_covariates_explain_is_an_error():
    y, d, covariates, controls = sample()
    with pytest.raises(InputError, match="The treatment must vary given the covariates"):
        regress(y, covariates["x1"] + covariates["x2"], covariates, controls)
