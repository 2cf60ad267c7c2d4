"""What states mean, and what a task returns."""

from __future__ import annotations

import json

import pytest

from airflow_provider_codeocean.api.models.data_asset import DataAsset
from airflow_provider_codeocean.outcomes import Verdict, as_xcom, data_asset_verdict


def asset(state: str | None, **fields) -> DataAsset:
    return DataAsset.model_validate({"id": "a1", "name": "sorted", "state": state, **fields})


@pytest.mark.parametrize(
    ("state", "verdict"),
    [
        ("ready", Verdict.SUCCEEDED),
        ("DATA_ASSET_STATE_READY", Verdict.SUCCEEDED),
        ("failed", Verdict.FAILED),
        ("draft", Verdict.WAITING),
        ("thawing", Verdict.WAITING),
        (None, Verdict.WAITING),
    ],
)
def test_what_a_state_means(state, verdict):
    assert data_asset_verdict(asset(state)) is verdict


def test_a_task_returns_plain_json_with_all_fields_and_the_address():
    result = as_xcom(
        asset("ready", provenance={"commit": "c0ffee"}, new_field=1), "https://co.test/data-assets/a1"
    )
    assert json.loads(json.dumps(result)) == result
    assert result["state"] == "ready"
    assert result["provenance"]["commit"] == "c0ffee"
    assert result["url"] == "https://co.test/data-assets/a1"
    assert result["size"] is None
    assert result["new_field"] == 1
