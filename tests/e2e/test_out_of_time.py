"""However a wait runs out of time, its error names the data asset and what was seen of it last."""

from __future__ import annotations

import re

import pytest


@pytest.fixture(scope="module")
def run(airflow, emulator):
    """One run with all the ways in it, over data assets that stay drafts."""
    source = {"computation": {"id": emulator.computation_id}}
    emulator.call_api("PUT", "/_emulator/transitions", {"assets": {"seconds": 3600}})
    asset = emulator.call_api(
        "POST", "/api/v1/data_assets", {"name": "slow", "mount": "slow", "tags": [], "source": source}
    )
    conf = {"computation_id": emulator.computation_id, "data_asset_id": asset["id"]}
    try:
        yield airflow.run("out_of_time", conf=conf, timeout=180)
    finally:
        emulator.call_api("PUT", "/_emulator/transitions", {"assets": {"seconds": 2}})


@pytest.mark.parametrize("limit", ["by_timeout", "by_execution_timeout"])
@pytest.mark.parametrize("mode", ["sync", "deferred"])
@pytest.mark.parametrize("what", ["capture", "sense"])
def test_timeout_error_names_data_asset_and_last_state(airflow, run, what, mode, limit):
    task = f"{what}_{mode}_{limit}"
    assert run.tasks[task] == "failed"
    log = airflow.task_log("out_of_time", run.run_id, task)
    # Where a busy machine lets the time pass before the triggerer has begun, the look after it tells.
    state = r"its last state was (draft|unknown .*It is in state draft now)"
    assert re.search(rf"Data asset [0-9a-f-]{{36}} was not ready in time; {state}", log)
