"""The connection is edited while waits stand, in virtual time: all notice within a minute."""

from __future__ import annotations

import asyncio
from collections import defaultdict

import pytest

from tests.polling.deployment import Asset, Deployment
from tests.polling.test_poller import Waiting
from tests.polling.virtual_time import run


class Recording(Deployment):
    """Records when each host was sent a request, and with which tokens."""

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
def test_poller_host_edited_is_followed_within_a_minute(count, interval, monkeypatch):
    deployment = Recording(*(Asset(f"a{number}", 200.0) for number in range(count)))
    waiting = Waiting(deployment, interval=interval)

    async def scene():
        waits = asyncio.create_task(waiting.all())
        await asyncio.sleep(100)
        deployment.known_url, deployment.known_token = "https://new.test", "another"
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
def test_poller_reads_an_unchanged_connection_once_a_minute(monkeypatch):
    deployment = Recording(*(Asset(f"a{number}", 3600.0) for number in range(50)))
    run(Waiting(deployment).all(), monkeypatch)
    assert 60 <= len(deployment.connection_read_at) <= 70
    assert len(deployment.clients) == 1


@pytest.mark.fault("B6")
def test_poller_connection_that_hangs_does_not_delay_waits(monkeypatch):
    deployment = Recording(*(Asset(f"a{number}", 300.0) for number in range(20)))
    waiting, read = Waiting(deployment, interval=5.0), deployment.connect

    async def connect(current=None):
        if current is not None:
            await asyncio.sleep(10**6)
        return await read(current)

    deployment.connect = connect
    run(waiting.all(), monkeypatch)
    assert waiting.errors == {}
    assert max(waiting.lateness()) <= 7.5
