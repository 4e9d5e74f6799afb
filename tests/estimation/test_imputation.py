"""Imputation: by hand, by brute force, against diff-diff and py2sdid, invariances, the jackknife.

Tolerances: hand values and identities hold to 1e-12 (1e-10 where a dense regression is solved); diff-diff iterates to
1e-10, so 1e-8; rollout.csv has 12 digits, 1e-10. Both packages follow R didimputation, which centres the residuals of
the treated by the squared weights of units; ours, like the authors' Stata program, by those of clusters. The errors
are therefore compared where each unit is a cluster, and by brute force elsewhere; so are weighted ones, because
py2sdid weights the normal equations of v by the square of the weights.
"""

import warnings

import numpy as np
import pandas as pd
import pytest
from diff_diff import ImputationDiD

from relocation_analysis.data.codebook import Outcome
from relocation_analysis.data.panel import read_truth
from relocation_analysis.estimation.aggregate import (
    aggregate_effects,
    list_aggregations,
)
from relocation_analysis.estimation.cells import NEVER, build_cells
from relocation_analysis.estimation.cohort_time import Contrast, list_contrasts
from relocation_analysis.estimation.effects import EFFECT_COLUMNS
from relocation_analysis.estimation.estimate import (
    MAIN,
    contrasts_of,
    effects_of,
    outcome_cells,
)
from relocation_analysis.estimation.imputation import (
    estimate_imputation,
    impute_cohort_time,
)
from relocation_analysis.estimation.sensitivity import known_truth

NAMES = ("overall_simple", "event_time")


def impute(panel, cluster="village", anticipation=0, strata=(), jackknife=False, age_step=None):
    about = Outcome(name="y", domain="other", sampling="repeated", age_step=age_step, unit="", label_en="")
    cells = build_cells(panel, about, (), cluster, strata)
    cohorts = tuple(np.sort(panel["cohort"].fillna(NEVER).unique()))
    contrasts = list_contrasts(cohorts, cells.columns, anticipation=anticipation, base="universal")
    contrasts = tuple(c for c in contrasts if c.event_time >= -anticipation)
    return impute_cohort_time(cells, contrasts, anticipation, strata, jackknife)


def averages(fit, names=NAMES):
    wanted = list_aggregations(fit, names)
    found = aggregate_effects(fit, wanted)
    errors = np.sqrt((found.influence**2).sum(0))
    return {
        (a.name, a.event_time): both for a, both in zip(wanted, zip(found.estimate, errors, strict=True), strict=True)
    }


def long(values, cohort, times, **columns):
    values = np.asarray(values, dtype=float)
    repeated = {"village": np.arange(len(values)), "cohort": np.asarray(cohort, dtype=float)} | columns
    panel = pd.DataFrame(
        {
            "person": np.repeat(np.arange(len(values)), len(times)),
            "time": np.tile(times, len(values)),
            "y": values.ravel(),
        }
    )
    return panel.assign(**{name: np.repeat(np.asarray(v), len(times)) for name, v in repeated.items()})


def by_brute_force(panel, event, cluster):
    """Estimate and conservative error of an event time from dense regressions: unit and time dummies, v, equation 8."""
    panel = panel.reset_index(drop=True)
    w = panel["weight"].to_numpy(dtype=float)
    dummies = np.column_stack([pd.get_dummies(panel[name].astype(str), dtype=float) for name in ("person", "time")])
    treated = (panel["time"] >= panel["cohort"]).to_numpy()
    target = w * (treated & (panel["time"] - panel["cohort"] == event)).to_numpy(dtype=float)
    target /= target.sum()
    y, z0, w0 = panel["y"].to_numpy(), dummies[~treated], w[~treated, None]
    inverse = np.linalg.pinv(z0.T @ (w0 * z0))
    v = target.copy()
    v[~treated] = -(w0 * z0) @ inverse @ (dummies.T @ target)
    left = y - dummies @ (inverse @ (w0 * z0).T @ y[~treated])
    frame = panel.assign(v=v, left=left, group=np.where(treated, panel["cohort"] * 1e4 + panel["time"], np.nan))
    frame = frame.assign(gain=frame["v"] * frame["left"])
    sums = frame.groupby(["group", cluster])[["v", "gain"]].sum()
    sums = sums.assign(top=sums["v"] * sums["gain"], bottom=sums["v"] ** 2).groupby("group")[["top", "bottom"]].sum()
    centre = (sums["top"] / sums["bottom"]).reindex(frame["group"]).fillna(0.0).to_numpy()
    scores = pd.Series(v * (left - centre)).groupby(frame[cluster]).sum()
    return v @ y, np.sqrt((scores**2).sum())


def test_the_last_cohort_takes_its_counterfactual_from_all_earlier_periods():
    # untreated: never 1, 2, 6 and mover 3, 5. The mover's change 2 and the never-mover's 1 from t=1 to t=2 are averaged:
    # beta2 - beta1 = 1.5. never: alpha = mean(1, 2 - 1.5, 6 - b3) with b3 fitted exactly by the never-mover alone:
    # alpha = (1 + .5) / 2 = .75, b3 = 6 - .75 = 5.25. mover: alpha = (3 + 3.5) / 2 = 3.25; imputed 8.5; effect 10 - 8.5
    found = impute(long([[3, 5, 10], [1, 2, 6]], [3, np.nan], (1, 2, 3)))
    assert found.att == pytest.approx([1.5], abs=1e-12)
    assert found.treated[:, 0].tolist() == [True, False] and found.comparison[:, 0].tolist() == [False, True]
    assert found.units[:, 0].tolist() == [1, 1]


def test_with_two_periods_it_is_the_two_by_two_and_its_error(fit):
    panel = long([[1, 5], [2, 7], [1, 3], [4, 4], [0, 3]], [2, 2, np.nan, np.nan, np.nan], (1, 2))
    found, expected = impute(panel), fit(panel)
    np.testing.assert_allclose(found.att, expected.att, atol=1e-12)
    np.testing.assert_allclose(found.influence, expected.influence, atol=1e-12)


def test_an_exact_two_way_model_is_imputed_without_error():
    rows, times = np.array([0.0, 3.0, -2.0, 7.0]), (1, 2, 3, 4)
    values = rows[:, None] + np.array([0.0, 1.0, -1.0, 5.0])
    values[1, 2:] += 2.5
    found = impute(long(values, [np.nan, 3, 4, np.nan], times))
    np.testing.assert_allclose(found.att, [2.5, 2.5, 0.0], atol=1e-12)
    np.testing.assert_allclose(found.influence, 0, atol=1e-12)


@pytest.mark.parametrize("cluster", ["person", "village"])
@pytest.mark.parametrize("event", [0, 2])
def test_estimate_and_error_are_those_of_dense_regressions(staggered, cluster, event):
    panel = staggered[staggered["person"] < 150].assign(weight=lambda d: 1.0 + d["person"] % 3)
    expected = by_brute_force(panel, event, cluster)
    assert averages(impute(panel, cluster))["event_time", event] == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("data", ["mpdta", "staggered"])
def test_equals_diff_diff_where_each_unit_is_a_cluster(data, request):
    panel = request.getfixturevalue(data)
    panel = panel.drop(columns=["g"], errors="ignore").assign(g=panel["cohort"].fillna(0.0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = ImputationDiD().fit(panel, "y", "person", "time", "g", aggregate="event_study")
    found = averages(impute(panel, "person"))
    overall = next(both for (name, _), both in found.items() if name == "overall_simple")
    assert overall == pytest.approx((expected.overall_att, expected.overall_se), abs=1e-8)
    for event, row in expected.event_study_effects.items():
        if event >= 0:
            assert found["event_time", event] == pytest.approx((row["effect"], row["se"]), abs=1e-8)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("clustered", [False, True])
def test_equals_py2sdid(staggered, oracles, clustered, weighted):
    oracle = pd.read_csv(oracles / "rollout.csv", comment="#")
    oracle = oracle[
        (oracle["package"] == "py2sdid") & (oracle["clustered"] == clustered) & (oracle["weighted"] == weighted)
    ]
    panel = staggered.assign(weight=1.0 + staggered["person"] % 3 if weighted else 1.0)
    found = averages(impute(panel, "village" if clustered else "person"))
    assert len(oracle) == len(found) == 6
    found = {name if name == "overall_simple" else event: both for (name, event), both in found.items()}
    for row in oracle.itertuples():
        estimate, error = found[row.aggregation if row.aggregation == "overall_simple" else row.event_time]
        assert estimate == pytest.approx(row.estimate, abs=1e-10)
        if not weighted:
            assert error == pytest.approx(row.std_error, **({"rel": 0.02} if clustered else {"abs": 1e-10}))


def test_the_jackknife_is_estimation_without_each_cluster(staggered):
    panel = staggered[staggered["person"] < 200]
    found = impute(panel, jackknife=True)
    for k in (0, 7, 48):
        again = impute(panel[panel["village"] != found.clusters[k]])
        expected = dict(zip(again.contrasts, again.att, strict=True))
        for j, contrast in enumerate(found.contrasts):
            one = next(
                (a for c, a in expected.items() if (c.cohort, c.time) == (contrast.cohort, contrast.time)), np.nan
            )
            assert found.jackknife[k, j] == pytest.approx(one, abs=1e-11, nan_ok=True)


def test_an_effect_that_nothing_untreated_ties_down_is_missing():
    panel = long([[1, 2, 6], [2, 4, 5], [0, 9, 9]], [2, 3, 1], (1, 2, 3))
    cells = build_cells(
        panel, Outcome(name="y", domain="other", sampling="repeated", unit="", label_en=""), (), "village"
    )
    asked = tuple(Contrast(g, t, 1, ()) for g, t in ((2.0, 2), (2.0, 3), (3.0, 3), (1.0, 2), (5.0, 2)))
    found = impute_cohort_time(cells, asked)
    # cohort 2 at t=2 is compared with cohort 3: 1 - 2; at t=3 nobody is untreated; cohort 1 never was; there is no cohort 5
    assert found.att == pytest.approx([-1, np.nan, np.nan, np.nan, np.nan], abs=1e-12, nan_ok=True)


def test_anticipation_leaves_the_periods_before_the_move_out_of_the_comparison(staggered):
    shifted = staggered.assign(cohort=staggered["cohort"] - 1)
    found, moved_up = impute(staggered, anticipation=1), impute(shifted)
    early = {(c.cohort, c.time): a for c, a in zip(found.contrasts, found.att, strict=True)}
    plain = {(c.cohort + 1, c.time): a for c, a in zip(moved_up.contrasts, moved_up.att, strict=True)}
    assert early == pytest.approx(plain, abs=1e-12) and any(t < g for g, t in early)


def test_strata_are_estimated_apart_and_averaged_by_the_treated(staggered):
    panel = staggered.assign(place=np.where(staggered["village"] % 2, "remote", "near"))
    both = impute(panel, strata=("place",))
    parts = [impute(panel[panel["place"] == place]) for place in ("near", "remote")]
    size = [part.size.sum(0) for part in parts]
    for j, contrast in enumerate(both.contrasts):
        weights = [s[list(part.cohorts).index(contrast.cohort)] for s, part in zip(size, parts, strict=True)]
        assert both.att[j] == pytest.approx(np.average([p.att[j] for p in parts], weights=weights), abs=1e-12)


@pytest.mark.parametrize("change", ["order", "relabelled", "constant", "scale", "missing"])
def test_does_not_depend_on(staggered, change):
    panel = staggered[staggered["person"] < 300]
    changed = {
        "order": panel.sample(frac=1, random_state=1),
        "relabelled": panel.assign(village=1000 - panel["village"], person=5000 - panel["person"]),
        "constant": panel.assign(y=panel["y"] + 1e3),
        "scale": panel.assign(y=panel["y"] * 10),
        "missing": pd.concat([panel, panel.head(9).assign(y=np.nan)]),
    }[change]
    before, after = averages(impute(panel)), averages(impute(changed))
    factor = 10 if change == "scale" else 1
    np.testing.assert_allclose(list(after.values()), factor * np.array(list(before.values())), atol=1e-9)


def test_on_a_simulated_study_it_lies_near_the_main_estimator_and_has_its_form(design):
    found = estimate_imputation(design, "offfarm_wage", ("headline", "event_time"))
    table, outcome = found.table, design.outcomes["offfarm_wage"]
    main = effects_of(
        design, outcome, outcome_cells(design, outcome), contrasts_of(design, outcome, "varying"), MAIN, ("headline",)
    )
    assert tuple(table.columns) == EFFECT_COLUMNS and set(table["estimator"]) == {"imputation"}
    assert abs(table["estimate"].iloc[0] - main.table["estimate"].iloc[0]) < 2 * main.table["std_error"].iloc[0]
    assert table["se_type"].iloc[0] == "cluster_jackknife"
    np.testing.assert_allclose(np.sqrt((found.influence**2).sum(0)), table["std_error"], rtol=1e-12)
    assert (table.loc[table["aggregation"] == "event_time", "event_time"] >= 0).all()


def test_it_finds_the_known_truth_of_a_simulated_panel(design, study):
    truth = known_truth(design, read_truth(study)).query("aggregation == 'headline'").set_index("outcome")["truth"]
    for name in ("offfarm_wage", "debt"):
        row = estimate_imputation(design, name, ("headline",)).table.iloc[0]
        assert abs(row["estimate"] - truth[name]) < 3 * row["std_error"]


def test_an_outcome_that_never_varies_has_no_effect_and_no_error(design):
    table = estimate_imputation(design, "insured", ("headline",)).table
    assert abs(table["estimate"].iloc[0]) < 1e-12 and np.isnan(table["std_error"].iloc[0])
