"""The grace period of a refused access token: it may be about to be replaced."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from airflow_provider_codeocean.api.errors import CodeOceanError, Unauthorized

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

#: Seconds between two warnings.
_WARNING_INTERVAL = 60.0


class AuthGracePeriod:
    """The time for which waits tolerate that the access token of a connection is refused.

    It starts with the first refusal and ends with the first request that is not refused.

    :param name: name of the connection.
    :param seconds: how long it is.
    :param now: a monotonic clock, in seconds.
    :ivar seconds: how long it is.
    """

    def __init__(self, name: str, seconds: float, now: Callable[[], float] = time.monotonic) -> None:
        self.seconds = seconds
        self._name = name
        self._now = now
        self._since: float | None = None
        self._warn_at = 0.0

    def classify(self, error: CodeOceanError) -> CodeOceanError:
        """Decide whether a wait tolerates an error.

        :param error: the error.
        :returns: the error to raise: transient if the token was refused and the grace period is not over.
        """
        if isinstance(error, Unauthorized):
            return self._refused(error)
        if not error.transient:  # a response to a valid token
            self.reset()
        return error

    def reset(self) -> None:
        """Record that the token was accepted."""
        if self._since is not None:
            log.warning("Connection %s: Code Ocean accepts the access token again", self._name)
            self._since = None

    @property
    def is_refused(self) -> bool:
        """Whether the token is refused at present."""
        return self._since is not None

    def remaining(self) -> float:
        """Return the seconds for which a refusal is still tolerated."""
        return max(0.0, self.seconds - (0.0 if self._since is None else self._now() - self._since))

    def _refused(self, error: Unauthorized) -> Unauthorized:
        now = self._now()
        if self._since is None:
            self._since = self._warn_at = now
        refused_for = now - self._since
        remaining = self.seconds - refused_for
        if remaining <= 0:
            return Unauthorized(
                error.status,
                f"{error.message}. The access token of connection {self._name} has been refused for "
                f"{refused_for:.0f} s: put a valid one into the connection, then clear the tasks that failed",
                data=error.data,
                method=error.method,
                path=error.path,
            )
        if now >= self._warn_at:
            self._warn_at = now + _WARNING_INTERVAL
            log.warning(
                "Code Ocean refuses the access token of connection %s: put a valid one into the connection, "
                "which is read again meanwhile. Waits tolerate this for another %.0f s, then they fail: %s",
                self._name,
                remaining,
                error,
            )
        error.transient = True
        return error
