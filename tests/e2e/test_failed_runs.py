"""Runs that fail: their logs show why, retry policies distinguish them, and retries resume pipelines."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module")
def run(airflow, emulator):
    emulator.call_api("POST", "/_emulator/stats/reset")
    conf = {
        "failing": emulator.variables["CODEOCEAN_FAILING_CAPSULE_ID"],
        "unstartable": emulator.variables["CODEOCEAN_UNSTARTABLE_CAPSULE_ID"],
        "pipeline": emulator.variables["CODEOCEAN_FAILING_PIPELINE_ID"],
    }
    return airflow.run("failed_runs", conf=conf, timeout=280)


@pytest.mark.parametrize("mode", ["sync", "deferred"])
def test_failed_run_logs_end_of_its_output_and_the_link(airflow, emulator, run, mode):
    assert run.tasks[f"failing_{mode}"] == "failed"
    log = airflow.task_log("failed_runs", run.run_id, f"failing_{mode}")
    assert "+ code/run threshold=5" in log
    assert "Its output ends with: " in log
    assert f"{emulator.url}/capsule/" in log


@pytest.mark.parametrize("mode", ["sync", "deferred"])
def test_retry_policy_retries_failed_start_but_not_failed_run(airflow, run, mode):
    attempts = {task.task: task.try_number for task in airflow.tasks("failed_runs", run.run_id)}
    has_policy = airflow.version >= (3, 3)
    assert attempts[f"failing_{mode}"] == (1 if has_policy else 2)
    assert attempts[f"unstartable_{mode}"] == 2


@pytest.mark.parametrize("mode", ["sync", "deferred"])
def test_retry_of_failed_pipeline_resumes_it(airflow, emulator, run, mode):
    assert run.tasks[f"resumed_{mode}"] == "success"
    log = airflow.task_log("failed_runs", run.run_id, f"resumed_{mode}")
    assert "Resuming run " in log
    # Of both tasks together: the processes that succeeded were executed once each.
    assert emulator.get("/_emulator/stats")["processes"] == {"qc": 2, "sort": 2, "plot": 4}
