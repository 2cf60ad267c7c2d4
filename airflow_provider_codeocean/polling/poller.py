"""One poller for all waits on one connection, in one event loop. Independent of Airflow.

A problem with one wait stays with that wait:

- The scheduling loop does no I/O. It selects the targets that are due, starts a search if that saves
  requests, and queues the others for a read. A search runs in its own task, and targets that it may show are
  left to it for a moment only, so a slow search delays no wait, and slow reads delay no search.
- A target whose read fails has its own backoff and honors its own ``Retry-After``. If the read hung, the
  target uses other slots than the targets that answer.
- A 429 slows the kind of request that was rejected: searches or reads. The target that was rejected honors
  its ``Retry-After``. The kind pauses for as long only if other targets are rejected as well.
- An outage is declared only if several different targets fail in a row that answered before. Then one request
  at a time probes the server, and the rate starts low again after it.
- Whatever is raised while a response is handled ends the waits for that target with this error.
- The connection is read again once a minute, and at once after a refused token or an untrusted certificate
  (:mod:`~airflow_provider_codeocean.polling.shared_client`).

Searches are never the last word: targets that they show pending are also read, in turn
(:mod:`~airflow_provider_codeocean.polling.search_consistency`), so a search that lags, leaves something out,
or is stale delays a wait but never loses it.
"""

from __future__ import annotations

import asyncio
import contextvars
from contextlib import suppress
from operator import attrgetter
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from airflow_provider_codeocean.api.errors import WaitTimeout
from airflow_provider_codeocean.metrics import Metrics, NoMetrics
from airflow_provider_codeocean.polling.bulk_reader import BulkReader
from airflow_provider_codeocean.polling.registry import PollRegistry
from airflow_provider_codeocean.polling.search_consistency import SearchConsistencyMonitor
from airflow_provider_codeocean.polling.shared_client import SharedClient
from airflow_provider_codeocean.polling.single_reader import SingleReader
from airflow_provider_codeocean.polling.stats import PollerStats

if TYPE_CHECKING:
    from airflow_provider_codeocean.polling.shared_client import Connect
    from airflow_provider_codeocean.polling.waits import Wait

#: Seconds in which a wait is polled once, even if its deadline has passed when it starts.
_MIN_WAIT = 5.0
#: Seconds between two cycles: at least, in addition for each target, and at most.
_MIN_PAUSE = 0.02
_PAUSE_PER_TARGET = 1e-5
_MAX_PAUSE = 10.0


class Poller:
    """The poller of one connection in the running event loop. The last wait to leave closes it.

    :param connect: makes a client.
    :param name: name of the connection.
    :param metrics: where metrics go.
    :ivar is_closed: whether it accepts no more waits.
    """

    def __init__(self, connect: Connect, *, name: str, metrics: Metrics | None = None) -> None:
        loop = asyncio.get_running_loop()
        self.is_closed = False
        self._now = now = loop.time
        self._waits = 0
        self._stats = stats = PollerStats(name, metrics or NoMetrics(), now())
        self._client = client = SharedClient(connect, name=name, stats=stats, now=now)
        client.on_recovery = self._recover
        self._registry = registry = PollRegistry(now, stats)
        monitor = SearchConsistencyMonitor(now())
        self._wake = asyncio.Event()
        self._wakes_at = 0.0
        self._round_started: float | None = None
        self._bulk = BulkReader(registry, client, monitor, now, name=name, wake=self._wake.set)
        self._single = SingleReader(registry, client, monitor, now, wake_by=self._wake_by)
        # In a context of its own: its log lines belong to no single task.
        self._task = loop.create_task(
            self._run(), name=f"codeocean-poller-{name}", context=contextvars.Context()
        )

    async def wait(self, wait: Wait) -> None:
        """Wait until a target has succeeded. It is polled at least once.

        :param wait: the wait.
        :raises WaitTimeout: if the deadline passed before.
        :raises CodeOceanError: if the wait failed otherwise.
        :raises ValueError: if the identifier is none, or the connection cannot be used.
        """
        self._waits += 1
        try:
            target, future = self._registry.add(wait)
            self._wake_by(target.due)
            left = wait.left()
            async with asyncio.timeout(None if left is None else max(left, _MIN_WAIT)):
                await future
        except TimeoutError:
            wait.last_error = wait.last_error or self._client.last_error
            raise WaitTimeout(wait.describe()) from None
        finally:
            self._registry.remove(wait)
            self._waits -= 1
            await self._close_if_unused()

    async def _close_if_unused(self) -> None:
        if self._waits:
            return
        if not self.is_closed:
            self.is_closed = True
            self._task.cancel()
        await asyncio.wait({self._task})

    async def _run(self) -> None:
        try:
            await self._client.open()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._schedule())
                for kind in self._client.limiters:
                    tasks.create_task(self._single.run(kind))
                tasks.create_task(self._client.follow_connection())
        except Exception as error:  # noqa: BLE001 - whatever it is, no wait may hang forever
            self.is_closed = True
            self._registry.fail_all(error.exceptions[0] if isinstance(error, ExceptionGroup) else error)
        finally:
            await self._bulk.cancel()
            await self._single.cancel()
            await self._client.close()
            self._stats.waits(0)

    async def _schedule(self) -> None:
        while True:
            next_at = self._cycle()
            self._record_round()
            self._stats.waits(self._waits)
            self._stats.log_summary(self._now(), self._waits, self._client.limiters["read"].rate)
            await self._sleep_until(next_at)

    def _cycle(self) -> float:
        """Start a poll of all targets that are due.

        :returns: when the next one is due.
        """
        now = self._now()
        next_at = now + _MAX_PAUSE
        due = []
        for target in self._registry:
            if target.read_in_progress:
                continue
            if target.due <= now:
                due.append(target)
            elif target.due < next_at:
                next_at = target.due
        if due:
            self._round_started = self._round_started or now
            left_to_search_until = self._bulk.start(due, now)
            if left_to_search_until > now:
                next_at = min(next_at, left_to_search_until)
                due = [each for each in due if not each.may_be_searched(now)]
        self._single.enqueue([*sorted(due, key=attrgetter("due")), *self._single.pick_for_verification()])
        return next_at

    def _record_round(self) -> None:
        if self._round_started is not None and not self._single.has_queued and not self._bulk.is_searching:
            self._stats.cycle(self._now() - self._round_started)
            self._round_started = None

    async def _sleep_until(self, next_at: float) -> None:
        now = self._now()
        shortest = _MIN_PAUSE + _PAUSE_PER_TARGET * len(self._registry)
        self._wake.clear()
        self._wakes_at = max(next_at, now + shortest)
        await asyncio.sleep(shortest)
        with suppress(TimeoutError):
            async with asyncio.timeout_at(self._wakes_at):
                await self._wake.wait()

    def _wake_by(self, due: float) -> None:
        if due < self._wakes_at:
            self._wake.set()

    def _recover(self) -> None:
        """Poll again at the usual intervals: an outage is over, or there is another server."""
        now = self._now()
        self._client.breaker.record_success()
        for limiter in self._client.limiters.values():
            limiter.resume()
        for target in self._registry:
            target.forgive(now)
        self._wake.set()


_pollers: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Poller]] = WeakKeyDictionary()


async def wait_together(wait: Wait, *, connect: Connect, name: str, metrics: Metrics | None = None) -> None:
    """Wait on the poller that all waits on this connection share in this event loop.

    :param wait: the wait.
    :param connect: reads the connection and makes a client.
    :param name: name of the connection.
    :param metrics: where metrics go.
    :raises WaitTimeout: if the deadline passed before.
    :raises CodeOceanError: if the wait failed otherwise.
    :raises ValueError: if the identifier is none, or the connection cannot be used.
    """
    pollers = _pollers.setdefault(asyncio.get_running_loop(), {})
    poller = pollers.get(name)
    if poller is None or poller.is_closed:
        poller = pollers[name] = Poller(connect, name=name, metrics=metrics)
    try:
        await poller.wait(wait)
    finally:
        if poller.is_closed and pollers.get(name) is poller:
            del pollers[name]
