"""Checks of the arguments of operators and sensors, before and after templates are rendered."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from airflow_provider_codeocean.api import text

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic_core import ErrorDetails

    from airflow_provider_codeocean.api.models.base import Params
    from airflow_provider_codeocean.api.models.data_asset_params import DataAssetSearchParams

P = TypeVar("P", bound="Params")
T = TypeVar("T")


class ReadField(Protocol):
    """Reads a template field: :func:`known_now` before it is rendered, :func:`as_rendered` after."""

    def __call__(self, value: Any, instead: Any = ...) -> Any:
        """Return the value, or what stands in for it."""
        ...


_LONGEST = timedelta(days=3650).total_seconds()
#: Stands in for what is not known before templates are rendered: nothing can be wrong with it yet.
_LATER = "rendered-by-a-template-later"
_MARKS = ("{{", "{%", "{#")
#: Templates of DAGs that set other marks in ``jinja_environment_kwargs``.
_OTHER_MARKS = ("[[", "[%", "<<", "<%", "${")
_PACKAGE = __name__.partition(".")[0]
#: What an id is of, by the name of the argument.
_KINDS = {
    "data_asset_id": "a data asset",
    "computation_id": "a computation",
    "capsule_id": "a capsule",
    "pipeline_id": "a pipeline",
}


_RENDERED = {text.EMPTY: "rendered to an empty text", text.NONE: "rendered to None"}


class ArgumentError(ValueError):
    """An argument is wrong; the message names it.

    :param *problems: the path of each wrong argument (``tags.1``), and what is wrong with it.
    """

    def __init__(self, *problems: tuple[str, str]) -> None:
        super().__init__(*problems)
        self.problems = problems

    def __str__(self) -> str:
        return self.explained({})

    def explained(self, templates: Mapping[str, Any]) -> str:
        """Return the message.

        :param templates: the arguments as they were before they were rendered.
        :returns: the problems, each with the template that its value was rendered from.
        """
        sentences = []
        for path, problem in self.problems:
            template = _template_at(path, templates)
            said = f"{_RENDERED.get(problem, problem)} (template: {template})" if template else problem
            sentences.append(f"{path}: {said}" if path else said)
        return "; ".join(sentences)


def _template_at(path: str, templates: Mapping[str, Any]) -> str:
    value: Any = templates
    for part in path.split("."):
        if isinstance(value, Mapping):
            value = value.get(part)
        elif isinstance(value, list | tuple) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
    if isinstance(value, str):
        return repr(value) if known_now(value) != value else ""
    return str(value) if hasattr(value, "operator") else ""


class KnowsTemplates:
    """Mixin of operators and sensors: keeps the templates of its arguments, for the messages of errors.

    :ivar templates: the templated arguments as they were before they were rendered; empty for mapped tasks,
        whose templates Airflow renders itself.
    """

    templates: Mapping[str, Any] = {}

    def render_template_fields(self, context: Any, jinja_env: Any = None) -> None:
        """Render the templated arguments as Airflow does, except that ``None`` stays None.

        Airflow renders an XCom or a parameter that is None to the text ``None``.
        """
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


def check_seconds(name: str, value: float | timedelta) -> float:
    """Check a duration.

    :param name: name of the argument.
    :param value: seconds, or a timedelta.
    :returns: seconds.
    :raises ValueError: where it is not greater than 0.
    """
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= _LONGEST:
        raise ValueError(
            f"{name} must be a number of seconds or a timedelta, greater than 0 and 10 years at most, "
            f"got {value!r}"
        )
    return float(seconds)


def check_flags(**flags: Any) -> None:
    """Check arguments that are either true or false.

    :param **flags: the values by the names of their arguments; None stands for the default.
    :raises ValueError: if one is something else.
    """
    for name, value in flags.items():
        if value is not None and not isinstance(value, bool):
            raise ValueError(f"{name} must be True or False, got {value!r}")


def is_given(value: Any) -> bool:
    """Return whether an optional argument is given: neither None nor a blank text."""
    return value is not None and not text.is_blank(value)


def check_identifier(name: str, value: Any) -> str:
    """Check an id.

    :param name: name of the argument.
    :param value: the id, or what an operator returned: a mapping with an ``id``.
    :returns: the id.
    :raises ArgumentError: if it is none.
    """
    try:
        return (text.to_capsule_id if name in {"capsule_id", "pipeline_id"} else text.to_id)(value)
    except ValueError as error:
        where = text.WHERE_IDS_ARE.get(name, "") if str(error).startswith("must be an id") else ""
        raise ArgumentError((name, f"{error}{where and f'. {where}'}")) from None


def check_identifier_early(name: str, value: Any) -> None:
    """Check an id before templates are rendered.

    :param name: name of the argument.
    :param value: the id, a template, or the output of a task.
    :raises ArgumentError: if it cannot become the right id.
    """
    _check_output(name, value)
    check_identifier(name, known_now(value))


def _check_output(name: str, output: Any) -> None:
    """Check that the output of one of this package's tasks is, or has, the id that is asked for."""
    operator, key = getattr(output, "operator", None), getattr(output, "key", None)
    if operator is None or not type(operator).__module__.startswith(f"{_PACKAGE}."):
        return
    if getattr(operator, "multiple_outputs", False):
        return
    returned = getattr(operator, "external_id_key", None) or getattr(operator, "returns_id_of", None)
    task = f"task {operator.task_id!r}"
    if key not in ("return_value", getattr(operator, "external_id_key", None)):
        own = f" or its output[{returned!r}]" if returned else ""
        problem = f"{task} leaves no XCom {key!r}; give its output{own}"
    elif returned is None:
        problem = f"the result of {task} ({type(operator).__name__}) has no id"
    elif name in _KINDS and name != returned:
        problem = f"must be the id of {_KINDS[name]}, but {task} returns {_KINDS[returned]}"
    else:
        return
    raise ArgumentError((name, problem))


def check_text(name: str, value: Any, convert: Callable[[Any], str] = text.to_nonempty) -> str:
    """Check a text.

    :param name: name of the argument.
    :param value: the text, or an integer, which becomes text.
    :param convert: what the text must be: a function of :mod:`airflow_provider_codeocean.api.text`.
    :returns: the text to send.
    :raises ArgumentError: if it is not that.
    """
    try:
        return convert(value)
    except ValueError as error:
        raise ArgumentError((name, str(error))) from None


def check_optional(name: str, value: Any, convert: Callable[[Any], str] = text.to_nonempty) -> str | None:
    """Check a text that need not be given; see :func:`check_text`. A blank text is None."""
    return check_text(name, value, convert) if is_given(value) else None


def check_pattern(name: str, value: Any) -> Any:
    """Check a glob pattern, or a list of them.

    :param name: name of the argument.
    :param value: the pattern or patterns; None and a blank text match everything.
    :returns: the pattern or patterns as text, or None.
    :raises ArgumentError: if one is no text, or blank.
    """
    value = as_list(value)
    if isinstance(value, list):
        return [check_text(f"{name}.{number}", each) for number, each in enumerate(value)]
    return check_optional(name, value)


def with_mount(data_asset: Any) -> Any:
    """Return a data asset to attach as the API takes it.

    :param data_asset: its id, a mapping of ``id`` and ``mount``, or what an operator returned.
    :returns: a mapping of ``id`` and, if it is given, ``mount``.
    """
    is_result = isinstance(data_asset, Mapping) and "state" in data_asset
    return data_asset if isinstance(data_asset, Mapping) and not is_result else {"id": data_asset}


def mount_of(name: str, mount: Any, argument: str = "name") -> Any:
    """Return the folder to mount a new data asset at.

    :param name: its display name.
    :param mount: the folder that was asked for; None or blank for one with the name of the data asset.
    :param argument: the argument that the display name is from.
    :returns: the folder.
    :raises ArgumentError: if none was asked for, and the name cannot serve as one.
    """
    if is_given(mount):
        return mount
    try:
        return text.folder_of(check_text(argument, name, text.to_name))
    except ArgumentError:
        raise
    except ValueError as error:
        raise ArgumentError(
            (argument, f"{error}; give mount, as the folder's name is the name otherwise")
        ) from None


def check_template(name: str, value: T) -> T:
    """Check that a template can be read as one; what it will render to is not known yet.

    :param name: name of the argument.
    :param value: the template; what is no text is none.
    :returns: the template.
    :raises ValueError: where it cannot be read.
    """
    if isinstance(value, str):
        from jinja2 import Environment, TemplateSyntaxError

        try:
            Environment().parse(value)  # noqa: S701 - nothing is rendered
        except TemplateSyntaxError as error:
            raise ValueError(f"{name} is no template: {error}, in {value!r}") from None
    return value


def check_no_template(name: str, value: T) -> T:
    """Check that a value is no template, where nothing renders any.

    :param name: name of the argument.
    :param value: the value.
    :returns: the value.
    :raises ValueError: where it is a template.
    """
    if known_now(value, marks=_MARKS) != value:
        raise ValueError(f"{name} must not be a template: nothing renders it here, got {value!r}")
    return value


def as_list(value: Any) -> Any:
    """Return a sequence as a list: what mapped tasks return is none.

    :param value: a value; what is no sequence, or a text, stays as it is.
    :returns: the list, or the value.
    """
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Check that a value is one of a few.

    :param name: name of the argument.
    :param value: the value.
    :param choices: what it may be.
    :raises ValueError: where it is none of them.
    """
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}")


def check_count(name: str, value: Any, most: int) -> None:
    """Check a number of things.

    :param name: name of the argument.
    :param value: the number.
    :param most: the most that it may be.
    :raises ValueError: where it is no whole number from 1 to that.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise ValueError(f"{name} must be a whole number from 1 to {most}, got {value!r}")


def check_moment(name: str, value: datetime | str | float) -> float:
    """Check a moment.

    :param name: name of the argument.
    :param value: a time with a zone, the same as an ISO 8601 text, or Unix seconds.
    :returns: Unix seconds.
    :raises ValueError: where it is none of them.
    """
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
        if isinstance(moment, datetime) and moment.tzinfo is not None:
            return moment.timestamp()
        if isinstance(moment, int | float) and not isinstance(moment, bool) and math.isfinite(moment):
            return float(moment)
    except ValueError:
        pass
    raise ValueError(
        f"{name} must be a time with a zone, such as 2026-01-31T12:00:00+00:00, or Unix seconds, "
        f"got {value!r}"
    )


def check_one_of(**identifiers: Any) -> str:
    """Check that exactly one of several ids is given.

    :param **identifiers: the ids by the names of their arguments; None or blank if not given.
    :returns: the name of the one that is given.
    :raises ValueError: if it is not exactly one.
    """
    given = [name for name, value in identifiers.items() if is_given(value)]
    if len(given) != 1:
        raise ValueError(f"give exactly one of {', '.join(identifiers)}, got {' and '.join(given) or 'none'}")
    return given[0]


def checked(model: type[P], arguments: Mapping[str, str], values: Mapping[str, Any]) -> P:
    """Build the parameters of a request.

    :param model: their model.
    :param arguments: paths in the model (``source.computation.id``) and the names of the arguments behind
        them.
    :param values: the model's values.
    :returns: the parameters; if values are not known yet, they are to be checked again.
    :raises ArgumentError: if a value is wrong, naming the argument and what would be right.
    """
    from pydantic import ValidationError

    try:
        return model.model_validate(values)
    except ValidationError as error:
        problems = [
            (_argument_at(problem["loc"], arguments), _problem(problem))
            for problem in error.errors(include_url=False)
            if not is_unknown(problem["input"])
        ]
        if not problems:
            return cast("P", model.model_construct(**values))
        raise ArgumentError(*dict.fromkeys(problems)) from None


def _argument_at(location: Sequence[int | str], arguments: Mapping[str, str]) -> str:
    path = ".".join(str(part) for part in location if part != "[key]")
    for prefix, argument in arguments.items():
        if path == prefix or not prefix or path.startswith(f"{prefix}."):
            return f"{argument}{'' if prefix else '.' if path else ''}{path.removeprefix(prefix)}"
    return path


#: What is wrong, by the type of pydantic's error.
_PROBLEMS = {
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


def _problem(error: ErrorDetails) -> str:
    """Return what is wrong in this package's words; the value of a secret is not in it."""
    context = error.get("ctx", {})
    if not_rendered := text.template_error(error["input"]):
        return not_rendered
    if error["type"] == "value_error":
        return str(context["error"])
    problem = _PROBLEMS.get(error["type"].partition("_")[0], "is not valid").format(**context)
    if error["type"] == "missing" or "client_secret" in error["loc"]:
        return problem
    return f"{problem}, got {text.describe(error['input'])}"


def as_rendered(value: Any, instead: Any = None) -> Any:  # noqa: ARG001 - the twin of known_now
    """Return a template field's value after it was rendered: as it is."""
    return value


def known_now(value: Any, instead: Any = _LATER, marks: Sequence[str] = _MARKS + _OTHER_MARKS) -> Any:
    """Return a template field's value as far as it is known before it is rendered.

    :param value: the value as it was given.
    :param instead: stands in for the value if it is a template, or the output of another task.
    :param marks: what a text that is a template contains.
    :returns: the value, or what stands in for it or for parts of it.
    """
    if isinstance(value, str):
        return instead if any(mark in value for mark in marks) else value
    if text.template_error(value):
        return value
    if isinstance(value, Mapping):
        return {key: known_now(item, marks=marks) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [known_now(item, marks=marks) for item in value]
    return value if value is None or isinstance(value, int | float | date) else instead


def is_unknown(value: Any) -> bool:
    """Return whether :func:`known_now` returned a stand-in for a value that is not known yet."""
    return isinstance(value, str) and value == _LATER


#: The conditions of a search of data assets.
_CONDITIONS = ("query", "filters", "type", "ownership", "origin")
#: The arguments of a search of data assets.
SEARCH_ARGUMENTS = (
    *_CONDITIONS,
    "favorite",
    "archived",
    "sort_field",
    "sort_order",
)


def data_asset_search(
    task: Any, read: ReadField, *, limit: int, needs_condition: bool = False
) -> DataAssetSearchParams:
    """Build a search from a task's arguments.

    :param task: has the arguments of :data:`SEARCH_ARGUMENTS`.
    :param read: reads the value of a template field.
    :param limit: results of one page.
    :param needs_condition: whether a search without a condition is an error; otherwise it is one only if
        templates for conditions have rendered to nothing.
    :returns: the parameters.
    :raises ValueError: where an argument is wrong, naming it.
    """
    from airflow_provider_codeocean.api.models.data_asset_params import DataAssetSearchParams

    values = {name: read(getattr(task, name, None)) for name in SEARCH_ARGUMENTS}
    params = checked(DataAssetSearchParams, {}, values | {"limit": limit})
    if read is as_rendered and not any(getattr(params, name) for name in _CONDITIONS):
        templates = (task.templates.get(name) for name in _CONDITIONS)
        if needs_condition or any(is_given(template) and template != [] for template in templates):
            raise ArgumentError(
                ("", f"all of {', '.join(_CONDITIONS)} rendered to nothing: every data asset would match")
            )
    return params
