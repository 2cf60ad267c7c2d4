"""Detect a stale search index and temporarily stop using it.

Code Ocean does not document how fast the search index is updated. Therefore, targets that searches show as
pending are also read one by one, in turn, within an allowance that is higher at first. If a read shows an end
that searches still do not show after some time, the index is stale, and searches are paused. After the pause,
the first page shows whether the index is still stale.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_codeocean.outcomes import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_provider_codeocean.api.models.data_asset_summary import DataAssetSummary
    from airflow_provider_codeocean.polling.waits import Wait

_READS_PER_SECOND = 2.0
#: Applies until a search has shown an end, or the initial reads are used up.
_INITIAL_READS_PER_SECOND = 10.0
_INITIAL_READS = 300
#: How long a search may lag behind reads: poll intervals, and seconds at least.
_LAG_TOLERANCE_INTERVALS = 1.0
_MIN_LAG_TOLERANCE_SECONDS = 2.0
#: Pause after a stale search. The pauses double each time, up to the maximum.
_STALE_PAUSE_SECONDS = 60.0
_FAILURE_PAUSE_SECONDS = 5.0
_MAX_PAUSE_SECONDS = 600.0
_MAX_UNCONFIRMED_ENDS = 100
_UNCONFIRMED_SECONDS = 1200.0


@dataclass(slots=True)
class _UnconfirmedEnd:
    wait: Wait
    ended_at: float


class SearchConsistencyMonitor:
    """Verifies the searches of a connection. Times are those of the event loop's clock."""

    def __init__(self, now: float) -> None:
        self._initial_reads_remaining = _INITIAL_READS
        self._disabled_until = now
        self._stale_pause = _STALE_PAUSE_SECONDS
        self._failure_pause = _FAILURE_PAUSE_SECONDS
        self._unconfirmed: dict[str, _UnconfirmedEnd] = {}
        self._allowance = 0.0
        self._refilled_at = now

    def is_usable(self, now: float) -> bool:
        """Return whether searches are not paused."""
        return now >= self._disabled_until

    def allowance(self, now: float) -> int:
        """Return the number of reads that may verify searches now."""
        rate = _INITIAL_READS_PER_SECOND if self._initial_reads_remaining > 0 else _READS_PER_SECOND
        self._allowance = min(rate, self._allowance + rate * (now - self._refilled_at))
        self._refilled_at = now
        return int(self._allowance)

    def consume(self, reads: int) -> None:
        """Record reads that verify searches."""
        self._allowance -= reads
        self._initial_reads_remaining -= reads

    def confirm_from_search(self) -> None:
        """Record that a search showed the end of a target that an earlier search had shown as pending."""
        self._initial_reads_remaining = 0
        self._stale_pause = _STALE_PAUSE_SECONDS

    def record_search_success(self) -> None:
        """Record that a search succeeded."""
        self._failure_pause = _FAILURE_PAUSE_SECONDS

    def record_search_failure(self, now: float) -> float:
        """Record that a search failed, and return the seconds for which searches are paused."""
        seconds, self._failure_pause = self._failure_pause, min(_MAX_PAUSE_SECONDS, 2 * self._failure_pause)
        self._disabled_until = now + seconds
        return seconds

    def expect_in_search(self, wait: Wait, now: float) -> None:
        """Record that a read ended a wait, so that searches must show this end soon."""
        self._unconfirmed = {
            asset_id: end
            for asset_id, end in self._unconfirmed.items()
            if now - end.ended_at < _UNCONFIRMED_SECONDS
        }
        if len(self._unconfirmed) < _MAX_UNCONFIRMED_ENDS:
            self._unconfirmed[wait.id] = _UnconfirmedEnd(wait, now)

    def verify_page(self, results: Iterable[DataAssetSummary], now: float) -> float:
        """Compare a page of a search with the ends that reads have shown.

        :param results: the results on the page.
        :param now: when the page was requested.
        :returns: seconds for which searches are paused; 0 if the page is not stale.
        """
        is_stale = False
        for result in results if self._unconfirmed else ():
            end = self._unconfirmed.get(result.id)
            if end is None:
                continue
            if end.wait.outcome(result) is not Outcome.PENDING:
                del self._unconfirmed[result.id]
            elif now - end.ended_at > max(
                _MIN_LAG_TOLERANCE_SECONDS, _LAG_TOLERANCE_INTERVALS * end.wait.poll_interval
            ):
                is_stale = True
        if not is_stale:
            return 0.0
        self._initial_reads_remaining = _INITIAL_READS
        seconds, self._stale_pause = self._stale_pause, min(_MAX_PAUSE_SECONDS, 2 * self._stale_pause)
        self._disabled_until = now + seconds
        return seconds
