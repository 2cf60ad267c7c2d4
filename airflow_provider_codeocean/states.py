"""What a state means, the event that a wait ends with, and what to conclude from it."""

from __future__ import annotations

import enum
from typing import Any, Literal, TypedDict

from airflow_provider_codeocean.api.errors import CodeOceanError, DataAssetFailed, WaitTimeout
from airflow_provider_codeocean.api.models.data_asset import DataAsset, DataAssetState


class Verdict(enum.Enum):
    """What a state means to the one who waits."""

    WAITING = "waiting"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


WaitStatus = Literal["success", "failed", "timeout", "error"]


class DataAssetEvent(TypedDict):
    """How a wait for a data asset ended.

    ``status`` is ``success`` or ``failed`` where its creation ended, ``timeout`` where the deadline passed
    before, ``error`` where Code Ocean refused to tell; ``message`` says more. It carries no more than that:
    who gets it reads the data asset.
    """

    status: WaitStatus
    data_asset_id: str
    state: str | None
    message: str


def data_asset_verdict(asset: DataAsset) -> Verdict:
    """Tell what the state of a data asset means. A state that is not known yet means waiting.

    :param asset: the data asset.
    :returns: the verdict.
    """
    if asset.state == DataAssetState.READY:
        return Verdict.SUCCEEDED
    return Verdict.FAILED if asset.state == DataAssetState.FAILED else Verdict.WAITING


def describe_failure(asset: DataAsset) -> str:
    """Say in a sentence that, and if it is known why, a data asset could not be created.

    :param asset: the data asset, in state ``failed``.
    :returns: the sentence.
    """
    reason = asset.failure_reason or "Code Ocean gives no reason"
    return f"Data asset {asset.id} ({asset.name!r}) failed: {reason}"


def conclude(event: DataAssetEvent, asset: DataAsset) -> None:
    """Conclude from a wait's event and from what the data asset is by now, which weighs more.

    :param event: how the wait ended.
    :param asset: the data asset, read after that.
    :raises DataAssetFailed: where its creation failed.
    :raises WaitTimeout: where the deadline passed and it is still not ready.
    :raises CodeOceanError: where the wait ended for another reason and it is still not ready.
    """
    verdict = data_asset_verdict(asset)
    if verdict is Verdict.FAILED:
        raise DataAssetFailed(describe_failure(asset))
    if verdict is Verdict.WAITING:
        raise (WaitTimeout if event["status"] == "timeout" else CodeOceanError)(event["message"])


def as_xcom(asset: DataAsset, url: str) -> dict[str, Any]:
    """Return a data asset as a task returns it: all its fields as JSON values, and the address of its page.

    :param asset: the data asset.
    :param url: the address.
    :returns: the dictionary.
    """
    return {**asset.model_dump(mode="json"), "url": url}
