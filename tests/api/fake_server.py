"""A server at the end of httpx's transport, and clients that talk to it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Any

import httpx

from airflow_provider_codeocean.api.client import CodeOceanAsyncClient, CodeOceanClient

Answer = Callable[[httpx.Request], httpx.Response]


def reply(status: int = 200, **parts: Any) -> Answer:
    """Respond with this status; ``parts`` are the arguments of httpx.Response.

    An error without a body of its own is Code Ocean's: it has a message.
    """
    if status >= 400 and not parts.keys() & {"content", "json", "text", "html", "stream"}:
        parts["json"] = {"message": "on purpose"}
    return lambda request: httpx.Response(status, **parts)


def succeed(request: httpx.Request) -> httpx.Response:
    """Respond as Code Ocean does: with a resource, or with an empty body if the endpoint returns none."""
    returns_none = request.method in {"DELETE", "PATCH"} or request.url.path.endswith("/transfer")
    if returns_none:
        return httpx.Response(204)
    return httpx.Response(200, json={"id": "x", "results": []})


def fail(error: type[httpx.HTTPError], message: str = "on purpose") -> Answer:
    """No answer but an error on the way."""

    def answer(request: httpx.Request) -> httpx.Response:
        raise error(message, request=request) if issubclass(error, httpx.RequestError) else error(message)

    return answer


class FakeServer:
    """Gives the answers in order, the last one for ever, and keeps the requests."""

    url = "https://codeocean.test"
    token = "cop_s3cret"

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []
        self.transport = httpx.MockTransport(self.answer)

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return answer(request)

    @property
    def bodies(self) -> list[Any]:
        return [json.loads(request.content) for request in self.requests]


class SearchServer(FakeServer):
    """Answers a search page by page: by token, as servers of today do, or by offset, as those of 2.x."""

    def __init__(self, pages: list[list[str]], *, by_token: bool) -> None:
        super().__init__(self.search)
        self.pages = pages
        self.by_token = by_token

    def search(self, request: httpx.Request) -> httpx.Response:
        asked = json.loads(request.content)
        starts = [sum(map(len, self.pages[:number])) for number in range(len(self.pages))]
        number = int(asked.get("next_token", 0)) if self.by_token else starts.index(asked.get("offset", 0))
        has_more = number + 1 < len(self.pages)
        page = {"results": [{"id": item} for item in self.pages[number]], "has_more": has_more}
        if has_more and self.by_token:
            page["next_token"] = str(number + 1)
        return httpx.Response(200, json=page)


def ask_sync(server: FakeServer, use: Callable[[Any], Any], **options: Any) -> Any:
    """Use a client, and return what comes of it; the results of an iterator as a list."""
    with CodeOceanClient(server.url, server.token, transport=server.transport, **options) as client:
        answer = use(client)
        return list(answer) if isinstance(answer, Iterator) else answer


def ask_async(server: FakeServer, use: Callable[[Any], Any], **options: Any) -> Any:
    """Do what :func:`ask_sync` does, with the client that is awaited."""

    async def ask() -> Any:
        transport = server.transport
        async with CodeOceanAsyncClient(server.url, server.token, transport=transport, **options) as client:
            answer = use(client)
            if isinstance(answer, AsyncIterator):
                return [item async for item in answer]
            return await answer

    return asyncio.run(ask())


#: Both clients, used the same way.
BOTH = {"sync": ask_sync, "async": ask_async}
Ask = partial[Any]
