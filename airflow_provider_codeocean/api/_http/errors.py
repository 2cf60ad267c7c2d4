"""Convert httpx's errors to the client's, without secrets and with a remedy."""

from __future__ import annotations

import re
import socket
import ssl
from typing import TYPE_CHECKING, Any

from airflow_provider_codeocean.api._http.library import httpx
from airflow_provider_codeocean.api.errors import CodeOceanTransportError, UnexpectedResponse
from airflow_provider_codeocean.api.request import Idempotency, Request

if TYPE_CHECKING:
    from collections.abc import Iterator


_NOT_SENT_ERRORS = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)
#: Start of the quoted input in errors about invalid HTTP and invalid redirects.
_QUOTED_INPUT = re.compile(r":? (?:bytearray\(|b['\"])|(?<=in location header):")
#: Remedies by the class of the error or of one of its causes.
_REMEDIES: dict[type[BaseException], str] = {
    socket.gaierror: "the name of the host cannot be resolved. Check its spelling, and this machine's DNS",
    ConnectionRefusedError: "nothing listens there. Check host, port, and proxy",
    ssl.SSLCertVerificationError: "the certificate is not trusted. Check the host, and the option verify",
}
_PLAIN_HTTP_REMEDY = (
    "the server speaks http, not https. Check the port. Give the host with http:// only if the token may be "
    "sent unencrypted"
)
#: OpenSSL's reasons for a response without TLS, which depend on its release and on the first bytes.
_PLAIN_HTTP_REASONS = frozenset(
    {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"}
)


def to_transport_error(
    request: Request[Any], error: httpx.HTTPError | httpx.InvalidURL
) -> CodeOceanTransportError:
    """Return the error to raise for a request that got no response. It names the remedy, if that is known.

    :param request: the request.
    :param error: httpx's error. Raise the returned error from its :func:`safe_cause`.
    :returns: the error.
    """
    is_sent = not isinstance(error, _NOT_SENT_ERRORS)
    may_have_been_applied = is_sent and request.idempotency is not Idempotency.SAFE
    # Our own URLs are valid, so an invalid one is the target of a redirect.
    if isinstance(error, httpx.InvalidURL) or "in location header" in str(error):
        return UnexpectedResponse(
            f"{request} got a response that is not Code Ocean's: a redirect to an invalid URL",
            may_have_been_applied=may_have_been_applied,
        )
    problem = "got no answer" if is_sent else "could not be sent"
    return CodeOceanTransportError(
        f"{request} {problem} ({type(error).__name__}: {error_text(error)}){_remedy(error)}",
        may_have_been_applied=may_have_been_applied,
        is_transient=not is_certificate_error(error) and not isinstance(error, httpx.UnsupportedProtocol),
    )


def error_text(error: Exception) -> str:
    """Return the text of httpx's error, without quoted bytes: a server may send the request back."""
    text = _QUOTED_INPUT.split(str(error))[0] if isinstance(error, httpx.ProtocolError) else str(error)
    return text or type(error).__name__


def safe_cause(error: Exception) -> Exception | None:
    """Return httpx's error as the cause for tracebacks, or None if its text can quote a token or a URL."""
    return (
        None
        if isinstance(error, httpx.ProtocolError | httpx.InvalidURL | httpx.UnsupportedProtocol)
        else error
    )


def is_certificate_error(error: BaseException) -> bool:
    """Return whether a server's certificate is not trusted, so that a retry does not help."""
    return any(isinstance(cause, ssl.SSLCertVerificationError) for cause in _iter_causes(error))


def _remedy(error: BaseException) -> str:
    """Return the end of the error message: the remedy, or nothing if none is known."""
    for cause in _iter_causes(error):
        for kind, remedy in _REMEDIES.items():
            if isinstance(cause, kind):
                return f": {remedy}"
        if isinstance(cause, ssl.SSLError) and cause.reason in _PLAIN_HTTP_REASONS:
            return f": {_PLAIN_HTTP_REMEDY}"
        if isinstance(cause, httpx.RemoteProtocolError) and "illegal status line" in str(cause):
            return ": this is not a web server. Check host and port"
    return ""


def _iter_causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and its causes. Connecting to several addresses can raise a group."""
    yield error
    for cause in (error.__cause__ or error.__context__, *getattr(error, "exceptions", ())):
        if cause is not None:
            yield from _iter_causes(cause)
