"""Capture results, and capture them again when a user clears the task.

Trigger it with ``{"computation_id": "…"}``. A retry adopts the data asset of the failed attempt. A user who
clears the task gets a new data asset. A user who marks the task as failed while it waits deletes the
unfinished one.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.common.compat.sdk import Param, dag

from airflow_provider_codeocean.operators.data_asset import CodeOceanCaptureResultOperator


@dag(schedule=None, params={"computation_id": Param(type="string")}, tags=["codeocean"])
def capture_again_on_clear() -> None:
    """Capture the results."""
    CodeOceanCaptureResultOperator(
        task_id="capture",
        computation_id="{{ params.computation_id }}",
        name="results_{{ params.computation_id }}",
        deferrable=True,
        poll_interval=2,
        on_existing="create",
        on_kill="delete",
        retries=3,
        retry_delay=timedelta(minutes=1),
    )


capture_again_on_clear()
