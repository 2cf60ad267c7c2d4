"""What a capture does when Airflow kills it in the worker."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import AirflowTaskTimeout

from airflow_provider_codeocean.api.errors import CodeOceanError
from airflow_provider_codeocean.emulator import FaultRule
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.operators._submit_once import runner
from airflow_provider_codeocean.operators.data_asset import CodeOceanCaptureResultOperator


class FakeTaskInstance:
    dag_id, run_id, task_id, map_index, try_number, max_tries = "d", "r", "t", -1, 1, 0


@pytest.fixture
def begin(code_ocean, monkeypatch):
    """``begin(on_kill=…)`` has an operator create its data asset; ``begin.assets()`` are those there."""
    monkeypatch.setattr(runner, "is_superseded", lambda context: False)  # there is no task to ask Airflow for

    def make(**arguments):
        operator = CodeOceanCaptureResultOperator(
            task_id="capture",
            computation_id=code_ocean.env["CODEOCEAN_COMPUTATION_ID"],
            name="killed",
            **arguments,
        )
        capturing = operator._create_runner({"ti": FakeTaskInstance}, CodeOceanHook(), "airflow1")
        return operator, capturing

    make.assets = lambda: [a.id for a in code_ocean.store.data_assets.all() if a.name == "killed"]
    return make


def test_capture_with_invalid_on_kill_raises_at_parse_time():
    for argument in ("on_kill", "on_existing"):
        with pytest.raises(ValueError, match=f"{argument} must be one of .*, got 'stop'"):
            CodeOceanCaptureResultOperator(task_id="t", computation_id="c", name="n", **{argument: "stop"})


def test_on_kill_before_execute_logs_nothing(caplog):
    CodeOceanCaptureResultOperator(task_id="t", computation_id="c", name="n").on_kill()
    assert caplog.text == ""


def test_on_kill_during_submission_logs_tag(begin, caplog):
    operator, _ = begin()
    operator.on_kill()
    assert "if it was, it has the tag airflow1, and the next attempt adopts it" in caplog.text


def test_on_kill_by_default_leaves_data_asset_and_logs_id(begin, caplog):
    operator, capturing = begin()
    made = capturing.start().job
    operator.on_kill()
    assert f"Killed: data asset {made.id} continues" in caplog.text
    assert begin.assets() == [made.id]


def test_on_kill_with_delete_deletes_data_asset(begin, caplog):
    operator, capturing = begin(on_kill="delete")
    made = capturing.start().job
    operator.on_kill()
    assert f"Killed: Data asset {made.id} was deleted" in caplog.text
    assert begin.assets() == []


def test_on_kill_with_delete_keeps_ready_data_asset(begin, caplog):
    operator, capturing = begin(on_kill="delete")
    made = capturing.start().job
    CodeOceanHook().wait_for_data_asset(made.id, poll_interval=0.01)
    operator.on_kill()
    assert "is ready and was kept" in caplog.text
    assert begin.assets() == [made.id]


def test_on_kill_with_failed_deletion_logs_it(begin, code_ocean, caplog):
    operator, capturing = begin(on_kill="delete")
    made = capturing.start().job
    code_ocean.faults.add(FaultRule(method="DELETE", kind="status", status=403, times=None))
    operator.on_kill()
    assert f"Killed: data asset {made.id} could not be deleted" in caplog.text


@pytest.mark.parametrize(("on_kill", "left"), [("leave", 1), ("delete", 0)])
def test_start_killed_during_request_raises(begin, monkeypatch, on_kill, left):
    operator, _ = begin(on_kill=on_kill)
    create_client = CodeOceanHook._create_client

    def create_client_that_kills(hook, *args, **options):
        client = create_client(hook, *args, **options)
        create = client.data_assets.create

        def create_and_be_killed(params):
            asset = create(params)
            operator._killed.set()
            return asset

        client.data_assets = SimpleNamespace(create=create_and_be_killed)
        return client

    monkeypatch.setattr(CodeOceanHook, "_create_client", create_client_that_kills)
    with pytest.raises(CodeOceanError, match="The task was killed"):
        operator.execute({"ti": FakeTaskInstance})
    assert len(begin.assets()) == left


def test_on_kill_after_execution_timeout_leaves_data_asset(begin):
    operator, capturing = begin(on_kill="delete")
    made = capturing.start().job
    with pytest.raises(AirflowTaskTimeout), operator._convert_errors():
        raise AirflowTaskTimeout
    operator.on_kill()
    assert begin.assets() == [made.id]
    assert operator._describe_job() == f"Data asset {made.id} is draft. It is left as it is."
