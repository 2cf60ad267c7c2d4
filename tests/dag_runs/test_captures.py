"""Complete runs of captures against the emulator."""

from __future__ import annotations

import re

import pytest

from airflow_provider_codeocean.emulator import FaultRule, Policy, Transitions
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook

pytestmark = pytest.mark.quick

WAITING = ("deferred", "in_worker")


@pytest.fixture
def computation_id(code_ocean):
    return code_ocean.env["CODEOCEAN_COMPUTATION_ID"]


def assets_in(code_ocean):
    from airflow_provider_codeocean.api.models.data_asset_params import DataAssetSearchParams

    with CodeOceanHook().get_conn() as client:
        return {asset.id: asset for asset in client.data_assets.search_all(DataAssetSearchParams(query=""))}


@pytest.mark.parametrize("mode", WAITING)
def test_capture_returns_ready_data_asset(run_dag, code_ocean, computation_id, mode):
    before = assets_in(code_ocean)
    run = run_dag(f"capture_{mode}", computation_id=computation_id, name="sorted_1")
    assert run.states == {"capture": "success"}
    (created,) = assets_in(code_ocean).keys() - before.keys()
    result = run.xcom("capture")
    assert result["id"] == created
    assert result["state"] == "ready"
    assert result["type"] == "result"
    assert result["files"] > 1
    assert result["size"] > 0
    assert result["provenance"]["commit"]
    assert result["name"] == "sorted_1"
    assert result["mount"] == "mounted_sorted_1"
    *tags, key = result["tags"]
    assert tags == ["fixed", f"of_capture_{mode}"]
    assert re.fullmatch("airflow[0-9a-f]{32}", key)
    assert result["description"].startswith("run ")
    assert result["custom_metadata"] == {"subject id": "sorted_1", "score": 99.5}
    assert result["url"] == f"{code_ocean.url}/data-assets/{created}"
    assert run.xcom("capture", "data_asset_id") == created
    assert run.xcom("capture", "codeocean_data_asset_url") == result["url"]


def test_capture_without_waiting_returns_draft(run_dag, code_ocean, computation_id):
    run = run_dag("capture_without_waiting", computation_id=computation_id)
    assert run.states == {"capture": "success"}
    assert run.xcom("capture")["state"] == "draft"


@pytest.mark.parametrize("mode", WAITING)
def test_capture_to_bucket_creates_external_data_asset(run_dag, code_ocean, computation_id, mode):
    bucket = code_ocean.env["CODEOCEAN_RESULTS_BUCKET"]
    run = run_dag(f"capture_external_{mode}", computation_id=computation_id, bucket=bucket)
    assert run.states == {"capture": "success"}
    source = run.xcom("capture")["source_bucket"]
    assert (source["bucket"], source["external"]) == (bucket, True)
    assert source["prefix"].strip("/") == f"capture_external_{mode}"


@pytest.mark.parametrize("mode", WAITING)
def test_capture_with_failed_data_asset_fails_permanently_with_link(
    run_dag, code_ocean, computation_id, mode
):
    before = assets_in(code_ocean)
    run = run_dag(f"capture_external_{mode}", computation_id=computation_id, bucket="no-such-bucket")
    assert run.states == {"capture": "failed"}
    (created,) = assets_in(code_ocean).keys() - before.keys()  # and the two retries created none
    assert run.xcom("capture", "codeocean_data_asset_url") == f"{code_ocean.url}/data-assets/{created}"


@pytest.mark.parametrize("mode", WAITING)
def test_capture_refused_by_code_ocean_fails_permanently(run_dag, code_ocean, mode):
    run = run_dag(f"capture_external_{mode}", computation_id="no-such-computation", bucket="lab-results")
    assert run.states == {"capture": "failed"}
    assert code_ocean.emulator.traffic.requests["POST /api/v1/data_assets"] == 1


@pytest.mark.parametrize("bucket", ["", "s3://lab-results"])
def test_capture_with_invalid_rendered_bucket_sends_no_request(run_dag, code_ocean, computation_id, bucket):
    run = run_dag("capture_external_deferred", computation_id=computation_id, bucket=bucket)
    assert run.states == {"capture": "failed"}
    assert code_ocean.emulator.traffic.requests["POST /api/v1/data_assets"] == 0


@pytest.mark.parametrize("mode", WAITING)
def test_capture_with_transient_errors_while_waiting_succeeds(run_dag, code_ocean, computation_id, mode):
    kinds = ("status", "close_before", "html")
    faults = [
        code_ocean.faults.add(FaultRule(method="GET", path="data_assets/*", kind=kind)) for kind in kinds
    ]
    assert run_dag(f"capture_{mode}", computation_id=computation_id).states == {"capture": "success"}
    assert [fault.hits for fault in faults] == [1, 1, 1]


def test_capture_with_xcom_arguments_succeeds(run_dag, code_ocean, computation_id):
    run = run_dag("capture_from_xcom", computation_id=computation_id)
    assert set(run.states.values()) == {"success"}
    result = run.xcom("capture")
    assert (result["name"], result["mount"]) == ("named before", "named_before")
    assert result["tags"][:2] == ["one", "two"]
    assert result["custom_metadata"] == {"score": 7}
    assert run.xcom("id_of") is True


def test_mapped_captures_with_one_failure_continue(run_dag, code_ocean, computation_id):
    run = run_dag("capture_mapped", computation_ids=[computation_id, "no-such-computation", computation_id])
    assert run.states == {
        "computations": "success",
        "capture[0]": "success",
        "capture[1]": "failed",
        "capture[2]": "success",
        "count": "success",
    }
    assert run.xcom("count") == 2
    for index in (0, 2):
        url = run.xcom("capture", "codeocean_data_asset_url", map_index=index)
        assert url == run.xcom("capture", map_index=index)["url"]


def test_capture_after_timeout_fails(run_dag, code_ocean, computation_id):
    code_ocean.emulator.transitions = Transitions(assets=Policy(seconds=3600))
    run = run_dag("capture_too_slow", computation_id=computation_id)
    assert run.states == {"capture": "failed"}
