"""Which failures of a task are final, as Airflow is to be told."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_codeocean.api.errors import CodeOceanError

if TYPE_CHECKING:
    from collections.abc import Iterator


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
