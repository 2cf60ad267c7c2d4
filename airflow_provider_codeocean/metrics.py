"""The provider's metrics. ``docs/runbook.md`` lists them in the same words."""

from __future__ import annotations

import logging
import re
import zlib
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

_UNSAFE_CHARACTER = re.compile(r"[^A-Za-z0-9_.-]")
_MAX_CONNECTION_CHARACTERS = 32


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric. Tags have a bounded number of values, so no tag holds an id.

    :param name: name; Airflow prefixes it with ``[metrics] statsd_prefix``.
    :param kind: kind of metric.
    :param description: description for the documentation.
    :param tags: tags and their values, in addition to ``connection``, which every metric has.
    """

    name: str
    kind: Literal["counter", "gauge", "timer"]
    description: str
    tags: tuple[tuple[str, tuple[str, ...]], ...] = ()


WAITS = Metric("codeocean.waits", "gauge", "active waits and watches in this triggerer")
REQUESTS = Metric("codeocean.requests", "counter", "requests sent by waits", (("kind", ("search", "read")),))
THROTTLED = Metric("codeocean.throttled", "counter", "requests answered with HTTP 429")
TOKEN_REFUSED = Metric("codeocean.token_refused", "counter", "requests answered with HTTP 401")
REQUEST_ERRORS = Metric(
    "codeocean.request_errors", "counter", "requests that failed because of the network or the server"
)
POLL_CYCLE_DURATION = Metric("codeocean.poll_cycle_duration", "timer", "duration of a poll cycle")
DETECTION_LATENCY = Metric(
    "codeocean.detection_latency",
    "timer",
    "time between the last poll that found a target pending and the poll that found it terminal",
)
SUBMISSIONS = Metric(
    "codeocean.submissions",
    "counter",
    "jobs that workers submitted or adopted",
    (("job_type", ("data_asset", "computation")), ("action", ("created", "adopted"))),
)

ALL_METRICS = (
    WAITS,
    REQUESTS,
    THROTTLED,
    TOKEN_REFUSED,
    REQUEST_ERRORS,
    POLL_CYCLE_DURATION,
    DETECTION_LATENCY,
    SUBMISSIONS,
)


def connection_gauge_name(metric: Metric, connection: str) -> str:
    """Return the name of a gauge for one connection, because StatsD without tags would mix the connections.

    Airflow does the same for pools: ``pool.open_slots.<pool>``. The name has at most 63 characters with
    Airflow's prefix, which is OpenTelemetry's limit.

    :param metric: the gauge.
    :param connection: id of the connection.
    :returns: the name; a checksum makes ids distinct that a name cannot contain as they are.
    """
    safe = _UNSAFE_CHARACTER.sub("_", connection)[:_MAX_CONNECTION_CHARACTERS]
    if safe != connection:
        safe = f"{safe[: _MAX_CONNECTION_CHARACTERS - 9]}_{zlib.crc32(connection.encode()):08x}"
    return f"{metric.name}.{safe}"


class StatsLogger(Protocol):
    """A backend of metrics, such as Airflow's ``Stats``."""

    def incr(self, stat: str, count: int = 1, *, tags: dict[str, Any]) -> None:
        """Increment a counter."""

    def gauge(self, stat: str, value: float, *, tags: dict[str, Any]) -> None:
        """Set a gauge."""

    def timing(self, stat: str, dt: timedelta, *, tags: dict[str, Any]) -> None:
        """Record a duration."""


class SafeStats:
    """Sends the metrics of one connection. Never raises: after an error, it logs it and sends no more.

    :param stats_logger: backend of the metrics; None sends none.
    :param connection: id of the connection.
    """

    def __init__(self, stats_logger: StatsLogger | None, connection: str) -> None:
        self._stats_logger = stats_logger
        self._connection = connection
        self._tags = {"connection": connection}

    def increment(self, metric: Metric, **tags: str) -> None:
        """Increment a counter.

        :param metric: the counter.
        :param **tags: its tags.
        """
        tags = {**self._tags, **tags} if tags else self._tags
        self._send(lambda stats: stats.incr(metric.name, tags=tags))

    def set_gauge(self, metric: Metric, value: float) -> None:
        """Set a gauge, also under its name for this connection."""
        name = connection_gauge_name(metric, self._connection)
        self._send(lambda stats: stats.gauge(metric.name, value, tags=self._tags))
        self._send(lambda stats: stats.gauge(name, value, tags=self._tags))

    def record_duration(self, metric: Metric, seconds: float) -> None:
        """Record a duration in seconds."""
        self._send(lambda stats: stats.timing(metric.name, timedelta(seconds=seconds), tags=self._tags))

    def _send(self, send: Callable[[StatsLogger], None]) -> None:
        if self._stats_logger is None:
            return
        try:
            send(self._stats_logger)
        except Exception:
            log.exception("Could not send the metrics of connection %s, sending no more", self._connection)
            self._stats_logger = None
