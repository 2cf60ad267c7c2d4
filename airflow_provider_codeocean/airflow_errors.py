"""Convert errors to the exceptions by which Airflow fails, skips, or retries a task.

The exception that ends a task is of two classes: Airflow's, by which it retries the task or not, and one of
:mod:`airflow_provider_codeocean.api.errors`, by which callbacks and retry policies distinguish errors.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowSkipException,
    AirflowTaskTimeout,
)

from airflow_provider_codeocean.api.errors import CodeOceanError, NotFound
from airflow_provider_codeocean.api.text import ID_HINTS
from airflow_provider_codeocean.validation import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PACKAGE = "airflow_provider_codeocean."
_OTHER_RESOURCES = {"capsule_id": "pipeline", "pipeline_id": "capsule"}

#: What a task does with an empty result.
OnEmpty = Literal["return", "skip", "fail"]


def handle_empty_result(on_empty: OnEmpty, message: str) -> None:
    """Skip or fail a task that has an empty result.

    :param on_empty: ``return`` does nothing, ``skip`` skips the task, ``fail`` fails it but keeps its
        retries.
    :param message: the message of the exception.
    :raises AirflowSkipException: for ``skip``.
    :raises AirflowException: for ``fail``.
    """
    if on_empty == "skip":
        raise AirflowSkipException(message)
    if on_empty == "fail":
        raise to_airflow_exception(CodeOceanError(message), AirflowException)


def to_airflow_exception(
    error: Exception, airflow_class: type[Exception], message: str | None = None
) -> Exception:
    """Return an exception of both classes, with the attributes of the error.

    :param error: the error.
    :param airflow_class: the class by which Airflow decides what happens to the task.
    :param message: the text; by default, the error's.
    :returns: the exception.
    """
    own_class = type(error) if type(error).__module__.startswith(_PACKAGE) else ValueError
    combined_class = _combine_classes(airflow_class, own_class)
    converted: Exception = combined_class.__new__(combined_class)
    converted.__dict__.update(vars(error))
    converted.args = (str(error) if message is None else message,)
    return converted


def _combine_classes(airflow_class: type[Exception], own_class: type[Exception]) -> Any:
    name = "CodeOcean" + own_class.__name__.removeprefix("CodeOcean")
    members = {"__module__": __name__, "__str__": lambda self: self.args[0]}
    return type(name, (airflow_class, own_class), members)


@contextmanager
def fail_without_retry_on_permanent_errors(task: Any = None) -> Iterator[None]:
    """Fail the task without retries on permanent errors: invalid input, missing permission, a failed job.

    After a transient error, Airflow retries the task.

    :param task: the task; the message names its templates and arguments.
    :raises AirflowFailException: instead of a permanent error.
    :raises AirflowException: instead of a transient one.
    """
    try:
        yield
    except AirflowException:  # it was converted further inside
        raise
    except ArgumentError as error:
        # The traceback of the check does not help the user.
        message = error.format_message(getattr(task, "templates", {}))
        raise to_airflow_exception(error, AirflowFailException, message) from None
    except (ValueError, CodeOceanError) as error:
        if isinstance(error, CodeOceanError) and error.is_transient:
            converted = to_airflow_exception(error, AirflowException)
            raise converted.with_traceback(error.__traceback__) from error.__cause__
        raise to_airflow_exception(error, AirflowFailException, f"{error}{_remedy(error, task)}") from error


def _remedy(error: Exception, task: Any) -> str:
    """Return how to fix an id that Code Ocean does not know, as the end of a message."""
    if not isinstance(error, NotFound):
        return ""
    name = f"{error.path.lstrip('/').partition('/')[0].removesuffix('s')}_id"
    own = getattr(task, "external_id_key", None)
    if error.method == "POST" and name == own == "computation_id":
        name = "pipeline_id" if getattr(task, "pipeline_id", None) else "capsule_id"
    if name == own or name not in ID_HINTS:  # the task's own job is gone
        return ""
    hint = ""
    if name in _OTHER_RESOURCES:
        other = _OTHER_RESOURCES[name]
        operator = f"CodeOceanRun{other.capitalize()}Operator"
        hint = f". If it is the id of a {other}, give it as {other}_id; to run the {other}, use {operator}"
    return f"{hint}. {ID_HINTS[name]}"


@contextmanager
def add_context_to_task_timeout(describe: Callable[[], str]) -> Iterator[None]:
    """Add a description to the error that Airflow raises after ``execution_timeout``.

    :param describe: returns a sentence about the current state of the task.
    :raises AirflowTaskTimeout: instead of Airflow's own, which contains only the process id.
    """
    try:
        yield
    except AirflowTaskTimeout as error:
        raise AirflowTaskTimeout(f"The task ran out of time (execution_timeout). {describe()}") from error
