"""Faults that answer a request or spoil its response. The list of kinds is in `faults`."""

import asyncio
import email.utils
import http.client
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from http import HTTPStatus

from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from airflow_provider_codeocean.emulator.domain.faults import Fault, FaultRule
from airflow_provider_codeocean.emulator.server.connection import EXTENSION, Connection

PROXY_PAGE = "<html><head><title>{0}</title></head><body><center><h1>{0}</h1></center><hr></body></html>"


@dataclass
class Answer:
    """An answer that is kept back, to be spoilt.

    :param status: its status.
    :param headers: its headers.
    :param body: its body.
    """

    status: int = 0
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""

    async def take(self, message: Message) -> None:
        """Be the `send` of an app.

        :param message: an ASGI message.
        """
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], list(message.get("headers", ()))
        else:
            self.body += message.get("body", b"")

    async def start(self, send: Send) -> None:
        """Send status and headers.

        :param send: of the request.
        """
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})

    def with_body(self, body: bytes) -> "Answer":
        """Return the answer with another body, as if it had been meant so.

        :param body: the body.
        :returns: the answer, its length corrected.
        """
        # An empty 204 cannot have a body.
        status = 200 if self.status == HTTPStatus.NO_CONTENT and body else self.status
        headers = [(name, value) for name, value in self.headers if name != b"content-length"]
        if status != HTTPStatus.NO_CONTENT:
            headers.append((b"content-length", str(len(body)).encode()))
        return Answer(status, headers, body)

    async def send(self, send: Send) -> None:
        """Send all of it.

        :param send: of the request.
        """
        await self.start(send)
        await send({"type": "http.response.body", "body": self.body})


@dataclass(frozen=True)
class Exchange:
    """A request that goes wrong.

    :param fault: how.
    :param app: what would have answered it.
    :param count: counts the request, with None where it is not answered.
    :param with_quirks: applies the quirks of responses to another application.
    """

    fault: Fault
    app: ASGIApp
    scope: Scope
    receive: Receive
    send: Send
    count: Callable[[int | None], None]
    with_quirks: Callable[[ASGIApp], ASGIApp]

    @property
    def rule(self) -> FaultRule:
        """What the fault is meant to do."""
        return self.fault.rule

    @property
    def connection(self) -> Connection:
        """The TCP connection; there is one only where a real server listens."""
        connection: Connection = self.scope["extensions"][EXTENSION]
        return connection

    async def proceed(self) -> None:
        """Let the request have its answer."""
        await self.app(self.scope, self.receive, self.send)

    async def work(self) -> Answer:
        """Do what was asked, keeping the answer back.

        :returns: the answer.
        """
        answer = Answer()
        await self.app(self.scope, self.receive, answer.take)
        return answer

    async def respond(self, response: Response) -> None:
        """Answer with something else.

        :param response: what.
        """
        await self.with_quirks(response)(self.scope, self.receive, self.send)

    async def abort(self) -> None:
        """Close the connection now."""
        self.count(None)
        self.connection.abort()
        await self.gone()

    async def gone(self) -> None:
        """Wait until the server has noticed that the connection is closed, so that it does not complain."""
        while (await self.receive())["type"] != "http.disconnect":
            pass


async def _status(exchange: Exchange) -> None:
    rule = exchange.rule
    status = rule.status or HTTPStatus.SERVICE_UNAVAILABLE
    if isinstance(rule.body, str):
        await exchange.respond(PlainTextResponse(rule.body, status, _retry_after(rule)))
    else:
        body = {"message": _phrase(status).lower()} if rule.body is None else rule.body
        await exchange.respond(JSONResponse(body, status, _retry_after(rule)))


async def _html(exchange: Exchange) -> None:
    status = exchange.rule.status or HTTPStatus.BAD_GATEWAY
    page = PROXY_PAGE.format(f"{status:d} {_phrase(status)}")
    headers = _retry_after(exchange.rule)
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        headers["Location"] = exchange.rule.location
    await exchange.respond(HTMLResponse(page, status, headers))


async def _close_before(exchange: Exchange) -> None:
    await exchange.abort()


async def _close_after(exchange: Exchange) -> None:
    await exchange.work()
    await exchange.abort()


async def _hold_before(exchange: Exchange) -> None:
    if await exchange.fault.hold():
        await exchange.proceed()
    else:
        await exchange.abort()


async def _hold(exchange: Exchange) -> None:
    answer = await exchange.work()
    if await exchange.fault.hold():
        await answer.send(exchange.send)
    else:
        await exchange.abort()


async def _slow(exchange: Exchange) -> None:
    await asyncio.sleep(exchange.rule.delay)
    await exchange.proceed()


async def _slow_headers(exchange: Exchange) -> None:
    answer = await exchange.work()
    exchange.count(answer.status)
    lines = [f"HTTP/1.1 {answer.status:d} {_phrase(answer.status)}".encode()]
    lines += [name + b": " + value for name, value in (*answer.headers, (b"connection", b"close"))]
    head = b"\r\n".join(lines) + b"\r\n\r\n"
    # Around uvicorn, which sends headers in one piece.
    for piece in _cut(head, exchange.rule.pieces):
        await asyncio.sleep(exchange.rule.delay / exchange.rule.pieces)
        if not exchange.connection.write(piece):
            break
    exchange.connection.write(answer.body)
    exchange.connection.close()
    await exchange.gone()


async def _slow_body(exchange: Exchange) -> None:
    answer = await exchange.work()
    await answer.start(exchange.send)
    for piece in _cut(answer.body, exchange.rule.pieces):
        await asyncio.sleep(exchange.rule.delay / exchange.rule.pieces)
        await exchange.send({"type": "http.response.body", "body": piece, "more_body": True})
    await exchange.send({"type": "http.response.body", "body": b""})


async def _half_body(exchange: Exchange) -> None:
    answer = await exchange.work()
    await answer.start(exchange.send)
    half = answer.body[: len(answer.body) // 2]
    await exchange.send({"type": "http.response.body", "body": half, "more_body": True})
    exchange.connection.close()
    await exchange.gone()


async def _invalid_json(exchange: Exchange) -> None:
    answer = await exchange.work()
    broken = answer.body[: len(answer.body) // 2] or b"{"
    await answer.with_body(broken).send(exchange.send)


async def _wrong_shape(exchange: Exchange) -> None:
    answer = await exchange.work()
    rule = exchange.rule
    await answer.with_body(json.dumps(rule.body or ["unexpected"]).encode()).send(exchange.send)


async def _empty(exchange: Exchange) -> None:
    answer = await exchange.work()
    await answer.with_body(b"").send(exchange.send)


_INJECTORS: dict[str, Callable[[Exchange], Awaitable[None]]] = {
    "status": _status,
    "html": _html,
    "close_before": _close_before,
    "close_after": _close_after,
    "hold_before": _hold_before,
    "hold": _hold,
    "slow": _slow,
    "slow_headers": _slow_headers,
    "slow_body": _slow_body,
    "half_body": _half_body,
    "invalid_json": _invalid_json,
    "wrong_shape": _wrong_shape,
    "empty": _empty,
}


async def inject(exchange: Exchange) -> None:
    """Make a request go wrong.

    :param exchange: the request and its fault.
    """
    await _INJECTORS[exchange.rule.kind](exchange)


def _cut(whole: bytes, pieces: int) -> Iterator[bytes]:
    """Cut into pieces; where there are fewer bytes than that, some pieces are empty."""
    for piece in range(pieces):
        yield whole[piece * len(whole) // pieces : (piece + 1) * len(whole) // pieces]


def _phrase(status: int) -> str:
    # Proxies have statuses of their own, such as 520.
    return http.client.responses.get(status, "Error")


def _retry_after(rule: FaultRule) -> dict[str, str]:
    if rule.retry_after is None:
        return {}
    if rule.retry_after == "date":
        return {"Retry-After": email.utils.formatdate(time.time() + 2, usegmt=True)}
    return {"Retry-After": str(rule.retry_after)}
