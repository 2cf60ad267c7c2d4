"""Waits on a connection whose access token is replaced meanwhile: in the triggerer, and in a worker."""

from __future__ import annotations

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_codeocean.operators.data_asset import CodeOceanCaptureResultOperator
from airflow_provider_codeocean.sensors.data_asset import CodeOceanDataAssetSensor

ROTATED_ARGUMENTS = {"codeocean_conn_id": "rotated", "timeout": 240}
SENSOR_ARGUMENTS = {"data_asset_id": "{{ params.data_asset_id }}", "poke_interval": 2, **ROTATED_ARGUMENTS}

with DAG("rotated_token", schedule=None, params={"computation_id": "", "data_asset_id": ""}):
    CodeOceanDataAssetSensor(task_id="deferred", deferrable=True, **SENSOR_ARGUMENTS)
    CodeOceanDataAssetSensor(task_id="in_worker", deferrable=False, **SENSOR_ARGUMENTS)
    CodeOceanCaptureResultOperator(
        task_id="captured",
        computation_id="{{ params.computation_id }}",
        name="rotated",
        tags=["rotated"],
        deferrable=True,
        poll_interval=2,
        **ROTATED_ARGUMENTS,
    )
