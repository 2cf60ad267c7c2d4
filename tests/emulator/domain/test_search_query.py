from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_codeocean.emulator.domain.search_query import compile_phrase, parse_query

FIELDS = ("name", "tag")
word = st.from_regex(r"[a-z0-9]{1,8}", fullmatch=True)
phrase = st.lists(word, min_size=1, max_size=3).map(" ".join)


def found(query: str, **record: list[str]) -> bool:
    matcher = parse_query(query, FIELDS).build_matcher(FIELDS)
    return matcher(lambda field: record.get(field, []))


@pytest.mark.parametrize(
    ("query", "matches"),
    [
        ("spike", True),
        ("SPIKE sorting", True),
        ("spike missing", False),
        ("name:sorting", True),
        ("NAME:sorting", True),
        ('name:"spike sorting"', True),
        ('name:"sorting spike"', False),
        ("name:sorting name:missing", True),
        ("name:sorting tag:missing", False),
        ("name:sorting tag:raw", True),
        ("tag:rna-seq", True),
        ("tag:rna", True),
        ("tag:seq-rna", False),
        ("spik", False),
        ("spike*", True),
        ("name:*", False),
        ("see:this", False),
        ("", True),
        ("   ", True),
        ('""', True),
        ("***", True),
        ('"spike sort', False),
        ('"spike sorting', True),
    ],
)
def test_query_matches_names_and_tags(query: str, matches: bool):
    assert found(query, name=["Spike sorting of probe A"], tag=["raw", "RNA-seq"]) is matches


def test_query_with_unknown_field_is_text():
    assert found("see:this", name=["see this"])
    assert found("12:30", name=["recorded at 12:30"])


def test_query_underscore_separates_words():
    assert found("123456", name=["ecephys_123456_2024-01-02"])
    assert found("name:ecephys_123456", name=["ecephys_123456_2024-01-02"])


@given(st.text())
def test_query_of_any_text_never_fails(text: str):
    found(text, name=["some name"], tag=["some", "tags"])


@given(
    st.dictionaries(st.sampled_from(FIELDS), st.lists(phrase, min_size=1, max_size=3)),
    st.lists(phrase, max_size=3),
)
def test_parse_query_returns_the_written_fields_and_text(fields: dict[str, list[str]], text: list[str]):
    terms = [f'{field}:"{value}"' for field, values in fields.items() for value in values]
    query = parse_query(" ".join([*terms, *(f'"{value}"' for value in text)]), FIELDS)
    assert query.field_values == fields
    assert query.free_text == text


@given(st.lists(word, min_size=1, max_size=6), st.data())
def test_phrase_matches_consecutive_words_in_any_case(words: list[str], data: st.DataObject):
    start = data.draw(st.integers(0, len(words) - 1))
    end = data.draw(st.integers(start + 1, len(words)))
    pattern = compile_phrase("-".join(words[start:end]).upper())
    assert pattern.search("_".join(words))


@given(st.lists(word, min_size=1, max_size=4), word)
def test_phrase_does_not_match_part_of_a_word(words: list[str], wanted: str):
    pattern = compile_phrase(wanted)
    assert bool(pattern.search(" ".join(words))) == (wanted in words)
