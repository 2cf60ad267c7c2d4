"""Watches, in virtual time: they share polls and survive errors."""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import aclosing
from functools import partial
from itertools import pairwise

import pytest

from airflow_provider_codeocean.api._http.library import httpx
from airflow_provider_codeocean.api.client import CodeOceanAsyncClient
from airflow_provider_codeocean.outcomes import Outcome
from airflow_provider_codeocean.polling import poller as polling
from airflow_provider_codeocean.polling.poller import wait_on_shared_poller
from airflow_provider_codeocean.polling.watches import ComputationsWatch, DataAssetsWatch, stream_results
from tests.polling.virtual_time import run

INTERVAL = 60.0


class Server:
    """Lists computations, and pages through data assets.

    :ivar computations: the computations.
    :ivar assets: number of matching data assets.
    :ivar faults: periods (from, to, status); status 0 is a connection error.
    :ivar requests: time of each request.
    """

    def __init__(self) -> None:
        self.computations: list[dict[str, str]] = []
        self.assets = 0
        self.faults: list[tuple[float, float, int]] = []
        self.requests: list[float] = []
        self.clients: list[CodeOceanAsyncClient] = []
        self.is_unknown_until = 0.0

    async def connect(self, current: CodeOceanAsyncClient | None) -> CodeOceanAsyncClient:
        if current is not None:
            return current
        if now() < self.is_unknown_until:
            raise ValueError("the conn_id `co` isn't defined")
        transport = httpx.MockTransport(self.handle)
        self.clients.append(CodeOceanAsyncClient("https://co.test", "t", retry_budget=0, transport=transport))
        return self.clients[-1]

    async def handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(now())
        for begin, end, status in self.faults:
            if begin <= now() < end:
                if not status:
                    raise httpx.ConnectError("no route", request=request)
                return httpx.Response(status, json={"message": "trouble"})
        if request.url.path.endswith("/search"):
            body = json.loads(request.content)
            begin = int(body.get("next_token") or 0)
            end = min(begin + body["limit"], self.assets)
            results = [{"id": f"a{number}", "state": "ready"} for number in range(begin, end)]
            has_more = end < self.assets
            page = {"has_more": has_more, "next_token": str(end) if has_more else None, "results": results}
            return httpx.Response(200, json=page)
        return httpx.Response(200, json=self.computations)


def now() -> float:
    return asyncio.get_running_loop().time()


def computations(poll_interval=INTERVAL, capsule="c1"):
    return ComputationsWatch("capsules", capsule, poll_interval=poll_interval)


async def watch(server, watch, seconds, shown):
    wait = partial(wait_on_shared_poller, connect=server.connect, name="co")
    try:
        async with asyncio.timeout(seconds), aclosing(stream_results(watch, wait)) as results:
            async for result in results:
                shown.append((now(), [computation.id for computation in result]))
    except TimeoutError:
        return shown


def watch_alone(server, one, monkeypatch, seconds=1000.0):
    shown: list = []
    run(watch(server, one, seconds, shown), monkeypatch)
    assert not any(polling._pollers.values())
    assert all(client._http.is_closed for client in server.clients)
    return shown


def test_watch_polls_soon_and_then_at_steady_interval(monkeypatch):
    server = Server()
    shown = watch_alone(server, computations(), monkeypatch)
    times = [at for at, _ in shown]
    assert times[0] <= 1.1
    pauses = [after - before for before, after in pairwise(times)]
    assert all(0.84 * INTERVAL < pause < 1.02 * INTERVAL for pause in pauses)
    assert len(server.requests) == len(shown)


def test_watch_that_is_closed_leaves_no_task(monkeypatch):
    server = Server()

    async def scene() -> int:
        await watch(server, computations(), 10.0, [])
        return len(asyncio.all_tasks())

    assert run(scene(), monkeypatch) == 1


def test_watches_of_same_capsule_share_polls(monkeypatch):
    server = Server()
    server.computations = [{"id": "x", "state": "completed"}]
    shown: list[list] = [[] for _ in range(10)]

    async def scene() -> None:
        watches = [watch(server, computations(), 1000, results) for results in shown[:9]]
        late = asyncio.create_task(watch(server, computations(10 * INTERVAL), 700, shown[9]))
        await asyncio.gather(*watches, late)

    run(scene(), monkeypatch)
    assert len(server.requests) <= 1000 / (0.85 * INTERVAL) + 2
    assert len({len(one) for one in shown[:9]}) == 1
    assert len(shown[9]) > 700 / INTERVAL - 1  # a watch with a long interval gets all results
    assert all(look == ["x"] for one in shown for _, look in one)
    assert len(server.clients) == 1


def test_watches_of_different_capsules_poll_separately(monkeypatch):
    server = Server()

    async def scene() -> None:
        await asyncio.gather(*(watch(server, computations(capsule=f"c{n}"), 600, []) for n in range(5)))

    run(scene(), monkeypatch)
    assert 5 * 600 / INTERVAL <= len(server.requests) <= 5 * (600 / (0.85 * INTERVAL) + 2)


def test_watch_with_slow_consumer_yields_newest_results(monkeypatch):
    server = Server()

    async def scene() -> list[str]:
        results = stream_results(
            computations(), partial(wait_on_shared_poller, connect=server.connect, name="co")
        )
        async with aclosing(results):
            await anext(results)
            await asyncio.sleep(3 * INTERVAL)
            server.computations = [{"id": "new"}]
            await asyncio.sleep(1.1 * INTERVAL)
            return [computation.id for computation in await anext(results)]

    assert run(scene(), monkeypatch) == ["new"]


@pytest.mark.parametrize(("assets", "requests"), [(0, 1), (1000, 1), (2500, 3)])
def test_data_assets_watch_yields_all_pages(monkeypatch, assets, requests):
    server = Server()
    server.assets = assets
    one = DataAssetsWatch({"query": "tag:x"}, poll_interval=INTERVAL)
    assert one.request.body["limit"] == 1000
    shown = watch_alone(server, one, monkeypatch, seconds=INTERVAL / 2)
    assert [look for _, look in shown] == [[f"a{number}" for number in range(assets)]]
    assert len(server.requests) == requests


@pytest.mark.parametrize("status", [401, 403, 404, 503, 0])
def test_watch_with_any_error_continues_and_logs_it_once(monkeypatch, caplog, status):
    server = Server()
    server.faults = [(300.0, 2000.0, status)]
    with caplog.at_level(logging.WARNING):
        shown = watch_alone(server, computations(), monkeypatch, seconds=3000)
    assert max(at for at, _ in shown) > 2900
    assert not [at for at, _ in shown if 300 < at < 2000]
    messages = [line for line in caplog.messages if "computations of capsules/c1" in line]
    assert len(messages) == 2
    assert "poll failed, retrying" in messages[0]
    assert messages[1].endswith("recovered")
    assert len([at for at in server.requests if 300 < at < 2000]) < 2 * 1700 / INTERVAL + 10


def test_watch_with_missing_connection_waits(monkeypatch, caplog):
    server = Server()
    server.is_unknown_until = 500.0
    shown = watch_alone(server, computations(), monkeypatch)
    assert 500 < shown[0][0] < 500 + INTERVAL + 2
    assert len([line for line in caplog.messages if "isn't defined" in line]) == 1


def test_watch_with_429_logs_no_error(monkeypatch, caplog):
    server = Server()
    server.faults = [(100.0, 400.0, 429)]
    shown = watch_alone(server, computations(), monkeypatch)
    assert max(at for at, _ in shown) > 900
    assert not [line for line in caplog.messages if "poll failed" in line]


def test_computations_watch_is_always_pending():
    one = computations()
    assert one.outcome([]) is Outcome.PENDING
    assert "computations of capsules/c1 has shown nothing" in one.describe_timeout()
    for call in (lambda: one.to_error([]), one.describe_success):
        with pytest.raises(NotImplementedError):
            call()
