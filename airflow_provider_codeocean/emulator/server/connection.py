"""The server's TCP connections, which can be counted and closed."""

import asyncio
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

if TYPE_CHECKING:
    from airflow_provider_codeocean.emulator.state.traffic import TrafficStats


CONNECTION_EXTENSION = "codeocean.emulator.connection"
"""Key of the connection among the `extensions` of an ASGI scope."""


class Connection(HttpToolsProtocol):
    """One connection: uvicorn's protocol class, accessible from inside a request."""

    has_api_requests = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Count the connection.

        :param transport: the transport.
        """
        super().connection_made(transport)
        self._traffic: TrafficStats = self.config.app.state.emulator.traffic  # type: ignore[union-attr]
        self._traffic.connections += 1
        self._traffic.open_connections += 1

    def connection_lost(self, exc: Exception | None) -> None:
        """Count the closed connection.

        :param exc: the reason; None if it was closed regularly.
        """
        self._traffic.open_connections -= 1
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """Start a request, and add this connection to its scope."""
        super().on_message_begin()
        extensions: dict[str, Any] = {CONNECTION_EXTENSION: self}
        self.scope["extensions"] = extensions

    def mark_api_request(self) -> None:
        """Count the connection as one with requests to the API."""
        if not self.has_api_requests:
            self.has_api_requests = True
            self._traffic.api_connections += 1

    def write(self, data: bytes) -> bool:
        """Send raw bytes.

        :param data: the bytes.
        :returns: whether the connection is still open.
        """
        if self.transport.is_closing():
            return False
        self.transport.write(data)
        return True

    def abort(self) -> None:
        """Close the connection immediately; unsent data is lost."""
        self.transport.abort()

    def close(self) -> None:
        """Close the connection after all written data has been sent."""
        self.transport.close()
