"""What differs from one Airflow to the next. The only module that asks which one is running."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING, Any, Protocol

from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS, AIRFLOW_V_3_3_PLUS

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Asset, Context
    from airflow.triggers.base import BaseEventTrigger as BaseEventTrigger  # noqa: PLC0414 - others import it from here
    from airflow.triggers.base import BaseTrigger

#: Seconds for Airflow to tell the state of a task: to the first question it makes an API server of its own.
_STATE_SECONDS = 60.0
#: Whether assets have a state that survives all that befalls tasks and triggers.
ASSETS_HAVE_STATE = AIRFLOW_V_3_3_PLUS


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
        from airflow.providers.common.compat.sdk import Variable

        return Variable.get(self._variable(key), None, deserialize_json=True)

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
