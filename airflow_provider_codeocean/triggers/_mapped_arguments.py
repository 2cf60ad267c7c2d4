"""Resolve the mapped arguments of a task in the triggerer.

A worker of Airflow resolves them itself, but the triggerer of Airflow 3.3 has only the serialized operator.
The result is the same: the order of combinations is that of ``DictOfListsExpandInput`` in Airflow's SDK.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple

#: Reads an XCom by the task's id and the key; returns None if it does not exist.
XComPuller = Callable[[str, str], Awaitable[Any]]


class MappedArguments(NamedTuple):
    """The mapped arguments, and those that come from an XCom, in which Airflow renders no templates."""

    values: dict[str, Any]
    names_from_xcom: frozenset[str]


async def resolve_mapped_arguments(
    map_index: int, expand_input: Any, argument_names: Sequence[str], pull: XComPuller
) -> MappedArguments:
    """Return the mapped arguments of a task instance.

    :param map_index: its map index.
    :param expand_input: the mapping of the serialized operator.
    :param argument_names: arguments of ``expand`` in the order of the DAG file, as databases sort them.
    :param pull: reads XComs.
    :returns: the arguments.
    :raises LookupError: if only a worker can resolve them.
    """
    value = expand_input.value
    if expand_input.EXPAND_INPUT_TYPE == "list-of-dicts":
        if not isinstance(value, list | tuple) or not isinstance(value[map_index], Mapping):
            raise LookupError("only a worker can resolve expand_kwargs() over the result of a task")
        return MappedArguments(dict(value[map_index]), frozenset())
    columns = {name: await _mapped_values(value[name], pull) for name in argument_names}
    indexes = product_indexes({name: len(column) for name, column in columns.items()}, map_index)
    return MappedArguments(
        {name: columns[name][index] for name, index in indexes.items()},
        frozenset(name for name in argument_names if not isinstance(value[name], list | tuple)),
    )


def product_indexes(lengths: Mapping[str, int], map_index: int) -> dict[str, int]:
    """Return the index of each argument's value for a map index. The last argument changes fastest."""
    indexes = {}
    remainder = map_index
    for name in reversed(list(lengths)):
        if not lengths[name]:
            raise LookupError(f"{name} is mapped over an empty list")
        remainder, indexes[name] = divmod(remainder, lengths[name])
    if remainder:
        raise LookupError(f"map index {map_index} is out of range")
    return indexes


async def _mapped_values(value: Any, pull: XComPuller) -> Sequence[Any]:
    if isinstance(value, list | tuple):
        return value
    from airflow.serialization.definitions.xcom_arg import SchedulerPlainXComArg

    if type(value) is not SchedulerPlainXComArg or not is_unmapped_task(value.operator):
        raise LookupError(f"only a worker can map over {value!r}")
    values = await pull(value.operator.task_id, value.key)
    if isinstance(values, list | tuple):
        return values
    raise LookupError(f"XCom {value.key} of task {value.operator.task_id} is not a list")


def is_unmapped_task(operator: Any) -> bool:
    """Return whether a task runs once in a DAG run: it is not mapped, and not in a mapped task group."""
    return not operator.is_mapped and operator.get_closest_mapped_task_group() is None
