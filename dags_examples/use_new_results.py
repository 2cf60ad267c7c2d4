"""Use results as soon as another DAG has captured them: begins by itself where ``publish_results`` has ended.

What the event tells (id, version, size, provenance and so on) needs no request. Of data assets that come at
almost the same time, Airflow may give a run the first, and the others to the run that the next one begins.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.providers.common.compat.sdk import Asset, dag, task


@dag(
    schedule=[Asset("sorted_results")],
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["codeocean"],
)
def use_new_results() -> None:
    """Look at what is new."""

    @task
    def look(**context: Any) -> list[dict[str, Any]]:
        """Return what the events tell; Airflow 2 has them under another name."""
        name = "triggering_asset_events"
        events = context[name if name in context else "triggering_dataset_events"]
        return [event.extra for of_asset in events.values() for event in of_asset]

    look()


use_new_results()
