"""A task that is deferred, and one after it: shows that this Airflow works at all, without the provider."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.models import DAG
from airflow.triggers.temporal import TimeDeltaTrigger

try:
    from airflow.sdk import BaseOperator, task
except ImportError:  # Airflow 2
    from airflow.decorators import task
    from airflow.models import BaseOperator


class WaitOperator(BaseOperator):
    """Wait in the triggerer for ``conf["seconds"]``."""

    def execute(self, context: Any) -> None:
        seconds = context["dag_run"].conf["seconds"]
        self.defer(trigger=TimeDeltaTrigger(timedelta(seconds=seconds)), method_name="resume")

    def resume(self, context: Any, event: Any = None) -> str:
        context["ti"].xcom_push(key="tries", value=context["ti"].try_number)
        return "waited"


with DAG("waits_in_triggerer", schedule=None, start_date=datetime(2024, 1, 1, tzinfo=UTC), catchup=False):

    @task
    def after(word: str) -> dict[str, Any]:
        return {"words": [word, "long"]}

    after(WaitOperator(task_id="wait").output)
