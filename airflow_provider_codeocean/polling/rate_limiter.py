"""How fast requests are sent: a rate for each kind of request, and a circuit breaker for outages."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

from airflow_provider_codeocean.polling.waits import LONGEST_RETRY_AFTER

if TYPE_CHECKING:
    from collections.abc import Callable

#: Requests a second.
_FIRST_RATE = 50.0
_MAX_RATE = 200.0
_MIN_RATE = 0.2
_RATE_AFTER_OUTAGE = 10.0
#: How much a second of success adds to the rate.
_RATE_INCREASE = 5.0
#: Seconds to pause after a 429 without ``Retry-After``: multiplied with each, up to the maximum. After a 429
#: that may concern one target alone, they limit the pause for the others.
_DEFAULT_PAUSE = 1.0
_PAUSE_FACTOR = 4.0
MAX_DEFAULT_PAUSE = 60.0
#: How many different targets that answered before must fail in a row to be an outage. With fewer targets,
#: their own backoff is gentle enough.
_OUTAGE_TARGETS = 8
#: The longest pause between two probes in an outage, in seconds.
_MAX_PROBE_PAUSE = 30.0
#: Seconds after which a probe that hangs is not waited for before the next one.
_PROBE_SECONDS = 5.0


class AdaptiveRateLimiter:
    """The rate of one kind of request: additive increase, multiplicative decrease.

    :param now: a monotonic clock, in seconds.
    :ivar rate: requests a second.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self.rate = _FIRST_RATE
        self._now = now
        self._next_at = 0.0
        self._paused_at = 0.0
        self._rejections = 0
        self._rejected: set[object] = set()
        self._succeeded_at = -1.0

    @property
    def is_paused(self) -> bool:
        """Whether the server has asked for a pause that is not over."""
        return self._rejections > 0 and self._next_at > self._now()

    def delay(self) -> float:
        """Return the seconds until the next request may be sent."""
        return max(0.0, self._next_at - self._now())

    def acquire(self) -> None:
        """Record that a request is sent now."""
        self._next_at = max(self._now(), self._next_at) + 1.0 / self.rate

    def record_success(self, sent_at: float) -> None:
        """Record that a request was answered.

        :param sent_at: when the request was sent, by the clock.
        """
        if sent_at >= self._paused_at:
            self._forget_rejections()
        self._succeeded_at = max(self._succeeded_at, sent_at)
        self.rate = min(_MAX_RATE, self.rate + _RATE_INCREASE / self.rate)

    def has_succeeded_since(self, moment: float) -> bool:
        """Return whether a request that was sent after this moment was answered."""
        return self._succeeded_at > moment

    def record_rejection(self, sent_at: float, retry_after: float | None, *, target: object = None) -> None:
        """Record a 429: halve the rate, once for all requests that were rejected together, and pause.

        If the limit may be that of one target, the first pause is short, and the next request shows whether
        others are rejected as well. With each target that is, the pause grows, up to ``Retry-After``.

        :param sent_at: when the request was sent, by the clock.
        :param retry_after: seconds that the server asks to wait, if it says so.
        :param target: the target that was rejected, if the limit may be its own; it honors ``retry_after``
            itself. None if the limit is that of all requests of this kind.
        """
        now = self._now()
        if sent_at >= self._paused_at:
            self.rate = max(_MIN_RATE, self.rate / 2)
            self._paused_at = now
            if target is None or target not in self._rejected:
                self._rejections += 1
                self._rejected.add(target)
        pause = _DEFAULT_PAUSE * _PAUSE_FACTOR ** min(self._rejections - 1, 16)
        longest = LONGEST_RETRY_AFTER if target is None else min(pause, LONGEST_RETRY_AFTER)
        seconds = min(pause, MAX_DEFAULT_PAUSE) if retry_after is None else min(retry_after, longest)
        # Other clients were rejected at the same time.
        self._next_at = max(self._next_at, now + seconds + random.uniform(0, _DEFAULT_PAUSE))  # noqa: S311

    def resume(self) -> None:
        """Send again, slowly at first: there is another server, or it has come back."""
        self.rate = min(self.rate, _RATE_AFTER_OUTAGE)
        self._forget_rejections()
        self._next_at = self._now()

    def _forget_rejections(self) -> None:
        self._rejections = 0
        self._rejected.clear()


class CircuitBreaker:
    """Detects an outage: targets that answered before fail, one after the other, and none succeeds.

    While it is open, one request at a time probes the server.

    :param now: a monotonic clock, in seconds.
    :ivar is_open: whether there is an outage.
    :ivar probe_at: when the next probe may be sent.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self.is_open = False
        self.probe_at = 0.0
        self._now = now
        self._failing: set[object] = set()
        self._has_succeeded = False
        self._probes = 0
        self._opened_at = 0.0

    def record_success(self) -> bool:
        """Record that a request was answered.

        :returns: whether that ended an outage.
        """
        self._has_succeeded = True
        self._failing.clear()
        self._probes = 0
        was_open, self.is_open = self.is_open, False
        return was_open

    def record_probe(self) -> None:
        """Record that a probe is sent: the next one does not wait for it longer than a while."""
        self.probe_at = self._now() + _PROBE_SECONDS

    def record_failure(
        self, target: object, sent_at: float, *, answered_before: bool, retry_after: float | None = None
    ) -> None:
        """Record that a request failed on the way, or in a server in trouble.

        :param target: what was requested.
        :param sent_at: when it was requested, by the clock.
        :param answered_before: whether the last request for it was answered. If none has been answered on
            this connection, all count.
        :param retry_after: seconds that the server asks to wait, if it says so.
        """
        now = self._now()
        if not self.is_open:
            if answered_before or not self._has_succeeded:
                self._failing.add(target)
            if len(self._failing) < _OUTAGE_TARGETS:
                return
            self.is_open, self._opened_at = True, now
        elif sent_at < self._opened_at:
            return  # says nothing new
        pause = min(_MAX_PROBE_PAUSE, 2.0 ** min(self._probes, 16)) * random.uniform(0.5, 1)  # noqa: S311
        self._probes += 1
        self.probe_at = now + min(_MAX_PROBE_PAUSE, max(pause, retry_after or 0.0))
