"""Tag each data asset that a search finds.

Trigger it with ``{"query": "…", "tag": "…"}``.
"""

from __future__ import annotations

from airflow.providers.common.compat.sdk import Param, dag

from airflow_provider_codeocean.operators.data_asset import CodeOceanUpdateDataAssetOperator
from airflow_provider_codeocean.operators.search import CodeOceanSearchDataAssetsOperator


@dag(
    schedule=None,
    params={"query": Param(type="string"), "tag": Param(type="string")},
    tags=["codeocean"],
)
def search_and_map() -> None:
    """Search, then tag each data asset."""
    find = CodeOceanSearchDataAssetsOperator(task_id="find", query="{{ params.query }}", return_ids=True)
    CodeOceanUpdateDataAssetOperator.partial(task_id="label", add_tags=["{{ params.tag }}"]).expand(
        data_asset_id=find.output
    )


search_and_map()
