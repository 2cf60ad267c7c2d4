"""Durable state of tasks and assets.

Airflow warns about each value in an asset's state that is larger than 64 KiB. A larger value is split into
pages, each under its own key, which contains a digest of the value. The value's own key lists the pages and
is written last, so a reader gets either the old or the new value.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Protocol

from airflow_provider_codeocean.compat.features import Feature

#: Half of the limit, because Airflow may escape each character when it serializes the page.
_MAX_PAGE_CHARACTERS = 30_000

if TYPE_CHECKING:
    from collections.abc import Generator

    from airflow.providers.common.compat.sdk import Asset, Context

    from airflow_provider_codeocean.compat.event_trigger import BaseEventTrigger


class DurableState(Protocol):
    """State of a task or an asset that survives killed processes, retries, deferrals, and clearing."""

    def get(self, key: str) -> Any:
        """Return a value, or None if it is not set."""
        ...

    def set(self, key: str, value: Any) -> None:
        """Write a JSON value, not None."""
        ...


def durable_state(context: Context) -> DurableState | None:
    """Return the durable state of the running task, or None before Airflow 3.3."""
    state: DurableState | None = context.get("task_state_store")
    return state


class AsyncDurableState(Protocol):
    """State of an asset in an event loop."""

    async def aget(self, key: str) -> Any:
        """Return a value, or None if it is not set."""
        ...

    async def aset(self, key: str, value: Any) -> None:
        """Write a JSON value, not None."""
        ...


def watched_asset_states(trigger: BaseEventTrigger) -> list[AsyncDurableState]:
    """Return the state of each asset that a trigger in the triggerer watches; empty before Airflow 3.3."""
    states = getattr(trigger, "asset_state_store", None)
    if states is None:
        return []
    # Airflow has no public way to list the states: it looks them up by assets, which a trigger does not know.
    return [_AsyncPagedState(state) for state in (*states._by_name.values(), *states._by_uri.values())]  # noqa: SLF001


def asset_state(context: Context, asset: Asset) -> DurableState:
    """Return the state of an asset that is an inlet of the running task: a Variable before Airflow 3.3.

    :param context: context of the running task.
    :param asset: the asset.
    :returns: the state.
    """
    if Feature.ASSET_STATE_STORE.is_available:
        return _PagedState(context["asset_state_store"][asset])
    return _VariableState(asset.name)


#: A call of an accessor: name and arguments of the method.
_AccessorCall = tuple[str, *tuple[Any, ...]]


def _get_paged(key: str) -> Generator[_AccessorCall, Any, Any]:
    while True:
        value = yield "get", key
        if not _is_page_index(value):
            return value
        pages = []
        for page in value["pages"]:
            content = yield "get", page
            pages.append(content)
        if None not in pages:
            return json.loads("".join(pages))
        if (yield "get", key) == value:  # otherwise another process has replaced it
            raise ValueError(f"the state {key!r} of an asset is incomplete")


def _set_paged(key: str, value: Any) -> Generator[_AccessorCall, Any, None]:
    replaced = yield "get", key
    text = json.dumps(value)
    if len(text) <= _MAX_PAGE_CHARACTERS:
        yield "set", key, value
        pages = []
    else:
        digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        pages = [f"{key}_{digest}_{number}" for number in range(-(-len(text) // _MAX_PAGE_CHARACTERS))]
        for number, page in enumerate(pages):
            yield "set", page, text[number * _MAX_PAGE_CHARACTERS : (number + 1) * _MAX_PAGE_CHARACTERS]
        yield "set", key, {"pages": pages}
    if _is_page_index(replaced) and replaced["pages"] != pages:
        for page in replaced["pages"]:
            yield "delete", page


def _is_page_index(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {"pages"}


class _PagedState:
    def __init__(self, state: Any) -> None:
        self._state = state

    def get(self, key: str) -> Any:
        return self._run(_get_paged(key))

    def set(self, key: str, value: Any) -> None:
        self._run(_set_paged(key, value))

    def _run(self, calls: Generator[_AccessorCall, Any, Any]) -> Any:
        result = None
        while True:
            try:
                method, *arguments = calls.send(result)
            except StopIteration as finished:
                return finished.value
            result = getattr(self._state, method)(*arguments)


class _AsyncPagedState:
    def __init__(self, state: Any) -> None:
        self._state = state

    async def aget(self, key: str) -> Any:
        return await self._run(_get_paged(key))

    async def aset(self, key: str, value: Any) -> None:
        await self._run(_set_paged(key, value))

    async def _run(self, calls: Generator[_AccessorCall, Any, Any]) -> Any:
        result = None
        while True:
            try:
                method, *arguments = calls.send(result)
            except StopIteration as finished:
                return finished.value
            result = await getattr(self._state, f"a{method}")(*arguments)


class _VariableState:
    def __init__(self, asset_name: str) -> None:
        self._asset_name = asset_name

    def get(self, key: str) -> Any:
        from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
        from airflow.sdk.execution_time import task_runner
        from airflow.sdk.execution_time.comms import ErrorResponse, GetVariable

        # From 3.1 on, Variable.get reports a missing Variable also if the API server fails.
        comms: Any = task_runner.SUPERVISOR_COMMS
        response = comms.send(GetVariable(key=self._variable_key(key)))
        if not isinstance(response, ErrorResponse):
            return json.loads(response.value)
        if response.error == ErrorType.VARIABLE_NOT_FOUND:
            return None
        raise AirflowRuntimeError(response)

    def set(self, key: str, value: Any) -> None:
        from airflow.providers.common.compat.sdk import Variable

        description = f"State of the asset {self._asset_name}"
        Variable.set(self._variable_key(key), value, description, serialize_json=True)

    def _variable_key(self, key: str) -> str:
        # A digest, because Airflow masks the values of Variables whose names look like those of secrets.
        return f"{key}_{hashlib.sha256(self._asset_name.encode()).hexdigest()[:16]}"
