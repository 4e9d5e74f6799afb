"""Effects of an offer: published values, arithmetic by hand, statsmodels, invariances and bad input.

A published value agrees within half a unit of its last printed digit (tests/oracles/published.csv). statsmodels solves the same
least squares by another route (pseudoinverse of all dummies): 1e-9 leaves room for their conditioning.
"""

import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf

from relocation_analysis.data.codebook import Outcome
from relocation_analysis.data.sources import read_file
from relocation_analysis.errors import InputError
from relocation_analysis.estimation.effects import EFFECT_COLUMNS
from relocation_analysis.estimation.offer import estimate_offer, estimate_take_up, take_up_by_arm
from relocation_analysis.estimation.offer_checks import check_errors, check_selection, redraw
from relocation_analysis.estimation.offer_design import Offer
from relocation_analysis.paths import ROOT
from relocation_analysis.randomness import generator

BCM = Offer(strata=("county",), assigned="cluster", base_arm="control", few_clusters="ignore")
LOTTERY = Offer(strata=("county",), assigned="unit", drawn_within=("village",), few_clusters="ignore")
Y = Outcome(name="y", domain="other", unit="", label_en="y")


def about(name):
    return Outcome(name=name, domain="other", unit="", label_en=name)


def real_file(name):
    path = Path(os.environ.get("RELOCATION_DATA_MIRROR", ROOT.parent / "shared" / "data")) / name
    if not path.exists():
        pytest.skip(f"{name} is not on this machine")
    return read_file(path)


@pytest.fixture(scope="module")
def bcm():
    """Households after the lean season, the village of those not interviewed taken from the baseline."""
    baseline = real_file("bcm2014_r1.dta").set_index("hhid")["village"]
    frame = real_file("bcm2014_r2.dta").copy()
    frame["village"] = frame["village"].fillna(frame["hhid"].map(baseline))
    return frame.rename(columns={"incentivized": "offered", "migrant": "relocated", "incentive": "arm", "upazila": "county"})


@pytest.fixture(scope="module")
def lottery():
    names = {"winner": "offered", "migrated": "relocated", "subdistrict": "county", "locality": "village"}
    return real_file("bd_visa_lottery.rds").rename(columns=names)


@pytest.fixture(scope="module")
def published(oracles):
    return pd.read_csv(oracles / "published.csv", comment="#", dtype=str, keep_default_na=False)


def agrees(value, printed):
    """Whether a value rounds to what was printed."""
    digits = len(printed.split(".")[1]) if "." in printed else 0
    return abs(value - float(printed)) <= 0.5 * 10.0**-digits + 1e-12


def one(effects, **equal):
    rows = effects.select(**equal).table
    assert len(rows) == 1
    return rows.iloc[0]


def rows_of(frame, rows):
    return frame[frame["total_fish"] != frame["total_fish"].max()] if rows.startswith("largest") else frame


def compare(row, expected):
    for column, printed in (("estimate", expected.value), ("std_error", expected.std_error)):
        if printed:
            assert agrees(row[column], printed), (expected.quantity, expected.outcome, row[column], printed)
    if expected.n:
        assert row["n_units"] == int(expected.n)


def test_intentions_to_treat_of_the_migration_incentives_are_as_printed(bcm, published):
    for expected in published[(published["study"] == "bcm2014") & (published["quantity"] == "itt")].itertuples():
        effects = estimate_offer(rows_of(bcm, expected.rows), about(expected.outcome), BCM)
        compare(one(effects, estimand="itt", arm=expected.arm), expected)


def test_first_stages_and_take_up_of_the_migration_incentives_are_as_printed(bcm, published):
    shares = take_up_by_arm(bcm).set_index("arm")["share"]
    for expected in published[(published["study"] == "bcm2014") & (published["outcome"] == "relocated")].itertuples():
        if expected.quantity == "take_up":
            assert agrees(shares[expected.arm], expected.value)
        else:
            offer = replace(BCM, strata=()) if expected.quantity.endswith("without_strata") else BCM
            compare(one(estimate_take_up(bcm, offer), arm=""), expected)


def test_what_stands_beside_the_estimate_is_as_recomputed(bcm, published):
    values = published[published["study"] == "bcm2014"].set_index("quantity")
    frame = rows_of(bcm, "largest")
    errors = check_errors(frame, "average_exp2", BCM, ("village",)).table.set_index("se_type")["std_error"]
    assert agrees(errors["cluster_cr1"], "30.593") and agrees(errors["cluster_jackknife"], values.loc["jackknife", "std_error"])
    robust = one(estimate_offer(frame, about("average_exp2"), BCM), estimator="anderson_rubin")
    assert agrees(robust["conf_low"], values.loc["anderson_rubin_low", "value"])
    assert agrees(robust["conf_high"], values.loc["anderson_rubin_high", "value"])
    check = check_selection(frame, "average_exp2", BCM, 20, generator("bounds"))
    offered, other = values.loc["response_offered", "value"], values.loc["response_not", "value"]
    assert f"Observed: 0{offered} of the offered, 0{other} of the others." in check.note
    assert "trim 1.2 rows" in check.note and "say nothing beyond the estimate" in check.note
    assert check.passed is True and set(check.table["quantity"]) == {"estimate", "low", "high"}


def test_randomisation_p_values_are_within_the_error_of_the_thousand_draws_they_were_printed_from(bcm, published):
    """20,000 draws give .026 and .043; three Monte-Carlo errors of 1,000 draws are .015 and .019."""
    found = redraw(rows_of(bcm, "largest"), "average_exp2", BCM, 4_000, generator("redraw"))
    printed = published.set_index("quantity")["value"]
    for p, name in ((found.p_coefficient, "randomisation_coefficient"), (found.p_t, "randomisation_t")):
        assert abs(p - float(printed[name])) < 3 * np.sqrt(p * (1 - p) * (1 / 1000 + 1 / 4000))


def test_effects_of_the_visa_lottery_are_as_printed(lottery, published):
    for expected in published[published["study"] == "visa_lottery"].itertuples():
        frame = lottery[lottery["married_pre"] == 0] if expected.rows == "initially single" else lottery
        if expected.outcome == "relocated":
            compare(one(estimate_take_up(frame, LOTTERY)), expected)
            continue
        effects = estimate_offer(frame, about(expected.outcome), LOTTERY)
        if expected.quantity == "late_without_correction":
            row = one(effects, estimator="tsls")
            g, n, k = len(effects.clusters), row["n_units"], frame["county"].nunique() + 1
            used = np.unique(frame.dropna(subset=[expected.outcome, "relocated"])["village"]).size
            assert g >= used
            plain = row["std_error"] / np.sqrt(used / (used - 1) * (n - 1) / (n - k))
            assert agrees(plain, expected.std_error)
        else:
            compare(
                one(effects, estimator="tsls" if expected.quantity == "late" else "ols_strata", estimand=expected.quantity),
                expected,
            )


def trial(seed=0, clusters=24, size=6, effect=1.0, strata=4):
    """An offer by cluster within strata, take-up of a part, unequal clusters, weights, and a covariate."""
    rng = np.random.default_rng(seed)
    village = np.repeat(np.arange(clusters), size + np.arange(clusters) % 3)
    offered = (np.arange(clusters) // strata % 2)[village].astype(float)
    shock = rng.normal(size=clusters)[village]
    relocated = (rng.random(len(village)) < 0.2 + 0.5 * offered).astype(float)
    frame = pd.DataFrame({"village": village, "county": village % strata, "offered": offered, "relocated": relocated,
                          "age": rng.normal(40, 10, len(village)), "weight": rng.uniform(0.5, 2, len(village))})  # fmt: skip
    frame["arm"] = np.where(offered == 0, "none", np.where(village % 2, "cash", "credit"))
    frame["y"] = effect * relocated + shock + frame["county"] + 0.02 * frame["age"] + rng.normal(size=len(frame))
    return frame


def test_a_two_by_two_is_the_difference_of_means_and_the_ratio_of_differences():
    """Offered: y = 5, 7, 9, 3 (mean 6), moved 1, 1, 1, 0 (mean .75). Not: y = 2, 4, 3, 3 (mean 3), moved 0, 0, 1, 0 (.25).
    Intention to treat 6 - 3 = 3; first stage .5; effect on the movers 3 / .5 = 6."""
    frame = pd.DataFrame({"y": [5, 7, 9, 3, 2, 4, 3, 3], "offered": [1] * 4 + [0] * 4, "relocated": [1, 1, 1, 0, 0, 0, 1, 0],
                          "village": range(8)})  # fmt: skip
    effects = estimate_offer(frame, Y, Offer(few_clusters="ignore"))
    assert tuple(effects.table.columns) == EFFECT_COLUMNS
    assert one(effects, estimand="itt")["estimate"] == pytest.approx(3, abs=1e-12)
    assert one(effects, estimand="first_stage")["estimate"] == pytest.approx(0.5, abs=1e-12)
    assert one(effects, estimator="tsls")["estimate"] == pytest.approx(6, abs=1e-12)
    # residuals -1, 1, 3, -3 and -1, 1, 0, 0: variance (20 + 2) / 4^2, times CR1 8/7 * 7/6
    assert one(effects, estimand="itt")["std_error"] == pytest.approx(np.sqrt(22 / 16 * 8 / 6), abs=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
def test_estimates_errors_and_p_values_are_those_of_statsmodels(weighted):
    frame = trial() if weighted else trial().drop(columns="weight")
    offer = Offer(strata=("county",), covariates=("age",), base_arm="none", few_clusters="ignore")
    effects = estimate_offer(frame, Y, offer)
    weights = frame["weight"] if weighted else np.ones(len(frame))
    settings = {"cov_type": "cluster", "cov_kwds": {"groups": frame["village"]}, "use_t": True}
    pooled = smf.wls("y ~ offered + C(county) + age", frame, weights=weights).fit(**settings)
    by_arm = smf.wls("y ~ C(arm, Treatment('none')) + C(county) + age", frame, weights=weights).fit(**settings)
    for arm, fit, name in (("", pooled, "offered"), ("cash", by_arm, "C(arm, Treatment('none'))[T.cash]"),
                           ("credit", by_arm, "C(arm, Treatment('none'))[T.credit]")):  # fmt: skip
        row = one(effects, estimand="itt", arm=arm)
        assert row["estimate"] == pytest.approx(fit.params[name], rel=1e-9)
        assert row["std_error"] == pytest.approx(fit.bse[name], rel=1e-9)
        assert row["p_value"] == pytest.approx(fit.pvalues[name], rel=1e-7)
        assert [row["conf_low"], row["conf_high"]] == pytest.approx(list(fit.conf_int().loc[name]), rel=1e-9)
        assert row["se_type"] == "cluster_cr1" and row["n_units"] == len(frame)


def test_two_stage_least_squares_is_the_ratio_and_its_error_that_of_its_own_residual():
    frame = trial(2).drop(columns="weight")
    row = one(estimate_offer(frame, Y, Offer(strata=("county",), few_clusters="ignore")), estimator="tsls")
    controls = pd.get_dummies(frame["county"], dtype=float).to_numpy()
    x, z = np.c_[frame["relocated"], controls], np.c_[frame["offered"], controls]
    beta = np.linalg.solve(z.T @ x, z.T @ frame["y"])
    scores = pd.DataFrame(z * (frame["y"].to_numpy() - x @ beta)[:, None]).groupby(frame["village"].to_numpy()).sum().to_numpy()
    bread = np.linalg.inv(z.T @ x)
    n, k, g = len(frame), x.shape[1], len(scores)
    variance = bread @ scores.T @ scores @ bread.T * g / (g - 1) * (n - 1) / (n - k)
    assert row["estimate"] == pytest.approx(beta[0], rel=1e-10)
    assert row["std_error"] == pytest.approx(np.sqrt(variance[0, 0]), rel=1e-10)


def test_with_few_clusters_errors_come_from_leaving_each_out():
    frame = trial().drop(columns="weight")
    offer = Offer(strata=("county",), base_arm="none")
    effects = estimate_offer(frame, Y, offer)
    plain = estimate_offer(frame, Y, replace(offer, few_clusters="ignore"))
    for entry in ({"estimand": "itt", "arm": ""}, {"estimand": "itt", "arm": "cash"}, {"estimator": "tsls"}):
        left = [one(estimate_offer(frame[frame["village"] != g], Y, offer), **entry)["estimate"] for g in range(24)]
        expected = np.sqrt(23 / 24 * ((np.array(left) - one(plain, **entry)["estimate"]) ** 2).sum())
        assert one(effects, **entry)["std_error"] == pytest.approx(expected, rel=1e-9)
        assert one(effects, **entry)["se_type"] == "cluster_jackknife"


def test_below_five_clusters_on_a_side_there_is_no_error():
    effects = estimate_offer(trial(clusters=8), Y, Offer())
    assert effects.table["std_error"].isna().all() and (effects.table["se_type"] == "").all() and not effects.influence.any()


def test_influence_values_give_the_errors():
    effects = estimate_offer(trial(), Y, Offer(strata=("county",), base_arm="none"))
    known = effects.table["std_error"].notna().to_numpy()
    found = np.sqrt((effects.influence**2).sum(0))
    np.testing.assert_allclose(found[known], effects.table["std_error"][known], rtol=1e-12)


def numbers(effects):
    columns = ["estimate", "std_error", "conf_low", "conf_high", "n_units", "n_clusters_treated", "n_clusters_comparison"]
    return effects.table[columns].to_numpy(dtype=float)


@pytest.fixture(params=["jackknife", "ignore"])
def offer(request):
    return Offer(strata=("county",), covariates=("age",), base_arm="none", few_clusters=request.param)


def test_the_order_of_rows_does_not_matter(offer):
    frame = trial()
    again = frame.sample(frac=1, random_state=3)
    np.testing.assert_allclose(numbers(estimate_offer(again, Y, offer)), numbers(estimate_offer(frame, Y, offer)), rtol=1e-9)


def test_the_labels_of_clusters_and_strata_do_not_matter(offer):
    frame = trial()
    again = frame.assign(village="v" + (97 - frame["village"]).astype(str), county=10 - 3 * frame["county"])
    np.testing.assert_allclose(numbers(estimate_offer(again, Y, offer)), numbers(estimate_offer(frame, Y, offer)), rtol=1e-9)


def test_an_outcome_times_k_has_effects_times_k_and_one_plus_a_constant_the_same(offer):
    frame = trial()
    base = estimate_offer(frame, Y, offer)
    effect = (base.table["estimand"] != "first_stage").to_numpy()
    scaled = estimate_offer(frame.assign(y=-3e5 * frame["y"]), Y, offer)
    np.testing.assert_allclose(numbers(scaled)[effect][:, 0], -3e5 * numbers(base)[effect][:, 0], rtol=1e-9)
    np.testing.assert_allclose(numbers(scaled)[effect][:, 1], 3e5 * numbers(base)[effect][:, 1], rtol=1e-9)
    np.testing.assert_allclose(numbers(scaled)[~effect], numbers(base)[~effect], rtol=1e-12)
    moved = estimate_offer(frame.assign(y=frame["y"] + 1e6), Y, offer)
    np.testing.assert_allclose(numbers(moved), numbers(base), rtol=1e-6)


def test_weights_times_a_constant_and_strata_said_twice_change_nothing(offer):
    frame = trial()
    base = numbers(estimate_offer(frame, Y, offer))
    np.testing.assert_allclose(numbers(estimate_offer(frame.assign(weight=7 * frame["weight"]), Y, offer)), base, rtol=1e-9)
    nested = replace(offer, strata=("county", "region"))
    np.testing.assert_allclose(numbers(estimate_offer(frame.assign(region=frame["county"] // 2), Y, nested)), base, rtol=1e-9)


def test_the_frame_is_left_as_it_was(offer):
    frame = trial()
    before = frame.copy()
    estimate_offer(frame, Y, offer)
    pd.testing.assert_frame_equal(frame, before)


def test_every_regression_has_its_own_complete_cases():
    frame = trial()
    frame.loc[frame.index[:5], "y"] = np.nan
    frame.loc[frame.index[3:9], "relocated"] = np.nan
    effects = estimate_offer(frame, Y, Offer(strata=("county",)))
    n = len(frame)
    assert one(effects, estimand="itt")["n_units"] == n - 5
    assert one(effects, estimator="tsls")["n_units"] == one(effects, estimand="first_stage")["n_units"] == n - 9
    assert one(estimate_take_up(frame, Offer(strata=("county",))))["n_units"] == n - 6


def test_take_up_that_does_not_vary_leaves_the_intention_to_treat():
    effects = estimate_offer(trial().assign(relocated=1.0), Y, Offer(strata=("county",)))
    assert list(effects.table["estimand"]) == ["itt"]


def test_an_outcome_known_on_one_side_only_has_no_effect():
    frame = trial()
    frame.loc[frame["offered"] == 1, "y"] = np.nan
    assert estimate_offer(frame, Y, Offer(strata=("county",))).table.empty


def test_an_arm_that_the_strata_span_is_left_out_and_the_others_stay():
    frame = trial()
    frame.loc[frame["arm"] == "credit", "county"] = 9
    effects = estimate_offer(frame, Y, Offer(strata=("county",), base_arm="none"))
    assert set(effects.table["arm"]) == {"", "cash"}


def both_in_one(frame):
    return frame.assign(offered=np.where(frame.index == 0, 1 - frame["offered"], frame["offered"]))


@pytest.mark.parametrize(
    ("change", "settings", "message"),
    [
        (lambda f: f.assign(offered=1.0), {},
         "Somebody must have been offered and somebody not.\nProblem: offered is 1 on all 168 rows."),
        (lambda f: f.assign(offered=f["offered"] + 1), {},
         "offered must be 0 or 1.\nProblem: 84 of 168 rows have another value, first 2.0."),
        (lambda f: f.assign(relocated=0.5), {},
         "relocated must be 0 or 1.\nProblem: 168 of 168 rows have another value, first 0.5."),
        (lambda f: f, {"covariates": ("agee",)},
         "'agee' is not among the 8 columns.\nFix: map it in [columns], for instance agee = 'age'."),
        (lambda f: f.assign(age=np.nan), {"covariates": ("age",)},
         "A column of the design must hold values.\nProblem: 'age' is missing on all 168 rows."),
        (lambda f: f, {"base_arm": "non"},
         "The base arm must be a known name.\nProblem: 'non' is not one of the 3 known.\nFix: write 'none'."),
        (both_in_one, {"assigned": "cluster"},
         ("A cluster must be offered as a whole where the offer was by cluster.\n"
          "Problem: 1 of 24 have more than one value of offered, first village = 0.")),
        (both_in_one, {"base_arm": "none"},
         "An arm must be offered to all of it or to none.\nProblem: 1 of 3 have more than one value of offered"),
        (lambda f: f.assign(county=f.index % 3), {"assigned": "cluster"},
         "A cluster must lie in one stratum where the offer was by cluster.\nProblem: 24 of 24 have more than one"),
    ],
)  # fmt: skip
def test_bad_input_is_said_in_the_grammar_of_the_house(change, settings, message):
    with pytest.raises(InputError, match=re.escape(message)):
        estimate_offer(change(trial()), Y, Offer(**({"strata": ("county",)} | settings)))
