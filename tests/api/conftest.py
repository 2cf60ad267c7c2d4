"""Fixtures for tests of the API client: a server, both clients, and a clock."""

from __future__ import annotations

import asyncio
from functools import partial
from types import SimpleNamespace

import pytest

from tests.api.fake_server import CALLERS, ClientCaller, FakeServer


@pytest.fixture
def server() -> FakeServer:
    """A server without responses; set ``responders``."""
    return FakeServer()


@pytest.fixture(params=CALLERS)
def ask(request: pytest.FixtureRequest, server: FakeServer) -> ClientCaller:
    """Call the server with one of the clients: ``ask(lambda client: client.data_assets.get("a1"))``."""
    return partial(CALLERS[request.param], server)


class FakeClock:
    """Records the delays between attempts, which end at once."""

    def __init__(self) -> None:
        self.now = 0.0
        self.waits: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds

    async def sleep_async(self, seconds: float) -> None:
        self.sleep(seconds)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    """A fake clock for tenacity."""
    clock = FakeClock()
    monkeypatch.setattr("tenacity.time", SimpleNamespace(monotonic=lambda: clock.now))
    monkeypatch.setattr("tenacity.nap.time", SimpleNamespace(sleep=clock.sleep))
    monkeypatch.setattr(asyncio, "sleep", clock.sleep_async)
    return clock
