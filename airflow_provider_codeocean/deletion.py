"""Delete data assets and computations, in workers and in the triggerer."""

from __future__ import annotations

import enum
import time
from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_codeocean.api import procedure
from airflow_provider_codeocean.api.errors import (
    NOT_FOUND_GRACE_SECONDS,
    CodeOceanApiError,
    NotFound,
)
from airflow_provider_codeocean.outcomes import Outcome, computation_outcome, data_asset_outcome

if TYPE_CHECKING:
    from airflow_provider_codeocean.api.client import CodeOceanClient
    from airflow_provider_codeocean.api.request import Request

#: What happens to a pending job when a user ends its task.
OnKill = Literal["leave", "delete"]

_ARCHIVE_FIRST_STATUSES = (400, 409)


class DeletionStatus(enum.Enum):
    """The result of a deletion, as the end of a sentence."""

    DELETED = "was deleted"
    NOT_FOUND = "was already gone"
    NOT_VISIBLE_YET = (
        "was not found. It was submitted less than five minutes ago and may not be visible yet: "
        "if it appears later, delete it"
    )
    KEPT_READY = "is ready and was kept"
    KEPT_TERMINAL = "has ended and was kept"


@dataclass(frozen=True, slots=True)
class DeletionResult:
    """The result of a deletion. Its string is a sentence for a log.

    :param description: kind and id of the object.
    :param status: the result.
    """

    description: str
    status: DeletionStatus

    def __str__(self) -> str:
        return f"{self.description} {self.status.value}"


#: A procedure for :mod:`airflow_provider_codeocean.api.procedure`.
DeletionProcedure = Generator["Request[Any]", Any, DeletionResult]


def delete_data_asset(
    client: CodeOceanClient, data_asset_id: str, *, only_if_pending: bool, submitted_at: float | None = None
) -> DeletionResult:
    """Delete a data asset; see :func:`data_asset_deletion`."""
    deletion = data_asset_deletion(data_asset_id, only_if_pending=only_if_pending, submitted_at=submitted_at)
    return procedure.run(deletion, client.send)


def delete_computation(
    client: CodeOceanClient, computation_id: str, *, only_if_pending: bool, submitted_at: float | None = None
) -> DeletionResult:
    """Delete a computation; see :func:`computation_deletion`."""
    deletion = computation_deletion(
        computation_id, only_if_pending=only_if_pending, submitted_at=submitted_at
    )
    return procedure.run(deletion, client.send)


def computation_deletion(
    computation_id: str, *, only_if_pending: bool, submitted_at: float | None = None
) -> Generator[Request[Any], Any, DeletionResult]:
    """Delete a computation with its results. This stops a pending one: the API has no other way.

    Source: ``GET`` and ``DELETE computations/{id}``.

    :param computation_id: id of the computation.
    :param only_if_pending: whether to keep a computation that has ended.
    :param submitted_at: when this task submitted it, in Unix seconds; None if another user may have.
    :returns: the result; a 404 is not an error.
    """
    from airflow_provider_codeocean.api.endpoints.computations import Computations

    description = f"Computation {computation_id}"
    try:
        if only_if_pending:
            computation = yield Computations.get.build_request(Computations.path_prefix, computation_id)
            if computation_outcome(computation) is not Outcome.PENDING:
                return DeletionResult(description, DeletionStatus.KEPT_TERMINAL)
        yield Computations.delete.build_request(Computations.path_prefix, computation_id)
    except NotFound:
        return DeletionResult(description, _not_found_status(submitted_at))
    return DeletionResult(description, DeletionStatus.DELETED)


def data_asset_deletion(
    data_asset_id: str, *, only_if_pending: bool, submitted_at: float | None = None
) -> Generator[Request[Any], Any, DeletionResult]:
    """Delete a data asset, and archive it first if the server requires this.

    Source: ``GET``, ``DELETE data_assets/{id}`` and ``PATCH data_assets/{id}/archive``.

    :param data_asset_id: id of the data asset.
    :param only_if_pending: whether to keep a data asset that is ready.
    :param submitted_at: when this task submitted it, in Unix seconds; None if another user may have.
    :returns: the result; a 404 is not an error.
    """
    from airflow_provider_codeocean.api.endpoints.data_assets import DataAssets

    description = f"Data asset {data_asset_id}"
    delete = DataAssets.delete.build_request(DataAssets.path_prefix, data_asset_id)
    try:
        if only_if_pending:
            asset = yield DataAssets.get.build_request(DataAssets.path_prefix, data_asset_id)
            if data_asset_outcome(asset) is Outcome.SUCCEEDED:
                return DeletionResult(description, DeletionStatus.KEPT_READY)
        try:
            yield delete
        except CodeOceanApiError as error:
            if error.status not in _ARCHIVE_FIRST_STATUSES:
                raise
            # The web application requires that an asset is archived first; for the API, this is not
            # documented.
            yield DataAssets.archive.build_request(DataAssets.path_prefix, data_asset_id)
            try:
                yield delete
            except NotFound:
                raise
            except CodeOceanApiError as refusal:
                if refusal.status not in _ARCHIVE_FIRST_STATUSES:
                    raise
                message = f"{refusal.message} (it was archived first, and is still archived)"
                raise CodeOceanApiError(
                    refusal.status, message, method=refusal.method, path=refusal.path
                ) from refusal
    except NotFound:
        return DeletionResult(description, _not_found_status(submitted_at))
    return DeletionResult(description, DeletionStatus.DELETED)


def _not_found_status(submitted_at: float | None) -> DeletionStatus:
    is_young = submitted_at is not None and time.time() < submitted_at + NOT_FOUND_GRACE_SECONDS
    return DeletionStatus.NOT_VISIBLE_YET if is_young else DeletionStatus.NOT_FOUND
