"""An endpoint is declared once: what it becomes, how its path is quoted, how a search is walked through."""

from __future__ import annotations

import dataclasses
import inspect
import unicodedata
from itertools import chain
from types import NoneType
from urllib.parse import unquote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from airflow_provider_codeocean.api import call as declaring
from airflow_provider_codeocean.api.call import Effect, Endpoint, Parts, Resource, S, endpoint, paginated
from airflow_provider_codeocean.api.client import CodeOceanAsyncClient, CodeOceanClient
from airflow_provider_codeocean.api.endpoints.capsules import Capsules
from airflow_provider_codeocean.api.endpoints.data_assets import DataAssets
from airflow_provider_codeocean.api.errors import Forbidden, UnexpectedAnswer
from airflow_provider_codeocean.api.models.data_asset import DataAsset
from airflow_provider_codeocean.api.models.data_asset_params import AttachParams, DataAssetSearchParams
from airflow_provider_codeocean.api.models.folder import Folder
from tests.api.fake_server import BOTH, FakeServer, SearchServer, ask_sync, reply

PARAMS = DataAssetSearchParams()
#: A page that says there is another one.
MORE = {"has_more": True, "results": [{"id": "a0"}]}

both_clients = pytest.mark.parametrize("ask_server", BOTH.values(), ids=BOTH)


class Telescopes(Resource[S]):
    """A resource that Code Ocean does not have."""

    root = "telescopes"

    @endpoint("POST", "/{telescope_id}/mirrors/{mirror_id}", DataAsset)
    def turn(self, telescope_id: str, mirror_id: str, degrees: int, params: AttachParams) -> Parts:
        """Turn a mirror."""
        return Parts(query={"degrees": str(degrees)}, body=params)

    @endpoint("DELETE", "/{telescope_id}", NoneType)
    def dismantle(self, telescope_id: str) -> None:
        """Take it apart."""


class TestNewEndpoint:
    def test_both_clients_serve_it(self, server, ask):
        server.answers = [reply(json={"id": "a1"})]
        params = AttachParams(id="a1", mount="m")
        asset = ask(lambda client: Telescopes(client).turn("t1", mirror_id="m 1", degrees=5, params=params))
        assert asset.id == "a1"
        request = server.requests[0]
        assert (request.method, str(request.url)) == (
            "POST",
            "https://codeocean.test/api/v1/telescopes/t1/mirrors/m%201?degrees=5",
        )
        assert server.bodies == [{"id": "a1", "mount": "m"}]

    def test_one_with_an_empty_answer_needs_no_more_than_its_line(self, server, ask):
        server.answers = [reply(204)]
        assert ask(lambda client: Telescopes(client).dismantle("t1")) is None
        assert server.requests[0].content == b""

    def test_it_is_listed(self):
        assert set(Telescopes.endpoints()) == {"turn", "dismantle"}

    @pytest.mark.parametrize(
        ("method", "effect"),
        [
            ("GET", Effect.READ),
            ("POST", Effect.ONCE),
            ("PUT", Effect.REPEATABLE),
            ("PATCH", Effect.REPEATABLE),
            ("DELETE", Effect.REPEATABLE),
        ],
    )
    def test_its_effect_follows_from_the_method_unless_it_is_given(self, method, effect):
        assert endpoint(method, "", NoneType)(lambda self: None).effect is effect
        assert endpoint(method, "", NoneType, effect=Effect.READ)(lambda self: None).effect is Effect.READ


class TestMethods:
    def test_sync_and_async_have_the_same(self):
        sync = CodeOceanClient(FakeServer.url, FakeServer.token)
        awaited = CodeOceanAsyncClient(FakeServer.url, FakeServer.token)
        methods = {name for name in dir(sync.data_assets) if not name.startswith("_")}
        assert methods == {name for name in dir(awaited.data_assets) if not name.startswith("_")}
        for name in DataAssets.endpoints():
            one, other = getattr(sync.data_assets, name), getattr(awaited.data_assets, name)
            assert inspect.signature(one) == inspect.signature(other)
            assert one.__name__ == other.__name__ == name
            assert one.__doc__ == other.__doc__

    def test_every_one_says_what_it_does(self):
        for name, declared in DataAssets.endpoints().items():
            assert declared.__doc__, name
        assert "All pages" in (DataAssets.search_all.__doc__ or "")

    def test_on_the_class_they_are_the_declarations(self):
        assert isinstance(DataAssets.get, Endpoint)
        assert isinstance(DataAssets.search_all, paginated)

    @pytest.mark.parametrize("wrong", [(), ("a1", "a2")])
    def test_wrong_arguments_are_refused_before_anything_is_sent(self, server, ask, wrong):
        with pytest.raises(TypeError):
            ask(lambda client: client.data_assets.get(*wrong))
        assert server.requests == []

    def test_a_call_does_not_change(self):
        call = DataAssets.get.call("data_assets", "a1")
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
    def test_any_identifier_is_one_segment_or_refused(self, identifier):
        server = FakeServer(reply(json={"id": "a1"}))
        try:
            ask_sync(server, lambda client: client.data_assets.get(identifier))
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
    def test_one_that_could_lead_elsewhere_is_refused(self, server, ask, identifier):
        with pytest.raises(ValueError, match="data_asset_id must be an identifier") as caught:
            ask(lambda client: client.data_assets.get(identifier))
        assert server.requests == []
        assert len(str(caught.value)) < 400

    @pytest.mark.parametrize("identifier", ["", " ", ".", "..", " .. ", "\u3000.\n", None, 5, b"a1", ["a1"]])
    def test_what_is_no_identifier_is_refused_by_name(self, server, ask, identifier):
        with pytest.raises(ValueError, match="job_id must be an identifier"):
            ask(lambda client: client.capsules.get_release_job("c1", identifier))
        with pytest.raises(ValueError, match="computation_id must be an identifier"):
            ask(lambda client: client.computations.detach_data_assets(identifier, ["a1"]))
        assert server.requests == []

    def test_the_slash_at_the_end_stays(self, server, ask):
        server.answers = [reply(204)]
        ask(lambda client: client.computations.detach_data_assets("c1", ["a1"]))
        assert server.requests[0].url.path == "/api/v1/computations/c1/data_assets/"


def encodable(text):
    return text == text.encode(errors="replace").decode()


@both_clients
class TestWalk:
    @settings(max_examples=25)
    @given(sizes=st.lists(st.integers(0, 4), min_size=1, max_size=8))
    def test_every_item_comes_once_by_token(self, ask_server, sizes):
        pages = numbered_pages(sizes)
        server = SearchServer(pages, by_token=True)
        found = ask_server(server, lambda client: client.data_assets.search_all(DataAssetSearchParams()))
        assert [asset.id for asset in found] == list(chain(*pages))
        assert [body.get("next_token") for body in server.bodies] == [None, *map(str, range(1, len(pages)))]

    @settings(max_examples=25)
    @given(sizes=st.lists(st.integers(1, 4), min_size=1, max_size=8))
    def test_every_item_comes_once_by_offset(self, ask_server, sizes):
        pages = numbered_pages(sizes)
        server = SearchServer(pages, by_token=False)
        found = ask_server(server, lambda client: client.data_assets.search_all(DataAssetSearchParams()))
        assert [asset.id for asset in found] == list(chain(*pages))
        assert len(server.requests) == len(pages)

    def test_every_page_is_asked_for_with_the_same_parameters(self, ask_server):
        server = SearchServer(numbered_pages([2, 2, 1]), by_token=True)
        params = DataAssetSearchParams(query="tag:t", limit=2, archived=False)
        ask_server(server, lambda client: client.data_assets.search_all(params))
        assert server.bodies == [
            params.to_json(),
            {**params.to_json(), "next_token": "1"},
            {**params.to_json(), "next_token": "2"},
        ]

    def test_it_may_begin_with_a_token_or_an_offset(self, ask_server):
        for params, by_token in [({"next_token": "1"}, True), ({"offset": 2}, False)]:
            server = SearchServer(numbered_pages([2, 2]), by_token=by_token)
            search = DataAssetSearchParams(**params)
            found = ask_server(server, lambda client, search=search: client.data_assets.search_all(search))
            assert [asset.id for asset in found] == ["a2", "a3"]

    @pytest.mark.parametrize(
        ("pages", "requests"),
        [
            pytest.param([MORE | {"next_token": "t"}] * 3, 2, id="the same token again"),
            pytest.param([MORE | {"next_token": token} for token in "tuvtuv"], 4, id="tokens in a circle"),
            pytest.param([MORE | {"results": []}] * 2, 1, id="more of nothing"),
            pytest.param(
                [MORE | {"results": [], "next_token": str(number)} for number in range(20)],
                10,
                id="more of nothing, each with a new token",
            ),
            pytest.param([MORE] * 3, 2, id="the same page again"),
            pytest.param([MORE | {"next_token": "t"}, MORE, MORE], 2, id="a token, then none"),
            pytest.param([{"next_token": "t", "results": []}] * 2, 1, id="no word of more"),
        ],
    )
    def test_it_ends_where_a_server_would_go_on_for_ever(self, ask_server, pages, requests):
        server = FakeServer(*[reply(json=page) for page in pages], asked_for_ever)
        ask_server(server, lambda client: client.data_assets.search_all(DataAssetSearchParams()))
        assert len(server.requests) == requests

    def test_it_ends_where_the_token_that_it_began_with_comes_back(self, ask_server):
        server = FakeServer(reply(json=MORE | {"next_token": "t"}), asked_for_ever)
        params = DataAssetSearchParams(next_token="t")
        found = ask_server(server, lambda client: client.data_assets.search_all(params))
        assert [asset.id for asset in found] == ["a0"]

    @pytest.mark.parametrize("bound", ["_MOST_PAGES", "_MOST_RESULTS"])
    def test_a_search_without_an_end_is_an_error(self, ask_server, monkeypatch, bound):
        monkeypatch.setattr(declaring, bound, 3)
        server = SearchServer([["a"]] * 3, by_token=True)
        assert len(ask_server(server, lambda client: client.data_assets.search_all(PARAMS))) == 3
        server = SearchServer([["a"]] * 4, by_token=True)
        with pytest.raises(UnexpectedAnswer, match=r"3 results on 3 pages, and says that there are more"):
            ask_server(server, lambda client: client.data_assets.search_all(PARAMS))
        assert len(server.requests) == 3

    def test_an_error_on_the_way_is_raised(self, ask_server):
        server = FakeServer(reply(json=MORE | {"next_token": "t"}), reply(403, json={"message": "no"}))
        with pytest.raises(Forbidden):
            ask_server(server, lambda client: client.data_assets.search_all(DataAssetSearchParams()))
        assert len(server.requests) == 2


class TestWalkThatIsLeft:
    def test_sync(self):
        server = SearchServer(numbered_pages([2, 2, 2]), by_token=True)
        with CodeOceanClient(server.url, server.token, transport=server.transport) as client:
            found = client.data_assets.search_all(DataAssetSearchParams())
            assert server.requests == []
            assert [next(found).id for _ in range(3)] == ["a0", "a1", "a2"]
            found.close()
        assert len(server.requests) == 2

    async def test_async(self):
        server = SearchServer(numbered_pages([2, 2, 2]), by_token=True)
        async with CodeOceanAsyncClient(server.url, server.token, transport=server.transport) as client:
            found = client.data_assets.search_all(DataAssetSearchParams())
            assert server.requests == []
            assert [(await anext(found)).id for _ in range(3)] == ["a0", "a1", "a2"]
            await found.aclose()
        assert len(server.requests) == 2


def numbered_pages(sizes):
    """Pages of these sizes, with the items a0, a1, a2 …"""
    items = [f"a{number}" for number in range(sum(sizes))]
    return [[items.pop(0) for _ in range(size)] for size in sizes]


def asked_for_ever(request):
    pytest.fail("the client asked for one page too many")


class TestBoundMethods:
    @pytest.fixture
    def client(self):
        with CodeOceanClient("https://codeocean.test", "cop_token") as client:
            yield client

    def test_they_show_their_arguments_and_what_they_answer(self, client):
        signature = inspect.signature(client.data_assets.list_files)
        assert list(signature.parameters) == ["data_asset_id", "path"]
        assert signature.return_annotation is Folder
        assert list(inspect.signature(client.data_assets.search_all).parameters) == ["params"]
        assert "one result after the other" in client.data_assets.search_all.__doc__

    @pytest.mark.parametrize("wrong", [[], "a1", [""], [7], None])
    def test_a_list_of_identifiers_is_one(self, client, wrong):
        for resource in (client.capsules, client.pipelines, client.computations):
            with pytest.raises(ValueError, match="data_asset_ids must be a list of identifiers"):
                resource.detach_data_assets("c1", wrong)

    def test_a_computation_is_not_renamed_to_nothing(self, client):
        with pytest.raises(ValueError, match="name must not be empty"):
            client.computations.rename("c1", " ")


def test_null_is_an_empty_list_where_a_list_is_due():
    assert Capsules.list_computations.call("capsules", "c1").read(None) == []
