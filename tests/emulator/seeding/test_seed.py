"""What a new deployment holds, and what a restart brings back."""

from __future__ import annotations

import json
import stat
import subprocess
import sys

import pytest

from airflow_provider_codeocean.emulator.domain.config import ConfigError, EmulatorConfig
from airflow_provider_codeocean.emulator.seeding.env_file import (
    env_variables,
    get_well_known_ids,
    write_env_file,
)
from airflow_provider_codeocean.emulator.server.app import create_app
from scripts.emulator_process import read_env_file
from tests.emulator.in_process import INSTANT, expect_status

VARIABLES = {
    "CODEOCEAN_URL",
    "CODEOCEAN_TOKEN",
    "CODEOCEAN_USER_TOKEN",
    "CODEOCEAN_USER_EMAIL",
    "CODEOCEAN_GROUP",
    "CODEOCEAN_CAPSULE_ID",
    "CODEOCEAN_PIPELINE_ID",
    "CODEOCEAN_COMPUTATION_ID",
    "CODEOCEAN_SLOW_CAPSULE_ID",
    "CODEOCEAN_FAILING_CAPSULE_ID",
    "CODEOCEAN_UNSTARTABLE_CAPSULE_ID",
    "CODEOCEAN_FAILING_PIPELINE_ID",
    "CODEOCEAN_DATA_DESCRIPTION_CAPSULE_ID",
    "CODEOCEAN_WORKSTATION_ID",
    "CODEOCEAN_DATA_ASSET_ID",
    "CODEOCEAN_RELEASED_DATA_ASSET_ID",
    "CODEOCEAN_PUBLIC_BUCKET",
    "CODEOCEAN_PRIVATE_BUCKET",
    "CODEOCEAN_GCP_BUCKET",
    "CODEOCEAN_RESULTS_BUCKET",
    "CODEOCEAN_ARCHIVE_BUCKET",
}


def test_environment_variables_are_complete(deployment):
    assert set(deployment.env) == VARIABLES
    assert all(deployment.env.values())


@pytest.mark.parametrize(
    "capsule", ["CODEOCEAN_CAPSULE_ID", "CODEOCEAN_DATA_DESCRIPTION_CAPSULE_ID", "CODEOCEAN_PIPELINE_ID"]
)
async def test_seeded_capsules_can_be_run_by_both_users(deployment, capsule):
    kind = "pipeline_id" if "PIPELINE" in capsule else "capsule_id"
    for client in (deployment.user, deployment.admin):
        run = expect_status(await client.post("computations", json={kind: deployment.env[capsule]}), 200)
        items = expect_status(await client.post(f"computations/{run['id']}/results"), 200)["items"]
        assert {item["type"] for item in items} == {"file", "folder"}
        source = {"computation": {"id": deployment.env["CODEOCEAN_COMPUTATION_ID"]}}
        assert (
            await deployment.read_data_asset(
                (await deployment.create_data_asset(client, source=source))["id"]
            )
        )["state"] == "ready"


@pytest.mark.parametrize("bucket", ["PUBLIC", "PRIVATE"])
async def test_seeded_buckets_contain_example_files(deployment, bucket):
    source = {"aws": {"bucket": deployment.env[f"CODEOCEAN_{bucket}_BUCKET"], "prefix": "example_datasets"}}
    assert (await deployment.read_data_asset((await deployment.create_data_asset(source=source))["id"]))[
        "files"
    ] == 5


async def test_configured_bucket_is_readable_and_writable(deploy):
    deployment = deploy(buckets=[{"name": "own", "objects": {"a/b": "c"}, "writable": True}])
    asset = await deployment.create_data_asset(source={"aws": {"bucket": "own"}})
    assert (await deployment.read_data_asset(asset["id"]))["size"] == 1
    await deployment.capture_results(target={"aws": {"bucket": "own", "prefix": "results"}})
    asset = await deployment.create_data_asset(source={"aws": {"bucket": "own", "prefix": "results"}})
    assert (await deployment.read_data_asset(asset["id"]))["files"] == 4


def test_restart_keeps_ids_tokens_and_capsules(tmp_path):
    config = EmulatorConfig(
        transitions=INSTANT,
        users=[{"email": "user@emulator.test", "tokens": [{}, {"scopes": []}]}],
        capsules=[{"name": "Own"}],
    )
    seen = []
    for _ in range(3):
        emulator = create_app(config, state=tmp_path / "state").state.emulator
        tokens = [list(user.tokens) for user in emulator.store.users.all()]
        capsules = sorted(capsule.name for capsule in emulator.store.capsules.all())
        secret = emulator.url_signer.compute_signature("a", "b", "c", 1)
        seen.append(
            (env_variables(emulator, "u"), tokens, capsules, secret, len(emulator.store.computations))
        )
        emulator.store.close()
    assert seen[0] == seen[1] == seen[2]
    assert seen[0][2].count("Own") == 1


def test_restart_does_not_overwrite_bucket_contents(tmp_path):
    emulator = create_app(state=tmp_path / "state").state.emulator
    emulator.store.files.delete_location("bucket-codeocean-public-data")
    emulator.store.close()
    emulator = create_app(state=tmp_path / "state").state.emulator
    assert emulator.store.files.list_files("bucket-codeocean-public-data", "") == []
    emulator.store.close()


def test_capsule_with_unknown_owner_is_rejected():
    with pytest.raises(ConfigError, match="nobody@emulator"):
        create_app(EmulatorConfig(capsules=[{"name": "Own", "owner": "nobody@emulator.test"}]))


def test_well_known_ids_before_seeding_are_empty():
    from airflow_provider_codeocean.emulator.state.deployment import Emulator

    assert get_well_known_ids(Emulator()) == {}


@pytest.mark.fault("N8")
def test_env_file_when_sourced_exports_its_variables(tmp_path):
    path = tmp_path / "env"
    values = {"PLAIN": "abc", "ODD": 'it\'s a $HOME `x` "y" #z', "URL": "http://127.0.0.1:1"}
    path.write_text("old")
    write_env_file(path, values)
    assert [entry.name for entry in tmp_path.iterdir()] == ["env"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    names = " ".join(values)
    child = f'. ./env && {sys.executable} -c "import os, json; print(json.dumps(dict(os.environ)))"'
    seen = json.loads(
        subprocess.run(["sh", "-c", child], cwd=tmp_path, check=True, capture_output=True).stdout
    )
    assert {name: seen[name] for name in names.split()} == values
    assert read_env_file(path) == values
