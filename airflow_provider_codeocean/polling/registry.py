"""All that a poller polls, and who waits for it."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_provider_codeocean.api.errors import WaitTimeout
from airflow_provider_codeocean.polling.rate_limiter import MAX_DEFAULT_PAUSE
from airflow_provider_codeocean.polling.waits import LONGEST_RETRY_AFTER, MAX_EARLY_POLLS, Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_provider_codeocean.polling.stats import PollerStats
    from airflow_provider_codeocean.polling.waits import Look, Wait

#: How much of its interval early a target is polled by a search that is sent anyway.
_EARLY_FRACTION = 0.25
#: Seconds for which no search is expected to show a target that one did not show: at first, and at most.
_MIN_HIDDEN = 5.0
_MAX_HIDDEN = 600.0
#: Seconds until a read that failed is repeated: doubled with each failure, up to the interval.
_MIN_BACKOFF = 0.5


@dataclass(slots=True, eq=False)
class PollTarget:
    """One resource that is polled, for one or more waits.

    Times are those of the event loop's clock, except for ``created``.

    :ivar kind: kind of the resource.
    :ivar id: its identifier.
    :ivar look: returns the requests that read it.
    :ivar since: when the first wait started.
    :ivar waits: the waits, each with the future that gets its outcome.
    :ivar due: when to poll it next.
    :ivar interval: seconds between two polls at present.
    :ivar looked_at: when it was last polled and pending.
    :ivar read_at: when it was last read.
    :ivar shown: whether a search has shown it pending.
    :ivar created: when it was created, in Unix seconds, once that is known.
    :ivar hidden_until: until when no search is expected to show it, because the last one did not.
    :ivar must_be_read: whether it is read next: a search has shown its end, or searches do not reach it.
    :ivar read_in_progress: whether it is queued for a read, or being read.
    :ivar queued_at: when it was queued last.
    :ivar requested_at: when the last request of a read was sent.
    :ivar failures: how many reads have failed in a row.
    :ivar hangs: how many reads have hung in a row: the next one is given more time, and must not hold up
        others.
    :ivar has_answered: whether a read has been answered.
    :ivar rejected_at: when a read was last rejected with a 429, if the last one was.
    """

    kind: Kind
    id: str
    look: Callable[[], Look]
    since: float
    waits: dict[Wait, asyncio.Future[None]] = field(default_factory=dict)
    due: float = field(init=False)
    interval: float = 0.0
    looked_at: float = field(init=False)
    read_at: float = field(init=False)
    shown: bool = False
    created: float | None = None
    hidden_until: float = 0.0
    must_be_read: bool = False
    read_in_progress: bool = False
    queued_at: float = 0.0
    requested_at: float = 0.0
    failures: int = 0
    hangs: int = 0
    has_answered: bool = False
    rejected_at: float | None = None
    _hidden_for: float = 0.0

    def __post_init__(self) -> None:
        self.due = self.looked_at = self.read_at = self.since

    @property
    def is_healthy(self) -> bool:
        """Whether the last read was answered in time, be it with a 429."""
        return self.has_answered and not self.hangs and (not self.failures or self.rejected_at is not None)

    def schedule(self, now: float, *, early_polls: int | None, jitter: float = 1.0) -> None:
        """Set when to poll it next, as its most impatient wait wants it.

        :param now: the time.
        :param early_polls: see :meth:`~airflow_provider_codeocean.polling.waits.Wait.interval`.
        :param jitter: see there.
        """
        self.interval = min(
            [wait.interval(wait.clock(), early_polls=early_polls, jitter=jitter) for wait in self.waits]
        )
        self.due = now + self.interval

    def join(self, now: float, wait: Wait, *, early_polls: int | None) -> None:
        """Set when to poll it next after a wait has joined, without asking those that are there.

        :param now: the time.
        :param wait: the wait.
        :param early_polls: as for :meth:`schedule`.
        """
        interval = wait.interval(wait.clock(), early_polls=early_polls)
        due = now + interval * random.uniform(0.3, 1)  # noqa: S311 - waits that start together are spread
        is_first = len(self.waits) == 1
        self.interval = interval if is_first else min(self.interval, interval)
        self.due = due if is_first else min(self.due, due)

    def is_almost_due(self, now: float) -> bool:
        """Return whether to poll it now if that costs nothing."""
        return self.due - _EARLY_FRACTION * self.interval <= now and not self.read_in_progress

    def is_overdue(self, now: float) -> bool:
        """Return whether no search has shown it for a while since it was due."""
        return self.due + _EARLY_FRACTION * self.interval <= now

    def may_be_searched(self, now: float) -> bool:
        """Return whether a search is expected to show it."""
        return self.kind is Kind.DATA_ASSET and self.hidden_until <= now and not self.must_be_read

    def mark_found(self, created: float | None) -> None:
        """Record that a search has shown it."""
        self.hidden_until = self._hidden_for = 0.0
        if created is not None:
            self.created = created

    def mark_missing(self, now: float) -> None:
        """Record that a search did not show it although it should: the index lags, or never will show it."""
        self._hidden_for = min(_MAX_HIDDEN, max(2 * self._hidden_for, _MIN_HIDDEN, self.interval))
        self.hidden_until = now + self._hidden_for

    def mark_read(self, now: float, created: float | None) -> None:
        """Record that it was read."""
        self.read_at = now
        self.failures = 0
        self.has_answered = True
        self.must_be_read = False
        self.rejected_at = None
        if created is not None:
            self.created = created

    def mark_read_failed(self, now: float, retry_after: float | None) -> None:
        """Record that reading it failed: the next read is later each time, up to its interval.

        :param now: the time.
        :param retry_after: seconds that the server asks to wait, if it says so.
        """
        self.failures += 1
        self.rejected_at = None
        backoff = min(self.interval, _MIN_BACKOFF * 2.0 ** min(self.failures, 16))
        self.due = now + max(backoff, min(retry_after or 0.0, LONGEST_RETRY_AFTER))

    def mark_rejected(self, now: float, retry_after: float | None) -> None:
        """Record that reading it was rejected with a 429.

        :param now: the time.
        :param retry_after: seconds that the server asks to wait, if it says so.
        """
        if retry_after is None:
            retry_after = min(MAX_DEFAULT_PAUSE, _MIN_BACKOFF * 2.0 ** min(self.failures, 16))
        self.mark_read_failed(now, retry_after)
        self.rejected_at = now

    def forgive(self, now: float) -> None:
        """Forget failures: they were those of an outage, or of another server."""
        if self.failures:
            self.failures, self.rejected_at = 0, None
            self.due = min(self.due, now + self.interval * random.random())  # noqa: S311


def jitter_factor() -> float:
    """Return the part of an interval to wait, so that several pollers do not poll in step."""
    return random.uniform(0.85, 1)  # noqa: S311


#: Up to how many targets share the early polls. Each of more has as many as each of these.
_SHARING_EARLY_POLLS = 3


class PollRegistry:
    """Each target once, however many wait for it.

    :param now: the event loop's clock.
    :param stats: counts the waits that have ended.
    :ivar is_bulk: whether searches poll many targets at once, so that early polls cost next to nothing.
    """

    def __init__(self, now: Callable[[], float], stats: PollerStats) -> None:
        self.is_bulk = False
        self._now = now
        self._stats = stats
        self._targets: dict[tuple[Kind, str], PollTarget] = {}

    def __len__(self) -> int:
        """Return how many targets there are."""
        return len(self._targets)

    def __iter__(self) -> Iterator[PollTarget]:
        """Iterate over them; none may be added or removed meanwhile."""
        return iter(self._targets.values())

    def get(self, kind: Kind, id: str) -> PollTarget | None:  # noqa: A002
        """Return one target, if it is here."""
        return self._targets.get((kind, id))

    def add(self, wait: Wait) -> tuple[PollTarget, asyncio.Future[None]]:
        """Add a wait.

        :param wait: the wait.
        :returns: its target, which is polled before long, and the future that gets the wait's outcome.
        """
        key, now = (wait.kind, wait.id), self._now()
        target = self._targets.get(key)
        if target is None:
            target = self._targets[key] = PollTarget(*key, wait.look, since=now)
        future = target.waits[wait] = asyncio.get_running_loop().create_future()
        target.join(now, wait, early_polls=self._early_polls(target))
        return target, future

    def remove(self, wait: Wait) -> None:
        """Remove a wait, if it is here."""
        target = self._targets.get((wait.kind, wait.id))
        if target is not None:
            target.waits.pop(wait, None)
            self._forget_if_unused(target)

    def resolve(self, target: PollTarget, wait: Wait, error: Exception | None = None) -> None:
        """End a wait.

        :param target: its target.
        :param wait: the wait.
        :param error: why it failed; None is a success.
        """
        self._stats.ended(self._now() - target.looked_at)
        self._set(target, wait, error)

    def reschedule(self, target: PollTarget, jitter: float) -> None:
        """Record that a poll has not ended all waits for a target.

        :param target: the target.
        :param jitter: the part of an early interval until it is polled again.
        """
        for wait in [each for each in target.waits if each.has_expired()]:
            self._set(target, wait, WaitTimeout(wait.describe()))
        if target.waits:
            target.looked_at = now = self._now()
            target.schedule(now, early_polls=self._early_polls(target), jitter=jitter)

    def fail(self, target: PollTarget, error: Exception) -> None:
        """End all waits for one target.

        :param target: the target.
        :param error: why they failed.
        """
        for wait in list(target.waits):
            self.resolve(target, wait, error)

    def fail_all(self, error: Exception) -> None:
        """End all waits.

        :param error: why they failed.
        """
        for target in list(self):
            self.fail(target, error)

    def _early_polls(self, target: PollTarget) -> int | None:
        if self.is_bulk and target.kind is Kind.DATA_ASSET:
            return None
        return MAX_EARLY_POLLS // max(1, min(len(self._targets), _SHARING_EARLY_POLLS))

    def _set(self, target: PollTarget, wait: Wait, error: Exception | None) -> None:
        future = target.waits.pop(wait)
        self._forget_if_unused(target)
        if future.done():
            return
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)

    def _forget_if_unused(self, target: PollTarget) -> None:
        key = target.kind, target.id
        if not target.waits and self._targets.get(key) is target:
            del self._targets[key]
