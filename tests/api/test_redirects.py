"""Redirects send no credentials to another host: two real servers."""

from __future__ import annotations

from traceback import format_exception

import pytest

from airflow_provider_codeocean.api.client import CodeOceanClient
from airflow_provider_codeocean.api.errors import CodeOceanTransportError, UnexpectedResponse
from tests.api.fake_server import CALLERS
from tests.api.loopback import LoopbackServer


@pytest.fixture
def elsewhere():
    with LoopbackServer() as server:
        yield server


@pytest.fixture
def server(elsewhere):
    """A server that redirects to another one."""
    with LoopbackServer() as server:
        server.response = (307, {"Location": f"{elsewhere.url}/api/v1/data_assets/a1?session=s3cret"}, b"")
        yield server


@pytest.mark.parametrize("ask", CALLERS.values(), ids=CALLERS)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_client_redirect_is_not_followed_and_names_only_the_host(server, elsewhere, ask, status):
    server.response = (status, *server.response[1:])
    with pytest.raises(UnexpectedResponse) as caught:
        ask(server, lambda client: client.data_assets.get("a1"), retry_budget=0)
    assert str(caught.value) == (
        f"GET data_assets/a1 got a response that is not Code Ocean's ({status}): "
        f"a redirect to {elsewhere.url}. It may be a proxy's sign-in page. If Code Ocean is there now, "
        f"change the host [{server.url}]"
    )
    assert (len(server.request_lines), elsewhere.request_lines) == (1, [])


@pytest.mark.parametrize("ask", CALLERS.values(), ids=CALLERS)
def test_client_redirect_to_invalid_url_error_omits_it(server, ask):
    server.response = (302, {"Location": "https://codeocean.test:cop_s3cret/"}, b"")
    with pytest.raises(UnexpectedResponse, match="a redirect to an invalid URL") as caught:
        ask(server, lambda client: client.data_assets.get("a1"), retry_budget=0)
    assert "s3cret" not in "".join(format_exception(caught.value))


def test_storage_redirect_to_invalid_url_error_omits_it(server):
    server.response = (302, {"Location": "https://files.test:signature=s3cret/"}, b"")
    with (
        CodeOceanClient(server.url, "cop_s3cret") as client,
        pytest.raises(
            CodeOceanTransportError, match="the host of the file redirects to an invalid URL"
        ) as caught,
        client.storage.read(f"{server.url}/file?signature=s3cret"),
    ):
        pass
    assert "s3cret" not in "".join(format_exception(caught.value))


def test_storage_redirect_is_followed_without_credentials(server, elsewhere):
    server.response[1]["Set-Cookie"] = "session=s3cret; Path=/"
    with (
        CodeOceanClient(server.url, "cop_s3cret") as client,
        client.storage.read(f"{server.url}/file?signature=of-this-host", 3) as part,
    ):
        assert b"".join(part.chunks) == elsewhere.response[2]
    (headers,) = elsewhere.request_headers
    assert headers["Range"] == "bytes=3-"
    assert {name.lower() for name in headers} <= {
        *("host", "range", "accept", "accept-encoding", "user-agent", "connection"),
        "cookie",  # cookies ignore the port, so both servers are one host
    }
    assert "of-this-host" not in elsewhere.request_lines[0]
