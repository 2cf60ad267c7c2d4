"""What becomes of a capture that a user clears, or whose worker is killed."""

from __future__ import annotations

import pytest

from scripts.waiting import wait_until


class Capture:
    """One run of a DAG of ``user_actions``, and the data assets that it makes."""

    def __init__(self, airflow, emulator, way, name):
        self.airflow, self.emulator, self.name = airflow, emulator, name
        self.dag_id = f"user_actions_{way}"
        conf = {"computation_id": emulator.computation_id, "name": name}
        self.run_id = airflow.trigger(self.dag_id, conf=conf)

    def wait_for(self, *states):
        self.airflow.wait_for_task(self.dag_id, self.run_id, "capture", *states, timeout=90)

    def wait_for_log(self, text):
        log = lambda: self.airflow.task_log(self.dag_id, self.run_id, "capture")  # noqa: E731
        wait_until(lambda: text in log(), description=f"{text!r} in the log of {self.dag_id}", timeout=150)

    def mark(self, state):
        self.airflow.release.set_task_state(self.dag_id, self.run_id, "capture", state)

    def clear(self):
        self.airflow.release.clear_task(self.dag_id, self.run_id, "capture")

    def ended(self):
        return self.airflow.wait_for_run(self.dag_id, self.run_id, timeout=120).tasks["capture"]

    @property
    def asset_id(self):
        return self.airflow.xcom(self.dag_id, self.run_id, "capture", "data_asset_id")

    @property
    def assets(self):
        found = self.emulator.call_api("POST", "/api/v1/data_assets/search", {"query": f"name:{self.name}"})
        return {asset["id"]: asset["state"] for asset in found["results"]}


@pytest.fixture
def seconds(emulator):
    """``seconds(n)`` makes data assets that are created from now on take so long."""

    def change(number):
        emulator.call_api("PUT", "/_emulator/transitions", {"assets": {"seconds": number}})

    yield change
    change(2)


@pytest.fixture
def capture(airflow, emulator, request):
    def run(way):
        return Capture(airflow, emulator, way, request.node.name.replace("_", ""))

    return run


def test_capture_cleared_while_deferred_adopts_its_data_asset(capture, seconds):
    seconds(3600)
    run = capture("adopt")
    run.wait_for("deferred")
    run.wait_for_log("Waiting for data asset")
    before = run.asset_id
    run.clear()
    run.wait_for_log(f"Adopted data asset {before}")
    assert run.assets == {before: "draft"}
    run.mark("failed")


def test_capture_killed_in_worker_with_on_kill_delete_deletes_data_asset(capture, seconds):
    seconds(3600)
    run = capture("delete_in_worker")
    run.wait_for("running")
    run.wait_for_log("is in state draft")
    run.mark("failed")
    run.wait_for_log("Killed: Data asset")
    wait_until(lambda: run.assets == {}, description="the data asset to be deleted", timeout=30)


def test_capture_cleared_after_success_adopts_data_asset(capture):
    run = capture("adopt")
    assert run.ended() == "success"
    first = run.asset_id
    run.clear()
    run.wait_for("running", "deferred", "queued", "scheduled")
    assert run.ended() == "success"
    assert run.assets == {first: "ready"}
    assert run.asset_id == first


def test_capture_cleared_with_on_existing_create_creates_another(capture):
    run = capture("create")
    assert run.ended() == "success"
    first = run.asset_id
    run.clear()
    wait_until(lambda: len(run.assets) == 2, description="another data asset", timeout=60)
    assert run.ended() == "success"
    assert run.assets == {first: "ready", run.asset_id: "ready"}


def test_capture_cleared_with_on_existing_fail_fails(capture):
    run = capture("fail")
    assert run.ended() == "success"
    first = run.asset_id
    run.clear()
    run.wait_for_log(f"the task submitted {first} before it was cleared")
    assert run.ended() == "failed"
    assert run.assets == {first: "ready"}
