"""A clock for durations within one process."""

from __future__ import annotations

import time


class MonotonicUnixClock:
    """Returns Unix seconds that advance monotonically, even if somebody sets the machine's clock.

    Use it within one process only: times that are stored need ``time.time()``.
    """

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def __call__(self) -> float:
        """Return the time, in Unix seconds."""
        return self._offset + time.monotonic()
