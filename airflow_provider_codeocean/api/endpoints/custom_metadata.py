"""``custom_metadata``: the deployment's schema of custom metadata."""

from __future__ import annotations

from airflow_provider_codeocean.api.endpoint import Resource, SenderT, endpoint
from airflow_provider_codeocean.api.models.custom_metadata import CustomMetadata


class CustomMetadataSchema(Resource[SenderT]):
    """The deployment's schema of custom metadata, defined by administrators."""

    path_prefix = "custom_metadata"

    @endpoint("GET", "", CustomMetadata)
    def get(self) -> None:
        """Get the schema."""
