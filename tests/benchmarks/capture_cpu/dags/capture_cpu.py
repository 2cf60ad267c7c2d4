"""Captures whose processes record their CPU time when they have succeeded."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_codeocean.operators.data_asset import CodeOceanCaptureResultOperator


def record_cpu(context: Any) -> None:
    """Append the CPU seconds of this process, which Airflow has forked for the task."""
    with Path(os.environ["BENCH_CPU"], context["ti"].dag_id).open("a") as file:
        file.write(f"{time.process_time()}\n")


with DAG("capture_cpu", schedule=None):
    CodeOceanCaptureResultOperator.partial(
        task_id="capture",
        computation_id=os.environ["BENCH_COMPUTATION"],
        poll_interval=1,
        on_success_callback=record_cpu,
    ).expand(name=[f"capture {number}" for number in range(int(os.environ["BENCH_TASKS"]))])
