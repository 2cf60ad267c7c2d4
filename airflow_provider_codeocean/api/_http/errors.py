"""Errors of httpx as errors of the client, without secrets and with a remedy."""

from __future__ import annotations

import re
import socket
import ssl
from typing import TYPE_CHECKING, Any

import httpx

from airflow_provider_codeocean.api.errors import CodeOceanTransportError, UnexpectedAnswer
from airflow_provider_codeocean.api.request import Call, Effect

if TYPE_CHECKING:
    from collections.abc import Iterator


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
