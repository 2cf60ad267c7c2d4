"""What every request passes on its way to an endpoint: counters, faults, the rate limit, authentication."""

import re
from dataclasses import dataclass
from functools import partial

from starlette.responses import JSONResponse
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from airflow_provider_codeocean.emulator.domain.errors import ApiError, not_found
from airflow_provider_codeocean.emulator.domain.faults import API_PREFIX
from airflow_provider_codeocean.emulator.server.connection import EXTENSION
from airflow_provider_codeocean.emulator.server.fault_injection import Exchange, inject
from airflow_provider_codeocean.emulator.server.quirks import Quirks
from airflow_provider_codeocean.emulator.services.session import version_numbers
from airflow_provider_codeocean.emulator.state.deployment import Emulator
from airflow_provider_codeocean.emulator.state.traffic import Traffic, request_kind

CONTROL_PREFIX = "/_emulator/"

_UUID = re.compile(r"[0-9A-F]{8}(?:-[0-9A-F]{4}){3}-[0-9A-F]{12}", re.IGNORECASE)


class Gate:
    """ASGI middleware around the endpoints.

    :param app: what comes behind it.
    :param emulator: the deployment.
    """

    def __init__(self, app: ASGIApp, emulator: Emulator) -> None:
        self._app = app
        self._emulator = emulator
        self._with_quirks = partial(Quirks, faults=emulator.faults)
        self._admitted = self._with_quirks(self._admit)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request.

        :param scope: of the request.
        :param receive: gives its body.
        :param send: takes its answer.
        """
        if scope["type"] != "http" or scope["path"].startswith(CONTROL_PREFIX):
            await self._app(scope, receive, send)
            return
        if scope["path"].startswith(API_PREFIX):
            # Ids are UUIDs, so their case does not matter.
            path = _UUID.sub(lambda found: found[0].lower(), scope["path"])
            scope = {**scope, "path": path, "raw_path": path.encode()}
        if connection := scope.get("extensions", {}).get(EXTENSION):
            connection.note_api_request()
        tally = _Tally(self._emulator.traffic, scope)
        try:
            # The body is read whatever becomes of the request, as servers do that refuse one.
            body = await _read(receive)
            if body is not None:
                await self._serve(scope, _replay(body, receive), tally.watch(send), tally)
        finally:
            tally.count(None)

    async def _serve(self, scope: Scope, receive: Receive, send: Send, tally: "_Tally") -> None:
        fault = self._emulator.faults.draw(scope["method"], scope["path"])
        if fault is None:
            await self._admitted(scope, receive, send)
        else:
            exchange = Exchange(
                fault, self._admitted, scope, receive, send, tally.count, with_quirks=self._with_quirks
            )
            await inject(exchange)

    async def _admit(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._refusal(scope)
        await (refusal or self._app)(scope, receive, send)

    def _refusal(self, scope: Scope) -> JSONResponse | None:
        if not scope["path"].startswith(API_PREFIX):
            return None
        for limiter in self._emulator.limiters_of(request_kind(scope["method"], scope["path"])):
            wait = limiter.admit()
            if wait is not None:
                headers = limiter.retry_after(wait)
                return JSONResponse({"message": "too many requests"}, 429, headers)
        sent = dict(scope["headers"])
        try:
            caller = self._emulator.directory.authenticate(sent.get(b"authorization"))
            self._check_version(sent.get(b"min-server-version", b"").decode("latin-1"))
            self._check_visible(scope["method"], scope["path"])
        except ApiError as error:
            return JSONResponse(error.body, error.status)
        scope.setdefault("state", {})["caller"] = caller
        return None

    def _check_version(self, required: str) -> None:
        version = self._emulator.config.server_version
        if version_numbers(required) > version_numbers(version):
            raise ApiError(400, f"this server has version {version}, the client needs {required} or newer")

    def _check_visible(self, method: str, path: str) -> None:
        faults, store = self._emulator.faults, self._emulator.store
        fault = faults.find(method, path, {"read_lag"}) if method == "GET" else None
        if fault is None:
            return
        resource, _, rest = path.removeprefix(API_PREFIX).partition("/")
        if resource not in {"data_assets", "computations"}:
            return
        object_id = rest.partition("/")[0]
        found = store.data_assets.get(object_id) or store.computations.get(object_id)
        if found is not None and fault.hides(object_id, found.created):
            fault.hit()
            not_found(resource.removesuffix("s").replace("_", " "), object_id)


@dataclass
class _Tally:
    """Counts one request, once."""

    traffic: Traffic
    scope: Scope
    counted: bool = False

    def count(self, status: int | None) -> None:
        if not self.counted:
            self.counted = True
            self.traffic.count(f"{self.scope['method']} {_template(self.scope)}", status)

    def watch(self, send: Send) -> Send:
        async def counting(message: Message) -> None:
            # Before it is sent, so that a client which has its answer finds it counted.
            if message["type"] == "http.response.start":
                self.count(message["status"])
            await send(message)

        return counting


async def _read(receive: Receive) -> bytes | None:
    """Read the body; None if the client has gone away before its end."""
    body = b""
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


def _replay(body: bytes, receive: Receive) -> Receive:
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return messages.pop() if messages else await receive()

    return replay


def _template(scope: Scope) -> str:
    """Return the path with placeholders instead of ids; a request that never reached a route is looked up."""
    route = scope.get("route")
    if route is None:
        routes = (route for route in scope["app"].routes if isinstance(route, Route))
        route = next((route for route in routes if route.matches(scope)[0] is Match.FULL), None)
    return "(unknown)" if route is None else str(route.path)
