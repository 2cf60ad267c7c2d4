"""Lines of a search, decoded by half: what is read is what the whole model reads."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_codeocean.api.models.data_asset import DataAsset
from airflow_provider_codeocean.api.models.data_asset_summary import GlancePage

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
def test_a_line_reads_as_the_data_asset_does(found):
    content = json.dumps({"has_more": False, "results": found}).encode()
    for glance, line in zip(GlancePage.from_bytes(content).results, found, strict=True):
        asset = DataAsset.model_validate(line)
        assert (glance.id, glance.state, glance.created) == (asset.id, asset.state, asset.created)
        assert (glance.last_transferred, glance.transfer_error) == (
            asset.last_transferred,
            asset.transfer_error,
        )


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b'{"has_more": true}', b'{"has_more": false, "results": [7]}', b"<html>"]
)
def test_what_is_no_page_is_said(content):
    with pytest.raises(ValueError):  # noqa: PT011 - whatever the text
        GlancePage.from_bytes(content)


def test_unknown_fields_and_the_next_token():
    page = GlancePage.from_bytes(b'{"has_more": true, "next_token": "n", "results": [], "total": 9}')
    assert (page.has_more, page.next_token, page.results) == (True, "n", [])
