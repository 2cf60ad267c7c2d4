"""Exactly-once submission: a task leaves one job, whichever of its processes is killed at whatever time.

The API has no idempotency keys, so the task supplies one: as a tag of a data asset, or in the display name of
a computation. An attempt that may not be the first finds the job of an earlier attempt by this key.

::

    start    the record has an external id ─ the job exists ──────────────────────────▶ continue with it
               │ no, or the job is gone or failed
             an earlier attempt may have submitted a job ─ found ─────────────────────▶ adopt it
               │ no, or nothing found
             save the record, submit ─ response lost: search until the index settles ─▶ adopt it
               │ submitted: save the external id
             an older job with the key exists ─ another attempt was faster ─▶ delete ours, adopt the older one
               │ no
             continue with it

    confirm  if another attempt may still have been running: search again when all of its jobs must be
             visible. Keep the oldest job and delete duplicates. If the job now has the key of another task,
             it was adopted by mistake: start again.

The protocol is pure. It yields a :data:`~airflow_provider_codeocean.submission.commands.Command` and is sent
the result, so the operators and the model in the tests run the same code.

**Jobs that are not visible yet.** For :data:`~airflow_provider_codeocean.api.errors.NOT_FOUND_GRACE_SECONDS`
after a submission, a 404 proves nothing. The protocol polls a job with a known id for this long, and also a
job that a search lists, unless the search stops listing it. Any other failed read raises: the attempt fails
and a retry continues. A failed read never leads to a second job.

**Why two searches suffice.** A search shows every job that is at least :data:`MAX_SEARCH_LAG_SECONDS` old.
Each attempt searches once after it has submitted, and yields to an older job. An attempt that submits while
another may be running searches again ``2 * MAX_SEARCH_LAG_SECONDS`` after its submission. If the other
attempt submitted at most ``MAX_SEARCH_LAG_SECONDS`` after this one, the second search shows its job. If it
submitted later, its own search has shown that it was not the first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic

import msgspec

from airflow_provider_codeocean.api.errors import NOT_FOUND_GRACE_SECONDS, AlreadyExists, CodeOceanError
from airflow_provider_codeocean.clock import MonotonicUnixClock
from airflow_provider_codeocean.submission.commands import (
    CheckSuperseded,
    Command,
    Commands,
    Delete,
    FindByKey,
    FindResult,
    Get,
    JobT,
    JobType,
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

#: Seconds until a search by key shows every job of a dead process: 30 for a lagging index, and 10 for a
#: server that is still processing the request.
MAX_SEARCH_LAG_SECONDS = 40.0
#: Seconds after the record was saved until the request has ended, including the difference between clocks.
MAX_REQUEST_SECONDS = 120.0
#: Submissions per attempt, if each response is lost and no job is found.
_MAX_SUBMISSIONS = 3
_INITIAL_DELAY_SECONDS = 1.0
_MAX_DELAY_SECONDS = 5.0


class _PossibleJob(msgspec.Struct, frozen=True):
    """A job that an earlier attempt may have submitted.

    :param search_deadline: until when to search for it, in Unix seconds.
    :param unlabeled_since: see :class:`FindByKey`.
    :param may_have_duplicate: whether there may be more than one such job.
    :param may_still_exist: whether the job may exist although no search shows it.
    """

    search_deadline: float
    unlabeled_since: float | None
    may_have_duplicate: bool
    may_still_exist: bool


class SubmitOnce(Generic[JobT]):
    """The submission protocol for one attempt.

    :param attempt: the attempt.
    :param keys: the keys of the submission.
    :param job_type: the rules for adopting a job.
    :param has_durable_state: whether the task has durable state.
    :param now: returns the time in Unix seconds; by default, a clock that nobody can set.
    """

    def __init__(
        self,
        attempt: TaskAttempt,
        keys: IdempotencyKeys,
        job_type: JobType[JobT],
        *,
        has_durable_state: bool,
        now: Callable[[], float] | None = None,
    ) -> None:
        self.attempt = attempt
        self.keys = keys
        # Also true for the first attempt after a Clear, which cannot be detected if retries were edited.
        self._is_retry = attempt.try_number > 1
        self._has_durable_state = has_durable_state
        self._job_type = job_type
        self.now = now or MonotonicUnixClock()
        self._gone_ids: set[str] = set()

    def start(self) -> Generator[Command, Any, Submission[JobT]]:
        """Continue with the job of an earlier attempt, or submit one.

        :returns: the job to continue with.
        :raises AlreadyExists: if a job has one of the previous keys.
        :raises CodeOceanError: if the search or the submission fails.
        """
        record: SubmissionRecord | None = yield LoadRecord()
        own = record if record and record.idempotency_key == self.keys.current else None
        if own and own.external_id:
            job = yield from self._get(own.external_id, own.submitted_at)
            if job is not None and self._job_type.is_usable(job) and self._job_type.is_own(job, self.keys):
                return Submission(job, True, own.recheck_at, own.submitted_at)
        possible_job = self._find_possible_job(own)
        adopted = yield from self._adopt_if_found(possible_job)
        if adopted is None and self.keys.previous:
            yield from self._check_previous_keys(record)
            # Another attempt may have submitted in the meantime.
            adopted = yield from self._adopt_if_found(possible_job)
        if adopted is not None:
            return adopted
        may_have_duplicate = possible_job is not None and possible_job.may_still_exist
        return (yield from self._submit(may_have_duplicate=may_have_duplicate))

    def confirm(self, submission: Submission[JobT]) -> Generator[Command, Any, JobT | None]:
        """Make sure that the job is the only one and belongs to this task.

        :param submission: the job that the attempt has continued with.
        :returns: the job that stays, which another attempt may have submitted. None if the job belongs to
            another task: :meth:`start` again.
        :raises CodeOceanError: if the job is gone and there is no other.
        """
        if not submission.recheck_at:
            return submission.job
        # The clock may have been set back, so limit the delay to the longest one that is ever planned.
        delay = min(submission.recheck_at - self.now(), MAX_REQUEST_SECONDS)
        if delay > 0:
            yield Sleep(delay)
        job = submission.job
        current = yield from self._get(job.id, submission.submitted_at)
        if current is not None and not self._job_type.is_own(current, self.keys):
            self._is_retry = True  # the job of this attempt, if any, must still be found
            return None
        usable, _ = yield from self._find_usable(None if current is None else job, wait_until_visible=True)
        if current is None and not usable:
            raise CodeOceanError(f"{job.id} is gone; a retry submits another one")
        first, *duplicates = usable or [job]
        for duplicate in duplicates:
            yield from self._delete_duplicate(duplicate, first)
        yield SaveRecord(SubmissionRecord(self.keys.current, submission.submitted_at, first.id))
        return first

    def find_replacement(self) -> Generator[Command, Any, Submission[JobT] | None]:
        """Find the job with the key after a 404, without submitting one; it may be the same job."""
        usable, _ = yield from self._find_usable(wait_until_visible=True)
        return (yield from self._adopt(usable[0], self.now() + MAX_SEARCH_LAG_SECONDS)) if usable else None

    def _adopt_if_found(self, possible_job: _PossibleJob | None) -> Commands[Submission[JobT] | None]:
        if possible_job is None:
            return None
        since = possible_job.unlabeled_since
        job, recheck_at = yield from self._search((self.keys.current,), possible_job.search_deadline, since)
        if job is None:
            return None
        recheck_at = max(recheck_at, possible_job.search_deadline if possible_job.may_have_duplicate else 0.0)
        return (yield from self._adopt(job, recheck_at, since))

    def _submit(self, *, may_have_duplicate: bool) -> Commands[Submission[JobT]]:
        key = self.keys.current
        for number in range(1, _MAX_SUBMISSIONS + 1):
            submitted_at = self.now()
            yield SaveRecord(SubmissionRecord(key, submitted_at, may_have_duplicate=may_have_duplicate))
            try:
                job: JobT = yield Submit(key)
            except CodeOceanError as error:
                if not error.may_have_been_applied:
                    raise
                may_have_duplicate = True
                settled_at = self.now() + MAX_SEARCH_LAG_SECONDS
                found, recheck_at = yield from self._search((key,), settled_at, submitted_at)
                if found is not None:
                    return (yield from self._adopt(found, max(recheck_at, settled_at), submitted_at))
                if number == _MAX_SUBMISSIONS:
                    raise
            else:
                may_have_duplicate = (yield CheckSuperseded()) or may_have_duplicate
                recheck_at = self.now() + 2 * MAX_SEARCH_LAG_SECONDS if may_have_duplicate else 0.0
                yield SaveRecord(SubmissionRecord(key, submitted_at, job.id, recheck_at))
                return (yield from self._yield_to_older(Submission(job, False, recheck_at, submitted_at)))
        raise AssertionError("unreachable: the last submission returns or raises")  # pragma: no cover

    def _yield_to_older(self, submission: Submission[JobT]) -> Commands[Submission[JobT]]:
        """Delete this attempt's job if another attempt was faster; plan a recheck if this is uncertain."""
        job, recheck_at, submitted_at = submission.job, submission.recheck_at, submission.submitted_at
        try:
            usable, is_uncertain = yield from self._find_usable(job)
        except CodeOceanError as error:
            if not error.is_transient:  # a recheck would fail as well
                return Submission(job, False, 0.0, submitted_at)
            usable, is_uncertain = [job], True
        first = usable[0] if usable else job
        if not _is_same_job(first, job):
            if any(_is_same_job(other, job) for other in usable):
                yield from self._delete_duplicate(job, first)
            return (yield from self._adopt(first, self.now() + MAX_SEARCH_LAG_SECONDS))
        if is_uncertain:
            recheck_at = recheck_at or self.now()
            yield SaveRecord(SubmissionRecord(self.keys.current, submitted_at, job.id, recheck_at))
        return Submission(job, False, recheck_at, submitted_at)

    def _adopt(
        self, job: JobT, recheck_at: float, earliest_submitted_at: float | None = None
    ) -> Commands[Submission[JobT]]:
        submitted_at = earliest_submitted_at or self.now()
        yield SaveRecord(SubmissionRecord(self.keys.current, submitted_at, job.id, recheck_at))
        return Submission(job, True, recheck_at, submitted_at)

    def _delete_duplicate(self, duplicate: JobT, kept_job: JobT) -> Commands[None]:
        self._gone_ids.add(duplicate.id.lower())
        yield Delete(duplicate.id, kept_id=kept_job.id)

    def _check_previous_keys(self, record: SubmissionRecord | None) -> Commands[None]:
        previous = self.keys.previous
        job: JobT | None = None
        if record and record.idempotency_key in previous and record.external_id:
            job = yield from self._get(record.external_id, record.submitted_at)
        if job is None or not self._job_type.is_usable(job):
            job, _ = yield from self._search(previous, self._searchable_at(record))
        if job is not None:
            raise AlreadyExists(
                f"on_existing='fail': the task submitted {job.id} before it was cleared. Delete that job, or "
                "set on_existing to 'adopt' to continue with it or to 'create' to submit another one."
            )

    def _find_possible_job(self, record: SubmissionRecord | None) -> _PossibleJob | None:
        """Return the job that an earlier attempt may have submitted, if its id is unknown or useless."""
        if record is None:
            if not self._is_retry:
                return None
            # An attempt with durable state sends no request before it has saved a record.
            unlabeled_since = None if self._has_durable_state else 0.0
            return _PossibleJob(
                self._searchable_at(None), unlabeled_since, may_have_duplicate=True, may_still_exist=True
            )
        if record.external_id is None:
            return _PossibleJob(
                self._searchable_at(record),
                record.submitted_at,
                may_have_duplicate=record.may_have_duplicate,
                may_still_exist=True,
            )
        # The recorded job is gone, has failed, or belongs to another task. There is another one only if two
        # attempts were running or if the recorded job was adopted by mistake.
        is_uncertain = record.recheck_at > 0
        return _PossibleJob(
            self._searchable_at(record) if is_uncertain else self.now(),
            record.submitted_at if is_uncertain else None,
            may_have_duplicate=True,
            may_still_exist=is_uncertain,
        )

    def _searchable_at(self, record: SubmissionRecord | None) -> float:
        """Return when a search must show every job of an earlier attempt."""
        now = self.now()
        if record is not None:
            return min(now, record.submitted_at + MAX_REQUEST_SECONDS) + MAX_SEARCH_LAG_SECONDS
        return now if self._has_durable_state else now + MAX_SEARCH_LAG_SECONDS

    def _search(
        self, keys: tuple[str, ...], deadline: float, unlabeled_since: float | None = None
    ) -> Commands[tuple[JobT | None, float]]:
        """Search until a job is found or the deadline has passed; return the job and the time to recheck it.

        Transient errors are tolerated except in the last search.
        """
        pause, hidden_until, confirmed_at, is_extended = _INITIAL_DELAY_SECONDS, 0.0, 0.0, False
        listed_at: dict[str, float] = {}
        while True:
            searched_at = self.now()
            is_last = searched_at >= max(deadline, hidden_until)
            try:
                found: FindResult = yield FindByKey(keys, unlabeled_since)
                confirmed_at = max(confirmed_at, found.confirmed_at)
                usable, hidden = yield from self._read_jobs(found.external_ids)
            except CodeOceanError as error:
                if not error.is_transient or is_last:
                    raise
            else:
                hidden_until = self._visibility_deadline(hidden, listed_at)
                if usable:
                    recheck_at = self.now() + MAX_SEARCH_LAG_SECONDS if hidden_until else 0.0
                    return usable[0], max(confirmed_at, recheck_at)
                if searched_at >= max(deadline, hidden_until):
                    # Extend the search only once: jobs that appear later are not of an earlier attempt.
                    if is_extended or found.adoptable_at <= searched_at:
                        return None, 0.0
                    deadline, is_extended = found.adoptable_at, True
            yield Sleep(min(pause, max(0.0, max(deadline, hidden_until) - self.now())))
            pause = min(2 * pause, _MAX_DELAY_SECONDS)

    def _find_usable(
        self, known_job: JobT | None = None, *, wait_until_visible: bool = False
    ) -> Commands[tuple[list[JobT], bool]]:
        """Return the jobs that can be adopted, oldest first, and whether others may not be visible yet.

        A known job exists; it is read only to compare it with others.
        """
        listed_at: dict[str, float] = {}
        while True:
            found: FindResult = yield FindByKey((self.keys.current,))
            usable, hidden = yield from self._read_jobs(found.external_ids, known_job)
            if not self._visibility_deadline(hidden, listed_at) or not wait_until_visible:
                return usable, bool(hidden)
            yield Sleep(_MAX_DELAY_SECONDS)

    def _visibility_deadline(self, hidden_ids: Iterable[str], first_listed_at: dict[str, float]) -> float:
        """Return the latest time at which a listed but hidden job may become visible; 0 if all are gone."""
        now = self.now()
        deadlines = {
            job_id: first_listed_at.setdefault(job_id, now) + NOT_FOUND_GRACE_SECONDS for job_id in hidden_ids
        }
        self._gone_ids |= {job_id for job_id, deadline in deadlines.items() if deadline <= now}
        return max((deadline for deadline in deadlines.values() if deadline > now), default=0.0)

    def _read_jobs(
        self, external_ids: Iterable[str], known_job: JobT | None = None
    ) -> Commands[tuple[list[JobT], list[str]]]:
        """Return the jobs that can be adopted, oldest first, and the ids of those that are not visible."""
        ids = {job_id.lower(): job_id for job_id in external_ids if job_id.lower() not in self._gone_ids}
        if known_job is not None:
            ids[known_job.id.lower()] = known_job.id
            if len(ids) == 1:
                return [known_job], []
        usable: list[JobT] = []
        hidden: list[str] = []
        for normalized_id, external_id in sorted(ids.items()):
            job: JobT | None = yield Get(external_id)
            if job is None and known_job is not None and external_id == known_job.id:
                job = known_job
            if job is None:
                hidden.append(normalized_id)
            elif self._job_type.is_usable(job) and self._job_type.is_own(job, self.keys):
                usable.append(job)
        return sorted(usable, key=lambda job: (job.created or 0.0, job.id)), hidden

    def _get(self, external_id: str, submitted_at: float) -> Commands[JobT | None]:
        """Read a job, polling while it may not be visible yet; return None if it is gone."""
        visible_at = min(submitted_at, self.now()) + NOT_FOUND_GRACE_SECONDS
        while True:
            job: JobT | None = yield Get(external_id)
            remaining = visible_at - self.now()
            if job is not None or remaining <= 0:
                return job
            yield Sleep(min(_MAX_DELAY_SECONDS, remaining))


def _is_same_job(first: JobT, second: JobT) -> bool:
    return first.id.lower() == second.id.lower()
