"""Airflow's ``Stats``: newer releases have one for tasks and one for the triggerer."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from airflow_provider_codeocean.compat.features import Feature


def triggerer_stats() -> Any:
    """Return the ``Stats`` that the triggerer configures; it discards metrics sent to the one of tasks."""
    if Feature.SEPARATE_TASK_STATS.is_available:
        return import_module("airflow.observability.stats").Stats
    return worker_stats()


def worker_stats() -> Any:
    """Return the ``Stats`` of tasks."""
    from airflow.providers.common.compat.sdk import Stats

    return Stats
