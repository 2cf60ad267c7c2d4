"""Whole runs of captures, against the emulator."""

from __future__ import annotations

import re

import pytest

from airflow_provider_codeocean.emulator import FaultRule, Policy, Transitions
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook

WAITING = ("deferred", "in_worker")


@pytest.fixture
def computation_id(code_ocean):
    return code_ocean.env["CODEOCEAN_COMPUTATION_ID"]


def assets_in(code_ocean):
    from airflow_provider_codeocean.api.models.data_asset_params import DataAssetSearchParams

    with CodeOceanHook().get_conn() as client:
        return {asset.id: asset for asset in client.data_assets.search_all(DataAssetSearchParams(query=""))}


@pytest.mark.parametrize("way", WAITING)
def test_the_task_returns_the_data_asset_that_is_ready(run_dag, code_ocean, computation_id, way):
    before = assets_in(code_ocean)
    run = run_dag(f"capture_{way}", computation_id=computation_id, name="sorted_1")
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
    assert tags == ["fixed", f"of_capture_{way}"]
    assert re.fullmatch("airflow[0-9a-f]{32}", key)
    assert result["description"].startswith("run ")
    assert result["custom_metadata"] == {"subject id": "sorted_1", "score": 99.5}
    assert result["url"] == f"{code_ocean.url}/data-assets/{created}"
    assert run.xcom("capture", "data_asset_id") == created
    assert run.xcom("capture", "codeocean_data_asset_url") == result["url"]


def test_without_waiting_it_returns_the_draft(run_dag, code_ocean, computation_id):
    run = run_dag("capture_without_waiting", computation_id=computation_id)
    assert run.states == {"capture": "success"}
    assert run.xcom("capture")["state"] == "draft"


@pytest.mark.parametrize("way", WAITING)
def test_results_go_to_a_bucket(run_dag, code_ocean, computation_id, way):
    bucket = code_ocean.env["CODEOCEAN_RESULTS_BUCKET"]
    run = run_dag(f"capture_external_{way}", computation_id=computation_id, bucket=bucket)
    assert run.states == {"capture": "success"}
    source = run.xcom("capture")["source_bucket"]
    assert (source["bucket"], source["external"]) == (bucket, True)
    assert source["prefix"].strip("/") == f"capture_external_{way}"


@pytest.mark.parametrize("way", WAITING)
def test_a_failed_data_asset_fails_the_task_for_good_and_shows_its_link(
    run_dag, code_ocean, computation_id, way
):
    before = assets_in(code_ocean)
    run = run_dag(f"capture_external_{way}", computation_id=computation_id, bucket="no-such-bucket")
    assert run.states == {"capture": "failed"}
    (created,) = assets_in(code_ocean).keys() - before.keys()  # and the two retries made none
    assert run.xcom("capture", "codeocean_data_asset_url") == f"{code_ocean.url}/data-assets/{created}"


@pytest.mark.parametrize("way", WAITING)
def test_what_code_ocean_refuses_fails_the_task_for_good(run_dag, code_ocean, way):
    run = run_dag(f"capture_external_{way}", computation_id="no-such-computation", bucket="lab-results")
    assert run.states == {"capture": "failed"}
    assert code_ocean.emulator.traffic.requests["POST /api/v1/data_assets"] == 1


@pytest.mark.parametrize("bucket", ["", "s3://lab-results"])
def test_what_a_template_renders_to_is_checked_before_anything_is_sent(
    run_dag, code_ocean, computation_id, bucket
):
    run = run_dag("capture_external_deferred", computation_id=computation_id, bucket=bucket)
    assert run.states == {"capture": "failed"}
    assert code_ocean.emulator.traffic.requests["POST /api/v1/data_assets"] == 0


@pytest.mark.parametrize("way", WAITING)
def test_trouble_while_waiting_is_outlasted(run_dag, code_ocean, computation_id, way):
    kinds = ("status", "close_before", "html")
    faults = [
        code_ocean.faults.add(FaultRule(method="GET", path="data_assets/*", kind=kind)) for kind in kinds
    ]
    assert run_dag(f"capture_{way}", computation_id=computation_id).states == {"capture": "success"}
    assert [fault.hits for fault in faults] == [1, 1, 1]


def test_arguments_come_from_other_tasks(run_dag, code_ocean, computation_id):
    run = run_dag("capture_from_xcom", computation_id=computation_id)
    assert set(run.states.values()) == {"success"}
    result = run.xcom("capture")
    assert (result["name"], result["mount"]) == ("named before", "named_before")
    assert result["tags"][:2] == ["one", "two"]
    assert result["custom_metadata"] == {"score": 7}
    assert run.xcom("id_of") is True


def test_mapped_captures_do_not_hold_each_other_back(run_dag, code_ocean, computation_id):
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


def test_a_wait_that_takes_too_long_names_the_data_asset(run_dag, code_ocean, computation_id):
    code_ocean.emulator.transitions = Transitions(assets=Policy(seconds=3600))
    run = run_dag("capture_too_slow", computation_id=computation_id)
    assert run.states == {"capture": "failed"}
