"""Looking at things one by one: a few of them, what a search did not show, and what it shows too long."""

from __future__ import annotations

import asyncio
from heapq import nsmallest
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from airflow_provider_codeocean.api.errors import CodeOceanError, RateLimited
from airflow_provider_codeocean.polling.wait import Kind
from airflow_provider_codeocean.polling.watched import jitter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from airflow_provider_codeocean.polling.pace import Pace
    from airflow_provider_codeocean.polling.sender import Sender
    from airflow_provider_codeocean.polling.trust import Trust
    from airflow_provider_codeocean.polling.wait import Look
    from airflow_provider_codeocean.polling.watched import Watched
    from airflow_provider_codeocean.polling.watchlist import Watchlist

#: Seconds for which readings are begun, before it is seen what has become due since.
_READING_SECONDS = 1.0
#: Intervals after which what only searches have shown is read.
_CHECK_INTERVALS = 2.0


class Reading:
    """Looks by reading, for one poller.

    :param watchlist: what to look at.
    :param sender: sends the requests.
    :param pace: says how many requests may be in flight.
    :param trust: says how many readings may be spent on checking the searches.
    :param now: the event loop's clock.
    :param wake_by: is told when something is due next.
    """

    def __init__(
        self,
        watchlist: Watchlist,
        sender: Sender,
        pace: Pace,
        trust: Trust,
        now: Callable[[], float],
        *,
        wake_by: Callable[[float], None],
    ) -> None:
        self._watchlist = watchlist
        self._sender = sender
        self._pace = pace
        self._trust = trust
        self._now = now
        self._wake_by = wake_by
        self._under_way: set[asyncio.Task[None]] = set()

    def to_check(self) -> list[Watched]:
        """Choose what to read of that which only searches have shown, the longest unread first.

        :returns: what to read now.
        """
        now = self._now()
        allowed = self._trust.checks(now)
        if not allowed or self._pace.in_trouble:
            return []
        unread = (
            each
            for each in self._watchlist
            if each.shown
            and each.due > now
            and not each.being_read
            and now - each.read_at > _CHECK_INTERVALS * each.every
        )
        chosen = nsmallest(allowed, unread, key=attrgetter("read_at"))
        self._trust.spend(len(chosen))
        return chosen

    async def begin(self, chosen: Iterable[Watched]) -> None:
        """Begin to read, as many as a second lets; the rest stays due.

        :param chosen: what to read, the most urgent first.
        """
        until = self._now() + _READING_SECONDS
        for watched in chosen:
            await self._sender.turn()
            while len(self._under_way) >= self._pace.in_flight:
                await asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED)
            if watched.waits:
                watched.being_read = True
                task = asyncio.create_task(self._read(watched))
                self._under_way.add(task)
                task.add_done_callback(self._under_way.discard)
            if self._now() >= until:
                return

    async def cancel(self) -> None:
        """End what is under way."""
        for task in self._under_way:
            task.cancel()
        if self._under_way:
            await asyncio.wait(self._under_way)

    async def _read(self, watched: Watched) -> None:
        try:
            seen = await self._look(watched.look())
        except CodeOceanError as error:
            for wait in [each for each in watched.waits if not each.tolerates(error)]:
                self._watchlist.over(watched, wait, error)
            if watched.waits:
                self._bear(watched, error)
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody is to wait for ever
            self._watchlist.end(watched, error)
        else:
            self._take(watched, seen)
        finally:
            watched.being_read = False
            self._wake_by(watched.due)

    async def _look(self, look: Look) -> Any:
        call = next(look)
        while True:
            answer = await self._sender.send(call, "read")
            try:
                call = look.send(answer)
            except StopIteration as over:
                return over.value
            await self._sender.turn()

    def _take(self, watched: Watched, seen: Any) -> None:
        now = self._now()
        watched.was_read(now, getattr(seen, "created", None))
        for wait in list(watched.waits):
            try:
                is_over = wait.is_over(seen)
            except CodeOceanError as error:
                self._watchlist.over(watched, wait, error)
                continue
            if is_over:
                if watched.kind is Kind.DATA_ASSET:
                    self._trust.reading_showed_an_end(wait, now)
                self._watchlist.over(watched, wait)
        self._watchlist.goes_on(watched, jitter())

    def _bear(self, watched: Watched, error: CodeOceanError) -> None:
        for wait in watched.waits:
            wait.miss(error)
        if not isinstance(error, RateLimited):  # the pace sees to that: it is due as before
            watched.was_not_read(self._now())
