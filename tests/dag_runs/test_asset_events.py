"""The events of a task's outlets in Airflow's database, after complete runs."""

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
    """The scheduler stores events; ``dag.test()`` of Airflow 2 and 3.0 does not."""
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
    """Return the ``extra`` of each event of a run, by the URI of its asset."""
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
        created = client.data_assets.create(params)
    return CodeOceanHook().wait_for_data_asset(created.id, poll_interval=0.01)


def uri_of(code_ocean, data_asset_id):
    return f"{code_ocean.url.replace('http', 'codeocean')}/data_assets/{data_asset_id}"


def told(asset):
    """Return the expected ``extra`` for a data asset that a task returned."""
    provenance = asset["provenance"]
    names = ("computation", "capsule", "commit", "run_script", "data_assets")
    return {
        "data_asset_id": asset["id"],
        **{name: asset[name] for name in ("name", "type", "state", "size", "files", "url", "source_bucket")},
        "version": str(asset["last_transferred"] or asset["created"]),
        "provenance": provenance and {name: provenance[name] for name in names},
        "contained_data_assets": [contained["id"] for contained in asset["contained_data_assets"]],
    }


def under_alias(event):
    """Return the same as Airflow stores it for an alias: 3.0 can only store texts."""
    if not AIRFLOW.startswith("3.0."):
        return event
    return {
        key: json.dumps(value) if isinstance(value, dict | list) else value for key, value in event.items()
    }


@pytest.mark.parametrize("mode", ["deferred", "in_worker"])
def test_capture_emits_asset_events_under_alias_and_outlet(run_dag, code_ocean, conf, mode):
    run = run_dag(f"announce_capture_{mode}", **conf)
    asset = run.xcom("act")
    expected = told(asset)
    # Code Ocean does not return the capsule of a computation, but the task knows it.
    expected["provenance"]["capsule"] = conf["capsule_id"]
    assert events_of(run) == {
        uri_of(code_ocean, asset["id"]): under_alias(expected),
        f"x-test://announce_capture_{mode}": expected,
    }
    assert (expected["state"], expected["source_bucket"]["bucket"]) == ("ready", conf["bucket"])
    assert expected["size"] > 0
    assert expected["provenance"]["commit"]
    assert expected["provenance"]["computation"] == conf["computation_id"]


@pytest.mark.parametrize("mode", ["deferred", "in_worker"])
def test_transfer_emits_asset_events_with_location(run_dag, code_ocean, conf, asset, mode):
    run = run_dag(f"announce_transfer_{mode}", data_asset_id=asset.id, bucket=conf["bucket"])
    moved = run.xcom("act")
    event = told(moved)
    assert events_of(run) == {
        uri_of(code_ocean, asset.id): under_alias(event),
        f"x-test://announce_transfer_{mode}": event,
    }
    assert event["source_bucket"]["bucket"] == conf["bucket"]
    assert event["version"] == str(moved["last_transferred"])


@pytest.mark.parametrize("kind", ["capture", "transfer"])
def test_operator_without_waiting_emits_no_event_under_alias(run_dag, conf, asset, kind):
    """A DAG that is scheduled on the alias would find the data asset pending."""
    run = run_dag(f"announce_{kind}_without_waiting", data_asset_id=asset.id, **conf)
    assert run.states == {"act": "success"}
    ((uri, event),) = events_of(run).items()
    assert uri == f"x-test://announce_{kind}_without_waiting"
    assert event["state"] == ("draft" if kind == "capture" else "ready")


def test_create_combined_data_asset_emits_contained_ids(run_dag, code_ocean, asset):
    run = run_dag("announce_combined", data_asset_id=asset.id)
    ((uri, event),) = events_of(run).items()
    assert uri == uri_of(code_ocean, run.xcom("act")["id"])
    assert event == under_alias(told(run.xcom("act")))
    assert asset.id in event["contained_data_assets"]


def test_mapped_captures_emit_one_event_each(run_dag, code_ocean, conf):
    run = run_dag("announce_mapped", ids=[conf["computation_id"]] * 2)
    asset_ids = [run.xcom("act", map_index=index)["id"] for index in range(2)]
    assert events_of(run).keys() == {uri_of(code_ocean, asset_id) for asset_id in asset_ids}


def test_failed_capture_emits_no_event(run_dag, conf):
    run = run_dag("announce_failed", **conf)
    assert run.states == {"act": "failed"}
    assert events_of(run) == {}
