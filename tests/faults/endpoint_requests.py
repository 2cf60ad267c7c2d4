"""Requests to every endpoint that is declared."""

from __future__ import annotations

import re
from typing import Any

from airflow_provider_codeocean.api.endpoints.capsules import Capsules, Pipelines
from airflow_provider_codeocean.api.endpoints.computations import Computations
from airflow_provider_codeocean.api.endpoints.custom_metadata import CustomMetadataSchema
from airflow_provider_codeocean.api.endpoints.data_assets import DataAssets
from airflow_provider_codeocean.api.request import Request

RESOURCES = (DataAssets, Computations, Capsules, Pipelines, CustomMetadataSchema)

#: By name: a request to each endpoint.
REQUESTS_BY_NAME: dict[str, Request[Any]] = {
    f"{resource.path_prefix}.{name}": Request(
        endpoint.method,
        resource.path_prefix + re.sub(r"\{[^}]*\}", "x1", endpoint.path),
        endpoint.response_model,
        endpoint.idempotency,
    )
    for resource in RESOURCES
    for name, endpoint in resource.endpoints().items()
}
