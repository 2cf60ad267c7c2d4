"""Operators that list and download files: arguments, results, and being killed."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, ObjectStoragePath

from airflow_provider_codeocean.api.errors import DownloadFailed
from airflow_provider_codeocean.emulator import FaultRule
from airflow_provider_codeocean.operators.files import (
    CodeOceanDownloadFilesOperator,
    CodeOceanListFilesOperator,
)


class TaskInstance:
    """A task instance that stores XComs."""

    def __init__(self):
        self.pushed = {}

    def xcom_push(self, key, value):
        self.pushed[key] = value


def listing(**arguments):
    return CodeOceanListFilesOperator(**{"task_id": "t", "data_asset_id": "a"} | arguments)


def download(**arguments):
    known = {"task_id": "t", "computation_id": "c", "target": "/data"}
    return CodeOceanDownloadFilesOperator(**known | arguments)


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        (listing, {"data_asset_id": None}, "give exactly one of data_asset_id, computation_id, got none"),
        (listing, {"computation_id": "c"}, "got data_asset_id and computation_id"),
        (listing, {"data_asset_id": " "}, "give exactly one of data_asset_id, computation_id, got none"),
        (listing, {"path": "a/../b"}, "path: must be a path below the root of the files"),
        (listing, {"path": 7.5}, "path: must be text, got 7.5"),
        (listing, {"pattern": []}, "pattern must be a glob"),
        (listing, {"pattern": ["{{ ds }}", ""]}, r"pattern\.1: must not be empty"),
        (listing, {"exclude": ["{{ ds }}", ""]}, r"exclude\.1: must not be empty"),
        (listing, {"on_empty": "x"}, "on_empty must be one of 'return', 'skip', 'fail', got 'x'"),
        (listing, {"limit": None}, "limit must be a whole number from 1 to 100000, got None"),
        (download, {"target": "data"}, "target must be an absolute path or an address such as s3://"),
        (download, {"target": ""}, "target must be"),
        (download, {"target": None}, "target: must not be None"),
        (download, {"target": "file://data"}, "target must be an absolute path"),
        (download, {"overwrite": "no"}, "overwrite must be True or False, got 'no'"),
        (download, {"on_unsafe": "return"}, "on_unsafe must be one of 'fail', 'skip', got 'return'"),
        (download, {"max_parallel": 0}, "max_parallel must be a whole number from 1 to 32, got 0"),
    ],
)
def test_file_operators_with_invalid_arguments_raise_at_parse_time(make, arguments, message):
    with pytest.raises(ValueError, match=message):
        make(**arguments)


@pytest.mark.parametrize(
    ("make", "arguments"),
    [
        (listing, {"data_asset_id": "{{ params.id }}", "path": "{{ ds }}", "pattern": "{{ params.some }}"}),
        (listing, {"pattern": ["*.{{ params.kind }}", "**"], "exclude": "{{ params.exclude }}"}),
        (download, {"target": "{{ params.target }}"}),
        (download, {"target": Path("/data")}),
        (download, {"target": ObjectStoragePath("file:///data")}),
        (download, {"target": "s3://bucket/{{ ds }}", "target_conn_id": "aws_lab"}),
    ],
)
def test_file_operators_with_valid_arguments_or_templates_accept_them(make, arguments):
    make(**arguments)


def test_list_files_of_data_asset_sets_link(code_ocean):
    ti = TaskInstance()
    asset_id = code_ocean.env["CODEOCEAN_DATA_ASSET_ID"]
    operator = listing(data_asset_id=asset_id, pattern="*.md")
    assert [file["name"] for file in operator.execute({"ti": ti})] == ["README.md"]
    assert operator.codeocean_url.endswith(asset_id)
    assert list(ti.pushed.values()) == [operator.codeocean_url]


def test_list_files_of_external_data_asset_fails_permanently(code_ocean):
    assets = code_ocean.store.data_assets
    asset_id = code_ocean.env["CODEOCEAN_DATA_ASSET_ID"]
    asset = assets.get(asset_id)
    from dataclasses import replace

    bucket = {"origin": "aws", "bucket": "lab", "prefix": "p", "external": True}
    assets.put(replace(asset, source_bucket=bucket))
    with pytest.raises(AirflowFailException, match="is external, its files are in bucket lab, prefix 'p'"):
        listing(data_asset_id=asset_id).execute({"ti": TaskInstance()})


@pytest.mark.parametrize("target", [Path, str, lambda path: ObjectStoragePath(f"file://{path}")])
def test_download_with_any_kind_of_target_writes_files(code_ocean, tmp_path, target):
    operator = download(
        computation_id=code_ocean.env["CODEOCEAN_COMPUTATION_ID"], target=target(tmp_path), path="output"
    )
    assert operator.execute({"ti": TaskInstance()})["files"] == 1
    assert (tmp_path / "output").exists()


def test_download_when_killed_stops(code_ocean, tmp_path, caplog):
    operator = download(computation_id=code_ocean.env["CODEOCEAN_COMPUTATION_ID"], target=str(tmp_path))
    operator.on_kill()  # before execute, there is nothing to stop
    assert caplog.text == ""
    fault = code_ocean.faults.add(FaultRule(path="/storage/**", kind="status", times=None, retry_after=50))
    threading.Thread(target=lambda: fault.wait(hits=1) and operator.on_kill()).start()
    with pytest.raises(DownloadFailed):
        operator.execute({"ti": TaskInstance()})
    assert "Killed: stopping the download" in caplog.text


def test_download_over_foreign_files_without_overwrite_fails_permanently(code_ocean, tmp_path):
    (tmp_path / "output").write_bytes(b"mine")
    operator = download(
        computation_id=code_ocean.env["CODEOCEAN_COMPUTATION_ID"], target=str(tmp_path), overwrite=False
    )
    with pytest.raises(
        AirflowFailException, match="already has 'output', not known to come from computation"
    ):
        operator.execute({"ti": TaskInstance()})
    assert [path.name for path in tmp_path.iterdir()] == ["output"]


def test_download_with_unsafe_or_excluded_files_skips_them(code_ocean, tmp_path):
    computation_id = code_ocean.env["CODEOCEAN_COMPUTATION_ID"]
    code_ocean.store.files.put(f"run-{computation_id}", "1:30.csv", b"x")
    operator = download(
        computation_id=computation_id, target=str(tmp_path), exclude="output", on_unsafe="skip"
    )
    result = operator.execute({"ti": TaskInstance()})
    assert result["skipped"] == 1
    assert not (tmp_path / "output").exists()
