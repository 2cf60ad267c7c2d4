"""Tasks that do nothing, whose processes record their CPU time when they have succeeded."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from airflow.providers.common.compat.sdk import DAG, BaseOperator


class NothingOperator(BaseOperator):
    """Does nothing, but in a worker: Airflow's ``EmptyOperator`` ends in the scheduler."""

    def __init__(self, *, name: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.name = name

    def execute(self, context: Any) -> None:
        """Do nothing."""


def record_cpu(context: Any) -> None:
    """Append the CPU seconds of this process, which Airflow has forked for the task."""
    with Path(os.environ["BENCH_CPU"], context["ti"].dag_id).open("a") as file:
        file.write(f"{time.process_time()}\n")


with DAG("empty_cpu", schedule=None):
    NothingOperator.partial(task_id="nothing", on_success_callback=record_cpu).expand(
        name=[f"nothing {number}" for number in range(int(os.environ["BENCH_TASKS"]))]
    )
