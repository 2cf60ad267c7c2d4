"""Complete runs of the operations on computations against the emulator, with and without faults."""

from __future__ import annotations

import re
from importlib.metadata import version

import pytest

from airflow_provider_codeocean.api.models.computation import RunParams
from airflow_provider_codeocean.emulator import FaultRule
from airflow_provider_codeocean.operators._submit_once import computation as computation_job
from airflow_provider_codeocean.submission import protocol

MODES = ("deferred", "in_worker")


@pytest.fixture
def started(code_ocean):
    """Return the computations that were started since."""
    before = {computation.id for computation in code_ocean.store.computations.all()}
    store = code_ocean.store.computations
    return lambda: [computation for computation in store.all() if computation.id not in before]


@pytest.fixture
def run(run_dag, code_ocean):
    env = code_ocean.env
    known = {
        "capsule_id": env["CODEOCEAN_CAPSULE_ID"],
        "pipeline_id": env["CODEOCEAN_PIPELINE_ID"],
        "data_asset_id": env["CODEOCEAN_DATA_ASSET_ID"],
    }
    return lambda dag_id, **params: run_dag(dag_id, **known | params)


@pytest.mark.parametrize("mode", MODES)
def test_run_capsule_submits_one_computation(weather, run, started, code_ocean, mode):
    finished = run(f"run_capsule_{mode}", probe="A")
    assert finished.states == {"act": "success"}
    [computation] = started()
    result = finished.xcom("act")
    assert result["id"] == computation.id == finished.xcom("act", "computation_id")
    assert (result["state"], result["end_status"], result["has_results"]) == ("completed", "succeeded", True)
    assert re.fullmatch(r"nightly \d{4}-\d\d-\d\d airflow[0-9a-f]{32}", result["name"])
    values = {parameter["param_name"]: parameter["value"] for parameter in result["parameters"]}
    assert values == {"threshold": "5", "probe": "A"}
    assert code_ocean.env["CODEOCEAN_DATA_ASSET_ID"] in {asset["id"] for asset in result["data_assets"]}
    if "url" in result:  # the only search for it may have failed
        assert re.fullmatch(rf"{code_ocean.url}/capsule/[\w-]+/tree", result["url"])
        assert finished.xcom("act", "codeocean_capsule_url") == result["url"]


@pytest.mark.parametrize("mode", MODES)
def test_run_pipeline_submits_one_computation(weather, run, started, code_ocean, mode):
    process = code_ocean.store.capsules.get(code_ocean.env["CODEOCEAN_PIPELINE_ID"]).processes[0]["name"]
    finished = run(f"run_pipeline_{mode}", processes={process: ["fast", 7]})
    assert finished.states == {"act": "success"}
    [computation] = started()
    [process_run] = [run for run in finished.xcom("act")["processes"] if run["name"] == process]
    assert [parameter["value"] for parameter in process_run["parameters"]] == ["fast", "7"]
    assert finished.xcom("act", "computation_id") == computation.id


@pytest.mark.parametrize(
    "mode",
    [
        pytest.param(
            "deferred",
            marks=pytest.mark.skipif(
                version("apache-airflow").startswith("3.0."),
                reason="dag.test() of Airflow 3.0 does not restart a retry after a deferral",
            ),
        ),
        "in_worker",
    ],
)
def test_run_capsule_with_failed_computation_submits_another_on_retry(
    run, started, code_ocean, mode, caplog, capfd
):
    finished = run(f"run_twice_{mode}", capsule_id=code_ocean.env["CODEOCEAN_FAILING_CAPSULE_ID"])
    assert finished.states == {"act": "failed"}
    assert len(started()) == 2
    # Airflow's version decides which of them has the error, and whether lines are wrapped.
    output = " ".join((capfd.readouterr().out + caplog.text).split())
    for computation in started():
        assert re.search(rf"Computation {computation.id} .* did not succeed: failed, exit code 1", output)


def test_run_capsule_without_waiting_returns_computation(run, started):
    finished = run("run_without_waiting")
    assert finished.xcom("act")["id"] == started()[0].id
    assert finished.xcom("act")["state"] == "completed"  # as soon as it can be read


def test_mapped_runs_submit_one_computation_each(run, started):
    finished = run("run_many")
    assert set(finished.states.values()) == {"success"}
    assert sorted(computation.parameters[0]["value"] for computation in started()) == ["1", "2", "3"]


def test_run_capsule_with_unknown_capsule_fails_permanently(run, started):
    finished = run("run_twice_in_worker", capsule_id="no-such-capsule")
    assert finished.states == {"act": "failed"}
    assert finished.dag_run.get_task_instance("act").try_number == 1
    assert started() == []


def test_run_capsule_with_lost_response_submits_one_computation(run, started, code_ocean, monkeypatch):
    monkeypatch.setattr(protocol, "MAX_SEARCH_LAG_SECONDS", 4.0)
    monkeypatch.setattr(computation_job, "MAX_NAMING_SECONDS", 1.0)
    code_ocean.faults.add(FaultRule(method="POST", path="computations", kind="close_after"))
    finished = run("run_capsule_in_worker", probe="A")
    assert finished.states == {"act": "success"}
    assert len(started()) == 1


@pytest.fixture
def computation(client, code_ocean):
    params = RunParams(capsule_id=code_ocean.env["CODEOCEAN_CAPSULE_ID"])
    return client.computations.run(params)


def test_rename_computation_keeps_its_key(weather, run, client, computation):
    finished = run("rename", computation_id=computation.id)
    assert finished.xcom("act") == "the good one"
    key = "airflow" + "0123456789abcdef" * 2
    client.computations.rename(computation.id, f"bad {key}")
    assert run("rename", computation_id=computation.id).xcom("act") == f"the good one {key}"
    assert client.computations.get(computation.id).name == f"the good one {key}"


def test_delete_computation_repeated_returns_false(weather, run, code_ocean, computation):
    assert run("delete_computation", computation_id=computation.id).xcom("act") is True
    assert code_ocean.store.computations.get(computation.id) is None
    assert run("delete_computation", computation_id=computation.id).xcom("act") is False
