"""Run a pipeline; if it fails, resume it twice at most, without repeating the processes that succeeded.

Trigger it with ``{"pipeline_id": "…"}``. A run that takes more than 12 hours is stopped, and the task fails.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.common.compat.sdk import Param, dag

from airflow_provider_codeocean.operators.computation import CodeOceanRunPipelineOperator


@dag(schedule=None, params={"pipeline_id": Param(type="string")}, tags=["codeocean"])
def resume_pipeline() -> None:
    """Run, and resume after failures."""
    CodeOceanRunPipelineOperator(
        task_id="process",
        pipeline_id="{{ params.pipeline_id }}",
        name="process {{ run_id }}",
        on_failure="resume",
        max_run_time=timedelta(hours=12),
        on_timeout="stop",
        on_kill="delete",
        deferrable=True,
        retries=2,
        retry_delay=timedelta(minutes=10),
    )


resume_pipeline()
