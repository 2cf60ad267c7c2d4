"""Deleting a data asset that is not wanted any more: one procedure, for a worker and for the triggerer."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_codeocean.api.errors import CodeOceanApiError, CodeOceanError, NotFound
from airflow_provider_codeocean.states import Verdict, data_asset_verdict

if TYPE_CHECKING:
    from collections.abc import Generator

    from airflow_provider_codeocean.api.call import Call
    from airflow_provider_codeocean.api.client import CodeOceanAsyncClient, CodeOceanClient

_REFUSED = (400, 409)


class Fate(enum.Enum):
    """What became of a data asset that was to be removed."""

    DELETED = "was deleted"
    GONE = "was not there any more"
    LEFT = "is ready by now, and is left as it is"


@dataclass(frozen=True, slots=True)
class Removed:
    """How a removal ended. As a string, it is a sentence for a log.

    :param data_asset_id: id of the data asset.
    :param fate: what became of it.
    """

    data_asset_id: str
    fate: Fate

    def __str__(self) -> str:
        return f"Data asset {self.data_asset_id} {self.fate.value}"


def remove_data_asset(client: CodeOceanClient, data_asset_id: str, *, even_if_ready: bool) -> Removed:
    """Delete a data asset, archiving it first where the server asks for that.

    Source: ``GET``, ``DELETE data_assets/{id}`` and ``PATCH data_assets/{id}/archive``.

    :param client: the client.
    :param data_asset_id: id of the data asset.
    :param even_if_ready: delete it in any state; else it is left where it has become ready.
    :returns: what became of it; that it is not there is no error.
    :raises CodeOceanError: where the server refuses, or is out of reach.
    """
    steps = _removal(data_asset_id, even_if_ready=even_if_ready)
    try:
        call = next(steps)
        while True:
            try:
                answer = client.send(call)
            except CodeOceanError as error:
                call = steps.throw(error)
            else:
                call = steps.send(answer)
    except StopIteration as end:
        return Removed(data_asset_id, end.value)


async def remove_data_asset_async(
    client: CodeOceanAsyncClient, data_asset_id: str, *, even_if_ready: bool
) -> Removed:
    """Do what :func:`remove_data_asset` does, in an event loop.

    :param client: the client.
    :param data_asset_id: id of the data asset.
    :param even_if_ready: delete it in any state; else it is left where it has become ready.
    :returns: what became of it; that it is not there is no error.
    :raises CodeOceanError: where the server refuses, or is out of reach.
    """
    steps = _removal(data_asset_id, even_if_ready=even_if_ready)
    try:
        call = next(steps)
        while True:
            try:
                answer = await client.send(call)
            except CodeOceanError as error:
                call = steps.throw(error)
            else:
                call = steps.send(answer)
    except StopIteration as end:
        return Removed(data_asset_id, end.value)


def _removal(data_asset_id: str, *, even_if_ready: bool) -> Generator[Call[Any], Any, Fate]:
    """Yield the requests, be sent their answers."""
    from airflow_provider_codeocean.api.endpoints.data_assets import DataAssets

    delete = DataAssets.delete.call(DataAssets.root, data_asset_id)
    try:
        if not even_if_ready:
            asset = yield DataAssets.get.call(DataAssets.root, data_asset_id)
            if data_asset_verdict(asset) is Verdict.SUCCEEDED:
                return Fate.LEFT
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
        return Fate.GONE
    return Fate.DELETED
