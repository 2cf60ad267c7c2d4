"""What there is to wait for: data assets, transfers, computations, and what a search finds."""

from __future__ import annotations

import enum
import json
import logging
import random
import time
from abc import ABC, abstractmethod
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_codeocean.api.errors import (
    VISIBILITY_SECONDS,
    CodeOceanError,
    ComputationFailed,
    DataAssetFailed,
    NotFound,
    TransferFailed,
    WaitTimeout,
)
from airflow_provider_codeocean.api.models.data_asset import DataAsset
from airflow_provider_codeocean.clock import SteadyClock
from airflow_provider_codeocean.outcomes import (
    Verdict,
    computation_verdict,
    data_asset_verdict,
    describe_failure,
    transfer_verdict,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime, timedelta

    from airflow_provider_codeocean.api.models.computation import Computation
    from airflow_provider_codeocean.api.models.search import Page
    from airflow_provider_codeocean.api.request import Call
    from airflow_provider_codeocean.outcomes import SeenDataAsset, WaitEvent

log = logging.getLogger(__name__)
#: Seconds until the first poll, and between two polls at least.
_MIN_INTERVAL = 1.0
#: The part of its age by which a wait may notice its end late, if early polls cost next to nothing.
_AGE_FRACTION = 0.1
#: How many polls more than with a fixed interval a young wait may take otherwise.
MAX_EARLY_POLLS = 6
#: Ends the message of a timeout, unless the job is stopped.
CONTINUES = " It is left as it is."
#: The longest that a ``Retry-After`` is believed, in seconds: after that, it is looked at again.
LONGEST_RETRY_AFTER = 600.0


class Kind(enum.StrEnum):
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
        return self.deadline is not None and self.deadline <= self.clock()

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
        return f"{self._what_did_not_happen()} in time; its last state was {state}.{CONTINUES}"

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


class DataAssetWait(Wait):
    """A wait for a data asset to be ready. It takes what :class:`Wait` takes."""

    kind = Kind.DATA_ASSET

    @property
    def call(self) -> Call[Any]:
        """The request that looks at it."""
        return _read_data_asset(self.id)

    def verdict(self, seen: SeenDataAsset) -> Verdict:
        """Tell what a look means; see the base class."""
        return data_asset_verdict(seen)

    def failure(self, seen: DataAsset) -> DataAssetFailed:
        """Make the error that a look means; see the base class."""
        return DataAssetFailed(describe_failure(seen))

    def note(self, seen: SeenDataAsset) -> None:
        """Record what a poll showed."""
        super().note(seen)
        self._is_older(seen.created)

    def describe_success(self) -> str:
        """Say what has come true."""
        return f"Data asset {self.id} is ready"

    def _what_did_not_happen(self) -> str:
        return f"Data asset {self.id} was not ready"


class TransferWait(Wait):
    """A wait for the files of a data asset to be moved.

    :param id: identifier of the data asset.
    :param poll_interval: see :class:`Wait`.
    :param deadline: see :class:`Wait`.
    :param last_transferred: the data asset's field of that name before the transfer was begun: when an
        earlier one was done.
    :param transfer_error: the data asset's field of that name before the transfer was begun: why an earlier
        one failed. It is forgotten once the data asset is seen without it.
    :param submitted_at: see :class:`Wait`; when the data asset itself was created.
    """

    kind = Kind.DATA_ASSET

    def __init__(
        self,
        id: str,  # noqa: A002
        *,
        poll_interval: float,
        deadline: float | None,
        last_transferred: float | None = None,
        transfer_error: str | None = None,
        submitted_at: float | None = None,
    ) -> None:
        super().__init__(id, poll_interval=poll_interval, deadline=deadline, submitted_at=submitted_at)
        self.last_transferred = last_transferred
        self.transfer_error = transfer_error

    @property
    def call(self) -> Call[Any]:
        """The request that looks at it."""
        return _read_data_asset(self.id)

    def verdict(self, seen: SeenDataAsset) -> Verdict:
        """Tell what a look means; see the base class."""
        return transfer_verdict(seen, self.last_transferred, self.transfer_error)

    def failure(self, seen: DataAsset) -> TransferFailed:
        """Make the error that a look means; see the base class."""
        return TransferFailed(f"The transfer of data asset {self.id} failed: {seen.transfer_error}")

    def note(self, seen: SeenDataAsset) -> None:
        """Record what a poll showed."""
        super().note(seen)
        # The same error again is another one, then; but a line of a search may just lack it.
        if not seen.transfer_error and isinstance(seen, DataAsset):
            self.transfer_error = None

    def conclude(self, event: WaitEvent, seen: DataAsset) -> None:
        """Conclude from how another wait for the transfer ended; see the base class."""
        if event["status"] == "failed" and self.verdict(seen) is not Verdict.SUCCEEDED:
            raise TransferFailed(event["message"])  # which may have come and gone since
        super().conclude(event, seen)

    def describe_success(self) -> str:
        """Say what has come true."""
        return f"The files of data asset {self.id} were transferred"

    def _what_did_not_happen(self) -> str:
        earlier = f", which failed with {self.transfer_error!r} before," if self.transfer_error else ""
        return f"The transfer of data asset {self.id}{earlier} was not done"


class ComputationWait(Wait):
    """A wait for a computation to end. It takes what :class:`Wait` takes."""

    kind = Kind.COMPUTATION

    @property
    def call(self) -> Call[Any]:
        """The request that looks at it."""
        from airflow_provider_codeocean.api.endpoints.computations import Computations

        return Computations.get.call(Computations.root, self.id)

    def verdict(self, seen: Computation) -> Verdict:
        """Tell what a look means; see the base class."""
        return computation_verdict(seen)

    def failure(self, seen: Computation) -> ComputationFailed:
        """Make the error that a look means; see the base class."""
        how = f"{seen.end_status or seen.state}, exit code {seen.exit_code}"
        return ComputationFailed(f"Computation {self.id} ({seen.name!r}) did not succeed: {how}")

    def note(self, seen: Computation) -> None:
        """Record what a poll showed."""
        super().note(seen)
        self._is_older(seen.created)

    def describe_success(self) -> str:
        """Say what has come true."""
        return f"Computation {self.id} has succeeded"

    def _what_did_not_happen(self) -> str:
        return f"Computation {self.id} did not end"


class SearchWait(Wait):
    """A wait for a search to find a data asset.

    :param params: what to search for, as JSON values.
    :param poll_interval: see :class:`Wait`.
    :param deadline: see :class:`Wait`.
    """

    kind = Kind.SEARCH

    def __init__(self, params: Mapping[str, Any], *, poll_interval: float, deadline: float | None) -> None:
        super().__init__(json.dumps(params, sort_keys=True), poll_interval=poll_interval, deadline=deadline)
        self._params = params

    @property
    def call(self) -> Call[Any]:
        """The request that looks at it."""
        from airflow_provider_codeocean.api.endpoints.data_assets import DataAssets
        from airflow_provider_codeocean.api.models.data_asset_params import DataAssetSearchParams

        params = DataAssetSearchParams.model_validate(self._params)
        return DataAssets.search.call(DataAssets.root, params)

    def verdict(self, seen: Page[DataAsset]) -> Verdict:
        """Tell what a look means; see the base class."""
        return Verdict.SUCCEEDED if seen.results else Verdict.WAITING

    def failure(self, seen: Page[DataAsset]) -> CodeOceanError:
        """Say that finding something is no failure; see the base class."""
        raise NotImplementedError("a search does not fail")

    def note(self, seen: Page[DataAsset]) -> None:
        """Record what a poll showed."""
        self._polls += 1
        self.last_state = f"{len(seen.results)} found"
        self.last_error = None

    def describe_success(self) -> str:
        """Say what has come true."""
        return f"The search {self.id} found data assets"

    def _what_did_not_happen(self) -> str:
        return f"The search {self.id} found no data asset"


def _read_data_asset(data_asset_id: str) -> Call[Any]:
    from airflow_provider_codeocean.api.endpoints.data_assets import DataAssets

    return DataAssets.get.call(DataAssets.root, data_asset_id)
