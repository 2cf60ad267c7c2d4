"""Complete runs of the operations on data assets against the emulator, with and without faults."""

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
    """A data asset with tags, for one test."""
    source = {"computation": {"id": code_ocean.env["CODEOCEAN_COMPUTATION_ID"]}}
    params = {"name": "own", "mount": "own", "tags": ["raw", "good", KEY], "source": source}
    created = client.data_assets.create(DataAssetParams.model_validate(params))
    return CodeOceanHook().wait_for_data_asset(created.id, poll_interval=0.01)


def requests(code_ocean, endpoint):
    return code_ocean.emulator.traffic.requests[endpoint]


# Creating.


@pytest.mark.parametrize("mode", WAITING)
def test_create_data_asset_from_bucket_returns_ready_data_asset(weather, run, code_ocean, mode):
    source = {"aws": {"bucket": code_ocean.env["CODEOCEAN_PUBLIC_BUCKET"], "public": True}}
    metadata = {"modality": "ecephys", "score": 50}
    created = run(f"create_{mode}", source=source, metadata=metadata)
    assert created["state"] == "ready"
    assert created["files"] > 0
    assert created["custom_metadata"] == metadata
    assert created["tags"][0] == "made"


@pytest.mark.parametrize("mode", WAITING)
def test_create_combined_data_asset_contains_data_assets(weather, run, asset, mode):
    created = run(f"combine_{mode}", data_asset_id=asset.id)
    assert (created["state"], created["type"]) == ("ready", "combined")
    assert [contained["id"] for contained in created["contained_data_assets"]] == [asset.id]


def test_create_data_asset_with_invalid_metadata_submits_nothing(run, code_ocean):
    source = {"aws": {"bucket": "b"}}
    run("create_in_worker", "failed", source=source, metadata={"modality": "tea leaves", "score": 101})
    assert requests(code_ocean, "GET /api/v1/custom_metadata") == 1
    assert requests(code_ocean, "POST /api/v1/data_assets") == 0


# Changing.


def test_update_changes_given_fields_only(weather, run, client, asset):
    client.data_assets.update(asset.id, DataAssetUpdateParams(custom_metadata={"modality": "ophys"}))
    changed = run("update", data_asset_id=asset.id, metadata={"score": 7})
    assert (changed["name"], changed["description"], changed["mount"]) == ("renamed", "by update", "own")
    assert changed["tags"] == ["good", KEY, "checked"]
    assert changed["custom_metadata"] == {"modality": "ophys", "score": 7}
    assert changed["url"].endswith(asset.id)


def test_update_of_tags_keeps_idempotency_key(run, code_ocean, asset):
    assert run("update_all_tags", data_asset_id=asset.id)["tags"] == ["only", KEY]
    assert run("update_all_tags", data_asset_id=asset.id)["tags"] == ["only", KEY]
    assert requests(code_ocean, "PUT /api/v1/data_assets/{data_asset_id}") == 1


def test_update_with_invalid_metadata_changes_nothing(run, client, asset):
    run("update", "failed", data_asset_id=asset.id, metadata={"score": "high"})
    assert client.data_assets.get(asset.id).name == "own"


def test_archive_and_unarchive_change_search_results(weather, run, client, asset):
    run("archive", data_asset_id=asset.id)
    assert run("search_return", query=f"tag:{KEY}") == []
    run("bring_back", data_asset_id=asset.id)
    assert run("search_return", query=f"tag:{KEY}") == [asset.id]


def test_delete_data_asset_repeated_returns_false(weather, run, asset):
    assert run("delete", data_asset_id=asset.id) is True
    assert run("delete", data_asset_id=asset.id) is False


def test_delete_data_asset_with_conflict_archives_it_first(run, code_ocean, asset):
    code_ocean.faults.add(FaultRule(method="DELETE", path="data_assets/*", kind="status", status=409))
    assert run("delete", data_asset_id=asset.id) is True
    assert requests(code_ocean, "PATCH /api/v1/data_assets/{data_asset_id}/archive") == 1


def test_archive_of_unknown_data_asset_fails_permanently(run, code_ocean):
    run("archive", "failed", data_asset_id="no-such-asset")
    assert requests(code_ocean, "PATCH /api/v1/data_assets/{data_asset_id}/archive") == 1


# Permissions.


@pytest.mark.parametrize("mode", ["merge", "ensure"])
def test_set_permissions_keeps_permissions_of_others(weather, run, client, code_ocean, asset, mode):
    sent = run(f"share_{mode}", data_asset_id=asset.id)
    assert sent["everyone"] == "discoverable"
    permissions = run("permissions", data_asset_id=asset.id)
    assert {"email": code_ocean.env["CODEOCEAN_USER_EMAIL"], "role": "editor"} in permissions["users"]
    assert {"group": code_ocean.env["CODEOCEAN_GROUP"], "role": "viewer"} in permissions["groups"]
    assert permissions["everyone"] == "discoverable"
    assert "owner" in [user["role"] for user in permissions["users"]]


def test_set_permissions_with_ensure_sends_difference_only(run, client, code_ocean, asset):
    email, group = code_ocean.env["CODEOCEAN_USER_EMAIL"], code_ocean.env["CODEOCEAN_GROUP"]
    users, groups = [{"email": email, "role": "viewer"}], [{"group": group, "role": "viewer"}]
    current = PermissionsParams.model_validate({"users": users, "groups": groups})
    client.data_assets.update_permissions(asset.id, current)
    sent = run("share_ensure", data_asset_id=asset.id)
    assert sent == {"users": [{"email": email, "role": "editor"}], "everyone": "discoverable"}
    assert run("share_ensure", data_asset_id=asset.id) == {}
    assert requests(code_ocean, "POST /api/v1/data_assets/{data_asset_id}/permissions") == 2


def test_set_permissions_with_ensure_on_older_server_fails(run, code_ocean, asset):
    code_ocean.faults.add(
        FaultRule(method="GET", path="data_assets/*/permissions", kind="status", status=404)
    )
    run("share_ensure", "failed", data_asset_id=asset.id)
    assert requests(code_ocean, "POST /api/v1/data_assets/{data_asset_id}/permissions") == 0


# Transferring.


@pytest.mark.parametrize("mode", WAITING)
def test_transfer_repeated_requests_it_once(weather, run, code_ocean, asset, mode):
    bucket = code_ocean.env["CODEOCEAN_ARCHIVE_BUCKET"]
    for _ in range(2):
        moved = run(f"transfer_{mode}", data_asset_id=asset.id, bucket=bucket, prefix="old")
        source = moved["source_bucket"]
        assert (source["bucket"], source["prefix"].strip("/"), source["external"]) == (bucket, "old", True)
        assert moved["last_transferred"]
        assert moved["provenance"]["computation"] == asset.provenance.computation
    assert code_ocean.emulator.traffic.statuses["204"] == 1


@pytest.mark.parametrize("mode", WAITING)
def test_transfer_sensor_waits_for_transfer_of_others(weather, run, code_ocean, client, asset, mode):
    code_ocean.emulator.transitions = Transitions(transfers=Policy(seconds=1))
    bucket = code_ocean.env["CODEOCEAN_ARCHIVE_BUCKET"]
    client.data_assets.transfer(
        asset.id, TransferParams.model_validate({"target": {"aws": {"bucket": bucket}}})
    )
    moved = run(f"sense_transfer_{mode}", data_asset_id=asset.id)
    assert moved["source_bucket"]["bucket"] == bucket
    assert moved["last_transferred"]


@pytest.mark.parametrize("mode", WAITING)
def test_transfer_after_failed_transfer_ignores_earlier_error(run, code_ocean, client, asset, mode):
    run(f"transfer_{mode}", "failed", data_asset_id=asset.id, bucket="no-such-bucket", prefix="old")
    assert "no-such-bucket" in client.data_assets.get(asset.id).transfer_error
    transitions = code_ocean.emulator.transitions
    code_ocean.emulator.transitions = transitions.model_copy(update={"transfers": Policy(reads=3)})
    bucket = code_ocean.env["CODEOCEAN_ARCHIVE_BUCKET"]
    assert run(f"transfer_{mode}", data_asset_id=asset.id, bucket=bucket, prefix="old")["last_transferred"]


# Searching.


def test_search_without_match_follows_on_empty(run):
    assert run("search_return", query="tag:nowhere") == []
    run("search_skip", "skipped", query="tag:nowhere")
    run("search_fail", "failed", query="tag:nowhere")


def test_search_with_transient_errors_succeeds(weather, run, asset):
    (found,) = run("search_in_trouble", query=f"tag:{KEY}")
    assert (found["id"], found["state"]) == (asset.id, "ready")


@pytest.mark.parametrize("mode", WAITING)
def test_search_sensor_waits_until_search_has_result(weather, run, code_ocean, asset, mode):
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
    (found,) = run(f"sense_search_{mode}", query=f"tag:{KEY}")
    assert found["id"] == asset.id


# Attaching.


def test_attach_and_detach_change_data_assets_of_capsule(weather, run, code_ocean, asset):
    (attached,) = run("attach", data_asset_id=asset.id)
    assert (attached["id"], attached["mount"], attached["ready"]) == (asset.id, "here", True)
    run("detach", data_asset_id=asset.id)
    capsule = code_ocean.emulator.store.capsules.get(code_ocean.env["CODEOCEAN_CAPSULE_ID"])
    assert asset.id not in [attachment["id"] for attachment in capsule.data_assets]


# Computations.


@pytest.mark.parametrize("mode", WAITING)
def test_computation_sensor_with_succeeded_computation_returns_it(weather, run, code_ocean, mode):
    computation_id = code_ocean.env["CODEOCEAN_COMPUTATION_ID"]
    computation = run(f"sense_computation_{mode}", computation_id=computation_id)
    assert computation["id"] == computation_id
    assert (computation["state"], computation["end_status"]) == ("completed", "succeeded")


@pytest.mark.parametrize("mode", WAITING)
def test_computation_sensor_with_failed_computation_fails_permanently(run, code_ocean, client, mode):
    failing = code_ocean.env["CODEOCEAN_FAILING_CAPSULE_ID"]
    computation = client.computations.run(RunParams(capsule_id=failing))
    run(f"sense_computation_{mode}", "failed", computation_id=computation.id)
    assert requests(code_ocean, "GET /api/v1/computations/{computation_id}") < 7  # no attempt was retried
