"""The endpoints under `/_emulator/`: looking into the emulator and making trouble, without credentials."""

import math
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import Field

from airflow_provider_codeocean.emulator.domain.clock import Work
from airflow_provider_codeocean.emulator.domain.config import (
    MAX_SEARCH_LAG,
    RateLimit,
    Settings,
    Transitions,
    UserConfig,
)
from airflow_provider_codeocean.emulator.domain.errors import not_found
from airflow_provider_codeocean.emulator.domain.faults import FaultRule
from airflow_provider_codeocean.emulator.seeding.bulk import (
    ComputationSeed,
    DataAssetSeed,
    seed_computations,
    seed_data_assets,
)
from airflow_provider_codeocean.emulator.services.session import emulator_of

router = APIRouter(prefix="/_emulator", include_in_schema=False)


class SearchLag(Settings):
    """By how many seconds search lags behind writes."""

    seconds: float = Field(ge=0, le=MAX_SEARCH_LAG)


class Advance(Settings):
    """By how many seconds a manual clock moves."""

    seconds: float = Field(ge=0, allow_inf_nan=False)


@router.get("/stats")
async def read_stats(request: Request) -> Response:
    """Show the counters."""
    return JSONResponse(emulator_of(request).traffic.describe())


@router.post("/stats/reset")
async def reset_stats(request: Request) -> Response:
    """Set the counters to zero."""
    emulator_of(request).traffic.reset()
    return Response(status_code=204)


@router.get("/faults")
async def list_faults(request: Request) -> Response:
    """List the faults in the order in which they are tried."""
    return JSONResponse([fault.describe() for fault in emulator_of(request).faults.all()])


@router.post("/faults")
async def add_fault(request: Request, rule: FaultRule) -> Response:
    """Add a fault behind those there are."""
    return JSONResponse(emulator_of(request).faults.add(rule).describe())


@router.delete("/faults")
async def clear_faults(request: Request) -> Response:
    """Remove all faults; what they hold is closed."""
    emulator_of(request).faults.clear()
    return Response(status_code=204)


@router.delete("/faults/{fault_id}")
async def remove_fault(request: Request, fault_id: str) -> Response:
    """Remove a fault; what it holds is closed."""
    if not emulator_of(request).faults.remove(fault_id):
        not_found("fault", fault_id)
    return Response(status_code=204)


@router.post("/faults/{fault_id}/release")
async def release_fault(request: Request, fault_id: str) -> Response:
    """Let the requests go on that a fault holds."""
    fault = emulator_of(request).faults.get(fault_id) or not_found("fault", fault_id)
    fault.release()
    return JSONResponse(fault.describe())


@router.get("/faults/{fault_id}/wait")
def wait_for_fault(
    request: Request, fault_id: str, *, hits: int = 0, held: int = 0, timeout: float = 10.0
) -> Response:
    """Answer once a fault has so many hits and holds so many requests; 408 if that takes too long."""
    fault = emulator_of(request).faults.get(fault_id) or not_found("fault", fault_id)
    reached = fault.wait(hits=hits, held=held, timeout=timeout)
    return JSONResponse(fault.describe(), 200 if reached else 408)


@router.put("/search_lag")
async def change_search_lag(request: Request, lag: SearchLag) -> Response:
    """Make search lag behind writes."""
    emulator_of(request).search_lag = lag.seconds
    return JSONResponse(lag.model_dump())


@router.put("/rate_limit")
async def change_rate_limit(request: Request, limit: RateLimit) -> Response:
    """Limit the rate of a kind of request, or of all requests."""
    emulator_of(request).limit_rate(limit)
    return JSONResponse(limit.model_dump())


@router.put("/transitions")
async def change_transitions(request: Request, changes: Transitions) -> Response:
    """Change how long work takes that starts from now on; what is not given stays."""
    emulator = emulator_of(request)
    given = {name: getattr(changes, name) for name in changes.model_fields_set}
    emulator.transitions = emulator.transitions.model_copy(update=given)
    return JSONResponse(emulator.transitions.model_dump())


@router.put("/users")
async def change_user(request: Request, user: UserConfig) -> Response:
    """Add a user, or change the one with this email; tokens that are not named any more are revoked."""
    emulator = emulator_of(request)
    enrolled = emulator.directory.enroll(user, emulator.new_id(), emulator.now())
    return JSONResponse({"id": enrolled.id, "tokens": list(enrolled.tokens)})


@router.post("/advance")
async def advance(request: Request, step: Advance) -> Response:
    """Move a manual clock."""
    return JSONResponse({"now": emulator_of(request).advance(step.seconds)})


@router.post("/computations")
async def add_computations(request: Request, seed: ComputationSeed) -> Response:
    """Add many computations."""
    computations = seed_computations(emulator_of(request), seed)
    return JSONResponse({"computations": [_seeded(one.id, one.work) for one in computations]})


@router.post("/data_assets")
async def add_data_assets(request: Request, seed: DataAssetSeed) -> Response:
    """Add many data assets."""
    assets = seed_data_assets(emulator_of(request), seed)
    return JSONResponse({"data_assets": [_seeded(one.id, one.work) for one in assets]})


def _seeded(object_id: str, work: Work) -> dict[str, Any]:
    return {"id": object_id, "finished_at": None if math.isinf(work.finished_at) else work.finished_at}
