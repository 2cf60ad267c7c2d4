"""The two clients."""

from __future__ import annotations

import asyncio
import threading
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

import httpx
from tenacity import AsyncRetrying, Retrying

from airflow_provider_codeocean import __version__
from airflow_provider_codeocean.api._http.body import CODINGS, Body
from airflow_provider_codeocean.api._http.deadline import PARTS, bound, too_slow, within
from airflow_provider_codeocean.api._http.errors import transport_error
from airflow_provider_codeocean.api._http.logging import keep_quiet_about
from airflow_provider_codeocean.api._http.tls import proxy_at, ssl_context, stamp, storage_ssl_context
from airflow_provider_codeocean.api.auth import REFUSALS, Token
from airflow_provider_codeocean.api.endpoint import AsyncSender, S, Sender
from airflow_provider_codeocean.api.endpoints.capsules import Capsules, Pipelines
from airflow_provider_codeocean.api.endpoints.computations import Computations
from airflow_provider_codeocean.api.endpoints.custom_metadata import CustomMetadataSchema
from airflow_provider_codeocean.api.endpoints.data_assets import DataAssets
from airflow_provider_codeocean.api.errors import CodeOceanError
from airflow_provider_codeocean.api.pagination import next_call
from airflow_provider_codeocean.api.response import Response, conclude
from airflow_provider_codeocean.api.retry import policy
from airflow_provider_codeocean.api.secret import Secret
from airflow_provider_codeocean.api.security import check_encryption
from airflow_provider_codeocean.api.storage import Storage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from airflow_provider_codeocean.api.request import Call, Pages, R

T = TypeVar("T")

#: Seconds to connect, and to wait for each part of an answer; all of an exchange may take twice as long.
DEFAULT_TIMEOUT = 30.0
#: Seconds within which a request is sent again where that may help.
DEFAULT_RETRY_BUDGET = 60.0
#: Bytes of an answer, decompressed: the largest page of a search, a thousand data assets, has about one MiB.
MAX_ANSWER = 64 * 1024 * 1024
#: Seconds for which who waits bears that the access token is refused.
DEFAULT_TOKEN_GRACE = 600.0

_KEEP_ALIVE = 30.0


class _Client(Generic[S]):
    """What both clients have: the resources, and how to reach the server.

    :ivar url: address of the deployment, without a slash at the end.
    :ivar server: the address with the name of the connection, as errors end with.
    :ivar retry_budget: seconds within which a request is sent again where that may help.
    :ivar token_grace: seconds for which who waits bears that the access token is refused.
    """

    url: str = ""  # until it is made: an error on the way may show it

    def __init__(
        self,
        sender: S,
        token: Token,
        url: str,
        *,
        retry_budget: float,
        token_grace: float,
        max_answer: int,
        timeout: float,
        name: str,
    ) -> None:
        self.url = base_url(url)
        self.server = f"{self.url}, {name}" if name else self.url
        self.retry_budget = retry_budget
        self.token_grace = token_grace
        self._exchange_seconds = PARTS * timeout
        self._token = token
        self.data_assets = DataAssets(sender)
        self.computations = Computations(sender)
        self.capsules = Capsules(sender)
        self.pipelines = Pipelines(sender)
        self.custom_metadata = CustomMetadataSchema(sender)
        self._max_answer = max_answer

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    @property
    def is_outdated(self) -> bool:
        """Whether the certificates that it trusts were replaced: a new client trusts the new ones."""
        verify, as_made = self._trusts
        return stamp(verify) not in {None, as_made}

    def _options(
        self, timeout: float, verify: bool | str, proxy: str | None, *, require_tls: bool
    ) -> dict[str, Any]:
        check_encryption(self.url, verify=verify is not False, required=require_tls)
        self._trusts = verify, stamp(verify)
        base = f"{self.url}/api/v1/"
        keep_quiet_about(base)
        return {
            "base_url": base,
            "headers": {
                "Accept": "application/json",
                "Accept-Encoding": ", ".join(CODINGS),
                "User-Agent": f"airflow-provider-codeocean/{__version__}",
            },
            "timeout": timeout,
            # Longer than the pause between two looks, so that a wait needs one connection.
            "limits": httpx.Limits(keepalive_expiry=_KEEP_ALIVE),
            "verify": ssl_context(verify),
            "proxy": proxy_at(proxy, verify),
            "cookies": CookieJar(DefaultCookiePolicy(allowed_domains=[])),  # the token alone says who asks
            "follow_redirects": False,  # the token is for the host of the connection alone
        }


class CodeOceanClient(_Client[Sender]):
    """Client of a Code Ocean deployment that waits for its answers. Use it with ``with``, or close it.

    :param url: address of the deployment (``https://codeocean.example.com``); https if no scheme is given.
    :param token: access token.
    :param timeout: seconds to connect, and to wait for each part of an answer. All of an exchange, from
        connecting to the answer's last byte, may take twice as long, however many parts there are.
    :param verify: False does not verify the server's certificate; a path is that of a file or folder with the
        certificates of the authorities to trust.
    :param proxy: address of a proxy. The certificate of one with https is always verified; a path in
        ``verify`` adds to the authorities that are trusted for it.
    :param retry_budget: seconds within which a request is sent again where that may help; 0 sends once.
    :param require_tls: whether to refuse an address without https, and ``verify=False``, but for those of
        this machine; else they are warned of.
    :param max_answer: bytes that an answer may have, decompressed; of files that are read there may be more.
    :param token_grace: seconds for which who waits bears that the token is refused. The client itself does
        not: it raises at once.
    :param new_token: returns the token that is valid by now. It is asked where Code Ocean refuses the one in
        use, and where it knows another one, the request is sent again with that.
    :param name: name of the client in errors, beside the address.
    :param transport: replaces the network, for tests.
    :ivar storage: reads what is behind the signed URLs of files, without the token.
    :raises ValueError: where ``url`` is no address or refused, or there is nothing at the path in ``verify``.
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
        require_tls: bool = False,
        max_answer: int = MAX_ANSWER,
        token_grace: float = DEFAULT_TOKEN_GRACE,
        new_token: Callable[[], str] | None = None,
        name: str = "",
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        token = Secret(token)
        super().__init__(
            self,
            Token(token, url),
            url,
            retry_budget=retry_budget,
            token_grace=token_grace,
            max_answer=max_answer,
            timeout=timeout,
            name=name,
        )
        self._new_token = new_token
        self._renewing = threading.Lock()
        options = self._options(timeout, verify, proxy, require_tls=require_tls)
        self._http = bound(httpx.Client(**options, transport=transport))
        self.storage = Storage(
            deployment=self.url,
            require_tls=require_tls,
            timeout=timeout,
            verify=storage_ssl_context(verify),
            proxy=proxy_at(proxy, verify),
            transport=transport,
        )

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
                    return self._answer(call, again=again)
                except CodeOceanError as error:
                    error.server = self.server
                    again = again or error.maybe_applied
                    raise
        raise AssertionError("unreachable: the policy ends in an answer or an error")  # pragma: no cover

    def _answer(self, call: Call[T], *, again: bool) -> T:
        credentials = self._token.credentials
        try:
            return conclude(call, self._exchange(call), again=again)
        except REFUSALS:
            with self._renewing:  # those who were refused together ask once
                if self._token.credentials is credentials:
                    self._renew()
            if self._token.credentials is credentials:
                raise
        return conclude(call, self._exchange(call), again=again)

    def _renew(self) -> None:
        if self._new_token is None or not self._token.may_ask():
            return
        try:
            self._token.take(self._new_token())
        except Exception as error:  # noqa: BLE001 - whatever backend there is, with errors of its own
            self._token.say_unknown(error)

    def _exchange(self, call: Call[Any]) -> Response:
        credentials = self._token.credentials
        try:
            with (
                within(self._exchange_seconds),
                self._http.stream(**_request(call), auth=credentials.authorize) as response,
            ):
                body = Body(call, response, self._max_answer)
                chunks = response.iter_bytes()
                while body.wanted and (chunk := next(chunks, None)) is not None:
                    body.take(chunk)
            return body.response(response, credentials)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise transport_error(call, error) from None

    def walk(self, pages: Pages[R]) -> Iterator[R]:
        """Send the requests for all pages of a search and yield the results, each once."""
        call = next(pages, None)
        while call is not None:
            page = self.send(call)
            call = next_call(pages, page)
            yield from page.results

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

    It takes what :class:`CodeOceanClient` takes; ``new_token`` is awaited, as long as an exchange may take.
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
        require_tls: bool = False,
        max_answer: int = MAX_ANSWER,
        token_grace: float = DEFAULT_TOKEN_GRACE,
        new_token: Callable[[], Awaitable[str]] | None = None,
        name: str = "",
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        token = Secret(token)
        super().__init__(
            self,
            Token(token, url, _loop_time),
            url,
            retry_budget=retry_budget,
            token_grace=token_grace,
            max_answer=max_answer,
            timeout=timeout,
            name=name,
        )
        self._new_token = new_token
        self._renewing = asyncio.Lock()
        options = self._options(timeout, verify, proxy, require_tls=require_tls)
        self._http = httpx.AsyncClient(**options, transport=transport)

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
                    return await self._answer(call, again=again)
                except CodeOceanError as error:
                    error.server = self.server
                    again = again or error.maybe_applied
                    raise
        raise AssertionError("unreachable: the policy ends in an answer or an error")  # pragma: no cover

    async def _answer(self, call: Call[T], *, again: bool) -> T:
        credentials = self._token.credentials
        try:
            return conclude(call, await self._exchange(call), again=again)
        except REFUSALS:
            async with self._renewing:  # those who were refused together ask once
                if self._token.credentials is credentials:
                    await self._renew()
            if self._token.credentials is credentials:
                raise
        return conclude(call, await self._exchange(call), again=again)

    async def _renew(self) -> None:
        if self._new_token is None or not self._token.may_ask():
            return
        try:
            async with asyncio.timeout(self._exchange_seconds):  # all who share the client wait for it
                self._token.take(await self._new_token())
        except Exception as error:  # noqa: BLE001 - whatever backend there is, with errors of its own
            self._token.say_unknown(error)

    async def _exchange(self, call: Call[Any]) -> Response:
        credentials = self._token.credentials
        try:
            async with (
                asyncio.timeout(self._exchange_seconds),
                self._http.stream(**_request(call), auth=credentials.authorize) as response,
            ):
                body = Body(call, response, self._max_answer)
                chunks = response.aiter_bytes()
                while body.wanted and (chunk := await anext(chunks, None)) is not None:
                    body.take(chunk)
            return body.response(response, credentials)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise transport_error(call, error) from None
        except TimeoutError:
            raise transport_error(call, httpx.ReadTimeout(too_slow(self._exchange_seconds))) from None
        except OSError as error:  # of TLS: where it is awaited, the HTTP library lets it pass as it is
            raise transport_error(call, httpx.ReadError(str(error))) from None

    async def walk(self, pages: Pages[R]) -> AsyncIterator[R]:
        """Send the requests for all pages of a search and yield the results, each once."""
        call = next(pages, None)
        while call is not None:
            page = await self.send(call)
            call = next_call(pages, page)
            for result in page.results:
                yield result

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
    path = parsed.raw_path.rstrip(b"/")
    while path.endswith(b"/api/v1"):
        path = path.removesuffix(b"/api/v1").rstrip(b"/")
    return str(parsed.copy_with(raw_path=path or b"/")).rstrip("/")


def _loop_time() -> float:
    return asyncio.get_running_loop().time()


def _request(call: Call[Any]) -> dict[str, Any]:
    return {
        "method": call.method,
        "url": call.path,
        "params": call.query or None,
        "json": call.body,
    }
