"""What can be done with data assets that exist."""

from __future__ import annotations

import pytest

from airflow_provider_codeocean.emulator import Policy, Transitions
from tests.emulator.helpers import START, expect, refusal


async def test_all_that_the_sdk_requires_is_there_and_empty_fields_are_not(deployment):
    asset = await deployment.create(tags=[], description="")
    owner = deployment.emulator.directory.by_email("user@emulator.test").id
    assert asset == {
        "id": asset["id"],
        "created": int(START),
        "name": "made",
        "mount": "made",
        "last_used": 0,
        "owner": owner,
        "owner_email": "user@emulator.test",
        "state": "draft",
        "type": "dataset",
        "source_bucket": {"origin": "aws", "bucket": "codeocean-public-data", "prefix": "example_datasets"},
    }


async def test_a_draft_becomes_ready_when_its_time_has_come(deploy):
    deployment = deploy(transitions=Transitions.all(Policy(seconds=3)))
    asset = await deployment.create()
    states = []
    for _ in range(4):
        states.append((await deployment.read(asset["id"]))["state"])
        deployment.clock.advance(1)
    assert states == ["draft", "draft", "draft", "ready"]


async def test_a_draft_becomes_ready_after_so_many_reads_of_itself(deploy):
    deployment = deploy(transitions=Transitions.all(Policy(reads=2)))
    asset = await deployment.create()
    for _ in range(3):
        await deployment.search(query="made")
        await deployment.web.get(f"data-assets/{asset['id']}")
    states = [(await deployment.read(asset["id"]))["state"] for _ in range(3)]
    assert states == ["draft", "draft", "ready"]


async def test_an_update_changes_what_it_names(deployment):
    asset = await deployment.create(description="before", custom_metadata={"score": 1, "modality": "ophys"})
    path = f"data_assets/{asset['id']}"
    nulls = dict.fromkeys(["name", "description", "tags", "mount", "custom_metadata"])
    before = await deployment.read(asset["id"])
    assert expect(await deployment.user.put(path, json=nulls), 200) == before
    changes = {
        "name": "after",
        "tags": ["x"],
        "mount": "m2",
        "custom_metadata": {"score": 2, "modality": None},
    }
    after = expect(await deployment.user.put(path, json={**nulls, **changes}), 200)
    assert after == {**before, **changes, "custom_metadata": {"score": 2, "modality": "ophys"}}
    emptied = expect(await deployment.user.put(path, json={"tags": [], "description": ""}), 200)
    assert "tags" not in emptied
    assert "description" not in emptied
    assert "name" in refusal(await deployment.user.put(path, json={"name": ""}), 400)


async def test_what_is_deleted_is_gone_with_its_files(deployment):
    asset = await deployment.create()
    response = await deployment.user.delete(f"data_assets/{asset['id']}")
    assert (response.status_code, response.content) == (204, b"")
    refusal(await deployment.user.get(f"data_assets/{asset['id']}"), 404)
    refusal(await deployment.user.delete(f"data_assets/{asset['id']}"), 404)
    assert deployment.store.files.tree(f"asset-{asset['id']}", "") == []


@pytest.mark.parametrize(("true", "false"), [("true", "false"), ("True", "False"), ("1", "0")])
async def test_archived_assets_are_found_in_the_archive_only(deployment, true, false):
    asset = await deployment.create(name="hidden")
    path = f"data_assets/{asset['id']}/archive"
    response = await deployment.user.patch(path, params={"archive": true})
    assert (response.status_code, response.content) == (204, b"")
    assert await deployment.search(query="hidden") == []
    assert await deployment.search(archived=True) == ["hidden"]
    assert (await deployment.read(asset["id"]))["state"] == "ready"
    expect(await deployment.user.patch(path, params={"archive": false}), 204)
    assert await deployment.search(query="hidden", archived="False") == ["hidden"]
    assert "archive" in refusal(await deployment.user.patch(path), 400)
    assert "archive" in refusal(await deployment.user.patch(path, params={"archive": "maybe"}), 400)


async def test_permissions_are_added_and_changed(colleague):
    deployment, client = colleague
    asset = await deployment.create()
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
    expect(await deployment.user.post(path, json=second), 204)
    assert expect(await client.get(path), 200) == {
        "users": [
            {"email": "colleague@emulator.test", "role": "viewer"},
            {"email": "user@emulator.test", "role": "owner"},
        ],
        "groups": [{"group": "ephys-lab", "role": "discoverable"}],
        "everyone": "viewer",
    }
    expect(await deployment.user.post(path, json={"everyone": "none"}), 204)
    assert expect(await client.get(path), 200)["everyone"] == "none"


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
async def test_wrong_permissions_are_refused(deployment, permissions, named):
    asset = await deployment.create()
    answer = await deployment.user.post(f"data_assets/{asset['id']}/permissions", json=permissions)
    assert named in refusal(answer, 400)


async def test_a_group_of_the_configuration_is_known_though_nobody_is_in_it(deploy):
    deployment = deploy(groups=["empty-lab"])
    asset = await deployment.create()
    permissions = {"groups": [{"group": "empty-lab", "role": "viewer"}]}
    expect(await deployment.user.post(f"data_assets/{asset['id']}/permissions", json=permissions), 204)


async def test_contained_assets_are_shared_along_where_they_are_ones_own(colleague):
    deployment, client = colleague
    own = await deployment.create(name="own")
    foreign = deployment.env["CODEOCEAN_RELEASED_DATA_ASSET_ID"]
    body = {"name": "both", "tags": [], "mount": "m", "data_asset_ids": [own["id"], foreign]}
    combined = expect(await deployment.user.post("data_assets", json=body), 200)
    path = f"data_assets/{combined['id']}/permissions"
    given = {"users": [{"email": "colleague@emulator.test", "role": "viewer"}]}
    expect(await deployment.user.post(path, json=given), 204)
    refusal(await client.get(f"data_assets/{own['id']}"), 404)
    expect(await deployment.user.post(path, json={**given, "share_assets": "True"}), 204)
    expect(await client.get(f"data_assets/{own['id']}"), 200)
    assert "colleague@emulator.test" not in deployment.store.data_assets.get(foreign).permissions.users


async def test_a_transfer_moves_the_files_and_keeps_the_provenance(deploy):
    deployment = deploy(transitions=Transitions(assets=Policy(), transfers=Policy(seconds=5)))
    bucket = deployment.env["CODEOCEAN_ARCHIVE_BUCKET"]
    asset = await deployment.capture()
    before = await deployment.read(asset["id"])
    target = {"target": {"aws": {"bucket": bucket, "prefix": "old", "endpoint_name": None}}, "force": None}
    response = await deployment.admin.post(f"data_assets/{asset['id']}/transfer", json=target)
    assert (response.status_code, response.content) == (204, b"")
    assert await deployment.read(asset["id"]) == before
    assert expect(await deployment.user.post(f"data_assets/{asset['id']}/files"), 200)["items"]
    deployment.clock.advance(5)
    assert await deployment.read(asset["id"]) == {
        **before,
        "last_transferred": int(START) + 5,
        "source_bucket": {"origin": "aws", "bucket": bucket, "prefix": "old", "external": True},
    }
    refusal(await deployment.user.post(f"data_assets/{asset['id']}/files"), 400)
    assert await deployment.search(origin="external") == ["made"]
    assert [file.relative for file in deployment.store.files.tree(f"bucket-{bucket}", "old")] == [
        file.relative for file in deployment.store.files.tree(f"asset-{asset['id']}", "")
    ]


async def test_a_transfer_that_fails_says_why_and_the_next_one_clears_it(deployment):
    asset = await deployment.capture()
    path = f"data_assets/{asset['id']}/transfer"
    expect(await deployment.admin.post(path, json={"target": {"aws": {"bucket": "nowhere"}}}), 204)
    failed = await deployment.read(asset["id"])
    assert "does not exist" in failed["transfer_error"]
    assert "last_transferred" not in failed
    assert failed["state"] == "ready"
    expect(await deployment.admin.post(path, json={"target": {"aws": {"bucket": "lab-archive"}}}), 204)
    assert "transfer_error" not in await deployment.read(asset["id"])


async def test_last_transferred_moves_with_every_transfer(deployment):
    asset = await deployment.capture()
    moments = []
    for bucket in ("lab-archive", "lab-results", "lab-archive"):
        body = {"target": {"aws": {"bucket": bucket, "prefix": "p"}}}
        expect(await deployment.admin.post(f"data_assets/{asset['id']}/transfer", json=body), 204)
        moments.append((await deployment.read(asset["id"]))["last_transferred"])
    assert moments == [START, START + 1, START + 2]


async def test_a_transfer_can_wait_for_reads(deploy):
    deployment = deploy(transitions=Transitions(assets=Policy(), transfers=Policy(reads=1)))
    asset = await deployment.capture()
    body = {"target": {"aws": {"bucket": "lab-archive"}}}
    expect(await deployment.admin.post(f"data_assets/{asset['id']}/transfer", json=body), 204)
    moved = ["last_transferred" in await deployment.read(asset["id"]) for _ in range(3)]
    assert moved == [False, True, True]


async def test_only_admins_transfer_and_only_what_is_ready(deploy):
    deployment = deploy(transitions=Transitions.all(Policy(seconds=5)))
    asset = await deployment.create()
    path = f"data_assets/{asset['id']}/transfer"
    body = {"target": {"aws": {"bucket": "lab-archive"}}}
    assert "admins" in refusal(await deployment.user.post(path, json=body), 403)
    assert "not ready" in refusal(await deployment.admin.post(path, json=body), 400)
    assert "target.aws" in refusal(await deployment.admin.post(path, json={"target": {}}), 400)
    assert "target" in refusal(await deployment.admin.post(path, json={}), 400)


async def test_what_a_release_pipeline_uses_is_transferred_by_force_only(deployment):
    path = f"data_assets/{deployment.env['CODEOCEAN_RELEASED_DATA_ASSET_ID']}/transfer"
    body = {"target": {"aws": {"bucket": "lab-archive"}}}
    assert "force" in refusal(await deployment.admin.post(path, json=body), 400)
    expect(await deployment.admin.post(path, json={**body, "force": True}), 204)


async def test_files_of_a_draft_are_not_there_yet(deploy):
    deployment = deploy(transitions=Transitions.all(Policy(seconds=5)))
    asset = await deployment.create()
    assert "draft" in refusal(await deployment.user.post(f"data_assets/{asset['id']}/files"), 400)


async def test_a_server_of_the_2x_line_answers_in_its_own_shape(deploy):
    deployment = deploy(payload_style="2.x", server_version="2.14.0")
    client = deployment.user
    bucket = await deployment.create(tags=["a"], description="")
    assert bucket == {
        "created": int(START),
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
    result = await deployment.read((await deployment.capture())["id"])
    assert result["state"] == "DATA_ASSET_STATE_READY"
    assert result["type"] == "DATA_ASSET_TYPE_RESULT"
    assert result["sizeInBytes"] > 0
    assert result["sourceBucket"] == {"bucket": "", "origin": "local", "prefix": ""}
    assert set(result["provenance"]) == {"commit", "runScript", "DockerImage", "Capsule", "DataAssets"}
    assert "owner" not in result
    assert "mount" not in result
    found = expect(await client.post("data_assets/search", json={"query": "made"}), 200)["results"]
    assert {asset["state"] for asset in found} == {"DATA_ASSET_STATE_READY"}


@pytest.mark.parametrize(("version", "status"), [("3.6.0", 404), ("4.0.0", 200), ("4.3.0", 200)])
async def test_endpoints_newer_than_the_server_are_not_there(deploy, version, status):
    deployment = deploy(server_version=version)
    asset = (await deployment.create())["id"]
    urls = await deployment.user.get(f"data_assets/{asset}/files/urls", params={"path": "README.md"})
    expect(urls, status)
    old = await deployment.user.get(f"data_assets/{asset}/files/download_url", params={"path": "README.md"})
    assert expect(old, 200)["url"].startswith("http://emulator.test/storage/")
    permissions = await deployment.user.get(f"data_assets/{asset}/permissions")
    expect(permissions, 200 if version == "4.3.0" else 404)
