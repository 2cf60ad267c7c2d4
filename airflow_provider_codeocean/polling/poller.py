"""One loop for all waits on one connection, in one event loop. Knows nothing of Airflow.

A wait subscribes, and the poller looks for it: each cycle, at all that are due, with as few requests as it
can. A few are read one by one (:mod:`~airflow_provider_codeocean.polling.reading`); for many, a search is
paged through (:mod:`~airflow_provider_codeocean.polling.searching`), and what it should have shown and did
not is read. What a search shows is checked, all in turn, by readings
(:mod:`~airflow_provider_codeocean.polling.trust`), so that one that lags behind, leaves out or stands still
delays a wait, but never loses it.
"""

from __future__ import annotations

import asyncio
import contextvars
from contextlib import suppress
from operator import attrgetter
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from airflow_provider_codeocean.api.errors import CodeOceanTransportError, WaitTimeout
from airflow_provider_codeocean.polling.metrics import Metrics, NoMetrics
from airflow_provider_codeocean.polling.pace import Pace
from airflow_provider_codeocean.polling.reading import Reading
from airflow_provider_codeocean.polling.report import Report
from airflow_provider_codeocean.polling.searching import Searching
from airflow_provider_codeocean.polling.sender import Sender
from airflow_provider_codeocean.polling.trust import Trust
from airflow_provider_codeocean.polling.watchlist import Watchlist

if TYPE_CHECKING:
    from airflow_provider_codeocean.polling.sender import Connect
    from airflow_provider_codeocean.polling.wait import Wait

#: Seconds that a wait is given to be looked at once, even where its deadline has passed when it begins.
_FIRST_LOOK = 5.0
#: Seconds between two cycles: at least, for each thing watched, and at most.
_SHORTEST_NAP, _NAP_EACH, _LONGEST_NAP = 0.02, 1e-5, 10.0


class Poller:
    """The poller of one connection in the running event loop. The last wait to leave closes it.

    :param connect: makes a client.
    :param name: name of the connection.
    :param metrics: where metrics go.
    :ivar is_closed: whether it takes no more waits.
    """

    def __init__(self, connect: Connect, *, name: str, metrics: Metrics | None = None) -> None:
        loop = asyncio.get_running_loop()
        self.is_closed = False
        self._now = now = loop.time
        self._waits = 0
        self._report = report = Report(name, metrics or NoMetrics(), now())
        self._pace = pace = Pace(now)
        self._sender = sender = Sender(connect, name=name, pace=pace, report=report, now=now)
        self._watchlist = watchlist = Watchlist(now, report)
        trust = Trust(now())
        self._searching = Searching(watchlist, sender, pace, trust, now, name=name)
        self._reading = Reading(watchlist, sender, pace, trust, now, wake_by=self._wake_by)
        self._wake = asyncio.Event()
        self._wakes_at = 0.0
        # In a context of its own: what it logs is of no single task.
        self._task = loop.create_task(
            self._run(), name=f"codeocean-poller-{name}", context=contextvars.Context()
        )

    @property
    def is_outdated(self) -> bool:
        """Whether the certificates that it trusts were replaced since: a new one trusts the new ones."""
        return self._sender.is_outdated

    async def wait(self, wait: Wait) -> None:
        """Wait until something is over, with success. It is looked at once at least.

        :param wait: for what, and for how long.
        :raises WaitTimeout: where the deadline passed before.
        :raises CodeOceanError: where it ended otherwise, or Code Ocean refuses to tell.
        :raises ValueError: where the identifier is none, or the connection cannot be used.
        """
        self._waits += 1
        try:
            watched, future = self._watchlist.add(wait)
            self._wake_by(watched.due)
            left = wait.left()
            async with asyncio.timeout(None if left is None else max(left, _FIRST_LOOK)):
                await future
        except TimeoutError:
            wait.last_error = wait.last_error or self._sender.trouble
            raise WaitTimeout(wait.describe()) from None
        finally:
            self._watchlist.remove(wait)
            self._waits -= 1
            await self._close_if_alone()

    async def _close_if_alone(self) -> None:
        if self._waits:
            return
        if not self.is_closed:
            self.is_closed = True
            self._task.cancel()
        await asyncio.wait({self._task})

    async def _run(self) -> None:
        try:
            await self._sender.open()
            while True:
                began = self._now()
                await self._cycle()
                self._report.cycle(self._now() - began)
                self._report.waits(self._waits)
                self._report.tell(self._now(), self._waits, self._pace.rate)
                await self._nap()
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody is to wait for ever
            self.is_closed = True
            self._watchlist.end_all(error)
        finally:
            await self._reading.cancel()
            await self._sender.close()
            self._report.waits(0)

    async def _cycle(self) -> None:
        now = self._now()
        due = [each for each in self._watchlist if each.due <= now and not each.being_read]
        if due:
            await self._searching.look_for(due)
            now = self._now()
            due = [each for each in due if each.due <= now and each.waits]
        await self._reading.begin([*sorted(due, key=attrgetter("due")), *self._reading.to_check()])

    async def _nap(self) -> None:
        now = self._now()
        shortest = _SHORTEST_NAP + _NAP_EACH * len(self._watchlist)
        due = min((each.due for each in self._watchlist if not each.being_read), default=now + 1)
        self._wake.clear()
        self._wakes_at = now + min(_LONGEST_NAP, max(due - now, shortest))
        await asyncio.sleep(shortest)
        with suppress(TimeoutError):
            async with asyncio.timeout_at(self._wakes_at):
                await self._wake.wait()

    def _wake_by(self, due: float) -> None:
        if due < self._wakes_at:
            self._wake.set()


_pollers: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Poller]] = WeakKeyDictionary()


async def wait_together(wait: Wait, *, connect: Connect, name: str, metrics: Metrics | None = None) -> None:
    """Wait, with all others that wait on this connection in this event loop.

    :param wait: for what, and for how long.
    :param connect: makes a client, where there is none yet.
    :param name: name of the connection.
    :param metrics: where metrics go.
    :raises WaitTimeout: where the deadline passed before.
    :raises CodeOceanError: where it ended otherwise, or Code Ocean refuses to tell.
    :raises ValueError: where the identifier is none, or the connection cannot be used.
    """
    pollers = _pollers.setdefault(asyncio.get_running_loop(), {})
    while True:
        poller = pollers.get(name)
        if poller is None or poller.is_closed:
            poller = pollers[name] = Poller(connect, name=name, metrics=metrics)
        gives_way = False
        try:
            return await poller.wait(wait)
        except CodeOceanTransportError as error:
            gives_way = not error.transient and poller.is_outdated
            if not gives_way:
                raise
        finally:
            if (poller.is_closed or gives_way) and pollers.get(name) is poller:
                del pollers[name]
