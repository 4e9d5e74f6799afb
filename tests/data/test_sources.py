"""Files are found by checksum and read as they are stored, or refused in one sentence."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from relocation_analysis.data import sources
from relocation_analysis.data.sources import fetch, read_file
from relocation_analysis.errors import InputError
from relocation_analysis.paths import ROOT

REAL = ROOT.parent / "shared" / "data"
MPDTA = "0be3bc5eaaedaa50e047deaf45ad0e193e7210df1644103c63a6c1baa75965d4"
URL = "http://127.0.0.1:9/panel.csv"  # nothing listens there


@pytest.fixture
def table():
    return pd.DataFrame(
        {"person": ["a", "b"], "time": [2016, 2017], "cohort": [2018.0, np.nan], "x": [0.1 + 0.2, 1 / 3]}
    )


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """No network, no user cache, no mirror: only what a test puts there."""
    monkeypatch.delenv(sources.MIRROR, raising=False)
    monkeypatch.setattr(sources, "DATA", tmp_path / "data")
    monkeypatch.setattr("pooch.os_cache", lambda name: tmp_path / "cache" / name)
    (tmp_path / "data" / "raw").mkdir(parents=True)
    return tmp_path


def put(path: Path, content: bytes) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def test_the_mirror_stands_in_for_the_network_and_nothing_is_written(folders, monkeypatch):
    sha256 = put(folders / "mirror" / "panel.csv", b"a\n1\n")
    monkeypatch.setenv(sources.MIRROR, str(folders / "mirror"))
    before = sorted(folders.rglob("*"))
    assert fetch(URL, sha256.upper(), "panel.csv") == folders / "mirror" / "panel.csv"
    assert sorted(folders.rglob("*")) == before


def test_a_file_put_into_raw_by_hand_is_used(folders):
    sha256 = put(folders / "data" / "raw" / "panel.csv", b"a\n1\n")
    assert fetch(URL, sha256, "panel.csv") == folders / "data" / "raw" / "panel.csv"


def test_a_copy_in_the_cache_needs_no_network(folders):
    sha256 = put(folders / "cache" / "relocation-analysis" / "panel.csv", b"a\n1\n")
    assert fetch(URL, sha256, "panel.csv").read_bytes() == b"a\n1\n"


def test_a_wrong_checksum_is_refused_wherever_the_file_is(folders, monkeypatch):
    put(folders / "data" / "raw" / "panel.csv", b"a\n2\n")
    with pytest.raises(InputError, match="must have the checksum that its study states"):
        fetch(URL, "0" * 64, "panel.csv")
    put(folders / "mirror" / "panel.csv", b"a\n2\n")
    monkeypatch.setenv(sources.MIRROR, str(folders / "mirror"))
    with pytest.raises(InputError, match="has sha256 [0-9a-f]{64}, not 0{64}"):
        fetch(URL, "0" * 64, "panel.csv")


def test_without_network_and_mirror_the_error_says_what_to_download_and_where_to_put_it(folders):
    with pytest.raises(InputError) as caught:
        fetch(URL, "0" * 64, "panel.csv")
    assert caught.value.fix.startswith(f"download {URL} and save it as ")
    assert os.path.join("data", "raw", "panel.csv") in caught.value.fix and "0" * 64 in caught.value.fix
    assert not list(folders.glob("cache/**/*.csv"))


def test_a_mirror_without_the_file_is_named(folders, monkeypatch):
    monkeypatch.setenv(sources.MIRROR, str(folders))
    with pytest.raises(InputError, match=f"{sources.MIRROR} names must hold panel.csv"):
        fetch(URL, "0" * 64, "panel.csv")


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".dta"])
def test_numbers_come_back_to_the_last_bit(table, tmp_path, suffix):
    path = tmp_path / f"panel{suffix}"
    {".csv": lambda: table.to_csv(path, index=False), ".parquet": lambda: table.to_parquet(path),
     ".dta": lambda: table.to_stata(path, write_index=False)}[suffix]()  # fmt: skip
    pd.testing.assert_frame_equal(read_file(path), table, check_exact=True, check_dtype=suffix != ".dta")


def test_a_folder_of_parquet_files_is_one_table(table, tmp_path):
    table.to_parquet(tmp_path / "panel", partition_cols=["person"])
    read = read_file(tmp_path / "panel").sort_values("time", ignore_index=True)
    pd.testing.assert_frame_equal(read[list(table)], table)


def test_chinese_text_with_a_byte_order_mark_is_read(tmp_path):
    (tmp_path / "a.csv").write_text("村,x\n甲,1\n", encoding="utf-8-sig")
    assert read_file(tmp_path / "a.csv").to_dict("list") == {"村": ["甲"], "x": [1]}


def test_stata_codes_are_kept_and_blank_text_is_missing(tmp_path):
    table = pd.DataFrame({"sex": pd.Categorical(["male", "female"]), "site": ["s1", ""]})
    table.to_stata(tmp_path / "a.dta", write_index=False)
    read = read_file(tmp_path / "a.dta")
    assert read["sex"].to_list() == [1, 0]
    assert read["site"].isna().to_list() == [False, True]


def test_an_r_file_with_several_tables_needs_a_name(tmp_path):
    import rdata

    one, two = pd.DataFrame({"x": [1.5, 2.5]}), pd.DataFrame({"y": [3.5]})
    rdata.write_rda(tmp_path / "two.rda", {"one": one, "two": two})
    rdata.write_rds(tmp_path / "one.rds", one)
    assert read_file(tmp_path / "two.rda", object="two")["y"].to_list() == [3.5]
    assert read_file(tmp_path / "one.rds")["x"].to_list() == [1.5, 2.5]
    with pytest.raises(InputError, match="holds 2 tables: one, two"):
        read_file(tmp_path / "two.rda")
    with pytest.raises(InputError, match="write 'one'"):
        read_file(tmp_path / "two.rda", object="ones")


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.csv", b"", "A data file must hold rows"),
        ("a.csv", b"person,time\n", "A data file must hold rows"),
        ("a.csv", "村\n甲\n".encode("gb18030"), "text must be UTF-8"),
        ("a.csv", b"a,b\n1,2\n1,2,3\n", "A .csv file must be readable"),
        ("a.parquet", b"not parquet", "A .parquet file must be readable"),
        ("a.parquet", b"", "A .parquet file must be readable"),
        ("a.dta", b"not stata", "A .dta file must be readable"),
        ("a.rda", b"not R", "A .rda file must be readable"),
        ("a.rds", b"", "A .rds file must be readable"),
        ("a.xlsx", b"x", "save it as one of .csv, .parquet, .dta, .rda, .rdata, .rds"),
        ("a", b"x", "A data file must be of a known type"),
    ],
)
def test_bad_files_are_refused_in_one_sentence(tmp_path, name, content, sentence):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_file(tmp_path / name)
    assert sentence in str(caught.value)


def test_a_missing_file_names_the_nearest_one(tmp_path):
    (tmp_path / "panel.csv").write_text("a\n1\n")
    with pytest.raises(InputError, match="write 'panel.csv'"):
        read_file(tmp_path / "pannel.csv")
    with pytest.raises(InputError, match="A data file must exist"):
        read_file(tmp_path / "nowhere" / "panel.csv")


@pytest.mark.skipif(not REAL.is_dir(), reason="the real data are not beside this checkout")
def test_the_real_files_are_read(monkeypatch):
    monkeypatch.setenv(sources.MIRROR, str(REAL))
    mpdta = read_file(fetch(URL, MPDTA, "mpdta.rda"))
    assert mpdta.shape == (2500, 6) and mpdta["year"].dtype == "int64"
    assert read_file(REAL / "bcm2014_r2.dta").shape == (1907, 188)
    assert read_file(REAL / "bd_visa_lottery.rds").shape == (2374, 14)
