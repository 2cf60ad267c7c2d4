"""Waits for data assets that will not be ready in time, ended in every way there is."""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_codeocean.operators.data_asset import CodeOceanCaptureResultOperator
from airflow_provider_codeocean.sensors.data_asset import CodeOceanDataAssetSensor

# Airflow counts from a task's first line on, so that a busy machine needs time for a first look.
LIMITS = {
    "by_timeout": {"timeout": 2},
    "by_execution_timeout": {"execution_timeout": timedelta(seconds=20)},
}

with DAG("out_of_time", schedule=None, params={"computation_id": "", "data_asset_id": ""}):
    for limit, arguments in LIMITS.items():
        for mode, deferrable in (("sync", False), ("deferred", True)):
            CodeOceanCaptureResultOperator(
                task_id=f"capture_{mode}_{limit}",
                computation_id="{{ params.computation_id }}",
                name="never in time",
                deferrable=deferrable,
                poll_interval=0.5,
                **arguments,
            )
            CodeOceanDataAssetSensor(
                task_id=f"sense_{mode}_{limit}",
                data_asset_id="{{ params.data_asset_id }}",
                deferrable=deferrable,
                poke_interval=1,
                **arguments,
            )
