"""Move the files of a data asset to the lab's bucket.

Trigger it with ``{"data_asset_id": "…", "bucket": "…"}``. The connection needs an administrator's token.
Files that are already in the bucket are not moved again.
"""

from __future__ import annotations

from airflow.providers.common.compat.sdk import Param, dag

from airflow_provider_codeocean.operators.transfer import CodeOceanTransferDataAssetOperator


@dag(
    schedule=None,
    params={"data_asset_id": Param(type="string"), "bucket": Param(type="string")},
    tags=["codeocean"],
)
def move_to_bucket() -> None:
    """Move the files, and wait until they are there."""
    CodeOceanTransferDataAssetOperator(
        task_id="move",
        data_asset_id="{{ params.data_asset_id }}",
        target={"bucket": "{{ params.bucket }}", "prefix": "codeocean/{{ params.data_asset_id }}"},
        deferrable=True,
        retries=2,
        poll_interval=5,
    )


move_to_bucket()
