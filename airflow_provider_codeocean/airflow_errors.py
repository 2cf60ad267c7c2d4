"""Turn errors into the exceptions by which Airflow fails, skips, or retries a task."""

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
from airflow_provider_codeocean.api.text import WHERE_IDS_ARE
from airflow_provider_codeocean.validation import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_OTHERS = {"capsule_id": "pipeline", "pipeline_id": "capsule"}

#: What a task does if nothing is found.
OnEmpty = Literal["return", "skip", "fail"]


def end_as_asked_for(on_empty: OnEmpty, nothing: str) -> None:
    """End a task that has found nothing.

    :param on_empty: ``return`` does nothing, ``skip`` skips the task, ``fail`` fails it, which keeps its
        retries.
    :param nothing: a sentence that says that nothing was found.
    :raises AirflowSkipException: for ``skip``.
    :raises AirflowException: for ``fail``.
    """
    if on_empty == "skip":
        raise AirflowSkipException(nothing)
    if on_empty == "fail":
        raise AirflowException(nothing)


@contextmanager
def no_retry_for_what_it_cannot_mend(task: Any = None) -> Iterator[None]:
    """Fail the task permanently if another attempt cannot help: wrong input, no permission, a failed job.

    Errors that another attempt may avoid (a server in trouble or out of reach) pass unchanged and keep
    Airflow's retries.

    :param task: the task, whose templates and arguments the message can name.
    :raises AirflowFailException: in place of the permanent error.
    """
    try:
        yield
    except ArgumentError as error:
        # Where the check is in the code says nothing about the argument.
        raise AirflowFailException(error.explained(getattr(task, "templates", {}))) from None
    except (ValueError, CodeOceanError) as error:
        if isinstance(error, CodeOceanError) and error.transient:
            raise
        raise AirflowFailException(f"{error}{_remedy(error, task)}") from error


def _remedy(error: Exception, task: Any) -> str:
    """Return what to do about an id that Code Ocean does not know."""
    if not isinstance(error, NotFound):
        return ""
    name = f"{error.path.lstrip('/').partition('/')[0].removesuffix('s')}_id"
    own = getattr(task, "external_id_key", None)
    if error.method == "POST" and name == own == "computation_id":
        name = "pipeline_id" if getattr(task, "pipeline_id", None) else "capsule_id"
    if name == own or name not in WHERE_IDS_ARE:  # the task's own job is gone
        return ""
    hint = ""
    if name in _OTHERS:
        other = _OTHERS[name]
        operator = f"CodeOceanRun{other.capitalize()}Operator"
        hint = f". If it is the id of a {other}, give it as {other}_id; to run the {other}, use {operator}"
    return f"{hint}. {WHERE_IDS_ARE[name]}"


@contextmanager
def naming_what_ran_out_of_time(describe: Callable[[], str]) -> Iterator[None]:
    """Describe what a task was doing when Airflow ends it after its ``execution_timeout``.

    :param describe: returns a sentence.
    :raises AirflowTaskTimeout: instead of Airflow's own, which names only the process id.
    """
    try:
        yield
    except AirflowTaskTimeout as error:
        raise AirflowTaskTimeout(f"The task ran out of time (execution_timeout). {describe()}") from error
