"""The endpoints under `capsules/` and `pipelines/`, which are the same."""

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Body, Response
from fastapi.responses import JSONResponse

from airflow_provider_codeocean.emulator.api.computations import render_computation
from airflow_provider_codeocean.emulator.api.responses import (
    capsule_payload,
    permissions_payload,
    release_payload,
)
from airflow_provider_codeocean.emulator.domain.clock import BEFORE_START
from airflow_provider_codeocean.emulator.domain.permissions import Role
from airflow_provider_codeocean.emulator.domain.records import Capsule, CapsuleKind, JsonObject
from airflow_provider_codeocean.emulator.domain.requests import (
    Attachment,
    CapsuleSearchParams,
    PermissionsUpdate,
)
from airflow_provider_codeocean.emulator.services.capsules import (
    build_app_panel,
    delete_capsule,
    read_release,
    start_release,
    sync_with_git,
)
from airflow_provider_codeocean.emulator.services.computations import list_visible_computations
from airflow_provider_codeocean.emulator.services.data_assets import (
    attach_data_assets,
    detach_data_assets,
    merge_permissions,
    share_data_assets,
)
from airflow_provider_codeocean.emulator.services.search_fields import search_capsules
from airflow_provider_codeocean.emulator.services.session import (
    CapsuleReadSession,
    CapsuleWriteSession,
    Session,
)
from airflow_provider_codeocean.emulator.state.access import find_capsule


def _render_capsule(session: Session, capsule: Capsule) -> JsonObject:
    return capsule_payload(capsule, session.emulator.user_directory.get_email(capsule.owner))


def _add_read_routes(router: APIRouter, kind: CapsuleKind) -> None:
    @router.post("/search")
    async def search(
        session: CapsuleReadSession, params: Annotated[CapsuleSearchParams | None, Body()] = None
    ) -> Response:
        page = search_capsules(session, kind, params or CapsuleSearchParams())
        return JSONResponse(page.to_payload(lambda capsule: _render_capsule(session, capsule)))

    @router.get("/{capsule_id}")
    async def read(session: CapsuleReadSession, capsule_id: str) -> Response:
        return JSONResponse(
            _render_capsule(session, find_capsule(session.store, session.caller, kind, capsule_id))
        )

    @router.get("/{capsule_id}/computations")
    async def list_computations(session: CapsuleReadSession, capsule_id: str) -> Response:
        capsule = find_capsule(session.store, session.caller, kind, capsule_id, Role.VIEWER)
        runs = list_visible_computations(session, capsule)
        return JSONResponse([render_computation(session, run, session.now) for run in runs])

    @router.get("/{capsule_id}/permissions")
    async def read_permissions(session: CapsuleReadSession, capsule_id: str) -> Response:
        capsule = find_capsule(session.store, session.caller, kind, capsule_id, Role.VIEWER)
        return JSONResponse(permissions_payload(capsule.permissions))

    @router.get("/{capsule_id}/app_panel")
    async def read_app_panel(
        session: CapsuleReadSession, capsule_id: str, version: int | None = None
    ) -> Response:
        capsule = find_capsule(session.store, session.caller, kind, capsule_id, Role.VIEWER)
        return JSONResponse(build_app_panel(session, capsule, version))


def _add_write_routes(router: APIRouter, kind: CapsuleKind) -> None:
    @router.delete("/{capsule_id}")
    async def delete(session: CapsuleWriteSession, capsule_id: str) -> Response:
        delete_capsule(session, kind, capsule_id)
        return Response(status_code=204)

    @router.patch("/{capsule_id}/archive")
    async def archive(session: CapsuleWriteSession, capsule_id: str, archive: bool) -> Response:
        capsule = find_capsule(session.store, session.caller, kind, capsule_id, Role.OWNER)
        session.store.capsules.put(replace(capsule, archived=archive))
        return Response(status_code=204)

    @router.post("/{capsule_id}/permissions")
    async def change_permissions(
        session: CapsuleWriteSession, capsule_id: str, params: PermissionsUpdate
    ) -> Response:
        capsule = find_capsule(session.store, session.caller, kind, capsule_id, Role.OWNER)
        permissions = merge_permissions(session, capsule.permissions, params)
        with session.store.transaction():
            session.store.capsules.put(replace(capsule, permissions=permissions))
            if params.share_assets:
                share_data_assets(session, [attachment["id"] for attachment in capsule.data_assets], params)
        return Response(status_code=204)

    @router.post("/{capsule_id}/sync")
    async def synchronize(session: CapsuleWriteSession, capsule_id: str) -> Response:
        return JSONResponse(sync_with_git(session, kind, capsule_id))


def _add_attachment_routes(router: APIRouter, kind: CapsuleKind) -> None:
    @router.post("/{capsule_id}/data_assets")
    async def attach(session: CapsuleWriteSession, capsule_id: str, params: list[Attachment]) -> Response:
        capsule = find_capsule(session.store, session.caller, kind, capsule_id, Role.EDITOR)
        with session.store.transaction():
            data_assets, results = attach_data_assets(session, capsule.data_assets, params)
            session.store.capsules.put(replace(capsule, data_assets=data_assets))
        return JSONResponse(results)

    @router.delete("/{capsule_id}/data_assets")
    @router.delete("/{capsule_id}/data_assets/", include_in_schema=False)
    async def detach(session: CapsuleWriteSession, capsule_id: str, params: list[str]) -> Response:
        capsule = find_capsule(session.store, session.caller, kind, capsule_id, Role.EDITOR)
        data_assets = detach_data_assets(capsule.data_assets, params)
        session.store.capsules.put(replace(capsule, data_assets=data_assets))
        return Response(status_code=204)


def _add_release_routes(router: APIRouter, kind: CapsuleKind) -> None:
    @router.post("/{capsule_id}/release")
    async def release(session: CapsuleWriteSession, capsule_id: str) -> Response:
        return JSONResponse(release_payload(start_release(session, kind, capsule_id), BEFORE_START))

    @router.get("/{capsule_id}/release/{job_id}")
    async def read_job(session: CapsuleReadSession, capsule_id: str, job_id: str) -> Response:
        return JSONResponse(release_payload(read_release(session, kind, capsule_id, job_id), session.now))


def _build_router(kind: CapsuleKind) -> APIRouter:
    router = APIRouter(prefix=f"/api/v1/{kind}s", tags=[f"{kind}s"])
    for add in (_add_read_routes, _add_write_routes, _add_attachment_routes, _add_release_routes):
        add(router, kind)
    return router


capsules_router, pipelines_router = _build_router("capsule"), _build_router("pipeline")
