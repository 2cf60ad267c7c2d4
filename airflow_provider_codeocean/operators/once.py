"""What operators that make something once have in common: make it, wait for it, conclude."""

from __future__ import annotations

import logging
from abc import abstractmethod
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, get_args

from airflow.providers.common.compat.sdk import AirflowTaskTimeout, BaseOperator, conf

from airflow_provider_codeocean.api.errors import CodeOceanError, ComputationFailed, DataAssetFailed, NotFound
from airflow_provider_codeocean.arguments import KnowsTemplates, check_choice, check_flags, check_seconds
from airflow_provider_codeocean.capture.key import Keys, OnExisting
from airflow_provider_codeocean.capture.once import CaptureOnce
from airflow_provider_codeocean.capture.steps import Capture
from airflow_provider_codeocean.compat.state import durable_state
from airflow_provider_codeocean.compat.tasks import can_end_in_triggerer, overtaken
from airflow_provider_codeocean.failures import naming_what_ran_out_of_time, no_retry_for_what_it_cannot_mend
from airflow_provider_codeocean.hooks.capture import attempt_of
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.polling.wait import deadline_after
from airflow_provider_codeocean.states import Verdict, as_xcom
from airflow_provider_codeocean.triggers.own import OnKill

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_codeocean.hooks.capture import Capturing
    from airflow_provider_codeocean.polling.wait import Wait
    from airflow_provider_codeocean.states import WaitEvent
    from airflow_provider_codeocean.triggers.own import CodeOceanOwnWaitTriggerBase

log = logging.getLogger(__name__)

#: Seconds for which a killed task tries to delete what it began: Airflow gives it about five.
_LAST_WORDS = 3.0


class CodeOceanMakeOnceBase(KnowsTemplates, BaseOperator):
    """Make something once, wait until it is over with success, and return it.

    However often the task is killed and tried again, it makes one: what a try makes carries a key that tells
    DAG, run, task and map index, and the next try goes on with it. What failed is never gone on with.

    What a retry cannot mend (wrong input, no permission) fails the task for good; what it may mend keeps the
    task's retries. A server that is in trouble or out of reach while the task waits is waited for.

    :param codeocean_conn_id: id of the connection. (templated)
    :param wait_for_completion: wait until it is over; else it is returned as it was begun.
    :param deferrable: wait in the triggerer instead of in a worker; by default as Airflow is configured.
    :param poll_interval: the most seconds between two looks at it, above 0: a young wait is looked at more
        often.
    :param timeout: how long to wait, in seconds or as a timedelta, above 0. The task's
        ``execution_timeout``, where it is shorter, ends the wait as well. What was begun is left as it is,
        and a retry goes on waiting for it.
    :param on_existing: what a task does that is cleared after it has made one: ``adopt`` returns the same
        again, ``create`` makes another one, ``fail`` fails and names it. A retry is no such case.
    :param on_kill: what becomes of one that is not over yet when the task is killed, cleared or marked as
        failed: ``leave`` names it in the log and lets the next try go on with it, ``delete`` deletes it.
    :param **kwargs: what every operator takes.
    :cvar carrier: how it is made and found again.
    :cvar awaited: how it is waited for.
    :cvar made_id: what its id is called, in XCom and in the trigger's event.
    :ivar deployment: address of the deployment, without a slash at the end, as soon as it is known.
    """

    template_fields: Sequence[str] = ("codeocean_conn_id",)
    codeocean_url: str | None = None
    deployment: str = ""
    carrier: ClassVar[type[Capturing[Any, Any]]]
    awaited: ClassVar[type[Wait]]
    made_id: ClassVar[str]
    _capturing: Capturing[Any, Any] | None = None
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
        on_existing: OnExisting = "adopt",
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
        check_choice("on_existing", on_existing, get_args(OnExisting))
        self.on_existing: OnExisting = on_existing
        check_choice("on_kill", on_kill, get_args(OnKill))
        self.when_killed: OnKill = on_kill  # on_kill itself is what Airflow calls

    @abstractmethod
    def asked_for(self) -> Any:
        """Build what to make, with all fields rendered.

        :returns: the parameters.
        :raises ValueError: where an argument is wrong, naming it.
        """

    @abstractmethod
    def subject(self, asked: Any) -> dict[str, Any]:
        """Tell one from another, without secrets.

        :param asked: the parameters of what to make.
        :returns: JSON values.
        """

    @abstractmethod
    def new_trigger(self, made_id: str, deadline: float) -> CodeOceanOwnWaitTriggerBase:
        """Make the trigger that waits for it.

        :param made_id: its id.
        :param deadline: when to give up, in Unix seconds.
        :returns: the trigger.
        """

    @abstractmethod
    def show(self, context: Context, deployment: str, made_id: str) -> str | None:
        """Show it in the UI.

        :param context: context of the running task.
        :param deployment: address of the deployment, without a slash at the end.
        :param made_id: its id.
        :returns: the address of its page, where it has one.
        """

    @abstractmethod
    def tell(self, context: Context, made: Any, *, done: bool) -> None:
        """Tell Airflow, and who else wants to know, what the task has read and made.

        :param context: context of the running task.
        :param made: what was made.
        :param done: whether it is over with success, and not only begun.
        """

    def checked_by_server(self, asked: Any) -> Any:
        """Check the parameters by what the deployment tells, just before it is made.

        :param asked: the parameters.
        :returns: the parameters, as they are to be sent.
        :raises ValueError: where one is wrong, naming it.
        """
        return asked

    def carrier_options(self, context: Context) -> Mapping[str, Any]:  # noqa: ARG002 - for subclasses
        """Give the carrier what it takes beyond what each takes.

        :param context: context of the running task.
        :returns: keyword arguments.
        """
        return {}

    def execute(self, context: Context) -> dict[str, Any]:
        """Make it, unless an earlier try did, and wait for it if asked to."""
        self.codeocean_url = ""
        with self._failing_clearly():
            asked = self.asked_for()
            capturing = self._capture_by(self._keys(context, asked), asked, context)
            capture = self._begin(capturing)
            return self._conclude(
                context, capturing, capture, partial(self._wait, context, capturing, capture)
            )

    def execute_complete(
        self,
        context: Context,
        event: WaitEvent,
        key: str = "",
        look_again: float = 0.0,
        adopted: bool = False,
    ) -> dict[str, Any]:
        """Conclude from what the trigger saw, and from what it is by now."""
        hook = CodeOceanHook(self.codeocean_conn_id)
        made_id = str(dict(event)[self.made_id])
        with self._failing_clearly():
            self.deployment = hook.url
            self.show(context, self.deployment, made_id)
            # dag.test() loses all arguments but the event.
            asked = self.asked_for()
            capturing = self._capture_by(Keys(key) if key else self._keys(context, asked), asked, context)
            capturing.begun = self.carrier.model(id=made_id)
            capture = Capture(capturing.begun, adopted=adopted, look_again=look_again)
            awaited = self.awaited(made_id, poll_interval=self.poll_interval, deadline=None)
            return self._conclude(context, capturing, capture, partial(hook.conclude, event, awaited))

    def on_kill(self) -> None:
        """Say what was begun, and delete it if that was asked for; Airflow kills the task."""
        self._killed = True
        capturing = self._capturing
        if capturing is None or self._out_of_time:
            return
        what = self.carrier.what
        if capturing.begun is None:
            log.warning(
                "Killed while a %s was being created: if it was, %s %s, and the next try goes on with it",
                what,
                self.carrier.carries,
                capturing.key,
            )
        elif self.when_killed == "leave":
            log.warning(
                "Killed: %s %s is left as it is, and the next try goes on with it", what, capturing.begun.id
            )
        else:
            self._delete(capturing.begun.id)

    def _keys(self, context: Context, asked: Any) -> Keys:
        return Keys.of(attempt_of(context, self.retries or 0), self.subject(asked), self.on_existing)

    def _capture_by(self, keys: Keys, asked: Any, context: Context) -> Capturing[Any, Any]:
        state = durable_state(context)
        once = CaptureOnce[Any](
            attempt_of(context, self.retries or 0),
            keys,
            durable=state is not None,
            usable=lambda made: self.carrier.verdict(made) is not Verdict.FAILED,
            ours=lambda made: self.carrier.is_ours(made, keys),
        )
        self._capturing = self.carrier(
            CodeOceanHook(self.codeocean_conn_id),
            once,
            asked,
            state=state,
            go_on=self._stop_if_killed,
            overtaken=partial(overtaken, context),
            check=self.checked_by_server,
            **self.carrier_options(context),
        )
        return self._capturing

    def _begin(self, capturing: Capturing[Any, Any]) -> Capture[Any]:
        with naming_what_ran_out_of_time(self._describe):
            return capturing.begin()

    def _conclude(
        self,
        context: Context,
        capturing: Capturing[Any, Any],
        capture: Capture[Any],
        wait: Callable[[], Any],
    ) -> dict[str, Any]:
        """Wait for what was made, and, where another try has made one as well, for the one that stays."""
        while True:
            try:
                made = wait()
            except NotFound as error:
                rescued = capturing.rescue()
                if rescued is None:
                    if not capture.adopted:
                        raise
                    # The trigger of a try that was ended may have deleted it after this one found it.
                    gone = f"{self.carrier.what} {capture.made.id}, which another try has made, is gone"
                    raise CodeOceanError(f"{gone}; a retry makes another one: {error}") from error
                capture = rescued
            except (ComputationFailed, DataAssetFailed):
                stays = capturing.finish(capture) if capture.adopted else capture.made
                if stays is not None and stays.id == capture.made.id:
                    raise
                capture = self._go_on_instead(capturing, stays)
            else:
                stays = capturing.finish(replace(capture, made=made))
                if stays is not None and stays.id == made.id:
                    log.info("%s %s", self.carrier.what.capitalize(), capturing.describe(stays))
                    self.tell(context, stays, done=self.carrier.verdict(stays) is Verdict.SUCCEEDED)
                    return as_xcom(stays, self.codeocean_url or None)
                capture = self._go_on_instead(capturing, stays)
            wait = partial(self._wait, context, capturing, capture)

    def _go_on_instead(self, capturing: Capturing[Any, Any], stays: Any | None) -> Capture[Any]:
        """Go on with what another try has made; where what this one took is another task's, begin again."""
        return self._begin(capturing) if stays is None else Capture(stays, adopted=True)

    def _wait(self, context: Context, capturing: Capturing[Any, Any], capture: Capture[Any]) -> Any:
        """Wait in this process, or leave it by deferring."""
        made = capture.made
        hook = CodeOceanHook(self.codeocean_conn_id)
        context["ti"].xcom_push(key=self.made_id, value=made.id)
        self.deployment = hook.url
        url = self.show(context, self.deployment, made.id)
        log.info("%s %s: %s", self.carrier.what.capitalize(), capturing.describe(made), url or "")
        if not self.wait_for_completion or self.carrier.verdict(made) is Verdict.SUCCEEDED:
            return made
        deadline = deadline_after(
            self.timeout, execution_timeout=self.execution_timeout, started=context["ti"].start_date
        )
        if self.deferrable:
            self._defer(context, capturing.key, capture, deadline)
        return hook.wait_for(self.awaited(made.id, poll_interval=self.poll_interval, deadline=deadline))

    def _defer(self, context: Context, key: str, capture: Capture[Any], deadline: float) -> None:
        trigger = self.new_trigger(capture.made.id, deadline)
        # Looking for duplicates later needs a worker, and so does what subclasses may do in the end.
        if (
            not capture.look_again
            and type(self).__module__.startswith("airflow_provider_codeocean.")
            and can_end_in_triggerer(self, context)
        ):
            trigger.completion = {"push_result": self.do_xcom_push, "url": self.codeocean_url or None}
        self.defer(
            trigger=trigger,
            method_name="execute_complete",
            kwargs={"key": key, "look_again": capture.look_again, "adopted": capture.adopted},
            timeout=trigger.patience,
        )

    @contextmanager
    def _failing_clearly(self) -> Iterator[None]:
        try:
            with no_retry_for_what_it_cannot_mend(self):
                yield
        except AirflowTaskTimeout:
            self._out_of_time = True  # Airflow calls on_kill now, but a retry goes on waiting
            raise

    def _describe(self) -> str:
        """Say what was begun, for the error of a task that ran out of time before it could wait."""
        capturing, what = self._capturing, self.carrier.what
        if capturing is None or capturing.begun is None:
            key = capturing.key if capturing else "?"
            return f"If it has created a {what}, {self.carrier.carries} {key}."
        return f"{what.capitalize()} {capturing.begun.id} is {capturing.begun.state}. It is left as it is."

    def _stop_if_killed(self) -> None:
        if not self._killed:
            return
        if self._capturing and self._capturing.begun and self.when_killed == "delete":
            self._delete(self._capturing.begun.id)
        raise CodeOceanError("The task was killed")

    def _delete(self, made_id: str) -> None:
        try:
            with CodeOceanHook(self.codeocean_conn_id).get_conn(retry_budget=_LAST_WORDS) as client:
                removed = self.carrier.remove(client, made_id, even_if_done=False)
        except CodeOceanError as error:
            log.warning("Killed: %s %s could not be deleted: %s", self.carrier.what, made_id, error)
        else:
            log.warning("Killed: %s", removed)
