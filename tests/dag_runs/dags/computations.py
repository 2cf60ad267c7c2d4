"""Runs of capsules and pipelines, and the other operations on computations."""

from __future__ import annotations

from functools import partial
from typing import Any

from airflow_provider_codeocean.operators.computation import (
    CodeOceanDeleteComputationOperator,
    CodeOceanRenameComputationOperator,
    CodeOceanRunCapsuleOperator,
    CodeOceanRunPipelineOperator,
)
from tests.dag_runs.dag_factory import build_dag

TEXT_PARAMS = ("capsule_id", "pipeline_id", "computation_id", "data_asset_id", "probe")
PARAMS: dict[str, Any] = {**dict.fromkeys(TEXT_PARAMS, ""), "processes": {}}
WAIT_MODES: dict[str, dict[str, Any]] = {"deferred": {"deferrable": True}, "in_worker": {"deferrable": False}}
RETRIES: dict[str, Any] = {"retries": 6, "retry_delay": 0}
DAGS: list[Any] = []
# Objects in the configuration stay objects.
dag = partial(build_dag, DAGS, params=PARAMS, render_template_as_native_obj=True)

for mode, arguments in WAIT_MODES.items():
    with dag(f"run_capsule_{mode}"):
        CodeOceanRunCapsuleOperator(
            task_id="act",
            capsule_id="{{ params.capsule_id }}",
            name="nightly {{ ds }}",
            data_assets=["{{ params.data_asset_id }}"],
            parameters={"threshold": 5, "probe": "{{ params.probe }}"},
            poll_interval=0.05,
            **arguments,
            **RETRIES,
        )

    with dag(f"run_pipeline_{mode}"):
        CodeOceanRunPipelineOperator(
            task_id="act",
            pipeline_id="{{ params.pipeline_id }}",
            processes="{{ params.processes }}",
            poll_interval=0.05,
            **arguments,
            **RETRIES,
        )

    with dag(f"run_twice_{mode}"):
        CodeOceanRunCapsuleOperator(
            task_id="act",
            capsule_id="{{ params.capsule_id }}",
            poll_interval=0.05,
            retries=1,
            retry_delay=0,
            **arguments,
        )

with dag("run_without_waiting"):
    CodeOceanRunCapsuleOperator(
        task_id="act", capsule_id="{{ params.capsule_id }}", wait_for_completion=False
    )

with dag("run_many"):
    CodeOceanRunCapsuleOperator.partial(
        task_id="act", capsule_id="{{ params.capsule_id }}", deferrable=True, poll_interval=0.05
    ).expand(parameters=[["1"], ["2"], ["3"]])

with dag("rename"):
    CodeOceanRenameComputationOperator(
        task_id="act", computation_id="{{ params.computation_id }}", name="the good one", **RETRIES
    )

with dag("delete_computation"):
    CodeOceanDeleteComputationOperator(task_id="act", computation_id="{{ params.computation_id }}", **RETRIES)
