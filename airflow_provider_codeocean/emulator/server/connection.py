"""The TCP connections of the emulator: counted, and closed on demand."""

import asyncio
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

if TYPE_CHECKING:
    from airflow_provider_codeocean.emulator.state.traffic import Traffic


EXTENSION = "codeocean.emulator.connection"
"""Key of the connection in the `extensions` of an ASGI scope."""


class Connection(HttpToolsProtocol):
    """One connection: uvicorn's own protocol, which the emulator can reach from inside a request."""

    used_by_api = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Count the connection.

        :param transport: its socket.
        """
        super().connection_made(transport)
        self._traffic: Traffic = self.config.app.state.emulator.traffic  # type: ignore[union-attr]
        self._traffic.connections += 1
        self._traffic.open_connections += 1

    def connection_lost(self, exc: Exception | None) -> None:
        """Count the end of the connection.

        :param exc: what ended it, None for a regular end.
        """
        self._traffic.open_connections -= 1
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """Begin a request, whose scope leads back to this connection."""
        super().on_message_begin()
        extensions: dict[str, Any] = {EXTENSION: self}
        self.scope["extensions"] = extensions

    def note_api_request(self) -> None:
        """Count the connection as one that carries requests to the API."""
        if not self.used_by_api:
            self.used_by_api = True
            self._traffic.api_connections += 1

    def write(self, data: bytes) -> bool:
        """Send bytes as they are.

        :param data: the bytes.
        :returns: whether there is still somebody to send them to.
        """
        if self.transport.is_closing():
            return False
        self.transport.write(data)
        return True

    def abort(self) -> None:
        """Close at once; what has not been sent is lost."""
        self.transport.abort()

    def close(self) -> None:
        """Close after what has been written so far is sent."""
        self.transport.close()
