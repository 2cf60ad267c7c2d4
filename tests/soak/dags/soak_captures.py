"""One capture, which waits in the triggerer."""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_codeocean.operators.data_asset import CodeOceanCaptureResultOperator

with DAG("soak_captures", schedule=None, max_active_runs=10_000, max_active_tasks=10_000):
    CodeOceanCaptureResultOperator(
        task_id="capture",
        computation_id="{{ dag_run.conf['id'] }}",
        name="soak {{ dag_run.conf['id'] }}",
        tags=["soak"],
        deferrable=True,
        poll_interval=30,
        timeout=3600,
        retries=3,
        retry_delay=timedelta(seconds=5),
    )
