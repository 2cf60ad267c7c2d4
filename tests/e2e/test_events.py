"""Watchers in a real Airflow: what finishes is captured once, and what becomes ready is told.

``EVENTS_COMPUTATIONS`` says how many computations finish at once: ``make bench BENCH=events`` takes 300.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections import Counter
from pathlib import Path

import pytest

from scripts.emulator_process import EmulatorProcess
from scripts.real_airflow import RealAirflow

HERE = Path(__file__).parent
DAGS_EXAMPLES = HERE.parent.parent / "dags_examples"
#: The example DAGs that are run here.
EXAMPLES = {"label_when_ready"}
FINISHING = int(os.environ.get("EVENTS_COMPUTATIONS", "8"))
LIMIT = FINISHING * 2 // 3
OLD = 3
POLL_INTERVAL = 1.0
SOON = 120.0
WITHIN = SOON + 10.0 * FINISHING
LISTS = "GET /api/v1/capsules/{capsule_id}/computations"
AT_ONCE = {"transitions": {"assets": {"seconds": 0}}}

pytestmark = pytest.mark.timeout(300 + WITHIN)


@pytest.fixture(scope="module")
def emulator(tmp_path_factory):
    folder = tmp_path_factory.mktemp("emulator-of-events")
    config = folder / "config.json"
    config.write_text(json.dumps(AT_ONCE))
    with EmulatorProcess(folder, arguments=["--config", str(config)]) as running:
        running.call_api("POST", "/_emulator/computations", {"count": OLD, "name": "old", "age": 3600})
        yield running


@pytest.fixture(scope="module")
def airflow(emulator, tmp_path_factory, searched):
    folder = tmp_path_factory.mktemp("dags-of-events")
    for path in (HERE / "watching" / "captures.py", *(DAGS_EXAMPLES / f"{name}.py" for name in EXAMPLES)):
        shutil.copy(path, folder)
    running = RealAirflow(
        tmp_path_factory.mktemp("airflow-of-events"),
        dags_folder=folder,
        connections={"codeocean_default": emulator.connection},
        env={"WATCHED_CAPSULE": emulator.variables["CODEOCEAN_CAPSULE_ID"], "WATCHED_LIMIT": str(LIMIT)},
        config={"triggerer.triggerer_health_check_threshold": "6", "triggerer.job_heartbeat_sec": "1"},
        reparse_unchanged_dags=True,
    )
    if running.version < (3,):
        pytest.skip("Airflow 2 has no asset watchers")
    if running.version < (3, 3):
        running.env["WATCHED_SINCE"] = str(time.time() - 60)
    with searched(running, emulator):
        for name in EXAMPLES:
            running.wait_for_dag(name)
            running.release.call_api("PATCH", f"/api/v2/dags/{name}", {"is_paused": False})
        yield running


class Captures:
    """What the DAG ``captures`` has captured."""

    def __init__(self, airflow, emulator):
        self.airflow = airflow
        self.emulator = emulator

    def finish(self, name, count, seconds=0.0):
        """Let computations finish at the same moment, so many seconds from now."""
        seed = {"count": count, "name": name, "policy": {"seconds": seconds}}
        made = self.emulator.call_api("POST", "/_emulator/computations", seed)["computations"]
        return {each["id"] for each in made}

    def by_computation(self):
        """How often each computation was captured."""
        search = {"limit": 1000, "query": 'tag:"finished"'}
        found = self.emulator.call_api("POST", "/api/v1/data_assets/search", search)["results"]
        return Counter(each["provenance"]["computation"] for each in found)

    def lists(self):
        """How often the computations of a capsule were asked for."""
        return self.emulator.get("/_emulator/stats")["endpoints"].get(LISTS, 0)

    def wait_until(self, condition, awaited, timeout=SOON):
        return self.airflow.wait_until(
            condition, description=awaited, timeout=timeout, logs=["triggerer", "scheduler", "dag-processor"]
        )

    def wait_for_the_watch(self):
        """Wait until the watch has begun, and what was over before is old."""
        before = self.lists()
        self.wait_until(lambda: self.lists() >= before + 2, "a look")
        if self.airflow.version >= (3, 3):
            known = "SELECT 1 FROM asset_state_store WHERE key = 'codeocean_seen'"
            self.wait_until(
                lambda: len(self.airflow.database.query(known)) == 2, "what both watches remember"
            )

    def tasks(self):
        """How many tasks have captured."""
        done = "SELECT 1 FROM task_instance WHERE task_id = 'computation.capture' AND state = 'success'"
        return len(self.airflow.database.query(done))

    def wait_for(self, tasks, timeout=WITHIN):
        """Wait until so many tasks have captured, and nothing is under way any more."""
        self.wait_until(lambda: self.tasks() >= tasks, f"{tasks} captures", timeout)
        going = "SELECT 1 FROM dag_run WHERE dag_id = 'captures' AND state IN ('queued', 'running')"
        queued = "SELECT 1 FROM asset_dag_run_queue WHERE target_dag_id = 'captures'"
        query = self.airflow.database.query
        self.wait_until(lambda: not query(going) and not query(queued), "the end of all runs")


@pytest.fixture(scope="module")
def captures(airflow, emulator):
    captures = Captures(airflow, emulator)
    captures.wait_for_the_watch()
    return captures


def test_capture_on_completion_with_killed_triggerer_captures_each_once(captures, airflow, emulator, capsys):
    emulator.call_api("POST", "/_emulator/stats/reset")
    began = time.monotonic()
    new = captures.finish("seeded", FINISHING, seconds=2.0)
    # The moment between an event and what is remembered of it, where there is one.
    captures.wait_until(lambda: airflow.database.query("SELECT 1 FROM asset_event"), "an event")
    airflow.kill("triggerer")
    airflow.start("triggerer")
    captures.wait_for(FINISHING)
    seconds = time.monotonic() - began
    requests = emulator.get("/_emulator/stats")["endpoints"]
    captured = captures.by_computation()
    assert captured == dict.fromkeys(new, 1)
    runs = airflow.database.query("SELECT run_id FROM dag_run WHERE dag_id = 'captures'")
    assert len(runs) >= 2  # one could not take them all
    # A look a second, and one of each run.
    assert requests[LISTS] <= seconds / (0.85 * POLL_INTERVAL) + 2 + len(runs)
    with capsys.disabled():
        print(f"\n{len(captured)} captures in {seconds:.0f} s, by {len(runs)} runs, with these requests:")  # noqa: T201
        print(json.dumps(requests, indent=2))  # noqa: T201


def test_capture_on_completion_after_airflow_outage_captures_missed_ones(captures, airflow):
    before, tasks = captures.by_computation(), captures.tasks()
    for component in ("scheduler", "triggerer"):
        airflow.kill(component)
    new = captures.finish("while nobody looked", 2)
    for component in ("scheduler", "triggerer"):
        airflow.start(component)
    captures.wait_for(tasks + len(new))
    assert captures.by_computation() - before == dict.fromkeys(new, 1)


def test_claim_cleared_returns_same_computations_and_captures_nothing(captures, airflow):
    before = captures.by_computation()
    [(run_id,)] = airflow.database.query(
        "SELECT run_id FROM dag_run WHERE dag_id = 'captures' AND state = 'success' ORDER BY id LIMIT 1"
    )
    taken = airflow.xcom("captures", run_id, "claim")
    tries = (
        "SELECT try_number FROM task_instance WHERE run_id = ? AND task_id = 'claim' AND state = 'success'"
    )
    [before_that] = airflow.database.query(tries, run_id)
    airflow.release.clear_task("captures", run_id, "claim")
    captures.wait_until(lambda: airflow.database.query(tries, run_id) > [before_that], "the next try")
    assert airflow.xcom("captures", run_id, "claim") == taken
    captures.wait_for(captures.tasks())
    assert captures.by_computation() == before


def test_data_assets_watcher_labels_each_ready_data_asset_once(captures, airflow, emulator):
    seed = {"count": 2, "tags": ["inbox"], "policy": {"seconds": 2}}
    made = {each["id"] for each in emulator.call_api("POST", "/_emulator/data_assets", seed)["data_assets"]}

    def seen():
        tags = {each: emulator.get(f"/api/v1/data_assets/{each}")["tags"] for each in made}
        return all("seen" in each for each in tags.values())

    captures.wait_until(seen, "the tags")
    labels = "SELECT state FROM task_instance WHERE dag_id = 'label_when_ready' AND task_id = 'label'"
    captures.wait_until(
        lambda: airflow.database.query(labels) == [("success",)] * len(made), "a task for each, and no more"
    )
