"""Waiting in the triggerer: all that wait on a connection there share one poller."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowNotFoundException

from airflow_provider_codeocean.api.errors import CodeOceanTransportError, NoCertificates
from airflow_provider_codeocean.compat.connections import is_inline_triggerer
from airflow_provider_codeocean.compat.metrics import metrics_in_triggerer
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook, has_changed

if TYPE_CHECKING:
    from airflow_provider_codeocean.api.client import CodeOceanAsyncClient
    from airflow_provider_codeocean.polling.wait import Wait

#: Seconds for which it is tolerated that Airflow knows no such connection, which it also says if a secrets
#: backend or its API server is in trouble, or that there are no certificates: they may be written just now.
_MISSING_SECONDS = 120.0


async def wait_in_triggerer(codeocean_conn_id: str, wait: Wait) -> None:
    """Wait until a target has succeeded. A server out of reach is waited for.

    :param codeocean_conn_id: id of the connection.
    :param wait: the wait.
    :raises WaitTimeout: if the deadline passed before.
    :raises CodeOceanError: if the wait failed otherwise.
    :raises ValueError: if the identifier is none, or the connection is missing or cannot be used.
    """
    from airflow_provider_codeocean.polling.poller import wait_together

    options: dict[str, Any] = {}
    missing_since: float | None = None

    async def connect(current: CodeOceanAsyncClient | None) -> CodeOceanAsyncClient:
        nonlocal options, missing_since
        hook = CodeOceanHook(codeocean_conn_id)
        try:
            read = await hook.read_options_async()
            if current is None or has_changed(codeocean_conn_id, options, read, current):
                # The poller itself retries, and reads the connection again.
                current = hook.make_async_client(read, retry_budget=0, new_token=None)
        except (AirflowNotFoundException, NoCertificates) as error:
            now = time.monotonic()
            missing_since = now if missing_since is None else missing_since
            if now - missing_since < _MISSING_SECONDS and not is_inline_triggerer():
                raise CodeOceanTransportError(str(error)) from error
            raise ValueError(str(error)) from error
        options, missing_since = read, None
        return current

    await wait_together(wait, connect=connect, name=codeocean_conn_id, metrics=metrics_in_triggerer())
