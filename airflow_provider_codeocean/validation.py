"""Check the arguments of operators and sensors, before and after templates are rendered."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from airflow_provider_codeocean.api import text

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic_core import ErrorDetails

    from airflow_provider_codeocean.api.models.base import RequestModel
    from airflow_provider_codeocean.api.models.data_asset_params import DataAssetSearchParams

ParamsT = TypeVar("ParamsT", bound="RequestModel")
T = TypeVar("T")


class FieldReader(Protocol):
    """Reads a template field: :func:`static_value` before it is rendered, :func:`rendered_value` after."""

    def __call__(self, value: Any, placeholder: Any = ...) -> Any:
        """Return the value or a placeholder."""
        ...


_MAX_DURATION_SECONDS = timedelta(days=3650).total_seconds()
#: Placeholder for values that are unknown before templates are rendered. It passes all checks.
_UNRENDERED = "rendered-by-a-template-later"
_TEMPLATE_MARKERS = ("{{", "{%", "{#")
#: Markers that DAGs may set in ``jinja_environment_kwargs``.
_CUSTOM_TEMPLATE_MARKERS = ("[[", "[%", "<<", "<%", "${")
_PACKAGE_NAME = __name__.partition(".")[0]
#: Kinds of objects, by the name of the argument for their id.
_RESOURCES_BY_ID_ARGUMENT = {
    "data_asset_id": "a data asset",
    "computation_id": "a computation",
    "capsule_id": "a capsule",
    "pipeline_id": "a pipeline",
}
#: Problems of a value that a template rendered.
_RENDERED_PROBLEMS = {text.EMPTY_MESSAGE: "rendered to an empty text", text.NONE_MESSAGE: "rendered to None"}


class ArgumentError(ValueError):
    """Invalid arguments.

    :param *problems: the path (``tags.1``) and the problem of each invalid argument.
    """

    def __init__(self, *problems: tuple[str, str]) -> None:
        super().__init__(*problems)
        self.problems = problems

    def __str__(self) -> str:
        return self.format_message({})

    def format_message(self, templates: Mapping[str, Any]) -> str:
        """Return the message.

        :param templates: the arguments before they were rendered.
        :returns: the problems, each with the template of the value.
        """
        sentences = []
        for path, problem in self.problems:
            template = _find_template(path, templates)
            sentence = (
                f"{_RENDERED_PROBLEMS.get(problem, problem)} (template: {template})" if template else problem
            )
            sentences.append(f"{path}: {sentence}" if path else sentence)
        return "; ".join(sentences)


def _find_template(path: str, templates: Mapping[str, Any]) -> str:
    value: Any = templates
    for part in path.split("."):
        if isinstance(value, Mapping):
            value = value.get(part)
        elif isinstance(value, list | tuple) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
    if isinstance(value, str):
        return repr(value) if static_value(value) != value else ""
    return str(value) if hasattr(value, "operator") else ""


class TemplateTrackingMixin:
    """Keeps the templates of the arguments for error messages.

    :ivar templates: the templated arguments before rendering; empty for mapped tasks.
    """

    templates: Mapping[str, Any] = {}

    def render_template_fields(self, context: Any, jinja_env: Any = None) -> None:
        """Render the templated arguments as Airflow does, but restore None, which Airflow renders to text."""
        task: Any = self
        self.templates = {name: getattr(self, name, None) for name in task.template_fields}
        base: Any = super()
        base.render_template_fields(context, jinja_env)
        for name, template in self.templates.items():
            setattr(self, name, _restore_none(getattr(self, name, None), template))


def _restore_none(rendered: Any, template: Any) -> Any:
    if isinstance(template, str):
        return None if rendered == "None" != template else rendered
    if isinstance(template, Mapping) and isinstance(rendered, Mapping):
        return {key: _restore_none(value, template.get(key)) for key, value in rendered.items()}
    if isinstance(template, list | tuple) and isinstance(rendered, list | tuple):
        return [_restore_none(*pair) for pair in zip(rendered, template, strict=True)]
    return rendered


def check_duration(name: str, value: float | timedelta) -> float:
    """Return a duration in seconds; raise ValueError unless it is above 0 and at most 10 years."""
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if (
        isinstance(seconds, bool)
        or not isinstance(seconds, int | float)
        or not 0 < seconds <= _MAX_DURATION_SECONDS
    ):
        raise ValueError(
            f"{name} must be a number of seconds or a timedelta, greater than 0 and 10 years at most, "
            f"got {value!r}"
        )
    return float(seconds)


def check_flags(**flags: Any) -> None:
    """Raise ValueError if a value is neither a boolean nor None."""
    for name, value in flags.items():
        if value is not None and not isinstance(value, bool):
            raise ValueError(f"{name} must be True or False, got {value!r}")


def has_value(value: Any) -> bool:
    """Return whether an optional argument is set: neither None nor blank text."""
    return value is not None and not text.is_blank(value)


def check_identifier(name: str, value: Any) -> str:
    """Check an id.

    :param name: name of the argument.
    :param value: the id, or the result of an operator: a mapping with an ``id``.
    :returns: the id.
    :raises ArgumentError: if the value is not an id.
    """
    try:
        return (text.to_capsule_id if name in {"capsule_id", "pipeline_id"} else text.to_id)(value)
    except ValueError as error:
        hint = text.ID_HINTS.get(name, "") if str(error).startswith("must be an id") else ""
        raise ArgumentError((name, f"{error}{hint and f'. {hint}'}")) from None


def check_unrendered_identifier(name: str, value: Any) -> None:
    """Check an id, a template, or the output of a task before templates are rendered."""
    _check_task_output(name, value)
    check_identifier(name, static_value(value))


def _check_task_output(name: str, output: Any) -> None:
    """Check that the output of a task of this package is or contains the right kind of id."""
    operator, key = getattr(output, "operator", None), getattr(output, "key", None)
    if operator is None or not type(operator).__module__.startswith(f"{_PACKAGE_NAME}."):
        return
    if getattr(operator, "multiple_outputs", False):
        return
    returned = getattr(operator, "external_id_key", None) or getattr(operator, "result_id_key", None)
    task = f"task {operator.task_id!r}"
    if key not in ("return_value", getattr(operator, "external_id_key", None)):
        id_output = f" or its output[{returned!r}]" if returned else ""
        problem = f"{task} leaves no XCom {key!r}; give its output{id_output}"
    elif returned is None:
        problem = f"the result of {task} ({type(operator).__name__}) has no id"
    elif name in _RESOURCES_BY_ID_ARGUMENT and name != returned:
        problem = (
            f"must be the id of {_RESOURCES_BY_ID_ARGUMENT[name]}, "
            f"but {task} returns {_RESOURCES_BY_ID_ARGUMENT[returned]}"
        )
    else:
        return
    raise ArgumentError((name, problem))


def check_text(name: str, value: Any, convert: Callable[[Any], str] = text.to_nonempty_text) -> str:
    """Check text.

    :param name: name of the argument.
    :param value: text, or an integer, which becomes text.
    :param convert: a function of :mod:`airflow_provider_codeocean.api.text`.
    :returns: the text to send.
    :raises ArgumentError: if the function rejects the value.
    """
    try:
        return convert(value)
    except ValueError as error:
        raise ArgumentError((name, str(error))) from None


def check_optional_text(
    name: str, value: Any, convert: Callable[[Any], str] = text.to_nonempty_text
) -> str | None:
    """Check optional text; see :func:`check_text`. Blank text becomes None."""
    return check_text(name, value, convert) if has_value(value) else None


def check_patterns(name: str, value: Any) -> Any:
    """Check one or more glob patterns. None and blank text, which match everything, become None."""
    value = to_list(value)
    if isinstance(value, list):
        return [check_text(f"{name}.{number}", pattern) for number, pattern in enumerate(value)]
    return check_optional_text(name, value)


def to_data_asset_mount(data_asset: Any) -> Any:
    """Return a data asset to attach (its id, a mapping, or the result of an operator) as a mapping."""
    is_result = isinstance(data_asset, Mapping) and "state" in data_asset
    return data_asset if isinstance(data_asset, Mapping) and not is_result else {"id": data_asset}


def resolve_mount(name: str, mount: Any, argument: str = "name") -> Any:
    """Return the mount folder of a new data asset.

    :param name: its display name.
    :param mount: the requested folder; if it is None or blank, the name of the data asset is used.
    :param argument: name of the argument for the display name.
    :returns: the folder.
    :raises ArgumentError: if no folder is requested and the name is not a valid folder name.
    """
    if has_value(mount):
        return mount
    try:
        return text.derive_folder_name(check_text(argument, name, text.to_display_name))
    except ArgumentError:
        raise
    except ValueError as error:
        raise ArgumentError(
            (
                argument,
                f"{error}; give mount, because it is derived from the name by default",
            )
        ) from None


def check_template_syntax(name: str, value: T) -> T:
    """Return a value; raise ValueError if it is a template with invalid syntax."""
    if isinstance(value, str):
        from jinja2 import Environment, TemplateSyntaxError

        try:
            Environment().parse(value)  # noqa: S701 - nothing is rendered
        except TemplateSyntaxError as error:
            raise ValueError(f"{name} is no template: {error}, in {value!r}") from None
    return value


def check_no_template(name: str, value: T) -> T:
    """Return the value of an argument that is not templated; raise ValueError if it is a template."""
    if static_value(value, markers=_TEMPLATE_MARKERS) != value:
        raise ValueError(f"{name} must not be a template, because it is not rendered, got {value!r}")
    return value


def to_list(value: Any) -> Any:
    """Convert a sequence to a list; return text and other values unchanged."""
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Raise ValueError if a value is not one of the choices."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}")


def check_count(name: str, value: Any, maximum: int) -> None:
    """Raise ValueError if a value is not an integer from 1 to the maximum."""
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= maximum:
        raise ValueError(f"{name} must be a whole number from 1 to {maximum}, got {value!r}")


def check_timestamp(name: str, value: datetime | str | float) -> float:
    """Return a datetime or ISO 8601 text with a zone, or Unix seconds, as Unix seconds."""
    import pendulum

    try:
        time = pendulum.parse(value, tz=None) if isinstance(value, str) else value
        if isinstance(time, datetime) and time.tzinfo is not None:
            return time.timestamp()
        if isinstance(time, int | float) and not isinstance(time, bool) and math.isfinite(time):
            return float(time)
    except ValueError:
        pass
    raise ValueError(
        f"{name} must be a time with a zone, such as 2026-01-31T12:00:00+00:00, or Unix seconds, "
        f"got {value!r}"
    )


def check_exactly_one(**identifiers: Any) -> str:
    """Return the only argument that is set; raise ValueError if none or several are."""
    names = [name for name, value in identifiers.items() if has_value(value)]
    if len(names) != 1:
        raise ValueError(f"give exactly one of {', '.join(identifiers)}, got {' and '.join(names) or 'none'}")
    return names[0]


def build_params_model(
    model: type[ParamsT], argument_names: Mapping[str, str], values: Mapping[str, Any]
) -> ParamsT:
    """Build the parameters of a request.

    :param model: the model.
    :param argument_names: names of arguments, by the path in the model (``source.computation.id``).
    :param values: the values of the model.
    :returns: the parameters; unchecked if values are unknown before rendering.
    :raises ArgumentError: if a value is invalid; the message names the argument and the valid values.
    """
    from pydantic import ValidationError

    try:
        return model.model_validate(values)
    except ValidationError as error:
        problems = [
            (_argument_path(problem["loc"], argument_names), _describe_problem(problem))
            for problem in error.errors(include_url=False)
            if not is_unrendered(problem["input"])
        ]
        if not problems:
            return cast("ParamsT", model.model_construct(**values))
        raise ArgumentError(*dict.fromkeys(problems)) from None


def _argument_path(location: Sequence[int | str], argument_names: Mapping[str, str]) -> str:
    path = ".".join(str(part) for part in location if part != "[key]")
    for prefix, argument in argument_names.items():
        if path == prefix or not prefix or path.startswith(f"{prefix}."):
            return f"{argument}{'' if prefix else '.' if path else ''}{path.removeprefix(prefix)}"
    return path


#: Problems by the first word of the type of pydantic's error.
_PROBLEMS_BY_ERROR_TYPE = {
    "missing": "is required",
    "int": "must be a whole number",
    "bool": "must be true or false",
    "list": "must be a list",
    "dict": "must be a mapping",
    "model": "must be a mapping",
    "enum": "must be one of {expected}",
    "greater": "must be at least {ge}",
    "less": "must be at most {le}",
    "too": "must not be empty",
}


def _describe_problem(error: ErrorDetails) -> str:
    """Return the problem, without the value of a secret."""
    context = error.get("ctx", {})
    if template_error := text.get_template_error(error["input"]):
        return template_error
    if error["type"] == "value_error":
        return str(context["error"])
    problem = _PROBLEMS_BY_ERROR_TYPE.get(error["type"].partition("_")[0], "is not valid").format(**context)
    if error["type"] == "missing" or "client_secret" in error["loc"]:
        return problem
    return f"{problem}, got {text.describe(error['input'])}"


def rendered_value(value: Any, placeholder: Any = None) -> Any:  # noqa: ARG001 - a FieldReader
    """Return the value of a template field after rendering: the value itself."""
    return value


def static_value(
    value: Any,
    placeholder: Any = _UNRENDERED,
    markers: Sequence[str] = _TEMPLATE_MARKERS + _CUSTOM_TEMPLATE_MARKERS,
) -> Any:
    """Return the value of a template field before rendering, with placeholders for unknown parts.

    :param value: the value of the argument.
    :param placeholder: replaces a template or the output of another task.
    :param markers: texts that identify a template.
    :returns: the value.
    """
    if isinstance(value, str):
        return placeholder if any(marker in value for marker in markers) else value
    if text.get_template_error(value):
        return value
    if isinstance(value, Mapping):
        return {key: static_value(item, markers=markers) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [static_value(item, markers=markers) for item in value]
    return value if value is None or isinstance(value, int | float | date) else placeholder


def is_unrendered(value: Any) -> bool:
    """Return whether a value is the placeholder of :func:`static_value`."""
    return isinstance(value, str) and value == _UNRENDERED


#: Arguments that restrict the results of a search.
_SEARCH_CONDITIONS = ("query", "filters", "type", "ownership", "origin")
#: Arguments of a search of data assets.
SEARCH_ARGUMENTS = (
    *_SEARCH_CONDITIONS,
    "favorite",
    "archived",
    "sort_field",
    "sort_order",
)


def build_data_asset_search(
    task: Any, read_field: FieldReader, *, limit: int, require_condition: bool = False
) -> DataAssetSearchParams:
    """Build a search from the arguments of a task.

    :param task: a task with the attributes in :data:`SEARCH_ARGUMENTS`.
    :param read_field: reads a template field.
    :param limit: results per page.
    :param require_condition: whether a search without conditions is always an error. Otherwise it is an error
        only if a condition has a template, which has rendered to nothing.
    :returns: the parameters.
    :raises ValueError: if an argument is invalid; the message names it.
    """
    from airflow_provider_codeocean.api.models.data_asset_params import DataAssetSearchParams

    values = {name: read_field(getattr(task, name, None)) for name in SEARCH_ARGUMENTS}
    params = build_params_model(DataAssetSearchParams, {}, values | {"limit": limit})
    if read_field is rendered_value and not any(getattr(params, name) for name in _SEARCH_CONDITIONS):
        templates = (task.templates.get(name) for name in _SEARCH_CONDITIONS)
        if require_condition or any(has_value(template) and template != [] for template in templates):
            names = ", ".join(_SEARCH_CONDITIONS)
            raise ArgumentError(("", f"all of {names} rendered to nothing: every data asset would match"))
    return params
