"""Many short deferred captures without retries."""

from __future__ import annotations

import os

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_codeocean.operators.data_asset import CodeOceanCaptureResultOperator

with DAG("short_deferrals", schedule=None):
    CodeOceanCaptureResultOperator.partial(
        task_id="capture",
        computation_id=os.environ["BENCH_COMPUTATION"],
        deferrable=True,
        poll_interval=1,
        timeout=900,
        retries=0,
    ).expand(name=[f"short-{number}" for number in range(int(os.environ["BENCH_TASKS"]))])
