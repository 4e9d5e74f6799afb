"""Figures draw what their table holds: the data are read back from the artists."""

import re

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure as Sheet

from relocation_analysis.errors import InputError
from relocation_analysis.estimation.effects import Effects
from relocation_analysis.language import speaking
from relocation_analysis.reporting.disclosure import release
from relocation_analysis.reporting.exhibits.released import released
from relocation_analysis.reporting.figures.balance import draw_balance, plot_balance
from relocation_analysis.reporting.figures.cell_map import draw_cell_map, grid_cells, plot_cell_map
from relocation_analysis.reporting.figures.event_study import draw_event_study, plot_event_study
from relocation_analysis.reporting.figures.forest import Entry, draw_forest, enter_subgroups, plot_estimators, plot_forest, plot_headlines
from relocation_analysis.reporting.figures.trends import draw_raw_trends, plot_raw_trends

UNIVERSAL = {"estimator": "callaway_santanna_universal", "aggregation": "event_time"}
BALANCE = pd.DataFrame({"covariate": ["sex=female", "age", "remoteness"], "difference": [0.02, -0.15, 0.62], "fewest": 400})


@pytest.fixture
def axes():
    return Sheet(figsize=(6.3, 3)).add_subplot()


@pytest.fixture
def means():
    keys = [(cohort, time) for cohort in (2016.0, 2018.0, np.nan) for time in range(2014, 2022)]
    frame = pd.DataFrame(keys, columns=["cohort", "time"])
    return frame.assign(
        mean=0.4 + 0.02 * (frame["time"] - 2014) + 0.06 * (frame["time"] >= frame["cohort"]), n=300
    )


def artist(ax, label):
    (found,) = [a for a in (*ax.lines, *ax.collections) if a.get_label() == label]
    return found


def segments(ax, label, axis):
    return np.array([path.vertices[:, axis] for path in artist(ax, label).get_paths()])


def event_rows(effects, outcome):
    return effects.select(outcome=outcome, **UNIVERSAL).table.sort_values("event_time", ignore_index=True)


@pytest.mark.parametrize(("outcome", "scale"), [("offfarm_wage", 100), ("earnings_year", 1)])
def test_the_event_study_draws_the_numbers_of_its_table(effects, codebook, axes, outcome, scale):
    rows = event_rows(effects, outcome)
    draw_event_study(axes, rows, codebook[outcome])
    shown = rows[rows["event_time"] != -1]
    x, y = artist(axes, "estimate").get_data()
    assert np.array_equal(x, shown["event_time"])
    assert np.array_equal(y, scale * shown["estimate"])
    for label, columns in (
        ("pointwise", ["conf_low", "conf_high"]),
        ("simultaneous", ["band_low", "band_high"]),
    ):
        assert np.array_equal(segments(axes, label, axis=1), scale * rows[columns].to_numpy(), equal_nan=True)
    assert [list(v) for v in artist(axes, "base").get_data()] == [[-1.0], [0.0]]


def test_no_base_period_is_drawn_where_the_table_has_none(effects, codebook, axes):
    rows = event_rows(effects, "unmet")
    draw_event_study(axes, rows[rows["event_time"] != -1], codebook["unmet"])
    assert len(artist(axes, "base").get_xdata()) == 0


def test_the_cell_map_draws_and_writes_the_numbers_of_its_table(effects, codebook, axes):
    rows = effects.select(
        outcome="offfarm_wage", estimator="callaway_santanna_universal", aggregation="cohort_time"
    ).table
    draw_cell_map(axes, rows, codebook["offfarm_wage"], tuple(range(2014, 2022)))
    grid = artist(axes, "estimate").get_array()
    assert grid.shape == (4, 8)
    for _, row in rows.iterrows():
        assert grid[int(row["cohort"]) - 2016, int(row["time"]) - 2014] == 100 * row["estimate"]
    assert grid.mask.sum() == 32 - len(rows)
    written = [t.get_text().replace("\u2212", "-") for t in axes.texts]
    assert written.count("base") == 4
    assert sorted(float(text) for text in written if text != "base") == sorted((100 * rows["estimate"]).round(1))


def test_a_universal_base_period_is_told_from_a_first_wave_without_a_predecessor():
    def cells(times):
        return pd.DataFrame([(2018.0, float(t), 0.1) for t in times], columns=["cohort", "time", "estimate"])

    waves = tuple(range(2014, 2021))
    universal, varying = (
        cells([2014, 2015, 2016, 2018, 2019, 2020]),
        cells([2015, 2016, 2017, 2018, 2019, 2020]),
    )
    assert grid_cells(universal, waves)[1].tolist() == [[False, False, False, True, False, False, False]]
    assert not grid_cells(varying, waves)[1].any()
    assert grid_cells(cells([2018, 2019]), (2017, 2018, 2019))[1].tolist() == [[True, False, False]]


def test_the_forest_draws_the_numbers_of_its_table_from_the_top(effects, codebook, axes):
    rows = effects.select(outcome="unmet", estimator="callaway_santanna", aggregation="headline").table
    draw_forest(axes, enter_subgroups(rows), "share")
    x, y = artist(axes, "estimate").get_data()
    assert np.array_equal(x, 100 * rows["estimate"])
    assert np.all(np.diff(y) > 0)
    assert np.array_equal(
        segments(axes, "interval", axis=0), 100 * rows[["conf_low", "conf_high"]].to_numpy()
    )


def test_raw_trends_draw_one_panel_a_cohort_with_a_dot_at_the_move(codebook, means):
    sheet = Sheet(figsize=(6.3, 2))
    panels = draw_raw_trends(sheet, means, codebook["offfarm_wage"])
    assert len(panels) == 2
    for ax, cohort in zip(panels, (2016, 2018)):
        own = means[means["cohort"] == cohort]
        assert np.array_equal(artist(ax, "cohort").get_ydata(), 100 * own["mean"])
        assert np.array_equal(artist(ax, "never").get_ydata(), 100 * means[means["cohort"].isna()]["mean"])
        assert list(artist(ax, "move").get_xdata()) == [cohort]


def test_the_balance_figure_draws_its_table(axes):
    draw_balance(axes, BALANCE.assign(label=BALANCE["covariate"]))
    assert np.array_equal(artist(axes, "difference").get_xdata(), BALANCE["difference"])


def test_the_balance_figure_leaves_out_a_covariate_that_cannot_be_compared(codebook):
    more = pd.DataFrame({"covariate": ["constant", "unmet"], "difference": [np.nan, -0.8]})
    figure = plot_balance(pd.concat([BALANCE, more]), codebook)
    assert figure.alt == (
        "Three of the four covariates differ by more than 0.1 standard deviations;"
        " the largest difference is \u22120.80, in unmet need for care."
    )


def test_the_alternative_text_says_how_the_effect_moves(effects, codebook):
    alt = plot_event_study(effects, "offfarm_wage", codebook).alt
    assert alt.startswith(
        "The effect on off-farm wage work rises from 3.0 pp (95% interval 0.1 to 5.9) in the year of the move"
        " to 6.0 pp (95% interval 1.3 to 10.7) four years after; all of the five pointwise intervals exclude"
        " zero."
    )
    falling = plot_event_study(effects, "in_school_16_18", codebook).alt
    assert "falls from \u22121.5 pp" in falling and "to \u22123.0 pp" in falling


def test_the_alternative_text_names_a_peak_between_the_ends(effects, codebook):
    table = event_rows(effects, "offfarm_wage")
    table.loc[table["event_time"] == 2, ["estimate", "conf_low", "conf_high"]] = 0.12, 0.09, 0.15
    alt = plot_event_study(Effects(table, None, None), "offfarm_wage", codebook).alt
    assert "by way of 12.0 pp (95% interval 9.0 to 15.0) two years after" in alt


def test_an_effect_without_an_interval_is_shown_and_the_note_says_why(effects, codebook):
    table = effects.table.copy()
    few = (table["subgroup"] == "sex=male") & (table["outcome"] == "unmet")
    table.loc[few, ["std_error", "p_value", "conf_low", "conf_high"]] = np.nan
    bare = Effects(table, None, None)
    assert "fewer than five clusters" in plot_forest(bare, "unmet", codebook).note
    assert "fewer than five clusters" not in plot_forest(bare, "debt", codebook).note
    assert "fewer than five clusters" not in plot_event_study(bare, "unmet", codebook).note


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda e, c: plot_event_study(e, "unmett", c), "write 'unmet'"),
        (lambda e, c: plot_event_study(e.select(outcome="debt"), "unmet", c), "is not one of the 1 known"),
        (
            lambda e, c: plot_event_study(e, "unmet", c, estimator="twfe"),
            "must have rows with subgroup = 'all' and",
        ),
        (
            lambda e, c: plot_headlines(e.select(outcome="debt"), c),
            "none of the 1 outcomes of these effects is primary",
        ),
        (lambda e, c: plot_balance(BALANCE[["covariate"]]), "1 missing, the first 'difference'"),
        (
            lambda e, c: plot_raw_trends(BALANCE.head(0), "unmet", c),
            "The means of a raw-trends figure must have",
        ),
    ],
)
def test_a_figure_without_its_data_says_what_is_missing(effects, codebook, draw, message):
    with pytest.raises(InputError, match=re.escape(message)):
        draw(effects, codebook)


def few(effects, outcome, **where):
    """The same effects, but of too few units where the columns equal the given values."""
    table = effects.table.copy()
    rows = table["outcome"].eq(outcome) & np.logical_and.reduce([table[column].eq(value) for column, value in where.items()])
    assert rows.any()
    table.loc[rows, "n_units"] = 9
    return Effects(table, None, None)


def test_a_withheld_year_is_drawn_as_nothing_and_marked_at_its_label(effects, codebook, axes):
    rows = released(few(effects, "offfarm_wage", event_time=3.0, **UNIVERSAL)).select(outcome="offfarm_wage", **UNIVERSAL).table
    rows = rows.sort_values("event_time", ignore_index=True)
    draw_event_study(axes, rows, codebook["offfarm_wage"])
    y = artist(axes, "estimate").get_ydata()
    assert np.isnan(y[list(artist(axes, "estimate").get_xdata()).index(3.0)]) and np.isfinite(y).sum() >= 4
    labels = {text.get_text() for text in axes.get_xticklabels()}
    assert "3\n[c]" in labels and "0" in labels
    assert [list(v) for v in artist(axes, "base").get_data()] == [[-1.0], [0.0]]


def test_the_words_of_a_figure_never_tell_a_withheld_number(effects, codebook):
    thin = few(effects, "offfarm_wage", event_time=4.0, **UNIVERSAL)
    figure = plot_event_study(thin, "offfarm_wage", codebook)
    assert "four years after" in plot_event_study(effects, "offfarm_wage", codebook).alt
    assert "four years after" not in figure.alt and "withheld" in figure.alt
    assert "[c]: withheld, because fewer than 10 units or 3 clusters" in figure.note
    everyone = few(effects, "debt", aggregation="headline")
    for figure in (plot_forest(everyone, "debt", codebook), plot_estimators(everyone, "debt", codebook),
                   plot_headlines(everyone, codebook, ["debt"], name="debt")):  # fmt: skip
        assert re.fullmatch(r"(One number is|\w+ numbers are) withheld\.", figure.alt)


def test_public_data_are_shown_whatever_their_number(effects, codebook):
    thin = few(effects, "offfarm_wage", event_time=4.0, **UNIVERSAL)
    before = release.kept()
    release.keep(release.Rule(public=True))
    try:
        figure, forest = plot_event_study(thin, "offfarm_wage", codebook), plot_forest(thin, "debt", codebook)
    finally:
        release.keep(before)
    assert "four years after" in figure.alt and "withheld" not in figure.alt + figure.note
    assert "rounded" not in forest.note and "Counts are rounded to 5." in plot_forest(thin, "debt", codebook).note


def test_a_withheld_cell_is_neither_hatched_nor_taken_for_the_base_period(effects, codebook, axes):
    cells = {"estimator": "callaway_santanna_universal", "aggregation": "cohort_time"}
    thin = few(effects, "offfarm_wage", cohort=2018.0, time=2016.0, **cells)
    rows = released(thin).select(outcome="offfarm_wage", **cells).table
    _, base = grid_cells(rows, tuple(range(2014, 2021)))
    assert base.sum(axis=1).tolist() == [1, 1, 1, 1] and base[2].tolist()[3]
    draw_cell_map(axes, rows, codebook["offfarm_wage"], tuple(range(2014, 2022)))
    hidden = int(rows["withheld"].ne("").sum())
    assert hidden >= 1 and [t.get_text() for t in axes.texts].count("[c]") == hidden
    hatched = [c for c in axes.collections if c.get_hatch()]
    assert len(hatched[0].get_paths()) == 4  # 2021, where nobody is left to compare with
    assert artist(axes, "estimate").get_array().mask.sum() == 4 + 4 + hidden


def test_a_withheld_subgroup_keeps_its_label_and_nothing_else(axes):
    entries = [Entry("Everyone", 0.05, 0.02, 0.08, 3120.0), Entry("Male", 0.0, withheld=True)]
    draw_forest(axes, entries, "share")
    x, _ = artist(axes, "estimate").get_data()
    assert x[0] == 5.0 and np.isnan(x[1])
    texts = [text.get_text() for text in axes.texts]
    assert texts.count("[c]") == 1 and "Male" in texts and "0.0" not in texts


def test_an_interval_without_an_end_is_drawn_to_the_edge_and_says_so(axes):
    draw_forest(axes, [Entry("Moved by the offer", 1.0, -np.inf, 3.0, 900.0), Entry("Other", 2.0, 0.0, 4.0, 900.0)], "hours")
    assert "\u2212\u221e to 3.0" in [text.get_text() for text in axes.texts]
    arrow = [line for line in axes.lines if line.get_label() == "without end" and len(line.get_xdata())]
    assert [list(line.get_xdata()) for line in arrow] == [[-0.6]]  # 15% of the span from 0 to 4 below it
    assert segments(axes, "interval", axis=0).tolist() == [[-0.6, 3.0], [0.0, 4.0]]


def test_benchmarks_are_hollow_so_that_they_are_told_apart_without_colour(axes):
    draw_forest(axes, [Entry("Own", 1.0, 0.0, 2.0), Entry("Other", 1.0, 0.0, 2.0, faint=True)], "hours")
    own, other = [line for line in axes.lines if line.get_label() == "estimate"]
    assert own.get_markerfacecolor() == own.get_markeredgecolor()
    assert other.get_markerfacecolor() == "white" != other.get_markeredgecolor()


def test_a_mean_of_few_is_a_gap_that_is_marked(codebook, means):
    means.loc[means["cohort"].eq(2016) & means["time"].between(2016, 2017), "n"] = 9
    shown = release.release_means(means, codebook["offfarm_wage"])
    sheet = Sheet(figsize=(6.3, 2))
    first, second = draw_raw_trends(sheet, shown, codebook["offfarm_wage"])
    y = artist(first, "cohort").get_ydata()
    assert np.isnan(y[2:4]).all() and np.isfinite(y).sum() == 6
    assert [t.get_text() for t in first.texts] == ["[c]"] and first.texts[0].xy[0] == 2016.5
    assert np.isnan(artist(first, "move").get_ydata()).all() and not second.texts
    figure = plot_raw_trends(means, "offfarm_wage", codebook)
    assert "Two numbers are withheld." in figure.alt and "[c]: withheld, because it is a count below 10" in figure.note


def test_a_mean_between_withheld_ones_is_still_seen(codebook, means):
    means.loc[means["cohort"].eq(2016) & ~means["time"].eq(2018), "n"] = 9
    panels = draw_raw_trends(Sheet(figsize=(6.3, 2)), release.release_means(means, codebook["offfarm_wage"]), codebook["offfarm_wage"])
    assert list(artist(panels[0], "cohort alone").get_xdata()) == [2018]


def test_a_difference_of_few_is_marked_and_not_told(codebook):
    balance = BALANCE.assign(fewest=[400, 300, 9])
    figure = plot_balance(balance, codebook)
    assert "0.62" not in figure.alt and "remoteness" not in figure.alt
    assert figure.alt == ("One of the two covariates differs by more than 0.1 standard deviations; the largest difference is"
                          " \u22120.15, in age (years). One number is withheld.")  # fmt: skip
    assert "[c]: withheld" in figure.note
    ax = Sheet(figsize=(6.3, 3)).add_subplot()
    draw_balance(ax, pd.DataFrame({"label": ["Age", "Remoteness"], "difference": [-0.15, np.nan]}))
    assert np.array_equal(artist(ax, "difference").get_xdata(), [-0.15, np.nan], equal_nan=True)
    assert [t.get_text() for t in ax.texts].count("[c]") == 1


def test_one_covariate_is_spoken_of_as_one(codebook):
    assert plot_balance(BALANCE.head(1), codebook).alt == "One covariate is compared: female differs by 0.02 standard deviations."


def test_the_chinese_text_says_how_the_effect_moves(effects, codebook):
    with speaking("zh"):
        rising, falling = (plot_event_study(effects, outcome, codebook) for outcome in ("offfarm_wage", "in_school_16_18"))
        cells = plot_cell_map(effects, "offfarm_wage", codebook, tuple(range(2014, 2022)))
        forest = plot_forest(effects, "unmet", codebook)
        balance = plot_balance(BALANCE, codebook)
    assert rising.alt.startswith("对非农工资性就业的效应从") and "上升到" in rising.alt and "5个逐点区间均不包含零" in rising.alt.replace("five", "5")
    assert "下降到" in falling.alt and "搬迁前的估计值在" in falling.alt
    assert "有4个单元格无法估计。" in cells.alt.replace("Four", "4")
    assert "大于零。" in forest.alt and "效应最大的是" in forest.alt
    assert "0.62" in balance.alt and "个协变量中有" in balance.alt
    for figure in (rising, falling, cells, forest, balance):
        assert figure.caption[0] > "\u2e80" and not re.search("[A-Za-z]{3,} [A-Za-z]{3,} [A-Za-z]{3,} [A-Za-z]{3,}", figure.note)
