"""Decide which results of a watcher's first polls are old."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Number of consecutive empty polls that confirm that nothing exists yet.
_CONFIRMING_EMPTY_POLLS = 3
#: In later polls, a result is old if it ended this long before the watcher started: the clocks of Code Ocean
#: and the triggerer may differ, and a search index may lag.
_MARGIN_SECONDS = 300.0


class Baseline:
    """The results that are old to a watcher that reports only later ones.

    The results of the first non-empty poll are the baseline. But while Code Ocean rebuilds its index, a poll
    may return nothing, or a part of the results. So a result in a later poll is old as well if it ended
    minutes before the watcher started, unless an earlier poll returned it as pending.

    :param started_at: when the watcher started, in Unix seconds.
    """

    def __init__(self, started_at: float) -> None:
        self._started_at = started_at
        self._empty_polls = 0
        self._is_first_poll = True
        self._pending_ids: set[str] = set()

    def record_poll(self, results: Sequence[Any]) -> bool:
        """Record a poll before the baseline, and return whether it confirms that nothing exists yet."""
        if results:
            return False
        self._empty_polls += 1
        return self._empty_polls == _CONFIRMING_EMPTY_POLLS

    def old_ids(self, results: Sequence[Any], terminal_results: Sequence[Any]) -> set[str]:
        """Return the ids of the terminal results of a poll that are old, and record its pending ones."""
        old = {result.id for result in terminal_results if self._is_old(result)}
        self._is_first_poll = False
        self._pending_ids = {result.id for result in results} - {result.id for result in terminal_results}
        return old

    def _is_old(self, result: Any) -> bool:
        if result.id in self._pending_ids:
            return False
        if self._is_first_poll and not self._empty_polls:
            return True
        if result.created is None:
            return self._is_first_poll and self._empty_polls < _CONFIRMING_EMPTY_POLLS
        ended_at: float = result.created + (getattr(result, "run_time", None) or 0)
        return ended_at < self._started_at - (0.0 if self._is_first_poll else _MARGIN_SECONDS)
