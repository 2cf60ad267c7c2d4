"""``capsules`` and ``pipelines``: https://docs.codeocean.com/user-guide/code-ocean-api/capsules."""

from __future__ import annotations

from types import NoneType
from typing import TYPE_CHECKING

from airflow_provider_codeocean.api.endpoint import Resource, S, endpoint, identifiers
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
from airflow_provider_codeocean.api.request import Effect, Parts

if TYPE_CHECKING:
    from airflow_provider_codeocean.api.models.data_asset_params import AttachParams


class Capsules(Resource[S]):
    """Capsules: code, environment and data that run together."""

    root = "capsules"

    @endpoint("GET", "/{capsule_id}", Capsule)
    def get(self, capsule_id: str) -> None:
        """Get a capsule or pipeline."""

    @endpoint("DELETE", "/{capsule_id}", NoneType)
    def delete(self, capsule_id: str) -> None:
        """Delete a capsule or pipeline for good."""

    @endpoint("GET", "/{capsule_id}/computations", list[Computation])
    def list_computations(self, capsule_id: str) -> None:
        """List the computations of a capsule or pipeline."""

    @endpoint("POST", "/search", Page[Capsule], effect=Effect.READ)
    def search(self, params: CapsuleSearchParams) -> Parts:
        """Search capsules or pipelines: one page."""
        return Parts(body=params)

    search_all = paginated(search)

    @endpoint("GET", "/{capsule_id}/permissions", Permissions)
    def get_permissions(self, capsule_id: str) -> None:
        """Get the permissions of a capsule or pipeline."""

    @endpoint("POST", "/{capsule_id}/permissions", NoneType, effect=Effect.REPEATABLE)
    def update_permissions(self, capsule_id: str, params: PermissionsParams) -> Parts:
        """Add permissions, or change those that are there."""
        return Parts(body=params)

    @endpoint("POST", "/{capsule_id}/data_assets", list[DataAssetAttachment])
    def attach_data_assets(self, capsule_id: str, data_assets: list[AttachParams]) -> Parts:
        """Attach data assets to a capsule or pipeline."""
        return Parts(body=data_assets)

    @endpoint("DELETE", "/{capsule_id}/data_assets/", NoneType)
    def detach_data_assets(self, capsule_id: str, data_asset_ids: list[str]) -> Parts:
        """Detach data assets from a capsule or pipeline."""
        return Parts(body=identifiers("data_asset_ids", data_asset_ids))

    @endpoint("PATCH", "/{capsule_id}/archive", NoneType)
    def archive(self, capsule_id: str, archived: bool = True) -> Parts:
        """Archive a capsule or pipeline, or bring it back."""
        return Parts(query={"archive": "true" if archived else "false"})

    @endpoint("GET", "/{capsule_id}/app_panel", AppPanel)
    def get_app_panel(self, capsule_id: str, version: int | None = None) -> Parts:
        """Get the App Panel, of a released version where one is given."""
        return Parts(query={} if version is None else {"version": str(version)})

    @endpoint("POST", "/{capsule_id}/sync", GitSync)
    def sync(self, capsule_id: str) -> None:
        """Synchronise the code with its Git repository."""

    @endpoint("POST", "/{capsule_id}/release", ReleaseJob)
    def release(self, capsule_id: str) -> None:
        """Start releasing a further version."""

    @endpoint("GET", "/{capsule_id}/release/{job_id}", ReleaseJob)
    def get_release_job(self, capsule_id: str, job_id: str) -> None:
        """Get how far a release has come."""


class Pipelines(Capsules[S]):
    """Pipelines: capsules that run one after the other. Their endpoints are those of capsules."""

    root = "pipelines"
