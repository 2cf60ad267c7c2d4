"""Outcomes of data assets, computations, and transfers, and the events of waits."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypedDict

from airflow_provider_codeocean.api.models.states import (
    ComputationEndStatus,
    ComputationState,
    DataAssetState,
)

if TYPE_CHECKING:
    from airflow_provider_codeocean.api.models.base import ResponseModel
    from airflow_provider_codeocean.api.models.computation import Computation
    from airflow_provider_codeocean.api.models.data_asset import DataAsset


class Outcome(enum.Enum):
    """Whether a job is pending or how it ended."""

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


_TERMINAL_DATA_ASSET_STATES: dict[str | None, Outcome] = {
    DataAssetState.READY: Outcome.SUCCEEDED,
    DataAssetState.FAILED: Outcome.FAILED,
}

WaitStatus = Literal["success", "failed", "timeout", "error", "not_started"]


class WaitEvent(TypedDict):
    """Event of a trigger: how a wait ended. The receiver reads the target itself.

    ``status`` is ``success`` or ``failed`` if the target ended, ``timeout`` if the deadline passed, ``error``
    if a poll failed permanently, and ``not_started`` if a worker must start the job. ``state`` is the last
    known state of the target; ``message`` is for the log and the task's error.
    """

    status: WaitStatus
    state: str | None
    message: str


class DataAssetEvent(WaitEvent):
    """Event of a wait for a data asset."""

    data_asset_id: str


class TransferEvent(DataAssetEvent):
    """Event of a wait for a transfer, with the fields of the data asset from before the transfer."""

    last_transferred: float | None
    transfer_error: str | None


class ComputationEvent(WaitEvent):
    """Event of a wait for a computation."""

    computation_id: str


class DataAssetStatus(Protocol):
    """The fields of a data asset that a GET and a search result share."""

    @property
    def state(self) -> str | None:
        """State."""
        ...

    @property
    def created(self) -> float | None:
        """Creation time, in Unix seconds."""
        ...

    @property
    def last_transferred(self) -> float | None:
        """Time of the last transfer of its files, in Unix seconds."""
        ...

    @property
    def transfer_error(self) -> str | None:
        """Error of the last transfer."""
        ...


def data_asset_outcome(asset: DataAssetStatus) -> Outcome:
    """Return the outcome of a data asset. An unknown state is pending."""
    return _TERMINAL_DATA_ASSET_STATES.get(asset.state, Outcome.PENDING)


def transfer_outcome(
    asset: DataAssetStatus, last_transferred: float | None, transfer_error: str | None
) -> Outcome:
    """Return the outcome of a transfer, given two fields from before it."""
    if (asset.last_transferred or 0) > (last_transferred or 0):
        return Outcome.SUCCEEDED
    return Outcome.FAILED if asset.transfer_error not in (None, "", transfer_error) else Outcome.PENDING


def computation_outcome(computation: Computation) -> Outcome:
    """Return the outcome of a computation. A completed one may have failed."""
    if computation.state == ComputationState.FAILED:
        return Outcome.FAILED
    if computation.state != ComputationState.COMPLETED:
        return Outcome.PENDING
    has_succeeded = (
        computation.end_status in (None, ComputationEndStatus.SUCCEEDED) and not computation.exit_code
    )
    return Outcome.SUCCEEDED if has_succeeded else Outcome.FAILED


def has_started(computation: Computation) -> bool:
    """Return whether anything has run in a failed computation, as far as its fields show."""
    was_stopped = computation.end_status == ComputationEndStatus.STOPPED
    return was_stopped or bool(computation.has_results) or computation.exit_code is not None


def describe_data_asset_failure(asset: DataAsset) -> str:
    """Return an error message for a data asset in state ``failed``."""
    reason = asset.failure_reason or "Code Ocean gives no reason"
    return f"Data asset {asset.id} ({asset.name!r}) failed: {reason}"


def to_xcom(model: ResponseModel, url: str | None = None) -> dict[str, Any]:
    """Return the fields of an object as JSON values, and the address of its page as ``url``."""
    return model.model_dump(mode="json") | ({} if url is None else {"url": url})
