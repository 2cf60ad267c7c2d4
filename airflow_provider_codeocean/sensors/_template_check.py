"""Reject templates that the triggerer cannot render, when Airflow parses the DAG."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import nodes

#: Template variables that are empty in the triggerer of Airflow 3.3, or whose requests it never answers.
_UNAVAILABLE_NAMES = frozenset(
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
_XCOM_PULL = "xcom_pull"
_TASK_INSTANCE_ATTRIBUTES = frozenset({"dag_id", "map_index", "run_id", "task_id", "try_number", _XCOM_PULL})
#: Available attributes of variables that are incomplete in the triggerer.
_AVAILABLE_ATTRIBUTES = {
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
    "task_instance": _TASK_INSTANCE_ATTRIBUTES,
    "ti": _TASK_INSTANCE_ATTRIBUTES,
}


def check_renderable_in_triggerer(name: str, value: Any) -> None:
    """Check that the triggerer renders the templates in an argument as a worker does.

    Parts of the context are empty in the triggerer, and its supervisor never answers some requests, such as
    that of ``xcom_pull`` without ``map_indexes``.

    :param name: name of the argument.
    :param value: a text, or lists and mappings that contain texts.
    :raises ValueError: if it cannot; the message contains the remedy.
    """
    for template in _find_templates(value):
        for problem in _find_problems(template):
            raise ValueError(
                f"{name}: the triggerer cannot render {template!r}: {problem}, or remove start_from_trigger"
            )


def _find_templates(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        if "{{" in value or "{%" in value:
            yield value
    elif isinstance(value, Mapping | list | tuple | set):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _find_templates(item)


def _find_problems(template: str) -> Iterator[str]:
    from jinja2 import Environment, TemplateSyntaxError, nodes

    try:
        tree = Environment(extensions=["jinja2.ext.do"]).parse(template)  # noqa: S701 - nothing is rendered
    except TemplateSyntaxError:  # the task reports it when it renders the template
        return
    attributes = {id(attribute.node): attribute for attribute in tree.find_all(nodes.Getattr)}
    calls_with_indexes = {id(call.node) for call in tree.find_all(nodes.Call) if _has_map_indexes(call)}
    for variable in tree.find_all(nodes.Name):
        name, attribute = variable.name, attributes.get(id(variable))
        if name in _UNAVAILABLE_NAMES:
            yield f"{name} is not available; remove it"
        elif name in _AVAILABLE_ATTRIBUTES:
            if attribute is None or attribute.attr not in _AVAILABLE_ATTRIBUTES[name]:
                path = name if attribute is None else f"{name}.{attribute.attr}"
                yield f"{path} is not available; remove it"
            elif attribute.attr == _XCOM_PULL and id(attribute) not in calls_with_indexes:
                yield (f"{_XCOM_PULL} needs map_indexes; add map_indexes=-1 (for a mapped task, its index)")


def _has_map_indexes(call: nodes.Call) -> bool:
    return any(keyword.key == "map_indexes" for keyword in call.kwargs)
