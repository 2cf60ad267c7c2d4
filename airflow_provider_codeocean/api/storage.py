"""Reading files behind signed URLs, from whichever host stores them, without credentials."""

from __future__ import annotations

import hashlib
import ipaddress
import logging
import re
import socket
from base64 import b64decode
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx

from airflow_provider_codeocean import __version__
from airflow_provider_codeocean.api._http.deadline import PARTS, bound, within
from airflow_provider_codeocean.api._http.errors import is_untrusted, reason
from airflow_provider_codeocean.api.errors import CodeOceanTransportError, StorageRefused
from airflow_provider_codeocean.api.retry import retry_after
from airflow_provider_codeocean.api.secret import Secret
from airflow_provider_codeocean.api.security import check_encryption, is_loopback

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Bytes that are read at a time.
CHUNK = 1024 * 1024
#: How many timeouts a :data:`CHUNK` may take.
CHUNK_PARTS = 10.0
MAX_REDIRECTS = 3

_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18})")
_LENGTH = re.compile(r"\d{1,18}")
_STRONG_ETAG = re.compile(r'"[!#-~]{1,500}"')
#: Headers that S3, Google Cloud Storage, and Azure send with each file.
_OBJECT_STORE = frozenset({"x-amz-request-id", "x-goog-hash", "x-ms-request-id"})
_MD5_ETAG = re.compile(r'"([0-9a-f]{32})"')
#: AWS's metadata services by IPv6. All others that are known to have an address of their own are link-local.
_METADATA = ipaddress.ip_network("fd00:ec2::/32")
#: Whoever has a signed URL has the file: while this is set, no library logs one.
_reading = ContextVar("reading a signed URL", default=False)


@dataclass(frozen=True, slots=True)
class Checksum:
    """A checksum of a whole file.

    :param algorithm: its name for :mod:`hashlib`.
    :param digest: the expected digest.
    :param is_certain: False for an ETag, which is an MD5 on S3, but not on every server that imitates S3.
    """

    algorithm: str
    digest: bytes
    is_certain: bool = True


@dataclass(frozen=True, slots=True)
class FilePart:
    """A response with a file, or the rest of a file.

    :param start: position of the first byte; 0 if the host sends the whole file, even if it was asked for a
        part.
    :param size: bytes of the whole file; None if the host does not state it.
    :param validator: a strong ETag, or else the date of the last change: as long as it stays the same, so do
        the bytes. None if the host sends neither.
    :param checksum: a checksum of the whole file, if the host sends one.
    :param is_object_store: whether its headers are those of an object store, and not of a proxy.
    :param chunks: the bytes, about :data:`CHUNK` at a time; raises CodeOceanTransportError if the response
        breaks off.
    """

    start: int
    size: int | None
    validator: str | None
    checksum: Checksum | None
    is_object_store: bool
    chunks: Iterator[bytes]


class Storage:
    """Reads files behind signed URLs. It can be used by several threads at once.

    It has no access token, and keeps addresses out of logs and errors: whoever has one can read the file.
    It refuses link-local addresses, which include the metadata services of clouds, and addresses of this
    machine unless Code Ocean runs there, too.

    :param timeout: seconds to connect, and to wait for each part of a response. The headers may take twice as
        long, and each :data:`CHUNK` of a file ten times.
    :param deployment: address of the Code Ocean deployment.
    :param require_tls: whether to refuse addresses without https, except for those of this machine.
    :param **options: options of the HTTP client: ``verify``, ``proxy``, ``transport``.
    :ivar chunk_seconds: how long a :data:`CHUNK` may take.
    """

    def __init__(
        self, timeout: float, *, deployment: str = "", require_tls: bool = False, **options: Any
    ) -> None:
        self._deployment = urlsplit(deployment).hostname or ""
        self._require_tls = require_tls
        # With compression on the way, the number of bytes would differ from the file's.
        headers = {"Accept-Encoding": "identity", "User-Agent": f"airflow-provider-codeocean/{__version__}"}
        self._timeout = timeout
        self.chunk_seconds = CHUNK_PARTS * timeout
        client = httpx.Client(headers=headers, follow_redirects=False, timeout=timeout, **options)
        self._http = bound(client, self._check_address)

    @contextmanager
    def read(self, url: str, start: int = 0, validator: str | None = None) -> Iterator[FilePart]:
        """Read a file, or the rest of it.

        :param url: its signed URL.
        :param start: position of the first byte to send. The host may send the whole file all the same.
        :param validator: validator of the bytes before ``start``: a host that has different ones by now
            should send the whole file.
        :yields: the response.
        :raises StorageRefused: if the host refuses, for example because the URL has expired.
        :raises CodeOceanTransportError: if the host cannot be reached, breaks off, or may not be contacted.
        """
        url = Secret(url)
        headers = {"Range": f"bytes={start}-"} if start else {}
        if start and validator:
            headers["If-Range"] = validator
        outer = _reading.set(True)
        try:
            try:
                response = self._open(url, headers)
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

    def _open(self, url: str, headers: dict[str, str]) -> httpx.Response:
        request = self._http.build_request("GET", url, headers=headers)
        for redirects in range(MAX_REDIRECTS + 1):
            # Code Ocean's own URL stays wrong. A redirect may come from a proxy, and be gone a minute later.
            self._check(request.url, transient=redirects > 0)
            with within(PARTS * self._timeout):
                response = self._http.send(request, stream=True)
            if response.status_code in {HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT}:
                return response
            response.close()
            if response.next_request is None:
                raise StorageRefused(
                    f"the host of the file answered {response.status_code}",
                    status=response.status_code,
                    retry_after=retry_after(response.headers),
                )
            if request.url.scheme == "https" != response.next_request.url.scheme:
                raise CodeOceanTransportError("the host of the file redirects to an address without https")
            request = response.next_request
        raise CodeOceanTransportError(f"the host of the file redirects more than {MAX_REDIRECTS} times")

    def _check(self, url: httpx.URL, *, transient: bool) -> None:
        try:
            check_encryption(str(url), required=self._require_tls)
        except ValueError as error:
            problem = f"the file cannot be downloaded: {error}"
            raise CodeOceanTransportError(problem, transient=transient) from None
        self._check_address(url.raw_host.decode(), transient=transient)  # a proxy would connect to it

    def _check_address(self, host: str, *, transient: bool = True) -> None:
        """Refuse addresses that no host of files has. Names are checked when they are resolved."""
        address = _address(host)
        if address is None:
            return
        if address.is_link_local or address in _METADATA:
            problem = "link-local, as those of a cloud's metadata services are"
        elif (address.is_loopback or address.is_unspecified) and not self._is_deployment_local():
            problem = "of this machine, but Code Ocean does not run here"
        else:
            return
        raise CodeOceanTransportError(
            f"the file cannot be downloaded: its host has the address {address}, which is {problem}",
            transient=transient,
        )

    def _is_deployment_local(self) -> bool:
        if is_loopback(self._deployment):
            return True
        with suppress(OSError, UnicodeError):
            found = socket.getaddrinfo(self._deployment, None, type=socket.SOCK_STREAM)
            return any(is_loopback(str(address[0])) for *_, address in found)
        return False


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the address that a host is given as, in any notation; None for a name."""
    if host.lower().rstrip(".") == "localhost":
        host = "127.0.0.1"
    with suppress(ValueError):
        address = ipaddress.ip_address(host.strip("[]").partition("%")[0])
        return getattr(address, "ipv4_mapped", None) or address
    with suppress(OSError, ValueError):
        return ipaddress.IPv4Address(socket.inet_aton(host))  # such as 127.1 or 0x7f000001
    return None


def _part(response: httpx.Response, chunk_seconds: float) -> FilePart:
    start, size = 0, None
    if response.status_code == HTTPStatus.PARTIAL_CONTENT:
        match = _CONTENT_RANGE.fullmatch(response.headers.get("content-range", ""))
        if match is None:
            raise CodeOceanTransportError("the host of the file does not say which part of it it sends")
        start, size = int(match[1]), int(match[2])
    elif _LENGTH.fullmatch(length := response.headers.get("content-length", "")):
        size = int(length)
    return FilePart(
        start,
        size,
        _validator(response.headers),
        _checksum(response),
        not _OBJECT_STORE.isdisjoint(response.headers),
        _chunks(response, chunk_seconds),
    )


def _validator(headers: httpx.Headers) -> str | None:
    """Return a validator that two parts of a file may be joined by: a weak one allows different bytes."""
    etag = headers.get("etag")
    if etag is not None:
        return etag if _STRONG_ETAG.fullmatch(etag) else None
    changed = headers.get("last-modified", "")
    with suppress(ValueError, OverflowError, TypeError):
        # RFC 9110, 8.8.2.2: within the same second, the file may have changed again.
        age = parsedate_to_datetime(headers.get("date", "")) - parsedate_to_datetime(changed)
        return changed if age.total_seconds() >= 1 else None
    return None


def _checksum(response: httpx.Response) -> Checksum | None:
    """Return the best checksum of the whole file that a response states, whatever part of it it brings.

    Sources: RFC 9530, RFC 3230, RFC 1864, and the documentation of Amazon S3, Google Cloud Storage, and
    Azure.
    """
    headers = response.headers
    stated = [headers.get(name, "") for name in ("repr-digest", "digest", "x-goog-hash")]
    stated.append(f"md5={headers.get('x-ms-blob-content-md5', '')}")
    if response.status_code == HTTPStatus.OK:  # else these may be about the part
        stated += [headers.get("content-digest", ""), f"md5={headers.get('content-md5', '')}"]
        stated += [f"{name}={headers.get(f'x-amz-checksum-{name}', '')}" for name in ("sha256", "sha1")]
    digests = {}
    for name, _, value in (item.strip().partition("=") for item in ",".join(stated).split(",")):
        if value:
            with suppress(ValueError):
                digests[name.lower().replace("-", "")] = b64decode(value.strip(":"), validate=True)
    for algorithm in ("sha512", "sha256", "sha1", "md5"):
        size = hashlib.new(algorithm, usedforsecurity=False).digest_size
        if len(digests.get(algorithm, b"")) == size:
            return Checksum(algorithm, digests[algorithm])
    etag = _MD5_ETAG.fullmatch(headers.get("etag", ""))
    is_s3 = "x-amz-request-id" in headers or headers.get("server") == "AmazonS3"
    # With a key of KMS or of the customer, and in directory buckets, the ETag is no MD5.
    if (
        etag
        and is_s3
        and headers.get("x-amz-server-side-encryption", "AES256") == "AES256"
        and "x-amz-server-side-encryption-customer-algorithm" not in headers
        and headers.get("x-amz-storage-class") != "EXPRESS_ONEZONE"
    ):
        return Checksum("md5", bytes.fromhex(etag[1]), is_certain=False)
    return None


def _chunks(response: httpx.Response, chunk_seconds: float) -> Iterator[bytes]:
    # Raw: Code Ocean lists the size of the file as it is stored, which may be compressed.
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
    """Return a network error as an error of ours that does not show the address."""
    if isinstance(error, httpx.UnsupportedProtocol | httpx.InvalidURL):  # their texts may repeat it
        return CodeOceanTransportError("the URL of the file is none", transient=False)
    return CodeOceanTransportError(
        f"the host of the file sent nothing, or not all ({type(error).__name__}: {reason(error)})",
        transient=not is_untrusted(error),
    )


class _Quiet(logging.Filter):
    """Keeps the HTTP libraries from logging signed URLs, and the addresses that they redirect to."""

    def filter(self, record: logging.LogRecord) -> bool:  # noqa: ARG002 - the signature of every filter
        return not _reading.get()


for _name in ("httpx", "httpcore.connection", "httpcore.http11", "httpcore.http2", "httpcore.proxy"):
    logging.getLogger(_name).addFilter(_Quiet())
