"""Wait for a data asset that someone else creates, and use it.

Trigger it with ``{"data_asset_id": "…"}``. The sensor ends with the data asset, or fails where its creation
failed.
"""

from __future__ import annotations

from typing import Any

from airflow.providers.common.compat.sdk import Param, dag, task

from airflow_provider_codeocean.sensors.data_asset import CodeOceanDataAssetSensor


@dag(schedule=None, params={"data_asset_id": Param(type="string")}, tags=["codeocean"])
def wait_for_data_asset() -> None:
    """Wait, then use."""
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
        """Say what there is."""
        return f"{asset['name']}: {asset['files']} files, {asset['size']} bytes at {asset['url']}"

    use(ready.output)


wait_for_data_asset()
