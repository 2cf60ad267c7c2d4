"""The endpoints under `capsules/` and, the same again, under `pipelines/`."""

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
from airflow_provider_codeocean.emulator.domain.clock import BEFORE_ALL_WORK
from airflow_provider_codeocean.emulator.domain.permissions import Role
from airflow_provider_codeocean.emulator.domain.records import Capsule, CapsuleKind, Json
from airflow_provider_codeocean.emulator.domain.requests import (
    Attachment,
    CapsuleSearchParams,
    PermissionsUpdate,
)
from airflow_provider_codeocean.emulator.services.capsules import (
    app_panel,
    delete_capsule,
    read_release,
    start_release,
    sync,
)
from airflow_provider_codeocean.emulator.services.computations import computations_of
from airflow_provider_codeocean.emulator.services.data_assets import (
    attached,
    detached,
    share_data_assets,
    update_permissions,
)
from airflow_provider_codeocean.emulator.services.search_fields import search_capsules
from airflow_provider_codeocean.emulator.services.session import ReadsCapsules, Session, WritesCapsules
from airflow_provider_codeocean.emulator.state.access import find_capsule


def _render(session: Session, capsule: Capsule) -> Json:
    return capsule_payload(capsule, session.emulator.directory.email_of(capsule.owner))


def _add_reading(router: APIRouter, kind: CapsuleKind) -> None:
    @router.post("/search")
    async def search(
        session: ReadsCapsules, params: Annotated[CapsuleSearchParams | None, Body()] = None
    ) -> Response:
        page = search_capsules(session, kind, params or CapsuleSearchParams())
        return JSONResponse(page.payload(lambda capsule: _render(session, capsule)))

    @router.get("/{capsule_id}")
    async def read(session: ReadsCapsules, capsule_id: str) -> Response:
        return JSONResponse(_render(session, find_capsule(session.store, session.caller, kind, capsule_id)))

    @router.get("/{capsule_id}/computations")
    async def list_computations(session: ReadsCapsules, capsule_id: str) -> Response:
        capsule = find_capsule(session.store, session.caller, kind, capsule_id, Role.VIEWER)
        runs = computations_of(session, capsule)
        return JSONResponse([render_computation(session, run, session.now) for run in runs])

    @router.get("/{capsule_id}/permissions")
    async def read_permissions(session: ReadsCapsules, capsule_id: str) -> Response:
        capsule = find_capsule(session.store, session.caller, kind, capsule_id, Role.VIEWER)
        return JSONResponse(permissions_payload(capsule.permissions))

    @router.get("/{capsule_id}/app_panel")
    async def read_app_panel(session: ReadsCapsules, capsule_id: str, version: int | None = None) -> Response:
        capsule = find_capsule(session.store, session.caller, kind, capsule_id, Role.VIEWER)
        return JSONResponse(app_panel(session, capsule, version))


def _add_writing(router: APIRouter, kind: CapsuleKind) -> None:
    @router.delete("/{capsule_id}")
    async def delete(session: WritesCapsules, capsule_id: str) -> Response:
        delete_capsule(session, kind, capsule_id)
        return Response(status_code=204)

    @router.patch("/{capsule_id}/archive")
    async def archive(session: WritesCapsules, capsule_id: str, archive: bool) -> Response:
        capsule = find_capsule(session.store, session.caller, kind, capsule_id, Role.OWNER)
        session.store.capsules.put(replace(capsule, archived=archive))
        return Response(status_code=204)

    @router.post("/{capsule_id}/permissions")
    async def change_permissions(
        session: WritesCapsules, capsule_id: str, params: PermissionsUpdate
    ) -> Response:
        capsule = find_capsule(session.store, session.caller, kind, capsule_id, Role.OWNER)
        permissions = update_permissions(session, capsule.permissions, params)
        with session.store.transaction():
            session.store.capsules.put(replace(capsule, permissions=permissions))
            if params.share_assets:
                share_data_assets(session, [one["id"] for one in capsule.data_assets], params)
        return Response(status_code=204)

    @router.post("/{capsule_id}/sync")
    async def synchronize(session: WritesCapsules, capsule_id: str) -> Response:
        return JSONResponse(sync(session, kind, capsule_id))


def _add_attaching(router: APIRouter, kind: CapsuleKind) -> None:
    @router.post("/{capsule_id}/data_assets")
    async def attach(session: WritesCapsules, capsule_id: str, params: list[Attachment]) -> Response:
        capsule = find_capsule(session.store, session.caller, kind, capsule_id, Role.EDITOR)
        with session.store.transaction():
            data_assets, results = attached(session, capsule.data_assets, params)
            session.store.capsules.put(replace(capsule, data_assets=data_assets))
        return JSONResponse(results)

    @router.delete("/{capsule_id}/data_assets")
    @router.delete("/{capsule_id}/data_assets/", include_in_schema=False)
    async def detach(session: WritesCapsules, capsule_id: str, params: list[str]) -> Response:
        capsule = find_capsule(session.store, session.caller, kind, capsule_id, Role.EDITOR)
        data_assets = detached(capsule.data_assets, params)
        session.store.capsules.put(replace(capsule, data_assets=data_assets))
        return Response(status_code=204)


def _add_releasing(router: APIRouter, kind: CapsuleKind) -> None:
    @router.post("/{capsule_id}/release")
    async def release(session: WritesCapsules, capsule_id: str) -> Response:
        return JSONResponse(release_payload(start_release(session, kind, capsule_id), BEFORE_ALL_WORK))

    @router.get("/{capsule_id}/release/{job_id}")
    async def read_job(session: ReadsCapsules, capsule_id: str, job_id: str) -> Response:
        return JSONResponse(release_payload(read_release(session, kind, capsule_id, job_id), session.now))


def _router(kind: CapsuleKind) -> APIRouter:
    router = APIRouter(prefix=f"/api/v1/{kind}s", tags=[f"{kind}s"])
    for add in (_add_reading, _add_writing, _add_attaching, _add_releasing):
        add(router, kind)
    return router


capsules, pipelines = _router("capsule"), _router("pipeline")
