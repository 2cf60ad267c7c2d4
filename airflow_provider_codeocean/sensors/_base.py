"""Base class of sensors."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    BaseSensorOperator,
    PokeReturnValue,
    conf,
)
from typing_extensions import override

from airflow_provider_codeocean.airflow_errors import (
    add_context_to_task_timeout,
    fail_without_retry_on_permanent_errors,
    to_airflow_exception,
)
from airflow_provider_codeocean.api.errors import CodeOceanError, ComputationFailed, WaitTimeout
from airflow_provider_codeocean.compat.features import Feature
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.outcomes import to_xcom
from airflow_provider_codeocean.polling.waits import compute_deadline
from airflow_provider_codeocean.validation import TemplateTrackingMixin, check_flags

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_codeocean.outcomes import WaitEvent
    from airflow_provider_codeocean.polling.waits import Wait
    from airflow_provider_codeocean.triggers._base import CodeOceanWaitTriggerBase


class CodeOceanWaitSensorBase(TemplateTrackingMixin, BaseSensorOperator):
    """Wait until a target has succeeded, and return it.

    The task fails permanently if the target fails, or if Code Ocean rejects the requests (unknown id, missing
    permission). With ``soft_fail``, it is skipped instead. Outages are tolerated until the timeout.

    :param codeocean_conn_id: id of the connection. (templated)
    :param deferrable: wait in the triggerer instead of in a worker. The default is Airflow's
        ``[operators] default_deferrable``.
    :param start_from_trigger: also start in the triggerer and, after success, end there, without a worker
        (Airflow 3.3 and later; earlier versions log a warning and defer). ``mode`` and ``deferrable`` then
        have no effect. Airflow ignores pools, ``max_active_tasks``, and ``max_active_tis_per_dag`` for such
        tasks, and does not call listeners, ``pre_execute``, or ``post_execute``. A task ends in a worker if
        it does not succeed, or has ``outlets``, ``on_execute_callback``, ``on_success_callback``, or
        ``multiple_outputs``.
    :param **kwargs: arguments of Airflow's ``BaseSensorOperator``, such as ``poke_interval``, ``timeout``,
        ``mode``, and ``soft_fail``.
    """

    template_fields: Sequence[str] = ("codeocean_conn_id",)
    codeocean_url: str | None = None
    _wait: Wait | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Reject attributes with which Airflow starts all mapped tasks with the arguments of the class."""
        super().__init_subclass__(**kwargs)
        for name in ("start_from_trigger", "start_trigger_args"):
            if vars(cls).get(name):
                raise TypeError(
                    f"{cls.__name__}.{name} applies the same arguments to all mapped tasks: pass "
                    "start_from_trigger=True to the sensors instead"
                )

    def __init__(
        self,
        *,
        codeocean_conn_id: str = CodeOceanHook.default_conn_name,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        start_from_trigger: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.codeocean_conn_id = codeocean_conn_id
        check_flags(deferrable=deferrable, start_from_trigger=start_from_trigger)
        self.deferrable = deferrable or start_from_trigger
        self._start_from_trigger_requested = start_from_trigger

    def enable_start_from_trigger(self) -> None:
        """Start in the triggerer if requested. Each sensor calls it last in its constructor."""
        if self._start_from_trigger_requested and Feature.START_FROM_TRIGGER.is_available:
            from airflow_provider_codeocean.sensors._start_from_trigger import (
                build_start_trigger_args,
                task_only_params,
            )

            self.params = task_only_params(self.params, self.get_dag())
            self.start_trigger_args = build_start_trigger_args(self)
            self.start_from_trigger = True

    @classmethod
    @override
    def partial(cls, **kwargs: Any) -> Any:
        operator_partial = super().partial(**kwargs)
        if not Feature.START_FROM_TRIGGER.is_available:
            return operator_partial
        from airflow_provider_codeocean.sensors._start_from_trigger import SensorPartial

        return SensorPartial.from_partial(operator_partial)

    @property
    @abstractmethod
    def trigger_class(self) -> type[CodeOceanWaitTriggerBase]:
        """The trigger. Only a running task imports it."""

    @abstractmethod
    def target_arguments(self) -> dict[str, Any]:
        """Return the trigger's arguments that name the target, or raise ValueError if one is invalid."""

    def build_trigger(self, poll_interval: float, deadline: float | None) -> CodeOceanWaitTriggerBase:
        """Return the trigger that waits until the deadline, in Unix seconds."""
        return self.trigger_class(
            **self.target_arguments(),
            codeocean_conn_id=self.codeocean_conn_id,
            poll_interval=poll_interval,
            deadline=deadline,
        )

    def build_wait(self, poll_interval: float) -> Wait:
        """Return the wait, without a deadline."""
        return self.build_trigger(poll_interval, None).build_wait()

    def set_link(self, context: Context, deployment_url: str) -> str | None:  # noqa: ARG002
        """Show the target's page as a link in the UI, if it has one, and return its address."""
        return None

    def explain_failure(self, hook: CodeOceanHook, error: ComputationFailed) -> ComputationFailed:  # noqa: ARG002
        """Return an error that says more about why a computation failed."""
        return error

    def build_result(self, response: Any, url: str | None) -> Any:
        """Return the task's result from the object that ended the wait, as JSON values."""
        return to_xcom(response, url)

    @override
    def poke(self, context: Context) -> PokeReturnValue:
        return self._poll_once(context, with_auth_grace=True)

    def _poll_once(self, context: Context, *, with_auth_grace: bool) -> PokeReturnValue:
        hook = CodeOceanHook(self.codeocean_conn_id)
        with fail_without_retry_on_permanent_errors(self):
            # The same for all polls: if a timeout interrupts one, its message has the state that others saw.
            wait = self._wait = self._wait or self.build_wait(self.poke_interval)
            with hook.get_conn(retry_budget=0) as client:
                url = self.set_link(context, client.url)
                try:
                    if with_auth_grace:
                        response = hook.send_with_auth_grace(client, wait.request, max_seconds=self.timeout)
                    else:
                        response = client.send(wait.request)
                except CodeOceanError as error:
                    wait.handle_error(error)
                    self.log.warning("Could not poll %s %s, retrying: %s", wait.kind.value, wait.id, error)
                    return PokeReturnValue(is_done=False)
                try:
                    is_done = wait.check(response)
                except ComputationFailed as error:
                    raise self.explain_failure(hook, error) from error
            self.log.info("%s %s is in state %s", wait.kind.value.capitalize(), wait.id, wait.last_state)
            return PokeReturnValue(is_done=is_done, xcom_value=self.build_result(response, url))

    @override
    def execute(self, context: Context) -> Any:
        self.codeocean_url = ""
        self._wait = None
        if self._start_from_trigger_requested and not Feature.START_FROM_TRIGGER.is_available:
            self.log.warning("start_from_trigger needs Airflow 3.3: starting and ending in a worker")
        if not self.deferrable:
            return self._wait_in_worker(context)
        deadline = compute_deadline(
            self.timeout, execution_timeout=self.execution_timeout, started_at=context["ti"].start_date
        )
        try:
            first_poll = self._poll_once(context, with_auth_grace=False)
        except (CodeOceanError, AirflowFailException) as error:
            self.log.warning("The first poll failed, leaving the error to the trigger: %s", error)
        else:
            if first_poll.is_done:
                return first_poll.xcom_value
        try:
            with fail_without_retry_on_permanent_errors(self):
                trigger = self.build_trigger(max(self.poke_interval, 1.0), deadline)
        except AirflowFailException as error:
            if self.soft_fail or self.never_fail:  # Airflow handles them only in its own execute
                raise _to_skip_exception(error) from error
            raise
        trigger.enable_end_from_trigger(self, context)
        return self.defer(trigger=trigger, method_name="execute_complete", timeout=trigger.defer_timeout)

    def _wait_in_worker(self, context: Context) -> Any:
        try:
            with add_context_to_task_timeout(self._describe_wait):
                return super().execute(context)
        except AirflowSensorTimeout as error:
            timeout = WaitTimeout(f"{self._describe_wait()} {error}")
            raise to_airflow_exception(timeout, AirflowSensorTimeout) from error

    def _describe_wait(self) -> str:
        return (self._wait or self.build_wait(self.poke_interval)).describe_timeout()

    def execute_complete(self, context: Context, event: WaitEvent) -> Any:
        """Return the result, from the trigger's event and the current state."""
        if event["status"] == "not_started":
            self.log.warning("The wait could not start in the triggerer: %s", event["message"])
            return self.execute(context)
        hook = CodeOceanHook(self.codeocean_conn_id)
        try:
            with fail_without_retry_on_permanent_errors(self):
                wait = self.build_wait(max(self.poke_interval, 1.0))
                url = self.set_link(context, hook.url)
                try:
                    response = hook.resolve_wait(event, wait)
                except ComputationFailed as error:
                    raise self.explain_failure(hook, error) from error
        except Exception as error:
            if self.never_fail or (self.soft_fail and isinstance(error, CodeOceanError)):
                # Airflow handles its own errors, but never_fail not in all versions.
                raise _to_skip_exception(error) from error
            if isinstance(error, WaitTimeout):
                raise to_airflow_exception(error, AirflowSensorTimeout) from error
            raise
        return self.build_result(response, url)


def _to_skip_exception(error: Exception) -> AirflowSkipException:
    return AirflowSkipException(f"Skipping, because soft_fail or never_fail is set: {error}")
