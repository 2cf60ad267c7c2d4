"""Deleting what is not wanted any more: one procedure each, for a worker and for the triggerer."""

from __future__ import annotations

import enum
from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_codeocean.api.errors import CodeOceanApiError, CodeOceanError, NotFound
from airflow_provider_codeocean.states import Verdict, computation_verdict, data_asset_verdict

if TYPE_CHECKING:
    from airflow_provider_codeocean.api.call import Call
    from airflow_provider_codeocean.api.client import CodeOceanAsyncClient, CodeOceanClient

_REFUSED = (400, 409)


class Fate(enum.Enum):
    """What became of what was to be removed."""

    DELETED = "was deleted"
    GONE = "was not there any more"
    LEFT = "is ready by now, and is left as it is"
    OVER = "is over by now, and is left as it is"


@dataclass(frozen=True, slots=True)
class Removed:
    """How a removal ended. As a string, it is a sentence for a log.

    :param what: what it is, with its id.
    :param fate: what became of it.
    """

    what: str
    fate: Fate

    def __str__(self) -> str:
        return f"{self.what} {self.fate.value}"


#: A procedure: yields the requests, is sent their answers.
Removal = Generator["Call[Any]", Any, Removed]


def remove_data_asset(client: CodeOceanClient, data_asset_id: str, *, even_if_ready: bool) -> Removed:
    """Delete a data asset, archiving it first where the server asks for that.

    Source: ``GET``, ``DELETE data_assets/{id}`` and ``PATCH data_assets/{id}/archive``.

    :param client: the client.
    :param data_asset_id: id of the data asset.
    :param even_if_ready: delete it in any state; else it is left where it has become ready.
    :returns: what became of it; that it is not there is no error.
    :raises CodeOceanError: where the server refuses, or is out of reach.
    """
    return remove(client, removal_of_data_asset(data_asset_id, even_if_ready=even_if_ready))


def remove_computation(client: CodeOceanClient, computation_id: str, *, even_if_over: bool) -> Removed:
    """Delete a computation with its results, which stops it: the API has no other way to.

    Source: ``GET`` and ``DELETE computations/{id}``.

    :param client: the client.
    :param computation_id: id of the computation.
    :param even_if_over: delete it in any state; else it is left where it has ended.
    :returns: what became of it; that it is not there is no error.
    :raises CodeOceanError: where the server refuses, or is out of reach.
    """
    return remove(client, removal_of_computation(computation_id, even_if_over=even_if_over))


def remove(client: CodeOceanClient, removal: Removal) -> Removed:
    """Carry out a removal.

    :param client: the client.
    :param removal: the procedure.
    :returns: what became of it.
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
    """Carry out a removal, in an event loop.

    :param client: the client.
    :param removal: the procedure.
    :returns: what became of it.
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


def removal_of_computation(computation_id: str, *, even_if_over: bool) -> Generator[Call[Any], Any, Removed]:
    """Return the procedure of :func:`remove_computation`, to be carried out anywhere.

    :param computation_id: id of the computation.
    :param even_if_over: delete it in any state; else it is left where it has ended.
    :returns: what became of it.
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
        return Removed(what, Fate.GONE)
    return Removed(what, Fate.DELETED)


def removal_of_data_asset(data_asset_id: str, *, even_if_ready: bool) -> Generator[Call[Any], Any, Removed]:
    """Return the procedure of :func:`remove_data_asset`, to be carried out anywhere.

    :param data_asset_id: id of the data asset.
    :param even_if_ready: delete it in any state; else it is left where it has become ready.
    :returns: what became of it.
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
        return Removed(what, Fate.GONE)
    return Removed(what, Fate.DELETED)
