"""Do something to each data asset that a search finds: here, add a tag.

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
    """Search, then change each."""
    find = CodeOceanSearchDataAssetsOperator(task_id="find", query="{{ params.query }}", only_ids=True)
    CodeOceanUpdateDataAssetOperator.partial(task_id="label", add_tags=["{{ params.tag }}"]).expand(
        data_asset_id=find.output
    )


search_and_map()
