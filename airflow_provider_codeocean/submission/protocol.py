"""Submit once: whichever process is killed and whenever, one submitting task leaves one job.

The API has no idempotency keys, so a task supplies one. A data asset carries it as a tag, a computation in
its display name. An attempt that may not be the first finds by it the job of an earlier attempt.

::

    start    the record has an external id ─ the job exists ───────────────────────────▶ continue with it
               │ no, or the job is gone or failed
             an earlier attempt may have submitted a job ─ found ──────────────────────▶ adopt it
               │ no, or nothing is found
             save the intent, submit ─ response lost: search until the index settles ──▶ adopt it
               │ submitted: save the external id
             an older job with the key exists ─ another attempt was faster ─▶ delete ours, adopt that one
               │ no
             continue with it

    confirm  if another attempt may still have been running: search once more when all that it can have
             submitted must be visible. The oldest job stays, duplicates are deleted. If the job has the key
             of another task by then, it was adopted by mistake: start again.

This module decides and does nothing. A protocol is a generator that yields a
:data:`~airflow_provider_codeocean.submission.commands.Command` and is sent its result, so that the same code
serves operators and the tests' model. A job (``J``) is anything that has an id and a creation time and can
be found by its key.

**Not visible yet.** For :data:`~airflow_provider_codeocean.api.errors.VISIBILITY_SECONDS` after a submission,
Code Ocean's 404 says nothing. The protocol polls a job whose id it knows for that long, and a job that search
lists for that long after it was listed first, unless search stops listing it. Any other failed read raises,
so that the attempt fails and a retry continues: no failed read ever leads to a second job.

**Why two searches are enough.** A search shows all jobs that were submitted :data:`SETTLE` seconds before it,
or earlier. An attempt that submits searches once after that, and yields to an older job. An attempt that
submits although another one may be running searches again ``2 * SETTLE`` after its submission. If the other
attempt submitted within ``SETTLE`` after that submission, this second search shows its job; if later, the
other attempt's own search has shown it that it was not the first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic

from airflow_provider_codeocean.api.errors import VISIBILITY_SECONDS, AlreadyExists, CodeOceanError
from airflow_provider_codeocean.clock import SteadyClock
from airflow_provider_codeocean.submission.commands import (
    CheckSuperseded,
    Command,
    Commands,
    Delete,
    FindByKey,
    FindResult,
    Get,
    J,
    LoadRecord,
    SaveRecord,
    Sleep,
    Submission,
    SubmissionRecord,
    Submit,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    from airflow_provider_codeocean.submission.keys import IdempotencyKeys, TaskAttempt

#: Seconds after which every job that a process can have submitted before it died is found by its key: up to
#: 30 for a lagging index, and 10 for a server that is still processing the request.
SETTLE = 40.0
#: Seconds from a saved intent to the moment when its request has certainly ended, despite differing clocks.
SENDING = 120.0
#: Submissions per attempt, if each response is lost and no job is found.
_MAX_SUBMISSIONS = 3
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 5.0


@dataclass(frozen=True, slots=True)
class _Doubt:
    """The job that an earlier attempt may have submitted.

    :param until: until when to search for it, in Unix seconds.
    :param unlabelled_since: since when there may be a job that does not have its key yet; None if there is
        none.
    :param may_be_several: whether the job that is found may not be the only one.
    :param remains: whether there may be a job although none is found.
    """

    until: float
    unlabelled_since: float | None
    may_be_several: bool
    remains: bool


class SubmitOnce(Generic[J]):
    """The protocol of one attempt of one submission.

    :param attempt: the task's attempt.
    :param keys: the keys of the submission.
    :param has_durable_state: whether there is a state that survives an attempt.
    :param is_usable: returns whether a job can be adopted. A failed one cannot.
    :param is_own: returns whether a job does not have the key of another task; by default, none has.
    :param now: the time, in Unix seconds; by default a clock that is steady during the attempt.
    """

    def __init__(
        self,
        attempt: TaskAttempt,
        keys: IdempotencyKeys,
        *,
        has_durable_state: bool,
        is_usable: Callable[[J], bool],
        is_own: Callable[[J], bool] = lambda _: True,
        now: Callable[[], float] | None = None,
    ) -> None:
        self.attempt = attempt
        self.keys = keys
        # Whether an attempt is the first since a Clear cannot be known: retries may have been edited.
        self._is_retry = attempt.try_number > 1
        self._has_durable_state = has_durable_state
        self._is_usable = is_usable
        self._is_own = is_own
        self.now = now or SteadyClock()
        self._gone: set[str] = set()

    def start(self) -> Generator[Command, Any, Submission[J]]:
        """Continue with the job of an earlier attempt, or submit one.

        :returns: the job to continue with.
        :raises AlreadyExists: if a job with one of the previous keys exists.
        :raises CodeOceanError: if it is not certain whether there is a job, or it cannot be submitted.
        """
        record: SubmissionRecord | None = yield LoadRecord()
        own = record if record and record.key == self.keys.current else None
        if own and own.external_id:
            job = yield from self._get(own.external_id, own.submitted_at)
            if job is not None and self._is_usable(job) and self._is_own(job):
                return Submission(job, True, own.recheck_at, own.submitted_at)
        doubt = self._doubt(own)
        found = yield from self._settle(doubt)
        if found is None and self.keys.previous:
            yield from self._check_previous_keys(record)
            found = yield from self._settle(doubt)  # another attempt may have submitted in the meantime
        return found or (yield from self._submit(doubtful=doubt is not None and doubt.remains))

    def confirm(self, submission: Submission[J]) -> Generator[Command, Any, J | None]:
        """Make sure that the job is the only one, and the task's own.

        :param submission: the job that the attempt has continued with.
        :returns: the job that stays, which may be that of another attempt. None if it turned out to be
            another task's: :meth:`start` again.
        :raises CodeOceanError: if it is gone, and there is no other.
        """
        if not submission.recheck_at:
            return submission.job
        # Never longer than the recheck can have been deferred: the clock may have been set back since.
        wait = min(submission.recheck_at - self.now(), SENDING)
        if wait > 0:
            yield Sleep(wait)
        job = submission.job
        seen = yield from self._get(job.id, submission.submitted_at)
        if seen is not None and not self._is_own(seen):
            self._is_retry = True  # this attempt's own job, if there is one, is still to be found
            return None
        usable, _ = yield from self._find_usable(job if seen is not None else None, is_patient=True)
        if seen is None and not usable:
            raise CodeOceanError(f"{job.id} is gone by now; a retry submits another one")
        first, *duplicates = usable or [job]
        for duplicate in duplicates:
            yield from self._delete(duplicate, first)
        # Without a time to recheck: there is no doubt any more.
        yield SaveRecord(SubmissionRecord(self.keys.current, submission.submitted_at, first.id))
        return first

    def find_replacement(self) -> Generator[Command, Any, Submission[J] | None]:
        """Find the job with the key, in place of one that got a 404. Nothing is submitted.

        If searches still list that job, and it can be read again, the 404 was false.

        :returns: the job to continue with, None if there is none.
        """
        usable, _ = yield from self._find_usable(is_patient=True)
        return (yield from self._adopt(usable[0], self.now() + SETTLE)) if usable else None

    def _settle(self, doubt: _Doubt | None) -> Commands[Submission[J] | None]:
        """Search for the job of an earlier attempt, and adopt it."""
        if doubt is None:
            return None
        since = doubt.unlabelled_since
        job, recheck_at = yield from self._search((self.keys.current,), doubt.until, since)
        if job is None:
            return None
        recheck_at = max(recheck_at, doubt.until if doubt.may_be_several else 0.0)
        return (yield from self._adopt(job, recheck_at, since))

    def _submit(self, *, doubtful: bool) -> Commands[Submission[J]]:
        key = self.keys.current
        for number in range(1, _MAX_SUBMISSIONS + 1):
            submitted_at = self.now()
            yield SaveRecord(SubmissionRecord(key, submitted_at, may_have_duplicate=doubtful))
            try:
                job: J = yield Submit(key)
            except CodeOceanError as error:
                if not error.maybe_applied:
                    raise
                doubtful = True
                settled_at = self.now() + SETTLE
                found, recheck_at = yield from self._search((key,), settled_at, submitted_at)
                if found is not None:
                    return (yield from self._adopt(found, max(recheck_at, settled_at), submitted_at))
                if number == _MAX_SUBMISSIONS:
                    raise
            else:
                doubtful = (yield CheckSuperseded()) or doubtful
                recheck_at = self.now() + 2 * SETTLE if doubtful else 0.0
                yield SaveRecord(SubmissionRecord(key, submitted_at, job.id, recheck_at))
                return (yield from self._yield_to_older(Submission(job, False, recheck_at, submitted_at)))
        raise AssertionError("unreachable: the last submission returns or raises")  # pragma: no cover

    def _yield_to_older(self, submission: Submission[J]) -> Commands[Submission[J]]:
        """Delete this attempt's job if another attempt was faster; recheck later if that is not certain."""
        job, recheck_at, submitted_at = submission.job, submission.recheck_at, submission.submitted_at
        try:
            usable, is_uncertain = yield from self._find_usable(job)
        except CodeOceanError as error:
            if not error.transient:  # without permission to search, a recheck cannot help
                return Submission(job, False, 0.0, submitted_at)
            usable, is_uncertain = [job], True
        first = usable[0] if usable else job
        if not _is_same(first, job):
            if any(_is_same(each, job) for each in usable):
                yield from self._delete(job, first)
            return (yield from self._adopt(first, self.now() + SETTLE))
        if is_uncertain:
            recheck_at = recheck_at or self.now()
            yield SaveRecord(SubmissionRecord(self.keys.current, submitted_at, job.id, recheck_at))
        return Submission(job, False, recheck_at, submitted_at)

    def _adopt(self, job: J, recheck_at: float, since: float | None = None) -> Commands[Submission[J]]:
        submitted_at = since or self.now()
        yield SaveRecord(SubmissionRecord(self.keys.current, submitted_at, job.id, recheck_at))
        return Submission(job, True, recheck_at, submitted_at)

    def _delete(self, duplicate: J, stays: J) -> Commands[None]:
        self._gone.add(duplicate.id.lower())
        yield Delete(duplicate.id, instead=stays.id)

    def _check_previous_keys(self, record: SubmissionRecord | None) -> Commands[None]:
        previous = self.keys.previous
        if not previous:
            return
        job: J | None = None
        if record and record.key in previous and record.external_id:
            job = yield from self._get(record.external_id, record.submitted_at)
        if job is None or not self._is_usable(job):
            job, _ = yield from self._search(previous, self._settled_at(record))
        if job is not None:
            raise AlreadyExists(
                f"on_existing='fail': the task submitted {job.id} before it was cleared. Delete that job, or "
                "set on_existing to 'adopt' to continue with it or to 'create' to submit another one."
            )

    def _doubt(self, own: SubmissionRecord | None) -> _Doubt | None:
        """Return which job an earlier attempt may have submitted whose id is not known, or is of no use."""
        if own is None:
            if not self._is_retry:
                return None
            # Without an intent no request was sent, if an intent would have been kept.
            unlabelled_since = None if self._has_durable_state else 0.0
            return _Doubt(self._settled_at(None), unlabelled_since, may_be_several=True, remains=True)
        if own.external_id is None:
            since, several = own.submitted_at, own.may_have_duplicate
            return _Doubt(self._settled_at(own), since, may_be_several=several, remains=True)
        # It is gone, failed, or another task's. There is another one only if two attempts were running, or if
        # it was taken for this task's own.
        rivals = own.recheck_at > 0
        until = self._settled_at(own) if rivals else self.now()
        return _Doubt(until, own.submitted_at if rivals else None, may_be_several=True, remains=rivals)

    def _settled_at(self, record: SubmissionRecord | None) -> float:
        """Return when a search certainly shows the job that an earlier attempt can have submitted."""
        now = self.now()
        if record is not None:
            return min(now, record.submitted_at + SENDING) + SETTLE
        return now if self._has_durable_state else now + SETTLE

    def _search(
        self, keys: tuple[str, ...], until: float, unlabelled_since: float | None = None
    ) -> Commands[tuple[J | None, float]]:
        """Search until a job is found, and return it with the time to recheck it, 0 if that is not needed.

        Transient errors are tolerated before the last search.
        """
        pause, hidden_until, confirmed_at, is_last_claim = _FIRST_PAUSE, 0.0, 0.0, False
        listed_at: dict[str, float] = {}
        while True:
            searched_at = self.now()
            is_last = searched_at >= max(until, hidden_until)
            try:
                found: FindResult = yield FindByKey(keys, unlabelled_since)
                confirmed_at = max(confirmed_at, found.confirmed_at)  # also if it cannot be read just now
                usable, hidden = yield from self._read(found.ids)
            except CodeOceanError as error:
                if not error.transient or is_last:
                    raise
            else:
                hidden_until = self._hidden_until(hidden, listed_at)
                if usable:
                    recheck_at = self.now() + SETTLE if hidden_until else 0.0
                    return usable[0], max(confirmed_at, recheck_at)
                if searched_at >= max(until, hidden_until):
                    # A job that appears only later was not submitted by an earlier attempt: do not wait for
                    # it.
                    if is_last_claim or found.claimable_at <= searched_at:
                        return None, 0.0
                    until, is_last_claim = found.claimable_at, True
            yield Sleep(min(pause, max(0.0, max(until, hidden_until) - self.now())))
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _find_usable(
        self, known: J | None = None, *, is_patient: bool = False
    ) -> Commands[tuple[list[J], bool]]:
        """Find the jobs that can be adopted, the oldest first, and whether others may not be visible yet.

        A known job is read only to compare it with a rival. A patient search lasts until all jobs that it
        lists are visible or gone.
        """
        listed_at: dict[str, float] = {}
        while True:
            found: FindResult = yield FindByKey((self.keys.current,))
            usable, hidden = yield from self._read(found.ids, known)
            if not self._hidden_until(hidden, listed_at) or not is_patient:
                return usable, bool(hidden)
            yield Sleep(_LONGEST_PAUSE)

    def _hidden_until(self, hidden: Iterable[str], listed_at: dict[str, float]) -> float:
        """Return until when jobs that search lists may not be visible yet, 0 if they are gone."""
        now = self.now()
        until = {each: listed_at.setdefault(each, now) + VISIBILITY_SECONDS for each in hidden}
        self._gone |= {each for each, at in until.items() if at <= now}
        return max((at for at in until.values() if at > now), default=0.0)

    def _read(
        self, external_ids: Iterable[str], known: J | None = None
    ) -> Commands[tuple[list[J], list[str]]]:
        """Read jobs: those that can be adopted, the oldest first, and the ids of those that are hidden."""
        ids = {each.lower(): each for each in external_ids if each.lower() not in self._gone}
        if known is not None:
            ids[known.id.lower()] = known.id
            if len(ids) == 1:
                return [known], []
        usable: list[J] = []
        hidden: list[str] = []
        for same_id, external_id in sorted(ids.items()):
            job: J | None = yield Get(external_id)
            if job is None and known is not None and external_id == known.id:
                job = known
            if job is None:
                hidden.append(same_id)
            elif self._is_usable(job) and self._is_own(job):
                usable.append(job)
        return sorted(usable, key=lambda job: (job.created or 0.0, job.id)), hidden

    def _get(self, external_id: str, submitted_at: float) -> Commands[J | None]:
        """Read a job, for as long as it may not be visible yet; None if it is gone."""
        visible_at = min(submitted_at, self.now()) + VISIBILITY_SECONDS
        while True:
            job: J | None = yield Get(external_id)
            left = visible_at - self.now()
            if job is not None:
                return job
            if left <= 0:
                return None  # if a search still lists it, the 404 is in doubt, and it is polled again
            yield Sleep(min(_LONGEST_PAUSE, left))


def _is_same(one: J, other: J) -> bool:
    return one.id.lower() == other.id.lower()
