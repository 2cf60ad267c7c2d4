"""Capture once: whatever is killed and whenever, one capture leaves one data asset.

The API has no idempotency keys, so a capture brings a key of its own, and what it makes carries that key (a
data asset as a tag). A try that may not be the first recognises by it what an earlier one has made.

::

    begin   an earlier try remembered what it made  ─ it is there ──────────────────────────▶ go on with it
              │ no, or it is gone or failed
            an earlier try may have made something  ─ found within the settle time ─────────▶ adopt it
              │ no, or nothing found
            remember the intent, create             ─ answer lost: look until settled ──────▶ adopt it
              │ created: remember it
            an older one with the same key is there ─ another try was faster ─▶ remove ours, adopt that one
              │ no
            go on with it

    finish  where another try may still have been at work: look once more when everything that it can have
            made must be visible. The oldest stays, the others are removed. Where it carries the key of
            another capture by then, it was taken for ours by mistake: begin again.

This module decides and does nothing: a protocol is a generator that yields a
:data:`~airflow_provider_codeocean.capture.steps.Step` and is sent what came of it, so that one text serves
operators, triggers and the tests' model of it. What is made (``M``) may be anything that has an id and a time
of creation and can be found by its key in some way.

**Why two looks are enough.** A look shows all that was made :data:`SETTLE` seconds before it, or earlier.
Who creates looks once after that, and yields to what is older. Who creates although another try may be at
work looks again ``2 * SETTLE`` after its creation. If the other try made its own within ``SETTLE`` after
that creation, this second look shows it; if later, the other's own look has shown it that it was not first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic

from airflow_provider_codeocean.api.errors import AlreadyExists, CodeOceanError
from airflow_provider_codeocean.capture.steps import (
    Capture,
    Create,
    Find,
    Found,
    Intent,
    Look,
    M,
    Overtaken,
    Pause,
    Recall,
    Remember,
    Remove,
    Step,
    Steps,
)
from airflow_provider_codeocean.clock import SteadyClock

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    from airflow_provider_codeocean.capture.key import Attempt, Keys

#: Seconds after which whatever a process can have made before it died is found by its key: up to 30 for an
#: index that lags behind, and 10 for a server that is still at work on the request.
SETTLE = 40.0
#: Seconds from an intent to the moment when its request has certainly ended, clocks that differ included.
SENDING = 120.0
#: How often a creation is tried whose answer is lost each time, and nothing is found of it.
_CREATIONS = 3
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 5.0


@dataclass(frozen=True, slots=True)
class _Doubt:
    """What an earlier try may have made.

    :param until: until when to look for it, in Unix seconds.
    :param unmarked_since: since when there may be one that does not carry its key yet; None where there is
        none.
    :param of_others: whether what is found may not be the only one.
    :param remains: whether there may be one although nothing is found.
    """

    until: float
    unmarked_since: float | None
    of_others: bool
    remains: bool


class CaptureOnce(Generic[M]):
    """The protocol of one try of one capture.

    :param attempt: the task's try.
    :param keys: the keys of the capture.
    :param durable: whether there is a state that survives a try.
    :param usable: tells whether what was found can be gone on with: one that failed cannot.
    :param ours: tells whether what was taken for ours still shows no other key; if not given, it does.
    :param now: the time, in Unix seconds; if not given, one that is steady during the try.
    """

    def __init__(
        self,
        attempt: Attempt,
        keys: Keys,
        *,
        durable: bool,
        usable: Callable[[M], bool],
        ours: Callable[[M], bool] = lambda _: True,
        now: Callable[[], float] | None = None,
    ) -> None:
        self.keys = keys
        self._is_retry = attempt.try_number > keys.first_try
        self._durable = durable
        self._usable = usable
        self._ours = ours
        self.now = now or SteadyClock()

    def begin(self) -> Generator[Step, Any, Capture[M]]:
        """Go on with what was made before, or make it.

        :returns: what to go on with.
        :raises AlreadyExists: where one of the former keys is found.
        :raises CodeOceanError: where it cannot be made.
        """
        intent: Intent | None = yield Recall()
        own = intent if intent and intent.key == self.keys.own else None
        if own and own.made:
            made = yield from self._look(own.made)
            if made is not None:
                return Capture(made, adopted=True, look_again=own.look_again)
        doubt = self._doubt(own)
        if doubt is not None:
            made, sure_at = yield from self._search((self.keys.own,), doubt.until, doubt.unmarked_since)
            if made is not None:
                look_again = max(sure_at, doubt.until if doubt.of_others else 0.0)
                return (yield from self._adopt(made, look_again=look_again, since=doubt.unmarked_since))
        yield from self._refuse_former(intent)
        return (yield from self._create(doubtful=doubt is not None and doubt.remains))

    def finish(self, capture: Capture[M]) -> Generator[Step, Any, M | None]:
        """Make sure that it is the only one, and ours.

        :param capture: what was gone on with.
        :returns: what stays: it may be another one, which another try has made. None where it turned out to
            be another task's: :meth:`begin` again.
        :raises CodeOceanError: where it is gone, and there is no other.
        """
        if not capture.look_again:
            return capture.made
        # Never longer than it can have been put off: the clock may have been set back since.
        wait = min(capture.look_again - self.now(), SENDING)
        if wait > 0:
            yield Pause(wait)
        seen: M | None = yield Look(capture.made.id)
        if seen is not None and not self._ours(seen):
            self._is_retry = True  # what this try may have made itself is still to be found
            return None
        living = yield from self._living(capture.made if seen is not None else None)
        if seen is None and not living:
            raise CodeOceanError(f"{capture.made.id} is gone by now; a retry makes another one")
        first, *others = living or [capture.made]
        for other in others:
            yield Remove(other.id, instead=first.id)
        yield Remember(Intent(self.keys.own, self.now(), first.id))  # and that there is no doubt any more
        return first

    def rescue(self) -> Generator[Step, Any, Capture[M] | None]:
        """Find another one with the key, in place of one that is gone; nothing is made.

        :returns: what to go on with, None where there is nothing.
        """
        found = yield from self._living()
        return (yield from self._adopt(found[0], look_again=self.now() + SETTLE)) if found else None

    def _create(self, *, doubtful: bool) -> Steps[Capture[M]]:
        for creation in range(1, _CREATIONS + 1):
            since = self.now()
            yield Remember(Intent(self.keys.own, since, doubtful=doubtful))
            try:
                made: M = yield Create(self.keys.own)
            except CodeOceanError as error:
                if not error.maybe_applied:
                    raise
                doubtful = True
                settled_at = self.now() + SETTLE
                found, sure_at = yield from self._search((self.keys.own,), settled_at, since)
                if found is not None:
                    look_again = max(sure_at, settled_at)
                    return (yield from self._adopt(found, look_again=look_again, since=since))
                if creation == _CREATIONS:
                    raise
            else:
                doubtful = (yield Overtaken()) or doubtful
                look_again = self.now() + 2 * SETTLE if doubtful else 0.0
                yield Remember(Intent(self.keys.own, since, made.id, look_again))
                return (yield from self._give_way(made, look_again))
        raise AssertionError("unreachable: the last creation returns or raises")  # pragma: no cover

    def _give_way(self, made: M, look_again: float) -> Steps[Capture[M]]:
        """Remove what this try made if another try was faster; look later if it cannot be told now."""
        try:
            first, *others = (yield from self._living(made)) or [made]
        except CodeOceanError as error:
            if not error.transient:  # whoever may not look cannot be helped by looking later
                return Capture(made, adopted=False)
            later = look_again or self.now()
            yield Remember(Intent(self.keys.own, self.now(), made.id, later))
            return Capture(made, adopted=False, look_again=later)
        if first.id == made.id:
            return Capture(made, adopted=False, look_again=look_again)
        if any(other.id == made.id for other in others):
            yield Remove(made.id, instead=first.id)
        return (yield from self._adopt(first, look_again=self.now() + SETTLE))

    def _adopt(self, made: M, *, look_again: float, since: float | None = None) -> Steps[Capture[M]]:
        since = self.now() if since is None else since
        yield Remember(Intent(self.keys.own, since, made.id, look_again))
        return Capture(made, adopted=True, look_again=look_again)

    def _refuse_former(self, intent: Intent | None) -> Steps[None]:
        former = self.keys.former
        if not former:
            return
        made: M | None = None
        if intent and intent.key in former and intent.made:
            made = yield from self._look(intent.made)
        if made is None:
            made, _ = yield from self._search(former, self._settled_at(intent))
        if made is not None:
            raise AlreadyExists(
                f"on_existing='fail': the task made {made.id} before it was cleared. Delete that, or let "
                "on_existing be 'adopt' to go on with it or 'create' to make another one."
            )

    def _doubt(self, own: Intent | None) -> _Doubt | None:
        """Tell what an earlier try may have made whose id is not known, or is of no use any more."""
        if own is None:
            if not self._is_retry:
                return None
            # Without an intent no request was sent, where an intent would have been kept.
            return _Doubt(
                self._settled_at(None), None if self._durable else 0.0, of_others=True, remains=True
            )
        if own.made is None:
            return _Doubt(self._settled_at(own), own.since, of_others=own.doubtful, remains=True)
        # It is gone, failed or another task's: another one is there only if two tries were alive, or if it
        # was taken for what this one had made.
        rivals = own.look_again > 0
        until = self._settled_at(own) if rivals else self.now()
        return _Doubt(until, own.since if rivals else None, of_others=True, remains=rivals)

    def _settled_at(self, intent: Intent | None) -> float:
        """Return when a look shows for certain what an earlier try can have made."""
        now = self.now()
        if intent is not None:
            return min(now, intent.since + SENDING) + SETTLE
        return now if self._durable else now + SETTLE

    def _search(
        self, keys: tuple[str, ...], until: float, unmarked_since: float | None = None
    ) -> Steps[tuple[M | None, float]]:
        """Look until something is found, and return it with the time when it is certain that it is ours.

        What is looked for again anyway may fail in passing: the last look alone has to succeed.
        """
        pause = _FIRST_PAUSE
        settled = False
        while True:
            looked_at = self.now()
            try:
                found: Found = yield Find(keys, unmarked_since)
                living = yield from self._read(found.ids)
            except CodeOceanError as error:
                if not error.transient or looked_at >= until:
                    raise
            else:
                if living:
                    return living[0], found.sure_at
                if looked_at >= until:
                    # What is seen only later was not made by an earlier try: it is not waited for.
                    if settled or found.ripens_at <= looked_at:
                        return None, 0.0
                    until, settled = found.ripens_at, True
            yield Pause(min(pause, max(0.0, until - self.now())))
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _living(self, known: M | None = None) -> Steps[list[M]]:
        """Find what can be gone on with, the oldest first; what is known to be there is read for a rival."""
        found: Found = yield Find((self.keys.own,))
        ids = set(found.ids) | ({known.id} if known else set())
        if known and ids == {known.id}:
            return [known]
        return (yield from self._read(ids))

    def _read(self, ids: Iterable[str]) -> Steps[list[M]]:
        """Read what can be gone on with, the oldest first."""
        living: list[M] = []
        for each in sorted(set(ids)):
            made = yield from self._look(each)
            living += [] if made is None else [made]
        return sorted(living, key=lambda made: (made.created or 0.0, made.id))

    def _look(self, made_id: str) -> Steps[M | None]:
        made: M | None = yield Look(made_id)
        return made if made is not None and self._usable(made) and self._ours(made) else None
