"""What sensors that wait for one thing have in common: look, or leave it to the triggerer, and conclude."""

from __future__ import annotations

from abc import abstractmethod
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    BaseSensorOperator,
    PokeReturnValue,
    conf,
)

from airflow_provider_codeocean.airflow_errors import (
    naming_what_ran_out_of_time,
    no_retry_for_what_it_cannot_mend,
)
from airflow_provider_codeocean.api.errors import CodeOceanError, WaitTimeout
from airflow_provider_codeocean.compat.features import Feature
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.outcomes import as_xcom
from airflow_provider_codeocean.polling.waits import deadline_after
from airflow_provider_codeocean.validation import KnowsTemplates, check_flags

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_codeocean.api.client import CodeOceanClient
    from airflow_provider_codeocean.api.request import Call
    from airflow_provider_codeocean.outcomes import WaitEvent
    from airflow_provider_codeocean.polling.waits import Wait
    from airflow_provider_codeocean.triggers._base import CodeOceanWaitTriggerBase


class CodeOceanWaitSensorBase(KnowsTemplates, BaseSensorOperator):
    """Wait until something is over, and return it.

    It fails for good where what it waits for failed, or where Code Ocean refuses to tell (no such thing, no
    permission); ``soft_fail`` skips the task instead. A server in trouble or out of reach is waited for.

    :param codeocean_conn_id: id of the connection. (templated)
    :param deferrable: wait in the triggerer instead of in a worker; by default as Airflow is configured.
    :param start_from_trigger: begin in the triggerer too, and end there where all went well, so that no
        worker is needed. From Airflow 3.3 on; before, such a sensor is deferrable, and says so. ``mode`` and
        ``deferrable`` do not matter then. Airflow looks at no pool, ``max_active_tasks`` or
        ``max_active_tis_per_dag``, and calls no listener and no ``pre_execute`` or ``post_execute``; a task
        with ``outlets``, ``on_execute_callback``, ``on_success_callback`` or ``multiple_outputs`` ends in a
        worker, as does each that does not succeed.
    :param **kwargs: what every sensor takes, such as ``poke_interval``, ``timeout``, ``mode`` and
        ``soft_fail``.
    """

    template_fields: Sequence[str] = ("codeocean_conn_id",)
    codeocean_url: str | None = None
    _wait: Wait | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Refuse what makes Airflow start all mapped tasks with the arguments of the class.

        :param **kwargs: what the class statement was given beside bases.
        :raises TypeError: where the class itself has ``start_from_trigger`` or ``start_trigger_args``.
        """
        super().__init_subclass__(**kwargs)
        for name in ("start_from_trigger", "start_trigger_args"):
            if vars(cls).get(name):
                raise TypeError(
                    f"{cls.__name__}.{name}: give start_from_trigger=True to the sensors themselves, as "
                    "Airflow would start all mapped tasks with the arguments of the class"
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
        self._asked_for_triggerer = start_from_trigger

    def start_as_asked_for(self) -> None:
        """Start in the triggerer, if that was asked for. The last line of each sensor's constructor.

        :raises ValueError: where the triggerer cannot know an argument, naming it.
        """
        if self._asked_for_triggerer and Feature.STARTS_IN_TRIGGERER.is_there:
            from airflow_provider_codeocean.sensors._start_from_trigger import own_params, start_trigger_args

            self.params = own_params(self.params, self.get_dag())
            self.start_trigger_args = start_trigger_args(self)
            self.start_from_trigger = True

    @classmethod
    def partial(cls, **kwargs: Any) -> Any:
        """Map the sensor; see Airflow's own. Each task starts in the triggerer if that is asked for."""
        partial = super().partial(**kwargs)
        if not Feature.STARTS_IN_TRIGGERER.is_there:
            return partial
        from airflow_provider_codeocean.sensors._start_from_trigger import SensorPartial

        return SensorPartial.instead_of(partial)

    @abstractmethod
    def new_wait(self, poll_interval: float) -> Wait:
        """Make the wait, without a deadline.

        :param poll_interval: the most seconds between two looks, above 0.
        :returns: the wait.
        :raises ValueError: where an argument is wrong, naming it.
        """

    @abstractmethod
    def new_trigger(self, poll_interval: float, deadline: float) -> CodeOceanWaitTriggerBase:
        """Make the trigger that waits.

        :param poll_interval: the most seconds between two looks, above 0.
        :param deadline: when to give up, in Unix seconds.
        :returns: the trigger.
        """

    def show(self, context: Context, deployment: str) -> str | None:  # noqa: ARG002 - for subclasses
        """Show what it waits for in the UI, where there is a page of it.

        :param context: context of the running task.
        :param deployment: address of the deployment, without a slash at the end.
        :returns: the address of the page.
        """
        return None

    def result(self, seen: Any, url: str | None) -> Any:
        """Make the task's result.

        :param seen: what it waited for.
        :param url: the address of its page, where there is one.
        :returns: JSON values.
        """
        return as_xcom(seen, url)

    def poke(self, context: Context) -> bool | PokeReturnValue:
        """Look at it once; a refused access token is waited for, as the connection's ``token_grace`` says."""
        hook = CodeOceanHook(self.codeocean_conn_id)
        return self._look(context, partial(hook.send_patiently, at_most=self.timeout))

    def _look(
        self, context: Context, send: Callable[[CodeOceanClient, Call[Any]], Any]
    ) -> bool | PokeReturnValue:
        with no_retry_for_what_it_cannot_mend(self):
            wait = self._wait = self.new_wait(self.poke_interval)
            with CodeOceanHook(self.codeocean_conn_id).get_conn(retry_budget=0) as client:
                url = self.show(context, client.url)
                try:
                    seen = send(client, wait.call)
                except CodeOceanError as error:
                    wait.bear(error)
                    self.log.warning(
                        "Could not look at %s %s, waiting on: %s", wait.kind.value, wait.id, error
                    )
                    return False
            over = wait.is_over(seen)
            self.log.info("%s %s is in state %s", wait.kind.value.capitalize(), wait.id, wait.last_state)
            return PokeReturnValue(is_done=over, xcom_value=self.result(seen, url))

    def execute(self, context: Context) -> Any:
        """Wait in this process, or, if deferrable, take one look and leave the rest to the triggerer."""
        self.codeocean_url = ""
        if self._asked_for_triggerer and not Feature.STARTS_IN_TRIGGERER.is_there:
            self.log.warning("start_from_trigger needs Airflow 3.3: this wait begins and ends in a worker")
        if not self.deferrable:
            return self._wait_here(context)
        deadline = deadline_after(
            self.timeout, execution_timeout=self.execution_timeout, started=context["ti"].start_date
        )
        try:
            first_look = self._look(context, lambda client, call: client.send(call))
        except (CodeOceanError, AirflowFailException) as error:  # the trigger meets it again: as is due then
            self.log.warning("The first look failed: %s", error)
        else:
            if isinstance(first_look, PokeReturnValue) and first_look.is_done:
                return first_look.xcom_value
        try:
            with no_retry_for_what_it_cannot_mend(self):
                trigger = self.new_trigger(max(self.poke_interval, 1.0), deadline)
        except AirflowFailException as error:
            if self.soft_fail or self.never_fail:  # which Airflow does not see to here
                raise _skip_instead_of(error) from error
            raise
        trigger.end_without_worker(self, context)
        return self.defer(trigger=trigger, method_name="execute_complete", timeout=trigger.patience)

    def _wait_here(self, context: Context) -> Any:
        """Wait as every sensor does; where time runs out, say for what."""
        try:
            with naming_what_ran_out_of_time(self._describe):
                return super().execute(context)
        except AirflowSensorTimeout as error:
            raise AirflowSensorTimeout(f"{self._describe()} {error}") from error

    def _describe(self) -> str:
        return (self._wait or self.new_wait(self.poke_interval)).describe()

    def execute_complete(self, context: Context, event: WaitEvent) -> Any:
        """Conclude from what the trigger saw, and from what is there by now."""
        if event["status"] == "not_begun":
            self.log.warning("This wait could not be begun in the triggerer: %s", event["message"])
            return self.execute(context)
        hook = CodeOceanHook(self.codeocean_conn_id)
        try:
            with no_retry_for_what_it_cannot_mend(self):
                wait = self.new_wait(max(self.poke_interval, 1.0))
                url = self.show(context, hook.url)
                seen = hook.conclude(event, wait)
        except Exception as error:
            if self.never_fail or (self.soft_fail and isinstance(error, CodeOceanError)):
                # Airflow sees to its own errors, and to never_fail not in all versions.
                raise _skip_instead_of(error) from error
            if isinstance(error, WaitTimeout):
                raise AirflowSensorTimeout(str(error)) from error
            raise
        return self.result(seen, url)


def _skip_instead_of(error: Exception) -> AirflowSkipException:
    return AirflowSkipException(f"Skipping, as soft_fail or never_fail asks for: {error}")
