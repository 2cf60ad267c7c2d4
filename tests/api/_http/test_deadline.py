"""Exchanges end at their deadline even if the server keeps sending, on real sockets.

The sync client limits the headers per read, so slow headers are tested with the async client only.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time
from contextlib import contextmanager, suppress
from typing import Self

import pytest

from airflow_provider_codeocean.api.client import CodeOceanAsyncClient, CodeOceanClient
from airflow_provider_codeocean.api.errors import CodeOceanTransportError
from airflow_provider_codeocean.api.models.data_asset_params import DataAssetUpdateParams
from airflow_provider_codeocean.api.storage import SignedUrlReader
from tests.api.certificates import CertificateAuthority
from tests.api.fake_server import CALLERS

TIMEOUT = 0.2
#: Shorter than the timeout.
PAUSE = 0.05
#: On a busy machine, the server may pause for longer than the timeout.
TIMED_OUT = r"not over after [\d.]+ s|timed out"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


class Dripping:
    """A server that sends a beginning, and then repeats some bytes forever, slowly."""

    token = "cop_s3cret"
    transport = None

    def __init__(self, begin: bytes, forever: bytes) -> None:
        self._begin, self._forever = begin, forever
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._serve)]
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        with socket.create_connection(self._listener.getsockname()):
            for thread in self._threads:
                thread.join()
        self._listener.close()

    def wait_for_disconnects(self) -> None:
        """Wait until all clients have closed their connections."""
        for thread in self._threads[1:]:
            thread.join(10)
            assert not thread.is_alive()

    def _serve(self) -> None:
        while not self._over.is_set():
            connection, _ = self._listener.accept()
            self._threads.append(threading.Thread(target=self._drip, args=(connection,)))
            self._threads[-1].start()

    def _drip(self, connection: socket.socket) -> None:
        with connection:
            try:
                connection.sendall(self._begin)
                while not self._over.wait(PAUSE):
                    connection.sendall(self._forever)
            except OSError:
                return


@contextmanager
def soon():
    """Check that the block ends, in spite of the server."""
    began = time.monotonic()
    yield
    assert time.monotonic() - began < 20


HEADER_DRIPS = {
    "the first line": (b"HTTP/1.1 200 O", b"K"),
    "a header": (HEAD + b"X: ", b"x"),
    "headers": (HEAD, b"X: x\r\n"),
}
BODY_DRIPS = {
    "a body of known length": (HEAD + b"Content-Length: 99999\r\n\r\n{", b" "),
    "a body of any length": (HEAD + b"\r\n{", b" "),
    "chunks": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
}
DRIPS = HEADER_DRIPS | BODY_DRIPS


@pytest.mark.parametrize(
    ("use", "drip"),
    [
        *(pytest.param(CALLERS["sync"], BODY_DRIPS[name], id=f"sync, {name}") for name in BODY_DRIPS),
        *(pytest.param(CALLERS["async"], DRIPS[name], id=f"async, {name}") for name in DRIPS),
    ],
)
def test_request_to_dripping_server_times_out(use, drip):
    with Dripping(*drip) as server, soon():
        with pytest.raises(
            CodeOceanTransportError, match=rf"got no answer \(ReadTimeout: ({TIMED_OUT})\)"
        ) as caught:
            use(server, lambda client: client.data_assets.get("a1"), timeout=TIMEOUT, retry_budget=0)
        assert caught.value.is_transient
        assert not caught.value.may_have_been_applied


@pytest.mark.parametrize("drip", DRIPS.values(), ids=DRIPS)
async def test_client_after_timeout_keeps_no_connection(drip):
    with Dripping(*drip) as server, soon():
        async with CodeOceanAsyncClient(server.url, "t", timeout=0.1, retry_budget=0) as client:
            requests = (client.data_assets.get("a1") for _ in range(5))
            results = await asyncio.gather(*requests, return_exceptions=True)
            assert {type(result) for result in results} == {CodeOceanTransportError}
            await asyncio.to_thread(server.wait_for_disconnects)


@pytest.mark.parametrize("use", CALLERS.values(), ids=CALLERS)
def test_update_that_times_out_may_have_been_applied(use):
    params = DataAssetUpdateParams(name="n")
    with Dripping(*DRIPS["chunks"]) as server, soon():
        with pytest.raises(CodeOceanTransportError) as caught:
            use(server, lambda client: client.data_assets.update("a1", params), timeout=0.1, retry_budget=0)
        assert caught.value.may_have_been_applied


def test_request_through_dripping_proxy_times_out():
    with (
        Dripping(*DRIPS["chunks"]) as proxy,
        CodeOceanClient(
            "http://codeocean.test", "t", proxy=proxy.url, timeout=TIMEOUT, retry_budget=0
        ) as client,
        soon(),
        pytest.raises(CodeOceanTransportError, match=TIMED_OUT),
    ):
        client.data_assets.get("a1")


def test_request_through_dripping_proxy_from_environment_times_out(monkeypatch):
    with Dripping(*DRIPS["chunks"]) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        with (
            CodeOceanClient("http://codeocean.test", "t", timeout=TIMEOUT, retry_budget=0) as client,
            soon(),
            pytest.raises(CodeOceanTransportError, match=TIMED_OUT),
        ):
            client.data_assets.get("a1")


class DrippingTunnel(Dripping):
    """A proxy with TLS, to a server that drips in the middle of its own TLS handshake."""

    def __init__(self, certificate) -> None:
        super().__init__(b"\x16\x03\x03\x40\x00", b"\x00")  # the start of a handshake of 16 KiB
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(certificate)

    def _drip(self, connection: socket.socket) -> None:
        if self._over.is_set():
            return
        with suppress(OSError):
            tunnel = self._tls.wrap_socket(connection, server_side=True)
            tunnel.recv(4096)
            tunnel.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            tunnel.recv(4096)
            super()._drip(tunnel)


async def test_https_request_through_dripping_https_proxy_times_out(tmp_path):
    authority = CertificateAuthority()
    with DrippingTunnel(authority.issue(tmp_path / "proxy.pem")) as proxy, soon():
        async with CodeOceanAsyncClient(
            "https://codeocean.test",
            "t",
            proxy=proxy.url.replace("http:", "https:"),
            verify=str(authority.write_certificate(tmp_path)),
            timeout=TIMEOUT,
            retry_budget=0,
        ) as client:
            with pytest.raises(CodeOceanTransportError, match=r"could not be sent \(ConnectTimeout"):
                await client.data_assets.get("a1")


@pytest.mark.parametrize("drip", BODY_DRIPS.values(), ids=BODY_DRIPS)
def test_storage_read_from_dripping_host_times_out(drip):
    with Dripping(*drip) as server, soon():
        storage = SignedUrlReader(timeout=0.1, deployment=server.url)
        with (
            pytest.raises(CodeOceanTransportError, match=rf"sent nothing, or not all .*({TIMED_OUT})"),
            storage.read(f"{server.url}/file?signature=s3cret") as part,
        ):
            list(part.chunks)
        storage.close()


def test_request_to_server_that_does_not_read_times_out():
    """The request is only partly sent, so it may have been applied."""
    params = DataAssetUpdateParams(description="x" * 20_000_000)
    with Dripping(b"", b"") as server, soon():
        with (
            CodeOceanClient(server.url, "t", timeout=TIMEOUT, retry_budget=0) as client,
            pytest.raises(CodeOceanTransportError, match="got no answer") as caught,
        ):
            client.data_assets.update("a1", params)
        assert caught.value.may_have_been_applied
