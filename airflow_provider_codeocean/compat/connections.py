"""Connections and their secrets in an event loop."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from airflow.providers.common.compat.connection import get_async_connection
from airflow.providers.common.compat.sdk import BaseHook

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Connection


async def read_connection(conn_id: str) -> Connection:
    """Read a connection in an event loop.

    :param conn_id: id of the connection.
    :returns: the connection.
    :raises AirflowNotFoundException: if there is no such connection.
    """
    if is_inline_triggerer():  # supports synchronous calls only, and runs a single trigger
        return BaseHook.get_connection(conn_id)
    return await get_async_connection(conn_id)


def is_inline_triggerer() -> bool:
    """Return whether ``dag.test()`` or ``airflow dags test`` runs this trigger in its own process."""
    runner = sys.modules.get("airflow.sdk.execution_time.task_runner")
    supervisor = getattr(runner, "SUPERVISOR_COMMS", None)
    return supervisor is not None and not hasattr(supervisor, "asend")


async def mask_secret_async(secret: str) -> None:
    """Mask a secret in logs, from an event loop, which Airflow before 3.3.2 would block."""
    try:
        from airflow.sdk.log import amask_secret
    except ImportError:
        from airflow.providers.common.compat.sdk import mask_secret
        from asgiref.sync import sync_to_async

        await sync_to_async(mask_secret)(secret)
    else:
        await amask_secret(secret)
