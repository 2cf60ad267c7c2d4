"""Middleware for all requests: counters, faults, rate limits, and authentication."""

import re
from dataclasses import dataclass
from functools import partial

from starlette.responses import JSONResponse
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from airflow_provider_codeocean.emulator.domain.errors import ApiError, raise_not_found
from airflow_provider_codeocean.emulator.domain.faults import API_PREFIX
from airflow_provider_codeocean.emulator.server.connection import CONNECTION_EXTENSION
from airflow_provider_codeocean.emulator.server.fault_injection import Exchange, inject
from airflow_provider_codeocean.emulator.server.quirks import QuirkMiddleware
from airflow_provider_codeocean.emulator.services.session import parse_version
from airflow_provider_codeocean.emulator.state.deployment import Emulator
from airflow_provider_codeocean.emulator.state.traffic import TrafficStats, classify_request

CONTROL_PREFIX = "/_emulator/"

_UUID_PATTERN = re.compile(r"[0-9A-F]{8}(?:-[0-9A-F]{4}){3}-[0-9A-F]{12}", re.IGNORECASE)


class RequestMiddleware:
    """ASGI middleware for all endpoints.

    :param app: the wrapped application.
    :param emulator: the deployment.
    """

    def __init__(self, app: ASGIApp, emulator: Emulator) -> None:
        self._app = app
        self._emulator = emulator
        self._wrap_with_quirks = partial(QuirkMiddleware, faults=emulator.faults)
        self._authorized_app = self._wrap_with_quirks(self._authorize)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request.

        :param scope: ASGI scope of the request.
        :param receive: receives the request body.
        :param send: sends the response.
        """
        if scope["type"] != "http" or scope["path"].startswith(CONTROL_PREFIX):
            await self._app(scope, receive, send)
            return
        if scope["path"].startswith(API_PREFIX):
            # Ids are UUIDs, so case is ignored.
            path = _UUID_PATTERN.sub(lambda match: match[0].lower(), scope["path"])
            scope = {**scope, "path": path, "raw_path": path.encode()}
        if connection := scope.get("extensions", {}).get(CONNECTION_EXTENSION):
            connection.mark_api_request()
        counter = _RequestCounter(self._emulator.traffic, scope)
        try:
            # Read the body even if the request is rejected, as servers do.
            body = await _read_body(receive)
            if body is not None:
                await self._serve(scope, _replay_body(body, receive), counter.wrap_send(send), counter)
        finally:
            counter.record_status(None)

    async def _serve(self, scope: Scope, receive: Receive, send: Send, counter: "_RequestCounter") -> None:
        fault = self._emulator.faults.match(scope["method"], scope["path"])
        if fault is None:
            await self._authorized_app(scope, receive, send)
        else:
            exchange = Exchange(
                fault,
                self._authorized_app,
                scope,
                receive,
                send,
                counter.record_status,
                wrap_with_quirks=self._wrap_with_quirks,
            )
            await inject(exchange)

    async def _authorize(self, scope: Scope, receive: Receive, send: Send) -> None:
        rejection = self._find_rejection(scope)
        await (rejection or self._app)(scope, receive, send)

    def _find_rejection(self, scope: Scope) -> JSONResponse | None:
        if not scope["path"].startswith(API_PREFIX):
            return None
        for limiter in self._emulator.get_rate_limiters(classify_request(scope["method"], scope["path"])):
            wait_seconds = limiter.try_acquire()
            if wait_seconds is not None:
                headers = limiter.retry_after_headers(wait_seconds)
                return JSONResponse({"message": "too many requests"}, 429, headers)
        headers_by_name = dict(scope["headers"])
        try:
            caller = self._emulator.user_directory.authenticate(headers_by_name.get(b"authorization"))
            self._check_version(headers_by_name.get(b"min-server-version", b"").decode("latin-1"))
            self._check_read_lag(scope["method"], scope["path"])
        except ApiError as error:
            return JSONResponse(error.body, error.status)
        scope.setdefault("state", {})["caller"] = caller
        return None

    def _check_version(self, required: str) -> None:
        version = self._emulator.config.server_version
        if parse_version(required) > parse_version(version):
            raise ApiError(400, f"this server has version {version}, the client needs {required} or newer")

    def _check_read_lag(self, method: str, path: str) -> None:
        faults, store = self._emulator.faults, self._emulator.store
        fault = faults.find(method, path, {"read_lag"}) if method == "GET" else None
        if fault is None:
            return
        resource, _, rest = path.removeprefix(API_PREFIX).partition("/")
        if resource not in {"data_assets", "computations"}:
            return
        object_id = rest.partition("/")[0]
        record = store.data_assets.get(object_id) or store.computations.get(object_id)
        if record is not None and fault.hides_object(object_id, record.created):
            fault.record_hit()
            raise_not_found(resource.removesuffix("s").replace("_", " "), object_id)


@dataclass
class _RequestCounter:
    """Counts a request once."""

    traffic: TrafficStats
    scope: Scope
    is_counted: bool = False

    def record_status(self, status: int | None) -> None:
        if not self.is_counted:
            self.is_counted = True
            self.traffic.record_request(f"{self.scope['method']} {_path_template(self.scope)}", status)

    def wrap_send(self, send: Send) -> Send:
        async def counting_send(message: Message) -> None:
            # Count before sending, so that a client that has the response sees it counted.
            if message["type"] == "http.response.start":
                self.record_status(message["status"])
            await send(message)

        return counting_send


async def _read_body(receive: Receive) -> bytes | None:
    """Read the body; return None if the client disconnects before its end."""
    body = b""
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


def _replay_body(body: bytes, receive: Receive) -> Receive:
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return messages.pop() if messages else await receive()

    return replay


def _path_template(scope: Scope) -> str:
    """Return the path with placeholders instead of ids, even if the request did not reach a route."""
    route = scope.get("route")
    if route is None:
        routes = (route for route in scope["app"].routes if isinstance(route, Route))
        route = next((route for route in routes if route.matches(scope)[0] is Match.FULL), None)
    return "(unknown)" if route is None else str(route.path)
