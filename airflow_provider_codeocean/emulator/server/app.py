"""The emulator as a web application."""

from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from airflow_provider_codeocean.emulator.api import (
    capsules,
    computations,
    custom_metadata,
    data_assets,
    downloads,
)
from airflow_provider_codeocean.emulator.domain.clock import Clock
from airflow_provider_codeocean.emulator.domain.config import EmulatorConfig
from airflow_provider_codeocean.emulator.domain.errors import ApiError, describe_violations
from airflow_provider_codeocean.emulator.seeding.seed import plant
from airflow_provider_codeocean.emulator.server import control
from airflow_provider_codeocean.emulator.server.middleware import Gate
from airflow_provider_codeocean.emulator.state.deployment import Emulator
from airflow_provider_codeocean.emulator.ui import pages

ROUTERS = (
    data_assets.router,
    computations.router,
    capsules.capsules,
    capsules.pipelines,
    custom_metadata.router,
    control.router,
    downloads.router,
    pages.router,
)


def create_app(
    config: EmulatorConfig | None = None, *, state: Path | None = None, clock: Clock | None = None
) -> FastAPI:
    """Make a Code Ocean deployment.

    :param config: its configuration.
    :param state: the state file; in memory if not given.
    :param clock: the time; what `config.clock` says if not given.
    :returns: the application; `app.state.emulator` is the deployment behind it.
    """
    emulator = Emulator(config, state=state, clock=clock)
    plant(emulator)
    app = FastAPI(
        title="Code Ocean emulator",
        version=emulator.config.server_version,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers={
            ApiError: _refused,
            RequestValidationError: _misunderstood,
            HTTPException: _unroutable,
        },
    )
    app.state.emulator = emulator
    # include_router would analyse every endpoint once more for each app, and tests make many.
    app.router.routes.extend(route for router in ROUTERS for route in router.routes)
    app.add_middleware(Gate, emulator=emulator)
    return app


async def _refused(_request: Request, error: ApiError) -> Response:
    return JSONResponse(error.body, error.status)


async def _misunderstood(_request: Request, error: RequestValidationError) -> Response:
    return JSONResponse({"message": describe_violations(error.errors())}, 400)


async def _unroutable(_request: Request, error: HTTPException) -> Response:
    return JSONResponse({"message": str(error.detail).lower()}, error.status_code, error.headers)
