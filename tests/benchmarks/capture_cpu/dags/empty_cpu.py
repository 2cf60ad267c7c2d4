"""Tasks that do nothing, whose processes record their CPU time when they have succeeded."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from airflow.providers.common.compat.sdk import DAG, BaseOperator

#: Values of a capture's template fields.
TEMPLATE_VALUES = ["text", "", None, None, "name", None, "name", None, None, None, None, "adopt", "default"]


class NothingOperator(BaseOperator):
    """Does nothing, but in a worker: Airflow's ``EmptyOperator`` ends in the scheduler."""

    def __init__(self, *, name: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.name = name

    def execute(self, context: Any) -> Any:
        """Do nothing."""


class TemplatesOperator(NothingOperator):
    """Does nothing, with the template fields and the result of a capture: Airflow's own share of its cost."""

    template_fields = tuple(f"field_{number}" for number in range(len(TEMPLATE_VALUES)))

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for name, value in zip(self.template_fields, TEMPLATE_VALUES, strict=True):
            setattr(self, name, value)

    def execute(self, context: Any) -> Any:
        """Return a result like that of a capture."""
        return {f"field {number}": [number, "text"] for number in range(20)}


def record_cpu(context: Any) -> None:
    """Append the CPU seconds of this process, which Airflow has forked for the task."""
    with Path(os.environ["BENCH_CPU"], context["ti"].dag_id).open("a") as file:
        file.write(f"{time.process_time()}\n")


for dag_id, operator in {"empty_cpu": NothingOperator, "templates_cpu": TemplatesOperator}.items():
    with DAG(dag_id, schedule=None):
        operator.partial(task_id="nothing", on_success_callback=record_cpu).expand(
            name=[f"nothing {number}" for number in range(int(os.environ["BENCH_TASKS"]))]
        )
