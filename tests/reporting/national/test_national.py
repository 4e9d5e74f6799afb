"""Provinces are compared by what they published, on the same exposures, and nothing is compared that was made otherwise."""

import json
import math
import re
import runpy
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import nbformat
import numpy as np
import pandas as pd
import pytest

from relocation_analysis.data.facts import province_slugs
from relocation_analysis.data.study import read_study
from relocation_analysis.errors import InputError
from relocation_analysis.estimation.synthesis import estimate_synthesis, weighted_mean
from relocation_analysis.language import speaking
from relocation_analysis.reporting.national import exhibits, forest, words
from relocation_analysis.reporting.national import report as module
from relocation_analysis.reporting.national.provinces import read_reports
from relocation_analysis.reporting.national.report import write_national
from relocation_analysis.reporting.national.synthesis import SYNTHESIS_COLUMNS, choose_through, compare_provinces, synthesis_frame
from relocation_analysis.reporting.report import write_report
from relocation_analysis.reporting.run.execute import exhibits_of

WAGE = "offfarm_wage"
MADE = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("provinces.py"))))  # reports of provinces, made of numbers
drawn_rows, exposure_rows, write_all, write_province = MADE.drawn_rows, MADE.exposure_rows, MADE.write_all, MADE.write_province


@pytest.fixture(scope="module")
def study():
    return read_study("simulated")


@pytest.fixture(scope="module")
def out(study, tmp_path_factory):
    folder = tmp_path_factory.mktemp("reports")
    write_all(folder, study)
    return folder


@pytest.fixture(scope="module")
def national(study, out):
    return compare_provinces(read_reports(study, out))


@pytest.fixture(scope="module")
def wage(national):
    return next(c for c in national.outcomes if c.about.name == WAGE)


def compare(study, folder, provinces: dict):
    """The comparison of provinces, each given by its rows."""
    for name, rows in provinces.items():
        write_province(folder, study, name, rows)
    return compare_provinces(read_reports(study, folder))


# ---- who is compared


def test_reports_are_read_in_the_order_of_the_programme_and_their_estimates_put_together(national, wage, out, study):
    assert national.reports["province"].tolist() == list(province_slugs())
    assert (national.reports["problem"] == "").all()
    assert [c.about.name for c in national.outcomes] == [WAGE, "in_school_16_18", "unmet"]
    published = pd.read_csv(out / study.name / "guizhou" / "en" / "exposures.csv").query("outcome == @WAGE and through == 3").iloc[0]
    row = wage.provinces.set_index("province").loc["guizhou"]
    assert (row["estimate"], row["std_error"], row["mde"]) == (published["estimate"], published["std_error"], published["mde"])
    alone = estimate_synthesis(wage.provinces["estimate"], wage.provinces["std_error"])
    assert wage.synthesis.estimate == alone.estimate and wage.provinces["shrunken"].tolist() == alone.units["shrunken"].tolist()


def test_a_province_that_is_followed_for_fewer_years_is_left_out_and_named(wage):
    assert wage.through == 3 and "tibet" not in set(wage.provinces["province"])
    reason = wage.left_out.set_index("province").loc["tibet", "reason"]
    assert reason == "Its panel follows movers for fewer years than those compared: the longest is 0 to 1."


def test_a_withheld_estimate_stays_withheld(national):
    unmet = next(c for c in national.outcomes if c.about.name == "unmet")
    assert unmet.left_out.set_index("province").loc["jilin", "withheld"]
    table = exhibits.tabulate_provinces(unmet)
    assert ("Jilin", *["[c]"] * 7, "withheld") in table.rows
    assert "fewer than 10 units" in table.note
    assert "jilin" not in set(synthesis_frame(national).query("outcome == 'unmet' and quantity != 'left_out'")["province"])


@pytest.mark.parametrize(
    "longest, k",
    [((3, 3, 3, 1), 3), ((3, 3, 2), 2), ((3, 3, 0), 3), ((3, 2, 2, 2), 2), ((0, 0), 0), ((3, 3, 1, 1, 1, 1), 1)],
)
def test_the_exposures_are_those_that_leave_the_most_to_compare(longest, k):
    """Provinces times exposures: of (3, 3, 2) years 0 to 3 leave 2 x 4 = 8 and years 0 to 2 leave 3 x 3 = 9."""
    rows = [row | {"province": str(i)} for i, last in enumerate(longest) for row in exposure_rows(WAGE, 0.1, 0.02, last)]
    assert choose_through(pd.DataFrame(rows)) == k


def test_without_exposures_the_headlines_are_compared(study, tmp_path):
    rows = {p: [r | {"through": np.nan} for r in exposure_rows(WAGE, 0.1 * i, 0.02, 0)] for i, p in enumerate(("hebei", "gansu", "hubei"))}
    found = compare(study, tmp_path, rows).outcomes[0]
    assert math.isnan(found.through) and found.provinces["estimate"].tolist() == [0.0, 0.2, 0.1]
    assert words.say_years(found.through) == ""


def test_an_estimate_without_an_error_is_left_out(study, tmp_path):
    bare = exposure_rows(WAGE, 0.1, np.nan)
    found = compare(study, tmp_path, {"hebei": drawn_rows("hebei"), "gansu": drawn_rows("gansu"), "hubei": bare}).outcomes[0]
    assert found.left_out["reason"].tolist() == ["Too few clusters stand behind its estimate for an error."]
    other = compare(study, tmp_path, {"hubei": exposure_rows("unmet", 0.1, 0.02)}).outcomes[0]
    assert other.left_out["reason"].tolist() == ["Its report has no estimate of this outcome."]


def test_one_estimate_is_nothing_to_compare_and_two_have_no_prediction(study, tmp_path):
    found = compare(study, tmp_path, {"hebei": drawn_rows("hebei"), "gansu": exposure_rows(WAGE, 0.05, 0.02)})
    wage, school = found.outcomes[:2]
    assert wage.synthesis.k == 2 and math.isnan(wage.synthesis.predict_low)
    assert "With fewer than five provinces nothing is said about one more." in words.describe_mean(wage).markdown
    assert words.describe_mean(school).markdown.startswith("Fewer than two provinces have an estimate of enrolment")
    kinds = [type(exhibit).__name__ for exhibit in exhibits.list_exhibits(found)]
    assert kinds == ["Prose", "Prose", "Figure", "Table", "Prose", "Prose", "Prose", "Prose"]


# ---- made alike


@pytest.mark.parametrize(
    "change, sentence",
    [({"checksum": "other"}, "It was made by other code."),
     ({"python": "2.7"}, "It was made with Python 2.7, not {python}."),
     ({"settings": {"design.draws": 199}}, "It was made with design.draws = 199, not 999."),
     ({"settings": {"threshold": 20, "seed": 1}}, "It was made with seed = 1, not 2020; 2 settings differ in all."),
     ({"settings": {"disclosure": "public"}}, "It was made with disclosure = public, not restricted.")],
)  # fmt: skip
def test_a_report_that_was_made_otherwise_is_named_and_not_compared(study, tmp_path, change, sentence):
    from relocation_analysis.reporting.run import provenance

    origin = provenance.origin(study)
    other = origin | change | {"settings": origin["settings"] | change.get("settings", {})}
    for name in ("hebei", "gansu"):
        write_province(tmp_path, study, name)
    write_province(tmp_path, study, "hubei", origin=other)
    found = read_reports(study, tmp_path)
    assert found.provinces.set_index("province")["problem"].to_dict() == {
        "hebei": "", "hubei": sentence.format(python=provenance.python_version()), "gansu": ""}  # fmt: skip
    assert set(found.exposures["province"]) == {"hebei", "gansu"}
    national = compare_provinces(found)
    assert ("Hubei", sentence.format(python=provenance.python_version())) in exhibits.tabulate_left_out(national).rows
    said = words.describe_compared(national).markdown
    assert "**One of them is not compared**, because it was made otherwise: Hubei." in said
    assert exhibits.tabulate_compared(national).rows[1] == ("Hubei", *["not compared"] * 3)


def test_a_report_without_an_origin_or_with_a_changed_file_is_not_compared(study, tmp_path):
    folder = write_province(tmp_path, study, "hebei", origin=None)
    (write_province(tmp_path, study, "gansu") / "exposures.csv").write_text("outcome\n")
    problems = read_reports(study, tmp_path).provinces["problem"].tolist()
    assert problems == ["It does not say how it was made.", "Its file exposures.csv is not the one that it wrote."]
    with pytest.raises(InputError) as caught:
        compare_provinces(read_reports(study, tmp_path))
    assert str(caught.value) == (
        "Two provinces or more must have a report that can be compared.\n"
        "Problem: 0 of 2 reports can (Hebei: It does not say how it was made).\nFix: write them with `relocation batch`."
    )
    (folder / "run.json").write_text("{")
    assert read_reports(study, tmp_path).provinces["province"].tolist() == ["gansu"]


def test_another_language_and_the_national_report_itself_are_not_read(study, tmp_path):
    for name in ("hebei", "gansu", "national"):
        write_province(tmp_path, study, name)
    write_province(tmp_path, study.model_copy(update={"language": "zh"}), "hubei")
    assert read_reports(study, tmp_path).provinces["province"].tolist() == ["hebei", "gansu"]


def test_a_province_of_any_name_is_read_and_stands_behind_those_of_the_programme(study, tmp_path):
    for name in ("a/b..", "\u8d35\u5dde", "gansu"):
        write_province(tmp_path, study, name)
    assert read_reports(study, tmp_path).provinces["province"].tolist() == ["gansu", "a/b..", "\u8d35\u5dde"]


# ---- movers


def test_only_sourced_figures_of_registered_movers_are_weights(national, wage):
    """Guizhou has a plan and Fujian nothing: neither is in the mean, and nobody's figure is filled in."""
    counted = national.movers.set_index("province")["counted"]
    assert not counted[["guizhou", "anhui", "fujian", "jilin"]].any() and counted[["hebei", "sichuan"]].all()
    rows = national.movers[national.movers["counted"] & (national.movers["province"] != "tibet")].set_index("province")
    own = wage.provinces.set_index("province").loc[rows.index]
    assert wage.movers == weighted_mean(own["estimate"], own["std_error"], rows["registered"])
    assert wage.covered == rows["registered"].sum() == 7_163_214  # 7,429,214 less the 266,000 of Tibet, which is left out
    text = words.describe_movers(national).markdown
    assert "The 13 provinces with such a figure moved 7,429,214 people, 77% of the 9.6 million people" in text
    assert "Guizhou" in text.split("Not covered")[1]


def test_provinces_outside_the_programme_have_no_mean_over_movers(study, tmp_path):
    found = compare(study, tmp_path, {"here": drawn_rows("hebei"), "there": drawn_rows("gansu")})
    assert found.outcomes[0].movers.k == 0
    assert words.describe_movers(found).markdown.startswith("No province here has a sourced number")
    assert exhibits.tabulate_movers(found).markdown == exhibits.tabulate_weights(found).markdown == ""


# ---- exhibits


def test_the_table_has_the_numbers_of_the_synthesis(wage):
    table = exhibits.tabulate_provinces(wage)
    cells = {row[0]: row for row in table.rows}
    row = wage.provinces.set_index("province").loc["sichuan"]
    assert cells["Sichuan"][1] == f"{100 * row['estimate']:.1f}" and cells["Sichuan"][4] == f"{100 * row['shrunken']:.1f}"
    assert cells["Sichuan"][3] == f"{100 * row['weight']:.1f}%" and cells["Sichuan"][6] == f"{100 * row['mde']:.1f}"
    assert [float(row[1].replace("\u2212", "-")) for row in table.rows] == sorted(
        (float(row[1].replace("\u2212", "-")) for row in table.rows), reverse=True)  # fmt: skip


def test_a_flag_says_why_a_province_cannot_stand_alone(national, wage):
    flags = {row[0]: row[-1] for row in exhibits.tabulate_provinces(wage).rows}
    weak = wage.provinces.set_index("label")["power"] < 0.8
    failing = {"Jilin", "Shandong"}  # trends before of the fourth province, a check of the design of the eighth
    for label, flag in flags.items():
        assert ("power" in flag) == weak[label] and ("checks" in flag) == (label in failing), label
    assert f"power is below 80% in {int(weak.sum())} of 21 provinces, and a check fails in 2." in words.describe_alone(national).markdown
    why = [row for row in exhibits.tabulate_alone(national).rows if row[0] in failing]
    assert ("trends before" in why[0][2]) and ("number of clusters" in why[1][2])


def test_the_figure_draws_what_the_comparison_holds(wage, monkeypatch):
    drawn = {}
    true_svg = forest.canvas.to_svg

    def spy(sheet, figure_id):
        ax = sheet.axes[0]
        drawn.update({line.get_label(): line for line in ax.lines} | {c.get_label(): c for c in ax.collections})
        drawn["patches"], drawn["texts"] = list(ax.patches), [t.get_text() for t in ax.texts]
        return true_svg(sheet, figure_id)

    monkeypatch.setattr(forest.canvas, "to_svg", spy)
    figure = forest.plot_provinces(wage)
    rows = wage.provinces.sort_values("estimate", ascending=False)
    assert drawn["own estimate"].get_xdata().tolist() == pytest.approx((100 * rows["estimate"]).tolist())
    assert drawn["shrunken estimate"].get_xdata().tolist() == pytest.approx((100 * rows["shrunken"]).tolist())
    ends = np.array([segment[:, 0] for segment in drawn["own interval"].get_segments()])
    assert ends == pytest.approx(100 * rows[["conf_low", "conf_high"]].to_numpy())
    ends = np.array([segment[:, 0] for segment in drawn["shrunken interval"].get_segments()])
    assert ends == pytest.approx(100 * rows[["shrunken_low", "shrunken_high"]].to_numpy())
    s = wage.synthesis
    corners = drawn["patches"][0].get_xy()[:, 0]
    assert [corners.min(), corners[1], corners.max()] == pytest.approx([100 * s.conf_low, 100 * s.estimate, 100 * s.conf_high])
    assert drawn["next province"].get_segments()[0][:, 0] == pytest.approx([100 * s.predict_low, 100 * s.predict_high])
    assert drawn["movers"].get_xdata() == pytest.approx([100 * wage.movers.estimate])
    assert {"Mean of provinces", "One more province", "Mean over movers"} <= set(drawn["texts"])
    assert figure.alt.startswith(f"Estimates of {s.k} provinces run from") and f"Their mean is {100 * s.estimate:.1f} pp" in figure.alt


def test_two_drawings_of_a_figure_are_the_same_bytes(wage):
    assert forest.plot_provinces(wage).svg == forest.plot_provinces(wage).svg


def mean_of(about, y, s):
    """A comparison of these estimates, for its sentences."""
    from relocation_analysis.reporting.national.synthesis import Compared

    found = estimate_synthesis(y, s, [str(i) for i in range(len(y))])
    table = pd.DataFrame({"province": [str(i) for i in range(len(y))], "label": [f"P{i}" for i in range(len(y))]})
    blank = pd.DataFrame(columns=["province", "label", "reason", "withheld"])
    return Compared(about, 3.0, table, blank, found, weighted_mean([], [], []), 0.0)


def test_sentences_say_gains_losses_and_what_cannot_be_said(wage):
    s = [0.02] * 6
    up = words.describe_mean(mean_of(wage.about, [0.1, 0.11, 0.09, 0.1, 0.12, 0.08], s)).markdown
    assert up.startswith("On average over 6 provinces the move **raised** off\\-farm wage work by 10.0 pp (95% interval 7.9 to 12.1), a gain.")
    assert "Nothing shows that provinces differ" in up and "is not ruled out" in up
    down = words.describe_mean(mean_of(wage.about, [-0.1, -0.11, -0.09, -0.1, -0.12, -0.08], s)).markdown
    assert "the move **lowered** off\\-farm wage work by 10.0 pp (95% interval 7.9 to 12.1), a loss." in down
    apart = words.describe_mean(mean_of(wage.about, [0.3, -0.3, 0.2, -0.2, 0.1, -0.1], s)).markdown
    assert apart.startswith("Whether the move changed off\\-farm wage work on average over 6 provinces **cannot be said**")
    assert "That all effects are the same is rejected (p <\u2009.001)." in apart and "it could be none, or of either sign." in apart


def test_a_mean_that_hangs_on_one_province_is_said_to(national, wage):
    """Of .05, .04, .03, .05 and -.10 the mean is .016 (-.06 to .09); without the last it is .043 (.027 to .058)."""
    steady = replace(national, outcomes=(mean_of(wage.about, [0.1] * 6, [0.02] * 6),))
    assert "Whether it differs from zero does not hang on any one province." in words.describe_without(steady).markdown
    one = mean_of(wage.about, [0.05, 0.04, 0.03, 0.05, -0.1], [0.01, 0.01, 0.01, 0.01, 0.02])
    said = words.describe_without(replace(national, outcomes=(one,))).markdown
    assert "the mean moves most without P4, by 2.7 pp to 4.2 pp (95% interval 2.7 to 5.8)" in said
    assert said.endswith("**Whether it differs from zero hangs on one province**: P4.")


def test_the_retracted_study_is_named_and_its_finding_is_not_shown():
    table = exhibits.tabulate_literature()
    place = table.rows.index(("Retracted, and not used",))
    name, where, *_blank, caveat = table.rows[place + 1]
    assert name.startswith("Sustainability 2020") and caveat == "retracted; its finding is no evidence"
    assert "do not cite" not in str(table.rows) and len(table.rows) == place + 2
    assert sum(len(row) > 1 for row in table.rows[:place]) == 45  # the others, those that found nothing included


def test_every_number_of_the_comparison_is_in_its_record(national, wage):
    frame = synthesis_frame(national)
    assert tuple(frame.columns) == SYNTHESIS_COLUMNS
    own = frame[frame["outcome"] == WAGE].set_index("quantity")
    assert own.loc["mean", "estimate"] == wage.synthesis.estimate and own.loc["next_province", "conf_low"] == wage.synthesis.predict_low
    assert own.loc["tau", "estimate"] == pytest.approx(math.sqrt(wage.synthesis.tau2))
    assert len(own.loc["own"]) == len(own.loc["shrunken"]) == len(own.loc["without"]) == wage.synthesis.k
    assert own.loc["mean_over_movers", "weight"] == wage.covered


def test_both_languages_have_the_same_exhibits_and_the_same_numbers(national):
    functions = [exhibits.tabulate_compared, exhibits.tabulate_left_out, exhibits.tabulate_synthesis,
                 exhibits.tabulate_without, exhibits.tabulate_movers, exhibits.tabulate_weights,
                 exhibits.tabulate_alone, lambda n: exhibits.tabulate_provinces(n.outcomes[2])]  # fmt: skip
    number = re.compile(r"\d+(?:[.,]\d+)*")
    for make in functions:
        english = make(national)
        with speaking("zh"):
            chinese = make(national)
        assert english.id == chinese.id and len(english.rows) == len(chinese.rows)
        for a, b in zip(english.rows, chinese.rows, strict=True):
            assert sorted(number.findall(" ".join(a))) == sorted(number.findall(" ".join(b)))


# ---- the report


def test_an_empty_interval_of_the_spread_is_said_and_never_printed_as_zero(national, wage):
    """No tau^2 makes the weighted sum of squares of estimates this close as large as chance: the Q-profile interval is empty."""
    close = estimate_synthesis(np.array([0.0600, 0.0601, 0.0602]), np.full(3, 0.02), ["a", "b", "c"])
    assert (close.tau2, close.tau2_low, close.tau2_high) == (0.0, 0.0, 0.0)
    alike = replace(wage, synthesis=close)
    said = words._say_spread(alike)
    assert "no upper limit for the difference of their effects can be given" in said and "0.0" not in said
    table = synthesis_frame(replace(national, outcomes=(alike,)))
    rows = table[table["quantity"].isin(["tau", "i2"])]
    assert len(rows) == 2 and rows[["conf_low", "conf_high"]].isna().all(axis=None) and (rows["estimate"] == 0).all()


@pytest.fixture(scope="module")
def written(study, out):
    return write_national(study, out, ("html", "pdf"), False, Quiet())


class Quiet:
    """A progress that keeps what is said."""

    def __init__(self):
        self.said = []

    def say(self, text):
        self.said.append(text)

    def add(self, *_):
        pass

    def cell(self, *_):
        pass

    def close(self):
        pass

    def __getattr__(self, name):
        return lambda *arguments, **named: None


def test_the_national_report_has_every_output_in_its_folder(written, out):
    assert written == out / "simulated" / "national" / "en"
    names = {path.relative_to(written).as_posix() for path in written.rglob("*") if path.is_file()}
    assert {"report.html", "report.pdf", "report.ipynb", "synthesis.csv", "disclosure.csv", "run.json"} <= names
    assert {f"figures/fig-provinces-{name}.svg" for name in (WAGE, "in_school_16_18", "unmet")} <= names
    assert not {"effects.csv", "exposures.csv", "checks.csv", "flow.csv"} & names
    assert not list(written.parent.glob(".draft-*"))
    run = json.loads((written / "run.json").read_text())
    assert (run["province"], set(run["outputs"])) == ("national", names - {"run.json"})


def test_the_record_is_that_of_the_comparison_and_names_no_path(written, national, out):
    table = pd.read_csv(written / "synthesis.csv", keep_default_na=False, na_values=[""])
    wanted = synthesis_frame(national)
    assert len(table) == len(wanted) and np.allclose(table["estimate"], wanted["estimate"], rtol=1e-12, equal_nan=True)
    record = (written / "report.ipynb").read_text()
    assert str(out) not in record and 'reports = \\"reports\\"' in record
    notebook = nbformat.reads(record, as_version=4)
    metas = list(exhibits_of(notebook))
    assert {meta["disclosure"] for meta in metas} == {"restricted-10"}
    assert [meta["role"] for meta in metas if meta.get("role")] == ["abstract"]


def test_an_unchanged_national_report_is_left_alone_and_a_changed_province_makes_another(study, out, written, tmp_path):
    said = Quiet()
    stamp = (written / "run.json").stat().st_mtime_ns
    assert write_national(study, out, ("html", "pdf"), False, said) == written
    assert said.said == [f"report is current: {written}"] and (written / "run.json").stat().st_mtime_ns == stamp
    shutil.copytree(out, tmp_path / "copy")
    before = module.fingerprint(study, tmp_path / "copy", ("html",))
    folder = tmp_path / "copy" / "simulated" / "gansu" / "en"
    run = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(run | {"started": "later", "seconds": 9}))
    assert module.fingerprint(study, tmp_path / "copy", ("html",)) == before
    write_province(tmp_path / "copy", study, "gansu", exposure_rows(WAGE, 0.2, 0.03))
    assert module.fingerprint(study, tmp_path / "copy", ("html",)) != before


def test_fewer_than_two_reports_make_no_national_report(study, tmp_path):
    write_province(tmp_path, study, "hebei")
    write_province(tmp_path, study, "gansu", origin=None)
    said = Quiet()
    assert write_national(study, tmp_path, ("html",), False, said) is None
    assert said.said == ["fewer than two provinces of simulated have a report that can be compared: no national report"]
    assert not (tmp_path / "simulated" / "national").exists()


def test_an_unknown_format_is_named(study, tmp_path):
    with pytest.raises(InputError, match="'odt' is not one of the"):
        write_national(study, tmp_path, ("odt",), False, Quiet())


@pytest.mark.slow
def test_true_reports_of_provinces_are_compared_in_both_languages_with_the_same_numbers(tmp_path):
    """The whole way once: the overview of three provinces, small, then the national report from what they wrote."""
    found = {}
    for language in ("en", "zh"):
        for province in ("guizhou", "hubei", "gansu"):
            small = read_study("simulated", province, language, {"villages": 40, "counties": 4, "draws": 199})
            write_report(small, tmp_path, ("html",), progress=Quiet())
        folder = write_national(small, tmp_path, ("html", "pdf"), False, Quiet())
        found[language] = pd.read_csv(folder / "synthesis.csv", keep_default_na=False, na_values=[""])
        assert (folder / "report.pdf").stat().st_size > 100_000
    numbers = [name for name in SYNTHESIS_COLUMNS if name not in ("note",)]
    pd.testing.assert_frame_equal(found["en"][numbers], found["zh"][numbers], check_exact=True)
    published = pd.read_csv(tmp_path / "simulated" / "hubei" / "en" / "effects.csv")
    headline = published.query("aggregation == 'headline' and subgroup == 'all' and estimator == 'callaway_santanna' and outcome == @WAGE"
                               " and chapter == 'overview'").iloc[0]  # fmt: skip
    row = found["en"].query("quantity == 'own' and province == 'hubei' and outcome == @WAGE").iloc[0]
    assert row["through"] == 3 and (row["estimate"], row["std_error"]) == (headline["estimate"], headline["std_error"])
