"""The sync and the async client."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import dataclass, field
from functools import cached_property
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, cast

from tenacity import AsyncRetrying, Retrying

from airflow_provider_codeocean import __version__
from airflow_provider_codeocean.api._http.body import (
    ACCEPTED_ENCODINGS,
    TOTAL_TIMEOUT_FACTOR,
    BoundedBody,
    Deadline,
    timeout_message,
)
from airflow_provider_codeocean.api._http.errors import is_certificate_error, safe_cause, to_transport_error
from airflow_provider_codeocean.api._http.library import httpx
from airflow_provider_codeocean.api._http.logging import silence_request_logs
from airflow_provider_codeocean.api._http.tls import build_proxy, ssl_context, storage_ssl_context
from airflow_provider_codeocean.api.auth import AUTH_ERRORS, AccessToken, Credentials
from airflow_provider_codeocean.api.endpoint import AsyncRequestSender, RequestSender, SenderT
from airflow_provider_codeocean.api.errors import CodeOceanError
from airflow_provider_codeocean.api.response import Response, parse_response
from airflow_provider_codeocean.api.retry import retry_options
from airflow_provider_codeocean.api.secret import Secret
from airflow_provider_codeocean.api.security import check_encryption

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from airflow_provider_codeocean.api.endpoints.capsules import Capsules, Pipelines
    from airflow_provider_codeocean.api.endpoints.computations import Computations
    from airflow_provider_codeocean.api.endpoints.custom_metadata import CustomMetadataSchema
    from airflow_provider_codeocean.api.endpoints.data_assets import DataAssets
    from airflow_provider_codeocean.api.pages import Pages
    from airflow_provider_codeocean.api.request import Request, ResultT
    from airflow_provider_codeocean.api.storage import SignedUrlReader

T = TypeVar("T")

DEFAULT_TIMEOUT_SECONDS = 30.0
DEFAULT_RETRY_BUDGET_SECONDS = 60.0
#: The largest search page, with a thousand data assets, has about one MiB.
MAX_RESPONSE_BYTES = 64 * 1024 * 1024
DEFAULT_TOKEN_GRACE_PERIOD_SECONDS = 600.0
_KEEP_ALIVE_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True, slots=True)
class ClientOptions:
    """Keyword arguments of both clients.

    :param timeout: seconds to connect, and to wait for each part of a response. The whole exchange may take
        twice as long.
    :param verify: False to not verify the server's certificate, or the path of a file or folder with the
        certificates of the authorities to trust.
    :param proxy: address of a proxy. If it uses https, its certificate is always verified; a path in
        ``verify`` adds to the trusted authorities.
    :param retry_budget: seconds during which a failed request is retried if that is safe; 0 disables retries.
    :param require_tls: reject addresses without https and ``verify=False``, except for loopback addresses;
        otherwise they are logged as a warning.
    :param max_response_bytes: maximum size of a response, decompressed. It does not apply to files.
    :param token_grace_period: seconds during which waits tolerate HTTP 401. The client itself raises at once.
    :param token_provider: returns the current token (the async client awaits it). It is called if Code Ocean
        rejects the token; if it returns another one, the request is retried with that.
    :param name: name of the client, which errors add to the address.
    :param transport: replaces the network in tests.
    """

    timeout: float = DEFAULT_TIMEOUT_SECONDS
    verify: bool | str = True
    proxy: str | None = field(default=None, repr=False)  # may contain a password
    retry_budget: float = DEFAULT_RETRY_BUDGET_SECONDS
    require_tls: bool = False
    max_response_bytes: int = MAX_RESPONSE_BYTES
    token_grace_period: float = DEFAULT_TOKEN_GRACE_PERIOD_SECONDS
    token_provider: Callable[[], Any] | None = None
    name: str = ""
    transport: Any = None


class _BaseClient(Generic[SenderT]):
    """Base class of both clients: resources, which are imported when they are used, and settings.

    :ivar has_stale_certificates: whether the server's certificate was trusted before, and is not any more. A
        new client reads the certificates to trust again.
    """

    url: str = ""  # for the repr in errors of the constructor
    has_stale_certificates = False
    _has_connected = False
    _clock: Callable[[], float] = staticmethod(time.monotonic)

    def __init__(self, url: str, token: str, **options: Any) -> None:
        self._options = ClientOptions(**options)
        self.url = normalize_url(url)
        name = self._options.name
        self.server = f"{self.url}, {name}" if name else self.url
        self.retry_budget = self._options.retry_budget
        self.token_grace_period = self._options.token_grace_period
        self._exchange_timeout = TOTAL_TIMEOUT_FACTOR * self._options.timeout
        self._access_token = AccessToken(Secret(token), self.url, self._clock)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    @property
    def _sender(self) -> SenderT:
        return cast("SenderT", self)

    @cached_property
    def data_assets(self) -> DataAssets[SenderT]:
        """Data assets."""
        from airflow_provider_codeocean.api.endpoints.data_assets import DataAssets

        return DataAssets(self._sender)

    @cached_property
    def computations(self) -> Computations[SenderT]:
        """Computations."""
        from airflow_provider_codeocean.api.endpoints.computations import Computations

        return Computations(self._sender)

    @cached_property
    def capsules(self) -> Capsules[SenderT]:
        """Capsules."""
        from airflow_provider_codeocean.api.endpoints.capsules import Capsules

        return Capsules(self._sender)

    @cached_property
    def pipelines(self) -> Pipelines[SenderT]:
        """Pipelines."""
        from airflow_provider_codeocean.api.endpoints.capsules import Pipelines

        return Pipelines(self._sender)

    @cached_property
    def custom_metadata(self) -> CustomMetadataSchema[SenderT]:
        """The schema of custom metadata."""
        from airflow_provider_codeocean.api.endpoints.custom_metadata import CustomMetadataSchema

        return CustomMetadataSchema(self._sender)

    def _to_transport_error(
        self, request: Request[Any], error: httpx.HTTPError | httpx.InvalidURL
    ) -> CodeOceanError:
        if is_certificate_error(error):
            self.has_stale_certificates = self._has_connected
        return to_transport_error(request, error)

    def _httpx_options(self) -> dict[str, Any]:
        options = self._options
        check_encryption(self.url, verify=options.verify is not False, require_tls=options.require_tls)
        base_url = f"{self.url}/api/v1/"
        silence_request_logs(base_url)
        return {
            "base_url": base_url,
            "headers": {
                "Accept": "application/json",
                "Accept-Encoding": ", ".join(ACCEPTED_ENCODINGS),
                "User-Agent": f"airflow-provider-codeocean/{__version__}",
            },
            "timeout": options.timeout,
            # Longer than the pause between two polls, so that a wait needs one connection.
            "limits": httpx.Limits(keepalive_expiry=_KEEP_ALIVE_SECONDS),
            "verify": ssl_context(options.verify, is_encrypted=self.url.startswith("https:")),
            "proxy": build_proxy(options.proxy, options.verify),
            "cookies": CookieJar(DefaultCookiePolicy(allowed_domains=[])),  # only the token authenticates
            "follow_redirects": False,  # another host must not get the token
            "transport": options.transport,
        }

    def _new_body(self, request: Request[Any], response: httpx.Response) -> BoundedBody:
        self._has_connected = True
        return BoundedBody(request, response, self._options.max_response_bytes)


class CodeOceanClient(_BaseClient[RequestSender]):
    """Sync client of a Code Ocean deployment. Use it with ``with``, or close it.

    :param url: address of the deployment (``https://codeocean.example.com``); https if it has no scheme.
    :param token: access token.
    :param **options: see :class:`ClientOptions`.
    :ivar url: address of the deployment, without a slash at the end.
    :ivar server: the address with the name of the client, which errors end with.
    :raises ValueError: if ``url`` is invalid or rejected, or there are no certificates at the path in
        ``verify``.
    """

    def __init__(self, url: str, token: str, **options: Any) -> None:
        super().__init__(url, token, **options)
        self._refresh_lock = threading.Lock()
        self._http = httpx.Client(**self._httpx_options())

    @cached_property
    def storage(self) -> SignedUrlReader:
        """Reads the files behind signed URLs, without the token."""
        from airflow_provider_codeocean.api.storage import SignedUrlReader

        options = self._options
        return SignedUrlReader(
            deployment=self.url,
            require_tls=options.require_tls,
            timeout=options.timeout,
            verify=storage_ssl_context(options.verify),
            proxy=build_proxy(options.proxy, options.verify),
            transport=options.transport,
        )

    def send(self, request: Request[T]) -> T:
        """Send a request, and retry it if that is safe.

        :param request: the request.
        :returns: the parsed response.
        :raises CodeOceanError: if there is no valid response, or it is an error.
        """
        may_have_been_applied = False
        for attempt in Retrying(**retry_options(request, self.retry_budget)):
            with attempt:
                try:
                    return self._send_with_token_refresh(request, may_have_been_applied)
                except CodeOceanError as error:
                    error.server = self.server
                    may_have_been_applied = may_have_been_applied or error.may_have_been_applied
                    raise
        raise AssertionError("unreachable: retrying ends with a response or an error")  # pragma: no cover

    def _send_with_token_refresh(self, request: Request[T], may_have_been_applied: bool) -> T:
        credentials = self._access_token.credentials
        try:
            response = self._send_once(request, credentials)
            return parse_response(request, response, may_have_been_applied=may_have_been_applied)
        except AUTH_ERRORS:
            with self._refresh_lock:  # concurrent requests reload the token once
                if self._access_token.credentials is credentials:
                    self._refresh_token()
            if self._access_token.credentials is credentials:
                raise
        response = self._send_once(request, self._access_token.credentials)
        return parse_response(request, response, may_have_been_applied=may_have_been_applied)

    def _refresh_token(self) -> None:
        token_provider = self._options.token_provider
        if token_provider is None or not self._access_token.try_start_refresh():
            return
        try:
            self._access_token.replace(token_provider())
        except Exception as error:  # noqa: BLE001 - secrets backends have errors of their own
            self._access_token.log_refresh_failure(error)

    def _send_once(self, request: Request[Any], credentials: Credentials) -> Response:
        deadline = Deadline(self._exchange_timeout)
        try:
            with self._http.stream(**_httpx_arguments(request, credentials)) as response:
                body = self._new_body(request, response)
                chunks = response.iter_bytes()
                while body.needs_more and (chunk := next(chunks, None)) is not None:
                    body.feed(chunk)
                    deadline.check()
            return body.to_response(credentials)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._to_transport_error(request, error) from safe_cause(error)

    def iterate(self, pages: Pages[ResultT]) -> Iterator[ResultT]:
        """Send the requests for all pages of a search and yield the results, each once."""
        while pages.request is not None:
            yield from pages.take(self.send(pages.request))

    def close(self) -> None:
        """Close the connections."""
        self._http.close()
        if "storage" in vars(self):
            self.storage.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class CodeOceanAsyncClient(_BaseClient[AsyncRequestSender]):
    """Async client of a Code Ocean deployment, for one event loop. Use it with ``async with``, or close it.

    :param url: address of the deployment (``https://codeocean.example.com``); https if it has no scheme.
    :param token: access token.
    :param **options: see :class:`ClientOptions`. ``token_provider`` may take as long as an exchange.
    :raises ValueError: if ``url`` is invalid or rejected, or there are no certificates at the path in
        ``verify``.
    """

    _clock = staticmethod(lambda: asyncio.get_running_loop().time())

    def __init__(self, url: str, token: str, **options: Any) -> None:
        super().__init__(url, token, **options)
        self._refresh_lock = asyncio.Lock()
        self._http = httpx.AsyncClient(**self._httpx_options())

    async def send(self, request: Request[T]) -> T:
        """Send a request, and retry it if that is safe.

        :param request: the request.
        :returns: the parsed response.
        :raises CodeOceanError: if there is no valid response, or it is an error.
        """
        may_have_been_applied = False
        async for attempt in AsyncRetrying(**retry_options(request, self.retry_budget)):
            with attempt:
                try:
                    return await self._send_with_token_refresh(request, may_have_been_applied)
                except CodeOceanError as error:
                    error.server = self.server
                    may_have_been_applied = may_have_been_applied or error.may_have_been_applied
                    raise
        raise AssertionError("unreachable: retrying ends with a response or an error")  # pragma: no cover

    async def _send_with_token_refresh(self, request: Request[T], may_have_been_applied: bool) -> T:
        credentials = self._access_token.credentials
        try:
            response = await self._send_once(request, credentials)
            return parse_response(request, response, may_have_been_applied=may_have_been_applied)
        except AUTH_ERRORS:
            async with self._refresh_lock:  # concurrent requests reload the token once
                if self._access_token.credentials is credentials:
                    await self._refresh_token()
            if self._access_token.credentials is credentials:
                raise
        response = await self._send_once(request, self._access_token.credentials)
        return parse_response(request, response, may_have_been_applied=may_have_been_applied)

    async def _refresh_token(self) -> None:
        token_provider = self._options.token_provider
        if token_provider is None or not self._access_token.try_start_refresh():
            return
        try:
            async with asyncio.timeout(self._exchange_timeout):  # other requests wait for the token
                self._access_token.replace(await token_provider())
        except Exception as error:  # noqa: BLE001 - secrets backends have errors of their own
            self._access_token.log_refresh_failure(error)

    async def _send_once(self, request: Request[Any], credentials: Credentials) -> Response:
        try:
            async with (
                asyncio.timeout(self._exchange_timeout),
                self._http.stream(**_httpx_arguments(request, credentials)) as response,
            ):
                body = self._new_body(request, response)
                chunks = response.aiter_bytes()
                while body.needs_more and (chunk := await anext(chunks, None)) is not None:
                    body.feed(chunk)
            return body.to_response(credentials)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._to_transport_error(request, error) from safe_cause(error)
        except TimeoutError as error:
            timeout = httpx.ReadTimeout(timeout_message(self._exchange_timeout))
            raise to_transport_error(request, timeout) from error
        except OSError as error:  # of TLS: httpx's async client does not convert it
            # With some releases of anyio, also the errors of the handshake: then nothing was sent.
            kind = httpx.ConnectError if is_certificate_error(error) else httpx.ReadError
            converted = kind(str(error))
            converted.__cause__ = error
            raise self._to_transport_error(request, converted) from error

    async def iterate(self, pages: Pages[ResultT]) -> AsyncIterator[ResultT]:
        """Send the requests for all pages of a search and yield the results, each once."""
        while pages.request is not None:
            for result in pages.take(await self.send(pages.request)):
                yield result

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


def normalize_url(url: str) -> str:
    """Return a deployment's address with a scheme, and without ``/api/v1`` and slashes at the end.

    :param url: the address as a user entered it.
    :returns: the normalized address.
    :raises ValueError: if it is not an HTTP address.
    """
    address = url.strip()
    if "://" not in address:
        address = f"https://{address}"
    try:
        parsed = httpx.URL(address).copy_with(query=None, fragment=None)
        is_valid = parsed.scheme in {"http", "https"} and parsed.host and not parsed.userinfo
    except (httpx.InvalidURL, ValueError):
        is_valid = False
    if not is_valid:
        shown = "one with credentials" if "@" in url else repr(url)
        raise ValueError(f"host must be an address such as https://codeocean.example.com, got {shown}")
    path = parsed.raw_path.rstrip(b"/")
    while path.endswith(b"/api/v1"):
        path = path.removesuffix(b"/api/v1").rstrip(b"/")
    return str(parsed.copy_with(raw_path=path or b"/")).rstrip("/")


def _httpx_arguments(request: Request[Any], credentials: Credentials) -> dict[str, Any]:
    return {
        "method": request.method,
        "url": request.path,
        "params": request.query or None,
        "json": request.body,
        "headers": {"Authorization": credentials.authorization},
    }
