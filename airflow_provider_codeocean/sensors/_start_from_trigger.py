"""Start sensors in the triggerer of Airflow 3.3, plain and mapped.

Arguments that the triggerer cannot resolve are rejected when Airflow parses the DAG.
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
from typing_extensions import override

from airflow_provider_codeocean.sensors._template_check import check_renderable_in_triggerer
from airflow_provider_codeocean.triggers._base import TIMEOUT_MARGIN_SECONDS
from airflow_provider_codeocean.triggers._mapped_arguments import is_unmapped_task
from airflow_provider_codeocean.triggers.sensor import CodeOceanSensorTrigger

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import DAG, Param

    from airflow_provider_codeocean.sensors._base import CodeOceanWaitSensorBase

_KEYWORD_KINDS = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
#: Constructor parameters that do not belong to the target.
_EXECUTION_PARAMETERS = frozenset({"self", "deferrable", "start_from_trigger"})
_REMEDY = "or remove start_from_trigger"


class _MappedPlaceholder:
    """Stands in for an argument whose value differs between mapped tasks."""


_MAPPED_PLACEHOLDER = _MappedPlaceholder()


def build_start_trigger_args(sensor: CodeOceanWaitSensorBase) -> StartTriggerArgs:
    """Return how Airflow starts a sensor in the triggerer, or raise if that cannot resolve an argument."""
    arguments: dict[str, Any] = {}
    xcoms: dict[str, tuple[str, str]] = {}
    for name in _sensor_argument_names(type(sensor)):
        if not hasattr(sensor, name):
            raise TypeError(
                f"{type(sensor).__name__}: set the attribute {name} before calling the base class's "
                f"constructor, {_REMEDY}"
            )
        value = getattr(sensor, name)
        if isinstance(value, _MappedPlaceholder):
            continue
        if isinstance(value, XComArg) and name in sensor.template_fields:
            xcoms[name] = _xcom_reference(name, value)
        else:
            arguments[name] = _check_argument(type(sensor), name, value)
    dag = sensor.get_dag()
    if dag is not None and dag.jinja_environment_kwargs:
        raise ValueError(
            "start_from_trigger: the triggerer does not support the DAG's jinja_environment_kwargs; remove "
            f"them, {_REMEDY}"
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
        timeout=timedelta(seconds=sensor.timeout + TIMEOUT_MARGIN_SECONDS),
    )


def task_only_params(params: Any, dag: DAG | None) -> ParamsDict:
    """Return a task's params without those of its DAG, which apply nevertheless.

    Airflow's triggerer exits if a serialized task has a param without a value, even if the DAG run has one.
    """
    dag_params: Any = ParamsDict() if dag is None else dag.params
    task_params = {}
    for name in params:
        param = params.get_param(name)
        if name in dag_params and _is_same_param(param, dag_params.get_param(name)):
            continue
        try:
            param.resolve()
        except ParamValidationError as error:
            raise ValueError(
                f"params: set a valid value for {name}, or move it to the DAG, {_REMEDY}: {error}"
            ) from None
        task_params[name] = param
    return ParamsDict(task_params)


def _is_same_param(param: Param, other: Param) -> bool:
    value, other_value = param.resolve(suppress_exception=True), other.resolve(suppress_exception=True)
    return bool(value == other_value and param.schema == other.schema)


class SensorPartial(OperatorPartial):
    """The result of a sensor's ``partial``: starts each mapped task in the triggerer if requested."""

    @classmethod
    def from_partial(cls, partial: OperatorPartial) -> Self:
        """Return Airflow's partial as an instance of this class."""
        partial._expand_called = True  # noqa: SLF001 - otherwise it warns that it was never expanded
        return cls(operator_class=partial.operator_class, kwargs=partial.kwargs, params=partial.params)

    @override
    def expand(self, **mapped_kwargs: Any) -> MappedOperator:
        task = super().expand(**mapped_kwargs)
        if _requests_start_from_trigger(task):
            for name, values in mapped_kwargs.items():
                if isinstance(values, XComArg):
                    _xcom_reference(name, values)
                elif isinstance(values, list | tuple):
                    _check_argument(self.operator_class, name, values)
                else:
                    raise TypeError(
                        f"{name}: the triggerer can map over a list, or the result of one task; pass one of "
                        f"them, {_REMEDY}, got {type(values).__name__}"
                    )
            _enable_start_from_trigger(task, list(mapped_kwargs))
        return task

    @override
    def expand_kwargs(self, kwargs: Any, *, strict: bool = True) -> MappedOperator:
        task = super().expand_kwargs(kwargs, strict=strict)
        if _requests_start_from_trigger(task):
            if not isinstance(kwargs, Sequence) or not all(isinstance(values, Mapping) for values in kwargs):
                raise ValueError(
                    "expand_kwargs: the triggerer cannot map over the result of a task; pass a list of "
                    f"mappings, use expand, {_REMEDY}"
                )
            names = sorted({", ".join(sorted(values)) for values in kwargs})
            if len(names) > 1:
                raise ValueError(
                    f"expand_kwargs: pass the same arguments to all tasks, {_REMEDY}, got "
                    + " and ".join(names)
                )
            for values in kwargs:
                for name, value in values.items():
                    _check_argument(self.operator_class, name, value)
            if kwargs:
                _enable_start_from_trigger(task, sorted(kwargs[0]))
        return task


def _requests_start_from_trigger(task: MappedOperator) -> bool:
    group, dag = task.task_group, task.dag
    defaults = ((group and group.default_args) or {}, (dag and dag.default_args) or {})
    return bool(ChainMap(task.partial_kwargs, *defaults).get("start_from_trigger"))


def _enable_start_from_trigger(task: MappedOperator, mapped_argument_names: Collection[str]) -> None:
    sensor_class: Any = task.operator_class
    for name in sorted(set(mapped_argument_names) - set(_sensor_argument_names(sensor_class))):
        raise ValueError(
            f"{name}: pass it to partial(), because sensors that start in the triggerer can be mapped only "
            f"over the arguments of their target, {_REMEDY}"
        )
    task.partial_kwargs.pop("start_from_trigger", None)
    # Airflow would read these from the class, and start all mapped tasks with the same arguments.
    placeholders = dict.fromkeys(mapped_argument_names, _MAPPED_PLACEHOLDER)
    sensor: Any = task.unmap({**placeholders, "start_from_trigger": True})
    start: StartTriggerArgs = sensor.start_trigger_args
    task.start_trigger_args = replace(
        start,
        trigger_kwargs={**(start.trigger_kwargs or {}), "mapped_argument_names": list(mapped_argument_names)},
    )
    task.start_from_trigger = True
    task.params = sensor.params
    # For tasks that the trigger leaves to a worker.
    task.partial_kwargs |= {"start_from_trigger": False, "deferrable": True}


def _sensor_argument_names(sensor_class: Any) -> Iterator[str]:
    """Yield the constructor parameters of the target; each is stored in an attribute of the same name."""
    for base in sensor_class.__mro__:
        if base is BaseSensorOperator:
            return
        if "__init__" in vars(base):
            for name, parameter in inspect.signature(base.__init__).parameters.items():
                if parameter.kind in _KEYWORD_KINDS and name not in _EXECUTION_PARAMETERS:
                    yield name


def _check_argument(sensor_class: Any, name: str, value: Any) -> Any:
    """Check that the triggerer can resolve an argument, and return it as JSON values."""
    if name in sensor_class.template_fields:
        check_renderable_in_triggerer(name, value)
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError):
        raise ValueError(
            f"{name}: the triggerer accepts texts, numbers, lists, mappings, and the result of one task as a "
            f"whole argument; pass one of them, {_REMEDY}, got {value!r}"
        ) from None


def _xcom_reference(name: str, value: XComArg) -> tuple[str, str]:
    """Return the id of the task and the key of an XCom."""
    if type(value) is PlainXComArg and is_unmapped_task(value.operator):
        return value.operator.task_id, value.key
    raise ValueError(
        f"{name}: the triggerer cannot read the results of mapped tasks, nor map(), zip(), and concat(); "
        f"pass the result of one task, {_REMEDY}, got {value}"
    )
