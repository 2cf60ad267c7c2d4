"""Check the parameters of a run against the App Panel of the capsule or pipeline.

Source: user guide, "App Panel"; ``GET capsules/{id}/app_panel``. Where the guide does not say what a capsule
accepts, such as more values than parameters, the values pass.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from airflow_provider_codeocean.api.text import describe

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from airflow_provider_codeocean.api.models.capsule import AppPanel, AppPanelParameter
    from airflow_provider_codeocean.api.models.computation import ProcessParams, RunParams

#: Problems of arguments: the path of each, and what is wrong.
Problem = tuple[str, str]

_INTEGER_TYPES = frozenset({"integer", "int"})
_NUMBER_TYPES = _INTEGER_TYPES | {"number", "float", "double"}
#: A longer value is not matched with a pattern, which could take long.
_MAX_PATTERN_CHARACTERS = 1000


def find_parameter_problems(panel: AppPanel, params: RunParams) -> list[Problem]:
    """Return everything that is wrong with the parameters of a run.

    :param panel: the App Panel of the version to run.
    :param params: the parameters of the run.
    :returns: the path of each invalid argument, and the problem.
    """
    problems = list(_check_group("parameters", panel.parameters, params))
    requested = {process.name: process for process in params.processes or ()}
    known = {process.name: process.parameters for process in panel.processes}
    for name, process_params in requested.items():
        if name in known:
            problems += _check_group(f"processes.{name}", known[name], process_params)
        elif known:
            problems.append((f"processes.{name}", f"there is no such process, only {_list(known)}"))
    for name in known.keys() - requested.keys():
        problems += _check_group(f"processes.{name}", known[name], None)
    return problems


def _check_group(
    path: str, panel_parameters: Sequence[AppPanelParameter], params: RunParams | ProcessParams | None
) -> Iterator[Problem]:
    ordered = list((params and params.parameters) or ())
    named = {item.param_name: item.value for item in (params and params.named_parameters) or ()}
    names = {parameter.param_name: parameter for parameter in panel_parameters if parameter.param_name}
    if not panel_parameters or (ordered and names):
        return
    if names:
        if len(names) == len(panel_parameters):
            for name in named.keys() - names.keys():
                yield f"{path}.{name}", f"there is no such parameter, only {_list(names)}"
        given = [(f"{path}.{name}", parameter, named.get(name)) for name, parameter in names.items()]
    elif named:
        return
    else:
        values = ordered + [None] * len(panel_parameters)
        given = [
            (f"{path}.{number}", parameter, value)
            for number, (parameter, value) in enumerate(zip(panel_parameters, values, strict=False))
        ]
    for parameter_path, parameter, value in given:
        problem = _check_value(parameter, value)
        if problem:
            yield parameter_path, f"{problem} (parameter {parameter.name!r} of the App Panel)"


def _check_value(parameter: AppPanelParameter, value: str | None) -> str | None:
    """Return what is wrong with a value, or None."""
    if not value:
        is_missing = parameter.required and not parameter.default_value
        return "must be given" if is_missing else None
    if parameter.type == "list":
        options = parameter.value_options
        return (
            f"must be one of {_list(options)}, got {describe(value)}"
            if options and value not in options
            else None
        )
    if parameter.type != "text":
        return None
    return _check_number(parameter, value) or _check_pattern(parameter, value)


def _check_number(parameter: AppPanelParameter, value: str) -> str | None:
    value_type = (parameter.value_type or "").lower()
    limits = (parameter.minimum, parameter.maximum)
    if value_type not in _NUMBER_TYPES and limits == (None, None):
        return None
    noun = "an integer" if value_type in _INTEGER_TYPES else "a number"
    try:
        number = float(value)
    except ValueError:
        return f"must be {noun}, got {describe(value)}"
    if not math.isfinite(number) or (value_type in _INTEGER_TYPES and not number.is_integer()):
        return f"must be {noun}, got {describe(value)}"
    low, high = limits
    if low is not None and number < low:
        return f"must be at least {low:g}, got {describe(value)}"
    if high is not None and number > high:
        return f"must be at most {high:g}, got {describe(value)}"
    return None


def _check_pattern(parameter: AppPanelParameter, value: str) -> str | None:
    if not parameter.pattern or len(value) > _MAX_PATTERN_CHARACTERS:
        return None
    try:
        matches = re.compile(parameter.pattern).search(value)
    except re.error:  # of another dialect
        return None
    return None if matches else f"must match {parameter.pattern!r}, got {describe(value)}"


def _list(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names))
