"""State and XComs of tasks, in workers and in the triggerer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from airflow_provider_codeocean.compat.features import Feature

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context
    from airflow.triggers.base import BaseTrigger

#: Long, because the supervisor starts an API server for the first request.
_STATE_TIMEOUT_SECONDS = 60.0
_UNMAPPED_MAP_INDEX = -1


def is_superseded(context: Context) -> bool:
    """Return whether a later attempt of the running task has started and this one still writes its state.

    This happens in Airflow 2 only: Airflow 3 rejects the state updates of a superseded attempt.
    """
    if Feature.SUPERSEDED_ATTEMPTS_REJECTED.is_available:
        return False
    ti = context["ti"]
    return bool(_query_task_instance(ti).try_number > ti.try_number)


def can_end_from_trigger(task: Any, context: Context) -> bool:
    """Return whether the running task can end in the triggerer, without another worker process.

    This requires Airflow 3.3, an operator of this provider (a subclass may override methods that only a
    worker calls), and none of the features that Airflow runs in a worker when a task succeeds: asset events,
    callbacks, listeners such as OpenLineage, ``post_execute``, multiple outputs, and mapping over the result.

    :param task: the operator of the running task.
    :param context: context of the running task.
    :returns: true if the task can end in the triggerer.
    """
    if type(task).__module__.partition(".")[0] != __name__.partition(".")[0]:
        return False
    if not Feature.START_FROM_TRIGGER.is_available or not task.has_dag():
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
        or (
            context["ti"].map_index == _UNMAPPED_MAP_INDEX
            and next(task.iter_mapped_dependants(), None) is not None
        )
        or get_listener_manager().has_listeners
        or hook_lineage_collector() is not None
    )


async def fetch_task_state(trigger: BaseTrigger) -> str | None:
    """Fetch the current state of the task of a trigger.

    :param trigger: the trigger, in the triggerer.
    :returns: the state; None for a task that was cleared and is not scheduled yet.
    :raises LookupError: if Airflow does not return it.
    """
    if Feature.TASK_EXECUTION_API.is_available:
        fetch = _fetch_state_from_supervisor
    else:
        fetch = _fetch_state_from_database
    fetching = asyncio.ensure_future(fetch(trigger.task_instance))
    # Not wait_for, which cancels: Airflow 3.0 and 3.1 would take the response for that to the next request.
    await asyncio.wait({fetching}, timeout=_STATE_TIMEOUT_SECONDS)
    if not fetching.done():
        raise LookupError(f"Airflow did not return the state of the task within {_STATE_TIMEOUT_SECONDS:g} s")
    try:
        state = fetching.result()
    except (Exception, asyncio.CancelledError) as error:  # the triggerer may be stopping
        raise LookupError(f"Airflow could not return the state of the task: {error!r}") from error
    return None if state is None else str(getattr(state, "value", state))


async def pull_xcom(ti: Any, task_id: str, key: str) -> Any:
    """Read the XCom of an unmapped task in the triggerer of Airflow 3.3.

    :param ti: the task instance of the trigger; its run is the one of the XCom.
    :param task_id: id of the task.
    :param key: key of the XCom.
    :returns: the value, or None if it is not set.
    """
    from airflow.sdk.execution_time.xcom import XCom

    # Without a map index, Airflow sends a request that the triggerer's supervisor does not answer.
    return await XCom.aget_one(
        key=key, dag_id=ti.dag_id, task_id=task_id, run_id=ti.run_id, map_index=_UNMAPPED_MAP_INDEX
    )


async def push_xcom(ti: Any, key: str, value: Any, *, mapped_length: int | None = None) -> None:
    """Write an XCom in the triggerer of Airflow 3.3 through the XCom backend, as a worker does.

    An event that ends a task can carry XComs as well, but their values would arrive as JSON text.

    :param ti: the task instance of the trigger, which owns the XCom.
    :param key: key of the XCom.
    :param value: JSON values.
    :param mapped_length: number of tasks that are mapped over the value, if any.
    """
    from airflow.sdk.execution_time.xcom import XCom

    await XCom.aset(
        key=key,
        value=value,
        dag_id=ti.dag_id,
        task_id=ti.task_id,
        run_id=ti.run_id,
        map_index=_UNMAPPED_MAP_INDEX if ti.map_index is None else ti.map_index,
        _mapped_length=mapped_length,
    )


async def _fetch_state_from_supervisor(ti: Any) -> Any:
    from airflow.sdk.execution_time import task_runner
    from airflow.sdk.execution_time.comms import GetTaskStates

    request = GetTaskStates(
        dag_id=ti.dag_id, task_ids=[ti.task_id], run_ids=[ti.run_id], map_index=ti.map_index
    )
    comms: Any = task_runner.SUPERVISOR_COMMS
    response = await comms.asend(request)
    is_mapped = ti.map_index is not None and ti.map_index >= 0
    return response.task_states[ti.run_id][f"{ti.task_id}_{ti.map_index}" if is_mapped else ti.task_id]


async def _fetch_state_from_database(ti: Any) -> Any:
    return (await asyncio.to_thread(_query_task_instance, ti)).state


def _query_task_instance(ti: Any) -> Any:
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session

    with create_session() as session:
        columns = (TaskInstance.state, TaskInstance.try_number)
        return (
            session.query(*columns)
            .filter_by(dag_id=ti.dag_id, task_id=ti.task_id, run_id=ti.run_id, map_index=ti.map_index)
            .one()
        )
