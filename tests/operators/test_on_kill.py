"""What a capture does when Airflow kills it in the worker."""

from __future__ import annotations

import pytest
from airflow.providers.common.compat.sdk import AirflowTaskTimeout

from airflow_provider_codeocean.api.errors import CodeOceanError
from airflow_provider_codeocean.emulator import FaultRule
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.operators._submit_once import operator
from airflow_provider_codeocean.operators.data_asset import CodeOceanCaptureResultOperator
from airflow_provider_codeocean.submission.keys import IdempotencyKeys


class FakeTaskInstance:
    dag_id, run_id, task_id, map_index, try_number, max_tries = "d", "r", "t", -1, 1, 0


@pytest.fixture
def begin(code_ocean, monkeypatch):
    """``begin(on_kill=…)`` has an operator create its data asset; ``begin.assets()`` are those there."""
    monkeypatch.setattr(operator, "overtaken", lambda context: False)  # there is no task to ask Airflow for

    def make(**arguments):
        operator = CodeOceanCaptureResultOperator(
            task_id="capture",
            computation_id=code_ocean.env["CODEOCEAN_COMPUTATION_ID"],
            name="killed",
            **arguments,
        )
        capturing = operator._new_runner(
            IdempotencyKeys("airflow1"), operator.data_asset_params(), {"ti": FakeTaskInstance}
        )
        return operator, capturing

    make.assets = lambda: [a.id for a in code_ocean.store.data_assets.all() if a.name == "killed"]
    return make


def test_what_is_wrong_is_told_when_the_dag_is_parsed():
    for argument in ("on_kill", "on_existing"):
        with pytest.raises(ValueError, match=f"{argument} must be one of .*, got 'stop'"):
            CodeOceanCaptureResultOperator(task_id="t", computation_id="c", name="n", **{argument: "stop"})


def test_before_it_has_begun_there_is_nothing_to_say(caplog):
    CodeOceanCaptureResultOperator(task_id="t", computation_id="c", name="n").on_kill()
    assert caplog.text == ""


def test_while_it_creates_the_tag_is_named(begin, caplog):
    operator, _ = begin()
    operator.on_kill()
    assert "if it was, it has the tag airflow1, and the next attempt adopts it" in caplog.text


def test_it_is_left_and_named(begin, caplog):
    operator, capturing = begin()
    made = capturing.start().job
    operator.on_kill()
    assert f"Killed: data asset {made.id} continues" in caplog.text
    assert begin.assets() == [made.id]


def test_it_is_deleted_where_that_was_asked_for(begin, caplog):
    operator, capturing = begin(on_kill="delete")
    made = capturing.start().job
    operator.on_kill()
    assert f"Killed: Data asset {made.id} was deleted" in caplog.text
    assert begin.assets() == []


def test_it_is_not_deleted_when_it_is_ready(begin, caplog):
    operator, capturing = begin(on_kill="delete")
    made = capturing.start().job
    CodeOceanHook().wait_for_data_asset(made.id, poll_interval=0.01)
    operator.on_kill()
    assert "is ready by now" in caplog.text
    assert begin.assets() == [made.id]


def test_that_it_cannot_be_deleted_is_told(begin, code_ocean, caplog):
    operator, capturing = begin(on_kill="delete")
    made = capturing.start().job
    code_ocean.faults.add(FaultRule(method="DELETE", kind="status", status=403, times=None))
    operator.on_kill()
    assert f"Killed: data asset {made.id} could not be deleted" in caplog.text


@pytest.mark.parametrize(("on_kill", "left"), [("leave", 1), ("delete", 0)])
def test_killed_during_the_request_it_goes_no_further(begin, code_ocean, on_kill, left):
    operator, capturing = begin(on_kill=on_kill)
    created = CodeOceanHook.get_conn

    def kill_first(hook, **options):
        client = created(hook, **options)
        create = client.data_assets.create

        def create_and_be_killed(params):
            made = create(params)
            operator._killed = True
            return made

        client.data_assets = type("DataAssets", (), {"create": staticmethod(create_and_be_killed)})()
        return client

    capturing._hook.get_conn = lambda **options: kill_first(capturing._hook, **options)
    with pytest.raises(CodeOceanError, match="The task was killed"):
        capturing.start()
    assert len(begin.assets()) == left


def test_out_of_time_it_is_left_for_the_retry(begin):
    operator, capturing = begin(on_kill="delete")
    made = capturing.start().job
    with pytest.raises(AirflowTaskTimeout), operator._failing_clearly():
        raise AirflowTaskTimeout
    operator.on_kill()
    assert begin.assets() == [made.id]
    assert operator._describe() == f"Data asset {made.id} is draft. It is left as it is."
