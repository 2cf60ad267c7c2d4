"""Triggers that end their task in the triggerer, against the emulator."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest
from airflow.triggers.base import TaskSuccessEvent

from airflow_provider_codeocean.api.models.data_asset_params import DataAssetParams
from airflow_provider_codeocean.compat.features import Feature
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.triggers import _base
from airflow_provider_codeocean.triggers.computation import CodeOceanComputationTrigger
from airflow_provider_codeocean.triggers.data_asset import CodeOceanDataAssetTrigger
from airflow_provider_codeocean.triggers.search import CodeOceanDataAssetSearchTrigger
from tests.triggers.fake_supervisor import FakeSupervisor

pytestmark = [
    pytest.mark.fault("N1"),
    pytest.mark.skipif(
        not Feature.START_FROM_TRIGGER.is_available, reason="before Airflow 3.3 tasks end in workers"
    ),
]
URL = "https://codeocean.test/page"


@pytest.fixture
def supervisor(monkeypatch):
    from airflow.sdk.execution_time import task_runner

    supervisor = FakeSupervisor()
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", supervisor, raising=False)
    return supervisor


def create_data_asset(code_ocean, **fields):
    source = {"computation": {"id": code_ocean.env["CODEOCEAN_COMPUTATION_ID"]}}
    values = {"name": "n", "mount": "m", "tags": ["t"], "source": source} | fields
    with CodeOceanHook().get_conn() as client:
        return client.data_assets.create(DataAssetParams.model_validate(values))


def in_triggerer(trigger, *, do_xcom_push=True, map_index=-1):
    trigger.end_from_trigger = {"do_xcom_push": do_xcom_push, "url": URL}
    trigger.task_instance = SimpleNamespace(dag_id="d", task_id="t", run_id="r", map_index=map_index)
    trigger.poll_interval = 0.01
    return trigger


async def only_event(trigger):
    (event,) = [event async for event in trigger.run()]
    return event


async def test_run_with_successful_wait_pushes_result_and_ends_task(code_ocean, supervisor):
    asset = create_data_asset(code_ocean)
    trigger = in_triggerer(CodeOceanDataAssetTrigger(asset.id), map_index=3)
    assert isinstance(await only_event(trigger), TaskSuccessEvent)
    result = supervisor.xcoms["t", "return_value", 3]
    assert (result["id"], result["state"], result["url"]) == (asset.id, "ready", URL)
    assert result["files"] > 0


async def test_run_with_computation_or_search_pushes_same_result_as_worker(code_ocean, supervisor):
    computation_id = code_ocean.env["CODEOCEAN_COMPUTATION_ID"]
    assert isinstance(
        await only_event(in_triggerer(CodeOceanComputationTrigger(computation_id))), TaskSuccessEvent
    )
    assert supervisor.xcoms["t", "return_value", -1]["id"] == computation_id
    asset = create_data_asset(code_ocean, name="found", tags=["wanted"])
    search = CodeOceanDataAssetSearchTrigger({"query": "tag:wanted"})
    assert isinstance(await only_event(in_triggerer(search)), TaskSuccessEvent)
    assert [asset["id"] for asset in supervisor.xcoms["t", "return_value", -1]] == [asset.id]


async def test_run_without_push_result_ends_task(code_ocean, supervisor):
    trigger = in_triggerer(CodeOceanDataAssetTrigger(create_data_asset(code_ocean).id), do_xcom_push=False)
    assert isinstance(await only_event(trigger), TaskSuccessEvent)
    assert supervisor.xcoms == {}


async def test_run_with_failed_push_leaves_end_to_worker(code_ocean, supervisor, monkeypatch):
    monkeypatch.setattr(_base, "MIN_DEFERRAL_SECONDS", 0.0)
    supervisor.is_unavailable = True
    asset = create_data_asset(code_ocean)
    event = await only_event(in_triggerer(CodeOceanDataAssetTrigger(asset.id)))
    assert event.payload["status"] == "success"


async def test_run_with_failed_wait_leaves_end_to_worker(code_ocean, supervisor, monkeypatch):
    monkeypatch.setattr(_base, "MIN_DEFERRAL_SECONDS", 0.0)
    asset = create_data_asset(code_ocean, source={"aws": {"bucket": "no-such-bucket", "prefix": "x"}})
    event = await only_event(in_triggerer(CodeOceanDataAssetTrigger(asset.id)))
    assert event.payload["status"] == "failed"
    assert supervisor.xcoms == {}


async def test_run_with_event_for_worker_waits_for_minimum_deferral(code_ocean, supervisor, monkeypatch):
    monkeypatch.setattr(_base, "MIN_DEFERRAL_SECONDS", 0.5)
    trigger = in_triggerer(CodeOceanDataAssetTrigger(create_data_asset(code_ocean).id))
    trigger.end_from_trigger = None
    started_at = time.monotonic()
    event = await only_event(trigger)
    assert event.payload["status"] == "success"
    assert time.monotonic() - started_at >= 0.5


async def test_run_in_dag_test_leaves_end_to_same_process(code_ocean):
    trigger = CodeOceanDataAssetTrigger(create_data_asset(code_ocean).id, poll_interval=0.01)
    trigger.end_from_trigger = {"do_xcom_push": True, "url": URL}
    event = await only_event(trigger)  # no task instance, no supervisor
    assert event.payload["status"] == "success"
