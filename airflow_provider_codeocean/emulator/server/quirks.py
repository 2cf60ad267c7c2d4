"""Quirks that rewrite requests and responses. The list of quirks is in `faults`."""

import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from airflow_provider_codeocean.emulator.domain.content_quirks import CONTENT_QUIRKS, Change
from airflow_provider_codeocean.emulator.domain.faults import Fault, FaultBook, FaultRule
from airflow_provider_codeocean.emulator.domain.records import Json
from airflow_provider_codeocean.emulator.server.fault_injection import Answer

LISTS = ("results", "items")
"""Fields of a response that hold its objects, if it is not an object itself."""


def _drop_fields(rule: FaultRule, document: Json) -> Json:
    return {name: value for name, value in document.items() if name not in rule.fields}


def _uppercase_ids(_rule: FaultRule, document: Json) -> Json:
    object_id = document.get("id")
    return document | {"id": object_id.upper()} if isinstance(object_id, str) else document


_SHOWN: dict[str, Change] = {"drop_fields": _drop_fields, "uppercase_ids": _uppercase_ids}


class Quirks:
    """ASGI middleware that changes responses.

    :param app: the application that responds.
    :param faults: the rules in use.
    """

    def __init__(self, app: ASGIApp, faults: FaultBook) -> None:
        self._app = app
        self._faults = faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request.

        :param scope: of the request.
        :param receive: returns its body.
        :param send: sends its response.
        """
        changes = list(self._changes(scope["method"], scope["path"]))
        if not changes:
            await self._app(scope, receive, send)
            return
        answer = Answer()
        await self._app(scope, receive, answer.take)
        for change in changes:
            answer = change(answer)
        await answer.send(send)

    def _changes(self, method: str, path: str) -> Iterator[Callable[[Answer], Answer]]:
        for kind, change in (CONTENT_QUIRKS | _SHOWN).items():
            fault = self._faults.find(method, path, {kind})
            if fault is not None and (kind in _SHOWN or not fault.rule.stored):
                yield partial(_with_changed_objects, fault, change)
        if fault := self._faults.draw(method, path, {"drop_headers"}):
            yield partial(_without_headers, fault)


def _with_changed_objects(fault: Fault, change: Change, answer: Answer) -> Answer:
    if (b"content-type", b"application/json") not in answer.headers or not answer.body:
        return answer
    document = json.loads(answer.body)
    changed = _changed_objects(document, partial(change, fault.rule))
    if changed == document:
        return answer
    fault.hit()
    return answer.with_body(json.dumps(changed).encode())


def _changed_objects(value: Any, change: Callable[[Json], Json]) -> Any:
    if isinstance(value, list):
        return [_changed_objects(one, change) for one in value]
    if not isinstance(value, dict):
        return value
    for name in LISTS:
        if isinstance(value.get(name), list):
            return value | {name: _changed_objects(value[name], change)}
    return change(value)


def _without_headers(fault: Fault, answer: Answer) -> Answer:
    dropped = {name.lower().encode() for name in fault.rule.fields}
    kept = [line for line in answer.headers if line[0].lower() not in dropped]
    return Answer(answer.status, kept, answer.body)
