"""The same mapped waits twice: from workers, and from the triggerer alone. And a few of each to warm up."""

from __future__ import annotations

import json
import os
from pathlib import Path

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_codeocean.sensors.data_asset import CodeOceanDataAssetSensor

CONTESTANTS = {"deferrable": {"deferrable": True}, "worker_free": {"start_from_trigger": True}}

for dag_id, asset_ids in json.loads(Path(os.environ["BENCH_IDS"]).read_text()).items():
    with DAG(dag_id, schedule=None):
        CodeOceanDataAssetSensor.partial(
            task_id="wait", poke_interval=5, timeout=3600, **CONTESTANTS[dag_id.removeprefix("warm_up_")]
        ).expand(data_asset_id=asset_ids)
