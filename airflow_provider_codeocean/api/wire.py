"""HTTP, as clients and storage share it: trust, bounded answers, errors without secrets.

It, ``deadline.py`` and the two know httpx, and nothing else does.
"""

from __future__ import annotations

import os
import re
import socket
import ssl
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from airflow_provider_codeocean.api.answer import Response
from airflow_provider_codeocean.api.call import Call, Effect
from airflow_provider_codeocean.api.errors import CodeOceanTransportError, NoCertificates, UnexpectedAnswer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_codeocean.api.token import Credentials

_MIB = 1024 * 1024
#: Bytes that are read of an answer with an error status: its message is at the beginning.
MAX_ERROR_ANSWER = _MIB
#: In which answers may be compressed. Each multiplies what comes by a thousand at the most, others by more.
CODINGS = ("gzip", "deflate")

_NEVER_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)
#: Where an error about what is no HTTP, or about an address that is none, begins to quote it.
_QUOTED = re.compile(r":? (?:bytearray\(|b['\"])|(?<=in location header):")
#: The remedies of errors, by the class of one of their causes.
_REMEDIES: dict[type[BaseException], str] = {
    socket.gaierror: "the name of the host cannot be resolved. Check its spelling, and this machine's DNS",
    ConnectionRefusedError: "nothing listens there. Check host, port, and proxy",
    ssl.SSLCertVerificationError: "the certificate is not trusted. Check the host, and the option verify",
}
_SPEAKS_HTTP = (
    "the server speaks http, not https. Check the port. Give the host with http:// only if the token may be "
    "sent unencrypted"
)
#: What OpenSSL calls a response without TLS: it depends on the release, and on the first bytes.
_NO_TLS = frozenset(
    {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"}
)
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


def transport_error(call: Call[Any], error: httpx.HTTPError | httpx.InvalidURL) -> CodeOceanTransportError:
    """Return the error for a request that failed on the way.

    :param call: the request.
    :param error: the error of the HTTP library. Raise ours ``from None``: the variables in the frames of the
        other are headers, and addresses with signatures.
    :returns: the error to raise. It says whether the request may have been applied, and names the remedy.
    """
    request = f"{call.method} {call.path}"
    sent = not isinstance(error, _NEVER_SENT)
    maybe_applied = sent and call.effect is not Effect.READ
    # Our own URLs are valid: an invalid one is where a proxy redirects to.
    if isinstance(error, httpx.InvalidURL) or "in location header" in str(error):
        return UnexpectedAnswer(
            f"{request} got a response that is not Code Ocean's: a redirect to an invalid URL",
            maybe_applied=maybe_applied,
        )
    happened = "got no answer" if sent else "could not be sent"
    return CodeOceanTransportError(
        f"{request} {happened} ({type(error).__name__}: {reason(error)}){_remedy(error)}",
        maybe_applied=maybe_applied,
        transient=not is_untrusted(error) and not isinstance(error, httpx.UnsupportedProtocol),
    )


def reason(error: Exception) -> str:
    """Return the text of an error of the HTTP library.

    :param error: the error.
    :returns: its text, without the bytes that it quotes: they may be the request, sent back.
    """
    text = _QUOTED.split(str(error))[0] if isinstance(error, httpx.ProtocolError) else str(error)
    return text or type(error).__name__


def is_untrusted(error: BaseException) -> bool:
    """Return whether a server's certificate is not trusted: then a retry does not help.

    :param error: the error of the HTTP library.
    :returns: whether it is.
    """
    return any(isinstance(cause, ssl.SSLCertVerificationError) for cause in _causes(error))


def _remedy(error: BaseException) -> str:
    """Return what to check after an error, as the end of a message; empty if that is not known."""
    for cause in _causes(error):
        for kind, remedy in _REMEDIES.items():
            if isinstance(cause, kind):
                return f": {remedy}"
        if isinstance(cause, ssl.SSLError) and cause.reason in _NO_TLS:
            return f": {_SPEAKS_HTTP}"
        if isinstance(cause, httpx.RemoteProtocolError) and "illegal status line" in str(cause):
            return ": this is not a web server. Check host and port"
    return ""


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all that it came from; trying several addresses leads to a group."""
    yield error
    for cause in (error.__cause__ or error.__context__, *getattr(error, "exceptions", ())):
        if cause is not None:
            yield from _causes(cause)


def stamp(verify: bool | str) -> tuple[str, int, int] | None:
    """Return what tells whether the certificates at a path were replaced.

    :param verify: what :func:`ssl_context` takes; True is the path that OpenSSL's environment variables name.
    :returns: the path, when it was written, in nanoseconds, and its bytes; None where there is no path, or
        nothing at it. Of a folder only files that come, go or are renamed count.
    """
    path = os.getenv("SSL_CERT_FILE") or os.getenv("SSL_CERT_DIR") if verify is True else verify
    if not path:
        return None
    try:
        found = Path(path).stat()
    except (OSError, ValueError):
        return None
    return path, found.st_mtime_ns, found.st_size


def ssl_context(verify: bool | str) -> ssl.SSLContext:
    """Return the TLS context, made once for the same certificates: that costs more than many requests.

    :param verify: False verifies nothing; a path is that of certificates to trust, and no others.
    :returns: the context.
    :raises NoCertificates: where there are none at the path.
    """
    return _ssl_context(verify, stamp(verify))


@lru_cache(maxsize=16)
def _ssl_context(verify: bool | str, _stamp: tuple[str, int, int] | None) -> ssl.SSLContext:
    if isinstance(verify, bool):
        return _usual_ssl_context(verify=verify)
    try:
        if Path(verify).is_dir():
            return ssl.create_default_context(capath=verify)
        return ssl.create_default_context(cafile=verify)
    except OSError as error:  # not there, not to be read, or no certificates
        raise NoCertificates(
            f"verify must be true, false or the path of certificates to trust, got {verify!r}: {error}"
        ) from error


def _usual_ssl_context(*, verify: bool) -> ssl.SSLContext:
    """Make one that trusts what OpenSSL's environment variables name, or else the usual authorities."""
    try:
        return httpx.create_ssl_context(verify=verify)
    except OSError as error:
        raise NoCertificates(
            "the environment variable SSL_CERT_FILE or SSL_CERT_DIR must be the path of certificates to "
            f"trust: {error}"
        ) from error


def proxy_at(url: str | None, verify: bool | str) -> httpx.Proxy | None:
    """Return a proxy whose certificate, where it has one, is verified as those of hosts of files are.

    :param url: its address; None where there is none.
    :param verify: what :func:`ssl_context` takes. False is said of the server behind the proxy, not of it.
    :returns: the proxy.
    :raises ValueError: where it is no address; it is not repeated, because it may hold a password.
    """
    if url is None:
        return None
    try:
        address = httpx.URL(url)
    except httpx.InvalidURL:
        raise ValueError("proxy must be the address of an HTTP proxy") from None
    trusted = storage_ssl_context(verify or True) if address.scheme == "https" else None
    return httpx.Proxy(address, ssl_context=trusted)


def storage_ssl_context(verify: bool | str) -> ssl.SSLContext:
    """Return the TLS context for hosts of files: a path adds to the authorities that are trusted anyway.

    A deployment with a certificate of an authority of its own may keep its files with a public cloud.

    :param verify: what :func:`ssl_context` takes.
    :returns: the context.
    :raises NoCertificates: where there are none at the path, or where the environment says that some are.
    """
    context = ssl_context(verify)  # says what is wrong with the path
    return context if isinstance(verify, bool) else _storage_ssl_context(verify, stamp(verify), stamp(True))


@lru_cache(maxsize=16)
def _storage_ssl_context(verify: str, *_stamps: tuple[str, int, int] | None) -> ssl.SSLContext:
    context = _usual_ssl_context(verify=True)
    is_folder = Path(verify).is_dir()
    context.load_verify_locations(capath=verify if is_folder else None, cafile=None if is_folder else verify)
    return context
