"""Captures that a user ends or clears: a DAG for each way to react."""

from __future__ import annotations

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_codeocean.operators.data_asset import CodeOceanCaptureResultOperator

ARGUMENTS_BY_DAG = {
    "delete_in_worker": {"on_kill": "delete", "deferrable": False},
    "adopt": {"on_existing": "adopt"},
    "create": {"on_existing": "create"},
    "fail": {"on_existing": "fail"},
}

for name, arguments in ARGUMENTS_BY_DAG.items():
    with DAG(f"user_actions_{name}", schedule=None, params={"computation_id": "", "name": ""}):
        CodeOceanCaptureResultOperator(
            task_id="capture",
            computation_id="{{ params.computation_id }}",
            name="{{ params.name }}",
            poll_interval=0.5,
            **({"deferrable": True} | arguments),
        )
