"""Reading what is behind a signed URL: without credentials, and without a trace of the URL."""

from __future__ import annotations

import logging
import traceback

import httpx
import pytest

from airflow_provider_codeocean.api.client import CodeOceanClient
from airflow_provider_codeocean.api.errors import CodeOceanTransportError, StorageRefused

URL = "https://storage.test/file?signature=s3cret"
BODY = b"0123456789"


class Host:
    """A host of files that answers with what it is given, one after the other, and keeps the requests."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []
        self.client = CodeOceanClient("https://co.test", "cop_token", transport=httpx.MockTransport(self))

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
    """An answer whose body is still to be read, as one from the network is."""
    headers = {"Content-Length": str(len(body)), **headers}
    return httpx.Response(status, headers=headers, stream=httpx.ByteStream(body))


def redirect(to: str) -> httpx.Response:
    return httpx.Response(307, headers={"Location": to})


def test_a_file_is_read_without_credentials_as_it_is_kept():
    host = Host(sends(BODY))
    assert host.read() == (0, 10, BODY)
    (request,) = host.requests
    assert "authorization" not in request.headers
    assert "range" not in request.headers
    assert request.headers["accept-encoding"] == "identity"


def test_the_rest_of_a_file_is_asked_for():
    headers = {"Content-Range": "bytes 4-9/10"}
    host = Host(sends(BODY[4:], 206, **headers))
    assert host.read(4) == (4, 10, BODY[4:])
    assert host.requests[0].headers["range"] == "bytes=4-"


def test_a_host_that_cannot_send_a_part_sends_all():
    assert Host(sends(BODY)).read(4) == (0, 10, BODY)


def test_a_host_that_does_not_say_how_long_a_file_is():
    chunked = httpx.Response(200, content=iter([BODY]))
    assert Host(chunked).read() == (0, None, BODY)


@pytest.mark.parametrize("said", [{}, {"Content-Range": f"bytes 4-9/{'9' * 5000}"}])
def test_a_part_that_is_not_said_to_be_which_is_refused(said):
    with pytest.raises(CodeOceanTransportError, match="which part"):
        Host(sends(BODY, 206, **said)).read(4)


@pytest.mark.parametrize(("status", "transient"), [(403, True), (410, True), (503, True), (404, False)])
def test_a_refusal_says_no_more_than_its_status(status, transient):
    body = "<Error><SignatureProvided>s3cret</SignatureProvided></Error>"
    with pytest.raises(StorageRefused) as refusal:
        Host(httpx.Response(status, content=body, headers={"Retry-After": "3"})).read()
    assert (refusal.value.status, refusal.value.retry_after) == (status, 3.0)
    assert refusal.value.transient is transient
    assert str(refusal.value) == f"the host of the file answered {status}"


def test_a_redirection_is_followed_a_few_times():
    host = Host(redirect("https://eu.storage.test/file"), sends(BODY))
    assert host.read(4) == (0, 10, BODY)
    assert host.requests[1].url == "https://eu.storage.test/file"
    assert host.requests[1].headers["range"] == "bytes=4-"
    with pytest.raises(CodeOceanTransportError, match="more than 3 times"):
        Host(*[redirect(URL)] * 5).read()


def test_a_redirection_to_an_address_without_https_is_not_followed():
    host = Host(redirect("http://storage.test/file?signature=s3cret"))
    with pytest.raises(CodeOceanTransportError, match="without https") as error:
        host.read()
    assert not error.value.transient
    assert len(host.requests) == 1


def broken():
    yield BODY[:5]
    raise httpx.ReadError("reset")


def test_a_connection_that_breaks_in_the_middle_is_told():
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
def test_nobody_sees_the_url(answer, url, caplog):
    # Only MockTransport does not know schemes; the client's own transports refuse ftp.
    caplog.set_level(logging.DEBUG, "httpx")
    host = Host(answer, httpx.UnsupportedProtocol("Request URL has an unsupported protocol 'ftp://…s3cret'"))
    failure = None
    try:
        host.read(url=url)
    except CodeOceanTransportError as error:
        failure = error
    assert "s3cret" not in "".join(traceback.format_exception(failure))
    assert "s3cret" not in caplog.text


def test_other_requests_are_logged_as_ever(caplog):
    caplog.set_level(logging.INFO, "httpx")
    host = Host(sends(BODY))
    host.read()
    httpx.Client(transport=httpx.MockTransport(lambda request: httpx.Response(200))).get("https://other.test")
    assert "https://other.test" in caplog.text


def test_its_connections_are_closed_with_the_client():
    host = Host(httpx.Response(200))
    host.client.close()
    with pytest.raises(RuntimeError, match="closed"):
        host.read()
