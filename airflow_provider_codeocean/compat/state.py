"""State that outlives killed processes: that of a task, and that of an asset.

Airflow warns about each value in an asset's state that is larger than 64 KiB. A larger value is split into
pages, each under a key of its own that contains a digest of the value. The value's own key names the pages
and is written last, so a reader gets the old value or the new one.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Protocol

from airflow_provider_codeocean.compat.features import Feature

#: Characters of a page: half of the limit, because each may be escaped when Airflow serializes the page.
_PAGE = 30_000

if TYPE_CHECKING:
    from collections.abc import Generator

    from airflow.providers.common.compat.sdk import Asset, Context

    from airflow_provider_codeocean.compat.event_trigger import BaseEventTrigger


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
    return [_AsyncPaged(state) for state in (*states._by_name.values(), *states._by_uri.values())]  # noqa: SLF001


def state_of_asset(context: Context, asset: Asset) -> DurableState:
    """Return the state of an asset that is an inlet of the running task.

    Before Airflow 3.3 assets have none, and Airflow's Variables stand in for it.

    :param context: context of the running task.
    :param asset: the asset.
    :returns: the state.
    """
    if Feature.ASSET_STATE.is_there:
        return _Paged(context["asset_state_store"][asset])
    return _StateInVariables(asset.name)


#: A call of an accessor's method: its name and its arguments.
_Access = tuple[str, *tuple[Any, ...]]


def _get(key: str) -> Generator[_Access, Any, Any]:
    while True:
        value = yield "get", key
        if not _is_head(value):
            return value
        pages = []
        for page in value["pages"]:
            content = yield "get", page
            pages.append(content)
        if None not in pages:
            return json.loads("".join(pages))
        if (yield "get", key) == value:  # else another process has replaced it meanwhile
            raise ValueError(f"the state {key!r} of an asset is incomplete")


def _set(key: str, value: Any) -> Generator[_Access, Any, None]:
    replaced = yield "get", key
    text = json.dumps(value)
    if len(text) <= _PAGE:
        yield "set", key, value
        pages = []
    else:
        digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        pages = [f"{key}_{digest}_{number}" for number in range(-(-len(text) // _PAGE))]
        for number, page in enumerate(pages):
            yield "set", page, text[number * _PAGE : (number + 1) * _PAGE]
        yield "set", key, {"pages": pages}
    if _is_head(replaced) and replaced["pages"] != pages:
        for page in replaced["pages"]:
            yield "delete", page


def _is_head(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {"pages"}


class _Paged:
    def __init__(self, state: Any) -> None:
        self._state = state

    def get(self, key: str) -> Any:
        return self._run(_get(key))

    def set(self, key: str, value: Any) -> None:
        self._run(_set(key, value))

    def _run(self, accesses: Generator[_Access, Any, Any]) -> Any:
        result = None
        while True:
            try:
                method, *arguments = accesses.send(result)
            except StopIteration as finished:
                return finished.value
            result = getattr(self._state, method)(*arguments)


class _AsyncPaged:
    def __init__(self, state: Any) -> None:
        self._state = state

    async def aget(self, key: str) -> Any:
        return await self._run(_get(key))

    async def aset(self, key: str, value: Any) -> None:
        await self._run(_set(key, value))

    async def _run(self, accesses: Generator[_Access, Any, Any]) -> Any:
        result = None
        while True:
            try:
                method, *arguments = accesses.send(result)
            except StopIteration as finished:
                return finished.value
            result = await getattr(self._state, f"a{method}")(*arguments)


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
