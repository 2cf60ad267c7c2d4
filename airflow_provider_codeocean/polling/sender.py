"""Sends a poller's requests, in step with the connection's pace."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, TypeVar

from airflow_provider_codeocean.api.errors import (
    CodeOceanError,
    CodeOceanTransportError,
    RateLimited,
    Unauthorized,
)
from airflow_provider_codeocean.polling.grace import Grace

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from airflow_provider_codeocean.api.call import Call
    from airflow_provider_codeocean.api.client import CodeOceanAsyncClient
    from airflow_provider_codeocean.polling.pace import Pace
    from airflow_provider_codeocean.polling.report import Report

    #: Makes a client. A ``ValueError`` says that there never will be one; any other error may pass.
    Connect = Callable[[], Awaitable[CodeOceanAsyncClient]]

T = TypeVar("T")

log = logging.getLogger(__name__)

#: Seconds between two attempts to have the connection, at most.
_LONGEST_RECONNECT = 30.0
#: Seconds for which one attempt may take: all who share the client wait for it.
_CONNECT_SECONDS = 60.0


class Sender:
    """The way to Code Ocean that all waits of a poller share.

    :param connect: makes a client.
    :param name: name of the connection.
    :param pace: learns from what becomes of each request.
    :param report: is told of each request.
    :param now: the event loop's clock.
    :ivar trouble: why the last request failed, or there is no client; None where neither is so.
    """

    _client: CodeOceanAsyncClient
    _grace: Grace

    def __init__(
        self, connect: Connect, *, name: str, pace: Pace, report: Report, now: Callable[[], float]
    ) -> None:
        self.trouble: CodeOceanError | None = None
        self._connect = connect
        self._name = name
        self._pace = pace
        self._report = report
        self._now = now
        self._is_open = False

    async def open(self) -> None:
        """Make the client, however often that takes.

        :raises ValueError: where there never will be one.
        """
        pause = 1.0
        while True:
            try:
                async with asyncio.timeout(_CONNECT_SECONDS):
                    self._client = await self._connect()
            except ValueError:
                raise
            except Exception as error:  # noqa: BLE001 - whatever backend there is, with errors of its own
                why = str(error) or type(error).__name__
                self.trouble = CodeOceanTransportError(f"connection {self._name} is not to be had: {why}")
                log.warning("Connection %s is not to be had: %s", self._name, why)
            else:
                self.trouble = None
                self._grace = Grace(self._name, self._client.token_grace, self._now)
                self._is_open = True
                return
            await asyncio.sleep(pause)
            pause = min(_LONGEST_RECONNECT, 2 * pause)

    async def close(self) -> None:
        """Close the client, if there is one."""
        if self._is_open:
            await self._client.aclose()

    @property
    def is_outdated(self) -> bool:
        """Whether the certificates that it trusts were replaced since."""
        return self._is_open and self._client.is_outdated

    async def turn(self) -> None:
        """Wait until the pace lets another request be sent."""
        await asyncio.sleep(self._pace.reserve())

    async def send(self, call: Call[T], kind: str) -> T:
        """Send a request.

        :param call: the request.
        :param kind: ``search`` or ``read``, for the metrics.
        :returns: the answer.
        :raises CodeOceanError: where there is none, or not the one that was wanted.
        """
        sent_at = self._now()
        self._report.request(kind)
        try:
            answer = await self._client.send(call)
        except RateLimited as error:
            self.trouble = error
            self._pace.throttled(sent_at, error.retry_after)
            self._report.throttled()
            raise
        except CodeOceanError as error:
            borne = self._grace.weigh(error)
            self._take_error(borne, sent_at, call.path)
            raise borne from error.__cause__
        self._grace.accepted()
        self._pace.succeeded()
        self.trouble = None
        return answer

    def _take_error(self, error: CodeOceanError, sent_at: float, path: str) -> None:
        retry_after = getattr(error, "retry_after", None)
        is_refused = isinstance(error, Unauthorized)
        if is_refused:
            self._report.refused()
        if not error.transient:  # an answer, though not the one that was wanted
            self._pace.succeeded()
            return
        self.trouble = error
        if not is_refused:
            self._report.failed(error)
        if retry_after is None:
            self._pace.failed(sent_at, path)
        else:
            self._pace.throttled(sent_at, retry_after)
