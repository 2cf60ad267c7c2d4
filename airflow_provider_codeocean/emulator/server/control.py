"""The control endpoints under `/_emulator/`, which need no credentials."""

import math
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import Field

from airflow_provider_codeocean.emulator.domain.clock import Work
from airflow_provider_codeocean.emulator.domain.config import (
    MAX_SEARCH_LAG_SECONDS,
    RateLimit,
    StrictModel,
    Transitions,
    UserConfig,
)
from airflow_provider_codeocean.emulator.domain.errors import raise_not_found
from airflow_provider_codeocean.emulator.domain.faults import FaultRule
from airflow_provider_codeocean.emulator.seeding.bulk import (
    ComputationSeed,
    DataAssetSeed,
    seed_computations,
    seed_data_assets,
)
from airflow_provider_codeocean.emulator.services.session import get_emulator

router = APIRouter(prefix="/_emulator", include_in_schema=False)


class SearchLagParams(StrictModel):
    """How far search lags behind writes, in seconds."""

    seconds: float = Field(ge=0, le=MAX_SEARCH_LAG_SECONDS)


class AdvanceParams(StrictModel):
    """How far to advance a manual clock, in seconds."""

    seconds: float = Field(ge=0, allow_inf_nan=False)


@router.get("/stats")
async def get_stats(request: Request) -> Response:
    """Return the counters."""
    return JSONResponse(get_emulator(request).traffic.to_dict())


@router.post("/stats/reset")
async def reset_stats(request: Request) -> Response:
    """Reset the counters to zero."""
    get_emulator(request).traffic.reset()
    return Response(status_code=204)


@router.get("/faults")
async def list_faults(request: Request) -> Response:
    """List the faults in the order in which they are matched."""
    return JSONResponse([fault.to_dict() for fault in get_emulator(request).faults.all()])


@router.post("/faults")
async def add_fault(request: Request, rule: FaultRule) -> Response:
    """Add a fault after the existing ones."""
    return JSONResponse(get_emulator(request).faults.add(rule).to_dict())


@router.delete("/faults")
async def clear_faults(request: Request) -> Response:
    """Remove all faults, and close the connections of their held requests."""
    get_emulator(request).faults.clear()
    return Response(status_code=204)


@router.delete("/faults/{fault_id}")
async def remove_fault(request: Request, fault_id: str) -> Response:
    """Remove a fault, and close the connections of its held requests."""
    if not get_emulator(request).faults.remove(fault_id):
        raise_not_found("fault", fault_id)
    return Response(status_code=204)


@router.post("/faults/{fault_id}/release")
async def release_fault(request: Request, fault_id: str) -> Response:
    """Continue the requests that a fault holds."""
    fault = get_emulator(request).faults.get(fault_id) or raise_not_found("fault", fault_id)
    fault.release_requests()
    return JSONResponse(fault.to_dict())


@router.get("/faults/{fault_id}/wait")
def wait_for_fault(
    request: Request, fault_id: str, *, hits: int = 0, held: int = 0, timeout: float = 10.0
) -> Response:
    """Wait for a number of hits and held requests of a fault; respond with 408 after the timeout."""
    fault = get_emulator(request).faults.get(fault_id) or raise_not_found("fault", fault_id)
    reached = fault.wait(hits=hits, held=held, timeout=timeout)
    return JSONResponse(fault.to_dict(), 200 if reached else 408)


@router.put("/search_lag")
async def set_search_lag(request: Request, params: SearchLagParams) -> Response:
    """Set how far search lags behind writes."""
    get_emulator(request).search_lag = params.seconds
    return JSONResponse(params.model_dump())


@router.put("/rate_limit")
async def set_rate_limit(request: Request, limit: RateLimit) -> Response:
    """Set the rate limit for a kind of request, or for all requests."""
    get_emulator(request).set_rate_limit(limit)
    return JSONResponse(limit.model_dump())


@router.put("/transitions")
async def update_transitions(request: Request, changes: Transitions) -> Response:
    """Change the duration of new work; omitted kinds stay unchanged."""
    emulator = get_emulator(request)
    updates = {name: getattr(changes, name) for name in changes.model_fields_set}
    emulator.transitions = emulator.transitions.model_copy(update=updates)
    return JSONResponse(emulator.transitions.model_dump())


@router.put("/users")
async def upsert_user(request: Request, user: UserConfig) -> Response:
    """Add a user, or change the one with this email; omitted tokens are revoked."""
    emulator = get_emulator(request)
    enrolled = emulator.user_directory.upsert(user, emulator.new_id(), emulator.now())
    return JSONResponse({"id": enrolled.id, "tokens": list(enrolled.tokens)})


@router.post("/advance")
async def advance_clock(request: Request, params: AdvanceParams) -> Response:
    """Advance a manual clock."""
    return JSONResponse({"now": get_emulator(request).advance_clock(params.seconds)})


@router.post("/computations")
async def add_computations(request: Request, seed: ComputationSeed) -> Response:
    """Add many computations."""
    computations = seed_computations(get_emulator(request), seed)
    return JSONResponse(
        {"computations": [_seed_summary(computation.id, computation.work) for computation in computations]}
    )


@router.post("/data_assets")
async def add_data_assets(request: Request, seed: DataAssetSeed) -> Response:
    """Add many data assets."""
    assets = seed_data_assets(get_emulator(request), seed)
    return JSONResponse({"data_assets": [_seed_summary(asset.id, asset.work) for asset in assets]})


def _seed_summary(object_id: str, work: Work) -> dict[str, Any]:
    return {"id": object_id, "finished_at": None if math.isinf(work.finished_at) else work.finished_at}
