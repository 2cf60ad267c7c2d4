"""Tasks that create or transfer data assets, with outlets of both kinds."""

from __future__ import annotations

from functools import partial
from typing import Any

from airflow.providers.common.compat.sdk import Asset, AssetAlias, task

from airflow_provider_codeocean.operators.data_asset import (
    CodeOceanCaptureResultOperator,
    CodeOceanCreateDataAssetOperator,
)
from airflow_provider_codeocean.operators.transfer import CodeOceanTransferDataAssetOperator
from tests.dag_runs.dag_factory import build_dag

PARAMS = {"computation_id": "", "data_asset_id": "", "capsule_id": "", "bucket": "", "ids": []}
WAIT_MODES: dict[str, dict[str, Any]] = {
    "deferred": {"deferrable": True},
    "in_worker": {"deferrable": False},
    "without_waiting": {"wait_for_completion": False},
}
DAGS: list[Any] = []
dag = partial(build_dag, DAGS, params=PARAMS)

for mode, arguments in WAIT_MODES.items():
    with dag(f"announce_capture_{mode}") as announcing:
        CodeOceanCaptureResultOperator(
            task_id="act",
            computation_id="{{ params.computation_id }}",
            capsule_id="{{ params.capsule_id }}",
            name="announced",
            target={"bucket": "{{ params.bucket }}", "prefix": "/announced/"},
            outlets=[AssetAlias(f"alias of {announcing.dag_id}"), Asset(f"x-test://{announcing.dag_id}")],
            poll_interval=0.05,
            **arguments,
        )

    with dag(f"announce_transfer_{mode}") as announcing:
        CodeOceanTransferDataAssetOperator(
            task_id="act",
            data_asset_id="{{ params.data_asset_id }}",
            target={"bucket": "{{ params.bucket }}"},
            outlets=[AssetAlias(f"alias of {announcing.dag_id}"), Asset(f"x-test://{announcing.dag_id}")],
            poll_interval=0.05,
            **arguments,
        )

with dag("announce_combined"):
    CodeOceanCreateDataAssetOperator(
        task_id="act",
        name="combined",
        data_asset_ids=["{{ params.data_asset_id }}"],
        outlets=[AssetAlias("alias of announce_combined")],
        poll_interval=0.05,
    )

with dag("announce_mapped"):

    @task
    def computations(params: dict[str, Any] | None = None) -> list[str]:
        return list((params or {})["ids"])

    CodeOceanCaptureResultOperator.partial(
        task_id="act", name="mapped", outlets=[AssetAlias("alias of announce_mapped")], poll_interval=0.05
    ).expand(computation_id=computations())

with dag("announce_failed"):
    CodeOceanCaptureResultOperator(
        task_id="act",
        computation_id="{{ params.computation_id }}",
        name="failed",
        target={"bucket": "no-such-bucket"},
        outlets=[AssetAlias("alias of announce_failed"), Asset("x-test://announce_failed")],
        poll_interval=0.05,
    )
