"""The trigger, against the emulator."""

from __future__ import annotations

import json
import os
import time
from importlib import import_module

import pytest
from airflow.providers.common.compat.sdk import AirflowNotFoundException

from airflow_provider_codeocean.api.models.data_asset_params import DataAssetParams
from airflow_provider_codeocean.emulator import FaultRule, Policy, Transitions
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
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


def test_its_arguments_are_json_and_make_the_same_trigger():
    trigger = CodeOceanDataAssetTrigger(
        "a1", "lab", poll_interval=2.5, deadline=1_800_000_000.5, on_kill="delete"
    )
    path, arguments = trigger.serialize()
    assert json.loads(json.dumps(arguments)) == arguments
    module, name = path.rsplit(".", 1)
    again = getattr(import_module(module), name)(**arguments)
    assert again.serialize() == trigger.serialize()


async def test_one_event_when_the_data_asset_is_ready(draft):
    assert await events_of(CodeOceanDataAssetTrigger(draft.id, poll_interval=0.01)) == [
        {
            "status": "success",
            "data_asset_id": draft.id,
            "state": "ready",
            "message": f"Data asset {draft.id} is ready",
        }
    ]


async def test_one_event_when_it_failed(code_ocean):
    with CodeOceanHook().get_conn() as client:
        source = {"aws": {"bucket": "no-such-bucket", "prefix": "x"}}
        asset = client.data_assets.create(
            DataAssetParams.model_validate({"name": "n", "mount": "m", "tags": [], "source": source})
        )
    (event,) = await events_of(CodeOceanDataAssetTrigger(asset.id, poll_interval=0.01))
    assert (event["status"], event["state"]) == ("failed", "failed")
    assert "no-such-bucket" in event["message"]


async def test_trouble_on_the_way_is_outlasted(code_ocean, draft):
    kinds = ("status", "close_before", "html", "half_body", "empty")
    faults = [code_ocean.faults.add(FaultRule(method="GET", kind=kind, times=1)) for kind in kinds]
    (event,) = await events_of(CodeOceanDataAssetTrigger(draft.id, poll_interval=0.01))
    assert event["status"] == "success"
    assert [fault.hits for fault in faults] == [1] * len(kinds)


async def test_the_deadline_ends_it_with_the_last_state(code_ocean, draft):
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


async def test_a_deadline_in_the_past_ends_it_with_its_first_look(draft):
    (event,) = await events_of(CodeOceanDataAssetTrigger(draft.id, deadline=time.time() - 60))
    assert (event["status"], event["state"]) == ("timeout", "draft")


async def test_a_refusal_ends_it_at_once(code_ocean):
    (event,) = await events_of(CodeOceanDataAssetTrigger("no-such-asset"))
    assert (event["status"], event["state"]) == ("error", None)
    assert "404" in event["message"]


async def test_a_connection_that_cannot_be_used_ends_it(code_ocean, connect):
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
def test_a_connection_that_is_not_there_ends_it(monkeypatch, deadline, seconds, status, message):
    async def not_found(*_, **__):
        raise AirflowNotFoundException("no connection codeocean_default")

    async def scene():
        began = time.time()
        trigger = CodeOceanDataAssetTrigger("a1", deadline=deadline and began + deadline)
        return await events_of(trigger), time.time() - began

    monkeypatch.setattr(CodeOceanHook, "read_options_async", not_found)
    (event,), took = run(scene(), monkeypatch)
    assert event["status"] == status
    assert message in event["message"]
    assert seconds[0] <= took <= seconds[1]


async def test_a_connection_that_is_not_there_for_a_moment_is_waited_for(draft, monkeypatch):
    """Airflow says of a secrets backend that fails that there is no such connection."""
    name = "AIRFLOW_CONN_CODEOCEAN_DEFAULT"
    read, connection = CodeOceanHook.read_options_async, os.environ[name]

    async def at_first_not(self):
        try:
            return await read(self)
        finally:
            monkeypatch.setenv(name, connection)

    monkeypatch.setattr(CodeOceanHook, "read_options_async", at_first_not)
    monkeypatch.delenv(name)
    (event,) = await events_of(CodeOceanDataAssetTrigger(draft.id, poll_interval=0.01))
    assert event["status"] == "success"


async def test_a_backend_that_fails_is_outlasted(draft, monkeypatch):
    read, failures = CodeOceanHook.read_options_async, iter([OSError("vault is sealed")])

    async def sometimes(self):
        for failure in failures:
            raise failure
        return await read(self)

    monkeypatch.setattr(CodeOceanHook, "read_options_async", sometimes)
    (event,) = await events_of(CodeOceanDataAssetTrigger(draft.id, poll_interval=0.01))
    assert event["status"] == "success"


@pytest.mark.parametrize("status", [405, 410])
async def test_what_waiting_cannot_mend_ends_it(code_ocean, draft, status):
    code_ocean.faults.add(FaultRule(method="GET", kind="status", status=status))
    (event,) = await events_of(CodeOceanDataAssetTrigger(draft.id))
    assert event["status"] == "error"
    assert str(status) in event["message"]
