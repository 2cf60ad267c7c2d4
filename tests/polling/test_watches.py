"""Watches, in virtual time: one look for all who watch the same, and nothing that ends them."""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import aclosing
from functools import partial
from itertools import pairwise

import httpx
import pytest

from airflow_provider_codeocean.api.client import CodeOceanAsyncClient
from airflow_provider_codeocean.outcomes import Verdict
from airflow_provider_codeocean.polling import poller as polling
from airflow_provider_codeocean.polling.poller import wait_together
from airflow_provider_codeocean.polling.watches import ComputationsWatch, DataAssetsWatch, follow
from tests.polling.virtual_time import run

INTERVAL = 60.0


class Server:
    """Lists computations, and pages through data assets.

    :ivar computations: what there is.
    :ivar assets: how many data assets match.
    :ivar troubles: periods (from, to, status); status 0 is no connection.
    :ivar requests: when each came.
    """

    def __init__(self) -> None:
        self.computations: list[dict[str, str]] = []
        self.assets = 0
        self.troubles: list[tuple[float, float, int]] = []
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
        for begin, end, status in self.troubles:
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
    wait = partial(wait_together, connect=server.connect, name="co")
    try:
        async with asyncio.timeout(seconds), aclosing(follow(watch, wait)) as looks:
            async for look in looks:
                shown.append((now(), [each.id for each in look]))
    except TimeoutError:
        return shown


def watch_alone(server, one, monkeypatch, seconds=1000.0):
    shown: list = []
    run(watch(server, one, seconds, shown), monkeypatch)
    assert not any(polling._pollers.values())
    assert all(client._http.is_closed for client in server.clients)
    return shown


def test_the_first_look_is_soon_and_the_others_at_an_even_pace(monkeypatch):
    server = Server()
    shown = watch_alone(server, computations(), monkeypatch)
    times = [at for at, _ in shown]
    assert times[0] <= 1.1
    pauses = [after - before for before, after in pairwise(times)]
    assert all(0.84 * INTERVAL < pause < 1.02 * INTERVAL for pause in pauses)
    assert len(server.requests) == len(shown)


def test_all_who_watch_the_same_share_a_look(monkeypatch):
    server = Server()
    server.computations = [{"id": "x", "state": "completed"}]
    shown: list[list] = [[] for _ in range(10)]

    async def scene() -> None:
        each = [watch(server, computations(), 1000, one) for one in shown[:9]]
        late = asyncio.create_task(watch(server, computations(10 * INTERVAL), 700, shown[9]))
        await asyncio.gather(*each, late)

    run(scene(), monkeypatch)
    assert len(server.requests) <= 1000 / (0.85 * INTERVAL) + 2
    assert len({len(one) for one in shown[:9]}) == 1
    assert len(shown[9]) > 700 / INTERVAL - 1  # who wants to look seldom is shown what others see
    assert all(look == ["x"] for one in shown for _, look in one)
    assert len(server.clients) == 1


def test_each_capsule_costs_a_request_a_look(monkeypatch):
    server = Server()

    async def scene() -> None:
        await asyncio.gather(*(watch(server, computations(capsule=f"c{n}"), 600, []) for n in range(5)))

    run(scene(), monkeypatch)
    assert 5 * 600 / INTERVAL <= len(server.requests) <= 5 * (600 / (0.85 * INTERVAL) + 2)


def test_who_takes_his_time_sees_the_newest_look(monkeypatch):
    server = Server()

    async def scene() -> list[str]:
        looks = follow(computations(), partial(wait_together, connect=server.connect, name="co"))
        async with aclosing(looks):
            await anext(looks)
            await asyncio.sleep(3 * INTERVAL)
            server.computations = [{"id": "new"}]
            await asyncio.sleep(1.1 * INTERVAL)
            return [each.id for each in await anext(looks)]

    assert run(scene(), monkeypatch) == ["new"]


@pytest.mark.parametrize(("assets", "requests"), [(0, 1), (1000, 1), (2500, 3)])
def test_a_search_shows_all_pages(monkeypatch, assets, requests):
    server = Server()
    server.assets = assets
    one = DataAssetsWatch({"query": "tag:x"}, poll_interval=INTERVAL)
    assert one.call.body["limit"] == 1000
    shown = watch_alone(server, one, monkeypatch, seconds=INTERVAL / 2)
    assert [look for _, look in shown] == [[f"a{number}" for number in range(assets)]]
    assert len(server.requests) == requests


@pytest.mark.parametrize("status", [401, 403, 404, 503, 0])
def test_no_trouble_ends_it_and_each_is_told_once(monkeypatch, caplog, status):
    server = Server()
    server.troubles = [(300.0, 2000.0, status)]
    with caplog.at_level(logging.WARNING):
        shown = watch_alone(server, computations(), monkeypatch, seconds=3000)
    assert max(at for at, _ in shown) > 2900
    assert not [at for at, _ in shown if 300 < at < 2000]
    told = [each for each in caplog.messages if "computations of capsules/c1" in each]
    assert len(told) == 2
    assert "cannot look, and will look again" in told[0]
    assert told[1].endswith("is well again")
    assert len([at for at in server.requests if 300 < at < 2000]) < 2 * 1700 / INTERVAL + 10


def test_a_connection_that_is_not_there_is_waited_for(monkeypatch, caplog):
    server = Server()
    server.is_unknown_until = 500.0
    shown = watch_alone(server, computations(), monkeypatch)
    assert 500 < shown[0][0] < 500 + INTERVAL + 2
    assert len([each for each in caplog.messages if "isn't defined" in each]) == 1


def test_being_asked_to_slow_down_is_no_trouble_to_tell(monkeypatch, caplog):
    server = Server()
    server.troubles = [(100.0, 400.0, 429)]
    shown = watch_alone(server, computations(), monkeypatch)
    assert max(at for at, _ in shown) > 900
    assert not [each for each in caplog.messages if "cannot look" in each]


def test_it_is_never_over_nor_fails():
    one = computations()
    assert one.verdict([]) is Verdict.WAITING
    assert "computations of capsules/c1 has shown nothing" in one.describe()
    for what in (lambda: one.failure([]), one.describe_success):
        with pytest.raises(NotImplementedError):
            what()
