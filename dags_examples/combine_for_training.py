"""Combine all data assets with a tag into one, as a training set.

Trigger it with ``{"tag": "…"}``. If no data asset has the tag, both tasks are skipped.
"""

from __future__ import annotations

from airflow.providers.common.compat.sdk import Param, dag

from airflow_provider_codeocean.operators.data_asset import CodeOceanCreateDataAssetOperator
from airflow_provider_codeocean.operators.search import CodeOceanSearchDataAssetsOperator


@dag(
    schedule=None,
    params={"tag": Param(type="string")},
    render_template_as_native_obj=True,
    tags=["codeocean"],
)
def combine_for_training() -> None:
    """Search, then combine."""
    find = CodeOceanSearchDataAssetsOperator(
        task_id="find", query='tag:"{{ params.tag }}"', return_ids=True, on_empty="skip"
    )
    combine = CodeOceanCreateDataAssetOperator(
        task_id="combine",
        name="training set of {{ params.tag }}",
        data_asset_ids="{{ ti.xcom_pull('find') }}",
        deferrable=True,
        retries=2,
        poll_interval=5,
    )
    find >> combine


combine_for_training()
