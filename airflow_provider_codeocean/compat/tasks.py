"""What Airflow tells of a task and keeps for it, in a worker and in the triggerer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from airflow_provider_codeocean.compat.features import Feature

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context
    from airflow.triggers.base import BaseTrigger

#: Seconds for Airflow to tell the state of a task: to the first question it makes an API server of its own.
_STATE_SECONDS = 60.0
#: The map index of what is not mapped.
_NOT_MAPPED = -1


def overtaken(context: Context) -> bool:
    """Tell whether a later try of the running task has begun, although this one's result counts.

    In Airflow 2 a process that was taken for dead still writes the state of its task; Airflow 3 does not
    listen to it.

    :param context: context of the running task.
    :returns: whether it has.
    """
    if Feature.LATE_TRIES_REFUSED.is_there:
        return False
    ti = context["ti"]
    return bool(_in_database(ti).try_number > ti.try_number)


def can_end_in_triggerer(task: Any, context: Context) -> bool:
    """Return whether the running task can end in the triggerer, without another worker process.

    Airflow 3.3 is required. Whatever Airflow does in a worker when a task succeeds rules it out: asset
    events, callbacks, listeners (OpenLineage is one), ``post_execute``, several outputs, and tasks that are
    mapped over the result. So do subclasses of users, which may override what a worker does in the end.

    :param task: the operator of the running task.
    :param context: context of the running task.
    :returns: whether it can.
    """
    if type(task).__module__.partition(".")[0] != __name__.partition(".")[0]:
        return False
    if not Feature.STARTS_IN_TRIGGERER.is_there or not task.has_dag():
        return False
    from airflow.sdk import BaseOperator
    from airflow.sdk.listener import get_listener_manager

    from airflow_provider_codeocean.compat.assets import hook_lineage_collector

    return not (
        task.outlets
        or task.has_on_success_callback
        or getattr(task, "multiple_outputs", False)
        or task._post_execute_hook is not None  # noqa: SLF001 - the argument ``post_execute``
        or type(task).post_execute is not BaseOperator.post_execute
        or (context["ti"].map_index == _NOT_MAPPED and next(task.iter_mapped_dependants(), None) is not None)
        or get_listener_manager().has_listeners
        or hook_lineage_collector() is not None
    )


async def task_state(trigger: BaseTrigger) -> str | None:
    """Ask Airflow what state the task of a trigger is in now.

    :param trigger: the trigger, in the triggerer.
    :returns: the state; None for a task that has been cleared, and is not scheduled yet.
    :raises LookupError: where Airflow cannot tell.
    """
    ask = _ask_supervisor if Feature.TASK_API.is_there else _ask_database
    asking = asyncio.ensure_future(ask(trigger.task_instance))
    # Not wait_for, which cancels: Airflow 3.0 and 3.1 would take the answer for that to the next question.
    await asyncio.wait({asking}, timeout=_STATE_SECONDS)
    if not asking.done():
        raise LookupError(f"Airflow has not told the state of the task within {_STATE_SECONDS:g} s")
    try:
        state = asking.result()
    except (Exception, asyncio.CancelledError) as error:  # the triggerer may be about to end
        raise LookupError(f"Airflow does not tell the state of the task: {error!r}") from error
    return None if state is None else str(getattr(state, "value", state))


async def pull_xcom(ti: Any, task_id: str, key: str) -> Any:
    """Read, in the triggerer of Airflow 3.3, what a task that is not mapped has left in XCom.

    :param ti: the task instance of the trigger, in whose run to look.
    :param task_id: the task.
    :param key: the XCom's key.
    :returns: the value, None where there is none.
    """
    from airflow.sdk.execution_time.xcom import XCom

    # Without a map index Airflow asks what the triggerer's supervisor never answers.
    return await XCom.aget_one(
        key=key, dag_id=ti.dag_id, task_id=task_id, run_id=ti.run_id, map_index=_NOT_MAPPED
    )


async def push_xcom(ti: Any, key: str, value: Any, *, mapped_length: int | None = None) -> None:
    """Write an XCom in the triggerer of Airflow 3.3, through the XCom backend, as a worker does.

    An event that ends a task can bring XComs too, but their values arrive as JSON text.

    :param ti: the task instance of the trigger, whose XCom it is.
    :param key: the XCom's key.
    :param value: JSON values.
    :param mapped_length: how many tasks are mapped over the value, where any are.
    """
    from airflow.sdk.execution_time.xcom import XCom

    await XCom.aset(
        key=key,
        value=value,
        dag_id=ti.dag_id,
        task_id=ti.task_id,
        run_id=ti.run_id,
        map_index=_NOT_MAPPED if ti.map_index is None else ti.map_index,
        _mapped_length=mapped_length,
    )


async def _ask_supervisor(ti: Any) -> Any:
    from airflow.sdk.execution_time import task_runner
    from airflow.sdk.execution_time.comms import GetTaskStates

    question = GetTaskStates(
        dag_id=ti.dag_id, task_ids=[ti.task_id], run_ids=[ti.run_id], map_index=ti.map_index
    )
    comms: Any = task_runner.SUPERVISOR_COMMS  # the triggerer's: it can be awaited
    answer = await comms.asend(question)
    mapped = ti.map_index is not None and ti.map_index >= 0
    return answer.task_states[ti.run_id][f"{ti.task_id}_{ti.map_index}" if mapped else ti.task_id]


async def _ask_database(ti: Any) -> Any:
    return (await asyncio.to_thread(_in_database, ti)).state


def _in_database(ti: Any) -> Any:
    """Return a task instance as Airflow 2's database has it."""
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session

    with create_session() as session:
        columns = (TaskInstance.state, TaskInstance.try_number)
        return (
            session.query(*columns)
            .filter_by(dag_id=ti.dag_id, task_id=ti.task_id, run_id=ti.run_id, map_index=ti.map_index)
            .one()
        )
