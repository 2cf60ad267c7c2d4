"""Reading connections in an event loop, also in Airflow's in-line triggerer."""

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
    :raises AirflowNotFoundException: if there is none.
    """
    if is_inline_triggerer():
        # It answers only what is not awaited, and runs one trigger, which nothing else waits for.
        return BaseHook.get_connection(conn_id)
    return await get_async_connection(conn_id)


def is_inline_triggerer() -> bool:
    """Return whether ``dag.test()`` or ``airflow dags test`` runs this trigger, in its own process."""
    runner = sys.modules.get("airflow.sdk.execution_time.task_runner")
    supervisor = getattr(runner, "SUPERVISOR_COMMS", None)
    return supervisor is not None and not hasattr(supervisor, "asend")
