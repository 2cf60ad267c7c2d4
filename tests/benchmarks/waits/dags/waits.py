"""The same DAG twice: many deferred sensors, this provider's and HttpSensor."""

from __future__ import annotations

import json
import os
from pathlib import Path

from airflow.providers.http.sensors.http import HttpSensor
from airflow.sdk import DAG

from airflow_provider_codeocean.sensors.data_asset import CodeOceanDataAssetSensor

IDS = json.loads(Path(os.environ["BENCH_IDS"]).read_text())
WAIT = {"deferrable": True, "poke_interval": 5, "timeout": 3600}

with DAG("ours"):
    CodeOceanDataAssetSensor.partial(task_id="wait", **WAIT).expand(data_asset_id=IDS)

with DAG("http"):
    HttpSensor.partial(task_id="wait", http_conn_id="bench_http", method="GET", **WAIT).expand(
        endpoint=[f"ready/{asset_id}" for asset_id in IDS]
    )
