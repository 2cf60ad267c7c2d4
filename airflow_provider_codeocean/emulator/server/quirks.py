"""Quirks that change requests and responses. `faults` documents their kinds."""

import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from airflow_provider_codeocean.emulator.domain.content_quirks import CONTENT_QUIRKS, QuirkChange
from airflow_provider_codeocean.emulator.domain.faults import Fault, FaultRegistry, FaultRule
from airflow_provider_codeocean.emulator.domain.records import JsonObject
from airflow_provider_codeocean.emulator.server.fault_injection import BufferedResponse

LIST_FIELDS = ("results", "items")
"""Fields of a response that contain its objects, unless the response is an object itself."""


def _drop_fields(rule: FaultRule, document: JsonObject) -> JsonObject:
    return {name: value for name, value in document.items() if name not in rule.fields}


def _uppercase_ids(_rule: FaultRule, document: JsonObject) -> JsonObject:
    object_id = document.get("id")
    return document | {"id": object_id.upper()} if isinstance(object_id, str) else document


RESPONSE_CHANGES: dict[str, QuirkChange] = {"drop_fields": _drop_fields, "uppercase_ids": _uppercase_ids}


class QuirkMiddleware:
    """ASGI middleware that changes responses.

    :param app: the application that responds.
    :param faults: the active rules.
    """

    def __init__(self, app: ASGIApp, faults: FaultRegistry) -> None:
        self._app = app
        self._faults = faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request.

        :param scope: ASGI scope of the request.
        :param receive: receives the request body.
        :param send: sends the response.
        """
        changes = list(self._matching_changes(scope["method"], scope["path"]))
        if not changes:
            await self._app(scope, receive, send)
            return
        response = BufferedResponse()
        await self._app(scope, receive, response.collect)
        for change in changes:
            response = change(response)
        await response.send(send)

    def _matching_changes(
        self, method: str, path: str
    ) -> Iterator[Callable[[BufferedResponse], BufferedResponse]]:
        for kind, change in (CONTENT_QUIRKS | RESPONSE_CHANGES).items():
            fault = self._faults.find(method, path, {kind})
            if fault is not None and (kind in RESPONSE_CHANGES or not fault.rule.stored):
                yield partial(_change_objects, fault, change)
        if fault := self._faults.match(method, path, {"drop_headers"}):
            yield partial(_drop_headers, fault)


def _change_objects(fault: Fault, change: QuirkChange, response: BufferedResponse) -> BufferedResponse:
    if (b"content-type", b"application/json") not in response.headers or not response.body:
        return response
    document = json.loads(response.body)
    changed = _map_objects(document, partial(change, fault.rule))
    if changed == document:
        return response
    fault.record_hit()
    return response.with_body(json.dumps(changed).encode())


def _map_objects(value: Any, change: Callable[[JsonObject], JsonObject]) -> Any:
    if isinstance(value, list):
        return [_map_objects(item, change) for item in value]
    if not isinstance(value, dict):
        return value
    for name in LIST_FIELDS:
        if isinstance(value.get(name), list):
            return value | {name: _map_objects(value[name], change)}
    return change(value)


def _drop_headers(fault: Fault, response: BufferedResponse) -> BufferedResponse:
    dropped_names = {name.lower().encode() for name in fault.rule.fields}
    headers = [header for header in response.headers if header[0].lower() not in dropped_names]
    return BufferedResponse(response.status, headers, response.body)
