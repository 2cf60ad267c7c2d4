"""The targets of a poller, and the waits for each of them."""

from __future__ import annotations

import asyncio
import math
import random
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING

from airflow_provider_codeocean.api.errors import WaitTimeout
from airflow_provider_codeocean.polling.shared_client import MAX_DEFAULT_PAUSE_SECONDS
from airflow_provider_codeocean.polling.waits import MAX_EARLY_POLLS, MAX_RETRY_AFTER_SECONDS, TargetKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_provider_codeocean.polling.poller import PollerStats
    from airflow_provider_codeocean.polling.waits import PollRequests, Wait

#: Fraction of its interval by which a target is polled early if a search is sent anyway.
_EARLY_FRACTION = 0.25
#: Time for which searches are not expected to show a target that they did not show.
_MIN_SEARCH_SKIP_SECONDS = 5.0
_MAX_SEARCH_SKIP_SECONDS = 600.0
_MIN_BACKOFF_SECONDS = 0.5
#: Number of targets among which the early polls are divided, at most.
_MAX_EARLY_POLL_SHARES = 3


@dataclass(slots=True, eq=False)
class PollTarget:
    """A resource that is polled for one or more waits.

    Times are those of the event loop's clock, except for ``created``.

    :ivar waits: the waits, each with the future that gets its outcome.
    :ivar last_polled_at: when it was last found pending.
    :ivar is_found_by_search: whether a search has shown it pending.
    :ivar created: when it was created, in Unix seconds, if known.
    :ivar skip_search_until: until when searches are not expected to show it, because the last one did not;
        infinite unless it is a data asset.
    :ivar needs_read: whether it must be read: a search has shown its end, or searches do not reach it.
    :ivar is_read_in_progress: whether it is queued for a read, or being read.
    :ivar requested_at: when the last request of a read was sent.
    :ivar failures: number of consecutive failed reads.
    :ivar hangs: number of consecutive reads that hung; they increase the timeout and determine the lane.
    :ivar has_response: whether a read has succeeded.
    :ivar rejected_at: when the last read was rejected, if its response was a 429.
    """

    kind: TargetKind
    id: str
    poll_requests: Callable[[], PollRequests]
    started_at: float
    waits: dict[Wait, asyncio.Future[None]] = field(default_factory=dict)
    next_poll_at: float = field(init=False)
    interval: float = 0.0
    last_polled_at: float = field(init=False)
    last_read_at: float = field(init=False)
    is_found_by_search: bool = False
    created: float | None = None
    skip_search_until: float = field(init=False)
    needs_read: bool = False
    is_read_in_progress: bool = False
    queued_at: float = 0.0
    requested_at: float = 0.0
    failures: int = 0
    hangs: int = 0
    has_response: bool = False
    rejected_at: float | None = None
    _search_skip_seconds: float = 0.0

    def __post_init__(self) -> None:
        self.next_poll_at = self.last_polled_at = self.last_read_at = self.started_at
        self.skip_search_until = 0.0 if self.kind is TargetKind.DATA_ASSET else math.inf

    @property
    def is_healthy(self) -> bool:
        """Whether the last read was answered in time, possibly with a 429."""
        return self.has_response and not self.hangs and (not self.failures or self.rejected_at is not None)

    def schedule_for_new_wait(self, now: float, wait: Wait, *, early_polls: int | None) -> None:
        """Schedule the next poll after a wait has joined, in constant time."""
        interval = wait.poll_delay(wait.clock(), early_polls=early_polls)
        due = now + interval * random.uniform(0.3, 1)  # noqa: S311 - spreads waits that start together
        is_first = len(self.waits) == 1
        self.interval = interval if is_first else min(self.interval, interval)
        self.next_poll_at = due if is_first else min(self.next_poll_at, due)

    def is_almost_due(self, now: float) -> bool:
        """Return whether to poll it if this costs no additional request."""
        return self.next_poll_at - _EARLY_FRACTION * self.interval <= now and not self.is_read_in_progress

    def is_overdue(self, now: float) -> bool:
        """Return whether searches have not shown it for some time after it was due."""
        return self.next_poll_at + _EARLY_FRACTION * self.interval <= now

    def is_searchable(self, now: float) -> bool:
        """Return whether searches are expected to show it."""
        return self.skip_search_until <= now and not self.needs_read

    def mark_found(self, created: float | None) -> None:
        """Record that a search has shown it."""
        self.skip_search_until = self._search_skip_seconds = 0.0
        if created is not None:
            self.created = created

    def mark_missing(self, now: float) -> None:
        """Record that a search did not show it, because the index lags or lacks it."""
        self._search_skip_seconds = min(
            _MAX_SEARCH_SKIP_SECONDS,
            max(2 * self._search_skip_seconds, _MIN_SEARCH_SKIP_SECONDS, self.interval),
        )
        self.skip_search_until = now + self._search_skip_seconds

    def mark_read(self, now: float, created: float | None) -> None:
        """Record that a read succeeded."""
        self.last_read_at = now
        self.failures = 0
        self.has_response = True
        self.needs_read = False
        self.rejected_at = None
        if created is not None:
            self.created = created

    def mark_read_failed(self, now: float, retry_after: float | None) -> None:
        """Record that a read failed, and schedule the next one with a backoff of at most its interval."""
        self.failures += 1
        self.rejected_at = None
        delay = max(min(self.interval, self._backoff()), min(retry_after or 0.0, MAX_RETRY_AFTER_SECONDS))
        self.next_poll_at = now + delay

    def mark_rejected(self, now: float, retry_after: float | None) -> None:
        """Record that a read was rejected with a 429."""
        if retry_after is None:
            retry_after = min(MAX_DEFAULT_PAUSE_SECONDS, self._backoff())
        self.mark_read_failed(now, retry_after)
        self.rejected_at = now

    def _backoff(self) -> float:
        return _MIN_BACKOFF_SECONDS * 2.0 ** min(self.failures, 16)

    def clear_failures(self, now: float) -> None:
        """Forget failures that were caused by an outage or by a replaced server."""
        if self.failures:
            self.failures, self.rejected_at = 0, None
            self.next_poll_at = min(self.next_poll_at, now + self.interval * random.random())  # noqa: S311


def jitter_factor() -> float:
    """Return a random fraction of an interval, so that several pollers do not poll in step."""
    return random.uniform(0.85, 1)  # noqa: S311


class PollRegistry:
    """The targets. All waits for the same resource share one.

    :param now: the event loop's clock.
    :param stats: counts the outcomes.
    :ivar by_id: the targets of each kind, by id.
    :ivar is_bulk: whether searches poll many targets at once, so that early polls cost next to nothing.
    """

    def __init__(self, now: Callable[[], float], stats: PollerStats) -> None:
        self.is_bulk = False
        self._now = now
        self._stats = stats
        self.by_id: dict[TargetKind, dict[str, PollTarget]] = {kind: {} for kind in TargetKind}

    def __len__(self) -> int:
        return sum(map(len, self.by_id.values()))

    def __iter__(self) -> Iterator[PollTarget]:
        return chain.from_iterable(targets.values() for targets in self.by_id.values())

    def add(self, wait: Wait) -> tuple[PollTarget, asyncio.Future[None]]:
        """Add a wait, and return its target and the future that gets its outcome."""
        targets, now = self.by_id[wait.kind], self._now()
        target = targets.get(wait.id)
        if target is None:
            target = targets[wait.id] = PollTarget(wait.kind, wait.id, wait.poll_requests, started_at=now)
        future = target.waits[wait] = asyncio.get_running_loop().create_future()
        target.schedule_for_new_wait(now, wait, early_polls=self._early_polls(target))
        return target, future

    def remove(self, wait: Wait) -> None:
        """Remove a wait, if it has not ended."""
        target = self.by_id[wait.kind].get(wait.id)
        if target is not None:
            target.waits.pop(wait, None)
            self._remove_if_unused(target)

    def resolve(self, target: PollTarget, wait: Wait, error: Exception | None = None) -> None:
        """End a wait after a poll; without an error, it has succeeded."""
        self._stats.record_outcome(self._now() - target.last_polled_at)
        self._resolve_future(target, wait, error)

    def reschedule(self, target: PollTarget, now: float, jitter: float) -> None:
        """Schedule the next poll of a target that was found pending, and end its expired waits."""
        early_polls, interval = self._early_polls(target), math.inf
        for wait in [*target.waits]:
            unix_now = wait.clock()
            if wait.deadline is not None and wait.deadline <= unix_now:
                self._resolve_future(target, wait, WaitTimeout(wait.describe_timeout()))
            else:
                delay = wait.poll_delay(unix_now, early_polls=early_polls, jitter=jitter)
                interval = min(interval, delay)
        if target.waits:
            target.last_polled_at, target.interval, target.next_poll_at = now, interval, now + interval

    def fail(self, target: PollTarget, error: Exception) -> None:
        """End all waits for a target with an error."""
        for wait in list(target.waits):
            self.resolve(target, wait, error)

    def fail_all(self, error: Exception) -> None:
        """End all waits with an error."""
        for target in list(self):
            self.fail(target, error)

    def _early_polls(self, target: PollTarget) -> int | None:
        if self.is_bulk and target.kind is TargetKind.DATA_ASSET:
            return None
        return MAX_EARLY_POLLS // max(1, min(len(self), _MAX_EARLY_POLL_SHARES))

    def _resolve_future(self, target: PollTarget, wait: Wait, error: Exception | None) -> None:
        future = target.waits.pop(wait)
        self._remove_if_unused(target)
        if future.done():
            return
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)

    def _remove_if_unused(self, target: PollTarget) -> None:
        targets = self.by_id[target.kind]
        if not target.waits and targets.get(target.id) is target:
            del targets[target.id]
