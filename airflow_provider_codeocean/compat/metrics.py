"""Where metrics go: Airflow's ``Stats``, of which there are two in the newer releases."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from airflow_provider_codeocean.compat.features import Feature


def metrics_in_triggerer() -> Any:
    """Return where metrics go that are kept in the triggerer: Airflow's ``Stats``.

    The triggerer sets up its own: what is given to the other, that of tasks, is lost there.

    :returns: the one that the triggerer uses.
    """
    if Feature.STATS_OF_TASKS_APART.is_there:
        return import_module("airflow.observability.stats").Stats
    return metrics_in_worker()


def metrics_in_worker() -> Any:
    """Return where metrics go that are kept in a task: Airflow's ``Stats``."""
    from airflow.providers.common.compat.sdk import Stats

    return Stats
