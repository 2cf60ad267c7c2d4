"""Run a pipeline, capture its results in the lab's bucket, and share them with a group.

Trigger it with ``{"pipeline_id": "…", "bucket": "…", "group": "…"}``. If the run leaves no results, the other
tasks are skipped.
"""

from __future__ import annotations

from airflow.providers.common.compat.sdk import Param, dag

from airflow_provider_codeocean.task_groups.run_and_capture import CodeOceanRunAndCaptureTaskGroup


@dag(
    schedule=None,
    params={name: Param(type="string") for name in ("pipeline_id", "bucket", "group")},
    tags=["codeocean"],
)
def capture_after_run() -> None:
    """Run, capture, and share."""
    CodeOceanRunAndCaptureTaskGroup(
        "process",
        pipeline_id="{{ params.pipeline_id }}",
        name="processed_{{ run_id }}",
        capture={"target": {"bucket": "{{ params.bucket }}", "prefix": "processed/{{ run_id }}"}},
        share_with={"groups": [{"group": "{{ params.group }}", "role": "viewer"}]},
        operator_kwargs={"retries": 2},
        deferrable=True,
    )


capture_after_run()
