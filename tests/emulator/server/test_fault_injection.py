"""How requests go wrong, seen from the other end of a real connection."""

from __future__ import annotations

import base64
import contextlib
import email.utils
import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest

from airflow_provider_codeocean.api._http.library import httpx
from airflow_provider_codeocean.emulator import EmulatorConfig, EmulatorServer, Policy, Transitions
from airflow_provider_codeocean.emulator.domain.faults import Fault, FaultRule
from scripts.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

CLOSED = (httpx.RemoteProtocolError, httpx.ReadError)


@pytest.fixture(scope="module")
def running() -> Iterator[EmulatorServer]:
    with EmulatorServer(EmulatorConfig(transitions=Transitions.all(Policy()))) as server:
        yield server


@pytest.fixture
def server(running: EmulatorServer) -> Iterator[EmulatorServer]:
    yield running
    running.faults.clear()


@pytest.fixture
def client(server: EmulatorServer) -> Iterator[httpx.Client]:
    auth = (server.env["CODEOCEAN_TOKEN"], "")
    with httpx.Client(base_url=f"{server.url}/api/v1/", auth=auth, timeout=20) as client:
        yield client


@pytest.fixture
def asset(server: EmulatorServer) -> str:
    return f"data_assets/{server.env['CODEOCEAN_DATA_ASSET_ID']}"


def fault(server: EmulatorServer, **rule: object) -> Fault:
    return server.faults.add(FaultRule(**rule))


def rename(client: httpx.Client, asset: str, name: str) -> httpx.Response:
    return client.put(asset, json={"description": name})


def description(server: EmulatorServer) -> str:
    return server.store.data_assets.get(server.env["CODEOCEAN_DATA_ASSET_ID"]).description


@pytest.mark.parametrize("status", [429, 500, 503, 520])
def test_status_fault_replaces_the_response(server, client, asset, status):
    fault(server, kind="status", status=status)
    response = rename(client, asset, f"status {status}")
    assert response.status_code == status
    assert response.json()["message"]
    assert "retry-after" not in response.headers
    assert description(server) != f"status {status}"
    assert client.get(asset).status_code == 200


def test_status_fault_returns_the_given_body(server, client, asset):
    fault(server, kind="status", body="try later")
    fault(server, kind="status", body=["a", "list"], status=403)
    text, listed = client.get(asset), client.get(asset)
    assert (text.status_code, text.text) == (503, "try later")
    assert text.headers["content-type"].startswith("text/plain")
    assert (listed.status_code, listed.json()) == (403, ["a", "list"])


def test_fault_retry_after_is_sent_as_seconds_or_date(server, client, asset):
    fault(server, kind="status", status=429, retry_after=7)
    fault(server, kind="html", retry_after="date")
    assert client.get(asset).headers["retry-after"] == "7"
    date = email.utils.parsedate_to_datetime(client.get(asset).headers["retry-after"])
    assert 0 < date.timestamp() - time.time() <= 2


def test_html_fault_replaces_the_json(server, client, asset):
    fault(server, kind="html")
    fault(server, kind="html", status=200)
    for status in (502, 200):
        response = rename(client, asset, "html")
        assert response.status_code == status
        assert response.headers["content-type"].startswith("text/html")
        assert response.text.startswith("<html>")
    assert description(server) != "html"


@pytest.mark.parametrize(("kind", "done"), [("close_before", False), ("close_after", True)])
def test_close_fault_closes_the_connection_without_response(server, client, asset, kind, done):
    assert client.get(asset).status_code == 200
    fault(server, kind=kind, method="PUT")
    with pytest.raises(CLOSED):
        rename(client, asset, kind)
    assert (description(server) == kind) is done
    assert client.get(asset).status_code == 200


@pytest.mark.parametrize("kind", ["close_before", "close_after"])
def test_close_fault_closes_a_kept_alive_connection(server, asset, kind):
    address = server.url.removeprefix("http://").split(":")
    request = f"GET /api/v1/{asset} HTTP/1.1\r\nHost: {address[0]}\r\n\r\n".encode()
    with socket.create_connection((address[0], int(address[1])), timeout=10) as connection:
        connection.sendall(request)
        assert connection.recv(65536).startswith(b"HTTP/1.1 401")
        fault(server, kind=kind)
        connection.sendall(request)
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(65536) == b""


def test_slow_fault_delays_the_response(server, client, asset):
    fault(server, kind="slow", delay=0.3)
    started = time.monotonic()
    assert client.get(asset).status_code == 200
    assert time.monotonic() - started >= 0.3


def test_slow_body_fault_delays_only_the_body(server, client, asset):
    fault(server, kind="slow_body", delay=0.4)
    with client.stream("GET", asset) as response:
        headers = time.monotonic()
        assert response.status_code == 200
        response.read()
    assert time.monotonic() - headers >= 0.3
    assert response.json()["id"] == asset.removeprefix("data_assets/")


@pytest.fixture
def asked(server, asset):
    """A connection, by which the asset was asked for."""
    host, _, port = server.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        token = base64.b64encode(f"{server.env['CODEOCEAN_TOKEN']}:".encode()).decode()
        head = f"GET /api/v1/{asset} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Basic {token}\r\n\r\n"
        connection.sendall(head.encode())
        yield connection


def test_slow_headers_fault_sends_headers_in_pieces(server, request):
    fault(server, kind="slow_headers", delay=0.3, pieces=30)
    asked = request.getfixturevalue("asked")
    pieces = list(iter(lambda: asked.recv(65536), b""))
    assert len(pieces) > 3
    assert b"".join(pieces).startswith(b"HTTP/1.1 200 OK\r\n")
    assert pieces[-1].endswith(b"}")


def test_slow_headers_fault_sends_the_response_afterwards(server, client, asset):
    fault(server, kind="slow_headers", delay=0.05, method="PUT")
    assert rename(client, asset, "slowly").json()["description"] == "slowly"
    assert client.get(asset).status_code == 200


def test_slow_headers_fault_stops_when_the_client_disconnects(server, request):
    slow = fault(server, kind="slow_headers", delay=60, pieces=600)
    asked = request.getfixturevalue("asked")
    assert slow.wait(hits=1)
    asked.close()
    wait_until(
        lambda: not server.emulator.traffic.open_connections, description="the connection's end", timeout=10
    )


@pytest.mark.parametrize(("body", "sent"), [(None, ["unexpected"]), ({"id": 7}, {"id": 7})])
def test_wrong_shape_fault_applies_the_request(server, client, asset, body, sent):
    fault(server, kind="wrong_shape", method="PUT", body=body)
    response = rename(client, asset, f"shape {body}")
    assert (response.status_code, response.json()) == (200, sent)
    assert description(server) == f"shape {body}"


def test_half_body_fault_truncates_the_response(server, client, asset):
    fault(server, kind="half_body")
    with client.stream("PUT", asset, json={"description": "half"}) as response:
        assert response.status_code == 200
        with pytest.raises(httpx.RemoteProtocolError, match=r"incomplete|peer closed"):
            response.read()
    assert description(server) == "half"
    assert client.get(asset).json()["description"] == "half"


def test_half_body_fault_in_a_download_can_be_resumed(server, client):
    results = f"computations/{server.env['CODEOCEAN_COMPUTATION_ID']}/results/urls"
    url = client.get(results, params={"path": "summary.json"}).json()["download_url"]
    whole = httpx.get(url).content
    fault(server, kind="half_body", path="/storage/**")
    received = bytearray()

    def download() -> None:
        with httpx.stream("GET", url) as response:
            for part in response.iter_raw():
                received.extend(part)

    with pytest.raises(httpx.RemoteProtocolError):
        download()
    assert 0 < len(received) < len(whole)
    rest = httpx.get(url, headers={"Range": f"bytes={len(received)}-"})
    assert rest.status_code == 206
    assert bytes(received) + rest.content == whole


def test_invalid_json_fault_truncates_the_json(server, client, asset):
    fault(server, kind="invalid_json", method="PUT")
    fault(server, kind="invalid_json", method="PATCH")
    response = rename(client, asset, "broken")
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        response.json()
    assert description(server) == "broken"
    response = client.patch(f"{asset}/archive", params={"archive": "False"})
    assert (response.status_code, response.text) == (200, "{")


def test_empty_fault_removes_the_body(server, client, asset):
    fault(server, kind="empty", times=2)
    response = rename(client, asset, "empty")
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["content-length"] == "0"
    assert description(server) == "empty"
    response = client.patch(f"{asset}/archive", params={"archive": "False"})
    assert (response.status_code, response.content) == (204, b"")


class Request(threading.Thread):
    """A request in another thread."""

    def __init__(self, client: httpx.Client, asset: str, name: str) -> None:
        super().__init__(daemon=True)
        self.args = (client, asset, name)
        self.status: int | None = None
        self.error: Exception | None = None
        self.start()

    def run(self) -> None:
        try:
            self.status = rename(*self.args).status_code
        except httpx.TransportError as error:
            self.error = error


@pytest.mark.parametrize(("kind", "done"), [("hold", True), ("hold_before", False)])
def test_hold_fault_holds_the_request_until_released(server, client, asset, kind, done):
    held = fault(server, kind=kind, method="PUT")
    request = Request(client, asset, kind)
    assert held.wait(held=1)
    assert request.status is None
    assert (description(server) == kind) is done
    held.release_requests()
    request.join(10)
    assert request.status == 200
    assert description(server) == kind


@pytest.mark.parametrize(("kind", "done"), [("hold", True), ("hold_before", False)])
def test_hold_fault_removed_closes_the_held_request(server, client, asset, kind, done):
    held = fault(server, kind=kind, method="PUT")
    request = Request(client, asset, f"closed {kind}")
    assert held.wait(held=1)
    server.faults.remove(held.id)
    request.join(10)
    assert isinstance(request.error, CLOSED)
    assert (description(server) == f"closed {kind}") is done


def test_hold_fault_continues_after_the_client_disconnects(server, asset):
    held = fault(server, kind="hold_before", method="PUT")
    auth = (server.env["CODEOCEAN_TOKEN"], "")
    with pytest.raises(httpx.ReadTimeout):
        httpx.put(f"{server.url}/api/v1/{asset}", json={"description": "late"}, auth=auth, timeout=0.3)
    assert held.held == 1
    assert description(server) != "late"
    held.release_requests()
    deadline = time.monotonic() + 10
    while description(server) != "late" and time.monotonic() < deadline:
        threading.Event().wait(0.005)
    assert description(server) == "late"


def test_request_without_response_is_counted_as_closed(server, client, asset):
    server.emulator.traffic.reset()
    fault(server, kind="close_after")
    with pytest.raises(CLOSED):
        client.get(asset)
    counted = httpx.get(f"{server.url}/_emulator/stats").json()
    assert counted["endpoints"] == {"GET /api/v1/data_assets/{data_asset_id}": 1}
    assert counted["statuses"] == {"closed": 1}


def test_request_sent_in_part_is_not_applied(server, asset):
    """A client that is killed while it sends leaves nothing behind, and no server hanging."""
    server.emulator.traffic.reset()
    host, _, port = server.url.removeprefix("http://").partition(":")
    head = f"PUT /api/v1/{asset} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1000\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(head.encode() + b'{"description": "half')
    deadline = time.monotonic() + 10
    while not server.emulator.traffic.statuses and time.monotonic() < deadline:
        threading.Event().wait(0.005)
    assert server.emulator.traffic.statuses == {"closed": 1}
