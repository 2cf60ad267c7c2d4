"""Capture the results of a computation, and share them with a group.

Trigger it with ``{"computation_id": "…", "group": "…"}``. A retry sends no permissions that are set already.
"""

from __future__ import annotations

from airflow.providers.common.compat.sdk import Param, dag

from airflow_provider_codeocean.operators.data_asset import CodeOceanCaptureResultOperator
from airflow_provider_codeocean.operators.permissions import CodeOceanSetDataAssetPermissionsOperator


@dag(
    schedule=None,
    params={"computation_id": Param(type="string"), "group": Param(type="string")},
    tags=["codeocean"],
)
def share_with_group() -> None:
    """Capture, then share."""
    capture = CodeOceanCaptureResultOperator(
        task_id="capture",
        computation_id="{{ params.computation_id }}",
        name="results_{{ params.computation_id }}",
        deferrable=True,
        retries=2,
        poll_interval=5,
    )
    share = CodeOceanSetDataAssetPermissionsOperator(
        task_id="share",
        data_asset_id="{{ ti.xcom_pull('capture')['id'] }}",
        groups=[{"group": "{{ params.group }}", "role": "viewer"}],
        mode="ensure",
    )
    capture >> share


share_with_group()
