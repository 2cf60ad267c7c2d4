"""What comes and goes leaves nothing behind, though the poller never closes: one wait never ends."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import sys

import pytest

from airflow_provider_codeocean.polling import poller as polling
from tests.polling.deployment import Asset, Deployment
from tests.polling.test_poller import Waiting
from tests.polling.virtual_time import run

#: Waits that begin each second of a round, for how many seconds each stands at most, and seconds of a round.
EACH_SECOND, STANDS, ROUND = 4, 30.0, 120
#: Rounds, and how many of them are to warm up: what is kept of a limited number is filled by then.
ROUNDS, WARM_UP = 8, 5
#: Blocks of memory, and objects, by which rounds may differ: a fraction of one for each wait.
BLOCKS, OBJECTS = 300, 150


class Flow(Waiting):
    """Waits that begin at an even pace, in trouble of all kinds, on a token that is replaced each round.

    :ivar clients: how many clients have been replaced.
    """

    clients = 0

    def begin(self, name: str, ends_at: float) -> asyncio.Task[None]:
        asset = self.deployment.assets[name] = Asset(name, ends_at)
        asset.created_at = asyncio.get_running_loop().time()
        return asyncio.create_task(self.wait(name))

    async def one_round(self, number: int) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        self.deployment.troubles = [
            (now + 20, now + 25, "429"),
            (now + 40, now + 60, "search 500"),
            (now + 80, now + 90, "outage"),
            (now + 100, now + 102, "html"),
        ]
        self.deployment.token = f"token {number}"
        waits = []
        for second in range(ROUND):
            for each in range(EACH_SECOND):
                ends_at = loop.time() + STANDS * (each + 1) / EACH_SECOND
                waits.append(self.begin(f"{number}-{second}-{each}", ends_at))
            await asyncio.sleep(1)
            if second == ROUND // 2:
                self.deployment.known_token = self.deployment.token
        await asyncio.gather(*waits)
        assert len(self.noticed) == ROUND * EACH_SECOND
        assert not self.errors
        self.forget()

    def forget(self) -> None:
        """Forget what the test itself has kept."""
        self.noticed.clear()
        self.deployment.requests.clear()
        self.deployment.connection_read_at.clear()
        self.deployment._second.clear()
        self.clients += len(self.deployment.clients) - 1
        del self.deployment.clients[:-1]
        for name in self.deployment.assets.keys() - {"standing"}:
            del self.deployment.assets[name]


def taken() -> dict[str, int]:
    gc.collect()
    return {
        "blocks": sys.getallocatedblocks(),
        "objects": len(gc.get_objects()),
        "tasks": len(asyncio.all_tasks()),
        "descriptors": len(os.listdir("/proc/self/fd")),  # noqa: PTH208 - a number is all that is wanted
    }


@pytest.mark.long
def test_waits_that_come_and_go_leave_nothing_behind(monkeypatch):
    deployment = Deployment()
    flow = Flow(deployment)
    rounds = []

    async def scene() -> None:
        standing = flow.begin("standing", float("inf"))
        for number in range(ROUNDS):
            await flow.one_round(number)
            rounds.append(taken())
        [poller] = polling._pollers[asyncio.get_running_loop()].values()
        assert len(poller._registry) == 1
        standing.cancel()
        await asyncio.wait({standing})

    logging.disable()  # pytest would keep each line
    try:
        run(scene(), monkeypatch)
    finally:
        logging.disable(logging.NOTSET)
    warm, last = rounds[WARM_UP - 1], rounds[-1]
    assert last["blocks"] < warm["blocks"] + BLOCKS, rounds
    assert last["objects"] < warm["objects"] + OBJECTS, rounds
    assert last["tasks"] <= warm["tasks"], rounds
    assert last["descriptors"] <= warm["descriptors"], rounds
    assert flow.clients == ROUNDS  # and the last one
