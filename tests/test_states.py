"""What states mean, and what to conclude from an event and a data asset."""

from __future__ import annotations

import json

import pytest

from airflow_provider_codeocean.api.errors import CodeOceanError, DataAssetFailed, WaitTimeout
from airflow_provider_codeocean.api.models.data_asset import DataAsset
from airflow_provider_codeocean.states import Verdict, as_xcom, conclude, data_asset_verdict


def asset(state: str | None, **fields) -> DataAsset:
    return DataAsset.model_validate({"id": "a1", "name": "sorted", "state": state, **fields})


def event(status: str):
    return {"status": status, "data_asset_id": "a1", "state": None, "message": f"the wait's {status}"}


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


@pytest.mark.parametrize("status", ["success", "failed", "timeout", "error"])
def test_a_ready_data_asset_is_a_success_whatever_the_event_says(status):
    conclude(event(status), asset("ready"))


@pytest.mark.parametrize("status", ["success", "failed", "timeout", "error"])
def test_a_failed_data_asset_is_a_failure_whatever_the_event_says(status):
    with pytest.raises(DataAssetFailed, match=r"'sorted'.* failed: no such bucket"):
        conclude(event(status), asset("failed", failure_reason="no such bucket"))


def test_a_failure_without_a_reason_says_so():
    with pytest.raises(DataAssetFailed, match="gives no reason"):
        conclude(event("failed"), asset("failed"))


def test_a_wait_that_ended_too_early_ends_as_its_event_says():
    with pytest.raises(WaitTimeout, match="the wait's timeout"):
        conclude(event("timeout"), asset("draft"))
    with pytest.raises(CodeOceanError, match="the wait's error") as caught:
        conclude(event("error"), asset("draft"))
    assert not isinstance(caught.value, WaitTimeout)


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
