"""A whole sensor, in the triggerer: begun there, and ended there where all went well."""

from __future__ import annotations

import asyncio
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from airflow.triggers.base import BaseTrigger, TaskSuccessEvent, TriggerEvent
from jinja2 import StrictUndefined

from airflow_provider_codeocean.compat.tasks import pull_xcom, push_xcom
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.triggers._base import GRACE, RESULT_KEY, outcome
from airflow_provider_codeocean.triggers._mapped_arguments import given_to

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Mapping, Sequence
    from datetime import datetime, timedelta

    from airflow_provider_codeocean.polling.waits import Wait

#: Seconds within which Airflow is to tell what the arguments are. A busy triggerer takes a minute to begin to
#: answer, and what it does not know it never answers.
_ANSWER_SECONDS = 180.0
#: Seconds before its ``execution_timeout`` that a wait ends, so as to say for what it waited; and the part of
#: a short one.
_EARLY, _EARLY_PART = 10.0, 0.1


class WaitSensor(Protocol):
    """What is asked of a sensor, which is one of :mod:`airflow_provider_codeocean.sensors`."""

    template_fields: Collection[str]
    codeocean_conn_id: str

    def new_wait(self, poll_interval: float) -> Wait:
        """Make the wait, without a deadline."""
        ...

    def show(self, context: Any, deployment: str) -> str | None:
        """Show what it waits for in the UI, where there is a page of it."""
        ...

    def result(self, seen: Any, url: str | None) -> Any:
        """Make the task's result."""
        ...


class CodeOceanSensorTrigger(BaseTrigger):
    """Do all that a sensor does, from its start on, for Airflow 3.3.

    It finds the sensor's arguments (renders their templates, reads XComs, takes a mapped task's own), waits
    as all triggers of its connection do, writes the result to XCom and ends the task with success. All else
    is for a worker: its event makes the sensor's ``execute_complete`` begin where the arguments can be known
    there only, and conclude where the wait did not succeed, or where the task has something that Airflow sees
    to in a worker only (outlets, or callbacks for its beginning or success).

    It only reads, but for XComs that it writes with equal values each time: it may run twice at once. When it
    is started again its deadline is the same, as Airflow keeps the time at which the task is to be over.

    :param sensor: path of the sensor's class.
    :param arguments: the sensor's arguments by their names, as JSON values, with their templates.
    :param xcoms: the arguments that are what another task has left in XCom: its id and the XCom's key.
    :param poll_interval: the most seconds between two looks, above 0.
    :param timeout: seconds to wait, from the start of the task on.
    :param mapped_over: the arguments that ``expand`` was given, in that order: they are stored in another.
    """

    #: When Airflow ends the task, which it tells before :meth:`run`.
    timeout_after: datetime

    def __init__(
        self,
        sensor: str,
        arguments: Mapping[str, Any],
        xcoms: Mapping[str, tuple[str, str]],
        poll_interval: float,
        timeout: float,
        *,
        mapped_over: Sequence[str] = (),
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        # None of these is called like a field of the sensor's: Airflow would render it, and leave out what is
        # not there.
        self.sensor = sensor
        self.arguments = arguments
        self.xcoms = xcoms
        self.poll_interval = poll_interval
        self.timeout = timeout
        self.mapped_over = mapped_over

    @property
    def _ti(self) -> Any:
        """The task instance, which Airflow makes for triggers that start a task."""
        return self.task_instance

    @property
    def _stored(self) -> Any:
        """The sensor as it is stored with the DAG, mapped or not."""
        return self.task

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class and the arguments, as JSON values."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "sensor": self.sensor,
                "arguments": dict(self.arguments),
                "xcoms": {name: list(xcom) for name, xcom in self.xcoms.items()},
                "poll_interval": self.poll_interval,
                "timeout": self.timeout,
                "mapped_over": list(self.mapped_over),
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, and yield the one event."""
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                sensor = await self._make_sensor()
                wait = self._make_wait(sensor)
                url = await self._show(sensor)
        except Exception as error:  # noqa: BLE001 - whatever it is, a worker meets it too, and can tell it
            why = f"{type(error).__name__}: {error}"
            self.log.warning("This wait cannot be begun in the triggerer, but in a worker: %s", why)
            yield TriggerEvent({"status": "not_begun", "state": None, "message": why})
            return
        event = await outcome(sensor.codeocean_conn_id, wait)
        if event["status"] == "success" and not self._ends_in_worker():
            try:
                await self._push(sensor.result(wait.seen, url))
            except Exception as error:  # noqa: BLE001 - whatever it is, the wait has succeeded
                self.log.warning("The result is for a worker to write: %s: %s", type(error).__name__, error)
            else:
                self.log.info(event["message"])
                yield TaskSuccessEvent()
                return
        yield TriggerEvent(event)

    async def _make_sensor(self) -> WaitSensor:
        module, _, name = self.sensor.rpartition(".")
        sensor_class = getattr(import_module(module), name)
        task, ti = self._stored, self._ti
        pull = partial(pull_xcom, ti)
        values, resolved = (
            await given_to(ti.map_index, task.expand_input, self.mapped_over, pull)
            if task.is_mapped
            else ({}, ())
        )
        arguments = {**self.arguments, **values}
        for name in arguments.keys() & set(sensor_class.template_fields):
            if name not in resolved:
                arguments[name] = self._rendered(arguments[name])
        for name, (task_id, key) in self.xcoms.items():
            arguments[name] = await pull(task_id, key)
            if arguments[name] is None:
                raise LookupError(f"{name}: task {task_id} has left no XCom {key}")
        sensor: WaitSensor = sensor_class(task_id=task.task_id, **arguments)
        return sensor

    def _rendered(self, value: Any) -> Any:
        as_native = self._option("render_template_as_native_obj")
        if as_native or (as_native is None and self._stored.dag.render_template_as_native_obj):
            raise LookupError("templates are rendered as native objects in a worker only")
        environment = self.get_template_env()
        environment.undefined = StrictUndefined  # else what is not there would be rendered as nothing
        return self.render_template(value, self._ti.get_template_context(), environment)

    def _make_wait(self, sensor: WaitSensor) -> Wait:
        wait = sensor.new_wait(self.poll_interval)
        wait.deadline = self._deadline()
        wait.wants_to_read = True
        return wait

    def _deadline(self) -> float:
        """Return when to give up, in Unix seconds: some time before Airflow does, at each start the same."""
        ends, seconds = self.timeout_after.timestamp(), self.timeout + GRACE
        limit: timedelta | None = self._stored.execution_timeout
        if limit is None or limit.total_seconds() >= seconds:
            return ends - GRACE
        started = ends - limit.total_seconds()
        return min(started + self.timeout, ends - min(_EARLY, _EARLY_PART * limit.total_seconds()))

    async def _show(self, sensor: WaitSensor) -> str | None:
        shown = _Shown()
        url = sensor.show({"ti": shown}, await CodeOceanHook(sensor.codeocean_conn_id).get_async_url())
        for key, value in shown.xcoms.items():
            await push_xcom(self._ti, key, value)
        return url

    def _ends_in_worker(self) -> bool:
        """Whether the task has something that Airflow sees to in a worker only."""
        task = self._stored
        return bool(
            task.outlets
            or task.has_on_execute_callback
            or task.has_on_success_callback
            or self._option("multiple_outputs")
        )

    async def _push(self, result: Any) -> None:
        task = self._stored
        is_mapped_over = not task.is_mapped and next(task.iter_mapped_dependants(), None) is not None
        if self._option("do_xcom_push", default=True):
            mapped_length = len(result) if is_mapped_over else None
            await push_xcom(self._ti, RESULT_KEY, result, mapped_length=mapped_length)
        elif is_mapped_over:
            raise LookupError("tasks are mapped over the result, which is not written")

    def _option(self, name: str, *, default: Any = None) -> Any:
        """Return what the task was given for an argument that Airflow stores for mapped tasks apart."""
        task = self._stored
        return task.partial_kwargs.get(name, default) if task.is_mapped else getattr(task, name, default)


class _Shown:
    """Takes what a sensor shows while it waits, in place of a task instance, whose own cannot be awaited."""

    def __init__(self) -> None:
        self.xcoms: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        self.xcoms[key] = value
