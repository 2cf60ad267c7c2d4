"""How to look at many data assets with few requests: read each, or page through a search, and how far."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Sizes of a page, and how many single reads a page of that size is worth.
_PAGES = ((100, 10), (1000, 20))
#: The most results that a search goes through.
_FURTHEST = 20_000


@dataclass(frozen=True, slots=True)
class Plan:
    """How far to search.

    :param size: results of a page.
    :param pages: how many pages; none where reading each costs less.
    """

    size: int = 0
    pages: int = 0


@dataclass(slots=True)
class Depths:
    """Where in a search, newest first, a data asset of a certain age was found last.

    :ivar ends: the last results of pages: when each was created, and how many there were up to it.
    """

    ends: list[tuple[float, int]] = field(default_factory=list)

    def learn(self, oldest: float, results: int) -> None:
        """Take the end of a page.

        :param oldest: when its last result was created, in Unix seconds.
        :param results: how many results there have been, with it.
        """
        beyond = [end for end in self.ends if end[1] > results and end[0] < oldest]
        before = [end for end in self.ends if end[1] < results and end[0] > oldest]
        self.ends = [*before, (oldest, results), *beyond]

    def of(self, created: float | None, now: float) -> int:
        """Estimate the place of a data asset.

        :param created: when it was created, in Unix seconds; None where that is not known yet.
        :param now: the time, in Unix seconds.
        :returns: its place in a search, from 0.
        """
        if created is None or not self.ends:
            return 0
        # One of the same age as a page's last result may be on the next page.
        number = bisect_right(self.ends, -created, key=lambda end: -end[0])
        if number < len(self.ends):
            return self.ends[number - 1][1] if number else 0
        oldest, results = self.ends[-1]
        return round(results * max(1.0, (now - created) / max(1.0, now - oldest)))


def choose(places: Sequence[int]) -> Plan:
    """Choose how far to search so that the most requests are saved.

    :param places: the estimated place of each data asset that is to be looked at.
    :returns: the plan.
    """
    # No two are at the same place: where so many are said to be on the first page, they reach beyond it.
    places = [max(place, number) for number, place in enumerate(sorted(places))]
    best, saved = Plan(), 0
    for size, worth in _PAGES:
        for pages in range(1, _FURTHEST // size + 1):
            seen = bisect_right(places, size * pages - 1)
            if seen - worth * pages > saved:
                best, saved = Plan(size, pages), seen - worth * pages
            if seen == len(places):
                break
    return best


def worth_going_on(plan: Plan, pages: int, hits: int, unseen: int) -> bool:
    """Tell whether to ask for another page.

    :param plan: the plan.
    :param pages: how many pages there have been.
    :param hits: how many of those looked for were on the last one.
    :param unseen: how many of those looked for have not been seen.
    :returns: whether it is worth it.
    """
    worth = dict(_PAGES)[plan.size]
    if not unseen or pages * plan.size >= _FURTHEST:
        return False
    return pages < plan.pages or (unseen > worth and hits > worth)
