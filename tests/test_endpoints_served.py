"""Every endpoint that the API package declares is served by the emulator, and the other way round."""

from __future__ import annotations

import re
from types import NoneType

import pytest

from airflow_provider_codeocean.api.endpoint import Endpoint, Resource, endpoint
from airflow_provider_codeocean.api.endpoints.capsules import Capsules, Pipelines
from airflow_provider_codeocean.api.endpoints.computations import Computations
from airflow_provider_codeocean.api.endpoints.custom_metadata import CustomMetadataSchema
from airflow_provider_codeocean.api.endpoints.data_assets import DataAssets
from airflow_provider_codeocean.emulator.server.app import create_app

RESOURCES: list[type[Resource]] = [DataAssets, Computations, Capsules, Pipelines, CustomMetadataSchema]


def anonymous(method: str, path: str) -> tuple[str, str]:
    """Method and path, whatever its parameters are called and whether or not it ends with a slash."""
    return method, re.sub(r"\{[^}]*\}", "{}", path).rstrip("/")


def declared(resources: list[type[Resource]]) -> set[tuple[str, str]]:
    return {
        anonymous(each.method, resource.path_prefix + each.path)
        for resource in resources
        for each in resource.endpoints().values()
    }


@pytest.fixture(scope="module")
def served() -> set[tuple[str, str]]:
    paths = create_app().openapi()["paths"]
    return {
        anonymous(method.upper(), path.removeprefix("/api/v1/"))
        for path, operations in paths.items()
        if path.startswith("/api/v1/")
        for method in operations
    }


def test_emulator_serves_declared_endpoints_only(served):
    assert declared(RESOURCES) == served


def test_emulator_lacking_declared_endpoint_is_detected(served):
    class Imaginary(DataAssets):
        @endpoint("GET", "/{data_asset_id}/thumbnail", NoneType)
        def get_thumbnail(self, data_asset_id: str) -> None:
            """Get a picture."""

    assert isinstance(Imaginary.get_thumbnail, Endpoint)
    assert declared([Imaginary]) - served == {("GET", "data_assets/{}/thumbnail")}
