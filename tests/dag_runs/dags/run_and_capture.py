"""Runs of capsules and pipelines whose results are captured, shared and moved."""

from __future__ import annotations

from functools import partial
from typing import Any

from airflow.providers.common.compat.sdk import task_group

from airflow_provider_codeocean.task_groups.run_and_capture import CodeOceanRunAndCaptureTaskGroup
from tests.dag_runs.one_of_many import one_of

TEXTS = ("capsule_id", "pipeline_id", "email", "bucket")
SOON = {"poll_interval": 0.05}
DAGS: list[Any] = []
dag = partial(one_of, DAGS, params=dict.fromkeys(TEXTS, ""))

for way, deferrable in (("deferred", True), ("in_worker", False)):
    with dag(f"run_and_capture_{way}"):
        CodeOceanRunAndCaptureTaskGroup(
            "sort",
            capsule_id="{{ params.capsule_id }}",
            name="sorted on {{ ds }}",
            run={"parameters": {"threshold": 5}, **SOON},
            capture={"tags": ["sorted"], **SOON},
            share={"users": [{"email": "{{ params.email }}", "role": "viewer"}]},
            transfer={"target": {"bucket": "{{ params.bucket }}"}, **SOON},
            task_arguments={"retries": 6, "retry_delay": 0, "timeout": 60, "on_kill": "leave"},
            deferrable=deferrable,
        )

with dag("pipeline_and_capture"):
    CodeOceanRunAndCaptureTaskGroup(
        pipeline_id="{{ params.pipeline_id }}", name="processed", run=SOON, capture=SOON
    )

with dag("run_and_capture_named_by_results"):
    CodeOceanRunAndCaptureTaskGroup(
        capsule_id="{{ params.capsule_id }}",
        name="no name",
        run=SOON,
        capture={"name_file": "data_description.json", **SOON},
    )

with dag("run_and_capture_many"):

    @task_group
    def sort(parameters):
        """Run with some parameters."""
        CodeOceanRunAndCaptureTaskGroup(
            capsule_id="{{ params.capsule_id }}",
            name="sorted {{ ti.map_index }}",
            run={"parameters": parameters, **SOON},
            capture=SOON,
        )

    sort.expand(parameters=[["1"], ["2"]])
