"""Runs that fail: with a retry policy that distinguishes why, and resumed by a retry."""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_codeocean.compat.features import Feature
from airflow_provider_codeocean.operators.computation import (
    CodeOceanRunCapsuleOperator,
    CodeOceanRunPipelineOperator,
)
from airflow_provider_codeocean.retry_policy import codeocean_retry_policy

policy = (
    {"retry_policy": codeocean_retry_policy(start_failures=timedelta(seconds=1))}
    if Feature.RETRY_POLICY.is_available
    else {}
)

with DAG("failed_runs", schedule=None, params={"failing": "", "unstartable": "", "pipeline": ""}):
    for capsule in ("failing", "unstartable"):
        for mode, deferrable in (("sync", False), ("deferred", True)):
            CodeOceanRunCapsuleOperator(
                task_id=f"{capsule}_{mode}",
                capsule_id=f"{{{{ params.{capsule} }}}}",
                parameters=["threshold=5"],
                deferrable=deferrable,
                poll_interval=1,
                retries=1,
                retry_delay=timedelta(seconds=2),
                **policy,
            )
    for mode, deferrable in (("sync", False), ("deferred", True)):
        CodeOceanRunPipelineOperator(
            task_id=f"resumed_{mode}",
            pipeline_id="{{ params.pipeline }}",
            on_failure="resume",
            deferrable=deferrable,
            poll_interval=1,
            retries=1,
            retry_delay=timedelta(seconds=2),
        )
