"""The poller that all waits on one connection share in an event loop.

A problem with one wait does not affect the others:

- The scheduling loop does no I/O. It selects the targets that are due, starts a search if this saves
  requests, and queues the others for a read. A search runs in its own task and takes precedence over reads
  for a moment only, so a slow search delays no wait, and slow reads delay no search.
- A target whose read fails has its own backoff and honors its own ``Retry-After``. If the read hung, the
  target uses other slots than the targets that answer.
- A 429 slows down the kind of request that was rejected: searches or reads. The rejected target honors its
  ``Retry-After``. The kind pauses for as long only if other targets are rejected as well.
- An outage is declared only if several different targets fail in a row that were healthy before. Then one
  request at a time probes the server. After the outage, the rate starts low.
- An exception while a response is handled ends the waits for that target with this exception.
- The connection is read again once a minute, and at once after a refused token or an untrusted certificate
  (:mod:`~airflow_provider_codeocean.polling.shared_client`).

Targets that searches show as pending are also read, in turn
(:mod:`~airflow_provider_codeocean.polling.search_consistency`), so a search that lags, is incomplete, or is
stale delays a wait but never loses it.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections import Counter
from contextlib import suppress
from operator import attrgetter
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from airflow_provider_codeocean.api.errors import RateLimited, Unauthorized, WaitTimeout
from airflow_provider_codeocean.metrics import (
    DETECTION_LATENCY,
    POLL_CYCLE_DURATION,
    REQUEST_ERRORS,
    REQUESTS,
    THROTTLED,
    TOKEN_REFUSED,
    WAITS,
    SafeStats,
)
from airflow_provider_codeocean.polling.bulk_reader import BulkReader
from airflow_provider_codeocean.polling.registry import PollRegistry
from airflow_provider_codeocean.polling.search_consistency import SearchConsistencyMonitor
from airflow_provider_codeocean.polling.shared_client import SharedClient
from airflow_provider_codeocean.polling.single_reader import SingleReader

if TYPE_CHECKING:
    from airflow_provider_codeocean.api.errors import CodeOceanError
    from airflow_provider_codeocean.metrics import StatsLogger
    from airflow_provider_codeocean.polling.shared_client import ClientFactory
    from airflow_provider_codeocean.polling.waits import Wait

log = logging.getLogger(__name__)

#: Time in which a wait is polled once, even if its deadline has already passed when it starts.
_MIN_WAIT_SECONDS = 5.0
_MIN_CYCLE_PAUSE_SECONDS = 0.02
_CYCLE_PAUSE_SECONDS_PER_TARGET = 1e-5
_MAX_CYCLE_PAUSE_SECONDS = 10.0
_SUMMARY_INTERVAL_SECONDS = 60.0


class PollerStats:
    """Counts the events of one poller for metrics, and for a log line once a minute."""

    def __init__(self, name: str, stats_logger: StatsLogger | None, now: float) -> None:
        self._name = name
        self._stats = SafeStats(stats_logger, name)
        self._logged_at = now
        self._reset()

    def _reset(self) -> None:
        self._counts: Counter[str] = Counter()
        self._max_latency = 0.0
        self._last_error = ""

    def record_request(self, kind: str) -> None:
        """Count a request of kind ``read`` or ``search``."""
        self._counts[kind] += 1
        self._stats.increment(REQUESTS, kind=kind)

    def record_error(self, error: CodeOceanError) -> None:
        """Count a request that failed transiently or because of the access token."""
        if isinstance(error, RateLimited):
            self._counts["throttled"] += 1
            self._stats.increment(THROTTLED)
        elif isinstance(error, Unauthorized):
            self._counts["unauthorized"] += 1
            self._stats.increment(TOKEN_REFUSED)
        else:
            self._counts["failed"] += 1
            self._last_error = str(error)
            self._stats.increment(REQUEST_ERRORS)

    def record_outcome(self, latency: float) -> None:
        """Count a terminal outcome, detected a number of seconds after the previous poll."""
        self._counts["ended"] += 1
        self._max_latency = max(self._max_latency, latency)
        self._stats.record_duration(DETECTION_LATENCY, latency)

    def record_cycle(self, seconds: float) -> None:
        """Record the duration of a poll cycle."""
        self._stats.record_duration(POLL_CYCLE_DURATION, seconds)

    def record_wait_count(self, count: int) -> None:
        """Record the number of waits."""
        self._stats.set_gauge(WAITS, count)

    def log_summary(self, now: float, wait_count: int, read_rate: float) -> None:
        """Write the log line, if it is due."""
        if now - self._logged_at < _SUMMARY_INTERVAL_SECONDS:
            return
        counts = self._counts
        log.info(
            "Code Ocean connection %s: %d waits; in the last %.0f s %d ended, noticed after %.1f s at most, "
            "with %d searches, %d readings, %d refused as too many, %d because of the access token, "
            "%d failed%s; at most %.0f requests/s",
            self._name,
            wait_count,
            now - self._logged_at,
            counts["ended"],
            self._max_latency,
            counts["search"],
            counts["read"],
            counts["throttled"],
            counts["unauthorized"],
            counts["failed"],
            f" (the last: {self._last_error})" if self._last_error else "",
            read_rate,
        )
        self._logged_at = now
        self._reset()


class Poller:
    """The poller of one connection in the running event loop. The last wait to leave closes it.

    :param connect: reads the connection and creates a client.
    :param name: name of the connection.
    :param stats_logger: backend of the metrics; None sends none.
    :ivar is_closed: whether it accepts no more waits.
    """

    def __init__(self, connect: ClientFactory, *, name: str, stats_logger: StatsLogger | None = None) -> None:
        loop = asyncio.get_running_loop()
        self.is_closed = False
        self._now = now = loop.time
        self._wait_count = 0
        self._stats = stats = PollerStats(name, stats_logger, now())
        self._client = client = SharedClient(connect, name=name, stats=stats, now=now)
        client.on_recovery = self._recover
        self._registry = registry = PollRegistry(now, stats)
        monitor = SearchConsistencyMonitor(now())
        self._wake_event = asyncio.Event()
        self._next_wake_at = 0.0
        self._cycle_started_at: float | None = None
        self._bulk_reader = BulkReader(registry, client, monitor, now, name=name, wake=self._wake_event.set)
        self._single_reader = SingleReader(registry, client, monitor, now, wake_by=self._wake_by)
        # In a new context, because its log lines belong to no single task.
        self._task = loop.create_task(
            self._run(), name=f"codeocean-poller-{name}", context=contextvars.Context()
        )

    async def wait(self, wait: Wait) -> None:
        """Wait until a target has succeeded. It is polled at least once."""
        self._wait_count += 1
        try:
            target, future = self._registry.add(wait)
            self._wake_by(target.next_poll_at)
            remaining = wait.remaining()
            async with asyncio.timeout(None if remaining is None else max(remaining, _MIN_WAIT_SECONDS)):
                await future
        except TimeoutError:
            wait.last_error = wait.last_error or self._client.last_error
            raise WaitTimeout(wait.describe_timeout()) from None
        finally:
            self._registry.remove(wait)
            self._wait_count -= 1
            await self._close_if_unused()

    async def _close_if_unused(self) -> None:
        if self._wait_count:
            return
        if not self.is_closed:
            self.is_closed = True
            self._task.cancel()
        await asyncio.wait({self._task})

    async def _run(self) -> None:
        try:
            await self._client.open()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._run_cycles())
                for kind in self._client.limiters:
                    tasks.create_task(self._single_reader.run(kind))
                tasks.create_task(self._client.reload_periodically())
        except Exception as error:  # noqa: BLE001 - after any error, no wait may hang forever
            self.is_closed = True
            self._registry.fail_all(error.exceptions[0] if isinstance(error, ExceptionGroup) else error)
        finally:
            await self._bulk_reader.cancel()
            await self._single_reader.cancel()
            await self._client.close()
            self._stats.record_wait_count(0)

    async def _run_cycles(self) -> None:
        while True:
            next_at = self._run_cycle()
            self._record_cycle()
            self._stats.record_wait_count(self._wait_count)
            self._stats.log_summary(self._now(), self._wait_count, self._client.limiters["read"].rate)
            await self._sleep_until(next_at)

    def _run_cycle(self) -> float:
        """Start a poll of all targets that are due, and return when the next one is due."""
        now = self._now()
        next_at = now + _MAX_CYCLE_PAUSE_SECONDS
        due = []
        for target in self._registry:
            if target.is_read_in_progress:
                continue
            if target.next_poll_at <= now:
                due.append(target)
            elif target.next_poll_at < next_at:
                next_at = target.next_poll_at
        if due:
            self._cycle_started_at = self._cycle_started_at or now
            reads_wait_until = self._bulk_reader.start(due, now)
            if reads_wait_until > now:
                next_at = min(next_at, reads_wait_until)
                due = [target for target in due if not target.is_searchable(now)]
        self._single_reader.enqueue(
            [*sorted(due, key=attrgetter("next_poll_at")), *self._single_reader.pick_for_verification()]
        )
        return next_at

    def _record_cycle(self) -> None:
        if (
            self._cycle_started_at is not None
            and not self._single_reader.has_queued
            and not self._bulk_reader.is_searching
        ):
            self._stats.record_cycle(self._now() - self._cycle_started_at)
            self._cycle_started_at = None

    async def _sleep_until(self, next_at: float) -> None:
        now = self._now()
        min_pause = _MIN_CYCLE_PAUSE_SECONDS + _CYCLE_PAUSE_SECONDS_PER_TARGET * len(self._registry)
        self._wake_event.clear()
        self._next_wake_at = max(next_at, now + min_pause)
        await asyncio.sleep(min_pause)
        with suppress(TimeoutError):
            async with asyncio.timeout_at(self._next_wake_at):
                await self._wake_event.wait()

    def _wake_by(self, next_poll_at: float) -> None:
        if next_poll_at < self._next_wake_at:
            self._wake_event.set()

    def _recover(self) -> None:
        """Return to the usual intervals, because an outage has ended or the client was replaced."""
        now = self._now()
        self._client.breaker.record_success()
        for limiter in self._client.limiters.values():
            limiter.resume()
        for target in self._registry:
            target.clear_failures(now)
        self._wake_event.set()


_pollers: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Poller]] = WeakKeyDictionary()


async def wait_on_shared_poller(
    wait: Wait, *, connect: ClientFactory, name: str, stats_logger: StatsLogger | None = None
) -> None:
    """Wait on the poller that all waits on this connection share in this event loop.

    :param wait: the wait.
    :param connect: reads the connection and creates a client.
    :param name: name of the connection.
    :param stats_logger: backend of the metrics; None sends none.
    :raises WaitTimeout: if the deadline passed.
    :raises CodeOceanError: if the wait failed.
    :raises ValueError: if the identifier is invalid, or the connection is unusable.
    """
    pollers = _pollers.setdefault(asyncio.get_running_loop(), {})
    poller = pollers.get(name)
    if poller is None or poller.is_closed:
        poller = pollers[name] = Poller(connect, name=name, stats_logger=stats_logger)
    try:
        await poller.wait(wait)
    finally:
        if poller.is_closed and pollers.get(name) is poller:
            del pollers[name]
