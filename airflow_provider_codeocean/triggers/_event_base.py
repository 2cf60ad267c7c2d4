"""What triggers have in common that watch for events: one event for all that a look shows to be new."""

from __future__ import annotations

import time
from abc import abstractmethod
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from airflow.triggers.base import TriggerEvent

from airflow_provider_codeocean.compat.event_trigger import BaseEventTrigger
from airflow_provider_codeocean.events.baseline import Baseline
from airflow_provider_codeocean.events.seen_set import Seen, look
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.polling.watches import follow
from airflow_provider_codeocean.triggers._base import wait_in_triggerer
from airflow_provider_codeocean.triggers._event_state import Memory
from airflow_provider_codeocean.validation import (
    check_moment,
    check_no_template,
    check_seconds,
    check_text,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from datetime import datetime

    from airflow_provider_codeocean.polling.watches import Watch


class Snapshot:
    """What a look has shown, on its way to all triggers that watch the same.

    :param found: what it has shown.
    :ivar afterwards: what is to be done for each trigger once the events are stored that it led to.
    """

    def __init__(self, found: Sequence[Any]) -> None:
        self.found = found
        self.afterwards: dict[object, Callable[[], Awaitable[None]]] = {}


class CodeOceanWatchTriggerBase(BaseEventTrigger):
    """Watch for ever, and tell of all that is new at a look in one event.

    Triggers that watch the same thing with the same interval share one stream of looks from Airflow 3.3 on,
    and with all others the poller of their connection: a thing is asked for once, whoever watches it. Nothing
    ends a watch: no permission, no connection, a server out of reach. What it cannot see today it will look
    at again.

    What has been told of is remembered from Airflow 3.3 on in the state of the asset, and written down once
    the event is in Airflow's database: a triggerer that is killed between the two tells it again.

    :param since: tell of what was created at this moment or later: a time with a zone, as a datetime or as an
        ISO 8601 text, or Unix seconds. None tells of what is not there yet at the first look. It must be the
        same each time that the DAG is parsed.
    :param watcher: tells watchers apart that are otherwise the same: each has a memory of its own.
    :param codeocean_conn_id: id of the connection.
    :param poll_interval: seconds between two looks, above 0.
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
        self.since = None if since is None else check_moment("since", since)
        self.watcher = watcher
        check_text("codeocean_conn_id", codeocean_conn_id)
        self.codeocean_conn_id = check_no_template("codeocean_conn_id", codeocean_conn_id)
        self.poll_interval = check_seconds("poll_interval", poll_interval)

    @abstractmethod
    def new_watch(self) -> Watch:
        """Make the watch."""

    @abstractmethod
    def choose(self, found: Sequence[Any]) -> list[Any]:
        """Choose what there is something to tell of, now or never, the oldest first.

        :param found: what a look has shown.
        :returns: those.
        """

    def is_wanted(self, one: Any) -> bool:  # noqa: ARG002 - for subclasses
        """Tell whether to tell of one that was chosen."""
        return True

    @abstractmethod
    def payload(self, new: Sequence[Any]) -> dict[str, Any]:
        """Say what an event is to say.

        :param new: what it is to tell of, the oldest first.
        :returns: JSON values.
        """

    @abstractmethod
    def arguments(self) -> dict[str, Any]:
        """Return the arguments of its own, as JSON values."""

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class and the arguments, as JSON values: the same at each parsing of the DAG."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                **self.arguments(),
                "since": self.since,
                "watcher": self.watcher,
                "codeocean_conn_id": self.codeocean_conn_id,
                "poll_interval": self.poll_interval,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Watch, before Airflow 3.3: with the poller shared, but not the stream."""
        async for event in self.filter_shared_stream(self.snapshots()):
            yield event

    def shared_stream_key(self) -> tuple[str, ...]:
        """Return what those have in common that share one stream of looks."""
        watch = self.new_watch()
        return (self.codeocean_conn_id, watch.kind.name, watch.id, str(self.poll_interval))

    @classmethod
    def create_shared_stream_producer(cls, kwargs: dict[str, Any]) -> Any:
        """Make what looks for all that share a stream.

        :param kwargs: the arguments of one of them.
        :returns: it.
        """
        return Looks(cls(**kwargs))

    async def filter_shared_stream(
        self, shared_stream: AsyncIterator[Snapshot]
    ) -> AsyncIterator[TriggerEvent]:
        """Tell of all that is new at a look in one event.

        :param shared_stream: the looks.
        :yields: the events.
        """
        memory = Memory(self, from_now_on=self.since is None)
        seen, has_begun = await memory.read(), False
        baseline = Baseline(time.time()) if self.since is None and seen is None else None
        async for snapshot in shared_stream:
            there = self.choose(snapshot.found)
            old: set[str] = set()
            if baseline is not None:
                if seen is None and baseline.has_confirmed_empty(snapshot.found):
                    await memory.begin(Seen())
                if seen is None and not snapshot.found:
                    continue
                old = baseline.old_ids(snapshot.found, there)
                if seen is None:
                    seen = Seen().with_all(old)
                    await memory.begin(seen)
                    has_begun = True
            seen, new = look(seen, there, attrgetter("id"), from_now_on=self.since is None)
            new = [each for each in new if each.id not in old]
            if not has_begun:
                await memory.begin(seen)
                has_begun = True
            if seen != memory.told:
                snapshot.afterwards[self] = partial(memory.write, seen)
            wanted = [each for each in new if self.is_wanted(each)]
            if wanted:
                yield TriggerEvent(self.payload(wanted))

    async def snapshots(self) -> AsyncIterator[Snapshot]:
        """Look for ever.

        :yields: what each look shows.
        """
        wait = partial(wait_in_triggerer, self.codeocean_conn_id)
        watch = self.new_watch()
        watch.connection = self.codeocean_conn_id
        async for found in follow(watch, wait):
            yield Snapshot(found)


class Looks:
    """The looks that triggers share, for Airflow 3.3 and later.

    It has the methods of Airflow's ``SharedStreamProducer``, which is not there before, and which nobody asks
    for more.

    :param trigger: one of the triggers.
    """

    def __init__(self, trigger: CodeOceanWatchTriggerBase) -> None:
        self._trigger = trigger
        self._number = 0
        self._void: WeakKeyDictionary[object, int] = WeakKeyDictionary()

    async def open_stream(self) -> AsyncIterator[tuple[Snapshot, tuple[int, Snapshot]]]:
        """Look for ever; also what shows nothing new is passed on, for those who have just come.

        :yields: what each look shows, and the same with its number, to be told what became of it.
        """
        async for snapshot in self._trigger.snapshots():
            self._number += 1
            yield snapshot, (self._number, snapshot)

    async def advance(self, batch: Sequence[Any]) -> None:
        """Take that what some looks led to is stored, or never will be.

        Of which trigger it is not, Airflow does not say, but it ends that trigger: those that go on will have
        more to do after a later look. What they would do after those that there have been is void, because
        what the later ones led to may be stored all the same.

        :param batch: the looks, in their order, and how many triggers have failed to have their events
            stored.
        """
        afterwards: dict[object, Callable[[], Awaitable[None]]] = {}
        for (number, snapshot), outcome in batch:
            if outcome.failed:
                self._void.update(dict.fromkeys(snapshot.afterwards, self._number))
            afterwards |= {
                trigger: each
                for trigger, each in snapshot.afterwards.items()
                if number > self._void.get(trigger, 0)
            }
        for each in afterwards.values():
            await each()

    def get_advance_lane(self, broker_payload: Any) -> None:
        """Return what tells apart what is stored in an order of its own: nothing does."""

    async def aclose(self) -> None:
        """Close nothing: the looks end when they are no longer asked for."""
