"""The metrics there are, and where they go. The table in ``docs/runbook.md`` is compared with this one."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from datetime import timedelta

_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]")
_MAX_CONNECTION = 32


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. No tag has values without bound: an id is none.

    :param name: its name, before which Airflow puts its ``[metrics] statsd_prefix``.
    :param kind: what it is.
    :param meaning: what it tells.
    :param tags: its tags beside ``connection``, which all have, and their values.
    """

    name: str
    kind: Literal["counter", "gauge", "timer"]
    meaning: str
    tags: tuple[tuple[str, tuple[str, ...]], ...] = ()


WAITS = Metric("codeocean.waits", "gauge", "waits and watches under way in this triggerer")
REQUESTS = Metric(
    "codeocean.requests", "counter", "requests that waits have sent", (("kind", ("search", "read")),)
)
THROTTLED = Metric("codeocean.throttled", "counter", "of these, answered with 429")
REFUSED = Metric("codeocean.token_refused", "counter", "of these, answered with 401")
REQUEST_ERRORS = Metric(
    "codeocean.request_errors", "counter", "of these, failed otherwise: on the way, or by a server in trouble"
)
CYCLE = Metric("codeocean.cycle", "timer", "how long one round of looks took")
NOTICE_LATENCY = Metric(
    "codeocean.notice_latency",
    "timer",
    "from the last look before an end to the one that showed it: how late it was noticed at most",
)
CAPTURES = Metric(
    "codeocean.captures",
    "counter",
    "captures and runs that have begun, in workers",
    (("what", ("data_asset", "computation")), ("how", ("created", "adopted"))),
)

ALL = (WAITS, REQUESTS, THROTTLED, REFUSED, REQUEST_ERRORS, CYCLE, NOTICE_LATENCY, CAPTURES)


def gauge_name(metric: Metric, connection: str) -> str:
    """Return the name under which a gauge is also sent, so that StatsD without tags keeps connections apart.

    Airflow does the same with pools: ``pool.open_slots.<pool>``. OpenTelemetry allows 63 characters with
    Airflow's prefix.

    :param metric: the gauge.
    :param connection: id of the connection.
    :returns: the name of the gauge, with the connection; a checksum stands for what a name cannot hold.
    """
    safe = _UNSAFE.sub("_", connection)[:_MAX_CONNECTION]
    if safe != connection:
        safe = f"{safe[: _MAX_CONNECTION - 9]}_{zlib.crc32(connection.encode()):08x}"
    return f"{metric.name}.{safe}"


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
