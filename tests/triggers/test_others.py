"""The triggers of transfers, computations, and searches, against the emulator."""

from __future__ import annotations

import json
import time
from importlib import import_module

import pytest

from airflow_provider_codeocean.api.models.computation import RunParams
from airflow_provider_codeocean.api.models.data_asset_params import TransferParams
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.triggers.computation import CodeOceanComputationTrigger
from airflow_provider_codeocean.triggers.search import CodeOceanDataAssetSearchTrigger
from airflow_provider_codeocean.triggers.transfer import CodeOceanTransferTrigger


async def event_of(trigger):
    (event,) = [event.payload async for event in trigger.run()]
    return event


@pytest.mark.parametrize(
    "trigger",
    [
        CodeOceanTransferTrigger(
            "a1",
            last_transferred=1_700_000_000.0,
            transfer_error="no such bucket",
            codeocean_conn_id="lab",
            poll_interval=2.5,
            deadline=1_800_000_000.5,
        ),
        CodeOceanDataAssetSearchTrigger(
            {"query": "tag:x"}, codeocean_conn_id="lab", poll_interval=2.5, deadline=1_800_000_000.5
        ),
        CodeOceanComputationTrigger(
            "c1", codeocean_conn_id="lab", poll_interval=2.5, deadline=1_800_000_000.5
        ),
    ],
)
def test_serialize_returns_json_that_recreates_trigger(trigger):
    path, arguments = trigger.serialize()
    assert json.loads(json.dumps(arguments)) == arguments
    module, name = path.rsplit(".", 1)
    restored = getattr(import_module(module), name)(**arguments)
    assert restored.serialize() == trigger.serialize()


@pytest.mark.parametrize(
    ("bucket", "status"), [("CODEOCEAN_ARCHIVE_BUCKET", "success"), ("no such", "failed")]
)
async def test_run_with_finished_transfer_emits_one_event(code_ocean, bucket, status):
    asset_id = code_ocean.env["CODEOCEAN_DATA_ASSET_ID"]
    target = {"target": {"aws": {"bucket": code_ocean.env.get(bucket, "no-such-bucket")}}}
    with CodeOceanHook().get_conn() as client:
        client.data_assets.transfer(asset_id, TransferParams.model_validate(target | {"force": True}))
    event = await event_of(CodeOceanTransferTrigger(asset_id, poll_interval=0.01))
    assert (event["status"], event["data_asset_id"], event["state"]) == (status, asset_id, "ready")
    assert asset_id in event["message"]


@pytest.mark.parametrize(
    ("capsule", "status"), [("CODEOCEAN_CAPSULE_ID", "success"), ("CODEOCEAN_FAILING_CAPSULE_ID", "failed")]
)
async def test_run_with_finished_computation_emits_one_event(code_ocean, capsule, status):
    with CodeOceanHook().get_conn() as client:
        computation = client.computations.run(RunParams(capsule_id=code_ocean.env[capsule]))
    event = await event_of(CodeOceanComputationTrigger(computation.id, poll_interval=0.01))
    assert (event["status"], event["computation_id"]) == (status, computation.id)
    assert computation.id in event["message"]


async def test_run_with_search_without_result_emits_timeout(code_ocean):
    params = {"query": "tag:nowhere", "limit": 1}
    trigger = CodeOceanDataAssetSearchTrigger(params, poll_interval=0.05, deadline=time.time() - 1)
    event = await event_of(trigger)
    assert (event["status"], event["state"]) == ("timeout", "0 found")
    assert "tag:nowhere" in event["message"]
    assert "found no data asset in time" in event["message"]


async def test_run_with_search_result_emits_success(code_ocean):
    event = await event_of(CodeOceanDataAssetSearchTrigger({"query": ""}, poll_interval=0.05))
    assert event["status"] == "success"
