"""Start whenever ``publish_results`` has captured new results.

The events contain the id, version, size, and provenance of each data asset, so reading them sends no request
to Code Ocean. If several data assets arrive at almost the same moment, Airflow may pass this run only the
first one, and the next run the others.
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
    """Read the events that started the run."""

    @task
    def read_events(**context: Any) -> list[dict[str, Any]]:
        """Return the content of the events, whose name differs on Airflow 2."""
        name = "triggering_asset_events"
        events = context[name if name in context else "triggering_dataset_events"]
        return [event.extra for asset_events in events.values() for event in asset_events]

    read_events()


use_new_results()
