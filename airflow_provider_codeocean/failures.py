"""How a task ends without a result, as Airflow is to be told."""

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

#: What becomes of a task where nothing is found.
OnEmpty = Literal["return", "skip", "fail"]


def end_as_asked_for(on_empty: OnEmpty, nothing: str) -> None:
    """End a task that has found nothing.

    :param on_empty: ``return`` ends nothing, ``skip`` skips the task, ``fail`` fails it, which keeps its
        retries.
    :param nothing: says in a sentence that nothing was found.
    :raises AirflowSkipException: where it is to be skipped.
    :raises AirflowException: where it is to fail.
    """
    if on_empty == "skip":
        raise AirflowSkipException(nothing)
    if on_empty == "fail":
        raise AirflowException(nothing)


@contextmanager
def no_retry_for_what_it_cannot_mend() -> Iterator[None]:
    """Fail the task for good where trying again cannot help: wrong input, no permission, a failed data asset.

    What a retry may mend (a server in trouble or out of reach) passes unchanged and keeps Airflow's retries.

    :raises AirflowFailException: in place of the error that a retry cannot mend.
    """
    try:
        yield
    except (ValueError, CodeOceanError) as error:
        if isinstance(error, CodeOceanError) and error.transient:
            raise
        raise AirflowFailException(str(error)) from error


@contextmanager
def naming_what_ran_out_of_time(describe: Callable[[], str]) -> Iterator[None]:
    """Say what a task was about when Airflow ends it after its ``execution_timeout``.

    :param describe: tells, in a sentence.
    :raises AirflowTaskTimeout: in place of Airflow's own, which says no more than the process id.
    """
    try:
        yield
    except AirflowTaskTimeout as error:
        raise AirflowTaskTimeout(f"The task ran out of time (execution_timeout). {describe()}") from error
