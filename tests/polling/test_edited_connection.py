"""Connections that are edited during waits, in virtual time: the poller uses them within a minute."""

from __future__ import annotations

import asyncio
from collections import defaultdict

import pytest

from tests.polling.fake_deployment import FakeAsset, FakeDeployment
from tests.polling.test_poller import Waiting
from tests.polling.virtual_time import run


class Recording(FakeDeployment):
    """Records the times and tokens of the requests to each host."""

    def __init__(self, *assets):
        super().__init__(*assets)
        self.times = defaultdict(list)
        self.tokens = defaultdict(set)

    async def _handle(self, request):
        self.times[request.url.host].append(asyncio.get_running_loop().time())
        self.tokens[request.url.host].add(request.headers["authorization"])
        return await super()._handle(request)


@pytest.mark.fault("B6")
@pytest.mark.parametrize("interval", [5.0, 60.0, 3600.0])
@pytest.mark.parametrize("count", [1, 3, 200])
def test_poller_with_edited_host_uses_it_within_a_minute(count, interval, monkeypatch):
    deployment = Recording(*(FakeAsset(f"a{number}", 200.0) for number in range(count)))
    waiting = Waiting(deployment, interval=interval)

    async def scene():
        waits = asyncio.create_task(waiting.all())
        await asyncio.sleep(100)
        deployment.connection_url, deployment.connection_token = "https://new.test", "another"
        await asyncio.sleep(30)
        deployment.token = "another"
        await waits

    run(scene(), monkeypatch)
    assert waiting.errors == {}
    assert max(deployment.times["co.test"]) < 100 + 60
    assert len(deployment.tokens["co.test"]) == len(deployment.tokens["new.test"]) == 1
    assert not deployment.tokens["co.test"] & deployment.tokens["new.test"]
    assert len(deployment.clients) == 2


@pytest.mark.fault("B6")
def test_poller_with_unchanged_connection_reads_it_once_a_minute(monkeypatch):
    deployment = Recording(*(FakeAsset(f"a{number}", 3600.0) for number in range(50)))
    run(Waiting(deployment).all(), monkeypatch)
    assert 60 <= len(deployment.connection_reads) <= 70
    assert len(deployment.clients) == 1


@pytest.mark.fault("B6")
def test_poller_with_hanging_connection_read_delays_no_wait(monkeypatch):
    deployment = Recording(*(FakeAsset(f"a{number}", 300.0) for number in range(20)))
    waiting, read = Waiting(deployment, interval=5.0), deployment.connect

    async def connect(current=None):
        if current is not None:
            await asyncio.sleep(10**6)
        return await read(current)

    deployment.connect = connect
    run(waiting.all(), monkeypatch)
    assert waiting.errors == {}
    assert max(waiting.lateness()) <= 7.5
