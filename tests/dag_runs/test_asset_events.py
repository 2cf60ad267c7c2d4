"""What the events of a task's outlets tell, in Airflow's database after whole runs."""

from __future__ import annotations

import json
import os
import runpy
import sqlite3
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

import pytest

from airflow_provider_codeocean.api.models.data_asset_params import DataAssetParams
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from tests.dag_runs.conftest import DAGS

AIRFLOW = version("apache-airflow")
ASSET = "dataset" if AIRFLOW.startswith("2.") else "asset"


@pytest.fixture(autouse=True, scope="module")
def outlets_are_known(airflow_database):
    """A scheduler writes them down; ``dag.test()`` of Airflow 2 and 3.0 leaves that to it."""
    if not AIRFLOW.startswith(("2.", "3.0.")):
        return
    from airflow.models.dag import DAG

    dags = runpy.run_path(str(DAGS / "outlets.py"))["DAGS"]
    if AIRFLOW.startswith("2."):
        DAG.bulk_write_to_db(dags)
        return
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.serialization.serialized_objects import SerializedDAG

    DagBundlesManager().sync_bundles_to_db()
    parsed = [SerializedDAG.from_dict(SerializedDAG.to_dict(dag)) for dag in dags]
    DAG.bulk_write_to_db("dags", None, parsed)


def events_of(run):
    """The events of a run, by the URI of their asset: of each, what it tells."""
    query = f"""
        select asset.uri, event.extra from {ASSET}_event as event join {ASSET} as asset
        on asset.id = event.{ASSET}_id where event.source_run_id = ? and event.source_dag_id = ?
    """
    database = Path(os.environ["AIRFLOW_HOME"], "airflow.db")
    with closing(sqlite3.connect(database)) as connection:
        rows = connection.execute(query, (run.dag_run.run_id, run.dag_run.dag_id)).fetchall()
    assert len(dict(rows)) == len(rows), "an asset has two events of one run"
    return {uri: json.loads(extra) for uri, extra in rows}


@pytest.fixture
def conf(code_ocean):
    names = {"computation_id": "COMPUTATION_ID", "capsule_id": "CAPSULE_ID", "bucket": "RESULTS_BUCKET"}
    return {name: code_ocean.env[f"CODEOCEAN_{variable}"] for name, variable in names.items()}


@pytest.fixture
def asset(conf):
    """A data asset that is ready."""
    source = {"computation": {"id": conf["computation_id"]}}
    params = DataAssetParams.model_validate({"name": "n", "mount": "n", "tags": [], "source": source})
    with CodeOceanHook().get_conn() as client:
        made = client.data_assets.create(params)
    return CodeOceanHook().wait_for_data_asset(made.id, poll_interval=0.01)


def uri_of(code_ocean, data_asset_id):
    return f"{code_ocean.url.replace('http', 'codeocean')}/data_assets/{data_asset_id}"


def told(asset):
    """What an event tells of a data asset, which a task returned."""
    provenance = asset["provenance"]
    names = ("computation", "capsule", "commit", "run_script", "data_assets")
    return {
        "data_asset_id": asset["id"],
        **{name: asset[name] for name in ("name", "type", "state", "size", "files", "url", "source_bucket")},
        "version": str(asset["last_transferred"] or asset["created"]),
        "provenance": provenance and {name: provenance[name] for name in names},
        "contained_data_assets": [each["id"] for each in asset["contained_data_assets"]],
    }


def under_alias(event):
    """The same, as Airflow keeps it that came under an alias: 3.0 could not, if it had more than texts."""
    if not AIRFLOW.startswith("3.0."):
        return event
    return {key: json.dumps(each) if isinstance(each, dict | list) else each for key, each in event.items()}


@pytest.mark.parametrize("way", ["deferred", "in_worker"])
def test_a_capture_is_an_event_of_its_own_under_an_alias_and_tells_what_it_is(run_dag, code_ocean, conf, way):
    run = run_dag(f"announce_capture_{way}", **conf)
    asset = run.xcom("act")
    expected = told(asset)
    # Code Ocean does not tell which capsule a computation is of; the task does.
    expected["provenance"]["capsule"] = conf["capsule_id"]
    assert events_of(run) == {
        uri_of(code_ocean, asset["id"]): under_alias(expected),
        f"x-test://announce_capture_{way}": expected,
    }
    assert (expected["state"], expected["source_bucket"]["bucket"]) == ("ready", conf["bucket"])
    assert expected["size"] > 0
    assert expected["provenance"]["commit"]
    assert expected["provenance"]["computation"] == conf["computation_id"]


@pytest.mark.parametrize("way", ["deferred", "in_worker"])
def test_a_transfer_tells_where_the_files_are(run_dag, code_ocean, conf, asset, way):
    run = run_dag(f"announce_transfer_{way}", data_asset_id=asset.id, bucket=conf["bucket"])
    moved = run.xcom("act")
    event = told(moved)
    assert events_of(run) == {
        uri_of(code_ocean, asset.id): under_alias(event),
        f"x-test://announce_transfer_{way}": event,
    }
    assert event["source_bucket"]["bucket"] == conf["bucket"]
    assert event["version"] == str(moved["last_transferred"])


@pytest.mark.parametrize("what", ["capture", "transfer"])
def test_what_is_only_begun_is_no_event_of_an_alias(run_dag, conf, asset, what):
    """Who is scheduled on it would find it unfinished; an asset gets its event from Airflow anyway."""
    run = run_dag(f"announce_{what}_without_waiting", data_asset_id=asset.id, **conf)
    assert run.states == {"act": "success"}
    ((uri, event),) = events_of(run).items()
    assert uri == f"x-test://announce_{what}_without_waiting"
    assert event["state"] == ("draft" if what == "capture" else "ready")


def test_a_combined_data_asset_tells_what_it_consists_of(run_dag, code_ocean, asset):
    run = run_dag("announce_combined", data_asset_id=asset.id)
    ((uri, event),) = events_of(run).items()
    assert uri == uri_of(code_ocean, run.xcom("act")["id"])
    assert event == under_alias(told(run.xcom("act")))
    assert asset.id in event["contained_data_assets"]


def test_each_mapped_task_has_an_event(run_dag, code_ocean, conf):
    run = run_dag("announce_mapped", ids=[conf["computation_id"]] * 2)
    made = [run.xcom("act", map_index=index)["id"] for index in range(2)]
    assert events_of(run).keys() == {uri_of(code_ocean, each) for each in made}


def test_what_failed_is_no_event(run_dag, conf):
    run = run_dag("announce_failed", **conf)
    assert run.states == {"act": "failed"}
    assert events_of(run) == {}
