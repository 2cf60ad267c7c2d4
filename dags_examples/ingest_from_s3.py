"""Create a data asset from files in S3, and leave the files in their bucket.

Trigger it with ``{"bucket": "…", "prefix": "…"}``. Before anything is created, the custom metadata is checked
against the deployment's fields.
"""

from __future__ import annotations

from airflow.providers.common.compat.sdk import Param, dag

from airflow_provider_codeocean.operators.data_asset import CodeOceanCreateDataAssetOperator


@dag(
    schedule=None,
    params={"bucket": Param(type="string"), "prefix": Param("", type="string")},
    tags=["codeocean"],
)
def ingest_from_s3() -> None:
    """Create the data asset."""
    CodeOceanCreateDataAssetOperator(
        task_id="ingest",
        name="delivery_{{ params.prefix }}",
        source={
            "aws": {
                "bucket": "{{ params.bucket }}",
                "prefix": "{{ params.prefix }}",
                "keep_on_external_storage": True,
                "public": True,
            }
        },
        tags=["delivery"],
        custom_metadata={"data level": "raw"},
        deferrable=True,
        retries=2,
        poll_interval=5,
    )


ingest_from_s3()
