"""Watches for all that finishes and all that is captured; its runs cost no worker."""

from __future__ import annotations

import os

from airflow.providers.common.compat.sdk import DAG, Asset
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import AssetWatcher

from airflow_provider_codeocean.triggers.events import (
    CodeOceanComputationsFinishedTrigger,
    CodeOceanDataAssetsReadyTrigger,
)

finished_asset = Asset(
    "soak_finished",
    watchers=[
        AssetWatcher(
            name="soak_finished",
            trigger=CodeOceanComputationsFinishedTrigger(
                capsule_id=os.environ["SOAK_CAPSULE"], poll_interval=5.0
            ),
        )
    ],
)
captured_asset = Asset(
    "soak_captured",
    watchers=[
        AssetWatcher(
            name="soak_captured",
            trigger=CodeOceanDataAssetsReadyTrigger({"query": 'tag:"soak"'}, poll_interval=5.0),
        )
    ],
)

with DAG("soak_told", schedule=[finished_asset | captured_asset], max_active_runs=100):
    EmptyOperator(task_id="told")
