"""The endpoints under `data_assets/`."""

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Body, Depends, Query, Response
from fastapi.responses import JSONResponse

from airflow_provider_codeocean.emulator.api.downloads import file_urls, listing
from airflow_provider_codeocean.emulator.api.responses import (
    data_asset_payload,
    old_data_asset_payload,
    permissions_payload,
)
from airflow_provider_codeocean.emulator.domain.clock import BEFORE_ALL_WORK
from airflow_provider_codeocean.emulator.domain.errors import bad_request
from airflow_provider_codeocean.emulator.domain.permissions import Role
from airflow_provider_codeocean.emulator.domain.records import DataAsset, Json
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
    read_data_asset,
    share_data_assets,
    transfer_data_asset,
    update_data_asset,
    update_permissions,
)
from airflow_provider_codeocean.emulator.services.search_fields import search_data_assets
from airflow_provider_codeocean.emulator.services.session import (
    ReadsDataAssets,
    Session,
    WritesDataAssets,
    since,
)
from airflow_provider_codeocean.emulator.state.access import find_data_asset

router = APIRouter(prefix="/api/v1/data_assets", tags=["data assets"])


def _payload(session: Session, asset: DataAsset, moment: float) -> Json:
    old = session.emulator.config.payload_style == "2.x"
    render = old_data_asset_payload if old else data_asset_payload
    return render(asset, moment, session.emulator.directory.email_of(asset.owner))


@router.post("")
async def create(session: WritesDataAssets, params: DataAssetParams) -> Response:
    """Create a data asset."""
    return JSONResponse(_payload(session, create_data_asset(session, params), BEFORE_ALL_WORK))


@router.post("/search")
async def search(
    session: ReadsDataAssets, params: Annotated[DataAssetSearchParams | None, Body()] = None
) -> Response:
    """Search for data assets."""
    page, moment = search_data_assets(session, params or DataAssetSearchParams())
    return JSONResponse(page.payload(lambda asset: _payload(session, asset, moment)))


@router.get("/{data_asset_id}")
async def read(session: ReadsDataAssets, data_asset_id: str) -> Response:
    """Get a data asset."""
    return JSONResponse(_payload(session, read_data_asset(session, data_asset_id), session.now))


@router.put("/{data_asset_id}")
async def update(session: WritesDataAssets, data_asset_id: str, params: DataAssetUpdate) -> Response:
    """Change the description of a data asset."""
    return JSONResponse(_payload(session, update_data_asset(session, data_asset_id, params), session.now))


@router.delete("/{data_asset_id}")
async def delete(session: WritesDataAssets, data_asset_id: str) -> Response:
    """Delete a data asset."""
    delete_data_asset(session, data_asset_id)
    return Response(status_code=204)


@router.patch("/{data_asset_id}/archive")
async def archive(session: WritesDataAssets, data_asset_id: str, archive: bool) -> Response:
    """Archive a data asset, or take it out of the archive."""
    asset = find_data_asset(session.store, session.caller, data_asset_id, Role.OWNER)
    session.store.data_assets.put(replace(asset, archived=archive))
    return Response(status_code=204)


@router.get("/{data_asset_id}/permissions", dependencies=[Depends(since("4.3.0"))])
async def read_permissions(session: ReadsDataAssets, data_asset_id: str) -> Response:
    """Get the permissions of a data asset."""
    asset = find_data_asset(session.store, session.caller, data_asset_id, Role.VIEWER)
    return JSONResponse(permissions_payload(asset.permissions))


@router.post("/{data_asset_id}/permissions")
async def change_permissions(
    session: WritesDataAssets, data_asset_id: str, params: PermissionsUpdate
) -> Response:
    """Add to or change the permissions of a data asset."""
    asset = find_data_asset(session.store, session.caller, data_asset_id, Role.OWNER)
    permissions = update_permissions(session, asset.permissions, params)
    with session.store.transaction():
        session.store.data_assets.put(replace(asset, permissions=permissions))
        if params.share_assets:
            share_data_assets(session, [contained["id"] for contained in asset.contained], params)
    return Response(status_code=204)


@router.post("/{data_asset_id}/transfer")
async def transfer(session: WritesDataAssets, data_asset_id: str, params: TransferParams) -> Response:
    """Move the files of a data asset to another bucket."""
    transfer_data_asset(session, data_asset_id, params)
    return Response(status_code=204)


@router.post("/{data_asset_id}/files")
async def list_files(
    session: ReadsDataAssets, data_asset_id: str, params: Annotated[FolderParams | None, Body()] = None
) -> Response:
    """List a folder of an internal data asset."""
    asset = _internal(session, data_asset_id)
    return JSONResponse(listing(session, asset.location, asset.prefix, params))


@router.get("/{data_asset_id}/files/urls", dependencies=[Depends(since("4.0.0"))])
async def read_file_urls(
    session: ReadsDataAssets, data_asset_id: str, path: Annotated[str, Query()]
) -> Response:
    """Get URLs of a file."""
    asset = _internal(session, data_asset_id)
    return JSONResponse(file_urls(session, asset.location, asset.prefix, path))


@router.get("/{data_asset_id}/files/download_url")
async def read_download_url(
    session: ReadsDataAssets, data_asset_id: str, path: Annotated[str, Query()]
) -> Response:
    """Get the URL of a file, as servers before 4.0 do."""
    asset = _internal(session, data_asset_id)
    return JSONResponse({"url": file_urls(session, asset.location, asset.prefix, path)["download_url"]})


def _internal(session: Session, asset_id: str) -> DataAsset:
    asset = find_data_asset(session.store, session.caller, asset_id, Role.VIEWER).settled(session.now)
    if asset.external or asset.type == "combined":
        bad_request(f"data asset {asset_id} is not internal: its files cannot be listed or downloaded here")
    if asset.state(session.now) != "ready":
        bad_request(f"data asset {asset_id} is {asset.state(session.now)}, not ready")
    return asset
