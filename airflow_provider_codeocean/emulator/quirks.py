"""Quirks that rewrite requests and responses. The list of quirks is in `faults`."""

import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from airflow_provider_codeocean.emulator.faults import Fault, FaultBook, FaultRule
from airflow_provider_codeocean.emulator.injection import Answer
from airflow_provider_codeocean.emulator.records import Json

LISTS = ("results", "items")
"""Fields of a response that hold its objects, if it is not an object itself."""


Change = Callable[[FaultRule, Json], Json]


def _change_tags(change: Callable[[FaultRule, list[str]], list[str]]) -> Change:
    def changed(rule: FaultRule, document: Json) -> Json:
        tags = document.get("tags")
        return document | {"tags": change(rule, tags)} if isinstance(tags, list) else document

    return changed


def _truncate_name(rule: FaultRule, document: Json) -> Json:
    name = document.get("name")
    return document | {"name": name[: rule.length]} if isinstance(name, str) else document


def _drop_fields(rule: FaultRule, document: Json) -> Json:
    return {name: value for name, value in document.items() if name not in rule.fields}


def _uppercase_ids(_rule: FaultRule, document: Json) -> Json:
    object_id = document.get("id")
    return document | {"id": object_id.upper()} if isinstance(object_id, str) else document


_CONTENT: dict[str, Change] = {
    "truncate_tags": _change_tags(lambda rule, tags: [tag[: rule.length] for tag in tags]),
    "lowercase_tags": _change_tags(lambda _rule, tags: [tag.lower() for tag in tags]),
    "prefix_tags": _change_tags(lambda rule, tags: [rule.text + tag for tag in tags]),
    "drop_tags": _change_tags(lambda _rule, _tags: []),
    "truncate_names": _truncate_name,
}
"""Changes of what an object contains, either when it is stored or when it is shown."""

_SHOWN: dict[str, Change] = {"drop_fields": _drop_fields, "uppercase_ids": _uppercase_ids}


def stored(faults: FaultBook, method: str, path: str, document: Json) -> Json:
    """Change the tags and name of an object before it is stored.

    :param faults: the rules in use.
    :param method: method of the request.
    :param path: path of the request.
    :param document: fields of the request.
    :returns: the fields as they are stored.
    """
    for kind, change in _CONTENT.items():
        fault = faults.find(method, path, {kind})
        if fault is not None and fault.rule.stored and (changed := change(fault.rule, document)) != document:
            fault.hit()
            document = changed
    return document


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
        for kind, change in (_CONTENT | _SHOWN).items():
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
