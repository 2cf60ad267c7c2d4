"""What the tests of the API client share: a server, both clients, and a clock that need not be waited for."""

from __future__ import annotations

import asyncio
from functools import partial
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, settings

from tests.api.fake_server import BOTH, Ask, FakeServer

# How long an example takes says more of the machine than of the code.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


@pytest.fixture
def server() -> FakeServer:
    """A server that has no answers yet."""
    return FakeServer()


@pytest.fixture(params=BOTH)
def ask(request: pytest.FixtureRequest, server: FakeServer) -> Ask:
    """Ask the server by means of either client: ``ask(lambda client: client.data_assets.get("a1"))``."""
    return partial(BOTH[request.param], server)


class Clock:
    """The time that passes between attempts: it passes at once, and is kept."""

    def __init__(self) -> None:
        self.now = 0.0
        self.waits: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds

    async def sleep_async(self, seconds: float) -> None:
        self.sleep(seconds)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock that tenacity reads and sleeps by."""
    clock = Clock()
    monkeypatch.setattr("tenacity.time", SimpleNamespace(monotonic=lambda: clock.now))
    monkeypatch.setattr("tenacity.nap.time", SimpleNamespace(sleep=clock.sleep))
    monkeypatch.setattr(asyncio, "sleep", clock.sleep_async)
    return clock
