"""What a real Airflow tells of data that was read and made: asset events, and OpenLineage's in a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scripts.real_airflow import RealAirflow


@pytest.fixture(scope="module")
def events_file(tmp_path_factory):
    return tmp_path_factory.mktemp("openlineage") / "events.jsonl"


@pytest.fixture(scope="module")
def airflow(emulator, dags_of, tmp_path_factory, events_file, searched):
    """An Airflow that tells OpenLineage."""
    transport = {"type": "file", "log_file_path": str(events_file), "append": True}
    airflow = RealAirflow(
        tmp_path_factory.mktemp("telling"),
        dags_folder=dags_of("lineage"),
        connections={"codeocean_default": emulator.connection},
        config={"openlineage.transport": json.dumps(transport), "openlineage.namespace": "tests"},
        reparse_unchanged_dags=True,
    )
    with searched(airflow, emulator, events_file.parent) as running:
        yield running


@pytest.fixture(scope="module")
def conf(emulator):
    names = {
        "capsule_id": "CAPSULE_ID",
        "data_asset_id": "DATA_ASSET_ID",
        "public_bucket": "PUBLIC_BUCKET",
        "results_bucket": "RESULTS_BUCKET",
        "archive_bucket": "ARCHIVE_BUCKET",
    }
    return {name: emulator.variables[f"CODEOCEAN_{variable}"] for name, variable in names.items()}


@pytest.fixture(scope="module")
def run(airflow, conf):
    """A whole run of the DAG ``lineage``."""
    airflow.wait_for_dag("lineage_reader")
    run = airflow.run("lineage", conf=conf, timeout=200)
    assert set(run.tasks.values()) == {"success"}
    return run


@pytest.fixture(scope="module")
def made(airflow, run):
    """What the tasks have returned."""
    return {task: airflow.xcom("lineage", run.run_id, task) for task in run.tasks}


@pytest.fixture(scope="module")
def told(run, airflow, events_file):
    """What OpenLineage was told of tasks that have ended: by task, what is not Airflow's own."""

    def all_of_them():
        events = [json.loads(line) for line in events_file.read_text().splitlines()]
        ended = [each for each in events if each["eventType"] == "COMPLETE" and "." in each["job"]["name"]]
        by_task = {each["job"]["name"].removeprefix("lineage."): each for each in ended}
        return by_task if run.tasks.keys() <= by_task.keys() else None

    by_task = airflow.wait_until(all_of_them, description="OpenLineage's events", timeout=60)
    return {
        task: {
            "inputs": [plain(each) for each in event["inputs"]],
            "outputs": [plain(each) for each in event["outputs"]],
            "code": plain(event["job"]["facets"].get("sourceCodeLocation")),
            "tags": {
                each["key"]: each["value"]
                for each in event["run"]["facets"].get("tags", {"tags": []})["tags"]
                if each["source"] == "CODE_OCEAN"
            },
        }
        for task, event in by_task.items()
    }


def plain(value):
    """Take away who made a facet, and by which schema."""
    if isinstance(value, dict):
        return {
            key: plain(each)
            for key, each in value.items()
            if key not in {"_producer", "_schemaURL", "_deleted"}
        }
    return [plain(each) for each in value] if isinstance(value, list) else value


def here(emulator):
    return emulator.url.replace("http://", "codeocean://")


def node(emulator, name, **facets):
    return {"namespace": here(emulator), "name": name, "facets": facets}


def read(emulator, name, version=None):
    facets = {} if version is None else {"version": {"datasetVersion": version}}
    return {**node(emulator, name, **facets), "inputFacets": {}}


def written(emulator, asset, change="CREATE", place=None):
    """A data asset that a task returned, as an output."""
    described = "\n\n".join(filter(None, [asset["name"], asset["description"]]))
    facets = {
        "version": {"datasetVersion": str(asset["last_transferred"] or asset["created"])},
        "documentation": {"description": described},
        "ownership": {"owners": [{"name": f"user:{asset['owner']}", "type": "OWNER"}]},
        "lifecycleStateChange": {"lifecycleStateChange": change},
    }
    if place:
        facets["symlinks"] = {"identifiers": [{**place, "type": "LOCATION"}]}
    statistics = {"outputStatistics": {"size": asset["size"], "fileCount": asset["files"]}}
    return {**node(emulator, f"data_assets/{asset['id']}", **facets), "outputFacets": statistics}


def in_bucket(bucket, name, change):
    facets = {"lifecycleStateChange": {"lifecycleStateChange": change}}
    return {"namespace": f"s3://{bucket}", "name": name, "facets": facets, "outputFacets": {}}


def test_lineage_of_run_names_code_and_data_assets(told, made, emulator, conf):
    ran = made["run"]
    results = node(
        emulator, f"computations/{ran['id']}", lifecycleStateChange={"lifecycleStateChange": "CREATE"}
    )
    assert conf["data_asset_id"] in {each["id"] for each in ran["data_assets"]}
    slug = emulator.get(f"/api/v1/capsules/{conf['capsule_id']}")["slug"]
    assert told["run"] == {
        "inputs": [
            read(emulator, f"capsules/{conf['capsule_id']}"),
            *(read(emulator, f"data_assets/{each['id']}") for each in ran["data_assets"]),
        ],
        "outputs": [{**results, "outputFacets": {}}],
        "code": {"type": "git", "url": f"{emulator.url}/capsule/{slug}/tree"},
        "tags": {"codeocean_computation": ran["id"]},
    }


@pytest.mark.parametrize("task", ["inside", "outside"])
def test_lineage_of_capture_names_source_and_location(told, made, emulator, conf, task):
    asset = made[task]
    provenance = asset["provenance"]
    assert provenance["computation"] == made["run"]["id"]
    place = {"namespace": f"s3://{conf['results_bucket']}", "name": "here"} if task == "outside" else None
    outputs = [written(emulator, asset, place=place)]
    if place:
        outputs.append(in_bucket(conf["results_bucket"], "here", "CREATE"))
    assert told[task] == {
        "inputs": [
            read(emulator, f"capsules/{conf['capsule_id']}", version=provenance["commit"]),
            read(emulator, f"computations/{made['run']['id']}"),
            *(read(emulator, f"data_assets/{each}") for each in provenance["data_assets"]),
        ],
        "outputs": outputs,
        "code": {
            "type": "git",
            "url": f"{here(emulator)}/capsules/{conf['capsule_id']}",
            "version": provenance["commit"],
        },
        "tags": {
            "codeocean_computation": provenance["computation"],
            "codeocean_commit": provenance["commit"],
        },
    }


def test_lineage_of_imported_bucket_names_data_asset(told, made, emulator, conf):
    bucket = {"namespace": f"s3://{conf['public_bucket']}", "name": "/", "facets": {}, "inputFacets": {}}
    assert told["ingest"] == {
        "inputs": [bucket],
        "outputs": [written(emulator, made["ingest"])],
        "code": None,
        "tags": {},
    }


def test_lineage_of_transfer_names_source_and_target(told, made, emulator, conf):
    place = {"namespace": f"s3://{conf['archive_bucket']}", "name": "there"}
    assert told["move"] == {
        "inputs": [read(emulator, f"data_assets/{made['inside']['id']}")],
        "outputs": [
            written(emulator, made["move"], change="ALTER", place=place),
            in_bucket(conf["archive_bucket"], "there", "ALTER"),
        ],
        "code": None,
        "tags": {},
    }


def test_dag_scheduled_on_alias_receives_provenance(airflow, run, made, conf):
    def first_run():
        rows = airflow.database.query("SELECT run_id FROM dag_run WHERE dag_id = 'lineage_reader'")
        return rows[0][0] if rows else None

    run_id = airflow.wait_until(first_run, description="a run of lineage_reader", timeout=60)
    assert airflow.wait_for_run("lineage_reader", run_id, timeout=60).tasks == {"read": "success"}
    event = airflow.xcom("lineage_reader", run_id, "read")
    assert (event["data_asset_id"], event["size"]) == (made["outside"]["id"], made["outside"]["size"])
    assert event["provenance"]["capsule"] == conf["capsule_id"]


def test_openlineage_events_contain_no_token(told, events_file, emulator):
    assert emulator.token not in Path(events_file).read_text()
