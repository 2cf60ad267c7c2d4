"""How fast a connection may be asked: additive increase, multiplicative decrease, and a pause in trouble.

The server's 429 halves the rate and closes the connection's gate for as long as ``Retry-After`` says; each
success raises the rate a little. Where all requests fail, the gate is closed, too, longer each time, and what
opens it again is one request alone: who has been out of reach is not greeted by all at once.
"""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

from airflow_provider_codeocean.polling.wait import LONGEST_RETRY_AFTER

if TYPE_CHECKING:
    from collections.abc import Callable

#: Requests a second: at first, at most, at least, and how much is added in a second of success.
_FIRST_RATE, _HIGHEST_RATE, _LOWEST_RATE, _INCREASE = 50.0, 200.0, 0.2, 5.0
#: Requests in flight: one of httpx's connections each, and its pool slows down with their square.
_IN_FLIGHT = 8
#: How many different requests fail in a row in an outage: a single thing that cannot be read is none.
_OUTAGE = 3
#: Seconds for which the gate is closed after a failure, at most, and after a 429 that says nothing.
_LONGEST_OUTAGE_PAUSE, _UNSAID_PAUSE = 30.0, 1.0


class Pace:
    """The pace of one connection.

    :param now: a monotonic clock, in seconds.
    :ivar rate: requests a second.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self.rate = _FIRST_RATE
        self._now = now
        self._next = 0.0
        self._closed_at = 0.0
        self._failing: set[str] = set()
        self._pauses = 0

    @property
    def in_flight(self) -> int:
        """How many requests may be in flight."""
        return 1 if self.in_trouble else _IN_FLIGHT

    @property
    def in_trouble(self) -> bool:
        """Whether all requests fail."""
        return len(self._failing) >= _OUTAGE

    def reserve(self) -> float:
        """Take the next place in the line of requests.

        :returns: seconds until it may be sent.
        """
        now = self._now()
        place = max(now, self._next)
        self._next = place + 1.0 / self.rate
        return place - now

    def succeeded(self) -> None:
        """Take that a request was answered."""
        self._failing.clear()
        self._pauses = 0
        self.rate = min(_HIGHEST_RATE, self.rate + _INCREASE / self.rate)

    def throttled(self, sent_at: float, retry_after: float | None) -> None:
        """Take that a request was refused because there are too many.

        :param sent_at: when it was sent, by the clock: those sent before the last pause say nothing new.
        :param retry_after: how long the server wants to be left alone, in seconds, where it says so.
        """
        if sent_at >= self._closed_at:
            self.rate = max(_LOWEST_RATE, self.rate / 2)
        pause = _UNSAID_PAUSE if retry_after is None else min(retry_after, LONGEST_RETRY_AFTER)
        # Others were refused with us: not all at once.
        self._close(pause + random.uniform(0, _UNSAID_PAUSE))  # noqa: S311

    def failed(self, sent_at: float, path: str) -> None:
        """Take that a request failed on the way, or in a server in trouble.

        :param sent_at: when it was sent, by the clock: those sent before the last pause say nothing new.
        :param path: its path.
        """
        if sent_at < self._closed_at:
            return
        if not self.in_trouble:
            self._failing.add(path)
        if self.in_trouble:
            pause = min(_LONGEST_OUTAGE_PAUSE, 2.0 ** min(self._pauses, 16))
            self._pauses += 1
            self._close(pause * random.uniform(0.5, 1))  # noqa: S311

    def _close(self, seconds: float) -> None:
        self._closed_at = self._now()
        self._next = max(self._next, self._closed_at + seconds)
