"""What a poller tells of itself: metrics, and one line in the log a minute."""

from __future__ import annotations

import logging
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

#: Seconds between two lines in the log.
_EVERY = 60.0


class Metrics(Protocol):
    """Where metrics go: Airflow's ``Stats`` is one."""

    def incr(self, stat: str, count: int = 1, *, tags: dict[str, Any]) -> None:
        """Count."""

    def gauge(self, stat: str, value: float, *, tags: dict[str, Any]) -> None:
        """Set a value."""

    def timing(self, stat: str, dt: timedelta, *, tags: dict[str, Any]) -> None:
        """Record how long something took."""


class NoMetrics:
    """Keeps no metrics."""

    def incr(self, stat: str, count: int = 1, *, tags: dict[str, Any]) -> None:
        """Do nothing."""

    def gauge(self, stat: str, value: float, *, tags: dict[str, Any]) -> None:
        """Do nothing."""

    def timing(self, stat: str, dt: timedelta, *, tags: dict[str, Any]) -> None:
        """Do nothing."""


class Report:
    """Counts what one poller does.

    ================================  ========  ====================================================
    Metric                            Kind      Meaning
    ================================  ========  ====================================================
    ``codeocean.waits``               gauge     waits under way
    ``codeocean.requests``            counter   requests, by ``kind``: ``search`` or ``read``
    ``codeocean.throttled``           counter   answers of 429
    ``codeocean.request_errors``      counter   requests that failed otherwise
    ``codeocean.cycle``               timer     how long one round of looks took
    ``codeocean.notice_latency``      timer     from the last look before an end to the one that showed it:
                                                how late it was noticed at most
    ================================  ========  ====================================================

    All have the tag ``connection``.

    :param name: name of the connection.
    :param metrics: where metrics go.
    :param now: the time, by the event loop's clock.
    """

    def __init__(self, name: str, metrics: Metrics, now: float) -> None:
        self._name = name
        self._metrics = metrics
        self._tags = {"connection": name}
        self._told_at = now
        self._begin()

    def _begin(self) -> None:
        self._counts: Counter[str] = Counter()
        self._latest = 0.0
        self._last_error = ""

    def request(self, kind: str) -> None:
        """Take that a request is sent."""
        self._counts[kind] += 1
        self._measure(self._metrics.incr, "codeocean.requests", tags={**self._tags, "kind": kind})

    def throttled(self) -> None:
        """Take that a request was refused because there are too many."""
        self._counts["throttled"] += 1
        self._measure(self._metrics.incr, "codeocean.throttled")

    def failed(self, error: Exception) -> None:
        """Take that a request failed otherwise."""
        self._counts["failed"] += 1
        self._last_error = str(error)
        self._measure(self._metrics.incr, "codeocean.request_errors")

    def noticed(self, latency: float) -> None:
        """Take that an end was noticed.

        :param latency: seconds since the look before.
        """
        self._counts["ended"] += 1
        self._latest = max(self._latest, latency)
        self._measure(self._metrics.timing, "codeocean.notice_latency", timedelta(seconds=latency))

    def cycle(self, seconds: float) -> None:
        """Take how long a round of looks took."""
        self._measure(self._metrics.timing, "codeocean.cycle", timedelta(seconds=seconds))

    def waits(self, count: int) -> None:
        """Take how many waits there are."""
        self._measure(self._metrics.gauge, "codeocean.waits", count)

    def _measure(self, record: Callable[..., None], *what: Any, tags: dict[str, Any] | None = None) -> None:
        try:
            record(*what, tags=tags or self._tags)
        except Exception:
            # Whatever becomes of the metrics: the waits go on, without them.
            log.exception("The metrics of connection %s are given up", self._name)
            self._metrics = NoMetrics()

    def tell(self, now: float, waits: int, rate: float) -> None:
        """Write the line, if it is time.

        :param now: the time.
        :param waits: how many waits there are.
        :param rate: how many requests a second may be sent.
        """
        if now - self._told_at < _EVERY:
            return
        counts = self._counts
        log.info(
            "Code Ocean connection %s: %d waits; in the last %.0f s %d ended, noticed after %.1f s at most, "
            "with %d searches, %d readings, %d refused as too many, %d failed%s; at most %.0f requests/s",
            self._name,
            waits,
            now - self._told_at,
            counts["ended"],
            self._latest,
            counts["search"],
            counts["read"],
            counts["throttled"],
            counts["failed"],
            f" (the last: {self._last_error})" if self._last_error else "",
            rate,
        )
        self._told_at = now
        self._begin()
