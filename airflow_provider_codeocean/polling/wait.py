"""One wait: what to make of each look, and how long to pause before the next. No I/O, and no Airflow.

A driver looks, tells the wait what it saw or which error it got, and pauses for as long as the wait says. In
a worker that is a loop in the hook; in the triggerer, where many wait, it is the
:class:`~airflow_provider_codeocean.polling.poller.Poller`.
"""

from __future__ import annotations

import enum
import logging
import random
import time
from abc import ABC, abstractmethod
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_codeocean.api.errors import VISIBILITY_SECONDS, CodeOceanError, NotFound, WaitTimeout
from airflow_provider_codeocean.clock import SteadyClock
from airflow_provider_codeocean.states import Verdict

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from airflow_provider_codeocean.api.call import Call
    from airflow_provider_codeocean.states import WaitEvent

log = logging.getLogger(__name__)

#: Seconds until the first poll, and between two polls at least.
_MIN_INTERVAL = 1.0
#: The part of its age by which a wait may notice its end late, if early polls cost next to nothing.
_AGE_FRACTION = 0.1
#: How many polls more than with a fixed interval a young wait may take otherwise.
MAX_EARLY_POLLS = 6
#: The longest that a ``Retry-After`` is believed, in seconds: after that, it is looked at again.
LONGEST_RETRY_AFTER = 600.0


class Kind(enum.Enum):
    """What is looked at; its value names it in a sentence."""

    DATA_ASSET = "data asset"
    COMPUTATION = "computation"
    SEARCH = "search"
    COMPUTATIONS = "computations of"
    MATCHES = "data assets that match"


#: One look: yields each request that it takes, is sent the answer, and returns what they show together.
Look = Generator["Call[Any]", Any, Any]


class Wait(ABC):
    """One wait for one thing to end.

    :param id: identifier of the thing.
    :param poll_interval: the most seconds between two looks, above 0: a young wait looks more often.
    :param deadline: when to give up, in Unix seconds; None never gives up.
    :param submitted_at: when this Airflow submitted the job, in Unix seconds; None if it did not. For some
        minutes after it, Code Ocean's 404 means that the job is not visible yet.
    :ivar clock: the time, in Unix seconds, whatever becomes of the machine's clock during the wait.
    :ivar last_state: the state that was seen last.
    :ivar last_error: why no look has succeeded since.
    :ivar wants_to_read: whether it ends with a look that shows the thing in whole, and not with a search's
        line.
    :ivar seen: the thing, as the look showed it in whole with which the wait ended.
    """

    kind: ClassVar[Kind]

    @property
    @abstractmethod
    def call(self) -> Call[Any]:
        """The request that looks at the thing."""

    def __init__(
        self,
        id: str,  # noqa: A002
        *,
        poll_interval: float,
        deadline: float | None,
        submitted_at: float | None = None,
    ) -> None:
        self.id = id
        self.submitted_at = submitted_at
        self.poll_interval = poll_interval
        self.deadline = deadline
        self.last_state: str | None = None
        self.last_error: CodeOceanError | None = None
        self.wants_to_read = False
        self.seen: Any = None
        self.clock = SteadyClock()
        self._began = started = self.clock()
        self._polls = 0
        # In between two of a fixed interval, so that waits that start together are not polled together.
        self._paced_from = started + random.uniform(0, poll_interval)  # noqa: S311
        self._asked_to_wait = 0.0

    @abstractmethod
    def verdict(self, seen: Any) -> Verdict:
        """Tell what a look means.

        :param seen: what it showed.
        :returns: the verdict.
        """

    @abstractmethod
    def failure(self, seen: Any) -> CodeOceanError:
        """Make the error that a look means.

        :param seen: what it showed, in whole.
        :returns: the error.
        """

    def is_over(self, seen: Any) -> bool:
        """Take what a look showed, in whole.

        :param seen: what it showed.
        :returns: whether the wait is over, with success.
        :raises CodeOceanError: where it ended otherwise.
        """
        self.note(seen)
        verdict = self.verdict(seen)
        if verdict is Verdict.FAILED:
            raise self.failure(seen)
        if verdict is Verdict.SUCCEEDED:
            self.seen = seen
        return verdict is Verdict.SUCCEEDED

    def conclude(self, event: WaitEvent, seen: Any) -> None:
        """Conclude from how another wait for the thing ended, and from what it is by now, which weighs more.

        :param event: how the wait ended.
        :param seen: the thing, read after that.
        :raises WaitTimeout: where the deadline passed and it is still not over.
        :raises CodeOceanError: where it ended otherwise, or the wait did, and it is still not over.
        """
        if not self.is_over(seen):
            error = WaitTimeout if event["status"] == "timeout" else CodeOceanError
            now = "" if self.last_state == event["state"] else f" It is in state {self.last_state} now."
            raise error(event["message"] + now)

    def note(self, seen: Any) -> None:
        """Record what a poll showed."""
        self._polls += 1
        self.last_state = seen.state
        self.last_error = None

    def look(self) -> Look:
        """Look at the thing, with one request unless a subclass needs more."""
        return (yield self.call)

    def miss(self, error: CodeOceanError) -> None:
        """Remember that a look did not succeed, but may the next time.

        :param error: why it did not.
        """
        self._polls += 1
        self.last_error = error

    def bear(self, error: CodeOceanError) -> None:
        """Take that a look did not succeed: a server in trouble or out of reach is waited for.

        :param error: why it did not.
        :raises CodeOceanError: the error, where looking again cannot help.
        """
        if not self.tolerates(error):
            raise error
        self.miss(error)
        self._asked_to_wait = min(getattr(error, "retry_after", None) or 0.0, LONGEST_RETRY_AFTER)

    def tolerates(self, error: CodeOceanError) -> bool:
        """Return whether the wait continues after a failed poll.

        :param error: why the poll failed.
        :returns: true if the error is transient, or if the job may not be visible yet.
        """
        if isinstance(error, NotFound) and self.submitted_at is not None:
            return self.clock() < self.submitted_at + VISIBILITY_SECONDS
        return error.transient

    def interval(
        self, now: float, *, early_polls: int | None = MAX_EARLY_POLLS, jitter: float = 1.0
    ) -> float:
        """Return the seconds until the next poll: few while the wait is young, ``poll_interval`` later.

        :param now: the time, in Unix seconds.
        :param early_polls: how many more polls it may take, over its whole life, than with a fixed interval;
            they are spread evenly over the logarithm of its age. None is as many as its age suggests.
        :param jitter: the part of an interval shorter than ``poll_interval`` to wait.
        :returns: seconds, at most ``poll_interval``.
        """
        age = now - self._began
        if early_polls is None:
            return jitter * min(self.poll_interval, max(_MIN_INTERVAL, _AGE_FRACTION * age))
        growth = float(self.poll_interval ** (1 / (early_polls + 1))) - 1
        early = jitter * max(_MIN_INTERVAL, growth * age)
        affordable = self._paced_from + (self._polls - early_polls) * self.poll_interval - now
        return min(self.poll_interval, max(early, affordable))

    def pause(self) -> float:
        """Return the seconds to sleep before the next look.

        It is longer where the server asked for it, and never beyond the deadline.

        :returns: seconds.
        :raises WaitTimeout: where the deadline has passed.
        """
        seconds = max(self.interval(self.clock()), self._asked_to_wait)
        self._asked_to_wait = 0.0
        left = self.left()
        if left is None:
            return seconds
        if left <= 0:
            raise WaitTimeout(self.describe())
        return min(seconds, left)

    def left(self) -> float | None:
        """Return the seconds until the deadline: 0 or less where it has passed, None where there is none."""
        return None if self.deadline is None else self.deadline - self.clock()

    def has_expired(self) -> bool:
        """Tell whether the deadline has passed."""
        left = self.left()
        return left is not None and left <= 0

    def describe_begin(self, connection: str) -> str:
        """Say what is waited for.

        :param connection: name of the connection.
        :returns: a sentence, without its full stop.
        """
        return (
            f"Waiting for {self.kind.value} {self.id} on connection {connection}, "
            f"looking at it at least every {self.poll_interval:g} s"
        )

    def describe(self) -> str:
        """Say what has not come true, and what was seen last."""
        why = self.last_error or (None if self.last_state else "not looked at yet")
        state = (self.last_state or "unknown") + (f" ({why})" if why else "")
        return f"{self._what_did_not_happen()} in time; its last state was {state}. It is left as it is."

    @abstractmethod
    def describe_success(self) -> str:
        """Say what has come true."""

    @abstractmethod
    def _what_did_not_happen(self) -> str: ...

    def _is_older(self, created: float | None) -> None:
        """Take what is waited for to have begun when it was created: a wait may be begun anew."""
        if created is not None:
            self._began = min(self._began, created)


def deadline_after(
    timeout: float, *, execution_timeout: timedelta | None = None, started: datetime | None = None
) -> float:
    """Return when a wait that begins now is to end.

    :param timeout: seconds to wait.
    :param execution_timeout: how long the task may run, which ends the wait as well.
    :param started: when the task was started.
    :returns: the time, in Unix seconds.
    """
    deadline = time.time() + timeout
    if execution_timeout is None or started is None:
        return deadline
    return min(deadline, started.timestamp() + execution_timeout.total_seconds())
