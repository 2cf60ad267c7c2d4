"""The two clients: addresses, headers, and logs."""

from __future__ import annotations

import base64
import gc
import inspect
import logging
import re
import traceback
import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_codeocean import __version__
from airflow_provider_codeocean.api._http.library import httpx
from airflow_provider_codeocean.api._http.logging import LOGGER_NAMES
from airflow_provider_codeocean.api.client import CodeOceanAsyncClient, CodeOceanClient, normalize_url
from airflow_provider_codeocean.api.errors import CodeOceanError
from airflow_provider_codeocean.api.models.data_asset_params import DataAssetParams
from tests.api.fake_server import CALLERS, FakeServer, fail, reply

both_classes = pytest.mark.parametrize("client_class", [CodeOceanClient, CodeOceanAsyncClient])
NEW_ASSET = DataAssetParams(name="n", tags=[], mount="m", data_asset_ids=["a1"])


class TestAddress:
    @pytest.mark.parametrize(
        ("url", "address"),
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
    def test_normalize_url_returns_the_normalized_address(self, url, address):
        assert normalize_url(url) == address

    @pytest.mark.parametrize(
        "url",
        [
            "",
            " ",
            "https://",
            "//",
            "ftp://example.com",
            "https:example.com",
            "h:abc",
            "http://[::1",
            pytest.param(
                "xn--a", marks=pytest.mark.skipif(httpx.__name__ == "httpx2", reason="httpx2 accepts it")
            ),
        ],
    )
    def test_normalize_url_invalid_address_is_rejected(self, url):
        with pytest.raises(ValueError, match="host must be an address such as"):
            normalize_url(url)

    @pytest.mark.parametrize("url", ["https://cop_s3cret:@example.com", "cop_s3cret@example.com"])
    def test_normalize_url_with_credentials_error_hides_them(self, url):
        with pytest.raises(ValueError, match="got one with credentials") as caught:
            normalize_url(url)
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
    def test_normalize_url_is_idempotent(self, scheme, host, port, path, rest):
        address = normalize_url(f"{scheme}{host}{port}{path}{rest}")
        assert normalize_url(address) == address
        assert not address.endswith(("/", "/api/v1")) or address in {"http://api/v1", "https://api/v1"}

    def test_request_to_address_with_path_goes_below_it(self, server, ask):
        server.url = "https://example.com/codeocean/"
        server.responders = [reply(json={"id": "a1"})]
        ask(lambda client: client.data_assets.get("a1"))
        assert str(server.requests[0].url) == "https://example.com/codeocean/api/v1/data_assets/a1"


class TestRequest:
    def test_request_sends_the_token_as_basic_auth_user(self, server, ask):
        server.responders = [reply(json={"id": "a1"})]
        ask(lambda client: client.data_assets.get("a1"))
        scheme, credentials = server.requests[0].headers["authorization"].split()
        assert (scheme, base64.b64decode(credentials).decode()) == ("Basic", f"{server.token}:")

    def test_request_sends_user_agent_and_json_headers(self, server, ask):
        server.responders = [reply(json={"id": "a1"})]
        ask(lambda client: client.data_assets.create(NEW_ASSET))
        headers = server.requests[0].headers
        assert headers["user-agent"] == f"airflow-provider-codeocean/{__version__}"
        assert (headers["accept"], headers["content-type"]) == ("application/json", "application/json")

    def test_request_timeout_defaults_to_30_seconds(self, server, ask):
        server.responders = [reply(json={"id": "a1"})]
        ask(lambda client: client.data_assets.get("a1"))
        ask(lambda client: client.data_assets.get("a1"), timeout=2.5)
        timeouts = [request.extensions["timeout"] for request in server.requests]
        assert [set(timeout.values()) for timeout in timeouts] == [{30.0}, {2.5}]

    def test_request_redirected_elsewhere_is_not_followed(self, server, ask):
        server.responders = [reply(307, headers={"location": "https://elsewhere.example.com/"})]
        with pytest.raises(CodeOceanError, match=r"elsewhere\.example\.com"):
            ask(lambda client: client.data_assets.create(NEW_ASSET))
        assert len(server.requests) == 1


class TestSecrecy:
    @both_classes
    def test_client_repr_shows_only_the_address(self, client_class):
        client = client_class("codeocean.test", "cop_s3cret")
        assert repr(client) == f"{client_class.__name__}('https://codeocean.test')"
        assert str(client) == repr(client)

    @pytest.mark.parametrize(
        "outcome",
        [
            reply(401),
            reply(302),
            reply(500, text="x"),
            reply(text="x"),
            fail(httpx.ReadError),
            fail(httpx.ConnectError),
        ],
    )
    def test_error_and_log_of_failed_request_hide_the_token(self, server, ask, caplog, outcome):
        server.responders = [outcome]
        with caplog.at_level(logging.DEBUG), pytest.raises(CodeOceanError) as caught:
            ask(lambda client: client.data_assets.get("a1"), retry_budget=0.01)
        shown = "".join(traceback.format_exception(caught.value)) + repr(vars(caught.value)) + caplog.text
        assert server.token not in shown
        assert base64.b64encode(f"{server.token}:".encode()).decode() not in shown


class TestLog:
    @pytest.fixture
    def log(self, caplog, monkeypatch):
        monkeypatch.setattr(logging.getLogger(httpx.__name__), "disabled", False)  # Airflow may change it
        with caplog.at_level(logging.INFO, logger=httpx.__name__):
            yield caplog

    def test_httpx_log_omits_requests_of_this_client(self, server, ask, log):
        server.responders = [reply(json={"id": "a1"})]
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
    def test_httpx_log_keeps_requests_of_other_clients(self, server, ask, log, url):
        server.responders = [reply(json={"id": "a1"})]
        ask(lambda client: client.data_assets.get("a1"))
        with httpx.Client(transport=server.transport) as other:
            other.get(url)
        assert [url in message for message in log.messages] == [True]

    def test_httpx_log_keeps_other_messages(self, server, ask, log):
        server.responders = [reply(json={"id": "a1"})]
        ask(lambda client: client.data_assets.get("a1"))
        logging.getLogger(httpx.__name__).warning("trouble with %s", f"{server.url}/api/v1/data_assets/a1")
        logging.getLogger(httpx.__name__).info("no arguments")
        assert log.messages == ["trouble with https://codeocean.test/api/v1/data_assets/a1", "no arguments"]

    @pytest.mark.parametrize("transport", ["httpcore", "httpcore2"])
    def test_all_loggers_of_both_libraries_are_filtered(self, transport):
        pytest.importorskip(transport)
        pattern = re.compile(r"httpx2?|httpcore2?\..+")
        names = {name for name in logging.root.manager.loggerDict if pattern.fullmatch(name)}
        assert names == set(LOGGER_NAMES)


class TestClosing:
    def test_sync_client_after_close_raises_runtime_error(self):
        server = FakeServer(reply(json={"id": "a1"}))
        client = CodeOceanClient(server.url, server.token, transport=server.transport)
        with client as entered:
            assert entered is client
        with pytest.raises(RuntimeError, match="closed"):
            client.data_assets.get("a1")
        client.close()
        assert server.requests == []

    async def test_async_client_after_close_raises_runtime_error(self):
        server = FakeServer(reply(json={"id": "a1"}))
        client = CodeOceanAsyncClient(server.url, server.token, transport=server.transport)
        async with client as entered:
            assert entered is client
        with pytest.raises(RuntimeError, match="closed"):
            await client.data_assets.get("a1")
        await client.aclose()
        assert server.requests == []


def test_client_signatures_are_the_same():
    sync, awaited = (
        {
            name: (parameter.kind, parameter.default)
            for name, parameter in inspect.signature(kind).parameters.items()
        }
        for kind in (CodeOceanClient, CodeOceanAsyncClient)
    )
    assert sync == awaited


async def test_response_is_freed_after_it_is_read():
    answers = []

    def answer(request: httpx.Request) -> httpx.Response:
        response = httpx.Response(200, json={"id": "a1", "state": "draft"})
        answers.append(weakref.ref(response))
        return response

    gc.collect()
    gc.disable()  # else it would keep large pages until the next collection
    try:
        client = CodeOceanAsyncClient("co.test", "cop_x", transport=httpx.MockTransport(answer))
        async with client:
            await client.data_assets.get("a1")
        with CodeOceanClient("co.test", "cop_x", transport=httpx.MockTransport(answer)) as client:
            client.data_assets.get("a1")
        assert [reference() for reference in answers] == [None, None]
    finally:
        gc.enable()


@pytest.mark.parametrize("ask", CALLERS.values(), ids=CALLERS)
def test_client_sends_no_cookie_back(ask):
    """A session in a cookie would outlive a replaced token."""
    first = reply(429, headers={"Set-Cookie": "session=somebody; Path=/", "Retry-After": "0"})
    server = FakeServer(first, reply(json={"id": "a1"}))
    ask(server, lambda client: client.data_assets.get("a1"))
    assert [request.headers.get("cookie") for request in server.requests] == [None, None]
