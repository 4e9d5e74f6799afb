"""An attack on a report: everything it publishes, as linear constraints on what it withholds.

The study is made so that much must be withheld: a cohort of seven persons, a cohort of two villages, a trait that six persons have,
a share that is 100%, steps of the flow that drop nobody or four, names of villages and sites, an extreme value of one person.
The attacker knows the design, the sizes of all cohorts and how every number is rounded.
"""

import re
import zipfile

import nbformat
import numpy as np
import pandas as pd
import pytest
from scipy import optimize

from relocation_analysis.data.panel import check_panel, read_panel
from relocation_analysis.data.study import read_study
from relocation_analysis.estimation.benchmarks import estimate_alternatives
from relocation_analysis.estimation.design import build_design
from relocation_analysis.estimation.effects import EFFECT_COLUMNS
from relocation_analysis.estimation.estimate import estimate
from relocation_analysis.estimation.sample import baseline_balance, raw_means
from relocation_analysis.estimation.support import mark_thin
from relocation_analysis.reporting.disclosure import means, release, rule
from relocation_analysis.reporting.report import write_report

pytestmark = pytest.mark.usefixtures("strict")

WAVES = range(2014, 2021)
VILLAGES = {None: 9, 2016: 3, 2017: 7, 2018: 6, 2019: 2}  # cohort -> villages; that of 2016 has seven persons
EXTREME, MARKUP = 98765.4, "a <script>alert(1)</script> #panic() $x$ \\input{y}"
FEW = "few <script>alert(2)</script> =cmd()"
SECRETS = ("Secret Village", "Secret Site", "P-secret", "H-secret", "98765", "98,765", "98 765")
OWN = """
name = "attack"
title = "A province with small groups"
outcomes = ["works", "always", "wage"]
primaries = ["works"]
subgroups = ["sex", "tribe", "village"]
[data]
path = "panel.csv"
[design]
draws = 99
[outcome.works]
domain = "employment"
role = "primary"
unit = "share"
good_direction = 1
benchmark_effect = 0.1
label_en = 'Works, LABEL'
label_zh = '\u5de5\u4f5c\uff0cLABEL'
[outcome.always]
domain = "employment"
unit = "share"
label_en = "Insured"
label_zh = "\u53c2\u4fdd"
[outcome.wage]
domain = "employment"
unit = "yuan"
label_en = "Wage"
label_zh = "\u5de5\u8d44"
"""


def make_panel() -> pd.DataFrame:
    draw, rows, person = np.random.default_rng(4), [], 0
    places = [(cohort, f"Secret Village {k}") for k, cohort in enumerate(c for c, n in VILLAGES.items() for _ in range(n))]
    sizes = {place: 20 + k % 5 for k, (_, place) in enumerate(places)}
    sizes |= dict(zip([place for cohort, place in places if cohort == 2016], (3, 2, 2), strict=True))
    for cohort, place in places:
        shock = draw.normal(0, 0.3)
        for _ in range(sizes[place]):
            person += 1
            level, tribe = draw.normal(0, 1) + shock, FEW if person % 83 == 0 else ("lowland" if person % 3 else "highland")
            for time in WAVES:
                moved = cohort is not None and time >= cohort
                works = float(level + 0.4 * moved + draw.normal(0, 0.7) > 0.3)
                wage = EXTREME if person == 31 and time == 2018 else 2000 + 300 * level + 200 * moved + 50 * draw.normal()
                rows.append((f"P-secret-{person}", f"H-secret-{person // 3}", place, f"Secret Site {person % 4}" if moved else "", time,
                             cohort, "female" if person % 2 else "male", tribe, works, 1.0, np.nan if person in (40, 41, 42, 43) else wage))  # fmt: skip
    return pd.DataFrame(rows, columns=["person", "household", "village", "site", "time", "cohort", "sex", "tribe", "works", "always", "wage"])


@pytest.fixture(scope="session")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("attack")
    make_panel().to_csv(folder / "panel.csv", index=False)
    (folder / "attack.toml").write_text(OWN.replace("LABEL", MARKUP), encoding="utf-8")
    return read_study(folder / "attack.toml")


@pytest.fixture(scope="session")
def design(study):
    return build_design(check_panel(read_panel(study), study), study)


@pytest.fixture(scope="session")
def effects(design):
    return estimate(design)


@pytest.fixture(scope="session")
def reports(study, tmp_path_factory):
    out = tmp_path_factory.mktemp("reports")
    return {language: write_report(read_study(study.file, language=language), out, ("html", "pdf", "docx")) for language in ("en", "zh")}


# What the attacker solves: lowest and highest value of one unknown under everything that is published.


def bounds(objective, rows, low, high, lower=None, upper=None, whole=False) -> tuple[float, float]:
    """Lowest and highest value of `objective` @ x where low <= rows @ x <= high; `whole` numbers or any."""
    n = len(objective)
    found = []
    for sign in (1, -1):
        result = optimize.milp(
            sign * np.asarray(objective, dtype=float),
            constraints=optimize.LinearConstraint(np.asarray(rows, dtype=float), low, high),
            bounds=optimize.Bounds(np.full(n, 0.0) if lower is None else lower, np.full(n, np.inf) if upper is None else upper),
            integrality=np.full(n, int(whole)),
        )
        found.append(sign * result.fun if result.status == 0 else -sign * np.inf)
    return found[0], found[1]


def count_ranges(flow: pd.DataFrame, final: dict[str, float], kind: str, base: int, limit: int) -> list[tuple[float, float]]:
    """The range of every withheld number of units or rows dropped, from what a flow shows and final sizes shown elsewhere.

    Unknowns: what is left after each step. A number shown is known up to half the base; one withheld is below the limit.
    """
    half, ranges = base // 2, []
    for outcome, group in flow.groupby("outcome", sort=False):
        k = len(group)
        rows, low, high, hidden = [], [], [], []
        for i, row in enumerate(group.to_dict("records")):
            left, drop = np.eye(k)[i], (np.eye(k)[i - 1] - np.eye(k)[i] if i else None)
            if np.isfinite(row[f"{kind}_left"]):
                rows.append(left), low.append(row[f"{kind}_left"] - half), high.append(row[f"{kind}_left"] + half)
            if i and np.isfinite(row[f"{kind}_dropped"]):
                rows.append(drop), low.append(row[f"{kind}_dropped"] - half), high.append(row[f"{kind}_dropped"] + half)
            elif i:
                rows.append(drop), low.append(0), high.append(limit - 1)
                hidden.append(drop)
        if kind == "units" and outcome in final:
            rows.append(np.eye(k)[-1]), low.append(final[outcome] - half), high.append(final[outcome] + half)
        ranges += [bounds(drop, rows, low, high, whole=True) for drop in hidden]
    return ranges


def cells_of(design, outcome: str) -> pd.Series:
    """Persons by cohort who have an outcome: the weights of every average."""
    panel = design.panel[design.panel[outcome].notna()].drop_duplicates("person")
    return panel[panel["cohort"].notna()].groupby("cohort").size()


def effect_weights(row: dict, pairs: list[tuple[float, float]], size: pd.Series) -> np.ndarray:
    """How a row averages cohort-time effects, written down anew from Callaway & Sant'Anna (2021), section 3."""
    g, t = np.array(pairs).T
    n, after = size.loc[g].to_numpy(dtype=float), t >= g
    chosen = {
        "cohort_time": (g == row["cohort"]) & (t == row["time"]),
        "event_time": t - g == row["event_time"],
        "cohort": after & (g == row["cohort"]),
        "calendar": after & (t == row["time"]),
        "headline": (t - g >= 0) & (t - g <= 3),
        "overall_simple": after,
        "overall_cohort": after,
        "overall_dynamic": after,
    }[row["aggregation"]]
    if row["aggregation"] == "overall_cohort":  # every person equally, whatever the number of years since the move
        weight = np.array([n[i] / (after & (g == g[i])).sum() for i in range(len(g))]) * after
        return weight / weight.sum()
    if row["aggregation"] == "overall_dynamic":  # every exposure equally
        weight = np.array([n[i] / n[t - g == t[i] - g[i]].sum() for i in range(len(g))]) * after
        return weight / weight.sum()
    weight = np.where(chosen, 1.0 if row["aggregation"] in ("cohort", "cohort_time") else n, 0.0)
    return weight / weight.sum()


def effect_ranges(shown: pd.DataFrame, true: pd.DataFrame, size: pd.Series) -> pd.DataFrame:
    """Of one outcome, how wide a range of every withheld average is left, over its true error."""
    true = true.assign(shown=shown["estimate"].to_numpy(), step=shown["std_error"].to_numpy() / 50)
    family = true[(true["estimator"] == "callaway_santanna") & (true["subgroup"] == "all")]
    cells = family[family["aggregation"] == "cohort_time"]
    pairs = sorted(zip(cells["cohort"], cells["time"], strict=True))
    rows = [(row, effect_weights(row, pairs, size)) for row in family.to_dict("records")]
    known = [(row, w) for row, w in rows if np.isfinite(row["shown"])]
    slack = np.array([row["step"] if np.isfinite(row["step"]) else 0.0 for row, _ in known])
    value = np.array([row["shown"] for row, _ in known])
    matrix, wide = np.array([w for _, w in known]), np.full(len(pairs), 10.0)
    found = []
    for row, weight in rows:
        if np.isnan(row["shown"]):
            low, high = bounds(weight, matrix, value - slack, value + slack, -wide, wide)
            found.append((row["aggregation"], row["cohort"], row["time"], row["event_time"], low, high, row["std_error"]))
    return pd.DataFrame(found, columns=["aggregation", "cohort", "time", "event_time", "low", "high", "std_error"])


# The attacker's model is right: without withholding or rounding it gives the true numbers.


def test_the_averages_that_the_attacker_writes_down_are_those_of_the_estimates(design, effects):
    true = effects.select(outcome="works", estimator="callaway_santanna", subgroup="all").table
    cells = true[true["aggregation"] == "cohort_time"]
    pairs = sorted(zip(cells["cohort"], cells["time"], strict=True))
    values = cells.set_index(["cohort", "time"])["estimate"].loc[pairs].to_numpy()
    for row in true.to_dict("records"):
        weight = effect_weights(row, pairs, cells_of(design, "works"))
        assert weight @ values == pytest.approx(row["estimate"], abs=1e-9), row["aggregation"]


# The attack.


def test_what_must_be_withheld_is(effects):
    table = release.release_effects(effects).table
    few = table[table["withheld"].eq("few_units")]
    assert set(few["cohort"].dropna()) == {2016.0} and "complement" in set(table["withheld"])
    assert f"tribe={FEW}" in set(few["subgroup"])
    assert 2019.0 in set(table.loc[table["withheld"].eq("few_clusters"), "cohort"])
    assert table.loc[table["outcome"].eq("always") & table["event_time"].ge(0), "withheld"].ne("").all()
    assert table.loc[table["withheld"].ne(""), ["estimate", "std_error", "p_value", "conf_low", "n_units"]].isna().all(axis=None)


def test_no_withheld_effect_can_be_solved_for(design, effects):
    shown = release.release_effects(effects).table
    for outcome in ("works", "wage"):
        rows = effects.table["outcome"].eq(outcome)
        ranges = effect_ranges(shown[rows], effects.table[rows], cells_of(design, outcome))
        assert len(ranges) > 5
        assert (ranges["high"] - ranges["low"] > 2 * ranges["std_error"].fillna(0)).all(), ranges
        assert (ranges["high"] - ranges["low"] > 0.1).all(), ranges


def test_without_complements_the_same_attack_solves_for_them(design, effects):
    alone = mark_thin(effects, 10)
    bare = alone.support["thin"].where(alone.support["thin"].ne("complement"), "")
    shown = release.release_effects(type(effects)(effects.table, None, None, alone.support.assign(thin=bare))).table
    rows = effects.table["outcome"].eq("works")
    ranges = effect_ranges(shown[rows], effects.table[rows], cells_of(design, "works"))
    assert (ranges["high"] - ranges["low"] < 2 * ranges["std_error"].fillna(np.inf)).any()


def test_no_withheld_level_of_a_trait_can_be_solved_for(effects):
    """Two levels of a trait are hidden with everyone shown: their mean is known, none of them is."""
    table = release.release_effects(effects).table
    for _, rows in table[table["aggregation"].eq("headline") & table["estimator"].eq("callaway_santanna")].groupby("outcome"):
        for trait in ("sex", "tribe"):
            levels = rows[rows["subgroup"].str.startswith(f"{trait}=")]
            assert levels["withheld"].ne("").sum() != 1


def test_no_withheld_size_of_a_level_can_be_solved_for_from_everyone_and_the_other_levels(effects):
    table = release.release_effects(effects).table
    rows = table[table["aggregation"].eq("headline") & table["estimator"].eq("callaway_santanna") & table["outcome"].eq("works")]
    everyone, levels = rows[rows["subgroup"].eq("all")], rows[rows["subgroup"].str.startswith("tribe=")]
    k, shown = len(levels), levels["n_units"].notna().to_numpy()
    constraints = np.vstack([np.ones(k), np.eye(k)[shown]])
    values = np.r_[everyone["n_units"], levels["n_units"][shown]]
    hidden = np.flatnonzero(~shown)
    assert len(hidden) == 2
    for level in hidden:
        low, high = bounds(np.eye(k)[level], constraints, values - 2, values + 2, whole=True)
        assert high - low >= 9


def test_no_withheld_count_of_the_flow_can_be_solved_for(design, effects):
    flow = release.release_flow(design.flow)
    table = release.release_effects(effects).table
    final = table[table["aggregation"].eq("headline") & table["subgroup"].eq("all")].set_index("outcome")["n_units"].dropna().to_dict()
    for kind, limit in (("units", 10), ("rows", 10 * len(WAVES))):
        ranges = count_ranges(flow, final, kind, base=5, limit=limit)
        assert len(ranges) >= 3
        assert all(high - low >= 4 for low, high in ranges), ranges


def test_with_exact_counts_the_same_attack_solves_for_them(design):
    release.keep(rule.Rule(base=1))
    flow = release.release_flow(design.flow)
    ranges = count_ranges(flow, {}, "units", base=1, limit=10)
    assert any(high == low for low, high in ranges)


def test_no_trait_that_names_a_place_has_a_row_of_balance(design):
    covariates = baseline_balance(design)["covariate"]
    assert covariates.str.contains("Secret").any()
    assert not release.release_balance(baseline_balance(design))["covariate"].str.contains("Secret").any()


def test_a_withheld_share_of_all_cannot_be_solved_for_from_effects(design, effects):
    assert release.release_means(raw_means(design, "always"), design.outcomes["always"])["mean"].isna().all()
    assert release.release_effects(effects).select(outcome="always", aggregation="cohort").table["estimate"].isna().all()


# An outcome that becomes rare when people move: the means of a cohort, and the changes that effects tell of it.


def make_rare(seed: int) -> pd.DataFrame:
    draw, rows, person = np.random.default_rng(seed), [], 0
    for cohort, villages in {None: 15, 2016: 5, 2017: 6, 2018: 5, 2019: 9}.items():
        for village in range(villages):
            for _ in range(20):
                person, trait = person + 1, draw.random()
                for time in WAVES:
                    likely = 0.2 if cohort in (None, 2019) or time < cohort else 0.05
                    ill = float(draw.random() < 0.6 * likely + 0.4 * (trait < likely))
                    rows.append((f"p{person}", f"v{cohort}{village}", time, cohort, ill))
    return pd.DataFrame(rows, columns=["person", "village", "time", "cohort", "works"])


@pytest.fixture(scope="module", params=[1, 2, 3])
def rare(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("rare")
    make_rare(request.param).to_csv(folder / "panel.csv", index=False)
    text = OWN.replace('"works", "always", "wage"', '"works"').replace('subgroups = ["sex", "tribe", "village"]', "").split("[outcome.always]")[0]
    (folder / "rare.toml").write_text(text, encoding="utf-8")
    study = read_study(folder / "rare.toml")
    design = build_design(check_panel(read_panel(study), study), study)
    return design, estimate(design), estimate_alternatives(design, "works")


def level_ranges(rare) -> pd.DataFrame:
    """The range of every withheld number of those of a cohort who have the outcome at a time, from the means that are shown, from every
    effect of a cohort at a time, and from the comparison of movers and stayers at the last wave."""
    design, effects, alternatives = rare
    true = raw_means(design, "works").assign(cohort=lambda m: m["cohort"].fillna(np.inf))
    shown = release.release_means(raw_means(design, "works"), design.outcomes["works"])
    size = true.groupby("cohort")["n"].first()
    keys = list(zip(true["cohort"], true["time"], strict=True))
    unit = dict(zip(keys, np.eye(len(keys)), strict=True))
    count = (true["mean"] * true["n"]).round().to_numpy()
    rows, value, slack = [], [], []
    for key, mean, n in zip(keys, shown["mean"], shown["n"], strict=True):
        if np.isfinite(mean):
            rows, value, slack = [*rows, unit[key]], [*value, 5 * round(mean * n / 5)], [*slack, 2.5]

    def mean_of(cohorts, time):
        return sum(unit[g, time] for g in cohorts) / size[cohorts].sum()

    def publish(vector, effect, released):
        assert vector @ count == pytest.approx(effect, abs=1e-9)
        if np.isfinite(released["estimate"]):
            rows.append(vector), value.append(released["estimate"]), slack.append(released["std_error"] / 50)

    table = effects.table.reset_index(drop=True)
    cells = table[table["aggregation"].eq("cohort_time") & table["std_error"].notna()]
    released = release.release_effects(effects).table.reset_index(drop=True).loc[cells.index].to_dict("records")
    for row, out in zip(cells.to_dict("records"), released, strict=True):
        g, t = row["cohort"], row["time"]
        base = g - 1 if t >= g or row["estimator"].endswith("universal") else t - 1
        others = [h for h in size.index if h > max(t, base) and h != g]
        publish(mean_of([g], t) - mean_of([g], base) - mean_of(others, t) + mean_of(others, base), row["estimate"], out)
    last, every = WAVES[-1], alternatives.table["estimator"].eq("cross_section").to_numpy()
    out = release.release_effects(alternatives).table[every].iloc[0]
    publish(mean_of([g for g in size.index if g < np.inf], last) - mean_of([np.inf], last), alternatives.table[every]["estimate"].iloc[0], out)
    rows, value, slack, upper = np.array(rows), np.array(value), np.array(slack), size[true["cohort"]].to_numpy(dtype=float)
    hidden = shown["mean"].isna().to_numpy()
    known = not (hidden & (count >= 10)).any()  # what is withheld is few, if nothing else is withheld
    upper = np.where(hidden & known, 9, upper)
    found = [(*keys[i], count[i], *bounds(np.eye(len(keys))[i], rows, value - slack, value + slack, upper=upper, whole=True))
             for i in np.flatnonzero(hidden & (count < 10))]  # fmt: skip
    ranges = pd.DataFrame(found, columns=["cohort", "time", "count", "low", "high"])
    smallest = ranges.groupby("cohort")["count"].transform("min")  # one of a cohort is below ten, and all move together
    return ranges.assign(high=np.minimum(ranges["high"], ranges["count"] + 9 - smallest))


def test_no_withheld_share_of_a_cohort_can_be_solved_for_from_its_other_shares_and_effects(rare):
    ranges = level_ranges(rare)
    assert len(ranges) >= 8 and (ranges["high"] - ranges["low"] >= 4).all(), ranges.to_string()


def test_where_only_the_rare_shares_themselves_are_withheld_the_same_attack_solves_for_them(rare, monkeypatch):
    monkeypatch.setattr(means, "_whole_cohorts", lambda table, rare: pd.Series(rare, index=table.index))
    ranges = level_ranges(rare)
    assert (ranges["high"] - ranges["low"] < 2).any(), ranges.to_string()


# The report itself.


def texts_of(folder) -> dict[str, str]:
    """Every file of a report as text; a PDF as its pages, an archive as its members."""
    from pypdf import PdfReader

    texts = {}
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if path.suffix == ".pdf" and path.parent == folder:
            reader = PdfReader(path)
            texts[name] = "\n".join([*(page.extract_text() for page in reader.pages), str(reader.metadata)])
        elif path.suffix == ".docx":
            with zipfile.ZipFile(path) as archive:
                texts[name] = "\n".join(archive.read(member).decode("utf-8", "replace") for member in archive.namelist())
        elif path.is_file():
            texts[name] = path.read_bytes().decode("utf-8", "replace")
    return texts


@pytest.mark.parametrize("language", ["en", "zh"])
def test_no_name_and_no_value_of_one_person_is_in_any_file(reports, language):
    for name, text in texts_of(reports[language]).items():
        assert not [secret for secret in SECRETS if secret in text], name


def test_the_files_hold_what_the_rule_lets_out_and_no_more(reports, effects):
    published = pd.read_csv(reports["en"] / "effects.csv", keep_default_na=False, na_values=[""])
    assert set(published.columns) == {*EFFECT_COLUMNS, "chapter"}
    counts = published[["n_units", "n_clusters_treated", "n_clusters_comparison"]]
    assert (counts.isna() | (counts % 5 == 0)).all(axis=None) and counts.min(axis=None) >= 5 and published["n_units"].min() >= 10
    released = release.release_effects(effects).table
    keys = ["outcome", "subgroup", "estimator", "aggregation", "cohort", "time", "event_time"]
    both = published[published["chapter"] == "employment"].merge(released, on=keys, suffixes=("", "_released"))
    assert len(both) > 200
    for column in ("estimate", "std_error", "conf_low", "p_value"):
        pd.testing.assert_series_equal(both[column], both[f"{column}_released"], check_names=False)


def test_what_is_withheld_is_listed_with_its_reason_and_without_a_value(reports):
    log = pd.read_csv(reports["en"] / "disclosure.csv")
    assert set(log["what"]) >= {"effect", "flow", "mean", "check"}
    assert set(log.loc[log["what"] == "effect", "reason"]) == {"few_units", "few_clusters", "complement", "no_error"}
    assert log.loc[log["reason"] == "names", ["what", "subgroup"]].drop_duplicates().values.tolist() == [["balance", "village"]]
    assert not log.duplicated(log.columns.drop("exhibit").tolist()).any()
    effects = pd.read_csv(reports["en"] / "effects.csv", keep_default_na=False, na_values=[""])
    hidden = effects[effects["estimate"].isna()][["chapter", "outcome", "subgroup", "estimator", "aggregation", "cohort", "time", "event_time"]]
    both = hidden.merge(log.fillna({"subgroup": "", "aggregation": ""}), on=list(hidden.columns), how="left", indicator=True)
    assert len(hidden) and (both["_merge"] == "both").all()


def test_the_same_numbers_are_withheld_in_both_languages(reports):
    for name in ("effects.csv", "disclosure.csv"):
        assert (reports["en"] / name).read_bytes() == (reports["zh"] / name).read_bytes()
    one, other = (pd.read_csv(reports[language] / "flow.csv").select_dtypes("number") for language in ("en", "zh"))
    pd.testing.assert_frame_equal(one, other)
    one, other = (pd.read_csv(reports[language] / "checks.csv")[["name", "outcome", "statistic", "p_value"]] for language in ("en", "zh"))
    pd.testing.assert_frame_equal(one, other)


def test_no_exhibit_prints_a_number_of_a_withheld_effect(reports, effects):
    """Beside the label of a level that few have stands no digit, in any table; and a label is text, never markup."""
    notebook = nbformat.read(reports["en"] / "report.ipynb", as_version=4)
    pages = [output.data["text/html"] for cell in notebook.cells for output in cell.get("outputs", ()) if "text/html" in output.get("data", {})]
    rows = [row for page in pages for row in re.findall(r"<tr>.*?</tr>", page, flags=re.S)]
    few = [re.sub(r"<[^>]*>", " ", row).split("=cmd()")[1] for row in rows if "alert(2)" in row]
    assert few and all("[c]" in cells and not re.search(r"\d", cells) for cells in few), few
    assert "<script>alert" not in "".join(pages) and "<script>alert" not in (reports["en"] / "report.html").read_text(encoding="utf-8")
