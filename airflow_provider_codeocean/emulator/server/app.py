"""The web application of the emulator."""

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
from airflow_provider_codeocean.emulator.domain.errors import ApiError, format_validation_errors
from airflow_provider_codeocean.emulator.seeding.seed import seed_deployment
from airflow_provider_codeocean.emulator.server import control
from airflow_provider_codeocean.emulator.server.middleware import RequestMiddleware
from airflow_provider_codeocean.emulator.state.deployment import Emulator
from airflow_provider_codeocean.emulator.ui import pages

ROUTERS = (
    data_assets.router,
    computations.router,
    capsules.capsules_router,
    capsules.pipelines_router,
    custom_metadata.router,
    control.router,
    downloads.router,
    pages.router,
)


def create_app(
    config: EmulatorConfig | None = None, *, state: Path | None = None, clock: Clock | None = None
) -> FastAPI:
    """Create the web application for a deployment.

    :param config: the configuration.
    :param state: the state file; in memory by default.
    :param clock: the clock; the one in the configuration by default.
    :returns: the application; `app.state.emulator` is the deployment.
    """
    emulator = Emulator(config, state=state, clock=clock)
    seed_deployment(emulator)
    app = FastAPI(
        title="Code Ocean emulator",
        version=emulator.config.server_version,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers={
            ApiError: _handle_api_error,
            RequestValidationError: _handle_validation_error,
            HTTPException: _handle_http_error,
        },
    )
    app.state.emulator = emulator
    # include_router would analyze all endpoints for each app, and tests create many apps.
    app.router.routes.extend(route for router in ROUTERS for route in router.routes)
    app.add_middleware(RequestMiddleware, emulator=emulator)
    return app


async def _handle_api_error(_request: Request, error: ApiError) -> Response:
    return JSONResponse(error.body, error.status)


async def _handle_validation_error(_request: Request, error: RequestValidationError) -> Response:
    return JSONResponse({"message": format_validation_errors(error.errors())}, 400)


async def _handle_http_error(_request: Request, error: HTTPException) -> Response:
    return JSONResponse({"message": str(error.detail).lower()}, error.status_code, error.headers)
