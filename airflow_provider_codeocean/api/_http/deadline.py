"""A bound on the whole of an exchange, for the client that waits for its answers.

httpx bounds each read by itself: a server that sends one byte a second, of its headers or of its body, would
be listened to for ever. Here no read, and no write, may last longer than what is left of the exchange. For
the client that is awaited, the event loop does the same.
"""

from __future__ import annotations

import socket
import time
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import httpcore
import httpx

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable, Iterator

#: How many times as long as one part of an answer the whole exchange may take.
PARTS = 2.0

_PIECE = 64 * 1024

_deadline: ContextVar[_Deadline | None] = ContextVar("deadline of the exchange", default=None)


class _Deadline:
    """When an exchange is to be over, by the clock that nobody sets."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._at = time.monotonic() + seconds

    def left(self) -> float:
        """Return the seconds that are left, above 0; where there are none, raise httpcore.ReadTimeout."""
        left = self._at - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout(too_slow(self._seconds))
        return left


def too_slow(seconds: float) -> str:
    """Say that an exchange has taken too long.

    :param seconds: how long it may take.
    :returns: half a sentence.
    """
    return f"not over after {seconds:g} s"


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Let what is sent and received in this block end with :class:`httpx.ReadTimeout` when the time is up.

    :param seconds: how long the block may use the network, above 0.
    """
    token = _deadline.set(_Deadline(seconds))
    try:
        yield
    finally:
        _deadline.reset(token)


def bound(client: httpx.Client, check_address: Callable[[str], None] | None = None) -> httpx.Client:
    """Make a client observe :func:`within` on each route that it may take: directly, or through a proxy.

    :param client: the client.
    :param check_address: is called with each IP address that a host's name resolves to before the client
        connects to the host directly; what it raises ends the request.
    :returns: the same client.
    """
    # httpx has no option for it, httpcore below it has.
    for transport in (client._transport, *client._mounts.values()):  # noqa: SLF001
        if isinstance(transport, httpx.HTTPTransport):
            pool: Any = transport._pool  # noqa: SLF001
            is_direct = type(pool) is httpcore.ConnectionPool
            pool._network_backend = _Backend(  # noqa: SLF001
                pool._network_backend,  # noqa: SLF001
                check_address if is_direct else None,
            )
    return client


class _Backend(httpcore.NetworkBackend):
    """Opens connections that observe the deadline, to addresses that are allowed."""

    def __init__(self, backend: httpcore.NetworkBackend, check_address: Callable[[str], None] | None) -> None:
        self._backend = backend
        self._check_address = check_address

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        failed: Exception | None = None
        addresses = _addresses(host, port)
        if self._check_address is not None:
            for address in addresses:
                self._check_address(address)
        for address in addresses:  # socket.create_connection gives each of them all of the time
            try:
                return _Stream(
                    self._backend.connect_tcp(address, port, _at_most(timeout), local_address, socket_options)
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failed = error
            except httpcore.ReadTimeout as error:  # there is no time for this one: nothing was sent
                failed = httpcore.ConnectTimeout(str(error))
        raise failed or httpcore.ConnectError(f"{host} has no address")

    def sleep(self, seconds: float) -> None:
        self._backend.sleep(seconds)


class _Stream(httpcore.NetworkStream):
    """A connection."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        with _saying_what_is_over():
            return self._stream.read(max_bytes, _at_most(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for begin in range(0, len(buffer), _PIECE):
            with _saying_what_is_over():
                self._stream.write(buffer[begin : begin + _PIECE], _at_most(timeout))

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        stream = self._stream.start_tls(ssl_context, server_hostname, _at_most(timeout))
        _bound_receiving(stream.get_extra_info("socket"))
        return _Stream(stream)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)

    def close(self) -> None:
        self._stream.close()


def _addresses(host: str, port: int) -> list[str]:
    """Return a host's addresses, as the system orders them."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise httpcore.ConnectError(str(error)) from error
    zones = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV  # an address that holds on one link names the link
    return list(dict.fromkeys(socket.getnameinfo(address, zones)[0] for *_, address in found))


def _bound_receiving(connection: ssl.SSLSocket) -> None:
    """Have each part that is received heed the deadline: TLS within that of a proxy takes many for one read.

    :param connection: the connection, on which TLS has begun.
    """
    receive = connection.recv

    def recv(size: int = 1024, flags: int = 0) -> bytes:
        connection.settimeout(_at_most(connection.gettimeout()))
        return receive(size, flags)

    connection.recv = recv  # type: ignore[assignment, method-assign]


def _at_most(timeout: float | None) -> float | None:
    deadline = _deadline.get()
    if deadline is None:
        return timeout
    left = deadline.left()
    return left if timeout is None else min(timeout, left)


@contextmanager
def _saying_what_is_over() -> Iterator[None]:
    """Say of a read that was cut short that it was the whole exchange which took too long."""
    try:
        yield
    except httpcore.TimeoutException:
        _at_most(None)
        raise
