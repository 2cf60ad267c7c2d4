"""Wait for many data assets at once without a worker, and use each.

Trigger it with ``{"data_asset_ids": ["…", "…"]}``. From Airflow 3.3 on the waits begin and end in the
triggerer; before, they are deferrable.
"""

from __future__ import annotations

from typing import Any

from airflow.providers.common.compat.sdk import Param, dag, task

from airflow_provider_codeocean.sensors.data_asset import CodeOceanDataAssetSensor


@dag(schedule=None, params={"data_asset_ids": Param(type="array")}, tags=["codeocean"])
def wait_without_worker() -> None:
    """Wait for each, then use it."""

    @task
    def wanted(params: dict[str, Any] | None = None) -> list[str]:
        """Say what to wait for."""
        return list((params or {})["data_asset_ids"])

    ready = CodeOceanDataAssetSensor.partial(
        task_id="ready", start_from_trigger=True, retries=2, poke_interval=5, timeout=3600
    ).expand(data_asset_id=wanted())

    @task
    def use(asset: dict[str, Any]) -> str:
        """Say what there is."""
        return f"{asset['name']}: {asset['files']} files, {asset['size']} bytes at {asset['url']}"

    use.expand(asset=ready.output)


wait_without_worker()
