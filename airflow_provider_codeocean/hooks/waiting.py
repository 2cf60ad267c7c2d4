"""Waiting in the triggerer: all that wait on a connection there share one poller."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import AirflowNotFoundException

from airflow_provider_codeocean.api.errors import CodeOceanTransportError, NoCertificates
from airflow_provider_codeocean.compat.metrics import metrics_in_triggerer
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook

if TYPE_CHECKING:
    from airflow_provider_codeocean.api.client import CodeOceanAsyncClient
    from airflow_provider_codeocean.polling.wait import Wait

#: Seconds for which it is borne that Airflow knows no such connection, which it says, too, where a secrets
#: backend or its API server is in trouble, or that there are no certificates: they may be written just now.
_MISSING_SECONDS = 120.0


async def wait_in_triggerer(codeocean_conn_id: str, wait: Wait) -> None:
    """Wait until something is over, with success. A server out of reach is waited for.

    :param codeocean_conn_id: id of the connection.
    :param wait: for what, and for how long.
    :raises WaitTimeout: where the deadline passed before.
    :raises CodeOceanError: where it ended otherwise, or Code Ocean refuses to tell.
    :raises ValueError: where the identifier is none, or the connection is not there or cannot be used.
    """
    from airflow_provider_codeocean.polling.poller import wait_together

    missing_since: float | None = None

    async def connect() -> CodeOceanAsyncClient:
        nonlocal missing_since
        try:
            # The poller itself is what tries again.
            client = await CodeOceanHook(codeocean_conn_id).get_async_conn(retry_budget=0)
        except (AirflowNotFoundException, NoCertificates) as error:
            now = time.monotonic()
            missing_since = now if missing_since is None else missing_since
            if now - missing_since < _MISSING_SECONDS:
                raise CodeOceanTransportError(str(error)) from error
            raise ValueError(str(error)) from error
        missing_since = None
        return client

    await wait_together(wait, connect=connect, name=codeocean_conn_id, metrics=metrics_in_triggerer())
