"""Read targets one by one: if there are few, if a search did not show them, or to verify searches."""

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
from airflow_provider_codeocean.polling.waits import TargetKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from airflow_provider_codeocean.polling.registry import PollRegistry, PollTarget
    from airflow_provider_codeocean.polling.search_consistency import SearchConsistencyMonitor
    from airflow_provider_codeocean.polling.shared_client import SharedClient

#: Reads in flight for targets whose last read did not hang, that hung once, and that hung repeatedly. Each
#: needs a connection, and httpx's pool slows down with the square of their number.
_LANE_SLOTS = (8, 4, 4)
#: Probes in flight in an outage: a second one is sent only if the first one hangs.
_MAX_PROBES_PER_LANE = 2
#: Timeout of a read, and of a request that lists or searches. It doubles each time that a target hangs again,
#: up to the client's timeout, and grows with the mean latency.
_MIN_READ_TIMEOUT_SECONDS = 5.0
_MIN_LIST_TIMEOUT_SECONDS = 20.0
_TIMEOUT_FACTOR = 10.0
#: Fraction of the timeout after which a failed read counts as one that hung.
_HANG_FRACTION = 0.2
_LATENCY_WEIGHT = 0.1
_SINGLE_RESOURCE_KINDS = frozenset({TargetKind.DATA_ASSET, TargetKind.COMPUTATION})
_SEARCH_KINDS = frozenset({TargetKind.SEARCH, TargetKind.DATA_ASSET_LIST})
#: Intervals after which a target that only searches have shown is read to verify them.
_VERIFY_INTERVALS = 2.0


@dataclass(slots=True, eq=False)
class _Lane:
    """Reads that share a number of slots.

    :ivar slots: maximum number of reads in flight.
    :ivar queue: a heap of the queued targets: those with the fewest hangs first.
    :ivar in_flight: the reads in flight.
    :ivar last_start_number: number of the read that was started last.
    """

    slots: int
    queue: list[tuple[int, int, PollTarget]] = field(default_factory=list)
    in_flight: set[asyncio.Task[None]] = field(default_factory=set)
    last_start_number: int = 0

    def pop(self, *, is_random: bool) -> PollTarget:
        """Remove and return the next target, or a random one, because neighbors may fail together."""
        if not is_random:
            return heappop(self.queue)[-1]
        target = self.queue.pop(random.randrange(len(self.queue)))[-1]  # noqa: S311
        heapify(self.queue)
        return target


class SingleReader:
    """Reads the targets of a poller.

    Reads and searches have separate rates and separate lanes. A target whose last read hung uses the second
    lane, so that the others keep their interval. A target that hung again uses the third lane, so that a
    target that hung once is read again soon. A read that fails fast leaves its target in its lane.
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
        self._lanes = {kind: [_Lane(slots) for slots in _LANE_SLOTS] for kind in client.limiters}
        self._counter = count(1)
        self._lanes_changed = asyncio.Event()
        self._mean_latency: float | None = None

    @property
    def has_queued(self) -> bool:
        """Whether a queued read has not started."""
        return any(lane.queue for lanes in self._lanes.values() for lane in lanes)

    def pick_for_verification(self) -> list[PollTarget]:
        """Return targets to read that only searches have shown, the longest unread first."""
        now = self._now()
        allowed = self._monitor.allowance(now)
        if not allowed or not self._registry.is_bulk or self._client.breaker.is_open:
            return []
        unread = (
            target
            for target in self._registry
            if target.is_found_by_search
            and target.next_poll_at > now
            and not target.is_read_in_progress
            and now - target.last_read_at > _VERIFY_INTERVALS * target.interval
        )
        chosen = nsmallest(allowed, unread, key=attrgetter("last_read_at"))
        self._monitor.consume(len(chosen))
        return chosen

    def enqueue(self, targets: Iterable[PollTarget]) -> None:
        """Queue targets for a read, the most urgent first."""
        for target in targets:
            target.is_read_in_progress, target.queued_at = True, self._now()
            lane = self._lanes[_request_kind(target)][min(target.hangs, len(_LANE_SLOTS) - 1)]
            heappush(lane.queue, (target.hangs, next(self._counter), target))
        self._lanes_changed.set()

    async def run(self, kind: str) -> None:
        """Start the queued reads of a kind (``read`` or ``search``) at its rate, forever."""
        breaker = self._client.breaker
        while True:
            self._lanes_changed.clear()
            if self._free_lane(kind) is None:
                await self._lanes_changed.wait()
            elif breaker.is_open and breaker.next_probe_at > self._now():
                with suppress(TimeoutError):
                    async with asyncio.timeout(breaker.next_probe_at - self._now()):
                        await self._lanes_changed.wait()
            else:
                await self._client.acquire_slot(kind)
                lane = self._free_lane(kind)
                if lane is not None and (not breaker.is_open or breaker.next_probe_at <= self._now()):
                    lane.last_start_number = next(self._counter)
                    self._start(lane.pop(is_random=breaker.is_open), lane)

    async def cancel(self) -> None:
        """Cancel the reads in flight."""
        tasks = [task for lanes in self._lanes.values() for lane in lanes for task in lane.in_flight]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _free_lane(self, kind: str) -> _Lane | None:
        lanes = self._lanes[kind]
        if self._client.breaker.is_open:
            return next(
                (lane for lane in lanes if lane.queue and len(lane.in_flight) < _MAX_PROBES_PER_LANE), None
            )
        free = [lane for lane in lanes if lane.queue and len(lane.in_flight) < lane.slots]
        return min(free, key=attrgetter("last_start_number"), default=None)  # in turn, so that none starves

    def _start(self, target: PollTarget, lane: _Lane) -> None:
        was_polled = target.last_polled_at > target.queued_at and target.next_poll_at > self._now()
        if not target.waits or was_polled:
            target.is_read_in_progress = False
            return
        is_probe = self._client.breaker.is_open
        if is_probe:
            self._client.breaker.record_probe()
        task = asyncio.create_task(self._read(target, None if is_probe else self._read_timeout(target)))
        lane.in_flight.add(task)

        def finish(task: asyncio.Task[None]) -> None:
            lane.in_flight.discard(task)
            self._lanes_changed.set()

        task.add_done_callback(finish)

    def _read_timeout(self, target: PollTarget) -> float | None:
        """Return the timeout of a read; None until the server has answered one."""
        if self._mean_latency is None:
            return None
        return self._base_timeout(target) * 2.0 ** min(max(0, target.hangs - 1), 16)

    def _base_timeout(self, target: PollTarget) -> float:
        is_single = target.kind in _SINGLE_RESOURCE_KINDS
        return max(
            _MIN_READ_TIMEOUT_SECONDS if is_single else _MIN_LIST_TIMEOUT_SECONDS,
            _TIMEOUT_FACTOR * (self._mean_latency or 0.0),
        )

    async def _read(self, target: PollTarget, timeout_seconds: float | None) -> None:
        try:
            self._apply(target, await self._poll(target, timeout_seconds))
        except CodeOceanError as error:
            self._record_error(target, error)
        except Exception as error:  # noqa: BLE001 - ends the waits for this target only
            self._registry.fail(target, error)
        finally:
            target.is_read_in_progress = False
            self._wake_by(target.next_poll_at)

    async def _poll(self, target: PollTarget, timeout_seconds: float | None) -> Any:
        requests, kind = target.poll_requests(), _request_kind(target)
        request = next(requests)
        while True:
            target.requested_at = self._now()
            response = await self._client.send(request, kind, timeout_seconds=timeout_seconds)
            try:
                request = requests.send(response)
            except StopIteration as finished:
                return finished.value
            await self._client.acquire_slot(kind)

    def _apply(self, target: PollTarget, result: Any) -> None:
        now = self._now()
        seconds = now - target.requested_at
        target.mark_read(now, getattr(result, "created", None))
        if seconds <= self._base_timeout(target):
            target.hangs = 0
        if target.kind in _SINGLE_RESOURCE_KINDS and not target.hangs:
            mean = seconds if self._mean_latency is None else self._mean_latency
            self._mean_latency = mean + _LATENCY_WEIGHT * (seconds - mean)
        if self._end_outage():
            self._mean_latency = max(self._mean_latency or 0.0, seconds)
        ended_wait = None
        for wait in list(target.waits):
            try:
                if not wait.check(result):
                    continue
            except Exception as error:  # noqa: BLE001 - the wait failed, or could not handle the response
                self._registry.resolve(target, wait, error)
                continue
            ended_wait = wait
            self._registry.resolve(target, wait)
        if ended_wait is not None and target.kind is TargetKind.DATA_ASSET:
            self._monitor.expect_in_search(ended_wait, now)
        self._registry.reschedule(target, now, jitter_factor())

    def _end_outage(self) -> bool:
        """Record a response, and return whether it ended an outage."""
        was_open = self._client.breaker.record_success()
        if was_open:
            self._client.on_recovery()
        return was_open

    def _record_error(self, target: PollTarget, error: CodeOceanError) -> None:
        for wait in list(target.waits):
            try:
                wait.handle_error(error)
            except CodeOceanError as permanent:
                self._registry.resolve(target, wait, permanent)
        if isinstance(error, Unauthorized) and not error.is_transient:  # the grace period is over
            self._client.breaker.record_success()
        elif not error.is_transient:  # the server works
            self._end_outage()
        if not target.waits:
            return
        now = self._now()
        retry_after = getattr(error, "retry_after", None)
        was_healthy = target.is_healthy
        has_hung = now - target.requested_at > _HANG_FRACTION * self._base_timeout(target)
        target.hangs = target.hangs + 1 if has_hung else 0
        if isinstance(error, RateLimited):
            self._handle_rejection(target, retry_after)
        elif not error.is_transient:
            self._registry.reschedule(target, now, jitter_factor())
        else:
            target.mark_read_failed(now, retry_after)
            self._client.breaker.record_failure(
                target, target.requested_at, was_healthy=was_healthy, retry_after=retry_after
            )

    def _handle_rejection(self, target: PollTarget, retry_after: float | None) -> None:
        """Record a 429. It concerns this target alone if others succeeded since its previous rejection."""
        limiter = self._client.limiters[_request_kind(target)]
        if target.rejected_at is None or not limiter.has_succeeded_since(target.rejected_at):
            limiter.record_rejection(target.requested_at, retry_after, target=target)
        target.mark_rejected(self._now(), retry_after)


def _request_kind(target: PollTarget) -> str:
    return "search" if target.kind in _SEARCH_KINDS else "read"
