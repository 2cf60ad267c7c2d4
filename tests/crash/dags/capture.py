"""A capture as users write it, waiting in the worker and deferred."""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.common.compat.sdk import DAG
from crash_observed import CrashHooksMixin

from airflow_provider_codeocean.operators.data_asset import CodeOceanCaptureResultOperator


class ObservedCapture(CrashHooksMixin, CodeOceanCaptureResultOperator):
    """The operator, observed."""


for mode in ("sync", "deferred"):
    with DAG(f"capture_{mode}", schedule=None, params={"connection": "", "computation_id": ""}):
        ObservedCapture(
            task_id="capture",
            codeocean_conn_id="{{ params.connection }}",
            computation_id="{{ params.computation_id }}",
            name="captured",
            deferrable=mode == "deferred",
            poll_interval=0.5,
            retries=5,
            retry_delay=timedelta(seconds=1),
        )
