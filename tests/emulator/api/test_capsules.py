"""Capsules and pipelines: one implementation, tested on both."""

from __future__ import annotations

import pytest

from airflow_provider_codeocean.emulator import Policy, Transitions
from tests.emulator.in_process import START_TIME, expect_error, expect_status


@pytest.fixture(params=["capsule", "pipeline"])
def kind(request):
    return request.param


@pytest.fixture
def path(kind, deployment):
    return f"{kind}s/{deployment.env[f'CODEOCEAN_{kind.upper()}_ID']}"


async def test_get_capsule_returns_all_fields_the_sdk_requires(deployment, kind, path):
    shown = expect_status(await deployment.user.get(path), 200)
    assert {"id", "created", "name", "status", "owner", "slug"} <= shown.keys()
    assert shown["status"] == "non_release"
    assert shown["owner_email"] == "admin@emulator.test"
    release = expect_status(await deployment.user.get(f"{kind}s/{shown['release_capsule']}"), 200)
    assert release["status"] == "release"
    assert release["original_capsule"]["id"] == shown["id"]
    assert release["versions"] == shown["versions"]


async def test_get_capsule_as_the_other_kind_is_not_found(deployment, kind, path):
    other = {"capsule": "pipelines", "pipeline": "capsules"}[kind]
    expect_error(await deployment.user.get(f"{other}/{path.split('/')[1]}"), 404)
    expect_error(await deployment.user.get(f"{kind}s/nothing"), 404)


async def test_list_computations_returns_the_newest_first(deployment, kind, path):
    body = {f"{kind}_id": path.split("/")[1]}
    deployment.clock.advance(1)
    first = expect_status(await deployment.user.post("computations", json=body), 200)
    deployment.clock.advance(1)
    second = expect_status(await deployment.user.post("computations", json=body), 200)
    listed = expect_status(await deployment.user.get(f"{path}/computations"), 200)
    assert [run["id"] for run in listed[:2]] == [second["id"], first["id"]]
    assert expect_status(await deployment.user.get(path), 200)["last_accessed"] == int(START_TIME) + 2


async def test_permissions_with_share_assets_apply_to_attached_assets(colleague, kind):
    deployment, client = colleague
    path = f"{kind}s/{deployment.env[f'CODEOCEAN_{kind.upper()}_ID']}"
    asset = await deployment.create_data_asset(deployment.admin)
    expect_status(
        await deployment.admin.post(f"{path}/data_assets", json=[{"id": asset["id"], "mount": "x"}]), 200
    )
    given = {"users": [{"email": "colleague@emulator.test", "role": "viewer"}]}
    expect_status(await deployment.admin.post(f"{path}/permissions", json=given), 204)
    expect_error(await client.get(f"data_assets/{asset['id']}"), 404)
    expect_status(
        await deployment.admin.post(f"{path}/permissions", json={**given, "share_assets": True}), 204
    )
    expect_status(await client.get(f"data_assets/{asset['id']}"), 200)
    shown = expect_status(await client.get(f"{path}/permissions"), 200)
    assert shown["users"] == [
        {"email": "admin@emulator.test", "role": "owner"},
        {"email": "colleague@emulator.test", "role": "viewer"},
    ]
    expect_error(await client.post(f"{path}/permissions", json=given), 403)


async def test_attach_and_detach_change_the_app_panel(deployment, path):
    asset = await deployment.create_data_asset(deployment.admin)
    expect_error(await deployment.user.post(f"{path}/data_assets", json=[{"id": asset["id"]}]), 403)
    attached = expect_status(
        await deployment.admin.post(f"{path}/data_assets", json=[{"id": asset["id"]}]), 200
    )
    assert attached[0]["mount"] == "made"
    panel = expect_status(await deployment.admin.get(f"{path}/app_panel"), 200)
    assert panel["data_assets"][-1] == {
        "id": asset["id"],
        "mount": "made",
        "name": "made",
        "kind": "internal",
        "accessible": True,
    }
    assert "nothing" in expect_error(
        await deployment.admin.post(f"{path}/data_assets", json=[{"id": "nothing"}]), 404
    )
    for slash, status in (("/", 204), ("", 400)):
        response = await deployment.admin.request("DELETE", f"{path}/data_assets{slash}", json=[asset["id"]])
        assert response.status_code == status


async def test_app_panel_shows_data_asset_kinds_and_versions(deployment):
    path = f"capsules/{deployment.env['CODEOCEAN_CAPSULE_ID']}"
    source = {
        "aws": {
            "bucket": "codeocean-public-data",
            "prefix": "example_datasets",
            "keep_on_external_storage": True,
        }
    }
    external = await deployment.create_data_asset(deployment.admin, source=source)
    body = {
        "name": "c",
        "tags": [],
        "mount": "c",
        "data_asset_ids": [deployment.env["CODEOCEAN_DATA_ASSET_ID"]],
    }
    combined = expect_status(await deployment.admin.post("data_assets", json=body), 200)
    ids = [external["id"], combined["id"]]
    expect_status(await deployment.admin.post(f"{path}/data_assets", json=[{"id": one} for one in ids]), 200)
    panel = expect_status(await deployment.user.get(f"{path}/app_panel", params={"version": 1}), 200)
    assert [(one["kind"], one["accessible"]) for one in panel["data_assets"]] == [
        ("external", False),
        ("combined", False),
    ]
    assert [parameter["param_name"] for parameter in panel["parameters"]] == ["threshold", "probe"]
    expect_error(await deployment.user.get(f"{path}/app_panel", params={"version": 9}), 404)
    expect_status(await deployment.admin.delete(f"data_assets/{external['id']}"), 204)
    panel = expect_status(await deployment.user.get(f"{path}/app_panel"), 200)
    assert [one["kind"] for one in panel["data_assets"]] == ["combined"]


async def test_archive_hides_capsule_from_unarchived_search(deployment, kind, path):
    expect_error(await deployment.user.patch(f"{path}/archive", params={"archive": "True"}), 403)
    expect_status(await deployment.admin.patch(f"{path}/archive", params={"archive": "True"}), 204)
    found = expect_status(await deployment.user.post(f"{kind}s/search", json={"archived": True}), 200)[
        "results"
    ]
    assert [one["id"] for one in found] == [path.split("/")[1]]
    expect_status(await deployment.admin.patch(f"{path}/archive", params={"archive": "False"}), 204)
    assert (
        expect_status(await deployment.user.post(f"{kind}s/search", json={"archived": True}), 200)["results"]
        == []
    )


async def test_delete_archived_capsule_deletes_its_runs(deploy, kind):
    deployment = deploy(capsules=[{"name": "Draft", "kind": kind}])
    capsule = next(one for one in deployment.store.capsules.all() if one.name == "Draft")
    path = f"{kind}s/{capsule.id}"
    run = expect_status(await deployment.user.post("computations", json={f"{kind}_id": capsule.id}), 200)
    expect_error(await deployment.user.delete(path), 403)
    expect_status(await deployment.admin.patch(f"{path}/archive", params={"archive": True}), 204)
    expect_status(await deployment.admin.delete(path), 204)
    expect_error(await deployment.admin.get(path), 404)
    expect_error(await deployment.admin.get(f"computations/{run['id']}"), 404)


@pytest.mark.fault("A15")
async def test_delete_capsule_that_is_not_archived_or_was_released_is_rejected(deployment, path):
    assert "archive" in expect_error(await deployment.admin.delete(path), 403)
    expect_status(await deployment.admin.patch(f"{path}/archive", params={"archive": True}), 204)
    assert "released" in expect_error(await deployment.admin.delete(path), 403)


async def test_sync_pulls_a_linked_repository_once(deployment):
    path = f"capsules/{deployment.env['CODEOCEAN_CAPSULE_ID']}/sync"
    assert expect_status(await deployment.admin.post(path), 200) == {"pulled": 2}
    assert expect_status(await deployment.admin.post(path), 200) == {}
    unlinked = f"pipelines/{deployment.env['CODEOCEAN_PIPELINE_ID']}/sync"
    assert "not linked" in expect_error(await deployment.admin.post(unlinked), 400)


async def test_release_creates_a_new_version(deploy, kind):
    deployment = deploy(transitions=Transitions(releases=Policy(seconds=2)))
    path = f"{kind}s/{deployment.env[f'CODEOCEAN_{kind.upper()}_ID']}"
    job = expect_status(await deployment.admin.post(f"{path}/release"), 200)
    assert job == {"job_id": job["job_id"], "status": "created"}
    job_path = f"{path}/release/{job['job_id']}"
    started = expect_status(await deployment.user.get(job_path), 200)
    assert started == {**job, "status": "started", "started": int(START_TIME)}
    deployment.clock.advance(2)
    completed = expect_status(await deployment.user.get(job_path), 200)
    before = expect_status(await deployment.user.get(path), 200)
    version = {"major_version": 2, "minor_version": 0, "release_time": int(START_TIME)}
    assert completed == {
        **started,
        "status": "completed",
        "duration": 2,
        "release_capsule": before["release_capsule"],
        "release_version": version,
    }
    expect_status(await deployment.user.get(job_path), 200)
    for shown in (path, f"{kind}s/{before['release_capsule']}"):
        versions = expect_status(await deployment.user.get(shown), 200)["versions"]
        assert [one["major_version"] for one in versions] == [1, 2]
    expect_error(await deployment.user.get(f"{path}/release/nothing"), 404)


async def test_release_without_requirements_is_rejected(deployment):
    never = f"capsules/{deployment.env['CODEOCEAN_SLOW_CAPSULE_ID']}"
    assert "never been released" in expect_error(await deployment.admin.post(f"{never}/release"), 400)
    path = f"capsules/{deployment.env['CODEOCEAN_CAPSULE_ID']}"
    expect_error(await deployment.user.post(f"{path}/release"), 403)
    expect_status(
        await deployment.admin.delete(f"computations/{deployment.env['CODEOCEAN_COMPUTATION_ID']}"), 204
    )
    body = expect_status(await deployment.admin.post(f"{path}/release"), 403)
    assert body["missing_reproducible_run"] is True
    assert "requirements" in body["message"]
