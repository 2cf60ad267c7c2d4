"""How far a search is believed.

That a search's index follows what happens within seconds is documented nowhere. So it is checked: what it
shows as going on is read by itself, all in turn, as often as an allowance permits. If a reading has shown
something to be over which a search goes on to show as going on, the index stands still: it is done without
for a while, after which a page of it is enough to see whether it still does. At first it is checked more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_codeocean.states import Verdict

if TYPE_CHECKING:
    from airflow_provider_codeocean.api.models.glance import Glance
    from airflow_provider_codeocean.polling.wait import Wait

#: Readings a second to check searches: as a rule, and at first, until they have shown an end by themselves or
#: so many readings have found nothing wrong.
_CHECKS, _CHECKS_AT_FIRST, _AT_FIRST = 2.0, 10.0, 300
#: For how many intervals, and for how many seconds at least, a search may lag behind.
_LAG_INTERVALS, _LAG_SECONDS = 1.0, 2.0
#: Seconds for which it is done without where it stands still, and where it fails: at first, and at most.
_STANDSTILL, _BREAK, _LONGEST = 60.0, 5.0, 600.0
#: How many ends, and for how long, are kept to see whether searches show them.
_SUSPECTS, _SUSPECT_SECONDS = 100, 1200.0


@dataclass(slots=True)
class _Suspect:
    wait: Wait
    over_at: float


class Trust:
    """What is thought of one connection's searches. Times are those of the event loop's clock.

    :param now: the time.
    """

    def __init__(self, now: float) -> None:
        self._at_first = _AT_FIRST
        self._off_until = now
        self._standstill = _STANDSTILL
        self._break = _BREAK
        self._suspects: dict[str, _Suspect] = {}
        self._allowance = 0.0
        self._checked_at = now

    def is_usable(self, now: float) -> bool:
        """Tell whether to search."""
        return now >= self._off_until

    def checks(self, now: float) -> int:
        """Return how many readings may be made now to check the searches."""
        rate = _CHECKS_AT_FIRST if self._at_first > 0 else _CHECKS
        self._allowance = min(rate, self._allowance + rate * (now - self._checked_at))
        self._checked_at = now
        return int(self._allowance)

    def spend(self, checks: int) -> None:
        """Take that so many readings were made."""
        self._allowance -= checks
        self._at_first -= checks

    def search_showed_an_end(self) -> None:
        """Take that a search showed the end of what one before had shown as going on."""
        self._at_first = 0
        self._standstill = _STANDSTILL

    def search_worked(self) -> None:
        """Take that a search was answered."""
        self._break = _BREAK

    def search_failed(self, now: float) -> float:
        """Take that a search was not answered.

        :param now: the time.
        :returns: seconds for which it is done without.
        """
        seconds, self._break = self._break, min(_LONGEST, 2 * self._break)
        self._off_until = now + seconds
        return seconds

    def reading_showed_an_end(self, wait: Wait, now: float) -> None:
        """Take that a reading showed an end, which searches are to show before long.

        :param wait: the wait that is over.
        :param now: the time.
        """
        self._suspects = {
            suspect_id: suspect
            for suspect_id, suspect in self._suspects.items()
            if now - suspect.over_at < _SUSPECT_SECONDS
        }
        if len(self._suspects) < _SUSPECTS:
            self._suspects[wait.id] = _Suspect(wait, now)

    def check(self, glances: list[Glance], now: float) -> float:
        """Compare what a search shows with what readings have shown.

        :param glances: a page of the search.
        :param now: when it was asked for.
        :returns: seconds for which searches are done without; 0 if they are not.
        """
        if not self._suspects:
            return 0.0
        stands_still = False
        for glance in glances:
            suspect = self._suspects.get(glance.id)
            if suspect is None:
                continue
            if suspect.wait.verdict(glance) is not Verdict.WAITING:
                del self._suspects[suspect.wait.id]
            elif now - suspect.over_at > max(_LAG_SECONDS, _LAG_INTERVALS * suspect.wait.poll_interval):
                stands_still = True
        if not stands_still:
            return 0.0
        self._at_first = _AT_FIRST
        seconds, self._standstill = self._standstill, min(_LONGEST, 2 * self._standstill)
        self._off_until = now + seconds
        return seconds
