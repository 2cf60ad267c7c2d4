"""The main flow: run a capsule, capture its results, share the data asset, and download its files."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

from airflow.providers.common.compat.sdk import DAG, Param

from airflow_provider_codeocean.operators.computation import CodeOceanRunCapsuleOperator
from airflow_provider_codeocean.operators.data_asset import CodeOceanCaptureResultOperator
from airflow_provider_codeocean.operators.files import CodeOceanDownloadFilesOperator
from airflow_provider_codeocean.operators.permissions import CodeOceanSetDataAssetPermissionsOperator


class ObservedCapture(CodeOceanCaptureResultOperator):
    """Writes the process id of the first attempt to a file."""

    def pre_execute(self, context):
        super().pre_execute(context)
        if context["ti"].try_number == 1:
            path = Path(context["params"]["pid_file"])
            path.with_suffix(".part").write_text(str(os.getpid()))
            path.with_suffix(".part").rename(path)


with DAG(
    "main_flow",
    schedule=None,
    params={name: Param("", type="string") for name in ("capsule_id", "group", "target", "pid_file")},
):
    run = CodeOceanRunCapsuleOperator(
        task_id="run", capsule_id="{{ params.capsule_id }}", deferrable=True, poll_interval=1
    )
    capture = ObservedCapture(
        task_id="capture",
        computation_id=run.output["computation_id"],
        name="main flow",
        deferrable=True,
        poll_interval=1,
        retries=1,
        retry_delay=timedelta(seconds=0),
    )
    share = CodeOceanSetDataAssetPermissionsOperator(
        task_id="share",
        data_asset_id=capture.output["data_asset_id"],
        groups=[{"group": "{{ params.group }}", "role": "viewer"}],
        mode="ensure",
    )
    download = CodeOceanDownloadFilesOperator(
        task_id="download", data_asset_id=capture.output["data_asset_id"], target="{{ params.target }}"
    )
    capture >> [share, download]
