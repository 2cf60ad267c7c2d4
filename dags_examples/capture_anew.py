"""A capture that starts afresh where a user asks for it, and goes on where something went wrong.

A retry goes on with the data asset that an earlier try made, whatever killed that try. A user who clears the
task gets another data asset, and one who marks it as failed while it waits has the unfinished one deleted.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.common.compat.sdk import Param, dag

from airflow_provider_codeocean.operators.data_asset import CodeOceanCaptureResultOperator


@dag(schedule=None, params={"computation_id": Param(type="string")}, tags=["codeocean"])
def capture_anew() -> None:
    """Capture; clear the task to capture again."""
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


capture_anew()
