"""Deferred tasks that succeed: from Airflow 3.3 on, they end in the triggerer if no worker is needed."""

from __future__ import annotations

import pytest

DAG = "deferred_ends"
#: Tasks and how many instances they have.
IN_TRIGGERER = {"plain": 1, "quiet": 1, "mapped": 2, "run": 1, "sensor": 1}
IN_WORKER = ("outlet", "callback")
#: What each process of a task writes into its log first.
FIRST_LINES = {2: ("Starting attempt", "Resuming after deferral"), 3: ("::group::Pre Execute",)}


@pytest.fixture(scope="module")
def run(airflow, emulator):
    emulator.call_api("PUT", "/_emulator/transitions", {"assets": {"seconds": 3}})
    conf = {"computation": emulator.computation_id, "capsule": emulator.variables["CODEOCEAN_CAPSULE_ID"]}
    return airflow.run(DAG, conf=conf, timeout=280)


@pytest.fixture
def worker_processes(airflow, run):
    def count(task):
        log = airflow.task_log(DAG, run.run_id, task)
        return sum(map(log.count, FIRST_LINES[airflow.version[0]]))

    return count


def test_deferred_task_without_retries_succeeds(run):
    assert run.state == "success"
    assert set(run.tasks.values()) == {"success"}


def test_deferred_task_on_3_3_starts_one_worker_process(airflow, worker_processes):
    is_3_3 = airflow.version >= (3, 3)
    # The sensor does not defer if its data asset is ready by its first poll.
    tasks = {task: count for task, count in IN_TRIGGERER.items() if is_3_3 or task != "sensor"}
    expected = {task: count if is_3_3 else 2 * count for task, count in tasks.items()}
    assert {task: worker_processes(task) for task in tasks} == expected


def test_deferred_task_that_needs_worker_ends_in_one(worker_processes):
    assert {task: worker_processes(task) for task in IN_WORKER} == dict.fromkeys(IN_WORKER, 2)


def test_deferred_task_returns_same_result_in_both_places(airflow, run, emulator):
    def xcom(task_id, key="return_value", map_index=-1):
        return airflow.xcom(DAG, run.run_id, task_id, key, map_index)

    plain, outlet = xcom("plain"), xcom("outlet")
    assert plain.keys() == outlet.keys()
    assert plain["state"] == "ready"
    assert (
        plain["url"]
        == f"{emulator.url}/data-assets/{plain['id']}"
        == xcom("plain", "codeocean_data_asset_url")
    )
    assert xcom("id_of") == plain["id"] == xcom("plain", "data_asset_id")
    assert xcom("quiet") is None
    assert xcom("id_of_each") == [xcom("mapped", map_index=index)["id"] for index in (0, 1)]
    assert xcom("run")["end_status"] == "succeeded"
    assert xcom("sensor")["state"] == "ready"
