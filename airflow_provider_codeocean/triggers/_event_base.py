"""Base class of triggers that watch for events, and the state in which they store the reported ids."""

from __future__ import annotations

import asyncio
import logging
import time
from abc import abstractmethod
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from airflow.triggers.base import TriggerEvent
from typing_extensions import override

from airflow_provider_codeocean.compat.event_trigger import BaseEventTrigger
from airflow_provider_codeocean.compat.state import watched_asset_states
from airflow_provider_codeocean.events.baseline import Baseline
from airflow_provider_codeocean.events.seen_set import BASELINE_KEY, SEEN_KEY, SeenSet, intersection
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.polling.watches import stream_results
from airflow_provider_codeocean.triggers._base import wait_in_triggerer
from airflow_provider_codeocean.validation import (
    check_duration,
    check_no_template,
    check_text,
    check_timestamp,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from datetime import datetime

    from airflow_provider_codeocean.compat.state import AsyncDurableState
    from airflow_provider_codeocean.polling.watches import Watch

log = logging.getLogger(__name__)

#: Pause before the first retry of an access to an asset's state.
_INITIAL_RETRY_SECONDS = 1.0
#: Maximum pause between two retries.
_MAX_RETRY_SECONDS = 60.0


@dataclass(eq=False)
class Snapshot:
    """The results of one poll, and callbacks by trigger for after Airflow has stored the events."""

    results: Sequence[Any]
    on_stored: dict[object, Callable[[], Awaitable[None]]] = field(default_factory=dict)


class CodeOceanWatchTriggerBase(BaseEventTrigger):
    """Watch forever, and report the new results of a poll in one event.

    From Airflow 3.3 on, triggers that watch the same target with the same interval share one stream of polls,
    and the ids of reported results are stored in the state of the asset once Airflow has stored the event. If
    the triggerer is killed in between, the trigger reports the results again. No error ends a watch: it polls
    again after a missing permission, a missing connection, or an outage.

    :param since: report only results created at this time or later: a datetime or an ISO 8601 text with a
        time zone, or Unix seconds. None reports the results that the first poll does not return. The value
        must be the same each time Airflow parses the DAG.
    :param watcher: distinguishes watchers with otherwise equal arguments, which then store their state
        separately.
    :param codeocean_conn_id: id of the connection.
    :param poll_interval: seconds between two polls, above 0.
    """

    def __init__(
        self,
        *,
        since: datetime | str | float | None = None,
        watcher: str | None = None,
        codeocean_conn_id: str = CodeOceanHook.default_conn_name,
        poll_interval: float = 60.0,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.since = None if since is None else check_timestamp("since", since)
        self.watcher = watcher
        check_text("codeocean_conn_id", codeocean_conn_id)
        self.codeocean_conn_id = check_no_template("codeocean_conn_id", codeocean_conn_id)
        self.poll_interval = check_duration("poll_interval", poll_interval)

    @abstractmethod
    def build_watch(self) -> Watch:
        """Return the watch."""

    @abstractmethod
    def select(self, results: Sequence[Any]) -> list[Any]:
        """Return the terminal results of a poll, the oldest first."""

    def matches(self, result: Any) -> bool:  # noqa: ARG002
        """Return whether to report a selected result."""
        return True

    @abstractmethod
    def build_payload(self, results: Sequence[Any]) -> dict[str, Any]:
        """Return the payload of an event that reports these results, as JSON values."""

    @abstractmethod
    def trigger_kwargs(self) -> dict[str, Any]:
        """Return the arguments of the subclass, as JSON values."""

    @override
    def serialize(self) -> tuple[str, dict[str, Any]]:
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                **self.trigger_kwargs(),
                "since": self.since,
                "watcher": self.watcher,
                "codeocean_conn_id": self.codeocean_conn_id,
                "poll_interval": self.poll_interval,
            },
        )

    @override
    async def run(self) -> AsyncIterator[TriggerEvent]:  # before Airflow 3.3
        async for event in self.filter_shared_stream(self.iter_snapshots()):
            yield event

    def shared_stream_key(self) -> tuple[str, ...]:
        """Return the key of the stream; triggers with equal keys share it."""
        watch = self.build_watch()
        return (self.codeocean_conn_id, watch.kind.name, watch.id, str(self.poll_interval))

    @classmethod
    def create_shared_stream_producer(cls, kwargs: dict[str, Any]) -> Any:
        """Return the producer of a stream, from the arguments of one of the triggers that share it."""
        return SnapshotProducer(cls(**kwargs))

    async def filter_shared_stream(
        self, shared_stream: AsyncIterator[Snapshot]
    ) -> AsyncIterator[TriggerEvent]:
        """Yield one event for each poll that returns new results."""
        ignore_existing = self.since is None
        state = EventState(watched_asset_states(self), ignore_existing=ignore_existing)
        seen_set = await state.load()
        baseline = Baseline(time.time()) if ignore_existing and seen_set is None else None
        is_baseline_saved = False
        async for snapshot in shared_stream:
            selected = self.select(snapshot.results)
            old: set[str] = set()
            if baseline is not None:
                if seen_set is None and baseline.record_poll(snapshot.results):
                    await state.save_baseline(SeenSet())
                if seen_set is None and not snapshot.results:
                    continue
                old = baseline.old_ids(snapshot.results, selected)
            if seen_set is None:
                seen_set = SeenSet().updated_with(old)
                await state.save_baseline(seen_set)
                is_baseline_saved = True
            new = [result for result in selected if result.id not in seen_set and result.id not in old]
            seen_set = seen_set.updated_with(result.id for result in selected)
            if not is_baseline_saved:  # of assets that were added to the watcher
                await state.save_baseline(seen_set)
                is_baseline_saved = True
            if seen_set != state.persisted:
                snapshot.on_stored[self] = partial(state.save, seen_set)
            matching = [result for result in new if self.matches(result)]
            if matching:
                yield TriggerEvent(self.build_payload(matching))

    async def iter_snapshots(self) -> AsyncIterator[Snapshot]:
        """Poll forever."""
        watch = self.build_watch()
        watch.connection = self.codeocean_conn_id
        async for results in stream_results(watch, partial(wait_in_triggerer, self.codeocean_conn_id)):
            yield Snapshot(results)


class SnapshotProducer:
    """The polls of a stream, as a ``SharedStreamProducer`` of Airflow 3.3.

    It does not inherit from that class, which older versions of Airflow lack.

    :param trigger: one of the triggers that share the stream.
    """

    def __init__(self, trigger: CodeOceanWatchTriggerBase) -> None:
        self._trigger = trigger
        self._last_number = 0
        self._discarded_up_to: WeakKeyDictionary[object, int] = WeakKeyDictionary()

    async def open_stream(self) -> AsyncIterator[tuple[Snapshot, tuple[int, Snapshot]]]:
        """Yield each snapshot, and the value that :meth:`advance` receives for it."""
        async for snapshot in self._trigger.iter_snapshots():
            self._last_number += 1
            yield snapshot, (self._last_number, snapshot)

    async def advance(self, batch: Sequence[Any]) -> None:
        """Store the state of triggers whose events Airflow has stored.

        If an event could not be stored, Airflow ends its trigger but does not name it. Then no trigger of
        that snapshot stores its state for the polls so far, because later events of the failed trigger may
        be stored nevertheless. The other triggers store their state after a later poll.
        """
        callbacks: dict[object, Callable[[], Awaitable[None]]] = {}
        for (number, snapshot), outcome in batch:
            if outcome.failed:
                self._discarded_up_to.update(dict.fromkeys(snapshot.on_stored, self._last_number))
            callbacks |= {
                trigger: callback
                for trigger, callback in snapshot.on_stored.items()
                if number > self._discarded_up_to.get(trigger, 0)
            }
        for callback in callbacks.values():
            await callback()

    def get_advance_lane(self, broker_payload: Any) -> None:
        """Return None: all snapshots are stored in one order."""

    async def aclose(self) -> None:
        """Do nothing: the polls end when nothing iterates over them."""


class EventState:
    """The ids that a trigger has reported, in the state of each asset that it watches for.

    Before Airflow 3.3, assets have no state, and nothing survives the triggerer.

    :param asset_states: the states of the assets.
    :param ignore_existing: whether the results of the first poll are old.
    :ivar persisted: the ids that are stored.
    """

    def __init__(self, asset_states: list[AsyncDurableState], *, ignore_existing: bool) -> None:
        self.persisted: SeenSet | None = None
        self._asset_states = asset_states
        self._new_asset_states: list[AsyncDurableState] = []
        self._ignore_existing = ignore_existing

    async def load(self) -> SeenSet | None:
        """Return the ids that were reported for all assets, or None before the first poll."""
        seen_sets = []
        for state in self._asset_states:
            seen_set = await _retry_forever(partial(_load, state))
            if seen_set is None:
                self._new_asset_states.append(state)
            else:
                seen_sets.append(seen_set)
        if self._ignore_existing or not self._new_asset_states:
            self.persisted = intersection(seen_sets)
        return self.persisted

    async def save_baseline(self, seen_set: SeenSet) -> None:
        """Store the ids that are old to assets without a state."""
        if not self._ignore_existing:
            return
        for state in self._new_asset_states:
            # In this order, as the second key marks the state as complete.
            await _retry_forever(partial(state.aset, BASELINE_KEY, seen_set.to_json()))
            await _retry_forever(partial(state.aset, SEEN_KEY, seen_set.to_json()))
        self.persisted = self.persisted or seen_set

    async def save(self, seen_set: SeenSet) -> None:
        """Store the ids that were reported. If that fails, a later poll stores them."""
        try:
            for state in self._asset_states:
                await state.aset(SEEN_KEY, seen_set.to_json())
        except Exception as error:  # noqa: BLE001 - no error ends a watch
            log.warning("Could not store the reported ids in the asset's state; retrying: %s", error)
        else:
            self.persisted = seen_set


async def _load(state: AsyncDurableState) -> SeenSet | None:
    stored = await state.aget(SEEN_KEY)
    return None if stored is None else SeenSet.from_json(stored)


async def _retry_forever(access: Callable[[], Awaitable[Any]]) -> Any:
    pause = _INITIAL_RETRY_SECONDS
    while True:
        try:
            return await access()
        except Exception as error:  # noqa: BLE001 - no error ends a watch
            log.warning("Could not access the asset's state; retrying: %s", error)
        await asyncio.sleep(pause)
        pause = min(_MAX_RETRY_SECONDS, 2 * pause)
