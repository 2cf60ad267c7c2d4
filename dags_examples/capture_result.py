"""Capture the results of a finished computation as a data asset, and list its files.

Trigger it with ``{"computation_id": "…"}``. While Code Ocean copies the files, the task waits in the
triggerer and occupies no worker.
"""

from __future__ import annotations

from typing import Any

from airflow.providers.common.compat.sdk import Param, dag, task

from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.operators.data_asset import CodeOceanCaptureResultOperator


@dag(schedule=None, params={"computation_id": Param(type="string")}, tags=["codeocean"])
def capture_result() -> None:
    """Capture the results, then list the files."""
    capture = CodeOceanCaptureResultOperator(
        task_id="capture",
        computation_id="{{ params.computation_id }}",
        name="results_{{ params.computation_id }}",
        tags=["airflow", "{{ dag.dag_id }}"],
        description="Captured by {{ dag.dag_id }}, run {{ run_id }}",
        deferrable=True,
        retries=2,
        poll_interval=2,
    )

    @task
    def read_back(asset: dict[str, Any]) -> list[str]:
        """Return the paths of the files in the data asset."""
        with CodeOceanHook().get_conn() as client:
            folder = client.data_assets.list_files(asset["id"])
        return [item.path for item in folder.items]

    read_back(capture.output)


capture_result()
