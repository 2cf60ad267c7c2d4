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
    as_rendered,
    check_moment,
    check_seconds,
    check_template,
    checked,
    known_now,
)

JSON_LIKE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
)


@pytest.mark.parametrize(("given_value", "seconds"), [(5, 5.0), (0.25, 0.25), (timedelta(minutes=2), 120.0)])
def test_a_duration_is_seconds_or_a_timedelta(given_value, seconds):
    assert check_seconds("timeout", given_value) == seconds


@pytest.mark.parametrize("wrong", [0, -1, timedelta(0), float("nan"), float("inf"), True, "10", None, [1]])
def test_a_wrong_duration_is_refused_by_name(wrong):
    with pytest.raises(ValueError, match=r"poll_interval must be a number of seconds .* greater than 0"):
        check_seconds("poll_interval", wrong)


@pytest.mark.parametrize(
    "moment",
    [datetime(2026, 1, 31, 12, tzinfo=UTC), "2026-01-31T12:00:00Z", "2026-01-31 13:00:00+01:00", 1769860800],
)
def test_a_moment_has_a_zone_or_is_unix_seconds(moment):
    assert check_moment("since", moment) == 1769860800.0


@pytest.mark.parametrize(
    "wrong",
    ["2026-01-31", "soon", datetime(2026, 1, 31), True, float("nan"), None, [1]],  # noqa: DTZ001
)
def test_a_wrong_moment_is_refused_by_name(wrong):
    with pytest.raises(ValueError, match=r"since must be a time with a zone, such as .*, or Unix seconds"):
        check_moment("since", wrong)


@pytest.mark.parametrize(
    "value", ["plain", "{{ computation.name }}", "{% if x %}y{% endif %}", 7, None, ["{{"]]
)
def test_a_template_is_given_back(value):
    assert check_template("name", value) is value


@pytest.mark.parametrize("wrong", ["{{ computation.name", "{% if %}x", "{{ a b }}"])
def test_what_is_no_template_is_refused_by_name(wrong):
    with pytest.raises(ValueError, match="name is no template"):
        check_template("name", wrong)


@pytest.mark.parametrize(
    "template", ["{{ params.x }}", "run_{{ ds }}", "{% if x %}y{% endif %}", "[[ params.x ]]", "<% if x %>"]
)
def test_a_template_is_not_known_now(template):
    assert known_now(template) != template
    assert known_now(template, instead=None) is None


def test_templates_inside_of_others_are_not_known_now():
    known = known_now({"bucket": "results", "prefix": "{{ ds }}", "list": ["a", "{{ ds }}"]})
    assert known["bucket"] == "results"
    assert "{{" not in str(known)
    assert known["list"][0] == "a"


def test_what_another_task_returns_is_not_known_now():
    assert known_now(object(), instead=[]) == []
    assert isinstance(known_now({"name": object()})["name"], str)


def test_dates_and_numbers_are_known_now():
    at = datetime(2026, 1, 2, tzinfo=UTC)
    assert known_now({"at": at, "score": 1.5, "none": None}) == {"at": at, "score": 1.5, "none": None}


@given(JSON_LIKE)
def test_what_holds_no_template_is_known_as_it_is(value):
    text = json.dumps(value, ensure_ascii=False)
    if not re.search(r"\{\{|\{[%#]|\[\[|\[%|<<|<%|\$\{", text):
        assert known_now(value) == value
    assert as_rendered(value) is value


def test_an_error_names_the_argument_behind_the_field():
    with pytest.raises(ValueError, match=r"^computation_id: .*; target\.bucket: .*") as caught:
        checked(
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


def test_an_error_of_the_whole_says_what_is_wrong():
    with pytest.raises(ValueError, match="exactly one of source and data_asset_ids"):
        checked(DataAssetParams, {}, {"name": "n", "mount": "m", "tags": []})
