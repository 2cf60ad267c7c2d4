"""Execute the submission protocol in a worker: the parts that all job types share."""

from __future__ import annotations

import logging
import threading
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import pendulum
from airflow.providers.common.compat.sdk import conf

from airflow_provider_codeocean.api import procedure
from airflow_provider_codeocean.api.errors import CodeOceanError, NotFound
from airflow_provider_codeocean.compat.metrics import worker_stats
from airflow_provider_codeocean.compat.state import durable_state
from airflow_provider_codeocean.compat.tasks import is_superseded
from airflow_provider_codeocean.deletion import DeletionStatus
from airflow_provider_codeocean.hooks.codeocean import RESULT_RETRY_SECONDS
from airflow_provider_codeocean.metrics import SUBMISSIONS, SafeStats
from airflow_provider_codeocean.outcomes import Outcome
from airflow_provider_codeocean.submission.commands import (
    CheckSuperseded,
    Command,
    Delete,
    FindByKey,
    FindResult,
    Get,
    JobT,
    LoadRecord,
    SaveRecord,
    Sleep,
    SubmissionRecord,
    Submit,
)
from airflow_provider_codeocean.submission.keys import TaskAttempt
from airflow_provider_codeocean.submission.protocol import SubmitOnce

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_codeocean.api.client import CodeOceanClient
    from airflow_provider_codeocean.deletion import DeletionProcedure, DeletionResult
    from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
    from airflow_provider_codeocean.submission.commands import Submission
    from airflow_provider_codeocean.submission.keys import IdempotencyKeys

ParamsT = TypeVar("ParamsT")

log = logging.getLogger(__name__)

#: Key of the submission record in a task's durable state.
STATE_KEY = "codeocean_submission"


class TaskKilled(CodeOceanError):
    """The task was killed while it submitted a job."""


class SubmissionRunner(ABC, Generic[JobT, ParamsT]):
    """Submits one job of one type: executes the commands of :class:`.SubmitOnce`.

    A subclass defines how to submit a job of this type, find it by its key, read it, and delete it.

    :param hook: the hook.
    :param attempt: the attempt.
    :param keys: the keys of the submission.
    :param params: the parameters of the job.
    :param context: context of the running task.
    :param killed: set when the task is killed: no further command is executed.
    :param validate: checks the parameters against the deployment just before submission, and returns the
        parameters to send.
    :param now: returns the time in Unix seconds; by default, a clock that nobody can set.
    :ivar hook: the hook.
    :ivar job: the job, as soon as it is known.
    :ivar submitted_at: when the task submitted or adopted it, in Unix seconds.
    :cvar noun: name of the job type in a sentence.
    :cvar job_model: model of the job in the API.
    :cvar key_location: where the job has its key, as part of a sentence.
    :cvar deletion: returns the procedure that deletes a job.
    """

    noun: ClassVar[str]
    job_model: ClassVar[type[Any]]
    key_location: ClassVar[str]
    deletion: ClassVar[Callable[..., DeletionProcedure]]

    def __init__(
        self,
        hook: CodeOceanHook,
        attempt: TaskAttempt,
        keys: IdempotencyKeys,
        params: ParamsT,
        *,
        context: Context,
        killed: threading.Event | None = None,
        validate: Callable[[ParamsT], ParamsT] | None = None,
        now: Callable[[], float] | None = None,
    ) -> None:
        self.job: JobT | None = None
        self.submitted_at: float | None = None
        self.hook = hook
        self._context = context
        self._durable_state = durable_state(context)
        self._protocol: SubmitOnce[JobT] = SubmitOnce(
            attempt, keys, self, has_durable_state=self._durable_state is not None, now=now
        )
        self._params = params
        self._validate = validate
        self._validated_params: ParamsT | None = None
        self._killed = killed or threading.Event()
        self._has_warned_of_missing_key = False
        self._submitted_job: JobT | None = None  # a subclass has verified its key

    @property
    def idempotency_key(self) -> str:
        """The idempotency key."""
        return self._protocol.keys.current

    @property
    def external_id(self) -> str:
        """Id of the job; empty if it is unknown."""
        return self.job.id if self.job else ""

    @property
    def name(self) -> str:
        """The noun at the beginning of a sentence."""
        return self.noun.capitalize()

    def is_superseded(self) -> bool:
        """Return whether Airflow has started a later attempt of the task."""
        return is_superseded(self._context)

    def is_usable(self, job: JobT) -> bool:
        """Return whether the job can be adopted."""
        return self.outcome(job) is not Outcome.FAILED

    @staticmethod
    def is_own(job: JobT, keys: IdempotencyKeys) -> bool:  # noqa: ARG004 - for subclasses
        """Return False if the job has the key of another task."""
        return True

    @staticmethod
    @abstractmethod
    def outcome(job: JobT, /) -> Outcome:
        """Return the outcome of a job."""

    def delete(
        self,
        client: CodeOceanClient,
        external_id: str,
        *,
        only_if_pending: bool,
        submitted_at: float | None = None,
    ) -> DeletionResult:
        """Delete a job; see :mod:`airflow_provider_codeocean.deletion`."""
        deletion = self.deletion(external_id, only_if_pending=only_if_pending, submitted_at=submitted_at)
        return procedure.run(deletion, client.send)

    @abstractmethod
    def find(self, client: CodeOceanClient, command: FindByKey) -> FindResult:
        """Execute the command."""

    @abstractmethod
    def get(self, client: CodeOceanClient, external_id: str) -> JobT:
        """Read a job; raise :class:`NotFound` if Code Ocean has none with this id."""

    @abstractmethod
    def submit(self, client: CodeOceanClient, params: ParamsT) -> JobT:
        """Submit the job with the key, and set :attr:`job` as soon as its id is known."""

    @abstractmethod
    def has_key(self, job: JobT) -> bool:
        """Return whether the job has the key, as far as the response shows."""

    @abstractmethod
    def describe_differences(self, job: JobT, params: ParamsT) -> list[str]:
        """Return the differences between an adopted job and the parameters, as parts of a sentence."""

    def describe(self, job: JobT) -> str:
        """Return the id and state of a job."""
        return f"{job.id} ({getattr(job, 'state', None)})"

    def verify(self, job: JobT) -> None:
        """Log a warning for each difference between the job and the request."""
        if job is not self._submitted_job and not self.has_key(job):
            self._warn_of_missing_key(job)

    def start(self) -> Submission[JobT]:
        """Adopt the job of an earlier attempt or submit one; see :meth:`.SubmitOnce.start`."""
        log.info(
            "Submitting %s on connection %s (idempotency key %s)",
            self.noun,
            self._conn_id,
            self.idempotency_key,
        )
        with self.hook.open_client() as client:
            submission = procedure.run(self._protocol.start(), partial(self._execute_command, client))
        self._continue_with(submission)
        self._count_submission("adopted" if submission.adopted else "created")
        if submission.adopted:
            self._log_adoption(submission.job)
        return submission

    def confirm(self, submission: Submission[JobT]) -> JobT | None:
        """Return the only job of the task, or None to start again; see :meth:`.SubmitOnce.confirm`."""
        if not submission.recheck_at:
            return submission.job
        with self.hook.open_client(retry_budget=RESULT_RETRY_SECONDS) as client:
            self.job = procedure.run(
                self._protocol.confirm(submission), partial(self._execute_command, client)
            )
        if self.job is None:
            log.warning(
                "%s %s belongs to another task: it was adopted by mistake", self.name, submission.job.id
            )
        return self.job

    def find_replacement(self) -> Submission[JobT] | None:
        """Find the job with the key after a 404; see :meth:`.SubmitOnce.find_replacement`."""
        with self.hook.open_client() as client:
            submission = procedure.run(
                self._protocol.find_replacement(), partial(self._execute_command, client)
            )
        if submission:
            self._continue_with(submission)
            log.info("Continuing with %s %s, which has the key", self.noun, submission.job.id)
        return submission

    @property
    def _conn_id(self) -> str:
        return self.hook.codeocean_conn_id

    def _continue_with(self, submission: Submission[JobT]) -> None:
        self.job, self.submitted_at = submission.job, submission.submitted_at

    def _log_adoption(self, job: JobT) -> None:
        attempt, description = self._protocol.attempt, self.describe(job)
        is_old = attempt.was_cleared or self.outcome(job) is Outcome.SUCCEEDED
        if attempt.try_number > 1 and is_old:
            log.warning(
                "Adopted %s %s, named %r, created %s: an earlier run or attempt of this task submitted it. "
                "Nothing new was submitted. To get a new one, set on_existing='create' and clear the task, "
                "or delete this one and clear the task.",
                self.noun,
                description,
                getattr(job, "name", None),
                _format_time(job.created),
            )
        else:
            log.info("Adopted %s %s, submitted by an earlier request of this task", self.noun, description)
        if differences := self.describe_differences(job, self._params):
            log.warning("%s %s was submitted with %s, which stays", self.name, job.id, ", ".join(differences))

    def _warn_of_missing_key(self, job: JobT) -> None:
        if not self._has_warned_of_missing_key:
            log.warning(
                "%s %s does not have the idempotency key %s, although it was submitted with it. A retry "
                "recognizes it only through the task's durable state (Airflow 3.3 and later); without that, "
                "a retry may submit a duplicate, which cannot be detected.",
                self.name,
                job.id,
                self.idempotency_key,
            )
        self._has_warned_of_missing_key = True

    def _count_submission(self, action: str) -> None:
        stats = SafeStats(worker_stats(), self._conn_id)
        stats.increment(SUBMISSIONS, job_type=self.noun.replace(" ", "_"), action=action)

    def _execute_command(self, client: CodeOceanClient, command: Command) -> Any:
        if self._killed.is_set():
            raise TaskKilled("The task was killed")
        result: Any = None
        match command:
            case LoadRecord() if self._durable_state is not None:
                result = SubmissionRecord.from_json(self._durable_state.get(STATE_KEY))
            case SaveRecord(record):
                self._save_record(record)
            case FindByKey():
                result = self._find(client, command)
            case Get(external_id):
                with suppress(NotFound):
                    result = self.get(client, external_id)
            case Submit():
                result = self._submit(client)
            case CheckSuperseded():
                result = self.is_superseded()
            case Delete(external_id, kept_id):
                self._delete_duplicate(client, external_id, kept_id)
            case Sleep(seconds):
                log.info("Checking for jobs with key %s again in %.0f s", self.idempotency_key, seconds)
                time.sleep(seconds)
        return result

    def _save_record(self, record: SubmissionRecord) -> None:
        self.submitted_at = record.submitted_at
        if record.external_id is None and self._validated_params is None:
            self._validated_params = self._validate(self._params) if self._validate else self._params
        if self._durable_state is None:
            return
        try:
            self._durable_state.set(STATE_KEY, record.to_json())
        except Exception as error:
            if record.external_id is None:
                raise
            # A retry finds the job by its key.
            log.warning("Could not save the id of %s %s: %s", self.noun, record.external_id, error)

    def _find(self, client: CodeOceanClient, command: FindByKey) -> FindResult:
        try:
            return self.find(client, command)
        except CodeOceanError as error:
            log.warning("Could not search for a job with key %s: %s", self.idempotency_key, error)
            raise

    def _submit(self, client: CodeOceanClient) -> JobT:
        params = self._params if self._validated_params is None else self._validated_params
        try:
            self._submitted_job = self.submit(client, params)
        except CodeOceanError as error:
            if error.may_have_been_applied:
                log.warning(
                    "Whether the %s was submitted is not known, searching for its key %s: %s",
                    self.noun,
                    self.idempotency_key,
                    error,
                )
            raise
        return self._submitted_job

    def _delete_duplicate(self, client: CodeOceanClient, external_id: str, kept_id: str) -> None:
        log.warning("Two attempts submitted a %s: %s stays, %s is deleted", self.noun, kept_id, external_id)
        try:
            result = self.delete(client, external_id, only_if_pending=False, submitted_at=time.time())
        except CodeOceanError as error:
            log.warning("%s %s is a duplicate and could not be deleted: %s", self.name, external_id, error)
        else:
            is_visible = result.status is not DeletionStatus.NOT_VISIBLE_YET
            log.log(logging.INFO if is_visible else logging.WARNING, "%s", result)


def build_task_attempt(context: Context, retries: int) -> TaskAttempt:
    """Return the attempt of the running task instance; ``retries`` is the argument of the task."""
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


def _format_time(created: float | None) -> str:
    try:
        if created is None:
            return "at an unknown time"
        return f"{pendulum.from_timestamp(created).to_datetime_string()} UTC"
    except (OverflowError, ValueError, OSError):
        return f"at {created!s:.30}"
