"""What a state means, and the event that a wait ends with."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypedDict

from airflow_provider_codeocean.api.models.computation import ComputationEndStatus, ComputationState
from airflow_provider_codeocean.api.models.data_asset import DataAsset, DataAssetState

if TYPE_CHECKING:
    from airflow_provider_codeocean.api.models.base import Payload
    from airflow_provider_codeocean.api.models.computation import Computation


class Verdict(enum.Enum):
    """What a state means to the one who waits."""

    WAITING = "waiting"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


WaitStatus = Literal["success", "failed", "timeout", "error", "not_begun"]


class WaitEvent(TypedDict):
    """How a wait ended.

    ``status`` is ``success`` or ``failed`` where what was waited for ended, ``timeout`` where the deadline
    passed before, ``error`` where Code Ocean refused to tell, ``not_begun`` where it is for a worker to begin
    it; ``state`` is what was seen last, and ``message`` says more. It carries no more than that: who gets it
    reads the thing itself.
    """

    status: WaitStatus
    state: str | None
    message: str


class DataAssetEvent(WaitEvent):
    """How a wait for a data asset ended."""

    data_asset_id: str


class TransferEvent(DataAssetEvent):
    """How a wait for a transfer ended, and what the data asset was before the transfer was begun."""

    last_transferred: float | None
    transfer_error: str | None


class ComputationEvent(WaitEvent):
    """How a wait for a computation ended."""

    computation_id: str


class SeenDataAsset(Protocol):
    """What a look at a data asset shows, be it the whole of it or a line of a search."""

    @property
    def state(self) -> str | None:
        """State."""
        ...

    @property
    def created(self) -> float | None:
        """When it was created, in Unix seconds."""
        ...

    @property
    def last_transferred(self) -> float | None:
        """When its files were last moved, in Unix seconds."""
        ...

    @property
    def transfer_error(self) -> str | None:
        """Why the last attempt to move them failed."""
        ...


def data_asset_verdict(asset: SeenDataAsset) -> Verdict:
    """Tell what the state of a data asset means. A state that is not known yet means waiting.

    :param asset: the data asset.
    :returns: the verdict.
    """
    if asset.state == DataAssetState.READY:
        return Verdict.SUCCEEDED
    return Verdict.FAILED if asset.state == DataAssetState.FAILED else Verdict.WAITING


def transfer_verdict(
    asset: SeenDataAsset, last_transferred: float | None, transfer_error: str | None
) -> Verdict:
    """Tell whether the files of a data asset have been moved.

    :param asset: the data asset.
    :param last_transferred: its field of that name, before the transfer was begun.
    :param transfer_error: its field of that name, before the transfer was begun.
    :returns: the verdict.
    """
    if (asset.last_transferred or 0) > (last_transferred or 0):
        return Verdict.SUCCEEDED
    return Verdict.FAILED if asset.transfer_error not in (None, "", transfer_error) else Verdict.WAITING


def computation_verdict(computation: Computation) -> Verdict:
    """Tell what the state of a computation means. One that has completed may have failed all the same.

    :param computation: the computation.
    :returns: the verdict.
    """
    if computation.state == ComputationState.FAILED:
        return Verdict.FAILED
    if computation.state != ComputationState.COMPLETED:
        return Verdict.WAITING
    well = computation.end_status in (None, ComputationEndStatus.SUCCEEDED) and not computation.exit_code
    return Verdict.SUCCEEDED if well else Verdict.FAILED


def describe_failure(asset: DataAsset) -> str:
    """Say in a sentence that, and if it is known why, a data asset could not be created.

    :param asset: the data asset, in state ``failed``.
    :returns: the sentence.
    """
    reason = asset.failure_reason or "Code Ocean gives no reason"
    return f"Data asset {asset.id} ({asset.name!r}) failed: {reason}"


def as_xcom(payload: Payload, url: str | None = None) -> dict[str, Any]:
    """Return an object of the API as a task returns it: all its fields as JSON values.

    :param payload: a data asset, for example.
    :param url: the address of its page, if there is one.
    :returns: the dictionary, with the address as ``url``.
    """
    return payload.model_dump(mode="json") | ({} if url is None else {"url": url})
