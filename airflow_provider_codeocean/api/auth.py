"""The access token of a client, which can be replaced while the client is in use."""

from __future__ import annotations

import logging
import math
import time
from typing import TYPE_CHECKING

from airflow_provider_codeocean.api.errors import Forbidden, Unauthorized
from airflow_provider_codeocean.api.secret import Secret, basic_auth_value

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

#: Errors after which the client reloads the token. The server did nothing, so any request can be resent.
AUTH_ERRORS = (Unauthorized, Forbidden)
_REFRESH_COOLDOWN_SECONDS = 5.0
#: Shorter tokens, as in tests, would match ordinary words. Real tokens have more than 30 characters.
_MIN_REDACTED_CHARACTERS = 8


class Credentials:
    """An access token that authorizes requests and is redacted from responses.

    :param token: the token.
    :ivar authorization: value of the header ``Authorization``.
    """

    __slots__ = ("_redacted_forms", "_token", "authorization")

    def __init__(self, token: str) -> None:
        encoded = basic_auth_value(token)
        self._token = Secret(token)
        self.authorization = Secret(f"Basic {encoded}")
        forms = (Secret(token), Secret(encoded.rstrip("=")))
        self._redacted_forms = [form for form in forms if len(form) >= _MIN_REDACTED_CHARACTERS]

    def matches(self, token: str) -> bool:
        """Return whether a token is the same."""
        return self._token == token

    def redact(self, text: str) -> str:
        """Replace the token and its Base64 form in a text."""
        for form in self._redacted_forms:
            text = text.replace(form, "***")
        return text

    def redact_body(self, body: bytes) -> bytes:
        """Replace the token and its Base64 form in a response's body."""
        for form in self._redacted_forms:
            body = body.replace(form.encode(), b"***")
        return body


class AccessToken:
    """An access token that can be replaced.

    :param value: the token.
    :param url: address of the deployment that it belongs to.
    :param clock: a monotonic clock, in seconds.
    :ivar credentials: credentials for the current token; another object once the token is replaced.
    """

    def __init__(self, value: str, url: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.credentials = Credentials(value)
        self._url = url
        self._clock = clock
        self._last_refresh_at = -math.inf

    def try_start_refresh(self) -> bool:
        """Return whether the token should be reloaded now, and start the cooldown."""
        if self._clock() - self._last_refresh_at < _REFRESH_COOLDOWN_SECONDS:
            return False
        self._last_refresh_at = self._clock()
        return True

    def replace(self, value: str) -> None:
        """Replace the token, unless it is the same."""
        if not self.credentials.matches(value):
            log.info("Code Ocean rejected the access token for %s; retrying with a new one", self._url)
            self.credentials = Credentials(value)

    def log_refresh_failure(self, error: Exception) -> None:
        """Log that the token provider failed."""
        reason = str(error) or type(error).__name__
        log.warning("Could not reload the access token for %s: %s", self._url, reason)
