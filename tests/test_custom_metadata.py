"""Checking custom metadata against the deployment's fields, and changing tags."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_codeocean.api.models.custom_metadata import CustomMetadata
from airflow_provider_codeocean.custom_metadata import (
    as_fields_take_them,
    changed_tags,
    check_custom_metadata,
    checked_with,
)
from airflow_provider_codeocean.emulator import FaultRule
from airflow_provider_codeocean.emulator.domain.config import DEFAULT_METADATA
from airflow_provider_codeocean.emulator.domain.errors import ApiError
from airflow_provider_codeocean.emulator.services.custom_metadata import checked_metadata, schema_payload
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
        SCHEMA, {name.replace("_", " "): value for name, value in values.items()}, whole=whole
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
def test_what_is_right_passes(values):
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
def test_what_is_wrong_is_named(values, message):
    with pytest.raises(ValueError, match=message):
        check(**values)


def test_what_is_required_is_required_of_a_new_one_alone():
    check(score=1)
    with pytest.raises(ValueError, match="'subject' is required"):
        check(score=1, whole=True)


scalars = st.one_of(st.text(max_size=5), st.integers(-5, 200), st.sampled_from(["ecephys", "raw"]))


@given(
    st.dictionaries(
        st.sampled_from([*(field.name for field in DEFAULT_METADATA.fields), "no such field"]),
        st.one_of(scalars, st.lists(scalars, max_size=2)),
    )
)
def test_it_refuses_what_the_emulator_refuses(values):
    schema = CustomMetadata.model_validate(schema_payload(DEFAULT_METADATA))
    try:
        check_custom_metadata(schema, values, whole=True)
    except ValueError:
        with pytest.raises(ApiError):
            checked_metadata(DEFAULT_METADATA, values)
    else:
        checked_metadata(DEFAULT_METADATA, values)


@pytest.mark.parametrize("status", [403, 404])
def test_a_server_that_does_not_tell_its_fields_is_left_to_check_itself(code_ocean, status):
    code_ocean.faults.add(FaultRule(path="custom_metadata", kind="status", status=status))
    with CodeOceanHook().get_conn() as client:
        assert checked_with(client, {"no such field": 1}, whole=True) == {"no such field": 1}
        with pytest.raises(ValueError, match="no such field"):
            checked_with(client, {"no such field": 1}, whole=True)


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
def test_what_a_template_renders_to_is_made_to_fit_its_field(name, value, sent):
    made = as_fields_take_them(SCHEMA, {name: value})[name]
    assert (made, type(made)) == (sent, type(sent))


def test_tags_are_added_and_removed_in_order():
    assert changed_tags(["a", "b"], add=["c", "a"], remove=["b", "x"]) == ["a", "c"]
    assert changed_tags(["a", KEY], tags=["b", "b"]) == ["b", KEY]
    assert changed_tags(["a", KEY], tags=[]) == [KEY]
    assert changed_tags(["a", KEY], remove=[KEY]) == ["a"]
    copied = ["b", OTHER_KEY, OTHER_KEY.upper()]
    assert changed_tags(["a", KEY], tags=copied) == ["b", KEY]
    assert changed_tags(["a", KEY], add=copied) == ["a", KEY, "b"]


tags = st.lists(st.sampled_from(["a", "b", "c", KEY]))


@given(tags, tags, tags)
def test_changing_tags_again_changes_nothing(there, add, remove):
    once = changed_tags(there, add=add, remove=remove)
    assert changed_tags(once, add=add, remove=remove) == once
    assert len(set(once)) == len(once)
    assert set(once) == (set(there) | set(add) - ({KEY} - set(there))) - set(remove)
