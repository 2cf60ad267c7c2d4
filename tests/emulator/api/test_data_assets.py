"""What can be done with data assets that exist."""

from __future__ import annotations

import pytest

from airflow_provider_codeocean.emulator import Policy, Transitions
from tests.emulator.in_process import START_TIME, expect_error, expect_status


async def test_create_returns_required_fields_and_omits_empty_ones(deployment):
    asset = await deployment.create_data_asset(tags=[], description="")
    owner = deployment.emulator.user_directory.find_by_email("user@emulator.test").id
    assert asset == {
        "id": asset["id"],
        "created": int(START_TIME),
        "name": "made",
        "mount": "made",
        "last_used": 0,
        "owner": owner,
        "owner_email": "user@emulator.test",
        "state": "draft",
        "type": "dataset",
        "source_bucket": {"origin": "aws", "bucket": "codeocean-public-data", "prefix": "example_datasets"},
    }


async def test_draft_with_time_policy_becomes_ready_in_time(deploy):
    deployment = deploy(transitions=Transitions.all(Policy(seconds=3)))
    asset = await deployment.create_data_asset()
    states = []
    for _ in range(4):
        states.append((await deployment.read_data_asset(asset["id"]))["state"])
        deployment.clock.advance(1)
    assert states == ["draft", "draft", "draft", "ready"]


async def test_draft_with_read_policy_becomes_ready_after_reads(deploy):
    deployment = deploy(transitions=Transitions.all(Policy(reads=2)))
    asset = await deployment.create_data_asset()
    for _ in range(3):
        await deployment.search_names(query="made")
        await deployment.web.get(f"data-assets/{asset['id']}")
    states = [(await deployment.read_data_asset(asset["id"]))["state"] for _ in range(3)]
    assert states == ["draft", "draft", "ready"]


async def test_update_changes_only_the_given_fields(deployment):
    asset = await deployment.create_data_asset(
        description="before", custom_metadata={"score": 1, "modality": "ophys"}
    )
    path = f"data_assets/{asset['id']}"
    nulls = dict.fromkeys(["name", "description", "tags", "mount", "custom_metadata"])
    before = await deployment.read_data_asset(asset["id"])
    assert expect_status(await deployment.user.put(path, json=nulls), 200) == before
    changes = {
        "name": "after",
        "tags": ["x"],
        "mount": "m2",
        "custom_metadata": {"score": 2, "modality": None},
    }
    after = expect_status(await deployment.user.put(path, json={**nulls, **changes}), 200)
    assert after == {**before, **changes, "custom_metadata": {"score": 2, "modality": "ophys"}}
    emptied = expect_status(await deployment.user.put(path, json={"tags": [], "description": ""}), 200)
    assert "tags" not in emptied
    assert "description" not in emptied
    assert "name" in expect_error(await deployment.user.put(path, json={"name": ""}), 400)


async def test_delete_removes_the_data_asset_and_its_files(deployment):
    asset = await deployment.create_data_asset()
    response = await deployment.user.delete(f"data_assets/{asset['id']}")
    assert (response.status_code, response.content) == (204, b"")
    expect_error(await deployment.user.get(f"data_assets/{asset['id']}"), 404)
    expect_error(await deployment.user.delete(f"data_assets/{asset['id']}"), 404)
    assert deployment.store.files.list_files(f"asset-{asset['id']}", "") == []


@pytest.mark.parametrize(("true", "false"), [("true", "false"), ("True", "False"), ("1", "0")])
async def test_archive_hides_data_asset_from_unarchived_search(deployment, true, false):
    asset = await deployment.create_data_asset(name="hidden")
    path = f"data_assets/{asset['id']}/archive"
    response = await deployment.user.patch(path, params={"archive": true})
    assert (response.status_code, response.content) == (204, b"")
    assert await deployment.search_names(query="hidden") == []
    assert await deployment.search_names(archived=True) == ["hidden"]
    assert (await deployment.read_data_asset(asset["id"]))["state"] == "ready"
    expect_status(await deployment.user.patch(path, params={"archive": false}), 204)
    assert await deployment.search_names(query="hidden", archived="False") == ["hidden"]
    assert "archive" in expect_error(await deployment.user.patch(path), 400)
    assert "archive" in expect_error(await deployment.user.patch(path, params={"archive": "maybe"}), 400)


async def test_permissions_update_adds_and_changes_roles(colleague):
    deployment, client = colleague
    asset = await deployment.create_data_asset()
    path = f"data_assets/{asset['id']}/permissions"
    first = {
        "users": [{"email": "colleague@emulator.test", "role": "viewer"}],
        "groups": None,
        "everyone": None,
    }
    response = await deployment.user.post(path, json=first)
    assert (response.status_code, response.content) == (204, b"")
    second = {
        "groups": [{"group": "ephys-lab", "role": "discoverable"}],
        "everyone": "viewer",
        "share_assets": None,
    }
    expect_status(await deployment.user.post(path, json=second), 204)
    assert expect_status(await client.get(path), 200) == {
        "users": [
            {"email": "colleague@emulator.test", "role": "viewer"},
            {"email": "user@emulator.test", "role": "owner"},
        ],
        "groups": [{"group": "ephys-lab", "role": "discoverable"}],
        "everyone": "viewer",
    }
    expect_status(await deployment.user.post(path, json={"everyone": "none"}), 204)
    assert expect_status(await client.get(path), 200)["everyone"] == "none"


@pytest.mark.parametrize(
    ("permissions", "named"),
    [
        ({"users": [{"email": "nobody@emulator.test", "role": "viewer"}]}, "nobody@emulator.test"),
        ({"users": [{"email": "user@emulator.test", "role": "discoverable"}]}, "users.0.role"),
        ({"groups": [{"group": "ephys-lab", "role": "king"}]}, "groups.0.role"),
        ({"everyone": "owner"}, "everyone"),
        ({"share_assets": "perhaps"}, "share_assets"),
    ],
)
async def test_permissions_with_invalid_values_are_rejected(deployment, permissions, named):
    asset = await deployment.create_data_asset()
    answer = await deployment.user.post(f"data_assets/{asset['id']}/permissions", json=permissions)
    assert named in expect_error(answer, 400)


async def test_permissions_for_configured_empty_group_are_accepted(deploy):
    deployment = deploy(groups=["empty-lab"])
    asset = await deployment.create_data_asset()
    permissions = {"groups": [{"group": "empty-lab", "role": "viewer"}]}
    expect_status(await deployment.user.post(f"data_assets/{asset['id']}/permissions", json=permissions), 204)


async def test_permissions_with_share_assets_apply_to_own_contained_assets(colleague):
    deployment, client = colleague
    own = await deployment.create_data_asset(name="own")
    foreign = deployment.env["CODEOCEAN_RELEASED_DATA_ASSET_ID"]
    body = {"name": "both", "tags": [], "mount": "m", "data_asset_ids": [own["id"], foreign]}
    combined = expect_status(await deployment.user.post("data_assets", json=body), 200)
    path = f"data_assets/{combined['id']}/permissions"
    given = {"users": [{"email": "colleague@emulator.test", "role": "viewer"}]}
    expect_status(await deployment.user.post(path, json=given), 204)
    expect_error(await client.get(f"data_assets/{own['id']}"), 404)
    expect_status(await deployment.user.post(path, json={**given, "share_assets": "True"}), 204)
    expect_status(await client.get(f"data_assets/{own['id']}"), 200)
    assert "colleague@emulator.test" not in deployment.store.data_assets.get(foreign).permissions.users


async def test_transfer_moves_the_files_and_keeps_the_provenance(deploy):
    deployment = deploy(transitions=Transitions(assets=Policy(), transfers=Policy(seconds=5)))
    bucket = deployment.env["CODEOCEAN_ARCHIVE_BUCKET"]
    asset = await deployment.capture_results()
    before = await deployment.read_data_asset(asset["id"])
    target = {"target": {"aws": {"bucket": bucket, "prefix": "old", "endpoint_name": None}}, "force": None}
    response = await deployment.admin.post(f"data_assets/{asset['id']}/transfer", json=target)
    assert (response.status_code, response.content) == (204, b"")
    assert await deployment.read_data_asset(asset["id"]) == before
    assert expect_status(await deployment.user.post(f"data_assets/{asset['id']}/files"), 200)["items"]
    deployment.clock.advance(5)
    assert await deployment.read_data_asset(asset["id"]) == {
        **before,
        "last_transferred": int(START_TIME) + 5,
        "source_bucket": {"origin": "aws", "bucket": bucket, "prefix": "old", "external": True},
    }
    expect_error(await deployment.user.post(f"data_assets/{asset['id']}/files"), 400)
    assert await deployment.search_names(origin="external") == ["made"]
    assert [file.relative_path for file in deployment.store.files.list_files(f"bucket-{bucket}", "old")] == [
        file.relative_path for file in deployment.store.files.list_files(f"asset-{asset['id']}", "")
    ]


async def test_transfer_error_is_cleared_by_the_next_transfer(deployment):
    asset = await deployment.capture_results()
    path = f"data_assets/{asset['id']}/transfer"
    expect_status(await deployment.admin.post(path, json={"target": {"aws": {"bucket": "nowhere"}}}), 204)
    failed = await deployment.read_data_asset(asset["id"])
    assert "does not exist" in failed["transfer_error"]
    assert "last_transferred" not in failed
    assert failed["state"] == "ready"
    expect_status(await deployment.admin.post(path, json={"target": {"aws": {"bucket": "lab-archive"}}}), 204)
    assert "transfer_error" not in await deployment.read_data_asset(asset["id"])


async def test_transfer_repeated_increases_last_transferred(deployment):
    asset = await deployment.capture_results()
    moments = []
    for bucket in ("lab-archive", "lab-results", "lab-archive"):
        body = {"target": {"aws": {"bucket": bucket, "prefix": "p"}}}
        expect_status(await deployment.admin.post(f"data_assets/{asset['id']}/transfer", json=body), 204)
        moments.append((await deployment.read_data_asset(asset["id"]))["last_transferred"])
    assert moments == [START_TIME, START_TIME + 1, START_TIME + 2]


async def test_transfer_with_read_policy_completes_after_reads(deploy):
    deployment = deploy(transitions=Transitions(assets=Policy(), transfers=Policy(reads=1)))
    asset = await deployment.capture_results()
    body = {"target": {"aws": {"bucket": "lab-archive"}}}
    expect_status(await deployment.admin.post(f"data_assets/{asset['id']}/transfer", json=body), 204)
    moved = ["last_transferred" in await deployment.read_data_asset(asset["id"]) for _ in range(3)]
    assert moved == [False, True, True]


async def test_transfer_by_user_or_of_draft_is_rejected(deploy):
    deployment = deploy(transitions=Transitions.all(Policy(seconds=5)))
    asset = await deployment.create_data_asset()
    path = f"data_assets/{asset['id']}/transfer"
    body = {"target": {"aws": {"bucket": "lab-archive"}}}
    assert "admins" in expect_error(await deployment.user.post(path, json=body), 403)
    assert "not ready" in expect_error(await deployment.admin.post(path, json=body), 400)
    assert "target.aws" in expect_error(await deployment.admin.post(path, json={"target": {}}), 400)
    assert "target" in expect_error(await deployment.admin.post(path, json={}), 400)


async def test_transfer_of_released_input_requires_force(deployment):
    path = f"data_assets/{deployment.env['CODEOCEAN_RELEASED_DATA_ASSET_ID']}/transfer"
    body = {"target": {"aws": {"bucket": "lab-archive"}}}
    assert "force" in expect_error(await deployment.admin.post(path, json=body), 400)
    expect_status(await deployment.admin.post(path, json={**body, "force": True}), 204)


async def test_list_files_of_a_draft_is_rejected(deploy):
    deployment = deploy(transitions=Transitions.all(Policy(seconds=5)))
    asset = await deployment.create_data_asset()
    assert "draft" in expect_error(await deployment.user.post(f"data_assets/{asset['id']}/files"), 400)


async def test_payload_style_2_x_returns_the_2_x_format(deploy):
    deployment = deploy(payload_style="2.x", server_version="2.14.0")
    client = deployment.user
    bucket = await deployment.create_data_asset(tags=["a"], description="")
    assert bucket == {
        "created": int(START_TIME),
        "description": "",
        "files": 0,
        "id": bucket["id"],
        "lastUsed": 0,
        "name": "made",
        "sizeInBytes": 0,
        "sourceBucket": {"bucket": "codeocean-public-data", "origin": "aws", "prefix": "example_datasets"},
        "state": "DATA_ASSET_STATE_DRAFT",
        "tags": ["a"],
        "type": "DATA_ASSET_TYPE_DATASET",
    }
    result = await deployment.read_data_asset((await deployment.capture_results())["id"])
    assert result["state"] == "DATA_ASSET_STATE_READY"
    assert result["type"] == "DATA_ASSET_TYPE_RESULT"
    assert result["sizeInBytes"] > 0
    assert result["sourceBucket"] == {"bucket": "", "origin": "local", "prefix": ""}
    assert set(result["provenance"]) == {"commit", "runScript", "DockerImage", "Capsule", "DataAssets"}
    assert "owner" not in result
    assert "mount" not in result
    found = expect_status(await client.post("data_assets/search", json={"query": "made"}), 200)["results"]
    assert {asset["state"] for asset in found} == {"DATA_ASSET_STATE_READY"}


@pytest.mark.parametrize(("version", "status"), [("3.6.0", 404), ("4.0.0", 200), ("4.3.0", 200)])
async def test_endpoints_newer_than_the_server_are_not_found(deploy, version, status):
    deployment = deploy(server_version=version)
    asset = (await deployment.create_data_asset())["id"]
    urls = await deployment.user.get(f"data_assets/{asset}/files/urls", params={"path": "README.md"})
    expect_status(urls, status)
    old = await deployment.user.get(f"data_assets/{asset}/files/download_url", params={"path": "README.md"})
    assert expect_status(old, 200)["url"].startswith("http://emulator.test/storage/")
    permissions = await deployment.user.get(f"data_assets/{asset}/permissions")
    expect_status(permissions, 200 if version == "4.3.0" else 404)
