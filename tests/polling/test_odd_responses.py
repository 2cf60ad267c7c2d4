"""Responses with absurd numbers and nesting, in virtual time."""

from __future__ import annotations

import asyncio
import json
import time

import pytest

from airflow_provider_codeocean.api._http.library import httpx
from airflow_provider_codeocean.api.endpoints.computations import Computations
from airflow_provider_codeocean.api.endpoints.data_assets import DataAssets
from airflow_provider_codeocean.api.models.base import lenient_number, lenient_value
from airflow_provider_codeocean.api.models.data_asset_summary import DataAssetSummaryPage
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.polling.poller import wait_on_shared_poller
from airflow_provider_codeocean.polling.waits import ComputationWait, DataAssetWait, TransferWait
from tests.api.loopback import LoopbackServer
from tests.polling.fake_deployment import FakeAsset, FakeDeployment
from tests.polling.virtual_time import run

INTERVAL = 10.0


def nested(levels: int) -> str:
    return '{"a":' * levels + "1" + "}" * levels


#: JSON of values that no server should send.
ODD = {
    "400 digits": "1" + "0" * 400,
    "minus 400 digits": "-1" + "0" * 400,
    "5000 digits": "1" * 5000,
    "1e308": "1e308",
    "-1e308": "-1e308",
    "1e400": "1e400",
    "NaN": "NaN",
    "Infinity": "Infinity",
    "negative": "-1",
    "2**63": str(2**63),
    "as text": json.dumps("1" + "0" * 400),
    "300 levels": nested(300),
    "900 levels": nested(900),
}
FIELDS = [
    "created",
    "last_transferred",
    "size",
    "files",
    "custom_metadata",
    "run_time",
    "exit_code",
    "new_field",
]


class OddDeployment(FakeDeployment):
    """Adds a field to all objects in its responses."""

    field, odd_value = "created", "1"

    async def _handle(self, request: httpx.Request) -> httpx.Response:
        response = await super()._handle(request)
        content = response.content
        for asset_id in self.assets:
            addition = f'"{self.field}": {self.odd_value}, "id":"{asset_id}"'
            content = content.replace(f'"id":"{asset_id}"'.encode(), addition.encode())
        if self.field == "created":
            content = content.replace(b'"created":18', b'"created_before":18')
        return httpx.Response(response.status_code, content=content)


def poll_odd(field: str, value: str, wait_class, count: int, monkeypatch) -> tuple[OddDeployment, list]:
    deployment = OddDeployment(
        *(FakeAsset(f"a{number}", 300.0, {"state": "ready"}) for number in range(count)),
    )
    if wait_class is ComputationWait:
        for asset in deployment.assets.values():
            asset.final_fields = {"state": "completed", "end_status": "succeeded"}
    deployment.field, deployment.odd_value = field, value

    async def one(asset_id: str) -> Exception | None:
        wait = wait_class(asset_id, poll_interval=INTERVAL, deadline=time.time() + 400)
        wait.needs_full_read = True
        try:
            await wait_on_shared_poller(wait, connect=deployment.connect, name="co")
        except Exception as error:  # noqa: BLE001
            return error
        if wait.result is not None:
            json.dumps(wait.result.model_dump(mode="json"), allow_nan=False)
        return None

    async def scene():
        return await asyncio.gather(*map(one, deployment.assets))

    return deployment, run(scene(), monkeypatch)


@pytest.mark.fault("B7")
@pytest.mark.parametrize("value", ODD.values(), ids=ODD)
@pytest.mark.parametrize("wait_class", [DataAssetWait, ComputationWait])
@pytest.mark.parametrize("field", ["created", "custom_metadata", "new_field"])
def test_poller_with_odd_value_keeps_waiting_without_extra_requests(field, wait_class, value, monkeypatch):
    deployment, errors = poll_odd(field, value, wait_class, 1, monkeypatch)
    assert errors == [None]
    assert len(deployment.requests) <= 310 / INTERVAL + 12


@pytest.mark.long
@pytest.mark.fault("B7")
@pytest.mark.parametrize("value", ODD.values(), ids=ODD)
def test_poller_with_odd_value_in_searches_sends_no_extra_requests(value, monkeypatch):
    deployment, errors = poll_odd("created", value, DataAssetWait, 40, monkeypatch)
    assert errors == [None] * 40
    assert len(deployment.requests) <= 40 * (310 / INTERVAL + 12)


class BrokenWait(DataAssetWait):
    """A wait that cannot handle a response."""

    def observe(self, result):
        super().observe(result)
        if self.clock() > self._started_at + 60:
            raise OverflowError("int too large to convert to float")


@pytest.mark.fault("B7")
@pytest.mark.parametrize("others", [0, 3, 200])
def test_poller_with_error_in_handling_ends_that_wait_with_reason(others, monkeypatch):
    deployment = FakeDeployment(*(FakeAsset(f"a{number}", 300.0) for number in range(others + 1)))

    async def one(asset_id: str) -> Exception | None:
        wait_class = BrokenWait if asset_id == "a0" else DataAssetWait
        wait = wait_class(asset_id, poll_interval=INTERVAL, deadline=time.time() + 400)
        try:
            await wait_on_shared_poller(wait, connect=deployment.connect, name="co")
        except Exception as error:  # noqa: BLE001
            return error
        return None

    async def scene():
        return await asyncio.gather(*map(one, deployment.assets))

    error, *rest = run(scene(), monkeypatch)
    assert isinstance(error, OverflowError)
    assert rest == [None] * others
    assert deployment.count("a0") <= 60 / INTERVAL + 12


@pytest.mark.fault("B7")
@pytest.mark.parametrize("value", ODD.values(), ids=ODD)
@pytest.mark.parametrize("field", FIELDS)
def test_response_with_odd_value_is_read_and_serialized(field, value):
    content = f'{{"id": "a", "name": "n", "state": "draft", "{field}": {value}}}'.encode()
    for resource in (DataAssets, Computations):
        result = resource.get.build_request(resource.path_prefix, "a").parse_json(content)
        assert result.id == "a"
        json.dumps(result.model_dump(mode="json"), allow_nan=False)
        assert float(result.created or 0) < 1e19


@pytest.mark.fault("B7")
@pytest.mark.parametrize(
    "value", [10**400, -(10**400), 1e308, -1e308, float("nan"), float("inf"), "1" + "0" * 400]
)
def test_lenient_number_with_too_large_number_is_none(value):
    assert lenient_number(value) is None
    assert lenient_value({"a": [float("nan"), 1.5]}) == {"a": [None, 1.5]}


@pytest.mark.fault("B7")
def test_data_asset_summary_with_too_large_created_omits_it():
    content = f'{{"has_more": false, "results": [{{"id": "a", "created": {10**300}}}]}}'.encode()
    assert DataAssetSummaryPage.from_bytes(content).results[0].created is None


@pytest.mark.fault("B7")
@pytest.mark.parametrize("wait_class", [DataAssetWait, ComputationWait, TransferWait])
@pytest.mark.parametrize("value", ["1" + "0" * 400, "1e308", nested(300)], ids=["digits", "1e308", "nested"])
@pytest.mark.parametrize("field", ["created", "custom_metadata"])
def test_worker_with_odd_value_keeps_waiting(field, value, wait_class, monkeypatch, connect):
    pending = f'{{"id": "a", "state": "draft", "{field}": {value}}}'.encode()
    ended = b'{"id": "a", "state": "completed", "end_status": "succeeded"}'
    if wait_class is not ComputationWait:
        ended = b'{"id": "a", "state": "ready", "last_transferred": 7}'
    sleeps: list[float] = []
    with LoopbackServer() as server:
        server.response = (200, {}, pending)

        def sleep(seconds):
            sleeps.append(seconds)
            if len(sleeps) == 5:
                server.response = (200, {}, ended)

        connect(server.url, server.token)
        monkeypatch.setattr("airflow_provider_codeocean.hooks.codeocean.time.sleep", sleep)
        CodeOceanHook().wait_for(wait_class("a", poll_interval=INTERVAL, deadline=None))
        assert len(server.request_lines) == 6
    assert min(sleeps) >= 1
