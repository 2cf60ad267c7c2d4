"""Delete a data asset, unless a capsule, a pipeline, or a combined data asset uses it.

Trigger it with ``{"data_asset_id": "…"}``.
"""

from __future__ import annotations

from typing import Any

from airflow.providers.common.compat.sdk import AirflowSkipException, Param, dag, task

from airflow_provider_codeocean.operators.data_asset import CodeOceanDeleteDataAssetOperator
from airflow_provider_codeocean.operators.search import CodeOceanSearchDataAssetUsesOperator


@dag(schedule=None, params={"data_asset_id": Param(type="string")}, tags=["codeocean"])
def delete_if_unused() -> None:
    """Search the uses, then delete the data asset or skip."""
    uses = CodeOceanSearchDataAssetUsesOperator(task_id="uses", data_asset_id="{{ params.data_asset_id }}")

    @task
    def check(uses: list[dict[str, Any]]) -> None:
        """Skip the deletion if there are uses."""
        if uses:
            names = ", ".join(f"{use['kind']} {use['name']} ({use['id']})" for use in uses)
            raise AirflowSkipException(f"The data asset is used by {names}")

    delete = CodeOceanDeleteDataAssetOperator(task_id="delete", data_asset_id="{{ params.data_asset_id }}")
    check(uses.output) >> delete


delete_if_unused()
