"""Capture the results of many computations, with one mapped task for each.

Trigger it with ``{"computation_ids": ["…", "…"]}``. All captures wait in the triggerer at the same time. A
capture that fails does not affect the others.
"""

from __future__ import annotations

from typing import Any

from airflow.providers.common.compat.sdk import Param, dag, task

from airflow_provider_codeocean.operators.data_asset import CodeOceanCaptureResultOperator


@dag(
    schedule=None,
    params={"computation_ids": Param(type="array", items={"type": "string"})},
    tags=["codeocean"],
)
def capture_many_results() -> None:
    """Plan, capture, and report."""

    @task
    def plan(params: dict[str, Any] | None = None) -> list[dict[str, str]]:
        """Return the arguments of each capture."""
        return [
            {"computation_id": computation_id, "name": f"results_{computation_id}"}
            for computation_id in (params or {})["computation_ids"]
        ]

    captured = CodeOceanCaptureResultOperator.partial(
        task_id="capture", tags=["airflow"], deferrable=True, retries=2, poll_interval=5
    ).expand_kwargs(plan())

    @task(trigger_rule="all_done")
    def report(assets: list[dict[str, Any]]) -> list[str]:
        """Return the addresses of the data assets."""
        return [asset["url"] for asset in assets]

    report(captured.output)


capture_many_results()
