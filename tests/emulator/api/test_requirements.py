"""Documented requirements that the emulator enforces as real servers do."""

from __future__ import annotations

import pytest

from tests.emulator.in_process import expect_error, expect_status


@pytest.mark.fault("A15")
@pytest.mark.parametrize("named", [(), ("capsule", "pipeline")])
async def test_create_with_results_info_names_one_of_capsule_and_pipeline(deployment, named):
    info = {f"{kind}_id": deployment.env[f"CODEOCEAN_{kind.upper()}_ID"] for kind in named}
    source = {"aws": {"bucket": deployment.env["CODEOCEAN_PUBLIC_BUCKET"]}}
    body = {
        "name": "n",
        "tags": [],
        "mount": "m",
        "source": source,
        "results_info": {"run_script": "x", **info},
    }
    answer = await deployment.user.post("data_assets", json=body)
    assert "results_info: either capsule_id or pipeline_id" in expect_error(answer, 400)


@pytest.mark.fault("A15")
@pytest.mark.parametrize("kind", ["capsule", "pipeline"])
async def test_run_resumes_only_a_run_of_the_same_capsule(deployment, kind):
    body = {f"{kind}_id": deployment.env[f"CODEOCEAN_{kind.upper()}_ID"]}
    run = expect_status(await deployment.user.post("computations", json=body), 200)
    expect_status(await deployment.user.post("computations", json={**body, "resume_run_id": run["id"]}), 200)
    other = {"capsule_id": deployment.env["CODEOCEAN_SLOW_CAPSULE_ID"], "resume_run_id": run["id"]}
    assert "resume_run_id" in expect_error(await deployment.user.post("computations", json=other), 400)


@pytest.mark.fault("A15")
async def test_run_of_a_pipeline_ignores_parameters_that_name_no_process(deployment):
    body = {
        "pipeline_id": deployment.env["CODEOCEAN_PIPELINE_ID"],
        "parameters": ["7"],
        "named_parameters": [{"param_name": "threshold", "value": "7"}],
        "processes": [{"name": "sort", "parameters": ["8"]}],
    }
    started = expect_status(await deployment.user.post("computations", json=body), 200)
    assert "parameters" not in started
    assert [one["value"] for one in started["processes"][0]["parameters"]] == ["8"]


async def test_run_of_a_pipeline_replaces_internal_with_internal_only(deployment):
    external = await deployment.create_data_asset(
        source={
            "aws": {"bucket": deployment.env["CODEOCEAN_PUBLIC_BUCKET"], "keep_on_external_storage": True}
        }
    )
    attachment = {"id": external["id"], "mount": "reference_atlas"}
    body = {"pipeline_id": deployment.env["CODEOCEAN_PIPELINE_ID"], "data_assets": [attachment]}
    assert "reference_atlas" in expect_error(await deployment.user.post("computations", json=body), 400)
    attachment["id"] = deployment.env["CODEOCEAN_DATA_ASSET_ID"]
    expect_status(await deployment.user.post("computations", json=body), 200)


async def test_run_of_a_pipeline_that_fails_has_exit_code_1(deploy):
    deployment = deploy(capsules=[{"name": "Broken", "kind": "pipeline", "runs": {"exit_code": 137}}])
    broken = next(one for one in deployment.store.capsules.all() if one.name == "Broken")
    started = expect_status(await deployment.user.post("computations", json={"pipeline_id": broken.id}), 200)
    ended = expect_status(await deployment.user.get(f"computations/{started['id']}"), 200)
    assert (ended["end_status"], ended["exit_code"]) == ("failed", 1)


async def test_run_of_a_release_names_no_owner(deployment):
    capsule = deployment.store.capsules.get(deployment.env["CODEOCEAN_CAPSULE_ID"])
    started = expect_status(
        await deployment.user.post("computations", json={"capsule_id": capsule.release_capsule_id}), 200
    )
    for shown in (started, expect_status(await deployment.user.get(f"computations/{started['id']}"), 200)):
        assert shown["owner"] == "release"
        assert "owner_email" not in shown


BAD_MOUNTS = ["/data/foo", "..", "a/../b", "a//b", "a/", "./a", "a\nb", "m" * 256]


@pytest.mark.fault("N7")
@pytest.mark.parametrize("mount", BAD_MOUNTS)
async def test_mount_outside_the_data_folder_is_rejected(deployment, mount):
    asset = deployment.env["CODEOCEAN_DATA_ASSET_ID"]
    capsule = deployment.env["CODEOCEAN_CAPSULE_ID"]
    body = {"name": "n", "tags": [], "mount": mount, "data_asset_ids": [asset]}
    assert "mount" in expect_error(await deployment.user.post("data_assets", json=body), 400)
    assert "mount" in expect_error(
        await deployment.admin.put(f"data_assets/{asset}", json={"mount": mount}), 400
    )
    attachments = [{"id": asset, "mount": mount}]
    run = {"capsule_id": capsule, "data_assets": attachments}
    assert "mount" in expect_error(await deployment.user.post("computations", json=run), 400)
    attach = await deployment.admin.post(f"capsules/{capsule}/data_assets", json=attachments)
    assert "mount" in expect_error(attach, 400)


@pytest.mark.parametrize("mount", ["foo", "a/b", "...", "with blanks", "m" * 255])
async def test_mount_in_the_data_folder_is_accepted(deployment, mount):
    assert (await deployment.create_data_asset(mount=mount))["mount"] == mount


@pytest.mark.fault("N7")
async def test_name_of_5000_characters_is_rejected(deployment):
    asset = deployment.env["CODEOCEAN_DATA_ASSET_ID"]
    body = {"name": "n" * 5000, "tags": [], "mount": "m", "data_asset_ids": [asset]}
    assert "name" in expect_error(await deployment.user.post("data_assets", json=body), 400)
    assert "name" in expect_error(
        await deployment.admin.put(f"data_assets/{asset}", json={"name": "n" * 5000}), 400
    )
    run = f"computations/{deployment.env['CODEOCEAN_COMPUTATION_ID']}"
    assert "name" in expect_error(await deployment.user.patch(run, params={"name": "n" * 5000}), 400)


@pytest.mark.fault("D10")
@pytest.mark.parametrize("kind", ["capsule", "pipeline"])
async def test_search_by_data_asset_id_finds_capsules_that_use_it(deployment, kind):
    asset, path = deployment.env["CODEOCEAN_DATA_ASSET_ID"], f"{kind}s"
    user = deployment.env[f"CODEOCEAN_{kind.upper()}_ID"]

    async def found() -> list[str]:
        page = expect_status(await deployment.user.post(f"{path}/search", json={"query": asset}), 200)
        return [one["id"] for one in page["results"]]

    assert await found() == []
    expect_status(await deployment.admin.post(f"{path}/{user}/data_assets", json=[{"id": asset}]), 200)
    assert await found() == [user]
    expect_status(await deployment.admin.request("DELETE", f"{path}/{user}/data_assets/", json=[asset]), 204)
    assert await found() == []


async def test_pages_show_ids_headings_and_distinct_names(deployment):
    page = (await deployment.web.get("")).text
    for variable, value in deployment.env.items():
        if variable.endswith("_ID"):
            assert f"<code>{value}</code>" in page
    for heading in ("name", "id", "kind", "status", "run time"):
        assert f"<th>{heading}</th>" in page
    names = [(one.kind, one.name) for one in deployment.store.capsules.all()]
    assert len(names) == len(set(names))
