from __future__ import annotations

import base64

import pytest

from airflow_provider_codeocean.emulator.state.users import ADMIN_EMAIL
from tests.emulator.in_process import expect_error, expect_status


def basic(credentials: str) -> str:
    return "Basic " + base64.b64encode(credentials.encode()).decode()


@pytest.mark.parametrize(
    "header", [None, "", "Basic", "Basic !", basic("wrong:"), basic("\xff\xfe"), "Bearer token", basic("")]
)
async def test_request_without_valid_token_is_rejected(deployment, header):
    client = deployment.add_client(None, **({} if header is None else {"authorization": header}))
    for path in (
        f"data_assets/{deployment.env['CODEOCEAN_DATA_ASSET_ID']}",
        "custom_metadata",
        "no/such/path",
    ):
        assert "token" in expect_error(await client.get(path), 401)


async def test_request_with_undecodable_token_is_rejected(deployment):
    header = "Basic " + base64.b64encode(b"\xff\xfe:").decode()
    assert "token" in expect_error(
        await deployment.add_client(None, authorization=header).get("custom_metadata"), 401
    )


async def test_request_with_any_password_is_accepted(deployment):
    client = deployment.add_client(None, authorization=basic(deployment.env["CODEOCEAN_TOKEN"] + ":anything"))
    expect_status(await client.get("custom_metadata"), 200)


@pytest.mark.parametrize(
    ("scopes", "status"),
    [
        (["capsule:read"], {"get_asset": 403, "create_asset": 403, "get_capsule": 200, "run": 403}),
        (["capsule:write"], {"get_asset": 403, "create_asset": 403, "get_capsule": 200, "run": 200}),
        (["data_asset:read"], {"get_asset": 200, "create_asset": 403, "get_capsule": 403, "run": 403}),
        (["data_asset:write"], {"get_asset": 200, "create_asset": 200, "get_capsule": 403, "run": 403}),
        ([], {"get_asset": 403, "create_asset": 403, "get_capsule": 403, "run": 403}),
    ],
)
async def test_token_outside_its_scopes_is_rejected(deploy, scopes, status):
    deployment = deploy(users=[{"email": "a@b", "tokens": [{"token": "cop_limited", "scopes": scopes}]}])
    client, env = deployment.add_client("cop_limited"), deployment.env
    asset = {
        "name": "n",
        "tags": [],
        "mount": "m",
        "source": {"aws": {"bucket": env["CODEOCEAN_PUBLIC_BUCKET"], "prefix": "example_datasets"}},
    }
    answers = {
        "get_asset": await client.get(f"data_assets/{env['CODEOCEAN_DATA_ASSET_ID']}"),
        "create_asset": await client.post("data_assets", json=asset),
        "get_capsule": await client.get(f"capsules/{env['CODEOCEAN_CAPSULE_ID']}"),
        "run": await client.post("computations", json={"capsule_id": env["CODEOCEAN_CAPSULE_ID"]}),
    }
    assert {name: answer.status_code for name, answer in answers.items()} == status
    assert all(
        "scope" in answer.json()["message"] for answer in answers.values() if answer.status_code == 403
    )


async def test_data_asset_without_role_looks_like_a_missing_one(colleague):
    deployment, client = colleague
    asset = await deployment.create_data_asset()
    paths = [
        ("GET", ""),
        ("PUT", ""),
        ("DELETE", ""),
        ("GET", "/permissions"),
        ("GET", "/files/urls?path=README.md"),
        ("PATCH", "/archive?archive=true"),
    ]
    for method, path in paths:
        hidden = await client.request(method, f"data_assets/{asset['id']}{path}", json={})
        absent = await client.request(method, f"data_assets/nothing{path}", json={})
        message = expect_error(hidden, 404).replace(asset["id"], "nothing")
        assert message == expect_error(absent, 404)


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        ("discoverable", {"get"}),
        ("viewer", {"get", "permissions", "files"}),
        ("editor", {"get", "permissions", "files"}),
        ("owner", {"get", "permissions", "files", "update", "archive", "share", "delete"}),
    ],
)
async def test_role_allows_only_its_operations(colleague, role, allowed):
    deployment, client = colleague
    asset = await deployment.create_data_asset()
    given = {"groups": [{"group": "imaging-lab", "role": role}]}
    expect_status(await deployment.user.post(f"data_assets/{asset['id']}/permissions", json=given), 204)
    path = f"data_assets/{asset['id']}"
    answers = {
        "get": await client.get(path),
        "permissions": await client.get(f"{path}/permissions"),
        "files": await client.post(f"{path}/files"),
        "update": await client.put(path, json={"name": "new"}),
        "archive": await client.patch(f"{path}/archive?archive=false"),
        "share": await client.post(f"{path}/permissions", json={}),
        "delete": await client.delete(path),
    }
    assert {name for name, answer in answers.items() if answer.status_code < 300} == allowed
    assert all(answer.status_code == 403 for name, answer in answers.items() if name not in allowed)


async def test_admin_may_change_assets_of_others(deployment):
    asset = await deployment.create_data_asset()
    expect_status(await deployment.admin.put(f"data_assets/{asset['id']}", json={"name": "seen"}), 200)
    expect_status(await deployment.admin.delete(f"data_assets/{asset['id']}"), 204)


async def test_computation_is_visible_to_its_owner_capsule_owner_and_admin(deploy):
    deployment = deploy(
        users=[{"email": "runner@emulator.test"}, {"email": "owner@emulator.test"}],
        capsules=[{"name": "Shared", "owner": "owner@emulator.test"}],
    )
    runner, owner = (deployment.add_client_for(f"{name}@emulator.test") for name in ("runner", "owner"))
    found = expect_status(await owner.post("capsules/search", json={"query": "name:Shared"}), 200)
    capsule_id = found["results"][0]["id"]
    run = expect_status(await runner.post("computations", json={"capsule_id": capsule_id}), 200)
    for client in (runner, owner, deployment.admin):
        expect_status(await client.get(f"computations/{run['id']}"), 200)
        assert len(expect_status(await client.get(f"capsules/{capsule_id}/computations"), 200)) == 1
        source = {"computation": {"id": run["id"]}}
        assert (await deployment.create_data_asset(client, source=source))["state"] == "draft"
    expect_error(await deployment.user.get(f"computations/{run['id']}"), 404)
    assert expect_status(await deployment.user.get(f"capsules/{capsule_id}/computations"), 200) == []


def test_user_updated_keeps_id_and_tokens(deployment):
    directory, before = (
        deployment.emulator.user_directory,
        deployment.emulator.user_directory.find_by_email(ADMIN_EMAIL),
    )
    from airflow_provider_codeocean.emulator.domain.config import TokenConfig, UserConfig

    config = UserConfig(
        email=ADMIN_EMAIL, name="New Name", tokens=(TokenConfig(), TokenConfig(token="cop_second"))
    )
    after = directory.upsert(config, "unused", 0)
    assert (after.id, after.created, after.name) == (before.id, before.created, "New Name")
    assert list(after.tokens) == [*before.tokens, "cop_second"]
    assert not after.admin
