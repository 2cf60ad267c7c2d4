"""Reading files behind signed URLs: from whichever host keeps them, without credentials."""

from __future__ import annotations

import logging
import re
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import httpx

from airflow_provider_codeocean import __version__
from airflow_provider_codeocean.api.deadline import PARTS, bound, within
from airflow_provider_codeocean.api.encryption import check_encryption
from airflow_provider_codeocean.api.errors import CodeOceanTransportError, StorageRefused
from airflow_provider_codeocean.api.retry import retry_after
from airflow_provider_codeocean.api.secret import Secret
from airflow_provider_codeocean.api.wire import is_untrusted, reason

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Bytes in which a file is read.
CHUNK = 1024 * 1024
#: How many times as long as one part of an answer the host may take for a :data:`CHUNK`.
CHUNK_PARTS = 10.0
#: How often a host of files may send on to another address.
MAX_REDIRECTS = 3

_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-\d+/(\d{1,18})")
#: Who has a signed URL has the file: while this is set, no library writes one into a log.
_reading = ContextVar("reading a signed URL", default=False)


@dataclass(frozen=True, slots=True)
class FilePart:
    """What a host of files sends: all of a file, or the rest of it.

    :param start: with which byte it begins; 0 where the host sends all, whatever it was asked for.
    :param size: bytes of the whole file; None where the host does not say.
    :param chunks: the bytes, about :data:`CHUNK` at a time; raises CodeOceanTransportError where they end
        too early.
    """

    start: int
    size: int | None
    chunks: Iterator[bytes]


class Storage:
    """Reads files behind signed URLs. It can be used by several threads at once.

    It has no access token, and keeps addresses out of logs and errors: who has one can read the file.

    :param timeout: seconds to connect, and to wait for each part of an answer. The beginning of an answer may
        take twice as long, and each :data:`CHUNK` of a file ten times.
    :param require_tls: whether to refuse addresses without https, but for those of this machine.
    :param **options: options of the HTTP client: ``verify``, ``proxy``, ``transport``.
    :ivar chunk_seconds: how long a :data:`CHUNK` may take.
    """

    def __init__(self, timeout: float, *, require_tls: bool = False, **options: Any) -> None:
        self._require_tls = require_tls
        # A host that compresses on the way would not send as many bytes as the file has.
        headers = {"Accept-Encoding": "identity", "User-Agent": f"airflow-provider-codeocean/{__version__}"}
        self._timeout = timeout
        self.chunk_seconds = CHUNK_PARTS * timeout
        self._http = bound(httpx.Client(headers=headers, follow_redirects=False, timeout=timeout, **options))

    @contextmanager
    def read(self, url: str, start: int = 0) -> Iterator[FilePart]:
        """Read a file.

        :param url: its signed URL.
        :param start: the byte to begin with; the host may begin with the first all the same.
        :yields: the file, or its rest.
        :raises StorageRefused: where the host refuses: for one, when the URL has expired.
        :raises CodeOceanTransportError: where it cannot be reached, or breaks off.
        """
        url = Secret(url)
        outer = _reading.set(True)
        try:
            try:
                response = self._open(url, start)
            except CodeOceanTransportError as error:
                raise error.with_traceback(None) from None  # the variables in its frames are addresses
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                raise _explained(error) from None  # as above
            try:
                yield _part(response, self.chunk_seconds)
            finally:
                response.close()
        finally:
            _reading.reset(outer)

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def _open(self, url: str, start: int) -> httpx.Response:
        wanted = {"Range": f"bytes={start}-"} if start else {}
        request = self._http.build_request("GET", url, headers=wanted)
        for _ in range(MAX_REDIRECTS + 1):
            self._check(request.url)
            with within(PARTS * self._timeout):
                response = self._http.send(request, stream=True)
            if response.is_success:
                return response
            response.close()
            if response.next_request is None:
                raise _refusal(response)
            if request.url.scheme == "https" != response.next_request.url.scheme:
                raise CodeOceanTransportError(
                    "the host of the file sends on to an address without https", transient=False
                )
            request = response.next_request
        raise CodeOceanTransportError(f"the host of the file sends on more than {MAX_REDIRECTS} times")

    def _check(self, url: httpx.URL) -> None:
        try:
            check_encryption(str(url), required=self._require_tls)
        except ValueError as error:
            raise CodeOceanTransportError(f"the file is not to be had: {error}", transient=False) from None


def _refusal(response: httpx.Response) -> StorageRefused:
    status = response.status_code
    return StorageRefused(
        f"the host of the file answered {status}",
        status=status,
        retry_after=retry_after(response.headers),
        transient=status != HTTPStatus.NOT_FOUND,
    )


def _part(response: httpx.Response, chunk_seconds: float) -> FilePart:
    if response.status_code == HTTPStatus.PARTIAL_CONTENT:
        match = _CONTENT_RANGE.fullmatch(response.headers.get("content-range", ""))
        if match is None:
            raise CodeOceanTransportError("the host of the file does not say which part of it it sends")
        return FilePart(int(match[1]), int(match[2]), _chunks(response, chunk_seconds))
    length = response.headers.get("content-length", "")
    return FilePart(0, int(length) if length.isdecimal() else None, _chunks(response, chunk_seconds))


def _chunks(response: httpx.Response, chunk_seconds: float) -> Iterator[bytes]:
    # Raw: what is kept compressed is as long as the listing says before it is unpacked.
    chunks = response.iter_raw(CHUNK)
    try:
        while True:
            with within(chunk_seconds):
                chunk = next(chunks, None)
            if chunk is None:
                return
            yield chunk
    except httpx.HTTPError as error:
        raise _explained(error) from None  # the variables in its frames are addresses


def _explained(error: httpx.HTTPError | httpx.InvalidURL) -> CodeOceanTransportError:
    """Return what went wrong on the way as an error of ours that does not show the address."""
    if isinstance(error, httpx.UnsupportedProtocol | httpx.InvalidURL):  # their texts may repeat it
        return CodeOceanTransportError("the URL of the file is none", transient=False)
    return CodeOceanTransportError(
        f"the host of the file sent nothing, or not all ({type(error).__name__}: {reason(error)})",
        transient=not is_untrusted(error),
    )


class _Quiet(logging.Filter):
    """Keeps the HTTP libraries from writing signed URLs into a log, where they are or where they lead."""

    def filter(self, record: logging.LogRecord) -> bool:  # noqa: ARG002 - as every filter
        return not _reading.get()


for _name in ("httpx", "httpcore.connection", "httpcore.http11", "httpcore.http2", "httpcore.proxy"):
    logging.getLogger(_name).addFilter(_Quiet())
