"""Do something with each data asset that has become ready, as soon as it has: here, give it another tag.

Switch the DAG on, and tag a data asset with ``inbox``: nobody triggers it. Airflow 3.0 or later.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import Asset, AssetWatcher, dag, task

from airflow_provider_codeocean.events.payloads import ready_data_assets
from airflow_provider_codeocean.operators.data_asset import CodeOceanUpdateDataAssetOperator
from airflow_provider_codeocean.triggers.events import CodeOceanDataAssetsReadyTrigger

trigger = CodeOceanDataAssetsReadyTrigger({"query": "tag:inbox"}, poll_interval=10)
inbox = Asset("inbox", watchers=[AssetWatcher(name="inbox", trigger=trigger)])


@dag(schedule=[inbox], is_paused_upon_creation=True, tags=["codeocean"])  # it looks as long as it is on
def label_when_ready() -> None:
    """Label all data assets that the events tell of, one mapped task each."""

    @task
    def ids(triggering_asset_events: Any = None) -> list[str]:
        """Return the ids of the data assets that have become ready."""
        return [each["id"] for each in ready_data_assets(triggering_asset_events)]

    CodeOceanUpdateDataAssetOperator.partial(task_id="label", add_tags=["seen"]).expand(data_asset_id=ids())


label_when_ready()
