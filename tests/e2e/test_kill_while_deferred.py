"""What becomes of a data asset whose task a user ends while the triggerer waits for it."""

from __future__ import annotations

import json
import re
import signal
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from scripts.emulator_process import EmulatorProcess
from scripts.http_json import HttpError
from scripts.processes import GuardedProcess
from scripts.real_airflow import RealAirflow

if TYPE_CHECKING:
    from collections.abc import Callable

DAG = "waits_for_drafts"
TASKS = [f"deletes_{n}" for n in range(5)] + ["leaves_0", "leaves_1", "sensor", "mapped[0]", "mapped[1]"]
FOREVER = {"transitions": {"assets": {"seconds": 86_400}}}
SOON = 60.0
#: The timeout of ``waits_to_its_end``.
PATIENCE = 20.0

# What a click in the UI does: Airflow 2 runs without its webserver here, and so without a REST API.
AIRFLOW_2 = """
import json, sys
from airflow.api.common.mark_tasks import set_dag_run_state_to_failed
from airflow.models.dagbag import DagBag
from airflow.models.dagrun import DagRun
from airflow.models.pool import Pool

dag_id, run_id, verb, task_id, map_index, value = json.loads(sys.argv[1])
dag = DagBag(read_dags_from_db=True).get_dag(dag_id)
[run] = DagRun.find(dag_id=dag_id, run_id=run_id)
if verb == "mark":
    indexes = None if map_index < 0 else [map_index]
    dag.set_task_instance_state(task_id=task_id, map_indexes=indexes, run_id=run_id, state=value)
elif verb == "clear":
    dag.clear(task_ids=[task_id], start_date=run.execution_date, end_date=run.execution_date)
elif verb == "fail run":
    set_dag_run_state_to_failed(dag=dag, run_id=run_id, commit=True)
else:
    Pool.create_or_update_pool("default_pool", value, "all tasks", include_deferred=False)
"""


@dataclass
class Waiting:
    """A DAG run whose tasks are all deferred, and the user who ends them."""

    airflow: RealAirflow
    emulator: EmulatorProcess
    run_id: str
    assets: dict[str, str]

    def mark(self, task: str, state: str) -> None:
        if not self._in_airflow_2("mark", *split(task), state):
            one = task.replace("[", "/").rstrip("]")
            path = f"dags/{DAG}/dagRuns/{self.run_id}/taskInstances/{one}"
            self._in_airflow_3("PATCH", path, new_state=state)

    def clear(self, task: str) -> None:
        if not self._in_airflow_2("clear", task):
            which = {"dag_run_id": self.run_id, "task_ids": [task], "only_failed": False}
            self._in_airflow_3("POST", f"dags/{DAG}/clearTaskInstances", dry_run=False, **which)

    def fail_run(self) -> None:
        if not self._in_airflow_2("fail run"):
            self._in_airflow_3("PATCH", f"dags/{DAG}/dagRuns/{self.run_id}", state="failed")

    def set_slots(self, slots: int) -> None:
        if not self._in_airflow_2("set slots", value=slots):
            self._in_airflow_3("PATCH", "pools/default_pool?update_mask=slots", slots=slots)

    def _in_airflow_3(self, method: str, path: str, **body: Any) -> None:
        self.airflow.release.call_api(method, f"/api/v2/{path}", body)

    def _in_airflow_2(self, verb: str, task_id: str = "", map_index: int = -1, value: Any = None) -> bool:
        if self.airflow.version >= (3,):
            return False
        arguments = json.dumps([DAG, self.run_id, verb, task_id, map_index, value])
        self.airflow.run_code(AIRFLOW_2, arguments)
        return True

    def said(self, task: str) -> list[str]:
        """What a trigger has said of its data asset at its end, in the task's log."""
        lines = [line for line in self._log(task).splitlines() if self.assets[task] in line]
        return [line for line in lines if re.search("is kept|The task was ended", line)]

    def _log(self, task: str) -> str:
        return self.airflow.task_log(DAG, self.run_id, split(task)[0])

    def starts(self, task: str) -> set[str]:
        """The lines in which a trigger says that it has begun to wait."""
        begun = f"Waiting for data asset {self.assets[task]}"
        return {line for line in self._log(task).splitlines() if begun in line}

    def ends(self, task: str) -> set[str]:
        """The lines about a trigger's end: Airflow 2 writes them into the triggerer's own log."""
        own = [path.read_text(errors="replace") for path in self.airflow.logs.glob("*triggerer.log")]
        lines = "\n".join([self._log(task), *own]).splitlines()
        task_id, map_index = split(task)
        return {line for line in lines if f"/{task_id}/{map_index}/" in line and "completed" in line}

    def wait_for_more(self, lines: Callable[[str], set[str]], task: str, before: set[str]) -> None:
        """Wait for another such line; Airflow 3 empties the log of a trigger that comes back."""
        self._wait_until(lambda: lines(task) - before, f"more {lines.__name__} of the trigger of {task}")

    def wait_for_looks(self) -> None:
        """Wait until each trigger has looked at its data asset, which all of them do in turn."""
        enough = self._readings() + 3 * len(TASKS)
        self._wait_until(lambda: self._readings() >= enough, "readings of the data assets")

    def _readings(self) -> int:
        endpoints = self.emulator.get("/_emulator/stats")["endpoints"]
        return int(endpoints.get("GET /api/v1/data_assets/{data_asset_id}", 0))

    def _wait_until(self, condition: Callable[[], Any], awaited: str) -> Any:
        return self.airflow.wait_until(condition, description=awaited, timeout=SOON, logs=["triggerer"])

    def state(self, task: str) -> str:
        return next(each.state for each in self.airflow.tasks(DAG, self.run_id) if each.task == task)

    def wait_to_be_told(self, task: str) -> str:
        [line] = self._wait_until(
            lambda: self.said(task), f"a line about the data asset of {task} in its log"
        )
        return str(line)

    def exists(self, task: str) -> bool:
        try:
            self.emulator.get(f"/api/v1/data_assets/{self.assets[task]}")
        except HttpError as error:
            return error.status != 404
        return True

    def check_untouched(self, task: str) -> None:
        assert self.state(task) == "deferred"
        assert self.said(task) == []
        assert self.exists(task)


def split(task: str) -> tuple[str, int]:
    task_id, _, index = task.rstrip("]").partition("[")
    return task_id, int(index or -1)


@pytest.fixture(scope="module")
def emulator(tmp_path_factory):
    folder = tmp_path_factory.mktemp("emulator-of-drafts")
    config = folder / "config.json"
    config.write_text(json.dumps(FOREVER))
    with EmulatorProcess(folder, arguments=["--config", str(config)]) as running:
        yield running


@pytest.fixture(scope="module")
def airflow(emulator, dags_of, tmp_path_factory, searched):
    airflow = RealAirflow(
        tmp_path_factory.mktemp("airflow-of-drafts"),
        dags_folder=dags_of(DAG, "waits_to_its_end"),
        connections={"codeocean_default": emulator.connection},
        config={"triggerer.triggerer_health_check_threshold": "6", "triggerer.job_heartbeat_sec": "1"},
    )
    with searched(airflow, emulator) as running:
        yield running


@pytest.fixture(scope="module")
def waiting(airflow, emulator):
    run_id = airflow.trigger(DAG, conf={"computation_id": emulator.computation_id})
    assets = {}
    for task in TASKS:
        airflow.wait_for_task(DAG, run_id, task, "deferred", timeout=120)
        task_id, map_index = split(task)
        assets[task] = airflow.xcom(DAG, run_id, task_id, "data_asset_id", map_index)
    waiting = Waiting(airflow, emulator, run_id, assets)
    for task in TASKS:
        waiting.wait_for_more(waiting.starts, task, set())
    waiting.wait_for_looks()
    return waiting


@pytest.fixture
def stopped(airflow):
    @contextmanager
    def stop(component):
        """Let all processes of a component stand still; not with SQLite's lock, which all others need."""
        processes = airflow.living_processes(component)

        def without_the_lock():
            for process in processes:
                process.suspend()
            if airflow.database.is_writable():
                return True
            for process in processes:
                process.resume()
            return False

        airflow.wait_until(without_the_lock, description=f"a {component} to stand still", timeout=SOON)
        try:
            yield
        finally:
            for process in processes:
                process.resume()

    return stop


def test_task_marked_failed_with_on_kill_delete_deletes_data_asset(waiting):
    waiting.mark("deletes_0", "failed")
    assert "was deleted" in waiting.wait_to_be_told("deletes_0")
    assert not waiting.exists("deletes_0")


def test_mapped_task_marked_failed_deletes_its_data_asset_only(waiting):
    waiting.mark("mapped[1]", "failed")
    assert "was deleted" in waiting.wait_to_be_told("mapped[1]")
    assert not waiting.exists("mapped[1]")
    waiting.check_untouched("mapped[0]")


def test_task_marked_failed_with_on_kill_leave_logs_data_asset(waiting):
    waiting.mark("leaves_0", "failed")
    line = waiting.wait_to_be_told("leaves_0")
    assert "(last state: draft) is kept: the task was ended (failed)" in line
    assert waiting.exists("leaves_0")


def test_task_marked_success_keeps_data_asset(waiting):
    waiting.mark("deletes_1", "success")
    assert "is kept: the task has succeeded" in waiting.wait_to_be_told("deletes_1")
    assert waiting.exists("deletes_1")


def test_cleared_task_before_next_attempt_deletes_data_asset(waiting):
    """Airflow does not end the trigger of a cleared task before that is scheduled again."""
    waiting.set_slots(0)
    waiting.clear("deletes_2")
    assert "was deleted" in waiting.wait_to_be_told("deletes_2")
    assert waiting.state("deletes_2") == "scheduled"
    assert not waiting.exists("deletes_2")
    waiting.set_slots(16)


def test_cleared_task_with_next_attempt_running_keeps_data_asset(waiting, stopped, airflow):
    with stopped("triggerer"):
        waiting.clear("deletes_3")
        airflow.wait_for_task(DAG, waiting.run_id, "deletes_3", "running", timeout=SOON)
    assert "is kept: the next attempt adopts it" in waiting.wait_to_be_told("deletes_3")
    assert waiting.exists("deletes_3")


def test_task_marked_failed_with_slow_server_deletes_data_asset(waiting, emulator):
    """Airflow cancels a trigger anew each second until it has ended."""
    path = f"data_assets/{waiting.assets['deletes_4']}"
    emulator.call_api(
        "POST", "/_emulator/faults", {"method": "DELETE", "path": path, "kind": "slow", "delay": 4}
    )
    waiting.mark("deletes_4", "failed")
    assert "was deleted" in waiting.wait_to_be_told("deletes_4")
    assert not waiting.exists("deletes_4")


def test_cleared_task_with_on_kill_leave_keeps_data_asset(waiting):
    waiting.clear("leaves_1")
    line = waiting.wait_to_be_told("leaves_1")
    assert "(last state: draft) is kept: " in line
    assert "adopts it" in line
    assert waiting.exists("leaves_1")


def test_sensor_marked_failed_logs_nothing(waiting):
    waiting.mark("sensor", "failed")
    waiting.wait_for_more(waiting.ends, "sensor", set())
    assert waiting.said("sensor") == []
    assert waiting.exists("sensor")


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_triggerer_restart_keeps_data_asset_and_resumes_wait(waiting, airflow, how):
    starts = waiting.starts("mapped[0]")
    airflow.kill("triggerer", how)
    airflow.start("triggerer")
    airflow.wait_until_healthy("triggerer")
    waiting.wait_for_more(waiting.starts, "mapped[0]", starts)
    waiting.check_untouched("mapped[0]")


@pytest.fixture
def another_triggerer(airflow, waiting):
    command = [sys.executable, "-m", "airflow", "triggerer", "--skip-serve-logs"]
    another = GuardedProcess("another-triggerer", command, env=airflow.env, directory=airflow.logs)
    yield another
    starts = waiting.starts("mapped[0]")
    another.stop()
    # What ends while no triggerer has it, ends unnoticed.
    waiting.wait_for_more(waiting.starts, "mapped[0]", starts)


def test_suspended_triggerer_keeps_data_asset(waiting, stopped, another_triggerer):
    starts = waiting.starts("mapped[0]")
    with stopped("triggerer"):
        another_triggerer.start()
        waiting.wait_for_more(waiting.starts, "mapped[0]", starts)
        ends = waiting.ends("mapped[0]")
    waiting.wait_for_more(waiting.ends, "mapped[0]", ends)  # the first one gives it up
    waiting.check_untouched("mapped[0]")


def test_triggerer_restart_keeps_deadline_of_wait(airflow):
    """Its arguments, made when the DAG was parsed, hold no time; it must not begin to count anew."""
    dag_id, task = "waits_to_its_end", "wait"
    run_id = airflow.trigger(dag_id)

    def starts():
        log = airflow.task_log(dag_id, run_id, task)
        return {line for line in log.splitlines() if "Waiting for search" in line}

    before = airflow.wait_until(starts, description="the wait to begin", timeout=SOON, logs=["triggerer"])
    airflow.kill("triggerer")
    airflow.start("triggerer")
    airflow.wait_until_healthy("triggerer")
    airflow.wait_until(lambda: starts() - before, description="it to go on", timeout=SOON, logs=["triggerer"])
    went_on = time.monotonic()
    airflow.wait_for_task(dag_id, run_id, task, "scheduled", "queued", "running", "failed", timeout=SOON)
    assert time.monotonic() - went_on < PATIENCE
    assert airflow.wait_for_run(dag_id, run_id, timeout=SOON).tasks == {task: "failed"}
    assert "found no data asset in time; its last state was 0 found" in airflow.task_log(dag_id, run_id, task)


def test_dag_run_marked_failed_deletes_data_assets_of_tasks(waiting):
    waiting.fail_run()
    assert "was deleted" in waiting.wait_to_be_told("mapped[0]")
    assert not waiting.exists("mapped[0]")
