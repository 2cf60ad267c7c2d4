"""Reading files behind signed URLs, from whichever host stores them, without credentials."""

from __future__ import annotations

import hashlib
import ipaddress
import re
import socket
from base64 import b64decode
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_provider_codeocean import __version__
from airflow_provider_codeocean.api._http.body import Deadline
from airflow_provider_codeocean.api._http.errors import error_text, is_certificate_error, safe_cause
from airflow_provider_codeocean.api._http.library import httpx
from airflow_provider_codeocean.api._http.logging import is_reading_signed_url
from airflow_provider_codeocean.api.errors import CodeOceanTransportError, StorageError
from airflow_provider_codeocean.api.retry import parse_retry_after
from airflow_provider_codeocean.api.secret import Secret
from airflow_provider_codeocean.api.security import check_encryption, is_loopback

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

CHUNK_BYTES = 1024 * 1024
#: A chunk may take this many timeouts.
CHUNK_TIMEOUT_FACTOR = 10.0
MAX_REDIRECTS = 3
_INVALID_REDIRECT = "the host of the file redirects to an invalid URL"

_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18})")
_CONTENT_LENGTH = re.compile(r"\d{1,18}")
_STRONG_ETAG = re.compile(r'"[!#-~]{1,500}"')
#: Headers that S3, Google Cloud Storage, and Azure send with each file.
_OBJECT_STORE_HEADERS = frozenset({"x-amz-request-id", "x-goog-hash", "x-ms-request-id"})
_MD5_ETAG = re.compile(r'"([0-9a-f]{32})"')
#: AWS's metadata services. Those of other clouds are link-local.
_AWS_METADATA_NETWORK = ipaddress.ip_network("fd00:ec2::/32")


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
class FileResponse:
    """A response with a file, or the rest of a file.

    :param start: position of the first byte; 0 if the host sends the whole file, even if it was asked for a
        part.
    :param size: bytes of the whole file; None if the host does not state it.
    :param validator: a strong ETag, or else the date of the last change: as long as it stays the same, so do
        the bytes. None if the host sends neither.
    :param checksum: a checksum of the whole file, if the host sends one.
    :param is_object_store: whether its headers are those of an object store, and not of a proxy.
    :param chunks: the bytes, about :data:`CHUNK_BYTES` at a time; raises CodeOceanTransportError if the
        response breaks off.
    """

    start: int
    size: int | None
    validator: str | None
    checksum: Checksum | None
    is_object_store: bool
    chunks: Iterator[bytes]


class SignedUrlReader:
    """Reads files behind signed URLs. It can be used by several threads at once.

    It has no access token, and keeps URLs out of logs and errors: whoever has one can read the file. It
    rejects link-local addresses, which include the metadata services of clouds, and loopback addresses unless
    Code Ocean runs on this machine, too.

    :param timeout: seconds to connect, and to wait for each part of a response. Each chunk of a file may take
        ten times as long.
    :param deployment: address of the Code Ocean deployment.
    :param require_tls: reject addresses without https, except for loopback addresses.
    :param **options: options of the HTTP client: ``verify``, ``proxy``, ``transport``.
    :ivar chunk_timeout: seconds that a chunk may take.
    """

    def __init__(
        self, timeout: float, *, deployment: str = "", require_tls: bool = False, **options: Any
    ) -> None:
        self._deployment_host = urlsplit(deployment).hostname or ""
        self._require_tls = require_tls
        # A compressed response would have another number of bytes than the file.
        headers = {"Accept-Encoding": "identity", "User-Agent": f"airflow-provider-codeocean/{__version__}"}
        self.chunk_timeout = CHUNK_TIMEOUT_FACTOR * timeout
        self._http = httpx.Client(headers=headers, follow_redirects=False, timeout=timeout, **options)

    @contextmanager
    def read(self, url: str, start: int = 0, validator: str | None = None) -> Iterator[FileResponse]:
        """Read a file, or the rest of it.

        :param url: its signed URL.
        :param start: position of the first byte to request. The host may send the whole file nevertheless.
        :param validator: validator of the bytes before ``start``. If the file has changed since, the host
            should send it whole.
        :yields: the response.
        :raises StorageError: if the host rejects the request, for example because the URL has expired.
        :raises CodeOceanTransportError: if the host cannot be reached, or its address is not allowed.
        """
        url = Secret(url)
        headers = {"Range": f"bytes={start}-"} if start else {}
        if start and validator:
            headers["If-Range"] = validator
        outer = is_reading_signed_url.set(True)
        try:
            try:
                response = self._open(url, headers)
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                raise _to_transport_error(error) from safe_cause(error)
            try:
                yield _to_file_response(response, self.chunk_timeout)
            finally:
                response.close()
        finally:
            is_reading_signed_url.reset(outer)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _open(self, url: str, headers: dict[str, str]) -> httpx.Response:
        request = self._http.build_request("GET", url, headers=headers)
        for redirects in range(MAX_REDIRECTS + 1):
            # Code Ocean's own URL stays the same. A redirect may come from a proxy, and only for a minute.
            self._check_url(request.url, is_transient=redirects > 0)
            request.extensions["trace"] = _ConnectionCheck(request.url.raw_host.decode(), self._check_address)
            response = self._http.send(request, stream=True)
            if response.status_code in {HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT}:
                return response
            response.close()
            if response.next_request is None and response.has_redirect_location:  # httpx raises an error
                raise CodeOceanTransportError(_INVALID_REDIRECT)
            if response.next_request is None:
                raise StorageError(
                    f"the host of the file answered {response.status_code}",
                    status=response.status_code,
                    retry_after=parse_retry_after(response.headers),
                )
            if request.url.scheme == "https" != response.next_request.url.scheme:
                raise CodeOceanTransportError("the host of the file redirects to an address without https")
            request = response.next_request
        raise CodeOceanTransportError(f"the host of the file redirects more than {MAX_REDIRECTS} times")

    def _check_url(self, url: httpx.URL, *, is_transient: bool) -> None:
        try:
            check_encryption(str(url), require_tls=self._require_tls)
        except ValueError as error:
            problem = f"the file cannot be downloaded: {error}"
            raise CodeOceanTransportError(problem, is_transient=is_transient) from None
        self._check_address(url.raw_host.decode(), is_transient=is_transient)  # a proxy would connect to it

    def _check_address(self, host: str, *, is_transient: bool = True) -> None:
        """Reject addresses that cannot be those of file hosts. Names are checked when they are resolved."""
        address = _parse_address(host)
        if address is None:
            return
        if address.is_link_local or address in _AWS_METADATA_NETWORK:
            problem = "link-local, as those of a cloud's metadata services are"
        elif (address.is_loopback or address.is_unspecified) and not self._is_deployment_local():
            problem = "of this machine, but Code Ocean does not run here"
        else:
            return
        raise CodeOceanTransportError(
            f"the file cannot be downloaded: its host has the address {address}, which is {problem}",
            is_transient=is_transient,
        )

    def _is_deployment_local(self) -> bool:
        if is_loopback(self._deployment_host):
            return True
        with suppress(OSError, UnicodeError):
            addresses = socket.getaddrinfo(self._deployment_host, None, type=socket.SOCK_STREAM)
            return any(is_loopback(str(address[0])) for *_, address in addresses)
        return False


class _ConnectionCheck:
    """Checks the addresses of a host before a request is sent. It is a trace: httpx calls it for events."""

    def __init__(self, host: str, check_address: Callable[[str], None]) -> None:
        self._host = host
        self._check_address = check_address
        self._is_direct = False

    def __call__(self, event: str, info: Mapping[str, Any]) -> None:
        if event == "connection.connect_tcp.started":
            self._is_direct = info["host"] == self._host  # else it connects to a proxy
            if self._is_direct:
                with suppress(OSError, UnicodeError):  # connecting raises the same error
                    for *_, address in socket.getaddrinfo(self._host, None, type=socket.SOCK_STREAM):
                        self._check_address(str(address[0]))
        elif event == "connection.connect_tcp.complete" and self._is_direct:
            # To connect, the name was resolved again, maybe to another address.
            stream = info["return_value"]
            try:
                self._check_address(stream.get_extra_info("server_addr")[0])
            except CodeOceanTransportError:
                stream.close()
                raise


def _parse_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Parse a host as an address in any notation; None for a name."""
    if host.lower().rstrip(".") == "localhost":
        host = "127.0.0.1"
    with suppress(ValueError):
        address = ipaddress.ip_address(host.strip("[]").partition("%")[0])
        return getattr(address, "ipv4_mapped", None) or address
    with suppress(OSError, ValueError):
        return ipaddress.IPv4Address(socket.inet_aton(host))  # such as 127.1 or 0x7f000001
    return None


def _to_file_response(response: httpx.Response, chunk_timeout: float) -> FileResponse:
    start, size = 0, None
    if response.status_code == HTTPStatus.PARTIAL_CONTENT:
        match = _CONTENT_RANGE.fullmatch(response.headers.get("content-range", ""))
        if match is None:
            raise CodeOceanTransportError("the host of the file does not say which part of it it sends")
        start, size = int(match[1]), int(match[2])
    elif _CONTENT_LENGTH.fullmatch(length := response.headers.get("content-length", "")):
        size = int(length)
    return FileResponse(
        start,
        size,
        _get_validator(response.headers),
        _find_checksum(response),
        not _OBJECT_STORE_HEADERS.isdisjoint(response.headers),
        _iter_chunks(response, chunk_timeout),
    )


def _get_validator(headers: httpx.Headers) -> str | None:
    """Return a validator with which parts of a file can be joined. Weak ones allow different bytes."""
    etag = headers.get("etag")
    if etag is not None:
        return etag if _STRONG_ETAG.fullmatch(etag) else None
    changed = headers.get("last-modified", "")
    with suppress(ValueError, OverflowError, TypeError):
        # RFC 9110, 8.8.2.2: within the same second, the file may have changed again.
        age = parsedate_to_datetime(headers.get("date", "")) - parsedate_to_datetime(changed)
        return changed if age.total_seconds() >= 1 else None
    return None


def _find_checksum(response: httpx.Response) -> Checksum | None:
    """Return the best checksum of the whole file in a response, which may contain only a part of it.

    Sources: RFC 9530, RFC 3230, RFC 1864, and the documentation of Amazon S3, Google Cloud Storage, and
    Azure.
    """
    headers = response.headers
    stated = [headers.get(name, "") for name in ("repr-digest", "digest", "x-goog-hash")]
    stated.append(f"md5={headers.get('x-ms-blob-content-md5', '')}")
    if response.status_code == HTTPStatus.OK:  # else they may be those of the part
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
    # If KMS or the customer provides the key, and in directory buckets, the ETag is not an MD5.
    if (
        etag
        and is_s3
        and headers.get("x-amz-server-side-encryption", "AES256") == "AES256"
        and "x-amz-server-side-encryption-customer-algorithm" not in headers
        and headers.get("x-amz-storage-class") != "EXPRESS_ONEZONE"
    ):
        return Checksum("md5", bytes.fromhex(etag[1]), is_certain=False)
    return None


def _iter_chunks(response: httpx.Response, chunk_timeout: float) -> Iterator[bytes]:
    # Raw, because Code Ocean lists the size of the file as it is stored, which may be compressed.
    parts = response.iter_raw()
    try:
        while True:
            deadline = Deadline(chunk_timeout)
            chunk = bytearray()
            while len(chunk) < CHUNK_BYTES and (part := next(parts, None)) is not None:
                chunk += part
                deadline.check()
            if not chunk:
                return
            yield bytes(chunk)
    except httpx.HTTPError as error:
        raise _to_transport_error(error) from safe_cause(error)


def _to_transport_error(error: httpx.HTTPError | httpx.InvalidURL) -> CodeOceanTransportError:
    """Convert httpx's error to an error that does not contain the URL."""
    if isinstance(error, httpx.UnsupportedProtocol | httpx.InvalidURL):
        return CodeOceanTransportError("invalid download URL", is_transient=False)
    if "in location header" in str(error):
        return CodeOceanTransportError(_INVALID_REDIRECT)
    return CodeOceanTransportError(
        f"the host of the file sent nothing, or not all ({type(error).__name__}: {error_text(error)})",
        is_transient=not is_certificate_error(error),
    )
