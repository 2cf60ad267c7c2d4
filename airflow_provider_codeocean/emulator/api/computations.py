"""The endpoints under `computations/`."""

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Body, Depends, Query, Response
from fastapi.responses import JSONResponse

from airflow_provider_codeocean.emulator.api.downloads import file_urls, listing
from airflow_provider_codeocean.emulator.api.responses import computation_payload
from airflow_provider_codeocean.emulator.domain.clock import BEFORE_ALL_WORK
from airflow_provider_codeocean.emulator.domain.errors import bad_request
from airflow_provider_codeocean.emulator.domain.records import Computation, Json
from airflow_provider_codeocean.emulator.domain.requests import (
    MAX_NAME_LENGTH,
    Attachment,
    FolderParams,
    RunParams,
)
from airflow_provider_codeocean.emulator.services.computations import (
    delete_computation,
    read_computation,
    run,
    running_workstation,
)
from airflow_provider_codeocean.emulator.services.data_assets import attached, detached
from airflow_provider_codeocean.emulator.services.session import ReadsCapsules, Session, WritesCapsules, since
from airflow_provider_codeocean.emulator.state.access import find_computation

router = APIRouter(prefix="/api/v1/computations", tags=["computations"])


def render_computation(session: Session, computation: Computation, moment: float) -> Json:
    """Return a computation as the API does.

    :param session: of the request.
    :param computation: the run.
    :param moment: as of when, Unix seconds.
    :returns: the payload.
    """
    capsule = session.store.capsules.get(computation.capsule)
    if capsule is not None and capsule.status == "release":
        return computation_payload(replace(computation, owner="release"), moment, None)
    return computation_payload(computation, moment, session.emulator.directory.email_of(computation.owner))


@router.post("")
async def create(session: WritesCapsules, params: RunParams) -> Response:
    """Run a capsule or pipeline."""
    return JSONResponse(render_computation(session, run(session, params), BEFORE_ALL_WORK))


@router.get("/{computation_id}")
async def read(session: ReadsCapsules, computation_id: str) -> Response:
    """Get a computation."""
    return JSONResponse(render_computation(session, read_computation(session, computation_id), session.now))


@router.delete("/{computation_id}")
async def delete(session: WritesCapsules, computation_id: str) -> Response:
    """Delete a computation, stopping it where it runs."""
    delete_computation(session, computation_id)
    return Response(status_code=204)


@router.patch("/{computation_id}")
async def rename(
    session: WritesCapsules,
    computation_id: str,
    name: Annotated[str, Query(min_length=1, max_length=MAX_NAME_LENGTH)],
) -> Response:
    """Rename a computation."""
    computation = find_computation(session.store, session.caller, computation_id)
    session.store.computations.put(replace(computation, **session.stored({"name": name})))
    return Response(status_code=204)


@router.post("/{computation_id}/results")
async def list_results(
    session: ReadsCapsules, computation_id: str, params: Annotated[FolderParams | None, Body()] = None
) -> Response:
    """List a folder of the results."""
    computation = _finished(session, computation_id)
    return JSONResponse(listing(session, computation.location, "", params))


@router.get("/{computation_id}/results/urls", dependencies=[Depends(since("4.0.0"))])
async def read_result_urls(
    session: ReadsCapsules, computation_id: str, path: Annotated[str, Query()]
) -> Response:
    """Get URLs of a result file."""
    computation = _finished(session, computation_id)
    return JSONResponse(file_urls(session, computation.location, "", path))


@router.get("/{computation_id}/results/download_url")
async def read_download_url(
    session: ReadsCapsules, computation_id: str, path: Annotated[str, Query()]
) -> Response:
    """Get the URL of a result file, as servers before 4.0 do."""
    computation = _finished(session, computation_id)
    return JSONResponse({"url": file_urls(session, computation.location, "", path)["download_url"]})


@router.post("/{computation_id}/data_assets")
async def attach(session: WritesCapsules, computation_id: str, params: list[Attachment]) -> Response:
    """Attach data assets to a cloud workstation."""
    computation = running_workstation(session, computation_id)
    with session.store.transaction():
        data_assets, results = attached(session, computation.data_assets, params)
        session.store.computations.put(replace(computation, data_assets=data_assets))
    return JSONResponse(results)


@router.delete("/{computation_id}/data_assets")
@router.delete("/{computation_id}/data_assets/", include_in_schema=False)
async def detach(session: WritesCapsules, computation_id: str, params: list[str]) -> Response:
    """Detach data assets from a cloud workstation."""
    computation = running_workstation(session, computation_id)
    data_assets = detached(computation.data_assets, params)
    session.store.computations.put(replace(computation, data_assets=data_assets))
    return Response(status_code=204)


def _finished(session: Session, computation_id: str) -> Computation:
    computation = find_computation(session.store, session.caller, computation_id)
    if not computation.work.finished(session.now):
        bad_request(
            f"computation {computation_id} is {computation.state(session.now)}: it has no results yet"
        )
    return computation
