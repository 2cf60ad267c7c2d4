"""Run a capsule on each of many data assets, and capture the results of each run.

Trigger it with ``{"capsule_id": "…", "query": "tag:raw"}``. A run that fails only affects its own capture.
"""

from __future__ import annotations

from airflow.providers.common.compat.sdk import Param, dag, task_group

from airflow_provider_codeocean.operators.search import CodeOceanSearchDataAssetsOperator
from airflow_provider_codeocean.task_groups.run_and_capture import CodeOceanRunAndCaptureTaskGroup


@dag(
    schedule=None,
    params={"capsule_id": Param(type="string"), "query": Param(type="string")},
    tags=["codeocean"],
)
def fan_out() -> None:
    """Search, then run and capture for each recording."""
    recordings = CodeOceanSearchDataAssetsOperator(
        task_id="recordings", query="{{ params.query }}", return_ids=True, on_empty="skip"
    )

    @task_group
    def sort(recording: str) -> None:
        """Run the capsule on one recording, and capture the results."""
        CodeOceanRunAndCaptureTaskGroup(
            capsule_id="{{ params.capsule_id }}",
            name="sorted_{{ run_id }}_{{ ti.map_index }}",
            run={"data_assets": [recording], "poll_interval": 5},
            capture={"tags": ["sorted"], "poll_interval": 5},
            operator_kwargs={"retries": 2},
            deferrable=True,
        )

    sort.expand(recording=recordings.output)


fan_out()
