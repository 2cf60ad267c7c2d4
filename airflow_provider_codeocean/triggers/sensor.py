"""Trigger that runs a whole sensor."""

from __future__ import annotations

import asyncio
from functools import partial
from importlib import import_module
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TaskSuccessEvent, TriggerEvent
from jinja2 import StrictUndefined
from typing_extensions import override

from airflow_provider_codeocean.compat.tasks import pull_xcom, push_xcom
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.triggers._base import TIMEOUT_MARGIN_SECONDS, XCOM_RETURN_KEY, wait_and_report
from airflow_provider_codeocean.triggers._mapped_arguments import resolve_mapped_arguments

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from datetime import datetime, timedelta

    from airflow_provider_codeocean.polling.waits import Wait

#: Limit of the setup before the wait. A busy triggerer takes a minute to answer its first requests, and some
#: requests it never answers.
_SETUP_TIMEOUT_SECONDS = 180.0
#: How long before the task's ``execution_timeout`` a wait ends, for a better message than Airflow's.
_MAX_EARLY_END_SECONDS = 10.0
#: The same as a fraction of a short ``execution_timeout``.
_EARLY_END_FRACTION = 0.1


class CodeOceanSensorTrigger(BaseTrigger):
    """Run a sensor from its start (Airflow 3.3 and later).

    The trigger resolves the sensor's arguments (templates, XComs, and mapped arguments), waits, pushes the
    result to XCom, and ends the task. The sensor's ``execute_complete`` runs in a worker only if the
    arguments cannot be resolved in the triggerer, if the wait does not succeed, or if the task has something
    that Airflow handles only in workers, such as outlets or callbacks.

    It only reads, except for XComs that it writes with equal values each time, so Airflow may run it twice at
    once. A restarted trigger has the same deadline, because Airflow stores when the task times out.

    :param sensor_classpath: path of the sensor's class.
    :param sensor_kwargs: the sensor's arguments, as JSON values, before templates are rendered.
    :param xcom_references: arguments that are the result of another task: its id and the XCom's key.
    :param poll_interval: maximum number of seconds between two polls, above 0.
    :param timeout: seconds to wait from the start of the task.
    :param mapped_argument_names: the arguments of ``expand`` in the order of the DAG file.
    """

    #: When the task times out; Airflow sets it before :meth:`run`.
    timeout_after: datetime

    def __init__(
        self,
        sensor_classpath: str,
        sensor_kwargs: Mapping[str, Any],
        xcom_references: Mapping[str, tuple[str, str]],
        poll_interval: float,
        timeout: float,
        *,
        mapped_argument_names: Sequence[str] = (),
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        # No name may equal a template field of the sensor: Airflow would render it.
        self.sensor_classpath = sensor_classpath
        self.sensor_kwargs = sensor_kwargs
        self.xcom_references = xcom_references
        self.poll_interval = poll_interval
        self.timeout = timeout
        self.mapped_argument_names = mapped_argument_names

    @property
    def _ti(self) -> Any:
        return self.task_instance

    @property
    def _stored_task(self) -> Any:
        return self.task

    @override
    def serialize(self) -> tuple[str, dict[str, Any]]:
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "sensor_classpath": self.sensor_classpath,
                "sensor_kwargs": dict(self.sensor_kwargs),
                "xcom_references": {name: list(xcom) for name, xcom in self.xcom_references.items()},
                "poll_interval": self.poll_interval,
                "timeout": self.timeout,
                "mapped_argument_names": list(self.mapped_argument_names),
            },
        )

    @override
    async def run(self) -> AsyncIterator[TriggerEvent]:
        try:
            async with asyncio.timeout(_SETUP_TIMEOUT_SECONDS):
                sensor = await self._build_sensor()
                wait: Wait = sensor.build_wait(self.poll_interval)
                wait.deadline = self._compute_deadline()
                wait.needs_full_read = True
                url = await self._set_link(sensor)
        except Exception as error:  # noqa: BLE001 - a worker meets the same error, or can do without
            reason = f"{type(error).__name__}: {error}"
            self.log.warning("Could not start the wait in the triggerer, leaving it to a worker: %s", reason)
            yield TriggerEvent({"status": "not_started", "state": None, "message": reason})
            return
        event = await wait_and_report(sensor.codeocean_conn_id, wait)
        if event["status"] == "success" and not self._must_end_in_worker():
            try:
                await self._push_result(sensor.build_result(wait.result, url))
            except Exception as error:  # noqa: BLE001 - a worker can still end the task
                self.log.warning("Could not push the result to XCom, leaving it to a worker: %r", error)
            else:
                self.log.info(event["message"])
                yield TaskSuccessEvent()
                return
        yield TriggerEvent(event)

    async def _build_sensor(self) -> Any:
        """Return the sensor, a ``CodeOceanWaitSensorBase`` with resolved arguments."""
        module, _, name = self.sensor_classpath.rpartition(".")
        sensor_class = getattr(import_module(module), name)
        task, pull = self._stored_task, partial(pull_xcom, self._ti)
        arguments, names_from_xcom = dict(self.sensor_kwargs), frozenset[str]()
        if task.is_mapped:
            values, names_from_xcom = await resolve_mapped_arguments(
                self._ti.map_index, task.expand_input, self.mapped_argument_names, pull
            )
            arguments |= values
        for name in (arguments.keys() & set(sensor_class.template_fields)) - names_from_xcom:
            arguments[name] = self._render_value(arguments[name])
        for name, (task_id, key) in self.xcom_references.items():
            arguments[name] = await pull(task_id, key)
            if arguments[name] is None:
                raise LookupError(f"{name}: task {task_id} has no XCom {key}")
        return sensor_class(task_id=task.task_id, **arguments)

    def _render_value(self, value: Any) -> Any:
        as_native = self._task_argument("render_template_as_native_obj")
        if as_native or (as_native is None and self._stored_task.dag.render_template_as_native_obj):
            raise LookupError("only a worker can render templates as native objects")
        environment = self.get_template_env()
        environment.undefined = StrictUndefined  # the default renders missing variables as empty texts
        return self.render_template(value, self._ti.get_template_context(), environment)

    def _compute_deadline(self) -> float:
        """Return when to give up, in Unix seconds: before Airflow does, and the same after a restart."""
        ends_at, seconds = self.timeout_after.timestamp(), self.timeout + TIMEOUT_MARGIN_SECONDS
        limit: timedelta | None = self._stored_task.execution_timeout
        if limit is None or limit.total_seconds() >= seconds:
            return ends_at - TIMEOUT_MARGIN_SECONDS
        started_at = ends_at - limit.total_seconds()
        early = min(_MAX_EARLY_END_SECONDS, _EARLY_END_FRACTION * limit.total_seconds())
        return min(started_at + self.timeout, ends_at - early)

    async def _set_link(self, sensor: Any) -> str | None:
        xcoms: dict[str, Any] = {}

        def record_xcom(key: str, value: Any) -> None:
            xcoms[key] = value

        # The sensor's method is not async, and the task instance's own xcom_push would block.
        context = {"ti": SimpleNamespace(xcom_push=record_xcom)}
        url: str | None = sensor.set_link(
            context, await CodeOceanHook(sensor.codeocean_conn_id).get_async_url()
        )
        for key, value in xcoms.items():
            await push_xcom(self._ti, key, value)
        return url

    def _must_end_in_worker(self) -> bool:
        """Return whether the task has something that Airflow handles only in workers."""
        task = self._stored_task
        return bool(
            task.outlets
            or task.has_on_execute_callback
            or task.has_on_success_callback
            or self._task_argument("multiple_outputs")
        )

    async def _push_result(self, result: Any) -> None:
        task = self._stored_task
        is_mapped_over = not task.is_mapped and next(task.iter_mapped_dependants(), None) is not None
        if self._task_argument("do_xcom_push", default=True):
            mapped_length = len(result) if is_mapped_over else None
            await push_xcom(self._ti, XCOM_RETURN_KEY, result, mapped_length=mapped_length)
        elif is_mapped_over:
            raise LookupError("tasks are mapped over the result, but do_xcom_push is False")

    def _task_argument(self, name: str, *, default: Any = None) -> Any:
        """Return an argument of the task; Airflow stores those of mapped tasks separately."""
        task = self._stored_task
        return task.partial_kwargs.get(name, default) if task.is_mapped else getattr(task, name, default)
