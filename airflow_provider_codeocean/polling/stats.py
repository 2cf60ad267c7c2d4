"""A poller's metrics, and its line in the log once a minute."""

from __future__ import annotations

import logging
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_codeocean.metrics import (
    CYCLE,
    NOTICE_LATENCY,
    REFUSED,
    REQUEST_ERRORS,
    REQUESTS,
    THROTTLED,
    WAITS,
    Metrics,
    NoMetrics,
    gauge_name,
)

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

#: Seconds between two lines in the log.
_SUMMARY_SECONDS = 60.0


class PollerStats:
    """Counts what one poller does: see :mod:`~airflow_provider_codeocean.metrics`.

    :param name: name of the connection.
    :param metrics: where metrics go.
    :param now: the time, by the event loop's clock.
    """

    def __init__(self, name: str, metrics: Metrics, now: float) -> None:
        self._name = name
        self._metrics = metrics
        self._tags = {"connection": name}
        self._logged_at = now
        self._reset()

    def _reset(self) -> None:
        self._counts: Counter[str] = Counter()
        self._latest = 0.0
        self._last_error = ""

    def request(self, kind: str) -> None:
        """Count a request."""
        self._counts[kind] += 1
        self._measure(self._metrics.incr, REQUESTS.name, tags={**self._tags, "kind": kind})

    def throttled(self) -> None:
        """Count a 429."""
        self._counts["throttled"] += 1
        self._measure(self._metrics.incr, THROTTLED.name)

    def unauthorized(self) -> None:
        """Count a 401."""
        self._counts["unauthorized"] += 1
        self._measure(self._metrics.incr, REFUSED.name)

    def failed(self, error: Exception) -> None:
        """Count a request that failed otherwise."""
        self._counts["failed"] += 1
        self._last_error = str(error)
        self._measure(self._metrics.incr, REQUEST_ERRORS.name)

    def ended(self, latency: float) -> None:
        """Count an end that was noticed.

        :param latency: seconds since the poll before.
        """
        self._counts["ended"] += 1
        self._latest = max(self._latest, latency)
        self._measure(self._metrics.timing, NOTICE_LATENCY.name, timedelta(seconds=latency))

    def cycle(self, seconds: float) -> None:
        """Record how long a round of polls took."""
        self._measure(self._metrics.timing, CYCLE.name, timedelta(seconds=seconds))

    def waits(self, count: int) -> None:
        """Record how many waits there are."""
        for name in (WAITS.name, gauge_name(WAITS, self._name)):
            self._measure(self._metrics.gauge, name, count)

    def _measure(self, record: Callable[..., None], *values: Any, tags: dict[str, Any] | None = None) -> None:
        try:
            record(*values, tags=tags or self._tags)
        except Exception:
            # Waits go on without metrics.
            log.exception("The metrics of connection %s are given up", self._name)
            self._metrics = NoMetrics()

    def log_summary(self, now: float, waits: int, rate: float) -> None:
        """Write the log line, if it is time.

        :param now: the time.
        :param waits: how many waits there are.
        :param rate: how many reads a second may be sent.
        """
        if now - self._logged_at < _SUMMARY_SECONDS:
            return
        counts = self._counts
        log.info(
            "Code Ocean connection %s: %d waits; in the last %.0f s %d ended, noticed after %.1f s at most, "
            "with %d searches, %d readings, %d refused as too many, %d because of the access token, "
            "%d failed%s; at most %.0f requests/s",
            self._name,
            waits,
            now - self._logged_at,
            counts["ended"],
            self._latest,
            counts["search"],
            counts["read"],
            counts["throttled"],
            counts["unauthorized"],
            counts["failed"],
            f" (the last: {self._last_error})" if self._last_error else "",
            rate,
        )
        self._logged_at = now
        self._reset()
