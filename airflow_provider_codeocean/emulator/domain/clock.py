"""Time in the emulator: a replaceable clock, and work with a duration.

No background task changes states. The outcome and duration of work are decided when it starts; its state is
computed from the stored start, the stored number of reads, and the current time. The result is therefore the
same after a restart, and the same in a search as in a GET.
"""

import math
import random
import threading
import time
from dataclasses import dataclass, replace
from typing import Protocol, Self

from pydantic import BaseModel, ConfigDict, Field

BEFORE_START = -math.inf
"""A time at which all work is in its first state, for responses to create and run requests."""

COMPUTATION_STATE_LIMITS = ((0.2, "initializing"), (0.9, "running"), (1.0, "finalizing"))
"""States of an unfinished computation, each with the progress at which it ends."""


class Clock(Protocol):
    """The source of the current time."""

    def now(self) -> float:
        """Return the time as Unix seconds."""
        ...


class RealClock:
    """The system clock."""

    def now(self) -> float:
        """Return the time as Unix seconds."""
        return time.time()


class ManualClock:
    """A clock that moves only when it is advanced.

    :param start: the initial time in Unix seconds; the current time by default.
    """

    def __init__(self, start: float | None = None) -> None:
        self._now = time.time() if start is None else start
        self._lock = threading.Lock()

    def now(self) -> float:
        """Return the time as Unix seconds."""
        return self._now

    def advance(self, seconds: float) -> float:
        """Move the clock forward.

        :param seconds: the number of seconds, not negative.
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
    """Work in progress: a data asset creation, a run, a transfer, or a release.

    :param started_at: start time, in Unix seconds.
    :param duration_seconds: duration; infinite for work that only a user ends.
    :param required_reads: number of GETs that must see it unfinished before it can finish.
    :param completed_reads: number of GETs so far.
    :param reads_completed_at: time of the last required GET; None before it.
    """

    started_at: float
    duration_seconds: float = 0.0
    required_reads: int = 0
    completed_reads: int = 0
    reads_completed_at: float | None = None

    @property
    def finished_at(self) -> float:
        """When the work finishes, in Unix seconds; infinite while required reads are missing."""
        if self.required_reads and self.reads_completed_at is None:
            return math.inf
        return max(self.started_at + self.duration_seconds, self.reads_completed_at or self.started_at)

    def is_finished(self, timestamp: float) -> bool:
        """Return whether the work is finished at a time.

        :param timestamp: Unix seconds.
        :returns: True from `finished_at` on.
        """
        return timestamp >= self.finished_at

    def progress(self, timestamp: float) -> float:
        """Return the progress of the work at a time.

        :param timestamp: Unix seconds.
        :returns: a fraction from 0 to 1; 1 only if the work is finished.
        """
        if self.is_finished(timestamp):
            return 1.0
        if timestamp < self.started_at:
            return 0.0
        by_time = (timestamp - self.started_at) / self.duration_seconds if self.duration_seconds else 1.0
        by_reads = self.completed_reads / self.required_reads if self.required_reads else 1.0
        return min(by_time, by_reads, math.nextafter(1.0, 0.0))

    def with_read_counted(self, timestamp: float) -> Self:
        """Count one GET.

        :param timestamp: time of the GET, in Unix seconds.
        :returns: the updated work; the same object if no reads are required (any more).
        """
        if self.completed_reads >= self.required_reads:
            return self
        reads = self.completed_reads + 1
        return replace(
            self,
            completed_reads=reads,
            reads_completed_at=timestamp if reads == self.required_reads else None,
        )


class Policy(BaseModel):
    """The duration of new work.

    With only zeros, work finishes at once, but the response to the request that starts it still shows its
    first state.

    :param seconds: minimum duration.
    :param jitter: maximum number of random additional seconds, uniformly distributed.
    :param reads: minimum number of GETs of the object that see it unfinished.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    seconds: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    jitter: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    reads: int = Field(default=0, ge=0)

    def start_work(self, now: float, rng: random.Random) -> Work:
        """Start work under this policy.

        :param now: start time, in Unix seconds.
        :param rng: random number generator for the jitter.
        :returns: the work, with a fixed duration.
        """
        return Work(
            started_at=now,
            duration_seconds=self.seconds + self.jitter * rng.random(),
            required_reads=self.reads,
        )


def computation_state_at(progress: float) -> str:
    """Return the state of an unfinished computation.

    :param progress: progress of its work, below 1.
    :returns: `initializing`, `running` or `finalizing`.
    """
    return next(state for limit, state in COMPUTATION_STATE_LIMITS if progress < limit)
