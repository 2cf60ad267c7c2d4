"""A local server with scripted answers."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable

#: Status, and a body: JSON values, bytes as they are, or None for an empty one.
Response = tuple[int, Any]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: StubServer

    def _respond(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = json.loads(content) if content else None
        line = f"{self.command} {self.path.removeprefix('/api/v1/')}"
        self.server.requests.append((line, body))
        status, answer = self.server.respond(line, body)
        content = (
            answer if isinstance(answer, bytes) else b"" if answer is None else json.dumps(answer).encode()
        )
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _respond  # noqa: N815 - the names that the base class looks up

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


class StubServer(ThreadingHTTPServer):
    """A server that answers with ``answer(line, body)``; a line is ``GET data_assets/a1``.

    :ivar requests: line and body of each request.
    """

    daemon_threads = True

    def __init__(self, respond: Callable[[str, Any], Response]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.respond = respond
        self.requests: list[tuple[str, Any]] = []
        self.url = f"http://127.0.0.1:{self.server_port}"

    def bodies_of(self, line: str) -> list[Any]:
        """Return the bodies of the requests with this line."""
        return [body for sent, body in self.requests if sent == line]

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()
