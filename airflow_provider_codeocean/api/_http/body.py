"""Responses with limits on their size and duration."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

from airflow_provider_codeocean.api._http.library import httpx
from airflow_provider_codeocean.api.errors import UnexpectedResponse
from airflow_provider_codeocean.api.request import Idempotency, Request
from airflow_provider_codeocean.api.response import Response

if TYPE_CHECKING:
    from airflow_provider_codeocean.api.auth import Credentials

#: An exchange, from connecting to the last byte of the body, may take this many timeouts.
TOTAL_TIMEOUT_FACTOR = 2.0
_MIB = 1024 * 1024
#: The rest of an error response is ignored: its message is at the beginning.
MAX_ERROR_RESPONSE_BYTES = _MIB
#: Compressions to accept. They expand data by a factor of at most 1,000; others expand it by more.
ACCEPTED_ENCODINGS = ("gzip", "deflate")
_CONTENT_ENCODING = re.compile("[a-z]{1,8}(, ?[a-z]{1,8}){0,2}")


class Deadline:
    """Limits how long a response may take.

    httpx limits each read. The deadline is checked after each read, so it ends slow bodies, but not slow
    headers, which httpx reads in one step.

    :param timeout: seconds until it expires.
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._expires_at = time.monotonic() + timeout

    def check(self) -> None:
        """Raise :class:`httpx.ReadTimeout` if the deadline has expired."""
        if time.monotonic() > self._expires_at:
            raise httpx.ReadTimeout(timeout_message(self._timeout))


def timeout_message(timeout: float) -> str:
    """Return the error message for a response that is incomplete at its deadline."""
    return f"not over after {timeout:g} s"


class BoundedBody:
    """Accumulates a response body up to a size limit.

    :param request: the request.
    :param response: the response, of which nothing has been read.
    :param max_bytes: maximum size of the body, decompressed. Longer error bodies are cut off.
    :ivar needs_more: whether to read on.
    :raises UnexpectedResponse: if its headers state a longer body or a compression that was not accepted.
    """

    def __init__(self, request: Request[Any], response: httpx.Response, max_bytes: int) -> None:
        self._request = request
        self._response = response
        self._is_error = not response.is_success
        self._max_bytes = MAX_ERROR_RESPONSE_BYTES if self._is_error else max_bytes
        self._chunks: list[bytes] = []
        self._size = 0
        encoding = response.headers.get("content-encoding", "").strip().lower()
        content_length = response.headers.get("content-length", "")
        self.needs_more = encoding in {"", "identity", *ACCEPTED_ENCODINGS}
        if self._is_error:
            return
        if not self.needs_more:
            named = f" {encoding!r}" if _CONTENT_ENCODING.fullmatch(encoding) else ""  # it may be a secret
            raise self._unexpected_response(
                f"in {'the' if named else 'a'} content coding{named}, which was not asked for",
                is_transient=True,
            )
        if content_length.isdecimal() and int(content_length) > max_bytes:
            raise self._too_long_error()

    def feed(self, chunk: bytes) -> None:
        """Add a chunk. Raise UnexpectedResponse if the body is too long."""
        self._size += len(chunk)
        self._chunks.append(chunk)
        if self._size > self._max_bytes:
            if not self._is_error:
                self._chunks.clear()
                raise self._too_long_error()
            self.needs_more = False

    def to_response(self, credentials: Credentials) -> Response:
        """Return the response without the HTTP library. The access token is redacted."""
        # The stream refers to its response: this cycle would keep large bodies until the next collection.
        self._response.stream = httpx.ByteStream(b"")
        content = b"".join(self._chunks)
        if self._is_error:
            content = content[: self._max_bytes]
        headers = {name: credentials.redact(value) for name, value in self._response.headers.items()}
        return Response(self._response.status_code, headers, credentials.redact_body(content))

    def _too_long_error(self) -> UnexpectedResponse:
        size = self._max_bytes
        return self._unexpected_response(
            f"with more than {f'{size // _MIB} MiB' if size >= _MIB else f'{size} bytes'}"
        )

    def _unexpected_response(self, problem: str, *, is_transient: bool = False) -> UnexpectedResponse:
        return UnexpectedResponse(
            f"{self._request} was answered {problem}",
            may_have_been_applied=self._request.idempotency is not Idempotency.SAFE,
            is_transient=is_transient,
        )
