"""Creating data assets, from every source."""

from __future__ import annotations

import pytest

from airflow_provider_codeocean.emulator import Policy, Transitions
from tests.emulator.in_process import expect_error, expect_status


async def test_capture_copies_files_and_provenance(deployment):
    env = deployment.env
    draft = await deployment.capture_results(
        name="captured", description="All results.", custom_metadata={"score": 5}
    )
    assert draft["state"] == "draft"
    assert "files" not in draft
    assert "size" not in draft
    asset = await deployment.read_data_asset(draft["id"])
    listing = expect_status(await deployment.user.post(f"data_assets/{draft['id']}/files"), 200)["items"]
    assert [item["name"] for item in listing] == ["figures", "tables", "output", "summary.json"]
    capsule = deployment.store.capsules.get(env["CODEOCEAN_CAPSULE_ID"])
    assert asset == {
        **draft,
        "state": "ready",
        "type": "result",
        "files": 4,
        "size": sum(file.size for file in deployment.store.files.list_files(f"asset-{draft['id']}", "")),
        "provenance": {
            "commit": capsule.commit,
            "run_script": "code/run",
            "docker_image": capsule.docker_image,
            "computation": env["CODEOCEAN_COMPUTATION_ID"],
            "data_assets": [env["CODEOCEAN_DATA_ASSET_ID"]],
        },
        "app_parameters": [{"name": "Threshold", "value": "5"}],
        "custom_metadata": {"score": 5},
    }


async def test_capture_of_a_path_copies_only_its_files(deployment):
    folder = await deployment.capture_results(path="/tables/")
    single = await deployment.capture_results(path="summary.json")
    for asset, name in ((folder, "units.csv"), (single, "summary.json")):
        assert (await deployment.read_data_asset(asset["id"]))["files"] == 1
        items = expect_status(
            await deployment.user.post(f"data_assets/{asset['id']}/files", json={"path": ""}), 200
        )["items"]
        assert [(item["name"], item["path"], item["type"]) for item in items] == [(name, name, "file")]


async def test_capture_survives_deletion_of_computation_and_capsule(deployment):
    env = deployment.env
    asset = await deployment.capture_results()
    before = await deployment.read_data_asset(asset["id"])
    expect_status(await deployment.user.delete(f"computations/{env['CODEOCEAN_COMPUTATION_ID']}"), 204)
    deployment.store.capsules.delete(env["CODEOCEAN_CAPSULE_ID"])
    assert await deployment.read_data_asset(asset["id"]) == before
    assert expect_status(await deployment.user.post(f"data_assets/{asset['id']}/files"), 200)["items"]


async def test_capture_with_target_stores_the_files_externally(deployment):
    bucket = deployment.env["CODEOCEAN_RESULTS_BUCKET"]
    asset = await deployment.capture_results(
        target={"aws": {"bucket": bucket, "prefix": "/runs/1/", "endpoint_name": None}}
    )
    stored = await deployment.read_data_asset(asset["id"])
    assert stored["source_bucket"] == {
        "origin": "aws",
        "bucket": bucket,
        "prefix": "runs/1",
        "external": True,
    }
    assert (stored["type"], stored["state"], stored["files"]) == ("result", "ready", 4)
    assert "provenance" in stored
    assert "internal" in expect_error(await deployment.user.post(f"data_assets/{asset['id']}/files"), 400)
    # What has been stored there can be imported from there.
    imported = await deployment.create_data_asset(
        source={"aws": {"bucket": bucket, "prefix": "runs/1/tables"}}
    )
    assert (await deployment.read_data_asset(imported["id"]))["files"] == 1


async def test_capture_with_target_without_prefix_gets_its_own_prefix(deployment):
    target = {"aws": {"bucket": deployment.env["CODEOCEAN_RESULTS_BUCKET"]}}
    prefixes = {
        (await deployment.capture_results(target=target))["source_bucket"]["prefix"] for _ in range(2)
    }
    assert len(prefixes) == 2


@pytest.mark.parametrize(
    ("bucket", "reason"),
    [
        ("no-such-bucket", "does not exist"),
        ("codeocean-public-data", "denied"),
        ("codeocean-gcp-data", "not exist"),
    ],
)
async def test_capture_with_unusable_target_fails_with_a_reason(deployment, bucket, reason):
    asset = await deployment.capture_results(target={"aws": {"bucket": bucket, "prefix": "p"}})
    assert asset["state"] == "draft"
    assert "failure_reason" not in asset
    failed = await deployment.read_data_asset(asset["id"])
    assert failed["state"] == "failed"
    assert reason in failed["failure_reason"]
    assert "files" not in failed


async def test_capture_of_unfinished_or_empty_run_is_rejected(deploy):
    deployment = deploy(
        transitions=Transitions(assets=Policy(), computations=Policy(seconds=10)),
        capsules=[
            {"name": "Silent", "runs": {"results": "none"}},
            {"name": "Crash", "runs": {"crash": True}},
        ],
    )
    capsules = {capsule.name: capsule.id for capsule in deployment.store.capsules.all()}

    async def capture(name: str) -> str:
        run = expect_status(
            await deployment.user.post("computations", json={"capsule_id": capsules[name]}), 200
        )
        body = {"name": "n", "tags": [], "mount": "m", "source": {"computation": {"id": run["id"]}}}
        running = await deployment.user.post("data_assets", json=body)
        deployment.clock.advance(10)
        finished = await deployment.user.post("data_assets", json=body)
        return expect_error(running, 400), finished

    message, finished = await capture("Sorting with metadata")
    assert "initializing" in message
    expect_status(finished, 200)
    message, finished = await capture("Silent")
    assert "no results" in expect_error(finished, 400)
    message, finished = await capture("Crash")
    expect_status(finished, 200)


@pytest.mark.parametrize(
    ("source", "status", "named"),
    [
        ({"computation": {"id": "nothing"}}, 404, "nothing"),
        (
            {"computation": {"id": "$CODEOCEAN_COMPUTATION_ID", "path": "no/such"}},
            400,
            "source.computation.path",
        ),
        ({"computation": {"id": "$CODEOCEAN_WORKSTATION_ID"}}, 400, "cloud_workstation"),
        (
            {"cloud_workstation": {"id": "$CODEOCEAN_COMPUTATION_ID", "path": "results"}},
            400,
            "cloud workstation",
        ),
        (
            {"cloud_workstation": {"id": "$CODEOCEAN_WORKSTATION_ID", "path": "none"}},
            400,
            "cloud_workstation.path",
        ),
        ({"cloud_workstation": {"id": "$CODEOCEAN_WORKSTATION_ID"}}, 400, "source.cloud_workstation.path"),
        ({"aws": {"bucket": None, "use_input_bucket": None}}, 400, "bucket"),
        ({"aws": {"prefix": "x", "use_input_bucket": True}}, 403, "admins"),
        ({}, 400, "source"),
        ({"aws": {"bucket": "b"}, "gcp": {"bucket": "b"}}, 400, "source"),
        (None, 400, "source or data_asset_ids"),
    ],
)
async def test_create_with_invalid_source_is_rejected(deployment, source, status, named):
    for group in (source or {}).values():
        for key, value in group.items():
            group[key] = deployment.env[value[1:]] if str(value).startswith("$") else value
    body = {"name": "n", "tags": [], "mount": "m", "source": source}
    assert named in expect_error(await deployment.user.post("data_assets", json=body), status)


async def test_create_with_null_fields_equals_omitted_fields(deployment):
    computation = {"id": deployment.env["CODEOCEAN_COMPUTATION_ID"], "path": None}
    nulls = dict.fromkeys(["description", "custom_metadata", "data_asset_ids", "results_info"])
    source = {"computation": computation, "aws": None, "gcp": None, "cloud_workstation": None}
    asset = await deployment.create_data_asset(source=source, target={"aws": None}, **nulls)
    assert (await deployment.read_data_asset(asset["id"]))["state"] == "ready"
    asset = await deployment.create_data_asset(source=source, target=None)
    assert asset["type"] == "result"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"name": None}, "name"),
        ({"name": ""}, "name"),
        ({"tags": None}, "tags"),
        ({"tags": "one"}, "tags"),
        ({"mount": None}, "mount"),
        ({"data_asset_ids": ["x"]}, "data_asset_ids"),
        ({"target": {"aws": {"bucket": "lab-results"}}}, "target"),
        ({"target": {"aws": {}}}, "target.aws.bucket"),
        ({"source": {"gcp": {"bucket": "b"}}, "results_info": {"commit": "c"}}, "results_info"),
    ],
)
async def test_create_with_invalid_field_error_names_it(deployment, change, named):
    source = {"aws": {"bucket": "codeocean-public-data", "prefix": "example_datasets"}}
    body = {"name": "n", "tags": [], "mount": "m", "source": source, **change}
    assert named in expect_error(await deployment.user.post("data_assets", json=body), 400)


async def test_import_copies_the_folder_of_a_bucket(deployment):
    asset = await deployment.create_data_asset()
    stored = await deployment.read_data_asset(asset["id"])
    assert stored["type"] == "dataset"
    assert stored["source_bucket"] == {
        "origin": "aws",
        "bucket": deployment.env["CODEOCEAN_PUBLIC_BUCKET"],
        "prefix": "example_datasets",
    }
    items = expect_status(
        await deployment.user.post(f"data_assets/{asset['id']}/files", json={"path": "probe_A"}), 200
    )
    assert [item["path"] for item in items["items"]] == ["probe_A/channels.csv", "probe_A/events.csv"]


async def test_import_with_keep_on_external_storage_copies_no_files(deployment):
    source = {
        "aws": {
            "bucket": "codeocean-private-data",
            "prefix": "example_datasets",
            "keep_on_external_storage": "True",
        }
    }
    stored = await deployment.read_data_asset((await deployment.create_data_asset(source=source))["id"])
    assert stored["source_bucket"]["external"] is True
    assert stored["files"] == 5
    assert deployment.store.files.list_files(f"asset-{stored['id']}", "") == []
    expect_error(
        await deployment.user.get(f"data_assets/{stored['id']}/files/urls", params={"path": "README.md"}), 400
    )


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ({"aws": {"bucket": "no-such-bucket", "prefix": "x"}}, "does not exist"),
        ({"aws": {"bucket": "codeocean-gcp-data", "prefix": "example_datasets"}}, "does not exist"),
        ({"aws": {"bucket": "codeocean-public-data", "prefix": "example"}}, "no objects"),
        (
            {"aws": {"bucket": "codeocean-private-data", "prefix": "example_datasets", "public": True}},
            "not public",
        ),
        ({"gcp": {"bucket": "codeocean-public-data", "prefix": "example_datasets"}}, "does not exist"),
    ],
)
async def test_import_of_unreadable_source_fails_with_a_reason(deployment, source, reason):
    failed = await deployment.read_data_asset((await deployment.create_data_asset(source=source))["id"])
    assert failed["state"] == "failed"
    assert reason in failed["failure_reason"]


async def test_import_from_gcp_does_not_store_its_secrets(deploy, tmp_path):
    from airflow_provider_codeocean.emulator.server.app import create_app

    source = {
        "gcp": {
            "bucket": "codeocean-gcp-data",
            "prefix": "example_datasets",
            "client_id": "c-i",
            "client_secret": "c-s",
        }
    }
    deployment = deploy()
    deployment.app = create_app(deployment.emulator.config, state=tmp_path / "state")
    client = deployment.add_client(
        next(iter(deployment.app.state.emulator.user_directory.find_by_email("user@emulator.test").tokens))
    )
    body = {"name": "n", "tags": [], "mount": "m", "source": source}
    answer = await client.post("data_assets", json=body)
    assert expect_status(answer, 200)["source_bucket"]["origin"] == "gcp"
    deployment.app.state.emulator.store.close()
    everything = answer.text.encode() + b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"c-i" not in everything
    assert b"c-s" not in everything


async def test_import_from_input_bucket_by_admin_succeeds(deployment):
    source = {
        "aws": {"bucket": "ignored", "prefix": "example_datasets", "use_input_bucket": True, "public": True}
    }
    asset = await deployment.create_data_asset(deployment.admin, source=source)
    assert (await deployment.read_data_asset(asset["id"]))["source_bucket"][
        "bucket"
    ] == "codeocean-input-data"


async def test_import_with_results_info_has_provenance(deployment):
    env = deployment.env
    info = {
        "capsule_id": env["CODEOCEAN_CAPSULE_ID"],
        "commit": "abc123",
        "run_script": "code/other",
        "data_assets": ["d1"],
        "parameters": [
            {"name": None, "param_name": "threshold", "value": "3"},
            {"name": "Probe", "value": "A"},
        ],
        "nextflow_profile": "fast",
    }
    source = {"aws": {"bucket": env["CODEOCEAN_PRIVATE_BUCKET"], "prefix": "example_datasets/probe_A"}}
    asset = await deployment.read_data_asset(
        (await deployment.create_data_asset(source=source, results_info=info))["id"]
    )
    assert asset["type"] == "result"
    assert asset["provenance"] == {
        "commit": "abc123",
        "run_script": "code/other",
        "capsule": env["CODEOCEAN_CAPSULE_ID"],
        "data_assets": ["d1"],
    }
    assert asset["app_parameters"] == [{"name": "threshold", "value": "3"}, {"name": "Probe", "value": "A"}]
    assert asset["nextflow_profile"] == "fast"
    unknown = {
        "name": "n",
        "tags": [],
        "mount": "m",
        "source": source,
        "results_info": {"pipeline_id": "none"},
    }
    assert "pipeline" in expect_error(await deployment.user.post("data_assets", json=unknown), 404)


async def test_capture_of_workstation_with_run_script_is_a_result(deployment):
    workstation = {"id": deployment.env["CODEOCEAN_WORKSTATION_ID"], "path": "/results/curated"}
    data = await deployment.create_data_asset(source={"cloud_workstation": workstation})
    assert data["type"] == "dataset"
    assert "provenance" not in data
    result = await deployment.create_data_asset(
        source={"cloud_workstation": {**workstation, "run_script": "code/curate.py"}}
    )
    assert result["type"] == "result"
    assert result["provenance"]["run_script"] == "code/curate.py"
    assert result["provenance"]["capsule"] == deployment.env["CODEOCEAN_CAPSULE_ID"]
    assert (await deployment.read_data_asset(result["id"]))["files"] == 2


async def test_create_combined_asset_requires_ready_parts(deploy):
    deployment = deploy(transitions=Transitions.all(Policy(seconds=5)))
    parts = [await deployment.create_data_asset(name=name, mount=name) for name in ("one", "two")]
    ids = [part["id"] for part in parts]
    body = {"name": "both", "tags": [], "mount": "both", "data_asset_ids": ids}
    assert "not ready" in expect_error(await deployment.user.post("data_assets", json=body), 400)
    deployment.clock.advance(5)
    combined = expect_status(await deployment.user.post("data_assets", json=body), 200)
    deployment.clock.advance(5)
    combined = await deployment.read_data_asset(combined["id"])
    size = (await deployment.read_data_asset(ids[0]))["size"]
    assert combined["type"] == "combined"
    assert combined["contained_data_assets"] == [
        {"id": ids[0], "mount": "one", "size": size},
        {"id": ids[1], "mount": "two", "size": size},
    ]
    assert combined["size"] == 2 * size
    expect_error(await deployment.user.post(f"data_assets/{combined['id']}/files"), 400)
    missing = {**body, "data_asset_ids": ["nothing"]}
    expect_error(await deployment.user.post("data_assets", json=missing), 404)
