"""The commands of the submission protocol, carried out in a worker: everything that is common to all jobs."""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from airflow.providers.common.compat.sdk import conf

from airflow_provider_codeocean.api.errors import CodeOceanError, NotFound
from airflow_provider_codeocean.compat.metrics import metrics_in_worker
from airflow_provider_codeocean.deletion import Fate
from airflow_provider_codeocean.hooks.codeocean import PATIENCE
from airflow_provider_codeocean.metrics import CAPTURES
from airflow_provider_codeocean.outcomes import Verdict
from airflow_provider_codeocean.submission.commands import (
    CheckSuperseded,
    Command,
    Delete,
    FindByKey,
    FindResult,
    Get,
    J,
    LoadRecord,
    SaveRecord,
    Sleep,
    SubmissionRecord,
    Submit,
    execute,
)
from airflow_provider_codeocean.submission.keys import TaskAttempt

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_codeocean.api.client import CodeOceanClient
    from airflow_provider_codeocean.compat.state import DurableState
    from airflow_provider_codeocean.deletion import Removed
    from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
    from airflow_provider_codeocean.submission.commands import Submission
    from airflow_provider_codeocean.submission.keys import IdempotencyKeys
    from airflow_provider_codeocean.submission.protocol import SubmitOnce

P = TypeVar("P")

log = logging.getLogger(__name__)

#: Key of the submission record in a task's durable state.
STATE_KEY = "codeocean_submission"


class SubmissionRunner(ABC, Generic[J, P]):
    """Carries out :class:`~airflow_provider_codeocean.submission.protocol.SubmitOnce` for one kind of job.

    A subclass defines how a job of that kind is submitted, found by its key, read, and deleted.

    :param hook: the connection to Code Ocean.
    :param once: the protocol.
    :param params: the job to submit.
    :param state: the task's durable state, if there is one.
    :param go_on: called before each command; raises if the task was killed.
    :param overtaken: returns whether Airflow has started a later attempt.
    :param check: checks the parameters against the deployment, just before they are sent, and returns them as
        they are to be sent.
    :ivar job: the job to wait for, as soon as it is known.
    :ivar submitted_at: when the task submitted or adopted it, in Unix seconds.
    :ivar overtaken: see the parameter.
    :cvar what: name of this kind of job in a sentence.
    :cvar model: model of the job in the API.
    :cvar carries: how the job carries its key, in a sentence.
    """

    what: ClassVar[str]
    model: ClassVar[type[Any]]
    carries: ClassVar[str]

    def __init__(
        self,
        hook: CodeOceanHook,
        once: SubmitOnce[J],
        params: P,
        *,
        state: DurableState | None,
        go_on: Callable[[], None],
        overtaken: Callable[[], bool],
        check: Callable[[P], P] | None = None,
    ) -> None:
        self.job: J | None = None
        self.submitted_at: float | None = None
        self._hook = hook
        self._once = once
        self._params = params
        self._check = check
        self._checked: P | None = None
        self._state = state
        self._go_on = go_on
        self.overtaken = overtaken
        self._has_warned_of_key = False
        self._as_submitted: J | None = None  # a subclass has verified its key

    @property
    def key(self) -> str:
        """The idempotency key."""
        return self._once.keys.current

    @staticmethod
    @abstractmethod
    def verdict(job: J) -> Verdict:
        """Return the outcome of a job: a failed one is never adopted."""

    @staticmethod
    @abstractmethod
    def remove(
        client: CodeOceanClient, external_id: str, *, even_if_done: bool, submitted_at: float | None = None
    ) -> Removed:
        """Delete a job.

        :param client: the client.
        :param external_id: its id.
        :param even_if_done: delete it in any state; otherwise only while it is pending.
        :param submitted_at: when the task submitted it, in Unix seconds.
        :returns: the result.
        """

    @staticmethod
    def is_own(job: J, keys: IdempotencyKeys) -> bool:  # noqa: ARG004 - for subclasses
        """Return whether a job that the task took for its own does not have the key of another task.

        :param job: the job.
        :param keys: the keys of the submission.
        :returns: whether it does not.
        """
        return True

    @abstractmethod
    def find(self, client: CodeOceanClient, command: FindByKey) -> FindResult:
        """Find the jobs with one of the keys; see the command."""

    @abstractmethod
    def get(self, client: CodeOceanClient, external_id: str) -> J:
        """Read a job; raises :class:`NotFound` if Code Ocean has none with this id."""

    @abstractmethod
    def submit(self, client: CodeOceanClient, params: P) -> J:
        """Submit the job with the key, and set :attr:`job` as soon as its id is known."""

    @abstractmethod
    def has_key(self, job: J) -> bool:
        """Return whether the job has the key, as far as the response shows."""

    @abstractmethod
    def differences(self, job: J, params: P) -> list[str]:
        """Return how an adopted job differs from the parameters, as parts of a sentence."""

    def verify(self, job: J) -> None:
        """Log a warning about everything in a job that is not as the task requested it.

        :param job: the job, as it was read last.
        """
        if job is not self._as_submitted and not self.has_key(job):
            self._warn_of_missing_key(job)

    def start(self) -> Submission[J]:
        """Continue with the job of an earlier attempt, or submit one; see the protocol.

        :returns: the job to continue with.
        """
        log.info("Submitting one %s on connection %s with key %s", self.what, self._conn_id, self.key)
        with self._hook.get_conn() as client:
            submission = execute(self._once.start(), partial(self._do, client))
        self._continue_with(submission)
        self._count("adopted" if submission.adopted else "created")
        if submission.adopted:
            self._report_adoption(submission.job)
        return submission

    def confirm(self, submission: Submission[J]) -> J | None:
        """Make sure that the job is the only one, and the task's own; see the protocol.

        :param submission: the job that the task has continued with.
        :returns: the job that stays; None if it is another task's: :meth:`start` again.
        """
        if not submission.recheck_at:
            return submission.job
        with self._hook.get_conn(retry_budget=PATIENCE) as client:
            self.job = execute(self._once.confirm(submission), partial(self._do, client))
        if self.job is None:
            what = self.what.capitalize()
            log.warning("%s %s is another task's, and was adopted by mistake", what, submission.job.id)
        return self.job

    def find_replacement(self) -> Submission[J] | None:
        """Find the job with the key, in place of one that got a 404; see the protocol.

        :returns: the job to continue with, None if there is none.
        """
        with self._hook.get_conn() as client:
            found = execute(self._once.find_replacement(), partial(self._do, client))
        if found:
            self._continue_with(found)
            log.info("Continuing with %s %s, which searches list", self.what, found.job.id)
        return found

    def describe(self, job: J) -> str:
        """Return its id and state, for a sentence."""
        return f"{job.id} ({getattr(job, 'state', None)})"

    @property
    def _conn_id(self) -> str:
        return self._hook.codeocean_conn_id

    def _continue_with(self, submission: Submission[J]) -> None:
        self.job, self.submitted_at = submission.job, submission.submitted_at

    def _report_adoption(self, job: J) -> None:
        attempt, described = self._once.attempt, self.describe(job)
        is_old = attempt.was_cleared or self.verdict(job) is Verdict.SUCCEEDED
        if attempt.try_number > 1 and is_old:
            log.warning(
                "Adopted %s %s, named %r, created %s: an earlier run or attempt of this task submitted it. "
                "Nothing new was submitted. To get a new one, set on_existing='create' and clear the task, "
                "or delete this one and clear the task.",
                self.what,
                described,
                getattr(job, "name", None),
                _time_text(job.created),
            )
        else:
            log.info("Adopted %s %s, submitted by an earlier request of this task", self.what, described)
        if differences := self.differences(job, self._params):
            what = self.what.capitalize()
            log.warning("%s %s was submitted with %s, which stays", what, job.id, ", ".join(differences))

    def _warn_of_missing_key(self, job: J) -> None:
        if not self._has_warned_of_key:
            log.warning(
                "%s %s does not have the idempotency key %s, although it was submitted with it. A retry "
                "recognizes it only through the task's durable state (Airflow 3.3 and later); without that, "
                "a retry may submit a duplicate, which cannot be detected.",
                self.what.capitalize(),
                job.id,
                self.key,
            )
        self._has_warned_of_key = True

    def _count(self, how: str) -> None:
        tags = {"connection": self._conn_id, "what": self.what.replace(" ", "_"), "how": how}
        try:
            metrics_in_worker().incr(CAPTURES.name, tags=tags)
        except Exception as error:  # noqa: BLE001 - whatever becomes of the metrics, the job was submitted
            log.warning("The submission with key %s is not counted: %s", self.key, error)

    def _do(self, client: CodeOceanClient, command: Command) -> Any:
        self._go_on()
        result: Any = None
        match command:
            case LoadRecord():
                result = SubmissionRecord.from_json(self._state and self._state.get(STATE_KEY))
            case SaveRecord(record):
                self._save(record)
            case FindByKey():
                result = self._find(client, command)
            case Get(external_id):
                result = self._get(client, external_id)
            case Submit():
                result = self._submit(client)
            case CheckSuperseded():
                result = self.overtaken()
            case Delete(external_id, instead):
                self._delete(client, external_id, instead)
            case Sleep(seconds):
                log.info(
                    "Checking again in %.0f s: a job with key %s may not be visible yet or was just deleted",
                    seconds,
                    self.key,
                )
                time.sleep(seconds)
        return result

    def _save(self, record: SubmissionRecord) -> None:
        self.submitted_at = record.submitted_at
        if record.external_id is None:
            self._check_before_submission()
        if self._state is None:
            return
        try:
            self._state.set(STATE_KEY, record.to_json())
        except Exception as error:
            if record.external_id is None:
                raise
            # A retry finds it by its key: no reason to give it up.
            log.warning("Could not save the id of %s %s: %s", self.what, record.external_id, error)

    def _check_before_submission(self) -> None:
        if self._checked is None:
            self._checked = self._params if self._check is None else self._check(self._params)

    def _find(self, client: CodeOceanClient, command: FindByKey) -> FindResult:
        try:
            return self.find(client, command)
        except CodeOceanError as error:
            log.warning(
                "Could not search for the key %s, which another attempt may have used: %s", self.key, error
            )
            raise

    def _get(self, client: CodeOceanClient, external_id: str) -> J | None:
        try:
            return self.get(client, external_id)
        except NotFound:
            return None

    def _submit(self, client: CodeOceanClient) -> J:
        try:
            self._as_submitted = self.submit(client, self._params if self._checked is None else self._checked)
        except CodeOceanError as error:
            if error.maybe_applied:
                log.warning(
                    "Whether the %s was submitted is not known, searching for its key %s: %s",
                    self.what,
                    self.key,
                    error,
                )
            raise
        return self._as_submitted

    def _delete(self, client: CodeOceanClient, external_id: str, instead: str) -> None:
        what = self.what.capitalize()
        log.warning("Two attempts submitted a %s: %s stays, %s is deleted", self.what, instead, external_id)
        try:
            removed = self.remove(client, external_id, even_if_done=True, submitted_at=time.time())
        except CodeOceanError as error:
            log.warning("%s %s is a duplicate and could not be deleted: %s", what, external_id, error)
        else:
            log.log(logging.WARNING if removed.fate is Fate.HIDDEN else logging.INFO, "%s", removed)


def attempt_of(context: Context, retries: int) -> TaskAttempt:
    """Return the attempt of the running task instance.

    :param context: context of the running task.
    :param retries: the task's number of retries.
    :returns: the attempt.
    """
    ti = context["ti"]
    max_tries = max(0, int(ti.max_tries or 0))
    return TaskAttempt(
        dag_id=ti.dag_id,
        run_id=str(ti.run_id),
        task_id=ti.task_id,
        map_index=-1 if ti.map_index is None else ti.map_index,
        try_number=ti.try_number,
        max_tries=max_tries,
        was_cleared=max_tries > retries,  # a Clear sets it to the attempts so far plus the retries
        namespace=conf.get("codeocean", "namespace", fallback=""),
    )


def _time_text(created: float | None) -> str:
    try:
        return (
            "at an unknown time" if created is None else f"{datetime.fromtimestamp(created, UTC):%F %T} UTC"
        )
    except (OverflowError, ValueError, OSError):
        return f"at {created!s:.30}"
