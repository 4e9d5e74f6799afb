"""What holds for every figure: the same bytes, ids of its own, text that stays text, in its place, in either language."""

import re
from itertools import combinations
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from relocation_analysis.estimation.design import FLOW_COLUMNS
from relocation_analysis.estimation.effects import Effects
from relocation_analysis.estimation.sample import baseline_balance, raw_means
from relocation_analysis.language import speaking
from relocation_analysis.reporting.figures import canvas
from relocation_analysis.reporting.figures.balance import plot_balance
from relocation_analysis.reporting.figures.cell_map import plot_cell_map
from relocation_analysis.reporting.figures.curve import plot_specifications
from relocation_analysis.reporting.figures.event_study import plot_event_study
from relocation_analysis.reporting.figures.flow import plot_flow
from relocation_analysis.reporting.figures.forest import plot_estimators, plot_forest, plot_headlines
from relocation_analysis.reporting.figures.trends import plot_raw_trends

WAVES = tuple(range(2014, 2022))
UNIVERSAL = {"estimator": "callaway_santanna_universal"}
HOSTILE = "<script>alert('x')</script> $x^2$ {braces} %s \\alpha 非农工资性就业 --> &amp; and as many words as make eighty letters or more"
LANGUAGES = pytest.mark.parametrize("language", ["en", "zh"])


@pytest.fixture
def means():
    keys = [(cohort, time) for cohort in (2016.0, 2017.0, 2018.0, 2019.0, 2020.0, np.nan) for time in WAVES]
    frame = pd.DataFrame(keys, columns=["cohort", "time"])
    few = (frame["cohort"] == 2017) & (frame["time"] < 2016)
    return frame.assign(mean=0.4 + 0.02 * (frame["time"] - 2014) + 0.06 * (frame["time"] >= frame["cohort"]), n=np.where(few, 9, 300))


@pytest.fixture
def curve():
    n, draw = 120, np.random.default_rng(1)
    estimate = np.sort(draw.normal(0.06, 0.01, n))

    def pick(*values):
        return draw.choice(np.array(values, dtype=object), n)

    return pd.DataFrame({
        "estimator": pick("callaway_santanna", "imputation", "sun_abraham", "twfe"), "comparison": pick("not_yet_treated", "never_treated", ""),
        "base_period": pick("last_before", "one_earlier", ""), "anticipation": draw.choice([0.0, 1.0, np.nan], n),
        "strata": pick("none", "remote", "remote+minority+labour+age_band+sex"), "without_cohort": draw.choice([np.nan, 2016.0, 2017.0], n),
        "estimate": estimate, "conf_low": estimate - 0.02, "conf_high": estimate + 0.02, "main": np.arange(n) == 70,
    })  # fmt: skip


@pytest.fixture
def flow():
    steps = [("excluded", "no child under 19 at home"), ("universe", "not aged 16-59 at the first wave"),
             ("missing", "the outcome is not known or not defined"), ("no base period", "cohort 2014, 2015 moved before a base period was observed")]  # fmt: skip
    rows = [("offfarm_wage", "file", "rows of the file, one per person and time", 0, 0, 56_713, 8_452)]
    for k, (step, reason) in enumerate(steps, 1):
        rows.append(("offfarm_wage", step, reason, 7_000, 1_000, 56_713 - 7_000 * k, 8_452 - 1_000 * k))
    return pd.DataFrame(rows, columns=FLOW_COLUMNS)


def thinned(effects):
    """The effects, some of them of too few units, one without an end, one without an interval."""
    table = effects.table.copy()
    event = table["aggregation"].eq("event_time")
    table.loc[event & table["event_time"].isin([-4, 3]), "n_units"] = 9
    table.loc[table["aggregation"].eq("cohort_time") & table["cohort"].eq(2018) & table["time"].isin([2015, 2019]), "n_units"] = 9
    table.loc[table["subgroup"].isin(["sex=male", "age_band=16-29"]), "n_units"] = 9
    table.loc[table["subgroup"].eq("remote=near"), "conf_low"] = -np.inf
    table.loc[event & table["event_time"].eq(4), "band_high"] = np.inf
    table.loc[table["estimator"].eq("twfe"), ["std_error", "conf_low", "conf_high"]] = np.nan
    return Effects(table, None, None)


def every_figure(effects, codebook, means, curve, flow):
    balance = pd.DataFrame({"covariate": ["sex=female", "age", "remoteness", "offfarm_wage", "debt"], "difference": [0.02, -0.15, 0.62, -1.2, 0.0]})
    thin = thinned(effects)
    return [
        plot_event_study(effects, "offfarm_wage", codebook),
        plot_event_study(thin, "offfarm_wage", codebook, name="thin"),
        plot_event_study(thin, "earnings_year", codebook),
        plot_cell_map(effects, "in_school_16_18", codebook, WAVES),
        plot_cell_map(thin, "earnings_year", codebook, WAVES),
        plot_forest(effects, "debt", codebook),
        plot_forest(thin, "offfarm_wage", codebook),
        plot_headlines(effects, codebook),
        plot_headlines(effects, codebook, ["unmet", "school_minutes", "support_n", "earnings_year"], name="several"),
        plot_estimators(thin, "offfarm_wage", codebook),
        plot_raw_trends(means, "offfarm_wage", codebook),
        plot_balance(balance.assign(fewest=[400, 400, 400, 400, 9]), codebook),
        plot_specifications(curve, "offfarm_wage", codebook),
        plot_flow(flow, codebook, "offfarm_wage"),
    ]


@pytest.fixture
def drawn(monkeypatch):
    """The sheets of all figures drawn since, in their order; nothing is written."""
    sheets = []
    monkeypatch.setattr(canvas, "write_svg", lambda sheet: sheets.append(sheet) or "<svg/>")
    return sheets


def boxes_of(sheet, monkeypatch):
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


def check_places(sheets, monkeypatch, fewest=3):
    """No two texts of a sheet overlap and none leaves it."""
    for k, sheet in enumerate(sheets):
        texts = boxes_of(sheet, monkeypatch)
        assert len(texts) >= fewest
        for one, other in combinations(texts, 2):
            assert not texts[one].padded(-1).overlaps(texts[other].padded(-1)), (k, one.get_text(), other.get_text())
        for text, box in texts.items():
            assert min(box.x0, box.y0) >= -1, (k, text.get_text())
            assert box.x1 <= sheet.bbox.x1 + 1 and box.y1 <= sheet.bbox.y1 + 1, (k, text.get_text())


@LANGUAGES
def test_no_two_texts_of_a_figure_overlap_and_none_leaves_the_sheet(effects, codebook, means, curve, flow, drawn, monkeypatch, language):
    with speaking(language):
        assert len(every_figure(effects, codebook, means, curve, flow)) == len(drawn)
        check_places(drawn, monkeypatch, fewest=8)


@pytest.mark.slow
@LANGUAGES
def test_a_hostile_label_of_eighty_letters_is_text_in_its_place(effects, codebook, means, curve, flow, drawn, monkeypatch, language):
    hostile = {name: about.model_copy(update={"label_en": HOSTILE, "label_zh": HOSTILE}) for name, about in codebook.items()}
    flow = flow.assign(reason=HOSTILE)
    with speaking(language):
        figures = every_figure(effects, hostile, means, curve, flow)
        check_places(drawn, monkeypatch)
    bare = re.sub(r"\s", "", HOSTILE)
    for figure, sheet in zip(figures, drawn, strict=True):
        shown = re.sub(r"\s", "", "".join(text.get_text() for text in sheet.findobj(Text)))
        told = re.sub(r"\s", "", figure.caption + figure.alt)
        assert bare in told, figure.id
        assert bare in shown or figure.id.startswith(("fig-cell_map", "fig-forest", "fig-estimators")), figure.id


@LANGUAGES
def test_a_hostile_label_leaves_the_svg_well_formed(effects, codebook, language):
    hostile = codebook["unmet"].model_copy(update={"label_en": HOSTILE, "label_zh": HOSTILE})
    with speaking(language):
        figure = plot_event_study(effects, "unmet", codebook | {"unmet": hostile})
    root = ElementTree.fromstring(figure.svg)
    assert {element.tag.split("}")[1] for element in root.iter()} <= {"svg", "defs", "style", "g", "path", "use", "clipPath", "rect"}
    assert "<!--" not in figure.svg and "alert" not in figure.svg


@pytest.mark.slow
@LANGUAGES
def test_one_row_and_no_interval_at_all_are_drawn(effects, codebook, means, curve, flow, drawn, monkeypatch, language):
    table = effects.table.copy()
    table[["std_error", "conf_low", "conf_high", "band_low", "band_high"]] = np.nan
    keep = ~table["aggregation"].isin(["event_time", "cohort_time"]) | (table["event_time"].eq(0) & table["cohort"].isin([np.nan, 2016.0]))
    single = Effects(table[keep & ~table["subgroup"].str.contains("=")], None, None)
    with speaking(language):
        plot_event_study(single, "offfarm_wage", codebook)
        plot_cell_map(single, "offfarm_wage", codebook)
        plot_forest(single, "offfarm_wage", codebook)
        plot_headlines(single, codebook, ["offfarm_wage"])
        plot_estimators(single, "offfarm_wage", codebook)
        plot_raw_trends(means[means["cohort"].eq(2016) & means["time"].eq(2016)], "offfarm_wage", codebook)
        plot_balance(pd.DataFrame({"covariate": ["age"], "difference": [0.0], "fewest": [400]}), codebook)
        plot_specifications(curve.head(1), "offfarm_wage", codebook)
        plot_flow(flow.head(1), codebook, "offfarm_wage")
        check_places(drawn, monkeypatch)
    assert len(drawn) == 9


@LANGUAGES
def test_effects_all_of_which_are_withheld_are_drawn_as_nothing(effects, codebook, drawn, monkeypatch, language):
    thin = Effects(effects.table.assign(n_units=9), None, None)
    with speaking(language):
        figures = [
            plot_event_study(thin, "offfarm_wage", codebook),
            plot_cell_map(thin, "offfarm_wage", codebook, WAVES),
            plot_forest(thin, "offfarm_wage", codebook),
            plot_headlines(thin, codebook),
            plot_estimators(thin, "offfarm_wage", codebook),
        ]
        check_places(drawn, monkeypatch)
    for figure, sheet in zip(figures, drawn, strict=True):
        assert "[c]" in figure.note
        assert any("[c]" in text.get_text() for text in sheet.findobj(Text))
        estimates = [line for ax in sheet.axes for line in ax.lines if line.get_label() == "estimate"]
        assert not any(np.isfinite(np.asarray(line.get_data(), float)).all(axis=0).any() for line in estimates)
        meshes = [c for ax in sheet.axes for c in ax.collections if c.get_label() == "estimate"]
        assert all(np.ma.getmaskarray(mesh.get_array()).all() for mesh in meshes)


@pytest.mark.slow
@LANGUAGES
def test_a_long_panel_has_room_for_its_years(codebook, effects, drawn, monkeypatch, language):
    draw, rows = np.random.default_rng(3), []
    base = effects.select(outcome="earnings_year", aggregation="cohort_time", **UNIVERSAL).table.iloc[0]
    for cohort in (2004.0, 2010.0, 2016.0):
        rows += [base.to_dict() | {"cohort": cohort, "time": float(t), "event_time": t - cohort, "estimate": draw.normal(0, 9_000)}
                 for t in range(1999, 2024) if t != cohort - 1]  # fmt: skip
    cells = Effects(pd.DataFrame(rows), None, None)
    by_time = pd.DataFrame([base.to_dict() | {"aggregation": "event_time", "event_time": float(e), "estimate": draw.normal(0, 9_000)}
                            for e in range(-17, 20)])  # fmt: skip
    with speaking(language):
        plot_cell_map(cells, "earnings_year", codebook)
        plot_event_study(Effects(by_time, None, None), "earnings_year", codebook)
        check_places(drawn, monkeypatch)


@LANGUAGES
def test_the_figures_of_a_real_design_have_room(design, simulated_effects, drawn, monkeypatch, language):
    with speaking(language):
        for outcome in ("offfarm_wage", "in_school_16_18"):
            plot_event_study(simulated_effects, outcome, design.outcomes)
            plot_cell_map(simulated_effects, outcome, design.outcomes, design.times)
            plot_forest(simulated_effects, outcome, design.outcomes)
            plot_raw_trends(raw_means(design, outcome), outcome, design.outcomes)
            plot_flow(design.flow, design.outcomes, outcome)
        plot_balance(baseline_balance(design), design.outcomes)
        check_places(drawn, monkeypatch)
    assert len(drawn) == 11


@LANGUAGES
def test_every_figure_has_the_same_bytes_twice_and_ids_of_its_own(effects, codebook, means, curve, flow, language):
    with speaking(language):
        first, second = (every_figure(effects, codebook, means, curve, flow) for _ in range(2))
    seen = set()
    for figure, again in zip(first, second, strict=True):
        assert figure == again
        assert "<metadata>" not in figure.svg and "<title" not in figure.svg
        assert figure.alt and figure.caption and figure.source.startswith("reporting.")
        ids = [e.get("id") for e in ElementTree.fromstring(figure.svg).iter() if e.get("id")]
        assert len(ids) == len(set(ids)) and seen.isdisjoint(ids)
        assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', figure.svg)) <= set(ids)
        seen.update(ids)
    assert sum(len(figure.svg.encode()) for figure in first) / len(first) < 60_000


def test_both_languages_show_the_same_figures_with_the_same_notes(effects, codebook, means, curve, flow):
    spoken = {}
    for language in ("en", "zh"):
        with speaking(language):
            spoken[language] = every_figure(effects, codebook, means, curve, flow)
    for english, chinese in zip(spoken["en"], spoken["zh"], strict=True):
        assert english.id == chinese.id and english.source == chinese.source
        assert ("[c]" in english.note) == ("[c]" in chinese.note) and bool(english.note) == bool(chinese.note)
        assert chinese.caption != english.caption and re.search("[\u4e00-\u9fff]{4}", chinese.alt)
