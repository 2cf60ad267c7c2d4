"""Complete runs of the task group that runs and captures, against the emulator."""

from __future__ import annotations

import pytest
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_codeocean.emulator.domain.config import RunConfig
from airflow_provider_codeocean.task_groups.run_and_capture import CodeOceanRunAndCaptureTaskGroup

pytestmark = pytest.mark.quick


@pytest.fixture
def run(run_dag, code_ocean):
    env = code_ocean.env
    known = {
        "capsule_id": env["CODEOCEAN_CAPSULE_ID"],
        "pipeline_id": env["CODEOCEAN_PIPELINE_ID"],
        "email": env["CODEOCEAN_USER_EMAIL"],
        "bucket": env["CODEOCEAN_RESULTS_BUCKET"],
    }
    return lambda dag_id, **params: run_dag(dag_id, **known | params)


@pytest.mark.parametrize("mode", ["deferred", "in_worker"])
def test_run_and_capture_captures_shares_and_transfers_results(weather, run, code_ocean, client, mode):
    finished = run(f"run_and_capture_{mode}")
    assert finished.states == dict.fromkeys(
        ("sort.run", "sort.capture", "sort.share", "sort.transfer"), "success"
    )
    asset = finished.xcom("sort.transfer")
    assert asset["name"].startswith("sorted on 2")
    assert asset["tags"][0] == "sorted"
    assert asset["provenance"]["computation"] == finished.xcom("sort.run")["id"]
    assert asset["source_bucket"]["bucket"] == code_ocean.env["CODEOCEAN_RESULTS_BUCKET"]
    users = client.data_assets.get_permissions(asset["id"]).users
    assert {user.email: user.role for user in users}[code_ocean.env["CODEOCEAN_USER_EMAIL"]] == "viewer"


def test_run_and_capture_of_pipeline_succeeds(run):
    finished = run("pipeline_and_capture")
    assert set(finished.states.values()) == {"success"}
    assert finished.xcom("run_and_capture.capture")["state"] == "ready"


def test_run_and_capture_with_name_file_uses_its_name(run, code_ocean):
    finished = run(
        "run_and_capture_named_by_results",
        capsule_id=code_ocean.env["CODEOCEAN_DATA_DESCRIPTION_CAPSULE_ID"],
    )
    asset = finished.xcom("run_and_capture.capture")
    assert asset["name"] != "no name"
    assert asset["name"] == asset["mount"]


def test_run_and_capture_without_name_file_uses_given_name(run):
    finished = run("run_and_capture_named_by_results")
    assert finished.xcom("run_and_capture.capture")["name"] == "no name"


def test_run_and_capture_without_results_skips_capture(run, code_ocean):
    capsule = code_ocean.store.capsules.get(code_ocean.env["CODEOCEAN_CAPSULE_ID"])
    settings = RunConfig(results="none").model_dump(mode="json")
    code_ocean.store.capsules.put(type(capsule)(**vars(capsule) | {"runs": settings}))
    finished = run("run_and_capture_in_worker")
    assert finished.states == {
        "sort.run": "success",
        "sort.capture": "skipped",
        "sort.share": "skipped",
        "sort.transfer": "skipped",
    }


def test_run_and_capture_in_mapped_group_captures_each(run):
    finished = run("run_and_capture_many")
    assert set(finished.states.values()) == {"success"}
    for index in range(2):
        computation = finished.xcom("sort.run_and_capture.run", map_index=index)
        asset = finished.xcom("sort.run_and_capture.capture", map_index=index)
        assert [parameter["value"] for parameter in computation["parameters"]] == [str(index + 1)]
        assert asset["name"] == f"sorted {index}"
        assert asset["provenance"]["computation"] == computation["id"]


@pytest.mark.parametrize("ids", [{}, {"capsule_id": "c", "pipeline_id": "p"}])
def test_run_and_capture_requires_one_capsule_or_pipeline(ids):
    with pytest.raises(ValueError, match="give exactly one of capsule_id and pipeline_id"):
        CodeOceanRunAndCaptureTaskGroup(name="n", **ids)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"run": {"params": {"threshold": 7}}}, "run: 'params' are Airflow's own; .* are 'parameters'"),
        ({"run": {"capsule_id": "c"}}, "run: the group passes 'capsule_id' itself"),
        ({"run": {"version": 0}}, "run: version: must be at least 1, got 0"),
        ({"capture": {"name": "n"}}, "capture: .*name"),
        ({"capture": {"target": {"bucket": "s3://b"}}}, r"capture: target\.bucket: .*without scheme"),
        ({"share_with": {"groups": "lab"}}, "share_with: groups: must be a list, got 'lab'"),
        ({"transfer": {}}, "transfer: .*target"),
    ],
)
def test_run_and_capture_with_invalid_arguments_names_task(arguments, message):
    with DAG("wrong", schedule=None), pytest.raises(ValueError, match=message):
        CodeOceanRunAndCaptureTaskGroup(name="n", capsule_id="c", **arguments)


@pytest.mark.parametrize(
    ("argument", "place"),
    [
        ({"retries": 2}, "operator_kwargs={'retries': …}"),
        ({"parameters": {"threshold": 7}}, "run={'parameters': …}"),
        ({"processes": {"sort": []}}, "run={'processes': …}"),
        ({"share": {"everyone": "viewer"}}, "share_with"),
        ({"users": []}, "share_with={'users': …}"),
        ({"force": True}, "transfer={'force': …}"),
    ],
)
def test_run_and_capture_with_misplaced_argument_names_its_place(argument, place):
    [name] = argument
    with DAG("wrong", schedule=None), pytest.raises(TypeError) as caught:
        CodeOceanRunAndCaptureTaskGroup(name="n", capsule_id="c", **argument)
    assert str(caught.value) == f"{name} is not an argument of CodeOceanRunAndCaptureTaskGroup: use {place}"
