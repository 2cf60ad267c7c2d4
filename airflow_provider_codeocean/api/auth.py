"""The access token that a client uses, which may be replaced while it does."""

from __future__ import annotations

import codecs
import json
import logging
import math
import re
import time
from typing import TYPE_CHECKING

from airflow_provider_codeocean.api.errors import Forbidden, Unauthorized
from airflow_provider_codeocean.api.secret import Secret, basic

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

log = logging.getLogger(__name__)

#: Answers after which it is asked whether there is another token by now. The server did nothing: whatever the
#: request was, it may be sent again.
REFUSALS = (Unauthorized, Forbidden)
#: Seconds between two such questions.
_PAUSE = 5.0
#: Shorter tokens, as tests use them, would match ordinary words. A real one has more than 30 characters.
_MIN_REDACTED_LENGTH = 8
#: A character that a token may have, as JSON may escape it; ``&``, ``<``, and ``>`` are often escaped.
_HIDDEN = re.compile(rb"\\u00(?:2[b-f]|3[0-9ad]|[4-7][0-9a-f])", re.IGNORECASE)
_ESCAPE = re.compile(r"\\u00([0-9a-fA-F]{2})")
#: Characters that encodings other than supersets of ASCII write differently.
_PROBE = "cop_+=-"


class Credentials:
    """An access token, which can authorize requests and be redacted from responses.

    Real tokens consist of letters, digits, ``_``, and ``-``: their Base64 has neither ``+`` nor ``/``, so
    that no quoting changes it.

    :param token: the token.
    """

    __slots__ = ("_forms", "_header", "_token")

    def __init__(self, token: str) -> None:
        encoded = basic(token)
        self._token = Secret(token)
        self._header = Secret(f"Basic {encoded}")
        forms = (Secret(json.dumps(token)[1:-1]), Secret(encoded.rstrip("=")))
        self._forms = [form for form in forms if len(form) >= _MIN_REDACTED_LENGTH]

    def authorize(self, request: httpx.Request) -> httpx.Request:
        """Put the token into a request's headers."""
        request.headers["Authorization"] = self._header
        return request

    def are_of(self, token: str) -> bool:
        """Return whether a token is the same."""
        return self._token == token

    def redact(self, text: str) -> str:
        """Replace the token, and its Base64, in a text."""
        for form in self._forms:
            text = text.replace(form, "***")
        return text

    def redact_body(self, body: bytes, charset: str | None = None) -> bytes:
        """Replace the token, and its Base64, in a response's body, however that is encoded.

        :param body: the body. Nearly all hold neither the token nor anything that could hide it: these are
            returned as they are.
        :param charset: the encoding that the response declares.
        :returns: the body without the token, in UTF-8 if it had to be decoded; empty if it cannot be
            searched.
        """
        if not _is_searchable(charset):
            return b""
        suspicious = (b"\0", *(form.encode() for form in self._forms))
        if not any(sign in body for sign in suspicious) and not _HIDDEN.search(body):
            return body
        return self.redact(_decoded(body)).encode()


def _is_searchable(charset: str | None) -> bool:
    """Return whether ASCII text is the same bytes in an encoding, or the encoding is recognized anyway."""
    try:
        return (
            charset is None
            or codecs.lookup(charset).name.startswith(("utf-16", "utf-32"))
            or _PROBE.encode(charset) == _PROBE.encode()
        )
    except UnicodeError:
        return False
    except LookupError:  # as if none were declared
        return True


def _decoded(body: bytes) -> str:
    """Return a body in which ASCII characters stand for themselves, neither escaped nor in two bytes."""
    try:
        return json.dumps(json.loads(body))  # whether in UTF-8, UTF-16, or UTF-32
    except (ValueError, RecursionError):
        text = body.replace(b"\0", b"").decode(errors="replace")
        return _ESCAPE.sub(lambda match: chr(int(match[1], 16)), text)


class Token:
    """An access token, which may be replaced.

    :param value: the token.
    :param url: address of the deployment that it is for.
    :param now: a monotonic clock, in seconds.
    :ivar credentials: of the token that is to be used now; others, once it is replaced.
    """

    def __init__(self, value: str, url: str, now: Callable[[], float] = time.monotonic) -> None:
        self.credentials = Credentials(value)
        self._url = url
        self._now = now
        self._asked_at = -math.inf

    def may_ask(self) -> bool:
        """Tell whether to ask for another one now; who is told so is to do it."""
        if self._now() - self._asked_at < _PAUSE:
            return False
        self._asked_at = self._now()
        return True

    def take(self, value: str) -> None:
        """Take what the question was answered with.

        :param value: the token that is valid now, as far as is known.
        """
        if not self.credentials.are_of(value):
            log.info("Code Ocean refused the access token for %s: going on with another one", self._url)
            self.credentials = Credentials(value)

    def say_unknown(self, error: Exception) -> None:
        """Say that the question was not answered.

        :param error: why it was not.
        """
        log.warning(
            "Whether there is another access token for %s could not be found out: %s",
            self._url,
            str(error) or type(error).__name__,
        )
