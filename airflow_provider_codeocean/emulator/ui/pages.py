"""Small pages for people, where the links of the operators lead. They need no credentials."""

from time import gmtime, strftime
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from airflow_provider_codeocean.emulator.api.downloads import signed_url
from airflow_provider_codeocean.emulator.api.responses import data_asset_payload, permissions_payload
from airflow_provider_codeocean.emulator.domain.permissions import Permissions
from airflow_provider_codeocean.emulator.domain.records import Capsule, Computation, DataAsset
from airflow_provider_codeocean.emulator.services.session import emulator_of
from airflow_provider_codeocean.emulator.state.deployment import Emulator
from airflow_provider_codeocean.emulator.ui.markup import (
    NOTHING,
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

NEWEST = 20
"""How many objects of a kind one page shows."""


@router.get("/")
async def index(request: Request) -> HTMLResponse:
    """Show the newest objects."""
    emulator = emulator_of(request)
    now = emulator.now()
    assets = [
        (_asset_link(asset), code(asset.id), badge(asset.state(now)), asset.type, _time(asset.created))
        for asset in emulator.store.data_assets.newest(NEWEST)
    ]
    runs = [
        (
            _run_link(emulator, run),
            code(run.id),
            _run_badge(run, now),
            f"{run.run_time(now)} s",
            _time(run.created),
        )
        for run in emulator.store.computations.newest(NEWEST)
    ]
    capsules = [
        (_capsule_link(capsule), code(capsule.id), capsule.kind, _status(capsule), _time(capsule.created))
        for capsule in emulator.store.capsules.newest(NEWEST)
    ]
    return page(
        "Code Ocean emulator",
        section("Data assets", table(assets, ("name", "id", "state", "type", "created"))),
        section("Computations", table(runs, ("name", "id", "state", "run time", "created"))),
        section("Capsules and pipelines", table(capsules, ("name", "id", "kind", "status", "created"))),
    )


@router.get("/data-assets/{data_asset_id}")
async def data_asset(request: Request, data_asset_id: str) -> HTMLResponse:
    """Show a data asset."""
    emulator = emulator_of(request)
    asset = emulator.store.data_assets.get(data_asset_id)
    if asset is None:
        return _missing("data asset", data_asset_id)
    now = emulator.now()
    asset = asset.settled(now)
    state = asset.state(now)
    payload = data_asset_payload(asset, now, emulator.directory.email_of(asset.owner))
    contained = [(_asset_link_by_id(emulator, one["id"]), one["mount"]) for one in asset.contained]
    files = _files(request, asset.location, asset.prefix) if state == "ready" else NOTHING
    return page(
        asset.name,
        heading(asset.name, badge(state)),
        table(_facts(asset, payload)),
        section("Custom metadata", table(asset.custom_metadata.items())),
        section("Provenance", _provenance(emulator, payload.get("provenance", {}))),
        section("Contains", table(contained, ("name", "mount"))),
        section("Files", files),
        section("Permissions", _permissions(asset.permissions)),
        refresh=state == "draft" or asset.transfer is not None,
    )


@router.get("/capsule/{slug}/tree")
async def capsule(request: Request, slug: str) -> HTMLResponse:
    """Show a capsule or pipeline and its runs."""
    emulator = emulator_of(request)
    now = emulator.now()
    found = next((capsule for capsule in emulator.store.capsules.all() if capsule.slug == slug), None)
    if found is None:
        return _missing("capsule", slug)
    runs = [run for run in emulator.store.computations.all() if run.capsule == found.id][:NEWEST]
    facts = [
        ("id", code(found.id)),
        ("kind", found.kind),
        ("status", _status(found)),
        ("owner", emulator.directory.email_of(found.owner)),
        ("description", found.description),
        ("tags", tags(found.tags)),
        ("commit", found.commit),
        ("versions", [f"{one['major_version']}.{one['minor_version']}" for one in found.versions]),
    ]
    attached = [(_asset_link_by_id(emulator, one["id"]), one["mount"]) for one in found.data_assets]
    return page(
        found.name,
        heading(found.name),
        table(facts),
        section("Data assets", table(attached, ("name", "mount"))),
        *(_run(request, run, now) for run in runs),
        section("Permissions", _permissions(found.permissions)),
        refresh=any(not run.work.finished(now) and not run.cloud_workstation for run in runs),
    )


def _missing(what: str, name: str) -> HTMLResponse:
    return page("Not found", heading(f"There is no {what} {name}"), status=404)


def _facts(asset: DataAsset, payload: dict[str, Any]) -> list[tuple[str, Any]]:
    shown = ("type", "owner_email", "description", "mount", "files", "failure_reason", "transfer_error")
    facts: list[tuple[str, Any]] = [("id", code(asset.id))]
    facts += [(name.replace("_", " "), payload[name]) for name in shown if name in payload]
    if "size" in payload:
        facts.append(("size", _size(payload["size"])))
    facts += [("tags", tags(asset.tags)), ("created", _time(asset.created))]
    if asset.last_transferred:
        facts.append(("last transferred", _time(asset.last_transferred)))
    if bucket := asset.source_bucket:
        where = f"{bucket['origin']}: {bucket['bucket']}/{bucket['prefix']}"
        facts.append(("source bucket", f"{where} (external)" if asset.external else where))
    return facts


def _run(request: Request, run: Computation, now: float) -> Markup:
    title = Markup(f"{link(f'#{run.id}', run.name)} {_run_badge(run, now)}")
    over = run.work.finished(now) or run.cloud_workstation
    files = _files(request, run.location, "") if over else NOTHING
    body = table([("id", code(run.id))]) + (files or Markup("<p>No files.</p>"))
    return section(title, Markup(body), anchor=run.id)


def _files(request: Request, location: str, prefix: str) -> Markup:
    files = emulator_of(request).store.files.tree(location, prefix)
    return table(
        (
            (link(signed_url(request, location, file.path, "inline"), file.relative), _size(file.size))
            for file in files
        ),
        ("file", "size"),
    )


def _provenance(emulator: Emulator, provenance: dict[str, Any]) -> Markup:
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


def _permissions(permissions: Permissions) -> Markup:
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
    capsule = emulator.store.capsules.get(run.capsule)
    return link(f"/capsule/{capsule.slug}/tree#{run.id}", run.name) if capsule else run.name


def _run_badge(run: Computation, now: float) -> Markup:
    state = run.state(now)
    return badge(run.end_status if state == "completed" and run.end_status else state)


def _status(capsule: Capsule) -> str:
    return capsule.status.replace("_", " ")


def _size(size: int) -> str:
    return f"{size:,} bytes"


def _time(moment: float) -> str:
    return strftime("%Y-%m-%d %H:%M:%S UTC", gmtime(moment))
