"""The two clients: whom they talk to, how, and what they never show."""

from __future__ import annotations

import base64
import gc
import inspect
import logging
import traceback
import weakref

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_codeocean import __version__
from airflow_provider_codeocean.api.client import CodeOceanAsyncClient, CodeOceanClient, base_url
from airflow_provider_codeocean.api.errors import CodeOceanError
from airflow_provider_codeocean.api.models.data_asset_params import DataAssetParams
from tests.api.fake_server import BOTH, FakeServer, fail, reply

both_classes = pytest.mark.parametrize("client_class", [CodeOceanClient, CodeOceanAsyncClient])
NEW_ASSET = DataAssetParams(name="n", tags=[], mount="m", data_asset_ids=["a1"])


class TestAddress:
    @pytest.mark.parametrize(
        ("given", "address"),
        [
            ("codeocean.example.com", "https://codeocean.example.com"),
            ("https://codeocean.example.com", "https://codeocean.example.com"),
            ("https://codeocean.example.com/", "https://codeocean.example.com"),
            ("  https://codeocean.example.com\n", "https://codeocean.example.com"),
            ("HTTPS://CodeOcean.Example.com", "https://codeocean.example.com"),
            ("https://codeocean.example.com:443", "https://codeocean.example.com"),
            ("http://localhost:8080/", "http://localhost:8080"),
            ("localhost:8080", "https://localhost:8080"),
            ("127.0.0.1", "https://127.0.0.1"),
            ("[::1]:8080", "https://[::1]:8080"),
            ("bücher.example.com", "https://xn--bcher-kva.example.com"),
            ("https://codeocean.example.com/api/v1", "https://codeocean.example.com"),
            ("codeocean.example.com/api/v1/", "https://codeocean.example.com"),
            ("codeocean.example.com//api/v1/api/v1//", "https://codeocean.example.com"),
            ("https://example.com/codeocean/api/v1", "https://example.com/codeocean"),
            ("https://api/v1", "https://api/v1"),
            ("https://example.com/a%2Fb", "https://example.com/a%2Fb"),
            ("https://example.com/?next=1#top", "https://example.com"),
        ],
    )
    def test_its_one_form(self, given, address):
        assert base_url(given) == address

    @pytest.mark.parametrize(
        "given",
        [
            "",
            " ",
            "https://",
            "//",
            "ftp://example.com",
            "https:example.com",
            "h:abc",
            "http://[::1",
            "xn--a",
        ],
    )
    def test_what_is_none(self, given):
        with pytest.raises(ValueError, match="host must be an address such as"):
            base_url(given)

    @pytest.mark.parametrize("given", ["https://cop_s3cret:@example.com", "cop_s3cret@example.com"])
    def test_credentials_in_it_are_refused_and_not_repeated(self, given):
        with pytest.raises(ValueError, match="got one with credentials") as caught:
            base_url(given)
        assert "s3cret" not in str(caught.value)

    @given(
        scheme=st.sampled_from(["", "http://", "https://", "HTTPS://"]),
        host=st.from_regex(r"[a-zA-Z][a-zA-Z0-9]{0,9}(\.[a-z]{2,5}){0,2}", fullmatch=True)
        | st.ip_addresses(v=4).map(str)
        | st.ip_addresses(v=6).map("[{}]".format),
        port=st.just("") | st.integers(0, 65535).map(":{}".format),
        path=st.lists(st.sampled_from(["api", "v1", "api/v1", "", "a b", "%25", "%2F", "ü", "..", "x"])).map(
            lambda parts: "".join(f"/{part}" for part in parts)
        ),
        rest=st.sampled_from(["", "/", "?a=/api/v1", "#/api/v1", " "]),
    )
    def test_its_one_form_stays(self, scheme, host, port, path, rest):
        address = base_url(f"{scheme}{host}{port}{path}{rest}")
        assert base_url(address) == address
        assert not address.endswith(("/", "/api/v1")) or address in {"http://api/v1", "https://api/v1"}

    def test_requests_go_below_it(self, server, ask):
        server.url = "https://example.com/codeocean/"
        server.answers = [reply(json={"id": "a1"})]
        ask(lambda client: client.data_assets.get("a1"))
        assert str(server.requests[0].url) == "https://example.com/codeocean/api/v1/data_assets/a1"


class TestRequest:
    def test_the_token_is_the_user_of_basic_authentication(self, server, ask):
        server.answers = [reply(json={"id": "a1"})]
        ask(lambda client: client.data_assets.get("a1"))
        scheme, credentials = server.requests[0].headers["authorization"].split()
        assert (scheme, base64.b64decode(credentials).decode()) == ("Basic", f"{server.token}:")

    def test_it_says_who_asks_and_for_what(self, server, ask):
        server.answers = [reply(json={"id": "a1"})]
        ask(lambda client: client.data_assets.create(NEW_ASSET))
        headers = server.requests[0].headers
        assert headers["user-agent"] == f"airflow-provider-codeocean/{__version__}"
        assert (headers["accept"], headers["content-type"]) == ("application/json", "application/json")

    def test_its_timeout(self, server, ask):
        server.answers = [reply(json={"id": "a1"})]
        ask(lambda client: client.data_assets.get("a1"))
        ask(lambda client: client.data_assets.get("a1"), timeout=2.5)
        timeouts = [request.extensions["timeout"] for request in server.requests]
        assert [set(timeout.values()) for timeout in timeouts] == [{30.0}, {2.5}]

    def test_redirections_are_not_followed(self, server, ask):
        server.answers = [reply(307, headers={"location": "https://elsewhere.example.com/"})]
        with pytest.raises(CodeOceanError, match=r"elsewhere\.example\.com"):
            ask(lambda client: client.data_assets.create(NEW_ASSET))
        assert len(server.requests) == 1


class TestSecrecy:
    @both_classes
    def test_the_client_shows_its_address_alone(self, client_class):
        client = client_class("codeocean.test", "cop_s3cret")
        assert repr(client) == f"{client_class.__name__}('https://codeocean.test')"
        assert str(client) == repr(client)

    @pytest.mark.parametrize(
        "happens",
        [
            reply(401),
            reply(302),
            reply(500, text="x"),
            reply(text="x"),
            fail(httpx.ReadError),
            fail(httpx.ConnectError),
        ],
    )
    def test_no_error_shows_the_token(self, server, ask, caplog, happens):
        server.answers = [happens]
        with caplog.at_level(logging.DEBUG), pytest.raises(CodeOceanError) as caught:
            ask(lambda client: client.data_assets.get("a1"), retry_budget=0.01)
        shown = "".join(traceback.format_exception(caught.value)) + repr(vars(caught.value)) + caplog.text
        assert server.token not in shown
        assert base64.b64encode(f"{server.token}:".encode()).decode() not in shown


class TestLog:
    @pytest.fixture
    def log(self, caplog, monkeypatch):
        monkeypatch.setattr(logging.getLogger("httpx"), "disabled", False)  # as Airflow's set-up may leave it
        with caplog.at_level(logging.INFO, logger="httpx"):
            yield caplog

    def test_requests_of_this_client_are_not_logged(self, server, ask, log):
        server.answers = [reply(json={"id": "a1"})]
        ask(lambda client: client.data_assets.get("a1"))
        assert log.messages == []

    @pytest.mark.parametrize(
        "url",
        [
            "https://codeocean.test.example.com/api/v1/data_assets/a1",
            "https://codeocean.test/health",
            "https://example.com/",
        ],
    )
    def test_those_of_others_are(self, server, ask, log, url):
        server.answers = [reply(json={"id": "a1"})]
        ask(lambda client: client.data_assets.get("a1"))
        with httpx.Client(transport=server.transport) as other:
            other.get(url)
        assert [url in message for message in log.messages] == [True]

    def test_so_are_warnings(self, server, ask, log):
        server.answers = [reply(json={"id": "a1"})]
        ask(lambda client: client.data_assets.get("a1"))
        logging.getLogger("httpx").warning("trouble with %s", f"{server.url}/api/v1/data_assets/a1")
        logging.getLogger("httpx").info("no arguments")
        assert log.messages == ["trouble with https://codeocean.test/api/v1/data_assets/a1", "no arguments"]


class TestClosing:
    def test_sync(self):
        server = FakeServer(reply(json={"id": "a1"}))
        client = CodeOceanClient(server.url, server.token, transport=server.transport)
        with client as entered:
            assert entered is client
        with pytest.raises(RuntimeError, match="closed"):
            client.data_assets.get("a1")
        client.close()
        assert server.requests == []

    async def test_async(self):
        server = FakeServer(reply(json={"id": "a1"}))
        client = CodeOceanAsyncClient(server.url, server.token, transport=server.transport)
        async with client as entered:
            assert entered is client
        with pytest.raises(RuntimeError, match="closed"):
            await client.data_assets.get("a1")
        await client.aclose()
        assert server.requests == []


def test_both_clients_take_the_same():
    sync, awaited = (
        {
            name: (parameter.kind, parameter.default)
            for name, parameter in inspect.signature(kind).parameters.items()
        }
        for kind in (CodeOceanClient, CodeOceanAsyncClient)
    )
    assert sync == awaited


async def test_an_answer_is_freed_as_soon_as_it_is_read():
    answers = []

    def answer(request: httpx.Request) -> httpx.Response:
        response = httpx.Response(200, json={"id": "a1", "state": "draft"})
        answers.append(weakref.ref(response))
        return response

    gc.collect()
    gc.disable()  # pages of a megabyte would stay until the next collection
    try:
        client = CodeOceanAsyncClient("co.test", "cop_x", transport=httpx.MockTransport(answer))
        async with client:
            await client.data_assets.get("a1")
        with CodeOceanClient("co.test", "cop_x", transport=httpx.MockTransport(answer)) as client:
            client.data_assets.get("a1")
        assert [reference() for reference in answers] == [None, None]
    finally:
        gc.enable()


@pytest.mark.parametrize("ask", BOTH.values(), ids=BOTH)
def test_no_cookie_is_sent_back(ask):
    """A session that a server keeps in one would outlive a token that is replaced."""
    first = reply(429, headers={"Set-Cookie": "session=somebody; Path=/", "Retry-After": "0"})
    server = FakeServer(first, reply(json={"id": "a1"}))
    ask(server, lambda client: client.data_assets.get("a1"))
    assert [request.headers.get("cookie") for request in server.requests] == [None, None]
