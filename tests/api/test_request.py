"""Declared endpoints: methods, quoted paths, and paginated searches."""

from __future__ import annotations

import dataclasses
import inspect
import json
import unicodedata
from itertools import chain
from types import NoneType
from urllib.parse import unquote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from airflow_provider_codeocean.api import pages
from airflow_provider_codeocean.api._http.library import httpx
from airflow_provider_codeocean.api.client import CodeOceanAsyncClient, CodeOceanClient
from airflow_provider_codeocean.api.endpoint import Endpoint, Resource, SenderT, endpoint
from airflow_provider_codeocean.api.endpoints.capsules import Capsules
from airflow_provider_codeocean.api.endpoints.data_assets import DataAssets
from airflow_provider_codeocean.api.errors import Forbidden, UnexpectedResponse
from airflow_provider_codeocean.api.models.capsule import CapsuleSearchParams
from airflow_provider_codeocean.api.models.data_asset import DataAsset
from airflow_provider_codeocean.api.models.data_asset_params import AttachParams, DataAssetSearchParams
from airflow_provider_codeocean.api.models.folder import Folder
from airflow_provider_codeocean.api.pagination import paginated
from airflow_provider_codeocean.api.request import Idempotency, RequestParts
from tests.api.fake_server import CALLERS, FakeServer, SearchServer, call_sync, reply
from tests.sampling import examples

PARAMS = DataAssetSearchParams()
#: A page with a next page.
MORE = {"has_more": True, "results": [{"id": "a0"}]}

both_clients = pytest.mark.parametrize("ask_server", CALLERS.values(), ids=CALLERS)


class Telescopes(Resource[SenderT]):
    """A fictional resource."""

    path_prefix = "telescopes"

    @endpoint("POST", "/{telescope_id}/mirrors/{mirror_id}", DataAsset)
    def turn(self, telescope_id: str, mirror_id: str, degrees: int, params: AttachParams) -> RequestParts:
        """Turn a mirror."""
        return RequestParts(query={"degrees": str(degrees)}, body=params)

    @endpoint("DELETE", "/{telescope_id}", NoneType)
    def dismantle(self, telescope_id: str) -> None:
        """Take it apart."""


class TestNewEndpoint:
    def test_endpoint_declared_once_works_in_both_clients(self, server, ask):
        server.responders = [reply(json={"id": "a1"})]
        params = AttachParams(id="a1", mount="m")
        asset = ask(lambda client: Telescopes(client).turn("t1", mirror_id="m 1", degrees=5, params=params))
        assert asset.id == "a1"
        request = server.requests[0]
        assert (request.method, str(request.url)) == (
            "POST",
            "https://codeocean.test/api/v1/telescopes/t1/mirrors/m%201?degrees=5",
        )
        assert server.bodies == [{"id": "a1", "mount": "m"}]

    def test_endpoint_with_empty_response_returns_none(self, server, ask):
        server.responders = [reply(204)]
        assert ask(lambda client: Telescopes(client).dismantle("t1")) is None
        assert server.requests[0].content == b""

    def test_endpoints_lists_all_declarations(self):
        assert set(Telescopes.endpoints()) == {"turn", "dismantle"}

    @pytest.mark.parametrize(
        ("method", "effect"),
        [
            ("GET", Idempotency.SAFE),
            ("POST", Idempotency.NON_IDEMPOTENT),
            ("PUT", Idempotency.IDEMPOTENT),
            ("PATCH", Idempotency.IDEMPOTENT),
            ("DELETE", Idempotency.IDEMPOTENT),
        ],
    )
    def test_endpoint_idempotency_defaults_to_that_of_the_method(self, method, effect):
        assert endpoint(method, "", NoneType)(lambda self: None).idempotency is effect
        assert (
            endpoint(method, "", NoneType, idempotency=Idempotency.SAFE)(lambda self: None).idempotency
            is Idempotency.SAFE
        )


class TestMethods:
    def test_methods_of_both_clients_are_the_same(self):
        sync = CodeOceanClient(FakeServer.url, FakeServer.token)
        awaited = CodeOceanAsyncClient(FakeServer.url, FakeServer.token)
        methods = {name for name in dir(sync.data_assets) if not name.startswith("_")}
        assert methods == {name for name in dir(awaited.data_assets) if not name.startswith("_")}
        for name in DataAssets.endpoints():
            one, other = getattr(sync.data_assets, name), getattr(awaited.data_assets, name)
            assert inspect.signature(one) == inspect.signature(other)
            assert one.__name__ == other.__name__ == name
            assert one.__doc__ == other.__doc__

    def test_methods_have_docstrings(self):
        for name, declared in DataAssets.endpoints().items():
            assert declared.__doc__, name
        assert "All pages" in (DataAssets.search_all.__doc__ or "")

    def test_methods_on_the_class_are_declarations(self):
        assert isinstance(DataAssets.get, Endpoint)
        assert isinstance(DataAssets.search_all, paginated)

    @pytest.mark.parametrize("wrong", [(), ("a1", "a2")])
    def test_method_with_wrong_arguments_sends_nothing(self, server, ask, wrong):
        with pytest.raises(TypeError):
            ask(lambda client: client.data_assets.get(*wrong))
        assert server.requests == []

    def test_request_is_frozen(self):
        call = DataAssets.get.build_request("data_assets", "a1")
        with pytest.raises(dataclasses.FrozenInstanceError):
            call.path = "elsewhere"


class TestPath:
    @given(identifier=st.text(st.characters(exclude_categories=()), min_size=1, max_size=20))
    @example(identifier="../../admin")
    @example(identifier="a/../../b")
    @example(identifier="%2e%2e%2f")
    @example(identifier=" .. ")
    @example(identifier="...")
    @example(identifier="a?archive=true#top")
    @example(identifier="//elsewhere.example.com")
    def test_identifier_of_any_text_is_one_segment_or_rejected(self, identifier):
        server = FakeServer(reply(json={"id": "a1"}))
        try:
            call_sync(server, lambda client: client.data_assets.get(identifier))
        except ValueError:
            assert server.requests == []
            assert (
                identifier.strip() in {"", ".", ".."}
                or not set(identifier.strip()).isdisjoint("/\\%")
                or any(unicodedata.category(character) == "Cc" for character in identifier.strip())
                or not encodable(identifier)
            )
        else:
            url = server.requests[0].url
            *before, segment = url.raw_path.decode().split("/")
            assert before == ["", "api", "v1", "data_assets"]
            assert unquote(segment) == identifier.strip()
            assert (url.host, url.query, url.fragment) == ("codeocean.test", b"", "")

    @pytest.mark.parametrize(
        "identifier",
        [
            *("../admin", "a/b", "a/../../b", "/", "a\\b", "..\\admin", "//elsewhere.example.com"),
            *("%2e%2e", "%2e%2e%2fadmin", "%252e%252e", "a%00", "a\0b", "a\r\nHost: x", "a\x1fb", "a\x85b"),
            "x" * 256,
        ],
    )
    def test_identifier_that_changes_the_path_is_rejected(self, server, ask, identifier):
        with pytest.raises(ValueError, match="data_asset_id must be an identifier") as caught:
            ask(lambda client: client.data_assets.get(identifier))
        assert server.requests == []
        assert len(str(caught.value)) < 400

    @pytest.mark.parametrize("identifier", ["", " ", ".", "..", " .. ", "\u3000.\n", None, 5, b"a1", ["a1"]])
    def test_invalid_identifier_error_names_the_argument(self, server, ask, identifier):
        with pytest.raises(ValueError, match="job_id must be an identifier"):
            ask(lambda client: client.capsules.get_release_job("c1", identifier))
        with pytest.raises(ValueError, match="computation_id must be an identifier"):
            ask(lambda client: client.computations.detach_data_assets(identifier, ["a1"]))
        assert server.requests == []

    def test_trailing_slash_is_kept(self, server, ask):
        server.responders = [reply(204)]
        ask(lambda client: client.computations.detach_data_assets("c1", ["a1"]))
        assert server.requests[0].url.path == "/api/v1/computations/c1/data_assets/"


def encodable(text):
    return text == text.encode(errors="replace").decode()


@both_clients
class TestPagination:
    @settings(max_examples=examples(25))
    @given(sizes=st.lists(st.integers(0, 4), min_size=1, max_size=8))
    def test_search_all_by_token_returns_each_item_once(self, ask_server, sizes):
        pages = numbered_pages(sizes)
        server = SearchServer(pages, by_token=True)
        results = ask_server(server, lambda client: client.data_assets.search_all(DataAssetSearchParams()))
        assert [asset.id for asset in results] == list(chain(*pages))
        assert [body.get("next_token") for body in server.bodies] == [None, *map(str, range(1, len(pages)))]

    @settings(max_examples=examples(25))
    @given(sizes=st.lists(st.integers(1, 4), min_size=1, max_size=8))
    def test_search_all_by_offset_returns_each_item_once(self, ask_server, sizes):
        pages = numbered_pages(sizes)
        server = SearchServer(pages, by_token=False)
        results = ask_server(server, lambda client: client.data_assets.search_all(DataAssetSearchParams()))
        assert [asset.id for asset in results] == list(chain(*pages))
        assert len(server.requests) == len(pages)

    def test_search_all_requests_each_page_with_the_same_parameters(self, ask_server):
        server = SearchServer(numbered_pages([2, 2, 1]), by_token=True)
        params = DataAssetSearchParams(query="tag:t", limit=2, archived=False)
        ask_server(server, lambda client: client.data_assets.search_all(params))
        assert server.bodies == [
            params.to_json(),
            {**params.to_json(), "next_token": "1"},
            {**params.to_json(), "next_token": "2"},
        ]

    def test_search_all_starts_at_a_given_token_or_offset(self, ask_server):
        for params, by_token in [({"next_token": "1"}, True), ({"offset": 2}, False)]:
            server = SearchServer(numbered_pages([2, 2]), by_token=by_token)
            search = DataAssetSearchParams(**params)
            results = ask_server(server, lambda client, search=search: client.data_assets.search_all(search))
            assert [asset.id for asset in results] == ["a2", "a3"]

    @pytest.mark.parametrize(
        ("pages", "requests"),
        [
            pytest.param([MORE | {"next_token": "t"}] * 3, 2, id="the same token again"),
            pytest.param([MORE | {"next_token": token} for token in "tuvtuv"], 4, id="tokens in a circle"),
            pytest.param([MORE | {"results": []}] * 2, 1, id="more of nothing"),
            pytest.param([MORE | {"next_token": "t"}, MORE, MORE], 2, id="a token, then none"),
            pytest.param([{"next_token": "t", "results": []}] * 2, 1, id="no word of more"),
        ],
    )
    def test_search_all_without_a_next_page_ends(self, ask_server, pages, requests):
        server = FakeServer(*[reply(json=page) for page in pages], asked_for_ever)
        ask_server(server, lambda client: client.data_assets.search_all(DataAssetSearchParams()))
        assert len(server.requests) == requests

    def test_search_all_initial_token_repeated_ends(self, ask_server):
        server = FakeServer(*[reply(json=MORE | {"next_token": "t"})] * 2, asked_for_ever)
        params = DataAssetSearchParams(next_token="t")
        results = ask_server(server, lambda client: client.data_assets.search_all(params))
        assert [asset.id for asset in results] == ["a0"]

    @pytest.mark.fault("A7")
    @pytest.mark.parametrize(
        "pages",
        [
            pytest.param([["a3", "a2"], ["a2", "a1"]], id="overlap by one"),
            pytest.param([["a3", "a2"], ["a3", "a2"], ["a1"]], id="overlap by a whole page"),
            pytest.param([["a3", "a2", "a2"], ["A2", "a1"]], id="within a page, in another letter case"),
        ],
    )
    @pytest.mark.parametrize("by_token", [True, False])
    def test_search_all_overlapping_pages_returns_each_id_once(self, ask_server, pages, by_token):
        server = SearchServer(pages, by_token=by_token)
        results = ask_server(server, lambda client: client.data_assets.search_all(PARAMS))
        assert [asset.id for asset in results] == ["a3", "a2", "a1"]
        assert len(server.requests) == len(pages)

    @pytest.mark.fault("A7")
    @pytest.mark.parametrize("resource", ["data_assets", "capsules", "pipelines"])
    def test_search_all_repeated_token_with_new_results_continues(self, ask_server, resource):
        """A token may identify the search and not the page, so new results decide."""
        pages = [["a3", "a2"], ["a2", "a1"], ["a1"]]
        bodies = [
            {"has_more": True, "next_token": "t", "results": [{"id": item} for item in page]}
            for page in pages
        ]
        server = FakeServer(*[reply(json=body) for body in bodies], asked_for_ever)
        params = (DataAssetSearchParams if resource == "data_assets" else CapsuleSearchParams)()
        results = ask_server(server, lambda client: getattr(client, resource).search_all(params))
        assert [item.id for item in results] == ["a3", "a2", "a1"]
        assert len(server.requests) == 3

    def test_search_all_results_without_fields_are_kept(self, ask_server):
        """Results without an id cannot be compared, so all are kept."""
        results = [{"id": "a1"}, {"name": "no id"}, {"name": "no id"}, {"id": "a2", "tags": None}]
        server = FakeServer(reply(json={"has_more": False, "results": results}), asked_for_ever)
        results = ask_server(server, lambda client: client.data_assets.search_all(PARAMS))
        assert [(item.id, item.name, item.tags) for item in results] == [
            ("a1", "", []),
            ("", "no id", []),
            ("", "no id", []),
            ("a2", "", []),
        ]

    @settings(max_examples=examples(50))
    @given(
        created=st.lists(st.integers(0, 3), min_size=1, max_size=3),
        size=st.integers(1, 3),
        by_token=st.booleans(),
    )
    def test_search_all_while_assets_are_created_misses_no_earlier_one(
        self, ask_server, created, size, by_token
    ):
        server = GrowingServer(created, size=size, by_token=by_token)
        results = ask_server(server, lambda client: client.data_assets.search_all(PARAMS))
        ids = [asset.id for asset in results]
        assert len(ids) == len(set(ids))
        assert set(ids) >= set(server.first)

    @pytest.mark.parametrize(
        ("pages", "message"),
        [
            (
                [MORE | {"results": [], "next_token": str(number)} for number in range(20)],
                "0 results on 10 pages, the last 10 of them without a new one",
            ),
            ([MORE] * 20, "1 results on 11 pages, the last 10 of them without a new one"),
        ],
        ids=["empty pages with new tokens", "the same page for each offset"],
    )
    def test_search_all_ten_pages_without_new_results_fails(self, ask_server, pages, message):
        server = FakeServer(*[reply(json=page) for page in pages], asked_for_ever)
        with pytest.raises(UnexpectedResponse, match=message):
            ask_server(server, lambda client: client.data_assets.search_all(PARAMS))

    @pytest.mark.parametrize("bound", ["_MAX_PAGES", "_MAX_RESULTS"])
    def test_search_all_beyond_its_limits_fails(self, ask_server, monkeypatch, bound):
        monkeypatch.setattr(pages, bound, 3)
        server = SearchServer(numbered_pages([1] * 3), by_token=True)
        assert len(ask_server(server, lambda client: client.data_assets.search_all(PARAMS))) == 3
        server = SearchServer(numbered_pages([1] * 4), by_token=True)
        with pytest.raises(UnexpectedResponse, match=r"returned 3 results on 3 pages, and says"):
            ask_server(server, lambda client: client.data_assets.search_all(PARAMS))
        assert len(server.requests) == 3

    def test_search_all_error_on_a_later_page_is_raised(self, ask_server):
        server = FakeServer(reply(json=MORE | {"next_token": "t"}), reply(403, json={"message": "no"}))
        with pytest.raises(Forbidden):
            ask_server(server, lambda client: client.data_assets.search_all(DataAssetSearchParams()))
        assert len(server.requests) == 2


class TestAbandonedPagination:
    def test_sync_iterator_closed_early_requests_no_more_pages(self):
        server = SearchServer(numbered_pages([2, 2, 2]), by_token=True)
        with CodeOceanClient(server.url, server.token, transport=server.transport) as client:
            results = client.data_assets.search_all(DataAssetSearchParams())
            assert server.requests == []
            assert [next(results).id for _ in range(3)] == ["a0", "a1", "a2"]
            results.close()
        assert len(server.requests) == 2

    async def test_async_iterator_closed_early_requests_no_more_pages(self):
        server = SearchServer(numbered_pages([2, 2, 2]), by_token=True)
        async with CodeOceanAsyncClient(server.url, server.token, transport=server.transport) as client:
            results = client.data_assets.search_all(DataAssetSearchParams())
            assert server.requests == []
            assert [(await anext(results)).id for _ in range(3)] == ["a0", "a1", "a2"]
            await results.aclose()
        assert len(server.requests) == 2


def numbered_pages(sizes):
    """Return pages of these sizes, with the items a0, a1, a2 …"""
    items = [f"a{number}" for number in range(sum(sizes))]
    return [[items.pop(0) for _ in range(size)] for size in sizes]


class GrowingServer(FakeServer):
    """A search of ten data assets, newest first; before each further page, more are created."""

    def __init__(self, created: list[int], *, size: int, by_token: bool) -> None:
        super().__init__(self.search)
        self.first = [f"a{number}" for number in reversed(range(10))]
        self.all = list(self.first)
        self.created, self.size, self.by_token = list(created), size, by_token

    def search(self, request):
        params = json.loads(request.content)
        start = int(params.get("next_token" if self.by_token else "offset", 0))
        for _ in range(self.created.pop(0) if start and self.created else 0):
            self.all.insert(0, f"b{len(self.all)}")
        end = start + self.size
        page = {"results": [{"id": item} for item in self.all[start:end]], "has_more": end < len(self.all)}
        return httpx.Response(200, json=page | ({"next_token": str(end)} if self.by_token else {}))


def asked_for_ever(request):
    pytest.fail("the client asked for one page too many")


class TestBoundMethods:
    @pytest.fixture
    def client(self):
        with CodeOceanClient("https://codeocean.test", "cop_token") as client:
            yield client

    def test_bound_method_signature_shows_arguments_and_result(self, client):
        signature = inspect.signature(client.data_assets.list_files)
        assert list(signature.parameters) == ["data_asset_id", "path"]
        assert signature.return_annotation is Folder
        assert list(inspect.signature(client.data_assets.search_all).parameters) == ["params"]
        assert "one result after the other" in client.data_assets.search_all.__doc__

    @pytest.mark.parametrize("wrong", [[], "a1", [""], [7], None])
    def test_detach_data_assets_with_invalid_ids_is_rejected(self, client, wrong):
        for resource in (client.capsules, client.pipelines, client.computations):
            with pytest.raises(ValueError, match="data_asset_ids must be a list of identifiers"):
                resource.detach_data_assets("c1", wrong)

    def test_rename_with_blank_name_is_rejected(self, client):
        with pytest.raises(ValueError, match="name must not be empty"):
            client.computations.rename("c1", " ")


def test_list_computations_null_response_is_an_empty_list():
    assert Capsules.list_computations.build_request("capsules", "c1").parse(None) == []
