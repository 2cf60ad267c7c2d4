"""What states mean, and what a task returns."""

from __future__ import annotations

import json

import pytest

from airflow_provider_codeocean.api.models.data_asset import DataAsset
from airflow_provider_codeocean.outcomes import Outcome, data_asset_outcome, to_xcom


def asset(state: str | None, **fields) -> DataAsset:
    return DataAsset.model_validate({"id": "a1", "name": "sorted", "state": state, **fields})


@pytest.mark.parametrize(
    ("state", "verdict"),
    [
        ("ready", Outcome.SUCCEEDED),
        ("DATA_ASSET_STATE_READY", Outcome.SUCCEEDED),
        ("failed", Outcome.FAILED),
        ("draft", Outcome.PENDING),
        ("thawing", Outcome.PENDING),
        (None, Outcome.PENDING),
    ],
)
def test_data_asset_outcome_is_derived_from_state(state, verdict):
    assert data_asset_outcome(asset(state)) is verdict


def test_to_xcom_returns_json_with_all_fields_and_url():
    result = to_xcom(
        asset("ready", provenance={"commit": "c0ffee"}, new_field=1), "https://co.test/data-assets/a1"
    )
    assert json.loads(json.dumps(result)) == result
    assert result["state"] == "ready"
    assert result["provenance"]["commit"] == "c0ffee"
    assert result["url"] == "https://co.test/data-assets/a1"
    assert result["size"] is None
    assert result["new_field"] == 1
