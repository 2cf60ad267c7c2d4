"""Deleting data assets and computations: one procedure each, for workers and the triggerer."""

from __future__ import annotations

import enum
import time
from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_codeocean.api.errors import (
    VISIBILITY_SECONDS,
    CodeOceanApiError,
    CodeOceanError,
    NotFound,
)
from airflow_provider_codeocean.outcomes import Verdict, computation_verdict, data_asset_verdict

if TYPE_CHECKING:
    from airflow_provider_codeocean.api.client import CodeOceanAsyncClient, CodeOceanClient
    from airflow_provider_codeocean.api.request import Call

_REFUSED = (400, 409)


class Fate(enum.Enum):
    """The result of a deletion."""

    DELETED = "was deleted"
    GONE = "was not there any more"
    HIDDEN = (
        "was not found. It was submitted less than five minutes ago and may not be visible yet: "
        "if it appears later, delete it"
    )
    LEFT = "is ready by now, and is left as it is"
    OVER = "is over by now, and is left as it is"


@dataclass(frozen=True, slots=True)
class Removed:
    """The result of a deletion, with the object. As a string, it is a sentence for a log.

    :param what: kind and id of the object.
    :param fate: the result.
    """

    what: str
    fate: Fate

    def __str__(self) -> str:
        return f"{self.what} {self.fate.value}"


#: A procedure: yields the requests, is sent their responses.
Removal = Generator["Call[Any]", Any, Removed]


def remove_data_asset(
    client: CodeOceanClient, data_asset_id: str, *, even_if_ready: bool, submitted_at: float | None = None
) -> Removed:
    """Delete a data asset, and archive it first if the server requires that.

    Source: ``GET``, ``DELETE data_assets/{id}`` and ``PATCH data_assets/{id}/archive``.

    :param client: the client.
    :param data_asset_id: id of the data asset.
    :param even_if_ready: delete it in any state; otherwise it is left if it has become ready.
    :param submitted_at: when this Airflow submitted it, in Unix seconds; None if it did not.
    :returns: the result; that Code Ocean does not know it is no error.
    :raises CodeOceanError: if the server refuses, or does not respond.
    """
    return remove(
        client,
        removal_of_data_asset(data_asset_id, even_if_ready=even_if_ready, submitted_at=submitted_at),
    )


def remove_computation(
    client: CodeOceanClient, computation_id: str, *, even_if_over: bool, submitted_at: float | None = None
) -> Removed:
    """Delete a computation with its results, which stops it: the API has no other way to.

    Source: ``GET`` and ``DELETE computations/{id}``.

    :param client: the client.
    :param computation_id: id of the computation.
    :param even_if_over: delete it in any state; otherwise it is left if it has ended.
    :param submitted_at: when this Airflow submitted it, in Unix seconds; None if it did not.
    :returns: the result; that Code Ocean does not know it is no error.
    :raises CodeOceanError: if the server refuses, or does not respond.
    """
    return remove(
        client, removal_of_computation(computation_id, even_if_over=even_if_over, submitted_at=submitted_at)
    )


def remove(client: CodeOceanClient, removal: Removal) -> Removed:
    """Run a deletion.

    :param client: the client.
    :param removal: the procedure.
    :returns: the result.
    """
    send: Any = removal.send
    value: Any = None
    while True:
        try:
            call = send(value)
        except StopIteration as end:
            removed: Removed = end.value
            return removed
        try:
            value, send = client.send(call), removal.send
        except CodeOceanError as error:
            value, send = error, removal.throw


async def remove_async(client: CodeOceanAsyncClient, removal: Removal) -> Removed:
    """Run a deletion, in an event loop.

    :param client: the client.
    :param removal: the procedure.
    :returns: the result.
    """
    send: Any = removal.send
    value: Any = None
    while True:
        try:
            call = send(value)
        except StopIteration as end:
            removed: Removed = end.value
            return removed
        try:
            value, send = await client.send(call), removal.send
        except CodeOceanError as error:
            value, send = error, removal.throw


def removal_of_computation(
    computation_id: str, *, even_if_over: bool, submitted_at: float | None = None
) -> Generator[Call[Any], Any, Removed]:
    """Return the procedure of :func:`remove_computation`, which a worker or the triggerer can run.

    :param computation_id: id of the computation.
    :param even_if_over: delete it in any state; otherwise it is left if it has ended.
    :param submitted_at: when this Airflow submitted it, in Unix seconds; None if it did not.
    :returns: the result.
    """
    from airflow_provider_codeocean.api.endpoints.computations import Computations

    what = f"Computation {computation_id}"
    try:
        if not even_if_over:
            computation = yield Computations.get.call(Computations.root, computation_id)
            if computation_verdict(computation) is not Verdict.WAITING:
                return Removed(what, Fate.OVER)
        yield Computations.delete.call(Computations.root, computation_id)
    except NotFound:
        return Removed(what, _not_found(submitted_at))
    return Removed(what, Fate.DELETED)


def removal_of_data_asset(
    data_asset_id: str, *, even_if_ready: bool, submitted_at: float | None = None
) -> Generator[Call[Any], Any, Removed]:
    """Return the procedure of :func:`remove_data_asset`, which a worker or the triggerer can run.

    :param data_asset_id: id of the data asset.
    :param even_if_ready: delete it in any state; otherwise it is left if it has become ready.
    :param submitted_at: when this Airflow submitted it, in Unix seconds; None if it did not.
    :returns: the result.
    """
    from airflow_provider_codeocean.api.endpoints.data_assets import DataAssets

    what = f"Data asset {data_asset_id}"
    delete = DataAssets.delete.call(DataAssets.root, data_asset_id)
    try:
        if not even_if_ready:
            asset = yield DataAssets.get.call(DataAssets.root, data_asset_id)
            if data_asset_verdict(asset) is Verdict.SUCCEEDED:
                return Removed(what, Fate.LEFT)
        try:
            yield delete
        except CodeOceanApiError as error:
            if error.status not in _REFUSED:
                raise
            # The web application asks that an asset be archived first; the API is not documented to.
            yield DataAssets.archive.call(DataAssets.root, data_asset_id)
            try:
                yield delete
            except NotFound:
                raise
            except CodeOceanApiError as refusal:
                if refusal.status not in _REFUSED:
                    raise
                message = f"{refusal.message} (it was archived before that, and is archived now)"
                raise CodeOceanApiError(
                    refusal.status, message, method=refusal.method, path=refusal.path
                ) from refusal
    except NotFound:
        return Removed(what, _not_found(submitted_at))
    return Removed(what, Fate.DELETED)


def _not_found(submitted_at: float | None) -> Fate:
    """Return what Code Ocean's own 404 means."""
    is_young = submitted_at is not None and time.time() < submitted_at + VISIBILITY_SECONDS
    return Fate.HIDDEN if is_young else Fate.GONE
