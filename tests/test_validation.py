"""What operators are given is checked as early as it is known."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_codeocean.api.models.data_asset_params import DataAssetParams
from airflow_provider_codeocean.validation import (
    build_params_model,
    check_duration,
    check_template_syntax,
    check_timestamp,
    rendered_value,
    static_value,
)

JSON_LIKE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
)


@pytest.mark.parametrize(("given_value", "seconds"), [(5, 5.0), (0.25, 0.25), (timedelta(minutes=2), 120.0)])
def test_check_duration_accepts_seconds_and_timedelta(given_value, seconds):
    assert check_duration("timeout", given_value) == seconds


@pytest.mark.parametrize("wrong", [0, -1, timedelta(0), float("nan"), float("inf"), True, "10", None, [1]])
def test_check_duration_with_invalid_value_names_argument(wrong):
    with pytest.raises(ValueError, match=r"poll_interval must be a number of seconds .* greater than 0"):
        check_duration("poll_interval", wrong)


@pytest.mark.parametrize(
    "moment",
    [datetime(2026, 1, 31, 12, tzinfo=UTC), "2026-01-31T12:00:00Z", "2026-01-31 13:00:00+01:00", 1769860800],
)
def test_check_timestamp_accepts_zoned_time_and_unix_seconds(moment):
    assert check_timestamp("since", moment) == 1769860800.0


@pytest.mark.parametrize(
    "wrong",
    ["2026-01-31", "soon", datetime(2026, 1, 31), True, float("nan"), None, [1]],  # noqa: DTZ001
)
def test_check_timestamp_with_invalid_value_names_argument(wrong):
    with pytest.raises(ValueError, match=r"since must be a time with a zone, such as .*, or Unix seconds"):
        check_timestamp("since", wrong)


@pytest.mark.parametrize(
    "value", ["plain", "{{ computation.name }}", "{% if x %}y{% endif %}", 7, None, ["{{"]]
)
def test_check_template_syntax_with_valid_value_returns_it(value):
    assert check_template_syntax("name", value) is value


@pytest.mark.parametrize("wrong", ["{{ computation.name", "{% if %}x", "{{ a b }}"])
def test_check_template_syntax_with_invalid_template_names_argument(wrong):
    with pytest.raises(ValueError, match="name is no template"):
        check_template_syntax("name", wrong)


@pytest.mark.parametrize(
    "template", ["{{ params.x }}", "run_{{ ds }}", "{% if x %}y{% endif %}", "[[ params.x ]]", "<% if x %>"]
)
def test_static_value_of_template_is_placeholder(template):
    assert static_value(template) != template
    assert static_value(template, placeholder=None) is None


def test_static_value_of_nested_template_is_placeholder():
    known = static_value({"bucket": "results", "prefix": "{{ ds }}", "list": ["a", "{{ ds }}"]})
    assert known["bucket"] == "results"
    assert "{{" not in str(known)
    assert known["list"][0] == "a"


def test_static_value_of_other_object_is_placeholder():
    assert static_value(object(), placeholder=[]) == []
    assert isinstance(static_value({"name": object()})["name"], str)


def test_static_value_of_dates_and_numbers_is_unchanged():
    at = datetime(2026, 1, 2, tzinfo=UTC)
    assert static_value({"at": at, "score": 1.5, "none": None}) == {"at": at, "score": 1.5, "none": None}


@given(JSON_LIKE)
def test_static_value_without_template_is_unchanged(value):
    text = json.dumps(value, ensure_ascii=False)
    if not re.search(r"\{\{|\{[%#]|\[\[|\[%|<<|<%|\$\{", text):
        assert static_value(value) == value
    assert rendered_value(value) is value


def test_build_params_model_error_names_argument():
    with pytest.raises(ValueError, match=r"^computation_id: .*; target\.bucket: .*") as caught:
        build_params_model(
            DataAssetParams,
            {"source.computation.id": "computation_id", "target.aws": "target"},
            {
                "name": "n",
                "mount": "m",
                "tags": [],
                "source": {"computation": {"id": ""}},
                "target": {"aws": {"bucket": "s3://x"}},
            },
        )
    assert "pydantic" not in str(caught.value)


def test_build_params_model_error_of_whole_model_states_problem():
    with pytest.raises(ValueError, match="exactly one of source and data_asset_ids"):
        build_params_model(DataAssetParams, {}, {"name": "n", "mount": "m", "tags": []})
