"""Checking what operators and sensors are given, as early as it is known."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

if TYPE_CHECKING:
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


def check_identifier(name: str, value: Any) -> str:
    """Check an identifier.

    :param name: name of the argument.
    :param value: the identifier.
    :returns: the identifier.
    :raises ValueError: where it is no text, or empty.
    """
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{name} must be an identifier, as a text that is not empty, got {value!r}")
    return value


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
    if known_now(value) != value:
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
    """Check that exactly one of several identifiers is given.

    :param **identifiers: the identifiers by the names of their arguments, None where one is not given.
    :returns: the name of the one that is.
    :raises ValueError: where it is not exactly one, or none.
    """
    given = [name for name, value in identifiers.items() if value is not None]
    if len(given) != 1:
        raise ValueError(f"give exactly one of {', '.join(identifiers)}, got {' and '.join(given) or 'none'}")
    check_identifier(given[0], identifiers[given[0]])
    return given[0]


def checked(model: type[P], arguments: Mapping[str, str], values: Mapping[str, Any]) -> P:
    """Build the parameters of a request.

    :param model: their model.
    :param arguments: paths in the model (``source.computation.id``) and the names of the arguments behind
        them.
    :param values: the model's values.
    :returns: the parameters; where values are not known yet, they are to be checked again.
    :raises ValueError: where a value is wrong, naming the argument and what would be right.
    """
    from pydantic import ValidationError

    try:
        return model.model_validate(values)
    except ValidationError as error:
        problems = []
        for problem in error.errors(include_url=False):
            if problem["input"] == _LATER:
                continue
            path = ".".join(str(part) for part in problem["loc"])
            for prefix, argument in arguments.items():
                if path == prefix or path.startswith(f"{prefix}."):
                    path = argument + path.removeprefix(prefix)
                    break
            said = _said(problem["type"], problem["msg"], problem["input"])
            problems.append(f"{path}: {said}" if path else said)
        if not problems:
            return cast("P", model.model_construct(**values))
        raise ValueError("; ".join(problems)) from None


def _said(kind: str, message: str, value: Any) -> str:
    """Say what is wrong with a value; the value itself may be a secret."""
    if kind == "model_type":  # which would name a class that is no business of a DAG's author
        message = "Input should be a mapping"
    return f"{message}, got {type(value).__name__}" if kind.endswith("_type") else message


def as_rendered(value: Any, instead: Any = None) -> Any:  # noqa: ARG001 - the twin of known_now
    """Return a template field's value after it was rendered: as it is."""
    return value


def known_now(value: Any, instead: Any = _LATER) -> Any:
    """Return a template field's value as far as it is known before it is rendered.

    :param value: the value as it was given.
    :param instead: stands in for the value where it is a template, or what another task returns.
    :returns: the value, or what stands in for it or for parts of it.
    """
    if isinstance(value, str):
        return instead if any(mark in value for mark in ("{{", "{%", "{#")) else value
    if isinstance(value, Mapping):
        return {key: known_now(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [known_now(item) for item in value]
    return value if value is None or isinstance(value, int | float | date) else instead


#: The arguments that narrow a search of data assets.
SEARCH_ARGUMENTS = (
    "query",
    "filters",
    "type",
    "ownership",
    "origin",
    "favorite",
    "archived",
    "sort_field",
    "sort_order",
)


def data_asset_search(task: Any, read: ReadField, *, limit: int) -> DataAssetSearchParams:
    """Build a search from a task's arguments.

    :param task: has the arguments of :data:`SEARCH_ARGUMENTS`.
    :param read: reads the value of a template field.
    :param limit: results of one page.
    :returns: the parameters.
    :raises ValueError: where an argument is wrong, naming it.
    """
    from airflow_provider_codeocean.api.models.data_asset_params import DataAssetSearchParams

    values = {name: read(getattr(task, name, None)) for name in SEARCH_ARGUMENTS}
    return checked(DataAssetSearchParams, {}, values | {"limit": limit})
