"""The main flow in a real Airflow, with one worker process killed."""

from __future__ import annotations

import os
import signal

import pytest

from scripts.waiting import wait_until


@pytest.mark.quick
def test_main_flow_with_killed_worker_captures_once(emulator, dags_of, own_airflow, tmp_path):
    rule = {"method": "POST", "path": "data_assets", "kind": "hold", "timeout": 60}
    fault = f"/_emulator/faults/{emulator.call_api('POST', '/_emulator/faults', rule)['id']}"
    airflow = own_airflow(dags_folder=dags_of("main_flow"))
    files, pid_file = tmp_path / "files", tmp_path / "capture.pid"
    run_id = airflow.trigger(
        "main_flow",
        conf={
            "capsule_id": emulator.variables["CODEOCEAN_CAPSULE_ID"],
            "group": emulator.variables["CODEOCEAN_GROUP"],
            "target": str(files),
            "pid_file": str(pid_file),
        },
    )
    wait_until(pid_file.exists, description="the capture to start", timeout=90)
    emulator.get(f"{fault}/wait?held=1&timeout=30")
    os.kill(int(pid_file.read_text()), signal.SIGKILL)
    emulator.call_api("POST", f"{fault}/release")
    result = airflow.wait_for_run("main_flow", run_id, timeout=120)
    assert result.state == "success"
    attempts = {task.task: task.try_number for task in airflow.tasks("main_flow", run_id)}
    assert attempts == {"run": 1, "capture": 2, "share": 1, "download": 1}
    query = {"query": 'name:"main flow"', "limit": 1000}
    found = emulator.call_api("POST", "/api/v1/data_assets/search", query)["results"]
    captured = [asset["id"] for asset in found if asset["name"] == "main flow"]
    assert captured == [airflow.xcom("main_flow", run_id, "capture")["id"]]
    assert [path for path in files.rglob("*") if path.is_file()]
