"""The codebook is a table that a referee can read: every row valid, every benchmark stated where power is
judged."""

import csv

import pytest
from pydantic import ValidationError

from relocation_analysis.data.codebook import DOMAINS, Outcome, read_codebook
from relocation_analysis.data.study import read_study
from relocation_analysis.paths import DATA


def test_the_file_has_the_columns_of_the_model_and_one_row_per_outcome():
    with open(DATA / "codebook.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert set(rows[0]) == set(Outcome.model_fields)
    assert len({row["name"] for row in rows}) == len(rows) == len(read_codebook())


def test_every_outcome_has_a_label_in_both_languages_a_unit_and_a_definition():
    for outcome in read_codebook().values():
        assert outcome.label_en and outcome.label_zh and outcome.unit and outcome.definition, outcome.name
        assert outcome.domain in DOMAINS and outcome.minimum < outcome.maximum


def test_every_primary_has_a_benchmark_and_a_good_direction():
    book = read_codebook()
    for name in read_study("simulated").primaries:
        assert book[name].benchmark_effect and book[name].good_direction, name


def test_a_universe_that_moves_is_sampled_repeatedly():
    for outcome in read_codebook().values():
        assert (outcome.age_at == "current") <= (outcome.sampling == "repeated"), outcome.name
        assert (outcome.age_step is not None) == (outcome.sampling == "repeated"), outcome.name


def test_shares_lie_between_zero_and_one():
    for outcome in read_codebook().values():
        if outcome.unit == "share":
            assert (outcome.minimum, outcome.maximum) == (0, 1), outcome.name


def test_what_is_delivered_or_near_mechanical_is_no_secondary_outcome():
    book = read_codebook()
    assert {n for n, o in book.items() if o.role == "report_only"} == {
        "emp_official",
        "hh_any_job",
        "insured",
    }
    assert {n for n, o in book.items() if o.role == "delivered"} == {"school_minutes", "health_minutes"}
    assert {n for n, o in book.items() if o.role == "adverse"} == {
        "living_cost",
        "debt",
        "return_origin",
        "support_n",
        "loneliness",
    }


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"age_min": 3}, "age_min, age_max and age_at go together"),
        ({"age_step": 1}, "age_step belongs to a repeated outcome"),
        ({"benchmark_effect": 0}, "greater than 0"),
        ({"colour": 1}, "Extra inputs"),
        ({"domain": "sport"}, "Input should be"),
    ],
)
def test_a_definition_that_cannot_be_is_refused(settings, message):
    with pytest.raises(ValidationError, match=message):
        Outcome(**({"name": "y", "domain": "other", "unit": "", "label_en": "y"} | settings))
