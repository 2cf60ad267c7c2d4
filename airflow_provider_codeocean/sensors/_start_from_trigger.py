"""Starting sensors in the triggerer, plain and mapped: what the trigger is given. For Airflow 3.3.

What the triggerer cannot know is refused when the DAG is parsed, so that what is started there is right.
"""

from __future__ import annotations

import inspect
import json
from collections import ChainMap
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self

from airflow.providers.common.compat.sdk import BaseSensorOperator, ParamValidationError
from airflow.sdk.definitions.mappedoperator import MappedOperator, OperatorPartial
from airflow.sdk.definitions.param import ParamsDict
from airflow.sdk.definitions.xcom_arg import PlainXComArg, XComArg
from airflow.triggers.base import StartTriggerArgs

from airflow_provider_codeocean.sensors._template_check import check_for_triggerer
from airflow_provider_codeocean.triggers._base import GRACE
from airflow_provider_codeocean.triggers._mapped_arguments import is_one_task
from airflow_provider_codeocean.triggers.sensor import CodeOceanSensorTrigger

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import DAG, Param

    from airflow_provider_codeocean.sensors._base import CodeOceanWaitSensorBase

#: Parameters of constructors that say for what a sensor waits are of these kinds, and are none of these.
_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_WHERE = frozenset({"self", "deferrable", "start_from_trigger"})
_LEAVE_OUT = "or leave out start_from_trigger"


class _Mapped:
    """Stands in for an argument that each mapped task has its own value of."""


_MAPPED = _Mapped()


def start_trigger_args(sensor: CodeOceanWaitSensorBase) -> StartTriggerArgs:
    """Tell Airflow how to start a sensor in the triggerer.

    :param sensor: the sensor, with all its arguments.
    :returns: the trigger's class and arguments, always with a timeout.
    :raises ValueError: where the triggerer cannot know an argument, naming it.
    :raises TypeError: where the sensor does not keep an argument in an attribute of its name.
    """
    arguments: dict[str, Any] = {}
    xcoms: dict[str, tuple[str, str]] = {}
    for name in _own_arguments(type(sensor)):
        if not hasattr(sensor, name):
            raise TypeError(
                f"{type(sensor).__name__}: set the attribute {name} before calling the base class's "
                f"constructor, {_LEAVE_OUT}"
            )
        value = getattr(sensor, name)
        if isinstance(value, _Mapped):
            continue
        if isinstance(value, XComArg) and name in sensor.template_fields:
            xcoms[name] = _xcom_of_one_task(name, value)
        else:
            arguments[name] = _check(type(sensor), name, value)
    dag = sensor.get_dag()
    if dag is not None and dag.jinja_environment_kwargs:
        raise ValueError(
            f"start_from_trigger: the triggerer does not know the DAG's jinja_environment_kwargs; do without "
            f"them, {_LEAVE_OUT}"
        )
    path, kwargs = CodeOceanSensorTrigger(
        f"{type(sensor).__module__}.{type(sensor).__qualname__}",
        arguments,
        xcoms,
        poll_interval=max(sensor.poke_interval, 1.0),
        timeout=sensor.timeout,
    ).serialize()
    return StartTriggerArgs(
        trigger_cls=path,
        trigger_kwargs=kwargs,
        next_method="execute_complete",
        timeout=timedelta(seconds=sensor.timeout + GRACE),
    )


def own_params(params: Any, dag: DAG | None) -> ParamsDict:
    """Return a task's params without those that it has from its DAG, which count for it all the same.

    Airflow's whole triggerer ends over a stored task with a param that has no value, whatever the run gives.

    :param params: all params of the task.
    :param dag: its DAG.
    :returns: the task's own.
    :raises ValueError: where one of these has no value, or none that fits.
    """
    of_dag: Any = ParamsDict() if dag is None else dag.params
    own = {}
    for name in params:
        param = params.get_param(name)
        if name in of_dag and _same(param, of_dag.get_param(name)):
            continue
        try:
            param.resolve()
        except ParamValidationError as error:
            raise ValueError(
                f"params: give {name} a value that fits, or give it to the DAG, {_LEAVE_OUT}: {error}"
            ) from None
        own[name] = param
    return ParamsDict(own)


def _same(param: Param, other: Param) -> bool:
    value, other_value = param.resolve(suppress_exception=True), other.resolve(suppress_exception=True)
    return bool(value == other_value and param.schema == other.schema)


class SensorPartial(OperatorPartial):
    """What a sensor's ``partial`` returns: starts each mapped task in the triggerer, if it is told to."""

    @classmethod
    def instead_of(cls, partial: OperatorPartial) -> Self:
        """Take the place of what Airflow made.

        :param partial: what ``partial`` returned.
        :returns: the same, of this class.
        """
        partial._expand_called = True  # noqa: SLF001 - else it would complain that it never was
        return cls(operator_class=partial.operator_class, kwargs=partial.kwargs, params=partial.params)

    def expand(self, **mapped_kwargs: Any) -> MappedOperator:
        """Map over the product of lists; see Airflow's own."""
        task = super().expand(**mapped_kwargs)
        if _is_asked_for(task):
            for name, values in mapped_kwargs.items():
                if isinstance(values, XComArg):
                    _xcom_of_one_task(name, values)
                else:
                    _check_list(name, values)
                    _check(self.operator_class, name, values)
            _start_in_triggerer(task, mapped_kwargs)
        return task

    def expand_kwargs(self, kwargs: Any, *, strict: bool = True) -> MappedOperator:
        """Map over a list of arguments; see Airflow's own."""
        task = super().expand_kwargs(kwargs, strict=strict)
        if _is_asked_for(task):
            if not isinstance(kwargs, Sequence) or not all(isinstance(each, Mapping) for each in kwargs):
                raise ValueError(
                    "expand_kwargs: the triggerer does not know what other tasks return; give a list of "
                    f"mappings, use expand, {_LEAVE_OUT}"
                )
            names = {frozenset(each) for each in kwargs}
            if len(names) > 1:
                raise ValueError(
                    f"expand_kwargs: give all tasks the same arguments, {_LEAVE_OUT}, got "
                    + " and ".join(sorted(", ".join(sorted(each)) for each in names))
                )
            for each in kwargs:
                for name, value in each.items():
                    _check(self.operator_class, name, value)
            for each in names:  # none, where there is nothing to map over
                _start_in_triggerer(task, sorted(each))
        return task


def _is_asked_for(task: MappedOperator) -> bool:
    group, dag = task.task_group, task.dag
    defaults = ((group and group.default_args) or {}, (dag and dag.default_args) or {})
    return bool(ChainMap(task.partial_kwargs, *defaults).get("start_from_trigger"))


def _start_in_triggerer(task: MappedOperator, names: Collection[str]) -> None:
    sensor_class: Any = task.operator_class
    for name in sorted(set(names) - set(_own_arguments(sensor_class))):
        raise ValueError(
            f"{name}: give it to partial(), as waits that start in the triggerer are mapped over what they "
            f"wait for, {_LEAVE_OUT}"
        )
    task.partial_kwargs.pop("start_from_trigger", None)
    # Airflow would take these from the class, and start all mapped tasks with its arguments.
    one: Any = task.unmap({**dict.fromkeys(names, _MAPPED), "start_from_trigger": True})
    start: StartTriggerArgs = one.start_trigger_args
    task.start_trigger_args = replace(
        start, trigger_kwargs={**(start.trigger_kwargs or {}), "mapped_over": list(names)}
    )
    task.start_from_trigger = True
    task.params = one.params
    # What a worker makes of it, for one that is begun there.
    task.partial_kwargs |= {"start_from_trigger": False, "deferrable": True}


def _own_arguments(sensor_class: Any) -> Iterator[str]:
    """Yield the arguments that say for what a sensor waits: each is kept in an attribute of its name."""
    for each in sensor_class.__mro__:
        if each is BaseSensorOperator:
            return
        if "__init__" in vars(each):
            for name, parameter in inspect.signature(each.__init__).parameters.items():
                if parameter.kind in _BY_NAME and name not in _WHERE:
                    yield name


def _check(sensor_class: Any, name: str, value: Any) -> Any:
    """Check that the triggerer can know an argument, and return it as JSON values."""
    if name in sensor_class.template_fields:
        check_for_triggerer(name, value)
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError):
        raise ValueError(
            f"{name}: the triggerer can be given texts, numbers, lists and mappings, and as the whole of an "
            f"argument what one task returns, {_LEAVE_OUT}, got {value!r}"
        ) from None


def _check_list(name: str, value: Any) -> None:
    if not isinstance(value, list | tuple):
        raise TypeError(
            f"{name}: the triggerer can map over a list, or what one task returns, {_LEAVE_OUT}, "
            f"got {type(value).__name__}"
        )


def _xcom_of_one_task(name: str, value: XComArg) -> tuple[str, str]:
    """Return where in XCom a value is: a task's id and the key."""
    if type(value) is PlainXComArg and is_one_task(value.operator):
        return value.operator.task_id, value.key
    raise ValueError(
        f"{name}: the triggerer does not know what mapped tasks return, nor map(), zip() and concat(); give "
        f"it what one task returns, {_LEAVE_OUT}, got {value}"
    )
