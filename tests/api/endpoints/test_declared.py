"""The declared endpoints are those of Code Ocean, and each is sent as the official SDK sends it."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests
from codeocean import CodeOcean, Error
from codeocean.models import capsule as sdk_capsule
from codeocean.models import components as sdk_components
from codeocean.models import computation as sdk_computation
from codeocean.models import data_asset as sdk_data_asset

from airflow_provider_codeocean.api.client import CodeOceanClient
from airflow_provider_codeocean.api.endpoint import Resource
from airflow_provider_codeocean.api.errors import ServerError
from airflow_provider_codeocean.api.models.capsule import CapsuleSearchParams
from airflow_provider_codeocean.api.models.computation import RunParams
from airflow_provider_codeocean.api.models.data_asset_params import (
    AttachParams,
    DataAssetParams,
    DataAssetSearchParams,
    DataAssetUpdateParams,
    TransferParams,
)
from airflow_provider_codeocean.api.models.permissions import PermissionsParams
from airflow_provider_codeocean.api.request import Idempotency
from tests.api.fake_server import FakeServer, call_sync, reply, succeed

READ, REPEATABLE, ONCE = Idempotency.SAFE, Idempotency.IDEMPOTENT, Idempotency.NON_IDEMPOTENT

#: By name: method, path, what sending it does.
DATA_ASSETS = {
    "create": ("POST", "data_assets", ONCE),
    "get": ("GET", "data_assets/{}", READ),
    "update": ("PUT", "data_assets/{}", REPEATABLE),
    "delete": ("DELETE", "data_assets/{}", REPEATABLE),
    "archive": ("PATCH", "data_assets/{}/archive", REPEATABLE),
    "search": ("POST", "data_assets/search", READ),
    "get_permissions": ("GET", "data_assets/{}/permissions", READ),
    "update_permissions": ("POST", "data_assets/{}/permissions", REPEATABLE),
    "transfer": ("POST", "data_assets/{}/transfer", ONCE),
    "list_files": ("POST", "data_assets/{}/files", READ),
    "get_file_urls": ("GET", "data_assets/{}/files/urls", READ),
    "get_file_download_url": ("GET", "data_assets/{}/files/download_url", READ),
}
COMPUTATIONS = {
    "run": ("POST", "computations", ONCE),
    "get": ("GET", "computations/{}", READ),
    "delete": ("DELETE", "computations/{}", REPEATABLE),
    "rename": ("PATCH", "computations/{}", REPEATABLE),
    "list_results": ("POST", "computations/{}/results", READ),
    "get_result_urls": ("GET", "computations/{}/results/urls", READ),
    "get_result_download_url": ("GET", "computations/{}/results/download_url", READ),
    "attach_data_assets": ("POST", "computations/{}/data_assets", ONCE),
    "detach_data_assets": ("DELETE", "computations/{}/data_assets/", REPEATABLE),
}
CAPSULES = {
    "get": ("GET", "capsules/{}", READ),
    "delete": ("DELETE", "capsules/{}", REPEATABLE),
    "list_computations": ("GET", "capsules/{}/computations", READ),
    "search": ("POST", "capsules/search", READ),
    "get_permissions": ("GET", "capsules/{}/permissions", READ),
    "update_permissions": ("POST", "capsules/{}/permissions", REPEATABLE),
    "attach_data_assets": ("POST", "capsules/{}/data_assets", ONCE),
    "detach_data_assets": ("DELETE", "capsules/{}/data_assets/", REPEATABLE),
    "archive": ("PATCH", "capsules/{}/archive", REPEATABLE),
    "get_app_panel": ("GET", "capsules/{}/app_panel", READ),
    "sync": ("POST", "capsules/{}/sync", ONCE),
    "release": ("POST", "capsules/{}/release", ONCE),
    "get_release_job": ("GET", "capsules/{}/release/{}", READ),
}
DECLARED = {
    "data_assets": DATA_ASSETS,
    "computations": COMPUTATIONS,
    "capsules": CAPSULES,
    "pipelines": {
        name: (method, path.replace("capsules", "pipelines"), effect)
        for name, (method, path, effect) in CAPSULES.items()
    },
    "custom_metadata": {"get": ("GET", "custom_metadata", READ)},
}


def resources() -> dict[str, Resource[Any]]:
    with CodeOceanClient(FakeServer.url, FakeServer.token) as client:
        members = {name: getattr(client, name) for name in dir(client) if not name.startswith("_")}
        return {name: value for name, value in members.items() if isinstance(value, Resource)}


def test_endpoints_declared_match_the_expected_table():
    declared = {
        resource: {
            name: (
                endpoint.method,
                re.sub("{.*?}", "{}", bound.path_prefix + endpoint.path),
                endpoint.idempotency,
            )
            for name, endpoint in bound.endpoints().items()
        }
        for resource, bound in resources().items()
    }
    assert declared == DECLARED


#: What is given to both for the bodies below.
ASSET = {
    "name": "n",
    "tags": ["t"],
    "mount": "m",
    "custom_metadata": {"k": 1.5, "when": 1718000000},
    "source": {"computation": {"id": "c1", "path": "out"}},
    "target": {"aws": {"bucket": "lab", "prefix": "p"}},
}
RUN = {
    "capsule_id": "c1",
    "version": 2,
    "data_assets": [{"id": "a1", "mount": "m"}],
    "parameters": ["1"],
    "named_parameters": [{"param_name": "p", "value": "v"}],
}
UPDATE = {"name": "n", "description": "", "tags": []}
TRANSFER = {"target": {"aws": {"bucket": "lab"}}, "force": True}
SEARCH = {
    "query": "tag:t",
    "limit": 5,
    "sort_field": "name",
    "sort_order": "desc",
    "ownership": "created",
    "archived": False,
    "filters": [{"key": "k", "range": {"min": 1, "max": 2}, "exclude": True}],
}
PERMISSIONS = {
    "users": [{"email": "ada@example.com", "role": "viewer"}],
    "groups": [{"group": "lab", "role": "discoverable"}],
    "everyone": "none",
    "share_assets": True,
}
ATTACH = {"id": "a1", "mount": "m"}

#: By name: how it is called here, and how with the SDK.
SENT_DATA_ASSETS = {
    "create": (
        lambda api: api.create(DataAssetParams(**ASSET)),
        lambda sdk: sdk.create_data_asset(sdk_data_asset.DataAssetParams.from_dict(ASSET)),
    ),
    "get": (lambda api: api.get("a1"), lambda sdk: sdk.get_data_asset("a1")),
    "update": (
        lambda api: api.update("a1", DataAssetUpdateParams(**UPDATE)),
        lambda sdk: sdk.update_metadata("a1", sdk_data_asset.DataAssetUpdateParams.from_dict(UPDATE)),
    ),
    "delete": (lambda api: api.delete("a1"), lambda sdk: sdk.delete_data_asset("a1")),
    "archive": (lambda api: api.archive("a1"), lambda sdk: sdk.archive_data_asset("a1", archive=True)),
    "search": (
        lambda api: api.search(DataAssetSearchParams(**SEARCH, type="result", origin="external")),
        lambda sdk: sdk.search_data_assets(
            sdk_data_asset.DataAssetSearchParams.from_dict({**SEARCH, "type": "result", "origin": "external"})
        ),
    ),
    "get_permissions": (lambda api: api.get_permissions("a1"), lambda sdk: sdk.get_permissions("a1")),
    "update_permissions": (
        lambda api: api.update_permissions("a1", PermissionsParams(**PERMISSIONS)),
        lambda sdk: sdk.update_permissions("a1", sdk_components.Permissions.from_dict(PERMISSIONS)),
    ),
    "transfer": (
        lambda api: api.transfer("a1", TransferParams(**TRANSFER)),
        lambda sdk: sdk.transfer_data_asset("a1", sdk_data_asset.TransferDataParams.from_dict(TRANSFER)),
    ),
    "list_files": (
        lambda api: api.list_files("a1", "a b/ü"),
        lambda sdk: sdk.list_data_asset_files("a1", "a b/ü"),
    ),
    "get_file_urls": (
        lambda api: api.get_file_urls("a1", "a b/ü&c"),
        lambda sdk: sdk.get_data_asset_file_urls("a1", "a b/ü&c"),
    ),
    "get_file_download_url": (
        lambda api: api.get_file_download_url("a1", "a.csv"),
        lambda sdk: sdk.get_data_asset_file_download_url("a1", "a.csv"),
    ),
}
SENT_COMPUTATIONS = {
    "run": (
        lambda api: api.run(RunParams(**RUN)),
        lambda sdk: sdk.run_capsule(sdk_computation.RunParams.from_dict(RUN)),
    ),
    "get": (lambda api: api.get("c1"), lambda sdk: sdk.get_computation("c1")),
    "delete": (lambda api: api.delete("c1"), lambda sdk: sdk.delete_computation("c1")),
    "rename": (lambda api: api.rename("c1", "a & b"), lambda sdk: sdk.rename_computation("c1", "a & b")),
    "list_results": (lambda api: api.list_results("c1"), lambda sdk: sdk.list_computation_results("c1")),
    "get_result_urls": (
        lambda api: api.get_result_urls("c1", "a.csv"),
        lambda sdk: sdk.get_result_file_urls("c1", "a.csv"),
    ),
    "get_result_download_url": (
        lambda api: api.get_result_download_url("c1", "a.csv"),
        lambda sdk: sdk.get_result_file_download_url("c1", "a.csv"),
    ),
    "attach_data_assets": (
        lambda api: api.attach_data_assets("c1", [AttachParams(**ATTACH)]),
        lambda sdk: sdk.attach_data_assets("c1", [sdk_data_asset.DataAssetAttachParams(**ATTACH)]),
    ),
    "detach_data_assets": (
        lambda api: api.detach_data_assets("c1", ["a1", "a2"]),
        lambda sdk: sdk.detach_data_assets("c1", ["a1", "a2"]),
    ),
}
SENT_CAPSULES = {
    "get": (lambda api: api.get("c1"), lambda sdk: sdk.get_capsule("c1")),
    "delete": (lambda api: api.delete("c1"), lambda sdk: sdk.delete_capsule("c1")),
    "list_computations": (lambda api: api.list_computations("c1"), lambda sdk: sdk.list_computations("c1")),
    "search": (
        lambda api: api.search(CapsuleSearchParams(**SEARCH, status="release")),
        lambda sdk: sdk.search_capsules(
            sdk_capsule.CapsuleSearchParams.from_dict({**SEARCH, "status": "release"})
        ),
    ),
    "get_permissions": (lambda api: api.get_permissions("c1"), lambda sdk: sdk.get_permissions("c1")),
    "update_permissions": (
        lambda api: api.update_permissions("c1", PermissionsParams(**PERMISSIONS)),
        lambda sdk: sdk.update_permissions("c1", sdk_components.Permissions.from_dict(PERMISSIONS)),
    ),
    "attach_data_assets": (
        lambda api: api.attach_data_assets("c1", [AttachParams(**ATTACH)]),
        lambda sdk: sdk.attach_data_assets("c1", [sdk_data_asset.DataAssetAttachParams(**ATTACH)]),
    ),
    "detach_data_assets": (
        lambda api: api.detach_data_assets("c1", ["a1"]),
        lambda sdk: sdk.detach_data_assets("c1", ["a1"]),
    ),
    "archive": (
        lambda api: api.archive("c1", archived=False),
        lambda sdk: sdk.archive_capsule("c1", archive=False),
    ),
    "get_app_panel": (
        lambda api: api.get_app_panel("c1", version=2),
        lambda sdk: sdk.get_capsule_app_panel("c1", version=2),
    ),
    "sync": (lambda api: api.sync("c1"), lambda sdk: sdk.sync_capsule("c1")),
    "release": (lambda api: api.release("c1"), lambda sdk: sdk.release_capsule("c1")),
    "get_release_job": (
        lambda api: api.get_release_job("c1", "j1"),
        lambda sdk: sdk.get_release_job("c1", "j1"),
    ),
}
SENT = {
    "data_assets": SENT_DATA_ASSETS,
    "computations": SENT_COMPUTATIONS,
    "capsules": SENT_CAPSULES,
    "custom_metadata": {"get": (lambda api: api.get(), lambda sdk: sdk.get_custom_metadata())},
}


def test_sdk_comparison_covers_every_endpoint():
    assert {name: set(sent) for name, sent in SENT.items()} == {
        name: set(declared) for name, declared in DECLARED.items() if name != "pipelines"
    }


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("resource", "name"), [(resource, name) for resource, sent in SENT.items() for name in sent]
)
def test_endpoint_sends_the_same_request_as_the_sdk(resource, name):
    ours, theirs = SENT[resource][name]
    sent = request_of_this_client(resource, ours)
    assert sent == request_of_the_sdk(resource, theirs)
    method, path, _ = DECLARED[resource][name]
    assert sent["method"] == method
    assert re.fullmatch("/api/v1/" + path.replace("{}", "[^/]+"), sent["path"])


@pytest.mark.parametrize("name", SENT_CAPSULES)
def test_pipeline_endpoint_sends_the_capsule_request(name):
    sent = request_of_this_client("pipelines", SENT_CAPSULES[name][0])
    same = request_of_this_client("capsules", SENT_CAPSULES[name][0])
    assert sent == {**same, "path": same["path"].replace("/capsules", "/pipelines")}


@pytest.mark.parametrize(
    ("use", "query"),
    [
        (lambda client: client.data_assets.archive("a1"), "archive=true"),
        (lambda client: client.data_assets.archive("a1", archived=False), "archive=false"),
        (lambda client: client.capsules.archive("c1"), "archive=true"),
        (lambda client: client.capsules.get_app_panel("c1"), ""),
        (lambda client: client.data_assets.get_file_urls("a1", "a/b&c=ü"), "path=a%2Fb%26c%3D%C3%BC"),
    ],
)
def test_endpoint_query_is_encoded_as_expected(use, query):
    server = FakeServer(succeed)
    call_sync(server, use)
    assert server.requests[0].url.query.decode() == query


def request_of_this_client(resource, use):
    server = FakeServer(reply(503))
    with pytest.raises(ServerError):
        call_sync(server, lambda client: use(getattr(client, resource)), retry_budget=0)
    request = server.requests[0]
    return described(request.method, str(request.url), request.content)


def request_of_the_sdk(resource, use):
    client = CodeOcean(FakeServer.url, FakeServer.token)
    adapter = RefusingAdapter()
    client.session.mount(FakeServer.url, adapter)
    with pytest.raises(Error):
        use(getattr(client, resource))
    request = adapter.requests[0]
    return described(request.method, request.url, request.body)


class RefusingAdapter(requests.adapters.BaseAdapter):
    """Keeps the requests and answers none of them."""

    def __init__(self):
        super().__init__()
        self.requests = []

    def send(self, request, **_):
        self.requests.append(request)
        response = requests.Response()
        response.status_code, response.request, response.url = 503, request, request.url
        return response

    def close(self):
        pass


def described(method, url, body):
    """A request in the terms in which both must agree: nulls mean absent, and ``True`` is ``true``."""
    address = urlsplit(url)
    query = {key: value.lower() if key == "archive" else value for key, value in parse_qsl(address.query)}
    return {
        "method": method,
        "path": address.path,
        "query": query,
        "body": without_nulls(json.loads(body)) if body else None,
    }


def without_nulls(value):
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value
