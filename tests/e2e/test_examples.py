"""The example DAGs, in a real Airflow: scheduler, triggerer and worker processes, against the emulator."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_codeocean.api._http.library import httpx

EXAMPLES = Path(__file__).parent.parent.parent / "dags_examples"
#: The others are run by ``tests/dag_runs/test_examples.py``.
RUN_HERE = {
    "capture_result",
    "capture_again_on_clear",
    "capture_many_results",
    "move_to_bucket",
    "publish_results",
    "use_new_results",
    "wait_for_data_asset",
}


def new_asset(emulator, **fields):
    body = {"name": "made beside Airflow", "mount": "m", "tags": []}
    source = {"computation": {"id": emulator.computation_id}}
    return emulator.call_api("POST", "/api/v1/data_assets", body | {"source": source} | fields)["id"]


def test_examples_run_in_real_airflow_exist():
    assert {path.stem for path in EXAMPLES.glob("*.py")} >= RUN_HERE


def test_deferred_capture_shows_working_link(airflow, emulator):
    run_id = airflow.trigger("capture_result", conf={"computation_id": emulator.computation_id})
    airflow.wait_for_task("capture_result", run_id, "capture", "deferred", timeout=60)
    link = airflow.xcom("capture_result", run_id, "capture", "codeocean_data_asset_url")
    asset_id = airflow.xcom("capture_result", run_id, "capture", "data_asset_id")
    assert link == f"{emulator.url}/data-assets/{asset_id}"
    assert f"results_{emulator.computation_id}" in httpx.get(link).text

    run = airflow.wait_for_run("capture_result", run_id, timeout=90)

    assert run.tasks == {"capture": "success", "read_back": "success"}
    asset = airflow.xcom("capture_result", run_id, "capture")
    assert (asset["id"], asset["state"], asset["url"]) == (asset_id, "ready", link)
    assert len(airflow.xcom("capture_result", run_id, "read_back")) > 1


def test_cleared_capture_with_on_existing_create_creates_another(airflow, emulator):
    run = airflow.run("capture_again_on_clear", conf={"computation_id": emulator.computation_id}, timeout=90)
    first = airflow.xcom("capture_again_on_clear", run.run_id, "capture")
    airflow.release.clear_task("capture_again_on_clear", run.run_id, "capture")
    airflow.wait_until(
        lambda: (
            airflow.database.run_state("capture_again_on_clear", run.run_id) == "success"
            and airflow.tasks("capture_again_on_clear", run.run_id)[0].try_number == 2
        ),
        description="the second data asset",
        timeout=240,  # without a durable state, a cleared task first rules out an earlier attempt's job
    )
    second = airflow.xcom("capture_again_on_clear", run.run_id, "capture")
    assert (first["state"], second["state"]) == ("ready", "ready")
    assert first["id"] != second["id"]


def test_mapped_captures_with_one_failure_continue(airflow, emulator):
    conf = {"computation_ids": [emulator.computation_id, "no-such-computation", emulator.computation_id]}
    run = airflow.run("capture_many_results", conf=conf, timeout=120)
    assert run.tasks["plan"] == run.tasks["report"] == "success"
    assert [run.tasks[f"capture[{index}]"] for index in range(3)] == ["success", "failed", "success"]
    urls = airflow.xcom("capture_many_results", run.run_id, "report")
    assert len(set(urls)) == 2


def test_data_asset_sensor_with_ready_data_asset_succeeds(airflow, emulator):
    run = airflow.run("wait_for_data_asset", conf={"data_asset_id": new_asset(emulator)}, timeout=90)
    assert run.tasks == {"ready": "success", "use": "success"}
    assert "made beside Airflow: " in airflow.xcom("wait_for_data_asset", run.run_id, "use")


def test_data_asset_sensor_with_failed_data_asset_logs_reason(airflow, emulator):
    asset_id = new_asset(emulator, target={"aws": {"bucket": "no-such-bucket"}})
    run = airflow.run("wait_for_data_asset", conf={"data_asset_id": asset_id}, timeout=90)
    assert run.tasks == {"ready": "failed", "use": "upstream_failed"}
    assert "no-such-bucket" in airflow.task_log("wait_for_data_asset", run.run_id, "ready")


def test_deferred_transfer_moves_files(airflow, emulator):
    asset_id = emulator.variables["CODEOCEAN_DATA_ASSET_ID"]
    conf = {"data_asset_id": asset_id, "bucket": emulator.variables["CODEOCEAN_ARCHIVE_BUCKET"]}
    run = airflow.run("move_to_bucket", conf=conf, timeout=90)
    assert run.tasks == {"move": "success"}
    moved = airflow.xcom("move_to_bucket", run.run_id, "move")
    assert moved["source_bucket"]["bucket"] == conf["bucket"]
    assert moved["last_transferred"]
    assert f"Waiting for data asset {asset_id}" in airflow.task_log("move_to_bucket", run.run_id, "move")


def test_dag_scheduled_on_alias_reads_asset_event(airflow, emulator):
    airflow.wait_for_dag("use_new_results")
    run = airflow.run(
        "publish_results", conf={"capsule_id": emulator.variables["CODEOCEAN_CAPSULE_ID"]}, timeout=120
    )
    assert run.tasks == {"sort.run": "success", "sort.capture": "success"}

    def begun():
        rows = airflow.database.query("SELECT run_id FROM dag_run WHERE dag_id = 'use_new_results'")
        return rows[0][0] if rows else None

    begun_id = airflow.wait_until(begun, description="a run of use_new_results", timeout=60)
    assert airflow.wait_for_run("use_new_results", begun_id, timeout=60).tasks == {"read_events": "success"}
    asset = airflow.xcom("publish_results", run.run_id, "sort.capture")
    (event,) = airflow.xcom("use_new_results", begun_id, "read_events")
    assert (event["data_asset_id"], event["size"], event["url"]) == (asset["id"], asset["size"], asset["url"])
    assert event["provenance"]["capsule"] == emulator.variables["CODEOCEAN_CAPSULE_ID"]


@pytest.fixture(scope="module")
def captured(airflow, emulator):
    """The run of a capture that nothing happened to."""
    return airflow.run("capture_result", conf={"computation_id": emulator.computation_id}, timeout=90)


def test_logs_contain_no_token(captured, airflow, emulator):
    logs = [path for path in airflow.home.rglob("*.log") if path.is_file()]
    assert logs
    assert [path for path in logs if emulator.token in path.read_text(errors="replace")] == []


def test_capture_logs_no_warning_and_no_request_line(captured, airflow, emulator):
    log = airflow.task_log("capture_result", captured.run_id, "capture")
    ours = [line for line in log.splitlines() if "airflow_provider_codeocean" in line or emulator.url in line]
    assert ours
    assert [line for line in ours if "warning" in line.lower() or "HTTP Request" in line] == []
