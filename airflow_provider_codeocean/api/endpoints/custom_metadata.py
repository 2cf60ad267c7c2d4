"""``custom_metadata``: the deployment's schema of custom metadata."""

from __future__ import annotations

from airflow_provider_codeocean.api.endpoint import Resource, S, endpoint
from airflow_provider_codeocean.api.models.custom_metadata import CustomMetadata


class CustomMetadataSchema(Resource[S]):
    """The fields of custom metadata that the deployment's administrators defined."""

    root = "custom_metadata"

    @endpoint("GET", "", CustomMetadata)
    def get(self) -> None:
        """Get the schema."""
