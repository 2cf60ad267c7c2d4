"""``data_assets``: https://docs.codeocean.com/user-guide/code-ocean-api/data-assets."""

from __future__ import annotations

from types import NoneType
from typing import TYPE_CHECKING

from airflow_provider_codeocean.api.endpoint import Resource, S, endpoint
from airflow_provider_codeocean.api.models.data_asset import DataAsset
from airflow_provider_codeocean.api.models.folder import DownloadURL, FileURLs, Folder, FolderParams
from airflow_provider_codeocean.api.models.permissions import Permissions, PermissionsParams
from airflow_provider_codeocean.api.models.search import Page
from airflow_provider_codeocean.api.pagination import paginated
from airflow_provider_codeocean.api.request import Effect, Parts

if TYPE_CHECKING:
    from airflow_provider_codeocean.api.models.data_asset_params import (
        DataAssetParams,
        DataAssetSearchParams,
        DataAssetUpdateParams,
        TransferParams,
    )


class DataAssets(Resource[S]):
    """Data assets: versioned collections of files."""

    root = "data_assets"

    @endpoint("GET", "/{data_asset_id}", DataAsset)
    def get(self, data_asset_id: str) -> None:
        """Get a data asset."""

    @endpoint("POST", "", DataAsset)
    def create(self, params: DataAssetParams) -> Parts:
        """Create a data asset. The answer, in state ``draft``, says that the request was right; poll it."""
        return Parts(body=params)

    @endpoint("PUT", "/{data_asset_id}", DataAsset)
    def update(self, data_asset_id: str, params: DataAssetUpdateParams) -> Parts:
        """Change the metadata that is given; the rest stays."""
        return Parts(body=params)

    @endpoint("DELETE", "/{data_asset_id}", NoneType)
    def delete(self, data_asset_id: str) -> None:
        """Delete a data asset for good."""

    @endpoint("PATCH", "/{data_asset_id}/archive", NoneType)
    def archive(self, data_asset_id: str, archived: bool = True) -> Parts:
        """Archive a data asset, or bring it back."""
        return Parts(query={"archive": "true" if archived else "false"})

    @endpoint("POST", "/search", Page[DataAsset], effect=Effect.READ)
    def search(self, params: DataAssetSearchParams) -> Parts:
        """Search data assets: one page."""
        return Parts(body=params)

    search_all = paginated(search)

    @endpoint("GET", "/{data_asset_id}/permissions", Permissions)
    def get_permissions(self, data_asset_id: str) -> None:
        """Get the permissions of a data asset (servers from 4.3)."""

    @endpoint("POST", "/{data_asset_id}/permissions", NoneType, effect=Effect.REPEATABLE)
    def update_permissions(self, data_asset_id: str, params: PermissionsParams) -> Parts:
        """Add permissions, or change those that are there."""
        return Parts(body=params)

    @endpoint("POST", "/{data_asset_id}/transfer", NoneType)
    def transfer(self, data_asset_id: str, params: TransferParams) -> Parts:
        """Start moving a data asset's files (admins only).

        ``last_transferred`` of the data asset moves when it is done, ``transfer_error`` says why it failed.
        """
        return Parts(body=params)

    @endpoint("POST", "/{data_asset_id}/files", Folder, effect=Effect.READ)
    def list_files(self, data_asset_id: str, path: str = "") -> Parts:
        """List a folder of an internal data asset; an empty path is the root."""
        return Parts(body=FolderParams(path=path))

    @endpoint("GET", "/{data_asset_id}/files/urls", FileURLs)
    def get_file_urls(self, data_asset_id: str, path: str) -> Parts:
        """Get the URLs of a file of an internal data asset (servers from 4.0)."""
        return Parts(query={"path": path})

    @endpoint("GET", "/{data_asset_id}/files/download_url", DownloadURL)
    def get_file_download_url(self, data_asset_id: str, path: str) -> Parts:
        """Get the URL of a file of an internal data asset, from a server before 4.0."""
        return Parts(query={"path": path})
