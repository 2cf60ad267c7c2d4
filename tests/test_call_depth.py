"""A reader can follow an operator from ``execute`` to the wire through few files."""

from __future__ import annotations

import sys
import threading
from collections import defaultdict
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import airflow_provider_codeocean
from airflow_provider_codeocean.api._http.library import httpx
from airflow_provider_codeocean.operators._submit_once import runner
from airflow_provider_codeocean.operators.attachment import (
    CodeOceanAttachDataAssetsOperator,
    CodeOceanDetachDataAssetsOperator,
)
from airflow_provider_codeocean.operators.computation import (
    CodeOceanDeleteComputationOperator,
    CodeOceanRenameComputationOperator,
    CodeOceanRunCapsuleOperator,
    CodeOceanRunPipelineOperator,
)
from airflow_provider_codeocean.operators.data_asset import (
    CodeOceanArchiveDataAssetOperator,
    CodeOceanCaptureResultOperator,
    CodeOceanCreateDataAssetOperator,
    CodeOceanDeleteDataAssetOperator,
    CodeOceanUpdateDataAssetOperator,
)
from airflow_provider_codeocean.operators.files import (
    CodeOceanDownloadFilesOperator,
    CodeOceanListFilesOperator,
)
from airflow_provider_codeocean.operators.permissions import (
    CodeOceanGetDataAssetPermissionsOperator,
    CodeOceanSetDataAssetPermissionsOperator,
)
from airflow_provider_codeocean.operators.search import (
    CodeOceanSearchDataAssetsOperator,
    CodeOceanSearchDataAssetUsesOperator,
)
from airflow_provider_codeocean.operators.transfer import CodeOceanTransferDataAssetOperator
from airflow_provider_codeocean.triggers.data_asset import CodeOceanDataAssetTrigger

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(airflow_provider_codeocean.__file__).parent
EMULATOR = PACKAGE / "emulator"
SENDS = {httpx.Client.send.__code__, httpx.AsyncClient.send.__code__}
MAX_FILES = 15
MAX_FILES_OF_DEFERRED_WAIT = 18


@contextmanager
def record_files() -> Iterator[set[str]]:
    """Collect the files of the package on the call stacks that lead to httpx, and to the poller of a wait."""
    files: set[str] = set()

    def profile(frame, event, _arg):
        code = frame.f_code
        if event != "call" or not (code in SENDS or code.co_name == "wait_on_shared_poller"):
            return
        while frame is not None:
            path = Path(frame.f_code.co_filename)
            if path.is_relative_to(PACKAGE) and not path.is_relative_to(EMULATOR):
                files.add(str(path.relative_to(PACKAGE)))
            frame = frame.f_back

    threading.setprofile(profile)
    sys.setprofile(profile)
    try:
        yield files
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


class TaskInstance:
    dag_id, run_id, task_id, map_index, try_number, max_tries, start_date = "d", "r", "t", -1, 1, 0, None

    def xcom_push(self, key, value):
        """Drop an XCom."""


def operators(env, tmp_path):
    asset = {"data_asset_id": env["CODEOCEAN_DATA_ASSET_ID"]}
    computation = {"computation_id": env["CODEOCEAN_COMPUTATION_ID"]}
    capsule = {"capsule_id": env["CODEOCEAN_CAPSULE_ID"]}
    wait = {"poll_interval": 0.01}
    return {
        CodeOceanCaptureResultOperator: computation | {"name": "result"} | wait,
        CodeOceanCreateDataAssetOperator: {
            "name": "input",
            "mount": "input",
            "source": {
                "aws": {
                    "bucket": env["CODEOCEAN_PUBLIC_BUCKET"],
                    "prefix": "example_datasets",
                    "public": True,
                }
            },
        }
        | wait,
        CodeOceanRunCapsuleOperator: capsule | wait,
        CodeOceanRunPipelineOperator: {"pipeline_id": env["CODEOCEAN_PIPELINE_ID"]} | wait,
        CodeOceanTransferDataAssetOperator: asset
        | {"target": {"bucket": env["CODEOCEAN_RESULTS_BUCKET"]}}
        | wait,
        CodeOceanUpdateDataAssetOperator: asset | {"add_tags": ["checked"]},
        CodeOceanArchiveDataAssetOperator: asset,
        CodeOceanDeleteDataAssetOperator: asset,
        CodeOceanSetDataAssetPermissionsOperator: asset | {"everyone": "viewer"},
        CodeOceanGetDataAssetPermissionsOperator: asset,
        CodeOceanSearchDataAssetsOperator: {"query": "tag:x"},
        CodeOceanSearchDataAssetUsesOperator: asset,
        CodeOceanAttachDataAssetsOperator: capsule | {"data_assets": [asset["data_asset_id"]]},
        CodeOceanDetachDataAssetsOperator: capsule | {"data_asset_ids": [asset["data_asset_id"]]},
        CodeOceanRenameComputationOperator: computation | {"name": "renamed"},
        CodeOceanDeleteComputationOperator: computation,
        CodeOceanListFilesOperator: computation,
        CodeOceanDownloadFilesOperator: computation | {"target": str(tmp_path)},
    }


@pytest.mark.parametrize("operator", [*operators(defaultdict(str), "")], ids=lambda cls: cls.__name__)
def test_execute_to_wire_passes_few_files(operator, code_ocean, tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "is_superseded", lambda _context: False)
    task = operator(task_id="t", **operators(code_ocean.env, tmp_path)[operator])
    if operator is CodeOceanDetachDataAssetsOperator:
        attach = operators(code_ocean.env, tmp_path)[CodeOceanAttachDataAssetsOperator]
        CodeOceanAttachDataAssetsOperator(task_id="a", **attach).execute({"ti": TaskInstance()})
    with record_files() as files:
        task.execute({"ti": TaskInstance()})
    assert 2 <= len(files) <= MAX_FILES, sorted(files)


async def test_deferred_wait_to_wire_passes_few_files(code_ocean):
    trigger = CodeOceanDataAssetTrigger(code_ocean.env["CODEOCEAN_DATA_ASSET_ID"], poll_interval=0.05)
    with record_files() as files:
        events = [event async for event in trigger.run()]
    assert events[0].payload["status"] == "success"
    assert len(files) <= MAX_FILES_OF_DEFERRED_WAIT, sorted(files)
