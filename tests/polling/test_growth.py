"""Memory of a poller that never closes: waits that end leave nothing behind."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import sys

import pytest

from airflow_provider_codeocean.polling import poller as polling
from tests.polling.fake_deployment import FakeAsset, FakeDeployment
from tests.polling.test_poller import Waiting
from tests.polling.virtual_time import run

WAITS_PER_SECOND = 4
MAX_WAIT_SECONDS = 30.0
ROUND_SECONDS = 120
ROUNDS = 8
#: Rounds after which bounded caches are full.
WARM_UP_ROUNDS = 5
#: Allowed differences between rounds: a fraction of one per wait.
MAX_BLOCK_GROWTH = 300
MAX_OBJECT_GROWTH = 150


class Flow(Waiting):
    """Waits that start at an even pace, with faults of all kinds and a token that is rotated in slot round.

    :ivar clients: number of replaced clients.
    """

    clients = 0

    def start(self, name: str, ends_at: float) -> asyncio.Task[None]:
        asset = self.deployment.assets[name] = FakeAsset(name, ends_at)
        asset.created_at = asyncio.get_running_loop().time()
        return asyncio.create_task(self.wait(name))

    async def run_round(self, number: int) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        self.deployment.faults = [
            (now + 20, now + 25, "429"),
            (now + 40, now + 60, "search 500"),
            (now + 80, now + 90, "outage"),
            (now + 100, now + 102, "html"),
        ]
        self.deployment.token = f"token {number}"
        waits = []
        for second in range(ROUND_SECONDS):
            for slot in range(WAITS_PER_SECOND):
                ends_at = loop.time() + MAX_WAIT_SECONDS * (slot + 1) / WAITS_PER_SECOND
                waits.append(self.start(f"{number}-{second}-{slot}", ends_at))
            await asyncio.sleep(1)
            if second == ROUND_SECONDS // 2:
                self.deployment.connection_token = self.deployment.token
        await asyncio.gather(*waits)
        assert len(self.noticed) == ROUND_SECONDS * WAITS_PER_SECOND
        assert not self.errors
        self.forget()

    def forget(self) -> None:
        """Forget the records of the test itself."""
        self.noticed.clear()
        self.deployment.requests.clear()
        self.deployment.connection_reads.clear()
        self.deployment._requests_by_second.clear()
        self.clients += len(self.deployment.clients) - 1
        del self.deployment.clients[:-1]
        for name in self.deployment.assets.keys() - {"standing"}:
            del self.deployment.assets[name]


def measure_resources() -> dict[str, int]:
    gc.collect()
    return {
        "blocks": sys.getallocatedblocks(),
        "objects": len(gc.get_objects()),
        "tasks": len(asyncio.all_tasks()),
        "descriptors": len(os.listdir("/proc/self/fd")),  # noqa: PTH208 - only the number matters
    }


@pytest.mark.long
def test_poller_with_many_short_waits_leaks_nothing(monkeypatch):
    deployment = FakeDeployment()
    flow = Flow(deployment)
    rounds = []

    async def scene() -> None:
        standing = flow.start("standing", float("inf"))
        for number in range(ROUNDS):
            await flow.run_round(number)
            rounds.append(measure_resources())
        [poller] = polling._pollers[asyncio.get_running_loop()].values()
        assert len(poller._registry) == 1
        standing.cancel()
        await asyncio.wait({standing})

    logging.disable()  # pytest would keep all lines
    try:
        run(scene(), monkeypatch)
    finally:
        logging.disable(logging.NOTSET)
    warm, last = rounds[WARM_UP_ROUNDS - 1], rounds[-1]
    assert last["blocks"] < warm["blocks"] + MAX_BLOCK_GROWTH, rounds
    assert last["objects"] < warm["objects"] + MAX_OBJECT_GROWTH, rounds
    assert last["tasks"] <= warm["tasks"], rounds
    assert last["descriptors"] <= warm["descriptors"], rounds
    assert flow.clients == ROUNDS  # and the last one
