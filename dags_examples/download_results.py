"""Download the tables among the results of a computation to a folder or an object store.

Trigger it with ``{"computation_id": "…", "target": "/data/run_7"}``, or with a target such as
``s3://bucket/run_7``. A retry only downloads the missing files.
"""

from __future__ import annotations

from airflow.providers.common.compat.sdk import Param, dag

from airflow_provider_codeocean.operators.files import CodeOceanDownloadFilesOperator


@dag(
    schedule=None,
    params={"computation_id": Param(type="string"), "target": Param(type="string")},
    tags=["codeocean"],
)
def download_results() -> None:
    """Download CSV and JSON files."""
    CodeOceanDownloadFilesOperator(
        task_id="download",
        computation_id="{{ params.computation_id }}",
        pattern=["**/*.csv", "*.json"],
        target="{{ params.target }}",
        on_empty="skip",
        retries=3,
    )


download_results()
