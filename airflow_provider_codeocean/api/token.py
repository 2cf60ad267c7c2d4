"""The access token that a client uses, which may be replaced while it does."""

from __future__ import annotations

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
#: What of a token, or of its Base64, JSON, HTML and URLs may write by its number.
_WRITTEN_BY_NUMBER = frozenset("+/=_-.:")


class Credentials:
    """An access token, held where no attribute has it: neither ``vars`` nor a template finds it.

    :param token: the token.
    :ivar authorize: puts it into a request's headers.
    :ivar are_of: tells whether a token is the same.
    :ivar redact: takes it out of what a server has sent: some show the request that they refuse.
    """

    __slots__ = ("are_of", "authorize", "redact")

    authorize: Callable[[httpx.Request], httpx.Request]
    are_of: Callable[[str], bool]
    redact: Callable[[bytes], bytes]

    def __init__(self, token: str) -> None:
        encoded = basic(token)
        header = Secret(f"Basic {encoded}")
        written = b"|".join(_however_written(each) for each in (token, encoded.rstrip("=")))
        traces = re.compile(written, re.IGNORECASE)  # a host in an address comes in lower case

        def authorize(request: httpx.Request) -> httpx.Request:
            request.headers["Authorization"] = header
            return request

        def redact(content: bytes) -> bytes:
            return traces.sub(b"***", content)

        self.authorize = authorize
        self.are_of = lambda other: other == token
        self.redact = redact


def _however_written(text: str) -> bytes:
    """Return a pattern that finds a text also where a server has quoted it."""
    return "".join(
        rf"(?:\\?{re.escape(each)}|\\u00{ord(each):02x}|%{ord(each):02x}|&#0*{ord(each)};|&#x0*{ord(each):x};)"
        if each in _WRITTEN_BY_NUMBER
        else re.escape(each)
        for each in text
    ).encode()


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
