"""HTTP, as clients and storage share it: trust, bounded answers, errors without secrets.

It, ``deadline.py`` and the two know httpx, and nothing else does.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import httpx

from airflow_provider_codeocean.api.errors import UnexpectedAnswer
from airflow_provider_codeocean.api.request import Call, Effect
from airflow_provider_codeocean.api.response import Response

if TYPE_CHECKING:
    from airflow_provider_codeocean.api.auth import Credentials

_MIB = 1024 * 1024
#: Bytes that are read of an answer with an error status: its message is at the beginning.
MAX_ERROR_ANSWER = _MIB
#: In which answers may be compressed. Each multiplies what comes by a thousand at the most, others by more.
CODINGS = ("gzip", "deflate")
#: What names content codings: three at most.
_CODING = re.compile("[a-z]{1,8}(, ?[a-z]{1,8}){0,2}")


class Body:
    """What comes of an answer, until it is too much.

    :param call: the request.
    :param response: the response, of which nothing is read yet.
    :param limit: the most bytes that an answer may have, decompressed.
    :ivar wanted: whether to read (on).
    :raises UnexpectedAnswer: where it is told to be longer, or compressed in a way not asked for.
    """

    def __init__(self, call: Call[Any], response: httpx.Response, limit: int) -> None:
        self._call = call
        self._limit = limit
        self._chunks: list[bytes] = []
        self._size = 0
        self._refused = not response.is_success
        coding = response.headers.get("content-encoding", "").strip().lower()
        self.wanted = coding in {"", "identity", *CODINGS}
        if self._refused:
            self._limit = MAX_ERROR_ANSWER
        elif not self.wanted:
            raise self._unusable(f"in {_named(coding)}, which was not asked for", transient=True)
        elif int(_decimal(response.headers.get("content-length", ""))) > limit:
            raise self._too_long()

    def take(self, chunk: bytes) -> None:
        """Take what comes next.

        :param chunk: some bytes.
        :raises UnexpectedAnswer: where it is too much; of an error the rest is left out.
        """
        self._size += len(chunk)
        self._chunks.append(chunk)
        if self._size > self._limit:
            if not self._refused:
                self._chunks.clear()
                raise self._too_long()
            self.wanted = False

    def response(self, response: httpx.Response, credentials: Credentials) -> Response:
        """Return the response without the HTTP library.

        :param response: the response, read and closed.
        :param credentials: the access token, which is redacted.
        :returns: the response.
        """
        # Its stream refers back to it: without this, pages of a megabyte stay until the next collection.
        response.stream = httpx.ByteStream(b"")
        content = b"".join(self._chunks)
        if self._refused:
            content = content[: self._limit]
        headers = {name: credentials.redact(value) for name, value in response.headers.items()}
        content = credentials.redact_body(content, response.charset_encoding)
        return Response(response.status_code, headers, content)

    def _too_long(self) -> UnexpectedAnswer:
        return self._unusable(
            f"with more than {self._limit // _MIB} MiB"
            if self._limit >= _MIB
            else f"with more than {self._limit} bytes"
        )

    def _unusable(self, how: str, *, transient: bool = False) -> UnexpectedAnswer:
        return UnexpectedAnswer(
            f"{self._call.method} {self._call.path} was answered {how}",
            maybe_applied=self._call.effect is not Effect.READ,
            transient=transient,
        )


def _named(coding: str) -> str:
    """Name a content coding where that is what it is: a server may send anything in its place."""
    return f"the content coding {coding!r}" if _CODING.fullmatch(coding) else "a content coding"


def _decimal(text: str) -> str:
    return text if text.isdecimal() else "0"
