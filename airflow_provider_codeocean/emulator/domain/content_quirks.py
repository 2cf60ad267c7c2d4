"""Quirks that change the tags and name of an object."""

from collections.abc import Callable

from airflow_provider_codeocean.emulator.domain.faults import FaultRegistry, FaultRule
from airflow_provider_codeocean.emulator.domain.records import JsonObject

QuirkChange = Callable[[FaultRule, JsonObject], JsonObject]


def _tag_change(change: Callable[[FaultRule, list[str]], list[str]]) -> QuirkChange:
    def changed(rule: FaultRule, document: JsonObject) -> JsonObject:
        tags = document.get("tags")
        return document | {"tags": change(rule, tags)} if isinstance(tags, list) else document

    return changed


def _truncate_name(rule: FaultRule, document: JsonObject) -> JsonObject:
    name = document.get("name")
    return document | {"name": name[: rule.length]} if isinstance(name, str) else document


CONTENT_QUIRKS: dict[str, QuirkChange] = {
    "truncate_tags": _tag_change(lambda rule, tags: [tag[: rule.length] for tag in tags]),
    "lowercase_tags": _tag_change(lambda _rule, tags: [tag.lower() for tag in tags]),
    "prefix_tags": _tag_change(lambda rule, tags: [rule.text + tag for tag in tags]),
    "drop_tags": _tag_change(lambda _rule, _tags: []),
    "truncate_names": _truncate_name,
}
"""Quirks that change an object's content, either when it is stored or when it is returned."""


def apply_on_write(faults: FaultRegistry, method: str, path: str, document: JsonObject) -> JsonObject:
    """Change the tags and name of an object before it is stored.

    :param faults: the active rules.
    :param method: HTTP method of the request.
    :param path: path of the request.
    :param document: fields of the request.
    :returns: the fields to store.
    """
    for kind, change in CONTENT_QUIRKS.items():
        fault = faults.find(method, path, {kind})
        if fault is not None and fault.rule.stored and (changed := change(fault.rule, document)) != document:
            fault.record_hit()
            document = changed
    return document
