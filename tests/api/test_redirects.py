"""Redirections carry no credentials to another host: two real servers."""

from __future__ import annotations

from traceback import format_exception

import pytest

from airflow_provider_codeocean.api.client import CodeOceanClient
from airflow_provider_codeocean.api.errors import CodeOceanTransportError, UnexpectedAnswer
from tests.api.fake_server import BOTH
from tests.api.loopback import LoopbackServer


@pytest.fixture
def elsewhere():
    with LoopbackServer() as server:
        yield server


@pytest.fixture
def server(elsewhere):
    """A server that sends on to another one."""
    with LoopbackServer() as server:
        server.answer = (307, {"Location": f"{elsewhere.url}/api/v1/data_assets/a1?session=s3cret"}, b"")
        yield server


@pytest.mark.parametrize("ask", BOTH.values(), ids=BOTH)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_the_clients_follow_none_and_name_the_host_alone(server, elsewhere, ask, status):
    server.answer = (status, *server.answer[1:])
    with pytest.raises(UnexpectedAnswer) as caught:
        ask(server, lambda client: client.data_assets.get("a1"), retry_budget=0)
    assert str(caught.value) == (
        f"GET data_assets/a1 got a response that is not Code Ocean's ({status}): "
        f"a redirect to {elsewhere.url}. It may be a proxy's sign-in page. If Code Ocean is there now, "
        f"change the host [{server.url}]"
    )
    assert (len(server.lines), elsewhere.lines) == (1, [])


@pytest.mark.parametrize("ask", BOTH.values(), ids=BOTH)
def test_an_address_that_is_none_is_not_repeated(server, ask):
    server.answer = (302, {"Location": "https://codeocean.test:cop_s3cret/"}, b"")
    with pytest.raises(UnexpectedAnswer, match="a redirect to an invalid URL") as caught:
        ask(server, lambda client: client.data_assets.get("a1"), retry_budget=0)
    assert "s3cret" not in "".join(format_exception(caught.value))


def test_the_storage_repeats_no_address_that_is_none(server):
    server.answer = (302, {"Location": "https://files.test:signature=s3cret/"}, b"")
    with (
        CodeOceanClient(server.url, "cop_s3cret") as client,
        pytest.raises(CodeOceanTransportError, match="Invalid URL in location header") as caught,
        client.storage.read(f"{server.url}/file?signature=s3cret"),
    ):
        pass
    assert "s3cret" not in "".join(format_exception(caught.value))


def test_the_storage_follows_with_nothing_that_opens_doors(server, elsewhere):
    server.answer[1]["Set-Cookie"] = "session=s3cret; Path=/"
    with (
        CodeOceanClient(server.url, "cop_s3cret") as client,
        client.storage.read(f"{server.url}/file?signature=of-this-host", 3) as part,
    ):
        assert b"".join(part.chunks) == elsewhere.answer[2]
    (headers,) = elsewhere.headers
    assert headers["Range"] == "bytes=3-"
    assert {name.lower() for name in headers} <= {
        *("host", "range", "accept", "accept-encoding", "user-agent", "connection"),
        "cookie",  # both are one host to cookies, which know no ports
    }
    assert "of-this-host" not in elsewhere.lines[0]
