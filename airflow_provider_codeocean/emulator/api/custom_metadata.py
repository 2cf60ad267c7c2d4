"""The endpoint `custom_metadata`."""

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from airflow_provider_codeocean.emulator.services.custom_metadata import schema_payload
from airflow_provider_codeocean.emulator.services.session import ReadsDataAssets

router = APIRouter(prefix="/api/v1", tags=["custom metadata"])


@router.get("/custom_metadata")
async def read(session: ReadsDataAssets) -> Response:
    """Get the custom metadata schema."""
    return JSONResponse(schema_payload(session.emulator.config.custom_metadata))
