"""An attack on the reports of the two designs with one row per unit, `offer` and `comparison`, and on the comparison of provinces.

Both studies are made so that much must be withheld: every unit is a cluster of its own, so that the error of an effect on an outcome
of 0 and 1 tells the shares behind it; two of those not offered are ill, three of them moved, an arm has six units, a trait of before
few have, a level of a trait too few. The attacker knows the design, all sizes, and how every number is rounded.
"""

import re
import runpy
import shutil
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from relocation_analysis.data.panel import check_panel, read_panel
from relocation_analysis.data.study import read_study
from relocation_analysis.estimation import comparison, offer
from relocation_analysis.estimation.design import build_design
from relocation_analysis.estimation.estimate import estimate
from relocation_analysis.estimation.inference import adjust_holm
from relocation_analysis.estimation.robustness import run_checks
from relocation_analysis.reporting import sections
from relocation_analysis.reporting.disclosure import release
from relocation_analysis.reporting.national.report import write_national
from relocation_analysis.reporting.report import write_report

pytestmark = pytest.mark.usefixtures("strict")

HERE = Path(__file__).parent
ATTACK = SimpleNamespace(**runpy.run_path(str(HERE / "test_attack.py")))
MADE = SimpleNamespace(**runpy.run_path(str(HERE / "reporting" / "national" / "provinces.py")))
LEAST = 4  # values that must be left for a withheld count, as in a flow
BINARY = ("works", "ill")
OUTCOME = """
[outcome.{name}]
domain = "{domain}"
level = "household"
role = "primary"
unit = "{unit}"
good_direction = 1
benchmark_effect = 0.1
label_en = "{name}, label"
label_zh = "{name}，标签"
"""
OUTCOMES = "".join(OUTCOME.format(name=name, domain=domain, unit=unit) for name, domain, unit in
                   (("works", "employment", "share"), ("ill", "health_access", "share"), ("wage", "employment", "yuan")))  # fmt: skip
HEAD = """
name = "{kind}_of_few"
title = "A study of few"
outcomes = ["works", "ill", "wage"]
primaries = ["works", "ill", "wage"]
subgroups = {subgroups}
[data]
path = "units.csv"
[design]
kind = "{kind}"
unit = "household"
cluster = "household"
draws = 99
"""
KINDS = {
    "offer": ('["sex", "tribe", "village"]', 'assigned = "unit"\nbase_arm = "none"\nbalance = ["rare_before", "old", "wage_before"]\n'),
    "comparison": ('["sex", "tribe"]', 'covariates = ["old", "land", "rare_before"]\n'),
}


def make_units(kind: str) -> pd.DataFrame:
    draw, n = np.random.default_rng(3), 300
    who = np.arange(n)
    frame = pd.DataFrame({"household": [f"H-secret-{i}" for i in who], "village": [f"Secret Village {i % 10}" for i in who]})
    frame["sex"] = np.where(draw.random(n) < 0.5, "female", "male")
    frame["tribe"] = np.where(who % 15 == 7, "few", np.where(who % 3, "lowland", "highland"))
    frame["old"], frame["land"] = (draw.random(n) < 0.3).astype(int), draw.normal(size=n)
    frame["wage"] = 2000 + 300 * draw.normal(size=n)
    frame["wage_before"] = frame["wage"] - 100 * draw.normal(size=n)
    frame["works"] = (draw.random(n) < 0.45).astype(int)
    if kind == "offer":
        frame["arm"] = np.select([who < 140, who < 146, who < 220], ["none", "tiny", "cash"], "loan")
        frame["offered"] = (frame["arm"] != "none").astype(int)
        frame["tribe"] = np.where(who % 60 == 7, "few", frame["tribe"].replace("few", "lowland"))
        frame["relocated"] = ((draw.random(n) < 0.4) & (who >= 140) | np.isin(who, (3, 77, 100))).astype(int)
        one, other = np.flatnonzero(frame["offered"] == 1), np.flatnonzero(frame["offered"] == 0)
    else:
        few = np.flatnonzero(frame["tribe"] == "few")
        frame["relocated"] = (0.6 * frame["land"] + draw.normal(size=n) > 0).astype(int)
        frame.loc[few, ["relocated", "old"]] = np.column_stack([[1, 0, 0, 1, 0] * 4, [1, 1, 0, 0] * 5])
        frame.loc[few, "land"] = draw.normal(size=len(few))
        frame["works_before"] = (draw.random(n) < 0.4).astype(int)
        one, other = np.flatnonzero(frame["relocated"] == 1), np.flatnonzero(frame["relocated"] == 0)
    frame["ill"] = np.isin(who, [*one[::9], *other[5:30:12]]).astype(int)
    groups = frame[["tribe", "relocated"]].drop_duplicates().itertuples(index=False)  # of the comparison: it varies in every level
    some = [who[(frame["tribe"] == tribe) & (frame["relocated"] == moved)][: 3 - moved] for tribe, moved in groups]
    frame["rare_before"] = np.isin(who, one[3:100:12] if kind == "offer" else np.concatenate(some)).astype(int)
    frame.loc[[11, 12, 250], "wage"] = np.nan
    return frame


@pytest.fixture(scope="session")
def studies(tmp_path_factory):
    found = {}
    for kind, (subgroups, design) in KINDS.items():
        folder = tmp_path_factory.mktemp(kind)
        make_units(kind).to_csv(folder / "units.csv", index=False)
        (folder / "study.toml").write_text(HEAD.format(kind=kind, subgroups=subgroups) + design + OUTCOMES, encoding="utf-8")
        found[kind] = read_study(folder / "study.toml")
    return found


@pytest.fixture(scope="session")
def designs(studies):
    return {kind: build_design(check_panel(read_panel(study), study), study) for kind, study in studies.items()}


@pytest.fixture(scope="session")
def reports(studies, tmp_path_factory):
    out = tmp_path_factory.mktemp("reports")
    return {kind: write_report(study, out, ("html", "pdf", "docx")) for kind, study in studies.items()}


def side_of(kind: str) -> str:
    return "offered" if kind == "offer" else "relocated"


def members(design, subgroup: str) -> pd.DataFrame:
    trait, _, value = subgroup.partition("=")
    return design.panel if subgroup == "all" else design.panel[design.panel[trait] == value]


def moments(kind: str, one, size_one: int, other, size_other: int):
    """Effect on an outcome of 0 and 1 that `one` and `other` have, and its error where every unit is a cluster: CR1 of a regression on
    a dummy, and the sum of squared influence values of a difference in means."""
    m1, m0, n = one / size_one, other / size_other, size_one + size_other
    variance = m1 * (1 - m1) / size_one + m0 * (1 - m0) / size_other
    return m1 - m0, np.sqrt(variance * (n / (n - 2) if kind == "offer" else 1))


def binary_rows(kind: str, table: pd.DataFrame) -> pd.DataFrame:
    """The rows that compare two shares: outcomes of 0 and 1, and take-up, of everybody and of levels."""
    estimator = "ols_strata" if kind == "offer" else "difference_in_means_levels"
    rows = table[table["estimator"].eq(estimator) & (table["arm"].isna() | table["arm"].eq("")) & table["outcome"].isin((*BINARY, "relocated"))]
    return rows[rows["estimand"].isin(("itt", "att")) | rows["outcome"].eq("relocated")]


def counts_of(kind: str, design, row) -> tuple[int, int, int, int]:
    """How many have the outcome of a row, and of how many, on either side."""
    units = members(design, row["subgroup"])
    sides = (units.loc[units[side_of(kind)] == flag, row["outcome"]] for flag in (1, 0))
    return tuple(number for side in sides for number in (int(side.sum()), len(side)))


def solved(kind: str, design, shown: pd.DataFrame) -> list[tuple]:
    """Withheld counts behind what is shown that it leaves fewer than LEAST values for: outcome, subgroup, the values left."""
    found = []
    for row in binary_rows(kind, shown).to_dict("records"):
        one, n_one, other, n_other = counts_of(kind, design, row)
        if min(one, n_one - one, other, n_other - other) >= 10 or not np.isfinite(row["estimate"]):
            continue
        a, b = np.meshgrid(np.arange(n_one + 1), np.arange(n_other + 1), indexing="ij")
        estimate, error = moments(kind, a, n_one, b, n_other)
        near = row["std_error"] / 50 + 1e-9  # a hundredth rounded up to one digit is less than two
        fits = (abs(estimate - row["estimate"]) <= near) & (abs(error - row["std_error"]) <= near)
        assert fits[one, other]
        values = [len(np.unique(side[fits])) for side in (a, b)]
        found += [(row["outcome"], row["subgroup"], *values)] * (min(values) < LEAST)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_the_shares_that_the_attacker_writes_down_are_those_behind_the_estimates(kind, designs):
    rows = binary_rows(kind, estimate(designs[kind]).table)
    exact = rows[rows["se_type"].ne("cluster_jackknife") & rows["std_error"].notna()]
    assert len(exact) >= 6
    for row in exact.to_dict("records"):
        effect, error = moments(kind, *counts_of(kind, designs[kind], row))
        assert (row["estimate"], row["std_error"]) == pytest.approx((effect, error), abs=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_no_count_of_a_rare_outcome_can_be_solved_for_from_an_effect_and_its_error(kind, designs):
    shown = release.release_effects(estimate(designs[kind])).table
    rows = binary_rows(kind, shown).set_index(["outcome", "subgroup"])
    assert np.isnan(rows.loc[("ill", "all"), "estimate"]) and np.isfinite(rows.loc[("works", "all"), "estimate"])
    assert solved(kind, designs[kind], shown) == []


@pytest.mark.parametrize("kind", KINDS)
def test_where_only_units_are_counted_the_same_attack_solves_for_them(kind, designs, monkeypatch):
    for module in (offer, comparison):
        monkeypatch.setattr(module, "count_fewest", lambda values, everybody: len(values))
    found = solved(kind, designs[kind], release.release_effects(estimate(designs[kind])).table)
    assert ("ill", "all") in {row[:2] for row in found}
    assert kind == "comparison" or ("relocated", "all") in {row[:2] for row in found}


def take_up_ranges(design, shares: dict[str, float], shown: pd.DataFrame) -> dict[str, tuple[float, float]]:
    """The range of those who took the offer up in every arm whose share is withheld, from the other shares and all first stages."""
    arms = offer.take_up_by_arm(design.panel).set_index("arm")
    names, size = list(arms.index), arms["n_known"].to_numpy(dtype=float)
    unit, offered = np.eye(len(names)), arms["offered"].to_numpy() == 1
    rows, low, high = [], [], []
    for name, share in shares.items():
        if np.isfinite(share):
            k = 5 * round(share * 5 * round(size[names.index(name)] / 5) / 5)
            rows, low, high = [*rows, unit[names.index(name)]], [*low, k - 2.5], [*high, k + 2.5]
    base = unit[~offered].sum(0) / size[~offered].sum()
    for row in shown[shown["outcome"].eq("relocated") & shown["estimate"].notna()].to_dict("records"):
        own = unit[names.index(row["arm"])] / size[names.index(row["arm"])] if row["arm"] else unit[offered].sum(0) / size[offered].sum()
        near = row["std_error"] / 50
        rows, low, high = [*rows, own - base], [*low, row["estimate"] - near], [*high, row["estimate"] + near]
    return {name: ATTACK.bounds(unit[i], rows, low, high, upper=size, whole=True) for i, name in enumerate(names) if not np.isfinite(shares[name])}


@pytest.mark.parametrize("moved", [0, 3, 40], ids=["nobody could without an offer", "few of those not offered moved", "enough of them did"])
def test_no_withheld_number_of_those_who_took_an_offer_up_can_be_solved_for(moved, designs):
    panel = designs["offer"].panel.copy()
    panel.loc[panel.index[:140], "relocated"] = (np.arange(140) < moved).astype(int)
    design = build_design(panel, designs["offer"].study)
    table = sections.tabulate_take_up(design)
    cells = {row[0]: row[-1] for row in table.rows if row[1]}
    shares = {name: np.nan if cell == "[c]" else float(cell.strip("%")) / 100 for name, cell in cells.items()}
    assert np.isnan(shares["tiny"]) and np.isnan(shares["none"]) == (moved == 3)
    assert (table.rows[-1][-1] == "[c]") == (moved == 3)
    ranges = take_up_ranges(design, shares, release.release_effects(estimate(design)).table)
    assert len(ranges) >= 2 and all(high - low >= LEAST for low, high in ranges.values()), ranges


@pytest.mark.parametrize("kind", KINDS)
def test_checks_of_balance_are_about_the_traits_that_may_be_shown(kind, designs):
    """As a function of what is shown: the p-value of a trait that is not is in no other, and the largest difference is of another."""
    design = designs[kind]
    checks = run_checks(design, estimate(design))
    for check, shown in zip(checks, release.release_checks(checks), strict=True):
        if check.name == "balance":
            known = shown.table["p_value"]
            assert np.isnan(known.iloc[0]) and known.notna().sum() == 2 and check.p_value < shown.p_value
            assert shown.p_value == pytest.approx(adjust_holm(known.to_numpy())[1:].min(), abs=0.002)
        if check.name.startswith("balance_") and check.outcome == "works":
            after = check.table.set_index("covariate")[check.name.replace("balance", "after")].abs()
            assert shown.statistic == pytest.approx(after[["old", "land"]].max(), abs=0.001)


# The reports themselves.


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_no_name_of_a_place_or_a_unit_is_in_any_file(kind, reports):
    for name, text in ATTACK.texts_of(reports[kind]).items():
        assert not [secret for secret in ATTACK.SECRETS if secret in text], name


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_no_count_of_a_rare_outcome_can_be_solved_for_from_the_files(kind, reports, designs):
    """Every chapter, and the headlines that the comparison of provinces reads."""
    effects = pd.read_csv(reports[kind] / "effects.csv", keep_default_na=False, na_values=[""])
    for _, chapter in effects.groupby("chapter"):
        assert solved(kind, designs[kind], chapter) == []
    exposures = pd.read_csv(reports[kind] / "exposures.csv")
    assert exposures.set_index("outcome").loc["ill", ["estimate", "std_error", "mde", "power", "n_units"]].isna().all()
    checks = pd.read_csv(reports[kind] / "checks.csv")
    assert checks.loc[checks["outcome"].eq("ill"), ["statistic", "p_value", "passed"]].isna().all(axis=None)
    assert kind == "comparison" or checks.loc[checks["name"].eq("first_stage"), "statistic"].isna().all()


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_no_size_and_no_step_of_the_flow_can_be_solved_for_from_the_files(kind, reports, designs):
    effects = pd.read_csv(reports[kind] / "effects.csv", keep_default_na=False, na_values=[""])
    main = "ols_strata" if kind == "offer" else "difference_in_means_levels"
    rows = effects[effects["estimator"].eq(main) & effects["aggregation"].eq("headline")]
    everyone = rows[rows["subgroup"].eq("all")].drop_duplicates("outcome").set_index("outcome")["n_units"].dropna()
    flow = pd.read_csv(reports[kind] / "flow.csv")
    ranges = ATTACK.count_ranges(flow, everyone.to_dict(), "units", base=5, limit=10)
    assert len(ranges) >= 3 and all(high - low >= LEAST for low, high in ranges), ranges
    for outcome in ("works", "wage"):
        levels = rows[rows["outcome"].eq(outcome) & rows["subgroup"].str.startswith("tribe=")].drop_duplicates("subgroup")
        shown, k = levels["n_units"].notna().to_numpy(), len(levels)
        constraints, values = np.vstack([np.ones(k), np.eye(k)[shown]]), np.r_[everyone[outcome], levels["n_units"][shown]]
        for level in np.flatnonzero(~shown):
            low, high = ATTACK.bounds(np.eye(k)[level], constraints, values - 2, values + 2, whole=True)
            assert high - low >= LEAST
        assert (~shown).sum() >= 2


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_no_exported_row_of_few_holds_a_digit(kind, reports):
    few = [line.split(",", 1)[1] for path in sorted((reports[kind] / "exports").glob("*.csv")) if "settings" not in path.name
           for line in path.read_text(encoding="utf-8").splitlines() if re.search(r"(^|,)(few|tiny|rare before),", line, flags=re.I)]  # fmt: skip
    few = [re.sub(r"^.*?(?i:few|tiny),", "", line) for line in few]
    numbers = [line.removesuffix(",300") for line in few]  # how many there are in all
    assert few and not [line for line in numbers if re.search(r"\d", line)], few


@pytest.mark.slow
def test_the_comparison_of_provinces_is_made_of_what_provinces_published_and_of_nothing_else(tmp_path):
    """Beside what it may read lie other files of the same reports, with other numbers each time: the same bytes come out."""
    study, found = read_study("simulated"), []
    for secret in ("P-secret-1", "P-secret-2"):
        out = tmp_path / secret
        MADE.write_all(out, study)
        for folder in (out / study.name).glob("*/en"):
            for name in ("effects.csv", "flow.csv", "disclosure.csv", "report.ipynb", "report.html"):
                (folder / name).write_text(f"outcome,estimate,n_units\nunmet,{secret},7\n", encoding="utf-8")
        folder = write_national(study, out, ("html",))
        found.append({path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()})
        shutil.rmtree(out)
    one, other = ({name: text for name, text in files.items() if name != "run.json"} for files in found)
    assert one == other and len(one) > 10
    assert not [name for name, text in found[1].items() if b"P-secret" in text]
    rows = pd.read_csv(BytesIO(one["synthesis.csv"]))
    withheld = rows[rows["province"].eq("jilin") & rows["outcome"].eq("unmet")]
    assert len(withheld) == 1 and withheld.select_dtypes("number").drop(columns="through").isna().all(axis=None)
