"""The log of a run that fails shows why, and a retry policy distinguishes failed runs from failed starts."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module")
def run(airflow, emulator):
    ids = {
        name: emulator.variables[f"CODEOCEAN_{name.upper()}_CAPSULE_ID"]
        for name in ("failing", "unstartable")
    }
    return airflow.run("failed_runs", conf=ids, timeout=280)


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
