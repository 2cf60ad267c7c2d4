"""Which templates cannot be rendered in the triggerer, found when a DAG is parsed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import nodes

#: What a template's context asks Airflow for when it is used, which the triggerer's supervisor never answers.
_NEVER_ANSWERED = frozenset(
    {
        "asset_state_store",
        "inlet_events",
        "prev_data_interval_end_success",
        "prev_data_interval_start_success",
        "prev_end_date_success",
        "prev_start_date_success",
        "task_state_store",
    }
)
_PULL = "xcom_pull"


def check_for_triggerer(name: str, value: Any) -> None:
    """Check that an argument can be rendered in the triggerer.

    There a template that asks what the triggerer's supervisor does not know to answer waits for ever:
    ``xcom_pull`` without ``map_indexes``, and some of the context.

    :param name: name of the argument.
    :param value: a text, or lists and mappings with texts in them.
    :raises ValueError: where it cannot be, saying what to write instead.
    """
    for template in _texts(value):
        for problem in _problems(template):
            raise ValueError(
                f"{name}: {template!r} cannot be rendered in the triggerer, which does not answer {problem}, "
                "or leave out start_from_trigger"
            )


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        if "{{" in value or "{%" in value:
            yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list | tuple | set):
        for item in value:
            yield from _texts(item)


def _problems(template: str) -> Iterator[str]:
    from jinja2 import Environment, TemplateSyntaxError, nodes

    try:
        tree = Environment(extensions=["jinja2.ext.do"]).parse(template)  # noqa: S701 - nothing is rendered
    except TemplateSyntaxError:  # which rendering it tells, wherever that is
        return
    answered = {id(call.node) for call in tree.find_all(nodes.Call) if _names_map_indexes(call)}
    for node in tree.find_all((nodes.Getattr, nodes.Getitem, nodes.Filter, nodes.Name)):
        if _is_pull(node) and id(node) not in answered:
            yield f"{_PULL} without map_indexes: add map_indexes=-1 (for a mapped task, its index)"
        elif isinstance(node, nodes.Name) and node.name in _NEVER_ANSWERED and node.ctx == "load":
            yield f"{node.name}: do without it"


def _names_map_indexes(call: nodes.Call) -> bool:
    return any(keyword.key == "map_indexes" for keyword in call.kwargs)


def _is_pull(node: nodes.Node) -> bool:
    """Whether an expression is the method, by whatever way a template may get at it."""
    from jinja2 import nodes

    match node:
        case nodes.Getattr(attr=name):
            return bool(name == _PULL)
        case nodes.Getitem(arg=nodes.Const(value=name)):
            return bool(name == _PULL)
        case nodes.Filter(name="attr", args=[nodes.Const(value=name), *_]):
            return bool(name == _PULL)
        case _:
            return False
