"""Pages for browsers: the targets of the operators' links. They need no credentials."""

from time import gmtime, strftime
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from airflow_provider_codeocean.emulator.api.downloads import build_signed_url
from airflow_provider_codeocean.emulator.api.responses import data_asset_payload, permissions_payload
from airflow_provider_codeocean.emulator.domain.permissions import Permissions
from airflow_provider_codeocean.emulator.domain.records import Capsule, Computation, DataAsset
from airflow_provider_codeocean.emulator.services.session import get_emulator
from airflow_provider_codeocean.emulator.state.deployment import Emulator
from airflow_provider_codeocean.emulator.ui.markup import (
    EMPTY,
    Markup,
    badge,
    code,
    heading,
    link,
    page,
    section,
    table,
    tags,
)

router = APIRouter(include_in_schema=False)

MAX_LISTED_OBJECTS = 20
"""Maximum number of objects of a kind on one page."""


@router.get("/")
async def index_page(request: Request) -> HTMLResponse:
    """Show the newest objects."""
    emulator = get_emulator(request)
    now = emulator.now()
    assets = [
        (_asset_link(asset), code(asset.id), badge(asset.state(now)), asset.type, _format_time(asset.created))
        for asset in emulator.store.data_assets.newest(MAX_LISTED_OBJECTS)
    ]
    runs = [
        (
            _run_link(emulator, run),
            code(run.id),
            _run_badge(run, now),
            f"{run.run_time_seconds(now)} s",
            _format_time(run.created),
        )
        for run in emulator.store.computations.newest(MAX_LISTED_OBJECTS)
    ]
    capsules = [
        (
            _capsule_link(capsule),
            code(capsule.id),
            capsule.kind,
            _format_status(capsule),
            _format_time(capsule.created),
        )
        for capsule in emulator.store.capsules.newest(MAX_LISTED_OBJECTS)
    ]
    return page(
        "Code Ocean emulator",
        section("Data assets", table(assets, ("name", "id", "state", "type", "created"))),
        section("Computations", table(runs, ("name", "id", "state", "run time", "created"))),
        section("Capsules and pipelines", table(capsules, ("name", "id", "kind", "status", "created"))),
    )


@router.get("/data-assets/{data_asset_id}")
async def data_asset_page(request: Request, data_asset_id: str) -> HTMLResponse:
    """Show a data asset."""
    emulator = get_emulator(request)
    asset = emulator.store.data_assets.get(data_asset_id)
    if asset is None:
        return _not_found_page("data asset", data_asset_id)
    now = emulator.now()
    asset = asset.with_finished_transfer(now)
    state = asset.state(now)
    payload = data_asset_payload(asset, now, emulator.user_directory.get_email(asset.owner))
    contained = [
        (_asset_link_by_id(emulator, part["id"]), part["mount"]) for part in asset.contained_data_assets
    ]
    files = _files_table(request, asset.location, asset.prefix) if state == "ready" else EMPTY
    return page(
        asset.name,
        heading(asset.name, badge(state)),
        table(_data_asset_rows(asset, payload)),
        section("Custom metadata", table(asset.custom_metadata.items())),
        section("Provenance", _provenance_table(emulator, payload.get("provenance", {}))),
        section("Contains", table(contained, ("name", "mount"))),
        section("Files", files),
        section("Permissions", _permissions_table(asset.permissions)),
        refresh=state == "draft" or asset.transfer is not None,
    )


@router.get("/capsule/{slug}/tree")
async def capsule_page(request: Request, slug: str) -> HTMLResponse:
    """Show a capsule or pipeline and its runs."""
    emulator = get_emulator(request)
    now = emulator.now()
    capsule = next((item for item in emulator.store.capsules.all() if item.slug == slug), None)
    if capsule is None:
        return _not_found_page("capsule", slug)
    runs = [run for run in emulator.store.computations.all() if run.capsule_id == capsule.id][
        :MAX_LISTED_OBJECTS
    ]
    facts = [
        ("id", code(capsule.id)),
        ("kind", capsule.kind),
        ("status", _format_status(capsule)),
        ("owner", emulator.user_directory.get_email(capsule.owner)),
        ("description", capsule.description),
        ("tags", tags(capsule.tags)),
        ("commit", capsule.commit),
        (
            "versions",
            [f"{version['major_version']}.{version['minor_version']}" for version in capsule.versions],
        ),
    ]
    attached = [(_asset_link_by_id(emulator, asset["id"]), asset["mount"]) for asset in capsule.data_assets]
    return page(
        capsule.name,
        heading(capsule.name),
        table(facts),
        section("Data assets", table(attached, ("name", "mount"))),
        *(_run_section(request, run, now) for run in runs),
        section("Permissions", _permissions_table(capsule.permissions)),
        refresh=any(not run.work.is_finished(now) and not run.cloud_workstation for run in runs),
    )


def _not_found_page(kind: str, name: str) -> HTMLResponse:
    return page("Not found", heading(f"There is no {kind} {name}"), status=404)


def _data_asset_rows(asset: DataAsset, payload: dict[str, Any]) -> list[tuple[str, Any]]:
    names = ("type", "owner_email", "description", "mount", "files", "failure_reason", "transfer_error")
    rows: list[tuple[str, Any]] = [("id", code(asset.id))]
    rows += [(name.replace("_", " "), payload[name]) for name in names if name in payload]
    if "size" in payload:
        rows.append(("size", _format_size(payload["size"])))
    rows += [("tags", tags(asset.tags)), ("created", _format_time(asset.created))]
    if asset.last_transferred:
        rows.append(("last transferred", _format_time(asset.last_transferred)))
    if bucket := asset.source_bucket:
        location = f"{bucket['origin']}: {bucket['bucket']}/{bucket['prefix']}"
        rows.append(("source bucket", f"{location} (external)" if asset.is_external else location))
    return rows


def _run_section(request: Request, run: Computation, now: float) -> Markup:
    title = Markup(f"{link(f'#{run.id}', run.name)} {_run_badge(run, now)}")
    is_complete = run.work.is_finished(now) or run.cloud_workstation
    files = _files_table(request, run.location, "") if is_complete else EMPTY
    body = table([("id", code(run.id))]) + (files or Markup("<p>No files.</p>"))
    return section(title, Markup(body), anchor=run.id)


def _files_table(request: Request, location: str, prefix: str) -> Markup:
    files = get_emulator(request).store.files.list_files(location, prefix)
    return table(
        (
            (
                link(build_signed_url(request, location, file.path, "inline"), file.relative_path),
                _format_size(file.size),
            )
            for file in files
        ),
        ("file", "size"),
    )


def _provenance_table(emulator: Emulator, provenance: dict[str, Any]) -> Markup:
    rows: list[tuple[str, str]] = []
    for name, value in provenance.items():
        match name:
            case "capsule" if capsule := emulator.store.capsules.get(value):
                rows.append((name, _capsule_link(capsule)))
            case "computation" if run := emulator.store.computations.get(value):
                rows.append((name, _run_link(emulator, run)))
            case "data_assets":
                rows.extend(("data asset", _asset_link_by_id(emulator, asset_id)) for asset_id in value)
            case _:
                rows.append((name.replace("_", " "), value))
    return table(rows)


def _permissions_table(permissions: Permissions) -> Markup:
    payload = permissions_payload(permissions)
    users = [(user["email"], user["role"]) for user in payload["users"]]
    groups = [(f"group {group['group']}", group["role"]) for group in payload["groups"]]
    return table([*users, *groups, ("everyone", payload["everyone"])], ("who", "role"))


def _asset_link(asset: DataAsset) -> Markup:
    return link(f"/data-assets/{asset.id}", asset.name)


def _asset_link_by_id(emulator: Emulator, asset_id: str) -> str:
    asset = emulator.store.data_assets.get(asset_id)
    return _asset_link(asset) if asset else asset_id


def _capsule_link(capsule: Capsule) -> Markup:
    return link(f"/capsule/{capsule.slug}/tree", capsule.name)


def _run_link(emulator: Emulator, run: Computation) -> str:
    capsule = emulator.store.capsules.get(run.capsule_id)
    return link(f"/capsule/{capsule.slug}/tree#{run.id}", run.name) if capsule else run.name


def _run_badge(run: Computation, now: float) -> Markup:
    state = run.state(now)
    return badge(run.end_status if state == "completed" and run.end_status else state)


def _format_status(capsule: Capsule) -> str:
    return capsule.status.replace("_", " ")


def _format_size(size: int) -> str:
    return f"{size:,} bytes"


def _format_time(timestamp: float) -> str:
    return strftime("%Y-%m-%d %H:%M:%S UTC", gmtime(timestamp))
