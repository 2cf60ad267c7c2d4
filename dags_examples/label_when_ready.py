"""Tag each data asset as soon as it becomes ready.

Unpause the DAG, and give a data asset the tag ``inbox``. The DAG starts by itself. Requires Airflow 3.0.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import Asset, AssetWatcher, dag, task

from airflow_provider_codeocean.events.payloads import ready_data_assets
from airflow_provider_codeocean.operators.data_asset import CodeOceanUpdateDataAssetOperator
from airflow_provider_codeocean.triggers.events import CodeOceanDataAssetsReadyTrigger

trigger = CodeOceanDataAssetsReadyTrigger({"query": "tag:inbox"}, poll_interval=10)
inbox = Asset("inbox", watchers=[AssetWatcher(name="inbox", trigger=trigger)])


@dag(schedule=[inbox], is_paused_upon_creation=True, tags=["codeocean"])  # while unpaused, it polls
def label_when_ready() -> None:
    """Tag the data assets of the events, with one mapped task for each."""

    @task
    def ids(triggering_asset_events: Any = None) -> list[str]:
        """Return the ids of the data assets that became ready."""
        return [asset["id"] for asset in ready_data_assets(triggering_asset_events)]

    CodeOceanUpdateDataAssetOperator.partial(task_id="label", add_tags=["seen"]).expand(data_asset_id=ids())


label_when_ready()
