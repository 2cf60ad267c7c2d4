"""All that a poller looks at, and who waits for it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from airflow_provider_codeocean.api.errors import WaitTimeout
from airflow_provider_codeocean.polling.watched import Watched, first_jitter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_provider_codeocean.polling.report import Report
    from airflow_provider_codeocean.polling.wait import Kind, Wait


class Watchlist:
    """Each thing that is waited for, once, however many wait for it.

    :param now: the event loop's clock.
    :param report: is told of what has ended.
    """

    def __init__(self, now: Callable[[], float], report: Report) -> None:
        self._now = now
        self._report = report
        self._watched: dict[tuple[Kind, str], Watched] = {}

    def __len__(self) -> int:
        """How many things there are."""
        return len(self._watched)

    def __iter__(self) -> Iterator[Watched]:
        """Go through them; none may be added or removed meanwhile."""
        return iter(self._watched.values())

    def get(self, kind: Kind, id: str) -> Watched | None:  # noqa: A002
        """Return one thing, if it is here."""
        return self._watched.get((kind, id))

    def add(self, wait: Wait) -> tuple[Watched, asyncio.Future[None]]:
        """Add a wait.

        :param wait: for what.
        :returns: the thing, which is to be looked at before long, and the future that the wait's end goes to.
        """
        key, now = (wait.kind, wait.id), self._now()
        known = self._watched.get(key)
        watched = self._watched[key] = known or Watched(*key, wait.look, since=now)
        future = watched.waits[wait] = asyncio.get_running_loop().create_future()
        due = watched.due
        watched.schedule(now, first_jitter())
        if known:  # those who come one after the other put nothing off
            watched.due = min(due, watched.due)
        return watched, future

    def remove(self, wait: Wait) -> None:
        """Remove a wait, if it is here."""
        watched = self._watched.get((wait.kind, wait.id))
        if watched is not None:
            watched.waits.pop(wait, None)
            self._forget_if_alone(watched)

    def over(self, watched: Watched, wait: Wait, error: Exception | None = None) -> None:
        """End a wait.

        :param watched: what it waits for.
        :param wait: the wait.
        :param error: what it ended in; None is a success.
        """
        self._report.noticed(self._now() - watched.looked_at)
        self._resolve(watched, wait, error)

    def goes_on(self, watched: Watched, part: float) -> None:
        """Take that a look at something has not ended all waits for it.

        :param watched: the thing.
        :param part: the part of its interval until it is looked at again.
        """
        for wait in [each for each in watched.waits if each.has_expired()]:
            self._resolve(watched, wait, WaitTimeout(wait.describe()))
        if watched.waits:
            watched.looked_at = now = self._now()
            watched.schedule(now, part)

    def end(self, watched: Watched, error: Exception) -> None:
        """End all waits for one thing.

        :param watched: the thing.
        :param error: what they ended in.
        """
        for wait in list(watched.waits):
            self.over(watched, wait, error)

    def end_all(self, error: Exception) -> None:
        """End all waits.

        :param error: what they ended in.
        """
        for watched in list(self):
            self.end(watched, error)

    def _resolve(self, watched: Watched, wait: Wait, error: Exception | None) -> None:
        future = watched.waits.pop(wait)
        self._forget_if_alone(watched)
        if future.done():
            return
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)

    def _forget_if_alone(self, watched: Watched) -> None:
        key = watched.kind, watched.id
        if not watched.waits and self._watched.get(key) is watched:
            del self._watched[key]
