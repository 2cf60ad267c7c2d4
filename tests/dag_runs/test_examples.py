"""The example DAGs that need no processes of their own, run to success against the emulator."""

from __future__ import annotations

from datetime import timedelta
from importlib.metadata import version
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from airflow_provider_codeocean.api.models.data_asset_params import DataAssetParams, DataAssetSearchParams
from airflow_provider_codeocean.emulator.seeding.bulk import ComputationSeed, seed_computations
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from tests.dag_runs.conftest import DagRunResult
from tests.e2e.test_events import EXAMPLES as STARTED_BY_EVENTS
from tests.e2e.test_examples import RUN_HERE as RUN_IN_A_REAL_AIRFLOW

EXAMPLES = Path(__file__).parent.parent.parent / "dags_examples"
RUN_HERE = {
    "capture_after_run",
    "capture_on_completion",
    "combine_for_training",
    "delete_if_unused",
    "download_results",
    "fan_out",
    "ingest_from_s3",
    "nightly_retention",
    "resume_pipeline",
    "search_and_map",
    "share_with_group",
    "wait_without_worker",
}


def test_examples_are_all_run_by_a_test():
    assert {
        path.stem for path in EXAMPLES.glob("*.py")
    } == RUN_HERE | RUN_IN_A_REAL_AIRFLOW | STARTED_BY_EVENTS


@pytest.fixture
def client(code_ocean):
    with CodeOceanHook().get_conn() as client:
        yield client


@pytest.fixture
def assets(code_ocean, client):
    """Two data assets with the tag ``batch7``."""
    source = {"computation": {"id": code_ocean.env["CODEOCEAN_COMPUTATION_ID"]}}
    params = DataAssetParams.model_validate({"name": "n", "mount": "n", "tags": ["batch7"], "source": source})
    asset_ids = [client.data_assets.create(params).id for _ in range(2)]
    return [CodeOceanHook().wait_for_data_asset(asset_id, poll_interval=0.01) for asset_id in asset_ids]


@pytest.fixture
def load():
    """Import an example and return an attribute: by default, the function that creates the DAG."""

    def load(name, attribute=None):
        spec = spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
        return getattr(module, attribute or name)

    return load


@pytest.fixture
def run(airflow_database, code_ocean, load):
    """Run an example, which must succeed."""

    def run(name, *, attribute=None, **conf):
        dag = load(name, attribute) if attribute else load(name)()
        finished = DagRunResult(dag.test(run_conf=conf))
        assert finished.dag_run.state == "success"
        return finished

    return run


def test_share_with_group_example_sets_permissions(run, code_ocean, client):
    conf = {
        "computation_id": code_ocean.env["CODEOCEAN_COMPUTATION_ID"],
        "group": code_ocean.env["CODEOCEAN_GROUP"],
    }
    asset = run("share_with_group", **conf).xcom("capture")
    (group,) = client.data_assets.get_permissions(asset["id"]).groups
    assert (group.group, group.role) == (conf["group"], "viewer")


@pytest.mark.fault("D10")
def test_delete_if_unused_example_deletes_unused_data_assets(run, assets, client):
    used, unused = assets
    params = {"name": "both", "mount": "both", "tags": [], "data_asset_ids": [used.id]}
    client.data_assets.create(DataAssetParams.model_validate(params))
    assert run("delete_if_unused", data_asset_id=unused.id).xcom("delete") is True
    assert run("delete_if_unused", data_asset_id=used.id).states == {
        "uses": "success",
        "check": "skipped",
        "delete": "skipped",
    }
    assert client.data_assets.get(used.id).id == used.id


def test_ingest_from_s3_example_creates_data_asset(run, code_ocean, client):
    asset = run("ingest_from_s3", bucket=code_ocean.env["CODEOCEAN_PUBLIC_BUCKET"]).xcom("ingest")
    assert (asset["state"], asset["source_bucket"]["external"]) == ("ready", True)
    assert asset["custom_metadata"] == {"data level": "raw"}


def test_combine_for_training_example_creates_combined_data_asset(run, assets):
    combined = run("combine_for_training", tag="batch7").xcom("combine")
    assert {asset["id"] for asset in combined["contained_data_assets"]} == {asset.id for asset in assets}
    assert run("combine_for_training", tag="no such batch").states == {
        "find": "skipped",
        "combine": "skipped",
    }


def test_search_and_map_example_processes_each_result(run, client, assets):
    finished = run("search_and_map", query="tag:batch7", tag="seen")
    assert finished.states == {"find": "success", "label[0]": "success", "label[1]": "success"}
    assert all("seen" in client.data_assets.get(asset.id).tags for asset in assets)


def test_download_results_example_writes_files(run, code_ocean, tmp_path):
    conf = {"computation_id": code_ocean.env["CODEOCEAN_COMPUTATION_ID"], "target": str(tmp_path)}
    result = run("download_results", **conf).xcom("download")
    assert (result["files"], result["downloaded"]) == (2, 2)
    assert (tmp_path / "tables" / "units.csv").stat().st_size > 0


def test_capture_after_run_example_captures_results(run, code_ocean, client):
    conf = {
        "pipeline_id": code_ocean.env["CODEOCEAN_PIPELINE_ID"],
        "bucket": code_ocean.env["CODEOCEAN_RESULTS_BUCKET"],
        "group": code_ocean.env["CODEOCEAN_GROUP"],
    }
    asset = run("capture_after_run", **conf).xcom("process.capture")
    assert (asset["source_bucket"]["bucket"], asset["source_bucket"]["external"]) == (conf["bucket"], True)
    (group,) = client.data_assets.get_permissions(asset["id"]).groups
    assert (group.group, group.role) == (conf["group"], "viewer")


def test_resume_pipeline_example_resumes_failed_run(airflow_database, code_ocean, load):
    dag = load("resume_pipeline")()
    dag.get_task("process").retry_delay = timedelta()
    conf = {"pipeline_id": code_ocean.env["CODEOCEAN_FAILING_PIPELINE_ID"]}
    finished = DagRunResult(dag.test(run_conf=conf))
    assert finished.states == {"process": "success"}
    assert code_ocean.emulator.traffic.runs == {"fresh": 1, "resumed": 1}


def test_fan_out_example_runs_each_data_asset(run, code_ocean, assets):
    conf = {"capsule_id": code_ocean.env["CODEOCEAN_CAPSULE_ID"], "query": "tag:batch7"}
    finished = run("fan_out", **conf)
    read = set()
    for index in range(len(assets)):
        computation = finished.xcom("sort.run_and_capture.run", map_index=index)
        captured = finished.xcom("sort.run_and_capture.capture", map_index=index)
        assert captured["provenance"]["computation"] == computation["id"]
        read |= {asset["id"] for asset in computation["data_assets"]}
    assert {asset.id for asset in assets} <= read


def test_wait_without_worker_example_succeeds(run, assets):
    finished = run("wait_without_worker", data_asset_ids=[asset.id for asset in assets])
    ready_ids = [finished.xcom("ready", map_index=index)["id"] for index in (0, 1)]
    assert ready_ids == [asset.id for asset in assets]


@pytest.mark.skipif(version("apache-airflow").startswith("2."), reason="Airflow 2 has no asset watchers")
def test_capture_on_completion_example_captures_results(monkeypatch, run, code_ocean, client):
    monkeypatch.setenv("CODEOCEAN_WATCHED_CAPSULE_ID", code_ocean.env["CODEOCEAN_CAPSULE_ID"])
    monkeypatch.setenv("CODEOCEAN_GROUP", code_ocean.env["CODEOCEAN_GROUP"])
    [computation] = seed_computations(code_ocean.emulator, ComputationSeed(name="sort"))
    finished = run("capture_on_completion", attribute="dag")
    claimed_ids = [item["computation_id"] for item in finished.xcom("claim")]
    asset = finished.xcom("computation.capture", map_index=claimed_ids.index(computation.id))
    assert (asset["name"], asset["tags"][0]) == (f"sort 0 ({computation.id[:8]})", "on completion")
    (group,) = client.data_assets.get_permissions(asset["id"]).groups
    assert (group.group, group.role) == (code_ocean.env["CODEOCEAN_GROUP"], "viewer")


@pytest.mark.parametrize("confirm_deletion", [False, True])
def test_nightly_retention_example_deletes_after_confirmation(run, client, assets, confirm_deletion):
    client.data_assets.archive(assets[0].id)
    run("nightly_retention", days=0, confirm_deletion=confirm_deletion)
    left = [
        asset.id
        for archived in (False, True)
        for asset in client.data_assets.search_all(
            DataAssetSearchParams(query="tag:batch7", archived=archived)
        )
    ]
    assert set(left) == {asset.id for asset in (assets[1:] if confirm_deletion else assets)}


def test_nightly_retention_example_with_backlog_deletes_oldest_first(load, caplog):
    unused = load("nightly_retention")().get_task("unused").python_callable
    backlog = [{"id": str(age), "name": "n", "created": 2000 - age, "last_used": 0} for age in range(1100)]
    params = {"days": 0, "confirm_deletion": True}
    with caplog.at_level("INFO"):
        chosen = unused(backlog, params)
    assert chosen == [str(age) for age in range(1099, 599, -1)]
    assert caplog.text.count("Deleting ") == 500
    assert "600 more are left for the next nights" in caplog.text
    rest = [asset for asset in backlog if asset["id"] not in chosen]
    assert len(unused(rest, params)) == 500
    assert unused(backlog, {**params, "confirm_deletion": False}) == []
