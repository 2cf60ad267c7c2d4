"""Which templates cannot be rendered in the triggerer, found when a DAG is parsed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import nodes

#: What of a template's context is not there in the triggerer of Airflow 3.3 as it is in a worker: it is
#: empty, or asks the triggerer's supervisor what that never answers.
_NOT_THERE = frozenset(
    {
        "asset_state_store",
        "inlet_events",
        "inlets",
        "outlet_events",
        "outlets",
        "prev_data_interval_end_success",
        "prev_data_interval_start_success",
        "prev_end_date_success",
        "prev_start_date_success",
        "task_state_store",
        "triggering_asset_events",
    }
)
_PULL = "xcom_pull"
_ADD_MAP_INDEXES = "add map_indexes=-1 (for a task that is mapped, its index)"
_OF_TASK_INSTANCE = frozenset({"dag_id", "map_index", "run_id", "task_id", "try_number", _PULL})
#: What is there of things that are not whole.
_THERE = {
    "dag": frozenset({"dag_id"}),
    "dag_run": frozenset(
        {
            "conf",
            "dag_id",
            "data_interval_end",
            "data_interval_start",
            "logical_date",
            "partition_date",
            "partition_key",
            "run_after",
            "run_id",
            "run_type",
            "start_date",
        }
    ),
    "task": frozenset({"task_id"}),
    "task_instance": _OF_TASK_INSTANCE,
    "ti": _OF_TASK_INSTANCE,
}


def check_for_triggerer(name: str, value: Any) -> None:
    """Check that an argument is rendered in the triggerer as it is in a worker.

    There some of a template's context is empty, and a template that asks for what the triggerer's supervisor
    does not know waits for ever: that is what ``xcom_pull`` without ``map_indexes`` does.

    :param name: name of the argument.
    :param value: a text, or lists and mappings with texts in them.
    :raises ValueError: where it is not, saying what to write instead.
    """
    for template in _texts(value):
        for problem in _problems(template):
            raise ValueError(
                f"{name}: {template!r} cannot be rendered in the triggerer, which {problem}, "
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
    attributes = {id(each.node): each for each in tree.find_all(nodes.Getattr)}
    answered = {id(call.node) for call in tree.find_all(nodes.Call) if _gives_map_indexes(call)}
    for name in tree.find_all(nodes.Name):
        attribute = attributes.get(id(name))
        if name.name in _NOT_THERE:
            yield f"does not know {name.name}: do without it"
        elif name.name in _THERE:
            if attribute is None or attribute.attr not in _THERE[name.name]:
                what = name.name if attribute is None else f"{name.name}.{attribute.attr}"
                yield f"does not know {what} as a worker does: do without it"
            elif attribute.attr == _PULL and id(attribute) not in answered:
                yield f"does not answer {_PULL} without map_indexes: {_ADD_MAP_INDEXES}"


def _gives_map_indexes(call: nodes.Call) -> bool:
    return any(keyword.key == "map_indexes" for keyword in call.kwargs)
