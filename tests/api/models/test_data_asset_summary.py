"""Lines of a search, decoded by half: what is read is what the whole model reads."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_codeocean.api.models.data_asset import DataAsset
from airflow_provider_codeocean.api.models.data_asset_summary import DataAssetSummaryPage

numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | numbers | st.text()
states = st.sampled_from(
    ["draft", "ready", "failed", "DATA_ASSET_STATE_READY", "data_asset_state_failed", "thawing", ""]
)
lines = st.fixed_dictionaries(
    {"id": st.text(min_size=1)},
    optional={
        "state": states | scalars,
        "created": scalars | st.sampled_from(["1700000000", "1.5"]),
        "last_transferred": scalars,
        "transfer_error": scalars,
        "name": scalars,
        "provenance": st.dictionaries(st.text(), scalars),
    },
)


@given(st.lists(lines))
def test_summary_of_any_result_equals_the_data_asset(found):
    content = json.dumps({"has_more": False, "results": found}).encode()
    for glance, line in zip(DataAssetSummaryPage.from_bytes(content).results, found, strict=True):
        asset = DataAsset.model_validate(line)
        assert (glance.id, glance.state, glance.created) == (asset.id, asset.state, asset.created)
        assert (glance.last_transferred, glance.transfer_error) == (
            asset.last_transferred,
            asset.transfer_error,
        )


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b'{"has_more": true}', b'{"has_more": false, "results": [7]}', b"<html>"]
)
def test_summary_page_of_invalid_content_raises_value_error(content):
    with pytest.raises(ValueError):  # noqa: PT011 - whatever the text
        DataAssetSummaryPage.from_bytes(content)


def test_summary_page_ignores_unknown_fields():
    page = DataAssetSummaryPage.from_bytes(
        b'{"has_more": true, "next_token": "n", "results": [], "total": 9}'
    )
    assert (page.has_more, page.next_token, page.results) == (True, "n", [])
