"""All that a poller polls, and who waits for it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from airflow_provider_codeocean.api.errors import WaitTimeout
from airflow_provider_codeocean.polling.wait import MAX_EARLY_POLLS, Kind
from airflow_provider_codeocean.polling.watched import PollTarget

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_provider_codeocean.polling.report import PollerStats
    from airflow_provider_codeocean.polling.wait import Wait

#: Up to how many targets share the early polls. Each of more has as many as each of these.
_SHARING_EARLY_POLLS = 3


class PollRegistry:
    """Each target once, however many wait for it.

    :param now: the event loop's clock.
    :param stats: counts the waits that have ended.
    :ivar is_bulk: whether searches poll many targets at once, so that early polls cost next to nothing.
    """

    def __init__(self, now: Callable[[], float], stats: PollerStats) -> None:
        self.is_bulk = False
        self._now = now
        self._stats = stats
        self._targets: dict[tuple[Kind, str], PollTarget] = {}

    def __len__(self) -> int:
        """Return how many targets there are."""
        return len(self._targets)

    def __iter__(self) -> Iterator[PollTarget]:
        """Iterate over them; none may be added or removed meanwhile."""
        return iter(self._targets.values())

    def get(self, kind: Kind, id: str) -> PollTarget | None:  # noqa: A002
        """Return one target, if it is here."""
        return self._targets.get((kind, id))

    def add(self, wait: Wait) -> tuple[PollTarget, asyncio.Future[None]]:
        """Add a wait.

        :param wait: the wait.
        :returns: its target, which is polled before long, and the future that gets the wait's outcome.
        """
        key, now = (wait.kind, wait.id), self._now()
        target = self._targets.get(key)
        if target is None:
            target = self._targets[key] = PollTarget(*key, wait.look, since=now)
        future = target.waits[wait] = asyncio.get_running_loop().create_future()
        target.join(now, wait, early_polls=self._early_polls(target))
        return target, future

    def remove(self, wait: Wait) -> None:
        """Remove a wait, if it is here."""
        target = self._targets.get((wait.kind, wait.id))
        if target is not None:
            target.waits.pop(wait, None)
            self._forget_if_unused(target)

    def resolve(self, target: PollTarget, wait: Wait, error: Exception | None = None) -> None:
        """End a wait.

        :param target: its target.
        :param wait: the wait.
        :param error: why it failed; None is a success.
        """
        self._stats.ended(self._now() - target.looked_at)
        self._set(target, wait, error)

    def reschedule(self, target: PollTarget, jitter: float) -> None:
        """Record that a poll has not ended all waits for a target.

        :param target: the target.
        :param jitter: the part of an early interval until it is polled again.
        """
        for wait in [each for each in target.waits if each.has_expired()]:
            self._set(target, wait, WaitTimeout(wait.describe()))
        if target.waits:
            target.looked_at = now = self._now()
            target.schedule(now, early_polls=self._early_polls(target), jitter=jitter)

    def fail(self, target: PollTarget, error: Exception) -> None:
        """End all waits for one target.

        :param target: the target.
        :param error: why they failed.
        """
        for wait in list(target.waits):
            self.resolve(target, wait, error)

    def fail_all(self, error: Exception) -> None:
        """End all waits.

        :param error: why they failed.
        """
        for target in list(self):
            self.fail(target, error)

    def _early_polls(self, target: PollTarget) -> int | None:
        if self.is_bulk and target.kind is Kind.DATA_ASSET:
            return None
        return MAX_EARLY_POLLS // max(1, min(len(self._targets), _SHARING_EARLY_POLLS))

    def _set(self, target: PollTarget, wait: Wait, error: Exception | None) -> None:
        future = target.waits.pop(wait)
        self._forget_if_unused(target)
        if future.done():
            return
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)

    def _forget_if_unused(self, target: PollTarget) -> None:
        key = target.kind, target.id
        if not target.waits and self._targets.get(key) is target:
            del self._targets[key]
