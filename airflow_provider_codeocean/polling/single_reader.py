"""Reads targets one by one: a few of them, those a search did not show, and those to verify a search with."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush, nsmallest
from itertools import count
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from airflow_provider_codeocean.api.errors import CodeOceanError, RateLimited, Unauthorized
from airflow_provider_codeocean.polling.registry import jitter_factor
from airflow_provider_codeocean.polling.waits import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from airflow_provider_codeocean.polling.registry import PollRegistry, PollTarget
    from airflow_provider_codeocean.polling.search_consistency import SearchConsistencyMonitor
    from airflow_provider_codeocean.polling.shared_client import SharedClient

#: Reads in flight, of targets whose last read did not hang, hung for the first time, and hung again: each
#: needs one of httpx's connections, whose pool slows down with their square.
_SLOTS = (8, 4, 4)
#: Probes in flight in an outage, of each: another one only if the last one hangs.
_PROBES = 2
#: Seconds for a read, and for one that lists or searches: doubled each time that it hangs again, up to the
#: client's timeout. They grow with the time that reads usually take.
_READ_SECONDS = 5.0
_LIST_SECONDS = 20.0
_TIMEOUT_FACTOR = 10.0
#: The part of these seconds after which a failed read counts as one that hung.
_HANG_FRACTION = 0.2
_LATENCY_WEIGHT = 0.1
_SINGLE = frozenset({Kind.DATA_ASSET, Kind.COMPUTATION})
_SEARCHES = frozenset({Kind.SEARCH, Kind.MATCHES})
#: Intervals after which a target that only searches have shown is read, to verify the searches.
_VERIFY_INTERVALS = 2.0


@dataclass(slots=True, eq=False)
class _Lane:
    """Reads that share a number of slots.

    :ivar slots: how many reads may be in flight.
    :ivar queue: a heap of the queued targets: those that have hung the fewest times first.
    :ivar in_flight: the reads in flight.
    :ivar started: the number of the read that was started last.
    """

    slots: int
    queue: list[tuple[int, int, PollTarget]] = field(default_factory=list)
    in_flight: set[asyncio.Task[None]] = field(default_factory=set)
    started: int = 0

    def pop(self, *, is_random: bool) -> PollTarget:
        """Remove the next target from the queue, or any target: neighbors in the queue may fail together."""
        if not is_random:
            return heappop(self.queue)[-1]
        target = self.queue.pop(random.randrange(len(self.queue)))[-1]  # noqa: S311
        heapify(self.queue)
        return target


class SingleReader:
    """Reads targets, for one poller.

    Reads and searches have lanes of their own, as they have rates of their own. A target whose last read hung
    uses another lane, so that the others keep their interval. One that hung again uses a third lane, so that
    a target that hung once is read again soon. A read that fails at once leaves its target in its lane.

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
        self._lanes = {kind: [_Lane(slots) for slots in _SLOTS] for kind in client.limiters}
        self._number = count(1)
        self._changed = asyncio.Event()
        self._latency: float | None = None

    @property
    def has_queued(self) -> bool:
        """Whether a target is queued for a read that has not started."""
        return any(lane.queue for lanes in self._lanes.values() for lane in lanes)

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
            lane = self._lanes[_request_kind(target)][min(target.hangs, len(_SLOTS) - 1)]
            heappush(lane.queue, (target.hangs, next(self._number), target))
        self._changed.set()

    async def run(self, kind: str) -> None:
        """Start the reads that are queued, as fast as the server lets, forever.

        :param kind: the kind of request: ``read`` or ``search``.
        """
        breaker = self._client.breaker
        while True:
            self._changed.clear()
            if self._free_lane(kind) is None:
                await self._changed.wait()
            elif breaker.is_open and breaker.probe_at > self._now():
                with suppress(TimeoutError):
                    async with asyncio.timeout(breaker.probe_at - self._now()):
                        await self._changed.wait()
            else:
                await self._client.acquire_slot(kind)
                lane = self._free_lane(kind)
                if lane is not None and (not breaker.is_open or breaker.probe_at <= self._now()):
                    lane.started = next(self._number)
                    self._start(lane.pop(is_random=breaker.is_open), lane)

    async def cancel(self) -> None:
        """Cancel the reads in flight."""
        tasks = [task for lanes in self._lanes.values() for lane in lanes for task in lane.in_flight]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _free_lane(self, kind: str) -> _Lane | None:
        """Return a lane in which a read may start now."""
        lanes = self._lanes[kind]
        if self._client.breaker.is_open:
            return next((each for each in lanes if each.queue and len(each.in_flight) < _PROBES), None)
        free = [each for each in lanes if each.queue and len(each.in_flight) < each.slots]
        return min(free, key=attrgetter("started"), default=None)  # in turn: none starves another

    def _start(self, target: PollTarget, lane: _Lane) -> None:
        was_polled = target.looked_at > target.queued_at and target.due > self._now()
        if not target.waits or was_polled:
            target.read_in_progress = False
            return
        is_probe = self._client.breaker.is_open
        if is_probe:
            self._client.breaker.record_probe()
        task = asyncio.create_task(self._read(target, None if is_probe else self._limit(target)))
        lane.in_flight.add(task)

        def finish(task: asyncio.Task[None]) -> None:
            lane.in_flight.discard(task)
            self._changed.set()

        task.add_done_callback(finish)

    def _limit(self, target: PollTarget) -> float | None:
        """Return the seconds that a read may take; None, as long as nothing is known of the server."""
        if self._latency is None:
            return None
        return self._usual_limit(target) * 2.0 ** min(max(0, target.hangs - 1), 16)

    def _usual_limit(self, target: PollTarget) -> float:
        """Return the seconds that a read of a target that has not hung may take."""
        least = _READ_SECONDS if target.kind in _SINGLE else _LIST_SECONDS
        return max(least, _TIMEOUT_FACTOR * (self._latency or 0.0))

    async def _read(self, target: PollTarget, limit: float | None) -> None:
        try:
            seen = await self._look(target, limit)
            self._take(target, seen)
        except CodeOceanError as error:
            self._record_error(target, error)
        except Exception as error:  # noqa: BLE001 - e.g. in a response: it ends these waits, and no others
            self._registry.fail(target, error)
        finally:
            target.read_in_progress = False
            self._wake_by(target.due)

    async def _look(self, target: PollTarget, limit: float | None) -> Any:
        requests, kind = target.look(), _request_kind(target)
        request = next(requests)
        while True:
            target.requested_at = self._now()
            response = await self._client.send(request, kind, limit=limit)
            try:
                request = requests.send(response)
            except StopIteration as finished:
                return finished.value
            await self._client.acquire_slot(kind)

    def _take(self, target: PollTarget, seen: Any) -> None:
        now = self._now()
        seconds = now - target.requested_at
        target.mark_read(now, getattr(seen, "created", None))
        if seconds <= self._usual_limit(target):
            target.hangs = 0
        if target.kind in _SINGLE and not target.hangs:
            usual = seconds if self._latency is None else self._latency
            self._latency = usual + _LATENCY_WEIGHT * (seconds - usual)
        if self._end_outage():
            self._latency = max(self._latency or 0.0, seconds)
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

    def _record_error(self, target: PollTarget, error: CodeOceanError) -> None:
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
        answered_before = target.is_healthy
        hung = now - target.requested_at > _HANG_FRACTION * self._usual_limit(target)
        target.hangs = target.hangs + 1 if hung else 0
        if isinstance(error, RateLimited):
            self._reject(target, retry_after)
        elif not error.transient:
            self._registry.reschedule(target, jitter_factor())
        else:
            target.mark_read_failed(now, retry_after)
            self._client.breaker.record_failure(
                target, target.requested_at, answered_before=answered_before, retry_after=retry_after
            )

    def _reject(self, target: PollTarget, retry_after: float | None) -> None:
        """Record a 429: it is this target's own if others were answered since it was rejected before."""
        limiter = self._client.limiters[_request_kind(target)]
        if target.rejected_at is None or not limiter.has_succeeded_since(target.rejected_at):
            limiter.record_rejection(target.requested_at, retry_after, target=target)
        target.mark_rejected(self._now(), retry_after)


def _request_kind(target: PollTarget) -> str:
    """Return the kind of request that reads a target, whose rate applies."""
    return "search" if target.kind in _SEARCHES else "read"
