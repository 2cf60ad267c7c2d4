"""Each line about a wait or a capture says what it is about: an id or a key, or the connection of all."""

from __future__ import annotations

import asyncio
import logging

import pytest

from airflow_provider_codeocean.api.models.data_asset_params import DataAssetParams
from airflow_provider_codeocean.emulator import FaultRule
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.polling.watches import ComputationsWatch, follow
from airflow_provider_codeocean.submission import protocol
from airflow_provider_codeocean.triggers.data_asset import CodeOceanDataAssetTrigger
from tests.operators._submit_once.test_runner import KEY, State, capturing
from tests.polling.deployment import Deployment
from tests.polling.test_poller import Waiting, many
from tests.polling.virtual_time import run

PACKAGE = "airflow_provider_codeocean"
CONNECTION = "codeocean_default"


def lines(caplog) -> list[str]:
    """What was logged by the package."""
    return [each.getMessage() for each in caplog.records if each.name.startswith(PACKAGE)]


@pytest.fixture
def params(code_ocean):
    source = {"computation": {"id": code_ocean.env["CODEOCEAN_COMPUTATION_ID"]}}
    return DataAssetParams.model_validate({"name": "n", "mount": "m", "tags": [], "source": source})


def test_of_a_capture_and_its_wait_in_a_worker(code_ocean, params, caplog, monkeypatch):
    monkeypatch.setattr(protocol, "SETTLE", 0.2)
    monkeypatch.setattr(protocol, "_FIRST_PAUSE", 0.05)
    code_ocean.emulator.search_lag = 0.1
    code_ocean.faults.add(FaultRule(method="POST", path="data_assets", kind="close_after"))
    code_ocean.faults.add(FaultRule(method="GET", path="data_assets/*", kind="status", status=503))
    with caplog.at_level(logging.INFO):
        mine = capturing(1, State(), asked=params)
        begun = mine.start()
        CodeOceanHook().wait_for_data_asset(begun.job.id, poll_interval=0.01)
        mine.confirm(begun)
    told = lines(caplog)
    assert CONNECTION in told[0]
    assert any(line.startswith("Waiting for data asset") and CONNECTION in line for line in told)
    assert any("is not known" in line for line in told)
    assert any("Could not look at" in line or "trying again" in line for line in told)
    assert [line for line in told if begun.job.id not in line and KEY not in line] == []


async def test_of_a_wait_in_the_triggerer(code_ocean, params, caplog):
    with CodeOceanHook().get_conn() as client:
        asset = client.data_assets.create(params)
    with caplog.at_level(logging.INFO):
        [event] = [each async for each in CodeOceanDataAssetTrigger(asset.id, poll_interval=0.01).run()]
    assert event.payload["status"] == "success"
    [line] = lines(caplog)
    assert asset.id in line
    assert CONNECTION in line


def test_of_what_all_waits_of_a_connection_share(caplog, monkeypatch):
    deployment = Deployment(*many(300, 700, 800))
    deployment.stands_still_at = 300.0
    deployment.troubles = [(20.0, 40.0, "search 500"), (60.0, 100.0, "outage"), (120.0, 125.0, "429")]

    async def scene() -> None:
        waits = asyncio.create_task(Waiting(deployment).all())
        await asyncio.sleep(200)
        deployment.token = "new"
        await asyncio.sleep(100)
        deployment.known_token = "new"
        await waits

    with caplog.at_level(logging.INFO, logger=f"{PACKAGE}.polling"):
        run(scene(), monkeypatch)
    told = [line for line in lines(caplog) if "going on with another" not in line]
    for wanted in ("searching failed", "searches show an old state", "refuses", "again", "300 waits"):
        assert any(wanted in line for line in told), wanted
    assert [line for line in told if "onnection co" not in line] == []


async def test_of_a_watch(caplog):
    watch = ComputationsWatch("capsules", "c1", poll_interval=0.01)
    watch.connection = CONNECTION

    async def wait(watch):
        if "cannot look" in caplog.text:
            watch.note([])
            await asyncio.sleep(60)
        raise ValueError("no such connection")

    looks = follow(watch, wait)
    await anext(looks)
    await looks.aclose()
    told = lines(caplog)
    assert len(told) == 2
    assert all("capsules/c1" in line and CONNECTION in line for line in told)
