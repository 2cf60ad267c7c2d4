"""An event loop whose clock jumps to the next event, so that hours pass in milliseconds."""

from __future__ import annotations

import asyncio
import random
import selectors
import time
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

    import pytest

T = TypeVar("T")

#: Time at the start of a loop, in Unix seconds.
START_TIME = 1_800_000_000.0


class _TimeSkippingSelector(selectors.DefaultSelector):
    """Advances the clock instead of waiting, unless a file is ready."""

    now = 0.0

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if not ready and timeout is None:
            raise RuntimeError("deadlock: all tasks wait, and no event is scheduled")
        if not ready and timeout:
            self.now += timeout
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop in virtual time."""

    def __init__(self) -> None:
        self._clock = _TimeSkippingSelector()
        super().__init__(self._clock)

    def time(self) -> float:
        """Return the seconds since the loop was created."""
        return self._clock.now


def run(main: Coroutine[Any, Any, T], monkeypatch: pytest.MonkeyPatch) -> T:
    """Run a coroutine in virtual time, which also applies to ``time``, with a fixed random seed."""
    random.seed(7)
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner, monkeypatch.context() as patch:
        loop = runner.get_loop()
        patch.setattr(time, "time", lambda: START_TIME + loop.time())
        patch.setattr(time, "monotonic", loop.time)
        return runner.run(main)
