"""A wait that begins in the triggerer, from Airflow 3.3 on, and runs out of time."""

from __future__ import annotations

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_codeocean.sensors.search import CodeOceanDataAssetSearchSensor

with DAG("waits_to_its_end", schedule=None):
    CodeOceanDataAssetSearchSensor(
        task_id="wait",
        query="name:nothing-is-called-so",
        start_from_trigger=True,
        poke_interval=1,
        timeout=20,
    )
