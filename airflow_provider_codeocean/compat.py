"""What differs from one Airflow to the next. The only module that asks which one is running."""

from __future__ import annotations

import asyncio
import hashlib
import json
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from airflow.providers.common.compat.version_compat import (
    AIRFLOW_V_3_0_PLUS,
    AIRFLOW_V_3_1_PLUS,
    AIRFLOW_V_3_2_PLUS,
    AIRFLOW_V_3_3_PLUS,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow.providers.common.compat.sdk import Asset, Context
    from airflow.triggers.base import BaseEventTrigger as BaseEventTrigger  # noqa: PLC0414 - others import it from here
    from airflow.triggers.base import BaseTrigger

#: Whether Airflow starts tasks in the triggerer as it should. Those before either start them in a worker all
#: the same, or give the trigger its templates as they are.
STARTS_IN_TRIGGERER = AIRFLOW_V_3_3_PLUS

#: Whether assets have a state that survives all that befalls tasks and triggers.
ASSETS_HAVE_STATE = AIRFLOW_V_3_3_PLUS

#: Seconds for Airflow to tell the state of a task: to the first question it makes an API server of its own.
_STATE_SECONDS = 60.0
#: The map index of what is not mapped.
_NOT_MAPPED = -1


def __getattr__(name: str) -> Any:
    """Import the base of triggers that watch for events when it is asked for: Airflow 2 has none."""
    if name != "BaseEventTrigger":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    need_asset_watchers()
    from airflow.triggers.base import BaseEventTrigger

    return BaseEventTrigger


def need_asset_watchers() -> None:
    """Say where there are no asset watchers.

    :raises ImportError: before Airflow 3.0.
    """
    if not AIRFLOW_V_3_0_PLUS:
        raise ImportError(
            "Watching for events needs Airflow 3.0 or later: before, there are no asset watchers"
        )


class DurableState(Protocol):
    """State of a task instance or an asset that survives killed processes, retries, deferrals and Clears."""

    def get(self, key: str) -> Any:
        """Return a value, None where there is none."""
        ...

    def set(self, key: str, value: Any) -> None:
        """Write a JSON value, not None."""
        ...


def durable_state(context: Context) -> DurableState | None:
    """Return the running task's durable state: Airflow has it from 3.3 on.

    :param context: context of the running task.
    :returns: the state, None where Airflow has none.
    """
    state: DurableState | None = context.get("task_state_store")
    return state


class AsyncState(Protocol):
    """State of an asset, from where it must be awaited."""

    async def aget(self, key: str) -> Any:
        """Return a value, None where there is none."""
        ...

    async def aset(self, key: str, value: Any) -> None:
        """Write a JSON value, not None."""
        ...


def states_of_watched_assets(trigger: BaseEventTrigger) -> list[AsyncState]:
    """Return the state of each asset that a trigger watches for: Airflow has it from 3.3 on.

    :param trigger: the trigger, in the triggerer.
    :returns: the states; none where Airflow has none.
    """
    states = getattr(trigger, "asset_state_store", None)
    if states is None:
        return []
    # Airflow lets a trigger that several assets share reach none of their states: it does not name them.
    return [*states._by_name.values(), *states._by_uri.values()]  # noqa: SLF001


def state_of_asset(context: Context, asset: Asset) -> DurableState:
    """Return the state of an asset that is an inlet of the running task.

    Before Airflow 3.3 assets have none, and Airflow's Variables stand in for it.

    :param context: context of the running task.
    :param asset: the asset.
    :returns: the state.
    """
    if ASSETS_HAVE_STATE:
        state: DurableState = context["asset_state_store"][asset]
        return state
    return _StateInVariables(asset.name)


class _StateInVariables:
    def __init__(self, name: str) -> None:
        self._name = name

    def get(self, key: str) -> Any:
        from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
        from airflow.sdk.execution_time import task_runner
        from airflow.sdk.execution_time.comms import ErrorResponse, GetVariable

        # Not Variable.get: from 3.1 on, to it a Variable is not there where the API server is in trouble.
        comms: Any = task_runner.SUPERVISOR_COMMS
        answer = comms.send(GetVariable(key=self._variable(key)))
        if not isinstance(answer, ErrorResponse):
            return json.loads(answer.value)
        if answer.error == ErrorType.VARIABLE_NOT_FOUND:
            return None
        raise AirflowRuntimeError(answer)

    def set(self, key: str, value: Any) -> None:
        from airflow.providers.common.compat.sdk import Variable

        description = f"Of the asset {self._name}"
        Variable.set(self._variable(key), value, description, serialize_json=True)

    def _variable(self, key: str) -> str:
        # The name itself may look to Airflow like that of a secret, which it would hide from all logs.
        return f"{key}_{hashlib.sha256(self._name.encode()).hexdigest()[:16]}"


def overtaken(context: Context) -> bool:
    """Tell whether a later try of the running task has begun, although this one's result counts.

    In Airflow 2 a process that was taken for dead still writes the state of its task; Airflow 3 does not
    listen to it.

    :param context: context of the running task.
    :returns: whether it has.
    """
    if AIRFLOW_V_3_0_PLUS:
        return False
    ti = context["ti"]
    return bool(_in_database(ti).try_number > ti.try_number)


def is_asset(outlet: Any) -> bool:
    """Tell whether an inlet or outlet is an asset: Airflow 3 also has references to them.

    :param outlet: the inlet or outlet.
    :returns: whether it is.
    """
    from airflow.providers.common.compat.sdk import Asset

    if isinstance(outlet, Asset) or not AIRFLOW_V_3_0_PLUS:
        return isinstance(outlet, Asset)
    from airflow.sdk.definitions.asset import AssetRef

    return isinstance(outlet, AssetRef)


def told_under_alias(extra: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the event of an asset alias tells, so that Airflow can keep it.

    Before 3.1, Airflow puts it into a set on the way, and fails the task over a mapping or a list in it:
    Airflow 2 in this process, 3.0 after it came there as JSON.

    :param extra: what it tells: JSON values.
    :returns: what becomes the same JSON; on 3.0, mappings and lists are JSON within a text.
    """
    if AIRFLOW_V_3_1_PLUS:
        return dict(extra)
    keep: Callable[[Any], Any] = json.dumps if AIRFLOW_V_3_0_PLUS else _hashable
    return {key: keep(each) if isinstance(each, dict | list) else each for key, each in extra.items()}


def _hashable(value: dict[str, Any] | list[Any]) -> Any:
    return tuple(value) if isinstance(value, list) else _HashableDict(value)


class _HashableDict(dict[str, Any]):
    def __hash__(self) -> int:  # type: ignore[override]
        return hash(json.dumps(self, sort_keys=True))


def hook_lineage_collector() -> Any | None:
    """Return what collects which assets hooks have read and made.

    Airflow's own makes itself even where it is to do nothing, and with it loads all providers, for a second.

    :returns: the collector, None where no plugin wants to know.
    """
    if AIRFLOW_V_3_2_PLUS:
        from airflow.sdk.plugins_manager import get_hook_lineage_readers_plugins

        readers: Any = get_hook_lineage_readers_plugins()
    else:
        plugins_manager: Any = import_module("airflow.plugins_manager")
        plugins_manager.initialize_hook_lineage_readers_plugins()
        readers = plugins_manager.hook_lineage_reader_classes
    if not readers:
        return None
    from airflow.providers.common.compat.lineage.hook import get_hook_lineage_collector

    return get_hook_lineage_collector()


def metrics_in_triggerer() -> Any:
    """Return where metrics go that are kept in the triggerer: Airflow's ``Stats``.

    From 3.2 on there are two of them, and the triggerer sets up its own: what is given to the other, that of
    tasks, is lost there.

    :returns: the one that the triggerer uses.
    """
    if AIRFLOW_V_3_2_PLUS:
        return import_module("airflow.observability.stats").Stats
    return metrics_in_worker()


def metrics_in_worker() -> Any:
    """Return where metrics go that are kept in a task: Airflow's ``Stats``."""
    from airflow.providers.common.compat.sdk import Stats

    return Stats


async def task_state(trigger: BaseTrigger) -> str | None:
    """Ask Airflow what state the task of a trigger is in now.

    :param trigger: the trigger, in the triggerer.
    :returns: the state; None for a task that has been cleared, and is not scheduled yet.
    :raises LookupError: where Airflow cannot tell.
    """
    ask = _ask_supervisor if AIRFLOW_V_3_0_PLUS else _ask_database
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
