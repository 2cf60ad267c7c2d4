"""The endpoints under `computations/`."""

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Body, Depends, Query, Response
from fastapi.responses import JSONResponse

from airflow_provider_codeocean.emulator.api.downloads import build_file_urls, list_folder
from airflow_provider_codeocean.emulator.api.responses import computation_payload
from airflow_provider_codeocean.emulator.domain.clock import BEFORE_START
from airflow_provider_codeocean.emulator.domain.errors import raise_bad_request
from airflow_provider_codeocean.emulator.domain.records import Computation, JsonObject
from airflow_provider_codeocean.emulator.domain.requests import (
    MAX_NAME_LENGTH,
    Attachment,
    FolderParams,
    RunParams,
)
from airflow_provider_codeocean.emulator.services.computations import (
    delete_computation,
    get_running_workstation,
    read_computation,
    run_capsule,
)
from airflow_provider_codeocean.emulator.services.data_assets import attach_data_assets, detach_data_assets
from airflow_provider_codeocean.emulator.services.session import (
    CapsuleReadSession,
    CapsuleWriteSession,
    Session,
    require_server_version,
)
from airflow_provider_codeocean.emulator.state.access import find_computation

router = APIRouter(prefix="/api/v1/computations", tags=["computations"])


def render_computation(session: Session, computation: Computation, timestamp: float) -> JsonObject:
    """Return the API's payload for a computation.

    :param session: the request's session.
    :param computation: the computation.
    :param timestamp: the time to report the state for, in Unix seconds.
    :returns: the payload.
    """
    capsule = session.store.capsules.get(computation.capsule_id)
    if capsule is not None and capsule.status == "release":
        return computation_payload(replace(computation, owner="release"), timestamp, None)
    return computation_payload(
        computation, timestamp, session.emulator.user_directory.get_email(computation.owner)
    )


@router.post("")
async def create(session: CapsuleWriteSession, params: RunParams) -> Response:
    """Run a capsule or pipeline."""
    return JSONResponse(render_computation(session, run_capsule(session, params), BEFORE_START))


@router.get("/{computation_id}")
async def read(session: CapsuleReadSession, computation_id: str) -> Response:
    """Get a computation."""
    return JSONResponse(render_computation(session, read_computation(session, computation_id), session.now))


@router.delete("/{computation_id}")
async def delete(session: CapsuleWriteSession, computation_id: str) -> Response:
    """Delete a computation; a running one is stopped."""
    delete_computation(session, computation_id)
    return Response(status_code=204)


@router.patch("/{computation_id}")
async def rename(
    session: CapsuleWriteSession,
    computation_id: str,
    name: Annotated[str, Query(min_length=1, max_length=MAX_NAME_LENGTH)],
) -> Response:
    """Rename a computation."""
    computation = find_computation(session.store, session.caller, computation_id)
    session.store.computations.put(replace(computation, **session.apply_write_quirks({"name": name})))
    return Response(status_code=204)


@router.post("/{computation_id}/results")
async def list_results(
    session: CapsuleReadSession, computation_id: str, params: Annotated[FolderParams | None, Body()] = None
) -> Response:
    """List a folder of the results."""
    computation = _require_finished(session, computation_id)
    return JSONResponse(list_folder(session, computation.location, "", params))


@router.get("/{computation_id}/results/urls", dependencies=[Depends(require_server_version("4.0.0"))])
async def read_result_urls(
    session: CapsuleReadSession, computation_id: str, path: Annotated[str, Query()]
) -> Response:
    """Get URLs of a result file."""
    computation = _require_finished(session, computation_id)
    return JSONResponse(build_file_urls(session, computation.location, "", path))


@router.get("/{computation_id}/results/download_url")
async def read_download_url(
    session: CapsuleReadSession, computation_id: str, path: Annotated[str, Query()]
) -> Response:
    """Get the URL of a result file, in the format of servers before 4.0."""
    computation = _require_finished(session, computation_id)
    return JSONResponse({"url": build_file_urls(session, computation.location, "", path)["download_url"]})


@router.post("/{computation_id}/data_assets")
async def attach(session: CapsuleWriteSession, computation_id: str, params: list[Attachment]) -> Response:
    """Attach data assets to a cloud workstation."""
    computation = get_running_workstation(session, computation_id)
    with session.store.transaction():
        data_assets, results = attach_data_assets(session, computation.data_assets, params)
        session.store.computations.put(replace(computation, data_assets=data_assets))
    return JSONResponse(results)


@router.delete("/{computation_id}/data_assets")
@router.delete("/{computation_id}/data_assets/", include_in_schema=False)
async def detach(session: CapsuleWriteSession, computation_id: str, params: list[str]) -> Response:
    """Detach data assets from a cloud workstation."""
    computation = get_running_workstation(session, computation_id)
    data_assets = detach_data_assets(computation.data_assets, params)
    session.store.computations.put(replace(computation, data_assets=data_assets))
    return Response(status_code=204)


def _require_finished(session: Session, computation_id: str) -> Computation:
    computation = find_computation(session.store, session.caller, computation_id)
    if not computation.work.is_finished(session.now):
        raise_bad_request(
            f"computation {computation_id} is {computation.state(session.now)}: it has no results yet"
        )
    return computation
