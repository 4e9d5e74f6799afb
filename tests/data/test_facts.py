"""The facts repeat: every figure that follows from others is computed again here."""

import math
import re

import pytest

from relocation_analysis.data.facts import (
    NUMBERS,
    PROVINCE_FIGURES,
    province_slugs,
    read_facts,
    read_provinces,
)
from relocation_analysis.errors import InputError
from relocation_analysis.paths import DATA

READ = {"read in abstract", "read in full source", "read in press", "read in blog", "title only"}
STATUSES = {
    "provinces": {"sourced", "plan", "partial", "not found"},
    "programme": {"sourced", "computed"},
    "movein": {"sourced", "computed"},
    "press_claims": {"sourced", "computed"},
    "literature": READ,
}


@pytest.fixture(scope="module")
def provinces():
    return read_provinces().set_index("slug")


@pytest.fixture(scope="module")
def claims():
    return read_facts("press_claims").set_index("id")


@pytest.fixture(scope="module")
def programme():
    return read_facts("programme").set_index("id")["value"]


@pytest.mark.parametrize("name", NUMBERS)
def test_every_row_has_a_status_and_a_source(name):
    table = read_facts(name)
    assert set(table["status"]) <= STATUSES[name]
    assert table["source"].notna().all()


@pytest.mark.parametrize("name", NUMBERS)
def test_every_row_has_a_key_of_its_own(name):
    key = {"provinces": ["slug"], "movein": ["province", "date", "population"]}.get(name, ["id"])
    assert not read_facts(name).duplicated(key).any()


@pytest.mark.parametrize("name", NUMBERS)
def test_figures_are_numbers_and_the_rest_is_text(name):
    kinds = read_facts(name).dtypes.astype(str)
    assert (kinds[list(NUMBERS[name])] == "float64").all()
    assert set(kinds.drop(list(NUMBERS[name]))) <= {"str", "bool", "datetime64[us]"}


@pytest.mark.parametrize("name", NUMBERS)
def test_the_readme_describes_the_table(name):
    assert f"**{name}.csv**" in (DATA / "README.md").read_text(encoding="utf-8")


def test_an_unknown_table_names_the_nearest_one():
    with pytest.raises(InputError, match="write 'provinces'"):
        read_facts("province")


def test_the_programme_has_22_provinces_with_their_official_names(provinces):
    assert len(provinces) == 22
    assert province_slugs() == tuple(provinces.index)
    assert provinces["gb"].is_monotonic_increasing and provinces["gb"].str.fullmatch(r"\d\d").all()
    assert provinces["name_zh"].str.fullmatch(r"[一-鿿]+(省|市|自治区)").all()
    assert provinces.loc["guizhou", "name_zh"] == "贵州省"
    assert provinces.loc["tibet", "name_zh"] == "西藏自治区"
    assert provinces.loc["inner_mongolia", "name_en"] == "Inner Mongolia"


@pytest.mark.parametrize("figure", PROVINCE_FIGURES)
def test_a_figure_has_a_status_exactly_where_it_is(provinces, figure):
    status = provinces[f"{figure}_status"]
    assert set(status.dropna()) <= {"sourced", "plan", "at least"}
    assert (provinces[figure].notna() == status.notna()).all()


def test_15_provinces_with_a_registered_figure_sum_to_9_01_of_9_6_million(provinces, programme):
    registered = provinces["registered_movers"].dropna()
    assert len(registered) == 15
    assert registered.sum() == 9_012_214
    assert registered.sum() < programme["N01"] == 9_600_000


def test_registered_and_total_movers_are_never_mixed(provinces):
    both = provinces.dropna(subset=["registered_movers", "total_movers"])
    assert (both["registered_movers"] < both["total_movers"]).all()
    guizhou = provinces.loc["guizhou"]
    assert (guizhou["registered_movers"], guizhou["registered_movers_status"]) == (1_500_000, "plan")
    assert guizhou["total_movers"] == 1_920_000
    # 15223 of 18379 residents of one site; China Daily: about 82% of the province's movers
    assert 15223 / 18379 == pytest.approx(0.8283, abs=5e-5)
    assert guizhou["registered_movers"] / 1_880_000 == pytest.approx(0.80, abs=0.005)


@pytest.mark.parametrize(
    ("slug", "persons", "dwellings", "printed"),
    [
        ("hebei", "registered_movers", "households", 2.60),  # 135214 / 51981
        ("shanxi", "total_movers", "homes", 2.70),  # 472000 / 175000
        ("anhui", "registered_movers", "households", 2.86),  # 83000 / 29032
        ("henan", "registered_movers", "homes", 3.37),  # 259700 / 77000
        ("hubei", "registered_movers", "households", 2.77),  # 882300 / 318400
        ("hunan", "registered_movers", "homes", 3.71),  # 694000 / 187000
        ("sichuan", "registered_movers", "homes", 3.68),  # 1360000 / 370000
        ("guizhou", "total_movers", "homes", 4.21),  # 1920000 / 456000
        ("yunnan", "registered_movers", "homes", 4.07),  # 996000 / 244855
        ("shaanxi", "registered_movers", "households", 3.38),  # 843600 / 249300
        ("gansu", "registered_movers", "homes", 4.38),  # 499000 / 114000
    ],
)
def test_persons_per_household_follow_from_the_counts(provinces, slug, persons, dwellings, printed):
    row = provinces.loc[slug]
    assert row[persons] / row[dwellings] == pytest.approx(printed, abs=0.0051)


@pytest.mark.parametrize(
    ("slug", "printed"),
    [("hebei", 348), ("shanxi", 288), ("anhui", 218), ("hubei", 65), ("shaanxi", 362)],
)
def test_persons_per_site_are_the_centralised_ones(provinces, slug, printed):
    row = provinces.loc[slug]
    centralised = row["registered_movers"] * row["centralised_share"]
    assert centralised / row["sites"] == pytest.approx(printed, abs=0.6)


def test_the_urban_share_of_guizhou_is_that_of_its_total_movers(provinces):
    assert 1_830_000 / provinces.loc["guizhou", "total_movers"] == pytest.approx(0.953, abs=5e-4)


def test_programme_arithmetic(programme):
    p = programme
    assert p["N14a"] + p["N14b"] + p["N14c"] == p["N13"]
    assert p["N15a"] + p["N15b"] == pytest.approx(100)
    assert p["N08"] / p["N01"] == 62_500
    assert p["N06"] / p["N05"] == pytest.approx(78.9, abs=0.05)  # the release prints 80.6
    assert 9_600_000 - (p["N18"] + p["N19"] + p["N20"]) == p["N21"]
    assert (p["N12"] / p["N11"]) ** (1 / 3) - 1 == pytest.approx(0.302, abs=5e-4)
    assert 100 * p["N25"] / p["N24"] == pytest.approx(p["N26a"], abs=0.005)
    assert p["N26a"] - p["N26b"] == pytest.approx(2.54)
    assert p["N24"] / p["N27"] == pytest.approx(p["N28a"], abs=0.005)
    assert p["N25"] / p["N27"] == pytest.approx(p["N28b"], abs=0.005)
    assert 100 * p["N27"] / p["N05"] == pytest.approx(p["N29"], abs=0.06)
    assert p["N33b"] / p["N33a"] - 1 == pytest.approx(0.5076, abs=5e-5)
    assert p.drop("N34").notna().all()


def test_move_ins_never_fall(programme):
    table = read_facts("movein")
    assert set(table["population"]) == {"registered", "all", "not stated"}
    assert set(table["province"]) <= {*province_slugs(), "national"}
    for _, rows in table.groupby(["province", "population"]):
        assert rows.sort_values("date")["persons"].is_monotonic_increasing
    national = table[table["province"] == "national"].set_index("as_of")["persons"]
    assert national["end 2017"] == programme["N18"] + programme["N19"]
    guizhou = table[table["province"] == "guizhou"].set_index("as_of")
    assert guizhou.loc["end 2018 (implied)", "persons"] == 1_880_000 - 670_000
    assert set(guizhou["population"]) == {"all"}


def test_every_ratio_of_the_press_claims_is_its_numerator_over_its_denominator(claims):
    stated = claims.dropna(subset=["computed"])
    assert len(stated) == 24
    assert (stated["numerator"].notna() & stated["denominator"].notna()).all()
    assert (stated["numerator"] / stated["denominator"] / stated["computed"] - 1).abs().max() < 1e-4


def test_the_ratio_is_the_one_that_the_ledger_prints(claims):
    scales = {"%": 100, "M": 1e-6, "": 1}
    stated = claims.dropna(subset=["computed"]).drop("A12")  # A12 prints the growth, 2.13%
    for name, row in stated.iterrows():
        gaps = []
        for printed, unit in re.findall(r"([\d.]*\d)(%|M)?", row["result"]):
            last_digit = 10.0 ** -len(printed.partition(".")[2])
            gaps.append(abs(row["computed"] * scales[unit] - float(printed)) / last_digit)
        assert min(gaps) <= 1, name


def test_98_12_percent_has_a_denominator_of_37_percent_of_residents(claims, programme):
    value = claims["value_number"]
    assert 100 * value["A17"] / value["A16"] == pytest.approx(value["A18"], abs=0.005)  # 6695 / 6823
    assert claims.loc["A18", ["numerator", "denominator"]].to_list() == [6695, 6823]
    assert value["A16"] / value["A06"] == pytest.approx(0.371, abs=5e-4)  # 6823 / 18379
    national = programme["N24"] / programme["N01"]
    assert national == pytest.approx(0.525, abs=5e-4)
    denominator = value["A06"] * national
    assert denominator == pytest.approx(9647, abs=1)
    assert value["A17"] / denominator == pytest.approx(0.694, abs=5e-4)


def test_a_job_in_every_labour_household_is_near_mechanical(programme):
    # labour force 1 to 4 with the assumed national shares, each employed with the official rate
    rate = programme["N26a"] / 100
    share = {1: 0.22, 2: 0.40, 3: 0.26, 4: 0.12}
    reached = sum(weight * (1 - (1 - rate) ** size) for size, weight in share.items())
    assert reached == pytest.approx(0.987, abs=5e-4)


def test_accompanying_movers_are_the_rest_of_the_site(claims):
    value = claims["value_number"]
    assert value["A06"] - value["A08"] == value["A09"] == 3156
    assert value["A05"] - value["A07"] == claims.loc["A09", "denominator"] == 844


def test_every_claim_says_whether_a_design_could_test_it(claims):
    assert claims["testable"].str.match(r"(yes|no|partly): ").all()
    assert claims.loc["B28", "testable"].startswith("no")
    assert set(claims["published"]) == {"2020-08-29", "mid-2022"}


def test_only_the_retracted_study_is_blocked():
    table = read_facts("literature").set_index("id")
    assert len(table) == 46
    assert table.index[table["blocked"]].to_list() == ["C26"]
    assert table.loc["C26", "study"].startswith("RETRACTED")
    assert (table["study"].str.contains("RETRACTED") == table["blocked"]).all()
    assert "12(5)" not in (DATA / "references.bib").read_text(encoding="utf-8")


def test_numeric_effects_come_as_a_range_with_a_unit():
    table = read_facts("literature")
    numeric = table["effect_low"].notna()
    assert (numeric == table["effect_high"].notna()).all() and (numeric == table["effect_unit"].notna()).all()
    assert (table.loc[numeric, "effect_low"] <= table.loc[numeric, "effect_high"]).all()
    c01 = table.set_index("id").loc["C01", "effect_low"]
    assert math.log1p(c01 / 100) == pytest.approx(0.092, abs=5e-4)  # the simulator's income effect
