"""Log lines about waits and captures name an id, an idempotency key, or the connection."""

from __future__ import annotations

import asyncio
import logging

import pytest

from airflow_provider_codeocean.api.models.data_asset_params import DataAssetParams
from airflow_provider_codeocean.emulator import FaultRule
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.polling.watches import ComputationsWatch, stream_results
from airflow_provider_codeocean.submission import protocol
from airflow_provider_codeocean.triggers.data_asset import CodeOceanDataAssetTrigger
from tests.operators._submit_once.test_runner import KEY, State, capturing
from tests.polling.fake_deployment import FakeDeployment
from tests.polling.test_poller import Waiting, many
from tests.polling.virtual_time import run

PACKAGE = "airflow_provider_codeocean"
CONNECTION = "codeocean_default"


def lines(caplog) -> list[str]:
    """Return the log lines of the package."""
    return [record.getMessage() for record in caplog.records if record.name.startswith(PACKAGE)]


@pytest.fixture
def params(code_ocean):
    source = {"computation": {"id": code_ocean.env["CODEOCEAN_COMPUTATION_ID"]}}
    return DataAssetParams.model_validate({"name": "n", "mount": "m", "tags": [], "source": source})


def test_capture_and_wait_in_worker_log_id_or_key(code_ocean, params, caplog, monkeypatch):
    monkeypatch.setattr(protocol, "MAX_SEARCH_LAG_SECONDS", 0.2)
    monkeypatch.setattr(protocol, "_INITIAL_DELAY_SECONDS", 0.05)
    code_ocean.emulator.search_lag = 0.1
    code_ocean.faults.add(FaultRule(method="POST", path="data_assets", kind="close_after"))
    code_ocean.faults.add(FaultRule(method="GET", path="data_assets/*", kind="status", status=503))
    with caplog.at_level(logging.INFO):
        runner = capturing(1, State(), asked=params)
        submission = runner.start()
        CodeOceanHook().wait_for_data_asset(submission.job.id, poll_interval=0.01)
        runner.confirm(submission)
    messages = lines(caplog)
    assert CONNECTION in messages[0]
    assert any(line.startswith("Waiting for data asset") and CONNECTION in line for line in messages)
    assert any("is not known" in line for line in messages)
    assert any("retrying" in line for line in messages)
    assert [line for line in messages if submission.job.id not in line and KEY not in line] == []


async def test_wait_in_triggerer_logs_id_and_connection(code_ocean, params, caplog):
    with CodeOceanHook().get_conn() as client:
        asset = client.data_assets.create(params)
    with caplog.at_level(logging.INFO):
        [event] = [event async for event in CodeOceanDataAssetTrigger(asset.id, poll_interval=0.01).run()]
    assert event.payload["status"] == "success"
    [line] = lines(caplog)
    assert asset.id in line
    assert CONNECTION in line


def test_poller_logs_connection(caplog, monkeypatch):
    deployment = FakeDeployment(*many(300, 700, 800))
    deployment.index_frozen_at = 300.0
    deployment.faults = [(20.0, 40.0, "search 500"), (60.0, 100.0, "outage"), (120.0, 125.0, "429")]

    async def scene() -> None:
        waits = asyncio.create_task(Waiting(deployment).all())
        await asyncio.sleep(200)
        deployment.token = "new"
        await asyncio.sleep(100)
        deployment.connection_token = "new"
        await waits

    with caplog.at_level(logging.INFO, logger=f"{PACKAGE}.polling"):
        run(scene(), monkeypatch)
    messages = [line for line in lines(caplog) if "retrying with a new one" not in line]
    for expected in ("search failed", "search index is stale", "refuses", "again", "300 waits"):
        assert any(expected in line for line in messages), expected
    assert [line for line in messages if "onnection co" not in line] == []


async def test_watch_logs_target_and_connection(caplog):
    watch = ComputationsWatch("capsules", "c1", poll_interval=0.01)
    watch.connection = CONNECTION

    async def wait(watch):
        if "poll failed" in caplog.text:
            watch.observe([])
            await asyncio.sleep(60)
        raise ValueError("no such connection")

    results = stream_results(watch, wait)
    await anext(results)
    await results.aclose()
    messages = lines(caplog)
    assert len(messages) == 2
    assert all("capsules/c1" in line and CONNECTION in line for line in messages)
