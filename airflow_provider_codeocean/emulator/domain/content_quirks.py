"""Quirks that change the tags and name of an object."""

from collections.abc import Callable

from airflow_provider_codeocean.emulator.domain.faults import FaultBook, FaultRule
from airflow_provider_codeocean.emulator.domain.records import Json

Change = Callable[[FaultRule, Json], Json]


def _change_tags(change: Callable[[FaultRule, list[str]], list[str]]) -> Change:
    def changed(rule: FaultRule, document: Json) -> Json:
        tags = document.get("tags")
        return document | {"tags": change(rule, tags)} if isinstance(tags, list) else document

    return changed


def _truncate_name(rule: FaultRule, document: Json) -> Json:
    name = document.get("name")
    return document | {"name": name[: rule.length]} if isinstance(name, str) else document


CONTENT_QUIRKS: dict[str, Change] = {
    "truncate_tags": _change_tags(lambda rule, tags: [tag[: rule.length] for tag in tags]),
    "lowercase_tags": _change_tags(lambda _rule, tags: [tag.lower() for tag in tags]),
    "prefix_tags": _change_tags(lambda rule, tags: [rule.text + tag for tag in tags]),
    "drop_tags": _change_tags(lambda _rule, _tags: []),
    "truncate_names": _truncate_name,
}
"""Changes of an object's content, either when it is stored or when it is returned."""


def stored(faults: FaultBook, method: str, path: str, document: Json) -> Json:
    """Change the tags and name of an object before it is stored.

    :param faults: the rules in use.
    :param method: method of the request.
    :param path: path of the request.
    :param document: fields of the request.
    :returns: the fields as they are stored.
    """
    for kind, change in CONTENT_QUIRKS.items():
        fault = faults.find(method, path, {kind})
        if fault is not None and fault.rule.stored and (changed := change(fault.rule, document)) != document:
            fault.hit()
            document = changed
    return document
