"""Tasks that each wait in the triggerer for a data asset of their own, with all that may become of it."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from airflow.models import DAG
from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_codeocean.api.models.data_asset_params import DataAssetParams, DataAssetSearchParams
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.triggers.data_asset import CodeOceanDataAssetTrigger


class DraftOperator(BaseOperator):
    """Create a data asset and wait for it; a second try goes on with it, in its worker."""

    def __init__(self, *, on_kill: Any, number: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.on_kill_action = on_kill
        self.number = number

    def execute(self, context: Any) -> None:
        ti = context["ti"]
        tag = f"{ti.run_id}/{ti.task_id}/{ti.map_index}"
        hook = CodeOceanHook()
        if ti.try_number > 1:
            for asset in hook.client.data_assets.search(DataAssetSearchParams(query=f'tag:"{tag}"')).results:
                hook.wait_for_data_asset(asset.id, poll_interval=1.0, deadline=time.time() + 120)
            return
        source = {"computation": {"id": context["dag_run"].conf["computation_id"]}}
        params = {"name": "draft", "mount": "draft", "tags": [tag], "source": source}
        asset = hook.client.data_assets.create(DataAssetParams.model_validate(params))
        ti.xcom_push(key="data_asset_id", value=asset.id)
        trigger = CodeOceanDataAssetTrigger(
            asset.id, poll_interval=0.2, deadline=time.time() + 600, on_kill=self.on_kill_action
        )
        self.defer(trigger=trigger, method_name="resume")

    def resume(self, context: Any, event: Any = None) -> None:
        """End."""


with DAG("waits_for_drafts", schedule=None, start_date=datetime(2024, 1, 1, tzinfo=UTC), catchup=False):
    for number in range(5):
        DraftOperator(task_id=f"deletes_{number}", on_kill="delete")
    for number in range(2):
        DraftOperator(task_id=f"leaves_{number}", on_kill="leave")
    DraftOperator(task_id="sensor", on_kill=None)
    DraftOperator.partial(task_id="mapped", on_kill="delete").expand(number=[0, 1])
