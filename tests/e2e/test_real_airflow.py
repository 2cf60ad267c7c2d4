"""The runner itself: an Airflow that runs tasks, can be hurt, and leaves nothing behind."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from importlib.metadata import version
from pathlib import Path

import pytest

from scripts.real_airflow import RealAirflowError, TaskStateChange
from scripts.waiting import wait_until

CHECKOUT = Path(__file__).parent.parent.parent


def test_real_airflow_runs_deferred_task_and_its_downstream_task(airflow):
    changes: list[TaskStateChange] = []
    run = airflow.run("waits_in_triggerer", conf={"seconds": 1}, timeout=90, on_change=changes.append)

    assert run.state == "success"
    assert run.tasks == {"wait": "success", "after": "success"}
    assert ("wait", "deferred") in [(change.task, change.state) for change in changes]
    assert airflow.xcom("waits_in_triggerer", run.run_id, "wait") == "waited"
    assert airflow.xcom("waits_in_triggerer", run.run_id, "wait", "tries") == 1
    assert airflow.xcom("waits_in_triggerer", run.run_id, "after") == {"words": ["waited", "long"]}
    assert airflow.xcom("waits_in_triggerer", run.run_id, "after", "nothing") is None
    assert "defer" in airflow.task_log("waits_in_triggerer", run.run_id, "wait").lower()


def test_real_airflow_after_killed_triggerer_starts_new_one(airflow):
    before = airflow.pid("triggerer")
    airflow.kill("triggerer", signal.SIGKILL)
    airflow.start("triggerer")
    airflow.wait_until_healthy("triggerer")

    assert airflow.pid("triggerer") != before
    assert airflow.run("waits_in_triggerer", conf={"seconds": 0}, timeout=90).state == "success"


def test_real_airflow_timeout_error_names_run_tasks_and_logs(airflow):
    run_id = airflow.trigger("waits_in_triggerer", conf={"seconds": 600})
    airflow.wait_for_task("waits_in_triggerer", run_id, "wait", "deferred", timeout=60)
    with pytest.raises(RealAirflowError) as error:
        airflow.wait_for_run("waits_in_triggerer", run_id, timeout=0.5)

    text = str(error.value)
    assert f"timed out after 0.5 s: waited for the end of waits_in_triggerer / {run_id}" in text
    assert str(airflow.logs) in text
    assert "wait: deferred" in text
    assert "attempt=1.log" in text


def test_real_airflow_with_import_error_raises_it(airflow, dags_folder):
    broken = dags_folder / "broken.py"
    broken.write_text("from airflow.models import DAG\nraise ImportError('no such luck')\n")
    try:
        with pytest.raises(RealAirflowError, match="no such luck"):
            airflow.wait_for_dag("broken", timeout=60)
    finally:
        broken.unlink()


def test_airflow_lists_provider_and_hook(airflow):
    providers = airflow.run_airflow("providers", "list", "--output", "json").stdout
    hooks = airflow.run_airflow("providers", "hooks", "--output", "json").stdout

    assert "airflow-provider-codeocean" in providers
    assert version("airflow-provider-codeocean") in providers
    assert '"codeocean"' in hooks
    assert "airflow_provider_codeocean.hooks.codeocean.CodeOceanHook" in hooks


RUNNER = """
    import sys
    from pathlib import Path
    from scripts.real_airflow import RealAirflow

    with RealAirflow(Path(sys.argv[1]), dags_folder=Path(sys.argv[2])) as airflow:
        run_id = airflow.trigger("waits_in_triggerer", conf={"seconds": 600})
        airflow.wait_for_task("waits_in_triggerer", run_id, "wait", "deferred", timeout=90)
        print("ready", flush=True)
        sys.stdin.read()
"""


def test_real_airflow_killed_leaves_no_process(tmp_path, dags_of, processes_in):
    home = tmp_path / "home"
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(RUNNER), str(home), str(dags_of("waits_in_triggerer"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=CHECKOUT,
    ) as runner:
        assert runner.stdout.readline() == "ready\n"
        assert len(processes_in(home)) > 5
        runner.kill()
    wait_until(lambda: not processes_in(home), description="all processes to be gone", timeout=30)
