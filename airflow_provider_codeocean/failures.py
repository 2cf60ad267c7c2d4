"""Turn errors into the exceptions by which Airflow fails, skips, or retries a task."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowSkipException,
    AirflowTaskTimeout,
)

from airflow_provider_codeocean.api.errors import CodeOceanError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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
def no_retry_for_what_it_cannot_mend() -> Iterator[None]:
    """Fail the task permanently if a retry cannot help: wrong input, no permission, a failed data asset.

    Transient errors (a server that is in trouble or unreachable) are raised unchanged and keep the retries.

    :raises AirflowFailException: instead of a permanent error.
    """
    try:
        yield
    except (ValueError, CodeOceanError) as error:
        if isinstance(error, CodeOceanError) and error.transient:
            raise
        raise AirflowFailException(str(error)) from error


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
