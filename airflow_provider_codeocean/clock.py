"""The time for durations within one process."""

from __future__ import annotations

import time


class SteadyClock:
    """Tells Unix seconds, as they were when it was made and with what has passed since.

    Nobody can set it: where the machine's clock is set forward or back, a wait of ten minutes takes ten
    minutes. What is kept beyond one process is compared with a new one there.
    """

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def __call__(self) -> float:
        """Return the time, in Unix seconds."""
        return self._offset + time.monotonic()
