"""The endpoint `custom_metadata`."""

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from airflow_provider_codeocean.emulator.services.custom_metadata import metadata_schema_payload
from airflow_provider_codeocean.emulator.services.session import DataAssetReadSession

router = APIRouter(prefix="/api/v1", tags=["custom metadata"])


@router.get("/custom_metadata")
async def read(session: DataAssetReadSession) -> Response:
    """Get the custom metadata schema."""
    return JSONResponse(metadata_schema_payload(session.emulator.config.custom_metadata))
