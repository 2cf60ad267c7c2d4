from __future__ import annotations

import inspect

import pytest

from tests.emulator.in_process import expect_error, expect_status


async def test_openapi_description_lists_every_api_route(deployment):
    described = expect_status(await deployment.web.get("openapi.json"), 200)
    paths = {(path, method) for path, methods in described["paths"].items() for method in methods}
    assert len(paths) == 12 + 9 + 2 * 13 + 1
    assert all(path.startswith("/api/v1/") for path, _ in paths)


def test_capsules_and_pipelines_have_the_same_endpoints(deployment):
    routes = {(route.path, *route.methods) for route in deployment.app.routes}
    capsules = {route for route in routes if route[0].startswith("/api/v1/capsules")}
    pipelines = {
        (path.replace("pipelines", "capsules"), *rest) for path, *rest in routes if "/pipelines" in path
    }
    assert capsules == pipelines


def test_api_endpoints_are_coroutine_functions(deployment):
    endpoints = [route.endpoint for route in deployment.app.routes if route.path.startswith("/api/v1/")]
    assert all(inspect.iscoroutinefunction(endpoint) for endpoint in endpoints)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "no/such/thing", 404), ("PATCH", "custom_metadata", 405), ("GET", "data_assets/", 404)],
)
async def test_unknown_route_returns_error_with_message(deployment, method, path, status):
    expect_error(await deployment.user.request(method, path), status)


@pytest.mark.parametrize("content", [b"{", b"[1, 2]", b"null", b'"text"', b"\xff"])
async def test_invalid_body_returns_error_with_message(deployment, content):
    headers = {"Content-Type": "application/json"}
    expect_error(await deployment.user.post("data_assets", content=content, headers=headers), 400)


async def test_json_content_type_without_body_is_accepted(deployment):
    path = f"data_assets/{deployment.env['CODEOCEAN_DATA_ASSET_ID']}"
    expect_status(await deployment.user.get(path, headers={"Content-Type": "application/json"}), 200)


async def test_unknown_fields_of_newer_clients_are_ignored(deployment):
    await deployment.create_data_asset(invented="yes")
