"""Select the results of a poll that an event reports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeVar

from airflow_provider_codeocean.outcomes import Outcome, computation_outcome, data_asset_outcome
from airflow_provider_codeocean.submission.keys import extract_key

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_provider_codeocean.api.models.computation import Computation
    from airflow_provider_codeocean.api.models.data_asset import DataAsset

T = TypeVar("T", "Computation", "DataAsset")

#: Which finished computations to report.
StatusFilter = Literal["succeeded", "failed", "any"]

#: Fields of a computation in an event.
COMPUTATION_EVENT_FIELDS = {
    "id",
    "name",
    "created",
    "run_time",
    "state",
    "end_status",
    "exit_code",
    "has_results",
    "owner",
    "parameters",
    "data_assets",
    "nextflow_profile",
}
#: Fields of a data asset in an event.
DATA_ASSET_EVENT_FIELDS = {
    "id",
    "name",
    "created",
    "type",
    "mount",
    "tags",
    "size",
    "files",
    "custom_metadata",
    "provenance",
}


def select_terminal_computations(
    computations: Iterable[Computation], since: float | None
) -> list[Computation]:
    """Return the terminal computations since a time, without cloud workstations, the oldest first."""
    terminal = (
        computation
        for computation in computations
        if not computation.cloud_workstation and computation_outcome(computation) is not Outcome.PENDING
    )
    return _oldest_first(terminal, since)


def matches_filters(computation: Computation, status: StatusFilter, *, include_own: bool) -> bool:
    """Return whether to report a terminal computation; own ones have an idempotency key in their names."""
    if status not in ("any", computation_outcome(computation).value):
        return False
    return include_own or extract_key(computation.name) is None


def select_ready_data_assets(assets: Iterable[DataAsset], since: float | None) -> list[DataAsset]:
    """Return the data assets that are ready and were created since a time, the oldest first."""
    return _oldest_first((asset for asset in assets if data_asset_outcome(asset) is Outcome.SUCCEEDED), since)


def _oldest_first(items: Iterable[T], since: float | None) -> list[T]:
    selected = {
        item.id: item
        for item in items
        if item.id and (since is None or item.created is None or item.created >= since)
    }
    return sorted(selected.values(), key=lambda item: (item.created or 0, item.id))


def to_event_item(item: Computation | DataAsset, fields: set[str]) -> dict[str, Any]:
    """Return these fields of a computation or data asset, as JSON values."""
    return item.model_dump(mode="json", include=fields)
