"""Movers and non-movers by matching, inverse weighting and doubly robust, against other packages, by hand and
by brute force.

Tolerances: comparison.csv and lalonde.csv have 12 digits and agree to 1e-9 relative (statsmodels' logit stops
at 1e-8 of the likelihood: its rows to 1e-7; lalonde.csv, 16,177 units and collinear squares, to 1e-6).
Stata's estimate to its last printed digit; its error to 3%: both estimate the variance of Abadie & Imbens
(2016), from different neighbours. Identities are sums in another order, 1e-10.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels
import statsmodels.api as sm
from scipy.special import expit

from relocation_analysis.data.simulate import simulate_panel
from relocation_analysis.data.simulation_parameters import SimulationParameters
from relocation_analysis.errors import InputError
from relocation_analysis.estimation.cohort_time import Contrast
from relocation_analysis.estimation.comparison import estimate_comparison
from relocation_analysis.estimation.comparison_checks import BALANCED
from relocation_analysis.estimation.doubly_robust import doubly_robust_att
from relocation_analysis.estimation.effects import EFFECT_COLUMNS
from relocation_analysis.estimation.matching import TIE, match_errors, match_units, matched_att
from relocation_analysis.estimation.propensity import check_units, estimate_propensity, logit_spread
from relocation_analysis.estimation.weighting import weighted_effects
from relocation_analysis.randomness import generator

ORACLES = Path(__file__).parents[1] / "oracles"
COVARIATES = ("x1", "x2", "z")
FORMS = ("levels", "differences")


@pytest.fixture(scope="module")
def drawn():
    return pd.read_csv(ORACLES / "comparison_400.csv.gz")


@pytest.fixture(scope="module")
def oracle():
    return pd.read_csv(ORACLES / "comparison.csv", comment="#")


def fit(table, covariates=COVARIATES, **settings):
    return estimate_comparison(table, covariates, "y", "other", **{"few_clusters": "ignore"} | settings)


def rows(found):
    """Both tables, by estimator."""
    return pd.concat([found.effects.table, found.matching.table]).set_index("estimator")


def fitted(table, covariates=COVARIATES):
    units = check_units(table, covariates)
    return units, estimate_propensity(units)


# oracles


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("clustered", [False, True])
def test_weighting_equals_drdid_in_levels_and_differences(drawn, oracle, weighted, clustered):
    table = drawn if weighted else drawn.drop(columns="weight")
    found = rows(fit(table if clustered else table.assign(cluster=np.arange(len(table)))))
    expected = oracle[(oracle["source"] == "drdid") & (oracle["weighted"] == weighted)].set_index("estimator")
    assert len(expected) == 4
    for name, row in expected.iterrows():
        assert found.loc[name, "estimate"] == pytest.approx(row["estimate"], rel=1e-9)
        assert found.loc[name, "std_error"] == pytest.approx(
            row["std_error_clustered" if clustered else "std_error"], rel=1e-9
        )


@pytest.mark.parametrize(("source", "rel"), [("statsmodels", 1e-7), ("causalinference", 1e-9)])
def test_estimates_equal_those_of_other_packages(drawn, oracle, source, rel):
    found = rows(fit(drawn.drop(columns="weight"), caliper=np.inf))
    expected = oracle[oracle["source"] == source].set_index("estimator")["estimate"]
    assert len(expected) == 2
    for name, value in expected.items():
        assert found.loc[name, "estimate"] == pytest.approx(value, rel=rel)


@pytest.fixture(scope="module")
def births():
    """4,642 births, the data `cattaneo2` of Stata's manual."""
    table = pd.read_csv(
        Path(statsmodels.__file__).parent / "treatment" / "tests" / "results" / "cataneo2.csv"
    )
    table = table.assign(mmarried=table["mmarried_"], prenatal1=table["prenatal1_"])
    return table.assign(y1=table["bweight"], treated=table["mbsmoke_"], cluster=np.arange(len(table)))


def test_matching_on_the_score_itself_is_that_of_stata(births, oracle):
    names, value, error = oracle[oracle["source"] == "Stata"][["data", "estimate", "std_error"]].iloc[0]
    units, propensity = fitted(births, tuple(names.split()))
    propensity = replace(propensity, logit=propensity.score)
    matches = match_units(units, propensity, np.inf)
    assert matched_att(units, matches)[0] == pytest.approx(value, abs=5e-5)
    assert match_errors(units, propensity, matches)[0][0] == pytest.approx(error, rel=0.03)


def test_lalonde_differences_recover_the_experiment_where_levels_do_not():
    data = pytest.importorskip("causaldata", reason="causaldata is not in the lock")
    experiment = data.nsw_mixtape.load_pandas().data
    table = pd.concat(
        [experiment[experiment["treat"] == 1], data.cps_mixtape.load_pandas().data], ignore_index=True
    )
    table = table.rename(columns={"re78": "y1", "re75": "y0", "treat": "treated"}).astype(
        {"y1": float, "y0": float}
    )
    table = table.assign(age2=table["age"] ** 2, cluster=np.arange(len(table)))
    found = rows(
        fit(table, ("age", "age2", "educ", "black", "hisp", "marr", "nodegree", "re74"), caliper=np.inf)
    )
    expected = pd.read_csv(ORACLES / "lalonde.csv", comment="#")
    truth = expected.loc[0, "estimate"]
    for row in expected[1:].itertuples():
        assert found.loc[row.estimator, "estimate"] == pytest.approx(row.estimate, rel=1e-6)
        if row.source == "drdid":
            assert found.loc[row.estimator, "std_error"] == pytest.approx(row.std_error, rel=1e-6)
    for name in ("matching", "ipw", "aipw"):
        assert abs(found.loc[f"{name}_differences", "estimate"] - truth) < 100
        assert found.loc[f"{name}_levels", "estimate"] < truth - 1000


def test_doubly_robust_is_the_estimator_of_the_rollout_with_two_waves(drawn):
    units, propensity = fitted(drawn)
    x, cohort = units.covariates, np.where(units.treated, 2.0, np.inf)
    estimate, influence = weighted_effects(units, propensity)
    for column, base in enumerate((0 * drawn["y0"], drawn["y0"])):
        y = np.column_stack([base, drawn["y1"]])
        other = doubly_robust_att(
            y, (1, 2), x, units.weight, cohort, units.code, [Contrast(2.0, 2, 1, (np.inf,))]
        ).effects
        assert estimate[4 + column] == pytest.approx(other.att[0], abs=1e-10)
        by_cluster = np.bincount(units.code, influence[:, 4 + column])
        np.testing.assert_allclose(by_cluster, other.influence[:, 0], rtol=0, atol=1e-10)


def test_the_score_is_the_weighted_logit_of_statsmodels(drawn):
    units, propensity = fitted(drawn)
    glm = sm.GLM(
        units.treated.astype(float), units.design, family=sm.families.Binomial(), freq_weights=units.weight
    )
    np.testing.assert_allclose(propensity.score, glm.fit(tol=1e-14).fittedvalues, rtol=0, atol=1e-10)
    assert units.names == ("x1", "x2", "z=north", "z=west")


# by hand


HAND = pd.DataFrame(
    {
        "x": [0.0, 1, 2, 0, 1, 1, 9],
        "treated": [1, 1, 1, 0, 0, 0, 0],
        "y1": [5.0, 6, 9, 1, 2, 4, 50],
        "y0": [1.0, 1, 3, 1, 1, 1, 0],
        "cluster": ["a", "a", "b", "c", "c", "d", "d"],
    }
)


def hand_matches(caliper):
    """Matching on x itself, the caliper in units of x."""
    units, propensity = fitted(HAND, ("x",))
    propensity = replace(propensity, logit=HAND["x"].to_numpy(), influence=0 * propensity.influence)
    return units, propensity, match_units(units, propensity, caliper / logit_spread(units, propensity))


def test_a_match_is_the_nearest_with_ties_averaged():
    # x = 0: 5 - 1 = 4; x = 1: 6 - (2 + 4) / 2 = 3; x = 2: the same two, 9 - 3 = 6; mean 13/3
    units, _, matches = hand_matches(1.0)
    assert matched_att(units, matches)[0] == pytest.approx(13 / 3, abs=1e-12)
    # changes: 4, 5, 6 less 0, 2, 2 = 4, 3, 4; mean 11/3
    assert matched_att(units, matches)[1] == pytest.approx(11 / 3, abs=1e-12)
    np.testing.assert_allclose(matches.weight, [1, 1, 1, 1, 1, 1, 0], atol=1e-12)
    np.testing.assert_allclose(matches.squares, [0, 0, 0, 1, 0.5, 0.5, 0], atol=1e-12)


def test_a_mover_without_a_match_within_the_caliper_is_left_out():
    units, _, matches = hand_matches(0.9)
    assert list(matches.matched) == [True, True, False, False, False, False, False]
    assert matched_att(units, matches)[0] == pytest.approx((4 + 3) / 2, abs=1e-12)


def test_the_abadie_imbens_error_by_hand():
    # gaps from 13/3: -1/3, -4/3, 5/3, squares sum 42/9. K^2 - K' = 0, 1/2, 1/2, and the sample variance of
    # the tied 2 and 4 is 2: 1/2 * 2 + 1/2 * 2 = 2. Variance (42/9 + 2) / 3^2 = 20/27.
    units, propensity, matches = hand_matches(1.0)
    assert match_errors(units, propensity, matches)[0][0] == pytest.approx(np.sqrt(20 / 27), abs=1e-12)


def brute_force(units, logit, width):
    """Effect, k and the Abadie-Imbens error of a known score, unit by unit."""
    y, w, stay = units.y[:, 0], units.weight, np.flatnonzero(~units.treated)
    gaps, own, k, squares = [], [], np.zeros(len(y)), np.zeros(len(y))
    for i in np.flatnonzero(units.treated):
        distance = np.abs(logit[stay] - logit[i])
        if distance.min() <= width:
            tied = stay[distance <= distance.min() + TIE]
            part = w[i] * w[tied] / w[tied].sum()
            gaps.append(y[i] - np.average(y[tied], weights=w[tied]))
            own.append(w[i])
            k[tied] += part
            squares[tied] += part**2
    gaps, own = np.array(gaps), np.array(own)
    effect = np.average(gaps, weights=own)
    variance = (own**2 * (gaps - effect) ** 2).sum()
    for j in stay:
        distance = np.abs(logit[stay] - logit[j])
        others = distance[stay != j]
        near = stay[distance <= others.min() + TIE]
        variance += (k[j] ** 2 - squares[j]) * y[near].var(ddof=1)
    return effect, k, np.sqrt(variance) / own.sum(), len(own)


@pytest.mark.parametrize("covariates", [("x1", "x2", "z"), ("x2", "z")], ids=["continuous", "many ties"])
@pytest.mark.parametrize("caliper", [np.inf, 0.2, 0.01])
def test_matching_equals_a_loop_over_movers(drawn, covariates, caliper):
    units, propensity = fitted(drawn, covariates)
    known = replace(propensity, influence=0 * propensity.influence)
    matches = match_units(units, propensity, caliper)
    effect, k, error, matched = brute_force(units, propensity.logit, matches.caliper)
    assert matched_att(units, matches)[0] == pytest.approx(effect, abs=1e-10)
    assert match_errors(units, known, matches)[0][0] == pytest.approx(error, rel=1e-9)
    np.testing.assert_allclose(np.where(units.treated, 0, matches.weight), k, rtol=0, atol=1e-10)
    assert matches.matched.sum() == matched
    sides = [matches.weight[side].sum() for side in (units.treated, ~units.treated)]
    assert sides[0] == pytest.approx(sides[1], rel=1e-12)


def test_the_naive_difference_is_one_of_weighted_means(drawn):
    means = [np.average(side["y1"], weights=side["weight"]) for _, side in drawn.groupby("treated")]
    assert rows(fit(drawn)).loc["difference_in_means_levels", "estimate"] == pytest.approx(
        means[1] - means[0], abs=1e-12
    )


def test_balance_by_hand():
    table = fit(HAND.assign(treated=[1, 1, 1, 0, 0, 0, 0]), ("x",), caliper=np.inf).balance.set_index(
        "covariate"
    )
    # movers 0, 1, 2: mean 1, variance 2/3; others 0, 1, 1, 9: mean 11/4, variance 201/16 (deviations -11/4,
    # -7/4, -7/4, 25/4)
    variance = (11**2 + 7**2 + 7**2 + 25**2) / 16 / 4
    assert table.loc["x", "before"] == pytest.approx(
        (1 - 11 / 4) / np.sqrt((2 / 3 + variance) / 2), abs=1e-12
    )
    # matched comparison units: 0 once and the two at 1 once each
    assert table.loc["x", "after_matching"] == pytest.approx(
        (1 - 2 / 3) / np.sqrt((2 / 3 + variance) / 2), abs=1e-12
    )
    assert list(table.index) == ["x", "y0"]


# results


def test_the_rows_are_those_of_effects_and_the_influence_gives_the_errors(drawn):
    found = fit(drawn)
    assert tuple(found.effects.table.columns) == EFFECT_COLUMNS == tuple(found.matching.table.columns)
    assert list(found.effects.table["estimator"]) == [
        f"{e}_{f}" for e in ("difference_in_means", "ipw", "aipw") for f in FORMS
    ]
    assert list(found.matching.table["estimator"]) == [f"matching_{f}" for f in FORMS]
    errors = found.effects.table["std_error"].to_numpy()
    np.testing.assert_allclose(np.sqrt((found.effects.influence**2).sum(axis=0)), errors, rtol=1e-12)
    np.testing.assert_allclose(found.effects.influence.sum(axis=0), 0, atol=1e-10)
    assert found.matching.influence is None and len(found.effects.clusters) == 40


def test_without_a_baseline_there_are_levels_only(drawn):
    found = fit(drawn.drop(columns="y0"))
    assert set(rows(found).index) == {
        f"{e}_levels" for e in ("difference_in_means", "ipw", "aipw", "matching")
    }
    assert "baseline_outcome" not in [check.name for check in found.checks]


def test_levels_less_differences_are_the_effect_on_the_baseline(drawn):
    found = fit(drawn)
    table = next(check for check in found.checks if check.name == "baseline_outcome").table.set_index(
        "estimator"
    )
    for name in ("difference_in_means", "ipw", "aipw", "matching"):
        levels, differences = (rows(found).loc[f"{name}_{form}", "estimate"] for form in FORMS)
        assert table.loc[f"{name}_baseline", "estimate"] == pytest.approx(levels - differences, abs=1e-10)


def test_errors_follow_the_number_of_clusters(drawn):
    alone = rows(fit(drawn.assign(cluster=np.arange(len(drawn))), few_clusters="jackknife"))
    assert set(alone["se_type"]) == {"cluster_influence", "abadie_imbens"}
    few = rows(fit(drawn, few_clusters="jackknife"))
    assert set(few["se_type"]) == {"cluster_jackknife", "abadie_imbens_cluster"}
    plain = rows(fit(drawn))
    matched = "matching_levels"
    assert few.loc[matched, "std_error"] == pytest.approx(
        np.sqrt(40 / 39) * plain.loc[matched, "std_error"], rel=1e-12
    )
    assert few.loc[matched, "conf_high"] > plain.loc[matched, "conf_high"]
    four = rows(fit(drawn.assign(cluster=drawn["cluster"] % 4), few_clusters="jackknife"))
    assert four["std_error"].isna().all() and (four["se_type"] == "").all() and four["estimate"].notna().all()


def test_the_jackknife_leaves_every_cluster_out(drawn):
    small = drawn.assign(cluster=drawn["cluster"] % 8)
    whole, found = fit(small), fit(small, few_clusters="jackknife")
    names = whole.effects.table["estimator"]
    left = np.array([fit(small[small["cluster"] != c]).effects.table["estimate"] for c in range(8)])
    variance = 7 / 8 * ((left - whole.effects.table["estimate"].to_numpy()) ** 2).sum(axis=0)
    np.testing.assert_allclose(rows(found).loc[names, "std_error"], np.sqrt(variance), rtol=1e-7)


# invariances


def same(found, expected, scale=1.0):
    for name in ("estimate", "std_error", "n_units", "n_clusters_treated", "n_clusters_comparison"):
        factor = scale if name in ("estimate", "std_error") else 1
        np.testing.assert_allclose(
            rows(found)[name], factor * rows(expected)[name], rtol=1e-8, atol=1e-9, err_msg=name
        )


def renamed(table):
    return table.assign(cluster=table["cluster"].map(lambda c: f"v{(7 * c + 3) % 40:02d}"))


@pytest.mark.parametrize(
    ("change", "scale"),
    [
        (lambda d: d.sample(frac=1, random_state=1), 1.0),
        (renamed, 1.0),
        (lambda d: d.assign(y1=d["y1"] + 1000, y0=d["y0"] + 1000), 1.0),
        (lambda d: d.assign(y1=7 * d["y1"], y0=7 * d["y0"]), 7.0),
        (lambda d: d.assign(x1=1e6 * d["x1"] - 3e6, x2=d["x2"] / 1e4), 1.0),
        (lambda d: d.assign(weight=1e5 * d["weight"]), 1.0),
        (lambda d: d.assign(z=pd.Categorical(d["z"], ["west", "east", "north"])), 1.0),
        (lambda d: d.assign(z=d["z"].map({"east": "z", "north": "y", "west": "x"})), 1.0),
        (lambda d: d.assign(treated=d["treated"].astype(bool)), 1.0),
    ],
    ids=[
        "row order",
        "relabelled clusters",
        "outcome plus a constant",
        "outcome times k",
        "covariates rescaled",
        "weights in other units",
        "categories in another order",
        "categories by other names",
        "treated as booleans",
    ],
)
def test_nothing_else_changes_with(drawn, change, scale):
    same(fit(change(drawn)), fit(drawn), scale)


def test_inputs_are_left_as_they_were(drawn):
    before = drawn.copy(deep=True)
    fit(drawn)
    pd.testing.assert_frame_equal(drawn, before)


def test_doubling_the_comparison_units_doubles_the_ties_and_leaves_the_matches(drawn):
    # Every non-mover twice at half the weight: the same logit, the same means.
    stay = drawn[drawn["treated"] == 0].assign(weight=lambda d: d["weight"] / 2)
    found, expected = fit(pd.concat([drawn[drawn["treated"] == 1], stay, stay])), fit(drawn)
    np.testing.assert_allclose(rows(found)["estimate"], rows(expected)["estimate"], rtol=1e-8)
    np.testing.assert_allclose(
        found.effects.table["std_error"], expected.effects.table["std_error"], rtol=1e-8
    )
    assert rows(found).loc["matching_levels", "std_error"] == pytest.approx(
        rows(expected).loc["matching_levels", "std_error"], rel=0.02
    )


def test_a_weight_of_two_is_two_units_of_one_cluster(drawn):
    heavy = drawn.assign(weight=1.0 + (np.arange(len(drawn)) % 2))
    copies = drawn.loc[drawn.index.repeat(heavy["weight"].astype(int))].assign(weight=1.0)
    found, expected = rows(fit(heavy, caliper=np.inf)), rows(fit(copies, caliper=np.inf))
    np.testing.assert_allclose(
        found[["estimate", "std_error"]], expected[["estimate", "std_error"]], rtol=1e-8
    )


# bad input


@pytest.mark.parametrize(
    ("change", "covariates", "message"),
    [
        (
            lambda d: d,
            ("x1", "x3"),
            "A column of the comparison must be a known name.\n"
            "Problem: 'x3' is not one of the 8 known.\nFix: write 'x2'.",
        ),
        (lambda d: d.drop(columns="y1"), COVARIATES, "'y1' is not one of the 7 known"),
        (
            lambda d: d.assign(x1=d["x1"].mask(d.index == 7)),
            COVARIATES,
            "x1 must be known of every unit of a comparison.\nProblem: 1 of 400 rows, for example x1 = nan "
            "in row 7.\n"
            "Fix: drop the units, as a row of the flow, or leave the covariate out.",
        ),
        (
            lambda d: d.assign(z=d["z"].mask(d.index > 397)),
            COVARIATES,
            "z must be known of every unit of a comparison.\nProblem: 2 of 400 rows",
        ),
        (
            lambda d: d.assign(y0=np.inf),
            COVARIATES,
            "y0 must be known of every unit of a comparison.\nProblem: 400 of 400 rows",
        ),
        (
            lambda d: d.assign(treated=1),
            COVARIATES,
            "A comparison must have movers and non-movers.\nProblem: treated is 1 in all 400 rows.\n"
            "Fix: check how movers are coded, or compare another group.",
        ),
        (lambda d: d.assign(treated=2 * d["treated"]), COVARIATES, "Treated must be 0 or 1.\nProblem: "),
        (
            lambda d: d.assign(cluster="one"),
            COVARIATES,
            "A comparison must have at least two clusters.\nProblem: all 400 units are in 'one'.\n"
            "Fix: name the column of the level at which relocation was decided.",
        ),
        (lambda d: d.assign(weight=-1.0), COVARIATES, "A weight must be positive.\nProblem: 400 of 400 rows"),
        (
            lambda d: d.assign(x2=3),
            COVARIATES,
            "Covariates must vary and not repeat each other.\nProblem: x2 is the same for every "
            "unit.\nFix: leave x2 out.",
        ),
        (lambda d: d.assign(z="east"), COVARIATES, "Problem: z=east is the same for every unit."),
        (
            lambda d: d.assign(x2=1 - 2 * d["x1"]),
            COVARIATES,
            "Problem: x2 follows from the covariates before it.",
        ),
        (
            lambda d: d.assign(x1=d["x1"] + 100 * d["treated"]),
            COVARIATES,
            r"Covariates must not tell movers from non-movers without an error.\nProblem: all \d+ movers "
            r"have a higher score than any of "
            r"the \d+ non-movers.\nFix: leave out what decides who moves \('x1' weighs most\): nobody is "
            r"left to compare with.",
        ),
    ],
    ids=[
        "unknown covariate",
        "no outcome",
        "missing covariate",
        "missing category",
        "infinite baseline",
        "everybody moved",
        "another coding",
        "one cluster",
        "negative weight",
        "constant covariate",
        "one category",
        "collinear",
        "separated",
    ],
)
def test_what_cannot_be_compared_is_refused_in_the_grammar(drawn, change, covariates, message):
    with pytest.raises(InputError, match=message):
        fit(change(drawn), covariates)


def check(found, name):
    return next(check for check in found.checks if check.name == name)


def test_a_trait_that_only_movers_have_leaves_matching_and_says_what_was_dropped(drawn):
    only = drawn.assign(z=drawn["z"].mask((drawn["treated"] == 1) & (drawn.index % 4 == 0), "valley"))
    found = fit(only)
    n = int((only["z"] == "valley").sum())
    assert found.support.set_index("side").loc["movers", "unmatched"] >= n
    support, overlap = check(found, "common_support"), check(found, "overlap")
    assert support.passed is False and support.statistic > 0.05
    assert overlap.passed is False and overlap.statistic > 0.999
    table = rows(found)
    assert table.loc[["ipw_levels", "aipw_levels"], ["estimate", "std_error"]].isna().all(axis=None)
    assert (
        table.loc[["matching_levels", "difference_in_means_levels"], ["estimate", "std_error"]]
        .notna()
        .all(axis=None)
    )


def test_a_trait_that_only_non_movers_have_changes_no_caliper(drawn):
    lonely = drawn[drawn["treated"] == 0].assign(z="island")
    found, expected = fit(pd.concat([drawn, lonely])), fit(drawn)
    names = [f"{name}_{form}" for name in ("ipw", "matching") for form in FORMS]
    np.testing.assert_allclose(
        rows(found).loc[names, "estimate"], rows(expected).loc[names, "estimate"], rtol=1e-6
    )
    assert found.support.iloc[0].equals(expected.support.iloc[0])


def test_no_common_support_is_a_failed_check_and_no_estimate(drawn):
    found = fit(drawn, caliper=1e-7)
    assert check(found, "common_support").statistic == 1 and check(found, "common_support").passed is False
    assert found.matching.table[["estimate", "std_error", "p_value"]].isna().all(axis=None)
    assert (found.matching.table["n_units"] == 0).all() and found.balance["after_matching"].isna().all()
    assert check(found, "balance_matching").passed is None
    assert found.effects.table["estimate"].notna().all()


def test_checks_of_a_comparison_that_is_sound_pass():
    found = fit(draw(0, 200, by_village=False), ("x", "own"))
    assert {c.name: c.passed for c in found.checks} == {
        "common_support": True,
        "balance_matching": True,
        "balance_weighting": True,
        "overlap": None,
        "baseline_outcome": None,
    }
    overlap = check(found, "overlap")
    assert list(overlap.table["quantile"]) == [0.05, 0.25, 0.5, 0.75, 0.95]  # never the largest score: it is one person's
    assert overlap.statistic == overlap.table["movers"].max() < 0.9 and "no score is above 0.9" in overlap.note
    table = found.balance[found.balance["covariate"] != "y0"]
    assert table["before"].abs().max() > 5 * BALANCED
    for how in ("matching", "weighting"):
        assert check(found, f"balance_{how}").statistic == table[f"after_{how}"].abs().max() < BALANCED


# what matching with difference-in-differences hides, in the simulator


def movers_and_stayers(sel_obs, sel_trend, seed):
    """Persons at 2015, before anybody moved, and at 2021; the mean effect on the movers at 2021."""
    simulated = simulate_panel(
        "guizhou",
        SimulationParameters(
            villages=300,
            households_per_village=5,
            sel_obs=sel_obs,
            sel_trend=sel_trend,
            seed=seed,
            attr=0,
            het_cohort=0,
        ),
    )
    panel = simulated.panel[simulated.panel["offfarm_wage"].notna()].set_index("person")
    first, last = panel[panel["time"] == 2015], panel[panel["time"] == 2021]
    both = first.index.intersection(last.index)
    first, last = first.loc[both], last.loc[both]
    table = first[["age", "sex", "labour", "remoteness"]].astype({"sex": str, "labour": str})
    table = table.assign(
        y0=first["offfarm_wage"],
        y1=last["offfarm_wage"],
        cluster=first["village"],
        treated=(last["cohort"] <= 2021).astype(int),
    )
    known = simulated.truth.query(
        "outcome == 'offfarm_wage' and group == 'movers' and subgroup == 'all' and time == 2021"
    )
    return table, np.average(known["effect"], weights=known["n_units"])


def comparisons(sel_obs, sel_trend, covariates, seeds=6):
    """What comparisons of several draws find, and the mean error of each estimator."""
    drawn = [movers_and_stayers(sel_obs, sel_trend, seed) for seed in range(seeds)]
    found = [fit(table, covariates) for table, _ in drawn]
    errors = [rows(one)["estimate"] - truth for one, (_, truth) in zip(found, drawn, strict=True)]
    return found, pd.concat(errors, axis=1).mean(axis=1)


def test_selection_on_remoteness_biases_levels_matched_without_it_and_differences_remove_it():
    found, error = comparisons(1.2, 0.0, ("age", "sex", "labour"))
    for name in ("matching", "ipw", "aipw"):
        assert error[f"{name}_levels"] < -0.035
        assert abs(error[f"{name}_differences"]) < 0.02
    # Covariates are balanced and support is common: nothing in matching itself shows the bias, the baseline
    # outcome does.
    for name in ("balance_matching", "balance_weighting", "common_support", "overlap"):
        assert all(check(one, name).passed for one in found)
    assert np.mean([check(one, "baseline_outcome").statistic for one in found]) < -0.035
    assert sum(check(one, "baseline_outcome").passed is False for one in found) >= 4


def test_levels_are_right_once_remoteness_is_a_covariate():
    _, error = comparisons(1.2, 0.0, ("age", "sex", "labour", "remoteness"))
    assert abs(error["aipw_levels"]) < 0.04


def test_selection_on_a_trend_biases_levels_and_differences_alike_whatever_is_matched():
    _, error = comparisons(0.6, 0.02, ("age", "sex", "labour", "remoteness"))
    for name in ("matching", "ipw", "aipw"):
        assert error[f"{name}_levels"] > 0.04 and error[f"{name}_differences"] > 0.04


# coverage


def draw(seed, villages, size=8, by_village=True, shock=True):
    """Units in villages with a shock of their own, selected on two covariates; the effect is .5."""
    rng = generator("comparison", seed, villages, by_village, shock)
    n, village = villages * size, np.repeat(np.arange(villages), size)
    x, own = rng.normal(size=villages)[village], rng.normal(size=n)
    if by_village:
        treated = (rng.random(villages)[village] < expit(0.7 * x - 0.3)).astype(float)
    else:
        treated = (rng.random(n) < expit(0.7 * x + 0.5 * own - 0.5)).astype(float)
    level, change = (0.5 * shock * rng.normal(size=villages)[village] for _ in range(2))
    before = x + 0.5 * own + level + rng.normal(size=n)
    after = 1.2 * x + 0.6 * own + level + change + rng.normal(size=n) + 0.5 * treated
    return pd.DataFrame(
        {
            "y0": before,
            "y1": after,
            "treated": treated,
            "x": x,
            "own": own,
            "cluster": village if shock else np.arange(n),
        }
    )


def coverage(draws, few_clusters, *settings):
    """By estimator: share of intervals with the truth in them, mean error over the spread of the estimates,
    mean estimate."""
    found = [
        rows(fit(draw(seed, *settings), ("x", "own"), few_clusters=few_clusters)) for seed in range(draws)
    ]
    found = pd.concat(found)
    found["covered"] = (found["conf_low"] <= 0.5) & (found["conf_high"] >= 0.5)
    groups = found.groupby(level=0)
    return pd.DataFrame(
        {
            "covered": groups["covered"].mean(),
            "ratio": groups["std_error"].mean() / groups["estimate"].std(),
            "mean": groups["estimate"].mean(),
        }
    )


ADJUSTED = [f"{name}_{form}" for name in ("matching", "ipw", "aipw") for form in FORMS]


def test_clustered_intervals_cover_roughly_as_they_should():
    found = coverage(80, "ignore", 120).loc[ADJUSTED]
    assert (found["covered"] >= 0.86).all() and found["ratio"].between(0.75, 1.3).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("villages", "size", "by_village", "shock"),
    [(60, 8, True, True), (120, 8, True, True), (400, 2, False, True), (60, 8, False, False)],
    ids=["60 villages", "120 villages", "decided unit by unit", "independent units"],
)
def test_intervals_cover_as_they_should(villages, size, by_village, shock):
    draws = 1000
    found = coverage(draws, "jackknife", villages, size, by_village, shock).loc[ADJUSTED]
    # 1,000 draws know a coverage of .95 to .007: .93 to .97 is 3 of these errors.
    assert found["covered"].between(0.93, 0.975).all(), found
    assert found["ratio"].between(0.9, 1.12).all(), found


@pytest.mark.slow
def test_the_error_of_matching_knows_that_the_score_is_estimated():
    """With covariates that drive the outcome within equal scores, an estimated score is more precise than a
    known one (Abadie & Imbens 2016): the error must follow the spread of the estimates below that of a known
    score."""
    estimates, errors, known = [], [], []
    for seed in range(600):
        rng = generator("estimated score", seed)
        n = 500
        x = rng.normal(size=(n, 2))
        treated = (rng.random(n) < expit(0.8 * x[:, 0] + 0.8 * x[:, 1] - 0.5)).astype(int)
        table = pd.DataFrame(
            {
                "a": x[:, 0],
                "b": x[:, 1],
                "treated": treated,
                "y1": 3 * x[:, 0] - 3 * x[:, 1] + rng.normal(size=n) / 4,
                "cluster": np.arange(n),
            }
        )
        units, propensity = fitted(table, ("a", "b"))
        matches = match_units(units, propensity, np.inf)
        estimates.append(matched_att(units, matches)[0])
        errors.append(match_errors(units, propensity, matches)[0][0])
        known.append(
            match_errors(units, replace(propensity, influence=0 * propensity.influence), matches)[0][0]
        )
    spread = np.std(estimates)
    assert np.mean(errors) == pytest.approx(spread, rel=0.12)
    assert np.mean(known) > 1.1 * np.mean(errors)
