"""Reading files behind signed URLs, without credentials and without logging the URL."""

from __future__ import annotations

import logging
import traceback

import pytest

from airflow_provider_codeocean.api._http.library import httpx
from airflow_provider_codeocean.api.client import CodeOceanClient
from airflow_provider_codeocean.api.errors import CodeOceanTransportError, StorageError
from tests.api.loopback import LoopbackServer

URL = "https://storage.test/file?signature=s3cret"
BODY = b"0123456789"


class Host:
    """A file host that returns the given responses in order, and records the requests."""

    def __init__(self, *answers: httpx.Response | Exception, url: str = "https://co.test") -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []
        self.client = CodeOceanClient(url, "cop_token", transport=httpx.MockTransport(self))

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def read(self, start: int = 0, url: str = URL) -> tuple[int, int | None, bytes]:
        with self.client.storage.read(url, start) as part:
            return part.start, part.size, b"".join(part.chunks)


def sends(body: bytes, status: int = 200, **headers: str) -> httpx.Response:
    """A response whose body has not been read, as from the network."""
    headers = {"Content-Length": str(len(body)), **headers}
    return httpx.Response(status, headers=headers, stream=httpx.ByteStream(body))


def redirect(to: str) -> httpx.Response:
    return httpx.Response(307, headers={"Location": to})


def test_read_whole_file_sends_no_credentials():
    host = Host(sends(BODY))
    assert host.read() == (0, 10, BODY)
    (request,) = host.requests
    assert "authorization" not in request.headers
    assert "range" not in request.headers
    assert request.headers["accept-encoding"] == "identity"


def test_read_from_an_offset_requests_a_range():
    headers = {"Content-Range": "bytes 4-9/10"}
    host = Host(sends(BODY[4:], 206, **headers))
    assert host.read(4) == (4, 10, BODY[4:])
    assert host.requests[0].headers["range"] == "bytes=4-"


def test_read_from_an_offset_without_range_support_returns_all():
    assert Host(sends(BODY)).read(4) == (0, 10, BODY)


def test_read_without_content_length_has_unknown_size():
    chunked = httpx.Response(200, content=iter([BODY]))
    assert Host(chunked).read() == (0, None, BODY)


@pytest.mark.parametrize("said", [{}, {"Content-Range": f"bytes 4-9/{'9' * 5000}"}])
def test_read_part_without_valid_content_range_is_rejected(said):
    with pytest.raises(CodeOceanTransportError, match="which part"):
        Host(sends(BODY, 206, **said)).read(4)


@pytest.mark.parametrize("status", [403, 404, 410, 503])
def test_read_refused_error_shows_only_the_status(status):
    body = "<Error><SignatureProvided>s3cret</SignatureProvided></Error>"
    with pytest.raises(StorageError) as refusal:
        Host(httpx.Response(status, content=body, headers={"Retry-After": "3"})).read()
    assert (refusal.value.status, refusal.value.retry_after) == (status, 3.0)
    assert refusal.value.is_transient
    assert str(refusal.value) == f"the host of the file answered {status}"


def test_read_redirect_is_followed_at_most_three_times():
    host = Host(redirect("https://eu.storage.test/file"), sends(BODY))
    assert host.read(4) == (0, 10, BODY)
    assert host.requests[1].url == "https://eu.storage.test/file"
    assert host.requests[1].headers["range"] == "bytes=4-"
    with pytest.raises(CodeOceanTransportError, match="more than 3 times"):
        Host(*[redirect(URL)] * 5).read()


def test_read_redirect_to_an_address_without_https_is_not_followed():
    """It may be a proxy's sign-in page, so a retry may find the file."""
    host = Host(redirect("http://storage.test/file?signature=s3cret"))
    with pytest.raises(CodeOceanTransportError, match="without https") as error:
        host.read()
    assert error.value.is_transient
    assert len(host.requests) == 1


def broken():
    yield BODY[:5]
    raise httpx.ReadError("reset")


def test_read_connection_broken_midway_raises_transport_error():
    host = Host(httpx.Response(200, content=broken()))
    got = []
    with host.client.storage.read(URL) as part, pytest.raises(CodeOceanTransportError, match="ReadError: re"):
        got.extend(part.chunks)


@pytest.mark.parametrize(
    ("answer", "url"),
    [
        (httpx.ConnectError("refused"), URL),
        (httpx.ReadTimeout(""), URL),
        (redirect("ftp://storage.test/?signature=s3cret"), URL),
        (redirect("https://storage.test:x/?signature=s3cret"), URL),
        (httpx.Response(403, headers={"Location": URL}), URL),
        (httpx.Response(200), "https://storage.test:x/?signature=s3cret"),
        (sends(BODY), URL),
    ],
)
def test_read_error_and_log_hide_the_url(answer, url, caplog):
    # MockTransport accepts any scheme; real transports reject ftp.
    caplog.set_level(logging.DEBUG, httpx.__name__)
    host = Host(answer, httpx.UnsupportedProtocol("Request URL has an unsupported protocol 'ftp://…s3cret'"))
    failure = None
    try:
        host.read(url=url)
    except CodeOceanTransportError as error:
        failure = error
    assert "s3cret" not in "".join(traceback.format_exception(failure))
    assert "s3cret" not in caplog.text


def test_httpx_log_of_other_requests_is_kept(caplog):
    caplog.set_level(logging.INFO, httpx.__name__)
    host = Host(sends(BODY))
    host.read()
    httpx.Client(transport=httpx.MockTransport(lambda request: httpx.Response(200))).get("https://other.test")
    assert "https://other.test" in caplog.text


def test_storage_after_client_close_raises_runtime_error():
    host = Host(sends(BODY), sends(BODY))
    host.read()
    host.client.close()
    with pytest.raises(RuntimeError, match="closed"):
        host.read()


@pytest.mark.parametrize(
    ("headers", "validator"),
    [
        ({"ETag": '"a"'}, '"a"'),
        ({"ETag": 'W/"a"'}, None),
        ({"ETag": "a"}, None),
        ({"ETag": f'"{"a" * 501}"'}, None),
        ({"ETag": '"ä"'}, None),
        ({"Last-Modified": "Mon, 05 Jan 2026 10:00:00 GMT"}, None),
        ({"Last-Modified": "yesterday", "Date": "today"}, None),
        (
            {"Last-Modified": "Mon, 05 Jan 2026 10:00:00 GMT", "Date": "Mon, 05 Jan 2026 10:00:01 GMT"},
            "Mon, 05 Jan 2026 10:00:00 GMT",
        ),
        ({"Last-Modified": "Mon, 05 Jan 2026 10:00:00 GMT", "Date": "Mon, 05 Jan 2026 10:00:00 GMT"}, None),
        ({"Last-Modified": "Mon, 05 Jan 2026 10:00:00 -0000", "Date": "Mon, 05 Jan 2026 10:00:01 GMT"}, None),
    ],
)
def test_read_validator_is_strong_or_none(headers, validator):
    headers = {name: value.encode() for name, value in headers.items()}
    host = Host(httpx.Response(200, headers=headers, stream=httpx.ByteStream(BODY)))
    with host.client.storage.read(URL) as part:
        assert part.validator == validator


def test_read_rest_of_a_version_sends_its_validator():
    host = Host(sends(BODY[4:], 206, **{"Content-Range": "bytes 4-9/10"}))
    with host.client.storage.read(URL, 4, '"a"'):
        assert host.requests[0].headers["if-range"] == '"a"'


@pytest.mark.parametrize("status", [201, 202, 204, 300])
def test_read_status_without_a_file_is_refused(status):
    with pytest.raises(StorageError, match=f"answered {status}"):
        Host(httpx.Response(status)).read()


LINK_LOCAL = [
    *("169.254.169.254", "169.254.0.1", "[fe80::1]", "[febf::1%25eth0]", "[::ffff:169.254.169.254]"),
    *("[fd00:ec2::254]", "2852039166", "0xa9fea9fe"),
]
LOOPBACK = [
    *("127.0.0.1", "127.8.9.1", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "[::]", "localhost", "LOCALHOST."),
    *("2130706433", "127.1", "0x7f000001"),
]


@pytest.mark.fault("D7")
@pytest.mark.parametrize("is_redirect", [False, True])
@pytest.mark.parametrize("address", [*LINK_LOCAL, *LOOPBACK])
def test_read_link_local_or_loopback_address_is_refused(address, is_redirect):
    url = f"https://{address}/latest/meta-data/?signature=s3cret"
    host = Host(*[redirect(url)] * is_redirect, sends(BODY))
    with pytest.raises(CodeOceanTransportError, match="its host has the address") as refusal:
        host.read(url=URL if is_redirect else url)
    assert len(host.requests) == is_redirect
    assert refusal.value.is_transient is is_redirect  # a redirect may be a proxy's
    assert "s3cret" not in str(refusal.value)


@pytest.mark.parametrize("address", LINK_LOCAL)
def test_read_link_local_address_with_local_deployment_is_refused(address):
    host = Host(sends(BODY), url="http://localhost:8000")
    with pytest.raises(CodeOceanTransportError, match="link-local"):
        host.read(url=f"https://{address}/")


@pytest.mark.parametrize("deployment", ["http://127.0.0.1:8000", "http://localhost", "http://[::1]:1"])
@pytest.mark.parametrize("address", LOOPBACK)
def test_read_loopback_address_with_local_deployment_succeeds(address, deployment):
    assert Host(sends(BODY), url=deployment).read(url=f"http://{address}/")[2] == BODY


def test_read_loopback_address_that_the_deployment_resolves_to_succeeds(monkeypatch):
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: [(0, 0, 0, "", ("127.0.0.1", 0))])
    assert Host(sends(BODY), url="http://codeocean.test").read(url="http://127.0.0.1/")[2] == BODY


@pytest.mark.parametrize("address", ["10.0.0.7", "192.168.1.1", "[fd12::1]", "8.8.8.8", "files.test"])
def test_read_private_or_public_address_succeeds(address):
    assert Host(sends(BODY)).read(url=f"https://{address}/")[2] == BODY


@pytest.mark.fault("D7")
@pytest.mark.parametrize(
    "resolved", ["169.254.169.254", "fe80::1", "::ffff:169.254.169.254", "127.0.0.1", "::1"]
)
def test_read_name_that_resolves_to_a_refused_address_is_not_connected_to(monkeypatch, resolved):
    """All addresses of the name are checked before connecting."""
    import socket

    resolve = socket.getaddrinfo
    connected = []

    def refuse(address, *_, **__):
        connected.append(address)
        raise ConnectionRefusedError

    def getaddrinfo(host, port, *args, **options):
        literal = {"files.test": resolved, "codeocean.test": "192.0.2.1"}.get(host, host)
        return [*resolve("192.0.2.7", port, *args, **options), *resolve(literal, port, *args, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(socket, "create_connection", refuse)
    with (
        CodeOceanClient("https://codeocean.test", "cop_token") as client,
        pytest.raises(CodeOceanTransportError, match="its host has the address"),
        client.storage.read(URL.replace("storage.test", "files.test")),
    ):
        pass
    assert connected == []


def test_read_name_that_resolves_to_another_address_when_connecting_sends_nothing(monkeypatch):
    import socket

    resolve = socket.getaddrinfo
    resolved = []

    def getaddrinfo(host, port, *args, **options):
        if host != "files.test":
            return resolve("192.0.2.1", port, *args, **options)
        resolved.append("127.0.0.1" if resolved else "192.0.2.7")
        return resolve(resolved[-1], port, *args, **options)

    with LoopbackServer() as server, CodeOceanClient("https://codeocean.test", "cop_token") as client:
        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        with (
            pytest.raises(CodeOceanTransportError, match=r"its host has the address 127\.0\.0\.1"),
            client.storage.read(f"http://files.test:{server.server_port}/file"),
        ):
            pass
        monkeypatch.undo()
        assert server.request_lines == []
    assert resolved == ["192.0.2.7", "127.0.0.1"]


def test_read_through_a_proxy_on_this_machine_succeeds(monkeypatch):
    with (
        LoopbackServer() as proxy,
        CodeOceanClient("https://codeocean.test", "cop_token", proxy=proxy.url) as client,
    ):
        proxy.response = (200, {}, BODY)
        with client.storage.read("http://files.test/file") as part:
            assert b"".join(part.chunks) == BODY
        with (
            pytest.raises(CodeOceanTransportError, match="link-local"),
            client.storage.read("http://169.254.169.254/"),
        ):
            pass
    assert proxy.connections == 1
