"""Waits that start in the triggerer, with all that may become of them, and tasks that read what they left."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, Asset, Param, task

from airflow_provider_codeocean.sensors.computation import CodeOceanComputationSensor
from airflow_provider_codeocean.sensors.data_asset import CodeOceanDataAssetSensor
from airflow_provider_codeocean.sensors.search import CodeOceanDataAssetSearchSensor

START_FROM_TRIGGER: dict[str, Any] = {"start_from_trigger": True, "poke_interval": 1, "timeout": 120}
PARAMS = {
    "ready": Param(type="array"),  # without a default, over which a triggerer can end
    "failing": "",
    "slow": "",
    "computation": "",
    "name": "",
}
READY_ASSET = {"data_asset_id": "{{ params.ready[0] }}", **START_FROM_TRIGGER}

with DAG("worker_free", schedule=None, params=PARAMS):

    @task
    def ready(**context: Any) -> list[str]:
        return list(context["params"]["ready"])

    @task
    def first(**context: Any) -> str:
        return str(context["params"]["ready"][0])

    @task
    def types(value: Any) -> list[str]:
        return [type(part).__name__ for part in (value, value["id"], value["created"], value["tags"])]

    @task
    def id_of(asset: dict[str, Any]) -> str:
        return str(asset["id"])

    @task
    def ids_of(assets: Any) -> list[str]:
        return [asset["id"] for asset in assets]

    ids, one = ready(), first()
    templated = CodeOceanDataAssetSensor(task_id="templated", **READY_ASSET)
    types(templated.output)
    CodeOceanDataAssetSensor(task_id="from_xcom", data_asset_id=one, **START_FROM_TRIGGER)
    one >> CodeOceanDataAssetSensor(
        task_id="pulled",
        data_asset_id="{{ ti.xcom_pull(task_ids='first', map_indexes=-1) }}",
        **START_FROM_TRIGGER,
    )
    mapped = CodeOceanDataAssetSensor.partial(task_id="mapped", **START_FROM_TRIGGER).expand(
        data_asset_id=ids
    )
    ids_of(mapped.output)
    CodeOceanComputationSensor.partial(task_id="mapped_templates", **START_FROM_TRIGGER).expand(
        computation_id=["{{ params.computation }}", "{{ dag_run.conf['computation'] }}"]
    )
    found = CodeOceanDataAssetSearchSensor(
        task_id="found", query="name:{{ params.name }}", **START_FROM_TRIGGER
    )
    id_of.expand(asset=found.output)

    CodeOceanDataAssetSensor(task_id="quiet", do_xcom_push=False, **READY_ASSET)
    CodeOceanDataAssetSensor(task_id="outlet", outlets=[Asset("test://worker-free")], **READY_ASSET)
    CodeOceanDataAssetSensor(
        task_id="tried_again",
        codeocean_conn_id="{{ 'codeocean_default' if ti.try_number > 1 else 'not_there_at_first' }}",
        retries=1,
        retry_delay=timedelta(seconds=1),
        **READY_ASSET,
    )
    FAILING = {**READY_ASSET, "data_asset_id": "{{ params.failing }}"}
    CodeOceanDataAssetSensor(task_id="skipped", soft_fail=True, **FAILING)
    CodeOceanDataAssetSensor(task_id="failed", retries=1, retry_delay=timedelta(seconds=1), **FAILING)
    CodeOceanDataAssetSensor(
        task_id="late", **{**READY_ASSET, "data_asset_id": "{{ params.slow }}", "timeout": 3, "retries": 1}
    )
