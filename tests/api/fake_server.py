"""A fake server behind httpx's transport, and clients for it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Any

from airflow_provider_codeocean.api._http.library import httpx
from airflow_provider_codeocean.api.client import CodeOceanAsyncClient, CodeOceanClient

Responder = Callable[[httpx.Request], httpx.Response]


def reply(status: int = 200, **response_arguments: Any) -> Responder:
    """Respond with this status; ``response_arguments`` are the arguments of httpx.Response.

    An error without a body gets one with a message, as Code Ocean's errors have.
    """
    if status >= 400 and not response_arguments.keys() & {"content", "json", "text", "html", "stream"}:
        response_arguments["json"] = {"message": "on purpose"}
    return lambda request: httpx.Response(status, **response_arguments)


def succeed(request: httpx.Request) -> httpx.Response:
    """Respond as Code Ocean does: with a resource, or with an empty body if the endpoint returns none."""
    returns_none = request.method in {"DELETE", "PATCH"} or request.url.path.endswith("/transfer")
    if returns_none:
        return httpx.Response(204)
    return httpx.Response(200, json={"id": "x", "results": []})


def fail(error: type[httpx.HTTPError], message: str = "on purpose") -> Responder:
    """Raise a network error."""

    def answer(request: httpx.Request) -> httpx.Response:
        raise error(message, request=request) if issubclass(error, httpx.RequestError) else error(message)

    return answer


class FakeServer:
    """Responds in order, repeats the last response, and records the requests."""

    url = "https://codeocean.test"
    token = "cop_s3cret"

    def __init__(self, *answers: Responder) -> None:
        self.responders = list(answers)
        self.requests: list[httpx.Request] = []
        self.transport = httpx.MockTransport(self.respond)

    def respond(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.responders.pop(0) if len(self.responders) > 1 else self.responders[0]
        return answer(request)

    @property
    def bodies(self) -> list[Any]:
        return [json.loads(request.content) for request in self.requests]


class SearchServer(FakeServer):
    """Returns search pages by token, or by offset as a 2.x server."""

    def __init__(self, pages: list[list[str]], *, by_token: bool) -> None:
        super().__init__(self.search)
        self.pages = pages
        self.by_token = by_token

    def search(self, request: httpx.Request) -> httpx.Response:
        params = json.loads(request.content)
        starts = [sum(map(len, self.pages[:number])) for number in range(len(self.pages))]
        number = int(params.get("next_token", 0)) if self.by_token else starts.index(params.get("offset", 0))
        has_more = number + 1 < len(self.pages)
        page = {"results": [{"id": item} for item in self.pages[number]], "has_more": has_more}
        if has_more and self.by_token:
            page["next_token"] = str(number + 1)
        return httpx.Response(200, json=page)


def call_sync(server: FakeServer, action: Callable[[Any], Any], **options: Any) -> Any:
    """Call an action with the sync client and return its result; the results of an iterator as a list."""
    with CodeOceanClient(server.url, server.token, transport=server.transport, **options) as client:
        answer = action(client)
        return list(answer) if isinstance(answer, Iterator) else answer


def call_async(server: FakeServer, action: Callable[[Any], Any], **options: Any) -> Any:
    """Call an action with the async client; see :func:`call_sync`."""

    async def ask() -> Any:
        transport = server.transport
        async with CodeOceanAsyncClient(server.url, server.token, transport=transport, **options) as client:
            answer = action(client)
            if isinstance(answer, AsyncIterator):
                return [item async for item in answer]
            return await answer

    return asyncio.run(ask())


#: Both clients, used the same way.
CALLERS = {"sync": call_sync, "async": call_async}
ClientCaller = partial[Any]
