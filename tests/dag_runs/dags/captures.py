"""Captures in each mode. The computation comes from the run's configuration."""

from __future__ import annotations

from functools import partial
from typing import Any

from airflow.providers.common.compat.sdk import task

from airflow_provider_codeocean.operators.data_asset import CodeOceanCaptureResultOperator
from tests.dag_runs.dag_factory import build_dag

COMPUTATION = "{{ params.computation_id }}"
PARAMS = {"computation_id": "", "computation_ids": [], "bucket": "", "name": "n"}
DAGS: list[Any] = []

WAIT_MODES: dict[str, dict[str, Any]] = {
    "deferred": {"deferrable": True},
    "in_worker": {"deferrable": False},
    "without_waiting": {"wait_for_completion": False},
}

dag = partial(build_dag, DAGS, params=PARAMS)

for mode, arguments in WAIT_MODES.items():
    with dag(f"capture_{mode}"):
        CodeOceanCaptureResultOperator(
            task_id="capture",
            computation_id=COMPUTATION,
            name="{{ params.name }}",
            path="",
            mount="mounted_{{ params.name }}",
            tags=["fixed", "of_{{ dag.dag_id }}"],
            description="run {{ run_id }}",
            custom_metadata={"subject id": "{{ params.name }}", "score": 99.5},
            poll_interval=0.05,
            timeout=60,
            **arguments,
        )

    with dag(f"capture_external_{mode}"):
        CodeOceanCaptureResultOperator(
            task_id="capture",
            computation_id=COMPUTATION,
            name="n",
            target={"bucket": "{{ params.bucket }}", "prefix": "{{ dag.dag_id }}"},
            poll_interval=0.05,
            retries=2,
            retry_delay=0,
            **arguments,
        )

with dag("capture_too_slow"):
    CodeOceanCaptureResultOperator(
        task_id="capture",
        computation_id=COMPUTATION,
        name="n",
        deferrable=True,
        poll_interval=0.05,
        timeout=0.2,
    )

with dag("capture_from_xcom"):

    @task
    def describe() -> dict[str, Any]:
        return {"computation_id": "", "name": "named before"}

    @task
    def tags() -> list[str]:
        return ["one", "two"]

    @task
    def metadata() -> dict[str, Any]:
        return {"score": 7}

    @task
    def computation(params: dict[str, Any] | None = None) -> str:
        return str((params or {})["computation_id"])

    @task
    def id_of(data_asset_id: str, asset: dict[str, Any]) -> bool:
        return data_asset_id == asset["id"]

    described = CodeOceanCaptureResultOperator(
        task_id="capture",
        computation_id=computation(),
        name=describe()["name"],
        tags=tags(),
        custom_metadata=metadata(),
        deferrable=True,
        poll_interval=0.05,
    )
    id_of(described.output["data_asset_id"], described.output)

with dag("capture_mapped"):

    @task
    def computations(params: dict[str, Any] | None = None) -> list[str]:
        return list((params or {})["computation_ids"])

    mapped = CodeOceanCaptureResultOperator.partial(
        task_id="capture", name="of {{ task.computation_id }}", deferrable=True, poll_interval=0.05
    ).expand(computation_id=computations())

    @task(trigger_rule="all_done")
    def count(assets: Any) -> int:
        return len({asset["id"] for asset in assets})

    count(mapped.output)
