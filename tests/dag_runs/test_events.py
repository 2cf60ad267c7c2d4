"""Complete runs of the DAG that captures finished computations, against the emulator."""

from __future__ import annotations

import time
from importlib.metadata import version

import pytest

from airflow_provider_codeocean.emulator.seeding.bulk import ComputationSeed, seed_computations

pytestmark = pytest.mark.skipif(
    version("apache-airflow").startswith("2."), reason="Airflow 2 has no asset watchers"
)


@pytest.fixture
def finish(code_ocean, monkeypatch):
    """``finish(age)`` seeds a finished computation of the watched capsule and returns its id."""
    monkeypatch.setenv("CODEOCEAN_CAPSULE_ID", code_ocean.env["CODEOCEAN_CAPSULE_ID"])
    monkeypatch.setenv("SINCE", str(time.time() - 1000))

    def finish(age, **fields):
        [made] = seed_computations(code_ocean.emulator, ComputationSeed(age=age, **fields))
        return made.id

    return finish


def test_capture_on_completion_captures_each_once_despite_failure(run_dag, finish, client):
    finish(2000, name="before since")
    finish(700, name="badly", end_status="failed", exit_code=1)
    last = finish(100, name="last")
    third = finish(200, name="third")
    nothing = finish(300, name="without results", has_results=False)
    first = finish(400, name="{{ 7 * 7 }}")

    run = run_dag("capture_finished")
    assert [item["computation_id"] for item in run.xcom("claim")] == [first, nothing, third]
    assert run.states == {
        "claim": "success",
        "computation.capture[0]": "success",
        "computation.capture[1]": "failed",
        "computation.capture[2]": "success",
        "computation.share[0]": "success",
        "computation.share[1]": "upstream_failed",
        "computation.share[2]": "success",
    }
    asset = run.xcom("computation.capture", map_index=0)
    assert asset["name"] == f"{{{{ 7 * 7 }}}} 0 of {first}"  # names of others are not rendered
    assert asset["description"] == "0 parameters"
    assert asset["tags"][0] == "finished"
    assert asset["provenance"]["computation"] == first
    assert client.data_assets.get_permissions(asset["id"]).everyone == "viewer"

    run = run_dag("capture_finished")
    assert [item["computation_id"] for item in run.xcom("claim")] == [last]
    assert set(run.states.values()) == {"success"}

    run = run_dag("capture_finished")
    assert set(run.states.values()) == {"skipped"}


def test_capture_on_completion_with_template_error_fails_with_cause(
    run_dag, finish, monkeypatch, caplog, capfd
):
    monkeypatch.setenv("NAME", "{{ computation.name }} {{ 7 / (computation.name[0] | int) }}")
    bad, _ = finish(400, name="x"), finish(300, name="7")
    run = run_dag("capture_finished")
    assert (run.states["claim"], run.states["computation.capture[0]"]) == ("success", "failed")
    assert run.states["computation.share[1]"] == "success"
    # Airflow's version decides which of the two has the error, and whether lines are wrapped.
    text = " ".join((capfd.readouterr().out + caplog.text).split())
    assert f"cannot be rendered for computation {bad}: division by zero. Correct the template" in text
    assert "CodeOceanArgumentError: name: " in text
    assert "must not be empty" not in text
