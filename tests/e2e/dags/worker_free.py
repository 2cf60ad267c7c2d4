"""Waits that start in the triggerer, and a task that reads what they left."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, Asset, task

from airflow_provider_codeocean.sensors.computation import CodeOceanComputationSensor
from airflow_provider_codeocean.sensors.data_asset import CodeOceanDataAssetSensor
from airflow_provider_codeocean.sensors.search import CodeOceanDataAssetSearchSensor
from airflow_provider_codeocean.sensors.transfer import CodeOceanTransferSensor

IN_TRIGGERER: dict[str, Any] = {"start_from_trigger": True, "poke_interval": 1, "timeout": 120}

PARAMS = {"data_asset_ids": [], "computation_id": "", "failing_id": "", "name": ""}

with DAG("worker_free", schedule=None, params=PARAMS):

    @task
    def ids(**context: Any) -> list[str]:
        return list(context["params"]["data_asset_ids"])

    @task
    def first(**context: Any) -> str:
        return str(context["params"]["data_asset_ids"][0])

    @task
    def types(value: Any) -> list[list[str]]:
        """Say what was read."""
        assets = value if isinstance(value, list) else [value]
        return [[type(asset).__name__, asset["id"], str(asset["size"]), asset["state"]] for asset in assets]

    @task
    def name_of(asset: dict[str, Any]) -> str:
        return str(asset["id"])

    plain = CodeOceanDataAssetSensor(
        task_id="templated", data_asset_id="{{ params.data_asset_ids[0] }}", **IN_TRIGGERER
    )
    types.override(task_id="types_of_plain")(plain.output)
    CodeOceanDataAssetSensor(task_id="from_xcom", data_asset_id=first(), **IN_TRIGGERER)
    mapped = CodeOceanDataAssetSensor.partial(task_id="mapped", **IN_TRIGGERER).expand(data_asset_id=ids())
    CodeOceanComputationSensor.partial(task_id="mapped_literal", **IN_TRIGGERER).expand(computation_id=["{{ params.computation_id }}"] * 2)
    found = CodeOceanDataAssetSearchSensor(task_id="search", query="name:{{ params.name }}", **IN_TRIGGERER)
    name_of.expand(asset=found.output)
