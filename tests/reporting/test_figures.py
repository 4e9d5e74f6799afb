"""Figures draw what their table holds: the data are read back from the artists."""

import re
from itertools import combinations
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Sheet
from matplotlib.text import Text

from relocation_analysis.errors import InputError
from relocation_analysis.estimation.effects import Effects
from relocation_analysis.reporting import canvas
from relocation_analysis.reporting.balance import draw_balance, plot_balance
from relocation_analysis.reporting.cell_map import draw_cell_map, grid_cells, plot_cell_map
from relocation_analysis.reporting.figures import draw_event_study, plot_event_study
from relocation_analysis.reporting.forest import (
    draw_forest,
    enter_subgroups,
    plot_estimators,
    plot_forest,
    plot_headlines,
)
from relocation_analysis.reporting.trends import draw_raw_trends, plot_raw_trends

UNIVERSAL = {"estimator": "callaway_santanna_universal", "aggregation": "event_time"}
BALANCE = pd.DataFrame({"covariate": ["sex=female", "age", "remoteness"], "difference": [0.02, -0.15, 0.62]})


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


def every_figure(effects, codebook, means):
    waves = tuple(range(2014, 2022))
    return [
        plot_event_study(effects, "offfarm_wage", codebook),
        plot_event_study(effects, "earnings_year", codebook),
        plot_cell_map(effects, "in_school_16_18", codebook, waves),
        plot_cell_map(effects, "earnings_year", codebook, waves),
        plot_forest(effects, "debt", codebook),
        plot_forest(effects, "earnings_year", codebook),
        plot_headlines(effects, codebook),
        plot_headlines(effects, codebook, ["unmet", "school_minutes", "support_n"], name="several"),
        plot_estimators(effects, "offfarm_wage", codebook),
        plot_raw_trends(means, "offfarm_wage", codebook),
        plot_balance(BALANCE),
    ]


def test_every_figure_has_the_same_bytes_twice_and_no_date(effects, codebook, means):
    first, second = (every_figure(effects, codebook, means) for _ in range(2))
    for figure, again in zip(first, second):
        assert figure == again
        assert "<metadata>" not in figure.svg
        assert figure.alt and figure.caption and figure.source.startswith("reporting.")


def test_the_ids_of_two_figures_never_meet_and_every_reference_resolves(effects, codebook, means):
    seen = set()
    for figure in every_figure(effects, codebook, means):
        ids = [e.get("id") for e in ElementTree.fromstring(figure.svg).iter() if e.get("id")]
        assert len(ids) == len(set(ids))
        assert seen.isdisjoint(ids)
        assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', figure.svg)) <= set(ids)
        seen.update(ids)


def drawn_texts(sheet, monkeypatch):
    """Every text that is really drawn, with its box."""
    found, draw = {}, Text.draw

    def record(text, renderer):
        if text.get_visible() and text.get_text().strip():
            found[text] = Text.get_window_extent(text, renderer)
        draw(text, renderer)

    with monkeypatch.context() as patch, canvas.house_style():
        patch.setattr(Text, "draw", record)
        FigureCanvasAgg(sheet).draw()
    return found


def test_no_two_texts_of_a_figure_overlap_and_none_leaves_the_sheet(effects, codebook, means, monkeypatch):
    sheets = {}
    monkeypatch.setattr(
        canvas, "to_svg", lambda sheet, figure_id: sheets.setdefault(figure_id, sheet) and "<svg/>"
    )
    every_figure(effects, codebook, means)
    assert len(sheets) == 11
    for figure_id, sheet in sheets.items():
        texts = drawn_texts(sheet, monkeypatch)
        assert len(texts) > 8
        for a, b in combinations(texts, 2):
            assert not texts[a].padded(-1).overlaps(texts[b].padded(-1)), (
                figure_id,
                a.get_text(),
                b.get_text(),
            )
        for text, box in texts.items():
            assert min(box.x0, box.y0) >= -1, (figure_id, text.get_text())
            assert box.x1 <= sheet.bbox.x1 + 1 and box.y1 <= sheet.bbox.y1 + 1, (figure_id, text.get_text())


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


def test_a_label_from_data_is_text_and_never_markup(effects, codebook):
    hostile = codebook["unmet"].model_copy(update={"label_en": "<script>$x$"})
    figure = plot_event_study(effects, "unmet", codebook | {"unmet": hostile})
    assert "<script" not in figure.svg
    ElementTree.fromstring(figure.svg)
