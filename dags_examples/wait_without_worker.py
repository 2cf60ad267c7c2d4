"""Wait for many data assets at once without a worker, and use each of them.

Trigger it with ``{"data_asset_ids": ["…", "…"]}``. On Airflow 3.3 and later, the sensors start and end in the
triggerer; before, they are deferrable.
"""

from __future__ import annotations

from typing import Any

from airflow.providers.common.compat.sdk import Param, dag, task

from airflow_provider_codeocean.sensors.data_asset import CodeOceanDataAssetSensor


@dag(schedule=None, params={"data_asset_ids": Param(type="array")}, tags=["codeocean"])
def wait_without_worker() -> None:
    """Wait for each data asset, then use it."""

    @task
    def list_ids(params: dict[str, Any] | None = None) -> list[str]:
        """Return the ids of the data assets."""
        return list((params or {})["data_asset_ids"])

    ready = CodeOceanDataAssetSensor.partial(
        task_id="ready", start_from_trigger=True, retries=2, poke_interval=5, timeout=3600
    ).expand(data_asset_id=list_ids())

    @task
    def use(asset: dict[str, Any]) -> str:
        """Return a summary of the data asset."""
        return f"{asset['name']}: {asset['files']} files, {asset['size']} bytes at {asset['url']}"

    use.expand(asset=ready.output)


wait_without_worker()
