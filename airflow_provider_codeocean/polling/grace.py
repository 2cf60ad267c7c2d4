"""For how long who waits bears that the access token is refused: it may be about to be replaced."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from airflow_provider_codeocean.api.errors import CodeOceanError, Unauthorized

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

#: Seconds between two warnings.
_EVERY = 60.0


class Grace:
    """The time in which a refused token of one connection is no reason to end a wait.

    It begins with the first refusal, and is over with the first request that is not refused. The client
    itself sees to it that a token is used as soon as it is there
    (:mod:`~airflow_provider_codeocean.api.token`).

    :param name: name of the connection.
    :param seconds: how long it is.
    :param now: a monotonic clock, in seconds.
    """

    def __init__(self, name: str, seconds: float, now: Callable[[], float] = time.monotonic) -> None:
        self._name = name
        self._seconds = seconds
        self._now = now
        self._since: float | None = None
        self._warn_at = 0.0

    def weigh(self, error: CodeOceanError) -> CodeOceanError:
        """Take what a request ended in, and tell what that means for who waits.

        :param error: the error.
        :returns: the error to go on with: transient where the token was refused, and is still to be borne.
        """
        if isinstance(error, Unauthorized):
            return self._refused(error)
        if not error.transient:  # an answer to somebody who is known
            self.accepted()
        return error

    def accepted(self) -> None:
        """Take that a request was not refused."""
        if self._since is not None:
            log.warning("Connection %s: Code Ocean accepts the access token again", self._name)
            self._since = None

    def _refused(self, error: Unauthorized) -> Unauthorized:
        now = self._now()
        if self._since is None:
            self._since = self._warn_at = now
        refused_for = now - self._since
        left = self._seconds - refused_for
        if left <= 0:
            return Unauthorized(
                error.status,
                f"{error.message}. The access token of connection {self._name} has been refused for "
                f"{refused_for:.0f} s: put a valid one into the connection, then clear the tasks that failed",
                data=error.data,
                method=error.method,
                path=error.path,
            )
        if now >= self._warn_at:
            self._warn_at = now + _EVERY
            log.warning(
                "Code Ocean refuses the access token of connection %s: put a valid one into the connection, "
                "which is read again meanwhile. Waits bear it for %.0f s more, then they fail: %s",
                self._name,
                left,
                error,
            )
        error.transient = True
        return error
