"""Decides which results of a watcher's first polls are old."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

#: How many empty polls in a row confirm that there is nothing yet.
_EMPTY_POLLS = 3


class Baseline:
    """The results that are old to a watcher that reports only later ones.

    The first poll that shows something is the baseline. An empty one may be an index that is being rebuilt,
    so it is no baseline by itself: whatever appears after it is old if it ended before the watcher started.

    :param started_at: when the watcher started, in Unix seconds.
    """

    def __init__(self, started_at: float) -> None:
        self._started_at = started_at
        self._empty_polls = 0

    def has_confirmed_empty(self, found: Sequence[Any]) -> bool:
        """Record a poll.

        :param found: its results, pending ones too.
        :returns: whether this poll confirms that there is nothing yet.
        """
        if not found:
            self._empty_polls += 1
        return not found and self._empty_polls == _EMPTY_POLLS

    def is_old(self, result: Any) -> bool:
        """Return whether a result of the first poll that shows something is old.

        :param result: a computation that has ended, or a data asset that is ready.
        :returns: whether it is.
        """
        if not self._empty_polls:
            return True
        if result.created is None:
            return self._empty_polls < _EMPTY_POLLS
        ended_at: float = result.created + (getattr(result, "run_time", None) or 0)
        return ended_at < self._started_at
