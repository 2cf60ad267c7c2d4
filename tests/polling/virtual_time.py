"""An event loop whose clock jumps to whatever happens next: hours pass in milliseconds."""

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

#: What the time is when a loop begins, in Unix seconds.
BEGIN = 1_800_000_000.0


class _Jumping(selectors.DefaultSelector):
    """Waits for nothing: where no file is ready, it lets the time pass that would have been waited."""

    now = 0.0

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if not ready and timeout is None:
            raise RuntimeError("everybody waits, and nothing is left that could happen")
        if not ready and timeout:
            self.now += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """The loop."""

    def __init__(self) -> None:
        self._clock = _Jumping()
        super().__init__(self._clock)

    def time(self) -> float:
        """Return the seconds since it was made."""
        return self._clock.now


def run(main: Coroutine[Any, Any, T], monkeypatch: pytest.MonkeyPatch) -> T:
    """Run a coroutine in virtual time, which ``time`` tells, too; chance is the same each time."""
    random.seed(7)
    with asyncio.Runner(loop_factory=VirtualLoop) as runner, monkeypatch.context() as patch:
        loop = runner.get_loop()
        patch.setattr(time, "time", lambda: BEGIN + loop.time())
        patch.setattr(time, "monotonic", loop.time)
        return runner.run(main)
