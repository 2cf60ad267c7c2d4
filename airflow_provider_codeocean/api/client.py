"""The two clients. Beside ``storage.py`` and ``deadline.py`` the only module that knows httpx."""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

import httpx
from tenacity import AsyncRetrying, Retrying

from airflow_provider_codeocean import __version__
from airflow_provider_codeocean.api.answer import Response, conclude
from airflow_provider_codeocean.api.call import AsyncSender, Call, Effect, Pages, R, S, Sender
from airflow_provider_codeocean.api.deadline import PARTS, bound, too_slow, within
from airflow_provider_codeocean.api.endpoints.capsules import Capsules, Pipelines
from airflow_provider_codeocean.api.endpoints.computations import Computations
from airflow_provider_codeocean.api.endpoints.custom_metadata import CustomMetadataSchema
from airflow_provider_codeocean.api.endpoints.data_assets import DataAssets
from airflow_provider_codeocean.api.errors import CodeOceanError, CodeOceanTransportError
from airflow_provider_codeocean.api.retry import policy
from airflow_provider_codeocean.api.storage import Storage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

T = TypeVar("T")

#: Seconds to connect, and to wait for each part of an answer; all of an exchange may take twice as long.
DEFAULT_TIMEOUT = 30.0
#: Seconds within which a request is sent again where that may help.
DEFAULT_RETRY_BUDGET = 60.0

_KEEP_ALIVE = 30.0
_NEVER_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)


class _Client(Generic[S]):
    """What both clients have: the resources, and how to reach the server.

    :ivar url: address of the deployment, without a slash at the end.
    :ivar retry_budget: seconds within which a request is sent again where that may help.
    """

    def __init__(self, sender: S, url: str, retry_budget: float, timeout: float) -> None:
        self.url = base_url(url)
        self.retry_budget = retry_budget
        self._exchange_seconds = PARTS * timeout
        self.data_assets = DataAssets(sender)
        self.computations = Computations(sender)
        self.capsules = Capsules(sender)
        self.pipelines = Pipelines(sender)
        self.custom_metadata = CustomMetadataSchema(sender)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    def _options(self, token: str, timeout: float, verify: bool | str, proxy: str | None) -> dict[str, Any]:
        base = f"{self.url}/api/v1/"
        _quiet.urls.add(base)
        return {
            "base_url": base,
            "auth": httpx.BasicAuth(token, ""),
            "headers": {
                "Accept": "application/json",
                "User-Agent": f"airflow-provider-codeocean/{__version__}",
            },
            "timeout": timeout,
            # Longer than the pause between two looks, so that a wait needs one connection.
            "limits": httpx.Limits(keepalive_expiry=_KEEP_ALIVE),
            "verify": _ssl_context(verify),
            "proxy": proxy,
        }


class CodeOceanClient(_Client[Sender]):
    """Client of a Code Ocean deployment that waits for its answers. Use it with ``with``, or close it.

    :param url: address of the deployment (``https://codeocean.example.com``); https if no scheme is given.
    :param token: access token.
    :param timeout: seconds to connect, and to wait for each part of an answer. All of an exchange, from
        connecting to the answer's last byte, may take twice as long, however many parts there are.
    :param verify: False does not verify the server's certificate; a path is that of a file or folder with the
        certificates of the authorities to trust.
    :param proxy: address of a proxy.
    :param retry_budget: seconds within which a request is sent again where that may help; 0 sends once.
    :param transport: replaces the network, for tests.
    :ivar storage: reads what is behind the signed URLs of files, without the token.
    :raises ValueError: where ``url`` is no address, or there is nothing at the path in ``verify``.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        timeout: float = DEFAULT_TIMEOUT,
        verify: bool | str = True,
        proxy: str | None = None,
        retry_budget: float = DEFAULT_RETRY_BUDGET,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        super().__init__(self, url, retry_budget, timeout)
        self._http = bound(httpx.Client(**self._options(token, timeout, verify, proxy), transport=transport))
        self.storage = Storage(timeout=timeout, verify=_ssl_context(verify), proxy=proxy, transport=transport)

    def send(self, call: Call[T]) -> T:
        """Send a request, again where it may be, and return the answer.

        :param call: the request.
        :returns: the answer.
        :raises CodeOceanError: where there is none.
        """
        again = False
        for attempt in Retrying(**policy(call, self.retry_budget)):
            with attempt:
                try:
                    return conclude(call, self._exchange(call), again=again)
                except CodeOceanError as error:
                    again = again or error.maybe_applied
                    raise
        raise AssertionError("unreachable: the policy ends in an answer or an error")  # pragma: no cover

    def _exchange(self, call: Call[Any]) -> Response:
        try:
            with within(self._exchange_seconds):
                return _plain(self._http.request(**_request(call)))
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _transport_error(call, error) from error

    def walk(self, pages: Pages[R]) -> Iterator[R]:
        """Send the requests of a search's pages and yield the results."""
        call = next(pages)
        while True:
            page = self.send(call)
            yield from page.results
            try:
                call = pages.send(page)
            except StopIteration:
                return

    def close(self) -> None:
        """Close its connections."""
        self._http.close()
        self.storage.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class CodeOceanAsyncClient(_Client[AsyncSender]):
    """Client of a Code Ocean deployment for one event loop. Use it with ``async with``, or close it.

    It takes what :class:`CodeOceanClient` takes.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        timeout: float = DEFAULT_TIMEOUT,
        verify: bool | str = True,
        proxy: str | None = None,
        retry_budget: float = DEFAULT_RETRY_BUDGET,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        super().__init__(self, url, retry_budget, timeout)
        self._http = httpx.AsyncClient(**self._options(token, timeout, verify, proxy), transport=transport)

    async def send(self, call: Call[T]) -> T:
        """Send a request, again where it may be, and return the answer.

        :param call: the request.
        :returns: the answer.
        :raises CodeOceanError: where there is none.
        """
        again = False
        async for attempt in AsyncRetrying(**policy(call, self.retry_budget)):
            with attempt:
                try:
                    return conclude(call, await self._exchange(call), again=again)
                except CodeOceanError as error:
                    again = again or error.maybe_applied
                    raise
        raise AssertionError("unreachable: the policy ends in an answer or an error")  # pragma: no cover

    async def _exchange(self, call: Call[Any]) -> Response:
        try:
            async with asyncio.timeout(self._exchange_seconds):
                return _plain(await self._http.request(**_request(call)))
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _transport_error(call, error) from error
        except TimeoutError as error:
            slow = httpx.ReadTimeout(too_slow(self._exchange_seconds))
            raise _transport_error(call, slow) from error

    async def walk(self, pages: Pages[R]) -> AsyncIterator[R]:
        """Send the requests of a search's pages and yield the results."""
        call = next(pages)
        while True:
            page = await self.send(call)
            for result in page.results:
                yield result
            try:
                call = pages.send(page)
            except StopIteration:
                return

    async def aclose(self) -> None:
        """Close its connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


def base_url(url: str) -> str:
    """Return a deployment's address in its one form: with a scheme, without path and slash at the end.

    :param url: address as people give it.
    :returns: the address.
    :raises ValueError: where it is none.
    """
    address = url.strip()
    if "://" not in address:
        address = f"https://{address}"
    try:
        parsed = httpx.URL(address).copy_with(query=None, fragment=None)
        usable = parsed.scheme in {"http", "https"} and parsed.host and not parsed.userinfo
    except (httpx.InvalidURL, ValueError):
        usable = False
    if not usable:
        given = "one with credentials" if "@" in url else repr(url)
        raise ValueError(f"host must be an address such as https://codeocean.example.com, got {given}")
    path = re.sub(rb"(/+api/v1)*/*$", b"", parsed.raw_path)
    return str(parsed.copy_with(raw_path=path or b"/")).rstrip("/")


def _request(call: Call[Any]) -> dict[str, Any]:
    return {
        "method": call.method,
        "url": call.path,
        "params": call.query or None,
        "json": call.body,
    }


def _plain(response: httpx.Response) -> Response:
    # Its stream refers back to it: without this, pages of a megabyte stay until the next garbage collection.
    response.stream = httpx.ByteStream(b"")
    return Response(response.status_code, response.headers, response.content)


def _transport_error(call: Call[Any], error: httpx.HTTPError | httpx.InvalidURL) -> CodeOceanTransportError:
    """Say what went wrong on the way, and whether the request may have been carried out all the same."""
    causes = [error.__cause__ or error.__context__]
    while causes[-1] is not None:
        causes.append(causes[-1].__cause__ or causes[-1].__context__)
    untrusted = any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes)
    sent = not isinstance(error, _NEVER_SENT)
    reason = str(error) or type(error).__name__
    return CodeOceanTransportError(
        f"{call.method} {call.path} got no answer ({type(error).__name__}: {reason})"
        if sent
        else f"{call.method} {call.path} could not be sent ({type(error).__name__}: {reason})",
        maybe_applied=sent and call.effect is not Effect.READ,
        transient=not untrusted and not isinstance(error, httpx.UnsupportedProtocol | httpx.InvalidURL),
    )


@lru_cache(maxsize=16)
def _ssl_context(verify: bool | str) -> ssl.SSLContext:
    """Return the TLS context, made once: making one costs more than many requests."""
    if isinstance(verify, bool):
        return httpx.create_ssl_context(verify=verify)
    try:
        if Path(verify).is_dir():
            return ssl.create_default_context(capath=verify)
        return ssl.create_default_context(cafile=verify)
    except OSError as error:  # not there, not to be read, or no certificates
        raise ValueError(
            f"verify must be true, false or the path of certificates to trust, got {verify!r}: {error}"
        ) from error


class _Quiet(logging.Filter):
    """Keeps httpx from writing a line for each of our requests into the task's log, where INFO is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.urls: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno > logging.INFO or not any(
            str(arg).startswith(url) for arg in record.args or () for url in self.urls
        )


_quiet = _Quiet()
logging.getLogger("httpx").addFilter(_quiet)
