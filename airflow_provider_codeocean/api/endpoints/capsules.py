"""``capsules`` and ``pipelines``: https://docs.codeocean.com/user-guide/code-ocean-api/capsules."""

from __future__ import annotations

from types import NoneType
from typing import TYPE_CHECKING

from airflow_provider_codeocean.api.endpoint import Resource, SenderT, check_identifier_list, endpoint
from airflow_provider_codeocean.api.models.capsule import (
    AppPanel,
    Capsule,
    CapsuleSearchParams,
    GitSync,
    ReleaseJob,
)
from airflow_provider_codeocean.api.models.computation import Computation
from airflow_provider_codeocean.api.models.data_asset import DataAssetAttachment
from airflow_provider_codeocean.api.models.permissions import Permissions, PermissionsParams
from airflow_provider_codeocean.api.models.search import Page
from airflow_provider_codeocean.api.pagination import paginated
from airflow_provider_codeocean.api.request import Idempotency, RequestParts

if TYPE_CHECKING:
    from airflow_provider_codeocean.api.models.data_asset_params import AttachParams


class Capsules(Resource[SenderT]):
    """Capsules: reproducible units of code, environment, and data."""

    path_prefix = "capsules"

    @endpoint("GET", "/{capsule_id}", Capsule)
    def get(self, capsule_id: str) -> None:
        """Get a capsule or pipeline."""

    @endpoint("DELETE", "/{capsule_id}", NoneType)
    def delete(self, capsule_id: str) -> None:
        """Delete a capsule or pipeline permanently."""

    @endpoint("GET", "/{capsule_id}/computations", list[Computation])
    def list_computations(self, capsule_id: str) -> None:
        """List the computations of a capsule or pipeline."""

    @endpoint("POST", "/search", Page[Capsule], idempotency=Idempotency.SAFE)
    def search(self, params: CapsuleSearchParams) -> RequestParts:
        """Search capsules or pipelines, and return one page."""
        return RequestParts(body=params)

    search_all = paginated(search)

    @endpoint("GET", "/{capsule_id}/permissions", Permissions)
    def get_permissions(self, capsule_id: str) -> None:
        """Get the permissions of a capsule or pipeline."""

    @endpoint("POST", "/{capsule_id}/permissions", NoneType, idempotency=Idempotency.IDEMPOTENT)
    def update_permissions(self, capsule_id: str, params: PermissionsParams) -> RequestParts:
        """Add or change permissions."""
        return RequestParts(body=params)

    @endpoint("POST", "/{capsule_id}/data_assets", list[DataAssetAttachment])
    def attach_data_assets(self, capsule_id: str, data_assets: list[AttachParams]) -> RequestParts:
        """Attach data assets to a capsule or pipeline."""
        return RequestParts(body=data_assets)

    @endpoint("DELETE", "/{capsule_id}/data_assets/", NoneType)
    def detach_data_assets(self, capsule_id: str, data_asset_ids: list[str]) -> RequestParts:
        """Detach data assets from a capsule or pipeline."""
        return RequestParts(body=check_identifier_list("data_asset_ids", data_asset_ids))

    @endpoint("PATCH", "/{capsule_id}/archive", NoneType)
    def archive(self, capsule_id: str, archived: bool = True) -> RequestParts:
        """Archive or unarchive a capsule or pipeline."""
        return RequestParts(query={"archive": "true" if archived else "false"})

    @endpoint("GET", "/{capsule_id}/app_panel", AppPanel)
    def get_app_panel(self, capsule_id: str, version: int | None = None) -> RequestParts:
        """Get the App Panel of the current code or of a released version."""
        return RequestParts(query={} if version is None else {"version": str(version)})

    @endpoint("POST", "/{capsule_id}/sync", GitSync)
    def sync(self, capsule_id: str) -> None:
        """Synchronize the code with its Git repository."""

    @endpoint("POST", "/{capsule_id}/release", ReleaseJob)
    def release(self, capsule_id: str) -> None:
        """Start releasing a new version."""

    @endpoint("GET", "/{capsule_id}/release/{job_id}", ReleaseJob)
    def get_release_job(self, capsule_id: str, job_id: str) -> None:
        """Get the status of a release job."""


class Pipelines(Capsules[SenderT]):
    """Pipelines: workflows of capsules, with the same endpoints as capsules."""

    path_prefix = "pipelines"
