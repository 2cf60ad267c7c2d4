"""Whole runs of all that can be done with computations, against the emulator, in peace and in trouble."""

from __future__ import annotations

import re
from importlib.metadata import version

import pytest

from airflow_provider_codeocean.api.models.computation import RunParams
from airflow_provider_codeocean.emulator import FaultRule
from airflow_provider_codeocean.operators._submit_once import computation as computation_job
from airflow_provider_codeocean.submission import protocol

WAYS = ("deferred", "in_worker")


@pytest.fixture
def started(code_ocean):
    """The computations that were started since."""
    before = {each.id for each in code_ocean.store.computations.all()}
    return lambda: [each for each in code_ocean.store.computations.all() if each.id not in before]


@pytest.fixture
def run(run_dag, code_ocean):
    env = code_ocean.env
    known = {
        "capsule_id": env["CODEOCEAN_CAPSULE_ID"],
        "pipeline_id": env["CODEOCEAN_PIPELINE_ID"],
        "data_asset_id": env["CODEOCEAN_DATA_ASSET_ID"],
    }
    return lambda dag_id, **params: run_dag(dag_id, **known | params)


@pytest.mark.parametrize("way", WAYS)
def test_a_capsule_is_run_once(weather, run, started, code_ocean, way):
    finished = run(f"run_capsule_{way}", mode="fast")
    assert finished.states == {"act": "success"}
    [computation] = started()
    result = finished.xcom("act")
    assert result["id"] == computation.id == finished.xcom("act", "computation_id")
    assert (result["state"], result["end_status"], result["has_results"]) == ("completed", "succeeded", True)
    assert re.fullmatch(r"nightly \d{4}-\d\d-\d\d airflow[0-9a-f]{32}", result["name"])
    values = {each["param_name"]: each["value"] for each in result["parameters"]}
    assert values == {"threshold": "5", "mode": "fast"}
    assert code_ocean.env["CODEOCEAN_DATA_ASSET_ID"] in {each["id"] for each in result["data_assets"]}
    if "url" in result:  # the one look for it may have met the trouble
        assert re.fullmatch(rf"{code_ocean.url}/capsule/[\w-]+/tree", result["url"])
        assert finished.xcom("act", "codeocean_capsule_url") == result["url"]


@pytest.mark.parametrize("way", WAYS)
def test_a_pipeline_is_run_once(weather, run, started, code_ocean, way):
    process = code_ocean.store.capsules.get(code_ocean.env["CODEOCEAN_PIPELINE_ID"]).processes[0]["name"]
    finished = run(f"run_pipeline_{way}", processes={process: ["fast", 7]})
    assert finished.states == {"act": "success"}
    [computation] = started()
    [given] = [each for each in finished.xcom("act")["processes"] if each["name"] == process]
    assert [each["value"] for each in given["parameters"]] == ["fast", "7"]
    assert finished.xcom("act", "computation_id") == computation.id


@pytest.mark.parametrize(
    "way",
    [
        pytest.param(
            "deferred",
            marks=pytest.mark.skipif(
                version("apache-airflow").startswith("3.0."),
                reason="dag.test() of Airflow 3.0 does not begin a retry anew after a deferral",
            ),
        ),
        "in_worker",
    ],
)
def test_one_that_does_not_succeed_is_run_anew_by_a_retry(run, started, code_ocean, way, caplog, capfd):
    finished = run(f"run_twice_{way}", capsule_id=code_ocean.env["CODEOCEAN_FAILING_CAPSULE_ID"])
    assert finished.states == {"act": "failed"}
    assert len(started()) == 2
    # Which of them depends on Airflow, and whether lines are wrapped.
    told = " ".join((capfd.readouterr().out + caplog.text).split())
    for computation in started():
        assert re.search(rf"Computation {computation.id} .* did not succeed: failed, exit code 1", told)


def test_without_waiting_it_returns_what_runs(run, started):
    finished = run("run_without_waiting")
    assert finished.xcom("act")["id"] == started()[0].id
    assert finished.xcom("act")["state"] == "completed"  # as it is when it can be read


def test_mapped_runs_are_one_each(run, started):
    finished = run("run_many")
    assert set(finished.states.values()) == {"success"}
    assert sorted(each.parameters[0]["value"] for each in started()) == ["1", "2", "3"]


def test_what_cannot_be_run_fails_for_good(run, started):
    finished = run("run_twice_in_worker", capsule_id="no-such-capsule")
    assert finished.states == {"act": "failed"}
    assert finished.dag_run.get_task_instance("act").try_number == 1
    assert started() == []


def test_a_lost_answer_does_not_start_it_twice(run, started, code_ocean, monkeypatch):
    monkeypatch.setattr(protocol, "SETTLE", 4.0)
    monkeypatch.setattr(computation_job, "NAMED_WITHIN", 1.0)
    code_ocean.faults.add(FaultRule(method="POST", path="computations", kind="close_after"))
    finished = run("run_capsule_in_worker", mode="fast")
    assert finished.states == {"act": "success"}
    assert len(started()) == 1


@pytest.fixture
def computation(client, code_ocean):
    params = RunParams(capsule_id=code_ocean.env["CODEOCEAN_CAPSULE_ID"])
    return client.computations.run(params)


def test_a_computation_is_renamed_and_keeps_its_key(weather, run, client, computation):
    finished = run("rename", computation_id=computation.id)
    assert finished.xcom("act") == "the good one"
    key = "airflow" + "0123456789abcdef" * 2
    client.computations.rename(computation.id, f"bad {key}")
    assert run("rename", computation_id=computation.id).xcom("act") == f"the good one {key}"
    assert client.computations.get(computation.id).name == f"the good one {key}"


def test_a_computation_is_deleted_once(weather, run, code_ocean, computation):
    assert run("delete_computation", computation_id=computation.id).xcom("act") is True
    assert code_ocean.store.computations.get(computation.id) is None
    assert run("delete_computation", computation_id=computation.id).xcom("act") is False
