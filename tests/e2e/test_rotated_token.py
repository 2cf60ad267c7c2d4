"""An access token is replaced while tasks wait: none fails, and what was captured is captured once."""

from __future__ import annotations

import json

import pytest

from scripts.emulator_process import EmulatorProcess
from scripts.leaks import LeakSearch

OLD, NEW = "cop_the_old_one", "cop_the_new_one"
MANUAL = {"clock": "manual", "transitions": {"assets": {"seconds": 60}}}
LOOK = "GET /api/v1/data_assets/{data_asset_id}"
REFUSED = "refuses the access token of connection rotated"
#: Seconds for tasks to begin, to notice, and to end.
SOON = 120.0


@pytest.fixture
def guarded(tmp_path):
    """An emulator in which nothing ends by itself, with a user whose token is known here."""
    config = tmp_path / "config.json"
    config.write_text(json.dumps(MANUAL))
    with EmulatorProcess(tmp_path, arguments=["--config", str(config)]) as emulator:
        give(emulator, OLD)
        yield emulator


def give(emulator, token):
    """Give the user this token, and no other."""
    user = {"email": "airflow@lab.test", "admin": True, "tokens": [{"token": token}]}
    emulator.call_api("PUT", "/_emulator/users", user)


def count(emulator, what, key):
    """How many requests there have been, by ``endpoints`` or ``statuses``."""
    return emulator.get("/_emulator/stats")[what].get(key, 0)


def test_waits_with_rotated_token_continue(airflow, guarded):
    connection = {"conn_type": "codeocean", "host": guarded.url, "password": OLD}
    airflow.add_connection("rotated", connection)
    (asset,) = guarded.call_api("POST", "/_emulator/data_assets", {"policy": {"seconds": 60}})["data_assets"]
    conf = {"computation_id": guarded.computation_id, "data_asset_id": asset["id"]}
    run_id = airflow.trigger("rotated_token", conf=conf)
    for task, state in (("deferred", "deferred"), ("captured", "deferred"), ("in_worker", "running")):
        airflow.wait_for_task("rotated_token", run_id, task, state, timeout=SOON)
    looks = count(guarded, "endpoints", LOOK) + 6
    airflow.wait_until(lambda: count(guarded, "endpoints", LOOK) >= looks, description="looks", timeout=SOON)

    give(guarded, NEW)
    airflow.wait_until(lambda: count(guarded, "statuses", "401") >= 6, description="refusals", timeout=SOON)
    waiting = {each.state for each in airflow.tasks("rotated_token", run_id)}
    airflow.update_connection("rotated", {**connection, "password": NEW})
    guarded.call_api("POST", "/_emulator/advance", {"seconds": 60})

    run = airflow.wait_for_run("rotated_token", run_id, timeout=2 * SOON)
    assert (run.state, waiting) == ("success", {"deferred", "running"})
    assert {each.try_number for each in airflow.tasks("rotated_token", run_id)} == {1}
    assert REFUSED in airflow.component_log("triggerer").read_text()
    log = airflow.task_log("rotated_token", run_id, "in_worker")
    assert REFUSED in log
    leaks = LeakSearch([OLD, NEW], airflow.env["AIRFLOW__CORE__FERNET_KEY"])
    assert leaks.search_files(airflow.home) + leaks.search_database(airflow.database.path) == []
    found = guarded.call_api("POST", "/api/v1/data_assets/search", {"limit": 10, "query": 'tag:"rotated"'})
    assert len(found["results"]) == 1
