"""Time in the emulator: a clock that can be replaced, and work that takes a while.

No background task moves anything forward. When work starts it is decided how it will end and how long that
takes; what a reader is shown follows from the stored start, the stored number of reads and the moment of
reading. The answer is therefore the same after a restart, and the same in search as in a GET.
"""

import math
import random
import threading
import time
from dataclasses import dataclass, replace
from typing import Protocol, Self

from pydantic import BaseModel, ConfigDict, Field

BEFORE_ALL_WORK = -math.inf
"""The moment at which everything is still in its first state: what an answer to a create or a run shows."""

COMPUTATION_STATES = ((0.2, "initializing"), (0.9, "running"), (1.0, "finalizing"))
"""Up to which share of its work a computation is in which state."""


class Clock(Protocol):
    """What the emulator asks for the time."""

    def now(self) -> float:
        """Return the time as Unix seconds."""
        ...


class RealClock:
    """The time of the machine."""

    def now(self) -> float:
        """Return the time as Unix seconds."""
        return time.time()


class ManualClock:
    """A clock that stands still until it is told to move.

    :param start: where it begins, Unix seconds; the current time if not given.
    """

    def __init__(self, start: float | None = None) -> None:
        self._now = time.time() if start is None else start
        self._lock = threading.Lock()

    def now(self) -> float:
        """Return the time as Unix seconds."""
        return self._now

    def advance(self, seconds: float) -> float:
        """Move the clock forward.

        :param seconds: by how much, not negative.
        :returns: the new time.
        :raises ValueError: if `seconds` is negative.
        """
        if seconds < 0:
            raise ValueError(f"a clock goes forward only, not by {seconds} s")
        with self._lock:
            self._now += seconds
            return self._now


@dataclass(frozen=True, kw_only=True)
class Work:
    """Something under way: an asset being made, a run, a transfer, a release.

    :param started: when it began, Unix seconds.
    :param seconds: how long it takes; infinite for what only a person ends.
    :param reads: how many GETs see it unfinished before it may be finished.
    :param seen: how many have.
    :param seen_enough_at: when the last of them came; None until then.
    """

    started: float
    seconds: float = 0.0
    reads: int = 0
    seen: int = 0
    seen_enough_at: float | None = None

    @property
    def finished_at(self) -> float:
        """When the work ends, Unix seconds; infinite as long as reads are missing."""
        if self.reads and self.seen_enough_at is None:
            return math.inf
        return max(self.started + self.seconds, self.seen_enough_at or self.started)

    def finished(self, moment: float) -> bool:
        """Tell whether the work is over at a moment.

        :param moment: Unix seconds.
        :returns: True from `finished_at` on.
        """
        return moment >= self.finished_at

    def progress(self, moment: float) -> float:
        """Tell how much of the work is done at a moment.

        :param moment: Unix seconds.
        :returns: a share from 0 to 1, and 1 only when the work is finished.
        """
        if self.finished(moment):
            return 1.0
        if moment < self.started:
            return 0.0
        by_time = (moment - self.started) / self.seconds if self.seconds else 1.0
        by_reads = self.seen / self.reads if self.reads else 1.0
        return min(by_time, by_reads, math.nextafter(1.0, 0.0))

    def after_read(self, moment: float) -> Self:
        """Count one GET.

        :param moment: when it came, Unix seconds.
        :returns: the same object if reads do not matter (any more), so that nothing needs to be stored.
        """
        if self.seen >= self.reads:
            return self
        seen = self.seen + 1
        return replace(self, seen=seen, seen_enough_at=moment if seen == self.reads else None)


class Policy(BaseModel):
    """How long work takes that starts from now on.

    All zero: it is finished at once, but the answer that starts it still shows its first state.

    :param seconds: at least this many seconds.
    :param jitter: up to this many seconds more, drawn evenly.
    :param reads: at least this many GETs of the object itself see it unfinished.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    seconds: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    jitter: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    reads: int = Field(default=0, ge=0)

    def begin(self, now: float, rng: random.Random) -> Work:
        """Start work under this policy.

        :param now: when, Unix seconds.
        :param rng: where the jitter comes from.
        :returns: the work, its length drawn once and for all.
        """
        return Work(started=now, seconds=self.seconds + self.jitter * rng.random(), reads=self.reads)


def computation_state(progress: float) -> str:
    """Name the state of a run that is not over.

    :param progress: share of its work that is done, below 1.
    :returns: `initializing`, `running` or `finalizing`.
    """
    return next(state for limit, state in COMPUTATION_STATES if progress < limit)
