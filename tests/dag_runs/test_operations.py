"""Whole runs of all that can be done with data assets, against the emulator, in peace and in trouble."""

from __future__ import annotations

import pytest

from airflow_provider_codeocean.api.models.computation import RunParams
from airflow_provider_codeocean.api.models.data_asset_params import (
    DataAssetParams,
    DataAssetUpdateParams,
    TransferParams,
)
from airflow_provider_codeocean.api.models.permissions import PermissionsParams
from airflow_provider_codeocean.emulator import FaultRule, Policy, Transitions
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook

WAITING = ("deferred", "in_worker")
KEY = "airflow" + "0123456789abcdef" * 2


@pytest.fixture
def run(run_dag, code_ocean, client):
    env = code_ocean.env

    def run(dag_id, state="success", **params):
        known = {
            "data_asset_id": env["CODEOCEAN_DATA_ASSET_ID"],
            "capsule_id": env["CODEOCEAN_CAPSULE_ID"],
            "email": env["CODEOCEAN_USER_EMAIL"],
            "group": env["CODEOCEAN_GROUP"],
        }
        finished = run_dag(dag_id, **known | params)
        assert finished.states == {"act": state}
        return finished.xcom("act") if state == "success" else finished

    return run


@pytest.fixture
def asset(code_ocean, client):
    """A data asset with tags, that nobody else uses."""
    source = {"computation": {"id": code_ocean.env["CODEOCEAN_COMPUTATION_ID"]}}
    params = {"name": "own", "mount": "own", "tags": ["raw", "good", KEY], "source": source}
    made = client.data_assets.create(DataAssetParams.model_validate(params))
    return CodeOceanHook().wait_for_data_asset(made.id, poll_interval=0.01)


def requests(code_ocean, endpoint):
    return code_ocean.emulator.traffic.requests[endpoint]


# Creating.


@pytest.mark.parametrize("way", WAITING)
def test_a_data_asset_is_made_of_files_in_a_bucket(weather, run, code_ocean, way):
    source = {"aws": {"bucket": code_ocean.env["CODEOCEAN_PUBLIC_BUCKET"], "public": True}}
    metadata = {"modality": "ecephys", "score": 50}
    made = run(f"create_{way}", source=source, metadata=metadata)
    assert made["state"] == "ready"
    assert made["files"] > 0
    assert made["custom_metadata"] == metadata
    assert made["tags"][0] == "made"


@pytest.mark.parametrize("way", WAITING)
def test_data_assets_are_combined(weather, run, asset, way):
    made = run(f"combine_{way}", data_asset_id=asset.id)
    assert (made["state"], made["type"]) == ("ready", "combined")
    assert [each["id"] for each in made["contained_data_assets"]] == [asset.id]


def test_metadata_is_checked_against_the_deployments_fields_before_anything_is_made(run, code_ocean):
    source = {"aws": {"bucket": "b"}}
    run("create_in_worker", "failed", source=source, metadata={"modality": "tea leaves", "score": 101})
    assert requests(code_ocean, "GET /api/v1/custom_metadata") == 1
    assert requests(code_ocean, "POST /api/v1/data_assets") == 0


# Changing.


def test_what_is_given_is_changed_and_the_rest_stays(weather, run, client, asset):
    client.data_assets.update(asset.id, DataAssetUpdateParams(custom_metadata={"modality": "ophys"}))
    changed = run("update", data_asset_id=asset.id, metadata={"score": 7})
    assert (changed["name"], changed["description"], changed["mount"]) == ("renamed", "by update", "own")
    assert changed["tags"] == ["good", KEY, "checked"]
    assert changed["custom_metadata"] == {"modality": "ophys", "score": 7}
    assert changed["url"].endswith(asset.id)


def test_all_tags_are_changed_but_the_one_that_a_capture_needs(run, code_ocean, asset):
    assert run("update_all_tags", data_asset_id=asset.id)["tags"] == ["only", KEY]
    assert run("update_all_tags", data_asset_id=asset.id)["tags"] == ["only", KEY]
    assert requests(code_ocean, "PUT /api/v1/data_assets/{data_asset_id}") == 1


def test_wrong_metadata_changes_nothing(run, client, asset):
    run("update", "failed", data_asset_id=asset.id, metadata={"score": "high"})
    assert client.data_assets.get(asset.id).name == "own"


def test_a_data_asset_is_archived_and_brought_back(weather, run, client, asset):
    run("archive", data_asset_id=asset.id)
    assert run("search_return", query=f"tag:{KEY}") == []
    run("bring_back", data_asset_id=asset.id)
    assert run("search_return", query=f"tag:{KEY}") == [asset.id]


def test_a_data_asset_is_deleted_once(weather, run, asset):
    assert run("delete", data_asset_id=asset.id) is True
    assert run("delete", data_asset_id=asset.id) is False


def test_where_the_server_asks_for_that_it_is_archived_before(run, code_ocean, asset):
    code_ocean.faults.add(FaultRule(method="DELETE", path="data_assets/*", kind="status", status=409))
    assert run("delete", data_asset_id=asset.id) is True
    assert requests(code_ocean, "PATCH /api/v1/data_assets/{data_asset_id}/archive") == 1


def test_what_is_not_there_fails_for_good(run, code_ocean):
    run("archive", "failed", data_asset_id="no-such-asset")
    assert requests(code_ocean, "PATCH /api/v1/data_assets/{data_asset_id}/archive") == 1


# Permissions.


@pytest.mark.parametrize("mode", ["merge", "ensure"])
def test_permissions_are_set_and_those_of_others_stay(weather, run, client, code_ocean, asset, mode):
    sent = run(f"share_{mode}", data_asset_id=asset.id)
    assert sent["everyone"] == "discoverable"
    there = run("permissions", data_asset_id=asset.id)
    assert {"email": code_ocean.env["CODEOCEAN_USER_EMAIL"], "role": "editor"} in there["users"]
    assert {"group": code_ocean.env["CODEOCEAN_GROUP"], "role": "viewer"} in there["groups"]
    assert there["everyone"] == "discoverable"
    assert "owner" in [each["role"] for each in there["users"]]


def test_only_what_is_missing_is_sent(run, client, code_ocean, asset):
    email, group = code_ocean.env["CODEOCEAN_USER_EMAIL"], code_ocean.env["CODEOCEAN_GROUP"]
    there = {"users": [{"email": email, "role": "viewer"}], "groups": [{"group": group, "role": "viewer"}]}
    client.data_assets.update_permissions(asset.id, PermissionsParams.model_validate(there))
    sent = run("share_ensure", data_asset_id=asset.id)
    assert sent == {"users": [{"email": email, "role": "editor"}], "everyone": "discoverable"}
    assert run("share_ensure", data_asset_id=asset.id) == {}
    assert requests(code_ocean, "POST /api/v1/data_assets/{data_asset_id}/permissions") == 2


def test_a_server_that_cannot_tell_permissions_is_asked_to_merge_them(run, code_ocean, asset):
    code_ocean.faults.add(
        FaultRule(method="GET", path="data_assets/*/permissions", kind="status", status=404)
    )
    run("share_ensure", "failed", data_asset_id=asset.id)
    assert requests(code_ocean, "POST /api/v1/data_assets/{data_asset_id}/permissions") == 0


# Transferring.


@pytest.mark.parametrize("way", WAITING)
def test_files_are_moved_once(weather, run, code_ocean, asset, way):
    bucket = code_ocean.env["CODEOCEAN_ARCHIVE_BUCKET"]
    for _ in range(2):
        moved = run(f"transfer_{way}", data_asset_id=asset.id, bucket=bucket, prefix="old")
        source = moved["source_bucket"]
        assert (source["bucket"], source["prefix"].strip("/"), source["external"]) == (bucket, "old", True)
        assert moved["last_transferred"]
        assert moved["provenance"]["computation"] == asset.provenance.computation
    assert code_ocean.emulator.traffic.statuses["204"] == 1


@pytest.mark.parametrize("way", WAITING)
def test_a_transfer_that_something_else_began_is_waited_for(weather, run, code_ocean, client, asset, way):
    code_ocean.emulator.transitions = Transitions(transfers=Policy(seconds=1))
    bucket = code_ocean.env["CODEOCEAN_ARCHIVE_BUCKET"]
    client.data_assets.transfer(
        asset.id, TransferParams.model_validate({"target": {"aws": {"bucket": bucket}}})
    )
    moved = run(f"sense_transfer_{way}", data_asset_id=asset.id)
    assert moved["source_bucket"]["bucket"] == bucket
    assert moved["last_transferred"]


@pytest.mark.parametrize("way", WAITING)
def test_an_error_of_an_earlier_transfer_is_not_one_of_this(run, code_ocean, client, asset, way):
    run(f"transfer_{way}", "failed", data_asset_id=asset.id, bucket="no-such-bucket", prefix="old")
    assert "no-such-bucket" in client.data_assets.get(asset.id).transfer_error
    transitions = code_ocean.emulator.transitions
    code_ocean.emulator.transitions = transitions.model_copy(update={"transfers": Policy(reads=3)})
    bucket = code_ocean.env["CODEOCEAN_ARCHIVE_BUCKET"]
    assert run(f"transfer_{way}", data_asset_id=asset.id, bucket=bucket, prefix="old")["last_transferred"]


# Searching.


def test_a_search_that_finds_nothing_ends_as_asked_for(run):
    assert run("search_return", query="tag:nowhere") == []
    run("search_skip", "skipped", query="tag:nowhere")
    run("search_fail", "failed", query="tag:nowhere")


def test_a_search_outlasts_trouble(weather, run, asset):
    (found,) = run("search_in_trouble", query=f"tag:{KEY}")
    assert (found["id"], found["state"]) == (asset.id, "ready")


@pytest.mark.parametrize("way", WAITING)
def test_what_a_search_does_not_find_yet_is_waited_for(weather, run, code_ocean, asset, way):
    code_ocean.faults.add(
        FaultRule(
            method="POST",
            path="data_assets/search",
            kind="status",
            status=200,
            body={"has_more": False, "results": []},
            times=2,
        )
    )
    (found,) = run(f"sense_search_{way}", query=f"tag:{KEY}")
    assert found["id"] == asset.id


# Attaching.


def test_data_assets_are_attached_and_detached(weather, run, code_ocean, asset):
    (attached,) = run("attach", data_asset_id=asset.id)
    assert (attached["id"], attached["mount"], attached["ready"]) == (asset.id, "here", True)
    run("detach", data_asset_id=asset.id)
    capsule = code_ocean.emulator.store.capsules.get(code_ocean.env["CODEOCEAN_CAPSULE_ID"])
    assert asset.id not in [each["id"] for each in capsule.data_assets]


# Computations.


@pytest.mark.parametrize("way", WAITING)
def test_a_computation_that_has_succeeded_is_returned(weather, run, code_ocean, way):
    computation_id = code_ocean.env["CODEOCEAN_COMPUTATION_ID"]
    seen = run(f"sense_computation_{way}", computation_id=computation_id)
    assert (seen["id"], seen["state"], seen["end_status"]) == (computation_id, "completed", "succeeded")


@pytest.mark.parametrize("way", WAITING)
def test_a_computation_that_has_failed_fails_the_task_for_good(run, code_ocean, client, way):
    failing = code_ocean.env["CODEOCEAN_FAILING_CAPSULE_ID"]
    computation = client.computations.run(RunParams(capsule_id=failing))
    run(f"sense_computation_{way}", "failed", computation_id=computation.id)
    assert requests(code_ocean, "GET /api/v1/computations/{computation_id}") < 7  # no retry looked again
