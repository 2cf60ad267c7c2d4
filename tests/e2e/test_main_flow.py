"""The main flow in a real Airflow, with one worker process killed: a part of ``make test``."""

from __future__ import annotations

import os
import signal

import pytest

from airflow_provider_codeocean.emulator import (
    EmulatorConfig,
    EmulatorServer,
    FaultRule,
    Policy,
    Transitions,
)
from scripts.leaks import LeakSearch
from scripts.real_airflow import RealAirflow
from scripts.waiting import wait_until


@pytest.fixture
def code_ocean():
    with EmulatorServer(EmulatorConfig(transitions=Transitions.all(Policy(seconds=2)))) as server:
        yield server


def test_main_flow_with_killed_worker_captures_once(code_ocean, dags_of, tmp_path):
    held_creation = code_ocean.faults.add(
        FaultRule(method="POST", path="data_assets", kind="hold", timeout=60)
    )
    token = code_ocean.env["CODEOCEAN_TOKEN"]
    connection = {"conn_type": "codeocean", "host": code_ocean.url, "password": token}
    airflow = RealAirflow(
        tmp_path / "airflow",
        dags_folder=dags_of("main_flow"),
        connections={"codeocean_default": connection},
    )
    files, pid_file = tmp_path / "files", tmp_path / "capture.pid"
    with airflow:
        run_id = airflow.trigger(
            "main_flow",
            conf={
                "capsule_id": code_ocean.env["CODEOCEAN_CAPSULE_ID"],
                "group": code_ocean.env["CODEOCEAN_GROUP"],
                "target": str(files),
                "pid_file": str(pid_file),
            },
        )
        wait_until(pid_file.exists, description="the capture to start", timeout=90)
        assert held_creation.wait(held=1, timeout=30)
        os.kill(int(pid_file.read_text()), signal.SIGKILL)
        held_creation.release_requests()
        result = airflow.wait_for_run("main_flow", run_id, timeout=120)
        attempts = {task.task: task.try_number for task in airflow.tasks("main_flow", run_id)}
        asset_id = airflow.xcom("main_flow", run_id, "capture")["id"]
    assert result.state == "success"
    assert attempts == {"run": 1, "capture": 2, "share": 1, "download": 1}
    assert [asset.id for asset in code_ocean.store.data_assets.all() if asset.name == "main flow"] == [
        asset_id
    ]
    assert [path for path in files.rglob("*") if path.is_file()]
    assert not LeakSearch({token}, airflow.env["AIRFLOW__CORE__FERNET_KEY"]).search_files(airflow.home)
