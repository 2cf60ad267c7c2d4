"""What one mapped task was given by ``expand`` or ``expand_kwargs``, found in the triggerer.

A worker resolves all that a task is mapped over; the triggerer of Airflow 3.3 has but the mapped operator as
it is stored with the DAG. What is found here is what a worker finds: the order in which several arguments are
combined is Airflow's (``DictOfListsExpandInput`` of its SDK).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple

#: Reads what a task has left in XCom, by its id and the XCom's key; None where there is nothing.
Pull = Callable[[str, str], Awaitable[Any]]


class Given(NamedTuple):
    """What one mapped task was given.

    :ivar values: by the names of the arguments.
    :ivar resolved: the names of those that come from another task, in which Airflow renders no templates.
    """

    values: dict[str, Any]
    resolved: frozenset[str]


async def given_to(map_index: int, expand_input: Any, order: Sequence[str], pull: Pull) -> Given:
    """Find what a mapped task was given.

    :param map_index: the index of the task.
    :param expand_input: what the stored operator is mapped over.
    :param order: the arguments of ``expand`` as the DAG file gives them: databases sort what is stored.
    :param pull: reads XComs.
    :returns: what it was given.
    :raises LookupError: where that can be known in a worker only.
    """
    if map_index < 0:
        raise LookupError("a mapped task without a map index")
    value = expand_input.value
    if expand_input.EXPAND_INPUT_TYPE == "list-of-dicts":
        if not isinstance(value, list | tuple) or not isinstance(value[map_index], Mapping):
            raise LookupError("expand_kwargs() over what other tasks return")
        return Given(dict(value[map_index]), frozenset())
    if set(order) != set(value):
        raise LookupError(f"mapped over {', '.join(value)} by now, and over {', '.join(order)} at first")
    columns = {name: await _column(value[name], pull) for name in order}
    chosen = one_of_product({name: len(column) for name, column in columns.items()}, map_index)
    return Given(
        {name: columns[name][index] for name, index in chosen.items()},
        frozenset(name for name, each in value.items() if not isinstance(each, list | tuple)),
    )


def one_of_product(lengths: Mapping[str, int], map_index: int) -> dict[str, int]:
    """Find which element of each argument belongs to a map index: the last argument changes fastest.

    :param lengths: how many elements each argument has, in the order in which they were given.
    :param map_index: the index.
    :returns: the index in each argument.
    :raises LookupError: where there is no such combination.
    """
    chosen = {}
    for name, length in reversed(list(lengths.items())):
        if not length:
            raise LookupError(f"{name} is mapped over nothing")
        map_index, chosen[name] = divmod(map_index, length)
    if map_index:
        raise LookupError("the map index is beyond what the task is mapped over")
    return chosen


async def _column(value: Any, pull: Pull) -> Sequence[Any]:
    if isinstance(value, list | tuple):
        return value
    from airflow.serialization.definitions.xcom_arg import SchedulerPlainXComArg

    if type(value) is not SchedulerPlainXComArg or not is_one_task(value.operator):
        raise LookupError(f"mapping over {value!r}")
    column = await pull(value.operator.task_id, value.key)
    if isinstance(column, list | tuple):
        return column
    raise LookupError(f"mapping over what task {value.operator.task_id} has left, which is no list")


def is_one_task(operator: Any) -> bool:
    """Tell whether a task runs once in a DAG run: neither mapped itself nor in a task group that is.

    :param operator: the task, as it is in the DAG file or as it is stored.
    :returns: whether it does.
    """
    return not operator.is_mapped and operator.get_closest_mapped_task_group() is None
