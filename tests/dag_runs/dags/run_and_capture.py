"""Runs of capsules and pipelines whose results are captured, shared, and transferred."""

from __future__ import annotations

from functools import partial
from typing import Any

from airflow.providers.common.compat.sdk import task_group

from airflow_provider_codeocean.task_groups.run_and_capture import CodeOceanRunAndCaptureTaskGroup
from tests.dag_runs.dag_factory import build_dag

TEXT_PARAMS = ("capsule_id", "pipeline_id", "email", "bucket")
SHORT_POLL = {"poll_interval": 0.05}
DAGS: list[Any] = []
dag = partial(build_dag, DAGS, params=dict.fromkeys(TEXT_PARAMS, ""))

for mode, deferrable in (("deferred", True), ("in_worker", False)):
    with dag(f"run_and_capture_{mode}"):
        CodeOceanRunAndCaptureTaskGroup(
            "sort",
            capsule_id="{{ params.capsule_id }}",
            name="sorted on {{ ds }}",
            run={"parameters": {"threshold": 5}, **SHORT_POLL},
            capture={"tags": ["sorted"], **SHORT_POLL},
            share_with={"users": [{"email": "{{ params.email }}", "role": "viewer"}]},
            transfer={"target": {"bucket": "{{ params.bucket }}"}, **SHORT_POLL},
            operator_kwargs={"retries": 6, "retry_delay": 0, "timeout": 60, "on_kill": "leave"},
            deferrable=deferrable,
        )

with dag("pipeline_and_capture"):
    CodeOceanRunAndCaptureTaskGroup(
        pipeline_id="{{ params.pipeline_id }}", name="processed", run=SHORT_POLL, capture=SHORT_POLL
    )

with dag("run_and_capture_named_by_results"):
    CodeOceanRunAndCaptureTaskGroup(
        capsule_id="{{ params.capsule_id }}",
        name="no name",
        run=SHORT_POLL,
        capture={"name_file": "data_description.json", **SHORT_POLL},
    )

with dag("run_and_capture_many"):

    @task_group
    def sort(parameters):
        """Run with some parameters."""
        CodeOceanRunAndCaptureTaskGroup(
            capsule_id="{{ params.capsule_id }}",
            name="sorted {{ ti.map_index }}",
            run={"parameters": parameters, **SHORT_POLL},
            capture=SHORT_POLL,
        )

    sort.expand(parameters=[["1"], ["2"]])
