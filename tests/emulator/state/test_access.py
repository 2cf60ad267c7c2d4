from __future__ import annotations

import base64

import pytest

from airflow_provider_codeocean.emulator.state.users import ADMIN_EMAIL
from tests.emulator.helpers import expect, refusal


def basic(credentials: str) -> str:
    return "Basic " + base64.b64encode(credentials.encode()).decode()


@pytest.mark.parametrize(
    "header", [None, "", "Basic", "Basic !", basic("wrong:"), basic("\xff\xfe"), "Bearer token", basic("")]
)
async def test_without_a_valid_token_nothing_is_answered(deployment, header):
    client = deployment.client(None, **({} if header is None else {"authorization": header}))
    for path in (
        f"data_assets/{deployment.env['CODEOCEAN_DATA_ASSET_ID']}",
        "custom_metadata",
        "no/such/path",
    ):
        assert "token" in refusal(await client.get(path), 401)


async def test_a_token_that_is_not_text_is_refused(deployment):
    header = "Basic " + base64.b64encode(b"\xff\xfe:").decode()
    assert "token" in refusal(await deployment.client(None, authorization=header).get("custom_metadata"), 401)


async def test_the_password_does_not_matter(deployment):
    client = deployment.client(None, authorization=basic(deployment.env["CODEOCEAN_TOKEN"] + ":anything"))
    expect(await client.get("custom_metadata"), 200)


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
async def test_a_token_is_good_for_its_scopes_only(deploy, scopes, status):
    deployment = deploy(users=[{"email": "a@b", "tokens": [{"token": "cop_limited", "scopes": scopes}]}])
    client, env = deployment.client("cop_limited"), deployment.env
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


async def test_who_has_no_role_does_not_learn_that_it_exists(colleague):
    deployment, client = colleague
    asset = await deployment.create()
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
        message = refusal(hidden, 404).replace(asset["id"], "nothing")
        assert message == refusal(absent, 404)


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        ("discoverable", {"get"}),
        ("viewer", {"get", "permissions", "files"}),
        ("editor", {"get", "permissions", "files"}),
        ("owner", {"get", "permissions", "files", "update", "archive", "share", "delete"}),
    ],
)
async def test_each_role_may_do_its_part(colleague, role, allowed):
    deployment, client = colleague
    asset = await deployment.create()
    given = {"groups": [{"group": "imaging-lab", "role": role}]}
    expect(await deployment.user.post(f"data_assets/{asset['id']}/permissions", json=given), 204)
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


async def test_an_admin_owns_everything(deployment):
    asset = await deployment.create()
    expect(await deployment.admin.put(f"data_assets/{asset['id']}", json={"name": "seen"}), 200)
    expect(await deployment.admin.delete(f"data_assets/{asset['id']}"), 204)


async def test_runs_are_seen_by_their_owner_by_capsule_owners_and_by_admins(deploy):
    deployment = deploy(
        users=[{"email": "runner@emulator.test"}, {"email": "owner@emulator.test"}],
        capsules=[{"name": "Shared", "owner": "owner@emulator.test"}],
    )
    runner, owner = (deployment.client_of(f"{name}@emulator.test") for name in ("runner", "owner"))
    found = expect(await owner.post("capsules/search", json={"query": "name:Shared"}), 200)
    capsule_id = found["results"][0]["id"]
    run = expect(await runner.post("computations", json={"capsule_id": capsule_id}), 200)
    for client in (runner, owner, deployment.admin):
        expect(await client.get(f"computations/{run['id']}"), 200)
        assert len(expect(await client.get(f"capsules/{capsule_id}/computations"), 200)) == 1
        source = {"computation": {"id": run["id"]}}
        assert (await deployment.create(client, source=source))["state"] == "draft"
    refusal(await deployment.user.get(f"computations/{run['id']}"), 404)
    assert expect(await deployment.user.get(f"capsules/{capsule_id}/computations"), 200) == []


def test_a_user_who_is_enrolled_again_keeps_id_and_tokens(deployment):
    directory, before = deployment.emulator.directory, deployment.emulator.directory.by_email(ADMIN_EMAIL)
    from airflow_provider_codeocean.emulator.domain.config import TokenConfig, UserConfig

    config = UserConfig(
        email=ADMIN_EMAIL, name="New Name", tokens=(TokenConfig(), TokenConfig(token="cop_second"))
    )
    after = directory.enroll(config, "unused", 0)
    assert (after.id, after.created, after.name) == (before.id, before.created, "New Name")
    assert list(after.tokens) == [*before.tokens, "cop_second"]
    assert not after.admin
