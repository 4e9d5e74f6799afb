"""The rule of disclosure: what is withheld, how the rest is rounded, what is written into the log, what the gate lets through."""

import numpy as np
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output
from scipy import optimize, stats

from relocation_analysis.data.codebook import Outcome
from relocation_analysis.data.study import read_study
from relocation_analysis.errors import InputError
from relocation_analysis.estimation.checks import Check
from relocation_analysis.estimation.design import FLOW_COLUMNS
from relocation_analysis.estimation.effects import EFFECT_COLUMNS, Effects
from relocation_analysis.estimation.power import design_power
from relocation_analysis.estimation.support import CLUSTERS
from relocation_analysis.language import speaking
from relocation_analysis.reporting.disclosure import release, withheld
from relocation_analysis.reporting.disclosure.rule import Rule
from relocation_analysis.reporting.exhibits.kinds import Column, Figure, Prose, Table, publish
from relocation_analysis.reporting.run import gate
from relocation_analysis.reporting.run.execute import META, ChapterError

SHARE = Outcome(name="y", domain="other", unit="share", label_en="y")
MINUTES = Outcome(name="y", domain="other", unit="minutes", label_en="y")


@pytest.fixture(autouse=True)
def strict():
    release.keep(Rule())
    withheld.forget()
    yield
    release.keep(Rule())
    withheld.forget()


@pytest.fixture
def public():
    release.keep(Rule(public=True))


def flow_of(*steps, outcome="y", waves=1):
    """A flow from (step, rows dropped, units dropped), beginning with (file, rows, units)."""
    _, rows, units = steps[0]
    found = [(outcome, "file", "", 0, 0, rows, units)]
    for step, r, u in steps[1:]:
        rows, units = rows - r, units - u
        found.append((outcome, step, "", r, u, rows, units))
    return pd.DataFrame(found, columns=FLOW_COLUMNS)


# ---- counts and shares


@pytest.mark.parametrize(("count", "shown"), [(0, np.nan), (9, np.nan), (10, 10), (12, 10), (13, 15), (1237, 1235), (np.nan, np.nan)])
def test_a_count_below_ten_is_missing_zero_included_and_others_are_rounded_to_five(count, shown):
    assert release.release_count(count) == pytest.approx(shown, nan_ok=True)


def test_clusters_are_rounded_and_never_to_zero():
    assert [release.release_clusters(n) for n in (3, 7, 8, 62)] == [5, 5, 10, 60]
    assert np.isnan(release.release_clusters(2)) and CLUSTERS == Rule().clusters


@pytest.mark.parametrize(("share", "total", "shown"), [(0.0, 100, np.nan), (0.09, 100, np.nan), (0.92, 100, np.nan), (1.0, 100, np.nan),
                                                       (0.103, 1000, 0.105), (0.5, 19, np.nan)])  # fmt: skip
def test_a_share_is_missing_where_few_have_it_or_few_have_it_not(share, total, shown):
    assert release.release_share(share, total) == pytest.approx(shown, nan_ok=True)


def test_public_data_are_exact(public, effects):
    assert release.release_count(3) == 3 and release.release_share(1.0, 4) == 1.0
    released = release.release_effects(effects).table
    pd.testing.assert_frame_equal(released.drop(columns="withheld"), effects.table)
    flow = flow_of(("file", 100, 100), ("missing", 3, 3))
    assert release.release_flow(flow) is flow


# ---- effects


def test_effects_are_multiples_of_a_hundredth_of_their_error_and_print_cleanly(effects):
    before, after = effects.table, release.release_effects(effects).table
    known = before["std_error"].notna()
    for column in ("estimate", "std_error", "conf_low", "conf_high", "band_low", "band_high"):
        off = (after[column] - before[column]).abs() / before["std_error"]
        assert off[known].max() <= 0.0101, column  # a hundredth rounded up to one digit is less than two
        assert after.loc[known, column].map(lambda x: len(f"{x!r}".replace("-", "").replace("0.", "").lstrip("0."))).max() <= 6
    assert (after.loc[known, "std_error"] / before.loc[known, "std_error"] - 1).abs().max() < 0.011


def test_what_is_shown_of_an_effect_agrees_with_itself(simulated_effects):
    before = simulated_effects.table
    quantile = (before["conf_high"] - before["conf_low"]) / (2 * before["std_error"])
    freedom = quantile.map(lambda q: optimize.brentq(lambda df: stats.t.ppf(0.975, df) - q, 1, 1e6) if np.isfinite(q) else np.nan)
    rows = release.release_effects(simulated_effects).table.assign(quantile=quantile, df=freedom).query("estimate == estimate and df == df")
    assert len(rows) > 100
    assert ((rows["conf_low"] - (rows["estimate"] - rows["quantile"] * rows["std_error"])).abs() / rows["std_error"]).max() < 0.05
    assert ((rows["statistic"] - rows["estimate"] / rows["std_error"]).abs() < 0.02 + 0.01 * rows["statistic"].abs()).all()
    assert (rows["p_value"] - 2 * stats.t.sf(rows["statistic"].abs(), rows["df"])).abs().max() < 0.005


def test_released_twice_is_released_once(effects):
    once = release.release_effects(effects)
    assert release.release_effects(once) is once


def test_selecting_before_or_after_release_gives_the_same(simulated_effects):
    for keys in ({"subgroup": "all"}, {"aggregation": "cohort"}, {"outcome": "insured"}, {"aggregation": "event_time", "event_time": 1.0}):
        first = release.release_effects(simulated_effects).select(**keys).table
        pd.testing.assert_frame_equal(first, release.release_effects(simulated_effects.select(**keys)).table)


def test_a_missing_error_says_something_of_effects_as_they_were_estimated_and_nothing_of_others(effects, simulated_effects):
    bare = Effects(effects.table.assign(std_error=np.nan), None, None)
    assert release.release_effects(bare).table["withheld"].eq("").all()
    constant = release.release_effects(simulated_effects).select(outcome="insured", aggregation="headline").table
    assert constant["withheld"].eq("no_error").all() and len(constant)


def test_rows_of_any_index_are_released(effects):
    some = effects.table[effects.table["outcome"].eq("unmet")]
    released = release.release_effects(Effects(some, None, None)).table
    assert released.index.equals(some.index) and released["estimate"].notna().all()


def test_a_withheld_row_holds_no_number_and_its_reason(effects):
    table = effects.table.copy()
    table.loc[table.index[:3], "n_units"] = 9
    table.loc[table.index[3:5], "n_clusters_treated"] = 2
    released = release.release_effects(Effects(table, None, None)).table
    assert set(released["withheld"].iloc[:3]) == {"few_units"}
    hidden = released[released["withheld"].ne("")]
    numbers = hidden[[*release.NUMBERS, *release.COUNTS]]
    assert numbers.isna().all(axis=None) and len(hidden) >= 4
    assert effects.table["n_units"].eq(3120).all()


def test_the_base_period_stays_zero_and_is_about_nobody(simulated_effects):
    rows = release.release_effects(simulated_effects).table
    base = rows[rows["estimator"].eq("callaway_santanna_universal") & rows["event_time"].eq(-1) & rows["aggregation"].eq("event_time")]
    assert (base["estimate"] == 0).all() and (base["withheld"] == "").all() and base["n_units"].isna().all() and len(base)


def test_an_interval_without_an_error_is_rounded_by_its_width_and_may_be_unbounded(effects):
    row = effects.table.iloc[[5]].assign(estimator="anderson_rubin", std_error=np.nan, conf_low=-np.inf, conf_high=0.123456)
    shown = release.release_effects(Effects(row.reset_index(drop=True), None, None)).table.iloc[0]
    assert shown["conf_low"] == -np.inf and shown["conf_high"] != 0.123456


def test_rows_named_after_places_or_people_are_left_out(effects):
    table = effects.table.assign(subgroup=effects.table["subgroup"].replace("sex=female", "village=Secret Village"))
    released = release.release_effects(Effects(table, None, None)).table
    assert not released["subgroup"].str.contains("Secret").any() and released["subgroup"].str.contains("sex=male").any()
    assert withheld.take()[0] == {"subgroup": "village", "what": "effect", "reason": "names"}


def test_power_is_withheld_with_its_headline_and_as_fine(simulated_effects, design):
    power = design_power(simulated_effects, design.outcomes)
    shown = release.release_power(power, simulated_effects).set_index("outcome")
    before = power.set_index("outcome")
    assert np.isnan(shown.loc["insured", "mde"]) and shown.loc["debt", "mde"] == pytest.approx(before.loc["debt", "mde"], rel=0.02)
    assert shown.loc["debt", "mde"] != before.loc["debt", "mde"]


# ---- flow


def test_a_step_that_drops_few_or_nobody_is_missing_and_so_is_what_is_left_before_the_end():
    shown = release.release_flow(flow_of(("file", 1000, 1000), ("universe", 300, 300), ("missing", 0, 0), ("design", 41, 41)))
    assert shown["units_dropped"].tolist() == pytest.approx([0, 300, np.nan, 40], nan_ok=True)
    assert shown["units_left"].tolist() == pytest.approx([1000, 700, np.nan, 660], nan_ok=True)


def test_rows_of_few_units_are_few():
    shown = release.release_flow(flow_of(("file", 5000, 1000), ("missing", 15, 3), ("universe", 60, 0), ("design", 12, 12)))
    assert np.isnan(shown["rows_dropped"].iloc[1]) and shown["rows_dropped"].iloc[2] == 60 and shown["rows_dropped"].iloc[3] == 10


def test_the_file_itself_drops_nobody_and_says_so():
    assert release.release_flow(flow_of(("file", 1000, 1000)))["units_dropped"].tolist() == [0]


def test_a_flow_never_leaves_fewer_than_four_values_for_what_it_withholds():
    """Every flow of a step of few and one of many: the values that fit what is shown, counted by trying all of them."""
    for file in range(1000, 1005):
        for few in range(10):
            for many in (10, 12, 33, 37, 41):
                shown = release.release_flow(flow_of(("file", file, file), ("missing", few, few), ("design", many, many)))
                left, drop = shown["units_left"].tolist(), shown["units_dropped"].tolist()
                fits = {d for f in range(995, 1010) for d in range(10) for m in range(10, 60)
                        if release.round_count(f) == left[0] and release.round_count(f - d - m) == left[2]
                        and (np.isnan(drop[2]) or release.round_count(m) == drop[2])}  # fmt: skip
                assert np.isnan(drop[1]) and few in fits and len(fits) >= 4, (file, few, many, fits)


# ---- means, balance


def test_means_of_few_units_or_clusters_are_missing():
    means = pd.DataFrame({"cohort": [1.0, 2, 3], "time": 1, "mean": [12.3456, 12.3456, 12.3456], "n": [9, 100, 101], "clusters": [5, 2, 5]})
    shown = release.release_means(means, MINUTES)
    assert shown["mean"].tolist() == pytest.approx([np.nan, np.nan, 12.35], nan_ok=True)
    assert shown["n"].tolist() == pytest.approx([np.nan, 100, 100], nan_ok=True)


def test_a_share_of_nobody_or_of_all_is_missing_and_others_do_not_give_their_count():
    means = pd.DataFrame({"cohort": [1.0, 2, 3], "time": 1, "mean": [0.0, 1.0, 0.31], "n": [100, 100, 100]})
    assert release.release_means(means, SHARE)["mean"].tolist() == pytest.approx([np.nan, np.nan, 0.30], nan_ok=True)


def test_balance_hides_a_level_of_few_with_the_next_smallest():
    balance = pd.DataFrame({"covariate": ["t=a", "t=b", "t=c", "age", "village=X"], "moved": 0.2, "stayed": 0.3, "difference": 0.123,
                            "fewest": [4, 40, 60, 500, 90]})  # fmt: skip
    shown = release.release_balance(balance)
    assert shown["covariate"].tolist() == ["t=a", "t=b", "t=c", "age"]
    assert shown["difference"].tolist() == pytest.approx([np.nan, np.nan, 0.12, 0.12], nan_ok=True)


def test_balance_that_does_not_say_how_few_it_tells_of_is_refused_unless_data_are_public():
    balance = pd.DataFrame({"covariate": ["age"], "moved": 0.2, "stayed": 0.3, "difference": 0.123})
    with pytest.raises(InputError, match="A table of balance must have the columns fewest"):
        release.release_balance(balance)
    for table in (balance, balance.drop(columns="stayed")):
        with pytest.raises(InputError, match="A table of balance must have the columns fewest"):
            release.release_checks([check("balance", table=table)])
    release.keep(Rule(public=True))
    assert release.release_balance(balance) is balance


def test_a_cohort_of_which_one_share_is_withheld_has_none_and_another_one_neither():
    """Effects tell how a cohort changed from wave to wave: from one of its shares the others would follow."""
    shares = {1: (0.3, 0.05), 2: (0.4, 0.5), 3: (0.4, 0.5), np.nan: (0.3, 0.3)}
    means = pd.DataFrame([(c, t, shares[c][t], 90 + c) for c in (1, 2, 3) for t in (0, 1)] + [(np.nan, t, 0.3, 300) for t in (0, 1)],
                         columns=["cohort", "time", "mean", "n"])  # fmt: skip
    shown = release.release_means(means, SHARE)
    assert shown["mean"].isna().tolist() == [True] * 4 + [False] * 4
    noted = [(entry["cohort"], entry["reason"]) for entry in withheld.take() if entry["what"] == "mean"]
    assert noted == [(1.0, "few_units")] * 2 + [(2.0, "few_units")] * 2  # not which of them it is
    assert release.release_means(means, MINUTES)["mean"].notna().all()


# ---- checks


def check(name, statistic=0.123456, p_value=0.04321, table=None, note="It is 0.123456.", **more):
    return Check("y", name, "null", statistic, p_value, True, None if table is None else pd.DataFrame(table), note, **more)


def test_checks_keep_their_number_and_order_three_digits_and_no_table_that_nothing_prints():
    checks = [check("placebo_dates", table={"estimate": [1.0]}), check("power", 0.8456), check("wild", p_value=0.000123)]
    shown = release.release_checks(checks)
    assert [c.name for c in shown] == ["placebo_dates", "power", "wild"] and shown[0].table is None
    assert (shown[0].statistic, shown[0].p_value, shown[0].note) == (0.123, 0.043, "It is 0.123.")
    assert shown[1].statistic == 0.85 and shown[2].p_value == 0.0001


@pytest.mark.parametrize(
    "held",
    [
        check("overlap", 0.97),
        check("power", thin="few_units"),
        check("few_clusters", 2.0),
        check("strata", 7.0),
        check("leave_one_village_out", table={"percentile": [5, 50, 95], "estimate": 1.0, "clusters": 12}),
        check("selective_attrition", table={"what": "movers, lost", "value": [1.0, 2.0], "n": [4, 90]}),
        check("selection_bounds", table={"quantity": ["low"], "value": 1.0, "fewest": [3]}),
        check("common_support", table={"side": ["movers", "non_movers"], "matched": [90, 80], "unmatched": [0, 3]}),
        check("exclusions", table={"n_units": [100, 104]}),
    ],
    ids=lambda c: c.name,
)
def test_a_check_that_tells_of_few_is_withheld(held):
    shown = release.release_checks([held])[0]
    assert shown.statistic is None and shown.p_value is None and shown.table is None
    assert shown.note == "Withheld: its numbers would tell of too few people or places."
    with speaking("zh"):
        assert release.release_checks([held])[0].note.startswith("\u4e0d\u4e88\u516c\u5e03")


def test_leave_one_out_of_clusters_enough_stays():
    table = {"percentile": [5, 50, 95], "estimate": 1.0, "clusters": 20}
    assert release.release_checks([check("leave_one_village_out", table=table)])[0].statistic == 0.123


@pytest.mark.parametrize(("name", "table", "message"), [
    ("attrition", {"time": [1, 2], "moved": [1.0, 0.9], "stayed": [1.0, 0.9], "fewest_moved": [0, 30]}, "attrition must have the columns fewest_moved, fewest_stayed"),
    ("selection_bounds", {"quantity": ["low"], "value": [1.0]}, "bounds must have the columns fewest"),
    ("balance_matching", {"covariate": ["a"], "after_matching": [0.1]}, "balance must have the columns fewest"),
])  # fmt: skip
def test_a_check_that_does_not_say_how_few_it_tells_of_is_refused_unless_data_are_public(name, table, message):
    with pytest.raises(InputError, match=f"A table of {message}"):
        release.release_checks([check(name, table=table)])
    assert release.release_checks([check(name)])[0].statistic == 0.123
    release.keep(Rule(public=True))
    assert release.release_checks([check(name, table=table)])[0].statistic == 0.123456


def test_attrition_of_few_is_missing_year_by_year_and_at_the_first_wave_all_are_seen():
    table = {"time": [1, 2, 3], "moved": [1.0, 0.97, 0.876], "stayed": [1.0, 0.9, 0.8], "fewest_moved": [0, 3, 12], "fewest_stayed": [0, 10, 20]}
    shown = release.release_checks([check("attrition", table=table)])[0]
    assert shown.table["moved"].tolist() == pytest.approx([1, np.nan, 0.88], nan_ok=True)
    assert shown.table["stayed"].tolist() == [1, 0.9, 0.8] and shown.statistic is None and shown.passed is None


def test_the_headline_without_a_thin_cohort_is_missing_and_the_largest_change_is_of_those_shown():
    table = {"cohort": [1.0, 2.0], "estimate": [5.0, 1.2345], "std_error": 0.5, "change": [4.0, 0.2345], "thin": ["complement", ""]}
    shown = release.release_checks([check("single_cohorts", 4.0, table=table)])[0]
    assert shown.table["estimate"].tolist() == pytest.approx([np.nan, 1.23], nan_ok=True) and shown.statistic == 0.234
    assert "change" not in shown.table


def test_the_offer_balance_of_a_trait_of_few_is_missing():
    table = {"covariate": ["a", "b"], "mean_not_offered": [0.01, 0.12345], "difference": 0.1, "std_error": 0.1, "p_value": 0.5,
             "n_units": [97, 97], "p_adjusted": 0.5, "fewest": [2, 20]}  # fmt: skip
    shown = release.release_checks([check("balance", table=table)])[0].table
    assert shown["mean_not_offered"].tolist() == pytest.approx([np.nan, 0.123], nan_ok=True) and shown["n_units"].tolist() == [95, 95]


def test_the_offer_balance_is_adjusted_over_the_traits_that_are_shown():
    """By Holm over all three, .001 * 3 = .003 of the first would be the check's and, since .0012 * 2 is less, the second one's too."""
    table = {"covariate": ["a", "b", "c"], "mean_not_offered": 0.1, "difference": 0.1, "std_error": 0.1, "p_value": [0.001, 0.0012, 0.4],
             "n_units": 97, "p_adjusted": [0.003, 0.003, 0.4], "fewest": [2, 20, 20]}  # fmt: skip
    shown = release.release_checks([check("balance", table=table)])[0]
    assert shown.table["p_adjusted"].tolist() == pytest.approx([np.nan, 0.002, 0.4], nan_ok=True) and shown.p_value == 0.002
    alone = release.release_checks([check("balance", table=table | {"fewest": 2})])[0]
    assert alone.p_value is None and alone.passed is None


def test_balance_after_matching_is_the_largest_of_the_covariates_that_may_be_shown():
    table = {"covariate": ["a", "b", "y0"], "before": 0.5, "after_matching": [0.4, -0.05, 0.9], "fewest": [3, 40, 40]}
    shown = release.release_checks([check("balance_matching", 0.4, table=table)])[0]
    assert shown.statistic == 0.05 and shown.passed is True


# ---- the log


def exhibits(*things):
    return new_notebook(cells=[new_code_cell("x", outputs=[new_output("display_data", data=t._repr_mimebundle_())]) for t in things])


def test_every_exhibit_carries_the_stamp_of_its_rule_and_what_was_withheld_before_it(effects):
    release.release_count(3)
    table = Table("tbl-x", (Column("a"),), (("1",),), "Caption")
    figure = Figure("fig-x", "<svg/>", "Caption", "Alt")
    assert table._repr_mimebundle_()[META]["disclosure"] == "restricted-10"
    assert table._repr_mimebundle_()[META]["withheld"] == [{"what": "count", "reason": "few_units"}]
    assert "withheld" not in figure._repr_mimebundle_()[META] and table == Table("tbl-x", (Column("a"),), (("1",),), "Caption")
    release.keep(Rule(threshold=20))
    assert Prose("text")._repr_mimebundle_()[META]["disclosure"] == "restricted-20"


def test_what_is_published_is_released_and_listed_once_under_its_file(effects):
    table = effects.table.copy()
    table.loc[table.index[:1], "n_units"] = 9
    few = Effects(table, None, None)
    release.release_effects(few)
    shown = Table("tbl-x", (Column("a"),), (("1",),), "Caption")
    records = publish(effects=few, flow=flow_of(("file", 100, 100), ("missing", 3, 3)), checks=[check("overlap")])
    listed = gate.gather_withheld({"one": exhibits(shown, records)})
    assert tuple(listed.columns) == gate.COLUMNS
    assert set(listed["exhibit"]) == {"effects.csv", "flow.csv", "checks.csv"}
    assert not listed.drop(columns="exhibit").duplicated().any() and (listed["chapter"] == "one").all()
    assert records.effects["estimate"].isna().sum() >= 1 and str(records.flow["units_left"].dtype) == "Int64"
    assert list(records.effects.columns) == [*EFFECT_COLUMNS, "withheld"]


def test_without_anything_withheld_the_list_is_empty_with_its_columns():
    assert gate.gather_withheld({"one": exhibits(Prose("x"))}).columns.tolist() == list(gate.COLUMNS)


# ---- the gate


@pytest.fixture(scope="module")
def studies():
    return read_study("simulated"), read_study("mpdta")


OTHERS = {
    "frame": new_output("execute_result", data={"text/html": "<table>P-secret</table>", "text/plain": "P-secret"}, execution_count=1),
    "print": new_output("stream", name="stdout", text="P-secret"),
    "image": new_output("display_data", data={"image/png": "P-secret"}),
}


@pytest.mark.parametrize("output", OTHERS.values(), ids=OTHERS)
def test_an_output_that_is_no_exhibit_is_replaced_by_a_sentence_and_listed(output, studies):
    notebook = new_notebook(cells=[new_code_cell("show", outputs=[output]), *exhibits(Prose("said")).cells])
    clean = gate.refuse_unreleased(notebook, studies[0])
    assert "P-secret" not in str(clean) and clean.cells[0].outputs[0].data["text/markdown"] == "withheld: not an exhibit"
    assert clean.cells[1].outputs[0].data["text/markdown"] == "said" and "P-secret" in str(notebook)
    assert gate.gather_withheld({"c": clean})["reason"].tolist() == ["not_an_exhibit"]
    with speaking("zh"):
        assert "\u4e0d\u4e88\u516c\u5e03" in gate.refuse_unreleased(notebook, studies[0]).cells[0].outputs[0].data["text/plain"]


def test_public_data_keep_every_output(studies, public):
    notebook = new_notebook(cells=[new_code_cell("show", outputs=[OTHERS["frame"]]), *exhibits(Prose("said")).cells])
    assert gate.refuse_unreleased(notebook, studies[1]) == notebook


def test_an_exhibit_of_another_rule_is_refused(studies):
    with pytest.raises(ChapterError, match="released under the rule restricted-10, the study's is public") as error:
        gate.refuse_unreleased(exhibits(Prose("said")), studies[1], "overview")
    assert error.value.chapter == "overview"
    release.keep(Rule(public=True))
    with pytest.raises(ChapterError, match="under the rule public, the study's is restricted-10"):
        gate.refuse_unreleased(exhibits(Prose("said")), studies[0])


def test_a_failed_notebook_keeps_the_error_type_and_what_must_hold_and_no_row(studies):
    text = "A household must have one village.\nProblem: 3 have more, first P-secret.\nFix: correct them."
    errors = [new_output("error", ename=name, evalue=text, traceback=["in P-secret", text]) for name in ("InputError", "KeyError")]
    notebook = new_notebook(cells=[new_code_cell("fail", outputs=[*errors, OTHERS["frame"]])])
    kept = gate.strip_outputs(notebook, studies[0])
    assert "P-secret" not in str(kept)
    assert kept.cells[0].outputs[0].evalue == "A household must have one village." and kept.cells[0].outputs[1].evalue == ""
    assert kept.cells[0].outputs[1].ename == "KeyError" and gate.strip_outputs(notebook, studies[1]) == notebook
