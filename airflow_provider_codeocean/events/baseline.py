"""Decides which results of a watcher's first polls are old."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

#: How many empty polls in a row confirm that there is nothing yet.
_EMPTY_POLLS = 3
#: How long before the watcher started a result must have ended to be old in a later poll, in seconds: the
#: clocks of Code Ocean and of the triggerer may differ, and an index may lag.
_MARGIN_SECONDS = 300.0


class Baseline:
    """The results that are old to a watcher that reports only later ones.

    The first poll that shows something is the baseline. But an index that is being rebuilt may show nothing,
    or a part of the results: a result in a later poll is old as well if it ended minutes before the
    watcher started, unless the watcher has seen it pending.

    :param started_at: when the watcher started, in Unix seconds.
    """

    def __init__(self, started_at: float) -> None:
        self._started_at = started_at
        self._empty_polls = 0
        self._is_first = True
        self._pending: set[str] = set()

    def has_confirmed_empty(self, found: Sequence[Any]) -> bool:
        """Record a poll before the baseline.

        :param found: its results, pending ones too.
        :returns: whether this poll confirms that there is nothing yet.
        """
        if not found:
            self._empty_polls += 1
        return not found and self._empty_polls == _EMPTY_POLLS

    def old_ids(self, found: Sequence[Any], ended: Sequence[Any]) -> set[str]:
        """Return the ids of the results of a poll that are old, and record the pending ones.

        :param found: all results, pending ones too.
        :param ended: those of them that have ended.
        :returns: the ids of those of the latter that are old.
        """
        old = {each.id for each in ended if self._is_old(each)}
        self._is_first = False
        self._pending = {each.id for each in found} - {each.id for each in ended}
        return old

    def _is_old(self, result: Any) -> bool:
        if result.id in self._pending:
            return False
        if self._is_first and not self._empty_polls:
            return True
        if result.created is None:
            return self._is_first and self._empty_polls < _EMPTY_POLLS
        ended_at: float = result.created + (getattr(result, "run_time", None) or 0)
        return ended_at < self._started_at - (0.0 if self._is_first else _MARGIN_SECONDS)
