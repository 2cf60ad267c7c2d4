from __future__ import annotations

import inspect

import pytest

from tests.emulator.helpers import expect, refusal


async def test_every_route_of_the_api_is_in_its_description(deployment):
    described = expect(await deployment.web.get("openapi.json"), 200)
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


def test_no_endpoint_of_the_api_waits_for_a_thread(deployment):
    endpoints = [route.endpoint for route in deployment.app.routes if route.path.startswith("/api/v1/")]
    assert all(inspect.iscoroutinefunction(endpoint) for endpoint in endpoints)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "no/such/thing", 404), ("PATCH", "custom_metadata", 405), ("GET", "data_assets/", 404)],
)
async def test_what_leads_nowhere_is_refused_with_a_message(deployment, method, path, status):
    refusal(await deployment.user.request(method, path), status)


@pytest.mark.parametrize("content", [b"{", b"[1, 2]", b"null", b'"text"', b"\xff"])
async def test_a_body_that_is_none_is_refused_with_a_message(deployment, content):
    headers = {"Content-Type": "application/json"}
    refusal(await deployment.user.post("data_assets", content=content, headers=headers), 400)


async def test_a_json_content_type_without_a_body_does_no_harm(deployment):
    path = f"data_assets/{deployment.env['CODEOCEAN_DATA_ASSET_ID']}"
    expect(await deployment.user.get(path, headers={"Content-Type": "application/json"}), 200)


async def test_unknown_fields_of_newer_clients_are_ignored(deployment):
    await deployment.create(invented="yes")
