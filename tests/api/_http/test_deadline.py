"""An exchange is over in time, however the server spreads its answer: on real sockets."""

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
from airflow_provider_codeocean.api.storage import Storage
from tests.api.certificates import Authority
from tests.api.fake_server import BOTH

TIMEOUT = 0.2
#: Each of the server's pauses is shorter than the timeout; all of them together are longer than a test.
PAUSE = 0.05
#: On a busy machine, the server itself may pause for longer than the timeout.
TIMED_OUT = r"not over after [\d.]+ s|timed out"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


class Dripping:
    """A server that sends a beginning, and after that one byte after the other, for ever."""

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
    """What happens in here must not last as long as a server pleases."""
    began = time.monotonic()
    yield
    assert time.monotonic() - began < 20


DRIPS = {
    "the first line": (b"HTTP/1.1 200 O", b"K"),
    "a header": (HEAD + b"X: ", b"x"),
    "headers": (HEAD, b"X: x\r\n"),
    "a body of known length": (HEAD + b"Content-Length: 99999\r\n\r\n{", b" "),
    "a body of any length": (HEAD + b"\r\n{", b" "),
    "chunks": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
}


@pytest.mark.parametrize("use", BOTH.values(), ids=BOTH)
@pytest.mark.parametrize("drip", DRIPS.values(), ids=DRIPS)
def test_who_drips_is_not_listened_to_for_ever(use, drip):
    with Dripping(*drip) as server, soon():
        with pytest.raises(
            CodeOceanTransportError, match=rf"got no answer \(ReadTimeout: ({TIMED_OUT})\)"
        ) as caught:
            use(server, lambda client: client.data_assets.get("a1"), timeout=TIMEOUT, retry_budget=0)
        assert caught.value.transient
        assert not caught.value.maybe_applied


@pytest.mark.parametrize("drip", DRIPS.values(), ids=DRIPS)
async def test_what_is_given_up_leaves_no_connection_behind(drip):
    with Dripping(*drip) as server, soon():
        async with CodeOceanAsyncClient(server.url, "t", timeout=0.1, retry_budget=0) as client:
            looks = (client.data_assets.get("a1") for _ in range(5))
            ends = await asyncio.gather(*looks, return_exceptions=True)
            assert {type(each) for each in ends} == {CodeOceanTransportError}
            assert client._http._transport._pool.connections == []


@pytest.mark.parametrize("use", BOTH.values(), ids=BOTH)
def test_what_changes_something_may_have_been_applied(use):
    params = DataAssetUpdateParams(name="n")
    with Dripping(*DRIPS["a header"]) as server, soon():
        with pytest.raises(CodeOceanTransportError) as caught:
            use(server, lambda client: client.data_assets.update("a1", params), timeout=0.1, retry_budget=0)
        assert caught.value.maybe_applied


def test_the_way_by_a_proxy_is_bounded_too():
    with (
        Dripping(*DRIPS["a header"]) as proxy,
        CodeOceanClient(
            "http://codeocean.test", "t", proxy=proxy.url, timeout=TIMEOUT, retry_budget=0
        ) as client,
        soon(),
        pytest.raises(CodeOceanTransportError, match=TIMED_OUT),
    ):
        client.data_assets.get("a1")


def test_a_proxy_of_the_environment_is_bounded_too(monkeypatch):
    with Dripping(*DRIPS["a header"]) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        with (
            CodeOceanClient("http://codeocean.test", "t", timeout=TIMEOUT, retry_budget=0) as client,
            soon(),
            pytest.raises(CodeOceanTransportError, match=TIMED_OUT),
        ):
            client.data_assets.get("a1")


class DrippingTunnel(Dripping):
    """A proxy that is spoken to by TLS, with a way to a server that drips in the middle of its own TLS."""

    def __init__(self, certificate) -> None:
        super().__init__(b"\x16\x03\x03\x40\x00", b"\x00")  # the beginning of 16 KiB of a handshake
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


def test_a_proxy_with_https_to_a_server_with_https_is_bounded_too(tmp_path):
    authority = Authority()
    with (
        DrippingTunnel(authority.issue(tmp_path / "proxy.pem")) as proxy,
        CodeOceanClient(
            "https://codeocean.test",
            "t",
            proxy=proxy.url.replace("http:", "https:"),
            verify=str(authority.write(tmp_path)),
            timeout=TIMEOUT,
            retry_budget=0,
        ) as client,
        soon(),
        pytest.raises(CodeOceanTransportError, match=TIMED_OUT),
    ):
        client.data_assets.get("a1")


@pytest.mark.parametrize("drip", DRIPS.values(), ids=DRIPS)
def test_a_host_of_files_that_drips_is_given_up(drip):
    with Dripping(*drip) as server, soon():
        storage = Storage(timeout=0.1, deployment=server.url)
        with (
            pytest.raises(CodeOceanTransportError, match=rf"sent nothing, or not all .*({TIMED_OUT})"),
            storage.read(f"{server.url}/file?signature=s3cret") as part,
        ):
            list(part.chunks)
        storage.close()


def test_a_server_that_does_not_read_is_given_up():
    """A request that it does not take stays half sent."""
    params = DataAssetUpdateParams(description="x" * 20_000_000)
    with Dripping(b"", b"") as server, soon():
        with (
            CodeOceanClient(server.url, "t", timeout=TIMEOUT, retry_budget=0) as client,
            pytest.raises(CodeOceanTransportError, match="got no answer") as caught,
        ):
            client.data_assets.update("a1", params)
        assert caught.value.maybe_applied
