"""All that lineage is told of: a run, captures, files in a bucket, and a transfer; and who waits for it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.providers.common.compat.sdk import DAG, AssetAlias, Param, task

from airflow_provider_codeocean.operators.computation import CodeOceanRunCapsuleOperator
from airflow_provider_codeocean.operators.data_asset import (
    CodeOceanCaptureResultOperator,
    CodeOceanCreateDataAssetOperator,
)
from airflow_provider_codeocean.operators.transfer import CodeOceanTransferDataAssetOperator

NAMES = ("capsule_id", "data_asset_id", "public_bucket", "results_bucket", "archive_bucket")
CAPTURED = AssetAlias("captured here")

with DAG(
    "lineage", schedule=None, params={name: Param("") for name in NAMES}, default_args={"poll_interval": 1}
):
    run = CodeOceanRunCapsuleOperator(
        task_id="run",
        capsule_id="{{ params.capsule_id }}",
        data_assets=["{{ params.data_asset_id }}"],
        deferrable=False,
    )
    of_run: dict[str, Any] = {
        "computation_id": run.output["computation_id"],
        "capsule_id": "{{ params.capsule_id }}",
    }
    inside = CodeOceanCaptureResultOperator(task_id="inside", name="inside", deferrable=False, **of_run)
    CodeOceanCaptureResultOperator(
        task_id="outside",
        name="outside",
        description="in a bucket",
        target={"bucket": "{{ params.results_bucket }}", "prefix": "here/"},
        outlets=[CAPTURED],
        deferrable=True,
        **of_run,
    )
    CodeOceanTransferDataAssetOperator(
        task_id="move",
        data_asset_id=inside.output["data_asset_id"],
        target={"bucket": "{{ params.archive_bucket }}", "prefix": "there"},
        deferrable=True,
    )
    CodeOceanCreateDataAssetOperator(
        task_id="ingest",
        name="ingested",
        source={
            "aws": {"bucket": "{{ params.public_bucket }}", "public": True, "keep_on_external_storage": True}
        },
        deferrable=True,
    )

with DAG("lineage_reader", schedule=CAPTURED, start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False):

    @task(inlets=[CAPTURED])
    def read(*, inlet_events: Any = None) -> dict[str, Any]:
        """Return what the last event tells."""
        return dict(inlet_events[CAPTURED][-1].extra)

    read()
