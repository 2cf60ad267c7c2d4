"""Waits that start in the triggerer, and those that do not end there; before Airflow 3.3, all in workers."""

from __future__ import annotations

import pytest

DAG = "worker_free"
#: Each ends in the triggerer, so that no worker ever sees it.
IN_TRIGGERER = (
    "templated",
    "from_xcom",
    "pulled",
    "mapped[0]",
    "mapped[1]",
    "mapped_templates[0]",
    "mapped_templates[1]",
    "found",
    "quiet",
)


class Run:
    """One run of the DAG, with what it was given."""

    def __init__(self, airflow, emulator):
        self.airflow = airflow
        source = {"computation": {"id": emulator.computation_id}}

        def create(**fields):
            body = {"name": "worker-free", "mount": "m", "tags": [], "source": source} | fields
            return emulator.call_api("POST", "/api/v1/data_assets", body)["id"]

        emulator.call_api("PUT", "/_emulator/transitions", {"assets": {"seconds": 3600}})
        try:
            self.slow = create(name="slow")
        finally:
            emulator.call_api("PUT", "/_emulator/transitions", {"assets": {"seconds": 2}})
        self.ready = [create(), create()]
        conf = {
            "ready": self.ready,
            "failing": create(name="failing", target={"aws": {"bucket": "no-such-bucket"}}),
            "slow": self.slow,
            "computation": emulator.computation_id,
            "name": "worker-free",
        }
        self.computation, self.url = emulator.computation_id, emulator.url
        self.run = airflow.run(DAG, conf=conf, timeout=240)

    def xcom(self, task, key="return_value"):
        task_id, _, index = task.rstrip("]").partition("[")
        return self.airflow.xcom(DAG, self.run.run_id, task_id, key, int(index or -1))

    def log(self, task):
        return self.airflow.task_log(DAG, self.run.run_id, task)

    def were_in_workers(self):
        query = "SELECT task_id, map_index FROM task_instance WHERE run_id = ? AND queued_dttm IS NOT NULL"
        found = self.airflow.database.query(query, self.run.run_id)
        return {task if index < 0 else f"{task}[{index}]" for task, index in found}

    def tries(self, task):
        tasks = self.airflow.tasks(DAG, self.run.run_id)
        return next(each.try_number for each in tasks if each.task == task)


@pytest.fixture(scope="module")
def run(airflow, emulator):
    return Run(airflow, emulator)


@pytest.fixture
def in_triggerer(airflow):
    return airflow.version >= (3, 3)


def test_successful_waits_use_no_worker(run, in_triggerer):
    assert {run.run.tasks[task] for task in IN_TRIGGERER} == {"success"}
    in_workers = run.were_in_workers()
    assert in_workers.isdisjoint(IN_TRIGGERER) if in_triggerer else in_workers >= set(IN_TRIGGERER)


def test_start_from_trigger_before_airflow_3_3_logs_need_for_workers(run, in_triggerer):
    assert ("start_from_trigger needs Airflow 3.3" in run.log("templated")) != in_triggerer


@pytest.mark.parametrize("task", ["templated", "from_xcom", "pulled", "outlet", "tried_again"])
def test_wait_returns_same_result_as_in_worker(run, task):
    result = run.xcom(task)
    assert (result["id"], result["state"]) == (run.ready[0], "ready")
    assert result["url"] == f"{run.url}/data-assets/{run.ready[0]}"
    assert run.xcom(task, "codeocean_data_asset_url") == result["url"]


def test_downstream_task_reads_native_types(run):
    assert run.xcom("types") == ["dict", "str", "int", "list"]


def test_mapped_waits_return_their_own_results(run):
    assert [run.xcom(f"mapped[{index}]")["id"] for index in (0, 1)] == run.ready
    assert run.xcom("ids_of") == run.ready
    assert [run.xcom(f"mapped_templates[{index}]")["id"] for index in (0, 1)] == [run.computation] * 2


def test_mapped_downstream_tasks_receive_each_result(run):
    assert {run.xcom(f"id_of[{index}]") for index in (0, 1)} == set(run.ready)


def test_wait_without_xcom_push_returns_nothing(run):
    assert run.xcom("quiet") is None


def test_wait_with_outlet_ends_in_worker_and_emits_event(run, airflow):
    assert "outlet" in run.were_in_workers()
    table = "asset_event" if airflow.version >= (3,) else "dataset_event"
    query = f"SELECT source_task_id FROM {table} WHERE source_run_id = ?"
    assert airflow.database.query(query, run.run.run_id) == [("outlet",)]


def test_wait_that_cannot_start_is_retried(run):
    assert (run.run.tasks["tried_again"], run.tries("tried_again")) == ("success", 2)
    assert "not_there_at_first" in run.log("tried_again")


def test_wait_with_failed_data_asset_fails_permanently_or_skips(run):
    assert (run.run.tasks["failed"], run.tries("failed")) == ("failed", 1)
    assert "no-such-bucket" in run.log("failed")
    assert run.run.tasks["skipped"] == "skipped"


def test_wait_after_timeout_fails_and_names_data_asset(run):
    assert (run.run.tasks["late"], run.tries("late")) == ("failed", 1)
    assert f"Data asset {run.slow} was not ready in time" in run.log("late")
