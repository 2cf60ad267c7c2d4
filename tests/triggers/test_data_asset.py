"""The data asset trigger, against the emulator."""

from __future__ import annotations

import json
import logging
import os
import time
from importlib import import_module

import pytest
from airflow.providers.common.compat.sdk import AirflowNotFoundException

from airflow_provider_codeocean.api.errors import WaitTimeout
from airflow_provider_codeocean.api.models.data_asset_params import DataAssetParams
from airflow_provider_codeocean.emulator import FaultRule, Policy, Transitions
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.polling import waits
from airflow_provider_codeocean.polling.waits import DataAssetWait
from airflow_provider_codeocean.triggers.data_asset import CodeOceanDataAssetTrigger
from tests.polling.virtual_time import run


async def events_of(trigger):
    return [event.payload async for event in trigger.run()]


@pytest.fixture
def draft(code_ocean):
    source = {"computation": {"id": code_ocean.env["CODEOCEAN_COMPUTATION_ID"]}}
    with CodeOceanHook().get_conn() as client:
        return client.data_assets.create(
            DataAssetParams.model_validate({"name": "n", "mount": "m", "tags": [], "source": source})
        )


def test_serialize_returns_json_that_recreates_trigger():
    trigger = CodeOceanDataAssetTrigger(
        "a1", codeocean_conn_id="lab", poll_interval=2.5, deadline=1_800_000_000.5, on_kill="delete"
    )
    path, arguments = trigger.serialize()
    assert json.loads(json.dumps(arguments)) == arguments
    module, name = path.rsplit(".", 1)
    restored = getattr(import_module(module), name)(**arguments)
    assert restored.serialize() == trigger.serialize()


async def test_run_with_ready_data_asset_emits_success(draft):
    assert await events_of(CodeOceanDataAssetTrigger(draft.id, poll_interval=0.01)) == [
        {
            "status": "success",
            "data_asset_id": draft.id,
            "state": "ready",
            "message": f"Data asset {draft.id} is ready",
        }
    ]


async def test_run_with_failed_data_asset_emits_failed_with_reason(code_ocean):
    with CodeOceanHook().get_conn() as client:
        source = {"aws": {"bucket": "no-such-bucket", "prefix": "x"}}
        asset = client.data_assets.create(
            DataAssetParams.model_validate({"name": "n", "mount": "m", "tags": [], "source": source})
        )
    (event,) = await events_of(CodeOceanDataAssetTrigger(asset.id, poll_interval=0.01))
    assert (event["status"], event["state"]) == ("failed", "failed")
    assert "no-such-bucket" in event["message"]


async def test_run_with_transient_errors_continues(code_ocean, draft):
    kinds = ("status", "close_before", "html", "half_body", "empty")
    faults = [code_ocean.faults.add(FaultRule(method="GET", kind=kind, times=1)) for kind in kinds]
    (event,) = await events_of(CodeOceanDataAssetTrigger(draft.id, poll_interval=0.01))
    assert event["status"] == "success"
    assert [fault.hits for fault in faults] == [1] * len(kinds)


async def test_run_after_deadline_emits_timeout_with_last_state(code_ocean, draft):
    code_ocean.emulator.transitions = Transitions(assets=Policy(seconds=3600))
    with CodeOceanHook().get_conn() as client:
        source = {"computation": {"id": code_ocean.env["CODEOCEAN_COMPUTATION_ID"]}}
        slow = client.data_assets.create(
            DataAssetParams.model_validate({"name": "n", "mount": "m", "tags": [], "source": source})
        )
    (event,) = await events_of(
        CodeOceanDataAssetTrigger(slow.id, poll_interval=0.01, deadline=time.time() + 0.2)
    )
    assert (event["status"], event["state"]) == ("timeout", "draft")


async def test_run_with_past_deadline_emits_timeout_after_first_poll(draft):
    (event,) = await events_of(CodeOceanDataAssetTrigger(draft.id, deadline=time.time() - 60))
    assert (event["status"], event["state"]) == ("timeout", "draft")


async def test_run_with_unknown_data_asset_emits_error(code_ocean):
    (event,) = await events_of(CodeOceanDataAssetTrigger("no-such-asset"))
    assert (event["status"], event["state"]) == ("error", None)
    assert "404" in event["message"]


async def test_run_with_invalid_connection_emits_error(code_ocean, connect):
    connect(code_ocean.url, "")
    (event,) = await events_of(CodeOceanDataAssetTrigger("a1"))
    assert event["status"] == "error"
    assert "has no password" in event["message"]


@pytest.mark.parametrize(
    ("deadline", "seconds", "status", "message"),
    [
        (None, (120, 180), "error", "no connection codeocean_default"),
        (30, (30, 31), "timeout", "connection codeocean_default cannot be read: no connection"),
    ],
)
def test_run_with_missing_connection_emits_error_or_timeout(monkeypatch, deadline, seconds, status, message):
    async def not_found(*_, **__):
        raise AirflowNotFoundException("no connection codeocean_default")

    async def scene():
        started_at = time.time()
        trigger = CodeOceanDataAssetTrigger("a1", deadline=deadline and started_at + deadline)
        return await events_of(trigger), time.time() - started_at

    monkeypatch.setattr(CodeOceanHook, "read_options_async", not_found)
    (event,), seconds_taken = run(scene(), monkeypatch)
    assert event["status"] == status
    assert message in event["message"]
    assert seconds[0] <= seconds_taken <= seconds[1]


async def test_run_with_connection_missing_briefly_continues(draft, monkeypatch):
    """Airflow reports a missing connection also if a secrets backend fails."""
    name = "AIRFLOW_CONN_CODEOCEAN_DEFAULT"
    read, connection = CodeOceanHook.read_options_async, os.environ[name]

    async def missing_at_first(self):
        try:
            return await read(self)
        finally:
            monkeypatch.setenv(name, connection)

    monkeypatch.setattr(CodeOceanHook, "read_options_async", missing_at_first)
    monkeypatch.delenv(name)
    (event,) = await events_of(CodeOceanDataAssetTrigger(draft.id, poll_interval=0.01))
    assert event["status"] == "success"


async def test_run_with_failing_secrets_backend_continues(draft, monkeypatch):
    read, failures = CodeOceanHook.read_options_async, iter([OSError("vault is sealed")])

    async def failing_at_first(self):
        for failure in failures:
            raise failure
        return await read(self)

    monkeypatch.setattr(CodeOceanHook, "read_options_async", failing_at_first)
    (event,) = await events_of(CodeOceanDataAssetTrigger(draft.id, poll_interval=0.01))
    assert event["status"] == "success"


@pytest.mark.parametrize("status", [405, 410])
async def test_run_with_permanent_error_emits_error(code_ocean, draft, status):
    code_ocean.faults.add(FaultRule(method="GET", kind="status", status=status))
    (event,) = await events_of(CodeOceanDataAssetTrigger(draft.id))
    assert event["status"] == "error"
    assert str(status) in event["message"]


async def test_run_with_slow_data_asset_logs_progress(slow_creation, draft, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(waits, "_FIRST_PROGRESS_SECONDS", 0.2)
    await events_of(CodeOceanDataAssetTrigger(draft.id, poll_interval=0.05, deadline=time.time() + 1))
    progress = [line for line in caplog.messages if " is in state draft after " in line]
    assert len(progress) >= 1


def test_wait_in_worker_for_slow_data_asset_logs_progress(slow_creation, draft, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(waits, "_FIRST_PROGRESS_SECONDS", 0.2)
    with pytest.raises(WaitTimeout):
        CodeOceanHook().wait_for(DataAssetWait(draft.id, poll_interval=0.05, deadline=time.time() + 1))
    assert [line for line in caplog.messages if " is in state draft after " in line]
