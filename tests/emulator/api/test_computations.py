from __future__ import annotations

import json

import pytest

from airflow_provider_codeocean.emulator import Policy, Transitions
from airflow_provider_codeocean.emulator.domain.run_results import DERIVED_ASSET_NAME
from tests.emulator.in_process import START_TIME, expect_error, expect_status


async def run(deployment, capsule: str = "CODEOCEAN_CAPSULE_ID", **params):
    kind = "pipeline_id" if capsule == "CODEOCEAN_PIPELINE_ID" else "capsule_id"
    return expect_status(
        await deployment.user.post("computations", json={kind: deployment.env[capsule], **params}), 200
    )


async def read(deployment, computation_id: str):
    return expect_status(await deployment.user.get(f"computations/{computation_id}"), 200)


async def test_run_passes_through_its_states(deploy):
    deployment = deploy(transitions=Transitions.all(Policy(seconds=10)))
    started = await run(deployment)
    assert started == {
        "id": started["id"],
        "created": int(START_TIME),
        "name": "Run 0000000",
        "owner": started["owner"],
        "owner_email": "user@emulator.test",
        "run_time": 0,
        "state": "initializing",
        "has_results": False,
    }
    seen = []
    for pause in (0, 5, 4.5, 0.5, 100):
        deployment.clock.advance(pause)
        shown = await read(deployment, started["id"])
        seen.append((shown["state"], shown["run_time"], shown["has_results"]))
    assert seen == [
        ("initializing", 0, False),
        ("running", 5, False),
        ("finalizing", 9, False),
        ("completed", 10, True),
        ("completed", 10, True),
    ]
    assert shown["end_status"] == "succeeded"
    assert shown["exit_code"] == 0


async def test_run_with_read_policy_completes_after_reads(deploy):
    deployment = deploy(transitions=Transitions.all(Policy(reads=3)))
    started = await run(deployment)
    path = f"capsules/{deployment.env['CODEOCEAN_CAPSULE_ID']}/computations"
    for _ in range(5):
        listed = expect_status(await deployment.user.get(path), 200)
        assert listed[0]["state"] == "initializing"
    states = [(await read(deployment, started["id"]))["state"] for _ in range(4)]
    assert states == ["initializing", "running", "running", "completed"]


async def test_run_of_failing_capsule_has_state_completed(deployment):
    ended = await read(deployment, (await run(deployment, "CODEOCEAN_FAILING_CAPSULE_ID"))["id"])
    assert (ended["state"], ended["end_status"], ended["exit_code"], ended["has_results"]) == (
        "completed",
        "failed",
        1,
        True,
    )
    items = expect_status(await deployment.user.post(f"computations/{ended['id']}/results"), 200)["items"]
    assert [item["name"] for item in items] == ["output"]


async def test_run_of_crashing_capsule_has_state_failed(deploy):
    deployment = deploy(capsules=[{"name": "Crash", "runs": {"crash": True, "results": "none"}}])
    deployment.env["CRASH"] = next(c.id for c in deployment.store.capsules.all() if c.name == "Crash")
    ended = await read(deployment, (await run(deployment, "CRASH"))["id"])
    assert ended["state"] == "failed"
    assert not ended["has_results"]
    assert "end_status" not in ended
    assert "exit_code" not in ended
    assert expect_status(await deployment.user.post(f"computations/{ended['id']}/results"), 200) == {
        "items": []
    }


async def test_run_of_slow_capsule_completes_after_30_seconds(deployment):
    slow = (await run(deployment, "CODEOCEAN_SLOW_CAPSULE_ID"))["id"]
    deployment.clock.advance(20)
    assert (await read(deployment, slow))["state"] == "running"
    deployment.clock.advance(10)
    assert (await read(deployment, slow))["state"] == "completed"


async def test_run_shows_its_data_assets_and_parameters(deployment):
    asset = deployment.env["CODEOCEAN_DATA_ASSET_ID"]
    started = await run(
        deployment,
        data_assets=[{"id": asset, "mount": "here"}],
        parameters=["7", "B", "extra"],
        named_parameters=[{"param_name": "probe", "value": "A"}, {"param_name": "own", "value": "1"}],
        nextflow_profile="fast",
        version=1,
        resume_run_id=deployment.env["CODEOCEAN_COMPUTATION_ID"],
        processes=None,
    )
    assert started["name"].startswith("Run With Parameters ")
    assert started["data_assets"] == [{"id": asset, "mount": "here"}]
    assert started["nextflow_profile"] == "fast"
    assert started["parameters"] == [
        {"name": "Threshold", "param_name": "threshold", "value": "7"},
        {"name": "Probe", "param_name": "probe", "value": "B"},
        {"name": "", "param_name": "", "value": "extra"},
        {"name": "Probe", "param_name": "probe", "value": "A"},
        {"name": "", "param_name": "own", "value": "1"},
    ]
    assert (await deployment.read_data_asset(asset))["last_used"] == int(START_TIME)
    default_mount = await run(deployment, data_assets=[{"id": asset, "mount": None}])
    assert default_mount["data_assets"][0]["mount"] == (await deployment.read_data_asset(asset))["mount"]


async def test_run_uses_attached_assets_unless_mounts_are_replaced(deployment):
    reference, own = (
        deployment.env["CODEOCEAN_RELEASED_DATA_ASSET_ID"],
        deployment.env["CODEOCEAN_DATA_ASSET_ID"],
    )
    attached = {"id": reference, "mount": "reference_atlas"}
    assert (await run(deployment, "CODEOCEAN_PIPELINE_ID"))["data_assets"] == [attached]
    beside = await run(deployment, "CODEOCEAN_PIPELINE_ID", data_assets=[{"id": own, "mount": "own"}])
    assert beside["data_assets"] == [attached, {"id": own, "mount": "own"}]
    instead = await run(
        deployment, "CODEOCEAN_PIPELINE_ID", data_assets=[{"id": own, "mount": "reference_atlas"}]
    )
    assert instead["data_assets"] == [{"id": own, "mount": "reference_atlas"}]


async def test_run_of_a_pipeline_shows_its_processes(deployment):
    processes = [{"name": "sort", "named_parameters": [{"param_name": "threshold", "value": "4"}]}]
    started = await run(deployment, "CODEOCEAN_PIPELINE_ID", processes=processes)
    assert started["processes"] == [
        {
            "name": "sort",
            "capsule_id": deployment.env["CODEOCEAN_CAPSULE_ID"],
            "public": False,
            "parameters": [{"name": "", "param_name": "threshold", "value": "4"}],
        }
    ]
    plain = await run(deployment, "CODEOCEAN_PIPELINE_ID")
    assert "parameters" not in plain["processes"][0]
    assert (await read(deployment, plain["id"]))["has_results"]


@pytest.mark.parametrize(
    ("params", "status", "named"),
    [
        ({}, 400, "capsule_id or pipeline_id"),
        ({"capsule_id": "a", "pipeline_id": "b"}, 400, "capsule_id or pipeline_id"),
        ({"capsule_id": "nothing"}, 404, "nothing"),
        ({"pipeline_id": "$CODEOCEAN_CAPSULE_ID"}, 404, "pipeline"),
        ({"capsule_id": "$CODEOCEAN_CAPSULE_ID", "version": 9}, 400, "version"),
        ({"capsule_id": "$CODEOCEAN_CAPSULE_ID", "resume_run_id": "nothing"}, 404, "computation"),
        ({"capsule_id": "$CODEOCEAN_CAPSULE_ID", "data_assets": [{"id": "nothing"}]}, 404, "data asset"),
        ({"capsule_id": "$CODEOCEAN_CAPSULE_ID", "processes": [{"name": "sort"}]}, 400, "sort"),
        ({"capsule_id": "$CODEOCEAN_CAPSULE_ID", "parameters": [1]}, 400, "parameters.0"),
    ],
)
async def test_run_with_invalid_parameters_is_rejected(deployment, params, status, named):
    body = {k: deployment.env[v[1:]] if str(v).startswith("$") else v for k, v in params.items()}
    assert named in expect_error(await deployment.user.post("computations", json=body), status)


async def test_run_with_draft_input_is_rejected(deploy):
    deployment = deploy(transitions=Transitions.all(Policy(seconds=5)))
    asset = await deployment.create_data_asset()
    body = {"capsule_id": deployment.env["CODEOCEAN_CAPSULE_ID"], "data_assets": [{"id": asset["id"]}]}
    assert "not ready" in expect_error(await deployment.user.post("computations", json=body), 400)


async def test_results_are_listed_with_and_without_a_body(deployment):
    path = f"computations/{deployment.env['CODEOCEAN_COMPUTATION_ID']}/results"
    root = expect_status(await deployment.user.post(path), 200)
    assert [(item["name"], item["type"]) for item in root["items"]] == [
        ("figures", "folder"),
        ("tables", "folder"),
        ("output", "file"),
        ("summary.json", "file"),
    ]
    for body in ({}, {"path": None}, {"path": ""}, {"path": "/"}):
        assert expect_status(await deployment.user.post(path, json=body), 200) == root
    bare = await deployment.user.post(path, headers={"Content-Type": "application/json"})
    assert expect_status(bare, 200) == root
    tables = expect_status(await deployment.user.post(path, json={"path": "tables"}), 200)["items"]
    assert [item["path"] for item in tables] == ["tables/units.csv"]
    assert "none" in expect_error(await deployment.user.post(path, json={"path": "none"}), 404)
    expect_error(await deployment.user.post(path, json={"path": "output"}), 404)


async def test_results_of_unfinished_run_are_rejected(deploy):
    deployment = deploy(transitions=Transitions.all(Policy(seconds=5)))
    started = await run(deployment)
    assert "no results yet" in expect_error(
        await deployment.user.post(f"computations/{started['id']}/results"), 400
    )


async def test_results_include_a_data_description(deployment):
    started = await run(deployment, "CODEOCEAN_DATA_DESCRIPTION_CAPSULE_ID")
    path = f"computations/{started['id']}/results/urls"
    url = expect_status(await deployment.user.get(path, params={"path": "data_description.json"}), 200)[
        "download_url"
    ]
    description = json.loads((await deployment.web.get(url)).content)
    assert description["data_level"] == "derived"
    assert description["name"] == DERIVED_ASSET_NAME


async def test_rename_changes_the_name(deployment):
    computation = deployment.env["CODEOCEAN_COMPUTATION_ID"]
    response = await deployment.user.patch(f"computations/{computation}", params={"name": "better"})
    assert (response.status_code, response.content) == (204, b"")
    assert (await read(deployment, computation))["name"] == "better"
    assert "name" in expect_error(await deployment.user.patch(f"computations/{computation}"), 400)


async def test_delete_of_running_computation_succeeds(deployment):
    started = await run(deployment, "CODEOCEAN_SLOW_CAPSULE_ID")
    response = await deployment.user.delete(f"computations/{started['id']}")
    assert (response.status_code, response.content) == (204, b"")
    expect_error(await deployment.user.get(f"computations/{started['id']}"), 404)
    path = f"capsules/{deployment.env['CODEOCEAN_SLOW_CAPSULE_ID']}/computations"
    assert expect_status(await deployment.user.get(path), 200) == []


async def test_workstation_attach_and_detach_change_its_data_assets(deployment):
    workstation = deployment.env["CODEOCEAN_WORKSTATION_ID"]
    shown = await read(deployment, workstation)
    assert (shown["state"], shown["cloud_workstation"]) == ("running", True)
    asset = await deployment.create_data_asset()
    path = f"computations/{workstation}/data_assets"
    attached = expect_status(await deployment.user.post(path, json=[{"id": asset["id"], "mount": None}]), 200)
    assert attached == [
        {
            "id": asset["id"],
            "mount": "made",
            "mount_state": "mounted",
            "job_id": attached[0]["job_id"],
            "external": False,
            "ready": True,
        }
    ]
    assert (await read(deployment, workstation))["data_assets"] == [{"id": asset["id"], "mount": "made"}]
    for slash in ("/", ""):
        response = await deployment.user.request("DELETE", path + slash, json=[asset["id"]])
        assert (response.status_code, response.content) == (204, b"") or slash == ""
    assert "not attached" in expect_error(response, 400)
    assert "data_assets" not in await read(deployment, workstation)


async def test_attach_to_ordinary_computation_is_rejected(deployment):
    path = f"computations/{deployment.env['CODEOCEAN_COMPUTATION_ID']}/data_assets"
    assert "workstation" in expect_error(await deployment.user.post(path, json=[]), 400)
    assert "workstation" in expect_error(await deployment.user.request("DELETE", f"{path}/", json=[]), 400)
