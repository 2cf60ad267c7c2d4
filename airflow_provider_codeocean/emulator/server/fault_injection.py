"""Faults that replace or corrupt a response. `faults` documents their kinds."""

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
from airflow_provider_codeocean.emulator.server.connection import CONNECTION_EXTENSION, Connection

PROXY_PAGE_TEMPLATE = (
    "<html><head><title>{0}</title></head><body><center><h1>{0}</h1></center><hr></body></html>"
)


@dataclass
class BufferedResponse:
    """A buffered response, which can be changed before it is sent.

    :param status: HTTP status.
    :param headers: headers.
    :param body: body.
    """

    status: int = 0
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""

    async def collect(self, message: Message) -> None:
        """Add an ASGI message to the response; the `send` argument of an application.

        :param message: an ASGI message.
        """
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], list(message.get("headers", ()))
        else:
            self.body += message.get("body", b"")

    async def send_start(self, send: Send) -> None:
        """Send the status and headers.

        :param send: ASGI `send` function of the request.
        """
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})

    def with_body(self, body: bytes) -> "BufferedResponse":
        """Return the response with another body and a matching length.

        :param body: the new body.
        :returns: the response.
        """
        # A 204 cannot have a body.
        status = 200 if self.status == HTTPStatus.NO_CONTENT and body else self.status
        headers = [(name, value) for name, value in self.headers if name != b"content-length"]
        if status != HTTPStatus.NO_CONTENT:
            headers.append((b"content-length", str(len(body)).encode()))
        return BufferedResponse(status, headers, body)

    async def send(self, send: Send) -> None:
        """Send the whole response.

        :param send: ASGI `send` function of the request.
        """
        await self.send_start(send)
        await send({"type": "http.response.body", "body": self.body})


@dataclass(frozen=True)
class Exchange:
    """A request with a fault.

    :param fault: the fault.
    :param app: the application that handles the request.
    :param record_status: counts the request; None stands for a request without a response.
    :param wrap_with_quirks: applies the quirks of responses to another application.
    """

    fault: Fault
    app: ASGIApp
    scope: Scope
    receive: Receive
    send: Send
    record_status: Callable[[int | None], None]
    wrap_with_quirks: Callable[[ASGIApp], ASGIApp]

    @property
    def rule(self) -> FaultRule:
        """The rule of the fault."""
        return self.fault.rule

    @property
    def connection(self) -> Connection:
        """The TCP connection, which exists only with a real server."""
        connection: Connection = self.scope["extensions"][CONNECTION_EXTENSION]
        return connection

    async def proceed(self) -> None:
        """Process the request, and send the regular response."""
        await self.app(self.scope, self.receive, self.send)

    async def run_app(self) -> BufferedResponse:
        """Process the request, and buffer the response.

        :returns: the response.
        """
        response = BufferedResponse()
        await self.app(self.scope, self.receive, response.collect)
        return response

    async def respond(self, response: Response) -> None:
        """Send another response instead.

        :param response: the response.
        """
        await self.wrap_with_quirks(response)(self.scope, self.receive, self.send)

    async def abort(self) -> None:
        """Close the connection immediately."""
        self.record_status(None)
        self.connection.abort()
        await self.wait_for_disconnect()

    async def wait_for_disconnect(self) -> None:
        """Wait until the server has noticed that the connection is closed, so that it logs no error."""
        while (await self.receive())["type"] != "http.disconnect":
            pass


async def _inject_status(exchange: Exchange) -> None:
    rule = exchange.rule
    status = rule.status or HTTPStatus.SERVICE_UNAVAILABLE
    if isinstance(rule.body, str):
        await exchange.respond(PlainTextResponse(rule.body, status, _retry_after_headers(rule)))
    else:
        body = {"message": _reason_phrase(status).lower()} if rule.body is None else rule.body
        await exchange.respond(JSONResponse(body, status, _retry_after_headers(rule)))


async def _inject_html(exchange: Exchange) -> None:
    status = exchange.rule.status or HTTPStatus.BAD_GATEWAY
    page = PROXY_PAGE_TEMPLATE.format(f"{status:d} {_reason_phrase(status)}")
    headers = _retry_after_headers(exchange.rule)
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        headers["Location"] = exchange.rule.location
    await exchange.respond(HTMLResponse(page, status, headers))


async def _inject_close_before(exchange: Exchange) -> None:
    await exchange.abort()


async def _inject_close_after(exchange: Exchange) -> None:
    await exchange.run_app()
    await exchange.abort()


async def _inject_hold_before(exchange: Exchange) -> None:
    if await exchange.fault.hold_request():
        await exchange.proceed()
    else:
        await exchange.abort()


async def _inject_hold(exchange: Exchange) -> None:
    response = await exchange.run_app()
    if await exchange.fault.hold_request():
        await response.send(exchange.send)
    else:
        await exchange.abort()


async def _inject_slow(exchange: Exchange) -> None:
    await asyncio.sleep(exchange.rule.delay)
    await exchange.proceed()


async def _inject_slow_headers(exchange: Exchange) -> None:
    response = await exchange.run_app()
    exchange.record_status(response.status)
    lines = [f"HTTP/1.1 {response.status:d} {_reason_phrase(response.status)}".encode()]
    lines += [name + b": " + value for name, value in (*response.headers, (b"connection", b"close"))]
    head = b"\r\n".join(lines) + b"\r\n\r\n"
    # Bypass uvicorn, which sends headers in one piece.
    for piece in _split(head, exchange.rule.pieces):
        await asyncio.sleep(exchange.rule.delay / exchange.rule.pieces)
        if not exchange.connection.write(piece):
            break
    exchange.connection.write(response.body)
    exchange.connection.close()
    await exchange.wait_for_disconnect()


async def _inject_slow_body(exchange: Exchange) -> None:
    response = await exchange.run_app()
    await response.send_start(exchange.send)
    for piece in _split(response.body, exchange.rule.pieces):
        await asyncio.sleep(exchange.rule.delay / exchange.rule.pieces)
        await exchange.send({"type": "http.response.body", "body": piece, "more_body": True})
    await exchange.send({"type": "http.response.body", "body": b""})


async def _inject_half_body(exchange: Exchange) -> None:
    response = await exchange.run_app()
    await response.send_start(exchange.send)
    half = response.body[: len(response.body) // 2]
    await exchange.send({"type": "http.response.body", "body": half, "more_body": True})
    exchange.connection.close()
    await exchange.wait_for_disconnect()


async def _inject_invalid_json(exchange: Exchange) -> None:
    response = await exchange.run_app()
    broken = response.body[: len(response.body) // 2] or b"{"
    await response.with_body(broken).send(exchange.send)


async def _inject_wrong_shape(exchange: Exchange) -> None:
    response = await exchange.run_app()
    rule = exchange.rule
    await response.with_body(json.dumps(rule.body or ["unexpected"]).encode()).send(exchange.send)


async def _inject_empty(exchange: Exchange) -> None:
    response = await exchange.run_app()
    await response.with_body(b"").send(exchange.send)


_INJECTORS: dict[str, Callable[[Exchange], Awaitable[None]]] = {
    "status": _inject_status,
    "html": _inject_html,
    "close_before": _inject_close_before,
    "close_after": _inject_close_after,
    "hold_before": _inject_hold_before,
    "hold": _inject_hold,
    "slow": _inject_slow,
    "slow_headers": _inject_slow_headers,
    "slow_body": _inject_slow_body,
    "half_body": _inject_half_body,
    "invalid_json": _inject_invalid_json,
    "wrong_shape": _inject_wrong_shape,
    "empty": _inject_empty,
}


async def inject(exchange: Exchange) -> None:
    """Apply a fault to a request.

    :param exchange: the request and its fault.
    """
    await _INJECTORS[exchange.rule.kind](exchange)


def _split(content: bytes, pieces: int) -> Iterator[bytes]:
    """Cut into pieces; with fewer bytes than pieces, some are empty."""
    for piece in range(pieces):
        yield content[piece * len(content) // pieces : (piece + 1) * len(content) // pieces]


def _reason_phrase(status: int) -> str:
    # Proxies use nonstandard statuses, such as 520.
    return http.client.responses.get(status, "Error")


def _retry_after_headers(rule: FaultRule) -> dict[str, str]:
    if rule.retry_after is None:
        return {}
    if rule.retry_after == "date":
        return {"Retry-After": email.utils.formatdate(time.time() + 2, usegmt=True)}
    return {"Retry-After": str(rule.retry_after)}
