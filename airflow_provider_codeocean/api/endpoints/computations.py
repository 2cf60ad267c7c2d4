"""``computations``: https://docs.codeocean.com/user-guide/code-ocean-api/computation."""

from __future__ import annotations

from types import NoneType
from typing import TYPE_CHECKING

from airflow_provider_codeocean.api.endpoint import Resource, SenderT, check_identifier_list, endpoint
from airflow_provider_codeocean.api.models.computation import Computation, RunParams
from airflow_provider_codeocean.api.models.data_asset import DataAssetAttachment
from airflow_provider_codeocean.api.models.folder import DownloadURL, FileURLs, Folder, FolderParams
from airflow_provider_codeocean.api.request import Idempotency, RequestParts

if TYPE_CHECKING:
    from airflow_provider_codeocean.api.models.data_asset_params import AttachParams


class Computations(Resource[SenderT]):
    """Computations: runs of capsules and pipelines, and cloud workstations."""

    path_prefix = "computations"

    @endpoint("POST", "", Computation)
    def run(self, params: RunParams) -> RequestParts:
        """Run a capsule or a pipeline."""
        return RequestParts(body=params)

    @endpoint("GET", "/{computation_id}", Computation)
    def get(self, computation_id: str) -> None:
        """Get a computation."""

    @endpoint("DELETE", "/{computation_id}", NoneType)
    def delete(self, computation_id: str) -> None:
        """Delete a computation and its results; a running one is stopped."""

    @endpoint("PATCH", "/{computation_id}", NoneType)
    def rename(self, computation_id: str, name: str) -> RequestParts:
        """Change the display name of a computation."""
        if not name.strip():
            raise ValueError("name must not be empty")
        return RequestParts(query={"name": name})

    @endpoint("POST", "/{computation_id}/results", Folder, idempotency=Idempotency.SAFE)
    def list_results(self, computation_id: str, path: str = "") -> RequestParts:
        """List a folder of a computation's results; an empty path is the root."""
        return RequestParts(body=FolderParams(path=path))

    @endpoint("GET", "/{computation_id}/results/urls", FileURLs)
    def get_result_urls(self, computation_id: str, path: str) -> RequestParts:
        """Get the URLs of a result file (servers from 4.0)."""
        return RequestParts(query={"path": path})

    @endpoint("GET", "/{computation_id}/results/download_url", DownloadURL)
    def get_result_download_url(self, computation_id: str, path: str) -> RequestParts:
        """Get the URL of a result file (servers before 4.0)."""
        return RequestParts(query={"path": path})

    @endpoint("POST", "/{computation_id}/data_assets", list[DataAssetAttachment])
    def attach_data_assets(self, computation_id: str, data_assets: list[AttachParams]) -> RequestParts:
        """Attach data assets to a cloud workstation."""
        return RequestParts(body=data_assets)

    @endpoint("DELETE", "/{computation_id}/data_assets/", NoneType)
    def detach_data_assets(self, computation_id: str, data_asset_ids: list[str]) -> RequestParts:
        """Detach data assets from a cloud workstation."""
        return RequestParts(body=check_identifier_list("data_asset_ids", data_asset_ids))
