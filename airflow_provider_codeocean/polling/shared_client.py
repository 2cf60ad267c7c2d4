"""The client that all waits of a poller share, its request rates, and its tolerance of a refused token."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import Counter
from typing import TYPE_CHECKING, TypeVar

from airflow_provider_codeocean.api.errors import (
    CodeOceanError,
    CodeOceanTransportError,
    Forbidden,
    Unauthorized,
)
from airflow_provider_codeocean.polling.waits import MAX_RETRY_AFTER_SECONDS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from airflow_provider_codeocean.api.client import CodeOceanAsyncClient
    from airflow_provider_codeocean.api.request import Request
    from airflow_provider_codeocean.polling.poller import PollerStats

    #: Reads the connection and returns the client to use: the given one, unless the connection has changed.
    #: ``ValueError`` means that the connection is unusable; any other error is transient.
    ClientFactory = Callable[[CodeOceanAsyncClient | None], Awaitable[CodeOceanAsyncClient]]

T = TypeVar("T")

log = logging.getLogger(__name__)

#: Interval at which the connection is read again.
RELOAD_INTERVAL_SECONDS = 55.0
#: Minimum interval, also after an error that a new client may fix.
MIN_RELOAD_INTERVAL_SECONDS = 5.0
_CONNECT_TIMEOUT_SECONDS = 60.0
_RELOAD_TIMEOUT_SECONDS = 20.0
_MAX_RECONNECT_DELAY_SECONDS = 30.0
#: A new client may end a pause early, so the rate is checked at least this often.
_MAX_SLEEP_SECONDS = 5.0
_AUTH_WARNING_INTERVAL_SECONDS = 60.0

_INITIAL_REQUESTS_PER_SECOND = 50.0
_MAX_REQUESTS_PER_SECOND = 200.0
_MIN_REQUESTS_PER_SECOND = 0.2
_RECOVERY_REQUESTS_PER_SECOND = 10.0
#: Added to the rate, in requests per second, for each second of success.
_RATE_INCREASE = 5.0
#: Pause after the first 429 without ``Retry-After``; also the first limit of the pause for other targets.
_DEFAULT_PAUSE_SECONDS = 1.0
#: Factor by which the pause grows with each 429.
_PAUSE_FACTOR = 4.0
MAX_DEFAULT_PAUSE_SECONDS = 60.0
#: Targets that must fail in a row to declare an outage. With fewer targets, their own backoff suffices.
_MIN_OUTAGE_TARGETS = 8
_MAX_PROBE_PAUSE_SECONDS = 30.0
#: Time after which the next probe no longer waits for one that hangs.
_PROBE_TIMEOUT_SECONDS = 5.0


class AdaptiveRateLimiter:
    """The rate of one kind of request: additive increase, multiplicative decrease.

    :param now: a monotonic clock, in seconds.
    :ivar rate: requests per second.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self.rate = _INITIAL_REQUESTS_PER_SECOND
        self._now = now
        self._next_request_at = 0.0
        self._paused_at = 0.0
        self._rejection_count = 0
        self._rejected_targets: set[object] = set()
        self._last_success_sent_at = -1.0

    @property
    def is_paused(self) -> bool:
        """Whether the server has requested a pause that is not over."""
        return self._rejection_count > 0 and self._next_request_at > self._now()

    def delay(self) -> float:
        """Return the seconds until the next request may be sent."""
        return max(0.0, self._next_request_at - self._now())

    def acquire(self) -> None:
        """Record that a request is sent now."""
        self._next_request_at = max(self._now(), self._next_request_at) + 1.0 / self.rate

    def record_success(self, sent_at: float) -> None:
        """Record that a request that was sent at a time succeeded."""
        if sent_at >= self._paused_at:
            self._reset_rejections()
        self._last_success_sent_at = max(self._last_success_sent_at, sent_at)
        self.rate = min(_MAX_REQUESTS_PER_SECOND, self.rate + _RATE_INCREASE / self.rate)

    def has_succeeded_since(self, timestamp: float) -> bool:
        """Return whether a request that was sent after a time succeeded."""
        return self._last_success_sent_at > timestamp

    def record_rejection(self, sent_at: float, retry_after: float | None, *, target: object = None) -> None:
        """Record a 429: halve the rate, once for all requests that were rejected together, and pause.

        If the limit may belong to one target, the first pause is short, and the next request shows whether
        other targets are rejected as well. The pause grows with each of them, up to ``Retry-After``.

        :param sent_at: when the request was sent.
        :param retry_after: seconds that the server requests to wait, if any.
        :param target: the rejected target, if the limit may be its own; it honors ``retry_after`` itself.
            None if the limit applies to all requests of this kind.
        """
        now = self._now()
        if sent_at >= self._paused_at:
            self.rate = max(_MIN_REQUESTS_PER_SECOND, self.rate / 2)
            self._paused_at = now
            if target is None or target not in self._rejected_targets:
                self._rejection_count += 1
                self._rejected_targets.add(target)
        pause = _DEFAULT_PAUSE_SECONDS * _PAUSE_FACTOR ** min(self._rejection_count - 1, 16)
        longest = MAX_RETRY_AFTER_SECONDS if target is None else min(pause, MAX_RETRY_AFTER_SECONDS)
        seconds = min(pause, MAX_DEFAULT_PAUSE_SECONDS) if retry_after is None else min(retry_after, longest)
        # Jitter, because other clients were rejected at the same time.
        self._next_request_at = max(
            self._next_request_at,
            now + seconds + random.uniform(0, _DEFAULT_PAUSE_SECONDS),  # noqa: S311
        )

    def resume(self) -> None:
        """End the pause and start with a low rate, because the server was replaced or has recovered."""
        self.rate = min(self.rate, _RECOVERY_REQUESTS_PER_SECOND)
        self._reset_rejections()
        self._next_request_at = self._now()

    def _reset_rejections(self) -> None:
        self._rejection_count = 0
        self._rejected_targets.clear()


class CircuitBreaker:
    """Detects an outage: many targets fail in a row that were healthy, and none succeeds.

    While it is open, one request at a time probes the server.

    :param now: a monotonic clock, in seconds.
    :ivar is_open: whether there is an outage.
    :ivar next_probe_at: when the next probe may be sent.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self.is_open = False
        self.next_probe_at = 0.0
        self._now = now
        self._failing_targets: set[object] = set()
        self._has_succeeded = False
        self._probe_count = 0
        self._opened_at = 0.0

    def record_success(self) -> bool:
        """Record that a request succeeded, and return whether this ended an outage."""
        self._has_succeeded = True
        self._failing_targets.clear()
        self._probe_count = 0
        was_open, self.is_open = self.is_open, False
        return was_open

    def record_probe(self) -> None:
        """Record that a probe is sent now."""
        self.next_probe_at = self._now() + _PROBE_TIMEOUT_SECONDS

    def record_failure(
        self, target: object, sent_at: float, *, was_healthy: bool, retry_after: float | None = None
    ) -> None:
        """Record that a request failed because of the network or the server.

        :param target: the requested target.
        :param sent_at: when the request was sent.
        :param was_healthy: whether the previous request for the target was answered. Until the first request
            on this connection succeeds, the failures of all targets count.
        :param retry_after: seconds that the server requests to wait, if any.
        """
        now = self._now()
        if not self.is_open:
            if was_healthy or not self._has_succeeded:
                self._failing_targets.add(target)
            if len(self._failing_targets) < _MIN_OUTAGE_TARGETS:
                return
            self.is_open, self._opened_at = True, now
        elif sent_at < self._opened_at:
            return
        pause = min(_MAX_PROBE_PAUSE_SECONDS, 2.0 ** min(self._probe_count, 16)) * random.uniform(0.5, 1)  # noqa: S311
        self._probe_count += 1
        self.next_probe_at = now + min(_MAX_PROBE_PAUSE_SECONDS, max(pause, retry_after or 0.0))


class AuthGracePeriod:
    """The time for which waits tolerate HTTP 401 while the access token is being rotated.

    It starts with the first 401 and ends with the first request that is not refused.

    :param name: name of the connection.
    :param seconds: length of the grace period.
    :param now: a monotonic clock, in seconds.
    :ivar seconds: length of the grace period.
    """

    def __init__(self, name: str, seconds: float, now: Callable[[], float] = time.monotonic) -> None:
        self.seconds = seconds
        self._name = name
        self._now = now
        self._refused_since: float | None = None
        self._next_warning_at = 0.0

    def classify(self, error: CodeOceanError) -> CodeOceanError:
        """Return the error to raise: a 401 becomes transient during the grace period."""
        if isinstance(error, Unauthorized):
            return self._classify_refusal(error)
        if not error.is_transient:  # a response to a valid token
            self.reset()
        return error

    def reset(self) -> None:
        """Record that the server accepted the token."""
        if self._refused_since is not None:
            log.warning("Connection %s: Code Ocean accepts the access token again", self._name)
            self._refused_since = None

    @property
    def is_refused(self) -> bool:
        """Whether the server refused the token in the last request."""
        return self._refused_since is not None

    def remaining(self) -> float:
        """Return the seconds until the grace period ends."""
        elapsed = 0.0 if self._refused_since is None else self._now() - self._refused_since
        return max(0.0, self.seconds - elapsed)

    def _classify_refusal(self, error: Unauthorized) -> Unauthorized:
        now = self._now()
        if self._refused_since is None:
            self._refused_since = self._next_warning_at = now
        refused_for = now - self._refused_since
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
        if now >= self._next_warning_at:
            self._next_warning_at = now + _AUTH_WARNING_INTERVAL_SECONDS
            log.warning(
                "Code Ocean refuses the access token of connection %s: put a valid one into the connection. "
                "Waits fail in %.0f s unless they can use it: %s",
                self._name,
                remaining,
                error,
            )
        error.is_transient = True
        return error


class SharedClient:
    """Sends the requests of a poller.

    The connection is read again once a minute, and at once after an error that a new token, host, or
    certificate may fix. If the connection has changed, a new client replaces the old one, but requests in
    flight finish on the old one. So a token is only sent to the host of the connection that it was read from.

    :param connect: reads the connection and creates a client.
    :param name: name of the connection.
    :param stats: counts the requests.
    :param now: the event loop's clock.
    :ivar limiters: the rate of each kind of request: ``read`` and ``search``.
    :ivar breaker: detects an outage from the results of reads.
    :ivar on_recovery: is called when the client was replaced or an outage has ended.
    :ivar last_error: error of the last request or of the connection; None after a success.
    """

    _client: CodeOceanAsyncClient
    _grace: AuthGracePeriod

    def __init__(
        self, connect: ClientFactory, *, name: str, stats: PollerStats, now: Callable[[], float]
    ) -> None:
        self.limiters = {"read": AdaptiveRateLimiter(now), "search": AdaptiveRateLimiter(now)}
        self.breaker = CircuitBreaker(now)
        self.last_error: CodeOceanError | None = None
        self.on_recovery: Callable[[], None] = lambda: None
        self._connect = connect
        self._name = name
        self._stats = stats
        self._now = now
        self._in_flight: Counter[CodeOceanAsyncClient] = Counter()
        self._reloaded_at = now()
        self._reload_task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Create the client, and retry until the connection can be read.

        :raises ValueError: if the connection is unusable.
        """
        pause = 1.0
        while True:
            try:
                async with asyncio.timeout(_CONNECT_TIMEOUT_SECONDS):
                    client = await self._connect(None)
            except ValueError:
                raise
            except Exception as error:  # noqa: BLE001 - secrets backends have their own errors
                reason = str(error) or type(error).__name__
                self.last_error = CodeOceanTransportError(f"connection {self._name} cannot be read: {reason}")
                log.warning("Could not read connection %s, retrying: %s", self._name, reason)
            else:
                self.last_error = None
                self._client = client
                self._grace = AuthGracePeriod(self._name, client.token_grace_period, self._now)
                self._reloaded_at = self._now()
                return
            await asyncio.sleep(pause)
            pause = min(_MAX_RECONNECT_DELAY_SECONDS, 2 * pause)

    async def close(self) -> None:
        """Close the client, if there is one."""
        if self._reload_task is not None:
            self._reload_task.cancel()
            await asyncio.wait({self._reload_task})
        if hasattr(self, "_client"):
            await self._client.aclose()

    async def reload_periodically(self) -> None:
        """Read the connection again once a minute, forever."""
        while True:
            await asyncio.sleep(self._reloaded_at + RELOAD_INTERVAL_SECONDS - self._now())
            await self._reload()

    async def acquire_slot(self, kind: str) -> None:
        """Wait until the rate of a kind of request allows another one."""
        limiter = self.limiters[kind]
        while (seconds := limiter.delay()) > 0:  # noqa: ASYNC110 - only time can end the pause
            await asyncio.sleep(min(seconds, _MAX_SLEEP_SECONDS))
        limiter.acquire()

    async def send(self, request: Request[T], kind: str, *, timeout_seconds: float | None = None) -> T:
        """Send a request, and retry it once if a new client may fix the error."""
        client = self._client
        try:
            return await self._send(client, request, kind, timeout_seconds)
        except CodeOceanError as error:
            if may_need_new_client(error):
                if isinstance(error, CodeOceanTransportError):  # ends the waits, so a reload must precede it
                    await asyncio.sleep(self._reloaded_at + MIN_RELOAD_INTERVAL_SECONDS - self._now())
                await self._reload(min_interval=MIN_RELOAD_INTERVAL_SECONDS)
            if self._client is client or not may_need_new_client(error):
                raise self._grace.classify(error) from error.__cause__
        try:
            return await self._send(self._client, request, kind, timeout_seconds)
        except CodeOceanError as error:
            raise self._grace.classify(error) from error.__cause__

    async def _send(
        self, client: CodeOceanAsyncClient, request: Request[T], kind: str, timeout_seconds: float | None
    ) -> T:
        self._stats.record_request(kind)
        sent_at = self._now()
        self._in_flight[client] += 1
        try:
            async with asyncio.timeout(timeout_seconds):
                response = await client.send(request)
        except TimeoutError as error:
            late = CodeOceanTransportError(
                f"{request.method} {request.path} was not answered within {timeout_seconds:g} s"
            )
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
        if error.is_transient or isinstance(error, Unauthorized):  # other errors show that the server works
            self._stats.record_error(error)
            self.last_error = error

    async def _reload(self, *, min_interval: float = 0.0) -> None:
        """Read the connection again, once for all concurrent callers."""
        if self._reload_task is None:
            if self._now() - self._reloaded_at < min_interval:
                return
            self._reload_task = asyncio.create_task(self._replace_if_changed())
        await asyncio.wait({self._reload_task})

    async def _replace_if_changed(self) -> None:
        self._reloaded_at = self._now()
        old = self._client
        try:
            async with asyncio.timeout(_RELOAD_TIMEOUT_SECONDS):
                client = await self._connect(old)
        except Exception as error:  # noqa: BLE001 - secrets backends have their own errors
            reason = str(error) or type(error).__name__
            log.warning("Could not reload connection %s, keeping its settings: %s", self._name, reason)
        else:
            if client is not old:
                self._client = client
                self._grace.seconds = client.token_grace_period
                self.on_recovery()
                await self._close_if_replaced(old)
        finally:
            self._reloaded_at = self._now()
            self._reload_task = None

    async def _close_if_replaced(self, client: CodeOceanAsyncClient) -> None:
        if not self._in_flight[client]:
            del self._in_flight[client]
            if client is not self._client:
                await client.aclose()


def may_need_new_client(error: CodeOceanError) -> bool:
    """Return whether a new token, host, or certificate may fix an error."""
    return isinstance(error, Unauthorized | Forbidden) or (
        isinstance(error, CodeOceanTransportError) and not error.is_transient
    )
