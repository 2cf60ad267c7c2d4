"""Many waits in one run, in the triggerer alone: no worker takes part."""

from __future__ import annotations

import os

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_codeocean.sensors.data_asset import CodeOceanDataAssetSensor

with DAG("soak_waits", schedule=None, max_active_runs=10_000, max_active_tasks=10_000):
    CodeOceanDataAssetSensor.partial(
        task_id="wait", start_from_trigger=True, poke_interval=30, timeout=3600
    ).expand(
        data_asset_id=[
            f"{{{{ dag_run.conf['ids'][{number}] }}}}" for number in range(int(os.environ["SOAK_BATCH"]))
        ]
    )
