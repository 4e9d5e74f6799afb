"""The specification curve draws the numbers of its table, and a mark for every choice."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure as Sheet

from relocation_analysis.errors import InputError
from relocation_analysis.language import speaking
from relocation_analysis.reporting.figures.curve import choice_rows, describe_curve, draw_choices, draw_curve, plot_specifications, release_curve, say_choice


@pytest.fixture
def curve():
    n = 12
    estimate = np.linspace(-0.01, 0.08, n)
    return pd.DataFrame({
        "estimator": ["callaway_santanna"] * 8 + ["imputation"] * 3 + ["twfe"], "comparison": ["not_yet_treated", "never_treated"] * 4 + [""] * 4,
        "base_period": ["last_before"] * 4 + ["one_earlier"] * 4 + [""] * 4, "anticipation": [0.0, 1.0] * 5 + [0.0, np.nan],
        "strata": ["none", "remote"] * 5 + ["none", ""], "without_cohort": [np.nan] * 10 + [2016.0, 2017.0],
        "estimate": estimate, "conf_low": estimate - 0.02, "conf_high": estimate + 0.02, "main": np.arange(n) == 7,
    })  # fmt: skip


def lines(ax):
    return {line.get_label(): line for line in ax.lines}


def test_the_curve_draws_every_estimate_in_percentage_points_and_marks_the_study_s_own(curve, codebook):
    ax = Sheet().add_subplot()
    draw_curve(ax, curve, codebook["offfarm_wage"])
    np.testing.assert_allclose(lines(ax)["estimate"].get_ydata(), 100 * curve["estimate"])
    np.testing.assert_allclose(lines(ax)["main"].get_data(), [[7], [100 * curve["estimate"][7]]])
    segments = ax.collections[0].get_segments()
    np.testing.assert_allclose([s[:, 1] for s in segments], 100 * curve[["conf_low", "conf_high"]].to_numpy())


def test_a_choice_is_marked_under_each_specification_that_made_it(curve):
    ax = Sheet().add_subplot()
    draw_choices(ax, curve, choice_rows(curve))
    marks = lines(ax)
    assert list(marks["estimator=twfe"].get_xdata()) == [11]
    assert list(marks["without_cohort=2016"].get_xdata()) == [10]
    assert list(marks["anticipation=1"].get_xdata()) == [1, 3, 5, 7, 9]
    assert len(marks["comparison=never_treated"].get_xdata()) == 4


def test_the_text_gives_where_nine_in_ten_lie_and_the_share_of_the_sign(curve, codebook):
    text = describe_curve(curve, codebook["offfarm_wage"])
    # the 5th and the 95th percentile of 12 equal steps from -1.0 to 8.0 lie 0.55 steps of 9/11 inside the ends
    assert "between \u22120.6 pp and 7.5 pp" in text and "4.7 pp" in text and "83%" in text
    assert "\u22121.0" not in text and "8.0" not in text


def test_the_figure_is_the_same_bytes_twice_and_a_curve_without_rows_is_refused(curve, codebook):
    first, second = (plot_specifications(curve, "offfarm_wage", codebook) for _ in range(2))
    assert first.svg == second.svg and first.id == "fig-specifications-offfarm_wage"
    with pytest.raises(InputError, match="it has no rows"):
        plot_specifications(curve.iloc[:0], "offfarm_wage", codebook)


def test_a_specification_of_few_and_one_that_would_reveal_a_cohort_of_few_are_not_shown(curve, codebook):
    curve = curve.assign(estimator="twfe", comparison="", base_period="", anticipation=0.0, strata="none", n_units=500)
    curve["without_cohort"] = [np.nan] * 9 + [2016.0, 2017.0, 2018.0]
    curve["n_units"] = [500] * 8 + [9, 495, 480, 500]  # 5 units of 2016 and 20 of 2017 are left out, none of 2018 was there
    assert release_curve(curve)["estimate"].tolist() == pytest.approx(curve["estimate"].drop([8, 9]).tolist(), rel=0.01)
    marked = curve.assign(thin=["complement"] + [""] * 11)
    assert len(release_curve(marked)) == len(release_curve(curve)) - 1
    figure = plot_specifications(curve, "offfarm_wage", codebook)
    assert figure.caption.endswith("under 10 specifications")
    assert "Two numbers are withheld." in figure.alt and "[c]: withheld" in figure.note


def test_a_row_is_labelled_by_the_name_of_its_choice_in_either_language():
    assert say_choice("strata", "remote+minority") == "village of origin, ethnic group"
    assert say_choice("without_cohort", "2016") == "2016"
    with speaking("zh"):
        assert say_choice("estimator", "twfe") == "双向固定效应" and say_choice("strata", "none") == "无"


def test_the_study_s_own_specification_differs_in_shape_not_only_in_colour(curve, codebook):
    ax = Sheet().add_subplot()
    draw_curve(ax, curve, codebook["offfarm_wage"])
    assert lines(ax)["main"].get_marker() != lines(ax)["estimate"].get_marker()
    assert lines(ax)["main"].get_markersize() > 2 * lines(ax)["estimate"].get_markersize()
