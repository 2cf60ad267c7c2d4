"""How to poll many data assets with few requests: read each, or page through a search, and how far."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Sizes of a page, and how many single reads a page of that size is worth.
_PAGES = ((100, 10), (1000, 20))
#: Up to how many targets are always read.
MIN_TARGETS = _PAGES[0][1]
#: The most results that a search goes through.
_MAX_RESULTS = 20_000


@dataclass(frozen=True, slots=True)
class SearchPlan:
    """How far to search.

    :param size: results of a page.
    :param pages: how many pages; none if reading each costs less.
    """

    size: int = 0
    pages: int = 0


@dataclass(slots=True)
class SearchPositions:
    """The positions in a search, newest first, at which data assets of a certain age were found.

    :ivar ends: the last results of pages: when each was created, and how many there were up to it.
    """

    ends: list[tuple[float, int]] = field(default_factory=list)

    def record(self, oldest: float, results: int) -> None:
        """Record the end of a page.

        :param oldest: when its last result was created, in Unix seconds.
        :param results: how many results there have been, with it.
        """
        beyond = [end for end in self.ends if end[1] > results and end[0] < oldest]
        before = [end for end in self.ends if end[1] < results and end[0] > oldest]
        self.ends = [*before, (oldest, results), *beyond]

    def estimate(self, created: float | None, now: float) -> int:
        """Estimate the position of a data asset.

        :param created: when it was created, in Unix seconds; None if that is not known yet.
        :param now: the time, in Unix seconds.
        :returns: its position in a search, from 0.
        """
        if created is None or not self.ends:
            return 0
        # One of the same age as a page's last result may be on the next page.
        number = bisect_right(self.ends, -created, key=lambda end: -end[0])
        if number < len(self.ends):
            return self.ends[number - 1][1] if number else 0
        oldest, results = self.ends[-1]
        return round(results * max(1.0, (now - created) / max(1.0, now - oldest)))


def plan_search(positions: Sequence[int]) -> SearchPlan:
    """Choose how far to search so that the most requests are saved.

    :param positions: the estimated position of each data asset that is to be polled.
    :returns: the plan.
    """
    # No two have the same position: if very many are estimated to be on the first page, they reach beyond it.
    positions = [max(position, number) for number, position in enumerate(sorted(positions))]
    best, saved = SearchPlan(), 0
    for size, worth in _PAGES:
        for pages in range(1, _MAX_RESULTS // size + 1):
            seen = bisect_right(positions, size * pages - 1)
            if seen - worth * pages > saved:
                best, saved = SearchPlan(size, pages), seen - worth * pages
            if seen == len(positions):
                break
    return best


def should_continue(plan: SearchPlan, pages: int, hits: int, unseen: int) -> bool:
    """Return whether to request another page.

    :param plan: the plan.
    :param pages: how many pages there have been.
    :param hits: how many of the targets were on the last one.
    :param unseen: how many of the targets have not been seen.
    :returns: whether it saves requests.
    """
    worth = dict(_PAGES)[plan.size]
    if not unseen or pages * plan.size >= _MAX_RESULTS:
        return False
    return pages < plan.pages or (unseen > worth and hits > worth)
