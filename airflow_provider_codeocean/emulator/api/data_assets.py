"""The endpoints under `data_assets/`."""

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Body, Depends, Query, Response
from fastapi.responses import JSONResponse

from airflow_provider_codeocean.emulator.api.downloads import build_file_urls, list_folder
from airflow_provider_codeocean.emulator.api.responses import (
    data_asset_payload,
    legacy_data_asset_payload,
    permissions_payload,
)
from airflow_provider_codeocean.emulator.domain.clock import BEFORE_START
from airflow_provider_codeocean.emulator.domain.errors import raise_bad_request
from airflow_provider_codeocean.emulator.domain.permissions import Role
from airflow_provider_codeocean.emulator.domain.records import DataAsset, JsonObject
from airflow_provider_codeocean.emulator.domain.requests import (
    DataAssetParams,
    DataAssetSearchParams,
    DataAssetUpdate,
    FolderParams,
    PermissionsUpdate,
    TransferParams,
)
from airflow_provider_codeocean.emulator.services.data_asset_creation import create_data_asset
from airflow_provider_codeocean.emulator.services.data_assets import (
    delete_data_asset,
    merge_permissions,
    read_data_asset,
    share_data_assets,
    transfer_data_asset,
    update_data_asset,
)
from airflow_provider_codeocean.emulator.services.search_fields import search_data_assets
from airflow_provider_codeocean.emulator.services.session import (
    DataAssetReadSession,
    DataAssetWriteSession,
    Session,
    require_server_version,
)
from airflow_provider_codeocean.emulator.state.access import find_data_asset

router = APIRouter(prefix="/api/v1/data_assets", tags=["data assets"])


def _render_data_asset(session: Session, asset: DataAsset, timestamp: float) -> JsonObject:
    old = session.emulator.config.payload_style == "2.x"
    render = legacy_data_asset_payload if old else data_asset_payload
    return render(asset, timestamp, session.emulator.user_directory.get_email(asset.owner))


@router.post("")
async def create(session: DataAssetWriteSession, params: DataAssetParams) -> Response:
    """Create a data asset."""
    return JSONResponse(_render_data_asset(session, create_data_asset(session, params), BEFORE_START))


@router.post("/search")
async def search(
    session: DataAssetReadSession, params: Annotated[DataAssetSearchParams | None, Body()] = None
) -> Response:
    """Search for data assets."""
    page, timestamp = search_data_assets(session, params or DataAssetSearchParams())
    return JSONResponse(page.to_payload(lambda asset: _render_data_asset(session, asset, timestamp)))


@router.get("/{data_asset_id}")
async def read(session: DataAssetReadSession, data_asset_id: str) -> Response:
    """Get a data asset."""
    return JSONResponse(_render_data_asset(session, read_data_asset(session, data_asset_id), session.now))


@router.put("/{data_asset_id}")
async def update(session: DataAssetWriteSession, data_asset_id: str, params: DataAssetUpdate) -> Response:
    """Change the description of a data asset."""
    return JSONResponse(
        _render_data_asset(session, update_data_asset(session, data_asset_id, params), session.now)
    )


@router.delete("/{data_asset_id}")
async def delete(session: DataAssetWriteSession, data_asset_id: str) -> Response:
    """Delete a data asset."""
    delete_data_asset(session, data_asset_id)
    return Response(status_code=204)


@router.patch("/{data_asset_id}/archive")
async def archive(session: DataAssetWriteSession, data_asset_id: str, archive: bool) -> Response:
    """Archive or unarchive a data asset."""
    asset = find_data_asset(session.store, session.caller, data_asset_id, Role.OWNER)
    session.store.data_assets.put(replace(asset, archived=archive))
    return Response(status_code=204)


@router.get("/{data_asset_id}/permissions", dependencies=[Depends(require_server_version("4.3.0"))])
async def read_permissions(session: DataAssetReadSession, data_asset_id: str) -> Response:
    """Get the permissions of a data asset."""
    asset = find_data_asset(session.store, session.caller, data_asset_id, Role.VIEWER)
    return JSONResponse(permissions_payload(asset.permissions))


@router.post("/{data_asset_id}/permissions")
async def change_permissions(
    session: DataAssetWriteSession, data_asset_id: str, params: PermissionsUpdate
) -> Response:
    """Add or change permissions of a data asset."""
    asset = find_data_asset(session.store, session.caller, data_asset_id, Role.OWNER)
    permissions = merge_permissions(session, asset.permissions, params)
    with session.store.transaction():
        session.store.data_assets.put(replace(asset, permissions=permissions))
        if params.share_assets:
            share_data_assets(session, [contained["id"] for contained in asset.contained_data_assets], params)
    return Response(status_code=204)


@router.post("/{data_asset_id}/transfer")
async def transfer(session: DataAssetWriteSession, data_asset_id: str, params: TransferParams) -> Response:
    """Move the files of a data asset to another bucket."""
    transfer_data_asset(session, data_asset_id, params)
    return Response(status_code=204)


@router.post("/{data_asset_id}/files")
async def list_files(
    session: DataAssetReadSession, data_asset_id: str, params: Annotated[FolderParams | None, Body()] = None
) -> Response:
    """List a folder of an internal data asset."""
    asset = _require_internal(session, data_asset_id)
    return JSONResponse(list_folder(session, asset.location, asset.prefix, params))


@router.get("/{data_asset_id}/files/urls", dependencies=[Depends(require_server_version("4.0.0"))])
async def read_file_urls(
    session: DataAssetReadSession, data_asset_id: str, path: Annotated[str, Query()]
) -> Response:
    """Get URLs of a file."""
    asset = _require_internal(session, data_asset_id)
    return JSONResponse(build_file_urls(session, asset.location, asset.prefix, path))


@router.get("/{data_asset_id}/files/download_url")
async def read_download_url(
    session: DataAssetReadSession, data_asset_id: str, path: Annotated[str, Query()]
) -> Response:
    """Get the URL of a file, in the format of servers before 4.0."""
    asset = _require_internal(session, data_asset_id)
    return JSONResponse({"url": build_file_urls(session, asset.location, asset.prefix, path)["download_url"]})


def _require_internal(session: Session, asset_id: str) -> DataAsset:
    asset = find_data_asset(session.store, session.caller, asset_id, Role.VIEWER).with_finished_transfer(
        session.now
    )
    if asset.is_external or asset.type == "combined":
        raise_bad_request(
            f"data asset {asset_id} is not internal: its files cannot be listed or downloaded here"
        )
    if asset.state(session.now) != "ready":
        raise_bad_request(f"data asset {asset_id} is {asset.state(session.now)}, not ready")
    return asset
