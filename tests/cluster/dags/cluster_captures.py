"""A fan-out as users write it: each computation that the run is given is captured, deferred, with retries."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param, task

from airflow_provider_codeocean.operators.data_asset import CodeOceanCaptureResultOperator

with DAG(
    "cluster_captures",
    schedule=None,
    params={"computation_ids": Param([], type="array")},
    default_args={"retries": 10, "retry_delay": timedelta(seconds=5)},
):

    @task
    def computations(params: dict | None = None) -> list[str]:
        """Tell what to capture."""
        return params["computation_ids"]

    CodeOceanCaptureResultOperator.partial(
        task_id="capture", name="captured", deferrable=True, poll_interval=10, timeout=timedelta(hours=1)
    ).expand(computation_id=computations())
