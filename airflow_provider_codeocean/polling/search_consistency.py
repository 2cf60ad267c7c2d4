"""How far searches are believed.

It is not documented that the search index follows within seconds. So it is verified: targets that searches
show as pending are read one by one, in turn, as often as an allowance permits, and more often at first. If a
read has shown an end that searches still do not show after a while, the index is stale: searches are not used
for some time, after which one page is enough to see whether it still is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_codeocean.outcomes import Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_codeocean.api.models.data_asset_summary import Glance
    from airflow_provider_codeocean.polling.waits import Wait

#: Reads a second that verify searches: normally, and at first, until searches have shown an end or so many
#: reads have found nothing wrong.
_RATE = 2.0
_INITIAL_RATE = 10.0
_INITIAL_READS = 300
#: For how many intervals, and for how many seconds at least, a search may lag behind.
_LAG_INTERVALS = 1.0
_LAG_SECONDS = 2.0
#: Seconds without searches after a stale one, and after one that failed: doubled each time, up to a maximum.
_STALE_SECONDS = 60.0
_FAILED_SECONDS = 5.0
_MAX_SECONDS = 600.0
#: How many ends that reads have shown are kept, and for how long, to see whether searches show them.
_MAX_UNCONFIRMED = 100
_UNCONFIRMED_SECONDS = 1200.0


@dataclass(slots=True)
class _UnconfirmedEnd:
    wait: Wait
    ended_at: float


class SearchConsistencyMonitor:
    """Verifies one connection's searches. Times are those of the event loop's clock.

    :param now: the time.
    """

    def __init__(self, now: float) -> None:
        self._initial_reads = _INITIAL_READS
        self._off_until = now
        self._stale_for = _STALE_SECONDS
        self._failed_for = _FAILED_SECONDS
        self._unconfirmed: dict[str, _UnconfirmedEnd] = {}
        self._allowance = 0.0
        self._refilled_at = now

    def is_usable(self, now: float) -> bool:
        """Return whether to search."""
        return now >= self._off_until

    def allowance(self, now: float) -> int:
        """Return how many reads may verify the searches now."""
        rate = _INITIAL_RATE if self._initial_reads > 0 else _RATE
        self._allowance = min(rate, self._allowance + rate * (now - self._refilled_at))
        self._refilled_at = now
        return int(self._allowance)

    def consume(self, reads: int) -> None:
        """Record that so many reads were made."""
        self._allowance -= reads
        self._initial_reads -= reads

    def confirm_from_search(self) -> None:
        """Record that a search showed the end of a target that one before had shown pending."""
        self._initial_reads = 0
        self._stale_for = _STALE_SECONDS

    def search_worked(self) -> None:
        """Record that a search was answered."""
        self._failed_for = _FAILED_SECONDS

    def search_failed(self, now: float) -> float:
        """Record that a search failed.

        :param now: the time.
        :returns: seconds without searches.
        """
        seconds, self._failed_for = self._failed_for, min(_MAX_SECONDS, 2 * self._failed_for)
        self._off_until = now + seconds
        return seconds

    def expect_in_search(self, wait: Wait, now: float) -> None:
        """Record that a read showed an end, which searches should show before long.

        :param wait: the wait that has ended.
        :param now: the time.
        """
        self._unconfirmed = {
            asset_id: end
            for asset_id, end in self._unconfirmed.items()
            if now - end.ended_at < _UNCONFIRMED_SECONDS
        }
        if len(self._unconfirmed) < _MAX_UNCONFIRMED:
            self._unconfirmed[wait.id] = _UnconfirmedEnd(wait, now)

    def verify_page(self, results: Mapping[str, Glance], now: float) -> float:
        """Compare a page of a search with the ends that reads have shown.

        :param results: the results on the page, by their ids.
        :param now: when it was requested.
        :returns: seconds without searches; 0 if they are believed.
        """
        is_stale = False
        for asset_id in self._unconfirmed.keys() & results.keys():
            end = self._unconfirmed[asset_id]
            if end.wait.verdict(results[asset_id]) is not Verdict.WAITING:
                del self._unconfirmed[asset_id]
            elif now - end.ended_at > max(_LAG_SECONDS, _LAG_INTERVALS * end.wait.poll_interval):
                is_stale = True
        if not is_stale:
            return 0.0
        self._initial_reads = _INITIAL_READS
        seconds, self._stale_for = self._stale_for, min(_MAX_SECONDS, 2 * self._stale_for)
        self._off_until = now + seconds
        return seconds
