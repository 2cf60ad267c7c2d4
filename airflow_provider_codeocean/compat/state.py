"""State that outlives killed processes: that of a task, and that of an asset."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Protocol

from airflow_provider_codeocean.compat.features import Feature

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Asset, Context

    from airflow_provider_codeocean.compat.watchers import BaseEventTrigger


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
    if Feature.ASSET_STATE.is_there:
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
