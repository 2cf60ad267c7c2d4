"""Waits for data assets, transfers, computations, and search results."""

from __future__ import annotations

import enum
import json
import logging
import random
import time
from abc import ABC, abstractmethod
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from airflow_provider_codeocean.api.errors import (
    NOT_FOUND_GRACE_SECONDS,
    CodeOceanError,
    ComputationFailed,
    ComputationStartFailed,
    DataAssetFailed,
    NotFound,
    TransferFailed,
    WaitTimeout,
)
from airflow_provider_codeocean.clock import MonotonicUnixClock
from airflow_provider_codeocean.outcomes import (
    Outcome,
    computation_outcome,
    data_asset_outcome,
    describe_data_asset_failure,
    has_started,
    transfer_outcome,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime, timedelta

    from airflow_provider_codeocean.api.models.computation import Computation
    from airflow_provider_codeocean.api.models.data_asset import DataAsset
    from airflow_provider_codeocean.api.models.search import Page
    from airflow_provider_codeocean.api.request import Request
    from airflow_provider_codeocean.outcomes import DataAssetStatus, WaitEvent

log = logging.getLogger(__name__)
_MIN_INTERVAL_SECONDS = 1.0
#: Fraction of the age of a wait by which its end may be detected late, if early polls cost next to nothing.
_AGE_FRACTION = 0.1
#: Additional polls of a young wait, compared with a fixed interval, if early polls are not free.
MAX_EARLY_POLLS = 6
#: End of the message of a timeout, unless the job is stopped.
CONTINUES = " It is left as it is."
#: Limit of ``Retry-After``.
MAX_RETRY_AFTER_SECONDS = 600.0
#: Seconds until a wait logs its progress for the first time. They double each time, up to the maximum.
_FIRST_PROGRESS_SECONDS = 60.0
_MAX_PROGRESS_SECONDS = 3600.0


class TargetKind(enum.StrEnum):
    """Kind of a polled resource, as messages name it."""

    DATA_ASSET = "data asset"
    COMPUTATION = "computation"
    SEARCH = "search"
    COMPUTATION_LIST = "computations of"
    DATA_ASSET_LIST = "data assets that match"


#: One poll: yields requests, receives their responses, and returns the combined result.
PollRequests = Generator["Request[Any]", Any, Any]


class Wait(ABC):
    """A wait for one target.

    :param id: identifier of the target.
    :param poll_interval: maximum seconds between two polls, above 0. Young waits poll more often.
    :param deadline: when to give up, in Unix seconds; None never gives up.
    :param submitted_at: when this Airflow submitted the job, in Unix seconds, if it did. For some minutes
        after that, a 404 means that the job is not visible yet.
    :ivar clock: the time in Unix seconds, unaffected by changes of the machine's clock.
    :ivar last_state: the state in the last successful poll.
    :ivar last_error: the error of the last poll, if it failed.
    :ivar needs_full_read: whether the wait must end with a full read instead of a search result.
    :ivar result: the target, if a full read ended the wait.
    """

    kind: ClassVar[TargetKind]
    #: Whether the age counts from the creation of the target, because the wait may have been restarted.
    _starts_at_creation = False
    #: Messages about the target; ``{}`` stands for its id.
    _success_message: ClassVar[str]
    _pending_message: ClassVar[str]

    @property
    @abstractmethod
    def request(self) -> Request[Any]:
        """The request that reads the target."""

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
        self.needs_full_read = False
        self.result: Any = None
        self.clock = MonotonicUnixClock()
        self._started_at = self.clock()
        self._poll_count = 0
        # Random, so that waits that start together are not polled together.
        self._pacing_start = self._started_at + random.uniform(0, poll_interval)  # noqa: S311
        self._retry_after = 0.0

    @abstractmethod
    def outcome(self, result: Any) -> Outcome:
        """Return the outcome for the result of a poll."""

    @abstractmethod
    def to_error(self, result: Any) -> CodeOceanError:
        """Return the error for the result of a full read with a failed outcome."""

    def check(self, result: Any) -> bool:
        """Record the result of a full read, and return whether the wait succeeded.

        :param result: the target.
        :returns: true if it succeeded, false if it is pending.
        :raises CodeOceanError: if it failed.
        """
        self.observe(result)
        outcome = self.outcome(result)
        if outcome is Outcome.FAILED:
            raise self.to_error(result)
        if outcome is Outcome.SUCCEEDED:
            self.result = result
        return outcome is Outcome.SUCCEEDED

    def reconcile(self, event: WaitEvent, result: Any) -> None:
        """Combine the event of another wait for the target with a later read, which takes precedence.

        :param event: how the other wait ended.
        :param result: the target, read afterwards.
        :raises WaitTimeout: if the deadline passed and the target is still pending.
        :raises CodeOceanError: if the target failed, or if the other wait did and the target is pending.
        """
        if not self.check(result):
            error = WaitTimeout if event["status"] == "timeout" else CodeOceanError
            now = "" if self.last_state == event["state"] else f" It is in state {self.last_state} now."
            raise error(event["message"] + now)

    def observe(self, result: Any) -> None:
        """Record the result of a successful poll, either a full read or a search result."""
        self._poll_count += 1
        self.last_state = result.state
        self.last_error = None
        if self._starts_at_creation and result.created is not None and result.created < self._started_at:
            self._started_at, self._starts_at_creation = result.created, False

    def poll_requests(self) -> PollRequests:
        """Return the requests of one poll; by default, a single one."""
        return (yield self.request)

    def record_error(self, error: CodeOceanError) -> None:
        """Record a failed poll."""
        self._poll_count += 1
        self.last_error = error

    def handle_error(self, error: CodeOceanError) -> None:
        """Record a failed poll if another one may succeed.

        :param error: why the poll failed.
        :raises CodeOceanError: the error, if it is permanent.
        """
        if not self.tolerates(error):
            raise error
        self.record_error(error)
        self._retry_after = min(getattr(error, "retry_after", None) or 0.0, MAX_RETRY_AFTER_SECONDS)

    def tolerates(self, error: CodeOceanError) -> bool:
        """Return whether an error is transient, or the job may not be visible yet."""
        if isinstance(error, NotFound) and self.submitted_at is not None:
            return self.clock() < self.submitted_at + NOT_FOUND_GRACE_SECONDS
        return error.is_transient

    def poll_delay(
        self, now: float, *, early_polls: int | None = MAX_EARLY_POLLS, jitter: float = 1.0
    ) -> float:
        """Return the seconds until the next poll: few for a young wait, ``poll_interval`` for an old one.

        :param now: the time, in Unix seconds.
        :param early_polls: total number of polls in addition to those of a fixed interval. They are spread
            evenly over the logarithm of the age. None allows any number.
        :param jitter: factor for delays shorter than ``poll_interval``.
        :returns: seconds, at most ``poll_interval``.
        """
        age = now - self._started_at
        if early_polls is None:
            return jitter * min(self.poll_interval, max(_MIN_INTERVAL_SECONDS, _AGE_FRACTION * age))
        growth = float(self.poll_interval ** (1 / (early_polls + 1))) - 1
        early = jitter * max(_MIN_INTERVAL_SECONDS, growth * age)
        affordable = self._pacing_start + (self._poll_count - early_polls) * self.poll_interval - now
        return min(self.poll_interval, max(early, affordable))

    def next_delay(self) -> float:
        """Return the seconds until the next poll, with regard to ``Retry-After`` and the deadline.

        :returns: seconds.
        :raises WaitTimeout: if the deadline has passed.
        """
        seconds = max(self.poll_delay(self.clock()), self._retry_after)
        self._retry_after = 0.0
        remaining = self.remaining()
        if remaining is None:
            return seconds
        if remaining <= 0:
            raise WaitTimeout(self.describe_timeout())
        return min(seconds, remaining)

    def remaining(self) -> float | None:
        """Return the seconds until the deadline (0 or less if it has passed), or None without a deadline."""
        return None if self.deadline is None else self.deadline - self.clock()

    def describe_start(self, connection: str) -> str:
        """Return a log line for the start of the wait."""
        return (
            f"Waiting for {self.kind.value} {self.id} on connection {connection}, "
            f"polling at least every {self.poll_interval:g} s"
        )

    @staticmethod
    def progress_delays() -> Iterator[float]:
        """Yield the seconds between two log lines about the progress, without end."""
        seconds = _FIRST_PROGRESS_SECONDS
        while True:
            yield seconds
            seconds = min(_MAX_PROGRESS_SECONDS, 2 * seconds)

    def describe_progress(self) -> str:
        """Return a log line about a target that is still pending: its state, and for how long."""
        import pendulum

        waited = pendulum.duration(seconds=max(1, round(self.clock() - self._started_at)))
        state = self.last_state or "unknown"
        return f"{self.kind.value.capitalize()} {self.id} is in state {state} after {waited.in_words()}"

    def describe_timeout(self) -> str:
        """Return the message of a timeout, with the last state."""
        reason = self.last_error or (None if self.last_state else "not polled yet")
        state = (self.last_state or "unknown") + (f" ({reason})" if reason else "")
        return f"{self._describe_pending()} in time; its last state was {state}.{CONTINUES}"

    def describe_success(self) -> str:
        """Return the message of a success."""
        return self._success_message.format(self.id)

    def _describe_pending(self) -> str:
        return self._pending_message.format(self.id)


def compute_deadline(
    timeout: float, *, execution_timeout: timedelta | None = None, started_at: datetime | None = None
) -> float:
    """Return the deadline of a wait that starts now.

    :param timeout: seconds to wait.
    :param execution_timeout: limit for the whole task, if any.
    :param started_at: when the task started.
    :returns: the deadline, in Unix seconds.
    """
    deadline = time.time() + timeout
    if execution_timeout is None or started_at is None:
        return deadline
    return min(deadline, started_at.timestamp() + execution_timeout.total_seconds())


class _DataAssetTargetWait(Wait):
    kind = TargetKind.DATA_ASSET

    @property
    @override
    def request(self) -> Request[Any]:
        from airflow_provider_codeocean.api.endpoints.data_assets import DataAssets

        return DataAssets.get.build_request(DataAssets.path_prefix, self.id)


class DataAssetWait(_DataAssetTargetWait):
    """A wait until a data asset is ready, with the parameters of :class:`Wait`.

    Source: ``GET data_assets/{id}``.
    """

    _starts_at_creation = True
    _success_message = "Data asset {} is ready"
    _pending_message = "Data asset {} was not ready"

    @override
    def outcome(self, result: DataAssetStatus) -> Outcome:
        return data_asset_outcome(result)

    @override
    def to_error(self, result: DataAsset) -> DataAssetFailed:
        return DataAssetFailed(describe_data_asset_failure(result))


class TransferWait(_DataAssetTargetWait):
    """A wait until the files of a data asset are transferred. Source: ``GET data_assets/{id}``.

    :param id: identifier of the data asset.
    :param poll_interval: see :class:`Wait`.
    :param deadline: see :class:`Wait`.
    :param last_transferred: the data asset's field of that name before the transfer: time of an earlier one.
    :param transfer_error: the data asset's field of that name before the transfer: error of an earlier one.
        It no longer counts once the data asset was read without it.
    :param submitted_at: see :class:`Wait`; when the data asset itself was created.
    """

    _success_message = "The files of data asset {} were transferred"

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

    @override
    def outcome(self, result: DataAssetStatus) -> Outcome:
        return transfer_outcome(result, self.last_transferred, self.transfer_error)

    @override
    def to_error(self, result: DataAsset) -> TransferFailed:
        return TransferFailed(f"The transfer of data asset {self.id} failed: {result.transfer_error}")

    @override
    def observe(self, result: DataAssetStatus) -> None:
        from airflow_provider_codeocean.api.models.data_asset import DataAsset

        super().observe(result)
        # After that, the same error is a new one. Search results may lack the field.
        if not result.transfer_error and isinstance(result, DataAsset):
            self.transfer_error = None

    @override
    def reconcile(self, event: WaitEvent, result: DataAsset) -> None:
        if event["status"] == "failed" and self.outcome(result) is not Outcome.SUCCEEDED:
            raise TransferFailed(event["message"])  # the read may no longer show the error
        super().reconcile(event, result)

    @override
    def _describe_pending(self) -> str:
        earlier = f", which failed with {self.transfer_error!r} before," if self.transfer_error else ""
        return f"The transfer of data asset {self.id}{earlier} was not done"


class ComputationWait(Wait):
    """A wait until a computation has ended.

    Source: ``GET computations/{id}``.

    :param *args: arguments of :class:`Wait`.
    :param max_run_time: maximum of the run time that Code Ocean reports, in seconds; None for no limit.
    :param **kwargs: arguments of :class:`Wait`.
    """

    kind = TargetKind.COMPUTATION
    _starts_at_creation = True
    _success_message = "Computation {} has succeeded"
    _pending_message = "Computation {} did not end"

    def __init__(self, *args: Any, max_run_time: float | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._max_run_time = max_run_time

    @override
    def check(self, result: Computation) -> bool:
        has_succeeded = super().check(result)
        run_time, limit = result.run_time or 0.0, self._max_run_time
        if not has_succeeded and limit is not None and run_time >= limit:
            raise WaitTimeout(
                f"{self._describe_pending()} in time: it has run for {run_time:g} s, and max_run_time is "
                f"{limit:g} s.{CONTINUES}"
            )
        return has_succeeded

    @property
    @override
    def request(self) -> Request[Any]:
        from airflow_provider_codeocean.api.endpoints.computations import Computations

        return Computations.get.build_request(Computations.path_prefix, self.id)

    @override
    def outcome(self, result: Computation) -> Outcome:
        return computation_outcome(result)

    @override
    def to_error(self, result: Computation) -> ComputationFailed:
        status = f"{result.end_status or result.state}, exit code {result.exit_code}"
        if result.run_time:
            status += f", run time {result.run_time:g} s"
        message = f"Computation {self.id} ({result.name!r}) did not succeed: {status}"
        if has_started(result):
            return ComputationFailed(message)
        return ComputationStartFailed(f"{message}, no results: it may not have started")


class SearchWait(Wait):
    """A wait until a search finds a data asset. Source: ``POST data_assets/search``.

    :param params: search parameters, as JSON values.
    :param poll_interval: see :class:`Wait`.
    :param deadline: see :class:`Wait`.
    """

    kind = TargetKind.SEARCH
    _success_message = "The search {} found data assets"
    _pending_message = "The search {} found no data asset"

    def __init__(self, params: Mapping[str, Any], *, poll_interval: float, deadline: float | None) -> None:
        super().__init__(json.dumps(params, sort_keys=True), poll_interval=poll_interval, deadline=deadline)
        self._params = params

    @property
    @override
    def request(self) -> Request[Any]:
        from airflow_provider_codeocean.api.endpoints.data_assets import DataAssets
        from airflow_provider_codeocean.api.models.data_asset_params import DataAssetSearchParams

        params = DataAssetSearchParams.model_validate(self._params)
        return DataAssets.search.build_request(DataAssets.path_prefix, params)

    @override
    def outcome(self, result: Page[DataAsset]) -> Outcome:
        return Outcome.SUCCEEDED if result.results else Outcome.PENDING

    @override
    def to_error(self, result: Page[DataAsset]) -> CodeOceanError:
        raise NotImplementedError("a search does not fail")

    @override
    def observe(self, result: Page[DataAsset]) -> None:
        self._poll_count += 1
        self.last_state = f"{len(result.results)} found"
        self.last_error = None
