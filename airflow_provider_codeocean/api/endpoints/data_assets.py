"""``data_assets``: https://docs.codeocean.com/user-guide/code-ocean-api/data-assets."""

from __future__ import annotations

from types import NoneType
from typing import TYPE_CHECKING

from airflow_provider_codeocean.api.endpoint import Resource, SenderT, endpoint
from airflow_provider_codeocean.api.models.data_asset import DataAsset
from airflow_provider_codeocean.api.models.folder import DownloadURL, FileURLs, Folder, FolderParams
from airflow_provider_codeocean.api.models.permissions import Permissions, PermissionsParams
from airflow_provider_codeocean.api.models.search import Page
from airflow_provider_codeocean.api.pagination import paginated
from airflow_provider_codeocean.api.request import Idempotency, RequestParts

if TYPE_CHECKING:
    from airflow_provider_codeocean.api.models.data_asset_params import (
        DataAssetParams,
        DataAssetSearchParams,
        DataAssetUpdateParams,
        TransferParams,
    )


class DataAssets(Resource[SenderT]):
    """Data assets: versioned collections of files."""

    path_prefix = "data_assets"

    @endpoint("GET", "/{data_asset_id}", DataAsset)
    def get(self, data_asset_id: str) -> None:
        """Get a data asset."""

    @endpoint("POST", "", DataAsset)
    def create(self, params: DataAssetParams) -> RequestParts:
        """Create a data asset, initially in state ``draft``. Poll it until it is ``ready`` or ``failed``."""
        return RequestParts(body=params)

    @endpoint("PUT", "/{data_asset_id}", DataAsset)
    def update(self, data_asset_id: str, params: DataAssetUpdateParams) -> RequestParts:
        """Change the metadata; omitted fields stay unchanged."""
        return RequestParts(body=params)

    @endpoint("DELETE", "/{data_asset_id}", NoneType)
    def delete(self, data_asset_id: str) -> None:
        """Delete a data asset permanently."""

    @endpoint("PATCH", "/{data_asset_id}/archive", NoneType)
    def archive(self, data_asset_id: str, archived: bool = True) -> RequestParts:
        """Archive or unarchive a data asset."""
        return RequestParts(query={"archive": "true" if archived else "false"})

    @endpoint("POST", "/search", Page[DataAsset], idempotency=Idempotency.SAFE)
    def search(self, params: DataAssetSearchParams) -> RequestParts:
        """Search data assets, and return one page."""
        return RequestParts(body=params)

    search_all = paginated(search)

    @endpoint("GET", "/{data_asset_id}/permissions", Permissions)
    def get_permissions(self, data_asset_id: str) -> None:
        """Get the permissions of a data asset (servers from 4.3)."""

    @endpoint("POST", "/{data_asset_id}/permissions", NoneType, idempotency=Idempotency.IDEMPOTENT)
    def update_permissions(self, data_asset_id: str, params: PermissionsParams) -> RequestParts:
        """Add or change permissions."""
        return RequestParts(body=params)

    @endpoint("POST", "/{data_asset_id}/transfer", NoneType)
    def transfer(self, data_asset_id: str, params: TransferParams) -> RequestParts:
        """Start moving a data asset's files (admins only).

        On success, ``last_transferred`` of the data asset changes; on failure, ``transfer_error`` is set.
        """
        return RequestParts(body=params)

    @endpoint("POST", "/{data_asset_id}/files", Folder, idempotency=Idempotency.SAFE)
    def list_files(self, data_asset_id: str, path: str = "") -> RequestParts:
        """List a folder of an internal data asset; an empty path is the root."""
        return RequestParts(body=FolderParams(path=path))

    @endpoint("GET", "/{data_asset_id}/files/urls", FileURLs)
    def get_file_urls(self, data_asset_id: str, path: str) -> RequestParts:
        """Get the URLs of a file of an internal data asset (servers from 4.0)."""
        return RequestParts(query={"path": path})

    @endpoint("GET", "/{data_asset_id}/files/download_url", DownloadURL)
    def get_file_download_url(self, data_asset_id: str, path: str) -> RequestParts:
        """Get the URL of a file of an internal data asset (servers before 4.0)."""
        return RequestParts(query={"path": path})
