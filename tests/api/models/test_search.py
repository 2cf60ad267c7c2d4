"""Searching: what a search takes, and how a page is read."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from airflow_provider_codeocean.api.models.capsule import CapsuleSearchParams, CapsuleSortField, CapsuleStatus
from airflow_provider_codeocean.api.models.data_asset import DataAsset
from airflow_provider_codeocean.api.models.search import (
    FilterRange,
    Ownership,
    Page,
    SearchFilter,
    SearchParams,
    SortOrder,
)
from tests.api.models.strategies import assert_survives_json, names, numbers, optional


@pytest.mark.parametrize(
    ("model", "wrong", "message"),
    [
        (SearchParams, {"limit": 0}, "limit"),
        (SearchParams, {"limit": 1001}, "limit"),
        (SearchParams, {"offset": -1}, "offset"),
        (SearchParams, {"next_token": 1.5}, "next_token"),
        (SearchParams, {"ownership": "stolen"}, "ownership"),
        (SearchParams, {"sort_order": "asc"}, "sort_field and sort_order belong together"),
        (SearchParams, {"page": 2}, "page"),
        (CapsuleSearchParams, {"sort_field": "name"}, "sort_field and sort_order belong together"),
        (CapsuleSearchParams, {"sort_field": "name", "sort_order": "up"}, "sort_order"),
        (CapsuleSearchParams, {"sort_field": "size", "sort_order": "asc"}, "sort_field"),
        (CapsuleSearchParams, {"status": "lost"}, "status"),
        (SearchParams, {"filters": [{"key": "tags"}]}, "exactly one of value, values and range, got none"),
        (SearchFilter, {"value": "v"}, "key"),
        (SearchFilter, {"key": "", "value": "v"}, "key"),
        (SearchFilter, {"key": "k", "value": 1, "values": [1]}, "exactly one of .* got value and values"),
        (SearchFilter, {"key": "k", "values": []}, "values"),
        (SearchFilter, {"key": "k", "value": " "}, "value\n.*must not be empty"),
        (SearchFilter, {"key": "k", "values": ["a", ""]}, "values\n.*must not be empty"),
        (SearchFilter, {"key": "k", "value": float("inf")}, "finite"),
        (SearchFilter, {"key": "k", "range": {}}, "needs min, max or both"),
        (FilterRange, {"min": None, "max": None}, "needs min, max or both"),
        (FilterRange, {"min": 2, "max": 1}, "min must not be greater than max"),
        (FilterRange, {"min": float("nan")}, "finite"),
    ],
)
def test_search_params_with_invalid_values_are_rejected(model, wrong, message):
    with pytest.raises(ValidationError, match=message):
        model.model_validate(wrong)


@pytest.mark.parametrize("limit", [1, 1000])
def test_search_params_limit_at_its_bounds_is_accepted(limit):
    assert SearchParams(limit=limit).to_json() == {"limit": limit}


def test_filter_range_open_or_single_point_is_accepted():
    assert FilterRange(min=1).to_json() == {"min": 1}
    assert FilterRange(max=1).to_json() == {"max": 1}
    assert FilterRange(min=1, max=1).to_json() == {"min": 1, "max": 1}


def test_search_filter_integers_are_sent_as_integers():
    params = SearchParams(
        filters=[
            SearchFilter(key="acquired", range=FilterRange(min=1700000000, max=0x7FFFFFFFFFFFFFFF)),
            SearchFilter(key="weight", values=[20, 20.5, "20"]),
            SearchFilter(key="subject", value=7),
        ]
    )
    assert json.dumps(params.to_json()["filters"]) == (
        '[{"key": "acquired", "range": {"min": 1700000000, "max": 9223372036854775807}}, '
        '{"key": "weight", "values": [20, 20.5, "20"]}, {"key": "subject", "value": 7}]'
    )


ranges = st.tuples(numbers, numbers).map(sorted).map(lambda ends: FilterRange(min=ends[0], max=ends[1]))
scalars = names | numbers
filters = (
    st.builds(SearchFilter, key=names, value=scalars, exclude=optional(st.booleans()))
    | st.builds(SearchFilter, key=names, values=st.lists(scalars, min_size=1, max_size=3))
    | st.builds(SearchFilter, key=names, range=ranges | st.builds(FilterRange, max=numbers))
)


@given(
    st.builds(
        CapsuleSearchParams,
        query=optional(st.text()),
        offset=optional(st.integers(min_value=0)),
        limit=optional(st.integers(1, 1000)),
        next_token=optional(names),
        sort_field=st.sampled_from(CapsuleSortField),
        sort_order=st.sampled_from(SortOrder),
        ownership=optional(st.sampled_from(Ownership)),
        favorite=optional(st.booleans()),
        archived=optional(st.booleans()),
        status=optional(st.sampled_from(CapsuleStatus)),
        filters=optional(st.lists(filters, max_size=2)),
    )
)
def test_search_params_round_trip_through_json(params):
    assert_survives_json(params)


def test_page_of_older_server_is_read():
    page = Page[DataAsset].model_validate({"hasMore": "true", "results": [{"id": "a1", "sizeInBytes": 3}]})
    assert page.has_more is True
    assert page.next_token is None
    assert [(asset.id, asset.size) for asset in page.results] == [("a1", 3)]


@pytest.mark.parametrize("results", [None, [], "none", [None, 1]])
def test_page_without_readable_results_is_empty(results):
    assert Page[DataAsset].model_validate({"has_more": False, "results": results}).results == []
