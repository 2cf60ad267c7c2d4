"""What a poller looks at, and for whom."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_provider_codeocean.polling.wait import Kind

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from airflow_provider_codeocean.polling.wait import Look, Wait

#: How much of its interval a look may come early, where it costs nothing.
_EARLY = 0.25
#: The longest that a search is not expected to show what it did not show, in seconds.
_LONGEST_HIDDEN = 600.0


@dataclass(slots=True, eq=False)
class Watched:
    """One thing that is waited for, by one or more waits.

    Times are those of the event loop's clock, but for ``created``.

    :ivar kind: what it is.
    :ivar id: its identifier.
    :ivar look: reads it.
    :ivar since: since when it is watched.
    :ivar waits: who waits, each with the future that its end goes to.
    :ivar due: when to look at it next.
    :ivar every: seconds between two looks at present.
    :ivar looked_at: when it was looked at last, and was not over.
    :ivar read_at: when it was read by itself last.
    :ivar shown: whether a search has shown it, not over.
    :ivar created: when it was created, in Unix seconds, once that is known.
    :ivar hidden_until: until when no search is expected to show it, because the last one did not.
    :ivar being_read: whether a request for it is under way.
    """

    kind: Kind
    id: str
    look: Callable[[], Look]
    since: float
    waits: dict[Wait, asyncio.Future[None]] = field(default_factory=dict)
    due: float = field(init=False)
    every: float = 0.0
    looked_at: float = field(init=False)
    read_at: float = field(init=False)
    shown: bool = False
    created: float | None = None
    hidden_until: float = 0.0
    being_read: bool = False
    _hidden_for: float = 0.0
    _failures: int = 0

    def __post_init__(self) -> None:
        self.due = self.looked_at = self.read_at = self.since

    def schedule(self, now: float, part: float) -> None:
        """Set when to look at it next, as its most impatient wait wants it.

        :param now: the time.
        :param part: the part of the interval to wait.
        """
        self.every = min([wait.interval(wait.clock()) for wait in self.waits])
        self.due = now + part * self.every

    def is_almost_due(self, now: float) -> bool:
        """Tell whether to look now if that costs nothing."""
        return self.due - _EARLY * self.every <= now and not self.being_read

    def may_be_searched(self, now: float) -> bool:
        """Tell whether a search is expected to show it."""
        return self.kind is Kind.DATA_ASSET and self.hidden_until <= now

    def was_shown(self, created: float | None) -> None:
        """Take that a search has shown it."""
        self.hidden_until = self._hidden_for = 0.0
        if created is not None:
            self.created = created

    def was_not_shown(self, now: float) -> None:
        """Take that a search which should have shown it did not: it lags behind, or never will."""
        self._hidden_for = min(_LONGEST_HIDDEN, max(2 * self._hidden_for, 5.0, self.every))
        self.hidden_until = now + self._hidden_for

    def was_read(self, now: float, created: float | None) -> None:
        """Take that it was read."""
        self.read_at = now
        self._failures = 0
        if created is not None:
            self.created = created

    def was_not_read(self, now: float) -> None:
        """Take that reading it failed: the next time is later each time, up to its interval."""
        self._failures += 1
        self.schedule(now, 1.0)
        self.due = now + min(self.every, 0.5 * 2.0 ** min(self._failures, 16))


def jitter() -> float:
    """Return the part of an interval to wait, so that not all who poll march in step."""
    return random.uniform(0.85, 1)  # noqa: S311


def first_jitter() -> float:
    """Return the part of an interval to wait before the first look: those who come together are spread."""
    return random.uniform(0.3, 1)  # noqa: S311
