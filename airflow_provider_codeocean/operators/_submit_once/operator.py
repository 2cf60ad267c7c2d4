"""What all operators that submit a job have in common: submit it once, wait for it, return it."""

from __future__ import annotations

import logging
from abc import abstractmethod
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, get_args

from airflow.providers.common.compat.sdk import AirflowTaskTimeout, BaseOperator, conf

from airflow_provider_codeocean.airflow_errors import (
    naming_what_ran_out_of_time,
    no_retry_for_what_it_cannot_mend,
)
from airflow_provider_codeocean.api.errors import (
    CodeOceanError,
    ComputationFailed,
    DataAssetFailed,
    NotFound,
    WaitTimeout,
)
from airflow_provider_codeocean.compat.state import durable_state
from airflow_provider_codeocean.compat.tasks import overtaken
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.operators._submit_once.runner import attempt_of
from airflow_provider_codeocean.outcomes import Verdict, as_xcom
from airflow_provider_codeocean.polling.waits import CONTINUES, deadline_after
from airflow_provider_codeocean.submission.commands import Submission
from airflow_provider_codeocean.submission.keys import IdempotencyKeys, OnExisting
from airflow_provider_codeocean.submission.protocol import SubmitOnce
from airflow_provider_codeocean.triggers._on_kill import OnKill
from airflow_provider_codeocean.validation import (
    KnowsTemplates,
    check_choice,
    check_flags,
    check_seconds,
    known_now,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_codeocean.deletion import Removed
    from airflow_provider_codeocean.operators._submit_once.runner import SubmissionRunner
    from airflow_provider_codeocean.outcomes import WaitEvent
    from airflow_provider_codeocean.polling.waits import Wait
    from airflow_provider_codeocean.triggers._on_kill import CodeOceanOwnWaitTriggerBase

log = logging.getLogger(__name__)

#: Seconds for which a killed task retries the deletion of its job: Airflow gives it about five.
_LAST_WORDS = 3.0


class CodeOceanMakeOnceBase(KnowsTemplates, BaseOperator):
    """Submit a job once, wait until it has succeeded, and return it.

    However often the task is killed and retried, it leaves one job: the job carries an idempotency key that
    is derived from DAG, run, task, and map index, and the next attempt adopts the job. A failed job is never
    adopted.

    An error that a retry cannot fix (wrong input, no permission) fails the task permanently; any other error
    keeps the task's retries. While the task waits, it tolerates a server that fails or does not respond.

    :param codeocean_conn_id: id of the connection. (templated)
    :param wait_for_completion: wait until the job has ended; otherwise return it as soon as it can be read.
    :param deferrable: wait in the triggerer instead of in a worker; by default as Airflow is configured.
    :param poll_interval: the most seconds between two polls, above 0: a young wait polls more often.
    :param timeout: how long to wait, in seconds or as a timedelta, above 0. A shorter ``execution_timeout``
        of the task ends the wait as well. The job continues, and a retry waits for it again.
    :param on_existing: what a task does that is cleared after it has submitted a job: ``adopt`` returns that
        job again, with a warning, ``create`` submits another one, ``fail`` fails and names the job. A retry
        adopts its job in any case. (templated)
    :param on_kill: what happens to a pending job if the task is killed, cleared, or marked as failed:
        ``leave`` names it in the log and lets the next attempt adopt it, ``delete`` deletes it.
    :param **kwargs: the arguments of every operator.
    :cvar job_type: how the job is submitted and found again.
    :cvar wait_type: how to wait for it.
    :cvar external_id_key: name of its id, in XCom and in the trigger's event.
    :ivar deployment: address of the deployment, without a slash at the end, as soon as it is known.
    """

    template_fields: Sequence[str] = ("on_existing", "codeocean_conn_id")
    codeocean_url: str | None = None
    deployment: str = ""
    job_type: ClassVar[type[SubmissionRunner[Any, Any]]]
    wait_type: ClassVar[type[Wait]]
    external_id_key: ClassVar[str]
    _runner: SubmissionRunner[Any, Any] | None = None
    _killed = False
    _out_of_time = False

    def __init__(
        self,
        *,
        codeocean_conn_id: str = CodeOceanHook.default_conn_name,
        wait_for_completion: bool = True,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_interval: float = 60.0,
        timeout: float | timedelta = timedelta(days=1),
        on_existing: OnExisting | str = "adopt",
        on_kill: OnKill = "leave",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.codeocean_conn_id = codeocean_conn_id
        check_flags(wait_for_completion=wait_for_completion, deferrable=deferrable)
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        self.poll_interval = check_seconds("poll_interval", poll_interval)
        self.timeout = check_seconds("timeout", timeout)
        check_choice("on_existing", known_now(on_existing, instead="adopt"), get_args(OnExisting))
        self.on_existing = on_existing
        check_choice("on_kill", on_kill, get_args(OnKill))
        self.when_killed: OnKill = on_kill  # on_kill itself is what Airflow calls

    @abstractmethod
    def build_params(self) -> Any:
        """Build the parameters of the job, with all fields rendered.

        :returns: the parameters.
        :raises ValueError: if an argument is wrong, naming it.
        """

    @abstractmethod
    def subject(self, params: Any) -> dict[str, Any]:
        """Return the content that identifies the job, without secrets.

        :param params: the parameters of the job.
        :returns: JSON values.
        """

    @abstractmethod
    def new_trigger(
        self, external_id: str, deadline: float, submitted_at: float
    ) -> CodeOceanOwnWaitTriggerBase:
        """Return the trigger that waits for the job.

        :param external_id: its id.
        :param deadline: when to give up, in Unix seconds.
        :param submitted_at: when the task submitted or adopted it, in Unix seconds.
        :returns: the trigger.
        """

    @abstractmethod
    def show(self, context: Context, deployment: str, external_id: str) -> str | None:
        """Link to the job in the UI.

        :param context: context of the running task.
        :param deployment: address of the deployment, without a slash at the end.
        :param external_id: its id.
        :returns: the address of its page, if it has one.
        """

    @abstractmethod
    def tell(self, context: Context, job: Any, *, done: bool) -> None:
        """Report to Airflow and to lineage what the task has read and submitted.

        :param context: context of the running task.
        :param job: the job.
        :param done: whether it has succeeded, and was not only submitted.
        """

    def checked_by_server(self, params: Any) -> Any:
        """Check the parameters against the deployment, just before the job is submitted.

        :param params: the parameters.
        :returns: the parameters, as they are to be sent.
        :raises ValueError: if one is wrong, naming it.
        """
        return params

    def carrier_options(self, context: Context) -> Mapping[str, Any]:  # noqa: ARG002 - for subclasses
        """Return further arguments of the job's type.

        :param context: context of the running task.
        :returns: keyword arguments.
        """
        return {}

    def stop_on_timeout(self) -> str:
        """Stop the pending job of a task that has run out of time, if that is requested.

        :returns: the result, as a sentence for the task's error; empty if the job continues.
        """
        return ""

    def execute(self, context: Context) -> dict[str, Any]:
        """Submit the job, unless an earlier attempt did, and wait for it if requested."""
        self.codeocean_url = ""
        with self._failing_clearly():
            params = self.build_params()
            runner = self._new_runner(self._keys(context, params), params, context)
            submission = self._start(runner)
            wait = partial(self._wait, context, runner, submission)
            return self._conclude(context, runner, submission, wait)

    def execute_complete(  # noqa: PLR0917 - Airflow passes them by name
        self,
        context: Context,
        event: WaitEvent,
        key: str = "",
        recheck_at: float = 0.0,
        adopted: bool = False,
        submitted_at: float = 0.0,
    ) -> dict[str, Any]:
        """Conclude from the trigger's event and the job's current state."""
        hook = CodeOceanHook(self.codeocean_conn_id)
        external_id = str(dict(event)[self.external_id_key])
        with self._failing_clearly():
            self.deployment = hook.url
            self.show(context, self.deployment, external_id)
            # dag.test() loses all arguments but the event.
            params = self.build_params()
            keys = IdempotencyKeys(key) if key else self._keys(context, params)
            runner = self._new_runner(keys, params, context)
            runner.job, runner.submitted_at = self.job_type.model(id=external_id), submitted_at
            submission = Submission(runner.job, adopted, recheck_at, submitted_at)
            wait: Callable[[], Any] = partial(hook.conclude, event, self._new_wait(submission, deadline=None))
            if event["status"] == "timeout":
                wait = self._stopping_on(WaitTimeout)(wait)
            return self._conclude(context, runner, submission, wait)

    def on_kill(self) -> None:
        """Report the job, and delete it if requested; called by Airflow when it kills the task."""
        self._killed = True
        runner = self._runner
        if runner is None or self._out_of_time:
            return
        what = self.job_type.what
        if runner.job is None:
            log.warning(
                "Killed while a %s was being submitted: if it was, %s %s, and the next attempt adopts it",
                what,
                self.job_type.carries,
                runner.key,
            )
        elif self.when_killed == "leave":
            log.warning("Killed: %s %s continues, and the next attempt adopts it", what, runner.job.id)
        else:
            self._delete(runner)

    def _keys(self, context: Context, params: Any) -> IdempotencyKeys:
        on_existing: Any = self.on_existing or "adopt"  # a blank template stands for the default
        check_choice("on_existing", on_existing, get_args(OnExisting))
        return IdempotencyKeys.of(attempt_of(context, self.retries or 0), self.subject(params), on_existing)

    def _new_runner(self, keys: IdempotencyKeys, params: Any, context: Context) -> SubmissionRunner[Any, Any]:
        state = durable_state(context)
        once = SubmitOnce[Any](
            attempt_of(context, self.retries or 0),
            keys,
            has_durable_state=state is not None,
            is_usable=lambda job: self.job_type.verdict(job) is not Verdict.FAILED,
            is_own=lambda job: self.job_type.is_own(job, keys),
        )
        self._runner = self.job_type(
            CodeOceanHook(self.codeocean_conn_id),
            once,
            params,
            state=state,
            go_on=self._stop_if_killed,
            overtaken=partial(overtaken, context),
            check=self.checked_by_server,
            **self.carrier_options(context),
        )
        return self._runner

    def _start(self, runner: SubmissionRunner[Any, Any]) -> Submission[Any]:
        with naming_what_ran_out_of_time(self._describe):
            return runner.start()

    def _conclude(
        self,
        context: Context,
        runner: SubmissionRunner[Any, Any],
        submission: Submission[Any],
        wait: Callable[[], Any],
    ) -> dict[str, Any]:
        """Wait for the job, and if another attempt has submitted one as well, for the one that stays."""
        while True:
            try:
                job = wait()
            except NotFound as error:
                submission = self._replace(runner, submission, error)
            except (ComputationFailed, DataAssetFailed):
                stays = runner.confirm(submission) if submission.adopted else submission.job
                if stays is not None and stays.id == submission.job.id:
                    raise
                submission = self._continue_instead(runner, stays)
            else:
                stays = runner.confirm(replace(submission, job=job))
                if stays is not None and stays.id == job.id:
                    log.info("%s %s", self.job_type.what.capitalize(), runner.describe(stays))
                    runner.verify(stays)
                    self.tell(context, stays, done=self.job_type.verdict(stays) is Verdict.SUCCEEDED)
                    return as_xcom(stays, self.codeocean_url or None)
                submission = self._continue_instead(runner, stays)
            wait = partial(self._wait, context, runner, submission)

    def _replace(
        self, runner: SubmissionRunner[Any, Any], submission: Submission[Any], error: NotFound
    ) -> Submission[Any]:
        """Return another job in place of one that is gone. If there is none, the task keeps its retries."""
        try:
            replacement = runner.find_replacement()
        except CodeOceanError as failure:
            if failure.transient:
                raise
            replacement = None
        if replacement is None:
            job = f"{self.job_type.what} {submission.job.id}"
            raise CodeOceanError(
                f"The {job}, which this task submitted, is gone; a retry submits another one: {error}"
            ) from error
        return replacement

    def _continue_instead(self, runner: SubmissionRunner[Any, Any], stays: Any | None) -> Submission[Any]:
        """Continue with the job of another attempt; if the adopted one is another task's, start again."""
        if stays is None:
            return self._start(runner)
        return Submission(stays, adopted=True, submitted_at=runner.submitted_at or 0.0)

    def _wait(self, context: Context, runner: SubmissionRunner[Any, Any], submission: Submission[Any]) -> Any:
        """Wait in this process, or leave it by deferring."""
        job = submission.job
        hook = CodeOceanHook(self.codeocean_conn_id)
        context["ti"].xcom_push(key=self.external_id_key, value=job.id)
        self.deployment = hook.url
        url = self.show(context, self.deployment, job.id)
        log.info("%s %s: %s", self.job_type.what.capitalize(), runner.describe(job), url or "")
        if self.job_type.verdict(job) is Verdict.SUCCEEDED:
            return job
        if not self.wait_for_completion:
            return job if submission.adopted else hook.wait_until_visible(self._new_wait(submission, None))
        deadline = deadline_after(
            self.timeout, execution_timeout=self.execution_timeout, started=context["ti"].start_date
        )
        if self.deferrable:
            self._defer(context, runner, submission, deadline)
        with self._stopping_on(WaitTimeout):
            return hook.wait_for(self._new_wait(submission, deadline))

    def _new_wait(self, submission: Submission[Any], deadline: float | None) -> Wait:
        return self.wait_type(
            submission.job.id,
            poll_interval=self.poll_interval,
            deadline=deadline,
            submitted_at=submission.submitted_at,
        )

    def _defer(
        self,
        context: Context,
        runner: SubmissionRunner[Any, Any],
        submission: Submission[Any],
        deadline: float,
    ) -> None:
        trigger = self.new_trigger(submission.job.id, deadline, submission.submitted_at)
        if not submission.recheck_at:  # which needs a worker
            trigger.end_without_worker(self, context)
        self.defer(
            trigger=trigger,
            method_name="execute_complete",
            kwargs={
                "key": runner.key,
                "recheck_at": submission.recheck_at,
                "adopted": submission.adopted,
                "submitted_at": submission.submitted_at,
            },
            timeout=trigger.patience,
        )

    @contextmanager
    def _failing_clearly(self) -> Iterator[None]:
        try:
            with self._stopping_on(AirflowTaskTimeout), no_retry_for_what_it_cannot_mend(self):
                yield
        except AirflowTaskTimeout:
            self._out_of_time = True  # Airflow calls on_kill now, but a retry waits again
            raise

    @contextmanager
    def _stopping_on(self, timeout: type[BaseException]) -> Iterator[None]:
        """Stop the job after a timeout, if that is requested, and add the result to the error.

        If ``execution_timeout`` interrupts that after a :class:`WaitTimeout`, it is done once more: Airflow
        interrupts a task only once.
        """
        try:
            yield
        except timeout as error:
            message = str(error)
            with naming_what_ran_out_of_time(lambda: message):
                result = self.stop_on_timeout()
            if not result:
                raise
            raise timeout(f"{message.replace(CONTINUES, '')} {result}") from error

    def _describe(self) -> str:
        """Return the state of the job, for the error of a task that ran out of time before it could wait."""
        runner, what = self._runner, self.job_type.what
        if runner is None or runner.job is None:
            key = runner.key if runner else "?"
            return f"If it has submitted a {what}, {self.job_type.carries} {key}."
        return f"{what.capitalize()} {runner.job.id} is {runner.job.state}.{CONTINUES}"

    def _stop_if_killed(self) -> None:
        if not self._killed:
            return
        if self._runner and self._runner.job and self.when_killed == "delete":
            self._delete(self._runner)
        raise CodeOceanError("The task was killed")

    def _delete(self, runner: SubmissionRunner[Any, Any]) -> None:
        try:
            removed = self._remove(runner, retry_budget=_LAST_WORDS)
        except CodeOceanError as error:
            log.warning("Killed: %s %s could not be deleted: %s", runner.what, _id_of(runner), error)
        else:
            log.warning("Killed: %s", removed)

    def _remove(self, runner: SubmissionRunner[Any, Any], **options: Any) -> Removed:
        """Delete the job if it is pending, through a client with these options."""
        with CodeOceanHook(self.codeocean_conn_id).get_conn(**options) as client:
            return self.job_type.remove(
                client, _id_of(runner), even_if_done=False, submitted_at=runner.submitted_at
            )


def _id_of(runner: SubmissionRunner[Any, Any]) -> str:
    return runner.job.id if runner.job else ""
