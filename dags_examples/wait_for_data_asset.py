"""Wait for a data asset that somebody else creates, and use it.

Trigger it with ``{"data_asset_id": "…"}``. The sensor returns the data asset. If its creation fails, the
sensor fails.
"""

from __future__ import annotations

from typing import Any

from airflow.providers.common.compat.sdk import Param, dag, task

from airflow_provider_codeocean.sensors.data_asset import CodeOceanDataAssetSensor


@dag(schedule=None, params={"data_asset_id": Param(type="string")}, tags=["codeocean"])
def wait_for_data_asset() -> None:
    """Wait for the data asset, then use it."""
    ready = CodeOceanDataAssetSensor(
        task_id="ready",
        data_asset_id="{{ params.data_asset_id }}",
        deferrable=True,
        retries=2,
        poke_interval=5,
        timeout=3600,
    )

    @task
    def use(asset: dict[str, Any]) -> str:
        """Return a summary of the data asset."""
        return f"{asset['name']}: {asset['files']} files, {asset['size']} bytes at {asset['url']}"

    use(ready.output)


wait_for_data_asset()
