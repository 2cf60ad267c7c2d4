"""Checking custom metadata against the deployment's fields, and changing tags."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_codeocean.api.models.custom_metadata import CustomMetadata
from airflow_provider_codeocean.custom_metadata import (
    check_custom_metadata,
    coerce_to_schema,
    merge_tags,
    validate_with_schema,
)
from airflow_provider_codeocean.emulator import FaultRule
from airflow_provider_codeocean.emulator.domain.config import DEFAULT_METADATA_SCHEMA
from airflow_provider_codeocean.emulator.domain.errors import ApiError
from airflow_provider_codeocean.emulator.services.custom_metadata import (
    merge_metadata,
    metadata_schema_payload,
)
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook

SCHEMA = CustomMetadata.model_validate(
    {
        "fields": [
            {"name": "modality", "type": "string", "allowed_values": ["ecephys", "ophys"]},
            {"name": "score", "type": "number", "range": {"min": 0, "max": 100}},
            {"name": "age", "type": "number", "range": {"min": 0}},
            {"name": "acquired", "type": "date"},
            {"name": "tracers", "type": "string", "multiple": True},
            {"name": "subject", "type": "string", "required": True},
            {"name": "of the future", "type": "colour"},
            {"name": "untyped"},
        ]
    }
)
KEY = "airflow" + "0123456789abcdef" * 2
OTHER_KEY = "airflow" + "fedcba9876543210" * 2


def check(whole=False, **values):
    check_custom_metadata(
        SCHEMA, {name.replace("_", " "): value for name, value in values.items()}, require_all=whole
    )


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"modality": "ophys", "score": 0, "age": 1e9},
        {"score": 100.0, "acquired": 1767312000},
        {"tracers": "one"},
        {"tracers": ["one", "two"]},
        {"of_the_future": "anything", "untyped": 7},
    ],
)
def test_check_custom_metadata_with_valid_values_passes(values):
    check(**values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"modality": "tea"}, "custom_metadata: 'modality' takes 'ecephys', 'ophys' only, got 'tea'"),
        ({"modality": 7}, "'modality' takes a string, got 7"),
        ({"score": "high"}, "'score' takes a number, got 'high'"),
        ({"score": True}, "'score' takes a number, got True"),
        ({"score": 101}, "'score' takes 0 at least and 100 at most, got 101"),
        ({"age": -1}, "'age' takes 0 at least, got -1"),
        ({"acquired": "2026-01-02"}, "'acquired' takes a date .*, got '2026-01-02'"),
        ({"score": [1, 2]}, "'score' takes one value, got a list of 2"),
        ({"tracers": ["one", 2]}, "'tracers' takes a string, got 2"),
        ({"colour": "red"}, "'colour' is no field of this deployment: it has 'modality', 'score'"),
        ({"modality": 7, "score": 101}, "'modality' .*; 'score' "),
    ],
)
def test_check_custom_metadata_with_invalid_values_raises_and_names_them(values, message):
    with pytest.raises(ValueError, match=message):
        check(**values)


def test_check_custom_metadata_requires_fields_on_creation_only():
    check(score=1)
    with pytest.raises(ValueError, match="'subject' is required"):
        check(score=1, whole=True)


scalars = st.one_of(st.text(max_size=5), st.integers(-5, 200), st.sampled_from(["ecephys", "raw"]))


@given(
    st.dictionaries(
        st.sampled_from([*(field.name for field in DEFAULT_METADATA_SCHEMA.fields), "no such field"]),
        st.one_of(scalars, st.lists(scalars, max_size=2)),
    )
)
def test_check_custom_metadata_matches_emulator(values):
    schema = CustomMetadata.model_validate(metadata_schema_payload(DEFAULT_METADATA_SCHEMA))
    try:
        check_custom_metadata(schema, values, require_all=True)
    except ValueError:
        with pytest.raises(ApiError):
            merge_metadata(DEFAULT_METADATA_SCHEMA, values)
    else:
        merge_metadata(DEFAULT_METADATA_SCHEMA, values)


@pytest.mark.parametrize("status", [403, 404])
def test_validate_with_schema_without_schema_passes_values(code_ocean, status):
    code_ocean.faults.add(FaultRule(path="custom_metadata", kind="status", status=status))
    with CodeOceanHook().get_conn() as client:
        assert validate_with_schema(client, {"no such field": 1}, require_all=True) == {"no such field": 1}
        with pytest.raises(ValueError, match="no such field"):
            validate_with_schema(client, {"no such field": 1}, require_all=True)


@pytest.mark.parametrize(
    ("name", "value", "sent"),
    [
        ("score", "3.5", 3.5),
        ("score", "7", 7),
        ("score", "high", "high"),
        ("score", "nan", "nan"),
        ("score", True, True),
        ("acquired", "2026-01-02T00:00:00+00:00", 1767312000),
        ("acquired", "1767312000", 1767312000),
        ("acquired", "2026-01-02", "2026-01-02"),
        ("modality", 20260102, "20260102"),
        ("tracers", ["a", 2], ["a", "2"]),
        ("untyped", "7", "7"),
        ("no such field", "7", "7"),
    ],
)
def test_coerce_to_schema_converts_rendered_values(name, value, sent):
    made = coerce_to_schema(SCHEMA, {name: value})[name]
    assert (made, type(made)) == (sent, type(sent))


def test_merge_tags_adds_and_removes_in_order():
    assert merge_tags(["a", "b"], add=["c", "a"], remove=["b", "x"]) == ["a", "c"]
    assert merge_tags(["a", KEY], tags=["b", "b"]) == ["b", KEY]
    assert merge_tags(["a", KEY], tags=[]) == [KEY]
    assert merge_tags(["a", KEY], remove=[KEY]) == ["a"]
    copied = ["b", OTHER_KEY, OTHER_KEY.upper()]
    assert merge_tags(["a", KEY], tags=copied) == ["b", KEY]
    assert merge_tags(["a", KEY], add=copied) == ["a", KEY, "b"]


tags = st.lists(st.sampled_from(["a", "b", "c", KEY]))


@given(tags, tags, tags)
def test_merge_tags_repeated_changes_nothing(there, add, remove):
    once = merge_tags(there, add=add, remove=remove)
    assert merge_tags(once, add=add, remove=remove) == once
    assert len(set(once)) == len(once)
    assert set(once) == (set(there) | set(add) - ({KEY} - set(there))) - set(remove)
