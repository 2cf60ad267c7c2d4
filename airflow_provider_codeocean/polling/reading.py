"""Reads targets one by one: a few of them, those a search did not show, and those to verify a search with."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from heapq import nsmallest
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from airflow_provider_codeocean.api.errors import CodeOceanError, RateLimited, Unauthorized
from airflow_provider_codeocean.polling.wait import LONGEST_RETRY_AFTER, Kind
from airflow_provider_codeocean.polling.watched import jitter_factor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from airflow_provider_codeocean.polling.sender import SharedClient
    from airflow_provider_codeocean.polling.trust import SearchConsistencyMonitor
    from airflow_provider_codeocean.polling.watched import PollTarget
    from airflow_provider_codeocean.polling.watchlist import PollRegistry

#: Reads in flight, of targets that answer and of suspects: each needs one of httpx's connections, whose pool
#: slows down with their square.
_SLOTS = 8
_SUSPECT_SLOTS = 4
#: Probes in flight in an outage, of each: another one only if the last one hangs.
_PROBES = 2
#: Seconds for the first read of a target, and for one that lists or searches; a suspect may take as long as
#: the client lets it. They grow with the time that reads usually take.
_READ_SECONDS = 5.0
_LIST_SECONDS = 20.0
_TIMEOUT_FACTOR = 10.0
_LATENCY_WEIGHT = 0.1
_SINGLE = frozenset({Kind.DATA_ASSET, Kind.COMPUTATION})
#: Intervals after which a target that only searches have shown is read, to verify the searches.
_VERIFY_INTERVALS = 2.0


class SingleReader:
    """Reads targets, for one poller.

    There are two queues. A target whose last read failed or hung is a suspect, and shares a few slots with
    the other suspects, so that those that answer keep their interval.

    :param registry: the targets.
    :param client: sends the requests.
    :param monitor: limits how many reads verify the searches.
    :param now: the event loop's clock.
    :param wake_by: is called with the time at which a target is due next.
    """

    def __init__(
        self,
        registry: PollRegistry,
        client: SharedClient,
        monitor: SearchConsistencyMonitor,
        now: Callable[[], float],
        *,
        wake_by: Callable[[float], None],
    ) -> None:
        self._registry = registry
        self._client = client
        self._monitor = monitor
        self._now = now
        self._wake_by = wake_by
        self._queues: tuple[deque[PollTarget], deque[PollTarget]] = (deque(), deque())
        self._in_flight: tuple[set[asyncio.Task[None]], set[asyncio.Task[None]]] = (set(), set())
        self._last_lane = 1
        self._changed = asyncio.Event()
        self._latency: float | None = None

    @property
    def has_queued(self) -> bool:
        """Whether a target is queued for a read that has not started."""
        return any(self._queues)

    def pick_for_verification(self) -> list[PollTarget]:
        """Choose targets to read that only searches have shown, the longest unread first."""
        now = self._now()
        allowed = self._monitor.allowance(now)
        if not allowed or not self._registry.is_bulk or self._client.breaker.is_open:
            return []
        unread = (
            each
            for each in self._registry
            if each.shown
            and each.due > now
            and not each.read_in_progress
            and now - each.read_at > _VERIFY_INTERVALS * each.interval
        )
        chosen = nsmallest(allowed, unread, key=attrgetter("read_at"))
        self._monitor.consume(len(chosen))
        return chosen

    def enqueue(self, targets: Iterable[PollTarget]) -> None:
        """Queue targets for a read.

        :param targets: the targets, the most urgent first.
        """
        for target in targets:
            target.read_in_progress, target.queued_at = True, self._now()
            self._queues[target.is_suspect].append(target)
        self._changed.set()

    async def run(self) -> None:
        """Start the reads that are queued, as fast as the server lets, forever."""
        breaker = self._client.breaker
        while True:
            self._changed.clear()
            if self._free_lane() is None:
                await self._changed.wait()
            elif breaker.is_open and breaker.probe_at > self._now():
                with suppress(TimeoutError):
                    async with asyncio.timeout(breaker.probe_at - self._now()):
                        await self._changed.wait()
            else:
                await self._client.acquire_slot("read")
                lane = self._free_lane()
                if lane is not None and (not breaker.is_open or breaker.probe_at <= self._now()):
                    self._last_lane = lane
                    self._start(self._queues[lane].popleft(), lane)

    async def cancel(self) -> None:
        """Cancel the reads in flight."""
        tasks = [*self._in_flight[0], *self._in_flight[1]]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _free_lane(self) -> int | None:
        """Return the number of a queue of which a read may start now."""
        if self._client.breaker.is_open:
            slots, lanes = (_PROBES, _PROBES), (0, 1)
        else:
            slots = (_SLOTS, _SUSPECT_SLOTS)
            lanes = (1 - self._last_lane, self._last_lane)  # in turn: neither starves the other
        return next(
            (lane for lane in lanes if self._queues[lane] and len(self._in_flight[lane]) < slots[lane]), None
        )

    def _start(self, target: PollTarget, lane: int) -> None:
        was_polled = target.looked_at > target.queued_at and target.due > self._now()
        if not target.waits or was_polled:
            target.read_in_progress = False
            return
        is_probe = self._client.breaker.is_open
        if is_probe:
            self._client.breaker.record_probe()
        task = asyncio.create_task(self._read(target, None if lane or is_probe else self._limit(target)))
        self._in_flight[lane].add(task)

        def finish(task: asyncio.Task[None]) -> None:
            self._in_flight[lane].discard(task)
            self._changed.set()

        task.add_done_callback(finish)

    def _limit(self, target: PollTarget) -> float | None:
        """Return the seconds that a read may take; None, as long as nothing is known of the server."""
        if self._latency is None:
            return None
        least = _READ_SECONDS if target.kind in _SINGLE else _LIST_SECONDS
        return max(least, _TIMEOUT_FACTOR * self._latency)

    async def _read(self, target: PollTarget, limit: float | None) -> None:
        started = self._now()
        try:
            seen = await self._look(target, limit)
            self._take(target, seen, started)
        except CodeOceanError as error:
            self._record_error(target, error, started)
        except Exception as error:  # noqa: BLE001 - e.g. in a response: it ends these waits, and no others
            self._registry.fail(target, error)
        finally:
            target.read_in_progress = False
            self._wake_by(target.due)

    async def _look(self, target: PollTarget, limit: float | None) -> Any:
        requests = target.look()
        request = next(requests)
        while True:
            response = await self._client.send(request, "read", limit=limit)
            try:
                request = requests.send(response)
            except StopIteration as finished:
                return finished.value
            await self._client.acquire_slot("read")

    def _take(self, target: PollTarget, seen: Any, started: float) -> None:
        now = self._now()
        target.mark_read(now, getattr(seen, "created", None))
        if target.kind in _SINGLE:
            self._record_latency(target, now - started)
        if self._end_outage():
            self._latency = now - started if self._latency is None else max(self._latency, now - started)
        is_over = None
        for wait in list(target.waits):
            try:
                if not wait.is_over(seen):
                    continue
            except Exception as error:  # noqa: BLE001 - the wait failed, or what it was shown makes no sense
                self._registry.resolve(target, wait, error)
                continue
            is_over = wait
            self._registry.resolve(target, wait)
        if is_over is not None and target.kind is Kind.DATA_ASSET:
            self._monitor.expect_in_search(is_over, now)
        self._registry.reschedule(target, jitter_factor())

    def _end_outage(self) -> bool:
        """Record that the server has answered; return whether that ended an outage."""
        was_open = self._client.breaker.record_success()
        if was_open:
            self._client.on_recovery()
        return was_open

    def _record_latency(self, target: PollTarget, seconds: float) -> None:
        target.is_slow = self._latency is not None and seconds > (self._limit(target) or seconds)
        if self._latency is None or not target.is_slow:
            usual = seconds if self._latency is None else self._latency
            self._latency = usual + _LATENCY_WEIGHT * (seconds - usual)

    def _record_error(self, target: PollTarget, error: CodeOceanError, started: float) -> None:
        for wait in list(target.waits):
            try:
                wait.bear(error)
            except CodeOceanError as permanent:
                self._registry.resolve(target, wait, permanent)
        if isinstance(error, Unauthorized) and not error.transient:  # as for all waits by now
            self._client.breaker.record_success()
        elif not error.transient:  # an answer, though not the one that was wanted
            self._end_outage()
        if not target.waits:
            return
        now = self._now()
        retry_after = getattr(error, "retry_after", None)
        if isinstance(error, RateLimited):
            self._reject(target, started, retry_after)
        elif not error.transient:
            self._registry.reschedule(target, jitter_factor())
        else:
            answered_before = target.has_answered and not target.is_suspect
            target.mark_read_failed(now, retry_after)
            self._client.breaker.record_failure(
                target, started, answered_before=answered_before, retry_after=retry_after
            )

    def _reject(self, target: PollTarget, started: float, retry_after: float | None) -> None:
        """Record a 429: it is about all reads, unless others succeed while this target is rejected again."""
        limiter = self._client.limiters["read"]
        is_alone = target.rejected_at is not None and limiter.has_succeeded_since(target.rejected_at)
        limiter.record_rejection(started, retry_after, pause=not is_alone)
        target.rejected_at = now = self._now()
        if is_alone:
            target.due = now + max(target.interval, min(retry_after or 0.0, LONGEST_RETRY_AFTER))
