"""Base class of the operators that submit a job: submit it once, wait for it, return it."""

from __future__ import annotations

import logging
import threading
from abc import abstractmethod
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, get_args

from airflow.providers.common.compat.sdk import AirflowTaskTimeout
from typing_extensions import override

from airflow_provider_codeocean.airflow_errors import (
    add_context_to_task_timeout,
    fail_without_retry_on_permanent_errors,
)
from airflow_provider_codeocean.api.errors import (
    CodeOceanError,
    ComputationFailed,
    DataAssetFailed,
    NotFound,
    WaitTimeout,
)
from airflow_provider_codeocean.deletion import OnKill
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.operators._base import CodeOceanWaitOperatorBase
from airflow_provider_codeocean.outcomes import Outcome, to_xcom
from airflow_provider_codeocean.polling.waits import CONTINUES, compute_deadline
from airflow_provider_codeocean.submission.keys import IdempotencyKeys, OnExisting
from airflow_provider_codeocean.validation import (
    check_choice,
    static_value,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_codeocean.deletion import DeletionResult
    from airflow_provider_codeocean.operators._submit_once.runner import SubmissionRunner
    from airflow_provider_codeocean.outcomes import WaitEvent
    from airflow_provider_codeocean.polling.waits import Wait
    from airflow_provider_codeocean.submission.commands import Submission
    from airflow_provider_codeocean.triggers._on_kill import CodeOceanJobTriggerBase

log = logging.getLogger(__name__)

#: Seconds for which a killed task retries the deletion of its job: Airflow kills the process after about
#: five.
_ON_KILL_RETRY_SECONDS = 3.0


class CodeOceanSubmitOnceBase(CodeOceanWaitOperatorBase):
    """Submit a job once, wait until it has succeeded, and return it.

    The job has an idempotency key, derived from the DAG, run, task, and map index. However often the task is
    killed and retried, it leaves one job: the next attempt finds it by this key and adopts it. A failed job
    is never adopted. Permanent errors (invalid input, missing permission) fail the task without retries.
    While the task waits, it tolerates transient errors.

    The template methods have the names of Airflow's ``ResumableJobMixin``, but guarantee more. The mixin
    submits a second job if the worker dies between the submission and saving the external id, and it requires
    the task state of Airflow 3.3. This class saves a record before the submission and finds the job by its
    key. So it also adopts the job after such a crash, after a lost response, without task state, and after a
    Clear. It resumes deferred waits, keeps one job if two attempts overlap, and never adopts a job of another
    task.

    :param on_existing: what a cleared task does if it has submitted a job before: ``adopt`` returns that job
        again, with a warning; ``create`` submits another one; ``fail`` fails and names the job. A retry
        always adopts its job. (templated)
    :param on_kill: what happens to a pending job if the task is killed, cleared, or marked as failed:
        ``leave`` logs its id and lets the next attempt adopt it; ``delete`` deletes it.
    :param **kwargs: arguments of
        :class:`~airflow_provider_codeocean.operators._base.CodeOceanWaitOperatorBase`. The job continues
        after a ``timeout``, and a retry waits for it again.
    :cvar wait_type: how to wait for it.
    :cvar external_id_key: name of the external id in XCom and in the trigger's event.
    :ivar needs_worker_at_end: whether a successful deferred task ends in a worker in any case.
    :ivar deployment_url: address of the deployment, without a slash at the end, while the task runs.
    """

    template_fields: Sequence[str] = ("on_existing", *CodeOceanWaitOperatorBase.template_fields)
    codeocean_url: str | None = None
    deployment_url: str = ""
    wait_type: ClassVar[type[Wait]]
    external_id_key: ClassVar[str]
    needs_worker_at_end = False
    _runner: SubmissionRunner[Any, Any] | None = None
    _killed: threading.Event | None = None
    _has_timed_out = False

    def __init__(
        self,
        *,
        on_existing: OnExisting | str = "adopt",
        on_kill: OnKill = "leave",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_choice("on_existing", static_value(on_existing, placeholder="adopt"), get_args(OnExisting))
        self.on_existing = on_existing
        check_choice("on_kill", on_kill, get_args(OnKill))
        self.on_kill_action: OnKill = on_kill  # on_kill is a method of Airflow's operators

    @property
    @abstractmethod
    def job_type(self) -> type[SubmissionRunner[Any, Any]]:
        """How to submit the job and find it by its key. Only a running task imports it."""

    @property
    @abstractmethod
    def trigger_type(self) -> Callable[..., CodeOceanJobTriggerBase]:
        """How to wait for the job in the triggerer. Only a running task imports it."""

    @abstractmethod
    def build_params(self) -> Any:
        """Build the parameters of the job from the rendered fields; raise ValueError if one is invalid."""

    @abstractmethod
    def job_identity(self, params: Any) -> dict[str, Any]:
        """Return the content that identifies the job, as JSON values without secrets."""

    @abstractmethod
    def set_link(self, context: Context, hook: CodeOceanHook, external_id: str) -> str | None:
        """Link to the job in the UI, and return the address of its page, if it has one."""

    @abstractmethod
    def record_outputs(self, context: Context, job: Any, *, has_succeeded: bool) -> None:
        """Report the job, which is pending or has succeeded, to Airflow and to lineage."""

    def validate_against_server(self, params: Any, hook: CodeOceanHook) -> Any:  # noqa: ARG002 - for subclasses
        """Check the parameters just before the job is submitted, and return the parameters to send."""
        return params

    def job_options(self, context: Context) -> Mapping[str, Any]:  # noqa: ARG002 - for subclasses
        """Return further arguments of the job type."""
        return {}

    @property
    def wait_arguments(self) -> Mapping[str, Any]:
        """Further arguments of the wait and the trigger."""
        return {}

    def stop_on_timeout(self) -> str:
        """Stop the pending job if the user requested this, and return the result as a sentence."""
        return ""

    @override
    def execute(self, context: Context) -> dict[str, Any]:
        self.codeocean_url = ""
        with self._open_runner(context) as runner:
            submission = self.submit_job(runner)
            job = self.poll_until_complete(runner, submission, context)
            return self.get_job_result(runner, job, context)

    def execute_complete(  # noqa: PLR0917 - Airflow passes them by name
        self,
        context: Context,
        event: WaitEvent,
        idempotency_key: str = "",
        recheck_at: float = 0.0,
        adopted: bool = False,
        submitted_at: float = 0.0,
    ) -> dict[str, Any]:
        """Resume after the deferral: read the job and return it, or continue to wait for another one."""
        from airflow_provider_codeocean.submission.commands import Submission

        external_id = str(dict(event)[self.external_id_key])
        # dag.test() passes the event only.
        with self._open_runner(context, idempotency_key) as runner:
            runner.job, runner.submitted_at = self.job_type.job_model(id=external_id), submitted_at
            self.set_link(context, runner.hook, external_id)
            submission = Submission(runner.job, adopted, recheck_at, submitted_at)
            job = self.poll_until_complete(runner, submission, context, event)
            return self.get_job_result(runner, job, context)

    def submit_job(self, runner: SubmissionRunner[Any, Any]) -> Submission[Any]:
        """Submit the job, or adopt the job of an earlier attempt."""
        with add_context_to_task_timeout(self._describe_job):
            return runner.start()

    def poll_until_complete(
        self,
        runner: SubmissionRunner[Any, Any],
        submission: Submission[Any],
        context: Context,
        event: WaitEvent | None = None,
    ) -> Any:
        """Wait until the job has succeeded, and make sure that it is the only one.

        If another attempt has submitted an older job, wait for that one instead.

        :param runner: the runner.
        :param submission: the job.
        :param context: context of the running task.
        :param event: the event of the trigger that has waited for the job, if any.
        :returns: the job; pending if ``wait_for_completion`` is false.
        :raises CodeOceanError: if the job failed or is gone, or the wait failed.
        """
        while True:
            try:
                if event is None:
                    job = self._wait(runner, submission, context)
                else:
                    job = self._resolve_wait(runner, submission, event)
            except NotFound as error:
                submission = self._find_replacement(runner, submission, error)
            except (ComputationFailed, DataAssetFailed):
                kept_job = runner.confirm(submission) if submission.adopted else submission.job
                if kept_job is not None and kept_job.id == submission.job.id:
                    raise
                submission = self._switch_to(runner, kept_job)
            else:
                kept_job = runner.confirm(replace(submission, job=job))
                if kept_job is not None and kept_job.id == job.id:
                    return kept_job
                submission = self._switch_to(runner, kept_job)
            event = None

    def get_job_result(
        self, runner: SubmissionRunner[Any, Any], job: Any, context: Context
    ) -> dict[str, Any]:
        """Report the job, and return its fields and the address of its page (``url``) for XCom."""
        log.info("%s %s", runner.name, runner.describe(job))
        runner.verify(job)
        self.record_outputs(context, job, has_succeeded=runner.outcome(job) is Outcome.SUCCEEDED)
        return to_xcom(job, self.codeocean_url or None)

    @override
    def on_kill(self) -> None:
        if self._killed is not None:
            self._killed.set()
        runner = self._runner
        if runner is None or self._has_timed_out:
            return
        if runner.job is None:
            log.warning(
                "Killed while a %s was being submitted: if it was, %s %s, and the next attempt adopts it",
                runner.noun,
                runner.key_location,
                runner.idempotency_key,
            )
        elif self.on_kill_action == "leave":
            log.warning("Killed: %s %s continues, and the next attempt adopts it", runner.noun, runner.job.id)
        else:
            self._delete_job(runner)

    @contextmanager
    def _open_runner(
        self, context: Context, idempotency_key: str = ""
    ) -> Iterator[SubmissionRunner[Any, Any]]:
        """Create the runner with an open client, convert errors, and handle a kill."""
        from airflow_provider_codeocean.operators._submit_once.runner import TaskKilled

        hook = CodeOceanHook(self.codeocean_conn_id)
        with self._convert_errors():
            runner = self._create_runner(context, hook, idempotency_key)
            with hook.open_client() as client:
                self.deployment_url = client.url
                try:
                    yield runner
                except TaskKilled:
                    if runner.job and self.on_kill_action == "delete":
                        self._delete_job(runner)
                    raise

    def _create_runner(
        self, context: Context, hook: CodeOceanHook, idempotency_key: str = ""
    ) -> SubmissionRunner[Any, Any]:
        from airflow_provider_codeocean.operators._submit_once.runner import build_task_attempt

        self._killed = threading.Event()
        params = self.build_params()
        attempt = build_task_attempt(context, self.retries or 0)
        on_existing: Any = self.on_existing or "adopt"  # a template may render to an empty text
        check_choice("on_existing", on_existing, get_args(OnExisting))
        if idempotency_key:
            keys = IdempotencyKeys(idempotency_key)
        else:
            keys = IdempotencyKeys.derive(attempt, self.job_identity(params), on_existing)
        self._runner = self.job_type(
            hook,
            attempt,
            keys,
            params,
            context=context,
            killed=self._killed,
            validate=partial(self.validate_against_server, hook=hook),
            **self.job_options(context),
        )
        return self._runner

    def _find_replacement(
        self, runner: SubmissionRunner[Any, Any], submission: Submission[Any], error: NotFound
    ) -> Submission[Any]:
        """Return another job with the key if the job is gone; if there is none, keep the task's retries."""
        try:
            replacement = runner.find_replacement()
        except CodeOceanError as failure:
            if failure.is_transient:
                raise
            replacement = None
        if replacement is None:
            raise CodeOceanError(
                f"The {runner.noun} {submission.job.id}, which this task submitted, is gone; a retry submits "
                f"another one: {error}"
            ) from error
        return replacement

    def _switch_to(self, runner: SubmissionRunner[Any, Any], kept_job: Any | None) -> Submission[Any]:
        """Continue with the job of another attempt; without one, start again."""
        from airflow_provider_codeocean.submission.commands import Submission

        if kept_job is None:
            return self.submit_job(runner)
        return Submission(kept_job, adopted=True, submitted_at=runner.submitted_at or 0.0)

    def _wait(self, runner: SubmissionRunner[Any, Any], submission: Submission[Any], context: Context) -> Any:
        """Wait in this process, or defer."""
        job, hook = submission.job, runner.hook
        context["ti"].xcom_push(key=self.external_id_key, value=job.id)
        url = self.set_link(context, hook, job.id)
        log.info("%s %s: %s", runner.name, runner.describe(job), url or "")
        if runner.outcome(job) is Outcome.SUCCEEDED:
            return job
        if not self.wait_for_completion:
            return job if submission.adopted else hook.wait_until_visible(self._build_wait(submission, None))
        deadline = compute_deadline(
            self.timeout, execution_timeout=self.execution_timeout, started_at=context["ti"].start_date
        )
        if not self.deferrable:
            with self._stopping_on(WaitTimeout):
                return hook.wait_for(self._build_wait(submission, deadline))
        trigger = self.trigger_type(
            **{self.external_id_key: job.id},
            codeocean_conn_id=self.codeocean_conn_id,
            poll_interval=self.poll_interval,
            deadline=deadline,
            on_kill=self.on_kill_action,
            submitted_at=submission.submitted_at,
            **self.wait_arguments,
        )
        if not submission.recheck_at and not self.needs_worker_at_end:  # the recheck requires a worker
            trigger.enable_end_from_trigger(self, context)
        return self.defer(
            trigger=trigger,
            method_name="execute_complete",
            kwargs={
                "idempotency_key": runner.idempotency_key,
                "recheck_at": submission.recheck_at,
                "adopted": submission.adopted,
                "submitted_at": submission.submitted_at,
            },
            timeout=trigger.defer_timeout,
        )

    def _resolve_wait(
        self, runner: SubmissionRunner[Any, Any], submission: Submission[Any], event: WaitEvent
    ) -> Any:
        """Return the job of a deferred wait, or raise the error of the wait."""
        has_timed_out = event["status"] == "timeout"
        with self._stopping_on(WaitTimeout) if has_timed_out else nullcontext():
            return runner.hook.resolve_wait(event, self._build_wait(submission, None))

    def _build_wait(self, submission: Submission[Any], deadline: float | None) -> Wait:
        return self.wait_type(
            submission.job.id,
            poll_interval=self.poll_interval,
            deadline=deadline,
            submitted_at=submission.submitted_at,
            **self.wait_arguments,
        )

    @contextmanager
    def _convert_errors(self) -> Iterator[None]:
        try:
            with self._stopping_on(AirflowTaskTimeout), fail_without_retry_on_permanent_errors(self):
                yield
        except AirflowTaskTimeout:
            self._has_timed_out = True  # Airflow calls on_kill now, although a retry continues to wait
            raise

    @contextmanager
    def _stopping_on(self, timeout: type[BaseException]) -> Iterator[None]:
        """Stop the job after a timeout, if the user requested this, and add the result to the error.

        If ``execution_timeout`` interrupts this after a :class:`WaitTimeout`, the outer context repeats it:
        Airflow interrupts a task only once.
        """
        try:
            yield
        except timeout as error:
            message = str(error)
            with add_context_to_task_timeout(lambda: message):
                result = self.stop_on_timeout()
            if not result:
                raise
            raise timeout(f"{message.replace(CONTINUES, '')} {result}") from error

    def _describe_job(self) -> str:
        """Return the state of the job, for the error of a task that ran out of time before the wait."""
        runner = self._runner
        if runner is None or runner.job is None:
            key = runner.idempotency_key if runner else "?"
            return f"If it has submitted a {self.job_type.noun}, {self.job_type.key_location} {key}."
        return f"{runner.name} {runner.job.id} is {runner.job.state}.{CONTINUES}"

    def _delete_job(self, runner: SubmissionRunner[Any, Any]) -> None:
        try:
            result = self._delete_if_pending(runner, retry_budget=_ON_KILL_RETRY_SECONDS)
        except CodeOceanError as error:
            log.warning("Killed: %s %s could not be deleted: %s", runner.noun, runner.external_id, error)
        else:
            log.warning("Killed: %s", result)

    def _delete_if_pending(self, runner: SubmissionRunner[Any, Any], **options: Any) -> DeletionResult:
        """Delete the job with another client: the main one may be in use, and is slower to give up."""
        with CodeOceanHook(self.codeocean_conn_id).get_conn(**options) as client:
            return runner.delete(
                client, runner.external_id, only_if_pending=True, submitted_at=runner.submitted_at
            )
