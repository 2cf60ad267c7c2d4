"""All that talks to Code Ocean, well and badly, and a template that renders the token."""

from __future__ import annotations

from typing import Any

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_codeocean.operators.computation import CodeOceanRunCapsuleOperator
from airflow_provider_codeocean.operators.data_asset import CodeOceanCaptureResultOperator
from airflow_provider_codeocean.operators.files import (
    CodeOceanDownloadFilesOperator,
    CodeOceanListFilesOperator,
)
from airflow_provider_codeocean.sensors.data_asset import CodeOceanDataAssetSensor

PARAMS = {
    "computation_id": "",
    "capsule_id": "",
    "data_asset_id": "",
    "never_ready": "",
    "target": "",
    "marker": "",
}
CAPTURE_ARGUMENTS: dict[str, Any] = {
    "computation_id": "{{ params.computation_id }}",
    "name": "{{ params.marker }}",
    "poll_interval": 0.5,
}
#: The host of each refuses in its own way.
FAILING_CONN_IDS = (
    "codeocean_wrong_token",
    "codeocean_untrusted",
    "codeocean_repeats_headers",
    "codeocean_redirects",
)

with DAG("says_nothing", schedule=None, params=PARAMS, default_args={"retries": 0}):
    CodeOceanCaptureResultOperator(
        task_id="capture_sync",
        deferrable=False,
        codeocean_conn_id="codeocean_in_database",
        **CAPTURE_ARGUMENTS,
    )
    CodeOceanCaptureResultOperator(task_id="capture_deferred", deferrable=True, **CAPTURE_ARGUMENTS)
    CodeOceanDataAssetSensor(
        task_id="start_in_triggerer",
        data_asset_id="{{ params.data_asset_id }}",
        start_from_trigger=True,
        poke_interval=1,
        timeout=60,
    )
    CodeOceanRunCapsuleOperator(
        task_id="run", capsule_id="{{ params.capsule_id }}", deferrable=True, poll_interval=0.5
    )
    CodeOceanListFilesOperator(task_id="list", computation_id="{{ params.computation_id }}")
    CodeOceanDownloadFilesOperator(
        task_id="download", computation_id="{{ params.computation_id }}", target="{{ params.target }}"
    )
    for conn_id in FAILING_CONN_IDS:
        CodeOceanCaptureResultOperator(
            task_id=f"sync_{conn_id}", deferrable=False, codeocean_conn_id=conn_id, **CAPTURE_ARGUMENTS
        )
        CodeOceanDataAssetSensor(
            task_id=f"deferred_{conn_id}",
            data_asset_id="{{ params.data_asset_id }}",
            deferrable=True,
            poke_interval=1,
            timeout=20,
            codeocean_conn_id=conn_id,
        )

    CodeOceanDataAssetSensor(
        task_id="waits_in_vain",
        data_asset_id="{{ params.never_ready }}",
        deferrable=True,
        poke_interval=1,
        timeout=20,
    )

    @task(templates_dict={"password": "{{ conn.codeocean_default.password }}"})
    def renders_it(templates_dict: dict[str, str] | None = None) -> int:
        return len((templates_dict or {})["password"])

    renders_it()
