"""The client that all waits of a poller share. It is replaced when the connection is edited."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from typing import TYPE_CHECKING, TypeVar

from airflow_provider_codeocean.api.errors import (
    CodeOceanError,
    CodeOceanTransportError,
    Forbidden,
    RateLimited,
    Unauthorized,
)
from airflow_provider_codeocean.polling.auth_grace import AuthGracePeriod
from airflow_provider_codeocean.polling.rate_limiter import AdaptiveRateLimiter, CircuitBreaker

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from airflow_provider_codeocean.api.client import CodeOceanAsyncClient
    from airflow_provider_codeocean.api.request import Call
    from airflow_provider_codeocean.polling.stats import PollerStats

    #: Reads the connection and returns the client to use: the given one, unless the connection has changed.
    #: A ``ValueError`` means that the connection cannot be used; any other error may pass.
    Connect = Callable[[CodeOceanAsyncClient | None], Awaitable[CodeOceanAsyncClient]]

T = TypeVar("T")

log = logging.getLogger(__name__)

#: Seconds between two readings of the connection, also if a request has failed that needs another client.
REREAD_SECONDS = 55.0
MIN_REREAD_SECONDS = 5.0
#: Seconds that one reading of the connection may take: at first, and while there is a client.
_CONNECT_SECONDS = 60.0
_REREAD_LIMIT = 20.0
#: Seconds between two attempts to read the connection at first, at most.
_MAX_RECONNECT_PAUSE = 30.0
#: Seconds after which it is checked again whether the rate lets a request be sent.
_MAX_SLEEP = 5.0


class SharedClient:
    """Sends a poller's requests.

    The connection is read again once a minute, and at once if a request fails that another token, host or
    certificate may mend. If it has changed, another client takes over; requests that are in flight finish on
    the old one. So a token is sent only to the host of the connection that it was read from.

    :param connect: makes a client.
    :param name: name of the connection.
    :param stats: counts the requests.
    :param now: the event loop's clock.
    :ivar limiters: the rate of each kind of request: ``read`` and ``search``.
    :ivar breaker: whether there is an outage, as reads show it.
    :ivar on_recovery: is called when another client takes over, or an outage is over.
    :ivar last_error: why the last request failed, or there is no client; None if neither is so.
    """

    _client: CodeOceanAsyncClient
    _grace: AuthGracePeriod

    def __init__(self, connect: Connect, *, name: str, stats: PollerStats, now: Callable[[], float]) -> None:
        self.limiters = {"read": AdaptiveRateLimiter(now), "search": AdaptiveRateLimiter(now)}
        self.breaker = CircuitBreaker(now)
        self.last_error: CodeOceanError | None = None
        self.on_recovery: Callable[[], None] = lambda: None
        self._connect = connect
        self._name = name
        self._stats = stats
        self._now = now
        self._in_flight: Counter[CodeOceanAsyncClient] = Counter()
        self._reread_at = now()
        self._rereading: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Make the client, however often that takes.

        :raises ValueError: if the connection cannot be used.
        """
        pause = 1.0
        while True:
            try:
                async with asyncio.timeout(_CONNECT_SECONDS):
                    client = await self._connect(None)
            except ValueError:
                raise
            except Exception as error:  # noqa: BLE001 - secrets backends have errors of their own
                reason = str(error) or type(error).__name__
                self.last_error = CodeOceanTransportError(f"connection {self._name} cannot be read: {reason}")
                log.warning("Connection %s cannot be read, trying again: %s", self._name, reason)
            else:
                self.last_error = None
                self._client = client
                self._grace = AuthGracePeriod(self._name, client.token_grace, self._now)
                self._reread_at = self._now()
                return
            await asyncio.sleep(pause)
            pause = min(_MAX_RECONNECT_PAUSE, 2 * pause)

    async def close(self) -> None:
        """Close the client, if there is one."""
        if self._rereading is not None:
            self._rereading.cancel()
            await asyncio.wait({self._rereading})
        if hasattr(self, "_client"):
            await self._client.aclose()

    async def follow_connection(self) -> None:
        """Read the connection again once a minute, forever."""
        while True:
            await asyncio.sleep(self._reread_at + REREAD_SECONDS - self._now())
            await self._reread()

    async def acquire_slot(self, kind: str) -> None:
        """Wait until the rate of a kind of request lets one be sent."""
        limiter = self.limiters[kind]
        while (seconds := limiter.delay()) > 0:  # noqa: ASYNC110 - what it waits for is time
            await asyncio.sleep(min(seconds, _MAX_SLEEP))  # another client may end the pause
        limiter.acquire()

    async def send(self, call: Call[T], kind: str, *, limit: float | None = None) -> T:
        """Send a request.

        :param call: the request.
        :param kind: ``search`` or ``read``.
        :param limit: seconds that it may take; None leaves that to the client.
        :returns: the response.
        :raises CodeOceanError: if there is none, or it is an error.
        """
        for is_first in (True, False):
            client = self._client
            try:
                return await self._send(client, call, kind, limit)
            except CodeOceanError as error:
                if is_first and may_need_another_client(error):
                    if isinstance(error, CodeOceanTransportError):  # which ends the waits, so it must be read
                        await asyncio.sleep(self._reread_at + MIN_REREAD_SECONDS - self._now())
                    await self._reread(at_most_every=MIN_REREAD_SECONDS)
                    if self._client is not client:
                        continue
                raise self._grace.classify(error) from error.__cause__
        raise AssertionError("unreachable: the second attempt returns or raises")  # pragma: no cover

    async def _send(self, client: CodeOceanAsyncClient, call: Call[T], kind: str, limit: float | None) -> T:
        self._stats.request(kind)
        sent_at = self._now()
        self._in_flight[client] += 1
        try:
            async with asyncio.timeout(limit):
                response = await client.send(call)
        except TimeoutError as error:
            late = CodeOceanTransportError(f"{call.method} {call.path} was not answered within {limit:g} s")
            self._record_error(late)
            raise late from error
        except CodeOceanError as error:
            self._record_error(error)
            raise
        finally:
            self._in_flight[client] -= 1
            await self._close_if_replaced(client)
        self._grace.reset()
        self.limiters[kind].record_success(sent_at)
        self.last_error = None
        return response

    def _record_error(self, error: CodeOceanError) -> None:
        if isinstance(error, RateLimited):
            self._stats.throttled()
        elif isinstance(error, Unauthorized):
            self._stats.unauthorized()
        elif error.transient:
            self._stats.failed(error)
        else:  # an answer, though not the one that was wanted
            return
        self.last_error = error

    async def _reread(self, *, at_most_every: float = 0.0) -> None:
        """Read the connection again, once for all that ask for it at the same time."""
        if self._rereading is None:
            if self._now() - self._reread_at < at_most_every:
                return
            self._rereading = asyncio.create_task(self._replace_if_changed())
        await asyncio.wait({self._rereading})

    async def _replace_if_changed(self) -> None:
        self._reread_at = self._now()
        old = self._client
        try:
            async with asyncio.timeout(_REREAD_LIMIT):
                client = await self._connect(old)
        except Exception as error:  # noqa: BLE001 - secrets backends have errors of their own
            reason = str(error) or type(error).__name__
            log.warning("Connection %s cannot be read again, using it as it was: %s", self._name, reason)
        else:
            if client is not old:
                self._client = client
                self._grace.seconds = client.token_grace
                self.on_recovery()
                await self._close_if_replaced(old)
        finally:
            self._reread_at = self._now()
            self._rereading = None

    async def _close_if_replaced(self, client: CodeOceanAsyncClient) -> None:
        if not self._in_flight[client]:
            del self._in_flight[client]
            if client is not self._client:
                await client.aclose()


def may_need_another_client(error: CodeOceanError) -> bool:
    """Return whether another token, host or certificate may mend an error."""
    return isinstance(error, Unauthorized | Forbidden) or (
        isinstance(error, CodeOceanTransportError) and not error.transient
    )
